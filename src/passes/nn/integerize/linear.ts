/**
 * Convolutions and matrix products of integers: weights are the integers behind them, zero points of the input join the
 * bias.
 *
 *     conv(sx u + o, sw k) + b = sx sw (conv(u, k) + (o sum(k) / sx + b / (sx sw)))
 *
 * where a padded convolution reads -o / sx outside. So multipliers are as wide as the model's integers.
 */
import type { Attr } from "../../../ir/attributes.js";
import type { Op, Value } from "../../../ir/core.js";
import { elementCount } from "../../../ir/types.js";
import { commonFactor } from "../grid.js";
import { fieldOf, isAll, map, only, pick, scalar, times, variesAlong, zip, type Field } from "./field.js";
import { isCount, type IntegerBuilder, type Range, type Scaled } from "./scaled.js";
import { constantOf, shapeOf } from "../../../ir/nn/values.js";
import * as nn from "../../../ir/nn/ops.js";

export type Refuse = (reason: string) => undefined;
export type ScaledOf = (v: Value) => Scaled | undefined;

interface Weights {
  /** Index of the operand that is constant. */
  readonly at: 0 | 1;
  readonly integers: Float64Array;
  /** Broadcasts over the result. */
  readonly scale: Field;
  /**
   * Sums of the integers that meet in one result, in the order of `sumsShape`, which broadcasts over the result; the
   * positive and negative ones apart.
   */
  readonly positive: Float64Array;
  readonly negative: Float64Array;
  readonly sumsShape: readonly number[];
}

/**
 * How the elements of constant weights meet: `sums` results, element i in that of `sumOf(i)`, scales differing at most
 * by `channelOf(i)`.
 */
interface Layout {
  readonly at: 0 | 1;
  readonly sumsShape: readonly number[];
  readonly sumOf: (i: number) => number;
  readonly channels: number;
  readonly channelOf: (i: number) => number;
  readonly channelShape: readonly number[];
}

function layoutOf(op: Op, rank: number): Layout | undefined {
  const [a, w] = [constantOf(op.operand(0)), constantOf(op.operand(1))];
  const tail = (n: number): number[] => new Array<number>(n).fill(1);
  if (op.name === "nn.conv") {
    if (w === undefined) return undefined;
    const channels = w.shape[0]!;
    const each = w.data.length / channels;
    const shape = [channels, ...tail(rank - 2)];
    const channelOf = (i: number): number => Math.floor(i / each);
    return { at: 1, sumsShape: shape, sumOf: channelOf, channels, channelOf, channelShape: shape };
  }
  if (w !== undefined && w.shape.length >= 2) {
    const [k, n] = w.shape.slice(-2) as [number, number];
    return {
      at: 1,
      sumsShape: [...w.shape.slice(0, -2), 1, n],
      sumOf: (i) => Math.floor(i / (k * n)) * n + (i % n),
      channels: n,
      channelOf: (i) => i % n,
      channelShape: [n],
    };
  }
  if (a !== undefined && a.shape.length >= 2) {
    const [m, k] = a.shape.slice(-2) as [number, number];
    return {
      at: 0,
      sumsShape: [...a.shape.slice(0, -2), m, 1],
      sumOf: (i) => Math.floor(i / k),
      channels: m,
      channelOf: (i) => Math.floor(i / k) % m,
      channelShape: [m, 1],
    };
  }
  return undefined;
}

function weightsOf(op: Op, l: Layout): Weights | undefined {
  const w = constantOf(op.operand(l.at))!;
  const grid = commonFactor(w.data, l.channels, l.channelOf);
  if (grid === undefined) return undefined;
  const integers = Float64Array.from(
    w.data,
    (v, i) => Math.round(v / grid[grid.length === 1 ? 0 : l.channelOf(i)]!) + 0,
  );
  const [positive, negative] = [
    new Float64Array(elementCount(l.sumsShape)),
    new Float64Array(elementCount(l.sumsShape)),
  ];
  integers.forEach((k, i) => void ((k > 0 ? positive : negative)[l.sumOf(i)]! += k));
  return {
    at: l.at,
    integers,
    scale: grid.length === 1 ? scalar(grid[0]!) : fieldOf(l.channelShape, grid),
    positive,
    negative,
    sumsShape: l.sumsShape,
  };
}

/**
 * Whether one scale, or zero point, holds for all that meets in a sum; then the field for the result, else undefined.
 */
function throughSum(f: Field, op: Op, at: number): Field | undefined {
  if (only(f) !== undefined) return f;
  const shape = shapeOf(op.operand(at));
  const rank = shape.length;
  if (op.name === "nn.matmul")
    return rank === shapeOf(op.result).length && !variesAlong(f, at === 0 ? rank - 1 : rank - 2, rank) ? f : undefined;
  // A convolution with a channel for each group, as depthwise ones are.
  const { group } = nn.conv.read(op);
  if (group !== shape[1] || shape.some((_, d) => d !== 1 && variesAlong(f, d, rank))) return undefined;
  const each = shapeOf(op.result)[1]! / group;
  return pick(
    f,
    rank,
    1,
    Array.from({ length: shapeOf(op.result)[1]! }, (_, c) => Math.floor(c / each)),
  );
}

export function linear(b: IntegerBuilder, op: Op, scaledOf: ScaledOf, refuse: Refuse): Scaled | undefined {
  const shape = shapeOf(op.result);
  const layout = layoutOf(op, shape.length);
  if (layout === undefined) return productOfTensors(b, op, scaledOf, refuse);
  const at = layout.at === 1 ? 0 : 1;
  const x = scaledOf(op.operand(at));
  if (x === undefined) return undefined;
  const w = weightsOf(op, layout);
  if (w === undefined) return refuse("its weights are no integers times a scale for each output channel");
  const scale = throughSum(x.scale, op, at);
  if (scale === undefined) return refuse("its input has scales that differ within what it sums");
  const padded = op.name === nn.conv.name && nn.conv.read(op).pads.some((p) => p !== 0);
  const whole = scaledInput(b, x, op, at, padded);
  if (whole === undefined)
    return refuse(
      padded
        ? "it is padded with a number that is none of its input's integers"
        : "its input has offsets that differ within what it sums",
    );
  const { u, zero, attrs } = whole;

  const constant = b.constant(
    constantOf(op.operand(layout.at))!.shape,
    w.integers,
    op.operand(layout.at).hint ?? "weight",
  );
  const y = b.exact(
    op.name,
    layout.at === 1 ? [u.u, constant] : [constant, u.u],
    shape,
    { ...op.attrs, ...attrs },
    op.result.hint,
  );
  const products = times(scale, w.scale);
  // What the zero point brings to each sum, as a real number.
  const sums = fieldOf(
    w.sumsShape,
    w.positive.map((p, i) => p + w.negative[i]!),
  );
  let offset = isAll(zero, 0) ? scalar(0) : times(times(zero, w.scale), sums);
  if (op.operands.length > 2) {
    const bias = constantOf(op.operands[2]);
    if (bias === undefined) return refuse("its bias is computed");
    offset = zip(
      offset,
      fieldOf([bias.data.length, ...new Array<number>(shape.length - 2).fill(1)], Float64Array.from(bias.data)),
      (p, q) => p + q,
    );
  }
  return { u: y, scale: products, offset, range: u.range && sumOfProducts(u.range, w) };
}

/**
 * Integers that the sum reads, what they stand for less the scale's part (for each result), and how the convolution
 * pads.
 */
function scaledInput(
  b: IntegerBuilder,
  x: Scaled,
  op: Op,
  at: number,
  padded: boolean,
): { u: Scaled; zero: Field; attrs: Record<string, Attr> } | undefined {
  const attrs: Record<string, Attr> = {};
  const zero = throughSum(x.offset, op, at);
  if (zero === undefined || (padded && only(zero) === undefined)) {
    const centred = b.centred(x);
    return centred && { u: centred, zero: scalar(0), attrs };
  }
  if (padded && !isAll(zero, 0)) {
    const outside = map(
      zip(x.offset, x.scale, (o, s) => -o / s),
      (v) => (isCount(v) ? Math.round(v) + 0 : NaN),
    );
    const value = only(outside);
    if (value === undefined || Number.isNaN(value)) {
      const centred = b.centred(x);
      return centred && { u: centred, zero: scalar(0), attrs };
    }
    if (x.range !== undefined && (value < x.range.lo || value > x.range.hi)) {
      const centred = b.centred(x);
      return centred && { u: centred, zero: scalar(0), attrs };
    }
    attrs["pad_value"] = value;
  }
  return { u: x, zero, attrs };
}

/** Limits of all partial sums. */
function sumOfProducts(r: Range, w: Weights): Range {
  let [lo, hi] = [0, 0];
  w.positive.forEach((p, i) => {
    const n = w.negative[i]!;
    lo = Math.min(lo, p * Math.min(0, r.lo) + n * Math.max(0, r.hi));
    hi = Math.max(hi, p * Math.max(0, r.hi) + n * Math.min(0, r.lo));
  });
  return { lo, hi };
}

/** A matrix product of two tensors, less their zero points. */
function productOfTensors(b: IntegerBuilder, op: Op, scaledOf: ScaledOf, refuse: Refuse): Scaled | undefined {
  const [x, y] = [scaledOf(op.operand(0)), scaledOf(op.operand(1))];
  if (x === undefined || y === undefined) return undefined;
  if (op.name !== "nn.matmul") return refuse("its weights are computed");
  const scales = [throughSum(x.scale, op, 0), throughSum(y.scale, op, 1)];
  if (scales[0] === undefined || scales[1] === undefined)
    return refuse("its operands have scales that differ within what it sums");
  const [p, q] = [b.centred(x), b.centred(y)];
  if (p === undefined || q === undefined) return refuse("an operand has an offset that is no multiple of its scale");
  const terms = shapeOf(op.operand(0)).at(-1)!;
  const u = b.exact(op.name, [p.u, q.u], shapeOf(op.result), op.attrs, op.result.hint);
  const most = p.range && q.range && terms * Math.max(-p.range.lo, p.range.hi) * Math.max(-q.range.lo, q.range.hi);
  return {
    u,
    scale: times(scales[0], scales[1]),
    offset: scalar(0),
    range: most === undefined ? undefined : { lo: -most, hi: most },
  };
}
