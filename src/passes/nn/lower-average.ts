/**
 * Rewrites what fixed point has no exact form for into what it has: averages become sums times a constant, quotients
 * products with a reciprocal (folded where the divisor is a constant).
 */
import { Dense } from "../../ir/attributes.js";
import type { Builder, Op, Value } from "../../ir/core.js";
import { constantOf, shapeOf, tensorType } from "../../ir/nn/values.js";
import { elementCount, f32, tensor } from "../../ir/types.js";
import { definePass } from "../define-pass.js";
import { applyRules, type Rule } from "../rewrite.js";
import * as nn from "../../ir/nn/ops.js";

function isFloat(op: Op): boolean {
  return tensorType(op.result).elem.kind === "float";
}
function constant(b: Builder, shape: readonly number[], values: ArrayLike<number>, hint: string): Value {
  return b.value(
    "nn.constant",
    [],
    tensor(shape, f32),
    { value: new Dense(shape, f32, Float32Array.from(values)) },
    hint,
  );
}

const meanOfReduce: Rule = {
  name: "mean-to-sum",
  op: "nn.reduce",
  apply: (op, b) => {
    if (op.attrs["kind"] !== "mean" || !isFloat(op)) return undefined;
    const shape = shapeOf(op.operand(0));
    const count = nn.reduce.read(op).axes.reduce((n, a) => n * shape[a]!, 1);
    const sum = b.value(
      "nn.reduce",
      [op.operand(0)],
      op.result.type,
      { ...op.attrs, kind: "sum" },
      `${op.result.hint ?? "mean"}_sum`,
    );
    return b.value("nn.mul", [sum, constant(b, [], [1 / count], "scale")], op.result.type, {}, op.result.hint);
  },
};

const averagePool: Rule = {
  name: "average-pool-to-sum",
  op: "nn.pool",
  apply: (op, b) => {
    if (op.attrs["kind"] !== "average" || !isFloat(op)) return undefined;
    const { kernel, count_include_pad: padCounts } = nn.pool.read(op);
    const { count_include_pad: _, ...rest } = op.attrs;
    const sum = b.value(
      "nn.pool",
      [op.operand(0)],
      op.result.type,
      { ...rest, kind: "sum" },
      `${op.result.hint ?? "average"}_sum`,
    );
    const window = elementCount(kernel);
    const inside = padCounts ? undefined : countsInside(op);
    const uniform = inside === undefined || inside.every((n) => n === inside[0]);
    const factor = uniform
      ? constant(b, [], [1 / (inside?.[0] ?? window)], "scale")
      : constant(
          b,
          [1, 1, ...shapeOf(op.result).slice(2)],
          inside.map((n) => 1 / n),
          "scale",
        );
    return b.value("nn.mul", [sum, factor], op.result.type, {}, op.result.hint);
  },
};

/** Elements of each window that lie inside the input, by output position. */
export function countsInside(op: Op): number[] {
  const [xs, ys] = [shapeOf(op.operand(0)).slice(2), shapeOf(op.result).slice(2)];
  const { kernel, strides, pads, dilations } = nn.poolWindow(op);
  const perAxis = ys.map((n, d) =>
    Array.from({ length: n }, (_, o) => {
      let count = 0;
      for (let k = 0; k < kernel[d]!; k++) {
        const i = o * strides[d]! + k * dilations[d]! - pads[d]!;
        if (i >= 0 && i < xs[d]!) count++;
      }
      return count;
    }),
  );
  return perAxis.reduce<number[]>((all, axis) => all.flatMap((p) => axis.map((q) => p * q)), [1]);
}

const divByConstant: Rule = {
  name: "div-to-mul",
  op: "nn.div",
  apply: (op, b) => {
    if (!isFloat(op)) return undefined;
    const [x, y] = [op.operand(0), op.operand(1)];
    const value = constantOf(y);
    if (value !== undefined) {
      const inverse = constant(
        b,
        value.shape,
        Array.from(value.data, (v) => 1 / v),
        `${y.hint ?? "divisor"}_inverse`,
      );
      return b.value("nn.mul", [x, inverse], op.result.type, {}, op.result.hint);
    }
    // The root's reciprocal is one table, whose relative error does not grow with the root's.
    if (y.def?.name === "nn.unary" && y.def.attrs["fn"] === "sqrt") {
      const inverseRoot = b.value(
        "nn.unary",
        [y.def.operand(0)],
        y.type,
        { fn: "rsqrt" },
        `${y.hint ?? "divisor"}_inverse`,
      );
      return b.value("nn.mul", [x, inverseRoot], op.result.type, {}, op.result.hint);
    }
    const inverse = b.value("nn.unary", [y], y.type, { fn: "reciprocal" }, `${y.hint ?? "divisor"}_inverse`);
    return b.value("nn.mul", [x, inverse], op.result.type, {}, op.result.hint);
  },
};

export const lowerAverage = definePass({
  name: "lower-average",
  summary: "Replace averages by sums times a constant, and division by products with a reciprocal.",
  level: "nn",
  semantics: "changes-values",
  doc: "Values change by rounding only. The constant is usually folded into weights by `fold-scales`.",
  run: (module) => applyRules(module, [meanOfReduce, averagePool, divByConstant]),
});
