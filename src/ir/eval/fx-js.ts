/**
 * Scalar fixed-point bodies as JavaScript source. Raw integers are int32 where the type allows it, doubles up to 53
 * bits, and bigints beyond; all give the same integers.
 */
import type { Block, Op, Value } from "../core.js";
import { denseAttr, intAttr, strAttr } from "../define-op.js";
import { requantizeWide } from "../fixed-arith.js";
import { isWide, rawRange, showType, type FixedType, type Type } from "../types.js";

/** Whether every raw value fits an int32. */
export function isInt32(t: FixedType): boolean {
  return t.width <= (t.signed ? 32 : 31);
}

export function fixedType(t: Type): FixedType {
  if (t.kind !== "fixed") throw new Error(`fixed point expected, got ${showType(t)}`);
  return t;
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
  const names = new Map<Value, string>();
  block.args.forEach((a, i) => names.set(a, args[i]!));
  const statements: string[] = [];
  let result: string | undefined;
  let n = 0;
  for (const op of block.ops) {
    if (op.name === "fx.yield") {
      result = names.get(op.operand(0))!;
      break;
    }
    const source = emitOp(
      op,
      op.operands.map((v) => names.get(v)!),
      bindings,
    );
    if (op.name === "fx.constant") {
      names.set(op.result, source);
    } else {
      const name = `${prefix}${n++}`;
      statements.push(`const ${name} = ${source};`);
      names.set(op.result, name);
    }
  }
  if (result === undefined) throw new Error("body without fx.yield");
  return { statements, result };
}

function emitOp(op: Op, x: readonly string[], bindings: Bindings): string {
  const to = fixedType(op.result.type);
  const from = op.operands.map((v) => fixedType(v.type));
  if (op.name !== "fx.constant" && [to, ...from].some(isWide)) return emitWide(op, x, from, to, bindings);
  const at = (i: number): string => align(x[i]!, from[i]!, to);
  const int = isInt32(to);
  switch (op.name) {
    case "fx.constant":
      return isWide(to) ? `${BigInt(intAttr(op, "raw"))}n` : literal(intAttr(op, "raw"));
    case "fx.add":
      return int ? `(${at(0)} + ${at(1)}) | 0` : `${at(0)} + ${at(1)}`;
    case "fx.sub":
      return int ? `(${at(0)} - ${at(1)}) | 0` : `${at(0)} - ${at(1)}`;
    case "fx.mul": {
      const extra = to.frac - from[0]!.frac - from[1]!.frac;
      if (extra !== 0) return `${x[0]} * ${x[1]} * ${2 ** extra}`;
      return int && isInt32(from[0]!) && isInt32(from[1]!) ? `Math.imul(${x[0]}, ${x[1]})` : `${x[0]} * ${x[1]}`;
    }
    case "fx.max":
      return `Math.max(${at(0)}, ${at(1)})`;
    case "fx.min":
      return `Math.min(${at(0)}, ${at(1)})`;
    case "fx.select_neg":
      return `${x[0]} < 0 ? ${align(x[1]!, from[1]!, to)} : ${align(x[2]!, from[2]!, to)}`;
    case "fx.cast":
      return at(0);
    case "fx.requantize":
      return emitRequantize(x[0]!, from[0]!, to, strAttr(op, "rounding"), strAttr(op, "overflow"));
    case "fx.table": {
      const table = bindings.add(denseAttr(op, "values").data);
      return `${table}[${x[0]} - ${literal(rawRange(from[0]!).lo)}]`;
    }
    default:
      throw new Error(`no scalar meaning for ${op.name}`);
  }
}

/** An operation with an operand or a result of more than 53 bits. */
function emitWide(op: Op, x: readonly string[], from: readonly FixedType[], to: FixedType, bindings: Bindings): string {
  const big = (i: number): string => (isWide(from[i]!) ? x[i]! : `BigInt(${x[i]})`);
  const up = (e: string, shift: number): string => {
    if (shift < 0) throw new Error(`${op.name}: alignment to ${showType(to)} drops bits`);
    return shift === 0 ? e : `(${e} << ${shift}n)`;
  };
  const at = (i: number): string => up(big(i), to.frac - from[i]!.frac);
  const result = (e: string): string => (isWide(to) ? e : `Number(${e})`);
  switch (op.name) {
    case "fx.add":
      return result(`${at(0)} + ${at(1)}`);
    case "fx.sub":
      return result(`${at(0)} - ${at(1)}`);
    case "fx.mul":
      return result(up(`(${big(0)} * ${big(1)})`, to.frac - from[0]!.frac - from[1]!.frac));
    case "fx.max":
      return result(`largerOf(${at(0)}, ${at(1)})`);
    case "fx.min":
      return result(`smallerOf(${at(0)}, ${at(1)})`);
    case "fx.select_neg":
      return result(`(${x[0]} < 0 ? ${at(1)} : ${at(2)})`);
    case "fx.cast":
      return result(at(0));
    case "fx.requantize": {
      const [rounding, overflow] = [strAttr(op, "rounding"), strAttr(op, "overflow")];
      return result(
        `requantizeWide(${big(0)}, ${bindings.add(from[0])}, ${bindings.add(to)}, "${rounding}", "${overflow}")`,
      );
    }
    default:
      throw new Error(`no scalar meaning for ${op.name} on ${showType(to)}`);
  }
}

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
