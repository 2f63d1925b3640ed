/**
 * Where a fixed-point network loses accuracy: both networks run side by side, and for every tensor that is rounded four
 * things are measured.
 *
 * - The noise of the tensor as it is in the running network: everything in front of it counts.
 * - The noise that its layer adds by itself: the layer reads the float network's tensors, requantized.
 * - What the layer's own noise consists of: rounding of the result, values beyond the format, and the rest, which is
 *   coarse
 *   weights and tables.
 * - What it does to the outputs: the layer's own noise is added to the float network at that place, and the error at
 *   the
 *   outputs is measured. Noises of different layers hardly correlate, so these powers add up to about the whole.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { quantizeNumber } from "../../ir/fixed-arith.js";
import { prepareNn } from "../../ir/eval/nn-fixed.js";
import { fixedOf, constantOf, isConstant } from "../../ir/nn/values.js";
import { portScale } from "../../ir/port-scales.js";
import { isWide, outerRange, showType, type FixedType } from "../../ir/types.js";
import { countingLimits, type Sample } from "./quantize/calibrate.js";
import { roundInputs } from "./quantize/inputs.js";
import { macsOf } from "./quantize/linear.js";
import { pairTensors } from "./tensor-pairs.js";
import { roleOf, type Role } from "../../ir/define-op.js";

export interface LayerNoise {
  /** Name of the tensor in the ONNX model, where it has one. */
  readonly tensor: string;
  /** ONNX nodes that are computed between the roundings in front and this one, in program order; empty for an input. */
  readonly nodes: readonly string[];
  /** Operations of nn, views left out. */
  readonly operations: readonly string[];
  readonly format: FixedType;
  /** Range of the float tensor. */
  readonly min: number;
  readonly max: number;
  /** Root mean square of the float tensor. */
  readonly rms: number;
  /** Numbers that the format can hold. */
  readonly lo: number;
  readonly hi: number;
  /** Share of values beyond the format's range. */
  readonly saturated: number;
  /** How much of the format's range the float values reach; above 1 they leave it. */
  readonly range_used: number;
  /** Of the tensor in the running network, in dB; Infinity without noise. */
  readonly sqnr_db: number;
  /** Of the noise that the layer adds by itself. */
  readonly own_sqnr_db: number;
  /** Power of the layer's own noise, by cause. */
  readonly noise: { readonly rounding: number; readonly saturation: number; readonly arithmetic: number };
  /** Share of the noise at the outputs that the layer causes; over all layers 1. */
  readonly output_share: number;
  readonly macs: number;
  /** Layers with constant weights: the ONNX node and the format of the weights. */
  readonly weights: readonly { readonly node: string; readonly format: string; readonly width: number }[];
  /** A function that is a table: the ONNX node, the function, and the format of its argument. */
  readonly table?: { readonly node: string; readonly fn: string; readonly argument: string; readonly width: number };
  /** Indices of the layers that it reads. */
  readonly inputs: readonly number[];
}

interface Layer {
  readonly fixed: Value;
  readonly float: Value;
  readonly type: FixedType;
  /** Operations since the roundings in front. */
  readonly ops: readonly Op[];
  readonly sources: readonly Value[];
  /** Elements of this magnitude stand for what does not count. */
  readonly limit: number;
  readonly stats: Stats;
}

class Stats {
  signal = 0;
  running = 0;
  own = 0;
  rounding = 0;
  saturation = 0;
  arithmetic = 0;
  saturated = 0;
  count = 0;
  min = Infinity;
  max = -Infinity;
  /** Squared error that the layer causes at the outputs, each output relative to its variance. */
  atOutputs = 0;
}

export interface NoiseOptions {
  /** Samples on which layers are measured. */
  readonly samples: readonly Sample[];
  /** The first so many of them also tell what a layer does to the outputs. */
  readonly injected: number;
  /**
   * Fixed-point tensors with the float tensors that they stand for; found by what quantization has noted where absent.
   */
  readonly pairs?: ReadonlyMap<Value, Value>;
  readonly progress?: (done: number, total: number) => void;
}

/** Ratio in dB; Infinity without noise, -Infinity without signal. */
export function decibels(signal: number, noise: number): number {
  if (noise === 0) return Infinity;
  return signal === 0 ? -Infinity : 10 * Math.log10(signal / noise);
}

/** A layer with the tensor of the float network that it stands for. */
export interface MeasuredLayer {
  readonly float: Value;
  readonly noise: LayerNoise;
}

/** Noise of every layer. `float` is the prepared module that `fixed` was quantized from. */
export function measureLayerNoise(float: Module, fixed: Module, options: NoiseOptions): LayerNoise[] {
  return measureNoise(float, fixed, options).map((l) => l.noise);
}

/** As `measureLayerNoise`, with the tensors themselves. */
export function measureNoise(float: Module, fixed: Module, options: NoiseOptions): MeasuredLayer[] {
  const layers = layersOf(fixed, options.pairs ?? pairTensors(float, fixed), countingLimits(float));
  const byFixed = new Map(layers.map((l) => [l.fixed, l]));
  const byFloat = new Map(layers.map((l) => [l.float, l]));
  const ports = fixed.func.body.args.map((a) => a.type);
  const scales = ports.map((_, i) => portScale(fixed.func, "input_scales", i));
  const [reference, program] = [prepareNn(float), prepareNn(fixed)];
  const total = options.samples.length + options.injected;
  options.samples.forEach((sample, s) => {
    const truth = new Map<Value, Float64Array>();
    reference.observe = (v, data) => void (byFloat.has(v) && truth.set(v, data.slice()));
    const expected = reference.run(sample).map((y) => y.slice());
    float.func.body.args.forEach((a, i) => truth.set(a, Float64Array.from(sample[i]!)));
    const inputs = roundInputs(sample, ports, scales);
    const grid = (l: Layer): Float64Array => roundToGrid(truth.get(l.float)!, l.type);

    // As it runs.
    const running = (l: Layer, data: ArrayLike<number>): void => observeRunning(l, truth.get(l.float)!, data);
    fixed.func.body.args.forEach((a, i) => {
      const l = byFixed.get(a);
      if (l !== undefined) running(l, inputs[i]!);
    });
    program.observe = (v, data) => {
      const l = byFixed.get(v);
      if (l !== undefined) running(l, data);
    };
    program.run(inputs);

    // Each layer by itself: behind every rounding, the float network's tensor on the format's grid takes the place of
    // the result.
    const ideal = new Map<Layer, Float64Array>();
    reference.observe = (v, data) => {
      const l = byFloat.get(v);
      if (l === undefined) return;
      ideal.set(l, data.slice());
      data.set(grid(l));
    };
    reference.run(inputs.map((x, i) => (scales[i] === 1 ? x : x.map((v) => v * scales[i]!))));
    const own = new Map<Layer, Float64Array>();
    const exact = new Map<Value, Float64Array>();
    for (const l of layers) {
      if (l.fixed.def === undefined) own.set(l, difference(inputs[l.fixed.index]!, truth.get(l.float)!));
    }
    for (const [l, e] of own) observeOwn(l, truth.get(l.float)!, e, e, undefined);
    program.observe = (v, data) => {
      const l = byFixed.get(v);
      if (l === undefined) return void exact.set(v, data);
      const wanted = truth.get(l.float)!;
      const added = difference(data, ideal.get(l)!).map((e, i) => (counts(l, wanted[i]!) ? e : 0));
      observeOwn(
        l,
        wanted,
        difference(data, wanted),
        added,
        roleOf(l.fixed.def!) === "rounding" ? difference(data, exact.get(l.fixed.def!.operand(0)) ?? data) : undefined,
      );
      own.set(l, added);
      data.set(grid(l));
      exact.set(v, data);
    };
    program.run(inputs);
    if (s < options.injected) inject(reference, float, sample, expected, own);
    options.progress?.(s + 1 + Math.min(s + 1, options.injected), total);
  });
  return layers.map((l) => ({ float: l.float, noise: describe(l, layers) }));
}

/** Adds each layer's own noise to the float network, one layer at a time. */
function inject(
  reference: ReturnType<typeof prepareNn>,
  float: Module,
  sample: Sample,
  expected: readonly Float64Array[],
  own: ReadonlyMap<Layer, Float64Array>,
): void {
  for (const [l, noise] of own) {
    if (noise.every((e) => e === 0)) continue;
    reference.observe = (v, data) => {
      if (v === l.float) for (let i = 0; i < data.length; i++) data[i]! += noise[i]!;
    };
    const inputs =
      l.fixed.def === undefined
        ? sample.map((x, i) =>
            float.func.body.args[i] === l.float ? Float64Array.from(x, (v, k) => v + noise[k]!) : x,
          )
        : sample;
    reference.run(inputs).forEach((y, o) => {
      const power = meanSquare(expected[o]!) || 1;
      const error = meanSquare(difference(y, expected[o]!)) / power;
      if (Number.isFinite(error)) l.stats.atOutputs += error;
    });
  }
}

function meanSquare(x: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! ** 2;
  return x.length === 0 ? 0 : sum / x.length;
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: a.length }, (_, i) => a[i]! - b[i]!);
}

function counts(l: Layer, x: number): boolean {
  return Math.abs(x) < l.limit;
}

function roundToGrid(x: Float64Array, type: FixedType): Float64Array {
  // Real numbers are coarser than a format of more than 53 bits.
  if (isWide(type)) return x;
  const unit = 2 ** -type.frac;
  return x.map((v) => quantizeNumber(v, type, "half-up") * unit);
}

function observeRunning(l: Layer, expected: Float64Array, data: ArrayLike<number>): void {
  const s = l.stats;
  const range = outerRange(l.type);
  const unit = 2 ** -l.type.frac;
  const [lo, hi] = [(range.lo - 0.5) * unit, (range.hi + 0.5) * unit];
  for (let i = 0; i < expected.length; i++) {
    const x = expected[i]!;
    if (!counts(l, x)) continue;
    s.count++;
    s.signal += x * x;
    s.running += (data[i]! - x) ** 2;
    if (x > hi || x < lo) s.saturated++;
    if (x < s.min) s.min = x;
    if (x > s.max) s.max = x;
  }
}

/**
 * `error`: against the float tensor; `added`: without what the requantized inputs do; `last`: what the last rounding
 * does, undefined where the result comes from a table.
 */
function observeOwn(
  l: Layer,
  expected: Float64Array,
  error: Float64Array,
  added: Float64Array,
  last: Float64Array | undefined,
): void {
  const s = l.stats;
  const half = 2 ** -l.type.frac / 2;
  const isInput = l.fixed.def === undefined;
  for (let i = 0; i < expected.length; i++) {
    if (!counts(l, expected[i]!)) continue;
    s.own += error[i]! ** 2;
    const e = isInput ? added[i]! : (last?.[i] ?? 0);
    if (Math.abs(e) > half * 1.0001) s.saturation += e * e;
    else s.rounding += e * e;
    s.arithmetic += (added[i]! - e) ** 2;
  }
}

function layersOf(fixed: Module, pairs: ReadonlyMap<Value, Value>, limitOf: (v: Value) => number): Layer[] {
  const layers: Layer[] = [];
  const inOrder = [...fixed.func.body.args, ...fixed.func.body.ops.flatMap((op) => op.results)].filter((v) =>
    pairs.has(v),
  );
  for (const v of inOrder) {
    const partner = pairs.get(v)!;
    const type = fixedOf(v);
    if (type === undefined) throw new CompilerBug(`%${v.hint ?? v.id} is compared, but not of fixed point`);
    const ops: Op[] = [];
    const sources: Value[] = [];
    const seen = new Set<Value>();
    const visit = (x: Value): void => {
      if (seen.has(x) || isConstant(x)) return;
      seen.add(x);
      if (x !== v && pairs.has(x)) return void sources.push(x);
      if (x.def === undefined) return;
      x.def.operands.forEach(visit);
      ops.push(x.def);
    };
    visit(v);
    layers.push({ fixed: v, float: partner, type, ops, sources, limit: limitOf(partner), stats: new Stats() });
  }
  return layers;
}

/** Roles that are no computation of a layer's own. */
const PASSING: ReadonlySet<Role | undefined> = new Set(["view", "join", "rounding"]);

function describe(l: Layer, layers: readonly Layer[]): LayerNoise {
  const s = l.stats;
  const range = outerRange(l.type);
  const unit = 2 ** -l.type.frac;
  const [lo, hi] = [range.lo * unit, range.hi * unit];
  const weighted = l.ops.filter((op) => macsOf(op) > 0 && constantOf(op.operand(1)) !== undefined);
  const table = l.fixed.def?.name === "nn.unary" ? l.fixed.def : undefined;
  const nodeOf = (op: Op): string => op.loc.nodes[0] ?? op.result.hint ?? op.name;
  const all = layers.reduce((n, x) => n + x.stats.atOutputs, 0);
  const power = (p: number): number => (s.count === 0 ? 0 : p / s.count);
  return {
    tensor: l.float.hint ?? l.fixed.hint ?? `%${l.fixed.id}`,
    nodes: [...new Set(l.ops.flatMap((op) => (op.name === "nn.quantize" && l.ops.length > 1 ? [] : op.loc.nodes)))],
    operations: [
      ...new Set(
        l.ops
          .filter((op) => !PASSING.has(roleOf(op)))
          .map((op) =>
            op.name === "nn.unary" || op.name === "nn.reduce" || op.name === "nn.pool"
              ? String(op.attrs["fn"] ?? `${op.attrs["kind"]} ${op.name.slice(3)}`)
              : op.name.slice(3),
          ),
      ),
    ],
    format: l.type,
    min: s.count === 0 ? 0 : s.min,
    max: s.count === 0 ? 0 : s.max,
    rms: Math.sqrt(power(s.signal)),
    lo,
    hi,
    saturated: s.saturated / Math.max(1, s.count),
    range_used: Math.max(s.max > 0 && hi > 0 ? s.max / hi : 0, s.min < 0 && lo < 0 ? s.min / lo : 0),
    sqnr_db: decibels(s.signal, s.running),
    own_sqnr_db: decibels(s.signal, s.own),
    noise: { rounding: power(s.rounding), saturation: power(s.saturation), arithmetic: power(s.arithmetic) },
    output_share: all === 0 ? 0 : s.atOutputs / all,
    macs: l.ops.reduce((n, op) => n + macsOf(op), 0),
    weights: weighted.map((op) => ({
      node: nodeOf(op),
      format: showType(fixedOf(op.operand(1))!),
      width: fixedOf(op.operand(1))!.width,
    })),
    ...(table !== undefined && {
      table: {
        node: nodeOf(table),
        fn: String(table.attrs["fn"]),
        argument: showType(fixedOf(table.operand(0))!),
        width: fixedOf(table.operand(0))!.width,
      },
    }),
    inputs: l.sources.map((x) => layers.findIndex((o) => o.fixed === x)),
  };
}
