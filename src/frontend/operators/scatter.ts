/** Operators that pick or place elements by constant indices: all are one gather from flattened tensors. */
import type { Value } from "../../ir/core.js";
import { rowMajorStrides } from "../../ir/types.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";
import { scalarOf } from "./broadcast.js";

const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

export function reshape(ctx: NodeContext, x: Value, shape: readonly number[]): Value {
  return shapeOf(x).join() === shape.join() ? x : ctx.emit("nn.reshape", [x], shape, { shape: [...shape] });
}

/** Elements of x in row-major order by their positions, as a tensor of `shape`. */
export function flatGather(ctx: NodeContext, x: Value, at: readonly number[], shape: readonly number[]): Value {
  const flat = reshape(ctx, x, [count(shapeOf(x))]);
  return reshape(ctx, ctx.emit("nn.gather", [flat], [at.length], { axis: 0, indices: [...at] }), shape);
}

/** The same of a tensor that may be known. */
export function pick(ctx: NodeContext, i: number, at: readonly number[], shape: readonly number[]): Value | Imported {
  const c = ctx.constant(i);
  ctx.checkSize(shape);
  return c !== undefined
    ? known(
        shape,
        at.map((k) => c.data[k]!),
        c.integer,
      )
    : flatGather(ctx, ctx.value(i), at, shape);
}

/** Every point of `shape`, in row-major order. */
export function points(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (list, n) => list.flatMap((p) => Array.from({ length: n }, (_, i) => [...p, i])),
    [[]],
  );
}

function indexIn(ctx: NodeContext, v: number, n: number): number {
  const k = v < 0 ? v + n : v;
  if (k < 0 || k >= n) throw ctx.error(`index ${v} is outside an axis of ${n}`);
  return k;
}

// --- where indices of each kind point to

/** Positions in a tensor of shape `from`, of the elements that an index per element names along `axis`. */
export function elementPositions(
  ctx: NodeContext,
  from: readonly number[],
  index: ConstTensor,
  axis: number,
): number[] {
  const strides = rowMajorStrides(from);
  const own = rowMajorStrides(index.shape);
  if (index.shape.length !== from.length)
    throw ctx.error(`its indices have rank ${index.shape.length}, its data ${from.length}`);
  return Array.from(index.data, (v, i) =>
    index.shape.reduce(
      (sum, n, d) => sum + (d === axis ? indexIn(ctx, v, from[axis]!) : Math.floor(i / own[d]!) % n) * strides[d]!,
      0,
    ),
  );
}

/**
 * Positions of the slices that tuples of indices name, behind `batch` leading dimensions that indices and data share.
 */
function tuplePositions(
  ctx: NodeContext,
  from: readonly number[],
  index: ConstTensor,
  batch: number,
): { at: number[]; slice: readonly number[] } {
  const depth = index.shape[index.shape.length - 1]!;
  if (batch + depth > from.length) throw ctx.error(`indices of ${depth} numbers for a tensor of rank ${from.length}`);
  const strides = rowMajorStrides(from);
  const slice = from.slice(batch + depth);
  const size = count(slice);
  const tuples = index.data.length / Math.max(1, depth);
  const perBatch = tuples / count(from.slice(0, batch));
  const at: number[] = [];
  for (let t = 0; t < tuples; t++) {
    let start = Math.floor(t / perBatch) * count(from.slice(batch));
    for (let k = 0; k < depth; k++)
      start += indexIn(ctx, index.data[t * depth + k]!, from[batch + k]!) * strides[batch + k]!;
    for (let s = 0; s < size; s++) at.push(start + s);
  }
  return { at, slice };
}

const gatherElements: OperatorImporter = {
  opType: "GatherElements",
  limits: "constant indices",
  import: (ctx) => {
    const index = ctx.needConstant(1, "the index");
    const from = ctx.shape(0);
    return pick(ctx, 0, elementPositions(ctx, from, index, ctx.axis(ctx.int("axis", 0), from.length)), index.shape);
  },
};

const gatherND: OperatorImporter = {
  opType: "GatherND",
  since: 11,
  limits: "constant indices",
  import: (ctx) => {
    const index = ctx.needConstant(1, "the index");
    const { at, slice } = tuplePositions(ctx, ctx.shape(0), index, ctx.int("batch_dims", 0));
    return pick(ctx, 0, at, [...index.shape.slice(0, -1), ...slice]);
  },
};

// --- placing

const REDUCTIONS: Readonly<Record<string, { readonly op: string; readonly neutral: number }>> = {
  add: { op: "nn.add", neutral: 0 },
  mul: { op: "nn.mul", neutral: 1 },
  max: { op: "nn.max", neutral: -Infinity },
  min: { op: "nn.min", neutral: Infinity },
};

/**
 * The data with updates at positions `at`: one gather from both, or per repetition of a position one step of the
 * reduction.
 */
function placed(ctx: NodeContext, at: readonly number[]): Value {
  const shape = ctx.shape(0);
  const total = count(shape);
  ctx.checkSize(shape);
  if (count(ctx.shape(2)) !== at.length)
    throw ctx.error(`${count(ctx.shape(2))} updates are given for ${at.length} positions`);
  const updates = reshape(ctx, ctx.value(2), [at.length]);
  const joined = (data: Value): Value =>
    ctx.emit("nn.concat", [data, updates], [shapeOf(data)[0]! + at.length], { axis: 0 });
  const flat = reshape(ctx, ctx.value(0), [total]);
  const own = Array.from({ length: total }, (_, i) => i);
  const kind = ctx.string("reduction", "none");
  if (kind === "none") {
    at.forEach((p, u) => (own[p] = total + u));
    return flatGather(ctx, joined(flat), own, shape);
  }
  const reduction = REDUCTIONS[kind];
  if (reduction === undefined) throw ctx.error(`reduction "${kind}" is not defined`);
  const rounds: number[][] = [];
  const seen = new Map<number, number>();
  at.forEach((p, u) => {
    const round = seen.get(p) ?? 0;
    seen.set(p, round + 1);
    (rounds[round] ??= new Array<number>(total).fill(-1))[p] = u;
  });
  return reshape(
    ctx,
    rounds.reduce((y, round) => {
      // Where nothing is placed, the neutral element is, or of an extreme the element itself.
      const finite = Number.isFinite(reduction.neutral);
      const base = finite ? reshape(ctx, scalarOf(ctx, reduction.neutral, "neutral"), [1]) : y;
      const other = flatGather(
        ctx,
        joined(base),
        round.map((u, p) => (u >= 0 ? shapeOf(base)[0]! + u : finite ? 0 : p)),
        [total],
      );
      return ctx.emit(reduction.op, [y, other], [total]);
    }, flat),
    shape,
  );
}

function scatterElements(opType: string): OperatorImporter {
  return {
    opType,
    since: opType === "Scatter" ? 9 : 11,
    limits: "constant indices",
    import: (ctx) => {
      const from = ctx.shape(0);
      return placed(
        ctx,
        elementPositions(ctx, from, ctx.needConstant(1, "the index"), ctx.axis(ctx.int("axis", 0), from.length)),
      );
    },
  };
}

const scatterND: OperatorImporter = {
  opType: "ScatterND",
  since: 11,
  limits: "constant indices",
  import: (ctx) => placed(ctx, tuplePositions(ctx, ctx.shape(0), ctx.needConstant(1, "the index"), 0).at),
};

// --- other orders

/** The first elements of each sequence turned around. */
const reverseSequence: OperatorImporter = {
  opType: "ReverseSequence",
  since: 10,
  limits: "constant lengths",
  import: (ctx) => {
    const from = ctx.shape(0);
    const lengths = ctx.needConstant(1, "the lengths").data;
    const [time, batch] = [
      ctx.axis(ctx.int("time_axis", 0), from.length),
      ctx.axis(ctx.int("batch_axis", 1), from.length),
    ];
    if (time === batch || lengths.length !== from[batch])
      throw ctx.error(`${lengths.length} lengths along axis ${batch} of [${from.join(", ")}]`);
    const strides = rowMajorStrides(from);
    const at = points(from).map((p) =>
      p.reduce(
        (sum, i, d) => sum + (d === time && i < lengths[p[batch]!]! ? lengths[p[batch]!]! - 1 - i : i) * strides[d]!,
        0,
      ),
    );
    return pick(ctx, 0, at, from);
  },
};

/** The elements, or slices along an axis, at which a constant condition holds. */
const compress: OperatorImporter = {
  opType: "Compress",
  since: 9,
  limits: "constant condition",
  import: (ctx) => {
    const from = ctx.shape(0);
    const flat = !ctx.node.attribute.some((a) => a.name === "axis");
    const axis = flat ? 0 : ctx.axis(ctx.int("axis", 0), from.length);
    const shape = flat ? [count(from)] : from;
    const kept = [...ctx.needConstant(1, "the condition").data].flatMap((v, i) =>
      v !== 0 && i < shape[axis]! ? [i] : [],
    );
    const strides = rowMajorStrides(shape);
    const to = shape.map((n, d) => (d === axis ? kept.length : n));
    return pick(
      ctx,
      0,
      points(to).map((p) => p.reduce((sum, i, d) => sum + (d === axis ? kept[i]! : i) * strides[d]!, 0)),
      to,
    );
  },
};

export const scatterOperators: readonly OperatorImporter[] = [
  gatherElements,
  gatherND,
  scatterElements("ScatterElements"),
  scatterElements("Scatter"),
  scatterND,
  reverseSequence,
  compress,
];
