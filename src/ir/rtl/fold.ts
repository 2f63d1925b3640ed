/**
 * Local simplification of rtl operations: constants, neutral elements, multiplication by a power of two, no-op wiring.
 */
import type { Attr } from "../attributes.js";
import { CompilerBug } from "../../diagnostics/index.js";
import type { Value } from "../core.js";
import { intAttr, strAttr } from "../define-op.js";
import { sameType, type BitsType } from "../types.js";
import { bitsOf, isRtl } from "./index.js";
import { bitsRange, evaluateRtl, parameterOf, type BitsRange, type CombinationalName } from "./semantics.js";

/** What an operation can be replaced by: a constant, an existing value of the same type, or a simpler operation. */
export type Simplified =
  | { readonly kind: "constant"; readonly value: bigint }
  | { readonly kind: "value"; readonly value: Value }
  | {
      readonly kind: "op";
      readonly name: CombinationalName;
      readonly operands: readonly Value[];
      readonly attrs?: Readonly<Record<string, Attr>>;
    };

/** Integer of a constant value. */
export function constantOf(v: Value): bigint | undefined {
  return isRtl(v.def, "rtl.constant") ? BigInt(strAttr(v.def, "value")) : undefined;
}

/** Range of a value: its constant, or all of its type. */
export function rangeOf(v: Value): BitsRange {
  const c = constantOf(v);
  return c === undefined ? bitsRange(bitsOf(v.type)) : { lo: c, hi: c };
}

/** A simpler form of operation `name` with result `type`; undefined where there is none. */
export function simplify(
  name: CombinationalName,
  operands: readonly Value[],
  type: BitsType,
  attrs: Readonly<Record<string, Attr>>,
): Simplified | undefined {
  const constants = operands.map(constantOf);
  const parameter = parameterOf(attrs);
  const values = constants.filter((c) => c !== undefined);
  if (values.length === operands.length) {
    const types = operands.map((o) => bitsOf(o.type));
    return { kind: "constant", value: evaluateRtl(name, { values, types, result: type, parameter }) };
  }
  return SIMPLER[name](new Site(operands, constants, type, parameter));
}

/** An operation to be simplified: not all of its operands are constants. */
class Site {
  constructor(
    readonly operands: readonly Value[],
    private readonly constants: readonly (bigint | undefined)[],
    readonly type: BitsType,
    readonly parameter: number,
  ) {}
  operand(i: number): Value {
    const v = this.operands[i];
    if (v === undefined) throw new CompilerBug(`no operand ${i} to simplify`);
    return v;
  }
  get a(): Value {
    return this.operand(0);
  }
  get b(): Value {
    return this.operand(1);
  }
  /** The first operand's integer, where it is a constant. */
  get ca(): bigint | undefined {
    return this.constants[0];
  }
  get cb(): bigint | undefined {
    return this.constants[1];
  }
}

type Rule = (site: Site) => Simplified | undefined;

const SIMPLER: Readonly<Record<CombinationalName, Rule>> = {
  "rtl.add": ({ ca, cb, a, b, type }) => (ca === 0n ? cast(b, type) : cb === 0n ? cast(a, type) : undefined),
  "rtl.sub": ({ cb, a, b, type }) => (a === b ? zero : cb === 0n ? cast(a, type) : undefined),
  "rtl.mul": ({ ca, cb, a, b, type }) =>
    ca !== undefined ? times(b, ca, type) : cb !== undefined ? times(a, cb, type) : undefined,
  "rtl.shl": ({ a, parameter, type }) => (parameter >= type.width ? zero : parameter === 0 ? cast(a, type) : undefined),
  "rtl.shr": ({ a, parameter, type }) => {
    const from = bitsOf(a.type);
    if (!from.signed && parameter >= from.width) return zero;
    return parameter === 0 ? cast(a, type) : undefined;
  },
  "rtl.and": (site) => bitwise(site, { whereZero: () => zero, whereOnes: cast, ofEqual: cast }),
  "rtl.or": (site) =>
    bitwise(site, { whereZero: cast, whereOnes: (_, t) => ({ kind: "constant", value: ones(t) }), ofEqual: cast }),
  "rtl.xor": (site) =>
    bitwise(site, {
      whereZero: cast,
      whereOnes: (x) => ({ kind: "op", name: "rtl.not", operands: [x] }),
      ofEqual: () => zero,
    }),
  "rtl.not": ({ a, type }) => (isRtl(a.def, "rtl.not") ? cast(a.def.operand(0), type) : undefined),
  "rtl.eq": (site) => comparison(site, true, (a, b) => (apart(a, b) ? false : undefined)),
  "rtl.ne": (site) => comparison(site, false, (a, b) => (apart(a, b) ? true : undefined)),
  "rtl.lt": (site) => comparison(site, false, (a, b) => (a.hi < b.lo ? true : a.lo >= b.hi ? false : undefined)),
  "rtl.le": (site) => comparison(site, true, (a, b) => (a.hi <= b.lo ? true : a.lo > b.hi ? false : undefined)),
  "rtl.mux": (site) => {
    const [taken, other] = [site.b, site.operand(2)];
    if (site.ca !== undefined) return cast(site.ca === 1n ? taken : other, site.type);
    return taken === other ? cast(taken, site.type) : undefined;
  },
  "rtl.select": selection,
  "rtl.concat": ({ operands, a, type }) => (operands.length === 1 ? cast(a, type) : undefined),
  "rtl.extract": ({ a, parameter, type }) => extraction(a, parameter, type),
  "rtl.cast": ({ a, type }) => casting(a, type),
};

const zero: Simplified = { kind: "constant", value: 0n };

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

function ones(type: BitsType): bigint {
  return (1n << BigInt(type.width)) - 1n;
}

type Form = (x: Value, type: BitsType) => Simplified;

/** Forms of an operation whose operands are the same value, or of which one is a constant of zeros or ones only. */
function bitwise(
  { a, b, ca, cb, type }: Site,
  forms: { readonly ofEqual: Form; readonly whereZero: Form; readonly whereOnes: Form },
): Simplified | undefined {
  if (a === b) return forms.ofEqual(a, type);
  const [x, c] = ca !== undefined ? [b, ca] : [a, cb];
  if (c === undefined) return undefined;
  const pattern = BigInt.asUintN(type.width, c);
  if (pattern === 0n) return forms.whereZero(x, type);
  return pattern === ones(type) ? forms.whereOnes(x, type) : undefined;
}

function comparison(
  { a, b }: Site,
  ofEqual: boolean,
  decide: (a: BitsRange, b: BitsRange) => boolean | undefined,
): Simplified | undefined {
  const truth = a === b ? ofEqual : decide(rangeOf(a), rangeOf(b));
  return truth === undefined ? undefined : { kind: "constant", value: truth ? 1n : 0n };
}

function apart(a: BitsRange, b: BitsRange): boolean {
  return a.hi < b.lo || b.hi < a.lo;
}

function selection(site: Site): Simplified | undefined {
  const { operands, a: index, b: first, ca, type } = site;
  const count = operands.length - 1;
  if (ca !== undefined) return cast(site.operand(1 + (ca < BigInt(count) ? Number(ca) : count - 1)), type);
  if (operands.every((v, i) => i === 0 || v === first)) return cast(first, type);
  // Values that no index reaches.
  const reach = 2 ** Math.min(31, bitsOf(index.type).width);
  return count > reach ? { kind: "op", name: "rtl.select", operands: operands.slice(0, 1 + reach) } : undefined;
}

function extraction(x: Value, lo: number, type: BitsType): Simplified | undefined {
  const from = bitsOf(x.type);
  if (lo === 0 && type.width === from.width) return cast(x, type);
  const def = x.def;
  if (isRtl(def, "rtl.extract")) {
    return { kind: "op", name: "rtl.extract", operands: [def.operand(0)], attrs: { lo: lo + intAttr(def, "lo") } };
  }
  if (isRtl(def, "rtl.concat")) return partOfConcat(def.operands, lo, type);
  return undefined;
}

/** A part that lies within one operand of a concatenation. */
function partOfConcat(parts: readonly Value[], lo: number, type: BitsType): Simplified | undefined {
  let base = 0;
  for (const part of [...parts].reverse()) {
    const { width } = bitsOf(part.type);
    if (lo < base + width) {
      if (lo + type.width > base + width) return undefined;
      return { kind: "op", name: "rtl.extract", operands: [part], attrs: { lo: lo - base } };
    }
    base += width;
  }
  return undefined;
}

function casting(x: Value, type: BitsType): Simplified | undefined {
  if (sameType(x.type, type)) return { kind: "value", value: x };
  const def = x.def;
  if (!isRtl(def, "rtl.cast")) return undefined;
  const inner = def.operand(0);
  const [from, middle] = [bitsOf(inner.type), bitsOf(x.type)];
  // The outer cast sees the same number, or only bits that the inner one has kept.
  const [r, m] = [bitsRange(from), bitsRange(middle)];
  const kept = type.width <= middle.width || (r.lo >= m.lo && r.hi <= m.hi);
  return kept ? { kind: "op", name: "rtl.cast", operands: [inner] } : undefined;
}
