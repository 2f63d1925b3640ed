/** ai.onnx.ml: linear models, scaling, and what exporters of scikit-learn put around models. */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { scalarOf, selectNegative } from "./broadcast.js";
import {
  bestLabel,
  labelRemark,
  labelType,
  columns,
  labelAbove,
  labelsOf,
  postTransform,
  transformed,
  twoColumns,
} from "./scores.js";
import { constantOf, linear, samplesOf } from "./linear-ml.js";
import { svmOperators } from "./svm.js";

const FLOAT = 1;
const INT64 = 7;
const STRING = 8;

const linearRegressor: OperatorImporter = {
  opType: "ai.onnx.ml::LinearRegressor",
  limits: "post_transform other than PROBIT",
  resultType: () => FLOAT,
  import: (ctx) => {
    const targets = ctx.int("targets", 1);
    const intercepts = ctx.floats("intercepts") ?? [];
    if (intercepts.length > 0 && intercepts.length !== targets)
      throw ctx.error(`intercepts has ${intercepts.length} entries for ${targets} targets`);
    const y = linear(ctx, samplesOf(ctx), ctx.floats("coefficients") ?? [], targets, intercepts);
    const post = postTransform(ctx);
    return targets === 1 ? y : transformed(ctx, y, post);
  },
};

const linearClassifier: OperatorImporter = {
  opType: "ai.onnx.ml::LinearClassifier",
  limits: "post_transform other than PROBIT; labels that are strings leave as their position",
  resultType: labelType("classlabels_strings"),
  remark: labelRemark("classlabels_strings"),
  import: (ctx) => {
    const labels = labelsOf(ctx, "classlabels_ints", "classlabels_strings");
    const intercepts = ctx.floats("intercepts") ?? [];
    const post = postTransform(ctx);
    // Whether classes exclude each other shows in the transformation of the scores already.
    ctx.int("multi_class", 0);
    const rows = intercepts.length;
    if (rows === 0) throw ctx.error("it has no intercepts");
    const scores = linear(ctx, samplesOf(ctx), ctx.floats("coefficients") ?? [], rows, intercepts);
    if (rows > 1) {
      if (labels.values.length !== rows) throw ctx.error(`it has ${labels.values.length} labels for ${rows} scores`);
      return [bestLabel(ctx, scores, labels), transformed(ctx, scores, post)];
    }
    const two = labels.values.length === 2;
    const label = labelAbove(ctx, scores, 0, two ? labels.values[1]! : 1, two ? labels.values[0]! : 0);
    if (!two) return [label, transformed(ctx, scores, post)];
    return [label, twoColumns(ctx, scores, post, true)];
  },
};

/** A parameter for each feature, or one for all. */
function perFeature(ctx: NodeContext, name: string, features: number): Value | undefined {
  const data = ctx.floats(name);
  if (data === undefined || data.length === 0) return undefined;
  if (data.length !== 1 && data.length !== features)
    throw ctx.error(`${name} has ${data.length} entries for ${features} features`);
  return constantOf(ctx, [...data], [data.length], name);
}

const scaler: OperatorImporter = {
  opType: "ai.onnx.ml::Scaler",
  resultType: () => FLOAT,
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    const [offset, scale] = [perFeature(ctx, "offset", shape.at(-1)!), perFeature(ctx, "scale", shape.at(-1)!)];
    const centred = offset === undefined ? x : ctx.emit("nn.sub", [x, offset], shape);
    return scale === undefined ? centred : ctx.emit("nn.mul", [centred, scale], shape);
  },
};

/** Keeps a norm off zero: a sample of zeros stays one. */
const TINY = 1e-9;

const normalizer: OperatorImporter = {
  opType: "ai.onnx.ml::Normalizer",
  resultType: () => FLOAT,
  import: (ctx) => {
    const norm = ctx.string("norm", "MAX");
    const x = ctx.value(0);
    const shape = shapeOf(x);
    if (shape.length > 2) throw ctx.error(`its input has rank ${shape.length} instead of 2`);
    // Probabilities have a sum of one already.
    if (norm === "L1" && x.def?.name === "nn.softmax") return x;
    const axes = [shape.length - 1];
    const row = [...shape.slice(0, -1), 1];
    const reduced = (v: Value, kind: string): Value => ctx.emit("nn.reduce", [v], row, { kind, axes, keepdims: true });
    const safe = (v: Value): Value => ctx.emit("nn.max", [v, scalarOf(ctx, TINY, "least")], row);
    if (norm === "L1") return ctx.emit("nn.div", [x, safe(reduced(ctx.emit("nn.abs", [x], shape), "sum"))], shape);
    if (norm === "L2") {
      const sum = safe(reduced(ctx.emit("nn.mul", [x, x], shape), "sum"));
      return ctx.emit("nn.div", [x, ctx.emit("nn.unary", [sum], row, { fn: "sqrt" })], shape);
    }
    if (norm === "MAX") return ctx.emit("nn.div", [x, reduced(x, "max")], shape);
    throw ctx.error(`norm is ${norm}`, "it is one of MAX, L1, L2");
  },
};

/** A map from class to score leaves as the scores, in the order of the classes. */
const zipMap: OperatorImporter = {
  opType: "ai.onnx.ml::ZipMap",
  limits: "the scores leave as a tensor, in the order of the classes",
  resultType: () => FLOAT,
  import: (ctx) => {
    labelsOf(ctx, "classlabels_int64s", "classlabels_strings");
    return ctx.input(0);
  },
};

/** values[i] for integers i that are computed: a choice for each value but the first. */
function chosen(ctx: NodeContext, index: Value, values: readonly number[]): Value {
  if (values.every((v, i) => v === i)) return index;
  const shape = shapeOf(index);
  let y = scalarOf(ctx, values[0]!, "value_0");
  for (let i = 1; i < values.length; i++) {
    const before = ctx.emit("nn.sub", [index, scalarOf(ctx, i, `at_${i}`)], shape);
    y = selectNegative(ctx, before, y, scalarOf(ctx, values[i]!, `value_${i}`));
  }
  return y;
}

const MAX_CHOICES = 64;

const arrayFeatureExtractor: OperatorImporter = {
  opType: "ai.onnx.ml::ArrayFeatureExtractor",
  limits: `one of data and indices constant; computed indices choose among up to ${MAX_CHOICES} values`,
  import: (ctx) => {
    const shape = ctx.shape(0);
    const n = shape.at(-1) ?? 0;
    const [data, indices] = [ctx.constant(0), ctx.constant(1)];
    if (indices !== undefined) {
      const list = [...indices.data];
      const bad = list.find((i) => !Number.isInteger(i) || i < 0 || i >= n);
      if (bad !== undefined) throw ctx.error(`index ${bad} is outside the ${n} elements of the last axis`);
      // ONNX Runtime makes a row of what was a vector.
      const result = shape.length === 1 ? [1, list.length] : [...shape.slice(0, -1), list.length];
      if (data !== undefined)
        return known(
          result,
          Float64Array.from(
            { length: (data.data.length / n) * list.length },
            (_, k) => data.data[Math.floor(k / list.length) * n + list[k % list.length]!]!,
          ),
          data.integer,
        );
      const picked = ctx.emit("nn.gather", [ctx.value(0)], [...shape.slice(0, -1), list.length], {
        axis: shape.length - 1,
        indices: list,
      });
      return shape.length === 1 ? ctx.emit("nn.reshape", [picked], result, { shape: result }) : picked;
    }
    if (data === undefined) throw ctx.error("both its data and its indices are computed");
    if (data.data.length !== n)
      throw ctx.error(`computed indices choose from a tensor of shape [${shape.join(", ")}], which is no vector`);
    if (n > MAX_CHOICES) throw ctx.error(`computed indices choose among ${n} values`, `at most ${MAX_CHOICES}`);
    const index = ctx.value(1);
    const count = shapeOf(index).reduce((a, b) => a * b, 1);
    return ctx.emit("nn.reshape", [chosen(ctx, index, [...data.data])], [1, count], { shape: [1, count] });
  },
};

/** NaN does not reach fixed point, so only a number that stands for what is missing is replaced. */
const imputer: OperatorImporter = {
  opType: "ai.onnx.ml::Imputer",
  limits: "missing values that are NaN do not occur",
  import: (ctx) => {
    const x = ctx.value(0);
    const shape = shapeOf(x);
    const [floats, ints] = [ctx.floats("imputed_value_floats") ?? [], ctx.ints("imputed_value_int64s") ?? []];
    const [float, int] = [ctx.float("replaced_value_float", 0), ctx.int("replaced_value_int64", 0)];
    const replaced = floats.length > 0 ? float : int;
    const values = floats.length > 0 ? [...floats] : ints;
    if (values.length !== 1 && values.length !== shape.at(-1))
      throw ctx.error(`it has ${values.length} imputed values for ${shape.at(-1)} features`);
    if (Number.isNaN(replaced)) return x;
    const difference = ctx.emit("nn.sub", [x, scalarOf(ctx, replaced, "replaced")], shape);
    const apart = ctx.emit("nn.neg", [ctx.emit("nn.abs", [difference], shape)], shape);
    return selectNegative(ctx, apart, x, constantOf(ctx, values, [values.length], "imputed"));
  },
};

const binarizer: OperatorImporter = {
  opType: "ai.onnx.ml::Binarizer",
  import: (ctx) => {
    const x = ctx.value(0);
    const below = ctx.emit("nn.sub", [scalarOf(ctx, ctx.float("threshold", 0), "threshold"), x], shapeOf(x));
    return selectNegative(ctx, below, scalarOf(ctx, 1, "one"), scalarOf(ctx, 0, "zero"));
  },
};

const featureVectorizer: OperatorImporter = {
  opType: "ai.onnx.ml::FeatureVectorizer",
  resultType: () => FLOAT,
  import: (ctx) => {
    const dimensions = ctx.ints("inputdimensions") ?? [];
    const parts = Array.from({ length: ctx.inputCount }, (_, i) => {
      const x = ctx.value(i);
      const shape = shapeOf(x);
      const row = shape.length === 1 ? ctx.emit("nn.reshape", [x], [1, shape[0]!], { shape: [1, shape[0]!] }) : x;
      if (dimensions[i] !== undefined && dimensions[i] !== shapeOf(row).at(-1))
        throw ctx.error(`input ${i} has ${shapeOf(row).at(-1)} features instead of ${dimensions[i]}`);
      return row;
    });
    return parts.length === 1 ? parts[0]! : columns(ctx, parts);
  },
};

/** |x - category| = 0, one more axis; categories that are not listed give zeros. */
const oneHotEncoder: OperatorImporter = {
  opType: "ai.onnx.ml::OneHotEncoder",
  limits: "categories that are integers; zeros = 1",
  resultType: () => FLOAT,
  import: (ctx) => {
    const categories = ctx.ints("cats_int64s") ?? [];
    if ((ctx.strings("cats_strings") ?? []).length > 0 || categories.length === 0)
      throw ctx.error("its categories are not integers", "encode strings before the model");
    if (ctx.int("zeros", 1) === 0)
      throw ctx.error("zeros = 0 refuses categories that are not listed, which hardware cannot", "set zeros = 1");
    const x = ctx.value(0);
    const shape = [...shapeOf(x), categories.length];
    const each = ctx.emit("nn.reshape", [x], [...shapeOf(x), 1], { shape: [...shapeOf(x), 1] });
    const difference = ctx.emit(
      "nn.sub",
      [each, constantOf(ctx, categories, [categories.length], "categories")],
      shape,
    );
    const apart = ctx.emit("nn.neg", [ctx.emit("nn.abs", [difference], shape)], shape);
    return selectNegative(ctx, apart, scalarOf(ctx, 0, "zero"), scalarOf(ctx, 1, "one"));
  },
};

/** Keys and values of a label encoder in any of their forms. */
function mapping(ctx: NodeContext): {
  keys: readonly (number | string)[];
  values: readonly number[];
  strings: readonly string[] | undefined;
  fallback: number;
} {
  const tensorOr = (name: string): readonly number[] | undefined => {
    const t = ctx.tensor(`${name}_tensor`);
    return t === undefined ? undefined : [...t.data];
  };
  const keys = ctx.strings("keys_strings") ?? ctx.ints("keys_int64s") ?? ctx.floats("keys_floats") ?? tensorOr("keys");
  const strings = ctx.strings("values_strings");
  const values =
    strings?.map((_, i) => i) ?? ctx.ints("values_int64s") ?? ctx.floats("values_floats") ?? tensorOr("values");
  if (keys === undefined || values === undefined || keys.length !== values.length || keys.length === 0)
    throw ctx.error("its keys and values differ in number, or there are none");
  const [byDefault, int, float] = [
    ctx.tensor("default_tensor")?.data[0],
    ctx.int("default_int64", -1),
    ctx.float("default_float", 0),
  ];
  ctx.string("default_string", "");
  const fallback = byDefault ?? (ctx.floats("values_floats") === undefined ? int : float);
  return { keys, values, strings, fallback };
}

const labelEncoder: OperatorImporter = {
  opType: "ai.onnx.ml::LabelEncoder",
  remark: labelRemark("values_strings"),
  limits: `keys that are numbers, up to ${MAX_CHOICES}; values that are strings leave as their position`,
  resultType: (ctx) =>
    ctx.strings("values_strings") !== undefined
      ? STRING
      : ctx.floats("values_floats") !== undefined
        ? FLOAT
        : (ctx.tensorType("values_tensor") ?? INT64),
  import: (ctx): Value | Imported => {
    const { keys, values, fallback } = mapping(ctx);
    if (keys.some((k) => typeof k === "string"))
      throw ctx.error("its keys are strings, which no computed tensor holds", "encode labels before the model");
    const numbers = keys as readonly number[];
    const c = ctx.constant(0);
    if (c !== undefined)
      return known(
        c.shape,
        c.data.map((v) => values[numbers.indexOf(v)] ?? fallback),
        ctx.floats("values_floats") === undefined,
      );
    if (numbers.length > MAX_CHOICES) throw ctx.error(`it has ${numbers.length} keys`, `at most ${MAX_CHOICES}`);
    const x = ctx.value(0);
    const shape = shapeOf(x);
    let y = scalarOf(ctx, fallback, "default");
    numbers.forEach((k, i) => {
      const difference = ctx.emit("nn.sub", [x, scalarOf(ctx, k, `key_${i}`)], shape);
      const apart = ctx.emit("nn.neg", [ctx.emit("nn.abs", [difference], shape)], shape);
      y = selectNegative(ctx, apart, y, scalarOf(ctx, values[i]!, `value_${i}`));
    });
    return y;
  },
};

export const classicOperators: readonly OperatorImporter[] = [
  linearRegressor,
  linearClassifier,
  scaler,
  normalizer,
  zipMap,
  arrayFeatureExtractor,
  imputer,
  binarizer,
  featureVectorizer,
  oneHotEncoder,
  labelEncoder,
  ...svmOperators,
];
