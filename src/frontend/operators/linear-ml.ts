/** What linear models of ai.onnx.ml and support vector machines are made of. */
import type { Value } from "../../ir/core.js";
import { shapeOf, type NodeContext } from "../context.js";

export function constantOf(ctx: NodeContext, data: readonly number[], shape: readonly number[], what: string): Value {
  return ctx.fromConstant({ shape, data: Float64Array.from(data), integer: false }, `${ctx.name}_${what}`);
}

/** The input as samples by features. */
export function samplesOf(ctx: NodeContext): Value {
  const x = ctx.value(0);
  const shape = shapeOf(x);
  if (shape.length !== 1 && shape.length !== 2) throw ctx.error(`its input has rank ${shape.length} instead of 2`);
  return shape.length === 2 ? x : ctx.emit("nn.reshape", [x], [1, shape[0]!], { shape: [1, shape[0]!] });
}

/**
 * x W' + b for `rows` rows of coefficients. Coefficients beyond those are not looked at, as ONNX Runtime does it
 * (logreg_iris of its own examples has twice as many).
 */
export function linear(
  ctx: NodeContext,
  x: Value,
  coefficients: readonly number[],
  rows: number,
  intercepts: readonly number[],
): Value {
  const [n, features] = shapeOf(x) as [number, number];
  if (coefficients.length < rows * features)
    throw ctx.error(`coefficients has ${coefficients.length} entries for ${rows} rows of ${features} features`);
  const transposed = Array.from(
    { length: features * rows },
    (_, i) => coefficients[(i % rows) * features + Math.floor(i / rows)]!,
  );
  const product = ctx.emit("nn.matmul", [x, constantOf(ctx, transposed, [features, rows], "coefficients")], [n, rows]);
  return intercepts.every((v) => v === 0)
    ? product
    : ctx.emit("nn.add", [product, constantOf(ctx, intercepts, [rows], "intercepts")], [n, rows]);
}
