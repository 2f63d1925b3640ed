/** Einsum: operands with named axes, contracted two at a time as products of matrices. */
import type { Value } from "../../ir/core.js";
import { elementCount, rowMajorStrides } from "../../ir/types.js";
import { reduce, reshape, transpose } from "./build.js";
import { flatGather, points } from "./scatter.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";

interface Labelled {
  readonly value: Value;
  readonly labels: readonly string[];
}

const einsum: OperatorImporter = {
  opType: "Einsum",
  import: (ctx) => {
    const equation = ctx.string("equation", "").replace(/\s+/g, "");
    const [left, right] = equation.split("->");
    const terms = left!.split(",");
    if (terms.length !== ctx.inputCount)
      throw ctx.error(`the equation "${equation}" names ${terms.length} operands of ${ctx.inputCount}`);
    const most = Math.max(
      ...terms.map((t, i) => (t.includes("...") ? ctx.shape(i).length - t.replace("...", "").length : 0)),
    );
    const dots = Array.from({ length: most }, (_, i) => `.${i}`);
    const expand = (t: string, rank?: number): string[] => {
      const [before, after] = t.split("...");
      if (after === undefined) return [...t];
      const n = rank === undefined ? most : rank - before!.length - after.length;
      return [...before!, ...dots.slice(most - n), ...after];
    };
    const operands = terms.map((t, i): Labelled => {
      const labels = expand(t, ctx.shape(i).length);
      if (labels.length !== ctx.shape(i).length)
        throw ctx.error(`"${t}" does not fit an operand of rank ${ctx.shape(i).length}`);
      return diagonal(ctx, { value: ctx.value(i), labels });
    });
    const all = terms.flatMap((t, i) => expand(t, ctx.shape(i).length));
    const output =
      right !== undefined
        ? expand(right)
        : [
            ...dots,
            ...[...new Set(all)].filter((l) => !l.startsWith(".") && all.filter((m) => m === l).length === 1).sort(),
          ];
    let acc = operands[0]!;
    for (let i = 1; i < operands.length; i++) {
      const later = new Set([...output, ...operands.slice(i + 1).flatMap((o) => o.labels)]);
      acc = contract(ctx, acc, operands[i]!, later);
    }
    const summed = acc.labels.flatMap((l, d) => (output.includes(l) ? [] : [d]));
    const kept = acc.labels.filter((l) => output.includes(l));
    const value = reduce(ctx, acc.value, "sum", summed, false);
    if (output.some((l) => !kept.includes(l)))
      throw ctx.error(`the equation "${equation}" has an output label that no operand has`);
    return transpose(
      ctx,
      value,
      output.map((l) => kept.indexOf(l)),
    );
  },
};

/** Axes with one label become one, on which their indices are equal. */
function diagonal(ctx: NodeContext, o: Labelled): Labelled {
  const labels = [...new Set(o.labels)];
  if (labels.length === o.labels.length) return o;
  const from = shapeOf(o.value);
  const size = labels.map((l) => from[o.labels.indexOf(l)]!);
  if (o.labels.some((l, d) => from[d] !== size[labels.indexOf(l)]))
    throw ctx.error(`the axes of a diagonal of [${from.join(", ")}] differ in length`);
  const strides = rowMajorStrides(from);
  const at = points(size).map((p) => o.labels.reduce((sum, l, d) => sum + p[labels.indexOf(l)]! * strides[d]!, 0));
  return { value: flatGather(ctx, o.value, at, size), labels };
}

/** Sum over the labels that nobody asks for later; shared labels that stay are a batch. */
function contract(ctx: NodeContext, a: Labelled, b: Labelled, later: ReadonlySet<string>): Labelled {
  const own = (o: Labelled, other: Labelled): Labelled => {
    const gone = o.labels.flatMap((l, d) => (!later.has(l) && !other.labels.includes(l) ? [d] : []));
    return { value: reduce(ctx, o.value, "sum", gone, false), labels: o.labels.filter((_, d) => !gone.includes(d)) };
  };
  const [x, y] = [own(a, b), own(b, a)];
  const size = (o: Labelled, l: string): number => shapeOf(o.value)[o.labels.indexOf(l)]!;
  const shared = x.labels.filter((l) => y.labels.includes(l));
  for (const l of shared)
    if (size(x, l) !== size(y, l)) throw ctx.error(`label "${l}" has ${size(x, l)} and ${size(y, l)} elements`);
  const batch = shared.filter((l) => later.has(l));
  const inner = shared.filter((l) => !later.has(l));
  const [rows, columns] = [x.labels.filter((l) => !shared.includes(l)), y.labels.filter((l) => !shared.includes(l))];
  const arrange = (o: Labelled, order: readonly string[], shape: readonly number[]): Value =>
    reshape(
      ctx,
      transpose(
        ctx,
        o.value,
        order.map((l) => o.labels.indexOf(l)),
      ),
      shape,
    );
  const sizes = (o: Labelled, list: readonly string[]): number => elementCount(list.map((l) => size(o, l)));
  const batches = batch.map((l) => size(x, l));
  const left = arrange(x, [...batch, ...rows, ...inner], [...batches, sizes(x, rows), sizes(x, inner)]);
  const rightSide = arrange(y, [...batch, ...inner, ...columns], [...batches, sizes(y, inner), sizes(y, columns)]);
  const y2 = ctx.emit("nn.matmul", [left, rightSide], [...batches, sizes(x, rows), sizes(y, columns)]);
  const labels = [...batch, ...rows, ...columns];
  return {
    value: reshape(
      ctx,
      y2,
      labels.map((l) => (x.labels.includes(l) ? size(x, l) : size(y, l))),
    ),
    labels,
  };
}

export const contractionOperators: readonly OperatorImporter[] = [einsum];
