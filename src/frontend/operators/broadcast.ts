/** What operators of several operands share: broadcasting, scalars, and arithmetic on constants. */
import type { Value } from "../../ir/core.js";
import { broadcastShapes, shapeOf, type NodeContext } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";

/** `f` over two broadcast constants. */
export function mapConstants(
  a: ConstTensor,
  b: ConstTensor,
  shape: readonly number[],
  f: (x: number, y: number) => number,
): Float64Array {
  const out = new Float64Array(shape.reduce((n, d) => n * d, 1));
  const index = (t: ConstTensor): ((point: readonly number[]) => number) => {
    const lead = shape.length - t.shape.length;
    return (p) => t.shape.reduce((i, n, d) => i * n + (n === 1 ? 0 : p[lead + d]!), 0);
  };
  const [ia, ib] = [index(a), index(b)];
  const p = shape.map(() => 0);
  for (let i = 0; i < out.length; i++) {
    out[i] = f(a.data[ia(p)]!, b.data[ib(p)]!);
    for (let d = p.length - 1; d >= 0 && ++p[d]! === shape[d]; d--) p[d] = 0;
  }
  return out;
}

export function needBroadcast(ctx: NodeContext, a: readonly number[], b: readonly number[]): number[] {
  const shape = broadcastShapes(a, b);
  if (shape === undefined) throw ctx.error(`shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast`);
  ctx.checkSize(shape);
  return shape;
}

export function scalarOf(ctx: NodeContext, value: number, what: string): Value {
  return ctx.fromConstant({ shape: [], data: Float64Array.of(value), integer: false }, `${ctx.name}_${what}`);
}

/** x < 0 ? a : b. */
export function selectNegative(ctx: NodeContext, x: Value, a: Value, b: Value): Value {
  const shape = broadcastShapes(broadcastShapes(shapeOf(x), shapeOf(a)) ?? [], shapeOf(b)) ?? [];
  return ctx.emit("nn.select_neg", [x, a, b], shape);
}

/** An operation on two values, with broadcasting. */
export function pair(ctx: NodeContext, name: string, a: Value, b: Value): Value {
  return ctx.emit(name, [a, b], needBroadcast(ctx, shapeOf(a), shapeOf(b)));
}

/** v * factor + offset. */
export function affine(ctx: NodeContext, v: Value, factor: number, offset: number, what: string): Value {
  const scaled = factor === 1 ? v : ctx.emit("nn.mul", [v, scalarOf(ctx, factor, `${what}_factor`)], shapeOf(v));
  return offset === 0 ? scaled : ctx.emit("nn.add", [scaled, scalarOf(ctx, offset, `${what}_offset`)], shapeOf(v));
}
