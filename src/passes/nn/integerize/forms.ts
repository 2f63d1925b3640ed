/** What becomes of the integers behind operands, operation by operation: a form that is forgotten does not compile. */
import type { Op } from "../../../ir/core.js";
import { roleOf } from "../../../ir/define-op.js";
import { isNnOpName, type NnOpName } from "../../../ir/nn/index.js";
import { constantOf } from "../../../ir/nn/values.js";
import { byConstant, extreme, limit, product, quotient, sum, type Squares } from "./elementwise.js";
import { map } from "./field.js";
import { linear, type Refuse, type ScaledOf } from "./linear.js";
import { concat, fold, softmax, view } from "./move.js";
import type { IntegerBuilder, Scaled } from "./scaled.js";

export interface FormContext {
  readonly b: IntegerBuilder;
  readonly scaledOf: ScaledOf;
  readonly squares: Squares;
  readonly refuse: Refuse;
}

/** The integers behind the result, where it is a multiple of some. */
type Form = (op: Op, c: FormContext) => Scaled | undefined;

/** Of its own rule in the pass, or one whose result is no multiple of integers. */
const none: Form = () => undefined;
const moved: Form = (op, c) => view(c.b, op, c.scaledOf, c.refuse);
const limited: Form = (op, c) => limit(c.b, op, c.scaledOf);
const largest: Form = (op, c) => extreme(c.b, op, c.scaledOf);
const folded: Form = (op, c) => fold(c.b, op, c.scaledOf, c.squares, c.refuse);
const dot: Form = (op, c) => linear(c.b, op, c.scaledOf, c.refuse);

/** A constant only changes scale or offset; `other` is for two tensors. */
function withConstant(other: Form): Form {
  return (op, c) =>
    op.operands.some((v) => constantOf(v) !== undefined) ? byConstant(op, c.scaledOf, c.refuse) : other(op, c);
}
const added = withConstant((op, c) => sum(c.b, op, c.scaledOf));

const forms: Readonly<Record<NnOpName, Form>> = {
  "nn.constant": none,
  "nn.conv": dot,
  "nn.matmul": dot,
  "nn.add": added,
  "nn.sub": added,
  "nn.mul": withConstant((op, c) => product(c.b, op, c.scaledOf, c.squares, c.refuse)),
  "nn.div": withConstant((op, c) => quotient(c.b, op, c.scaledOf, c.squares, c.refuse)),
  "nn.max": largest,
  "nn.min": largest,
  "nn.select_neg": none,
  "nn.relu": limited,
  "nn.clip": limited,
  "nn.neg": (op, c) => {
    const s = c.scaledOf(op.operand(0));
    return s && { ...s, scale: map(s.scale, (v) => -v), offset: map(s.offset, (v) => -v + 0) };
  },
  "nn.abs": none,
  "nn.leaky_relu": none,
  "nn.quantize": none,
  "nn.round": none,
  "nn.whole": none,
  "nn.fraction": none,
  "nn.unary": none,
  "nn.lookup": none,
  "nn.take": none,
  "nn.trees": none,
  "nn.reduce": folded,
  "nn.pool": folded,
  "nn.softmax": (op, c) => softmax(c.b, op, c.scaledOf, c.refuse),
  "nn.concat": (op, c) => concat(c.b, op, c.scaledOf),
  "nn.reshape": moved,
  "nn.transpose": moved,
  "nn.slice": moved,
  "nn.gather": moved,
  "nn.broadcast": moved,
  "nn.pad": moved,
  "nn.sparsify": none,
};

/** The integers behind the result of `op`; of operations that a program adds, views alone have such. */
export function formOf(op: Op, c: FormContext): Scaled | undefined {
  const form = isNnOpName(op.name) ? forms[op.name] : roleOf(op) === "view" ? moved : none;
  return form(op, c);
}
