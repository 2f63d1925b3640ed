/** Activations that are one table, and those that split into simpler operations. */
import type { Value } from "../../ir/core.js";
import { unaryFunction } from "../../ir/nn/unary-table.js";
import { broadcastShapes, known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { affine, selectNegative } from "./broadcast.js";

function scalar(ctx: NodeContext, value: number, what: string): Value {
  return ctx.fromConstant({ shape: [], data: Float64Array.of(value), integer: false }, `${ctx.name}_${what}`);
}

function table(ctx: NodeContext, fn: string): Value | Imported {
  const c = ctx.constant(0);
  return c === undefined
    ? ctx.emit("nn.unary", [ctx.value(0)], ctx.shape(0), { fn })
    : known(c.shape, c.data.map(unaryFunction(fn)!), false);
}

function plain(opType: string, fn: string): OperatorImporter {
  return { opType, import: (ctx) => table(ctx, fn) };
}

/** max(x, 0) + f(min(x, 0)), for functions with f(0) = 0. */
function aboveAndBelow(ctx: NodeContext, below: (x: Value) => Value): Value {
  const x = ctx.value(0);
  const shape = shapeOf(x);
  const negative = ctx.emit("nn.clip", [x], shape, { lo: -Infinity, hi: 0 });
  return ctx.emit("nn.add", [ctx.emit("nn.relu", [x], shape), below(negative)], shape);
}

const elu: OperatorImporter = {
  opType: "Elu",
  import: (ctx) => {
    const alpha = ctx.float("alpha", 1);
    if (alpha === 1) return table(ctx, "elu");
    return aboveAndBelow(ctx, (x) =>
      ctx.emit(
        "nn.mul",
        [ctx.emit("nn.unary", [x], shapeOf(x), { fn: "elu" }), scalar(ctx, alpha, "alpha")],
        shapeOf(x),
      ),
    );
  },
};

/** max(x, 0) + alpha (exp(min(x, 0) / alpha) - 1). */
const celu: OperatorImporter = {
  opType: "Celu",
  import: (ctx) => {
    const alpha = ctx.float("alpha", 1);
    if (alpha === 1) return table(ctx, "elu");
    if (!(alpha > 0)) throw ctx.error(`alpha is ${alpha}`);
    return aboveAndBelow(ctx, (x) => {
      const scaled = ctx.emit("nn.mul", [x, scalar(ctx, 1 / alpha, "inverse_alpha")], shapeOf(x));
      return ctx.emit(
        "nn.mul",
        [ctx.emit("nn.unary", [scaled], shapeOf(x), { fn: "elu" }), scalar(ctx, alpha, "alpha")],
        shapeOf(x),
      );
    });
  },
};

/** gamma (max(x, 0) + alpha (exp(min(x, 0)) - 1)); the standard one is a table of its own. */
const selu: OperatorImporter = {
  opType: "Selu",
  import: (ctx) => {
    // Written out to float32 by exporters.
    const [alpha, gamma] = [ctx.float("alpha", 1.6732632), ctx.float("gamma", 1.050701)];
    if (Math.abs(alpha - 1.6732632) < 1e-6 && Math.abs(gamma - 1.050701) < 1e-6) return table(ctx, "selu");
    const y = aboveAndBelow(ctx, (x) =>
      ctx.emit(
        "nn.mul",
        [ctx.emit("nn.unary", [x], shapeOf(x), { fn: "elu" }), scalar(ctx, alpha, "alpha")],
        shapeOf(x),
      ),
    );
    return ctx.emit("nn.mul", [y, scalar(ctx, gamma, "gamma")], shapeOf(y));
  },
};

/** x - max - log(sum(exp(x - max))). */
const logSoftmax: OperatorImporter = {
  opType: "LogSoftmax",
  import: (ctx) => {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.int("axis", ctx.opset < 13 ? 1 : -1), shape.length);
    const flat =
      ctx.opset < 13
        ? [shape.slice(0, axis).reduce((n, d) => n * d, 1), shape.slice(axis).reduce((n, d) => n * d, 1)]
        : shape;
    const along = ctx.opset < 13 ? 1 : axis;
    const x = flat === shape ? ctx.value(0) : ctx.emit("nn.reshape", [ctx.value(0)], flat, { shape: [...flat] });
    const row = flat.map((n, d) => (d === along ? 1 : n));
    const fold = (v: Value, kind: string): Value =>
      ctx.emit("nn.reduce", [v], row, { kind, axes: [along], keepdims: true });
    const shifted = ctx.emit("nn.sub", [x, fold(x, "max")], flat);
    const sum = fold(ctx.emit("nn.unary", [shifted], flat, { fn: "exp" }), "sum");
    const y = ctx.emit("nn.sub", [shifted, ctx.emit("nn.unary", [sum], row, { fn: "log" })], flat);
    return flat === shape ? y : ctx.emit("nn.reshape", [y], shape, { shape: [...shape] });
  },
};

/** x where it is above alpha, otherwise 0. */
const thresholdedRelu: OperatorImporter = {
  opType: "ThresholdedRelu",
  import: (ctx) => {
    const x = ctx.value(0);
    const above = ctx.emit("nn.sub", [scalar(ctx, ctx.float("alpha", 1), "alpha"), x], shapeOf(x));
    return ctx.emit("nn.select_neg", [above, x, scalar(ctx, 0, "zero")], shapeOf(x));
  },
};

/** x sigmoid(alpha x). */
const swish: OperatorImporter = {
  opType: "Swish",
  since: 24,
  import: (ctx) => {
    const x = ctx.value(0);
    const alpha = ctx.float("alpha", 1);
    const scaled = alpha === 1 ? x : ctx.emit("nn.mul", [x, scalar(ctx, alpha, "alpha")], shapeOf(x));
    return ctx.emit("nn.mul", [x, ctx.emit("nn.unary", [scaled], shapeOf(x), { fn: "sigmoid" })], shapeOf(x));
  },
};

const gelu: OperatorImporter = {
  opType: "Gelu",
  import: (ctx) => {
    const approximate = ctx.string("approximate", "none");
    if (approximate !== "none" && approximate !== "tanh")
      throw ctx.error(`approximate "${approximate}" is not defined`);
    return table(ctx, approximate === "none" ? "gelu" : "gelu_tanh");
  },
};

const hardSigmoid: OperatorImporter = {
  opType: "HardSigmoid",
  import: (ctx) => {
    const x = ctx.value(0);
    const scaled = ctx.emit("nn.mul", [x, scalar(ctx, ctx.float("alpha", 0.2), "alpha")], shapeOf(x));
    return ctx.emit(
      "nn.clip",
      [ctx.emit("nn.add", [scaled, scalar(ctx, ctx.float("beta", 0.5), "beta")], shapeOf(x))],
      shapeOf(x),
      { lo: 0, hi: 1 },
    );
  },
};

const prelu: OperatorImporter = {
  opType: "PRelu",
  limits: "constant slopes",
  import: (ctx) => {
    const given = ctx.needWeight(1, "the slope");
    // Before opset 7 a list of slopes was one per channel.
    const slope =
      ctx.opset < 7 && given.shape.length === 1 && given.data.length > 1
        ? {
            ...given,
            shape: [
              given.data.length,
              ...ctx
                .shape(0)
                .slice(2)
                .map(() => 1),
            ],
          }
        : given;
    if (broadcastShapes(ctx.shape(0), slope.shape)?.join() !== ctx.shape(0).join())
      throw ctx.error(`slopes of shape [${slope.shape.join(", ")}] do not broadcast to [${ctx.shape(0).join(", ")}]`);
    if (slope.data.length === 1)
      return ctx.emit("nn.leaky_relu", [ctx.value(0)], ctx.shape(0), { slope: slope.data[0]! });
    return aboveAndBelow(ctx, (x) => ctx.emit("nn.mul", [x, ctx.fromConstant(slope, ctx.node.input[1])], shapeOf(x)));
  },
};

/** x + bias below -lambd, x - bias above lambd, 0 between. */
const shrink: OperatorImporter = {
  opType: "Shrink",
  import: (ctx) => {
    const [lambda, bias] = [ctx.float("lambd", 0.5), ctx.float("bias", 0)];
    const c = ctx.constant(0);
    if (c !== undefined)
      return known(
        c.shape,
        c.data.map((v) => (v < -lambda ? v + bias : v > lambda ? v - bias : 0)),
        c.integer,
      );
    const x = ctx.value(0);
    const above = selectNegative(
      ctx,
      affine(ctx, x, -1, lambda, "above"),
      affine(ctx, x, 1, -bias, "upper"),
      scalar(ctx, 0, "zero"),
    );
    return selectNegative(ctx, affine(ctx, x, 1, lambda, "below"), affine(ctx, x, 1, bias, "lower"), above);
  },
};

export const activationOperators: readonly OperatorImporter[] = [
  plain("Softplus", "softplus"),
  plain("Softsign", "softsign"),
  plain("Mish", "mish"),
  plain("HardSwish", "hard_swish"),
  elu,
  celu,
  selu,
  gelu,
  hardSigmoid,
  prelu,
  logSoftmax,
  thresholdedRelu,
  swish,
  shrink,
];
