/**
 * Rounding of constant weights. Two things make narrow weights accurate:
 *
 * - A grid per output channel: channel c holds integers of `width` bits times 2^grid[c], in units of one common LSB, so
 *   that
 *   a channel of small weights keeps its bits although the tensor has a single type.
 * - Compensation: weights are rounded one after the other, and what one rounding does to the layer's result on
 *   calibration
 *   inputs is taken up by the weights that are still to be rounded. The rest, the mean error, goes into the bias.
 *
 * Few calibration inputs say little about how the inputs of a wide layer go together. What they only seem to say is
 * shrunk away, or else errors would be taken up by weights that make up for them on these inputs and on no others.
 *
 * @source Frantar, Ashkboos, Hoefler, Alistarh: "GPTQ", ICLR 2023; bias correction: Nagel et al., "Data-free
 * quantization", ICCV 2019; shrinkage: Schaefer, Strimmer, "A shrinkage approach to large-scale covariance matrix
 * estimation", 2005 (target D)
 */
import { typeOfRange, type FixedType } from "../../../ir/types.js";
import { dataRange } from "../../../ir/fixed-arith.js";

/** The matrix of a linear layer: one row of `inputs` weights per output channel. */
export interface WeightMatrix {
  readonly outputs: number;
  readonly inputs: number;
  readonly data: Float64Array;
}

/** First and second moments of the rows that meet the weights. */
export interface InputMoments {
  readonly mean: Float64Array;
  /** Covariance, inputs x inputs, row-major; off the diagonal shrunk by how uncertain it is. */
  readonly covariance: Float64Array;
}

export interface RoundedWeights {
  readonly type: FixedType;
  /** Raw integers of `type`, laid out as the matrix. */
  readonly raw: Float64Array;
  /** By output channel: every raw value of channel c is a multiple of 2^grid[c]. */
  readonly grid: readonly number[];
  /** By output channel: what rounding takes from the mean of the layer's result; to be added to the bias. */
  readonly biasShift: Float64Array;
  /** Expected squared error of the layer's result, mean over its channels; of the weights where moments are unknown. */
  readonly error: number;
}

/** Mean and covariance of rows of equal length. */
export function momentsOf(rows: readonly Float64Array[], length: number): InputMoments {
  const mean = new Float64Array(length);
  for (const r of rows) for (let i = 0; i < length; i++) mean[i]! += r[i]! / rows.length;
  const covariance = new Float64Array(length * length);
  const d = new Float64Array(length);
  // Sum over the rows of the squares of all products of two different inputs.
  let products = 0;
  for (const r of rows) {
    let [squares, fourths] = [0, 0];
    for (let i = 0; i < length; i++) {
      d[i] = r[i]! - mean[i]!;
      const square = d[i]! * d[i]!;
      squares += square;
      fourths += square * square;
    }
    products += squares * squares - fourths;
    for (let i = 0; i < length; i++) {
      const v = d[i]! / rows.length;
      if (v === 0) continue;
      for (let j = 0; j <= i; j++) covariance[i * length + j]! += v * d[j]!;
    }
  }
  const kept = 1 - shrinkage(covariance, length, rows.length, products);
  for (let i = 0; i < length; i++) {
    for (let j = 0; j < i; j++) {
      covariance[i * length + j]! *= kept;
      covariance[j * length + i] = covariance[i * length + j]!;
    }
  }
  return { mean, covariance };
}

/**
 * Share of the covariances off the diagonal that is noise: their expected squared error over their squares, which is
 * what makes the expected error of the shrunk matrix least. Only the lower triangle is read.
 */
function shrinkage(covariance: Float64Array, length: number, rows: number, products: number): number {
  if (rows < 2) return 1;
  let squares = 0;
  for (let i = 0; i < length; i++) for (let j = 0; j < i; j++) squares += 2 * covariance[i * length + j]! ** 2;
  if (squares === 0) return 0;
  const variance = (products / rows - squares) / (rows - 1);
  return Math.max(0, Math.min(1, variance / squares));
}

/** Share of the mean variance that is added to each: keeps rounding of weights on constant inputs from running away. */
const DAMPING = 0.01;

/**
 * Upper triangular U with (covariance + damping)^-1 = U^T U: row i says how an error in weight i is best taken up by
 * the weights after it. Undefined where the matrix is not positive definite (all inputs constant).
 */
function compensation(m: InputMoments): Float64Array | undefined {
  const n = m.mean.length;
  let trace = 0;
  for (let i = 0; i < n; i++) trace += m.covariance[i * n + i]!;
  if (!(trace > 0)) return undefined;
  const a = m.covariance.slice();
  for (let i = 0; i < n; i++) a[i * n + i]! += (DAMPING * trace) / n;
  // With P the reversal of the order, P A P = L L^T gives A = (P L P)(P L P)^T, upper times lower, so that
  // A^-1 = (V^-1)^T V^-1 with V = (P L P), and V^-1 is upper triangular as needed.
  const v = new Float64Array(n * n);
  for (let j = n - 1; j >= 0; j--) {
    let d = a[j * n + j]!;
    for (let k = j + 1; k < n; k++) d -= v[j * n + k]! ** 2;
    if (!(d > 0)) return undefined;
    const root = Math.sqrt(d);
    v[j * n + j] = root;
    for (let i = j - 1; i >= 0; i--) {
      let s = a[i * n + j]!;
      for (let k = j + 1; k < n; k++) s -= v[i * n + k]! * v[j * n + k]!;
      v[i * n + j] = s / root;
    }
  }
  const u = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    u[j * n + j] = 1 / v[j * n + j]!;
    for (let i = j - 1; i >= 0; i--) {
      let s = 0;
      for (let k = i + 1; k <= j; k++) s += v[i * n + k]! * u[k * n + j]!;
      u[i * n + j] = -s / v[i * n + i]!;
    }
  }
  return u;
}

interface Row {
  /** In units of 2^-frac. */
  readonly raw: Float64Array;
  readonly error: number;
}

/**
 * Rounds one row to integers of `width` bits with `frac` fractional bits, each error taken up by the weights behind it.
 */
function roundRow(weights: Float64Array, width: number, frac: number, u: Float64Array | undefined): Float64Array {
  const n = weights.length;
  const hi = 2 ** (width - 1) - 1;
  const lo = -hi; // symmetric: -2^(width-1) would cost a bit in products and sums for one value
  const scale = 2 ** frac;
  const raw = new Float64Array(n);
  const w = u === undefined ? weights : weights.slice();
  for (let i = 0; i < n; i++) {
    const r = Math.max(lo, Math.min(hi, Math.floor(w[i]! * scale + 0.5)));
    raw[i] = r;
    if (u === undefined) continue;
    const e = (w[i]! - r / scale) / u[i * n + i]!;
    for (let j = i + 1; j < n; j++) w[j]! -= e * u[i * n + j]!;
  }
  return raw;
}

/** Expected squared error of the layer's result with zero-mean inputs, or the mean squared error of the weights. */
function rowError(weights: Float64Array, raw: Float64Array, frac: number, m: InputMoments | undefined): number {
  const n = weights.length;
  const d = weights.map((w, i) => w - raw[i]! * 2 ** -frac);
  let sum = 0;
  if (m === undefined) {
    for (let i = 0; i < n; i++) sum += d[i]! ** 2;
    return sum;
  }
  for (let i = 0; i < n; i++) {
    if (d[i] === 0) continue;
    let s = 0;
    for (let j = 0; j < n; j++) s += m.covariance[i * n + j]! * d[j]!;
    sum += d[i]! * s;
  }
  return sum;
}

export interface WeightRounding {
  readonly width: number;
  /** By output channel its own grid, or one for all. */
  readonly perChannel: boolean;
  /** Moments by output channel: channels of one group share theirs. Undefined: plain rounding to nearest. */
  readonly moments?: (channel: number) => InputMoments | undefined;
}

/** Grids below the coarsest that are tried: a channel uses at most this many more fractional bits than the tensor. */
const MAX_SPREAD = 3;

/** Rounds a weight matrix. The candidates for the LSB are the one that clips nothing and the next two finer ones. */
export function roundWeights(matrix: WeightMatrix, how: WeightRounding): RoundedWeights {
  const { outputs, inputs, data } = matrix;
  const rows = Array.from({ length: outputs }, (_, c) => data.subarray(c * inputs, (c + 1) * inputs));
  const hi = 2 ** (how.width - 1) - 1;
  const unclipped = (w: ArrayLike<number>): number => {
    let top = 0;
    for (let i = 0; i < w.length; i++) top = Math.max(top, Math.abs(w[i]!));
    return top === 0 ? 0 : Math.max(-30, Math.min(30, Math.floor(Math.log2((hi + 0.499) / top))));
  };
  const factors = new Map<InputMoments, Float64Array | undefined>();
  const factorOf = (m: InputMoments | undefined): Float64Array | undefined => {
    if (m === undefined) return undefined;
    if (!factors.has(m)) factors.set(m, compensation(m));
    return factors.get(m);
  };
  const attempt = (c: number, frac: number): Row => {
    const m = how.moments?.(c);
    const u = factorOf(m);
    const plain = roundRow(rows[c]!, how.width, frac, undefined);
    const plainError = rowError(rows[c]!, plain, frac, m);
    if (u === undefined) return { raw: plain, error: plainError };
    const raw = roundRow(rows[c]!, how.width, frac, u);
    const error = rowError(rows[c]!, raw, frac, m);
    return error < plainError ? { raw, error } : { raw: plain, error: plainError };
  };
  const base = unclipped(data);
  let chosen: { frac: number; rows: Row[]; fracs: number[] } | undefined;
  let bestError = Infinity;
  if (how.perChannel) {
    const fracs: number[] = [];
    const results = rows.map((w, c) => {
      const first = Math.min(unclipped(w) === 0 ? base : unclipped(w), base + MAX_SPREAD);
      let best = attempt(c, first);
      let frac = first;
      for (const f of [first + 1]) {
        if (f > base + MAX_SPREAD) break;
        const r = attempt(c, f);
        if (r.error < best.error) [best, frac] = [r, f];
      }
      fracs.push(frac);
      return best;
    });
    chosen = { frac: Math.max(...fracs), rows: results, fracs };
    bestError = results.reduce((s, r) => s + r.error, 0);
  } else {
    for (const frac of [base, base + 1, base + 2]) {
      const results = rows.map((_, c) => attempt(c, frac));
      const error = results.reduce((s, r) => s + r.error, 0);
      if (error < bestError) {
        bestError = error;
        chosen = { frac, rows: results, fracs: rows.map(() => frac) };
      }
    }
  }
  const { frac, rows: results, fracs } = chosen!;
  const raw = new Float64Array(outputs * inputs);
  const biasShift = new Float64Array(outputs);
  const grid = fracs.map((f) => frac - f);
  results.forEach((r, c) => {
    const mean = how.moments?.(c)?.mean;
    for (let i = 0; i < inputs; i++) {
      const v = r.raw[i]! * 2 ** grid[c]!;
      raw[c * inputs + i] = v;
      if (mean !== undefined) biasShift[c]! += (rows[c]![i]! - v * 2 ** -frac) * mean[i]!;
    }
  });
  const range = dataRange(raw);
  const natural = typeOfRange({ lo: Math.min(range.lo, -1), hi: Math.max(range.hi, 1) }, frac);
  return { type: natural, raw, grid, biasShift, error: bestError / outputs };
}
