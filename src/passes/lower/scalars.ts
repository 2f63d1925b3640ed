/** Lowering of operations element by element. */
import { CompilerBug } from "../../diagnostics/index.js";
import { allocate, Dense } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import * as nn from "../../ir/nn/ops.js";
import { unaryTable } from "../../ir/nn/unary-table.js";
import { fixed, rawRange, showType, typeOfRange, wideRange } from "../../ir/types.js";
import { fixedElem, scalarType, type BodyBuilder } from "./context.js";
import { elementwise, resultType, type Lowering } from "./elementwise.js";

/** One kernel that computes `f` at every place. */
function each(f: (b: BodyBuilder, ...args: Value[]) => Value): Lowering {
  return (op, ctx) => elementwise(op, ctx, f);
}

export const lowerAdd = each((b, x: Value, y: Value) => b.add(x, y));
export const lowerSub = each((b, x: Value, y: Value) => b.sub(x, y));
export const lowerMul = each((b, x: Value, y: Value) => b.mul(x, y));
export const lowerMax = each((b, x: Value, y: Value) => b.max(x, y));
export const lowerMin = each((b, x: Value, y: Value) => b.min(x, y));

/** 0 on the grid of `x`. */
function zero(b: BodyBuilder, x: Value): Value {
  return b.constant(0, fixed(1, scalarType(x).frac, false));
}

export const lowerRelu = each((b, x: Value) => b.max(x, zero(b, x)));
export const lowerNeg = each((b, x: Value) => b.sub(zero(b, x), x));
export const lowerAbs = each((b, x: Value) => b.max(x, b.sub(zero(b, x), x)));

export const lowerSelect: Lowering = (op, ctx) =>
  elementwise(op, ctx, (b, x: Value, p: Value, q: Value) => b.selectNegative(x, p, q));

export const lowerQuantize: Lowering = (op, ctx) => {
  const { rounding, overflow } = nn.quantize.read(op);
  elementwise(op, ctx, (b, x: Value) => b.requantize(x, fixedElem(resultType(op).elem), rounding, overflow));
};

export const lowerLeakyRelu: Lowering = (op, ctx) => {
  const { raw, frac } = nn.rawSlope(op);
  const type = typeOfRange({ lo: raw, hi: raw }, frac);
  elementwise(op, ctx, (b, x: Value) => b.selectNegative(x, b.mul(x, b.constant(raw, type)), x));
};

export const lowerClip: Lowering = (op, ctx) => {
  const { lo, hi } = nn.clip.read(op);
  elementwise(op, ctx, (b, x: Value) => {
    const t = scalarType(x);
    const bound = (v: number): Value => {
      let [raw, frac] = [v * 2 ** t.frac, t.frac];
      if (!Number.isInteger(raw)) throw new CompilerBug(`clip bound ${v} is not a value of the operand's grid`);
      // The last bits of a larger integer that is a double are zeros.
      while (!Number.isSafeInteger(raw)) [raw, frac] = [raw / 2, frac - 1];
      return b.constant(raw, typeOfRange({ lo: raw, hi: raw }, frac));
    };
    const range = wideRange(t);
    let y = x;
    if (lo * 2 ** t.frac > range.lo) y = b.max(y, bound(lo));
    if (hi * 2 ** t.frac < range.hi) y = b.min(y, bound(hi));
    return y;
  });
};

export const lowerUnary: Lowering = (op, ctx) => {
  const from = ctx.view(op.operand(0)).elem;
  const table = unaryTable(nn.unary.read(op).fn, from, fixedElem(resultType(op).elem));
  elementwise(op, ctx, (b, x: Value) => b.table(x, table));
};

/** Rounds half to even and limits to the range, which need not be a whole format's. */
export const lowerRound: Lowering = (op, ctx) => {
  const to = fixedElem(resultType(op).elem);
  const { lo, hi, zero } = nn.round.read(op);
  const range = rawRange(to);
  const moved = (b: BodyBuilder, x: Value): Value =>
    zero === 0 ? x : b.add(x, b.constant(zero, typeOfRange({ lo: zero, hi: zero }, 0)));
  elementwise(op, ctx, (b, x: Value) => {
    // An odd number in front of the rounding would turn ties around.
    const first =
      zero % 2 === 0
        ? moved(b, x)
        : moved(b, b.requantize(x, typeOfRange({ lo: lo - zero, hi: hi - zero }, 0), "half-even", "saturate"));
    let y = b.requantize(first, to, "half-even", "saturate");
    if (lo > range.lo) y = b.max(y, b.constant(lo, typeOfRange({ lo, hi: lo }, 0)));
    if (hi < range.hi) y = b.min(y, b.constant(hi, typeOfRange({ lo: hi, hi }, 0)));
    return y;
  });
};

export const lowerLookup: Lowering = (op, ctx) => {
  const from = ctx.view(op.operand(0)).elem;
  const to = fixedElem(resultType(op).elem);
  if (from.frac !== 0) throw new CompilerBug(`nn.lookup of ${showType(from)}, which is no integer`);
  const { first, values } = nn.lookup.read(op);
  const { data } = values;
  const { lo, hi } = rawRange(from);
  const entries = allocate(to, hi - lo + 1);
  for (let raw = lo; raw <= hi; raw++) entries[raw - lo] = data[Math.min(data.length - 1, Math.max(0, raw - first))]!;
  elementwise(op, ctx, (b, x: Value) => b.table(x, new Dense([entries.length], to, entries)));
};
