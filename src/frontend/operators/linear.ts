/** Conv, Gemm, MatMul, BatchNormalization. */
import type { Value } from "../../ir/core.js";
import { broadcastShapes, shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";
import { add, mul, reshape, scalar, sub, table } from "./build.js";
import { windowOf } from "./window.js";

const conv: OperatorImporter = {
  opType: "Conv",
  limits: "1-D, 2-D and 3-D",
  import: (ctx) => {
    const x = ctx.value(0);
    const w = ctx.needWeight(1, "the weight");
    const [xs, ws] = [shapeOf(x), w.shape];
    const spatial = xs.length - 2;
    if (spatial < 1 || spatial > 3)
      throw ctx.error(`a convolution of rank ${xs.length} is not supported`, "use 1-D, 2-D or 3-D convolutions");
    if (ws.length !== xs.length) throw ctx.error(`its weight has rank ${ws.length}, its input rank ${xs.length}`);
    const group = ctx.int("group", 1);
    if (group < 1) throw ctx.error(`group is ${group}`);
    if (xs[1]! % group !== 0 || ws[0]! % group !== 0)
      throw ctx.error(`group ${group} does not divide ${xs[1]} input and ${ws[0]} output channels`);
    if (xs[1] !== ws[1]! * group)
      throw ctx.error(`its input has ${xs[1]} channels, its weight takes ${ws[1]! * group}`);
    const kernel = ctx.ints("kernel_shape");
    if (kernel !== undefined && kernel.join() !== ws.slice(2).join())
      throw ctx.error(`kernel_shape [${kernel.join(", ")}] contradicts the weight's [${ws.slice(2).join(", ")}]`);
    const { strides, pads, dilations, out } = windowOf(ctx, xs.slice(2), ws.slice(2));
    const operands: Value[] = [x, ctx.value(1)];
    if (ctx.has(2)) {
      if (ctx.shape(2).length !== 1 || ctx.shape(2)[0] !== ws[0])
        throw ctx.error(`its bias has the shape [${ctx.shape(2).join(", ")}] for ${ws[0]} channels`);
      operands.push(ctx.value(2));
    }
    return ctx.emit("nn.conv", operands, [xs[0]!, ws[0]!, ...out], { strides, pads, dilations, group });
  },
};

/** The result shape of a matrix product, numpy rules. */
function productShape(ctx: NodeContext, a: readonly number[], b: readonly number[]): number[] {
  const x = a.length === 1 ? [1, ...a] : a;
  const y = b.length === 1 ? [...b, 1] : b;
  if (x.length < 2 || y.length < 2) throw ctx.error("a scalar cannot be multiplied as a matrix");
  if (x[x.length - 1] !== y[y.length - 2])
    throw ctx.error(`inner dimensions ${x[x.length - 1]} and ${y[y.length - 2]} differ`);
  const batch = broadcastShapes(x.slice(0, -2), y.slice(0, -2));
  if (batch === undefined) throw ctx.error(`shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast`);
  return [...batch, ...(a.length === 1 ? [] : [x[x.length - 2]!]), ...(b.length === 1 ? [] : [y[y.length - 1]!])];
}

const matmul: OperatorImporter = {
  opType: "MatMul",
  import: (ctx) => ctx.emit("nn.matmul", [ctx.value(0), ctx.value(1)], productShape(ctx, ctx.shape(0), ctx.shape(1))),
};

const gemm: OperatorImporter = {
  opType: "Gemm",
  limits: "alpha and beta other than 1 need constant operands",
  ignores: { broadcast: "before opset 7; the shapes of result and bias say whether there is something to broadcast" },
  import: (ctx) => {
    if (ctx.shape(0).length !== 2 || ctx.shape(1).length !== 2)
      throw ctx.error(`its operands have rank ${ctx.shape(0).length} and ${ctx.shape(1).length} instead of 2`);
    const side = (i: number, flip: boolean, scale: number): Value => {
      const c = ctx.constant(i);
      if (c !== undefined) ctx.needWeight(i, "an operand");
      if (c !== undefined) return ctx.fromConstant(scaled(flip ? transposed(c) : c, scale), ctx.node.input[i]);
      if (scale !== 1) throw ctx.error(`a factor of ${scale} on a computed operand is not supported`);
      const v = ctx.value(i);
      const s = shapeOf(v);
      return flip ? ctx.emit("nn.transpose", [v], [s[1]!, s[0]!], { perm: [1, 0] }) : v;
    };
    const alpha = ctx.float("alpha", 1);
    const onB = ctx.constant(1) !== undefined;
    const a = side(0, ctx.int("transA", 0) !== 0, onB ? 1 : alpha);
    const b = side(1, ctx.int("transB", 0) !== 0, onB ? alpha : 1);
    const shape = productShape(ctx, shapeOf(a), shapeOf(b));
    const y = ctx.emit("nn.matmul", [a, b], shape);
    const beta = ctx.float("beta", 1);
    if (!ctx.has(2) || beta === 0) return y;
    if (broadcastShapes(ctx.shape(2), shape)?.join() !== shape.join())
      throw ctx.error(`its bias of shape [${ctx.shape(2).join(", ")}] does not broadcast to [${shape.join(", ")}]`);
    return ctx.emit("nn.add", [y, side(2, false, beta)], shape);
  },
};

function transposed(c: ConstTensor): ConstTensor {
  const [rows, cols] = c.shape as [number, number];
  return { ...c, shape: [cols, rows], data: c.data.map((_, i) => c.data[(i % rows) * cols + Math.floor(i / rows)]!) };
}
function scaled(c: ConstTensor, by: number): ConstTensor {
  return by === 1 ? c : { ...c, data: c.data.map((v) => v * by) };
}

/** Statistics, scale or bias that the network computes: TensorFlow's layer normalization is written so. */
function computedStatistics(ctx: NodeContext, x: Value, channels: number): Value {
  const column = [
    channels,
    ...shapeOf(x)
      .slice(2)
      .map(() => 1),
  ];
  const [gamma, beta, mean, variance] = ["scale", "bias", "mean", "variance"].map((what, i) => {
    const v = ctx.value(i + 1);
    if (ctx.shape(i + 1).length !== 1 || ctx.shape(i + 1)[0] !== channels)
      throw ctx.error(`its ${what} has the shape [${ctx.shape(i + 1).join(", ")}] for ${channels} channels`);
    return reshape(ctx, v, column);
  }) as [Value, Value, Value, Value];
  const root = table(ctx, add(ctx, variance, scalar(ctx, ctx.float("epsilon", 1e-5), "epsilon")), "sqrt");
  const normal = ctx.emit("nn.div", [sub(ctx, x, mean), root], shapeOf(x));
  return add(ctx, mul(ctx, normal, gamma), beta);
}

const batchNormalization: OperatorImporter = {
  opType: "BatchNormalization",
  limits: "inference; becomes a multiplication and an addition, which later fold into the layer before",
  ignores: { momentum: "only for training" },
  import: (ctx) => {
    if (ctx.int("training_mode", 0) !== 0 || (ctx.opset < 7 && ctx.int("is_test", 0) === 0))
      throw ctx.error("training mode is on", "export the model in evaluation mode");
    const x = ctx.value(0);
    const s = shapeOf(x);
    const channels = s[1] ?? 1;
    if ([1, 2, 3, 4].some((i) => ctx.constant(i) === undefined)) return computedStatistics(ctx, x, channels);
    const parameter = (i: number, what: string): Float64Array => {
      const c = ctx.needWeight(i, what);
      if (c.data.length !== channels)
        throw ctx.error(`its ${what} has ${c.data.length} values for ${channels} channels`);
      return c.data;
    };
    const [gamma, beta, mean, variance] = [
      parameter(1, "scale"),
      parameter(2, "bias"),
      parameter(3, "mean"),
      parameter(4, "variance"),
    ];
    const epsilon = ctx.float("epsilon", 1e-5);
    const factor = gamma.map((g, i) => g / Math.sqrt(variance[i]! + epsilon));
    if (factor.some((f) => !Number.isFinite(f)))
      throw ctx.error("its variance plus epsilon is 0 or negative in some channel");
    const shape = [channels, ...s.slice(2).map(() => 1)];
    const scale = ctx.fromConstant({ shape, data: factor, integer: false }, `${ctx.name}_scale`);
    const shift = ctx.fromConstant(
      { shape, data: beta.map((b, i) => b - mean[i]! * factor[i]!), integer: false },
      `${ctx.name}_shift`,
    );
    return ctx.emit("nn.add", [ctx.emit("nn.mul", [x, scale], s), shift], s);
  },
};

export const linearOperators: readonly OperatorImporter[] = [conv, matmul, gemm, batchNormalization];
