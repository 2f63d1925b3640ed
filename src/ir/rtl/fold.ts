/**
 * Local simplification of rtl operations: constants, neutral elements, multiplication by a power of two, no-op wiring.
 */
import type { Attr } from "../attributes.js";
import type { Value } from "../core.js";
import { sameType, type BitsType } from "../types.js";
import { bitsRange, evaluateRtl, type BitsRange, type CombinationalName } from "./semantics.js";

export type Known = CombinationalName;

/** What an operation can be replaced by: a constant, an existing value of the same type, or a simpler operation. */
export type Simplified =
  | { readonly kind: "constant"; readonly value: bigint }
  | { readonly kind: "value"; readonly value: Value }
  | {
      readonly kind: "op";
      readonly name: Known;
      readonly operands: readonly Value[];
      readonly attrs?: Readonly<Record<string, Attr>>;
    };

/** Integer of a constant value. */
export function constantOf(v: Value): bigint | undefined {
  return v.def?.name === "rtl.constant" ? BigInt(v.def.attrs["value"] as string) : undefined;
}

/** Range of a value: its constant, or all of its type. */
export function rangeOf(v: Value): BitsRange {
  const c = constantOf(v);
  return c === undefined ? bitsRange(v.type as BitsType) : { lo: c, hi: c };
}

/** A simpler form of operation `name` with result `type`; undefined where there is none. */
export function simplify(
  name: Known,
  operands: readonly Value[],
  type: BitsType,
  attrs: Readonly<Record<string, Attr>>,
): Simplified | undefined {
  const values = operands.map(constantOf);
  if (values.every((v) => v !== undefined)) {
    const parameter = Number(attrs["amount"] ?? attrs["lo"] ?? 0);
    return {
      kind: "constant",
      value: evaluateRtl(name, { values, types: operands.map((o) => o.type as BitsType), result: type, parameter }),
    };
  }
  const [a, b] = operands as [Value, Value];
  const [ca, cb] = values;
  switch (name) {
    case "rtl.add":
      if (ca === 0n) return cast(b, type);
      return cb === 0n ? cast(a, type) : undefined;
    case "rtl.sub":
      if (a === b) return zero;
      return cb === 0n ? cast(a, type) : undefined;
    case "rtl.mul":
      return ca !== undefined ? times(b, ca, type) : cb !== undefined ? times(a, cb, type) : undefined;
    case "rtl.shl":
      if (Number(attrs["amount"]) >= type.width) return zero;
      return attrs["amount"] === 0 ? cast(a, type) : undefined;
    case "rtl.shr": {
      const from = a.type as BitsType;
      if (!from.signed && Number(attrs["amount"]) >= from.width) return zero;
      return attrs["amount"] === 0 ? cast(a, type) : undefined;
    }
    case "rtl.and":
    case "rtl.or":
    case "rtl.xor":
      return bitwise(name, a, b, ca, cb, type);
    case "rtl.not":
      return a.def?.name === "rtl.not" ? same(a.def.operand(0), type) : undefined;
    case "rtl.eq":
    case "rtl.ne":
    case "rtl.lt":
    case "rtl.le":
      return comparison(name, a, b);
    case "rtl.mux":
      if (ca !== undefined) return same(ca === 1n ? b : operands[2]!, type);
      return b === operands[2] ? same(b, type) : undefined;
    case "rtl.select":
      return selection(operands, ca, type);
    case "rtl.concat":
      return operands.length === 1 ? same(a, type) : undefined;
    case "rtl.extract":
      return extraction(a, Number(attrs["lo"]), type);
    case "rtl.cast":
      return casting(a, type);
  }
}

const zero: Simplified = { kind: "constant", value: 0n };

function same(v: Value, type: BitsType): Simplified {
  return cast(v, type);
}
function cast(v: Value, type: BitsType): Simplified {
  return sameType(v.type, type) ? { kind: "value", value: v } : { kind: "op", name: "rtl.cast", operands: [v] };
}

function times(x: Value, c: bigint, type: BitsType): Simplified | undefined {
  if (c === 0n) return zero;
  if (c === 1n) return cast(x, type);
  // x * 2^n; a negative power stays a product, which synthesis turns into one subtraction.
  const n = c > 0n && (c & (c - 1n)) === 0n ? c.toString(2).length - 1 : 0;
  return n > 0 ? { kind: "op", name: "rtl.shl", operands: [x], attrs: { amount: n } } : undefined;
}

function bitwise(
  name: Known,
  a: Value,
  b: Value,
  ca: bigint | undefined,
  cb: bigint | undefined,
  type: BitsType,
): Simplified | undefined {
  if (a === b) return name === "rtl.xor" ? zero : same(a, type);
  const [x, c] = ca !== undefined ? [b, ca] : [a, cb];
  if (c === undefined) return undefined;
  const pattern = BigInt.asUintN(type.width, c);
  const ones = (1n << BigInt(type.width)) - 1n;
  if (pattern === 0n) return name === "rtl.and" ? zero : same(x, type);
  if (pattern !== ones) return undefined;
  if (name === "rtl.and") return same(x, type);
  return name === "rtl.or" ? { kind: "constant", value: ones } : { kind: "op", name: "rtl.not", operands: [x] };
}

function comparison(name: Known, a: Value, b: Value): Simplified | undefined {
  const truth = (t: boolean): Simplified => ({ kind: "constant", value: t ? 1n : 0n });
  if (a === b) return truth(name === "rtl.eq" || name === "rtl.le");
  const [ra, rb] = [rangeOf(a), rangeOf(b)];
  switch (name) {
    case "rtl.eq":
    case "rtl.ne":
      return ra.hi < rb.lo || rb.hi < ra.lo ? truth(name === "rtl.ne") : undefined;
    case "rtl.lt":
      if (ra.hi < rb.lo) return truth(true);
      return ra.lo >= rb.hi ? truth(false) : undefined;
    default:
      if (ra.hi <= rb.lo) return truth(true);
      return ra.lo > rb.hi ? truth(false) : undefined;
  }
}

function selection(operands: readonly Value[], index: bigint | undefined, type: BitsType): Simplified | undefined {
  const count = operands.length - 1;
  if (index !== undefined) return same(operands[1 + Number(index < BigInt(count) ? index : BigInt(count - 1))]!, type);
  const first = operands[1]!;
  if (operands.every((v, i) => i === 0 || v === first)) return same(first, type);
  // Values that no index reaches.
  const reach = 2 ** Math.min(31, (operands[0]!.type as BitsType).width);
  return count > reach ? { kind: "op", name: "rtl.select", operands: operands.slice(0, 1 + reach) } : undefined;
}

function extraction(x: Value, lo: number, type: BitsType): Simplified | undefined {
  const from = x.type as BitsType;
  if (lo === 0 && type.width === from.width) return same(x, type);
  const def = x.def;
  if (def?.name === "rtl.extract") {
    return { kind: "op", name: "rtl.extract", operands: [def.operand(0)], attrs: { lo: lo + Number(def.attrs["lo"]) } };
  }
  if (def?.name === "rtl.concat") return partOfConcat(def.operands, lo, type);
  return undefined;
}

/** A part that lies within one operand of a concatenation. */
function partOfConcat(parts: readonly Value[], lo: number, type: BitsType): Simplified | undefined {
  let base = 0;
  for (let i = parts.length - 1; i >= 0; i--) {
    const width = (parts[i]!.type as BitsType).width;
    if (lo < base + width) {
      if (lo + type.width > base + width) return undefined;
      return { kind: "op", name: "rtl.extract", operands: [parts[i]!], attrs: { lo: lo - base } };
    }
    base += width;
  }
  return undefined;
}

function casting(x: Value, type: BitsType): Simplified | undefined {
  if (sameType(x.type, type)) return { kind: "value", value: x };
  const def = x.def;
  if (def?.name !== "rtl.cast") return undefined;
  const inner = def.operand(0);
  const [from, middle] = [inner.type as BitsType, x.type as BitsType];
  // The outer cast sees the same number, or only bits that the inner one has kept.
  const [r, m] = [bitsRange(from), bitsRange(middle)];
  const kept = type.width <= middle.width || (r.lo >= m.lo && r.hi <= m.hi);
  return kept ? { kind: "op", name: "rtl.cast", operands: [inner] } : undefined;
}
