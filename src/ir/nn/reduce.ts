/** nn.reduce, nn.pool and nn.softmax. */
import type { OpDef } from "../define-op.js";
import { boolAttr, intAttr, intsAttr, strAttr } from "../define-op.js";
import type { Op } from "../core.js";
import { sumType } from "../fixed-arith.js";
import { f32, isWide, NUMBER_WIDTH, showType, tensor, type FixedType } from "../types.js";
import { checkShape, fixedElem, rangedOf, shapeOf, typed } from "./typing.js";

function reducedShape(op: Op): number[] {
  const x = shapeOf(op.operand(0));
  const axes = new Set(intsAttr(op, "axes"));
  return boolAttr(op, "keepdims") ? x.map((n, d) => (axes.has(d) ? 1 : n)) : x.filter((_, d) => !axes.has(d));
}

function pooledShape(op: Op): number[] {
  const x = shapeOf(op.operand(0));
  const [kernel, strides, pads] = [intsAttr(op, "kernel"), intsAttr(op, "strides"), intsAttr(op, "pads")];
  const dilations = op.attrs["dilations"] === undefined ? kernel.map(() => 1) : intsAttr(op, "dilations");
  const n = kernel.length;
  return [
    x[0]!,
    x[1]!,
    ...kernel.map(
      (k, d) => Math.floor((x[2 + d]! + pads[d]! + pads[n + d]! - (k - 1) * dilations[d]! - 1) / strides[d]!) + 1,
    ),
  ];
}

/** Sums grow, extremes keep their format; a mean has none of its own: it is split before quantization. */
function foldFormat(op: Op, kind: string, terms: number, exactly: boolean): FixedType {
  const x = op.operand(0);
  if (kind === "max" || kind === "min") return fixedElem(x)!;
  if (kind === "sum") return sumType(rangedOf(x), terms, exactly);
  throw new Error(`${op.name} of kind ${kind} has no fixed-point form`);
}

export const reduceOps: readonly OpDef[] = [
  {
    name: "nn.reduce",
    summary: "Folds axes by sum, mean, maximum or minimum.",
    source: "ONNX ReduceSum, ReduceMean, ReduceMax, ReduceMin",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    attrs: {
      kind: { kind: "string", oneOf: ["sum", "mean", "max", "min"] },
      axes: { kind: "list" },
      keepdims: { kind: "bool" },
    },
    inferTypes: (op) => {
      const x = shapeOf(op.operand(0));
      const terms = intsAttr(op, "axes").reduce((n, a) => n * x[a]!, 1);
      return typed(op, reducedShape(op), () => foldFormat(op, strAttr(op, "kind"), terms, true));
    },
    verify: (op, report) => {
      const rank = shapeOf(op.operand(0)).length;
      const bad = intsAttr(op, "axes").find((a) => a < 0 || a >= rank);
      if (bad !== undefined) return report(`axis ${bad} of a tensor of rank ${rank}`);
      const elem = fixedElem(op.operand(0));
      // Lanes beyond the edge read the largest value, which must be a number.
      if (strAttr(op, "kind") === "min" && elem !== undefined && isWide(elem))
        report(`a minimum of ${showType(elem)}: round to at most ${NUMBER_WIDTH} bits before`);
      checkShape(op, reducedShape(op), report);
    },
  },
  {
    name: "nn.pool",
    summary: "Folds windows by maximum, average or sum; padding never wins a maximum and counts as 0 in a sum.",
    source: "ONNX MaxPool, AveragePool",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    attrs: {
      kind: { kind: "string", oneOf: ["max", "average", "sum"] },
      kernel: { kind: "list" },
      strides: { kind: "list" },
      pads: { kind: "list", doc: "begins of all axes, then ends" },
      dilations: { kind: "list", optional: true },
      count_include_pad: { kind: "bool", optional: true, doc: "of averages: padding counts as elements" },
    },
    inferTypes: (op) =>
      typed(op, pooledShape(op), () =>
        foldFormat(
          op,
          strAttr(op, "kind"),
          intsAttr(op, "kernel").reduce((n, k) => n * k, 1),
          false,
        ),
      ),
    verify: (op, report) => checkShape(op, pooledShape(op), report),
  },
  {
    name: "nn.softmax",
    summary: "exp(x - max) / sum of the same, along an axis, and 0 where all of a row is -Inf; only in float.",
    source: "ONNX Softmax-13",
    operands: ["x"],
    results: ["y"],
    traits: ["pure", "same-shape"],
    attrs: { axis: { kind: "int" } },
    inferTypes: (op) => [tensor(shapeOf(op.operand(0)), f32)],
    verify: (op, report) => {
      checkShape(op, shapeOf(op.operand(0)), report);
      const axis = intAttr(op, "axis");
      if (axis < 0 || axis >= shapeOf(op.operand(0)).length)
        report(`axis ${axis} of a tensor of rank ${shapeOf(op.operand(0)).length}`);
      if (fixedElem(op.operand(0)) !== undefined)
        report("nn.softmax has no fixed-point form; decompose-softmax splits it");
    },
  },
];
