/** Lowering of what moves elements: views where strides express it, copies where they do not. */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Op } from "../../ir/core.js";
import * as nn from "../../ir/nn/ops.js";
import { wideRange } from "../../ir/types.js";
import { fixedElem, type Access, type Index, type LoweringContext } from "./context.js";
import { copyOf } from "./copy.js";
import { gridOf, label, resultType, type Lowering } from "./elementwise.js";
import { gridSize, gridView, indexGrids, indexRuns, type IndexGrid } from "./index-grids.js";
import { broadcasted, reshaped, sliced, transposed, type Viewed } from "./views.js";

/** Copies a view: what a reshape needs where no strides express it. */
function materialize(v: Viewed, op: Op, ctx: LoweringContext): Viewed {
  return copyOf(v, label(op), op.loc, ctx);
}

export const lowerReshape: Lowering = (op, ctx) => {
  const v = ctx.view(op.operand(0));
  const shape = resultType(op).shape;
  ctx.setView(op.result, reshaped(v, shape) ?? reshaped(materialize(v, op, ctx), shape)!);
};

export const lowerTranspose: Lowering = (op, ctx) =>
  ctx.setView(op.result, transposed(ctx.view(op.operand(0)), nn.transpose.read(op).perm));

export const lowerSlice: Lowering = (op, ctx) => {
  const { starts, steps, shape } = nn.slice.read(op);
  ctx.setView(op.result, sliced(ctx.view(op.operand(0)), starts, steps, shape));
};

export const lowerBroadcast: Lowering = (op, ctx) =>
  ctx.setView(op.result, broadcasted(ctx.view(op.operand(0)), resultType(op).shape));

/** Concatenation: every operand is read out of range, hence as 0, except where its part of the result is. */
function concatViews(op: Op, parts: readonly Viewed[], axis: number, ctx: LoweringContext): Viewed {
  const type = resultType(op);
  const elem = fixedElem(type.elem);
  const { iterators, index } = gridOf(type.shape);
  let start = 0;
  const operands = parts.map((v): Access => {
    const shifted = index.map((x, d): Index => (d === axis ? { terms: x.terms, offset: -start } : x));
    start += v.shape[axis]!;
    return { of: v, index: shifted };
  });
  return ctx.kernel({
    name: label(op),
    loc: op.loc,
    iterators,
    operands,
    combiner: "none",
    result: type,
    out: index,
    // At most one operand is not zero, so the sum stays within the element type although intervals say otherwise.
    body: (b, args) => args.map((a) => b.cast(a, elem)).reduce((s, a) => b.merge(s, a, elem)),
  });
}

export const lowerConcat: Lowering = (op, ctx) => {
  const parts = op.operands.map((v) => ctx.view(v));
  ctx.setView(op.result, concatViews(op, parts, nn.concat.read(op).axis, ctx));
};

/**
 * A gather reads equidistant indices, and equidistant repetitions of such, as one view; it is the concatenation of
 * these.
 */
export const lowerGather: Lowering = (op, ctx) => {
  const v = ctx.view(op.operand(0));
  const { axis, indices } = nn.gather.read(op);
  const shape = resultType(op).shape;
  const pick = (g: IndexGrid): Viewed => {
    const grid = gridView(v, axis, g);
    const flat = v.shape.map((n, d) => (d === axis ? gridSize(g) : n));
    return reshaped(grid, flat) ?? reshaped(materialize(grid, op, ctx), flat)!;
  };
  const [runs, grids] = [indexRuns(indices), indexGrids(indices)];
  // A grid that no strides flatten is copied first, which is worth it where it stands for many runs.
  const parts = grids.length === 1 || 2 * grids.length <= runs.length ? grids : runs;
  const whole = parts.length === 1 ? pick(parts[0]!) : concatViews(op, parts.map(pick), axis, ctx);
  ctx.setView(op.result, reshaped(whole, shape) ?? reshaped(materialize(whole, op, ctx), shape)!);
};

export const lowerPad: Lowering = (op, ctx) => {
  const v = ctx.view(op.operand(0));
  const type = resultType(op);
  const { pads, value } = nn.pad.read(op);
  const { iterators, index } = gridOf(type.shape);
  const raw = value * 2 ** v.elem.frac;
  const range = wideRange(v.elem);
  if (!Number.isInteger(raw) || raw < range.lo || raw > range.hi)
    throw new CompilerBug(`pad value ${value} is not a value of the operand's type`);
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators,
      operands: [{ of: v, index: index.map((x, d): Index => ({ terms: x.terms, offset: -pads[d]! })), pad: raw }],
      combiner: "none",
      result: type,
      out: index,
      body: (_, [x]) => x!,
    }),
  );
};
