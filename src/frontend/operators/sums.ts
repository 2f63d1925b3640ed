/** Sums, products and norms along axes and over windows: CumSum, CumProd, ReduceProd, the norms, LpPool. */
import type { Value } from "../../ir/core.js";
import { elementCount } from "../../ir/types.js";
import { reduce, reshape, table, transpose } from "./build.js";
import { foldConstant } from "./reduce.js";
import { productOf } from "./logic.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";

/** A product with a triangle of ones. */
const cumSum: OperatorImporter = {
  opType: "CumSum",
  limits: "axis constant",
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    const axis = ctx.axis(ctx.needConstant(1, "the axis").data[0]!, shape.length);
    const n = shape[axis]!;
    const [exclusive, reverse] = [ctx.int("exclusive", 0) !== 0, ctx.int("reverse", 0) !== 0];
    const ones = Float64Array.from({ length: n * n }, (_, i) => {
      const [from, to] = [Math.floor(i / n), i % n];
      const before = reverse ? from > to : from < to;
      return before || (from === to && !exclusive) ? 1 : 0;
    });
    const triangle = ctx.fromConstant({ shape: [n, n], data: ones, integer: false }, `${ctx.name}_triangle`);
    const order = [...shape.map((_, d) => d).filter((d) => d !== axis), axis];
    const moved = transpose(ctx, x, order);
    const flat = reshape(ctx, moved, [elementCount(shape) / n, n]);
    const sums = reshape(ctx, ctx.emit("nn.matmul", [flat, triangle], shapeOf(flat)), shapeOf(moved));
    return transpose(
      ctx,
      sums,
      shape.map((_, d) => order.indexOf(d)),
    );
  },
};

/** Elements whose products are chained. */
const MAX_CHAIN = 64;

const cumProd: OperatorImporter = {
  opType: "CumProd",
  since: 26,
  limits: `axis constant, of at most ${MAX_CHAIN} elements`,
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    const axis = ctx.axis(ctx.needConstant(1, "the axis").data[0]!, shape.length);
    const n = shape[axis]!;
    if (n > MAX_CHAIN)
      throw ctx.error(
        `${n} elements along axis ${axis} are too many to be multiplied one after the other`,
        `at most ${MAX_CHAIN}`,
      );
    const [exclusive, reverse] = [ctx.int("exclusive", 0) !== 0, ctx.int("reverse", 0) !== 0];
    const row = shape.map((m, d) => (d === axis ? 1 : m));
    const part = (i: number): Value =>
      ctx.emit("nn.slice", [x], row, {
        shape: row,
        starts: row.map((_, d) => (d === axis ? i : 0)),
        steps: row.map(() => 1),
      });
    const order = Array.from({ length: n }, (_, i) => (reverse ? n - 1 - i : i));
    const one = (): Value =>
      ctx.fromConstant(
        { shape: row, data: new Float64Array(elementCount(row)).fill(1), integer: false },
        `${ctx.name}_one`,
      );
    const found: Value[] = exclusive ? [one()] : [part(order[0]!)];
    for (const i of order.slice(exclusive ? 0 : 1, exclusive ? n - 1 : n))
      found.push(
        found.length === 1 && exclusive ? part(i) : ctx.emit("nn.mul", [found[found.length - 1]!, part(i)], row),
      );
    return n === 1 ? found[0]! : ctx.emit("nn.concat", reverse ? found.reverse() : found, shape, { axis });
  },
};

type Norm = (ctx: NodeContext, x: Value, fold: (v: Value, kind: string, keep?: boolean) => Value) => Value;

function norm(opType: string, compute: Norm): OperatorImporter {
  return {
    opType,
    import: (ctx) => {
      const x = ctx.value(0);
      const rank = shapeOf(x).length;
      const given = ctx.intsOrInput("axes", 1, "axes");
      const [noop, keepdims] = [ctx.int("noop_with_empty_axes", 0) !== 0, ctx.int("keepdims", 1) !== 0];
      if ((given === undefined || given.length === 0) && noop) return ctx.input(0);
      const axes =
        given === undefined || given.length === 0
          ? shapeOf(x).map((_, d) => d)
          : [...new Set(given.map((a) => ctx.axis(a, rank)))].sort((a, b) => a - b);
      return compute(ctx, x, (v, kind, keep) => reduce(ctx, v, kind, axes, keep ?? keepdims));
    },
  };
}
const square = (ctx: NodeContext, x: Value): Value => ctx.emit("nn.mul", [x, x], shapeOf(x));

const logSumExp: Norm = (ctx, x, fold) => {
  // The largest goes first, so that no exponential is above 1.
  const most = fold(x, "max", true);
  const shifted = ctx.emit("nn.sub", [x, most], shapeOf(x));
  const sum = fold(table(ctx, shifted, "exp"), "sum");
  const log = table(ctx, sum, "log");
  return ctx.emit("nn.add", [log, reshape(ctx, most, shapeOf(sum))], shapeOf(sum));
};

/** Largest p of a p-norm: a product of so many factors. */
const MAX_NORM = 16;

/** |x|^p in front of a sum, and the root behind it. */
function normOf(ctx: NodeContext, x: Value): { readonly power: Value; readonly root: (sum: Value) => Value } {
  const p = ctx.opset < 2 ? ctx.float("p", 2) : ctx.int("p", 2);
  if (!Number.isInteger(p) || p < 1 || p > MAX_NORM)
    throw ctx.error(`p is ${p}; integers from 1 to ${MAX_NORM} are supported`);
  const power = productOf(ctx, p % 2 === 0 ? x : ctx.emit("nn.abs", [x], shapeOf(x)), p);
  return { power, root: (sum) => (p === 1 ? sum : table(ctx, sum, p === 2 ? "sqrt" : `pow:${1 / p}`)) };
}

/** Norms of windows. */
const lpPool: OperatorImporter = {
  opType: "LpPool",
  limits: `p up to ${MAX_NORM}`,
  import: (ctx) => {
    const { power, root } = normOf(ctx, ctx.value(0));
    const averaged = ctx.delegate("AveragePool", [{ kind: "value", value: power }]) as Value;
    const pool = averaged.def!;
    return root(ctx.emit("nn.pool", pool.operands, shapeOf(averaged), { ...pool.attrs, kind: "sum" }));
  },
};

const globalLpPool: OperatorImporter = {
  opType: "GlobalLpPool",
  limits: `p up to ${MAX_NORM}`,
  import: (ctx) => {
    const x = ctx.value(0);
    const { power, root } = normOf(ctx, x);
    return root(
      reduce(
        ctx,
        power,
        "sum",
        shapeOf(x)
          .map((_, d) => d)
          .slice(2),
        true,
      ),
    );
  },
};

/** Halves are multiplied until one element is left along each axis. */
const reduceProd: OperatorImporter = {
  opType: "ReduceProd",
  import: (ctx) => {
    const shape = ctx.shape(0);
    const given = ctx.intsOrInput("axes", 1, "axes");
    const [noop, keepdims] = [ctx.int("noop_with_empty_axes", 0) !== 0, ctx.int("keepdims", 1) !== 0];
    if ((given === undefined || given.length === 0) && noop) return ctx.input(0);
    const axes =
      given === undefined || given.length === 0
        ? shape.map((_, d) => d)
        : [...new Set(given.map((a) => ctx.axis(a, shape.length)))];
    const c = ctx.constant(0);
    if (c !== undefined) return foldConstant(c, "prod", new Set(axes), keepdims);
    let y = ctx.value(0);
    for (const axis of axes) {
      for (let n = shapeOf(y)[axis]!; n > 1; n = shapeOf(y)[axis]!) {
        const half = n >> 1;
        const part = (start: number, size: number): Value => {
          const out = shapeOf(y).map((m, d) => (d === axis ? size : m));
          return ctx.emit("nn.slice", [y], out, {
            shape: out,
            starts: out.map((_, d) => (d === axis ? start : 0)),
            steps: out.map(() => 1),
          });
        };
        const [a, b] = [part(0, half), part(half, half)];
        const products = ctx.emit("nn.mul", [a, b], shapeOf(a));
        y =
          n % 2 === 0
            ? products
            : ctx.emit(
                "nn.concat",
                [products, part(n - 1, 1)],
                shapeOf(y).map((m, d) => (d === axis ? half + 1 : m)),
                { axis },
              );
      }
    }
    return keepdims
      ? y
      : reshape(
          ctx,
          y,
          shape.filter((_, d) => !axes.includes(d)),
        );
  },
};

export const sumOperators: readonly OperatorImporter[] = [
  cumSum,
  cumProd,
  norm("ReduceL1", (ctx, x, fold) => fold(ctx.emit("nn.abs", [x], shapeOf(x)), "sum")),
  norm("ReduceL2", (ctx, x, fold) => table(ctx, fold(square(ctx, x), "sum"), "sqrt")),
  norm("ReduceSumSquare", (ctx, x, fold) => fold(square(ctx, x), "sum")),
  norm("ReduceLogSum", (ctx, x, fold) => table(ctx, fold(x, "sum"), "log")),
  norm("ReduceLogSumExp", logSumExp),
  reduceProd,
  lpPool,
  globalLpPool,
];
