/**
 * Operators that ONNX had on trial and gave up, and ONNX Runtime kept for old files (ONNX's domain, up to opset 10).
 */
import { known, type NodeContext, type OperatorImporter } from "../context.js";
import { add, apply, integers, mul, scalar, scale, table } from "./build.js";
import type { Value } from "../../ir/core.js";

function plus(ctx: NodeContext, x: Value, by: number): Value {
  return by === 0 ? x : add(ctx, x, scalar(ctx, by, "beta"));
}

/** Borders (left, top, right, bottom) cut off; or, with `scale`, that many rows and columns from left and top. */
const crop: OperatorImporter = {
  opType: "Crop",
  import: (ctx) => {
    const [border, size] = [ctx.ints("border") ?? [0, 0, 0, 0], ctx.ints("scale")];
    const shape = ctx.shape(0);
    if (shape.length !== 4 || border.length < 4 || (size !== undefined && size.length !== 2))
      throw ctx.error(`borders [${border.join(", ")}] do not fit a tensor of shape [${shape.join(", ")}]`);
    const [left, top, right, bottom] = border as [number, number, number, number];
    const [height, width] = size ?? [shape[2]! - top - bottom, shape[3]! - left - right];
    if (height! < 1 || width! < 1 || top + height! > shape[2]! || left + width! > shape[3]!)
      throw ctx.error(`it cuts ${height} x ${width} out of ${shape[2]} x ${shape[3]}`);
    return apply(ctx, "Slice", [
      ctx.input(0),
      integers(top, left),
      integers(top + height!, left + width!),
      integers(2, 3),
    ]);
  },
};

const imageScaler: OperatorImporter = {
  opType: "ImageScaler",
  import: (ctx) => {
    const bias = ctx.floats("bias") ?? [];
    if (bias.length !== ctx.shape(0)[1])
      throw ctx.error(`${bias.length} biases are given for ${ctx.shape(0)[1]} channels`);
    return apply(ctx, "Add", [
      scale(ctx, ctx.value(0), ctx.float("scale", 1), "scale"),
      known([bias.length, 1, 1], bias, false),
    ]);
  },
};

const parametricSoftplus: OperatorImporter = {
  opType: "ParametricSoftplus",
  import: (ctx) =>
    scale(
      ctx,
      table(ctx, scale(ctx, ctx.value(0), ctx.float("beta", 1), "beta"), "softplus"),
      ctx.float("alpha", 1),
      "alpha",
    ),
};
const scaledTanh: OperatorImporter = {
  opType: "ScaledTanh",
  import: (ctx) =>
    scale(
      ctx,
      table(ctx, scale(ctx, ctx.value(0), ctx.float("beta", 1), "beta"), "tanh"),
      ctx.float("alpha", 1),
      "alpha",
    ),
};
const affine: OperatorImporter = {
  opType: "Affine",
  import: (ctx) => plus(ctx, scale(ctx, ctx.value(0), ctx.float("alpha", 1), "alpha"), ctx.float("beta", 0)),
};
const scaleOperator: OperatorImporter = {
  opType: "Scale",
  import: (ctx) => mul(ctx, ctx.value(0), scalar(ctx, ctx.float("scale", 1), "scale")),
};
const dynamicSlice: OperatorImporter = {
  opType: "DynamicSlice",
  limits: "constant starts, ends and axes",
  import: (ctx) =>
    apply(
      ctx,
      "Slice",
      Array.from({ length: ctx.inputCount }, (_, i) => ctx.input(i)),
    ),
};

export const legacyOperators: readonly OperatorImporter[] = [
  crop,
  imageScaler,
  parametricSoftplus,
  scaledTanh,
  affine,
  scaleOperator,
  dynamicSlice,
];
