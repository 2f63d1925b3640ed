/** Sums, products, limits and quotients of integers, element by element. */
import type { Op, Value } from "../../../ir/core.js";
import { dividedByRoot } from "../integer-normalize.js";
import { fieldOfDense, map, only, scalar, times, ZERO, zip } from "./field.js";
import type { Refuse, ScaledOf } from "./linear.js";
import {
  countsOf,
  isCount,
  PRODUCT_BITS,
  productRange,
  sameShape,
  sumRange,
  withScale,
  type IntegerBuilder,
  type Range,
  type Scaled,
} from "./scaled.js";
import { constantOf, shapeOf } from "../../../ir/nn/values.js";
import * as nn from "../../../ir/nn/ops.js";

/** Largest factor between the units of two tensors that are added as integers. */
const MAX_RATIO = 1024;

/** Sums of squares, and squares, with the integers that were squared. */
export type Squares = Map<Value, Value>;

/** add, sub, mul, div with a constant: only the scale or the offset changes. */
export function byConstant(op: Op, scaledOf: ScaledOf, refuse: Refuse): Scaled | undefined {
  const [p, q] = [op.operand(0), op.operand(1)];
  const at = constantOf(q) !== undefined ? 1 : 0;
  const c = constantOf(op.operand(at));
  const s = scaledOf(op.operand(1 - at));
  if (c === undefined || s === undefined) return undefined;
  if (shapeOf(op.result).join() !== shapeOf(s.u).join()) return refuse("a constant broadcasts its other input");
  const f = fieldOfDense(c);
  switch (op.name) {
    case "nn.add":
      return { ...s, offset: zip(s.offset, f, (o, v) => o + v) };
    case "nn.sub":
      return at === 1
        ? { ...s, offset: zip(s.offset, f, (o, v) => o - v) }
        : { ...s, scale: map(s.scale, (v) => -v), offset: zip(f, s.offset, (v, o) => v - o) };
    default: {
      if (op.name === "nn.div" && at === 0) return p === q ? undefined : refuse("it divides by a computed tensor");
      const factor = op.name === "nn.mul" ? f : map(f, (v) => 1 / v);
      return factor.data.every((v) => v !== 0 && Number.isFinite(v))
        ? withScale(s, factor)
        : refuse("it is multiplied by 0");
    }
  }
}

/** Sum or difference of two tensors, where the unit of one is a multiple of the other's. */
export function sum(b: IntegerBuilder, op: Op, scaledOf: ScaledOf): Scaled | undefined {
  const [p, q] = op.operands.map(scaledOf);
  const [f, g] = [p && only(p.scale), q && only(q.scale)];
  if (p?.range === undefined || q?.range === undefined || f === undefined || g === undefined) return undefined;
  const unit = Math.min(Math.abs(f), Math.abs(g));
  const counts = [f / unit, (op.name === "nn.add" ? g : -g) / unit];
  if (counts.some((c) => Math.abs(c - Math.round(c)) > Math.abs(c) * 2 ** -22 || Math.abs(c) > MAX_RATIO))
    return undefined;
  const [m, n] = counts.map(Math.round) as [number, number];
  const offset = zip(p.offset, q.offset, (x, y) => (op.name === "nn.add" ? x + y : x - y));
  const subtract = n < 0 && m > 0;
  const u = b.exact(
    subtract ? "nn.sub" : "nn.add",
    [b.multiply(p.u, scalar(m)), b.multiply(q.u, scalar(subtract ? -n : n))],
    shapeOf(op.result),
    {},
    op.result.hint,
  );
  const range = sumRange(productRange(p.range, { lo: m, hi: m }), productRange(q.range, { lo: n, hi: n }));
  return { u, scale: scalar(unit), offset, range };
}

/** The product of two tensors of integers, which may be broadcast. */
export function product(
  b: IntegerBuilder,
  op: Op,
  scaledOf: ScaledOf,
  squares: Squares,
  refuse: Refuse,
): Scaled | undefined {
  const [x, y] = op.operands.map(scaledOf);
  if (x === undefined || y === undefined) return undefined;
  const p = b.centred(x);
  const q = y === x || (y.u === x.u && y.offset === x.offset) ? p : b.centred(y);
  if (p === undefined || q === undefined) return refuse("a factor has an offset that is no multiple of its scale");
  const range =
    p.range === undefined || q.range === undefined
      ? undefined
      : p.u === q.u
        ? squareRange(p.range)
        : productRange(p.range, q.range);
  if (range !== undefined && Math.max(-range.lo, range.hi) >= 2 ** PRODUCT_BITS)
    return refuse("its products have too many bits");
  const u = b.exact(op.name, [p.u, q.u], shapeOf(op.result), {}, op.result.hint);
  if (p.u === q.u) squares.set(u, p.u);
  return { u, scale: times(p.scale, q.scale), offset: ZERO, range };
}

/**
 * d / sqrt(sum of d^2 + epsilon), as normalizations divide: with all the bits that float32 has. |d| is at most the
 * root, so the quotient lies in [-1, 1] times a scale.
 */
export function quotient(
  b: IntegerBuilder,
  op: Op,
  scaledOf: ScaledOf,
  squares: Squares,
  refuse: Refuse,
): Scaled | undefined {
  const x = scaledOf(op.operand(0));
  if (x === undefined) return undefined;
  const d = b.centred(x);
  const no = (): undefined => refuse("it divides by a computed tensor that is no root of a sum of its squares");
  const divisor = op.operand(1).def;
  const s =
    divisor?.name === nn.unary.name && nn.unary.read(divisor).fn === "sqrt" ? scaledOf(divisor.operand(0)) : undefined;
  const [f, g, e] = [d && only(d.scale), s && only(s.scale), s && only(s.offset)];
  if (
    d?.range === undefined ||
    s?.range === undefined ||
    f === undefined ||
    g === undefined ||
    e === undefined ||
    e < 0 ||
    squares.get(s.u) !== d.u
  )
    return no();
  const found = dividedByRoot(
    b.forFunctions(),
    { u: d.u, range: d.range },
    { u: s.u, range: s.range, epsilon: e / g },
    op.result.hint ?? "normalized",
  );
  return found === undefined
    ? no()
    : { u: found.u, scale: scalar((f / Math.sqrt(g)) * found.unit), offset: ZERO, range: found.range };
}

/** relu and clip: limits of the integers where they are such. */
export function limit(b: IntegerBuilder, op: Op, scaledOf: ScaledOf): Scaled | undefined {
  const x = scaledOf(op.operand(0));
  const s = x && b.positive(x);
  if (s === undefined) return undefined;
  const { lo, hi } = op.name === nn.relu.name ? { lo: 0, hi: Infinity } : nn.clip.read(op);
  const own = only(s.scale) === undefined || only(s.offset) === undefined ? undefined : limitsOf(s, lo, hi);
  if (own !== undefined && s.range !== undefined) {
    if (own.lo <= s.range.lo && own.hi >= s.range.hi) return s;
    if (own.lo !== 0 || own.hi !== Infinity) {
      const attrs = { ...(own.lo > s.range.lo && { lo: own.lo }), ...(own.hi < s.range.hi && { hi: own.hi }) };
      return {
        ...s,
        u: b.exact("nn.clip", [s.u], shapeOf(s.u), attrs, op.result.hint),
        range: limited(s.range, own.lo, own.hi),
      };
    }
  }
  if (lo !== 0 || hi !== Infinity) {
    // Zero points that differ between channels come off first.
    const c = only(s.offset) === undefined && only(s.scale) !== undefined ? b.centred(s) : undefined;
    const limits = c && limitsOf(c, lo, hi);
    return (
      c &&
      limits && {
        ...c,
        u: b.exact("nn.clip", [c.u], shapeOf(c.u), { ...limits }, op.result.hint),
        range: c.range && limited(c.range, limits.lo, limits.hi),
      }
    );
  }
  // A relu goes behind the bias, whatever that is.
  const c = b.centred(s) ?? biased(b, s);
  return (
    c && {
      ...c,
      u: b.exact("nn.relu", [c.u], shapeOf(c.u), {}, op.result.hint),
      range: c.range && limited(c.range, 0, Infinity),
    }
  );
}

/** Integers that are counts of small units take a bias with fractional bits before they are scaled. */
export function biased(b: IntegerBuilder, s: Scaled): Scaled | undefined {
  if (isCoarse(s.range)) return undefined;
  const ratio = zip(s.offset, s.scale, (o, f) => o / f);
  return { u: b.add(s.u, ratio), scale: s.scale, offset: ZERO, range: undefined };
}

/** Few values: a unit is a visible part of what they stand for. */
const FINE_RANGE = 2 ** 12;
export function isCoarse(r: Range | undefined): boolean {
  return r !== undefined && r.hi - r.lo < FINE_RANGE;
}

/** Limits of u where both are integers, or beyond what u can be. */
function limitsOf(s: Scaled, lo: number, hi: number): Range | undefined {
  const [f, o] = [only(s.scale)!, only(s.offset)!];
  const at = (v: number, beyond: boolean): number | undefined =>
    !Number.isFinite(v) || beyond ? v : isCount(v) ? Math.round(v) + 0 : undefined;
  const [p, q] = [(lo - o) / f, (hi - o) / f];
  const a = at(p, s.range !== undefined && p <= s.range.lo);
  const z = at(q, s.range !== undefined && q >= s.range.hi);
  return a === undefined || z === undefined ? undefined : { lo: a, hi: z };
}
function limited(r: Range, lo: number, hi: number): Range {
  const at = (v: number): number => Math.min(hi, Math.max(lo, v));
  return { lo: at(r.lo), hi: at(r.hi) };
}
function squareRange(p: Range): Range {
  return { lo: 0, hi: Math.max(p.lo * p.lo, p.hi * p.hi) };
}

/** The larger, or smaller, of two tensors with the same scale. */
export function extreme(b: IntegerBuilder, op: Op, scaledOf: ScaledOf): Scaled | undefined {
  const [c, s] =
    constantOf(op.operand(1)) !== undefined
      ? [constantOf(op.operand(1)), scaledOf(op.operand(0))]
      : [constantOf(op.operand(0)), scaledOf(op.operand(1))];
  if (c !== undefined) {
    const at = only(fieldOfDense(c));
    if (
      s === undefined ||
      at === undefined ||
      shapeOf(s.u).join() !== shapeOf(op.result).join() ||
      only(s.scale) === undefined ||
      only(s.offset) === undefined
    )
      return undefined;
    const x = b.positive(s)!;
    const limits = limitsOf(x, op.name === "nn.max" ? at : -Infinity, op.name === "nn.min" ? at : Infinity);
    return (
      limits && {
        ...x,
        u: b.exact("nn.clip", [x.u], shapeOf(x.u), { ...limits }, op.result.hint),
        range: x.range && limited(x.range, limits.lo, limits.hi),
      }
    );
  }
  const [x, y] = op.operands.map((v) => scaledOf(v));
  const [p, q] = [x && b.positive(x), y && b.positive(y)];
  if (p === undefined || q === undefined || only(p.scale) === undefined || only(p.scale) !== only(q.scale))
    return undefined;
  const apart = countsOf(
    zip(
      zip(q.offset, p.offset, (v, w) => v - w),
      p.scale,
      (v, f) => v / f,
    ),
  );
  if (apart === undefined || !sameShape(p.u, q.u)) return undefined;
  const u = b.exact(op.name, [p.u, b.add(q.u, apart)], shapeOf(op.result), {}, op.result.hint);
  return { ...p, u, range: undefined };
}
