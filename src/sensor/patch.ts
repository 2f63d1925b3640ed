/** What the network sees of a patch, and what its answer means in the frame: the two ends of the integer path. */
import { allocate, type DenseData } from "../ir/attributes.js";
import { rawRange, type FixedType } from "../ir/types.js";
import type { Peak } from "./find.js";
import type { Sensor } from "./sensor.js";

/**
 * Raw integers of a patch for a port of format `type`: floor(d 2^frac / n + 1/2), where d / n is the pixel less the
 * least of the patch over the largest less the least (over 1 where they are equal), or the pixel itself.
 * Saturated: 1.0 is the largest number where the format ends below it.
 */
export function networkInput(sensor: Pick<Sensor, "normalisation">, pixels: Uint16Array, type: FixedType): DenseData {
  const { lo: least, hi: most } = rawRange(type);
  let [lo, hi] = [0, 1];
  if (sensor.normalisation === "min-max") {
    [lo, hi] = [Infinity, -Infinity];
    for (const v of pixels) {
      if (v < lo) lo = v;
      if (v > hi) hi = v;
    }
  }
  const range = Math.max(1, hi - lo);
  const raw = allocate(type, pixels.length);
  for (let i = 0; i < raw.length; i++)
    raw[i] = Math.min(most, Math.max(least, scaled(pixels[i]! - lo, range, type.frac)));
  return raw;
}

/** As `networkInput`, as the real numbers that a float network takes. */
export function floatInput(sensor: Pick<Sensor, "normalisation">, pixels: Uint16Array): Float64Array {
  if (sensor.normalisation === "none") return Float64Array.from(pixels);
  const [lo, hi] = [Math.min(...pixels), Math.max(...pixels)];
  return Float64Array.from(pixels, (v) => Math.fround((v - lo) / Math.max(1, hi - lo)));
}

/** floor(d 2^frac / n + 1/2). Exact: d is below 2^16, and more fractional bits than 30 are multiplied as bigints. */
function scaled(d: number, n: number, frac: number): number {
  if (frac > 30) return Number((2n * BigInt(d) * (1n << BigInt(frac)) + BigInt(n)) / (2n * BigInt(n)));
  if (frac >= 0) return Math.floor((2 * d * 2 ** frac + n) / (2 * n));
  return Math.floor((2 * d + n * 2 ** -frac) / (2 * n * 2 ** -frac));
}

/** Fractional bits of a row or column in a record: 1/1024 pixel. */
export const POSITION_FRAC = 10;
/** Bits of a row or column in a record, sign included. */
export const POSITION_BITS = 24;

/**
 * Row or column in the frame, in 1/1024 pixel: origin + floor(raw 2^(10 - frac) x edge + 1/2), saturated to 24 bits.
 *
 * @param raw the network's output as an integer with `frac` fractional bits
 */
export function position(sensor: Pick<Sensor, "patch" | "output">, origin: number, raw: number, frac: number): number {
  const edge = sensor.output.unit === "patch" ? sensor.patch : 1;
  const shift = POSITION_FRAC - frac;
  const within = shift >= 0 ? raw * edge * 2 ** shift : Math.floor((2 * raw * edge + 2 ** -shift) / 2 ** (1 - shift));
  const limit = 2 ** (POSITION_BITS - 1);
  return Math.min(limit - 1, Math.max(-limit, origin * 2 ** POSITION_FRAC + within));
}

/** What a record says of a patch besides its position. */
export interface PatchFacts {
  readonly maximum: number;
  /** Saturated at 24 bits. */
  readonly sum: number;
  /** Pixels above zero, saturated at 255. */
  readonly pixels: number;
  /** The patch overlaps the edge of the frame. */
  readonly edge: boolean;
  /** Its largest pixel was clipped. */
  readonly clipped: boolean;
}

export function patchFacts(sensor: Sensor, peak: Peak): PatchFacts {
  let [maximum, sum, count] = [0, 0, 0];
  for (const v of peak.pixels) {
    if (v > maximum) maximum = v;
    sum += v;
    if (v !== 0) count++;
  }
  const { row, column } = peak;
  return {
    maximum,
    sum: Math.min(sum, 2 ** 24 - 1),
    pixels: Math.min(count, 255),
    edge: row < 0 || column < 0 || row + sensor.patch > sensor.rows || column + sensor.patch > sensor.columns,
    // Without a flat field, only pixels of more than 16 bits can exceed the corrected ones.
    clipped: maximum === 65535 && (sensor.pixelBits === 32 || sensor.flat !== undefined),
  };
}
