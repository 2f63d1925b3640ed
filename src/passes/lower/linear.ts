/** Lowering of convolutions and matrix products. */
import type { Value } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { checkWidth, dotType, weightedSumsRange } from "../../ir/fixed-arith.js";
import * as nn from "../../ir/nn/ops.js";
import { typeOfRange, type FixedType, type TensorType } from "../../ir/types.js";
import { along, type BodyBuilder, type Index } from "./context.js";
import { label, parallel, reduction, resultType, SPATIAL, type Lowering } from "./elementwise.js";
import { broadcasted, rangedOf, type Viewed } from "./views.js";

/**
 * Type that holds any sum of `terms` products of x and w. With constant weights the bound is the worst row of actual
 * weights, which is far tighter than the formats; `rows` groups weights that meet in one sum.
 */
function accumulatorType(
  x: Viewed,
  w: Viewed,
  terms: number,
  rows:
    | { readonly weights: ArrayLike<number>; readonly count: number; readonly rowOf: (i: number) => number }
    | undefined,
): FixedType {
  if (rows === undefined) return dotType(rangedOf(x), rangedOf(w), terms);
  return checkWidth(
    typeOfRange(weightedSumsRange(rangedOf(x).range, rows.weights, rows.count, rows.rowOf), x.elem.frac + w.elem.frac),
    "a sum of products",
  );
}

/** The product of the two arguments, aligned to nothing: its frac is the accumulator's. */
function product(b: BodyBuilder, args: readonly Value[]): Value {
  return b.mul(args[0]!, args[1]!);
}

export const lowerConv: Lowering = (op, ctx) => {
  const args = nn.conv.args(op);
  const [x, w] = [ctx.view(args.x), ctx.view(args.w)];
  const bias = args.b && ctx.view(args.b);
  const type = resultType(op);
  const rank = type.shape.length - 2;
  const names = SPATIAL.slice(3 - rank);
  const { strides, dilations, pads, group, pad_value } = nn.conv.read(op);
  const [outGroup, inGroup] = [w.shape[0]! / group, w.shape[1]!];
  const iterators = [
    parallel("n", type.shape[0]!),
    parallel("g", group),
    parallel("co", outGroup),
    ...names.map((s, d) => parallel(s, type.shape[2 + d]!)),
    reduction("ci", inGroup),
    ...names.map((s, d) => reduction(`k${s}`, w.shape[2 + d]!)),
  ];
  const spatial = names.map(
    (s, d): Index => ({ terms: { [s]: strides[d]!, [`k${s}`]: dilations[d]! }, offset: -pads[d]! }),
  );
  const channel: Index = { terms: { g: outGroup, co: 1 } };
  const terms = w.shape.slice(1).reduce((n, d) => n * d, 1);
  const weights = w.value.def?.name === "flow.constant" ? denseAttr(w.value.def, "value").data : undefined;
  const accType = accumulatorType(
    x,
    w,
    terms,
    weights && { weights, count: w.shape[0]!, rowOf: (i) => Math.floor(i / terms) },
  );
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators,
      operands: [
        {
          of: x,
          index: [along("n"), { terms: { g: inGroup, ci: 1 } }, ...spatial],
          pad: pad_value * 2 ** x.elem.frac,
        },
        { of: w, index: [channel, along("ci"), ...names.map((s) => along(`k${s}`))] },
        ...(bias === undefined ? [] : [{ of: bias, index: [channel], phase: "epilogue" as const }]),
      ],
      combiner: "add",
      accType,
      result: type,
      out: [along("n"), channel, ...names.map((s) => along(s))],
      body: product,
      epilogue: (b, acc, [c]) => (c === undefined ? acc : b.add(acc, c)),
    }),
  );
};

export const lowerMatmul: Lowering = (op, ctx) => {
  const type = resultType(op);
  let [a, b] = [ctx.view(op.operand(0)), ctx.view(op.operand(1))];
  // Rank 1 operands are a row or a column; the missing dimension of the result is not indexed.
  const [rowVector, columnVector] = [a.shape.length === 1, b.shape.length === 1];
  if (rowVector) a = { ...a, shape: [1, ...a.shape], strides: [0, ...a.strides] };
  if (columnVector) b = { ...b, shape: [...b.shape, 1], strides: [...b.strides, 0] };
  const [m, k] = a.shape.slice(-2) as [number, number];
  const n = b.shape[b.shape.length - 1]!;
  const batchRank = Math.max(a.shape.length, b.shape.length) - 2;
  const batch = type.shape.slice(0, batchRank);
  const batchIndex = batch.map((_, d) => along(`b${d}`));
  const extend = (v: Viewed): Viewed => broadcasted(v, [...batch, ...v.shape.slice(-2)]);
  const constant =
    b.value.def?.name === "flow.constant" &&
    b.shape.length === 2 &&
    b.shape.every((d, i) => d === (b.value.type as TensorType).shape[i]);
  const weights = constant ? denseAttr(b.value.def!, "value").data : undefined;
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators: [...batch.map((e, d) => parallel(`b${d}`, e)), parallel("m", m), parallel("n", n), reduction("k", k)],
      operands: [
        { of: extend(a), index: [...batchIndex, along("m"), along("k")] },
        { of: extend(b), index: [...batchIndex, along("k"), along("n")] },
      ],
      combiner: "add",
      accType: accumulatorType(a, b, k, weights && { weights, count: n, rowOf: (i) => i % n }),
      result: type,
      out: [...batchIndex, ...(rowVector ? [] : [along("m")]), ...(columnVector ? [] : [along("n")])],
      body: product,
    }),
  );
};
