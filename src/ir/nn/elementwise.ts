/** nn operations that work element by element. */
import { denseAttr, intAttr, numAttr, type OpDef, type Report, strAttr } from "../define-op.js";
import type { Op } from "../core.js";
import {
  absType,
  addType,
  clipType,
  dataRange,
  leakyReluType,
  maxType,
  minType,
  mulType,
  negType,
  rangeAt,
  type Ranged,
  reluType,
  roundWhole,
  subType,
  unionRanges,
} from "../fixed-arith.js";
import { typeOfRange, type FixedType } from "../types.js";
import { broadcastShapes, checkShape, constantData, fixedElem, listText, rangedOf, shapeOf, typed } from "./typing.js";
import { unaryFunction, unaryFunctions } from "./unary-table.js";

function broadcastOf(op: Op): number[] | undefined {
  return broadcastShapes(shapeOf(op.operand(0)), shapeOf(op.operand(1)));
}

function binary(
  name: string,
  summary: string,
  source: string,
  format: ((a: Ranged, b: Ranged) => FixedType) | undefined,
): OpDef {
  return {
    name,
    summary,
    source,
    operands: ["a", "b"],
    results: ["y"],
    traits: ["pure", "elementwise"],
    inferTypes: (op) =>
      typed(op, broadcastOf(op) ?? shapeOf(op.operand(0)), () => {
        if (format === undefined) throw new Error(`${name} has no fixed-point form`);
        return format(rangedOf(op.operand(0)), rangedOf(op.operand(1)));
      }),
    verify: (op, report) => {
      const shape = broadcastOf(op);
      if (shape === undefined)
        return report(
          `shapes ${listText(shapeOf(op.operand(0)))} and ${listText(shapeOf(op.operand(1)))} do not broadcast`,
        );
      checkShape(op, shape, report);
      if (format === undefined && fixedElem(op.operand(0)) !== undefined) report(`${name} has no fixed-point form`);
    },
  };
}

function unary(
  name: string,
  summary: string,
  source: string,
  format: (x: Ranged, op: Op) => FixedType,
  more: Partial<OpDef> = {},
): OpDef {
  return {
    name,
    summary,
    source,
    operands: ["x"],
    results: ["y"],
    traits: ["pure", "elementwise", "same-shape"],
    inferTypes: (op) => typed(op, shapeOf(op.operand(0)), () => format(rangedOf(op.operand(0)), op)),
    verify: (op, report) => checkShape(op, shapeOf(op.operand(0)), report),
    ...more,
  };
}

/** Holds the values of both. */
function maxHull(a: Ranged, b: Ranged): FixedType {
  const frac = Math.max(a.frac, b.frac);
  return typeOfRange(unionRanges(rangeAt(a, frac), rangeAt(b, frac)), frac);
}

export const WHOLE_MODES = ["floor", "ceil", "trunc", "half-even"] as const;

/** Integers that occur: those of the operand's range, within the limits. */
function wholeType(x: Ranged, op: Op): FixedType {
  const within = (raw: bigint): number =>
    Math.min(
      numAttr(op, "hi", Infinity),
      Math.max(numAttr(op, "lo", -Infinity), roundWhole(Number(raw) * 2 ** -x.frac, strAttr(op, "mode"))),
    );
  return typeOfRange({ lo: within(x.range.lo), hi: within(x.range.hi) }, 0);
}

function lookupType(op: Op): FixedType {
  const { data } = denseAttr(op, "values");
  return typeOfRange(dataRange(data), 0);
}

function verifyLeaky(op: Op, report: Report): void {
  checkShape(op, shapeOf(op.operand(0)), report);
  if (
    fixedElem(op.operand(0)) !== undefined &&
    (op.attrs["slope_raw"] === undefined || op.attrs["slope_frac"] === undefined)
  )
    report("on fixed point, slope_raw and slope_frac are needed");
}

function verifyClip(op: Op, report: Report): void {
  checkShape(op, shapeOf(op.operand(0)), report);
  if (numAttr(op, "lo", -Infinity) > numAttr(op, "hi", Infinity)) report("lo is above hi");
}

export const elementwiseOps: readonly OpDef[] = [
  binary("nn.add", "Sum, with broadcasting.", "ONNX Add", addType),
  binary("nn.sub", "Difference, with broadcasting.", "ONNX Sub", subType),
  binary("nn.mul", "Product, with broadcasting.", "ONNX Mul", mulType),
  binary(
    "nn.div",
    "Quotient, with broadcasting; only in float, quantization takes the reciprocal.",
    "ONNX Div",
    undefined,
  ),
  binary("nn.max", "The larger value, with broadcasting.", "ONNX Max", maxType),
  binary("nn.min", "The smaller value, with broadcasting.", "ONNX Min", minType),
  unary("nn.relu", "max(x, 0).", "ONNX Relu", reluType),
  unary("nn.neg", "-x.", "ONNX Neg", negType),
  unary("nn.abs", "|x|.", "ONNX Abs", absType),
  unary(
    "nn.leaky_relu",
    "x < 0 ? slope * x : x.",
    "ONNX LeakyRelu",
    (x, op) => leakyReluType(x, intAttr(op, "slope_raw"), intAttr(op, "slope_frac")),
    {
      attrs: {
        slope: { kind: "number" },
        slope_raw: { kind: "int", optional: true, doc: "on fixed point: slope = slope_raw x 2^-slope_frac" },
        slope_frac: { kind: "int", optional: true },
      },
      verify: verifyLeaky,
    },
  ),
  unary(
    "nn.clip",
    "min(max(x, lo), hi).",
    "ONNX Clip",
    (x, op) => clipType(x, numAttr(op, "lo", -Infinity), numAttr(op, "hi", Infinity)),
    {
      attrs: { lo: { kind: "number", optional: true }, hi: { kind: "number", optional: true } },
      verify: verifyClip,
    },
  ),
  {
    name: "nn.select_neg",
    summary: "a where x is negative, otherwise b, with broadcasting: comparisons, choices, orders.",
    source: "ONNX Where, Less",
    operands: ["x", "a", "b"],
    results: ["y"],
    traits: ["pure", "elementwise"],
    inferTypes: (op) => typed(op, shapeOf(op.result), () => maxHull(rangedOf(op.operand(1)), rangedOf(op.operand(2)))),
    verify: (op, report) => {
      const shape = op.operands
        .map(shapeOf)
        .reduce<readonly number[] | undefined>((s, t) => s && broadcastShapes(s, t), []);
      if (shape === undefined) return report("shapes do not broadcast");
      checkShape(op, shape, report);
    },
  },
  unary(
    "nn.round",
    "The nearest integer, ties to even, plus zero, limited to [lo, hi].",
    "ONNX QuantizeLinear",
    (_, op) => typeOfRange({ lo: intAttr(op, "lo"), hi: intAttr(op, "hi") }, 0),
    {
      attrs: { lo: { kind: "int" }, hi: { kind: "int" }, zero: { kind: "int", optional: true, doc: "0 where absent" } },
      verify: (op, report) => {
        checkShape(op, shapeOf(op.operand(0)), report);
        if (intAttr(op, "lo") > intAttr(op, "hi")) report("lo is above hi");
      },
    },
  ),
  unary(
    "nn.whole",
    "The integer that `mode` gives, limited to [lo, hi]; trunc goes towards zero.",
    "ONNX Floor, Ceil, Round, Cast",
    wholeType,
    {
      attrs: {
        mode: { kind: "string", oneOf: [...WHOLE_MODES] },
        lo: { kind: "number", optional: true },
        hi: { kind: "number", optional: true },
      },
      verify: (op, report) => {
        checkShape(op, shapeOf(op.operand(0)), report);
        if (numAttr(op, "lo", -Infinity) > numAttr(op, "hi", Infinity)) report("lo is above hi");
      },
    },
  ),
  unary("nn.fraction", "x - floor(x): what is left of a phase when whole turns are dropped.", "ONNX Sin, Cos", (x) =>
    typeOfRange({ lo: 0, hi: x.frac > 0 ? 2 ** x.frac - 1 : 0 }, Math.max(0, x.frac)),
  ),
  unary(
    "nn.lookup",
    "values[x - first] of an integer x; the first or last entry beyond them.",
    "functions between quantized tensors",
    (_, op) => lookupType(op),
    {
      attrs: { first: { kind: "int" }, values: { kind: "dense", doc: "integers, one per value of x" } },
    },
  ),
  {
    name: "nn.take",
    summary:
      "Rows of a constant table by computed integers: y[..., j] = table[x[...], j]; the first or last row beyond them.",
    source: "ONNX Gather with computed indices",
    operands: ["x", "table"],
    results: ["y"],
    traits: ["pure"],
    inferTypes: (op) =>
      typed(op, [...shapeOf(op.operand(0)), shapeOf(op.operand(1))[1]!], () => fixedElem(op.operand(1))!),
    verify: (op, report) => {
      if (shapeOf(op.operand(1)).length !== 2)
        return report(`the table has the shape ${listText(shapeOf(op.operand(1)))}`);
      checkShape(op, [...shapeOf(op.operand(0)), shapeOf(op.operand(1))[1]!], report);
      if (constantData(op.operand(1)) === undefined) report("the table is not constant");
      if ((fixedElem(op.operand(0))?.frac ?? 0) !== 0) report("the rows are not named by integers");
    },
  },
  {
    name: "nn.unary",
    summary:
      "A function of one number; on fixed point a table: rounded half to even and saturated into the result type.",
    operands: ["x"],
    results: ["y"],
    traits: ["pure", "elementwise", "same-shape"],
    attrs: {
      fn: { kind: "string", doc: `${Object.keys(unaryFunctions).join(", ")}, or pow:EXPONENT` },
      table_error: { kind: "number", optional: true, doc: "largest error on the calibrated range" },
    },
    verify: (op, report) => {
      checkShape(op, shapeOf(op.operand(0)), report);
      if (unaryFunction(strAttr(op, "fn")) === undefined) report(`function ${strAttr(op, "fn")} is not known`);
      const from = fixedElem(op.operand(0));
      if (from !== undefined && from.width > 20) report(`a table of 2^${from.width} entries`);
    },
  },
];
