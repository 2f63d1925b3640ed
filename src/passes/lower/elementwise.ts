/** What the lowerings share: grids over shapes, and the kernel that works element by element. */
import type { Op, Value } from "../../ir/core.js";
import type { Iterator } from "../../ir/flow/kernel.js";
import type { TensorType } from "../../ir/types.js";
import { along, at0, fixedElem, type Access, type BodyBuilder, type Index, type LoweringContext } from "./context.js";
import { broadcasted, type Viewed } from "./views.js";
import { tensorType } from "../../ir/nn/values.js";

export type Lowering = (op: Op, ctx: LoweringContext) => void;

export const parallel = (name: string, extent: number): Iterator => ({ name, extent, kind: "parallel" });
export const reduction = (name: string, extent: number): Iterator => ({ name, extent, kind: "reduction" });

/** Names of the spatial iterators, of which the last ones are used. */
export const SPATIAL: readonly string[] = ["z", "y", "x"];

export function resultType(op: Op): TensorType {
  return tensorType(op.result);
}
export function label(op: Op): string {
  return op.loc.nodes[0] ?? op.result.hint ?? op.name;
}
/** Iterators d0, d1, ... over a shape, and their indices. */
export function gridOf(shape: readonly number[]): { iterators: Iterator[]; index: Index[] } {
  return {
    iterators: shape.map((n, d) => parallel(`d${d}`, n)),
    index: shape.map((n, d) => (n === 1 ? at0 : along(`d${d}`))),
  };
}
/** Reads a view with numpy broadcasting at the point of `shape`'s grid. */
export function broadcastAccess(v: Viewed, shape: readonly number[]): Access {
  return { of: broadcasted(v, shape), index: gridOf(shape).index };
}

/** An elementwise kernel over the broadcast shape of its operands. */
export function elementwise(
  op: Op,
  ctx: LoweringContext,
  compute: (b: BodyBuilder, ...args: Value[]) => Value,
  operands: readonly Value[] = op.operands,
): void {
  const type = resultType(op);
  const { iterators, index } = gridOf(type.shape);
  const result = ctx.kernel({
    name: label(op),
    loc: op.loc,
    iterators,
    operands: operands.map((v) => broadcastAccess(ctx.view(v), type.shape)),
    combiner: "none",
    result: type,
    out: index,
    body: (b, args) => b.cast(compute(b, ...args), fixedElem(type.elem)),
  });
  ctx.setView(op.result, result);
}
