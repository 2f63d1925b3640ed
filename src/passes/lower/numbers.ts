/** Lowerings of integers made of real numbers, and of tables that integers index. */
import { CompilerBug } from "../../diagnostics/index.js";
import { allocate, Dense } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { roundWhole } from "../../ir/fixed-arith.js";
import * as nn from "../../ir/nn/ops.js";
import { constantOf } from "../../ir/nn/values.js";
import { fixed, rawRange, typeOfRange } from "../../ir/types.js";
import { fixedElem, scalarType } from "./context.js";
import { broadcastAccess, elementwise, gridOf, label, resultType, type Lowering } from "./elementwise.js";

/** An integer of the operand: its upper bits, but for ties and for what lies below zero. */
export const lowerWhole: Lowering = (op, ctx) => {
  const { mode, lo, hi } = nn.whole.read(op);
  elementwise(op, ctx, (b, x: Value) => {
    const t = scalarType(x);
    const zero = b.constant(0, fixed(1, t.frac, false));
    const rounded = (v: Value, rounding: string): Value => {
      const type = scalarType(v);
      const r = rawRange(type);
      const at = (raw: number): number => roundWhole(raw * 2 ** -type.frac, rounding);
      return b.requantize(v, typeOfRange({ lo: at(r.lo), hi: at(r.hi) }, 0), rounding, "saturate");
    };
    const up = (): Value => b.sub(b.constant(0, fixed(1, 0, false)), rounded(b.sub(zero, x), "floor"));
    let y =
      t.frac <= 0
        ? b.cast(x, typeOfRange({ lo: rawRange(t).lo * 2 ** -t.frac, hi: rawRange(t).hi * 2 ** -t.frac }, 0))
        : mode === "ceil"
          ? up()
          : mode === "trunc" && t.signed
            ? b.selectNegative(x, up(), rounded(x, "floor"))
            : rounded(x, mode === "half-even" ? mode : "floor");
    const range = rawRange(scalarType(y));
    if (lo > range.lo) y = b.max(y, b.constant(lo, typeOfRange({ lo, hi: lo }, 0)));
    if (hi < range.hi) y = b.min(y, b.constant(hi, typeOfRange({ lo: hi, hi }, 0)));
    return b.requantize(y, fixedElem(resultType(op).elem), "floor", "saturate");
  });
};

/** The bits behind the point. */
export const lowerFraction: Lowering = (op, ctx) => {
  const to = fixedElem(resultType(op).elem);
  elementwise(op, ctx, (b, x: Value) =>
    scalarType(x).frac > 0 ? b.requantize(x, to, "floor", "wrap") : b.constant(0, to),
  );
};

/** One memory of all rows, addressed by row and column. */
export const lowerTake: Lowering = (op, ctx) => {
  const x = ctx.view(op.operand(0));
  const table = constantOf(nn.take.args(op).table);
  if (table === undefined) throw new CompilerBug("nn.take of a table that is computed");
  const { data, elem } = table;
  const [rows = 0, columns = 0] = table.shape;
  const type = resultType(op);
  const { iterators, index } = gridOf(type.shape);
  const address = typeOfRange({ lo: 0, hi: rows * columns - 1 }, 0);
  const entries = allocate(elem, 2 ** address.width);
  for (let i = 0; i < entries.length; i++) entries[i] = data[Math.min(i, data.length - 1)]!;
  const wholeRow = typeOfRange({ lo: 0, hi: rows - 1 }, 0);
  const column = Float64Array.from({ length: columns }, (_, j) => j);
  const place = ctx.constant(
    new Dense([columns], typeOfRange({ lo: 0, hi: columns - 1 }, 0), column),
    `${op.result.hint ?? "take"}_columns`,
  );
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators,
      operands: [{ of: x, index: index.slice(0, -1) }, broadcastAccess(place, type.shape)],
      combiner: "none",
      result: type,
      out: index,
      body: (b, args) => {
        const [at, j] = args as readonly [Value, Value];
        // In place, not beyond the rows: a format holds a little more than there are.
        const { lo, hi } = rawRange(scalarType(at));
        const above = lo < 0 ? b.max(at, b.constant(0, wholeRow)) : at;
        const row = b.cast(hi > rows - 1 ? b.min(above, b.constant(rows - 1, wholeRow)) : above, wholeRow);
        const scaled =
          columns === 1 ? row : b.mul(row, b.constant(columns, typeOfRange({ lo: columns, hi: columns }, 0)));
        return b.table(
          b.requantize(b.add(scaled, j), address, "floor", "wrap"),
          new Dense([entries.length], elem, entries),
        );
      },
    }),
  );
};
