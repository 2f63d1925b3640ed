/**
 * Exact arithmetic on fixed-point formats: which type holds every result of an operation, and what the two inexact
 * steps (rounding and overflow) do to a raw integer. One place for the rules, read by type inference of `nn`, by its
 * fixed-point interpreter, and by quantization.
 *
 * Raw integers are JavaScript numbers, exact up to 53 bits; `checkWidth` refuses what is wider.
 */
import { CompilerBug } from "../diagnostics/index.js";
import { rawRange, showType, typeOfRange, type FixedType, type RawRange } from "./types.js";

export const MAX_WIDTH = 53;

export type Rounding = "half-up" | "half-even" | "floor";
export type Overflow = "saturate" | "wrap";

/** `type`, or a CompilerBug if its raw integers are not exact in a double. */
export function checkWidth(type: FixedType, what: string): FixedType {
  if (type.width > MAX_WIDTH) throw new CompilerBug(`${what} needs ${showType(type)}, wider than ${MAX_WIDTH} bits`);
  return type;
}

// --- ranges -------------------------------------------------------------------------------------------------------

export function scaleRange(r: RawRange, factor: number): RawRange {
  const [a, b] = [r.lo * factor, r.hi * factor];
  return { lo: Math.min(a, b), hi: Math.max(a, b) };
}
export function addRanges(a: RawRange, b: RawRange): RawRange {
  return { lo: a.lo + b.lo, hi: a.hi + b.hi };
}
export function mulRanges(a: RawRange, b: RawRange): RawRange {
  const p = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi];
  return { lo: Math.min(...p), hi: Math.max(...p) };
}
export function unionRanges(a: RawRange, b: RawRange): RawRange {
  return { lo: Math.min(a.lo, b.lo), hi: Math.max(a.hi, b.hi) };
}
/** Smallest and largest of `data`; [0, 0] when empty. */
export function dataRange(data: ArrayLike<number>): RawRange {
  if (data.length === 0) return { lo: 0, hi: 0 };
  let lo = Infinity;
  let hi = -Infinity;
  for (let i = 0; i < data.length; i++) {
    const v = data[i]!;
    if (v < lo) lo = v;
    if (v > hi) hi = v;
  }
  return { lo, hi };
}

// --- formats of a value with a known range --------------------------------------------------------------------------

/** A format, and the raw values that occur in it: those of a constant are far fewer than its type allows. */
export interface Ranged {
  readonly frac: number;
  readonly range: RawRange;
}

export function ranged(type: FixedType): Ranged {
  return { frac: type.frac, range: rawRange(type) };
}
/** Raw range in units of 2^-frac; `frac` is at least the operand's. */
export function rangeAt(x: Ranged, frac: number): RawRange {
  return scaleRange(x.range, 2 ** (frac - x.frac));
}

function aligned(a: Ranged, b: Ranged, combine: (a: RawRange, b: RawRange) => RawRange, what: string): FixedType {
  const frac = Math.max(a.frac, b.frac);
  return checkWidth(typeOfRange(combine(rangeAt(a, frac), rangeAt(b, frac)), frac), what);
}

export function addType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, addRanges, "a sum");
}
export function subType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, (x, y) => addRanges(x, scaleRange(y, -1)), "a difference");
}
export function mulType(a: Ranged, b: Ranged): FixedType {
  return checkWidth(typeOfRange(mulRanges(a.range, b.range), a.frac + b.frac), "a product");
}
export function maxType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, (x, y) => ({ lo: Math.max(x.lo, y.lo), hi: Math.max(x.hi, y.hi) }), "a maximum");
}
export function minType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, (x, y) => ({ lo: Math.min(x.lo, y.lo), hi: Math.min(x.hi, y.hi) }), "a minimum");
}
/** Holds every value of both. */
export function unionType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, unionRanges, "a concatenation");
}
export function negType(x: Ranged): FixedType {
  return checkWidth(typeOfRange(scaleRange(x.range, -1), x.frac), "a negation");
}
export function absType(x: Ranged): FixedType {
  const { lo, hi } = x.range;
  const least = lo > 0 ? lo : hi < 0 ? -hi : 0;
  return checkWidth(typeOfRange({ lo: least, hi: Math.max(-lo, hi) }, x.frac), "an absolute value");
}
export function reluType(x: Ranged): FixedType {
  return typeOfRange({ lo: Math.max(0, x.range.lo), hi: Math.max(0, x.range.hi) }, x.frac);
}
/** x < 0 ? x * slopeRaw * 2^-slopeFrac : x. The result has all fractional bits of the product. */
export function leakyReluType(x: Ranged, slopeRaw: number, slopeFrac: number): FixedType {
  const frac = x.frac + Math.max(0, slopeFrac);
  const up = (v: number): number => v * 2 ** (frac - x.frac);
  const down = (v: number): number => v * slopeRaw * 2 ** (frac - x.frac - slopeFrac);
  const candidates: number[] = [];
  if (x.range.hi >= 0) candidates.push(up(x.range.hi), up(Math.max(0, x.range.lo)));
  if (x.range.lo < 0) candidates.push(down(x.range.lo), down(Math.min(-1, x.range.hi)));
  return checkWidth(typeOfRange({ lo: Math.min(...candidates), hi: Math.max(...candidates) }, frac), "a leaky relu");
}
/** Limits as values; infinite ones do not limit. */
export function clipType(x: Ranged, lo: number, hi: number): FixedType {
  const clip = (v: number): number => Math.min(hi * 2 ** x.frac, Math.max(lo * 2 ** x.frac, v));
  return typeOfRange({ lo: clip(x.range.lo), hi: clip(x.range.hi) }, x.frac);
}
/** A sum of up to `terms` values; absent terms (padding) count as 0. */
export function sumType(x: Ranged, terms: number, exactly = true): FixedType {
  const least = exactly ? x.range.lo * terms : Math.min(0, x.range.lo * terms);
  const most = exactly ? x.range.hi * terms : Math.max(0, x.range.hi * terms);
  return checkWidth(typeOfRange({ lo: least, hi: most }, x.frac), `a sum of ${terms} values`);
}

/**
 * A sum of products whose second factors are constants. `groups` of weights meet in one sum each: `groupOf(i)` of the
 * i-th weight. The bound is the worst group of actual weights, and holds for every partial sum as well.
 */
export function weightedSumRange(x: RawRange, weights: ArrayLike<number>, groups: number, groupOf: (i: number) => number): { lo: Float64Array; hi: Float64Array } {
  const lo = new Float64Array(groups);
  const hi = new Float64Array(groups);
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i]!;
    const g = groupOf(i);
    const [p, q] = [w * x.lo, w * x.hi];
    lo[g]! += Math.min(p, q, 0);
    hi[g]! += Math.max(p, q, 0);
  }
  return { lo, hi };
}

/** A sum of `terms` products of values of any size; partial sums included. */
export function dotType(a: Ranged, b: Ranged, terms: number): FixedType {
  const p = mulRanges(a.range, b.range);
  const range = { lo: Math.min(0, p.lo * terms), hi: Math.max(0, p.hi * terms) };
  return checkWidth(typeOfRange(range, a.frac + b.frac), `a sum of ${terms} products`);
}

// --- the inexact steps --------------------------------------------------------------------------------------------

/** Round half to even; exact for every double. */
export function roundHalfEven(v: number): number {
  const f = Math.floor(v);
  const d = v - f;
  if (d < 0.5) return f;
  if (d > 0.5) return f + 1;
  return f % 2 === 0 ? f : f + 1;
}

/** Round half towards plus infinity. Not floor(v + 0.5): that sum itself rounds for values near 2^52. */
export function roundHalfUp(v: number): number {
  const f = Math.floor(v);
  return v - f >= 0.5 ? f + 1 : f;
}

/** An integer by one of the modes of `nn.whole`. */
export function roundWhole(v: number, mode: string): number {
  return mode === "floor" ? Math.floor(v) : mode === "ceil" ? Math.ceil(v) : mode === "trunc" ? Math.trunc(v) : roundHalfEven(v);
}

export function roundTo(v: number, rounding: Rounding): number {
  switch (rounding) {
    case "floor":
      return Math.floor(v);
    case "half-up":
      return roundHalfUp(v);
    case "half-even":
      return roundHalfEven(v);
  }
}

/** An integer brought into the range of `to`. */
export function overflowTo(v: number, to: FixedType, overflow: Overflow): number {
  const { lo, hi } = rawRange(to);
  if (v >= lo && v <= hi) return v;
  if (overflow === "saturate") return v < lo ? lo : hi;
  const modulus = 2 ** to.width;
  const u = v - Math.floor(v / modulus) * modulus;
  return u > hi ? u - modulus : u;
}

/** The raw integer of `raw` (in format `from`) in format `to`. */
export function requantize(raw: number, from: FixedType, to: FixedType, rounding: Rounding, overflow: Overflow): number {
  return overflowTo(roundTo(raw * 2 ** (to.frac - from.frac), rounding), to, overflow);
}

/** The raw integer that stands for a real number. NaN becomes 0, infinities saturate. */
export function quantizeNumber(value: number, to: FixedType, rounding: Rounding = "half-even", overflow: Overflow = "saturate"): number {
  if (Number.isNaN(value)) return 0;
  const scaled = value * 2 ** to.frac;
  if (!Number.isFinite(scaled)) return overflowTo(scaled, to, "saturate");
  return overflowTo(roundTo(scaled, rounding), to, overflow);
}

/** Quantizes an array of real numbers into `out`; the loop behind ports and calibration. */
export function quantizeInto(values: ArrayLike<number>, to: FixedType, out: { [i: number]: number }, rounding: Rounding = "half-even"): void {
  const { lo, hi } = rawRange(to);
  const scale = 2 ** to.frac;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]! * scale;
    const r = rounding === "half-even" ? roundHalfEven(v) : roundTo(v, rounding);
    out[i] = r >= hi ? hi : r <= lo ? lo : Number.isNaN(r) ? 0 : r;
  }
}
