/** nn operations on single numbers whose results hold all that the operand can make. */
import type { Op } from "../core.js";
import { attrReader, type AttrReader, type AttrSpecs, type Meaning, type OpDef } from "../define-op.js";
import { absType, clipType, leakyReluType, negType, type Ranged, reluType } from "../fixed-arith.js";
import type { FixedType } from "../types.js";
import { elementwise } from "./kernels.js";
import { defineNn, everywhere, type NnOp } from "./record.js";
import { checkShape, rangedOf, typed } from "./typing.js";
import { fixedOf, shapeOf } from "./values.js";
import { wideEach, wideSum } from "./wide.js";

interface Pointwise<A extends AttrSpecs> {
  readonly summary: string;
  readonly source: string;
  readonly attrs: AttrReader<A>;
  /** Exact: every value that the operand can make. */
  readonly format: (x: Ranged, op: Op) => FixedType;
  /** Beyond the shape of the result. */
  readonly verify?: OpDef["verify"];
  readonly evaluate: Meaning;
}

export function pointwise<const N extends `nn.${string}`, const A extends AttrSpecs>(
  name: N,
  p: Pointwise<A>,
): NnOp<N, "exact", A, readonly ["x"]> {
  return defineNn({
    name,
    summary: p.summary,
    source: p.source,
    operands: ["x"],
    results: ["y"],
    role: "exact",
    traits: ["pure", "elementwise"],
    attrs: p.attrs.specs,
    inferTypes: (op) => typed(op, shapeOf(op.operand(0)), () => p.format(rangedOf(op.operand(0)), op)),
    verify: (op, report) => {
      checkShape(op, shapeOf(op.operand(0)), report);
      p.verify?.(op, report);
    },
    evaluate: p.evaluate,
  });
}

const none = attrReader({});

export const relu = pointwise("nn.relu", {
  summary: "max(x, 0).",
  source: "ONNX Relu",
  attrs: none,
  format: reluType,
  evaluate: everywhere(
    () => elementwise((x) => (x > 0 ? x : 0)),
    wideEach((_, x, up) => (v) => (v > 0n ? up(v, x.frac) : 0n)),
  ),
});

const negated = (): ReturnType<typeof elementwise> => elementwise((x) => -x);

export const neg = pointwise("nn.neg", {
  summary: "-x.",
  source: "ONNX Neg",
  attrs: none,
  format: negType,
  evaluate: everywhere(
    negated,
    wideSum(negated, () => 2),
  ),
});

export const abs = pointwise("nn.abs", {
  summary: "|x|.",
  source: "ONNX Abs",
  attrs: none,
  format: absType,
  evaluate: everywhere(
    () => elementwise((x) => Math.abs(x)),
    wideEach((_, x, up) => (v) => up(v < 0n ? -v : v, x.frac)),
  ),
});

const slopes = attrReader({
  slope: { kind: "number" },
  slope_raw: { kind: "int", optional: true, doc: "on fixed point: slope = slope_raw x 2^-slope_frac" },
  slope_frac: { kind: "int", optional: true },
});

/** The slope on fixed point. */
export function rawSlope(op: Op): { readonly raw: number; readonly frac: number } {
  const { slope_raw: raw, slope_frac: frac } = slopes(op);
  if (raw === undefined || frac === undefined) throw new Error("nn.leaky_relu on fixed point lacks its slope");
  return { raw, frac };
}

export const leakyRelu = pointwise("nn.leaky_relu", {
  summary: "x < 0 ? slope * x : x.",
  source: "ONNX LeakyRelu",
  attrs: slopes,
  format: (x, op) => leakyReluType(x, rawSlope(op).raw, rawSlope(op).frac),
  verify: (op, report) => {
    const a = slopes(op);
    if (fixedOf(op.operand(0)) !== undefined && (a.slope_raw === undefined || a.slope_frac === undefined))
      report("on fixed point, slope_raw and slope_frac are needed");
  },
  evaluate: {
    float: (op) => {
      const { slope } = slopes(op);
      return elementwise((v) => (v < 0 ? v * slope : v));
    },
    fixed: (op) => {
      const { raw, frac } = rawSlope(op);
      const slope = raw * 2 ** -frac;
      return elementwise((v) => (v < 0 ? v * slope : v));
    },
    wide: wideEach((op, x, up) => {
      const { raw, frac } = rawSlope(op);
      return (v) => (v < 0n ? up(v * BigInt(raw), x.frac + frac) : up(v, x.frac));
    }),
  },
});

const limits = attrReader({
  lo: { kind: "number", optional: true, default: -Infinity },
  hi: { kind: "number", optional: true, default: Infinity },
});

export const clip = pointwise("nn.clip", {
  summary: "min(max(x, lo), hi).",
  source: "ONNX Clip",
  attrs: limits,
  format: (x, op) => clipType(x, limits(op).lo, limits(op).hi),
  verify: (op, report) => {
    if (limits(op).lo > limits(op).hi) report("lo is above hi");
  },
  evaluate: everywhere(
    (op) => {
      const { lo, hi } = limits(op);
      return elementwise((v) => Math.min(hi, Math.max(lo, v)));
    },
    wideEach((op, x, up) => {
      const [lo, hi] = [limits(op).lo * 2 ** x.frac, limits(op).hi * 2 ** x.frac];
      return (v) => up(v < lo ? BigInt(lo) : v > hi ? BigInt(hi) : v, x.frac);
    }),
  ),
});

export const pointwiseOps = [relu, neg, abs, leakyRelu, clip] as const;
