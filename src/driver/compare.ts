/** `compare`: the float network and the fixed-point network of a compiled design, side by side on data. */
import { join } from "node:path";
import { UserError } from "../diagnostics/index.js";
import type { Module } from "../ir/core.js";
import { prepareNn } from "../ir/eval/nn-fixed.js";
import { fixedOf } from "../ir/nn/values.js";
import { portScale } from "../ir/port-scales.js";
import { parseModule } from "../ir/text/parser.js";
import { showType } from "../ir/types.js";
import { GOOD, judge, LEAST, showReached } from "../passes/nn/judge.js";
import { OutputMeter, stepOf, type OutputError } from "../passes/nn/output-error.js";
import { countingLimits, type Sample } from "../passes/nn/quantize/calibrate.js";
import { roundInputs } from "../passes/nn/quantize/inputs.js";
import { PassContext } from "../passes/pass-context.js";
import { PassManager } from "../passes/pass-manager.js";
import { fingerprint, loadModel, loadSamples, type DesignFile } from "./compile.js";
import {
  findingsOf,
  reportLayers,
  ruleLookup,
  type Comparison,
  type OutputComparison,
  type RuleOf,
} from "./comparison.js";
import { samplesOf } from "./fixed-point.js";
import { measureLayers } from "./layers.js";
import type { CompareOptions } from "./options.js";
import type { DesignReport } from "./report.js";
import { stagePipeline } from "./stages.js";
import { readText, type Session } from "./session.js";
import { mergeShapes, statedShapes } from "./shapes.js";

/** @errors IO001, IO004, IO005, IO006, NP* */
export function compare(model: string, dir: string, options: CompareOptions, session: Session): Comparison {
  const { progress, host } = session;
  progress("import", 0, 0);
  if (!host.exists(join(dir, "design.json"))) throw UserError.of("IO005", { path: dir });
  const design = JSON.parse(readText(host, join(dir, "design.json"))) as Partial<DesignFile>;
  const path = join(dir, "nn.hir");
  if (design.network === undefined || !host.exists(path)) throw UserError.of("IO004", { path: dir, missing: "nn.hir" });
  const network = loadModel(model, session, mergeShapes(design, statedShapes(options, session)));
  if (fingerprint(network) !== design.network)
    throw UserError.of("IO006", { path: dir, made: design.model ?? "another model", model });
  const fixed = parseModule(readText(host, path), path, session.sink);
  session.sink.throwIfErrors();
  const data = loadSamples(options.input, network, session);
  const context = new PassContext(session.sink, (line) => host.log(line));
  const float = new PassManager().run(network, stagePipeline("prepare"), {
    context,
    sink: session.sink,
    host,
    verifyEach: false,
  }).module;

  const samples = samplesOf(data, Math.min(data.samples, options.samples ?? Infinity));
  const outputs = compareOutputs(float, fixed!, samples, (done) => progress("outputs", done, samples.length));
  const precision = design.precision ?? "";
  const measured = measureLayers(float, fixed!, samples, (done, total) => progress("layers", done, total));
  const layers = reportLayers(measured.layers, precision, rulesOf(dir, session));
  const { worst, findings } = findingsOf(layers, outputs);
  const errors = Object.fromEntries(outputs.map((o) => [o.name, o]));
  const [low, bad] = [judge(errors, GOOD, []), judge(errors, LEAST, [])];
  const shortfalls = (bad.length > 0 ? bad : low).map(
    (s) =>
      `${s.output}: ${showReached(s.metric, s.reached)}, ${showReached(s.metric, s.limit)} is ${bad.length > 0 ? "needed" : "good"}`,
  );
  return {
    verdict: bad.length > 0 ? "too low" : low.length > 0 ? "low" : "good",
    shortfalls,
    model,
    design: dir,
    precision,
    samples: samples.length,
    layer_samples: measured.samples,
    outputs,
    layers,
    ...(worst !== undefined && { worst_layer: worst.name }),
    findings,
  };
}

/** Which rule has set which width, as the report of the design says. */
function rulesOf(dir: string, session: Session): RuleOf {
  const path = join(dir, "report.json");
  if (!session.host.exists(path)) return () => undefined;
  const report = JSON.parse(readText(session.host, path)) as Partial<DesignReport>;
  return ruleLookup(report.widths ?? []);
}

const BINS = 41;
const POINTS = 1500;

function compareOutputs(
  float: Module,
  fixed: Module,
  samples: readonly Sample[],
  progress: (done: number) => void,
): OutputComparison[] {
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
    const output = fixed.func.body.terminator.operand(o);
    const limit = limitOf(float.func.body.terminator.operand(o));
    const meter = new OutputMeter(float.func.body.terminator.operand(o), limit);
    const step = stepOf(output, portScale(fixed.func, "output_scales", o));
    expected.forEach((x, s) => meter.add(x, actual[s]!, step));
    return describeOutput(name, showType(fixedOf(output)!), meter.result(), expected, actual, limit);
  });
}

function describeOutput(
  name: string,
  format: string,
  error: OutputError,
  expected: readonly Float64Array[],
  actual: readonly Float64Array[],
  limit: number,
): OutputComparison {
  const elements = expected[0]?.length ?? 0;
  const count = elements * expected.length;
  let [min, max, counted] = [Infinity, -Infinity, 0];
  const errors = new Float64Array(count);
  const points: [number, number][] = [];
  const every = Math.max(1, Math.ceil(count / POINTS));
  expected.forEach((x, s) => {
    const y = actual[s]!;
    for (let i = 0; i < elements; i++) {
      // What a mask has taken out is no number to miss.
      if (Math.abs(x[i]!) >= limit) continue;
      if (counted % every === 0) points.push([x[i]!, y[i]!]);
      errors[counted++] = y[i]! - x[i]!;
      min = Math.min(min, x[i]!);
      max = Math.max(max, x[i]!);
    }
  });
  const worst = error.max_abs_error;
  const reach = worst === 0 ? 1 : worst * (1 + 1e-9);
  const bins = new Array<number>(BINS).fill(0);
  for (const e of errors.subarray(0, counted))
    bins[Math.min(BINS - 1, Math.floor(((e + reach) / (2 * reach)) * BINS))]!++;
  return {
    name,
    format,
    elements,
    ...error,
    min: counted === 0 ? 0 : min,
    max: counted === 0 ? 0 : max,
    histogram: { from: -reach, to: reach, bins },
    points,
  };
}
