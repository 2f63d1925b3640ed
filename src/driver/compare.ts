/** `compare`: the float network and the fixed-point network of a compiled design, side by side on data. */
import { join } from "node:path";
import { UserError } from "../diagnostics/index.js";
import type { Module } from "../ir/core.js";
import { fixedOf, prepareNn } from "../ir/eval/nn-fixed.js";
import { portScale } from "../ir/port-scales.js";
import { parseModule } from "../ir/text/parser.js";
import { showType } from "../ir/types.js";
import { decibels, measureLayerNoise } from "../passes/nn/layer-noise.js";
import { argmax } from "../passes/nn/quantize/bounds.js";
import { countingLimits, spread, type Sample } from "../passes/nn/quantize/calibrate.js";
import { roundInputs } from "../passes/nn/quantize/inputs.js";
import { macsOf } from "../passes/nn/quantize/linear.js";
import { PassContext } from "../passes/pass-context.js";
import { PassManager } from "../passes/pass-manager.js";
import { fingerprint, loadModel, loadSamples, samplesOf, type DesignFile } from "./compile.js";
import { findingsOf, reportLayers, type Comparison, type OutputComparison } from "./comparison.js";
import type { CompareOptions } from "./options.js";
import { PREPARE_PIPELINE } from "./passes.js";
import { readText, type Session } from "./session.js";
import { mergeShapes } from "./shapes.js";

/** Samples on which layers are measured: ranges and ratios change no more with more. */
const LAYER_SAMPLES = 256;
/** Multiply-accumulates (and elementwise steps) spent on the four runs per sample, and on injecting noise layer by layer. */
const LAYER_WORK = 6e9;
const INJECTION_WORK = 2e9;
/** Fewer say nothing about a layer, whatever its size. */
const LEAST_SAMPLES = 8;
const INJECTED_SAMPLES = 64;

/** @errors IO001, IO004, IO005, IO006, NP* */
export function compare(model: string, dir: string, options: CompareOptions, session: Session): Comparison {
  const { progress, host } = session;
  progress("import", 0, 0);
  if (!host.exists(join(dir, "design.json"))) throw UserError.of("IO005", { path: dir });
  const design = JSON.parse(readText(host, join(dir, "design.json"))) as Partial<DesignFile>;
  const path = join(dir, "nn.hir");
  if (design.network === undefined || !host.exists(path)) throw UserError.of("IO004", { path: dir, missing: "nn.hir" });
  const network = loadModel(model, session, mergeShapes(design, options));
  if (fingerprint(network) !== design.network) throw UserError.of("IO006", { path: dir, made: design.model ?? "another model", model });
  const fixed = parseModule(readText(host, path), path, session.sink);
  session.sink.throwIfErrors();
  const data = loadSamples(options.input, network, session);
  const context = new PassContext(session.sink, (line) => host.log(line));
  const float = new PassManager().run(network, PREPARE_PIPELINE, { context, sink: session.sink, host, verifyEach: false }).module;

  const samples = samplesOf(data, Math.min(data.samples, options.samples ?? Infinity));
  const outputs = compareOutputs(float, fixed!, samples, (done) => progress("outputs", done, samples.length));
  const work = float.func.body.ops.reduce((n, op) => n + macsOf(op) + 100, 0);
  const used = spread(samples, Math.max(LEAST_SAMPLES, Math.min(LAYER_SAMPLES, Math.floor(LAYER_WORK / (4 * work)))));
  const injected = Math.max(1, Math.min(used.length, INJECTED_SAMPLES, Math.floor(INJECTION_WORK / (work * float.func.body.ops.length))));
  const precision = design.precision ?? "";
  const layers = reportLayers(measureLayerNoise(float, fixed!, { samples: used, injected, progress: (done, total) => progress("layers", done, total) }), precision);
  const { worst, findings } = findingsOf(layers, outputs);
  return { model, design: dir, precision, samples: samples.length, layer_samples: used.length, outputs, layers, ...(worst !== undefined && { worst_layer: worst.name }), findings };
}

const BINS = 41;
const POINTS = 1500;

function compareOutputs(float: Module, fixed: Module, samples: readonly Sample[], progress: (done: number) => void): OutputComparison[] {
  const [reference, program] = [prepareNn(float), prepareNn(fixed)];
  const ports = fixed.func.body.args.map((a) => a.type);
  const scales = ports.map((_, i) => portScale(fixed.func, "input_scales", i));
  const limitOf = countingLimits(float);
  const names = float.func.attrs["outputs"] as readonly string[];
  const collected = names.map(() => ({ expected: [] as Float64Array[], actual: [] as Float64Array[] }));
  samples.forEach((sample, s) => {
    reference.run(sample).forEach((y, o) => collected[o]!.expected.push(y.slice()));
    program.run(roundInputs(sample, ports, scales)).forEach((y, o) => {
      const scale = portScale(fixed.func, "output_scales", o);
      collected[o]!.actual.push(y.map((v) => v * scale));
    });
    progress(s + 1);
  });
  return names.map((name, o) => {
    const { expected, actual } = collected[o]!;
    return describeOutput(name, showType(fixedOf(fixed.func.body.terminator.operand(o))!), expected, actual, limitOf(float.func.body.terminator.operand(o)));
  });
}

function describeOutput(name: string, format: string, expected: readonly Float64Array[], actual: readonly Float64Array[], limit: number): OutputComparison {
  const elements = expected[0]?.length ?? 0;
  const all = elements * expected.length;
  let [signal, noise, sum, worst, min, max, agree, counted] = [0, 0, 0, 0, Infinity, -Infinity, 0, 0];
  const errors = new Float64Array(all);
  const points: [number, number][] = [];
  const every = Math.max(1, Math.ceil(all / POINTS));
  expected.forEach((x, s) => {
    const y = actual[s]!;
    for (let i = 0; i < elements; i++) {
      // What a mask has taken out is no number to miss.
      if (!(Math.abs(x[i]!) < limit)) continue;
      const e = y[i]! - x[i]!;
      errors[counted++] = e;
      if (counted % every === 1 || every === 1) points.push([x[i]!, y[i]!]);
      signal += x[i]! ** 2;
      noise += e * e;
      sum += Math.abs(e);
      worst = Math.max(worst, Math.abs(e));
      min = Math.min(min, x[i]!);
      max = Math.max(max, x[i]!);
    }
    if (argmax(x) === argmax(y)) agree++;
  });
  const reach = worst === 0 ? 1 : worst * (1 + 1e-9);
  const bins = new Array<number>(BINS).fill(0);
  for (const e of errors.subarray(0, counted)) bins[Math.min(BINS - 1, Math.floor(((e + reach) / (2 * reach)) * BINS))]!++;
  return {
    name,
    format,
    elements,
    mae: sum / Math.max(1, counted),
    rmse: Math.sqrt(noise / Math.max(1, counted)),
    max_abs_error: worst,
    sqnr_db: decibels(signal, noise),
    ...(elements > 2 && { argmax_agreement: agree / Math.max(1, expected.length) }),
    min: counted === 0 ? 0 : min,
    max: counted === 0 ? 0 : max,
    histogram: { from: -reach, to: reach, bins },
    points,
  };
}
