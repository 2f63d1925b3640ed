/**
 * Removes data movement that moves nothing, and merges chains of reshapes and transposes, which exporters leave behind.
 */
import type { Op, Value } from "../../ir/core.js";
import { sameType } from "../../ir/types.js";
import { definePass } from "../define-pass.js";
import { applyRules, type Rule } from "../rewrite.js";
import * as nn from "../../ir/nn/ops.js";
import { shapeOf, tensorType } from "../../ir/nn/values.js";

/** Operations that only move elements: the identity if shapes agree and nothing is permuted. */
function noEffect(name: string, op: string, isIdentity: (op: Op) => boolean = () => true): Rule {
  return {
    name,
    op,
    apply: (o) =>
      o.operands.length === 1 && sameType(o.operand(0).type, o.result.type) && isIdentity(o) ? o.operand(0) : undefined,
  };
}

/** The operation that defines `v`, if it is of that name. */
function definedBy(v: Value, name: string): Op | undefined {
  return v.def?.name === name ? v.def : undefined;
}

const reshapeOfReshape: Rule = {
  name: "reshape-of-reshape",
  op: "nn.reshape",
  apply: (op, b) => {
    const inner = definedBy(op.operand(0), "nn.reshape");
    if (inner === undefined) return undefined;
    return b.value("nn.reshape", [inner.operand(0)], op.result.type, op.attrs);
  },
};

/** y[i] = x[p[i]], z[i] = y[q[i]]: z[i] = x[p[q[i]]]. */
const transposeOfTranspose: Rule = {
  name: "transpose-of-transpose",
  op: "nn.transpose",
  apply: (op, b) => {
    const inner = definedBy(op.operand(0), "nn.transpose");
    if (inner === undefined) return undefined;
    const p = nn.transpose.read(inner).perm;
    return b.value("nn.transpose", [inner.operand(0)], op.result.type, {
      ...op.attrs,
      perm: nn.transpose.read(op).perm.map((q) => p[q]!),
    });
  },
};

/** A transpose that moves only axes of extent 1 keeps the row-major order of the elements. */
const transposeOfUnitAxes: Rule = {
  name: "transpose-of-unit-axes",
  op: "nn.transpose",
  apply: (op, b) => {
    const from = shapeOf(op.operand(0));
    const moved = nn.transpose.read(op).perm.filter((axis) => from[axis] !== 1);
    if (moved.some((axis, i) => i > 0 && axis < moved[i - 1]!)) return undefined;
    const to = tensorType(op.result);
    return b.value("nn.reshape", [op.operand(0)], to, { shape: [...to.shape] });
  },
};

export const canonicalizeRules: readonly Rule[] = [
  noEffect("identity-reshape", "nn.reshape"),
  noEffect("identity-transpose", "nn.transpose", (op) => nn.transpose.read(op).perm.every((axis, i) => axis === i)),
  noEffect("whole-slice", "nn.slice", (op) => nn.slice.read(op).steps.every((s) => s === 1)),
  noEffect("concat-of-one", "nn.concat"),
  noEffect("empty-pad", "nn.pad", (op) => nn.pad.read(op).pads.every((p) => p === 0)),
  noEffect("broadcast-to-same", "nn.broadcast"),
  reshapeOfReshape,
  transposeOfTranspose,
  transposeOfUnitAxes,
];

export const canonicalize = definePass({
  name: "canonicalize",
  summary: "Drop reshapes, transposes, slices, pads and concats that do nothing, and merge chains of them.",
  level: "nn",
  semantics: "bit-exact",
  doc: "What is left over is unused afterwards; run `dce` behind it.",
  example: {
    before:
      "%0 = nn.transpose(%x) {perm = [1, 0]} : (tensor<2x3xf32>) -> tensor<3x2xf32>\n%1 = nn.transpose(%0) {perm = [1, 0]} : (tensor<3x2xf32>) -> tensor<2x3xf32>\n%2 = nn.relu(%1) : (tensor<2x3xf32>) -> tensor<2x3xf32>",
    after: "%2 = nn.relu(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>",
  },
  run: (module) => applyRules(module, canonicalizeRules),
});
