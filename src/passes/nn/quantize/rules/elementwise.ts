/** Operations element by element in fixed point: sums, products, choices, limits. */
import type { Op, Value } from "../../../../ir/core.js";
import { decidesBySign } from "../../../../ir/define-op.js";
import * as nn from "../../../../ir/nn/ops.js";
import { EXACT_LIMIT, type FixedValues } from "../fixed-values.js";
import { feedsWhole } from "../tensor-roles.js";
import { SCALE_BITS } from "../width-rules.js";
import { limitsAt } from "./integers.js";

/** Operands that become integers are rounded first beyond this width only. */
const WHOLE_LIMIT = 50;
/** Most significant bits of the slope of a leaky relu. */
const MAX_SLOPE_BITS = 10;
/** Significant bits of constants that are chosen from. */
const LIGHT_CONSTANT_BITS = 12;

/** add, sub, max, min: constants take the other operand's fractional bits. */
export function aligned(op: Op, f: FixedValues): Value {
  const [p, q] = [op.operand(0), op.operand(1)];
  if (f.isConstant(p) || f.isConstant(q)) {
    const x = f.operand(f.isConstant(p) ? q : p);
    // A few bits more than a final format has, where x is one; and as many as the sum needs, where x is one of
    // integers.
    const extreme = op.name === nn.max.name || op.name === nn.min.name;
    const constant = f.isConstant(p) ? p : q;
    const place = (c: Value): Value => f.emit(op.name, f.isConstant(p) ? [c, x] : [x, c], op.result, op.attrs);
    if (extreme && f.isNeutral(constant, op.name === nn.max.name ? -1 : 1))
      return place(f.limited(constant, f.elem(x)));
    if (op.name === nn.sub.name && comparesOnly(op.result))
      return place(f.threshold(constant, f.elem(x).frac, f.isConstant(p)));
    const frac = extreme
      ? f.elem(x).frac
      : f.final.has(x)
        ? f.elem(x).frac + 2
        : Math.max(f.elem(x).frac, f.plan.format(op.result).frac);
    return place(f.constantAt(constant, frac, f.pendingShift.get(op)));
  }
  let [a, b] = [f.operand(p), p === q ? f.operand(p) : f.operand(q)];
  // Formats far apart would make a sum of all their bits; the wider one can be rounded first.
  const spanOf = (): number => {
    const [s, t] = [f.elem(a), f.elem(b)];
    return Math.max(s.width - s.frac, t.width - t.frac) + Math.max(s.frac, t.frac) + 1;
  };
  if (spanOf() > EXACT_LIMIT) {
    a = f.narrow(p);
    b = f.narrow(q);
  }
  return f.emit(op.name, [a, b], op.result, op.attrs);
}

/** Of an operation that a program adds: constants are as fine as the finest of the others. */
export function alignedAny(op: Op, f: FixedValues): Value {
  const computed = op.operands.map((v) => (f.isConstant(v) ? undefined : f.operand(v)));
  const finest = computed.reduce((m, x) => (x === undefined ? m : Math.max(m, f.elem(x).frac)), -Infinity);
  const frac = Number.isFinite(finest) ? finest : f.plan.format(op.result).frac;
  return f.emit(
    op.name,
    op.operands.map((v, i) => computed[i] ?? f.constantAt(v, frac)),
    op.result,
    op.attrs,
  );
}

/** Element by element of the exact operand. */
export function exact(op: Op, f: FixedValues): Value {
  return f.emit(
    op.name,
    op.operands.map((v) => f.operand(v)),
    op.result,
    op.attrs,
  );
}

export function relu(op: Op, f: FixedValues): Value {
  const x = f.operand(op.operand(0));
  const y = f.emit(op.name, [x], op.result, op.attrs);
  if (f.final.has(x)) f.final.add(y);
  return y;
}

/** Every bit of an operand is a row of a multiplier. */
export function product(op: Op, f: FixedValues): Value {
  return f.emit(
    op.name,
    op.operands.map((v) => f.factor(v, op)),
    op.result,
    op.attrs,
  );
}

export function mul(op: Op, f: FixedValues): Value {
  return feedsWhole(op.result) ? phase(op, f) : product(op, f);
}

/** A product that becomes an integer or a phase: a small error moves what is close to a step to its other side. */
function phase(op: Op, f: FixedValues): Value {
  const c = op.operands.findIndex((v) => f.isConstant(v));
  const other = op.operand(c === 0 ? 1 : 0);
  if (c < 0) return product(op, f);
  const exact = f.exactOf(other);
  const x = f.elem(exact).width <= SCALE_BITS ? exact : f.narrow(other);
  const factor = f.fineConstant(op.operand(c), f.elem(x).width, Math.max(SCALE_BITS, f.elem(x).width + 3));
  return f.emit(op.name, c === 0 ? [factor, x] : [x, factor], op.result, op.attrs);
}

/** Integers, and what they leave, of the exact operand. */
export function fraction(op: Op, f: FixedValues): Value {
  const x = f.exactOf(op.operand(0));
  return f.emit(op.name, [f.elem(x).width <= WHOLE_LIMIT ? x : f.narrow(op.operand(0))], op.result, op.attrs);
}

export function whole(op: Op, f: FixedValues): Value {
  const y = fraction(op, f);
  f.final.add(y);
  f.wholes.add(op.result);
  return y;
}

/** The sign of x decides between a and b; constants among them take the other's grid. */
export function select(op: Op, f: FixedValues): Value {
  const [p, q] = [op.operand(1), op.operand(2)];
  // Rounding a small negative number to 0 would change its sign, which is all that counts here.
  const condition = f.exactOf(op.operand(0));
  const x = f.elem(condition).width <= EXACT_LIMIT ? condition : f.narrow(op.operand(0));
  const [a, b] = [f.isConstant(p) ? undefined : f.operand(p), f.isConstant(q) ? undefined : f.operand(q)];
  const frac = (other: Value | undefined, v: Value): Value =>
    f.reachesBeyond(v)
      ? f.limited(v, other === undefined ? f.plan.format(op.result) : f.elem(other))
      : other === undefined
        ? f.constant(v, LIGHT_CONSTANT_BITS)
        : f.constantAt(v, f.elem(other).frac);
  const y = f.emit(op.name, [x, a ?? frac(b, p), b ?? frac(a, q)], op.result, op.attrs);
  if ([a, b].every((v) => v === undefined || f.final.has(v))) f.final.add(y);
  return y;
}

/**
 * The slope gets as many fractional bits as keep its error below an eighth of the result's LSB: each one widens the
 * product.
 */
export function leakyRelu(op: Op, f: FixedValues): Value {
  const slope = nn.leakyRelu.read(op).slope;
  const x = f.operand(op.operand(0), EXACT_LIMIT - MAX_SLOPE_BITS);
  const reach = Math.max(0, -f.plan.statsOf(op.operand(0)).min);
  const tolerance = 2 ** -f.plan.format(op.result).frac / 8;
  const first = slope === 0 ? 0 : -Math.floor(Math.log2(Math.abs(slope)));
  let frac = Math.max(0, first);
  const rounded = (): number => Math.floor(slope * 2 ** frac + 0.5);
  while (frac < first + MAX_SLOPE_BITS - 1 && Math.abs(slope - rounded() * 2 ** -frac) * reach > tolerance) frac++;
  return f.emit(op.name, [x], op.result, { ...op.attrs, slope_raw: rounded(), slope_frac: frac });
}

/** Limits are rounded to the operand's grid. */
export function clip(op: Op, f: FixedValues): Value {
  const x = f.operand(op.operand(0));
  return f.emit(op.name, [x], op.result, { ...op.attrs, ...limitsAt(op, f.elem(x).frac) });
}

/** Whether nothing but the sign of `v` is looked at. */
function comparesOnly(v: Value): boolean {
  return v.uses.length > 0 && v.uses.every(({ op, index }) => decidesBySign(op, index));
}
