/** Pools and reductions. */
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";
import type { Value } from "../../ir/core.js";
import { rowMajorStrides } from "../../ir/types.js";
import { windowOf } from "./window.js";

function pool(opType: string, kind: "max" | "average"): OperatorImporter {
  return {
    opType,
    limits: "1-D, 2-D and 3-D",
    ignores: { storage_order: "it says how the output of indices counts, which is refused" },
    import: (ctx) => {
      const s = ctx.shape(0);
      const kernel = ctx.ints("kernel_shape");
      if (kernel === undefined) throw ctx.error("kernel_shape is missing");
      if (kernel.length !== s.length - 2 || kernel.length < 1 || kernel.length > 3)
        throw ctx.error(`a kernel of ${kernel.length} dimensions for an input of rank ${s.length} is not supported`);
      if (ctx.node.output.filter((o) => o !== "").length > 1) throw ctx.error("the output of indices is not supported");
      const { strides, pads, dilations, out, overhang } = windowOf(ctx, s.slice(2), kernel);
      const include = ctx.int("count_include_pad", 0) !== 0;
      if (kind === "average" && include && overhang.some((n) => n > 0)) {
        // The padding counts, what lies beyond it does not: the mean of each window has a divisor of its own.
        const sum = ctx.emit("nn.pool", [ctx.value(0)], [s[0]!, s[1]!, ...out], {
          kind: "sum",
          kernel,
          strides,
          pads,
          dilations,
        });
        const share = out.map((n, d) =>
          Array.from({ length: n }, (_, i) =>
            insideCount(
              i * strides[d]!,
              kernel[d]!,
              dilations[d]!,
              s[2 + d]! + pads[d]! + pads[kernel.length + d]! - overhang[d]!,
            ),
          ),
        );
        const data = share.reduce<number[]>((list, counts) => list.flatMap((v) => counts.map((c) => v / c)), [1]);
        return ctx.emit(
          "nn.mul",
          [sum, ctx.fromConstant({ shape: out, data: Float64Array.from(data), integer: false }, `${ctx.name}_shares`)],
          [s[0]!, s[1]!, ...out],
        );
      }
      return ctx.emit("nn.pool", [ctx.value(0)], [s[0]!, s[1]!, ...out], {
        kind,
        kernel,
        strides,
        pads,
        dilations,
        count_include_pad: include,
      });
    },
  };
}

/** Elements of a window from `start` on that lie in front of `end`. */
function insideCount(start: number, kernel: number, dilation: number, end: number): number {
  return Array.from({ length: kernel }, (_, k) => start + k * dilation).filter((at) => at < end).length;
}

function reduced(ctx: NodeContext, x: Value, kind: string, axes: readonly number[], keepdims: boolean): Value {
  const s = shapeOf(x);
  const shape = keepdims ? s.map((n, d) => (axes.includes(d) ? 1 : n)) : s.filter((_, d) => !axes.includes(d));
  return ctx.emit("nn.reduce", [x], shape, { kind, axes: [...axes], keepdims });
}

const FOLDS: Readonly<Record<string, (acc: number, v: number) => number>> = {
  sum: (a, v) => a + v,
  mean: (a, v) => a + v,
  max: Math.max,
  min: Math.min,
  prod: (a, v) => a * v,
};

export function foldConstant(c: ConstTensor, kind: string, axes: ReadonlySet<number>, keepdims: boolean): Imported {
  const kept = c.shape.map((n, d) => (axes.has(d) ? 1 : n));
  const strides = rowMajorStrides(kept).map((s, d) => (axes.has(d) ? 0 : s));
  const out = new Array<number | undefined>(kept.reduce((n, d) => n * d, 1)).fill(undefined);
  const p = c.shape.map(() => 0);
  const fold = FOLDS[kind]!;
  for (const v of c.data) {
    const o = p.reduce((sum, i, d) => sum + i * strides[d]!, 0);
    out[o] = out[o] === undefined ? v : fold(out[o], v);
    for (let d = p.length - 1; d >= 0 && ++p[d]! === c.shape[d]; d--) p[d] = 0;
  }
  const terms = c.data.length / out.length;
  const empty = kind === "prod" ? 1 : 0;
  const data = out.map((v) => (v === undefined ? empty : kind === "mean" ? v / terms : v));
  return known(
    keepdims ? kept : c.shape.filter((_, d) => !axes.has(d)),
    c.integer ? data.map(Math.trunc) : data,
    c.integer,
  );
}

function globalPool(opType: string, kind: string): OperatorImporter {
  return {
    opType,
    import: (ctx) =>
      reduced(
        ctx,
        ctx.value(0),
        kind,
        ctx
          .shape(0)
          .map((_, d) => d)
          .slice(2),
        true,
      ),
  };
}

function reduction(opType: string, kind: string): OperatorImporter {
  return {
    opType,
    import: (ctx) => {
      const rank = ctx.shape(0).length;
      const given = ctx.intsOrInput("axes", 1, "axes");
      const [noop, keepdims] = [ctx.int("noop_with_empty_axes", 0) !== 0, ctx.int("keepdims", 1) !== 0];
      if ((given === undefined || given.length === 0) && noop) return ctx.input(0);
      const axes =
        given === undefined || given.length === 0 ? ctx.shape(0).map((_, d) => d) : given.map((a) => ctx.axis(a, rank));
      const c = ctx.constant(0);
      if (c !== undefined) return foldConstant(c, kind, new Set(axes), keepdims);
      return reduced(
        ctx,
        ctx.value(0),
        kind,
        [...new Set(axes)].sort((a, b) => a - b),
        keepdims,
      );
    },
  };
}

export const reduceOperators: readonly OperatorImporter[] = [
  pool("MaxPool", "max"),
  pool("AveragePool", "average"),
  globalPool("GlobalMaxPool", "max"),
  globalPool("GlobalAveragePool", "mean"),
  reduction("ReduceSum", "sum"),
  reduction("ReduceMean", "mean"),
  reduction("ReduceMax", "max"),
  reduction("ReduceMin", "min"),
];
