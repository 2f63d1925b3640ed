/**
 * rtl operations as Verilog expressions.
 *
 * Every expression is exactly as wide as its value, and so are its operands: nothing is left to Verilog's rules for
 * extension. That is also why signed and unsigned operands can stand side by side in sums and choices; where signs
 * count (comparison, multiplication), both sides are signed and the text says so.
 */
import type { Op, Value } from "../ir/core.js";
import { constantOf } from "../ir/rtl/fold.js";
import { bitsOf } from "../ir/rtl/index.js";
import { typeOfBitsRange, bitsRange, wrap } from "../ir/rtl/semantics.js";
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
  const width = op.results.length === 1 ? bitsOf(op.result.type).width : 0;
  const from = op.operands.length > 0 ? bitsOf(op.operand(0).type).width : 0;
  switch (op.name) {
    case "rtl.extract":
      return { base: op.operand(0), lo: Number(op.attrs["lo"]) };
    case "rtl.cast":
      return width <= from ? { base: op.operand(0), lo: 0 } : undefined;
    case "rtl.shr": {
      const amount = Number(op.attrs["amount"]);
      return amount + width <= from ? { base: op.operand(0), lo: amount } : undefined;
    }
    default:
      return undefined;
  }
}

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

  /** Expression of a combinational operation; undefined where it takes statements. */
  render(op: Op): Expr | undefined {
    const width = op.results.length === 1 ? bitsOf(op.result.type).width : 0;
    const [a, b] = op.operands as readonly [Value, Value];
    switch (op.name) {
      case "rtl.constant":
        return atom(literal(BigInt(op.attrs["value"] as string), width));
      case "rtl.add":
        return this.sum(a, b, width);
      case "rtl.sub":
        return this.difference(a, b, width);
      case "rtl.mul":
        return this.product(a, b, width);
      case "rtl.and":
        return this.infix(a, "&", b, width);
      case "rtl.or":
        return this.infix(a, "|", b, width);
      case "rtl.xor":
        return this.infix(a, "^", b, width);
      case "rtl.not":
        return atom(`~${group(this.fit(a, width))}`);
      case "rtl.eq":
        return this.comparison(a, "==", b);
      case "rtl.ne":
        return this.comparison(a, "!=", b);
      case "rtl.lt":
        return this.comparison(a, "<", b);
      case "rtl.le":
        return this.comparison(a, "<=", b);
      case "rtl.mux":
        return compound(
          `${group(this.fit(a, 1))} ? ${group(this.fit(b, width))} : ${group(this.fit(op.operand(2), width))}`,
        );
      case "rtl.concat":
        return atom(op.operands.length === 1 ? this.own(a) : `{${op.operands.map((v) => this.own(v)).join(", ")}}`);
      case "rtl.shl": {
        const amount = Number(op.attrs["amount"]);
        return atom(
          amount >= width ? literal(0n, width) : `{${this.take(a, 0, width - amount).text}, ${literal(0n, amount)}}`,
        );
      }
      case "rtl.shr":
        return this.take(a, Number(op.attrs["amount"]), width);
      case "rtl.extract":
        return this.take(a, Number(op.attrs["lo"]), width);
      case "rtl.cast":
        return this.fit(a, width);
      default:
        return undefined;
    }
  }

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

/** Type in which a value is compared: a constant takes that of the other side if it can. */
function comparedAs(v: Value, other: Value): BitsType {
  const c = constantOf(v);
  if (c === undefined) return bitsOf(v.type);
  const r = bitsRange(bitsOf(other.type));
  return c >= r.lo && c <= r.hi ? bitsOf(other.type) : typeOfBitsRange({ lo: c, hi: c });
}
