/** Normalizations whose statistics are computed by the network, as the means, differences and roots that they stand for. */
import type { Value } from "../../ir/core.js";
import { broadcastShapes, shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";

/** (x - mean) / sqrt(variance + epsilon) over `axes`. */
function standardized(ctx: NodeContext, x: Value, axes: readonly number[], epsilon: number): Value {
  const shape = shapeOf(x);
  const row = shape.map((n, d) => (axes.includes(d) ? 1 : n));
  const mean = (v: Value): Value => ctx.emit("nn.reduce", [v], row, { kind: "mean", axes: [...axes], keepdims: true });
  const centred = ctx.emit("nn.sub", [x, mean(x)], shape);
  const variance = mean(ctx.emit("nn.mul", [centred, centred], shape));
  const safe = ctx.emit("nn.add", [variance, ctx.fromConstant({ shape: [], data: Float64Array.of(epsilon), integer: false }, `${ctx.name}_epsilon`)], row);
  return ctx.emit("nn.div", [centred, ctx.emit("nn.unary", [safe], row, { fn: "sqrt" })], shape);
}

/** y * scale + bias, the constants under `shape` where it is given. */
function affine(ctx: NodeContext, y: Value, shape?: readonly number[]): Value {
  const parameter = (i: number, what: string): Value => {
    const c: ConstTensor = ctx.needWeight(i, what);
    if (shape !== undefined && c.data.length !== shape.reduce((n, d) => n * d, 1)) throw ctx.error(`its ${what} has ${c.data.length} values for ${shape.reduce((n, d) => n * d, 1)} channels`);
    const placed = shape === undefined ? c : { ...c, shape };
    if (broadcastShapes(shapeOf(y), placed.shape)?.join() !== shapeOf(y).join()) throw ctx.error(`its ${what} of shape [${c.shape.join(", ")}] does not broadcast to [${shapeOf(y).join(", ")}]`);
    return ctx.fromConstant(placed, ctx.node.input[i]);
  };
  const scaled = ctx.emit("nn.mul", [y, parameter(1, "scale")], shapeOf(y));
  return ctx.has(2) ? ctx.emit("nn.add", [scaled, parameter(2, "bias")], shapeOf(y)) : scaled;
}

const layerNormalization: OperatorImporter = {
  opType: "LayerNormalization",
  import: (ctx) => {
    const x = ctx.value(0);
    const rank = shapeOf(x).length;
    const axis = ctx.axis(ctx.int("axis", -1), rank);
    const axes = Array.from({ length: rank - axis }, (_, i) => axis + i);
    return affine(ctx, standardized(ctx, x, axes, ctx.float("epsilon", 1e-5)));
  },
};

const instanceNormalization: OperatorImporter = {
  opType: "InstanceNormalization",
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    if (shape.length < 3) throw ctx.error(`its input has rank ${shape.length} instead of at least 3`);
    const axes = shape.map((_, d) => d).slice(2);
    return affine(ctx, standardized(ctx, x, axes, ctx.float("epsilon", 1e-5)), [shape[1]!, ...axes.map(() => 1)]);
  },
};

export const normalizeOperators: readonly OperatorImporter[] = [layerNormalization, instanceNormalization];
