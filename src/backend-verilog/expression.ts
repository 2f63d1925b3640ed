/**
 * rtl operations as Verilog expressions.
 *
 * Every expression is exactly as wide as its value, and so are its operands: nothing is left to Verilog's rules for
 * extension. That is also why signed and unsigned operands can stand side by side in sums and choices; where signs
 * count (comparison, multiplication), both sides are signed and the text says so.
 */
import type { Op, Value } from "../ir/core.js";
import { constantOf } from "../ir/rtl/fold.js";
import { intAttr, strAttr } from "../ir/define-op.js";
import { at } from "../ir/present.js";
import { bitsOf, rtlEntry, type RtlName } from "../ir/rtl/index.js";
import { bitsRange, isCombinational, typeOfBitsRange, wrap, type CombinationalName } from "../ir/rtl/semantics.js";
import { bits, type BitsType } from "../ir/types.js";

export interface Expr {
  readonly text: string;
  /** Needs no parentheses as an operand. */
  readonly atomic: boolean;
  /** The name of a signal that is declared signed. */
  readonly signed?: boolean;
}

/** A run of bits of a value: what extraction and truncation are. */
export interface Slice {
  readonly base: Value;
  readonly lo: number;
}

/** Where operands get their text from. */
export interface Operands {
  /** All bits of a value. */
  whole(v: Value): Expr;
  /** Some bits, not all, of a value, which therefore must have a name. */
  part(v: Value, lo: number, width: number): string;
}

export function atom(text: string): Expr {
  return { text, atomic: true };
}
function compound(text: string): Expr {
  return { text, atomic: false };
}
export function group(e: Expr): string {
  return e.atomic ? e.text : `(${e.text})`;
}

/** An unsigned constant: decimal where a person would read it so. */
export function literal(value: bigint, width: number): string {
  const v = BigInt.asUintN(width, value);
  if (width === 1) return `1'b${v}`;
  return width <= 32 ? `${width}'d${v}` : `${width}'h${v.toString(16)}`;
}
function signedLiteral(value: bigint, width: number): string {
  const v = BigInt.asIntN(width, value);
  if (width > 32 || v === -(1n << BigInt(width - 1))) return `${width}'sh${BigInt.asUintN(width, v).toString(16)}`;
  return v < 0n ? `-${width}'sd${-v}` : `${width}'sd${v}`;
}

/** The slice that `op` is, if it only picks bits that its operand has. */
export function sliceOf(op: Op): Slice | undefined {
  if (!isCombinational(op)) return undefined;
  const lo = PICKED[op.name]?.(op);
  if (lo === undefined) return undefined;
  const base = op.operand(0);
  return lo + bitsOf(op.result.type).width <= bitsOf(base.type).width ? { base, lo } : undefined;
}

/** First bit of the operand for operations that pick some. */
const PICKED: { readonly [N in CombinationalName]?: (op: Op) => number } = {
  "rtl.extract": (op) => intAttr(op, "lo"),
  "rtl.shr": (op) => intAttr(op, "amount"),
  "rtl.cast": () => 0,
};

export class ExpressionWriter {
  constructor(
    private readonly operands: Operands,
    /** Slices that are written in place instead of getting a name. */
    private readonly slices: ReadonlyMap<Value, Slice>,
  ) {}

  /** floor(v / 2^lo) modulo 2^width: exactly `width` bits. */
  take(v: Value, lo: number, width: number): Expr {
    const c = constantOf(v);
    if (c !== undefined) return atom(literal(c >> BigInt(lo), width));
    const type = bitsOf(v.type);
    const has = type.width - lo;
    const fill = (n: number): string => {
      if (!type.signed) return literal(0n, n);
      const sign = this.bitsOf(v, type.width - 1, 1).text;
      return n === 1 ? sign : `{${n}{${sign}}}`;
    };
    if (has <= 0) return atom(fill(width));
    if (width <= has) return this.bitsOf(v, lo, width);
    const low = this.bitsOf(v, lo, has);
    return atom(`{${fill(width - has)}, ${low.text}}`);
  }
  /** The value in `width` bits. */
  fit(v: Value, width: number): Expr {
    return this.take(v, 0, width);
  }
  /** The value in its own width, for where any expression will do. */
  own(v: Value): string {
    return this.fit(v, bitsOf(v.type).width).text;
  }

  /** Bits that the value has. */
  private bitsOf(v: Value, lo: number, width: number): Expr {
    const slice = this.slices.get(v);
    if (slice !== undefined) return this.bitsOf(slice.base, slice.lo + lo, width);
    return width === bitsOf(v.type).width ? this.operands.whole(v) : atom(this.operands.part(v, lo, width));
  }

  /** The value in `width` bits as an operand that Verilog takes for signed. */
  private signedOperand(v: Value, width: number): Expr {
    const c = constantOf(v);
    if (c !== undefined) return { text: signedLiteral(c, width), atomic: c >= 0n };
    const e = this.fit(v, width);
    return e.signed === true ? e : atom(`$signed(${e.text})`);
  }

  /** Expression of an operation; undefined where it takes statements. */
  render(op: Op): Expr | undefined {
    return rtlEntry(this.forms, op)?.(op.operands, op);
  }

  /** Expressions as wide as the result; `undefined` for what takes statements. */
  private readonly forms: Readonly<Record<RtlName, ((x: readonly Value[], op: Op) => Expr) | undefined>> = {
    "rtl.module": undefined,
    "rtl.output": undefined,
    "rtl.reg": undefined,
    "rtl.memory": undefined,
    "rtl.rom": undefined,
    "rtl.instance": undefined,
    // A case statement.
    "rtl.select": undefined,
    "rtl.constant": (_, op) => atom(literal(BigInt(strAttr(op, "value")), widthOf(op))),
    "rtl.add": (x, op) => this.sum(at(x, 0), at(x, 1), widthOf(op)),
    "rtl.sub": (x, op) => this.difference(at(x, 0), at(x, 1), widthOf(op)),
    "rtl.mul": (x, op) => this.product(at(x, 0), at(x, 1), widthOf(op)),
    "rtl.and": (x, op) => this.infix(at(x, 0), "&", at(x, 1), widthOf(op)),
    "rtl.or": (x, op) => this.infix(at(x, 0), "|", at(x, 1), widthOf(op)),
    "rtl.xor": (x, op) => this.infix(at(x, 0), "^", at(x, 1), widthOf(op)),
    "rtl.not": (x, op) => atom(`~${group(this.fit(at(x, 0), widthOf(op)))}`),
    "rtl.eq": (x) => this.comparison(at(x, 0), "==", at(x, 1)),
    "rtl.ne": (x) => this.comparison(at(x, 0), "!=", at(x, 1)),
    "rtl.lt": (x) => this.comparison(at(x, 0), "<", at(x, 1)),
    "rtl.le": (x) => this.comparison(at(x, 0), "<=", at(x, 1)),
    "rtl.mux": (x, op) => {
      const width = widthOf(op);
      // In the order of the text, as operands may get their names here.
      const sel = group(this.fit(at(x, 0), 1));
      return compound(`${sel} ? ${group(this.fit(at(x, 1), width))} : ${group(this.fit(at(x, 2), width))}`);
    },
    "rtl.concat": (x) => atom(x.length === 1 ? this.own(at(x, 0)) : `{${x.map((v) => this.own(v)).join(", ")}}`),
    "rtl.shl": (x, op) => {
      const [width, amount] = [widthOf(op), intAttr(op, "amount")];
      if (amount >= width) return atom(literal(0n, width));
      return atom(`{${this.take(at(x, 0), 0, width - amount).text}, ${literal(0n, amount)}}`);
    },
    "rtl.shr": (x, op) => this.take(at(x, 0), intAttr(op, "amount"), widthOf(op)),
    "rtl.extract": (x, op) => this.take(at(x, 0), intAttr(op, "lo"), widthOf(op)),
    "rtl.cast": (x, op) => this.fit(at(x, 0), widthOf(op)),
  };

  private infix(a: Value, sign: string, b: Value, width: number): Expr {
    return compound(`${group(this.fit(a, width))} ${sign} ${group(this.fit(b, width))}`);
  }

  private sum(a: Value, b: Value, width: number): Expr {
    if (constantOf(a) !== undefined) return this.sum(b, a, width);
    const c = constantOf(b);
    const small = c === undefined ? 0n : wrap(c, bits(width, true));
    // "x - 3" reads better than "x + 253".
    if (c !== undefined && c < 0n && small < 0n)
      return compound(`${group(this.fit(a, width))} - ${literal(-small, width)}`);
    return this.infix(a, "+", b, width);
  }

  private difference(a: Value, b: Value, width: number): Expr {
    if (constantOf(a) === 0n) return compound(`-${group(this.fit(b, width))}`);
    return this.infix(a, "-", b, width);
  }

  private product(a: Value, b: Value, width: number): Expr {
    const signed = [a, b].some((v) => {
      const c = constantOf(v);
      return c === undefined ? bitsOf(v.type).signed : c < 0n;
    });
    if (!signed) return this.infix(a, "*", b, width);
    return compound(`${group(this.signedOperand(a, width))} * ${group(this.signedOperand(b, width))}`);
  }

  private comparison(a: Value, sign: string, b: Value): Expr {
    const [ta, tb] = [comparedAs(a, b), comparedAs(b, a)];
    if (sign === "<" && constantOf(b) === 0n && ta.signed) return this.take(a, ta.width - 1, 1);
    const signed = ta.signed || tb.signed;
    // An unsigned number needs a zero above it to be compared as a signed one.
    const width = Math.max(...[ta, tb].map((t) => t.width + (signed && !t.signed ? 1 : 0)));
    const ordered = sign === "<" || sign === "<=";
    const side = (v: Value): Expr =>
      signed && (ordered || constantOf(v) !== undefined) ? this.signedOperand(v, width) : this.fit(v, width);
    return compound(`${group(side(a))} ${sign} ${group(side(b))}`);
  }
}

function widthOf(op: Op): number {
  return bitsOf(op.result.type).width;
}

/** Type in which a value is compared: a constant takes that of the other side if it can. */
function comparedAs(v: Value, other: Value): BitsType {
  const c = constantOf(v);
  if (c === undefined) return bitsOf(v.type);
  const r = bitsRange(bitsOf(other.type));
  return c >= r.lo && c <= r.hi ? bitsOf(other.type) : typeOfBitsRange({ lo: c, hi: c });
}
