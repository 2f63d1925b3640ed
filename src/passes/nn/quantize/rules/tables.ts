/** Operations in fixed point whose results are looked up: functions of one number, rows of tables, trees. */
import { CompilerBug } from "../../../../diagnostics/index.js";
import { allocate, Dense } from "../../../../ir/attributes.js";
import type { Op, Value } from "../../../../ir/core.js";
import { dataRange } from "../../../../ir/fixed-arith.js";
import * as nn from "../../../../ir/nn/ops.js";
import { shapeOf } from "../../../../ir/nn/values.js";
import { ensembleAttrs } from "../../../../ir/trees.js";
import { tensor, typeOfRange, type FixedType } from "../../../../ir/types.js";
import { leafFraction, thresholdOnGrid } from "../decisions.js";
import { numberFrac, type FixedValues } from "../fixed-values.js";
import { largestTableError } from "../tables.js";

/** Bits of outputs where none are stated. */
const OUTPUT_BITS = 16;

/**
 * Rows of a table, which is rounded to the width of what is read: all rows count, those that calibration has not seen
 * too.
 */
export function take(op: Op, f: FixedValues): Value {
  const table = f.constant(op.operand(1), f.plan.decided(op.result).bits);
  const y = f.emit(op.name, [f.exactOf(op.operand(0)), table], op.result, op.attrs);
  f.final.add(y);
  return y;
}

export function unary(op: Op, f: FixedValues): Value {
  const to = f.plan.format(op.result);
  const x = f.exactOf(op.operand(0));
  const segments = f.plan.argument(op);
  let y: Value | undefined;
  // Coarsest first: what is below a limit takes the finer table.
  for (const [i, { from, limit: upper }] of [...segments.entries()].reverse()) {
    const fits = f.elem(x).width <= from.width;
    // An argument that is exact in the table's width already needs no rounding.
    const argument = fits ? x : f.round(x, from, undefined);
    const part = tableOf(op, argument, to, segments[i - 1]?.limit ?? -Infinity, upper, f);
    if (y === undefined) y = part;
    else {
      const frac = numberFrac([upper], f.elem(x).frac);
      const raw = Math.round(upper * 2 ** frac);
      const limit = f.dense([1], [raw], typeOfRange({ lo: 0, hi: raw }, frac), `${op.result.hint ?? "table"}_limit`);
      y = f.emit("nn.select_neg", [f.emit("nn.sub", [x, limit], op.operand(0), {}), part, y], op.result, {});
    }
    if (fits) break;
  }
  if (y === undefined) throw new CompilerBug(`${op.name} has no table`);
  f.final.add(y);
  f.roundings.push({ float: op.result, fixed: y, type: to });
  return y;
}

/** The table of `op` for an argument that has been rounded; its error is that between `lo` and `hi`. */
function tableOf(op: Op, argument: Value, to: FixedType, lo: number, hi: number, f: FixedValues): Value {
  const stats = f.plan.statsOf(op.operand(0));
  const range = {
    ...stats,
    min: Math.max(lo, stats.min),
    max: Math.min(hi, stats.max),
    values: stats.values.filter((v) => v >= lo && v < hi),
  };
  const error = largestTableError(nn.unary.read(op).fn, range, f.elem(argument), to);
  return f.b.value(
    "nn.unary",
    [argument],
    tensor(shapeOf(op.result), to),
    { ...op.attrs, "quantize.table_error": error },
    op.result.hint,
  );
}

/** Thresholds on the grid of the features, values of leaves as fine as their sum is output; sums stay exact. */
export function trees(op: Op, f: FixedValues): Value {
  const source = op.operand(0);
  const x = f.operand(source);
  const e = nn.treesOf(op);
  const [type, exact] = [f.elem(x), f.plan.onGrid(source)];
  const moved = Array.from(e.threshold, (t, i) => thresholdOnGrid(t, e.relation[i]!, type, exact));
  const stats = f.plan.statsOf(op.result);
  const stated = f.plan.statedOutput(op.result);
  const frac = leafFraction(e.values, e.roots.length, Math.max(-stats.min, stats.max), stated ?? OUTPUT_BITS);
  const raw = Float64Array.from(e.values, (v) => Math.floor(v * 2 ** frac + 0.5));
  const elem = typeOfRange(dataRange(raw), frac);
  const data = allocate(elem, raw.length);
  for (let i = 0; i < raw.length; i++) data[i] = raw[i]! + 0;
  const lists = { ...e, threshold: moved.map((m) => m.threshold), relation: moved.map((m) => m.relation) };
  const y = f.emit(op.name, [x], op.result, { trees: ensembleAttrs(lists, new Dense(e.dense.shape, elem, data)) });
  if (stated === undefined) f.final.add(y);
  return y;
}
