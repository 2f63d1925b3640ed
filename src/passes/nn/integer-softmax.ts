/**
 * Softmax of integers, by integers. exp of the difference to the row's maximum is a table without rounding of its
 * argument, or the product of two tables, of the upper and the lower part of the difference; the quotient is a product
 * with a reciprocal.
 *
 *     d = u - max(u),  e = exp(scale * d) * 2^EXP_BITS,  y = e / sum(e)
 *
 * Each step keeps more bits than float32 does.
 *
 * Operations on floats stand for integers here, as everywhere behind `integerize`; nn.round alone rounds.
 */
import { Dense, type Attr } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { f32 } from "../../ir/types.js";
import { reciprocalOfIntegers, RECIPROCAL_BITS } from "./integer-reciprocal.js";
import { shapeOf } from "../../ir/nn/values.js";

/** Builds operations that keep every bit. */
export interface ExactBuilder {
  readonly emit: (
    name: string,
    operands: readonly Value[],
    shape: readonly number[],
    attrs: Readonly<Record<string, Attr>>,
    hint: string,
  ) => Value;
  readonly number: (value: number, hint: string) => Value;
}

/** Fractional bits of exp; its largest value is 1. */
const EXP_BITS = 24;
/** Fractional bits of the two factors of an exp from two tables. */
const FACTOR_BITS = 25;
/** Fractional bits of the result. */
export const SOFTMAX_BITS = 26;
/** Most entries of one table of exp, and of the argument's values. */
const MAX_TABLE = 1024;
export const SOFTMAX_VALUES = MAX_TABLE ** 2;

/** Which elements count: the operand of the choice between an element (below 0) and what stands for nothing. */
export interface IntegerMask {
  readonly competes: Value;
  readonly counts: Value;
}

/**
 * softmax(scale * u) in units of 2^-SOFTMAX_BITS, for up to SOFTMAX_VALUES u in [lo, hi] along `axis`; undefined where
 * a row is too long. Rows in which nothing counts are 0.
 *
 * @param range limits of u
 */
export function softmaxOfIntegers(
  b: ExactBuilder,
  all: Value,
  scale: number,
  range: { readonly lo: number; readonly hi: number },
  axis: number,
  hint: string,
  mask?: IntegerMask,
): Value | undefined {
  const shape = shapeOf(all);
  const row = shape.map((d, i) => (i === axis ? 1 : d));
  const fold = { axes: [axis], keepdims: true };

  const masked = (v: Value, by: Value | undefined, nothing: number, name: string): Value =>
    by === undefined ? v : b.emit("nn.select_neg", [by, v, b.number(nothing, `${name}_nothing`)], shape, {}, name);
  const u = masked(all, mask?.competes, range.lo, `${hint}_open`);
  const top = b.emit("nn.reduce", [u], row, { ...fold, kind: "max" }, `${hint}_max`);
  const below = b.emit("nn.sub", [u, top], shape, {}, `${hint}_argument`);
  const e = masked(expOf(b, below, scale, range.hi - range.lo, hint), mask?.counts, 0, `${hint}_kept`);
  const sum = b.emit("nn.reduce", [e], row, { ...fold, kind: "sum" }, `${hint}_sum`);

  const r = reciprocalOfIntegers(b, sum, { lo: 2 ** EXP_BITS, hi: shape[axis]! * 2 ** EXP_BITS }, hint);
  if (r === undefined) return undefined;
  // 1 / sum, in [0, 1].
  const power = b.emit("nn.mul", [r.mantissa, r.power], row, {}, `${hint}_power_of_sum`);
  const unit = r.scale * 2 ** (EXP_BITS - RECIPROCAL_BITS + SOFTMAX_BITS);
  const inverse = rounded(b, power, unit, 0, 2 ** SOFTMAX_BITS, `${hint}_reciprocal`);
  return rounded(
    b,
    b.emit("nn.mul", [e, inverse], shape, {}, `${hint}_quotient`),
    2 ** -EXP_BITS,
    0,
    2 ** SOFTMAX_BITS,
    hint,
  );
}

function rounded(b: ExactBuilder, v: Value, factor: number, lo: number, hi: number, name: string): Value {
  const shape = shapeOf(v);
  return b.emit(
    "nn.round",
    [b.emit("nn.mul", [v, b.number(factor, `${name}_shift`)], shape, {}, `${name}_scaled`)],
    shape,
    { lo, hi },
    name,
  );
}

/** exp(scale * d) * 2^EXP_BITS for d in [-span, 0]. */
function expOf(b: ExactBuilder, d: Value, scale: number, span: number, hint: string): Value {
  const shape = shapeOf(d);
  const table = (v: Value, entries: number, step: number, bits: number, name: string): Value => {
    const values = Float64Array.from({ length: entries }, (_, k) =>
      Math.round(Math.exp(scale * step * (k - entries + 1)) * 2 ** bits),
    );
    return b.emit("nn.lookup", [v], shape, { first: 1 - entries, values: new Dense([entries], f32, values) }, name);
  };
  if (span < MAX_TABLE) return table(d, span + 1, 1, EXP_BITS, `${hint}_exp`);
  // d = step * upper - lower with lower in [0, step): a number halfway cannot occur.
  const step = 2 ** Math.ceil(Math.log2(span + 1) / 2);
  const most = Math.floor(span / step);
  const raised = b.emit("nn.add", [d, b.number((step - 1) / 2, `${hint}_half`)], shape, {}, `${hint}_raised`);
  const upper = rounded(b, raised, 1 / step, -most, 0, `${hint}_upper`);
  const whole = b.emit("nn.mul", [upper, b.number(step, `${hint}_step`)], shape, {}, `${hint}_whole`);
  const lower = b.emit(
    "nn.clip",
    [b.emit("nn.sub", [d, whole], shape, {}, `${hint}_rest_of_argument`)],
    shape,
    { lo: 1 - step, hi: 0 },
    `${hint}_lower`,
  );
  const product = b.emit(
    "nn.mul",
    [
      table(upper, most + 1, step, FACTOR_BITS, `${hint}_exp_upper`),
      table(lower, step, 1, FACTOR_BITS, `${hint}_exp_lower`),
    ],
    shape,
    {},
    `${hint}_exp_product`,
  );
  return rounded(b, product, 2 ** (EXP_BITS - 2 * FACTOR_BITS), 0, 2 ** EXP_BITS, `${hint}_exp`);
}
