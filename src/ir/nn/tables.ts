/** nn operations whose results are looked up: functions of one number, tables of integers, rows of a table. */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Op } from "../core.js";
import { attrReader, type Kernel } from "../define-op.js";
import { dataRange } from "../fixed-arith.js";
import { rawRange, typeOfRange } from "../types.js";
import { elementwise } from "./kernels.js";
import { defineNn, everywhere } from "./record.js";
import { checkShape, formatOf, listText, typed } from "./typing.js";
import { unaryFunction, unaryFunctions, unaryRaw, unaryTable } from "./unary-table.js";
import { fixedOf, isConstant, shapeOf } from "./values.js";

const functions = attrReader({
  fn: { kind: "string", doc: `${Object.keys(unaryFunctions).join(", ")}, or pow:EXPONENT` },
  table_error: { kind: "number", optional: true, doc: "largest error on the calibrated range" },
});

/** Tables of up to this many bits of input are computed once. */
const TABLE_BITS = 16;
/** Most bits of the argument of a table. */
const MOST_BITS = 20;

function tabulated(op: Op): Kernel {
  const { fn } = functions(op);
  const [from, to] = [formatOf(op.operand(0)), formatOf(op.result)];
  const scale = 2 ** from.frac;
  const unit = 2 ** -to.frac;
  if (from.width > TABLE_BITS) return elementwise((v) => unaryRaw(fn, v * scale, from, to) * unit);
  const table = Float64Array.from(unaryTable(fn, from, to).data, (r) => r * unit);
  const { lo } = rawRange(from);
  return elementwise((v) => table[v * scale - lo]!);
}

export const unary = defineNn({
  name: "nn.unary",
  summary: "A function of one number; on fixed point a table: rounded half to even and saturated into the result type.",
  operands: ["x"],
  results: ["y"],
  role: "table",
  traits: ["pure", "elementwise"],
  attrs: functions.specs,
  verify: (op, report) => {
    checkShape(op, shapeOf(op.operand(0)), report);
    const { fn } = functions(op);
    if (unaryFunction(fn) === undefined) report(`function ${fn} is not known`);
    const from = fixedOf(op.operand(0));
    if (from !== undefined && from.width > MOST_BITS) report(`a table of 2^${from.width} entries`);
  },
  evaluate: {
    float: (op) => {
      const { fn } = functions(op);
      const f = unaryFunction(fn);
      if (f === undefined) throw new CompilerBug(`nn interpreter: unknown function ${fn}`);
      return elementwise(f);
    },
    fixed: tabulated,
  },
});

const entries = attrReader({
  first: { kind: "int" },
  values: { kind: "dense", doc: "integers, one per value of x" },
});

export const lookup = defineNn({
  name: "nn.lookup",
  summary: "values[x - first] of an integer x; the first or last entry beyond them.",
  source: "functions between quantized tensors",
  operands: ["x"],
  results: ["y"],
  role: "table",
  traits: ["pure", "elementwise"],
  attrs: entries.specs,
  inferTypes: (op) => typed(op, shapeOf(op.operand(0)), () => typeOfRange(dataRange(entries(op).values.data), 0)),
  verify: (op, report) => checkShape(op, shapeOf(op.operand(0)), report),
  evaluate: everywhere((op) => {
    const { first, values } = entries(op);
    const table = Float64Array.from(values.data);
    return elementwise((v) => table[Math.min(table.length - 1, Math.max(0, v - first))]!);
  }),
});

/** Rows and columns of the table of nn.take. */
function tableSize(op: Op): readonly [number, number] {
  const [rows = 0, columns = 0] = shapeOf(op.operand(1));
  return [rows, columns];
}

export const take = defineNn({
  name: "nn.take",
  summary:
    "Rows of a constant table by computed integers: y[..., j] = table[x[...], j]; the first or last row beyond them.",
  source: "ONNX Gather with computed indices",
  operands: ["x", "table"],
  results: ["y"],
  role: "table",
  traits: ["pure"],
  attrs: {},
  inferTypes: (op) => typed(op, [...shapeOf(op.operand(0)), tableSize(op)[1]], () => formatOf(op.operand(1))),
  verify: (op, report) => {
    const table = shapeOf(op.operand(1));
    if (table.length !== 2) return report(`the table has the shape ${listText(table)}`);
    checkShape(op, [...shapeOf(op.operand(0)), tableSize(op)[1]], report);
    if (!isConstant(op.operand(1))) report("the table is not constant");
    if ((fixedOf(op.operand(0))?.frac ?? 0) !== 0) report("the rows are not named by integers");
  },
  evaluate: everywhere((op) => {
    const [rows, columns] = tableSize(op);
    return ([at, table], out) => {
      for (let i = 0; i < at!.length; i++) {
        const row = Math.min(rows - 1, Math.max(0, at![i]!)) * columns;
        for (let j = 0; j < columns; j++) out[i * columns + j] = table![row + j]!;
      }
    };
  }),
});

export const tableOps = [unary, lookup, take] as const;
