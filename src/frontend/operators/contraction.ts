/**
 * Operators that are sums of products or moves in disguise: Einsum, CumSum, ConvTranspose, DepthToSpace, norms over
 * axes.
 */
import type { Value } from "../../ir/core.js";
import { rowMajorStrides } from "../../ir/types.js";
import { foldConstant } from "./reduce.js";
import { productOf } from "./logic.js";
import { flatGather, points } from "./scatter.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";

function reshape(ctx: NodeContext, x: Value, shape: readonly number[]): Value {
  return shapeOf(x).join() === shape.join() ? x : ctx.emit("nn.reshape", [x], shape, { shape: [...shape] });
}
function transpose(ctx: NodeContext, x: Value, perm: readonly number[]): Value {
  return perm.every((p, i) => p === i)
    ? x
    : ctx.emit(
        "nn.transpose",
        [x],
        perm.map((p) => shapeOf(x)[p]!),
        { perm: [...perm] },
      );
}
function reduce(ctx: NodeContext, x: Value, kind: string, axes: readonly number[], keepdims: boolean): Value {
  const s = shapeOf(x);
  if (axes.length === 0) return x;
  return ctx.emit(
    "nn.reduce",
    [x],
    keepdims ? s.map((n, d) => (axes.includes(d) ? 1 : n)) : s.filter((_, d) => !axes.includes(d)),
    { kind, axes: [...axes], keepdims },
  );
}
const product = (list: readonly number[]): number => list.reduce((n, d) => n * d, 1);

// --- Einsum

interface Labelled {
  readonly value: Value;
  readonly labels: readonly string[];
}

const einsum: OperatorImporter = {
  opType: "Einsum",
  import: (ctx) => {
    const equation = ctx.string("equation", "").replace(/\s+/g, "");
    const [left, right] = equation.split("->");
    const terms = left!.split(",");
    if (terms.length !== ctx.inputCount)
      throw ctx.error(`the equation "${equation}" names ${terms.length} operands of ${ctx.inputCount}`);
    const most = Math.max(
      ...terms.map((t, i) => (t.includes("...") ? ctx.shape(i).length - t.replace("...", "").length : 0)),
    );
    const dots = Array.from({ length: most }, (_, i) => `.${i}`);
    const expand = (t: string, rank?: number): string[] => {
      const [before, after] = t.split("...");
      if (after === undefined) return [...t];
      const n = rank === undefined ? most : rank - before!.length - after.length;
      return [...before!, ...dots.slice(most - n), ...after];
    };
    const operands = terms.map((t, i): Labelled => {
      const labels = expand(t, ctx.shape(i).length);
      if (labels.length !== ctx.shape(i).length)
        throw ctx.error(`"${t}" does not fit an operand of rank ${ctx.shape(i).length}`);
      return diagonal(ctx, { value: ctx.value(i), labels });
    });
    const all = terms.flatMap((t, i) => expand(t, ctx.shape(i).length));
    const output =
      right !== undefined
        ? expand(right)
        : [
            ...dots,
            ...[...new Set(all)].filter((l) => !l.startsWith(".") && all.filter((m) => m === l).length === 1).sort(),
          ];
    let acc = operands[0]!;
    for (let i = 1; i < operands.length; i++) {
      const later = new Set([...output, ...operands.slice(i + 1).flatMap((o) => o.labels)]);
      acc = contract(ctx, acc, operands[i]!, later);
    }
    const summed = acc.labels.flatMap((l, d) => (output.includes(l) ? [] : [d]));
    const kept = acc.labels.filter((l) => output.includes(l));
    const value = reduce(ctx, acc.value, "sum", summed, false);
    if (output.some((l) => !kept.includes(l)))
      throw ctx.error(`the equation "${equation}" has an output label that no operand has`);
    return transpose(
      ctx,
      value,
      output.map((l) => kept.indexOf(l)),
    );
  },
};

/** Axes with one label become one, on which their indices are equal. */
function diagonal(ctx: NodeContext, o: Labelled): Labelled {
  const labels = [...new Set(o.labels)];
  if (labels.length === o.labels.length) return o;
  const from = shapeOf(o.value);
  const size = labels.map((l) => from[o.labels.indexOf(l)]!);
  if (o.labels.some((l, d) => from[d] !== size[labels.indexOf(l)]))
    throw ctx.error(`the axes of a diagonal of [${from.join(", ")}] differ in length`);
  const strides = rowMajorStrides(from);
  const at = points(size).map((p) => o.labels.reduce((sum, l, d) => sum + p[labels.indexOf(l)]! * strides[d]!, 0));
  return { value: flatGather(ctx, o.value, at, size), labels };
}

/** Sum over the labels that nobody asks for later; shared labels that stay are a batch. */
function contract(ctx: NodeContext, a: Labelled, b: Labelled, later: ReadonlySet<string>): Labelled {
  const own = (o: Labelled, other: Labelled): Labelled => {
    const gone = o.labels.flatMap((l, d) => (!later.has(l) && !other.labels.includes(l) ? [d] : []));
    return { value: reduce(ctx, o.value, "sum", gone, false), labels: o.labels.filter((_, d) => !gone.includes(d)) };
  };
  const [x, y] = [own(a, b), own(b, a)];
  const size = (o: Labelled, l: string): number => shapeOf(o.value)[o.labels.indexOf(l)]!;
  const shared = x.labels.filter((l) => y.labels.includes(l));
  for (const l of shared)
    if (size(x, l) !== size(y, l)) throw ctx.error(`label "${l}" has ${size(x, l)} and ${size(y, l)} elements`);
  const batch = shared.filter((l) => later.has(l));
  const inner = shared.filter((l) => !later.has(l));
  const [rows, columns] = [x.labels.filter((l) => !shared.includes(l)), y.labels.filter((l) => !shared.includes(l))];
  const arrange = (o: Labelled, order: readonly string[], shape: readonly number[]): Value =>
    reshape(
      ctx,
      transpose(
        ctx,
        o.value,
        order.map((l) => o.labels.indexOf(l)),
      ),
      shape,
    );
  const sizes = (o: Labelled, list: readonly string[]): number => product(list.map((l) => size(o, l)));
  const batches = batch.map((l) => size(x, l));
  const left = arrange(x, [...batch, ...rows, ...inner], [...batches, sizes(x, rows), sizes(x, inner)]);
  const rightSide = arrange(y, [...batch, ...inner, ...columns], [...batches, sizes(y, inner), sizes(y, columns)]);
  const y2 = ctx.emit("nn.matmul", [left, rightSide], [...batches, sizes(x, rows), sizes(y, columns)]);
  const labels = [...batch, ...rows, ...columns];
  return {
    value: reshape(
      ctx,
      y2,
      labels.map((l) => (x.labels.includes(l) ? size(x, l) : size(y, l))),
    ),
    labels,
  };
}

// --- sums along an axis

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
    const flat = reshape(ctx, moved, [product(shape) / n, n]);
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
      ctx.fromConstant({ shape: row, data: new Float64Array(product(row)).fill(1), integer: false }, `${ctx.name}_one`);
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
const table = (ctx: NodeContext, x: Value, fn: string): Value => ctx.emit("nn.unary", [x], shapeOf(x), { fn });
const square = (ctx: NodeContext, x: Value): Value => ctx.emit("nn.mul", [x, x], shapeOf(x));

const logSumExp: Norm = (ctx, x, fold) => {
  // The largest goes first, so that no exponential is above 1.
  const most = fold(x, "max", true);
  const shifted = ctx.emit("nn.sub", [x, most], shapeOf(x));
  const sum = fold(table(ctx, shifted, "exp"), "sum");
  const log = table(ctx, sum, "log");
  return ctx.emit("nn.add", [log, reshape(ctx, most, shapeOf(sum))], shapeOf(sum));
};

// --- moves

const depthToSpace: OperatorImporter = {
  opType: "DepthToSpace",
  import: (ctx) => {
    const x = ctx.value(0);
    const [n, c, h, w] = shapeOf(x) as [number, number, number, number];
    const b = ctx.int("blocksize", 1);
    const mode = ctx.string("mode", "DCR");
    if (shapeOf(x).length !== 4 || b < 1 || c % (b * b) !== 0)
      throw ctx.error(`blocks of ${b} x ${b} do not divide the shape [${shapeOf(x).join(", ")}]`);
    if (mode !== "DCR" && mode !== "CRD") throw ctx.error(`mode "${mode}" is not defined`);
    const d = c / (b * b);
    const split = mode === "DCR" ? [n, b, b, d, h, w] : [n, d, b, b, h, w];
    const perm = mode === "DCR" ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3];
    return reshape(ctx, transpose(ctx, reshape(ctx, x, split), perm), [n, d, h * b, w * b]);
  },
};

const spaceToDepth: OperatorImporter = {
  opType: "SpaceToDepth",
  import: (ctx) => {
    const x = ctx.value(0);
    const [n, c, h, w] = shapeOf(x) as [number, number, number, number];
    const b = ctx.int("blocksize", 1);
    const mode = ctx.string("mode", "DCR");
    if (mode !== "DCR" && mode !== "CRD") throw ctx.error(`mode "${mode}" is not defined`);
    if (shapeOf(x).length !== 4 || b < 1 || h % b !== 0 || w % b !== 0)
      throw ctx.error(`blocks of ${b} x ${b} do not divide the shape [${shapeOf(x).join(", ")}]`);
    return reshape(
      ctx,
      transpose(
        ctx,
        reshape(ctx, x, [n, c, h / b, b, w / b, b]),
        mode === "DCR" ? [0, 3, 5, 1, 2, 4] : [0, 1, 3, 5, 2, 4],
      ),
      [n, c * b * b, h / b, w / b],
    );
  },
};

/** Zeros between the elements, then an ordinary convolution with the weights turned around. */
const convTranspose: OperatorImporter = {
  opType: "ConvTranspose",
  limits: "1-D, 2-D and 3-D; constant weights",
  import: (ctx) => {
    const x = ctx.value(0);
    const w = ctx.needWeight(1, "the weight");
    const xs = shapeOf(x);
    const rank = xs.length - 2;
    if (rank < 1 || rank > 3)
      throw ctx.error(`a convolution of rank ${xs.length} is not supported`, "use 1-D, 2-D or 3-D convolutions");
    if (w.shape.length !== xs.length || w.shape[0] !== xs[1])
      throw ctx.error(`its weight of shape [${w.shape.join(", ")}] does not fit an input of shape [${xs.join(", ")}]`);
    const group = ctx.int("group", 1);
    const [inputs, perGroup] = [w.shape[0]!, w.shape[1]!];
    if (group < 1 || inputs % group !== 0) throw ctx.error(`group ${group} does not divide ${inputs} channels`);
    const kernel = w.shape.slice(2);
    const stated = ctx.ints("kernel_shape");
    if (stated !== undefined && stated.join() !== kernel.join())
      throw ctx.error(`kernel_shape [${stated.join(", ")}] contradicts the weight's [${kernel.join(", ")}]`);
    const list = (name: string, fallback: number, count: number): number[] => {
      const v = ctx.ints(name) ?? new Array<number>(count).fill(fallback);
      if (v.length !== count) throw ctx.error(`${name} has ${v.length} entries instead of ${count}`);
      return v;
    };
    const [strides, dilations, extra] = [
      list("strides", 1, rank),
      list("dilations", 1, rank),
      list("output_padding", 0, rank),
    ];
    if ([...strides, ...dilations].some((v) => v < 1)) throw ctx.error("strides and dilations are positive");
    const extent = kernel.map((k, d) => (k - 1) * dilations[d]! + 1);
    const full = xs.slice(2).map((n, d) => strides[d]! * (n - 1) + extent[d]! + extra[d]!);
    let pads = list("pads", 0, 2 * rank);
    const target = ctx.ints("output_shape");
    const autoPad = ctx.string("auto_pad", "NOTSET");
    if (target !== undefined || autoPad === "SAME_UPPER" || autoPad === "SAME_LOWER") {
      const wanted = target?.slice(-rank) ?? xs.slice(2).map((n, d) => n * strides[d]!);
      const total = full.map((n, d) => n - wanted[d]!);
      const half = total.map((t) => Math.floor(t / 2));
      const rest = total.map((t, d) => t - half[d]!);
      pads = autoPad === "SAME_UPPER" ? [...half, ...rest] : [...rest, ...half];
    } else if (autoPad === "VALID") pads = pads.map(() => 0);
    // Zeros between elements.
    let spread = x;
    for (let d = 0; d < rank; d++) {
      const s = strides[d]!;
      if (s === 1) continue;
      const shape = shapeOf(spread);
      const at = 2 + d;
      const apart = [...shape.slice(0, at + 1), 1, ...shape.slice(at + 1)];
      const wide = apart.map((n, i) => (i === at + 1 ? s : n));
      const padded = ctx.emit("nn.pad", [reshape(ctx, spread, apart)], wide, {
        pads: [...apart.map(() => 0), ...apart.map((_, i) => (i === at + 1 ? s - 1 : 0))],
        value: 0,
      });
      const merged = reshape(
        ctx,
        padded,
        shape.map((n, i) => (i === at ? n * s : n)),
      );
      const cut = shape.map((n, i) => (i === at ? (n - 1) * s + 1 : n));
      spread = ctx.emit("nn.slice", [merged], cut, {
        shape: [...cut],
        starts: cut.map(() => 0),
        steps: cut.map(() => 1),
      });
    }
    const begin = extent.map((e, d) => e - 1 - pads[d]!);
    const end = extent.map((e, d) => e - 1 - pads[rank + d]! + extra[d]!);
    // Pads beyond the kernel cut into the input instead.
    const [cutBegin, cutEnd] = [begin.map((p) => Math.max(0, -p)), end.map((p) => Math.max(0, -p))];
    if ([...cutBegin, ...cutEnd].some((c) => c > 0)) {
      const shape = shapeOf(spread).map((n, i) => (i < 2 ? n : n - cutBegin[i - 2]! - cutEnd[i - 2]!));
      spread = ctx.emit("nn.slice", [spread], shape, {
        shape: [...shape],
        starts: shape.map((_, i) => (i < 2 ? 0 : cutBegin[i - 2]!)),
        steps: shape.map(() => 1),
      });
    }
    const outputs = perGroup * group;
    const [insideGroup, size] = [inputs / group, product(kernel)];
    const turned = new Float64Array(w.data.length);
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < perGroup; o++) {
        for (let k = 0; k < size; k++)
          turned[
            ((Math.floor(i / insideGroup) * perGroup + o) * insideGroup + (i % insideGroup)) * size + size - 1 - k
          ] = w.data[(i * perGroup + o) * size + k]!;
      }
    }
    const weight = ctx.fromConstant(
      { shape: [outputs, insideGroup, ...kernel], data: turned, integer: false },
      `${ctx.node.input[1]}_turned`,
    );
    const convPads = [...begin.map((p) => Math.max(0, p)), ...end.map((p) => Math.max(0, p))];
    const out = shapeOf(spread)
      .slice(2)
      .map((n, d) => n + convPads[d]! + convPads[rank + d]! - extent[d]! + 1);
    if (out.some((n) => n < 1)) throw ctx.error(`its result would have the shape [${out.join(", ")}]`);
    const operands = [spread, weight, ...(ctx.has(2) ? [ctx.value(2)] : [])];
    return ctx.emit("nn.conv", operands, [xs[0]!, outputs, ...out], {
      strides: strides.map(() => 1),
      pads: convPads,
      dilations,
      group,
    });
  },
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

export const contractionOperators: readonly OperatorImporter[] = [
  einsum,
  cumSum,
  cumProd,
  norm("ReduceL1", (ctx, x, fold) => fold(ctx.emit("nn.abs", [x], shapeOf(x)), "sum")),
  norm("ReduceL2", (ctx, x, fold) => table(ctx, fold(square(ctx, x), "sum"), "sqrt")),
  norm("ReduceSumSquare", (ctx, x, fold) => fold(square(ctx, x), "sum")),
  norm("ReduceLogSum", (ctx, x, fold) => table(ctx, fold(x, "sum"), "log")),
  norm("ReduceLogSumExp", logSumExp),
  reduceProd,
  depthToSpace,
  spaceToDepth,
  convTranspose,
  lpPool,
  globalLpPool,
];
