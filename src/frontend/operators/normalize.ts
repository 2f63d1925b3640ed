/**
 * Normalizations whose statistics are computed by the network, as the means, differences and roots that they stand for.
 */
import type { Value } from "../../ir/core.js";
import { broadcastShapes, shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";
import { affine as scaled } from "./broadcast.js";

const STASHED = { stash_type: "a float type for what lies between, which quantization chooses here" };

interface Standardized {
  readonly y: Value;
  readonly mean: Value;
  /** 1 / sqrt(variance + epsilon). */
  readonly inverse: Value;
}

/** (x - mean) / sqrt(variance + epsilon) over `axes`; without centring x / sqrt(mean square + epsilon). */
function standardized(
  ctx: NodeContext,
  x: Value,
  axes: readonly number[],
  epsilon: number,
  centre = true,
): Standardized {
  const shape = shapeOf(x);
  const row = shape.map((n, d) => (axes.includes(d) ? 1 : n));
  const meanOf = (v: Value): Value =>
    ctx.emit("nn.reduce", [v], row, { kind: "mean", axes: [...axes], keepdims: true });
  const mean = meanOf(x);
  const centred = centre ? ctx.emit("nn.sub", [x, mean], shape) : x;
  const variance = meanOf(ctx.emit("nn.mul", [centred, centred], shape));
  const safe = ctx.emit(
    "nn.add",
    [variance, ctx.fromConstant({ shape: [], data: Float64Array.of(epsilon), integer: false }, `${ctx.name}_epsilon`)],
    row,
  );
  const root = ctx.emit("nn.unary", [safe], row, { fn: "sqrt" });
  return {
    y: ctx.emit("nn.div", [centred, root], shape),
    mean,
    inverse: ctx.emit("nn.unary", [root], row, { fn: "reciprocal" }),
  };
}

/** y * scale + bias, the constants under `shape` where it is given. */
function affine(ctx: NodeContext, y: Value, shape?: readonly number[]): Value {
  const parameter = (i: number, what: string): Value => {
    const c: ConstTensor = ctx.needWeight(i, what);
    if (shape !== undefined && c.data.length !== shape.reduce((n, d) => n * d, 1))
      throw ctx.error(`its ${what} has ${c.data.length} values for ${shape.reduce((n, d) => n * d, 1)} channels`);
    const placed = shape === undefined ? c : { ...c, shape };
    if (broadcastShapes(shapeOf(y), placed.shape)?.join() !== shapeOf(y).join())
      throw ctx.error(`its ${what} of shape [${c.shape.join(", ")}] does not broadcast to [${shapeOf(y).join(", ")}]`);
    return ctx.fromConstant(placed, ctx.node.input[i]);
  };
  const scaled = ctx.emit("nn.mul", [y, parameter(1, "scale")], shapeOf(y));
  return ctx.has(2) ? ctx.emit("nn.add", [scaled, parameter(2, "bias")], shapeOf(y)) : scaled;
}

const layerNormalization: OperatorImporter = {
  opType: "LayerNormalization",
  early: "ONNX Runtime had it under ONNX's domain in every operator set, and its tools still write it",
  ignores: STASHED,
  import: (ctx) => {
    const x = ctx.value(0);
    const rank = shapeOf(x).length;
    const axis = ctx.axis(ctx.int("axis", -1), rank);
    const axes = Array.from({ length: rank - axis }, (_, i) => axis + i);
    const { y, mean, inverse } = standardized(ctx, x, axes, ctx.float("epsilon", 1e-5));
    return [affine(ctx, y), mean, inverse];
  },
};

const instanceNormalization: OperatorImporter = {
  opType: "InstanceNormalization",
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    if (shape.length < 3) throw ctx.error(`its input has rank ${shape.length} instead of at least 3`);
    const axes = shape.map((_, d) => d).slice(2);
    return affine(ctx, standardized(ctx, x, axes, ctx.float("epsilon", 1e-5)).y, [shape[1]!, ...axes.map(() => 1)]);
  },
};

/** Before opset 21 scale and bias are per group, from then on per channel. */
const groupNormalization: OperatorImporter = {
  opType: "GroupNormalization",
  ignores: STASHED,
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    const [n, channels] = [shape[0]!, shape[1] ?? 1];
    const groups = ctx.int("num_groups", 1);
    if (shape.length < 2 || groups < 1 || channels % groups !== 0)
      throw ctx.error(`${groups} groups do not divide the channels of [${shape.join(", ")}]`);
    const rest = shape.slice(2).reduce((p, d) => p * d, 1);
    const grouped = [n, groups, (channels / groups) * rest];
    const normal = standardized(
      ctx,
      ctx.emit("nn.reshape", [x], grouped, { shape: grouped }),
      [2],
      ctx.float("epsilon", 1e-5),
    ).y;
    const back = (v: Value): Value => ctx.emit("nn.reshape", [v], shape, { shape: [...shape] });
    return ctx.opset < 21 && ctx.needWeight(1, "scale").data.length === groups && groups !== channels
      ? back(affine(ctx, normal, [groups, 1]))
      : affine(ctx, back(normal), [channels, ...shape.slice(2).map(() => 1)]);
  },
};

const rmsNormalization: OperatorImporter = {
  opType: "RMSNormalization",
  since: 23,
  ignores: STASHED,
  import: (ctx) => {
    const x = ctx.value(0);
    const rank = shapeOf(x).length;
    const axis = ctx.axis(ctx.int("axis", -1), rank);
    return affine(
      ctx,
      standardized(
        ctx,
        x,
        Array.from({ length: rank - axis }, (_, i) => axis + i),
        ctx.float("epsilon", 1e-5),
        false,
      ).y,
    );
  },
};

const lpNormalization: OperatorImporter = {
  opType: "LpNormalization",
  limits: "p 1 or 2",
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    const axis = ctx.axis(ctx.int("axis", -1), shape.length);
    const p = ctx.int("p", 2);
    if (p !== 1 && p !== 2) throw ctx.error(`p is ${p}; 1 and 2 are supported`);
    const base = p === 1 ? ctx.emit("nn.abs", [x], shape) : ctx.emit("nn.mul", [x, x], shape);
    const row = shape.map((n, d) => (d === axis ? 1 : n));
    const sum = ctx.emit("nn.reduce", [base], row, { kind: "sum", axes: [axis], keepdims: true });
    // A vector of zeros stays one.
    const norm = p === 1 ? sum : ctx.emit("nn.unary", [sum], row, { fn: "sqrt" });
    const least = ctx.fromConstant({ shape: [], data: Float64Array.of(1e-12), integer: false }, `${ctx.name}_least`);
    return ctx.emit("nn.div", [x, ctx.emit("nn.max", [norm, least], row)], shape);
  },
};

/** x / (bias + alpha / size * sum of the squares of neighbouring channels)^beta. */
const localResponse: OperatorImporter = {
  opType: "LRN",
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    const size = ctx.int("size", 0);
    if (shape.length < 2 || size < 1)
      throw ctx.error(`windows of ${size} channels of a tensor of rank ${shape.length}`);
    const planes = [shape[0]!, 1, shape[1]!, shape.slice(2).reduce((n, d) => n * d, 1)];
    const square = ctx.emit("nn.reshape", [ctx.emit("nn.mul", [x, x], shape)], planes, { shape: planes });
    const pads = [Math.floor((size - 1) / 2), 0, Math.ceil((size - 1) / 2), 0];
    const sum = ctx.emit("nn.pool", [square], planes, {
      kind: "sum",
      kernel: [size, 1],
      strides: [1, 1],
      pads,
      dilations: [1, 1],
      count_include_pad: true,
    });
    const base = scaled(
      ctx,
      ctx.emit("nn.reshape", [sum], shape, { shape: [...shape] }),
      ctx.float("alpha", 0.0001) / size,
      ctx.float("bias", 1),
      "response",
    );
    return ctx.emit(
      "nn.mul",
      [x, ctx.emit("nn.unary", [base], shape, { fn: `pow:${-ctx.float("beta", 0.75)}` })],
      shape,
    );
  },
};

const meanVariance: OperatorImporter = {
  opType: "MeanVarianceNormalization",
  import: (ctx) => {
    const x = ctx.value(0);
    const axes = (ctx.ints("axes") ?? [0, 2, 3]).map((a) => ctx.axis(a, shapeOf(x).length));
    // 1e-9 is added to the deviation, hence its square to the variance.
    return standardized(ctx, x, axes, 1e-18).y;
  },
};

export const normalizeOperators: readonly OperatorImporter[] = [
  layerNormalization,
  instanceNormalization,
  groupNormalization,
  rmsNormalization,
  lpNormalization,
  localResponse,
  meanVariance,
];
