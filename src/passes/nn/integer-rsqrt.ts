/**
 * Reciprocal square root of an integer, by integers, as deep as float32 needs it. The argument is shifted to the upper
 * quarter of its range in steps of powers of four; a table starts Newton's iteration there.
 *
 *     n = v * 4^k in [1/4, 1) * 4^P,  r = 1 / sqrt(n / 4^P) in (1, 2],  1 / sqrt(v) = r * 2^k / 2^P
 *
 * Operations on floats stand for integers here, as everywhere behind `integerize`; nn.round alone rounds.
 */
import { Dense } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { f32 } from "../../ir/types.js";
import type { ExactBuilder } from "./integer-softmax.js";
import { shapeOf } from "../../ir/nn/values.js";

/** Bits of the normalized argument, of the table's address, and of its entries behind the point. */
const ARGUMENT_BITS = 24;
const ADDRESS_BITS = 12;
const START_BITS = 14;
/** Fractional bits of the mantissa. */
export const MANTISSA_BITS = 24;
/** Most bits of the argument. */
const MOST_BITS = 80;

export interface IntegerRsqrt {
  /** In (1, 2], in units of 2^-MANTISSA_BITS. */
  readonly mantissa: Value;
  /** 2^k. */
  readonly power: Value;
  readonly mostPower: number;
  /** 1 / sqrt(v) = mantissa * 2^-MANTISSA_BITS * power * scale. */
  readonly scale: number;
}

/**
 * 1 / sqrt(v) for integers v in [range.lo, range.hi] with range.lo > 0; undefined where v has too many bits.
 */
export function rsqrtOfIntegers(
  b: ExactBuilder,
  v: Value,
  range: { readonly lo: number; readonly hi: number },
  hint: string,
): IntegerRsqrt | undefined {
  const shape = shapeOf(v);
  const P = Math.ceil(Math.log2(range.hi + 1) / 2);
  if (range.lo <= 0 || 2 * P > MOST_BITS) return undefined;
  const scaleBy = (x: Value, exponent: number, name: string): Value =>
    exponent === 0 ? x : b.emit("nn.mul", [x, b.number(2 ** exponent, `${name}_shift`)], shape, {}, `${name}_scaled`);
  const round = (x: Value, exponent: number, lo: number, hi: number, name: string): Value =>
    b.emit("nn.round", [scaleBy(x, exponent, name)], shape, { lo, hi }, name);

  // Normalization, largest shift first. What is shifted is below 2^(2P - shift), so nothing is lost.
  const most = Math.max(0, P - 1 - Math.floor(Math.log2(range.lo) / 2));
  let n = v;
  let power: Value | undefined;
  for (let step = most === 0 ? 0 : 2 ** Math.floor(Math.log2(most)); step >= 1; step /= 2) {
    const limit = 4 ** (P - step);
    const name = `${hint}_by${2 * step}`;
    const below = b.emit("nn.sub", [n, b.number(limit, `${name}_limit`)], shape, {}, `${name}_below`);
    const low = b.emit("nn.clip", [n], shape, { lo: 0, hi: limit - 1 }, `${name}_low`);
    n = b.emit("nn.select_neg", [below, scaleBy(low, 2 * step, name), n], shape, {}, name);
    const factor = b.emit(
      "nn.select_neg",
      [below, b.number(2 ** step, `${name}_power`), b.number(1, `${name}_one`)],
      shape,
      {},
      `${name}_factor`,
    );
    power = power === undefined ? factor : b.emit("nn.mul", [power, factor], shape, {}, `${name}_product`);
  }
  const z = round(n, ARGUMENT_BITS - 2 * P, 2 ** (ARGUMENT_BITS - 2), 2 ** ARGUMENT_BITS, `${hint}_argument`);
  const first = 2 ** (ADDRESS_BITS - 2);
  const address = round(z, ADDRESS_BITS - ARGUMENT_BITS, first, 2 ** ADDRESS_BITS, `${hint}_address`);
  const entries = Float64Array.from({ length: 2 ** ADDRESS_BITS - first + 1 }, (_, i) =>
    Math.round(2 ** START_BITS / Math.sqrt((first + i) / 2 ** ADDRESS_BITS)),
  );
  const r = b.emit(
    "nn.lookup",
    [address],
    shape,
    { first, values: new Dense([entries.length], f32, entries) },
    `${hint}_start`,
  );
  // r (1 + (1 - z r^2) / 2): the relative error of 2^-11 is squared.
  const root = round(
    b.emit("nn.mul", [z, r], shape, {}, `${hint}_product`),
    -START_BITS + 2,
    0,
    2 ** (ARGUMENT_BITS + 3),
    `${hint}_root`,
  );
  const one = ARGUMENT_BITS + START_BITS + 2;
  const rest = b.emit(
    "nn.sub",
    [b.number(2 ** one, `${hint}_one`), b.emit("nn.mul", [root, r], shape, {}, `${hint}_unity`)],
    shape,
    {},
    `${hint}_rest`,
  );
  const reach = 2 ** (MANTISSA_BITS - ADDRESS_BITS + 2);
  const error = round(rest, MANTISSA_BITS - one, -reach, reach, `${hint}_error`);
  const step = round(
    b.emit("nn.mul", [r, error], shape, {}, `${hint}_correction`),
    -START_BITS - 1,
    -2 * reach,
    2 * reach,
    `${hint}_step`,
  );
  const sum = b.emit(
    "nn.add",
    [scaleBy(r, MANTISSA_BITS - START_BITS, `${hint}_start`), step],
    shape,
    {},
    `${hint}_sum`,
  );
  const mantissa = b.emit(
    "nn.clip",
    [sum],
    shape,
    { lo: 2 ** MANTISSA_BITS, hi: 2 ** (MANTISSA_BITS + 1) },
    `${hint}_mantissa`,
  );
  // The steps could shift further than the least argument asks for.
  const limited =
    power === undefined
      ? b.number(1, `${hint}_power`)
      : b.emit("nn.clip", [power], shape, { lo: 1, hi: 2 ** most }, `${hint}_power`);
  return { mantissa, power: limited, mostPower: 2 ** most, scale: 2 ** -P };
}
