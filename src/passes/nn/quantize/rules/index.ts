/**
 * How quantization treats each operation: a rule for every one of the dialect (one that is forgotten does not compile),
 * and by role one for those that programs add.
 */
import { UserError } from "../../../../diagnostics/index.js";
import type { Op } from "../../../../ir/core.js";
import { roleOf, type Role } from "../../../../ir/define-op.js";
import { isNnOpName, type NnOpName } from "../../../../ir/nn/index.js";
import * as nn from "../../../../ir/nn/ops.js";
import { placeOf } from "../../../../ir/verify.js";
import {
  aligned,
  alignedAny,
  clip,
  exact,
  fraction,
  leakyRelu,
  mul,
  product,
  relu,
  select,
  whole,
} from "./elementwise.js";
import { exactClip, exactly, exactPad, exactReduce } from "./integers.js";
import { conv, matmul, narrowed } from "./linear.js";
import type { QuantizeRule } from "./rule.js";
import { concat, pad, pool, reduce, view } from "./structure.js";
import { take, trees, unary } from "./tables.js";

export type { QuantizeRule } from "./rule.js";

/** Float only: a pass in front splits it, or nothing is known of it. @errors QU007 */
const none: QuantizeRule = {
  convert: (op) => {
    throw UserError.of("QU007", { op: op.name, lacks: "fixed-point form" }, placeOf(op.loc));
  },
};
const move: QuantizeRule = { convert: view, countsWholes: true };
const arithmetic: QuantizeRule = { convert: aligned, countsWholes: true };
const always = (): boolean => true;

export const quantizeRules: Readonly<Record<NnOpName, QuantizeRule>> = {
  "nn.constant": none,
  "nn.conv": { convert: conv },
  "nn.matmul": { convert: matmul },
  "nn.add": arithmetic,
  "nn.sub": arithmetic,
  "nn.max": arithmetic,
  "nn.min": arithmetic,
  "nn.mul": { convert: mul, countsWholes: true },
  "nn.div": none,
  "nn.select_neg": { convert: select, countsWholes: true },
  "nn.relu": { convert: relu, countsWholes: true, keepsFormat: always },
  "nn.neg": { convert: exact, countsWholes: true },
  "nn.abs": { convert: exact, countsWholes: true },
  "nn.leaky_relu": { convert: leakyRelu },
  "nn.clip": { convert: clip, exactly: exactClip, countsWholes: true, keepsFormat: always },
  "nn.quantize": none,
  "nn.round": { convert: exactly, keepsFormat: always },
  "nn.whole": { convert: whole },
  "nn.fraction": { convert: fraction },
  "nn.unary": { convert: unary },
  "nn.lookup": { convert: exactly, keepsFormat: always },
  "nn.take": { convert: take },
  "nn.trees": { convert: trees },
  "nn.reduce": { convert: reduce, exactly: exactReduce },
  "nn.pool": { convert: pool, keepsFormat: (op) => nn.pool.read(op).kind !== "sum" },
  "nn.softmax": none,
  "nn.concat": { convert: concat, countsWholes: true, keepsFormat: always },
  "nn.reshape": move,
  "nn.transpose": move,
  "nn.slice": move,
  "nn.gather": move,
  "nn.broadcast": move,
  "nn.pad": { convert: pad, exactly: exactPad },
  "nn.sparsify": none,
};

/** Of operations that a program adds. */
export const roleRules: Readonly<Record<Role, QuantizeRule>> = {
  constant: none,
  composite: none,
  sparse: none,
  view: { convert: view },
  join: { convert: concat },
  aligned: { convert: alignedAny },
  product: { convert: product },
  linear: { convert: narrowed },
  fold: { convert: narrowed },
  exact: { convert: exact },
  table: { convert: narrowed },
  rounding: { convert: exactly },
};

export function ruleOf(op: Op): QuantizeRule {
  return isNnOpName(op.name) ? quantizeRules[op.name] : roleRules[roleOf(op) ?? "product"];
}
