/**
 * Reciprocal of an integer, by integers, with more bits than float32 has. The argument is shifted to the upper half of
 * its range; a table starts there, and a step of third order makes its error vanish.
 *
 *     n = v * 2^k in [1/2, 1) * 2^P,  r = 2^P / n in (1, 2],  1 / v = r * 2^k / 2^P
 *
 * Operations on floats stand for integers here, as everywhere behind `integerize`; nn.round alone rounds.
 */
import { Dense } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { f32 } from "../../ir/types.js";
import type { ExactBuilder } from "./integer-softmax.js";
import { shapeOf } from "../../ir/nn/values.js";

/** Bits of the normalized argument, of the table's address, and of its entries behind the point. */
const ARGUMENT_BITS = 25;
const ADDRESS_BITS = 12;
const START_BITS = 14;
/** Bits behind the point of the start's relative error. */
const ERROR_BITS = 30;
/** Fractional bits of the mantissa. */
export const RECIPROCAL_BITS = 26;
/** Most bits of an exact product. */
const PRODUCT_BITS = 50;

export interface IntegerReciprocal {
  /** In [1, 2], in units of 2^-RECIPROCAL_BITS. */
  readonly mantissa: Value;
  /** 2^k. */
  readonly power: Value;
  readonly mostPower: number;
  /** 1 / v = mantissa * 2^-RECIPROCAL_BITS * power * scale. */
  readonly scale: number;
}

/**
 * 1 / v for integers v in [range.lo, range.hi] with range.lo > 0; undefined where v has too many bits. What is less
 * counts as range.lo or as a smaller positive number.
 */
export function reciprocalOfIntegers(
  b: ExactBuilder,
  v: Value,
  range: { readonly lo: number; readonly hi: number },
  hint: string,
): IntegerReciprocal | undefined {
  const shape = shapeOf(v);
  const P = Math.ceil(Math.log2(range.hi + 1));
  const most = Math.max(0, P - 1 - Math.floor(Math.log2(range.lo)));
  if (range.lo <= 0 || P > PRODUCT_BITS || RECIPROCAL_BITS + 1 + most > PRODUCT_BITS) return undefined;
  const scaleBy = (x: Value, exponent: number, name: string): Value =>
    exponent === 0 ? x : b.emit("nn.mul", [x, b.number(2 ** exponent, `${name}_shift`)], shape, {}, `${name}_scaled`);
  const round = (x: Value, exponent: number, lo: number, hi: number, name: string): Value =>
    b.emit("nn.round", [scaleBy(x, exponent, name)], shape, { lo, hi }, name);

  // Normalization, largest shift first. What is shifted is below 2^(P - shift), so nothing is lost.
  let n = v;
  let power: Value | undefined;
  for (let step = most === 0 ? 0 : 2 ** Math.floor(Math.log2(most)); step >= 1; step /= 2) {
    const limit = 2 ** (P - step);
    const name = `${hint}_by${step}`;
    const below = b.emit("nn.sub", [n, b.number(limit, `${name}_limit`)], shape, {}, `${name}_below`);
    const low = b.emit("nn.clip", [n], shape, { lo: 0, hi: limit - 1 }, `${name}_low`);
    n = b.emit("nn.select_neg", [below, scaleBy(low, step, name), n], shape, {}, name);
    const factor = b.emit(
      "nn.select_neg",
      [below, b.number(2 ** step, `${name}_power`), b.number(1, `${name}_one`)],
      shape,
      {},
      `${name}_factor`,
    );
    power = power === undefined ? factor : b.emit("nn.mul", [power, factor], shape, {}, `${name}_product`);
  }
  const z = round(n, ARGUMENT_BITS - P, 2 ** (ARGUMENT_BITS - 1), 2 ** ARGUMENT_BITS, `${hint}_argument`);
  const first = 2 ** (ADDRESS_BITS - 1);
  const address = round(z, ADDRESS_BITS - ARGUMENT_BITS, first, 2 ** ADDRESS_BITS, `${hint}_address`);
  const entries = Float64Array.from({ length: first + 1 }, (_, i) =>
    Math.round(2 ** (START_BITS + ADDRESS_BITS) / (first + i)),
  );
  const r = b.emit(
    "nn.lookup",
    [address],
    shape,
    { first, values: new Dense([entries.length], f32, entries) },
    `${hint}_start`,
  );
  // r (1 + e + e^2) with e = 1 - z r, at most 2^-11: what is left is e^3.
  const one = ARGUMENT_BITS + START_BITS;
  const rest = b.emit(
    "nn.sub",
    [b.number(2 ** one, `${hint}_one`), b.emit("nn.mul", [z, r], shape, {}, `${hint}_unity`)],
    shape,
    {},
    `${hint}_rest`,
  );
  const reach = 2 ** (ERROR_BITS - ADDRESS_BITS + 1);
  const error = round(rest, ERROR_BITS - one, -reach, reach, `${hint}_error`);
  const square = round(
    b.emit("nn.mul", [error, error], shape, {}, `${hint}_squared`),
    -ERROR_BITS,
    0,
    reach ** 2 * 2 ** -ERROR_BITS,
    `${hint}_square`,
  );
  const correction = b.emit("nn.add", [error, square], shape, {}, `${hint}_errors`);
  const largest = 2 ** (RECIPROCAL_BITS - ADDRESS_BITS + 3);
  const step = round(
    b.emit("nn.mul", [r, correction], shape, {}, `${hint}_correction`),
    RECIPROCAL_BITS - START_BITS - ERROR_BITS,
    -largest,
    largest,
    `${hint}_step`,
  );
  const sum = b.emit(
    "nn.add",
    [scaleBy(r, RECIPROCAL_BITS - START_BITS, `${hint}_start`), step],
    shape,
    {},
    `${hint}_sum`,
  );
  const mantissa = b.emit(
    "nn.clip",
    [sum],
    shape,
    { lo: 2 ** RECIPROCAL_BITS, hi: 2 ** (RECIPROCAL_BITS + 1) },
    `${hint}_mantissa`,
  );
  // The steps could shift further than the least argument asks for.
  const limited =
    power === undefined
      ? b.number(1, `${hint}_power`)
      : b.emit("nn.clip", [power], shape, { lo: 1, hi: 2 ** most }, `${hint}_power`);
  return { mantissa, power: limited, mostPower: 2 ** most, scale: 2 ** -P };
}
