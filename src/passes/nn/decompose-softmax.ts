/**
 * Splits softmax into operations that have a fixed-point form:
 *
 *     softmax(x) = e * (1 / sum(e))    with e = exp(x - (max(x) - c))
 *
 * The constant c cancels. It centres the argument of exp on 0, so that a signed table of w bits uses both halves: with
 * the maximum alone, half of the entries would never be read.
 *
 * Where the result feeds only a matmul that contracts the softmax axis, the row factor moves behind it:
 * matmul(e * r, g) = matmul(e, g) * r, which saves a product per element of e, and lets the matmul start before the sum
 * is known.
 *
 * A mask of the scores becomes a predicate (`softmax-mask.ts`): positions that do not count are the lowest value in the
 * search for the maximum, and 0 in the sum.
 */
import { Dense } from "../../ir/attributes.js";
import type { Builder, Op, Value } from "../../ir/core.js";
import { f32, tensor } from "../../ir/types.js";
import { placeOf } from "../../ir/verify.js";
import { shapeOf } from "../../ir/nn/values.js";
import type { Sink } from "../../diagnostics/index.js";
import { definePass, number } from "../define-pass.js";
import { applyRules, type Rule } from "../rewrite.js";
import { broadcast, choose, gatesOf } from "./softmax-gates.js";
import { readMask } from "./softmax-mask.js";
import * as nn from "../../ir/nn/ops.js";

/** exp(-8) = 2^-11.5 is half an LSB of an 11-bit result, so [-8, 0] covers results of up to 11 bits. */
const DEFAULT_SPAN = 8;
/** The top of the centred range, in 2^-5: a multiple of the LSB of any table with at least 5 fractional bits. */
const TOP_MARGIN = 2 ** -5;

interface Parts {
  readonly e: Value;
  /** 1 / sum, with extent 1 along `axis`. */
  readonly r: Value;
  readonly axis: number;
}

/**
 * What stands for a score that does not count: exp of any difference to it is 0, and in fixed point it is the lowest
 * value of the scores' format.
 */
const LOWEST = -(2 ** 26);

function decompose(op: Op, b: Builder, span: number, sink: Sink): Parts {
  // The parts keep the softmax's own place, whichever operation they are built for.
  const outer = b.loc;
  b.loc = op.loc;
  const shape = shapeOf(op.operand(0));
  const { axis } = nn.softmax.read(op);
  const row = tensor(
    shape.map((n, d) => (d === axis ? 1 : n)),
    f32,
  );
  const full = tensor(shape, f32);
  const name = (suffix: string): string => `${op.result.hint ?? "softmax"}_${suffix}`;
  const number = (value: number, suffix: string): Value =>
    b.value("nn.constant", [], tensor([], f32), { value: new Dense([], f32, Float64Array.of(value)) }, name(suffix));
  const fold = { axes: [axis], keepdims: true };
  const top = span / 2 - TOP_MARGIN;
  const mask = readMask(op.operand(0), axis, b);
  if (mask !== undefined && mask.deadRows > 0) sink.report("QU026", { rows: mask.deadRows }, placeOf(op.loc));
  const gates = mask === undefined ? undefined : gatesOf(mask, axis, shape, b, name);
  let e: Value;
  if (mask !== undefined && mask.scores === undefined) e = broadcast(gates!.counts, full, b);
  else {
    const scores =
      mask === undefined
        ? op.operand(0)
        : choose(gates!.competes, mask.scores!, number(LOWEST, "lowest"), full, b, name("open"));
    const largest = b.value("nn.reduce", [scores], row, { ...fold, kind: "max" }, name("max"));
    const offset = b.value("nn.sub", [largest, number(top, "centre")], row, {}, name("offset"));
    const argument = b.value("nn.sub", [scores, offset], full, {}, name("argument"));
    const all = b.value("nn.unary", [argument], full, { fn: "exp_tail" }, name("exp"));
    e = gates === undefined ? all : choose(gates.counts, all, number(0, "nothing"), full, b, name("kept"));
  }
  const sum = b.value("nn.reduce", [e], row, { ...fold, kind: "sum" }, name("sum"));
  // The position of the maximum alone gives as much as the bound, which only rows without one reach.
  const least = mask?.scores === undefined && mask !== undefined ? 1 : SUM_MARGIN * Math.exp(top);
  const some = mask !== undefined && (mask.deadRows > 0 || (mask.computed !== undefined && mask.closedRow === "zeros"));
  const divisor = some ? b.value("nn.max", [sum, number(least, "least")], row, {}, name("divisor")) : sum;
  const r = b.value("nn.unary", [divisor], row, { fn: "reciprocal" }, name("factor"));
  b.loc = outer;
  return { e, r, axis };
}

/** Below the sum of a row with one position, which is rounded, and above any other part of it. */
const SUM_MARGIN = 0.75;

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

function sinkRule(span: number, sink: Sink): Rule {
  return {
    name: "softmax-into-matmul",
    op: "nn.matmul",
    apply: (op, b) => {
      for (const side of [0, 1]) {
        const v = op.operand(side);
        const rank = shapeOf(v).length;
        const found = softmaxBehind(v);
        if (found === undefined || rank < 2 || shapeOf(op.operand(1 - side)).length < 2 || op.operand(1 - side) === v)
          continue;
        const { softmax, transposes } = found;
        let { axis } = nn.softmax.read(softmax);
        for (const t of transposes) axis = nn.transpose.read(t).perm.indexOf(axis);
        if (axis !== (side === 0 ? rank - 1 : rank - 2)) continue;
        const parts = decompose(softmax, b, span, sink);
        let [e, r] = [parts.e, parts.r];
        for (const t of transposes) {
          const { perm } = nn.transpose.read(t);
          const move = (x: Value): Value =>
            b.value(
              "nn.transpose",
              [x],
              tensor(
                perm.map((p) => shapeOf(x)[p]!),
                f32,
              ),
              { perm },
              x.hint,
            );
          [e, r] = [move(e), move(r)];
        }
        const operands = side === 0 ? [e, op.operand(1)] : [op.operand(0), e];
        const product = b.value(
          "nn.matmul",
          operands,
          op.result.type,
          op.attrs,
          `${op.result.hint ?? "attention"}_unscaled`,
        );
        return b.value("nn.mul", [product, r], op.result.type, {}, op.result.hint);
      }
      return undefined;
    },
  };
}

function plainRule(span: number, sink: Sink): Rule {
  return {
    name: "softmax",
    op: "nn.softmax",
    apply: (op, b) => {
      const { e, r } = decompose(op, b, span, sink);
      return b.value("nn.mul", [e, r], op.result.type, {}, op.result.hint);
    },
  };
}

export const decomposeSoftmax = definePass({
  name: "decompose-softmax",
  summary:
    "Split softmax into maximum, exp, sum, reciprocal and product, and move the product behind a matmul that contracts the axis.",
  level: "nn",
  semantics: "changes-values",
  options: {
    span: number({ min: 1, max: 64, default: DEFAULT_SPAN, doc: "range below the maximum in which exp is resolved" }),
  },
  doc: "Values change by rounding only. Softmax that becomes unused is removed by `dce`.",
  run: (module, { span }, ctx) => {
    applyRules(module, [sinkRule(span, ctx.sink)]);
    applyRules(module, [plainRule(span, ctx.sink)]);
  },
});
