/** What is asked of the values of nn programs: shape, format, whether they are constants. */
import type { Dense } from "../attributes.js";
import type { Value } from "../core.js";
import { denseAttr } from "../define-op.js";
import { elemType, tensor, type FixedType, type TensorType } from "../types.js";

export function tensorType(v: Value): TensorType {
  return v.type.kind === "tensor" ? v.type : tensor([], elemType(v.type));
}
export function shapeOf(v: Value): readonly number[] {
  return tensorType(v).shape;
}
/** Element type of a fixed-point tensor; undefined in float. */
export function fixedOf(v: Value): FixedType | undefined {
  const { elem } = tensorType(v);
  return elem.kind === "fixed" ? elem : undefined;
}

/** The data of a constant; undefined for anything else. On fixed point these are raw integers. */
export function constantOf(v: Value | undefined): Dense | undefined {
  return v?.def?.name === "nn.constant" ? denseAttr(v.def, "value") : undefined;
}
export function isConstant(v: Value | undefined): boolean {
  return v?.def?.name === "nn.constant";
}
/** The number that a constant of one element is. */
export function singleOf(v: Value | undefined): number | undefined {
  const c = constantOf(v);
  return c?.data.length === 1 ? c.data[0] : undefined;
}

/** Real values of a constant. */
export function valuesOfDense(d: Dense): Float64Array {
  const scale = d.elem.kind === "fixed" ? 2 ** -d.elem.frac : 1;
  return Float64Array.from(d.data, (v) => v * scale);
}
