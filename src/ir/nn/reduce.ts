/** nn.reduce, nn.pool and nn.softmax. */
import type { Op } from "../core.js";
import { attrReader, type Kernel, type WideKernel } from "../define-op.js";
import { sumType } from "../fixed-arith.js";
import { elementCount, f32, isWide, NUMBER_WIDTH, showType, tensor, type FixedType } from "../types.js";
import { pool as poolKernel, reduce as reduceKernel, softmax as softmaxKernel } from "./kernels.js";
import { defineNn, everywhere } from "./record.js";
import { checkShape, formatOf, rangedOf, typed } from "./typing.js";
import { fixedOf, shapeOf } from "./values.js";
import { wideChoice, wideSum } from "./wide.js";

/** Sums grow, extremes keep their format; a mean has none of its own: it is split before quantization. */
function foldFormat(op: Op, kind: string, terms: number, exactly: boolean): FixedType {
  const x = op.operand(0);
  if (kind === "max" || kind === "min") return formatOf(x);
  if (kind === "sum") return sumType(rangedOf(x), terms, exactly);
  throw new Error(`${op.name} of kind ${kind} has no fixed-point form`);
}

const axes = attrReader({
  kind: { kind: "string", oneOf: ["sum", "mean", "max", "min"] },
  axes: { kind: "list" },
  keepdims: { kind: "bool" },
});

function reducedShape(op: Op): number[] {
  const x = shapeOf(op.operand(0));
  const a = axes(op);
  const folded = new Set(a.axes);
  return a.keepdims ? x.map((n, d) => (folded.has(d) ? 1 : n)) : x.filter((_, d) => !folded.has(d));
}

function reduced(op: Op): Kernel {
  return reduceKernel(axes(op).kind, shapeOf(op.operand(0)), axes(op).axes);
}

/** Elements of the operand per element of the result. */
function foldedCount(op: Op): number {
  return elementCount(shapeOf(op.operand(0))) / elementCount(shapeOf(op.result));
}

/** Sums are sums, extremes are choices. */
function wideFold(kernel: (op: Op) => Kernel, terms: (op: Op) => number, kind: string): (op: Op) => WideKernel {
  return kind === "sum" ? wideSum(kernel, terms) : wideChoice(kernel);
}

export const reduce = defineNn({
  name: "nn.reduce",
  summary: "Folds axes by sum, mean, maximum or minimum.",
  source: "ONNX ReduceSum, ReduceMean, ReduceMax, ReduceMin",
  operands: ["x"],
  results: ["y"],
  role: "fold",
  traits: ["pure"],
  attrs: axes.specs,
  inferTypes: (op) => {
    const x = shapeOf(op.operand(0));
    const a = axes(op);
    const terms = a.axes.reduce((n, d) => n * x[d]!, 1);
    return typed(op, reducedShape(op), () => foldFormat(op, a.kind, terms, true));
  },
  verify: (op, report) => {
    const rank = shapeOf(op.operand(0)).length;
    const bad = axes(op).axes.find((a) => a < 0 || a >= rank);
    if (bad !== undefined) return report(`axis ${bad} of a tensor of rank ${rank}`);
    const elem = fixedOf(op.operand(0));
    // Lanes beyond the edge read the largest value, which must be a number.
    if (axes(op).kind === "min" && elem !== undefined && isWide(elem))
      report(`a minimum of ${showType(elem)}: round to at most ${NUMBER_WIDTH} bits before`);
    checkShape(op, reducedShape(op), report);
  },
  evaluate: everywhere(reduced, (op) => wideFold(reduced, foldedCount, axes(op).kind)(op)),
});

const windows = attrReader({
  kind: { kind: "string", oneOf: ["max", "average", "sum"] },
  kernel: { kind: "list" },
  strides: { kind: "list" },
  pads: { kind: "list", doc: "begins of all axes, then ends" },
  dilations: { kind: "list", optional: true },
  count_include_pad: {
    kind: "bool",
    optional: true,
    default: false,
    doc: "of averages: padding counts as elements",
  },
});

/** What the windows of nn.pool are: `dilations` is 1 where it is absent. */
export interface PoolWindow {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  /** Begins of all axes, then ends. */
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
}

export function poolWindow(op: Op): PoolWindow {
  const { kernel, strides, pads, dilations } = windows(op);
  return { kernel, strides, pads, dilations: dilations ?? kernel.map(() => 1) };
}

function pooledShape(op: Op): number[] {
  const x = shapeOf(op.operand(0));
  const { kernel, strides, pads, dilations } = poolWindow(op);
  const n = kernel.length;
  return [
    x[0]!,
    x[1]!,
    ...kernel.map(
      (k, d) => Math.floor((x[2 + d]! + pads[d]! + pads[n + d]! - (k - 1) * dilations[d]! - 1) / strides[d]!) + 1,
    ),
  ];
}

function pooled(op: Op): Kernel {
  const w = poolWindow(op);
  return poolKernel(
    windows(op).kind,
    { x: shapeOf(op.operand(0)), y: shapeOf(op.result), ...w, pads: w.pads.slice(0, w.kernel.length) },
    windows(op).count_include_pad,
  );
}

export const pool = defineNn({
  name: "nn.pool",
  summary: "Folds windows by maximum, average or sum; padding never wins a maximum and counts as 0 in a sum.",
  source: "ONNX MaxPool, AveragePool",
  operands: ["x"],
  results: ["y"],
  role: "fold",
  traits: ["pure"],
  attrs: windows.specs,
  inferTypes: (op) =>
    typed(op, pooledShape(op), () => foldFormat(op, windows(op).kind, elementCount(windows(op).kernel), false)),
  verify: (op, report) => checkShape(op, pooledShape(op), report),
  evaluate: everywhere(pooled, (op) => wideFold(pooled, () => elementCount(windows(op).kernel), windows(op).kind)(op)),
});

const along = attrReader({ axis: { kind: "int" } });

export const softmax = defineNn({
  name: "nn.softmax",
  summary: "exp(x - max) / sum of the same, along an axis, and 0 where all of a row is -Inf; only in float.",
  source: "ONNX Softmax-13",
  operands: ["x"],
  results: ["y"],
  role: "composite",
  traits: ["pure"],
  attrs: along.specs,
  inferTypes: (op) => [tensor(shapeOf(op.operand(0)), f32)],
  verify: (op, report) => {
    checkShape(op, shapeOf(op.operand(0)), report);
    const { axis } = along(op);
    if (axis < 0 || axis >= shapeOf(op.operand(0)).length)
      report(`axis ${axis} of a tensor of rank ${shapeOf(op.operand(0)).length}`);
    if (fixedOf(op.operand(0)) !== undefined) report("nn.softmax has no fixed-point form; decompose-softmax splits it");
  },
  evaluate: { float: (op) => softmaxKernel(shapeOf(op.operand(0)), along(op).axis), fixed: undefined },
});

export const reduceOps = [reduce, pool, softmax] as const;
