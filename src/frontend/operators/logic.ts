/** Sizes and powers. */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { mapConstants, needBroadcast } from "./broadcast.js";

const size: OperatorImporter = {
  opType: "Size",
  resultType: () => 7,
  import: (ctx) => known([], [ctx.shape(0).reduce((n, d) => n * d, 1)], true),
};

/**
 * Exporters compute 1/p of a norm in single precision or with an epsilon: what is a few parts in a million beside a
 * half is one.
 */
function nearHalf(p: number): number {
  const half = Math.round(2 * p) / 2;
  return Math.abs(p - half) <= 2 ** -20 * Math.max(1, Math.abs(p)) ? half : p;
}

/** Largest exponent that becomes products. */
const MAX_PRODUCTS = 16;

/**
 * Powers by products, by the table of that power, or of any base and exponent as exp(y log|x|), whose sign an odd
 * exponent keeps.
 */
const pow: OperatorImporter = {
  opType: "Pow",
  import: (ctx): Value | Imported => {
    const exponents = ctx.constant(1);
    const base = ctx.constant(0);
    const shape = needBroadcast(ctx, ctx.shape(0), ctx.shape(1));
    if (base !== undefined && exponents !== undefined)
      return known(shape, mapConstants(base, exponents, shape, Math.pow), base.integer);
    const x = ctx.value(0);
    const first = exponents?.data[0];
    if (first === undefined || exponents!.data.some((v) => v !== first) || shape.join() !== ctx.shape(0).join())
      return powerOfTwo(ctx, x, ctx.value(1), shape);
    const p = nearHalf(first);
    if (p === 1) return ctx.input(0);
    if (p === 0) return known(shape, new Float64Array(shape.reduce((n, d) => n * d, 1)).fill(1), false);
    if (Math.abs(p) === 0.5) return ctx.emit("nn.unary", [x], shape, { fn: p > 0 ? "sqrt" : "rsqrt" });
    if (!Number.isInteger(p) || Math.abs(p) > MAX_PRODUCTS) return ctx.emit("nn.unary", [x], shape, { fn: `pow:${p}` });
    const power = productOf(ctx, x, Math.abs(p));
    return p > 0 ? power : ctx.emit("nn.unary", [power], shape, { fn: "reciprocal" });
  },
};

/** x to a positive integer: square and multiply. */
export function productOf(ctx: NodeContext, x: Value, exponent: number): Value {
  const times = (a: Value, b: Value): Value => ctx.emit("nn.mul", [a, b], shapeOf(a));
  let power: Value | undefined;
  for (let bits = exponent, square = x; bits > 0; bits >>= 1) {
    if (bits % 2 === 1) power = power === undefined ? square : times(power, square);
    if (bits > 1) square = times(square, square);
  }
  return power!;
}

/** x to the y, of two operands of any shape. */
function powerOfTwo(ctx: NodeContext, x: Value, y: Value, shape: readonly number[]): Value {
  const number = (v: number, what: string): Value =>
    ctx.fromConstant({ shape: [], data: Float64Array.of(v), integer: false }, `${ctx.name}_${what}`);
  const unary = (v: Value, fn: string): Value => ctx.emit("nn.unary", [v], shapeOf(v), { fn });
  const choose = (v: Value, negative: Value, other: Value): Value =>
    ctx.emit("nn.select_neg", [v, negative, other], shape);
  const apart = (v: Value): Value => ctx.emit("nn.neg", [ctx.emit("nn.abs", [v], shapeOf(v))], shapeOf(v));
  // The logarithm is taken where there is one: a negative base has powers to integers only. 0 to the 0 is 1, to
  // anything else 0.
  const between = ctx.emit("nn.neg", [ctx.emit("nn.fraction", [y], shapeOf(y))], shapeOf(y));
  const size = choose(between, x, ctx.emit("nn.abs", [x], shapeOf(x)));
  const logged = unary(choose(apart(x), size, number(1, "one")), "log");
  const power = unary(ctx.emit("nn.mul", [logged, y], shape), "exp");
  const ofZero = ctx.emit("nn.select_neg", [apart(y), number(0, "zero"), number(1, "one")], shapeOf(y));
  const magnitude = choose(apart(x), power, ofZero);
  const half = ctx.emit("nn.fraction", [ctx.emit("nn.mul", [y, number(0.5, "half")], shapeOf(y))], shapeOf(y));
  // An odd exponent leaves a half.
  const odd = ctx.emit("nn.sub", [number(0.25, "quarter"), half], shapeOf(y));
  return choose(x, choose(odd, ctx.emit("nn.neg", [magnitude], shape), magnitude), magnitude);
}

export const logicOperators: readonly OperatorImporter[] = [size, pow];
