/** Arithmetic and activations. */
import type { Value } from "../../ir/core.js";
import { erf } from "../../ir/nn/erf.js";
import { broadcastShapes, known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { mapConstants } from "./broadcast.js";
import { reshape } from "./build.js";
import { isIntegerType, quotient, truncated } from "./rounding.js";

function binary(
  ctx: NodeContext,
  i: number,
  j: number,
  name: string,
  f: (x: number, y: number) => number,
): Value | Imported {
  const shape = broadcastShapes(ctx.shape(i), ctx.shape(j));
  if (shape === undefined)
    throw ctx.error(`shapes [${ctx.shape(i).join(", ")}] and [${ctx.shape(j).join(", ")}] do not broadcast`);
  const [a, b] = [ctx.constant(i), ctx.constant(j)];
  if (a !== undefined && b !== undefined) {
    ctx.checkSize(shape);
    const integer = a.integer && b.integer;
    return known(
      shape,
      mapConstants(a, b, shape, integer && name === "nn.div" ? (x, y) => Math.trunc(x / y) : f),
      integer,
    );
  }
  // Integer quotients drop their fraction, which numbers here do not.
  if (name === "nn.div" && [i, j].some((k) => isIntegerType(ctx.elementType(k))))
    return truncated(ctx, quotient(ctx, i, j, shape));
  if (name === "nn.max" || name === "nn.min") return extreme(ctx, i, j, name, shape);
  const operand = (k: number): Value => (name === "nn.add" ? ctx.masking(k) : ctx.value(k));
  return ctx.emit(name, [operand(i), operand(j)], shape);
}

/** Maximum or minimum; infinite bounds bound nothing. */
function extreme(
  ctx: NodeContext,
  i: number,
  j: number,
  name: "nn.max" | "nn.min",
  shape: readonly number[],
): Value | Imported {
  const none = name === "nn.max" ? -Infinity : Infinity;
  const [k, other] = ctx.constant(i) !== undefined ? [i, j] : [j, i];
  const c = ctx.constant(k);
  if (c === undefined || c.integer) return ctx.emit(name, [ctx.value(i), ctx.value(j)], shape);
  if (c.data.every((v) => v === none)) {
    const x = ctx.value(other);
    return shapeOf(x).join() === shape.join()
      ? ctx.input(other)
      : ctx.emit("nn.broadcast", [x], shape, { shape: [...shape] });
  }
  const bound = c.data.includes(none) ? ctx.masking(k) : ctx.value(k);
  return ctx.emit(name, k === i ? [bound, ctx.value(other)] : [ctx.value(other), bound], shape);
}

function arithmetic(opType: string, name: string, f: (x: number, y: number) => number): OperatorImporter {
  return {
    opType,
    import: (ctx) => {
      if (ctx.opset < 7 && ctx.int("broadcast", 0) !== 0) return legacyBroadcast(ctx, name, f);
      if (ctx.inputCount === 1) return ctx.input(0);
      if (ctx.inputCount === 2) return binary(ctx, 0, 1, name, f);
      let acc = ctx.value(0);
      for (let i = 1; i < ctx.inputCount; i++) {
        const shape = broadcastShapes(shapeOf(acc), ctx.shape(i));
        if (shape === undefined) throw ctx.error("its inputs do not broadcast");
        acc = ctx.emit(name, [acc, ctx.value(i)], shape);
      }
      return acc;
    },
  };
}

/** Before opset 7 the second operand was placed at an axis of the first, at the end by default. */
function legacyBroadcast(ctx: NodeContext, name: string, f: (x: number, y: number) => number): Value | Imported {
  const [a, b] = [ctx.shape(0), ctx.shape(1)];
  const axis = ctx.int("axis", a.length - b.length);
  if (axis === a.length - b.length) return binary(ctx, 0, 1, name, f);
  const c = ctx.needConstant(1, "an operand placed at an axis");
  const shape = [...b, ...new Array<number>(Math.max(0, a.length - axis - b.length)).fill(1)];
  if (broadcastShapes(a, shape)?.join() !== a.join())
    throw ctx.error(`shapes [${a.join(", ")}] and [${b.join(", ")}] at axis ${axis} do not broadcast`);
  return ctx.emit(name, [ctx.value(0), ctx.fromConstant({ ...c, shape }, ctx.node.input[1])], a);
}

/** One operand, same shape; constants are folded. */
function unary(
  opType: string,
  f: (x: number) => number,
  build: (ctx: NodeContext, x: Value) => Value,
): OperatorImporter {
  return {
    opType,
    import: (ctx) => {
      const c = ctx.constant(0);
      return c === undefined ? build(ctx, ctx.value(0)) : known(c.shape, c.data.map(f), c.integer);
    },
  };
}
function table(opType: string, fn: string, f: (x: number) => number): OperatorImporter {
  return unary(opType, f, (ctx, x) => ctx.emit("nn.unary", [x], shapeOf(x), { fn }));
}
function simple(opType: string, name: string, f: (x: number) => number): OperatorImporter {
  return unary(opType, f, (ctx, x) => ctx.emit(name, [x], shapeOf(x)));
}

const leakyRelu: OperatorImporter = {
  opType: "LeakyRelu",
  import: (ctx) => ctx.emit("nn.leaky_relu", [ctx.value(0)], ctx.shape(0), { slope: ctx.float("alpha", 0.01) }),
};

/** Clip to scalars of which the network computes one at least, such as decibels below the loudest. */
function computedBounds(ctx: NodeContext): Value {
  let x = ctx.value(0);
  for (const [i, name] of [
    [1, "nn.max"],
    [2, "nn.min"],
  ] as const) {
    if (!ctx.has(i)) continue;
    if (ctx.shape(i).some((d) => d !== 1))
      throw ctx.error(`its bound of shape [${ctx.shape(i).join(", ")}] is no scalar`);
    const c = ctx.constant(i)?.data[0];
    if (c === undefined || Math.abs(c) < 3.4028e38) x = ctx.emit(name, [x, reshape(ctx, ctx.value(i), [])], shapeOf(x));
  }
  return x;
}

const clip: OperatorImporter = {
  opType: "Clip",
  import: (ctx) => {
    if ([1, 2].some((i) => ctx.has(i) && ctx.constant(i) === undefined)) return computedBounds(ctx);
    const bound = (name: string, i: number, fallback: number): number =>
      ctx.has(i) ? (ctx.needConstant(i, `the bound ${name}`).data[0] ?? fallback) : ctx.float(name, fallback);
    const [lo, hi] = [bound("min", 1, -Infinity), bound("max", 2, Infinity)];
    const c = ctx.constant(0);
    if (c !== undefined)
      return known(
        c.shape,
        c.data.map((v) => Math.min(hi, Math.max(lo, v))),
        c.integer,
      );
    // Float32's largest magnitude stands for no bound in older exports.
    const open = (v: number): number => (Math.abs(v) >= 3.4028e38 ? Math.sign(v) * Infinity : v);
    if (open(lo) === -Infinity && open(hi) === Infinity) return ctx.input(0);
    return ctx.emit("nn.clip", [ctx.value(0)], ctx.shape(0), { lo: Math.min(open(lo), open(hi)), hi: open(hi) });
  },
};

const softmax: OperatorImporter = {
  opType: "Softmax",
  import: (ctx) => {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.int("axis", ctx.opset < 13 ? 1 : -1), shape.length);
    if (ctx.opset >= 13 || shape.slice(axis + 1).every((n) => n === 1))
      return ctx.emit("nn.softmax", [ctx.value(0)], shape, { axis });
    // Before opset 13 all dimensions from the axis on were taken together.
    const flat = [shape.slice(0, axis).reduce((n, d) => n * d, 1), shape.slice(axis).reduce((n, d) => n * d, 1)];
    const y = ctx.emit("nn.softmax", [ctx.emit("nn.reshape", [ctx.value(0)], flat, { shape: flat })], flat, {
      axis: 1,
    });
    return ctx.emit("nn.reshape", [y], shape, { shape: [...shape] });
  },
};

/** Results that are the input: at inference nothing is dropped, and all numbers are real numbers to us. */
const identity: OperatorImporter = { opType: "Identity", import: (ctx) => ctx.input(0) };
const dropout: OperatorImporter = {
  opType: "Dropout",
  limits: "inference only; the mask output is not available",
  ignores: { ratio: "at inference nothing is dropped", seed: "at inference nothing is dropped" },
  import: (ctx) => {
    // Before opset 7 an attribute said so, and training was what held without it.
    if (ctx.opset < 7 && ctx.int("is_test", 0) === 0)
      throw ctx.error("training mode is on (is_test is 0)", "export the model in evaluation mode");
    if (ctx.has(2) && ctx.needConstant(2, "training_mode").data[0] !== 0 && (ctx.constant(1)?.data[0] ?? 0.5) !== 0)
      throw ctx.error("training mode is on", "export the model in evaluation mode");
    return [ctx.input(0), known(ctx.shape(0), new Float64Array(ctx.shape(0).reduce((n, d) => n * d, 1)).fill(1), true)];
  },
};
/** The sum divided by the number of operands. */
const mean: OperatorImporter = {
  opType: "Mean",
  import: (ctx) => {
    const sum = ctx.delegate(
      "Sum",
      Array.from({ length: ctx.inputCount }, (_, i) => ctx.input(i)),
    );
    const v = "kind" in (sum as object) && (sum as Imported).kind === "const" ? (sum as Imported) : (sum as Value);
    if ("kind" in v && v.kind === "const")
      return known(
        v.tensor.shape,
        v.tensor.data.map((x) => x / ctx.inputCount),
        false,
      );
    const x = "kind" in v && v.kind === "value" ? v.value : (v as Value);
    return ctx.emit(
      "nn.mul",
      [
        x,
        ctx.fromConstant({ shape: [], data: Float64Array.of(1 / ctx.inputCount), integer: false }, `${ctx.name}_share`),
      ],
      shapeOf(x),
    );
  },
};

export const elementwiseOperators: readonly OperatorImporter[] = [
  arithmetic("Sum", "nn.add", (a, b) => a + b),
  mean,
  arithmetic("Add", "nn.add", (a, b) => a + b),
  arithmetic("Sub", "nn.sub", (a, b) => a - b),
  arithmetic("Mul", "nn.mul", (a, b) => a * b),
  arithmetic("Div", "nn.div", (a, b) => a / b),
  arithmetic("Max", "nn.max", Math.max),
  arithmetic("Min", "nn.min", Math.min),
  simple("Relu", "nn.relu", (x) => Math.max(0, x)),
  simple("Neg", "nn.neg", (x) => -x),
  simple("Abs", "nn.abs", Math.abs),
  table("Sigmoid", "sigmoid", (x) => 1 / (1 + Math.exp(-x))),
  table("Tanh", "tanh", Math.tanh),
  table("Exp", "exp", Math.exp),
  table("Log", "log", Math.log),
  table("Sqrt", "sqrt", Math.sqrt),
  table("Reciprocal", "reciprocal", (x) => 1 / x),
  table("Erf", "erf", erf),
  leakyRelu,
  clip,
  softmax,
  identity,
  dropout,
];
