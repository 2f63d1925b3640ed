/** What normalizations divide: a deviation by the root of the squares of all of them, by integers. */
import type { Value } from "../../ir/core.js";
import { MANTISSA_BITS, rsqrtOfIntegers } from "./integer-rsqrt.js";
import type { ExactBuilder } from "./integer-softmax.js";
import { shapeOf } from "../../ir/nn/values.js";

/** Most bits of the first product, which limits that are numbers follow, and of the second, which a factor follows. */
const FIRST_BITS = 50;
const PRODUCT_BITS = 100;
/** Fractional bits of the quotient, which lies in [-1, 1]: at least so many, and at most. */
const QUOTIENT_BITS = 22;
const MOST_QUOTIENT_BITS = 30;
/** Bits of the first product that are rounded off. */
const DROPPED_BITS = 8;
/** Significant bits that epsilon keeps, and the most bits behind the point for them. */
const EPSILON_BITS = 20;
const MAX_FRAC = 8;

interface Ranged {
  readonly u: Value;
  readonly range: { readonly lo: number; readonly hi: number };
}

/**
 * d / sqrt(v + epsilon) = u * unit for integers d and the sum v of the squares of all d, so that |d| is at most the
 * root; with all the bits that float32 has. Undefined where the products have too many bits.
 */
export function dividedByRoot(
  b: ExactBuilder,
  d: Ranged,
  v: Ranged & { readonly epsilon: number },
  hint: string,
): (Ranged & { readonly unit: number }) | undefined {
  // v and epsilon, with bits behind the point where epsilon needs them.
  const frac = Math.min(MAX_FRAC, Math.max(0, EPSILON_BITS - Math.floor(Math.log2(1 + v.epsilon))));
  const least = Math.max(1, Math.round(v.epsilon * 2 ** frac));
  const row = shapeOf(v.u);
  const shifted =
    frac === 0 ? v.u : b.emit("nn.mul", [v.u, b.number(2 ** frac, `${hint}_shift`)], row, {}, `${hint}_shifted`);
  const sum = b.emit("nn.add", [shifted, b.number(least, `${hint}_epsilon`)], row, {}, `${hint}_sum`);
  const root = rsqrtOfIntegers(b, sum, { lo: least, hi: v.range.hi * 2 ** frac + least }, `${hint}_root`);
  const largest = Math.max(-d.range.lo, d.range.hi);
  const bits = Math.log2(largest) + MANTISSA_BITS + 2 - DROPPED_BITS;
  if (root === undefined || bits > FIRST_BITS || bits + Math.log2(root.mostPower) > PRODUCT_BITS) return undefined;
  const shape = shapeOf(d.u);
  // The lowest bits of the first product are far below the result's last one, whatever the power.
  const most = largest * 2 ** (MANTISSA_BITS + 1 - DROPPED_BITS);
  const first = b.emit("nn.mul", [d.u, root.mantissa], shape, {}, `${hint}_mantissa`);
  const dropped = b.emit("nn.mul", [first, b.number(2 ** -DROPPED_BITS, `${hint}_drop`)], shape, {}, `${hint}_dropped`);
  const product = b.emit(
    "nn.mul",
    [b.emit("nn.round", [dropped], shape, { lo: -most, hi: most }, `${hint}_short`), root.power],
    shape,
    {},
    `${hint}_product`,
  );
  // One step of d makes a difference where the squares are those of numbers of a quarter of the largest.
  const terms = Math.max(1, v.range.hi / largest ** 2);
  const quotientBits = Math.max(
    QUOTIENT_BITS,
    Math.min(MOST_QUOTIENT_BITS, Math.ceil(Math.log2(largest) + Math.log2(terms) / 2 - 2)),
  );
  const limit = 2 ** quotientBits;
  const unit = b.number(root.scale * 2 ** (quotientBits - MANTISSA_BITS + DROPPED_BITS), `${hint}_unit`);
  const u = b.emit(
    "nn.round",
    [b.emit("nn.mul", [product, unit], shape, {}, `${hint}_scaled`)],
    shape,
    { lo: -limit, hi: limit },
    hint,
  );
  return { u, range: { lo: -limit, hi: limit }, unit: 2 ** (frac / 2 - quotientBits) };
}
