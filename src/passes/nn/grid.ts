/** Integers behind real numbers: weights that were quantized before export lie on a grid. */

/** Integers beyond this are no weights of a quantized network. */
const MAX_INTEGER = 32767;
/** The smallest weight of a grid is at most this many steps. */
const MAX_STEPS = 1024;

/**
 * The largest number of which all `values` are integer multiples, up to the rounding of float32; undefined where there
 * is none. 1 for all zeros.
 */
export function gridOf(values: readonly number[]): number | undefined {
  const sizes = values.filter((v) => v !== 0).map(Math.abs);
  if (sizes.length === 0) return 1;
  const [least, most] = [Math.min(...chunkExtremes(sizes, Math.min)), Math.max(...chunkExtremes(sizes, Math.max))];
  for (let steps = 1; steps <= MAX_STEPS && (most / least) * steps <= MAX_INTEGER; steps++) {
    const unit = least / steps;
    if (!sizes.every((v) => isMultiple(v, unit))) continue;
    // The mean over all weights is closer to the scale than the least of them says.
    let [product, square] = [0, 0];
    for (const v of sizes) {
      const k = Math.round(v / unit);
      product += v * k;
      square += k * k;
    }
    return product / square;
  }
  return undefined;
}

function isMultiple(v: number, unit: number): boolean {
  const k = v / unit;
  return Math.abs(k - Math.round(k)) <= 0.002 + k * 4e-7;
}

function chunkExtremes(values: readonly number[], pick: (...v: number[]) => number): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i += 4096) found.push(pick(...values.slice(i, i + 4096)));
  return found;
}

/** One grid for all weights, or one per channel; undefined where some channel lies on none. */
export function commonFactor(
  data: ArrayLike<number>,
  channels: number,
  channelOf: (i: number) => number,
): Float64Array | undefined {
  const all = gridOf(Array.from(data));
  if (all !== undefined) return Float64Array.of(all);
  const rows = Array.from({ length: channels }, (): number[] => []);
  for (let i = 0; i < data.length; i++) rows[channelOf(i)]!.push(data[i]!);
  const grids = rows.map(gridOf);
  return grids.every((g) => g !== undefined) ? Float64Array.from(grids) : undefined;
}
