/** Images read at constant places, and put together of patches: constant linear maps. */
import type { Value } from "../../ir/core.js";
import { shapeOf, type OperatorImporter } from "../context.js";
import { roundHalfEven } from "../../ir/fixed-arith.js";
import { points, reshape } from "./scatter.js";

const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Elements of the largest map from the pixels of an image to those of another. */
const MAX_MAP = 2 ** 22;

type Padding = "zeros" | "border" | "reflection";

/** Weights of the neighbours of a position along one axis of `n` elements. */
type Taps = readonly (readonly [at: number, weight: number])[];

const FILTERS: Readonly<Record<string, (x: number) => Taps>> = {
  nearest: (x) => [[roundHalfEven(x), 1]],
  linear: (x) => {
    const low = Math.floor(x);
    return [
      [low, low + 1 - x],
      [low + 1, x - low],
    ];
  },
  cubic: (x) => {
    const [low, a] = [Math.floor(x), -0.75];
    return [-1, 0, 1, 2].map((k) => {
      const t = Math.abs(x - low - k);
      return [
        low + k,
        t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : ((a * t - 5 * a) * t + 8 * a) * t - 4 * a,
      ] as const;
    });
  },
};

/** Where a position beyond [lo, hi] is read instead; undefined where it counts as 0. */
function insideOf(x: number, lo: number, hi: number, padding: Padding): number | undefined {
  if (x >= lo && x <= hi) return x;
  if (padding === "zeros") return undefined;
  if (padding === "border" || hi === lo) return Math.min(hi, Math.max(lo, x));
  const period = 2 * (hi - lo);
  const k = (((x - lo) % period) + period) % period;
  return lo + (k <= hi - lo ? k : period - k);
}

/** Weights along an axis of `n` elements for the normalized coordinate `g`, from -1 to 1. */
function tapsAt(g: number, n: number, filter: (x: number) => Taps, padding: Padding, corners: boolean): Taps {
  const [lo, hi] = corners ? [0, n - 1] : [-0.5, n - 0.5];
  const at = corners ? ((g + 1) / 2) * (n - 1) : ((g + 1) * n - 1) / 2;
  const place = insideOf(at, lo, hi, padding) ?? at;
  return filter(place).flatMap(([k, w]) => {
    if (k >= 0 && k < n) return [[k, w] as const];
    const other = insideOf(k, lo, hi, padding);
    return other === undefined ? [] : [[Math.min(n - 1, Math.max(0, roundHalfEven(other))), w] as const];
  });
}

/** @source ONNX GridSample: coordinates of the last axis come first */
const gridSample: OperatorImporter = {
  opType: "GridSample",
  since: 16,
  limits: "constant grid",
  import: (ctx) => {
    const x = ctx.value(0);
    const grid = ctx.needWeight(1, "the grid");
    const shape = shapeOf(x);
    const space = shape.slice(2);
    const rank = space.length;
    if (grid.shape.length !== rank + 2 || grid.shape[0] !== shape[0] || grid.shape[rank + 1] !== rank)
      throw ctx.error(`a grid of shape [${grid.shape.join(", ")}] for an input of shape [${shape.join(", ")}]`);
    const mode = ctx.string("mode", ctx.opset < 20 ? "bilinear" : "linear").replace(/^bi/, "");
    const filter = FILTERS[mode];
    const padding = ctx.string("padding_mode", "zeros");
    if (filter === undefined) throw ctx.error(`mode "${mode}" is not defined`);
    if (padding !== "zeros" && padding !== "border" && padding !== "reflection")
      throw ctx.error(`padding_mode "${padding}" is not defined`);
    const to = grid.shape.slice(1, -1);
    const [samples, pixels, places] = [shape[0]!, count(space), count(to)];
    if (samples * pixels * places > MAX_MAP)
      throw ctx.error(`its map from ${pixels} to ${places} pixels is too large`, `at most ${MAX_MAP} elements`);
    const map = new Float64Array(samples * pixels * places);
    for (let s = 0; s < samples; s++) {
      for (let p = 0; p < places; p++) {
        const axes = space.map((n, d) =>
          tapsAt(
            grid.data[(s * places + p) * rank + rank - 1 - d]!,
            n,
            filter,
            padding,
            ctx.int("align_corners", 0) !== 0,
          ),
        );
        const all = axes.reduce<Taps>(
          (list, taps, d) => list.flatMap(([at, w]) => taps.map(([k, v]) => [at * space[d]! + k, w * v] as const)),
          [[0, 1]],
        );
        for (const [at, w] of all) map[(s * pixels + at) * places + p]! += w;
      }
    }
    const m = ctx.fromConstant({ shape: [samples, pixels, places], data: map, integer: false }, `${ctx.name}_map`);
    const flat = reshape(ctx, x, [samples, shape[1]!, pixels]);
    return reshape(ctx, ctx.emit("nn.matmul", [flat, m], [samples, shape[1]!, places]), [samples, shape[1]!, ...to]);
  },
};

/** Homogeneous coordinates of every place, times the transposed transformation. */
const affineGrid: OperatorImporter = {
  opType: "AffineGrid",
  since: 20,
  limits: "size constant",
  import: (ctx) => {
    const theta = ctx.value(0);
    const space = [...ctx.needConstant(1, "the size").data].slice(2);
    const [n, rows, columns] = shapeOf(theta) as [number, number, number];
    if (rows !== space.length || columns !== rows + 1)
      throw ctx.error(`a transformation of shape [${shapeOf(theta).join(", ")}] for ${space.length} axes`);
    const corners = ctx.int("align_corners", 0) !== 0;
    const at = (i: number, size: number): number =>
      corners ? (size === 1 ? -1 : (2 * i) / (size - 1) - 1) : (2 * i + 1) / size - 1;
    const base = points(space).flatMap((p) => [...p.map((i, d) => at(i, space[d]!)).reverse(), 1]);
    const grid = ctx.fromConstant(
      { shape: [count(space), columns], data: Float64Array.from(base), integer: false },
      `${ctx.name}_base`,
    );
    const turned = ctx.emit("nn.transpose", [theta], [n, columns, rows], { perm: [0, 2, 1] });
    return reshape(ctx, ctx.emit("nn.matmul", [grid, turned], [n, count(space), rows]), [n, ...space, rows]);
  },
};

/** Patches that overlap add up: a transposed convolution whose weights pick one element of a patch each. */
const col2im: OperatorImporter = {
  opType: "Col2Im",
  since: 18,
  import: (ctx) => {
    const x = ctx.value(0);
    const [image, block] = [
      [...ctx.needConstant(1, "the image's shape").data],
      [...ctx.needConstant(2, "the block's shape").data],
    ];
    const rank = image.length;
    const list = (name: string, fallback: number, length: number): number[] =>
      ctx.ints(name) ?? new Array<number>(length).fill(fallback);
    const [strides, dilations, pads] = [
      list("strides", 1, rank),
      list("dilations", 1, rank),
      list("pads", 0, 2 * rank),
    ];
    const patch = count(block);
    const [n, rows, places] = shapeOf(x) as [number, number, number];
    const reach = image.map((size, d) => size + pads[d]! + pads[rank + d]! - (block[d]! - 1) * dilations[d]! - 1);
    const steps = reach.map((r, d) => Math.floor(r / strides[d]!) + 1);
    if (shapeOf(x).length !== 3 || rows % patch !== 0 || count(steps) !== places)
      throw ctx.error(
        `an input of shape [${shapeOf(x).join(", ")}] does not hold the blocks of an image of ${image.join(" x ")}`,
      );
    const channels = rows / patch;
    const weight = Float64Array.from({ length: rows * patch }, (_, i) =>
      Number(Math.floor(i / patch) % patch === i % patch),
    );
    const attributes = {
      strides,
      dilations,
      pads,
      output_padding: reach.map((r, d) => r % strides[d]!),
      group: channels,
    };
    const input: Value = reshape(ctx, x, [n, rows, ...steps]);
    return ctx.delegate(
      "ConvTranspose",
      [
        { kind: "value", value: input },
        { kind: "const", tensor: { shape: [rows, 1, ...block], data: weight, integer: false } },
      ],
      { attributes },
    );
  },
};

/** Means of samples inside constant regions. @source ONNX Runtime, CropAndResize of RoiAlign in average mode */
const roiAlign: OperatorImporter = {
  opType: "RoiAlign",
  since: 10,
  limits: "constant regions; mode avg",
  import: (ctx) => {
    const x = ctx.value(0);
    const [rois, batch] = [ctx.needWeight(1, "the regions"), ctx.needConstant(2, "the batch indices").data];
    if (ctx.string("mode", "avg") !== "avg")
      throw ctx.error("the largest of weighted neighbours is not supported", 'export with mode "avg"');
    const [n, channels, h, w] = shapeOf(x) as [number, number, number, number];
    if (shapeOf(x).length !== 4 || rois.shape[1] !== 4 || batch.length !== rois.shape[0])
      throw ctx.error(`regions of shape [${rois.shape.join(", ")}] for an input of shape [${shapeOf(x).join(", ")}]`);
    const [oh, ow, scale, ratio] = [
      ctx.int("output_height", 1),
      ctx.int("output_width", 1),
      ctx.float("spatial_scale", 1),
      ctx.int("sampling_ratio", 0),
    ];
    const half = ctx.opset >= 16 && ctx.string("coordinate_transformation_mode", "half_pixel") === "half_pixel";
    const [regions, pixels, places] = [batch.length, h * w, oh * ow];
    if (regions * pixels * places > MAX_MAP)
      throw ctx.error(
        `its map from ${pixels} pixels to ${regions} x ${places} is too large`,
        `at most ${MAX_MAP} elements`,
      );
    const map = new Float64Array(regions * pixels * places);
    for (let r = 0; r < regions; r++) {
      const [x1, y1, x2, y2] = [0, 1, 2, 3].map((k) => rois.data[4 * r + k]! * scale - (half ? 0.5 : 0)) as [
        number,
        number,
        number,
        number,
      ];
      const axis = (start: number, end: number, out: number, size: number): Taps[][] => {
        const step = (half ? end - start : Math.max(1, end - start)) / out;
        const samples = ratio > 0 ? ratio : Math.ceil(step);
        return Array.from({ length: out }, (_, o) =>
          Array.from({ length: samples }, (__, i) => edgeTaps(start + o * step + ((i + 0.5) * step) / samples, size)),
        );
      };
      const [rows, columns] = [axis(y1, y2, oh, h), axis(x1, x2, ow, w)];
      for (let p = 0; p < places; p++) {
        const [ys, xs] = [rows[Math.floor(p / ow)]!, columns[p % ow]!];
        for (const ty of ys)
          for (const tx of xs)
            for (const [iy, wy] of ty)
              for (const [ix, wx] of tx)
                map[(r * pixels + iy * w + ix) * places + p]! += (wy * wx) / Math.max(1, ys.length * xs.length);
      }
    }
    const flat = reshape(ctx, x, [n, channels, pixels]);
    const chosen = ctx.emit("nn.gather", [flat], [regions, channels, pixels], { axis: 0, indices: [...batch] });
    const m = ctx.fromConstant({ shape: [regions, pixels, places], data: map, integer: false }, `${ctx.name}_map`);
    return reshape(ctx, ctx.emit("nn.matmul", [chosen, m], [regions, channels, places]), [regions, channels, oh, ow]);
  },
};

/** Linear interpolation up to a pixel beyond the ends. */
function edgeTaps(at: number, n: number): Taps {
  if (at < -1 || at > n) return [];
  const inside = Math.max(0, at);
  const low = Math.floor(inside);
  return low >= n - 1
    ? [[n - 1, 1]]
    : [
        [low, low + 1 - inside],
        [low + 1, inside - low],
      ];
}

export const samplingOperators: readonly OperatorImporter[] = [gridSample, affineGrid, col2im, roiAlign];
