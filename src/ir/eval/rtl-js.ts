/**
 * rtl operations as JavaScript text.
 *
 * A value lives in one of three stores, by width: `I` (Int32Array) for what fits an int32, `F` (Float64Array) up to 53
 * bits, and `W` (Int32Array), 32 bits per word and least significant word first, for wider ones. `I` and `F` hold the
 * number itself; `W` holds the bit pattern, zero above the width. Wiring of wide words (concatenation, extraction,
 * choice) is word operations; only arithmetic on more than 53 bits goes through BigInt.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import { intAttr } from "../define-op.js";
import { addRanges, mulRanges, subRanges } from "../fixed-arith.js";
import { at } from "../present.js";
import { bitsRange, isCombinational, type BitsRange, type CombinationalName } from "../rtl/semantics.js";
import type { BitsType } from "../types.js";
import type { Node } from "./rtl-flatten.js";

export type Store = "I" | "F" | "W";

export function storeOf(t: BitsType): Store {
  if (t.width <= 31 || (t.width === 32 && t.signed)) return "I";
  return t.width <= 53 ? "F" : "W";
}
export function wordsOf(t: BitsType): number {
  return Math.ceil(t.width / 32);
}

/** Functions that the generated text refers to. */
export const runtime = {
  /** x modulo 2^w, not negative; m = 2^w, 32 < w <= 53, |x| <= 2^53. */
  wu: (x: number, m: number): number => x - Math.floor(x / m) * m,
  /** The same in two's complement. */
  ws: (x: number, m: number): number => {
    const r = x - Math.floor(x / m) * m;
    return r >= m / 2 ? r - m : r;
  },
  /** The bit pattern at words `at` and up as a number without sign. */
  load: (W: Int32Array, at: number, n: number): bigint => {
    let hex = "0x";
    for (let i = n - 1; i >= 0; i--) hex += ((W[at + i] ?? 0) >>> 0).toString(16).padStart(8, "0");
    return BigInt(hex);
  },
  /** Stores the low `w` bits of x. */
  save: (W: Int32Array, at: number, w: number, x: bigint): void => {
    const n = Math.ceil(w / 32);
    const hex = BigInt.asUintN(w, x)
      .toString(16)
      .padStart(8 * n, "0");
    for (let i = 0; i < n; i++) W[at + i] = Number.parseInt(hex.slice(8 * (n - 1 - i), 8 * (n - i)), 16);
  },
};

/** Bits `lo` to `lo + width - 1` of a value; without `id`, zeros; with `fill`, its sign. */
interface Piece {
  readonly id?: number;
  readonly lo: number;
  readonly width: number;
  readonly fill?: boolean;
}

/** Names of things in the generated text. */
export interface Names {
  /** The number (stores I, F) of a value. */
  num(id: number): string;
  /** First word (store W) of a value. */
  at(id: number): number;
  type(id: number): BitsType;
}

/** An expression for the result, or statements that store it. */
export type JsCode = { readonly number: string } | { readonly statements: string };

export class JsWriter {
  constructor(private readonly names: Names) {}

  private type(id: number): BitsType {
    return this.names.type(id);
  }
  private store(id: number): Store {
    return storeOf(this.type(id));
  }

  /** The value as a BigInt expression. */
  big(id: number): string {
    const t = this.type(id);
    if (this.store(id) !== "W") return `BigInt(${this.names.num(id)})`;
    const raw = `R.load(W, ${this.names.at(id)}, ${wordsOf(t)})`;
    return t.signed ? `BigInt.asIntN(${t.width}, ${raw})` : raw;
  }

  /** Low bits of an expression as a number of type `t`; `range` bounds the expression. */
  private wrapNumber(e: string, range: BitsRange, t: BitsType): string {
    const r = bitsRange(t);
    const fits = range.lo >= r.lo && range.hi <= r.hi;
    if (storeOf(t) === "I") {
      if (fits) return `(${e}) | 0`;
      const k = 32 - t.width;
      if (t.signed) return k === 0 ? `(${e}) | 0` : `(${e}) << ${k} >> ${k}`;
      return `(${e}) & ${2 ** t.width - 1}`;
    }
    if (fits) return e;
    return t.width === 32 ? `(${e}) >>> 0` : `R.${t.signed ? "ws" : "wu"}(${e}, ${2 ** t.width})`;
  }

  /** Statements or an expression that define the result of a combinational node. */
  combinational(node: Node): JsCode {
    if (!isCombinational(node.op)) throw new CompilerBug(`${node.op.name} is not combinational`);
    return this.forms[node.op.name](node, this.type(node.result));
  }

  private readonly forms: Readonly<Record<CombinationalName, (node: Node, t: BitsType) => JsCode>> = {
    "rtl.add": (n, t) => this.arithmetic(n, t, "+", addRanges),
    "rtl.sub": (n, t) => this.arithmetic(n, t, "-", subRanges),
    "rtl.mul": (n, t) => this.arithmetic(n, t, "*", mulRanges),
    "rtl.and": (n, t) => this.bitwise(n, t, "&"),
    "rtl.or": (n, t) => this.bitwise(n, t, "|"),
    "rtl.xor": (n, t) => this.bitwise(n, t, "^"),
    "rtl.not": (n, t) => this.complement(n, t),
    "rtl.eq": (n) => this.equality(n, true),
    "rtl.ne": (n) => this.equality(n, false),
    "rtl.lt": (n) => this.comparison(n, "<"),
    "rtl.le": (n) => this.comparison(n, "<="),
    "rtl.mux": (n) => this.choice(n.result, [n.operand(2), n.operand(1)], this.names.num(n.operand(0))),
    "rtl.select": (n) => this.choice(n.result, n.operands.slice(1), this.number(n.operand(0))),
    // Wiring: results that are made of bits of the operands.
    "rtl.concat": (n, t) =>
      this.wiring(
        n.result,
        t,
        [...n.operands].reverse().map((id) => ({ id, lo: 0, width: this.type(id).width })),
      ),
    "rtl.extract": (n, t) => this.wiring(n.result, t, this.from(n.operand(0), intAttr(n.op, "lo"), t.width)),
    "rtl.shr": (n, t) => this.wiring(n.result, t, this.from(n.operand(0), intAttr(n.op, "amount"), t.width)),
    "rtl.cast": (n, t) => this.wiring(n.result, t, this.from(n.operand(0), 0, t.width)),
    "rtl.shl": (n, t) => {
      const amount = Math.min(intAttr(n.op, "amount"), t.width);
      return this.wiring(n.result, t, [{ lo: 0, width: amount }, ...this.from(n.operand(0), 0, t.width - amount)]);
    },
  };

  /** The value as a number expression; exact as far as numbers are. */
  private number(id: number): string {
    return this.store(id) === "W" ? `Number(${this.big(id)})` : this.names.num(id);
  }

  private arithmetic(
    node: Node,
    t: BitsType,
    sign: "+" | "-" | "*",
    exact: (a: BitsRange, b: BitsRange) => BitsRange,
  ): JsCode {
    const [a, b] = [node.operand(0), node.operand(1)];
    const range = exact(bitsRange(this.type(a)), bitsRange(this.type(b)));
    const narrow = this.store(a) !== "W" && this.store(b) !== "W";
    if (narrow && storeOf(t) !== "W") {
      const [x, y] = [this.names.num(a), this.names.num(b)];
      const limit = 1n << 53n;
      if (range.lo >= -limit && range.hi <= limit) return { number: this.wrapNumber(`${x} ${sign} ${y}`, range, t) };
      if (t.width <= 32) {
        const low = sign === "*" ? `Math.imul(${x}, ${y})` : `(${x} | 0) ${sign} (${y} | 0)`;
        return { number: this.wrapNumber(low, { lo: -limit, hi: limit }, t) };
      }
    }
    return this.fromBig(node.result, t, `${this.big(a)} ${sign} ${this.big(b)}`);
  }

  private fromBig(id: number, t: BitsType, e: string): JsCode {
    if (storeOf(t) === "W") return { statements: `R.save(W, ${this.names.at(id)}, ${t.width}, ${e});` };
    return { number: `Number(BigInt.as${t.signed ? "Int" : "Uint"}N(${t.width}, ${e}))` };
  }

  private bitwise(node: Node, t: BitsType, sign: string): JsCode {
    const [a, b] = [node.operand(0), node.operand(1)];
    if (t.width <= 32)
      return {
        number: this.wrapNumber(
          `${this.names.num(a)} ${sign} ${this.names.num(b)}`,
          bitsRange({ kind: "bits", signed: true, width: 33 }),
          t,
        ),
      };
    if (storeOf(t) === "F") return this.fromBig(node.result, t, `${this.big(a)} ${sign} ${this.big(b)}`);
    return this.perWord(node.result, t, (i) => `W[${this.names.at(a) + i}] ${sign} W[${this.names.at(b) + i}]`);
  }

  private complement(node: Node, t: BitsType): JsCode {
    const x = node.operand(0);
    if (storeOf(t) !== "W")
      return {
        number: this.wrapNumber(`-1 - ${this.names.num(x)}`, bitsRange({ kind: "bits", signed: true, width: 54 }), t),
      };
    const top = t.width % 32;
    return this.perWord(node.result, t, (i) =>
      i === wordsOf(t) - 1 && top > 0 ? `~W[${this.names.at(x) + i}] & ${2 ** top - 1}` : `~W[${this.names.at(x) + i}]`,
    );
  }

  private perWord(id: number, t: BitsType, word: (i: number) => string): { statements: string } {
    const at = this.names.at(id);
    return { statements: Array.from({ length: wordsOf(t) }, (_, i) => `W[${at + i}] = ${word(i)};`).join(" ") };
  }

  private equality(node: Node, equal: boolean): JsCode {
    const [a, b] = [node.operand(0), node.operand(1)];
    const [ta, tb] = [this.type(a), this.type(b)];
    const wide = this.store(a) === "W" || this.store(b) === "W";
    if (!wide || ta.width !== tb.width || ta.signed !== tb.signed) return this.comparison(node, equal ? "===" : "!==");
    const words = Array.from(
      { length: wordsOf(ta) },
      (_, i) => `W[${this.names.at(a) + i}] === W[${this.names.at(b) + i}]`,
    ).join(" && ");
    return { number: equal ? `${words} ? 1 : 0` : `${words} ? 0 : 1` };
  }

  private comparison(node: Node, sign: string): JsCode {
    const [a, b] = [node.operand(0), node.operand(1)];
    const wide = this.store(a) === "W" || this.store(b) === "W";
    const [x, y] = wide ? [this.big(a), this.big(b)] : [this.names.num(a), this.names.num(b)];
    return { number: `${x} ${sign} ${y} ? 1 : 0` };
  }

  /** `values[index]`, as a tree of comparisons. */
  private choice(id: number, values: readonly number[], index: string): JsCode {
    const wide = this.store(id) === "W";
    const tree = (from: number, to: number): string => {
      if (to - from === 1) {
        const v = at(values, from);
        return wide ? this.copyWords(this.names.at(id), this.names.at(v), wordsOf(this.type(id))) : this.names.num(v);
      }
      const middle = (from + to) >> 1;
      const [low, high] = [tree(from, middle), tree(middle, to)];
      return wide
        ? `if (${index} < ${middle}) { ${low} } else { ${high} }`
        : `(${index} < ${middle} ? ${low} : ${high})`;
    };
    const text = tree(0, values.length);
    return wide ? { statements: text } : { number: text };
  }

  copyWords(to: number, from: number, n: number): string {
    if (n > 8) return `W.copyWithin(${to}, ${from}, ${from + n});`;
    return Array.from({ length: n }, (_, i) => `W[${to + i}] = W[${from + i}];`).join(" ");
  }

  /** `width` bits of a number from `lo` upwards, its sign repeated above. */
  private from(id: number, lo: number, width: number): Piece[] {
    const has = Math.max(0, Math.min(width, this.type(id).width - lo));
    const pieces: Piece[] = [];
    if (has > 0) pieces.push({ id, lo, width: has });
    if (has < width)
      pieces.push(this.type(id).signed ? { id, lo: 0, width: width - has, fill: true } : { lo: 0, width: width - has });
    return pieces;
  }

  private wiring(id: number, t: BitsType, pieces: readonly Piece[]): JsCode {
    const direct = this.shortcut(t, pieces);
    if (direct !== undefined) return { number: direct };
    if (storeOf(t) === "W")
      return this.perWord(id, t, (i) => this.word(pieces, 32 * i, Math.min(32, t.width - 32 * i)));
    if (t.width <= 32)
      return {
        number: this.wrapNumber(this.word(pieces, 0, t.width), bitsRange({ kind: "bits", signed: true, width: 33 }), t),
      };
    const high = t.width - 32;
    const pattern = `(${this.word(pieces, 32, high)}) * 4294967296 + ((${this.word(pieces, 0, 32)}) >>> 0)`;
    return { number: t.signed ? `R.ws(${pattern}, ${2 ** t.width})` : pattern };
  }

  /** Bits of a single number, as arithmetic. */
  private shortcut(t: BitsType, pieces: readonly Piece[]): string | undefined {
    const first = at(pieces, 0);
    if (
      first.id === undefined ||
      first.fill === true ||
      pieces.length > 2 ||
      this.store(first.id) === "W" ||
      storeOf(t) === "W"
    )
      return undefined;
    const from = this.type(first.id);
    if (pieces[1]?.id !== undefined && pieces[1].fill !== true) return undefined;
    const shifted =
      first.lo === 0
        ? this.names.num(first.id)
        : this.store(first.id) === "I"
          ? `${this.names.num(first.id)} >> ${first.lo}`
          : `Math.floor(${this.names.num(first.id)} / ${2 ** first.lo})`;
    const r = bitsRange(from);
    return this.wrapNumber(shifted, { lo: r.lo >> BigInt(first.lo), hi: r.hi >> BigInt(first.lo) }, t);
  }

  /** Up to 32 bits of the concatenated pieces from `lo` upwards, as an int32 pattern, zero above. */
  private word(pieces: readonly Piece[], lo: number, width: number): string {
    const parts: string[] = [];
    let base = 0;
    for (const p of pieces) {
      const from = Math.max(lo, base);
      const to = Math.min(lo + width, base + p.width);
      if (from < to && p.id !== undefined) {
        const bits =
          p.fill === true ? this.signBits(p.id, to - from) : this.someBits(p.id, p.lo + from - base, to - from);
        parts.push(from === lo ? bits : `${bits} << ${from - lo}`);
      }
      base += p.width;
    }
    return parts.length === 0 ? "0" : parts.map((p) => (parts.length > 1 ? `(${p})` : p)).join(" | ");
  }

  private signBits(id: number, width: number): string {
    const t = this.type(id);
    const ones = width === 32 ? -1 : 2 ** width - 1;
    if (this.store(id) !== "W") return `(${this.names.num(id)} < 0 ? ${ones} : 0)`;
    return `((W[${this.names.at(id) + wordsOf(t) - 1}] >>> ${(t.width - 1) % 32} & 1) === 1 ? ${ones} : 0)`;
  }

  /** Up to 32 bits of one value as an int32 pattern. */
  private someBits(id: number, lo: number, width: number): string {
    const mask = width === 32 ? undefined : 2 ** width - 1;
    const masked = (e: string): string => (mask === undefined ? `(${e} | 0)` : `(${e} & ${mask})`);
    switch (this.store(id)) {
      case "I":
        return masked(lo === 0 ? this.names.num(id) : `(${this.names.num(id)} >> ${lo})`);
      case "F":
        return masked(lo === 0 ? this.names.num(id) : `Math.floor(${this.names.num(id)} / ${2 ** lo})`);
      case "W": {
        const at = this.names.at(id) + Math.floor(lo / 32);
        const r = lo % 32;
        if (r === 0) return masked(`W[${at}]`);
        return r + width <= 32
          ? masked(`(W[${at}] >>> ${r})`)
          : masked(`(W[${at}] >>> ${r} | W[${at + 1}] << ${32 - r})`);
      }
    }
  }
}
