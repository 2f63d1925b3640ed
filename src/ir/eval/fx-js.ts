/**
 * Scalar fixed-point bodies as JavaScript source. Raw integers are int32 where the type allows it, doubles up to 53
 * bits, and bigints beyond; all give the same integers.
 */
import type { Block, Op, Value } from "../core.js";
import { CompilerBug } from "../../diagnostics/index.js";
import { denseAttr, intAttr, strAttr } from "../define-op.js";
import { requantizeWide } from "../fixed-arith.js";
import { bodyOf, fixedType, fxEntry, isFx, type FxComputation } from "../fx/index.js";
import { isWide, rawRange, showType, type FixedType } from "../types.js";

/** Whether every raw value fits an int32. */
export function isInt32(t: FixedType): boolean {
  return t.width <= (t.signed ? 32 : 31);
}

/** A raw integer of type `from` as one of type `to`, which can hold it: only its store may change. */
export function stored(x: string, from: FixedType, to: FixedType): string {
  if (isWide(from) === isWide(to)) return x;
  return isWide(to) ? `BigInt(${x})` : `Number(${x})`;
}

/** Names of tables that a body reads, to be bound when the source is compiled. */
export class Bindings {
  readonly names: string[] = [];
  readonly values: unknown[] = [];
  add(value: unknown): string {
    const name = `k${this.names.length}`;
    this.names.push(name);
    this.values.push(value);
    return name;
  }
}

/**
 * Statements that compute the body; `args` are the JavaScript expressions of the block arguments.
 * Returns the statements and the expression that the block yields.
 */
export function emitBody(
  block: Block,
  args: readonly string[],
  bindings: Bindings,
  prefix: string,
): { statements: string[]; result: string } {
  const names = new Map<Value, string>(block.args.flatMap((a, i) => (args[i] === undefined ? [] : [[a, args[i]]])));
  const nameOf = (v: Value): string => {
    const name = names.get(v);
    if (name === undefined) throw new CompilerBug(`%${v.hint ?? v.id} is not a value of this body`);
    return name;
  };
  const statements: string[] = [];
  const { ops, result } = bodyOf(block);
  for (const op of ops) {
    const source = emitOp(op, op.operands.map(nameOf), bindings);
    if (isFx(op, "fx.constant")) names.set(op.result, source);
    else {
      const name = `${prefix}${statements.length}`;
      statements.push(`const ${name} = ${source};`);
      names.set(op.result, name);
    }
  }
  return { statements, result: nameOf(result) };
}

/** An operand: its JavaScript expression and its type. */
interface Operand {
  readonly e: string;
  readonly type: FixedType;
}

/** An operation to be written, with its operands in order. */
class Site {
  readonly to: FixedType;
  readonly operands: readonly Operand[];
  constructor(
    readonly op: Op,
    sources: readonly string[],
    readonly bindings: Bindings,
  ) {
    this.to = fixedType(op.result.type);
    this.operands = sources.map((e, i) => ({ e, type: fixedType(op.operand(i).type) }));
  }
  get first(): Operand {
    return this.operand(0);
  }
  get second(): Operand {
    return this.operand(1);
  }
  get third(): Operand {
    return this.operand(2);
  }
  private operand(i: number): Operand {
    const x = this.operands[i];
    if (x === undefined) throw new CompilerBug(`${this.op.name} has no operand ${i}`);
    return x;
  }
}

type Emit = (site: Site) => string;

function emitOp(op: Op, sources: readonly string[], bindings: Bindings): string {
  const site = new Site(op, sources, bindings);
  const wide = [site.to, ...site.operands.map((o) => o.type)].some(isWide);
  return fxEntry(wide ? wideJs : numberJs, op)(site);
}

/** Both brought to the fraction of the result, and joined; cut to an int32 where the result is one. */
const aligned =
  (join: (a: string, b: string, int: boolean) => string): Emit =>
  ({ first: a, second: b, to }) =>
    join(align(a.e, a.type, to), align(b.e, b.type, to), isInt32(to));

/** Leaves are found for an ensemble as a whole: `eval/flow.ts`. */
const asEnsemble: Emit = ({ op }) => {
  throw new CompilerBug(`${op.name} outside the body of an ensemble`);
};

/** Each operation on raw integers of up to 53 bits. */
const numberJs: Readonly<Record<FxComputation, Emit>> = {
  "fx.constant": ({ op }) => literal(intAttr(op, "raw")),
  "fx.add": aligned((a, b, int) => (int ? `(${a} + ${b}) | 0` : `${a} + ${b}`)),
  "fx.sub": aligned((a, b, int) => (int ? `(${a} - ${b}) | 0` : `${a} - ${b}`)),
  "fx.mul": ({ first: a, second: b, to }) => {
    const extra = to.frac - a.type.frac - b.type.frac;
    if (extra !== 0) return `${a.e} * ${b.e} * ${2 ** extra}`;
    return [to, a.type, b.type].every(isInt32) ? `Math.imul(${a.e}, ${b.e})` : `${a.e} * ${b.e}`;
  },
  "fx.max": aligned((a, b) => `Math.max(${a}, ${b})`),
  "fx.min": aligned((a, b) => `Math.min(${a}, ${b})`),
  "fx.select_neg": ({ first: x, second: a, third: b, to }) =>
    `${x.e} < 0 ? ${align(a.e, a.type, to)} : ${align(b.e, b.type, to)}`,
  "fx.cast": ({ first: x, to }) => align(x.e, x.type, to),
  "fx.requantize": ({ op, first: x, to }) =>
    emitRequantize(x.e, x.type, to, strAttr(op, "rounding"), strAttr(op, "overflow")),
  "fx.table": ({ op, first: x, bindings }) =>
    `${bindings.add(denseAttr(op, "values").data)}[${x.e} - ${literal(rawRange(x.type).lo)}]`,
  "fx.tree": asEnsemble,
};

/** The operand as a bigint expression. */
function big({ e, type }: Operand): string {
  return isWide(type) ? e : `BigInt(${e})`;
}
/** `e` times 2^shift, where that drops no bit. */
function up(e: string, shift: number): string {
  if (shift < 0) throw new CompilerBug(`an alignment by ${shift} bits drops some`);
  return shift === 0 ? e : `(${e} << ${shift}n)`;
}
/** The operand as a bigint in units of 2^-to.frac. */
function bigAligned(x: Operand, to: FixedType): string {
  return up(big(x), to.frac - x.type.frac);
}

/** A bigint expression, stored as the type of the result is. */
const stored53 =
  (emit: Emit): Emit =>
  (site) =>
    isWide(site.to) ? emit(site) : `Number(${emit(site)})`;
const alignedBig = (join: (a: string, b: string) => string): Emit =>
  stored53(({ first: a, second: b, to }) => join(bigAligned(a, to), bigAligned(b, to)));

/** Each operation with an operand or a result of more than 53 bits. */
const wideJs: Readonly<Record<FxComputation, Emit>> = {
  "fx.constant": ({ op }) => `${BigInt(intAttr(op, "raw"))}n`,
  "fx.add": alignedBig((a, b) => `${a} + ${b}`),
  "fx.sub": alignedBig((a, b) => `${a} - ${b}`),
  "fx.mul": stored53(({ first: a, second: b, to }) =>
    up(`(${big(a)} * ${big(b)})`, to.frac - a.type.frac - b.type.frac),
  ),
  "fx.max": alignedBig((a, b) => `largerOf(${a}, ${b})`),
  "fx.min": alignedBig((a, b) => `smallerOf(${a}, ${b})`),
  "fx.select_neg": stored53(
    ({ first: x, second: a, third: b, to }) => `(${x.e} < 0 ? ${bigAligned(a, to)} : ${bigAligned(b, to)})`,
  ),
  "fx.cast": stored53(({ first: x, to }) => bigAligned(x, to)),
  "fx.requantize": stored53(({ op, first: x, to, bindings }) => {
    const [rounding, overflow] = [strAttr(op, "rounding"), strAttr(op, "overflow")];
    return `requantizeWide(${big(x)}, ${bindings.add(x.type)}, ${bindings.add(to)}, "${rounding}", "${overflow}")`;
  }),
  "fx.table": ({ first: x, to }) => {
    throw new CompilerBug(`a table from ${showType(x.type)} to ${showType(to)}`);
  },
  "fx.tree": asEnsemble,
};

function literal(n: number): string {
  return n < 0 ? `(${n})` : `${n}`;
}

/** `x` in units of 2^-to.frac, where to.frac >= from.frac. */
function align(x: string, from: FixedType, to: FixedType): string {
  const shift = to.frac - from.frac;
  if (shift === 0) return x;
  if (shift < 0) throw new Error(`alignment of ${showType(from)} to ${showType(to)} drops bits`);
  return isInt32(to) && shift < 31 ? `(${x} << ${shift})` : `(${x} * ${2 ** shift})`;
}

/** Rounding, then limiting: the meaning of `nn.quantize` and `fx.requantize` on raw integers. */
export function emitRequantize(x: string, from: FixedType, to: FixedType, rounding: string, overflow: string): string {
  const shift = from.frac - to.frac;
  const { lo, hi } = rawRange(to);
  const range = rawRange(from);
  let rounded: string;
  let bounds = range;
  if (shift <= 0) {
    const scale = 2 ** -shift;
    bounds = { lo: range.lo * scale, hi: range.hi * scale };
    rounded = shift === 0 ? x : `${x} * ${scale}`;
  } else {
    const down = 2 ** -shift;
    bounds = { lo: Math.floor(range.lo * down), hi: Math.ceil(range.hi * down) };
    const narrow = isInt32({ ...from, width: from.width + 1 }) && shift < 31;
    if (rounding === "floor") rounded = narrow ? `${x} >> ${shift}` : `Math.floor(${x} * ${down})`;
    else if (rounding === "half-up")
      rounded = narrow ? `(${x} + ${2 ** (shift - 1)}) >> ${shift}` : `Math.floor(${x} * ${down} + 0.5)`;
    else if (rounding === "half-even") rounded = `roundHalfEven(${x} * ${down})`;
    else if (rounding === "biased-half-even") rounded = `roundHalfEven(${x} * ${down} - 0.5)`;
    else throw new Error(`unknown rounding ${rounding}`);
  }
  if (overflow === "wrap") return `wrapTo(${rounded}, ${to.signed}, ${2 ** to.width})`;
  if (bounds.hi > hi) rounded = `Math.min(${rounded}, ${literal(hi)})`;
  if (bounds.lo < lo) rounded = `Math.max(${rounded}, ${literal(lo)})`;
  return rounded;
}

/** Functions that emitted source may call. */
export const runtimeHelpers: Readonly<Record<string, unknown>> = {
  requantizeWide,
  largerOf: (a: bigint, b: bigint): bigint => (a > b ? a : b),
  smallerOf: (a: bigint, b: bigint): bigint => (a < b ? a : b),
  roundHalfEven(v: number): number {
    const f = Math.floor(v);
    const d = v - f;
    if (d < 0.5) return f;
    if (d > 0.5) return f + 1;
    return f % 2 === 0 ? f : f + 1;
  },
  wrapTo(v: number, signed: boolean, modulus: number): number {
    const u = v - Math.floor(v / modulus) * modulus;
    return signed && u >= modulus / 2 ? u - modulus : u;
  },
};
