/** Resize and Upsample: by nearest neighbour every output element is one input element, linearly a mean of two along each axis. */
import type { Value } from "../../ir/core.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";

/** Input coordinate of output element `i`. @source ONNX Resize, coordinate_transformation_mode */
const COORDINATES: Readonly<Record<string, (i: number, scale: number, from: number, to: number) => number>> = {
  half_pixel: (i, scale) => (i + 0.5) / scale - 0.5,
  pytorch_half_pixel: (i, scale, _, to) => (to > 1 ? (i + 0.5) / scale - 0.5 : 0),
  half_pixel_symmetric: (i, scale, from, to) => {
    const adjustment = to / (scale * from);
    const center = from / 2;
    return center * (1 - adjustment) + (i + 0.5) / scale - 0.5;
  },
  asymmetric: (i, scale) => i / scale,
  // With scales the resized length need not be whole.
  align_corners: (i, scale, from) => (scale * from <= 1 ? 0 : (i * (from - 1)) / (scale * from - 1)),
};

const NEAREST: Readonly<Record<string, (v: number) => number>> = {
  floor: Math.floor,
  ceil: Math.ceil,
  round_prefer_floor: (v) => Math.ceil(v - 0.5),
  round_prefer_ceil: (v) => Math.floor(v + 0.5),
};

/** Gathers `indices[d]` along every axis d. Axes that repeat each element equally often are broadcast instead, which needs no selection. */
export function gatherAxes(ctx: NodeContext, x: Value, indices: readonly (readonly number[])[]): Value {
  let y = x;
  const repeats = indices.map((list, d) => {
    const n = shapeOf(x)[d]!;
    const k = list.length / n;
    return Number.isInteger(k) && list.every((at, i) => at === Math.floor(i / k)) ? k : undefined;
  });
  indices.forEach((list, d) => {
    if (repeats[d] !== undefined) return;
    const shape = shapeOf(y).map((n, e) => (e === d ? list.length : n));
    y = ctx.emit("nn.gather", [y], shape, { axis: d, indices: [...list] });
  });
  if (repeats.every((k) => k === undefined || k === 1)) return y;
  const shape = shapeOf(y);
  const split = (k: (d: number) => number): number[] => shape.flatMap((n, d) => ((repeats[d] ?? 1) > 1 ? [n, k(d)] : [n]));
  const ones = split(() => 1);
  const wide = split((d) => repeats[d]!);
  const full = shape.map((n, d) => n * (repeats[d] ?? 1));
  const apart = ctx.emit("nn.reshape", [y], ones, { shape: ones });
  return ctx.emit("nn.reshape", [ctx.emit("nn.broadcast", [apart], wide, { shape: wide })], full, { shape: full });
}

function resized(ctx: NodeContext, scaleInput: number, sizeInput: number | undefined): Value {
  const x = ctx.value(0);
  const from = shapeOf(x);
  const mode = ctx.string("mode", "nearest");
  if (mode !== "nearest" && mode !== "linear" && mode !== "bilinear") throw ctx.error(`mode "${mode}" is not supported`, 'resize with mode "nearest" or "linear"');
  if (ctx.int("antialias", 0) !== 0) throw ctx.error("antialiasing is not supported", "export with antialias=False");
  const policy = ctx.string("keep_aspect_ratio_policy", "stretch");
  if (policy !== "stretch") throw ctx.error(`keep_aspect_ratio_policy "${policy}" is not supported`, "export with the resulting sizes");
  const legacy = ctx.opset < 11;
  const coordinateMode = legacy ? "asymmetric" : ctx.string("coordinate_transformation_mode", "half_pixel");
  const coordinate = COORDINATES[coordinateMode];
  if (coordinate === undefined) throw ctx.error(`coordinate_transformation_mode "${coordinateMode}" is not supported`);
  const nearestMode = legacy ? "floor" : ctx.string("nearest_mode", "round_prefer_floor");
  const nearest = NEAREST[nearestMode];
  if (nearest === undefined) throw ctx.error(`nearest_mode "${nearestMode}" is not defined`);

  const axes = ctx.ints("axes")?.map((a) => ctx.axis(a, from.length)) ?? from.map((_, d) => d);
  const given = (what: string, list: readonly number[]): readonly number[] => {
    if (list.length !== axes.length) throw ctx.error(`${list.length} ${what} are given for ${axes.length} axes`);
    const bad = list.find((v) => !(v > 0) || !Number.isFinite(v));
    if (bad !== undefined) throw ctx.error(`one of its ${what} is ${bad}`);
    return list;
  };
  const sizes = sizeInput !== undefined && ctx.has(sizeInput) ? given("sizes", [...ctx.needConstant(sizeInput, "the sizes").data]) : undefined;
  const scales = sizes !== undefined ? sizes.map((s, i) => s / from[axes[i]!]!) : given("scales", scaleInput < 0 ? (ctx.floats("scales") ?? []) : [...ctx.needConstant(scaleInput, "the scales").data]);
  const to = [...from];
  axes.forEach((a, i) => (to[a] = sizes?.[i] ?? Math.floor(from[a]! * scales[i]!)));
  ctx.checkSize(to);
  if (mode !== "nearest") {
    return to.reduce<Value>((y, n, d) => {
      const k = axes.indexOf(d);
      if (k < 0 || (n === from[d] && scales[k] === 1)) return y;
      return interpolated(ctx, y, d, Array.from({ length: n }, (_, i) => coordinate(i, scales[k]!, from[d]!, n)));
    }, x);
  }
  const indices = to.map((n, d) => {
    const k = axes.indexOf(d);
    const at = (i: number): number => Math.min(from[d]! - 1, Math.max(0, k < 0 ? i : nearest(coordinate(i, scales[k]!, from[d]!, n))));
    return Array.from({ length: n }, (_, i) => at(i));
  });
  return gatherAxes(ctx, x, indices);
}

/** Along `axis`, the values at fractional positions; beyond the ends those at the ends. */
function interpolated(ctx: NodeContext, x: Value, axis: number, at: readonly number[]): Value {
  const last = shapeOf(x)[axis]! - 1;
  const inside = at.map((v) => Math.min(last, Math.max(0, v)));
  const low = inside.map((v) => Math.min(Math.floor(v), Math.max(0, last - 1)));
  const share = inside.map((v, i) => v - low[i]!);
  const shape = shapeOf(x).map((n, d) => (d === axis ? at.length : n));
  const taken = (indices: readonly number[], weights: readonly number[], what: string): Value => {
    const y = ctx.emit("nn.gather", [x], shape, { axis, indices: [...indices] });
    const factor = ctx.fromConstant({ shape: [weights.length, ...shape.slice(axis + 1).map(() => 1)], data: Float64Array.from(weights), integer: false }, `${ctx.name}_${what}`);
    return ctx.emit("nn.mul", [y, factor], shape);
  };
  const lower = taken(low, share.map((s) => 1 - s), "lower");
  return last === 0 ? taken(low, share.map(() => 1), "lower") : ctx.emit("nn.add", [lower, taken(low.map((i) => i + 1), share, "upper")], shape);
}

const ONLY_CROPS = "only for tf_crop_and_resize, which is refused";

export const resizeOperators: readonly OperatorImporter[] = [
  { opType: "Resize", since: 10, limits: "nearest and linear, without antialiasing", ignores: { roi: ONLY_CROPS, extrapolation_value: ONLY_CROPS }, import: (ctx) => (ctx.opset < 11 ? resized(ctx, 1, undefined) : resized(ctx, 2, 3)) },
  { opType: "Upsample", limits: "nearest and linear", import: (ctx) => resized(ctx, ctx.opset < 9 ? -1 : 1, undefined) },
];
