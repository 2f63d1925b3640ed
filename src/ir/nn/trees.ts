/** nn.trees: ensembles of decision trees. */
import type { Op } from "../core.js";
import { attrReader } from "../define-op.js";
import { ensembleProblem, evaluateEnsemble, outputRange, readEnsemble } from "../trees.js";
import { typeOfRange, type FixedType } from "../types.js";
import { defineNn, everywhere } from "./record.js";
import { checkShape, typed } from "./typing.js";
import { fixedOf, shapeOf } from "./values.js";

const ensembles = attrReader({
  trees: {
    kind: "record",
    doc: "per node feature, threshold, relation (0: <=, 1: <, 2: ==), onTrue, onFalse (-1 - k is leaf k); roots; values by leaf and output, integers on fixed point; aggregate",
  },
  double: {
    kind: "bool",
    optional: true,
    default: false,
    doc: "in float, features are compared in double precision",
  },
});

export function treesOf(op: Op): ReturnType<typeof readEnsemble> {
  return readEnsemble(ensembles(op).trees);
}

function resultShape(op: Op): number[] {
  return [...shapeOf(op.operand(0)).slice(0, -1), treesOf(op).outputs];
}

/** Exact: every sum that the leaves can make. */
function sumFormat(op: Op): FixedType {
  const e = treesOf(op);
  const ranges = Array.from({ length: e.outputs }, (_, c) => outputRange(e, c));
  const frac = (e.dense.elem as FixedType).frac;
  return typeOfRange({ lo: Math.min(...ranges.map((r) => r.lo)), hi: Math.max(...ranges.map((r) => r.hi)) }, frac);
}

export const trees = defineNn({
  name: "nn.trees",
  summary:
    "An ensemble of decision trees over the last axis: nodes compare a feature with a constant, the values of the leaves that are reached are added, or their extreme is taken.",
  source: "ONNX ai.onnx.ml TreeEnsemble-5, TreeEnsembleClassifier-3, TreeEnsembleRegressor-3",
  operands: ["x"],
  results: ["y"],
  role: "table",
  traits: ["pure"],
  attrs: ensembles.specs,
  inferTypes: (op) => typed(op, resultShape(op), () => sumFormat(op)),
  verify: (op, report) => {
    const shape = shapeOf(op.operand(0));
    if (shape.length < 1) return report("the operand has no axis of features");
    const problem = ensembleProblem(ensembles(op).trees, shape[shape.length - 1]!);
    if (problem !== undefined) return report(problem);
    checkShape(op, resultShape(op), report);
    if (fixedOf(op.operand(0)) !== undefined && treesOf(op).dense.elem.kind !== "fixed")
      report("on fixed point, the values of the leaves must be integers");
  },
  evaluate: everywhere((op) => {
    const e = treesOf(op);
    const unit = e.dense.elem.kind === "fixed" ? 2 ** -e.dense.elem.frac : 1;
    const features = shapeOf(op.operand(0)).at(-1)!;
    // Thresholds are single precision, and so are the features that they meet.
    const single = fixedOf(op.operand(0)) === undefined && !ensembles(op).double;
    return ([x], out) => {
      const seen = single ? Float32Array.from(x!) : x!;
      for (let row = 0; row * features < seen.length; row++)
        evaluateEnsemble(e, seen, row * features, out, row * e.outputs);
      if (unit !== 1) for (let i = 0; i < out.length; i++) out[i]! *= unit;
    };
  }),
});

export const treeOps = [trees] as const;
