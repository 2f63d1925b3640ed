/**
 * Formats around `nn.unary`: the argument indexes a table, so its width decides the cost, and the result's format the
 * error. The argument's format is the one with the least error of the function over calibration values, clipping
 * included.
 */
import { unaryFunction, unaryRaw } from "../../../ir/nn/unary-table.js";
import { fixed, rawRange, ufixed, type FixedType } from "../../../ir/types.js";
import { quantizeNumber } from "../../../ir/fixed-arith.js";
import type { TensorStats } from "./calibrate.js";
import { unclippedFrac } from "./formats.js";

/** Functions whose result is a factor and spans orders of magnitude: their error counts relative to the result. */
const RELATIVE = new Set(["reciprocal", "rsqrt"]);
/** Functions whose argument may span orders of magnitude, so that their tables are worth more entries. */
const STEEP = new Set([...RELATIVE, "sqrt", "log"]);

export function isSteep(fn: string): boolean {
  return STEEP.has(fn) || fn.startsWith("pow:");
}

export function isRelative(fn: string): boolean {
  return RELATIVE.has(fn) || fn.startsWith("pow:-");
}

function makeType(signed: boolean, width: number, frac: number): FixedType {
  return signed ? fixed(width, frac) : ufixed(width, frac);
}

/**
 * Mean squared error of the table (formats `from`, `to`) over `values`; relative to the result where the function calls
 * for it.
 */
export function tableError(fn: string, values: ArrayLike<number>, from: FixedType, to: FixedType): number {
  const f = unaryFunction(fn)!;
  const unit = 2 ** -to.frac;
  const relative = isRelative(fn);
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const exact = f(values[i]!);
    const e = unaryRaw(fn, quantizeNumber(values[i]!, from, "half-up"), from, to) * unit - exact;
    sum += relative ? (e / exact) ** 2 : e * e;
  }
  return values.length === 0 ? 0 : sum / values.length;
}

/**
 * Format of the argument with at most `maxBits`: as narrow as leaves the error within `slack` of what the best one
 * reaches. `width` and `to` describe the result.
 */
export function chooseArgument(fn: string, all: TensorStats, to: FixedType, maxBits: number, slack = 1.5): FixedType {
  const x = fn === "exp_tail" ? wholeTail(all) : all;
  const signed = x.min < 0;
  const values = thin(x.values, 1024);
  const bestOf = (bits: number): { type: FixedType; error: number } => {
    const first = unclippedFrac(x.min, x.max, bits, signed);
    let best = makeType(signed, bits, first);
    let error = tableError(fn, values, best, to);
    // Saturating functions allow to clip far more than a plain tensor would.
    for (let frac = first + 1; frac <= first + 6; frac++) {
      const type = makeType(signed, bits, frac);
      const e = tableError(fn, values, type, to);
      if (e < error) [best, error] = [type, e];
    }
    return { type: best, error };
  };
  let best = bestOf(maxBits);
  const limit = best.error * slack;
  for (let bits = maxBits - 1; bits >= 4; bits--) {
    const candidate = bestOf(bits);
    if (candidate.error > limit) break;
    best = candidate;
  }
  return best.type;
}

/** Distance from the maximum that a softmax's table covers beyond what calibration has seen, as a factor. */
const TAIL_HEADROOM = 1.5;

/**
 * The arguments of a softmax's exp as its table should cover them: half as far again below the maximum as calibration
 * has seen, and no further than as far below 0 as above, because what lies below that is 0 by definition.
 */
function wholeTail(x: TensorStats): TensorStats {
  const reach = Math.max(1, x.max);
  return { ...x, min: Math.max(-reach, x.max - TAIL_HEADROOM * (x.max - x.min)), max: reach };
}

/** A table that is read where the argument is below `limit`, and in no finer segment. */
export interface TableSegment {
  readonly limit: number;
  readonly from: FixedType;
}

/** Octaves of the argument that one table of a function with relative errors covers. */
const SEGMENT_OCTAVES = 4;
const MAX_SEGMENTS = 5;
/** Mean squared relative error with which one table is good enough: 52 dB. */
const RELATIVE_TOLERANCE = 2 ** -17;

/**
 * Tables for an argument that spans orders of magnitude, finest first: each covers some octaves with entries of its own
 * grid, as the exponent of a floating-point number would choose it. One table, \`whole\`, where that is good enough.
 */
export function chooseSegments(
  fn: string,
  x: TensorStats,
  whole: FixedType,
  to: FixedType,
  maxBits: number,
): readonly TableSegment[] {
  const one = [{ limit: Infinity, from: whole }];
  if (!isRelative(fn) || x.min < 0 || x.max <= 0) return one;
  const values = x.values.filter((v) => v > 0);
  if (tableError(fn, thin(values, 1024), whole, to) <= RELATIVE_TOLERANCE) return one;
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const segments: TableSegment[] = [];
  for (
    let limit = 2 ** Math.ceil(Math.log2(x.max));
    segments.length < MAX_SEGMENTS && limit > least;
    limit *= 2 ** -SEGMENT_OCTAVES
  ) {
    const last = segments.length + 1 === MAX_SEGMENTS || limit * 2 ** -SEGMENT_OCTAVES <= least;
    const low = last ? 0 : limit * 2 ** -SEGMENT_OCTAVES;
    const inside = values.filter((v) => v >= low && v < limit);
    const from = chooseArgument(
      fn,
      { ...x, min: Math.max(low, x.min), max: Math.min(limit, x.max), values: inside },
      to,
      maxBits,
    );
    segments.unshift({ limit: segments.length === 0 ? Infinity : limit, from });
  }
  return segments.length === 0 ? one : segments;
}

/**
 * Format of the result of `width` bits: for relative functions the one that holds the largest result and resolves the
 * smallest best, otherwise left to range selection.
 */
export function relativeResult(y: TensorStats, width: number): FixedType {
  return makeType(y.min < 0, width, unclippedFrac(y.min, y.max, width, y.min < 0));
}

/** Largest absolute error of the table over the values that occurred, argument rounding included. */
export function largestTableError(fn: string, x: TensorStats, from: FixedType, to: FixedType): number {
  const f = unaryFunction(fn)!;
  const unit = 2 ** -to.frac;
  const worstAt = (v: number): number =>
    Math.abs(unaryRaw(fn, quantizeNumber(v, from, "half-up"), from, to) * unit - f(v));
  let worst = 0;
  for (let i = 0; i < x.values.length; i++) worst = Math.max(worst, worstAt(x.values[i]!));
  // Rounding is worst half an LSB off the grid; the range is scanned there as well.
  const { lo, hi } = rawRange(from);
  const lsb = 2 ** -from.frac;
  for (let r = Math.max(lo, Math.floor(x.min / lsb)); r <= Math.min(hi, Math.ceil(x.max / lsb)); r++) {
    for (const v of [(r - 0.499) * lsb, (r + 0.499) * lsb])
      if (v >= x.min && v <= x.max) worst = Math.max(worst, worstAt(v));
  }
  return worst;
}

function thin(values: Float64Array, count: number): Float64Array {
  if (values.length <= count) return values;
  return Float64Array.from({ length: count }, (_, i) => values[Math.floor((i * values.length) / count)]!);
}
