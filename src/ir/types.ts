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

/** Inclusive range of raw integers. Numbers are exact here: every width that the compiler allows is below 2^53. */
export interface RawRange {
  readonly lo: number;
  readonly hi: number;
}

export function rawRange(type: FixedType): RawRange {
  return type.signed
    ? { lo: -(2 ** (type.width - 1)), hi: 2 ** (type.width - 1) - 1 }
    : { lo: 0, hi: 2 ** type.width - 1 };
}

/** Fewest bits that hold every integer of `range`; unsigned where no member is negative. At least 1 bit. */
export function typeOfRange(range: RawRange, frac: number): FixedType {
  if (range.lo >= 0) return ufixed(Math.max(1, bitLength(range.hi)), frac);
  return fixed(1 + Math.max(bitLength(range.hi), bitLength(-range.lo - 1)), frac);
}

/** Bits of a non-negative integer: 0 -> 0, 1 -> 1, 255 -> 8, 256 -> 9. Exact up to 2^53. */
export function bitLength(n: number): number {
  if (n <= 0) return 0;
  if (n < 2 ** 31) return 32 - Math.clz32(n);
  return 31 + bitLength(Math.floor(n / 2 ** 31));
}

/** Whether every value of `from` is a value of `to`. */
export function isLossless(from: FixedType, to: FixedType): boolean {
  if (to.frac < from.frac) return false;
  const a = rawRange(from);
  const b = rawRange(to);
  const scale = 2 ** (to.frac - from.frac);
  return a.lo * scale >= b.lo && a.hi * scale <= b.hi;
}

/** Value of one least significant bit. */
export function lsb(type: FixedType): number {
  return 2 ** -type.frac;
}
