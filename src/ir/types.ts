/**
 * The types of all three dialects, and the exact-width arithmetic on fixed-point formats.
 *
 * Convention: `fixed<W,F>` has W bits in all (sign included), value = raw x 2^-F. F may be negative or exceed W.
 * Other tools count integer bits; convert once, at the border, never pass a bare pair of numbers.
 */

/** Two's complement (`fixed`) or unsigned (`ufixed`) fixed point: value = raw x 2^-frac. */
export interface FixedType {
  readonly kind: "fixed";
  readonly signed: boolean;
  /** Total bits, sign included. */
  readonly width: number;
  /** Fractional bits. */
  readonly frac: number;
}

/** A sign, `exp` exponent bits and `man` stored mantissa bits; f32 is `float<8,23>`. */
export interface FloatType {
  readonly kind: "float";
  readonly exp: number;
  readonly man: number;
}

export type ScalarType = FixedType | FloatType;

/** A value with a static shape, row-major in ONNX axis order. Rank 0 is a scalar. */
export interface TensorType {
  readonly kind: "tensor";
  readonly shape: readonly number[];
  readonly elem: ScalarType;
}

/** A tensor on its way through a channel of the `flow` dialect: as a tensor type, but consumed element by element. */
export interface StreamType {
  readonly kind: "stream";
  readonly shape: readonly number[];
  readonly elem: ScalarType;
}

/** A bundle of wires in the `rtl` dialect; arithmetic on it takes its sign into account. */
export interface BitsType {
  readonly kind: "bits";
  readonly signed: boolean;
  readonly width: number;
}

export type Type = ScalarType | TensorType | StreamType | BitsType;

export const f32: FloatType = { kind: "float", exp: 8, man: 23 };

export function fixed(width: number, frac: number, signed = true): FixedType {
  return { kind: "fixed", signed, width, frac };
}
export function ufixed(width: number, frac: number): FixedType {
  return fixed(width, frac, false);
}
export function tensor(shape: readonly number[], elem: ScalarType): TensorType {
  return { kind: "tensor", shape, elem };
}
export function stream(shape: readonly number[], elem: ScalarType): StreamType {
  return { kind: "stream", shape, elem };
}
export function bits(width: number, signed = false): BitsType {
  return { kind: "bits", signed, width };
}

export function showType(type: Type): string {
  switch (type.kind) {
    case "fixed":
      return `${type.signed ? "fixed" : "ufixed"}<${type.width},${type.frac}>`;
    case "float":
      return type.exp === 8 && type.man === 23 ? "f32" : `float<${type.exp},${type.man}>`;
    case "tensor":
    case "stream":
      return `${type.kind}<${[...type.shape, showType(type.elem)].join("x")}>`;
    case "bits":
      return `${type.signed ? "s" : "u"}${type.width}`;
  }
}

export function sameType(a: Type, b: Type): boolean {
  return a === b || showType(a) === showType(b);
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((n, d) => n * d, 1);
}

/** Row-major strides of `shape`, in elements. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i]!;
  }
  return strides;
}

/** The scalar type of a tensor, stream or scalar. */
export function elemType(type: Type): ScalarType {
  switch (type.kind) {
    case "tensor":
    case "stream":
      return type.elem;
    case "bits":
      return fixed(type.width, 0, type.signed);
    default:
      return type;
  }
}

// --- raw integer ranges -------------------------------------------------------------------------------------------

/** Widest type whose raw integers are JavaScript numbers: those of ports and constants, and of nearly all values. */
export const NUMBER_WIDTH = 53;

/** Inclusive range of raw integers that are exact as numbers. */
export interface RawRange {
  readonly lo: number;
  readonly hi: number;
}

/** Inclusive range of raw integers of any size. */
export interface WideRange {
  readonly lo: bigint;
  readonly hi: bigint;
}

/** Whether raw integers of the type can be beyond a JavaScript number. */
export function isWide(type: FixedType): boolean {
  return type.width > NUMBER_WIDTH;
}

/** Throws for a type of more than 53 bits, whose limits are no numbers: `wideRange` has them. */
export function rawRange(type: FixedType): RawRange {
  if (isWide(type)) throw new RangeError(`raw integers of ${showType(type)} as numbers`);
  return type.signed
    ? { lo: -(2 ** (type.width - 1)), hi: 2 ** (type.width - 1) - 1 }
    : { lo: 0, hi: 2 ** type.width - 1 };
}

export function wideRange(type: FixedType): WideRange {
  return type.signed
    ? { lo: -(1n << BigInt(type.width - 1)), hi: (1n << BigInt(type.width - 1)) - 1n }
    : { lo: 0n, hi: (1n << BigInt(type.width)) - 1n };
}

/** Limits of the type as numbers, for estimates: beyond 53 bits the upper one is larger by one. */
export function outerRange(type: FixedType): RawRange {
  if (!isWide(type)) return rawRange(type);
  return type.signed ? { lo: -(2 ** (type.width - 1)), hi: 2 ** (type.width - 1) } : { lo: 0, hi: 2 ** type.width };
}

/** Fewest bits that hold every integer of `range`; unsigned where no member is negative. At least 1 bit. */
export function typeOfRange(range: RawRange | WideRange, frac: number): FixedType {
  const { lo, hi } = range;
  if (typeof lo === "bigint" || typeof hi === "bigint") {
    if (lo >= Number.MIN_SAFE_INTEGER && hi <= Number.MAX_SAFE_INTEGER)
      return typeOfRange({ lo: Number(lo), hi: Number(hi) }, frac);
    if (lo >= 0) return ufixed(bigLength(BigInt(hi)), frac);
    return fixed(1 + Math.max(bigLength(BigInt(hi)), bigLength(-BigInt(lo) - 1n)), frac);
  }
  if (hi > Number.MAX_SAFE_INTEGER || lo < Number.MIN_SAFE_INTEGER)
    throw new RangeError(`a range up to ${Math.max(hi, -lo)} in numbers`);
  if (lo >= 0) return ufixed(Math.max(1, bitLength(hi)), frac);
  return fixed(1 + Math.max(bitLength(hi), bitLength(-lo - 1)), frac);
}

/** Bits of a non-negative integer: 0 -> 0, 1 -> 1, 255 -> 8, 256 -> 9. Exact up to 2^53. */
export function bitLength(n: number): number {
  if (n <= 0) return 0;
  if (n < 2 ** 31) return 32 - Math.clz32(n);
  return 31 + bitLength(Math.floor(n / 2 ** 31));
}

function bigLength(n: bigint): number {
  return n <= 0n ? 0 : n.toString(2).length;
}

/** Whether every value of `from` is a value of `to`. */
export function isLossless(from: FixedType, to: FixedType): boolean {
  if (to.frac < from.frac) return false;
  const [a, b] = [wideRange(from), wideRange(to)];
  const shift = BigInt(to.frac - from.frac);
  const [lo, hi] = [a.lo << shift, a.hi << shift];
  return lo >= b.lo && hi <= b.hi;
}

/** Value of one least significant bit. */
export function lsb(type: FixedType): number {
  return 2 ** -type.frac;
}
