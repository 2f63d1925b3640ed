/**
 * Resize and Upsample: constant linear maps along one axis after the other. By nearest neighbour every output element
 * is one input element, otherwise a sum of neighbours with constant weights.
 */
import type { Value } from "../../ir/core.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";

/** An axis that changes: its lengths, the scale, and the part of it that is resized (tf_crop_and_resize). */
interface Axis {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  readonly scale: number;
  readonly roi: readonly [number, number];
}

/** Input coordinate of output element `i`. @source ONNX Resize, coordinate_transformation_mode */
const COORDINATES: Readonly<Record<string, (i: number, a: Axis) => number>> = {
  half_pixel: (i, { scale }) => (i + 0.5) / scale - 0.5,
  pytorch_half_pixel: (i, { scale, to }) => (to > 1 ? (i + 0.5) / scale - 0.5 : 0),
  half_pixel_symmetric: (i, { scale, from, to }) => (from / 2) * (1 - to / (scale * from)) + (i + 0.5) / scale - 0.5,
  asymmetric: (i, { scale }) => i / scale,
  // With scales the resized length need not be whole.
  align_corners: (i, { scale, from }) => (scale * from <= 1 ? 0 : (i * (from - 1)) / (scale * from - 1)),
  tf_crop_and_resize: (i, { from, to, roi: [start, end] }) =>
    start * (from - 1) + (to > 1 ? (i * (end - start) * (from - 1)) / (to - 1) : ((end - start) * (from - 1)) / 2),
};

const NEAREST: Readonly<Record<string, (v: number) => number>> = {
  floor: Math.floor,
  ceil: Math.ceil,
  round_prefer_floor: (v) => Math.ceil(v - 0.5),
  round_prefer_ceil: (v) => Math.floor(v + 0.5),
};

/**
 * Gathers `indices[d]` along every axis d. Axes that repeat each element equally often are broadcast instead, which
 * needs no selection.
 */
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
  const split = (k: (d: number) => number): number[] =>
    shape.flatMap((n, d) => ((repeats[d] ?? 1) > 1 ? [n, k(d)] : [n]));
  const ones = split(() => 1);
  const wide = split((d) => repeats[d]!);
  const full = shape.map((n, d) => n * (repeats[d] ?? 1));
  const apart = ctx.emit("nn.reshape", [y], ones, { shape: ones });
  return ctx.emit("nn.reshape", [ctx.emit("nn.broadcast", [apart], wide, { shape: wide })], full, { shape: full });
}

/** A resampling filter: weight of a neighbour at distance `t`, which is 0 from `reach` on. */
interface Filter {
  readonly reach: number;
  readonly weight: (t: number) => number;
}
const triangle: Filter = { reach: 1, weight: (t) => Math.max(0, 1 - Math.abs(t)) };

/** @source R. Keys, "Cubic convolution interpolation for digital image processing" (1981) */
function cubic(a: number): Filter {
  return {
    reach: 2,
    weight: (v) => {
      const t = Math.abs(v);
      return t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
    },
  };
}

/** Weights of the input elements for the one at `at`; elements beyond the ends are those at the ends, or excluded. */
function weightsAt(at: number, a: Axis, filter: Filter, antialias: boolean, exclude: boolean): Map<number, number> {
  const shrink = antialias ? Math.min(1, a.scale) : 1;
  const half = -Math.floor(-filter.reach / shrink);
  const base = Math.ceil(at) - 1;
  const found = new Map<number, number>();
  let sum = 0;
  for (let k = base - half + 1; k <= base + half; k++) {
    const outside = k < 0 || k >= a.from;
    if (exclude && outside) continue;
    const weight = filter.weight((k - at) * shrink);
    const inside = Math.min(a.from - 1, Math.max(0, k));
    sum += weight;
    found.set(inside, (found.get(inside) ?? 0) + weight);
  }
  return antialias || exclude ? new Map([...found].map(([k, w]) => [k, w / sum])) : found;
}

/** Along its axis, the sum of as many neighbours as any output element has, each a gather times its weights. */
function filtered(ctx: NodeContext, x: Value, axis: number, rows: readonly ReadonlyMap<number, number>[]): Value {
  const shape = shapeOf(x).map((n, d) => (d === axis ? rows.length : n));
  const taps = rows.map((row) => [...row].filter(([, w]) => w !== 0).sort(([p], [q]) => p - q));
  const most = Math.max(...taps.map((t) => t.length));
  let sum: Value | undefined;
  for (let k = 0; k < most; k++) {
    // Where there is no further neighbour, the last one counts nothing: indices stay in order.
    const at = taps.map((t) => t[Math.min(k, t.length - 1)]![0]);
    const weights = taps.map((t) => t[k]?.[1] ?? 0);
    const taken = ctx.emit("nn.gather", [x], shape, { axis, indices: at });
    const column = ctx.fromConstant(
      {
        shape: [weights.length, ...shape.slice(axis + 1).map(() => 1)],
        data: Float64Array.from(weights),
        integer: false,
      },
      `${ctx.name}_weights${k}`,
    );
    const term = weights.every((w) => w === 1) ? taken : ctx.emit("nn.mul", [taken, column], shape);
    sum = sum === undefined ? term : ctx.emit("nn.add", [sum, term], shape);
  }
  return sum!;
}

function resized(ctx: NodeContext, scaleInput: number, sizeInput: number | undefined): Value {
  const x = ctx.value(0);
  const from = shapeOf(x);
  const mode = ctx.string("mode", "nearest").replace("bilinear", "linear");
  if (mode !== "nearest" && mode !== "linear" && mode !== "cubic") throw ctx.error(`mode "${mode}" is not defined`);
  const legacy = ctx.opset < 11;
  const coordinateMode = legacy ? "asymmetric" : ctx.string("coordinate_transformation_mode", "half_pixel");
  const coordinate = COORDINATES[coordinateMode];
  if (coordinate === undefined) throw ctx.error(`coordinate_transformation_mode "${coordinateMode}" is not defined`);
  const nearestMode = legacy ? "floor" : ctx.string("nearest_mode", "round_prefer_floor");
  const nearest = NEAREST[nearestMode];
  if (nearest === undefined) throw ctx.error(`nearest_mode "${nearestMode}" is not defined`);
  const [antialias, exclude] = [ctx.int("antialias", 0) !== 0, ctx.int("exclude_outside", 0) !== 0];

  const axes = axesOf(ctx, from, scaleInput, sizeInput, coordinateMode === "tf_crop_and_resize");
  const to = [...from];
  for (const a of axes) to[a.axis] = a.to;
  ctx.checkSize(to);
  const points = new Map(axes.map((a) => [a.axis, Array.from({ length: a.to }, (_, i) => coordinate(i, a))]));
  let y: Value;
  if (mode === "nearest") {
    y = gatherAxes(
      ctx,
      x,
      to.map((n, d) =>
        Array.from({ length: n }, (_, i) =>
          Math.min(from[d]! - 1, Math.max(0, points.has(d) ? nearest(points.get(d)![i]!) : i)),
        ),
      ),
    );
  } else {
    const filter = mode === "linear" ? triangle : cubic(ctx.float("cubic_coeff_a", -0.75));
    y = axes.reduce<Value>(
      (v, a) =>
        a.to === a.from && a.scale === 1 && coordinateMode !== "tf_crop_and_resize"
          ? v
          : filtered(
              ctx,
              v,
              a.axis,
              points.get(a.axis)!.map((at) => weightsAt(at, a, filter, antialias, exclude)),
            ),
      x,
    );
  }
  if (coordinateMode !== "tf_crop_and_resize") return y;
  // What lies beyond the image has one value.
  const beyond = axes
    .map((a) => ({ a, out: points.get(a.axis)!.map((at) => Number(at < 0 || at > a.from - 1)) }))
    .filter(({ out }) => out.includes(1));
  for (const { a, out } of beyond) {
    const column = ctx.fromConstant(
      {
        shape: [out.length, ...to.slice(a.axis + 1).map(() => 1)],
        data: Float64Array.from(out, (o) => -o),
        integer: false,
      },
      `${ctx.name}_beyond`,
    );
    y = ctx.emit(
      "nn.select_neg",
      [
        column,
        ctx.fromConstant(
          { shape: [], data: Float64Array.of(ctx.float("extrapolation_value", 0)), integer: false },
          `${ctx.name}_extrapolation`,
        ),
        y,
      ],
      to,
    );
  }
  return y;
}

/** The axes that are named, with their lengths, from scales or sizes. */
function axesOf(
  ctx: NodeContext,
  from: readonly number[],
  scaleInput: number,
  sizeInput: number | undefined,
  cropped: boolean,
): Axis[] {
  const axes = ctx.ints("axes")?.map((a) => ctx.axis(a, from.length)) ?? from.map((_, d) => d);
  const given = (what: string, list: readonly number[]): readonly number[] => {
    if (list.length !== axes.length) throw ctx.error(`${list.length} ${what} are given for ${axes.length} axes`);
    const bad = list.find((v) => !(v > 0) || !Number.isFinite(v));
    if (bad !== undefined) throw ctx.error(`one of its ${what} is ${bad}`);
    return list;
  };
  const roi = cropped ? [...ctx.needConstant(1, "the region").data] : [];
  if (cropped && roi.length !== 2 * axes.length)
    throw ctx.error(`its region has ${roi.length} entries for ${axes.length} axes`);
  const part = (i: number): readonly [number, number] => (cropped ? [roi[i]!, roi[axes.length + i]!] : [0, 1]);
  const asked =
    sizeInput !== undefined && ctx.has(sizeInput) && ctx.shape(sizeInput)[0] !== 0
      ? given("sizes", [...ctx.needConstant(sizeInput, "the sizes").data])
      : undefined;
  if (asked === undefined) {
    const scales = given(
      "scales",
      scaleInput < 0 ? (ctx.floats("scales") ?? []) : [...ctx.needConstant(scaleInput, "the scales").data],
    );
    return axes.map((axis, i) => ({
      axis,
      from: from[axis]!,
      to: Math.floor(from[axis]! * scales[i]!),
      scale: scales[i]!,
      roi: part(i),
    }));
  }
  if (ctx.has(scaleInput) && ctx.shape(scaleInput)[0] !== 0)
    throw ctx.error("both scales and sizes are given", "export with one of them");
  const policy = ctx.string("keep_aspect_ratio_policy", "stretch");
  const scales = asked.map((s, i) => s / from[axes[i]!]!);
  if (policy === "stretch")
    return axes.map((axis, i) => ({ axis, from: from[axis]!, to: asked[i]!, scale: scales[i]!, roi: part(i) }));
  if (policy !== "not_larger" && policy !== "not_smaller")
    throw ctx.error(`keep_aspect_ratio_policy "${policy}" is not defined`);
  const scale = policy === "not_larger" ? Math.min(...scales) : Math.max(...scales);
  return axes.map((axis, i) => ({
    axis,
    from: from[axis]!,
    to: Math.floor(from[axis]! * scale + 0.5),
    scale,
    roi: part(i),
  }));
}

const ONLY_CROPS = "only for tf_crop_and_resize";

export const resizeOperators: readonly OperatorImporter[] = [
  {
    opType: "Resize",
    since: 10,
    ignores: {
      roi: ONLY_CROPS,
      extrapolation_value: ONLY_CROPS,
      cubic_coeff_a: "only for mode cubic",
      keep_aspect_ratio_policy: "only for sizes",
    },
    import: (ctx) => (ctx.opset < 11 ? resized(ctx, 1, undefined) : resized(ctx, 2, 3)),
  },
  {
    opType: "Upsample",
    limits: "nearest and linear",
    import: (ctx) => resized(ctx, ctx.opset < 9 ? -1 : 1, undefined),
  },
];
