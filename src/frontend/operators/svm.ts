/**
 * Support vector machines: SVMClassifier and SVMRegressor, as ONNX Runtime computes them
 * (core/providers/cpu/ml/svm*.cc).
 */
import type { Value } from "../../ir/core.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import { scalarOf, selectNegative } from "./broadcast.js";
import { positionOfExtreme } from "./choice.js";
import { linear, samplesOf } from "./linear-ml.js";
import {
  bestLabel,
  labelRemark,
  labelType,
  column,
  columns,
  labelAbove,
  labelsOf,
  perSample,
  postTransform,
  transformed,
  twoColumns,
} from "./scores.js";

const MAX_DEGREE = 4;

/**
 * sum over support vectors of coefficients times the kernel, plus rho: one column per row of `coefficients` (rows x
 * vectors).
 */
function kernelSums(
  ctx: NodeContext,
  x: Value,
  vectors: readonly number[],
  count: number,
  coefficients: readonly (readonly number[])[],
  rho: readonly number[],
): Value {
  const [n, features] = shapeOf(x) as [number, number];
  if (vectors.length !== count * features)
    throw ctx.error(`support_vectors has ${vectors.length} entries for ${count} vectors of ${features} features`);
  const type = ctx.string("kernel_type", "LINEAR");
  const [gamma, coef0, degree] = ctx.floats("kernel_params") ?? [];
  if (type === "LINEAR") {
    // The kernel is a product, so the support vectors can be added up before.
    const rows = coefficients.flatMap((c) =>
      Array.from({ length: features }, (_, f) => c.reduce((s, v, k) => s + v * vectors[k * features + f]!, 0)),
    );
    return linear(ctx, x, rows, coefficients.length, rho);
  }
  if (gamma === undefined || coef0 === undefined || degree === undefined)
    throw ctx.error("kernel_params does not hold gamma, coef0 and degree");
  const shape = [n, count];
  let k: Value;
  if (type === "RBF") {
    // |x - v|^2 = |x|^2 - 2 x v + |v|^2, times -gamma.
    const squares = ctx.emit("nn.reduce", [ctx.emit("nn.mul", [x, x], [n, features])], [n, 1], {
      kind: "sum",
      axes: [1],
      keepdims: true,
    });
    const lengths = Array.from(
      { length: count },
      (_, i) => -gamma * vectors.slice(i * features, (i + 1) * features).reduce((s, v) => s + v * v, 0),
    );
    const products = linear(
      ctx,
      x,
      vectors.map((v) => 2 * gamma * v),
      count,
      lengths,
    );
    const scaled = ctx.emit("nn.mul", [squares, scalarOf(ctx, gamma, "gamma")], [n, 1]);
    k = ctx.emit("nn.unary", [ctx.emit("nn.sub", [products, scaled], shape)], shape, { fn: "exp" });
  } else {
    const z = linear(
      ctx,
      x,
      vectors.map((v) => gamma * v),
      count,
      new Array<number>(count).fill(coef0),
    );
    if (type === "SIGMOID") k = ctx.emit("nn.unary", [z], shape, { fn: "tanh" });
    else if (type === "POLY") {
      if (!Number.isInteger(degree) || degree < 1 || degree > MAX_DEGREE)
        throw ctx.error(`the polynomial's degree is ${degree}`, `an integer up to ${MAX_DEGREE}`);
      k = z;
      for (let d = 1; d < degree; d++) k = ctx.emit("nn.mul", [k, z], shape);
    } else throw ctx.error(`kernel_type is ${type}`, "it is one of LINEAR, POLY, RBF, SIGMOID");
  }
  return linear(ctx, k, coefficients.flat(), coefficients.length, rho);
}

function noProbit(ctx: NodeContext): void {
  if (ctx.string("post_transform", "NONE") !== "NONE")
    throw ctx.error(
      `post_transform ${ctx.string("post_transform", "NONE")} of a support vector machine is not supported`,
      "export with NONE",
    );
}

const regressor: OperatorImporter = {
  opType: "ai.onnx.ml::SVMRegressor",
  limits: "post_transform NONE; polynomial kernels up to degree 4",
  resultType: () => 1,
  import: (ctx) => {
    noProbit(ctx);
    const x = samplesOf(ctx);
    const [coefficients, rho] = [ctx.floats("coefficients") ?? [], ctx.floats("rho") ?? []];
    const count = ctx.int("n_supports", 0);
    if (rho.length < 1) throw ctx.error("it has no rho");
    const vectors = ctx.floats("support_vectors") ?? [];
    const kernel = ctx.string("kernel_type", "LINEAR");
    ctx.floats("kernel_params");
    if (count > 0 && coefficients.length !== count)
      throw ctx.error(`coefficients has ${coefficients.length} entries for ${count} support vectors`);
    if (count === 0 && kernel !== "LINEAR") throw ctx.error(`kernel_type ${kernel} without support vectors`);
    const y =
      count > 0
        ? kernelSums(ctx, x, vectors, count, [coefficients], [rho[0]!])
        : linear(ctx, x, coefficients, 1, [rho[0]!]);
    if (ctx.int("one_class", 0) === 0) return y;
    return selectNegative(
      ctx,
      ctx.emit("nn.neg", [y], shapeOf(y)),
      scalarOf(ctx, 1, "inside"),
      scalarOf(ctx, -1, "outside"),
    );
  },
};

const classifier: OperatorImporter = {
  opType: "ai.onnx.ml::SVMClassifier",
  limits:
    "post_transform NONE; probabilities of two classes only; polynomial kernels up to degree 4; labels that are strings leave as their position",
  resultType: labelType("classlabels_strings"),
  remark: labelRemark("classlabels_strings"),
  import: (ctx) => {
    const labels = labelsOf(ctx, "classlabels_ints", "classlabels_strings");
    const classes = labels.values.length;
    const x = samplesOf(ctx);
    const [coefficients, rho] = [ctx.floats("coefficients") ?? [], ctx.floats("rho") ?? []];
    const perClass = ctx.ints("vectors_per_class") ?? [];
    const vectors = ctx.floats("support_vectors") ?? [];
    const [a, b] = [ctx.floats("prob_a") ?? [], ctx.floats("prob_b") ?? []];
    ctx.floats("kernel_params");
    const count = perClass.reduce((s, v) => s + v, 0);
    if (count === 0) {
      const post = postTransform(ctx);
      if (classes === 2) throw ctx.error("two classes without support vectors", "export a LinearClassifier");
      if (ctx.string("kernel_type", "LINEAR") !== "LINEAR") throw ctx.error("a kernel without support vectors");
      const scores = linear(ctx, x, coefficients, classes, new Array<number>(classes).fill(rho[0] ?? 0));
      return [bestLabel(ctx, scores, labels), transformed(ctx, scores, post)];
    }
    noProbit(ctx);
    const pairs = Array.from({ length: classes }, (_, i) =>
      Array.from({ length: classes - 1 - i }, (__, k) => [i, i + 1 + k] as const),
    ).flat();
    if (perClass.length !== classes || classes < 2)
      throw ctx.error(`vectors_per_class has ${perClass.length} entries for ${classes} classes`);
    if (coefficients.length < (classes - 1) * count || rho.length < pairs.length)
      throw ctx.error("coefficients or rho are too few for the classes");
    if (a.length > 0 && classes > 2)
      throw ctx.error(
        "probabilities of more than two classes are found by iteration, which is not supported",
        "train with probability=False",
      );
    const start = perClass.map((_, c) => perClass.slice(0, c).reduce((s, v) => s + v, 0));
    const rows = pairs.map(([i, j]) => {
      const row = new Array<number>(count).fill(0);
      for (let m = 0; m < perClass[i]!; m++) row[start[i]! + m] = coefficients[(j - 1) * count + start[i]! + m]!;
      for (let m = 0; m < perClass[j]!; m++) row[start[j]! + m] = coefficients[i * count + start[j]! + m]!;
      return row;
    });
    const scores = kernelSums(ctx, x, vectors, count, rows, rho.slice(0, pairs.length));
    if (classes === 2) {
      // The first class wins where the margin is positive.
      const label = labelAbove(ctx, scores, 0, labels.values[0]!, labels.values[1]!);
      if (a.length === 0) return [label, twoColumns(ctx, scores, "NONE", false)];
      const shape = shapeOf(scores);
      const margin = ctx.emit(
        "nn.add",
        [ctx.emit("nn.mul", [scores, scalarOf(ctx, -a[0]!, "slope")], shape), scalarOf(ctx, -(b[0] ?? 0), "offset")],
        shape,
      );
      const first = ctx.emit("nn.unary", [margin], shape, { fn: "sigmoid" });
      return [label, columns(ctx, [first, ctx.emit("nn.sub", [scalarOf(ctx, 1, "one"), first], shape)])];
    }
    return [mostVotes(ctx, scores, pairs, labels.values), scores];
  },
};

/** Each pair of classes gives a vote; of equals the first class has most. */
function mostVotes(
  ctx: NodeContext,
  scores: Value,
  pairs: readonly (readonly [number, number])[],
  labels: readonly number[],
): Value {
  const shape = shapeOf(scores);
  const [one, zero] = [scalarOf(ctx, 1, "vote"), scalarOf(ctx, 0, "no_vote")];
  const won = selectNegative(ctx, ctx.emit("nn.neg", [scores], shape), one, zero);
  const lost = ctx.emit("nn.sub", [one, won], shape);
  const votes = labels.map((_, c) =>
    pairs
      .flatMap((p, k) => (p[0] === c ? [column(ctx, won, k)] : p[1] === c ? [column(ctx, lost, k)] : []))
      .reduce((s, v) => ctx.emit("nn.add", [s, v], shapeOf(s))),
  );
  return perSample(ctx, positionOfExtreme(ctx, columns(ctx, votes), shape.length - 1, true, false, labels));
}

export const svmOperators: readonly OperatorImporter[] = [regressor, classifier];
