/** nn.conv and nn.matmul. */
import type { OpDef, Report } from "../define-op.js";
import { intsAttr, numAttr } from "../define-op.js";
import type { Op } from "../core.js";
import {
  addRanges,
  addType,
  checkWidth,
  dotType,
  ranged,
  rangeAt,
  unionRanges,
  weightedSumsRange,
} from "../fixed-arith.js";
import { typeOfRange, type FixedType } from "../types.js";
import { broadcastShapes, checkShape, constantData, fixedElem, listText, rangedOf, shapeOf, typed } from "./typing.js";

function convShape(op: Op): number[] {
  const [x, w] = [shapeOf(op.operand(0)), shapeOf(op.operand(1))];
  const [strides, pads, dilations] = [intsAttr(op, "strides"), intsAttr(op, "pads"), intsAttr(op, "dilations")];
  const n = x.length - 2;
  const out = x
    .slice(2)
    .map((s, d) => Math.floor((s + pads[d]! + pads[n + d]! - (w[2 + d]! - 1) * dilations[d]! - 1) / strides[d]!) + 1);
  return [x[0]!, w[0]!, ...out];
}

/** Format of a linear operation: with constant weights, and bias, the worst output channel decides. */
function linearFormat(op: Op, terms: number, groups: number, groupOf: (i: number) => number): FixedType {
  const x = rangedOf(op.operand(0));
  const w = rangedOf(op.operand(1));
  const weights = constantData(op.operand(1));
  const bias = op.operands[2];
  const frac = x.frac + w.frac;
  if (weights === undefined) {
    const dot = dotType(x, w, terms);
    return bias === undefined ? dot : addType(ranged(dot), rangedOf(bias));
  }
  const b = bias === undefined ? undefined : constantData(bias);
  const scale = bias === undefined ? 0n : BigInt(frac - fixedElem(bias)!.frac);
  let range = weightedSumsRange(x.range, weights, groups, groupOf, b && ((g) => BigInt(b[g]!) << scale));
  if (bias !== undefined && b === undefined)
    range = addRanges(range, unionRanges({ lo: 0n, hi: 0n }, rangeAt(rangedOf(bias), frac)));
  return checkWidth(typeOfRange(range, frac), `a sum of ${terms} products`);
}

function verifyConv(op: Op, report: Report): void {
  const [x, w] = [shapeOf(op.operand(0)), shapeOf(op.operand(1))];
  const group = numAttr(op, "group", 1);
  if (x.length !== w.length || x.length < 3 || x.length > 5)
    return report(`input of rank ${x.length} and weight of rank ${w.length}`);
  const n = x.length - 2;
  for (const [name, count] of [
    ["strides", n],
    ["dilations", n],
    ["pads", 2 * n],
  ] as const) {
    if (intsAttr(op, name).length !== count)
      return report(`${name} has ${intsAttr(op, name).length} entries instead of ${count}`);
  }
  if (x[1] !== w[1]! * group) report(`the input has ${x[1]} channels, the weight takes ${w[1]! * group}`);
  if (w[0]! % group !== 0) report(`group ${group} does not divide ${w[0]} output channels`);
  const bias = op.operands[2];
  if (bias !== undefined && shapeOf(bias).join() !== `${w[0]}`)
    report(`the bias has shape ${listText(shapeOf(bias))} for ${w[0]} channels`);
  const fx = [op.operand(0), op.operand(1)].map(fixedElem);
  if (
    bias !== undefined &&
    fx[0] !== undefined &&
    fx[1] !== undefined &&
    fixedElem(bias)?.frac !== fx[0].frac + fx[1].frac
  )
    report(`the bias must have the accumulator's ${fx[0].frac + fx[1].frac} fractional bits`);
  checkShape(op, convShape(op), report);
}

/** Result shape of a matrix product by numpy's rules; undefined where the operands do not fit. */
export function matmulShape(a: readonly number[], b: readonly number[]): number[] | undefined {
  if (a.length === 0 || b.length === 0) return undefined;
  const x = a.length === 1 ? [1, ...a] : a;
  const y = b.length === 1 ? [...b, 1] : b;
  if (x[x.length - 1] !== y[y.length - 2]) return undefined;
  const batch = broadcastShapes(x.slice(0, -2), y.slice(0, -2));
  return (
    batch && [...batch, ...(a.length === 1 ? [] : [x[x.length - 2]!]), ...(b.length === 1 ? [] : [y[y.length - 1]!])]
  );
}

export const linearOps: readonly OpDef[] = [
  {
    name: "nn.conv",
    summary:
      "1-D to 3-D convolution with groups, strides, dilations and zero padding; the bias joins the exact accumulator.",
    source: "ONNX Conv",
    operands: ["x", "w", "b?"],
    results: ["y"],
    traits: ["pure"],
    attrs: {
      strides: { kind: "list" },
      pads: { kind: "list", doc: "begins of all axes, then ends" },
      dilations: { kind: "list" },
      group: { kind: "int", optional: true, doc: "1 where absent" },
      pad_value: { kind: "number", optional: true, doc: "what x is outside; 0 where absent" },
    },
    inferTypes: (op) => {
      const w = shapeOf(op.operand(1));
      const terms = w.slice(1).reduce((n, d) => n * d, 1);
      return typed(op, convShape(op), () => linearFormat(op, terms, w[0]!, (i) => Math.floor(i / terms)));
    },
    verify: verifyConv,
  },
  {
    name: "nn.matmul",
    summary: "Matrix product with numpy's broadcasting of leading dimensions.",
    source: "ONNX MatMul",
    operands: ["a", "b"],
    results: ["y"],
    traits: ["pure"],
    inferTypes: (op) => {
      const [a, b] = [shapeOf(op.operand(0)), shapeOf(op.operand(1))];
      const shape = matmulShape(a, b) ?? a;
      const columns = b.length === 1 ? 1 : b[b.length - 1]!;
      const rows = b.length === 1 ? b[0]! : b[b.length - 2]!;
      return typed(op, shape, () =>
        linearFormat(
          op,
          rows,
          columns * (b.slice(0, -2).reduce((n, d) => n * d, 1) || 1),
          (i) => Math.floor(i / (rows * columns)) * columns + (i % columns),
        ),
      );
    },
    verify: (op, report) => {
      const [a, b] = [shapeOf(op.operand(0)), shapeOf(op.operand(1))];
      const shape = matmulShape(a, b);
      if (shape === undefined) return report(`shapes ${listText(a)} and ${listText(b)} cannot be multiplied`);
      checkShape(op, shape, report);
    },
  },
];
