/**
 * From raw pixels to corrected ones, all in integers: difference to the dark, flat field, clipping, mask, threshold,
 * dispersion. What the hardware does is this, bit for bit.
 */
import { type Dispersion, type Sensor, valueBits } from "./sensor.js";

/** Steps of a factor of the flat field: raw = factor x 2^14, as ufixed<16,14>. */
export const FLAT_FRAC = 14;

/** Numbers per pixel, row by row, that a description names files of. */
export interface Planes {
  readonly dark?: ArrayLike<number>;
  /** Not 0 where the pixel is not used. */
  readonly mask?: Uint8Array;
  /** Raw factors, `FLAT_FRAC` fractional bits. */
  readonly flat?: Uint16Array;
}

export interface Corrected {
  readonly values: Uint16Array;
  /** Whether a pixel that is used was clipped. */
  readonly clipped: boolean;
}

/**
 * @param raw pixels, row by row, each below 2^pixelBits
 * @param streamedDark counts that arrive beside the pixels, where the description says so
 */
export function correct(
  sensor: Sensor,
  planes: Planes,
  raw: ArrayLike<number>,
  streamedDark?: ArrayLike<number>,
): Corrected {
  const size = sensor.rows * sensor.columns;
  const values = new Uint16Array(size);
  const largest = 2 ** valueBits(sensor) - 1;
  const { mask, flat } = planes;
  const dark = sensor.dark.kind === "number" ? undefined : sensor.dark.kind === "stream" ? streamedDark : planes.dark;
  const constant = sensor.dark.kind === "number" ? sensor.dark.counts : 0;
  // The dispersion test looks at the pixels below the threshold, too.
  const threshold = sensor.dispersion === undefined ? sensor.threshold : 0;
  let clipped = false;
  for (let i = 0; i < size; i++) {
    if (mask !== undefined && mask[i] !== 0) continue;
    let v = raw[i]! - (dark === undefined ? constant : dark[i]!);
    if (v <= 0) continue;
    // Below 2^32 x 2^16: exact as a number.
    if (flat !== undefined) v = Math.floor((v * flat[i]! + 2 ** (FLAT_FRAC - 1)) / 2 ** FLAT_FRAC);
    if (v > largest) {
      v = largest;
      clipped = true;
    }
    if (v >= threshold) values[i] = v;
  }
  if (sensor.dispersion === undefined) return { values, clipped };
  const strong = strongPixels(sensor, sensor.dispersion, values, mask);
  for (let i = 0; i < size; i++) if (strong[i] === 0 || values[i]! < sensor.threshold) values[i] = 0;
  return { values, clipped };
}

/**
 * 1 where a pixel stands out of its window. With m pixels of the window inside the frame and not masked, their sum S and
 * the sum of squares S2, background b and signal s in standard deviations, the pixel p is strong where
 *
 *     a = m S2 - S^2 - S (m - 1) > 0,  a^2 > 2 b^2 S^2 (m - 1),  m p - S > 0,  (m p - S)^2 > s^2 S m
 *
 * and m is at least `minCount`. Masked pixels are never strong.
 *
 * @source DIALS, algorithms/image/threshold/local.h: a > S b sqrt(2 (m - 1)) and m p - S > s sqrt(S m), squared
 */
export function strongPixels(
  sensor: Pick<Sensor, "rows" | "columns">,
  test: Dispersion,
  values: Uint16Array,
  mask: Uint8Array | undefined,
): Uint8Array {
  const { rows, columns } = sensor;
  const half = test.window >> 1;
  const strong = new Uint8Array(rows * columns);
  // Sums over the rows of the window, per column; they move down with the window.
  const [counts, sums, squares] = [0, 1, 2].map(() => new Float64Array(columns));
  const addRow = (row: number, sign: number): void => {
    if (row < 0 || row >= rows) return;
    for (let c = 0, i = row * columns; c < columns; c++, i++) {
      if (mask !== undefined && mask[i] !== 0) continue;
      counts![c]! += sign;
      sums![c]! += sign * values[i]!;
      squares![c]! += sign * values[i]! * values[i]!;
    }
  };
  for (let row = 0; row < half; row++) addRow(row, 1);
  for (let row = 0; row < rows; row++) {
    addRow(row + half, 1);
    addRow(row - half - 1, -1);
    let [m, s, s2] = [0, 0, 0];
    const addColumn = (c: number, sign: number): void => {
      if (c < 0 || c >= columns) return;
      m += sign * counts![c]!;
      s += sign * sums![c]!;
      s2 += sign * squares![c]!;
    };
    for (let c = 0; c < half; c++) addColumn(c, 1);
    for (let c = 0; c < columns; c++) {
      addColumn(c + half, 1);
      addColumn(c - half - 1, -1);
      const i = row * columns + c;
      if ((mask === undefined || mask[i] === 0) && m >= test.minCount && isStrong(test, values[i]!, m, s, s2))
        strong[i] = 1;
    }
  }
  return strong;
}

function isStrong(test: Dispersion, p: number, m: number, s: number, s2: number): boolean {
  // m S2 stays below 2^44, so a is exact; squares of a are not.
  const a = m * s2 - s * s - s * (m - 1);
  const d = m * p - s;
  if (a <= 0 || d <= 0 || d * d <= test.signal ** 2 * s * m) return false;
  const [left, right] = [a * a, 2 * test.background ** 2 * s * s * (m - 1)];
  if (Math.abs(left - right) > 1e-12 * right) return left > right;
  return BigInt(a) ** 2n > 2n * BigInt(test.background) ** 2n * BigInt(s) ** 2n * BigInt(m - 1);
}
