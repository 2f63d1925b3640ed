/** Lowering of reductions and pooling. */
import { CompilerBug } from "../../diagnostics/index.js";
import { sumType } from "../../ir/fixed-arith.js";
import * as nn from "../../ir/nn/ops.js";
import { outerRange, rawRange } from "../../ir/types.js";
import { along, at0, type Index } from "./context.js";
import { label, parallel, reduction, resultType, SPATIAL, type Lowering } from "./elementwise.js";
import { rangedOf } from "./views.js";

export const lowerReduce: Lowering = (op, ctx) => {
  const x = ctx.view(op.operand(0));
  const { kind, axes: folded, keepdims: keep } = nn.reduce.read(op);
  if (kind === "mean") throw new CompilerBug("nn.reduce of kind mean reaches the lowering; quantization splits it");
  const axes = new Set(folded);
  const iterators = x.shape.map((n, d) => (axes.has(d) ? reduction(`r${d}`, n) : parallel(`d${d}`, n)));
  const out = x.shape.flatMap((_, d) => (axes.has(d) ? (keep ? [at0] : []) : [along(`d${d}`)]));
  const terms = [...axes].reduce((n, d) => n * x.shape[d]!, 1);
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators,
      // Lanes beyond the edge read the pad value, which must not decide a maximum.
      operands: [
        {
          of: x,
          index: iterators.map((i) => along(i.name)),
          pad: kind === "sum" ? 0 : kind === "max" ? outerRange(x.elem).lo : rawRange(x.elem).hi,
        },
      ],
      combiner: kind === "sum" ? "add" : kind,
      accType: kind === "sum" ? sumType(rangedOf(x), terms, false) : x.elem,
      result: resultType(op),
      out,
      body: (_, [v]) => v!,
    }),
  );
};

export const lowerPool: Lowering = (op, ctx) => {
  const x = ctx.view(op.operand(0));
  const type = resultType(op);
  const { kind } = nn.pool.read(op);
  if (kind !== "max" && kind !== "sum")
    throw new CompilerBug(`nn.pool of kind ${kind} reaches the lowering; quantization splits it`);
  const { kernel, strides, pads, dilations } = nn.poolWindow(op);
  const names = SPATIAL.slice(3 - kernel.length);
  const terms = kernel.reduce((n, k) => n * k, 1);
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators: [
        parallel("n", type.shape[0]!),
        parallel("c", type.shape[1]!),
        ...names.map((s, d) => parallel(s, type.shape[2 + d]!)),
        ...names.map((s, d) => reduction(`k${s}`, kernel[d]!)),
      ],
      operands: [
        {
          of: x,
          index: [
            along("n"),
            along("c"),
            ...names.map(
              (s, d): Index => ({ terms: { [s]: strides[d]!, [`k${s}`]: dilations[d]! }, offset: -pads[d]! }),
            ),
          ],
          pad: kind === "max" ? outerRange(x.elem).lo : 0,
        },
      ],
      combiner: kind === "max" ? "max" : "add",
      accType: kind === "max" ? x.elem : sumType(rangedOf(x), terms, false),
      result: type,
      out: [along("n"), along("c"), ...names.map((s) => along(s))],
      body: (_, [v]) => v!,
    }),
  );
};
