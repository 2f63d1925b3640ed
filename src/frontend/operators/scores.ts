/** What the classifiers and regressors of ai.onnx.ml have in common: labels, and the transformation of scores. */
import type { Value } from "../../ir/core.js";
import { printable } from "../../diagnostics/index.js";
import { shapeOf, type NodeContext } from "../context.js";
import { scalarOf, selectNegative } from "./broadcast.js";
import { apply, number, valueOf } from "./build.js";
import { positionOfExtreme } from "./choice.js";

const INT64 = 7;
const STRING = 8;

export const POST_TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"] as const;
export type PostTransform = (typeof POST_TRANSFORMS)[number];

/** The attribute `post_transform`, a name or (in TreeEnsemble) a number. */
export function postTransform(ctx: NodeContext, name = ctx.string("post_transform", "NONE")): PostTransform {
  const found = POST_TRANSFORMS.find((t) => t === name);
  if (found === undefined) throw ctx.error(`post_transform is ${name}`, `it is one of ${POST_TRANSFORMS.join(", ")}`);
  if (found === "PROBIT")
    throw ctx.error(
      "post_transform PROBIT is not supported: it is infinite, or no number, for all but probabilities",
      "export with NONE, and apply the transformation behind the hardware",
    );
  return found;
}

/** Classes by their numbers. Names of classes cannot leave hardware: their positions stand for them. */
export interface Labels {
  readonly values: readonly number[];
  readonly names: readonly string[] | undefined;
}

export function labelsOf(ctx: NodeContext, ints: string, strings: string): Labels {
  const [numbers, names] = [ctx.ints(ints) ?? [], ctx.strings(strings) ?? []];
  if (numbers.length > 0 && names.length > 0) throw ctx.error(`it has both ${ints} and ${strings}`);
  if (numbers.length === 0 && names.length === 0) throw ctx.error(`it has neither ${ints} nor ${strings}`);
  return names.length > 0 ? { values: names.map((_, i) => i), names } : { values: numbers, names: undefined };
}

/** Element type of a classifier's labels. */
export function labelType(strings: string): (ctx: NodeContext) => number {
  return (ctx) => ((ctx.strings(strings) ?? []).length > 0 ? STRING : INT64);
}

/** Says by which numbers classes with names leave. */
export function labelRemark(strings: string): (ctx: NodeContext) => string | undefined {
  return (ctx) => {
    const names = ctx.strings(strings) ?? [];
    const shown = names
      .slice(0, SHOWN)
      .map((n, i) => `${i} for "${printable(n, 40)}"`)
      .join(", ");
    return names.length === 0
      ? undefined
      : `labels leave as numbers: ${shown}${names.length > SHOWN ? ` and so on for ${names.length} classes` : ""}`;
  };
}
const SHOWN = 20;

/** What ONNX Runtime takes for a score of zero. */
const ZERO = 1e-7;

/** Scores of zero take no part in SOFTMAX_ZERO, and stay zero. Of a row of zeros ONNX Runtime makes no numbers. */
function masked(ctx: NodeContext, scores: Value): Value {
  const isZero = apply(ctx, "LessOrEqual", [apply(ctx, "Abs", [scores]), number(ZERO)]);
  return valueOf(ctx, apply(ctx, "Where", [isZero, number(-Infinity), scores]));
}

/** Scores after the transformation. Along the last axis. */
export function transformed(ctx: NodeContext, scores: Value, post: PostTransform): Value {
  const shape = shapeOf(scores);
  if (post === "LOGISTIC") return ctx.emit("nn.unary", [scores], shape, { fn: "sigmoid" });
  if (post === "SOFTMAX" || post === "SOFTMAX_ZERO")
    return ctx.emit("nn.softmax", [post === "SOFTMAX" ? scores : masked(ctx, scores)], shape, {
      axis: shape.length - 1,
    });
  return scores;
}

export function columns(ctx: NodeContext, parts: readonly Value[]): Value {
  const first = shapeOf(parts[0]!);
  const width = parts.reduce((n, p) => n + shapeOf(p).at(-1)!, 0);
  return ctx.emit("nn.concat", parts, [...first.slice(0, -1), width], { axis: first.length - 1 });
}

export function column(ctx: NodeContext, x: Value, start: number, count = 1): Value {
  const shape = [...shapeOf(x).slice(0, -1), count];
  return ctx.emit("nn.slice", [x], shape, {
    shape,
    starts: shape.map((_, d) => (d === shape.length - 1 ? start : 0)),
    steps: shape.map(() => 1),
  });
}

/** Drops the last axis, of length 1. */
export function perSample(ctx: NodeContext, x: Value): Value {
  const shape = shapeOf(x).slice(0, -1);
  return ctx.emit("nn.reshape", [x], shape, { shape });
}

/** The label of the largest score, of equals the first. */
export function bestLabel(ctx: NodeContext, scores: Value, labels: Labels): Value {
  return perSample(ctx, positionOfExtreme(ctx, scores, shapeOf(scores).length - 1, true, false, labels.values));
}

/** `score` above `limit` ? positive : negative, for a column of scores. */
export function labelAbove(ctx: NodeContext, score: Value, limit: number, positive: number, negative: number): Value {
  const below =
    limit === 0
      ? ctx.emit("nn.neg", [score], shapeOf(score))
      : ctx.emit("nn.sub", [scalarOf(ctx, limit, "limit"), score], shapeOf(score));
  return perSample(
    ctx,
    selectNegative(ctx, below, scalarOf(ctx, positive, "positive"), scalarOf(ctx, negative, "negative")),
  );
}

/**
 * Two columns made of one score, as ONNX Runtime makes them: probabilities where a logistic function or the weights
 * (none of them negative) make it one, otherwise a margin and its opposite.
 */
export function twoColumns(ctx: NodeContext, score: Value, post: PostTransform, probability: boolean): Value {
  const shape = shapeOf(score);
  // The logistic function of the opposite is what the function of the score leaves of one.
  const second = post === "LOGISTIC" ? ctx.emit("nn.unary", [score], shape, { fn: "sigmoid" }) : score;
  const first =
    probability || post === "LOGISTIC"
      ? ctx.emit("nn.sub", [scalarOf(ctx, 1, "one"), second], shape)
      : ctx.emit("nn.neg", [score], shape);
  return columns(ctx, [first, second]);
}
