/**
 * Operators that repeat, mask or pick elements, beyond the plain ones of shape.ts: Tile, Trilu, OneHot, Gather by
 * computed indices.
 */
import type { Value } from "../../ir/core.js";
import { rowMajorStrides } from "../../ir/types.js";
import type { ConstTensor } from "../tensor-data.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { scalarOf, selectNegative } from "./broadcast.js";
import { reshape } from "./scatter.js";

const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

const tile: OperatorImporter = {
  opType: "Tile",
  limits: "repeats constant",
  import: (ctx) => {
    const from = ctx.shape(0);
    const repeats = [...ctx.needConstant(1, "the repeats").data];
    if (repeats.length !== from.length || repeats.some((r) => r < 1 || !Number.isInteger(r)))
      throw ctx.error(`repeats [${repeats.join(", ")}] do not fit a tensor of rank ${from.length}`);
    const to = from.map((n, d) => n * repeats[d]!);
    ctx.checkSize(to);
    const c = ctx.constant(0);
    if (c !== undefined) {
      const strides = rowMajorStrides(from);
      const toStrides = rowMajorStrides(to);
      return known(
        to,
        Float64Array.from(
          { length: count(to) },
          (_, i) => c.data[to.reduce((at, _n, d) => at + (Math.floor(i / toStrides[d]!) % from[d]!) * strides[d]!, 0)]!,
        ),
        c.integer,
      );
    }
    const apart = from.flatMap((n, d) => (repeats[d]! > 1 ? [1, n] : [n]));
    const wide = from.flatMap((n, d) => (repeats[d]! > 1 ? [repeats[d]!, n] : [n]));
    if (apart.length === from.length) return ctx.input(0);
    return reshape(ctx, ctx.emit("nn.broadcast", [reshape(ctx, ctx.value(0), apart)], wide, { shape: wide }), to);
  },
};

/** A product with ones above or below a diagonal. */
const trilu: OperatorImporter = {
  opType: "Trilu",
  import: (ctx) => {
    const shape = ctx.shape(0);
    const k = ctx.has(1) ? ctx.needConstant(1, "the diagonal").data[0]! : 0;
    const upper = ctx.int("upper", 1) !== 0;
    const [rows, columns] = [shape[shape.length - 2]!, shape[shape.length - 1]!];
    if (shape.length < 2) throw ctx.error(`its input has rank ${shape.length}`);
    const mask = Float64Array.from({ length: rows * columns }, (_, i) => {
      const [r, c] = [Math.floor(i / columns), i % columns];
      return Number(upper ? c - r >= k : c - r <= k);
    });
    const c = ctx.constant(0);
    if (c !== undefined)
      return known(
        shape,
        c.data.map((v, i) => (mask[i % mask.length] === 0 ? 0 : v)),
        c.integer,
      );
    return ctx.emit(
      "nn.mul",
      [ctx.value(0), ctx.fromConstant({ shape: [rows, columns], data: mask, integer: false }, `${ctx.name}_mask`)],
      shape,
    );
  },
};

/** Longest axis that is searched by comparison. */
const MAX_ENTRIES = 1024;

/** Rows of ones where an index meets a position: shape of the indices, then `depth`. */
export function oneHot(ctx: NodeContext, indices: Value, depth: number): Value {
  if (depth > MAX_ENTRIES)
    throw ctx.error(`an axis of ${depth} is too long to be read by computed indices`, `at most ${MAX_ENTRIES}`);
  const shape = shapeOf(indices);
  // Negative indices count from the end.
  const counted = selectNegative(
    ctx,
    indices,
    ctx.emit("nn.add", [indices, scalarOf(ctx, depth, "depth")], shape),
    indices,
  );
  const column = reshape(ctx, counted, [...shape, 1]);
  const positions = ctx.fromConstant(
    { shape: [depth], data: Float64Array.from({ length: depth }, (_, i) => i), integer: false },
    `${ctx.name}_positions`,
  );
  const wide = [...shape, depth];
  const apart = ctx.emit("nn.abs", [ctx.emit("nn.sub", [column, positions], wide)], wide);
  return selectNegative(
    ctx,
    ctx.emit("nn.sub", [apart, scalarOf(ctx, 1, "one")], wide),
    scalarOf(ctx, 1, "hit"),
    scalarOf(ctx, 0, "miss"),
  );
}

/**
 * Gather by indices that the network computes or reads: of long constant tables a read of memory, otherwise a product
 * with one-hot rows.
 */
export function gatherComputed(ctx: NodeContext, axis: number): Value | Imported {
  const from = ctx.shape(0);
  const c = ctx.constant(0);
  if (c !== undefined && from[axis]! > MAX_ENTRIES) return tableRows(ctx, c, axis);
  const indices = ctx.value(1);
  const hot = oneHot(ctx, indices, from[axis]!);
  const n = from[axis]!;
  const [outer, inner] = [from.slice(0, axis), from.slice(axis + 1)];
  const order = [axis, ...from.map((_, d) => d).filter((d) => d !== axis)];
  const data = ctx.value(0);
  const moved =
    axis === 0
      ? data
      : ctx.emit(
          "nn.transpose",
          [data],
          order.map((d) => from[d]!),
          { perm: order },
        );
  const picks = count(shapeOf(indices));
  const rows = ctx.emit(
    "nn.matmul",
    [reshape(ctx, hot, [picks, n]), reshape(ctx, moved, [n, count(outer) * count(inner)])],
    [picks, count(outer) * count(inner)],
  );
  const shape = shapeOf(indices);
  const full = reshape(ctx, rows, [...shape, ...outer, ...inner]);
  if (axis === 0) return full;
  const perm = [
    ...outer.map((_, d) => shape.length + d),
    ...shape.map((_, d) => d),
    ...inner.map((_, d) => shape.length + outer.length + d),
  ];
  return ctx.emit("nn.transpose", [full], [...outer, ...shape, ...inner], { perm });
}

/** Rows of a constant table: its axis comes first, the rest of it is one row. */
function tableRows(ctx: NodeContext, c: ConstTensor, axis: number): Value {
  const [outer, n, inner] = [c.shape.slice(0, axis), c.shape[axis]!, c.shape.slice(axis + 1)];
  const [before, after] = [count(outer), count(inner)];
  const data = new Float64Array(c.data.length);
  for (let o = 0; o < before; o++)
    for (let i = 0; i < n; i++)
      for (let k = 0; k < after; k++) data[(i * before + o) * after + k] = c.data[(o * n + i) * after + k]!;
  const table = ctx.fromConstant({ shape: [n, before * after], data, integer: false }, ctx.node.input[0]);
  // Negative indices count from the end.
  const index = ctx.emit("nn.whole", [ctx.value(1)], ctx.shape(1), { mode: "trunc", lo: -n, hi: n - 1 });
  const counted = selectNegative(
    ctx,
    index,
    ctx.emit("nn.add", [index, scalarOf(ctx, n, "entries")], shapeOf(index)),
    index,
  );
  const shape = ctx.shape(1);
  const rows = ctx.emit("nn.take", [counted, table], [...shape, before * after]);
  const full = reshape(ctx, rows, [...shape, ...outer, ...inner]);
  if (axis === 0) return full;
  const perm = [
    ...outer.map((_, d) => shape.length + d),
    ...shape.map((_, d) => d),
    ...inner.map((_, d) => shape.length + outer.length + d),
  ];
  return ctx.emit("nn.transpose", [full], [...outer, ...shape, ...inner], { perm });
}

const oneHotOperator: OperatorImporter = {
  opType: "OneHot",
  limits: "depth constant",
  resultType: (ctx) => ctx.elementType(2),
  import: (ctx) => {
    const depth = ctx.needConstant(1, "the depth").data[0]!;
    const values = ctx.constant(2);
    const indices = ctx.value(0);
    const rank = shapeOf(indices).length + 1;
    const axis = ctx.axis(ctx.int("axis", -1), rank);
    let hot = oneHot(ctx, indices, depth);
    const entry = (i: number): Value =>
      values === undefined
        ? reshape(ctx, ctx.emit("nn.slice", [ctx.value(2)], [1], { starts: [i], steps: [1], shape: [1] }), [])
        : scalarOf(ctx, values.data[i]!, i === 0 ? "off" : "on");
    if (values?.data[0] !== 0 || values.data[1] !== 1)
      hot = selectNegative(ctx, ctx.emit("nn.neg", [hot], shapeOf(hot)), entry(1), entry(0));
    const perm = shapeOf(hot).map((_, d) => (d < axis ? d : d === axis ? rank - 1 : d - 1));
    return axis === rank - 1
      ? hot
      : ctx.emit(
          "nn.transpose",
          [hot],
          perm.map((p) => shapeOf(hot)[p]!),
          { perm },
        );
  },
};

export const rearrangeOperators: readonly OperatorImporter[] = [tile, trilu, oneHotOperator];
