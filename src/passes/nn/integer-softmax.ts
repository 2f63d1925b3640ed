/**
 * Softmax of integers, by integers. The difference to the row's maximum has few values, so exp is a table without rounding of
 * its argument; the quotient is a product with a reciprocal that Newton's iteration makes as exact as its factors.
 *
 *     d = u - max(u),  e = exp(scale * d) * 2^EXP_BITS,  r = 2^(EXP_BITS + R) / sum(e),  y = e * r
 *
 * Operations on floats stand for integers here, as everywhere behind `integerize`; nn.round alone rounds.
 */
import { Dense, type Attr } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { f32, type TensorType } from "../../ir/types.js";

/** Builds operations that keep every bit. */
export interface ExactBuilder {
  readonly emit: (name: string, operands: readonly Value[], shape: readonly number[], attrs: Readonly<Record<string, Attr>>, hint: string) => Value;
  readonly number: (value: number, hint: string) => Value;
}

/** Fractional bits of exp; its largest value is 1. */
const EXP_BITS = 18;
/** Fractional bits of the result. */
export const SOFTMAX_BITS = 22;
/** Most entries of the table that starts the reciprocal, and the least per octave. */
const RECIPROCAL_ENTRIES = 4096;
const LEAST_STEPS = 16;
/** Relative precision of the reciprocal, in bits. */
const RELATIVE_BITS = 20;
/** Most bits of an exact product. */
const PRODUCT_BITS = 50;

/** Which elements count: the operand of the choice between an element (below 0) and what stands for nothing. */
export interface IntegerMask {
  readonly competes: Value;
  readonly counts: Value;
}

/**
 * softmax(scale * u) in units of 2^-SOFTMAX_BITS, for u in [lo, hi] along `axis`; undefined where a row is too long. Rows in which
 * nothing counts are 0.
 *
 * @param range limits of u
 */
export function softmaxOfIntegers(b: ExactBuilder, all: Value, scale: number, range: { readonly lo: number; readonly hi: number }, axis: number, hint: string, mask?: IntegerMask): Value | undefined {
  const shape = (all.type as TensorType).shape;
  const n = shape[axis]!;
  const octaves = Math.ceil(Math.log2(n));
  const steps = 2 ** Math.floor(Math.log2(RECIPROCAL_ENTRIES / n));
  if (steps < LEAST_STEPS) return undefined;
  const row = shape.map((d, i) => (i === axis ? 1 : d));
  const fold = { axes: [axis], keepdims: true };
  const span = range.hi - range.lo;
  const scaleBy = (v: Value, exponent: number, at: readonly number[], name: string): Value => b.emit("nn.mul", [v, b.number(2 ** exponent, `${name}_shift`)], at, {}, `${name}_scaled`);
  const round = (v: Value, exponent: number, lo: number, hi: number, at: readonly number[], name: string): Value => b.emit("nn.round", [scaleBy(v, exponent, at, name)], at, { lo, hi }, name);
  const lookup = (v: Value, first: number, values: Float64Array, at: readonly number[], name: string): Value => b.emit("nn.lookup", [v], at, { first, values: new Dense([values.length], f32, values) }, name);

  const masked = (v: Value, by: Value | undefined, nothing: number, name: string): Value => (by === undefined ? v : b.emit("nn.select_neg", [by, v, b.number(nothing, `${name}_nothing`)], shape, {}, name));
  const u = masked(all, mask?.competes, range.lo, `${hint}_open`);
  const top = b.emit("nn.reduce", [u], row, { ...fold, kind: "max" }, `${hint}_max`);
  const below = b.emit("nn.sub", [u, top], shape, {}, `${hint}_argument`);
  const powers = lookup(below, -span, Float64Array.from({ length: span + 1 }, (_, k) => Math.round(Math.exp(scale * (k - span)) * 2 ** EXP_BITS)), shape, `${hint}_exp`);
  const e = masked(powers, mask?.counts, 0, `${hint}_kept`);
  const sum = b.emit("nn.reduce", [e], row, { ...fold, kind: "sum" }, `${hint}_sum`);

  // sum lies in [1, n] * 2^EXP_BITS; the reciprocal in [1 / n, 1] * 2^R.
  const R = Math.min(RELATIVE_BITS + octaves, PRODUCT_BITS - EXP_BITS - octaves - 1);
  const one = EXP_BITS + R;
  const index = round(sum, Math.log2(steps) - EXP_BITS, steps, n * steps, row, `${hint}_index`);
  let r = lookup(index, steps, Float64Array.from({ length: (n - 1) * steps + 1 }, (_, k) => Math.round((2 ** R * steps) / (steps + k))), row, `${hint}_reciprocal`);
  // r (1 + (1 - sum r)): each iteration squares the relative error.
  for (let bits = Math.log2(steps) + 1; bits < RELATIVE_BITS; bits *= 2) {
    const product = b.emit("nn.mul", [sum, r], row, {}, `${hint}_unity`);
    const rest = b.emit("nn.sub", [b.number(2 ** one, `${hint}_one`), product], row, {}, `${hint}_rest`);
    const reach = 2 ** Math.ceil(RELATIVE_BITS + 3 - bits);
    const error = round(rest, RELATIVE_BITS + 2 - one, -reach, reach, row, `${hint}_error`);
    const step = round(b.emit("nn.mul", [r, error], row, {}, `${hint}_product`), -(RELATIVE_BITS + 2), -(2 ** (R - 2)), 2 ** (R - 2), row, `${hint}_step`);
    r = b.emit("nn.clip", [b.emit("nn.add", [r, step], row, {}, `${hint}_sum_of_steps`)], row, { lo: 0, hi: 2 ** R }, `${hint}_reciprocal`);
  }
  return round(b.emit("nn.mul", [e, r], shape, {}, `${hint}_quotient`), SOFTMAX_BITS - one, 0, 2 ** SOFTMAX_BITS, shape, hint);
}
