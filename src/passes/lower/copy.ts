/** Copies of views: for whoever takes elements in row-major order, one after the other. */
import type { Location, Value } from "../../ir/core.js";
import { elementCount, rowMajorStrides, type TensorType } from "../../ir/types.js";
import { along, at0, type LoweringContext } from "./context.js";
import type { Viewed } from "./views.js";

/** Copies a view into row-major order. */
export function copyOf(v: Viewed, name: string, loc: Location, ctx: LoweringContext): Viewed {
  const index = v.shape.map((n, d) => (n === 1 ? at0 : along(`d${d}`)));
  return ctx.kernel({
    name: `${name}_copy`,
    loc,
    iterators: v.shape.map((n, d) => ({ name: `d${d}`, extent: n, kind: "parallel" as const })),
    operands: [{ of: v, index }],
    combiner: "none",
    result: { kind: "tensor", shape: v.shape, elem: v.elem },
    out: index,
    body: (_, [x]) => x!,
  });
}

/** Whether a view shows all of its value, in row-major order. */
export function isWhole(v: Viewed): boolean {
  const whole = v.value.type as TensorType;
  const rowMajor = rowMajorStrides(v.shape).every((s, d) => v.shape[d] === 1 || s === v.strides[d]);
  return v.offset === 0 && rowMajor && elementCount(whole.shape) === elementCount(v.shape);
}

/** The value of a view that is whole, or of its copy. */
export function wholeValue(v: Viewed, name: string, loc: Location, ctx: LoweringContext): Value {
  return isWhole(v) ? v.value : copyOf(v, name, loc, ctx).value;
}
