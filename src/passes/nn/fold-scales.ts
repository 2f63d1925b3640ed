/**
 * Moves constant factors and offsets into the weights and bias of a neighbouring conv or matmul, where they cost
 * nothing: what batch normalisation, averages and exported scalings leave behind.
 */
import { Dense } from "../../ir/attributes.js";
import type { Builder, Op, Value } from "../../ir/core.js";
import { shapeOf, constantOf } from "../../ir/nn/values.js";
import { f32, tensor } from "../../ir/types.js";
import { EXACT } from "./integerize.js";
import { MASKED } from "./mask-reader.js";
import { definePass } from "../define-pass.js";
import { applyRules, type Rule } from "../rewrite.js";
import * as nn from "../../ir/nn/ops.js";
import { isMove } from "../../ir/nn/roles.js";

/** The data of a float constant that may become part of another. */
function foldable(v: Value | undefined): Dense | undefined {
  const value = constantOf(v);
  // A mask is read in front of its softmax; in a bias it could not be told from one.
  return value?.elem.kind === "float" && !value.data.some((x) => x <= MASKED) ? value : undefined;
}
function makeConstant(
  b: Builder,
  shape: readonly number[],
  values: readonly number[] | Float32Array,
  hint: string | undefined,
): Value {
  return b.value(
    "nn.constant",
    [],
    tensor(shape, f32),
    { value: new Dense(shape, f32, Float32Array.from(values)) },
    hint,
  );
}
function isLinear(op: Op | undefined): op is Op {
  // The products of integers are exact, and their scale is where it belongs.
  if (op === undefined || op.attrs[EXACT] === true || (op.name !== nn.conv.name && op.name !== nn.matmul.name))
    return false;
  const w = foldable(op.operand(1));
  return (
    w !== undefined &&
    (op.name === nn.conv.name
      ? op.operands[2] === undefined || foldable(op.operand(2)) !== undefined
      : w.shape.length === 2)
  );
}
/** Axis of the result that counts output channels. */
function channelAxis(op: Op): number {
  return op.name === nn.conv.name ? 1 : shapeOf(op.result).length - 1;
}
function channels(op: Op): number {
  return op.name === nn.conv.name ? shapeOf(op.operand(1))[0]! : shapeOf(op.operand(1))[1]!;
}

/** `c` as one number per output channel of `op`, where it broadcasts that way and does not enlarge the result. */
function perChannel(c: Dense, op: Op): number[] | undefined {
  const n = channels(op);
  const rank = shapeOf(op.result).length;
  if (c.shape.length > rank) return undefined;
  if (c.data.length === 1) return new Array<number>(n).fill(c.data[0]!);
  const lead = rank - c.shape.length;
  const fits = c.shape.every((d, i) => d === 1 || (i + lead === channelAxis(op) && d === n));
  return fits && c.data.length === n ? Array.from(c.data) : undefined;
}

/** The linear operation with its weights times `scale` and its bias times `scale` plus `offset`, per output channel. */
function rescaled(
  op: Op,
  b: Builder,
  scale: readonly number[] | undefined,
  offset: readonly number[] | undefined,
  result: Value,
): Value {
  const w = foldable(op.operand(1))!;
  const n = channels(op);
  const perRow = w.data.length / n;
  const channelOf =
    op.name === nn.conv.name ? (i: number): number => Math.floor(i / perRow) : (i: number): number => i % n;
  const weights =
    scale === undefined
      ? op.operand(1)
      : makeConstant(
          b,
          w.shape,
          Array.from(w.data, (v, i) => v * scale[channelOf(i)]!),
          op.operand(1).hint,
        );
  const old = foldable(op.operands[2]);
  const operands = [op.operand(0), weights];
  if (old !== undefined || offset !== undefined) {
    const bias = Array.from({ length: n }, (_, c) => (old?.data[c] ?? 0) * (scale?.[c] ?? 1) + (offset?.[c] ?? 0));
    operands.push(makeConstant(b, [n], bias, op.operands[2]?.hint ?? `${result.hint ?? "conv"}_bias`));
  }
  return b.value(op.name, operands, op.result.type, op.attrs, result.hint);
}

/** A constant operand and the other one. */
function split(op: Op): { c: Dense; x: Value } | undefined {
  const [p, q] = [foldable(op.operand(0)), foldable(op.operand(1))];
  if (p !== undefined && q === undefined) return { c: p, x: op.operand(1) };
  if (q !== undefined && p === undefined) return { c: q, x: op.operand(0) };
  return undefined;
}

const scaleAfterLinear: Rule = {
  name: "scale-into-weights",
  op: "nn.mul",
  apply: (op, b) => {
    const parts = split(op);
    const linear = parts?.x.def;
    if (parts === undefined || !isLinear(linear) || parts.x.uses.length !== 1) return undefined;
    const scale = perChannel(parts.c, linear);
    return scale === undefined ? undefined : rescaled(linear, b, scale, undefined, op.result);
  },
};

/** (x @ w + c) * s -> x @ (w * s) + c * s: brings the factor next to the matmul. */
const scaleOverBias: Rule = {
  name: "scale-over-bias",
  op: "nn.mul",
  apply: (op, b) => {
    const outer = split(op);
    const add = outer?.x.def;
    if (outer === undefined || add?.name !== nn.add.name || outer.x.uses.length !== 1) return undefined;
    const inner = split(add);
    const linear = inner?.x.def;
    if (inner === undefined || !isLinear(linear) || inner.x.uses.length !== 1) return undefined;
    const [scale, bias] = [perChannel(outer.c, linear), perChannel(inner.c, linear)];
    if (scale === undefined || bias === undefined) return undefined;
    const product = rescaled(linear, b, scale, undefined, inner.x);
    const shape =
      linear.name === nn.conv.name
        ? [
            bias.length,
            ...shapeOf(linear.result)
              .slice(2)
              .map(() => 1),
          ]
        : [bias.length];
    return b.value(
      "nn.add",
      [
        product,
        makeConstant(
          b,
          shape,
          bias.map((v, i) => v * scale[i]!),
          undefined,
        ),
      ],
      op.result.type,
      {},
      op.result.hint,
    );
  },
};

const offsetAfterConv: Rule = {
  name: "offset-into-bias",
  op: "nn.add",
  apply: (op, b) => {
    const parts = split(op);
    const linear = parts?.x.def;
    if (parts === undefined || !isLinear(linear) || linear.name !== nn.conv.name || parts.x.uses.length !== 1)
      return undefined;
    const offset = perChannel(parts.c, linear);
    return offset === undefined ? undefined : rescaled(linear, b, undefined, offset, op.result);
  },
};

/** A shape without the leading ones that broadcasting adds anyway. */
function trimmed(shape: readonly number[]): string {
  const first = shape.findIndex((d) => d !== 1);
  return first < 0 ? "" : shape.slice(first).join();
}

/** Two additions of constants in a row. */
const offsetOfOffset: Rule = {
  name: "merge-offsets",
  op: "nn.add",
  apply: (op, b) => {
    const outer = split(op);
    const add = outer?.x.def;
    if (outer === undefined || add?.name !== nn.add.name || outer.x.uses.length !== 1) return undefined;
    const inner = split(add);
    if (inner === undefined || trimmed(inner.c.shape) !== trimmed(outer.c.shape)) return undefined;
    const sum = makeConstant(
      b,
      inner.c.shape,
      Array.from(inner.c.data, (v, i) => v + outer.c.data[i]!),
      undefined,
    );
    return b.value("nn.add", [inner.x, sum], op.result.type, {}, op.result.hint);
  },
};

/** linear(x * s) -> linear'(x) for one number s, also where the product is moved in between. */
function scaleBeforeLinear(name: string): Rule {
  return {
    name: "scale-before-linear",
    op: name,
    apply: (op, b) => {
      if (!isLinear(op)) return undefined;
      const path: Op[] = [];
      let at = op.operand(0);
      while (at.uses.length === 1 && at.def !== undefined && isMove(at.def)) {
        path.push(at.def);
        at = at.def.operand(0);
      }
      if (at.uses.length !== 1 || at.def?.name !== nn.mul.name) return undefined;
      const parts = split(at.def);
      if (parts === undefined || parts.c.data.length !== 1 || shapeOf(parts.x).join() !== shapeOf(at).join())
        return undefined;
      let x = parts.x;
      for (const move of path.reverse()) x = b.value(move.name, [x], move.result.type, move.attrs, move.result.hint);
      const s = parts.c.data[0]!;
      const w = foldable(op.operand(1))!;
      const weights = makeConstant(
        b,
        w.shape,
        Array.from(w.data, (v) => v * s),
        op.operand(1).hint,
      );
      return b.value(op.name, [x, weights, ...op.operands.slice(2)], op.result.type, op.attrs, op.result.hint);
    },
  };
}

export const foldScales = definePass({
  name: "fold-scales",
  summary:
    "Fold multiplication and addition of constants into the weights and bias of neighbouring convolutions and matmuls.",
  level: "nn",
  semantics: "changes-values",
  doc: "Works on float weights; values change by rounding only. Run `dce` behind it.",
  run: (module) =>
    applyRules(module, [
      scaleAfterLinear,
      scaleOverBias,
      offsetAfterConv,
      offsetOfOffset,
      scaleBeforeLinear("nn.conv"),
      scaleBeforeLinear("nn.matmul"),
    ]),
});
