/** Operations on integers: those of a quantized model, and those that a network makes of its inputs. */
import type { Attr } from "../../../../ir/attributes.js";
import type { Op, Value } from "../../../../ir/core.js";
import { decidesBySign, roleOf } from "../../../../ir/define-op.js";
import * as nn from "../../../../ir/nn/ops.js";
import { constantOf, valuesOfDense } from "../../../../ir/nn/values.js";
import { isWide } from "../../../../ir/types.js";
import { EXACT_LIMIT, type FixedValues } from "../fixed-values.js";
import { SCALE_BITS } from "../width-rules.js";

/** Most bits of whole numbers that count as such. */
const COUNT_LIMIT = 24;
/**
 * Significant bits of the smallest factor between scales beyond those of the integers that come out, and most bits of
 * the largest.
 */
const SCALE_GUARD_BITS = 12;
/** Operations on the way to a rounding that are looked at. */
const ROUNDING_REACH = 6;

/** Operands that are more than a sign to `op`. */
export function readOperands(op: Op): readonly Value[] {
  return op.operands.filter((_, i) => !decidesBySign(op, i));
}

/** The operand that says how fine the constants are that `op` meets. */
export function metBy(op: Op, f: FixedValues): Value {
  return f.exactOf(readOperands(op).find((v) => !f.isConstant(v)) ?? op.operand(0));
}

/** Operations on integers and on their multiples keep every bit; only nn.round rounds. */
export function exactly(op: Op, f: FixedValues): Value {
  return f.emit(op.name, exactOperands(op, f), op.result, op.attrs);
}

/** Constants are as fine as what they meet asks for, whichever comes first. */
function exactOperands(op: Op, f: FixedValues): readonly Value[] {
  const x = f.elem(metBy(op, f));
  return op.operands.map((v) => {
    if (!f.isConstant(v)) return f.exactOf(v);
    switch (roleOf(op)) {
      case "linear":
        return f.constantAt(v, 0);
      case "product":
        return f.fineConstant(v, x.width, Math.max(SCALE_BITS, SCALE_GUARD_BITS + roundedBits(op)));
      default:
        return f.offsetConstant(v, x.frac, x.width);
    }
  });
}

/** Limits on the grid of the operand. */
export function exactClip(op: Op, f: FixedValues): Value {
  const x = f.exactOf(op.operand(0));
  return f.emit(op.name, [x], op.result, { ...op.attrs, ...limitsAt(op, f.elem(x).frac) });
}

/** The limits of nn.clip as multiples of 2^-frac. */
export function limitsAt(op: Op, frac: number): Readonly<Record<string, Attr>> {
  const at = (v: number): number => (Number.isFinite(v) ? Math.round(v * 2 ** frac) * 2 ** -frac + 0 : v);
  const { lo, hi } = nn.clip.read(op);
  return { lo: at(lo), hi: at(hi) };
}

/** A format that holds the border as well. */
export function exactPad(op: Op, f: FixedValues): Value {
  const fill = nn.pad.read(op).value;
  const x = f.holding(f.exactOf(op.operand(0)), fill);
  const { frac } = f.elem(x);
  return f.emit(op.name, [x], op.result, { ...op.attrs, value: Math.round(fill * 2 ** frac) * 2 ** -frac + 0 });
}

/** The least of wide numbers, of which no number is the largest: see nn.reduce. */
export function exactReduce(op: Op, f: FixedValues): Value {
  const x = f.exactOf(op.operand(0));
  if (nn.reduce.read(op).kind !== "min" || !isWide(f.elem(x))) return exactly(op, f);
  const mirrored = f.emit("nn.neg", [x], op.operand(0), {});
  return f.emit("nn.neg", [f.emit(op.name, [mirrored], op.result, { ...op.attrs, kind: "max" })], op.result, {});
}

/** An operation on integers alone, whose result keeps every bit; undefined for others. */
export function count(op: Op, f: FixedValues): Value | undefined {
  const terms = readOperands(op);
  if (!terms.some((v) => f.wholes.has(v))) return undefined;
  const isWhole = (v: Value): boolean => {
    const c = constantOf(v);
    return f.wholes.has(v) || (c !== undefined && valuesOfDense(c).every(Number.isInteger));
  };
  if (!terms.every(isWhole)) return undefined;
  const operands = op.operands.map((v, i) => {
    if (decidesBySign(op, i)) return f.elem(f.exactOf(v)).width <= EXACT_LIMIT ? f.exactOf(v) : f.narrow(v);
    return f.isConstant(v) ? f.constantAt(v, 0) : f.exactOf(v);
  });
  const y = f.emit(op.name, operands, op.result, op.attrs);
  if (f.elem(y).width > COUNT_LIMIT) return y;
  f.wholes.add(op.result);
  f.final.add(y);
  return y;
}

/** Bits of the integers to which a result is rounded, a few operations on; 0 where it is not. */
function roundedBits(op: Op): number {
  for (let next: Op | undefined = op, steps = 0; next !== undefined && steps < ROUNDING_REACH; steps++) {
    if (next.name === nn.round.name) return Math.ceil(Math.log2(nn.round.read(next).hi - nn.round.read(next).lo + 1));
    const uses: Value["uses"] = next.results[0]?.uses ?? [];
    next = uses.length === 1 ? uses[0]?.op : undefined;
  }
  return 0;
}
