/**
 * Exact arithmetic on fixed-point formats: which type holds every result of an operation, and what the two inexact
 * steps (rounding and overflow) do to a raw integer. One place for the rules, read by type inference of `nn`, by its
 * fixed-point interpreter, and by quantization.
 *
 * Ranges are exact at any width. Raw integers of up to 53 bits are JavaScript numbers, those of wider types bigints
 * (`requantizeWide`); `checkWidth` refuses what is wider than any value of a design may be.
 */
import { CompilerBug } from "../diagnostics/index.js";
import { rawRange, showType, typeOfRange, wideRange, type FixedType, type RawRange, type WideRange } from "./types.js";

/** Widest value inside a design. Ports and constants have at most NUMBER_WIDTH bits. */
export const MAX_WIDTH = 128;

export type Rounding = "half-up" | "half-even" | "floor";
export type Overflow = "saturate" | "wrap";

/** `type`, or a CompilerBug if it is wider than a value may be. */
export function checkWidth(type: FixedType, what: string): FixedType {
  if (type.width > MAX_WIDTH) throw new CompilerBug(`${what} needs ${showType(type)}, wider than ${MAX_WIDTH} bits`);
  return type;
}

// --- ranges -------------------------------------------------------------------------------------------------------

function least(...values: readonly bigint[]): bigint {
  return values.reduce((a, b) => (b < a ? b : a));
}
function most(...values: readonly bigint[]): bigint {
  return values.reduce((a, b) => (b > a ? b : a));
}

export function widened(r: RawRange): WideRange {
  return { lo: BigInt(r.lo), hi: BigInt(r.hi) };
}
export function scaleRange(r: WideRange, factor: bigint): WideRange {
  const [a, b] = [r.lo * factor, r.hi * factor];
  return { lo: least(a, b), hi: most(a, b) };
}
/** In units 2^bits times finer. */
export function shiftRange(r: WideRange, bits: number): WideRange {
  if (bits < 0) throw new CompilerBug(`a range loses ${-bits} fractional bits`);
  return { lo: r.lo << BigInt(bits), hi: r.hi << BigInt(bits) };
}
export function addRanges(a: WideRange, b: WideRange): WideRange {
  return { lo: a.lo + b.lo, hi: a.hi + b.hi };
}
export function subRanges(a: WideRange, b: WideRange): WideRange {
  return { lo: a.lo - b.hi, hi: a.hi - b.lo };
}
export function mulRanges(a: WideRange, b: WideRange): WideRange {
  const p = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi];
  return { lo: least(...p), hi: most(...p) };
}
export function unionRanges(a: WideRange, b: WideRange): WideRange {
  return { lo: least(a.lo, b.lo), hi: most(a.hi, b.hi) };
}
export function maxRanges(a: WideRange, b: WideRange): WideRange {
  return { lo: most(a.lo, b.lo), hi: most(a.hi, b.hi) };
}
export function minRanges(a: WideRange, b: WideRange): WideRange {
  return { lo: least(a.lo, b.lo), hi: least(a.hi, b.hi) };
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

// --- formats of a value with a known range

/** A format, and the raw values that occur in it: those of a constant are far fewer than its type allows. */
export interface Ranged {
  readonly frac: number;
  readonly range: WideRange;
}

export function ranged(type: FixedType): Ranged {
  return { frac: type.frac, range: wideRange(type) };
}
/** Raw range in units of 2^-frac; `frac` is at least the operand's. */
export function rangeAt(x: Ranged, frac: number): WideRange {
  return shiftRange(x.range, frac - x.frac);
}

function aligned(a: Ranged, b: Ranged, combine: (a: WideRange, b: WideRange) => WideRange, what: string): FixedType {
  const frac = Math.max(a.frac, b.frac);
  return checkWidth(typeOfRange(combine(rangeAt(a, frac), rangeAt(b, frac)), frac), what);
}

export function addType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, addRanges, "a sum");
}
export function subType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, subRanges, "a difference");
}
export function mulType(a: Ranged, b: Ranged): FixedType {
  return checkWidth(typeOfRange(mulRanges(a.range, b.range), a.frac + b.frac), "a product");
}
export function maxType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, maxRanges, "a maximum");
}
export function minType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, minRanges, "a minimum");
}
/** Holds every value of both. */
export function unionType(a: Ranged, b: Ranged): FixedType {
  return aligned(a, b, unionRanges, "a concatenation");
}
export function negType(x: Ranged): FixedType {
  return checkWidth(typeOfRange(scaleRange(x.range, -1n), x.frac), "a negation");
}
export function absType(x: Ranged): FixedType {
  const { lo, hi } = x.range;
  const smallest = lo > 0n ? lo : hi < 0n ? -hi : 0n;
  return checkWidth(typeOfRange({ lo: smallest, hi: most(-lo, hi) }, x.frac), "an absolute value");
}
export function reluType(x: Ranged): FixedType {
  return typeOfRange({ lo: most(0n, x.range.lo), hi: most(0n, x.range.hi) }, x.frac);
}
/** x < 0 ? x * slopeRaw * 2^-slopeFrac : x. The result has all fractional bits of the product. */
export function leakyReluType(x: Ranged, slopeRaw: number, slopeFrac: number): FixedType {
  const more = Math.max(0, slopeFrac);
  const up = (v: bigint): bigint => v << BigInt(more);
  const down = (v: bigint): bigint => (v * BigInt(slopeRaw)) << BigInt(more - slopeFrac);
  const candidates: bigint[] = [];
  if (x.range.hi >= 0n) candidates.push(up(x.range.hi), up(most(0n, x.range.lo)));
  if (x.range.lo < 0n) candidates.push(down(x.range.lo), down(least(-1n, x.range.hi)));
  return checkWidth(typeOfRange({ lo: least(...candidates), hi: most(...candidates) }, x.frac + more), "a leaky relu");
}
/** Limits as values; infinite ones do not limit. */
export function clipType(x: Ranged, lo: number, hi: number): FixedType {
  const [l, h] = [Math.floor(lo * 2 ** x.frac), Math.ceil(hi * 2 ** x.frac)];
  const clip = (v: bigint): bigint => (v > h ? BigInt(h) : v < l ? BigInt(l) : v);
  return typeOfRange({ lo: clip(x.range.lo), hi: clip(x.range.hi) }, x.frac);
}
/** A sum of up to `terms` values; absent terms (padding) count as 0. */
export function sumType(x: Ranged, terms: number, exactly = true): FixedType {
  const all = scaleRange(x.range, BigInt(terms));
  const range = exactly ? all : { lo: least(0n, all.lo), hi: most(0n, all.hi) };
  return checkWidth(typeOfRange(range, x.frac), `a sum of ${terms} values`);
}

/**
 * A sum of products whose second factors are constants. `groups` of weights meet in one sum each: `groupOf(i)` of the
 * i-th weight. The bound is the worst group of actual weights, and holds for every partial sum as well.
 */
export function weightedSumRange(
  x: RawRange,
  weights: ArrayLike<number>,
  groups: number,
  groupOf: (i: number) => number,
): { lo: Float64Array; hi: Float64Array } {
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

/**
 * As `weightedSumRange`, over all groups and with 0, at any width; `added(g)` is a number that a sum may have added to
 * it.
 */
export function weightedSumsRange(
  x: WideRange,
  weights: ArrayLike<number>,
  groups: number,
  groupOf: (i: number) => number,
  added: (g: number) => bigint = () => 0n,
): WideRange {
  let [lo, hi] = [0n, 0n];
  const take = (g: number, a: bigint, b: bigint): void => {
    const c = added(g);
    // Partial sums count too, so both ends with and without what is added.
    [lo, hi] = [least(lo, a, a + c), most(hi, b, b + c)];
  };
  if (x.lo >= Number.MIN_SAFE_INTEGER && x.hi <= Number.MAX_SAFE_INTEGER) {
    const sums = weightedSumRange({ lo: Number(x.lo), hi: Number(x.hi) }, weights, groups, groupOf);
    // The bounds only grow, so that none has been rounded where the last ones are exact.
    if (sums.lo.every((v) => v >= Number.MIN_SAFE_INTEGER) && sums.hi.every((v) => v <= Number.MAX_SAFE_INTEGER)) {
      for (let g = 0; g < groups; g++) take(g, BigInt(sums.lo[g]!), BigInt(sums.hi[g]!));
      return { lo, hi };
    }
  }
  // The sums of positive and of negative weights are exact as numbers; only their products with x are not.
  const up = new Float64Array(groups);
  const down = new Float64Array(groups);
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i]!;
    const list = w < 0 ? down : up;
    const g = groupOf(i);
    list[g]! += w;
    if (!Number.isSafeInteger(list[g]!)) throw new CompilerBug("weights whose sum is beyond 53 bits");
  }
  const [below, above] = [least(x.lo, 0n), most(x.hi, 0n)];
  for (let g = 0; g < groups; g++) {
    const [p, n] = [BigInt(up[g]!), BigInt(down[g]!)];
    take(g, p * below + n * above, p * above + n * below);
  }
  return { lo, hi };
}

/** A sum of `terms` products of values of any size; partial sums included. */
export function dotType(a: Ranged, b: Ranged, terms: number): FixedType {
  const p = scaleRange(mulRanges(a.range, b.range), BigInt(terms));
  return checkWidth(
    typeOfRange({ lo: least(0n, p.lo), hi: most(0n, p.hi) }, a.frac + b.frac),
    `a sum of ${terms} products`,
  );
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
  return mode === "floor"
    ? Math.floor(v)
    : mode === "ceil"
      ? Math.ceil(v)
      : mode === "trunc"
        ? Math.trunc(v)
        : roundHalfEven(v);
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
export function requantize(
  raw: number,
  from: FixedType,
  to: FixedType,
  rounding: Rounding,
  overflow: Overflow,
): number {
  return overflowTo(roundTo(raw * 2 ** (to.frac - from.frac), rounding), to, overflow);
}

/** Rounding of `raw` x 2^-shift. "biased-half-even": one half has been added before. */
export function roundWide(raw: bigint, shift: number, rounding: Rounding | "biased-half-even"): bigint {
  if (shift <= 0) return raw << BigInt(-shift);
  const s = BigInt(shift);
  const half = 1n << (s - 1n);
  switch (rounding) {
    case "floor":
      return raw >> s;
    case "half-up":
      return (raw + half) >> s;
    case "half-even":
    case "biased-half-even": {
      const biased = rounding === "half-even" ? raw + half : raw;
      const r = biased >> s;
      return r << s === biased && (r & 1n) === 1n ? r - 1n : r;
    }
  }
}

/** As `overflowTo`, at any width. */
export function overflowWide(v: bigint, to: FixedType, overflow: Overflow): bigint {
  if (overflow === "wrap") return to.signed ? BigInt.asIntN(to.width, v) : BigInt.asUintN(to.width, v);
  const { lo, hi } = wideRange(to);
  return v < lo ? lo : v > hi ? hi : v;
}

/** As `requantize`, at any width. */
export function requantizeWide(
  raw: bigint,
  from: FixedType,
  to: FixedType,
  rounding: Rounding | "biased-half-even",
  overflow: Overflow,
): bigint {
  return overflowWide(roundWide(raw, from.frac - to.frac, rounding), to, overflow);
}

/** The raw integer that stands for a real number. NaN becomes 0, infinities saturate. */
export function quantizeNumber(
  value: number,
  to: FixedType,
  rounding: Rounding = "half-even",
  overflow: Overflow = "saturate",
): number {
  if (Number.isNaN(value)) return 0;
  const scaled = value * 2 ** to.frac;
  if (!Number.isFinite(scaled)) return overflowTo(scaled, to, "saturate");
  return overflowTo(roundTo(scaled, rounding), to, overflow);
}

/** Quantizes an array of real numbers into `out`; the loop behind ports and calibration. */
export function quantizeInto(
  values: ArrayLike<number>,
  to: FixedType,
  out: { [i: number]: number },
  rounding: Rounding = "half-even",
): void {
  const { lo, hi } = rawRange(to);
  const scale = 2 ** to.frac;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]! * scale;
    const r = rounding === "half-even" ? roundHalfEven(v) : roundTo(v, rounding);
    out[i] = r >= hi ? hi : r <= lo ? lo : Number.isNaN(r) ? 0 : r;
  }
}
