/** How much noise at the outputs each width causes by itself, measured; in units of what the bounds allow. */
import { limitOf, type OutputBound } from "./bounds.js";
import type { Widths, WidthVariable } from "./search-space.js";
import type { Reference } from "./trial.js";

/** Width at which each variable is measured first. */
const FIRST = 8;
/** Measured downwards until the noise exceeds, and upwards until it falls below these, in units of what is allowed. */
const [TOO_MUCH, NEGLIGIBLE] = [4, 0.01];

export class NoiseModel {
  /** By variable, noise by width; between and beyond what was measured a bit is worth a factor of 4. */
  private readonly measured: Map<number, number>[];
  private readonly allowed: readonly number[];

  constructor(
    private readonly variables: readonly WidthVariable[],
    private readonly outputs: (widths: Widths) => Float64Array[][],
    private readonly bounds: readonly OutputBound[],
    private readonly reference: Reference,
  ) {
    this.measured = variables.map(() => new Map());
    this.allowed = bounds.map((b) => allowedPower(b, reference));
  }

  /** Lowers one variable at a time from `ceiling`. */
  measure(ceiling: Widths, progress: (done: number, total: number) => void): void {
    const floor = this.noise(ceiling);
    this.variables.forEach((v, i) => {
      const known = this.measured[i]!;
      const at = (bits: number): number => {
        const noise =
          bits >= ceiling[i]! ? 0 : Math.max(0, this.noise(ceiling.map((b, k) => (k === i ? bits : b))) - floor);
        known.set(bits, noise);
        return noise;
      };
      const first = Math.max(v.min, Math.min(FIRST, ceiling[i]!));
      const start = at(first);
      for (let b = first - 1, noise = start; b >= v.min && noise <= TOO_MUCH; b--) noise = at(b);
      for (let b = first + 2, noise = start; noise > NEGLIGIBLE && b < ceiling[i]!; b += 2) noise = at(b);
      // Less with fewer bits is chance.
      let most = 0;
      for (const b of [...known.keys()].sort((p, q) => q - p)) known.set(b, (most = Math.max(most, known.get(b)!)));
      progress(i + 1, this.variables.length);
    });
  }

  /** Noise of variable `i` at `bits`. */
  at(i: number, bits: number): number {
    const known = this.measured[i]!;
    const exact = known.get(bits);
    if (exact !== undefined) return exact;
    const widths = [...known.keys()];
    const below = Math.max(...widths.filter((b) => b < bits));
    if (Number.isFinite(below)) {
      const scaled = known.get(below)! / 4 ** (bits - below);
      const above = Math.min(...widths.filter((b) => b > bits));
      return Number.isFinite(above) ? Math.max(scaled, known.get(above)!) : scaled;
    }
    const above = Math.min(...widths);
    return Math.max(known.get(above)!, TOO_MUCH / 16) * 4 ** (above - bits);
  }

  private noise(widths: Widths): number {
    const actual = this.outputs(widths);
    return this.bounds.reduce(
      (n, b, k) => n + meanSquare(b.index, this.reference.expected, actual) / this.allowed[k]!,
      0,
    );
  }
}

function meanSquare(
  output: number,
  x: readonly (readonly Float64Array[])[],
  y: readonly (readonly Float64Array[])[] | undefined,
): number {
  let [sum, count] = [0, 0];
  x.forEach((sample, s) => {
    const a = sample[output]!;
    for (let i = 0; i < a.length; i++) sum += (a[i]! - (y?.[s]?.[output]?.[i] ?? 0)) ** 2;
    count += a.length;
  });
  return count === 0 ? 0 : sum / count;
}

/** Noise power at an output that about exhausts a bound; the search corrects the factor by measurement. */
function allowedPower(b: OutputBound, reference: Reference): number {
  const limit = limitOf(b);
  const power = meanSquare(b.index, reference.expected, undefined) || 1;
  const least = power * 1e-14;
  switch (b.metric) {
    case "mae": // of normal errors sqrt(2/pi) of the root mean square
      return Math.max(least, (limit / 0.8) ** 2);
    case "rmse":
      return Math.max(least, limit ** 2);
    case "max": // four standard deviations
      return Math.max(least, (limit / 4) ** 2);
    case "sqnr":
      return Math.max(least, limit ** 2 * power);
    case "argmax": {
      // The distance between the two largest elements that only so large a share of the samples falls below.
      const margins = reference.expected.map((y) => margin(y[b.index]!)).sort((p, q) => p - q);
      const at = margins[Math.min(margins.length - 1, Math.floor(limit * margins.length))]!;
      return Math.max(power * 1e-8, Number.isFinite(at) ? (at / 2) ** 2 : power);
    }
  }
}

function margin(y: Float64Array): number {
  let [first, second] = [-Infinity, -Infinity];
  for (const v of y) {
    if (v > first) [first, second] = [v, first];
    else if (v > second) second = v;
  }
  return first - second;
}
