/**
 * Range selection: the fixed-point format of a given width with the least expected squared error over calibration
 * values, rounding and clipping together. One step of the binary point halves the rounding error and doubles the
 * clipping, so only a few candidates compete.
 *
 * @source the MSE criterion of Sung, Shin, Hwang: "Resiliency of deep neural networks under quantization" (2015)
 */
import { fixed, rawRange, ufixed, type FixedType } from "../../../ir/types.js";
import type { TensorStats } from "./calibrate.js";

/** Mean squared error of rounding to nearest and saturating `values` to `type`. */
export function quantizationError(values: ArrayLike<number>, type: FixedType, weight?: ArrayLike<number>): number {
  const { lo, hi } = rawRange(type);
  const [scale, unit] = [2 ** type.frac, 2 ** -type.frac];
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    let r = Math.floor(v * scale + 0.5);
    r = r > hi ? hi : r < lo ? lo : r;
    const e = v - r * unit;
    sum += weight === undefined ? e * e : e * e * weight[i]!;
  }
  return values.length === 0 ? 0 : sum / values.length;
}

/** The largest number of fractional bits at which `min` and `max` are in range. */
export function unclippedFrac(min: number, max: number, width: number, signed: boolean): number {
  const positive = signed ? 2 ** (width - 1) - 1 : 2 ** width - 1;
  const bounds: number[] = [];
  if (max > 0) bounds.push(Math.floor(Math.log2(positive / max)));
  if (min < 0) bounds.push(Math.floor(Math.log2(2 ** (width - 1) / -min)));
  if (bounds.length === 0) return signed ? width - 1 : width;
  // Beyond these, a sum with any other tensor would keep bits that are noise.
  return Math.max(-40, Math.min(40, ...bounds));
}

/** How far beyond the unclipped range the search goes: 4 steps clip everything above 1/16 of the largest value. */
const STEPS = 4;

/** The format of `width` bits with the least squared error; unsigned where no value is negative. */
export function chooseFormat(stats: TensorStats, width: number): FixedType {
  const signed = stats.min < 0;
  const first = unclippedFrac(stats.min, stats.max, width, signed);
  const make = (frac: number): FixedType => (signed ? fixed(width, frac) : ufixed(width, frac));
  let best = make(first);
  let bestError = quantizationError(stats.values, best);
  for (let step = 1; step <= STEPS && bestError > 0; step++) {
    const candidate = make(first + step);
    const error = quantizationError(stats.values, candidate);
    if (error < bestError) [best, bestError] = [candidate, error];
  }
  return best;
}

/** Range beyond the calibrated one that wide formats keep free. */
const HEADROOM = 1.25;

/** The finest format of `width` bits that clips nothing up to a quarter beyond the calibrated range. */
export function roomyFormat(stats: TensorStats, width: number): FixedType {
  const signed = stats.min < 0;
  const frac = unclippedFrac(stats.min * HEADROOM, stats.max * HEADROOM, width, signed);
  return signed ? fixed(width, frac) : ufixed(width, frac);
}

/**
 * Bits that keep the small ones of constants of different magnitude as precise as the large ones, as far as that is
 * cheap.
 */
export function spreadBits(values: Float64Array): number {
  const sizes = [...values].filter((x) => x !== 0).map(Math.abs);
  return sizes.length < 2 ? 0 : Math.min(10, Math.floor(Math.log2(Math.max(...sizes) / Math.min(...sizes))));
}
