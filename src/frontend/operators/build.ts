/**
 * Small steps that importers of composed operators build from: nn operations by shape, and ONNX's own operators by
 * name.
 */
import type { Value } from "../../ir/core.js";
import { broadcastShapes, known, shapeOf, type Imported, type NodeContext, type ReadAs } from "../context.js";

/** The operator set in which composed operators are spelled, whatever the node's own domain and version. */
const SPELLED = 22;

export function imported(v: Value | Imported): Imported {
  return "kind" in v && (v.kind === "const" || v.kind === "value")
    ? (v as Imported)
    : { kind: "value", value: v as Value };
}
export function valueOf(ctx: NodeContext, v: Value | Imported, what = "constant"): Value {
  const i = imported(v);
  return i.kind === "value" ? i.value : ctx.fromConstant(i.tensor, `${ctx.name}_${what}`);
}
export function shapeOfImported(v: Imported): readonly number[] {
  return v.kind === "const" ? v.tensor.shape : shapeOf(v.value);
}
export function maybe(ctx: NodeContext, i: number): Imported | undefined {
  return ctx.has(i) ? ctx.input(i) : undefined;
}

/** All results of an ONNX operator on tensors of this node. What is constant is folded where the operator folds it. */
export function applyAll(
  ctx: NodeContext,
  opType: string,
  inputs: readonly (Value | Imported | undefined)[],
  attributes: NonNullable<ReadAs["attributes"]> = {},
  as: ReadAs = {},
): Imported[] {
  const results = ctx.delegate(
    opType,
    inputs.map((v) => (v === undefined ? undefined : imported(v))),
    { opset: SPELLED, readers: [], ...as, attributes },
  );
  return (Array.isArray(results) ? (results as readonly (Value | Imported)[]) : [results as Value | Imported]).map(
    imported,
  );
}
/** The first result. */
export function apply(
  ctx: NodeContext,
  opType: string,
  inputs: readonly (Value | Imported | undefined)[],
  attributes: NonNullable<ReadAs["attributes"]> = {},
  as: ReadAs = {},
): Imported {
  return applyAll(ctx, opType, inputs, attributes, as)[0]!;
}

export function number(v: number): Imported {
  return known([], [v], false);
}
export function integers(...v: readonly number[]): Imported {
  return known([v.length], v, true);
}
export function scalar(ctx: NodeContext, v: number, what: string): Value {
  return ctx.fromConstant({ shape: [], data: Float64Array.of(v), integer: false }, `${ctx.name}_${what}`);
}

function binary(ctx: NodeContext, name: string, a: Value, b: Value): Value {
  const shape = broadcastShapes(shapeOf(a), shapeOf(b));
  if (shape === undefined)
    throw ctx.error(`shapes [${shapeOf(a).join(", ")}] and [${shapeOf(b).join(", ")}] do not broadcast`);
  return ctx.emit(name, [a, b], shape);
}
export function add(ctx: NodeContext, a: Value, b: Value): Value {
  return binary(ctx, "nn.add", a, b);
}
export function sub(ctx: NodeContext, a: Value, b: Value): Value {
  return binary(ctx, "nn.sub", a, b);
}
export function mul(ctx: NodeContext, a: Value, b: Value): Value {
  return binary(ctx, "nn.mul", a, b);
}
/** x times a number; x itself where that is 1. */
export function scale(ctx: NodeContext, x: Value, by: number, what: string): Value {
  return by === 1 ? x : mul(ctx, x, scalar(ctx, by, what));
}
export function table(ctx: NodeContext, x: Value, fn: string): Value {
  return ctx.emit("nn.unary", [x], shapeOf(x), { fn });
}

export function reshape(ctx: NodeContext, x: Value, shape: readonly number[]): Value {
  const [from, to] = [shapeOf(x), shape].map((s) => s.reduce((n, d) => n * d, 1));
  if (from !== to) throw ctx.error(`[${shapeOf(x).join(", ")}] has ${from} elements, [${shape.join(", ")}] has ${to}`);
  return shapeOf(x).join() === shape.join() ? x : ctx.emit("nn.reshape", [x], shape, { shape: [...shape] });
}
export function transpose(ctx: NodeContext, x: Value, perm: readonly number[]): Value {
  return perm.every((p, i) => p === i)
    ? x
    : ctx.emit(
        "nn.transpose",
        [x],
        perm.map((p) => shapeOf(x)[p]!),
        { perm: [...perm] },
      );
}
export function reduce(ctx: NodeContext, x: Value, kind: string, axes: readonly number[], keepdims: boolean): Value {
  const s = shapeOf(x);
  if (axes.length === 0) return x;
  return ctx.emit(
    "nn.reduce",
    [x],
    keepdims ? s.map((n, d) => (axes.includes(d) ? 1 : n)) : s.filter((_, d) => !axes.includes(d)),
    { kind, axes: [...axes], keepdims },
  );
}
/** `count` elements along `axis` from `start`, every `step`-th. */
export function part(ctx: NodeContext, x: Value, axis: number, start: number, count: number, step = 1): Value {
  if (start === 0 && step === 1 && count === shapeOf(x)[axis]) return x;
  const shape = shapeOf(x).map((n, d) => (d === axis ? count : n));
  return ctx.emit("nn.slice", [x], shape, {
    shape: [...shape],
    starts: shape.map((_, d) => (d === axis ? start : 0)),
    steps: shape.map((_, d) => (d === axis ? step : 1)),
  });
}
export function join(ctx: NodeContext, parts: readonly Value[], axis: number): Value {
  if (parts.length === 1) return parts[0]!;
  const shape = shapeOf(parts[0]!).map((n, d) => (d === axis ? parts.reduce((t, p) => t + shapeOf(p)[axis]!, 0) : n));
  return ctx.emit("nn.concat", parts, shape, { axis });
}
/** A product of matrices in the last two dimensions; those before them broadcast. */
export function matmul(ctx: NodeContext, a: Value, b: Value): Value {
  const [x, y] = [shapeOf(a), shapeOf(b)];
  const batch = broadcastShapes(x.slice(0, -2), y.slice(0, -2));
  if (batch === undefined || x[x.length - 1] !== y[y.length - 2])
    throw ctx.error(`shapes [${x.join(", ")}] and [${y.join(", ")}] cannot be multiplied as matrices`);
  return ctx.emit("nn.matmul", [a, b], [...batch, x[x.length - 2]!, y[y.length - 1]!]);
}
