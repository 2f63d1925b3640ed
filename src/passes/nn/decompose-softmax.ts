/**
 * Splits softmax into operations that have a fixed-point form:
 *
 *     softmax(x) = e * (1 / sum(e))    with e = exp(x - (max(x) - c))
 *
 * The constant c cancels. It centres the argument of exp on 0, so that a signed table of w bits uses both halves: with the
 * maximum alone, half of the entries would never be read.
 *
 * Where the result feeds only a matmul that contracts the softmax axis, the row factor moves behind it:
 * matmul(e * r, g) = matmul(e, g) * r, which saves a product per element of e, and lets the matmul start before the sum is known.
 *
 * A mask that was added to the scores (0, or a large negative number where a position must not count) becomes a factor of 0 or 1
 * on e: numbers of that size would take all bits of the scores.
 */
import { Dense } from "../../ir/attributes.js";
import type { Builder, Op, Value } from "../../ir/core.js";
import { denseAttr, intAttr, intsAttr } from "../../ir/define-op.js";
import { f32, tensor, type TensorType } from "../../ir/types.js";
import { definePass, number } from "../define-pass.js";
import { applyRules, type Rule } from "../rewrite.js";

/** exp(-8) = 2^-11.5 is half an LSB of an 11-bit result, so [-8, 0] covers results of up to 11 bits. */
const DEFAULT_SPAN = 8;
/** The top of the centred range, in 2^-5: a multiple of the LSB of any table with at least 5 fractional bits. */
const TOP_MARGIN = 2 ** -5;

function shapeOf(v: Value): readonly number[] {
  return (v.type as TensorType).shape;
}

interface Parts {
  readonly e: Value;
  /** 1 / sum, with extent 1 along `axis`. */
  readonly r: Value;
  readonly axis: number;
}

/** From here on, exp of a difference is nothing to a result of any width. */
const MASKED = -1000;

/** Scores and mask of a sum whose constant operand only holds 0 and masking values, none of which masks a whole line along `axis`. */
function maskBehind(x: Value, axis: number): { scores: Value; keep: Dense } | undefined {
  if (x.def?.name !== "nn.add") return undefined;
  const rank = shapeOf(x).length;
  for (const side of [0, 1]) {
    const [scores, other] = [x.def.operand(side), x.def.operand(1 - side)];
    if (other.def?.name !== "nn.constant" || shapeOf(scores).join() !== shapeOf(x).join()) continue;
    const { data, shape } = denseAttr(other.def, "value");
    if (!data.some((v) => v <= MASKED) || data.some((v) => v !== 0 && v > MASKED)) continue;
    const own = axis - (rank - shape.length);
    if (own < 0 || shape[own] !== shapeOf(x)[axis]) continue;
    const step = shape.slice(own + 1).reduce((n, d) => n * d, 1);
    const open = new Set<number>();
    data.forEach((v, i) => {
      if (v === 0) open.add(Math.floor(i / (step * shape[own]!)) * step + (i % step));
    });
    if (open.size * shape[own]! !== data.length) continue;
    return { scores, keep: new Dense(shape, f32, Float32Array.from(data, (v) => (v === 0 ? 1 : 0))) };
  }
  return undefined;
}

function decompose(op: Op, b: Builder, span: number): Parts {
  // The parts keep the softmax's own place, whichever operation they are built for.
  const outer = b.loc;
  b.loc = op.loc;
  const shape = shapeOf(op.operand(0));
  const axis = (intAttr(op, "axis") + shape.length) % shape.length;
  const row = tensor(shape.map((n, d) => (d === axis ? 1 : n)), f32);
  const full = tensor(shape, f32);
  const name = (suffix: string): string => `${op.result.hint ?? "softmax"}_${suffix}`;
  const fold = { axes: [axis], keepdims: true };
  const mask = maskBehind(op.operand(0), axis);
  const x = mask?.scores ?? op.operand(0);
  const centre = new Dense([], f32, Float32Array.of(span / 2 - TOP_MARGIN));
  const c = b.value("nn.constant", [], tensor([], f32), { value: centre }, name("centre"));
  const top = b.value("nn.reduce", [x], row, { ...fold, kind: "max" }, name("max"));
  const offset = b.value("nn.sub", [top, c], row, {}, name("offset"));
  const argument = b.value("nn.sub", [x, offset], full, {}, name("argument"));
  const all = b.value("nn.unary", [argument], full, { fn: "exp" }, name("exp"));
  const e = mask === undefined ? all : b.value("nn.mul", [all, b.value("nn.constant", [], tensor(mask.keep.shape, f32), { value: mask.keep }, name("mask"))], full, {}, name("kept"));
  const sum = b.value("nn.reduce", [e], row, { ...fold, kind: "sum" }, name("sum"));
  const r = b.value("nn.unary", [sum], row, { fn: "reciprocal" }, name("factor"));
  b.loc = outer;
  return { e, r, axis };
}

/** The softmax behind `v`, seen through transposes that nothing else reads. */
function softmaxBehind(v: Value): { softmax: Op; transposes: Op[] } | undefined {
  const transposes: Op[] = [];
  for (let at = v; at.uses.length === 1; at = at.def!.operand(0)) {
    if (at.def?.name === "nn.softmax") return { softmax: at.def, transposes: transposes.reverse() };
    if (at.def?.name !== "nn.transpose") return undefined;
    transposes.push(at.def);
  }
  return undefined;
}

function sinkRule(span: number): Rule {
  return {
    name: "softmax-into-matmul",
    op: "nn.matmul",
    apply: (op, b) => {
      for (const side of [0, 1]) {
        const v = op.operand(side);
        const rank = shapeOf(v).length;
        const found = softmaxBehind(v);
        if (found === undefined || rank < 2 || shapeOf(op.operand(1 - side)).length < 2 || op.operand(1 - side) === v) continue;
        const { softmax, transposes } = found;
        let axis = (intAttr(softmax, "axis") + rank) % rank;
        for (const t of transposes) axis = intsAttr(t, "perm").indexOf(axis);
        if (axis !== (side === 0 ? rank - 1 : rank - 2)) continue;
        const parts = decompose(softmax, b, span);
        let [e, r] = [parts.e, parts.r];
        for (const t of transposes) {
          const perm = intsAttr(t, "perm");
          const move = (x: Value): Value => b.value("nn.transpose", [x], tensor(perm.map((p) => shapeOf(x)[p]!), f32), { perm }, x.hint);
          [e, r] = [move(e), move(r)];
        }
        const operands = side === 0 ? [e, op.operand(1)] : [op.operand(0), e];
        const product = b.value("nn.matmul", operands, op.result.type, op.attrs, `${op.result.hint ?? "attention"}_unscaled`);
        return b.value("nn.mul", [product, r], op.result.type, {}, op.result.hint);
      }
      return undefined;
    },
  };
}

function plainRule(span: number): Rule {
  return {
    name: "softmax",
    op: "nn.softmax",
    apply: (op, b) => {
      const { e, r } = decompose(op, b, span);
      return b.value("nn.mul", [e, r], op.result.type, {}, op.result.hint);
    },
  };
}

export const decomposeSoftmax = definePass({
  name: "decompose-softmax",
  summary: "Split softmax into maximum, exp, sum, reciprocal and product, and move the product behind a matmul that contracts the axis.",
  level: "nn",
  semantics: "changes-values",
  options: { span: number({ min: 1, max: 64, default: DEFAULT_SPAN, doc: "range below the maximum in which exp is resolved" }) },
  doc: "Values change by rounding only. Softmax that becomes unused is removed by `dce`.",
  run: (module, { span }) => {
    applyRules(module, [sinkRule(span)]);
    applyRules(module, [plainRule(span)]);
  },
});
