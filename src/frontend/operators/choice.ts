/**
 * Comparisons, choices and orders. Truth values are 0 and 1; everything rests on one operation, the choice by a sign
 * (`nn.select_neg`): a < b is the sign of a - b, a maximum's position a tournament of such choices.
 */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import { mapConstants, needBroadcast, scalarOf, selectNegative } from "./broadcast.js";

const BOOL = 9;
const INT64 = 7;

function difference(ctx: NodeContext, a: Value, b: Value): Value {
  return ctx.emit("nn.sub", [a, b], needBroadcast(ctx, shapeOf(a), shapeOf(b)));
}

/** a < b as 0 or 1. */
function less(ctx: NodeContext, a: Value, b: Value): Value {
  return selectNegative(ctx, difference(ctx, a, b), scalarOf(ctx, 1, "true"), scalarOf(ctx, 0, "false"));
}
function not(ctx: NodeContext, v: Value): Value {
  return ctx.emit("nn.sub", [scalarOf(ctx, 1, "one"), v], shapeOf(v));
}

function comparison(
  opType: string,
  on: (a: number, b: number) => boolean,
  variable: (ctx: NodeContext, a: Value, b: Value) => Value,
): OperatorImporter {
  return {
    opType,
    resultType: () => BOOL,
    import: (ctx) => {
      const [a, b] = [ctx.constant(0), ctx.constant(1)];
      const shape = needBroadcast(ctx, ctx.shape(0), ctx.shape(1));
      if (a !== undefined && b !== undefined)
        return known(
          shape,
          mapConstants(a, b, shape, (x, y) => Number(on(x, y))),
          true,
        );
      return variable(ctx, ctx.value(0), ctx.value(1));
    },
  };
}

function equal(ctx: NodeContext, a: Value, b: Value): Value {
  const d = difference(ctx, a, b);
  // -|d| is negative but for equals.
  const apart = ctx.emit("nn.neg", [ctx.emit("nn.abs", [d], shapeOf(d))], shapeOf(d));
  return selectNegative(ctx, apart, scalarOf(ctx, 0, "false"), scalarOf(ctx, 1, "true"));
}

function logic(opType: string, on: (a: number, b: number) => number, variable: string | undefined): OperatorImporter {
  return {
    opType,
    resultType: () => BOOL,
    import: (ctx) => {
      const [a, b] = [ctx.constant(0), ctx.constant(1)];
      const shape = needBroadcast(ctx, ctx.shape(0), ctx.shape(1));
      if (a !== undefined && b !== undefined)
        return known(
          shape,
          mapConstants(a, b, shape, (x, y) => on(Number(x !== 0), Number(y !== 0))),
          true,
        );
      if (variable !== undefined) return ctx.emit(variable, [ctx.value(0), ctx.value(1)], shape);
      const d = difference(ctx, ctx.value(0), ctx.value(1));
      return ctx.emit("nn.abs", [d], shape);
    },
  };
}

const notOperator: OperatorImporter = {
  opType: "Not",
  resultType: () => BOOL,
  import: (ctx) => {
    const c = ctx.constant(0);
    return c === undefined
      ? not(ctx, ctx.value(0))
      : known(
          c.shape,
          c.data.map((v) => Number(v === 0)),
          true,
        );
  },
};

const where: OperatorImporter = {
  opType: "Where",
  resultType: (ctx) => ctx.elementType(1),
  import: (ctx) => {
    const c = ctx.constant(0);
    const shape = needBroadcast(ctx, ctx.shape(0), needBroadcast(ctx, ctx.shape(1), ctx.shape(2)));
    if (c !== undefined) {
      // One answer for all elements: the other operand may be anything that does not enlarge the result.
      const same = c.data.every((v) => v === c.data[0]) ? (c.data[0] === 0 ? 2 : 1) : undefined;
      if (same !== undefined && ctx.shape(same).join() === shape.join()) return ctx.input(same);
      const [a, b] = [ctx.constant(1), ctx.constant(2)];
      if (a !== undefined && b !== undefined) {
        const chosen = mapConstants(c, a, shape, (k, v) => (k !== 0 ? v : 0));
        const other = mapConstants(c, b, shape, (k, v) => (k !== 0 ? 0 : v));
        return known(
          shape,
          chosen.map((v, i) => v + other[i]!),
          a.integer && b.integer,
        );
      }
      const sign = ctx.fromConstant(
        { shape: c.shape, data: c.data.map((v) => (v !== 0 ? -1 : 0)), integer: false },
        `${ctx.name}_condition`,
      );
      return broadcastTo(ctx, selectNegative(ctx, sign, ctx.masking(1), ctx.masking(2)), shape);
    }
    const condition = ctx.value(0);
    const sign = ctx.emit("nn.neg", [condition], shapeOf(condition));
    return broadcastTo(ctx, selectNegative(ctx, sign, ctx.masking(1), ctx.masking(2)), shape);
  },
};

function broadcastTo(ctx: NodeContext, v: Value, shape: readonly number[]): Value {
  return shapeOf(v).join() === shape.join() ? v : ctx.emit("nn.broadcast", [v], shape, { shape: [...shape] });
}

const sign: OperatorImporter = {
  opType: "Sign",
  import: (ctx) => {
    const c = ctx.constant(0);
    if (c !== undefined) return known(c.shape, c.data.map(Math.sign), c.integer);
    const x = ctx.value(0);
    const positive = selectNegative(
      ctx,
      ctx.emit("nn.neg", [x], shapeOf(x)),
      scalarOf(ctx, 1, "one"),
      scalarOf(ctx, 0, "zero"),
    );
    return selectNegative(ctx, x, scalarOf(ctx, -1, "minus_one"), positive);
  },
};

// --- orders

function sliceAxis(ctx: NodeContext, x: Value, axis: number, start: number, step: number, count: number): Value {
  const shape = shapeOf(x).map((n, d) => (d === axis ? count : n));
  return ctx.emit("nn.slice", [x], shape, {
    shape: [...shape],
    starts: shape.map((_, d) => (d === axis ? start : 0)),
    steps: shape.map((_, d) => (d === axis ? step : 1)),
  });
}
function concatAxis(ctx: NodeContext, parts: readonly Value[], axis: number): Value {
  if (parts.length === 1) return parts[0]!;
  const shape = shapeOf(parts[0]!).map((n, d) => (d === axis ? parts.reduce((t, p) => t + shapeOf(p)[axis]!, 0) : n));
  return ctx.emit("nn.concat", parts, shape, { axis });
}

/** Positions along `axis`, or their labels, in the shape of a tensor with that axis alone. */
function positions(ctx: NodeContext, shape: readonly number[], axis: number, labels?: readonly number[]): Value {
  const n = shape[axis]!;
  const column = ctx.fromConstant(
    {
      shape: [n, ...shape.slice(axis + 1).map(() => 1)],
      data: Float64Array.from({ length: n }, (_, i) => labels?.[i] ?? i),
      integer: false,
    },
    `${ctx.name}_positions`,
  );
  return ctx.emit("nn.broadcast", [column], shape, { shape: [...shape] });
}

/** Longest axis that is searched or sorted. */
const MAX_ORDER = 1024;

/**
 * Position of the largest (or smallest) element along `axis`, which stays with length 1; of equals the first one, or
 * the last. `labels` stand for the positions where they are given.
 */
export function positionOfExtreme(
  ctx: NodeContext,
  x: Value,
  axis: number,
  largest: boolean,
  last = false,
  labels?: readonly number[],
): Value {
  const shape = shapeOf(x);
  if (shape[axis]! > MAX_ORDER)
    throw ctx.error(`${shape[axis]} elements along axis ${axis} are too many to compare`, `at most ${MAX_ORDER}`);
  let level: { value: Value; at: Value } = { value: x, at: positions(ctx, shape, axis, labels) };
  // A tournament: neighbours meet, the winner's position goes on, so that positions stay in order.
  for (let n = shape[axis]!; n > 1; ) {
    const half = n >> 1;
    const part = (v: Value, start: number, count: number): Value => sliceAxis(ctx, v, axis, start, 2, count);
    const [a, b] = [part(level.value, 0, half), part(level.value, 1, half)];
    const [p, q] = [part(level.at, 0, half), part(level.at, 1, half)];
    // Of equals the earlier one stays, or with select_last_index the later one.
    const [better, worse] = largest === last ? [b, a] : [a, b];
    const lost = difference(ctx, better, worse);
    const choose = (early: Value, late: Value): Value =>
      last ? selectNegative(ctx, lost, early, late) : selectNegative(ctx, lost, late, early);
    const winner = { value: choose(a, b), at: choose(p, q) };
    if (n % 2 === 0) level = winner;
    else
      level = {
        value: concatAxis(ctx, [winner.value, part(level.value, n - 1, 1)], axis),
        at: concatAxis(ctx, [winner.at, part(level.at, n - 1, 1)], axis),
      };
    n = half + (n % 2);
  }
  return level.at;
}

function argExtreme(opType: string, largest: boolean): OperatorImporter {
  return {
    opType,
    limits: `up to ${MAX_ORDER} elements along the axis`,
    resultType: () => INT64,
    import: (ctx) => {
      const x = ctx.value(0);
      const shape = shapeOf(x);
      const axis = ctx.axis(ctx.int("axis", 0), shape.length);
      const at = positionOfExtreme(ctx, x, axis, largest, ctx.int("select_last_index", 0) !== 0);
      if (ctx.int("keepdims", 1) !== 0) return at;
      const out = shape.filter((_, d) => d !== axis);
      return ctx.emit("nn.reshape", [at], out, { shape: out });
    },
  };
}

/** 1 where the first of the largest elements is, otherwise 0; before opset 13 of all axes from the given one on. */
const hardmax: OperatorImporter = {
  opType: "Hardmax",
  limits: `up to ${MAX_ORDER} elements along the axis`,
  import: (ctx) => {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.int("axis", ctx.opset < 13 ? 1 : -1), shape.length);
    const flat =
      ctx.opset < 13 ? [shape.slice(0, axis), shape.slice(axis)].map((part) => part.reduce((n, d) => n * d, 1)) : shape;
    const along = ctx.opset < 13 ? 1 : axis;
    const as = (v: Value, to: readonly number[]): Value =>
      shapeOf(v).join() === to.join() ? v : ctx.emit("nn.reshape", [v], to, { shape: [...to] });
    const x = as(ctx.value(0), flat);
    return as(equal(ctx, positionOfExtreme(ctx, x, along, true), positions(ctx, flat, along)), shape);
  },
};

/** Longest axis that is sorted: a network of n rounds. */
const MAX_SORT = 64;

/** @source odd-even transposition sort, D. E. Knuth, TAOCP 5.3.4; stable, as equals never swap. */
const topK: OperatorImporter = {
  opType: "TopK",
  limits: `k constant; up to ${MAX_SORT} elements along the axis`,
  ignores: { sorted: "sorted is one of the orders that unsorted results may have" },
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    const axis = ctx.axis(ctx.int("axis", -1), shape.length);
    const k = ctx.opset < 10 ? ctx.int("k", 1) : ctx.needConstant(1, "k").data[0]!;
    const n = shape[axis]!;
    if (k < 1 || k > n) throw ctx.error(`k is ${k} for ${n} elements`);
    if (n > MAX_SORT) throw ctx.error(`${n} elements along axis ${axis} are too many to sort`, `at most ${MAX_SORT}`);
    const largest = ctx.int("largest", 1) !== 0;
    let values = x;
    let at = positions(ctx, shape, axis);
    for (let round = 0; round < n; round++) {
      const first = round % 2;
      const pairs = Math.floor((n - first) / 2);
      if (pairs === 0) continue;
      const part = (v: Value, offset: number): Value => sliceAxis(ctx, v, axis, first + offset, 2, pairs);
      const [a, b, p, q] = [part(values, 0), part(values, 1), part(at, 0), part(at, 1)];
      const swap = largest ? difference(ctx, a, b) : difference(ctx, b, a);
      const merge = (v: Value, even: Value, odd: Value): Value => {
        // The pairs interleave again: stack them behind one another and read them back in pairs.
        const order = Array.from({ length: 2 * pairs }, (_, i) => (i % 2) * pairs + (i >> 1));
        const both = concatAxis(ctx, [even, odd], axis);
        const woven = ctx.emit("nn.gather", [both], shapeOf(both), { axis, indices: order });
        const rest = n - first - 2 * pairs;
        return concatAxis(
          ctx,
          [
            ...(first > 0 ? [sliceAxis(ctx, v, axis, 0, 1, 1)] : []),
            woven,
            ...(rest > 0 ? [sliceAxis(ctx, v, axis, n - 1, 1, 1)] : []),
          ],
          axis,
        );
      };
      const [next, nextAt] = [
        merge(values, selectNegative(ctx, swap, b, a), selectNegative(ctx, swap, a, b)),
        merge(at, selectNegative(ctx, swap, q, p), selectNegative(ctx, swap, p, q)),
      ];
      values = next;
      at = nextAt;
    }
    return [sliceAxis(ctx, values, axis, 0, 1, k), sliceAxis(ctx, at, axis, 0, 1, k)];
  },
};

export const choiceOperators: readonly OperatorImporter[] = [
  comparison("Less", (a, b) => a < b, less),
  comparison(
    "Greater",
    (a, b) => a > b,
    (ctx, a, b) => less(ctx, b, a),
  ),
  comparison(
    "LessOrEqual",
    (a, b) => a <= b,
    (ctx, a, b) => not(ctx, less(ctx, b, a)),
  ),
  comparison(
    "GreaterOrEqual",
    (a, b) => a >= b,
    (ctx, a, b) => not(ctx, less(ctx, a, b)),
  ),
  comparison("Equal", (a, b) => a === b, equal),
  logic("And", (a, b) => a & b, "nn.min"),
  logic("Or", (a, b) => a | b, "nn.max"),
  logic("Xor", (a, b) => a ^ b, undefined),
  notOperator,
  where,
  sign,
  argExtreme("ArgMax", true),
  argExtreme("ArgMin", false),
  hardmax,
  topK,
];
