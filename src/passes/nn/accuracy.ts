/** How far a fixed-point module is from the float module that it came from: at the outputs, and layer by layer. */
import { UserError } from "../../diagnostics/index.js";
import { prepareNn } from "../../ir/eval/nn-fixed.js";
import { fixedOf } from "../../ir/nn/values.js";
import type { Module, Value } from "../../ir/core.js";
import { outerRange, showType } from "../../ir/types.js";
import { portScale } from "../../ir/port-scales.js";
import { OutputMeter, stepOf, type OutputError } from "./output-error.js";
import { roundInputs } from "./quantize/inputs.js";
import { countingLimits, describeValue, placeOfValue, type Sample } from "./quantize/calibrate.js";
import { pairTensors } from "./tensor-pairs.js";

export interface LayerError {
  /** Name of the tensor. */
  readonly name: string;
  readonly onnx_nodes: readonly string[];
  readonly format: string;
  readonly sqnr_db: number;
  /**
   * How much of the signal-to-noise ratio is lost here: the lowest ratio among what feeds the tensor, minus its own.
   */
  readonly loss_db: number;
  /** Share of values at the limits of the format, where the float value lies beyond them. */
  readonly saturated: number;
  readonly min: number;
  readonly max: number;
  /** Of a table, its largest error over the calibrated range. */
  readonly table_error?: number;
}

export interface Accuracy {
  readonly samples: number;
  readonly outputs: Readonly<Record<string, OutputError>>;
  /** In program order; inputs included. */
  readonly layers: readonly LayerError[];
  /** The layer with the largest loss; undefined without layers. */
  readonly worst_layer: string | undefined;
}

class Noise {
  signal = 0;
  noise = 0;
  worst = 0;
  count = 0;
  saturated = 0;
  min = Infinity;
  max = -Infinity;

  /** @param limit elements of this magnitude stand for what does not count */
  constructor(private readonly limit = Infinity) {}

  add(float: ArrayLike<number>, fixed: ArrayLike<number>, lo: number, hi: number, halfLsb: number): void {
    for (let i = 0; i < float.length; i++) {
      const x = float[i]!;
      if (!(Math.abs(x) < this.limit)) continue;
      this.count++;
      const e = fixed[i]! - x;
      this.signal += x * x;
      this.noise += e * e;
      if (e > this.worst || -e > this.worst) this.worst = Math.abs(e);
      if (x > hi + halfLsb || x < lo - halfLsb) this.saturated++;
      if (x < this.min) this.min = x;
      if (x > this.max) this.max = x;
    }
  }
  get sqnrDb(): number {
    if (this.noise === 0) return Infinity;
    return this.signal === 0 ? -Infinity : 10 * Math.log10(this.signal / this.noise);
  }
}

/**
 * Runs both modules on `samples`. A tensor is compared where it is rounded (see pairTensors), because everything
 * between is exact. `float` is the prepared module that quantization started from: it has the parts of decomposed
 * operations.
 */
export function measureAccuracy(float: Module, fixed: Module, samples: readonly Sample[]): Accuracy {
  const limitOf = countingLimits(float);
  const pairs = new Map(
    [...pairTensors(float, fixed)].map(([v, partner]) => [v, { float: partner, noise: new Noise(limitOf(partner)) }]),
  );

  const [reference, program] = [prepareNn(float), prepareNn(fixed)];
  const floatValues = new Map<Value, Float64Array>();
  reference.observe = (v, data) => floatValues.set(v, data);
  const compare = (v: Value, data: ArrayLike<number>): void => {
    const pair = pairs.get(v);
    const expected = pair === undefined ? undefined : floatValues.get(pair.float);
    if (pair === undefined || expected === undefined || expected.length !== data.length) return;
    const type = fixedOf(v)!;
    const [range, unit] = [outerRange(type), 2 ** -type.frac];
    pair.noise.add(expected, data, range.lo * unit, range.hi * unit, unit / 2);
  };
  program.observe = compare;

  const names = float.func.attrs["outputs"] as readonly string[];
  const outputs = float.func.body.terminator.operands.map((v) => new OutputMeter(v, limitOf(v)));
  const ports = fixed.func.body.args.map((a) => a.type);
  const inputScales = ports.map((_, i) => portScale(fixed.func, "input_scales", i));
  const outputScales = names.map((_, i) => portScale(fixed.func, "output_scales", i));
  for (const sample of samples) {
    const expected = reference.run(sample);
    float.func.body.args.forEach((a, i) => floatValues.set(a, Float64Array.from(sample[i]!)));
    const inputs = roundInputs(sample, ports, inputScales);
    fixed.func.body.args.forEach((a, i) => compare(a, inputs[i]!));
    const actual = program.run(inputs);
    outputs.forEach((o, i) =>
      o.add(
        expected[i]!,
        outputScales[i] === 1 ? actual[i]! : actual[i]!.map((v) => v * outputScales[i]!),
        stepOf(fixed.func.body.terminator.operand(i), outputScales[i]!),
      ),
    );
  }

  const layers = [...pairs]
    .filter(([, p]) => p.noise.count > 0)
    .map(([v, p]) => layerError(v, p.noise, (x) => pairs.get(x)?.noise.sqnrDb));
  const worst = layers.reduce<LayerError | undefined>(
    (w, l) => (w === undefined || l.loss_db > w.loss_db ? l : w),
    undefined,
  );
  return {
    samples: samples.length,
    outputs: Object.fromEntries(names.map((n, i) => [n, outputs[i]!.result()])),
    layers,
    worst_layer: worst?.name,
  };
}

/** A fixed-point network, what it stands for, and samples that have not made it. */
export interface Measurement {
  readonly float: Module;
  readonly fixed: Module;
  readonly samples: readonly Sample[];
}

/**
 * Errors at the outputs over all samples of several quantizations of one network.
 *
 * @errors QU024 where the float network's own output is infinite or not a number
 */
export function measureOutputs(measurements: readonly Measurement[]): Record<string, OutputError> {
  const first = measurements[0]!.float.func;
  const meters = first.body.terminator.operands.map((v) => new OutputMeter(v));
  for (const { float, fixed, samples } of measurements) {
    const [reference, program] = [prepareNn(float), prepareNn(fixed)];
    const ports = fixed.func.body.args.map((a) => a.type);
    const inputScales = ports.map((_, i) => portScale(fixed.func, "input_scales", i));
    const outputs = fixed.func.body.terminator.operands.map((v, i) => ({
      scale: portScale(fixed.func, "output_scales", i),
      step: stepOf(v, portScale(fixed.func, "output_scales", i)),
    }));
    for (const sample of samples) {
      const expected = reference.run(sample);
      if (!expected.every((y) => y.every(Number.isFinite))) throw notFinite(float, sample);
      const actual = program.run(roundInputs(sample, ports, inputScales));
      meters.forEach((m, i) =>
        m.add(
          expected[i]!,
          outputs[i]!.scale === 1 ? actual[i]! : actual[i]!.map((v) => v * outputs[i]!.scale),
          outputs[i]!.step,
        ),
      );
    }
  }
  return Object.fromEntries((first.attrs["outputs"] as readonly string[]).map((n, i) => [n, meters[i]!.result()]));
}

/** Names the first tensor that holds no number: what is behind it only hands it on. */
function notFinite(float: Module, sample: Sample): UserError {
  const program = prepareNn(float);
  let first: Value | undefined;
  program.observe = (v, data) => {
    if (first === undefined && !data.every((x) => Number.isFinite(x))) first = v;
  };
  program.run(sample);
  return first === undefined
    ? UserError.of("QU024", { what: "an output" })
    : UserError.of("QU024", { what: describeValue(first) }, placeOfValue(first));
}

function layerError(v: Value, noise: Noise, sqnrOf: (v: Value) => number | undefined): LayerError {
  const tableError = v.def?.attrs["quantize.table_error"];
  const own = noise.sqnrDb;
  const feeding = v.def === undefined ? [] : roundedSources(v.def.operands, sqnrOf);
  const before = feeding.length === 0 ? Infinity : Math.min(...feeding);
  return {
    name: v.hint ?? `%${v.id}`,
    onnx_nodes: v.def?.loc.nodes ?? [],
    format: showType(fixedOf(v)!),
    sqnr_db: own,
    // Inputs have nothing before them; what they lose is not a layer's doing.
    loss_db: Number.isFinite(before) && Number.isFinite(own) ? before - own : 0,
    saturated: noise.saturated / noise.count,
    min: noise.min,
    max: noise.max,
    ...(typeof tableError === "number" && { table_error: tableError }),
  };
}

/** Ratios of the nearest compared tensors that `operands` are computed from. */
function roundedSources(operands: readonly Value[], sqnrOf: (v: Value) => number | undefined): number[] {
  const found: number[] = [];
  const seen = new Set<Value>();
  const visit = (v: Value): void => {
    if (seen.has(v)) return;
    seen.add(v);
    const own = sqnrOf(v);
    if (own !== undefined) found.push(own);
    else v.def?.operands.forEach(visit);
  };
  operands.forEach(visit);
  return found;
}
