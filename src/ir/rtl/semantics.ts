/**
 * What the combinational operations of rtl compute: one reference that constant folding, the simulator's tests and the
 * Verilog writer's corner cases refer to. Integers are exact bigints; every result is wrapped to its type.
 */
import type { BitsType } from "../types.js";

/** Inclusive range of integers. */
export interface BitsRange {
  readonly lo: bigint;
  readonly hi: bigint;
}

/** All values of `type`. */
export function bitsRange(type: BitsType): BitsRange {
  const w = BigInt(type.width);
  return type.signed ? { lo: -(1n << (w - 1n)), hi: (1n << (w - 1n)) - 1n } : { lo: 0n, hi: (1n << w) - 1n };
}

/** The smallest type that holds every integer from `lo` to `hi`; unsigned where none is negative. At least one bit. */
export function typeOfBitsRange({ lo, hi }: BitsRange): BitsType {
  if (lo >= 0n) return { kind: "bits", signed: false, width: Math.max(1, bitLengthOf(hi)) };
  return { kind: "bits", signed: true, width: 1 + Math.max(hi > 0n ? bitLengthOf(hi) : 0, bitLengthOf(-lo - 1n)) };
}

/** Bits of a non-negative integer: 0 -> 0, 255 -> 8, 256 -> 9. */
export function bitLengthOf(n: bigint): number {
  return n <= 0n ? 0 : n.toString(2).length;
}

/** `value` modulo 2^width, in the range of `type`. */
export function wrap(value: bigint, type: BitsType): bigint {
  return type.signed ? BigInt.asIntN(type.width, value) : BigInt.asUintN(type.width, value);
}

/** Operations without state or names: their result follows from operand values, attributes and types alone. */
export const COMBINATIONAL = [
  "rtl.add",
  "rtl.sub",
  "rtl.mul",
  "rtl.and",
  "rtl.or",
  "rtl.xor",
  "rtl.not",
  "rtl.shl",
  "rtl.shr",
  "rtl.eq",
  "rtl.ne",
  "rtl.lt",
  "rtl.le",
  "rtl.mux",
  "rtl.select",
  "rtl.concat",
  "rtl.extract",
  "rtl.cast",
] as const;
export type CombinationalName = (typeof COMBINATIONAL)[number];

export interface Evaluation {
  readonly values: readonly bigint[];
  readonly types: readonly BitsType[];
  readonly result: BitsType;
  /** `amount` of a shift, `lo` of an extract. */
  readonly parameter: number;
}

/** Result of the combinational operation `name`. Operand values must be in the ranges of their types. */
export function evaluateRtl(name: CombinationalName, e: Evaluation): bigint {
  const [a = 0n, b = 0n] = e.values;
  return wrap(exact(name, a, b, e), e.result);
}

function exact(name: CombinationalName, a: bigint, b: bigint, e: Evaluation): bigint {
  switch (name) {
    case "rtl.add":
      return a + b;
    case "rtl.sub":
      return a - b;
    case "rtl.mul":
      return a * b;
    case "rtl.and":
      return a & b;
    case "rtl.or":
      return a | b;
    case "rtl.xor":
      return a ^ b;
    case "rtl.not":
      return ~a;
    case "rtl.shl":
      return a << BigInt(e.parameter);
    case "rtl.shr":
    case "rtl.extract":
      return a >> BigInt(e.parameter);
    case "rtl.eq":
      return a === b ? 1n : 0n;
    case "rtl.ne":
      return a !== b ? 1n : 0n;
    case "rtl.lt":
      return a < b ? 1n : 0n;
    case "rtl.le":
      return a <= b ? 1n : 0n;
    case "rtl.mux":
      return a !== 0n ? b : e.values[2]!;
    case "rtl.select": {
      const last = BigInt(e.values.length - 2);
      return e.values[1 + Number(a < last ? a : last)]!;
    }
    case "rtl.concat":
      return e.values.reduce(
        (acc, v, i) => (acc << BigInt(e.types[i]!.width)) | BigInt.asUintN(e.types[i]!.width, v),
        0n,
      );
    case "rtl.cast":
      return a;
  }
}

/** Width of an address into `depth` words; one bit for a single word. */
export function addressWidth(depth: number): number {
  return Math.max(1, bitLengthOf(BigInt(depth - 1)));
}
