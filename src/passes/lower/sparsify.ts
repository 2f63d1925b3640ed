/** nn.sparsify -> flow.sparsify, whose operands arrive in row-major order. */
import type { Op } from "../../ir/core.js";
import { shapeOf } from "../../ir/nn/values.js";
import { SPARSIFY_OPERANDS } from "../../ir/sparse.js";
import { stream, type TensorType } from "../../ir/types.js";
import { fixedElem, type LoweringContext } from "./context.js";
import { wholeValue } from "./copy.js";
import { wholeView } from "./views.js";

export function lowerSparsify(op: Op, ctx: LoweringContext): void {
  const name = op.results[0]!.hint ?? op.loc.nodes[0] ?? "sparsify";
  const operands = op.operands.map((v, i) => wholeValue(ctx.view(v), `${name}_${SPARSIFY_OPERANDS[i]!}`, op.loc, ctx));
  const types = op.results.map((v) => v.type as TensorType);
  const made = ctx.builder.create(
    "flow.sparsify",
    operands,
    types.map((t) => stream(t.shape, t.elem)),
    {
      ...op.attrs,
      where_shape: [...shapeOf(op.operand(0))],
      x_shape: [...shapeOf(op.operand(1))],
      sym: ctx.uniqueName(name),
    },
    { hints: op.results.map((v) => v.hint) },
  );
  op.results.forEach((v, i) => ctx.setView(v, wholeView(made.results[i]!, types[i]!.shape, fixedElem(types[i]!.elem))));
}
