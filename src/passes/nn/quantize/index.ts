/**
 * The pass `quantize`: a float nn module in, a fixed-point one out.
 *
 * It reads from the pass context `calibration.samples` (an array of samples, each an array of real values per input)
 * and `quantize.precision` (a PrecisionSpec; the pass options have precedence), and leaves `quantize.float` (the float
 * module it started from) and `quantize.report` there.
 */
import { ContextKey } from "../../pass-context.js";
import { cloneModule, type Module } from "../../../ir/core.js";
import { numAttr, roleOf } from "../../../ir/define-op.js";
import { showType, type TensorType } from "../../../ir/types.js";
import { elementCount } from "../../../ir/types.js";
import { bool, definePass, int, type Predicate } from "../../define-pass.js";
import type { PassContext } from "../../pass-context.js";
import type { Sample } from "./calibrate.js";
import { checkLayerNames, defaultPrecision, isDefaultPrecision, type PrecisionSpec } from "./precision.js";
import { quantizeModule } from "./quantizer.js";
import { widthEntries, type ChosenWidths, type WidthEntry } from "./width-report.js";
import { FLOAT_TENSOR, tensorNames } from "../tensor-pairs.js";
import { isQuantizedModel } from "../../../ir/nn/roles.js";
import * as nn from "../../../ir/nn/ops.js";
import { shapeOf, tensorType } from "../../../ir/nn/values.js";

export const CALIBRATION_SAMPLES = new ContextKey<readonly Sample[]>("calibration samples");
export const PRECISION = new ContextKey<PrecisionSpec>("a precision");
export const FLOAT_MODULE = new ContextKey<Module>("the float network");
/** What the user has stated, and what has chosen the other widths that the precision states, where anything has. */
export const CHOSEN_WIDTHS = new ContextKey<ChosenWidths | undefined>("what has chosen widths");
export const QUANTIZATION_REPORT = new ContextKey<QuantizationReport>("a report of the quantization");

export interface QuantizationReport {
  readonly precision: PrecisionSpec;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Every tensor that is rounded, with its format and the calibrated range. */
  readonly tensors: readonly {
    readonly name: string;
    readonly format: string;
    readonly min: number;
    readonly max: number;
  }[];
  /**
   * Every layer with constant weights. `channel_bits`: least and most bits that a channel uses where channels differ.
   */
  readonly weights: readonly {
    readonly node: string;
    readonly format: string;
    readonly channel_bits: readonly [number, number];
  }[];
  readonly tables: readonly {
    readonly node: string;
    readonly fn: string;
    readonly argument: string;
    readonly result: string;
    readonly max_error: number;
  }[];
  /** Every width that quantization has decided, and by which rule (docs/width-rules.md). */
  readonly widths: readonly WidthEntry[];
}

/** Of the parts of a quantized model that stay in floating point: softmax, normalisation. */
const INTEGER_PRECISION: PrecisionSpec = { weights: 16, activations: 18, layers: new Map() };

const fixedFormsOnly: Predicate = {
  name: "softmax, division and averages are decomposed (lower-average, decompose-softmax)",
  holds: (module) =>
    module.func.body.ops.every((op) => {
      if (roleOf(op) === "composite") return false;
      return op.attrs["kind"] !== "mean" && op.attrs["kind"] !== "average";
    }),
};

const quantized: Predicate = {
  name: "every tensor is fixed point",
  holds: (module) => module.func.body.ops.every((op) => op.results.every((v) => tensorType(v).elem.kind === "fixed")),
};

/** What the options of the pass are where they are not given. */
export const QUANTIZE_DEFAULTS = {
  options: { tableBits: 8, reciprocalBits: 12, lightBits: 4, scaleBits: 16 },
  weights: { perChannel: false, compensate: true },
} as const;

export const quantize = definePass({
  name: "quantize",
  summary:
    "Choose fixed-point formats from calibration samples, round the weights, and insert the roundings of activations.",
  level: "nn",
  semantics: "changes-values",
  requires: [fixedFormsOnly],
  ensures: [quantized],
  options: {
    bits: int({ min: 2, max: 16, doc: "bits of weights and activations alike" }),
    weights: int({ min: 2, max: 16, doc: "bits of weights" }),
    activations: int({ min: 2, max: 24, doc: "bits of tensors between layers" }),
    input: int({ min: 1, max: 24, doc: "bits of the network's inputs" }),
    output: int({ min: 2, max: 32, doc: "bits of the network's outputs" }),
    light: int({
      min: 0,
      max: 12,
      default: QUANTIZE_DEFAULTS.options.lightBits,
      doc: "bits on top for layers with less than 1% of the products",
    }),
    table: int({
      min: 4,
      max: 12,
      default: QUANTIZE_DEFAULTS.options.tableBits,
      doc: "most bits of a table's argument",
    }),
    reciprocal: int({
      min: 4,
      max: 14,
      default: QUANTIZE_DEFAULTS.options.reciprocalBits,
      doc: "most bits of the argument of a reciprocal",
    }),
    scale: int({
      min: 8,
      max: 18,
      default: QUANTIZE_DEFAULTS.options.scaleBits,
      doc: "bits of factors of a normalisation, and of what they scale",
    }),
    "per-channel": bool({
      default: QUANTIZE_DEFAULTS.weights.perChannel,
      doc: "a grid per output channel of the weights, in a wider common type",
    }),
    compensate: bool({
      default: QUANTIZE_DEFAULTS.weights.compensate,
      doc: "let weights and bias take up each other's rounding errors",
    }),
    refine: int({
      min: 0,
      max: 10000,
      default: 0,
      doc: "trials that move a tensor's binary point to lower the error at the outputs",
    }),
  },
  run: (module, options, ctx) => {
    const asked = ctx.get(PRECISION) ?? defaultPrecision;
    // What a quantized model leaves in floating point must not cost its integers a bit.
    const integers = isQuantizedModel(module);
    const stated = integers && isDefaultPrecision(asked) ? INTEGER_PRECISION : asked;
    const [table, reciprocal, scale] = integers ? [12, 14, 18] : [options.table, options.reciprocal, options.scale];
    const [input, output] = [options.input ?? stated.input, options.output ?? stated.output];
    const precision: PrecisionSpec = {
      weights: options.weights ?? options.bits ?? stated.weights,
      activations: options.activations ?? options.bits ?? stated.activations,
      ...(input !== undefined && { input }),
      ...(output !== undefined && { output }),
      layers: stated.layers,
    };
    checkLayerNames(precision, namesOf(module), ctx.sink);
    ctx.sink.throwIfErrors();
    const samples = ctx.get(CALIBRATION_SAMPLES) ?? randomSamples(module, ctx);
    const float = cloneModule(module);
    const planOptions = {
      precision,
      tableBits: table,
      reciprocalBits: reciprocal,
      lightBits: options.light,
      scaleBits: scale,
    };
    const result = quantizeModule(
      float,
      samples,
      planOptions,
      { perChannel: options["per-channel"], compensate: options.compensate },
      options.refine,
    );
    const names = tensorNames(float);
    for (const { float: v, fixed } of result.built.roundings)
      if (fixed.def !== undefined) fixed.def.attrs = { ...fixed.def.attrs, [FLOAT_TENSOR]: names.get(v) };
    ctx.set(FLOAT_MODULE, float);
    ctx.set(QUANTIZATION_REPORT, reportOf(result, precision, ctx.get(CHOSEN_WIDTHS)));
    return result.built.module;
  },
});

/** Names by which a precision can be stated: ONNX nodes and tensors. */
function namesOf(module: Module): Set<string> {
  const names = new Set<string>();
  const add = (name: string | undefined): void => void (name !== undefined && names.add(name));
  module.func.body.args.forEach((a) => add(a.hint));
  for (const op of module.func.body.ops) {
    if (roleOf(op) === "constant") continue;
    op.loc.nodes.forEach(add);
    op.results.forEach((r) => add(r.hint));
  }
  return names;
}

/** 32 samples of numbers in [0, 1) from a fixed seed, and the warning that they stand for nothing. */
function randomSamples(module: Module, ctx: PassContext): Sample[] {
  ctx.sink.report("CF001", {});
  let seed = 1;
  const next = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    return (seed >>> 8) / 2 ** 24;
  };
  return Array.from({ length: 32 }, () =>
    module.func.body.args.map((a) => Float64Array.from({ length: elementCount(shapeOf(a)) }, next)),
  );
}

function reportOf(
  q: ReturnType<typeof quantizeModule>,
  precision: PrecisionSpec,
  chosen: ChosenWidths | undefined,
): QuantizationReport {
  const { module, roundings } = q.built;
  const format = (t: TensorType): string => showType(t.elem);
  return {
    precision,
    inputs: module.func.body.args.map((a) => format(tensorType(a))),
    outputs: module.func.body.terminator.operands.map((v) => format(tensorType(v))),
    tensors: roundings.map((r) => {
      const s = q.plan.statsOf(r.float);
      return { name: r.float.hint ?? `%${r.float.id}`, format: showType(r.type), min: s.min, max: s.max };
    }),
    weights: [...q.plan.weights].map(([op, w]) => {
      const width = w.type.width;
      return {
        node: op.loc.nodes[0] ?? op.result.hint ?? op.name,
        format: showType(w.type),
        channel_bits: [width - Math.max(0, ...w.grid), width - Math.min(...w.grid)] as const,
      };
    }),
    tables: module.func.body.ops
      .filter((op) => op.name === nn.unary.name)
      .map((op) => ({
        node: op.loc.nodes[0] ?? op.result.hint ?? op.name,
        fn: nn.unary.read(op).fn,
        argument: format(tensorType(op.operand(0))),
        result: format(tensorType(op.result)),
        max_error: numAttr(op, "quantize.table_error", 0),
      })),
    widths: widthEntries(q.float, q.plan, roundings, chosen),
  };
}
