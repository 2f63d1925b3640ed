/**
 * What the combinational operations of rtl compute: one reference that constant folding, the simulator's tests and the
 * Verilog writer's corner cases refer to. Integers are exact bigints; every result is wrapped to its type.
 */
import type { Attr, Dense } from "../attributes.js";
import type { Op } from "../core.js";
import type { BitsType } from "../types.js";
import type { RtlName } from "./index.js";

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
export type CombinationalName = Exclude<
  RtlName,
  "rtl.module" | "rtl.output" | "rtl.instance" | "rtl.constant" | "rtl.reg" | "rtl.memory" | "rtl.rom"
>;

export interface Evaluation {
  readonly values: readonly bigint[];
  readonly types: readonly BitsType[];
  readonly result: BitsType;
  /** `amount` of a shift, `lo` of an extract. */
  readonly parameter: number;
}

/** Result of the combinational operation `name`. Operand values must be in the ranges of their types. */
export function evaluateRtl(name: CombinationalName, e: Evaluation): bigint {
  const [a = 0n, b = 0n, c = 0n] = e.values;
  return wrap(MEANING[name](a, b, c, e), e.result);
}

type Meaning = (a: bigint, b: bigint, c: bigint, e: Evaluation) => bigint;

const truth = (holds: boolean): bigint => (holds ? 1n : 0n);

/** The exact integer, before it wraps to the result's type. */
const MEANING: Readonly<Record<CombinationalName, Meaning>> = {
  "rtl.add": (a, b) => a + b,
  "rtl.sub": (a, b) => a - b,
  "rtl.mul": (a, b) => a * b,
  "rtl.and": (a, b) => a & b,
  "rtl.or": (a, b) => a | b,
  "rtl.xor": (a, b) => a ^ b,
  "rtl.not": (a) => ~a,
  "rtl.shl": (a, _b, _c, e) => a << BigInt(e.parameter),
  "rtl.shr": (a, _b, _c, e) => a >> BigInt(e.parameter),
  "rtl.eq": (a, b) => truth(a === b),
  "rtl.ne": (a, b) => truth(a !== b),
  "rtl.lt": (a, b) => truth(a < b),
  "rtl.le": (a, b) => truth(a <= b),
  "rtl.mux": (a, b, c) => (a !== 0n ? b : c),
  "rtl.select": (index, _b, _c, { values: [, ...choices] }) => {
    const last = choices.length - 1;
    return choices[index < BigInt(last) ? Number(index) : last] ?? 0n;
  },
  "rtl.concat": (_a, _b, _c, { values, types }) =>
    types.reduce((word, t, i) => (word << BigInt(t.width)) | BigInt.asUintN(t.width, values[i] ?? 0n), 0n),
  "rtl.extract": (a, _b, _c, e) => a >> BigInt(e.parameter),
  "rtl.cast": (a) => a,
};

export const COMBINATIONAL = Object.keys(MEANING) as readonly CombinationalName[];

/** A table in which all combinational operations are alike. */
export function forCombinational<T>(entry: T): Readonly<Record<CombinationalName, T>> {
  return Object.fromEntries(COMBINATIONAL.map((name) => [name, entry])) as Record<CombinationalName, T>;
}

/** Whether the result of `op` follows from its operands alone. */
export function isCombinational(op: Op): op is Op & { readonly name: CombinationalName } {
  return Object.hasOwn(MEANING, op.name);
}

/** `amount` of a shift, `lo` of an extract, 0 for what has neither. */
export function parameterOf(attrs: Readonly<Record<string, Attr>>): number {
  return Number(attrs["amount"] ?? attrs["lo"] ?? 0);
}

/** Width of an address into `depth` words; one bit for a single word. */
export function addressWidth(depth: number): number {
  return Math.max(1, bitLengthOf(BigInt(depth - 1)));
}

/** Words of a rom as bit patterns; element 0 of a row is least significant. */
export function romPatterns({ shape: [depth = 0, perWord = 1], elem, data }: Dense): bigint[] {
  const width = elem.kind === "fixed" ? elem.width : 0;
  return Array.from({ length: depth }, (_, d) => {
    const row = Array.from(data.subarray(d * perWord, (d + 1) * perWord), BigInt);
    return row.reduceRight((word, v) => (word << BigInt(width)) | BigInt.asUintN(width, v), 0n);
  });
}
