/** Sums of products in fixed point: rounded weights, and biases that join the exact accumulator. */
import type { Op, Value } from "../../../../ir/core.js";
import * as nn from "../../../../ir/nn/ops.js";
import { constantOf, shapeOf } from "../../../../ir/nn/values.js";
import { tensor } from "../../../../ir/types.js";
import type { FixedValues } from "../fixed-values.js";
import { linearView } from "../linear.js";

/** Weights that are rounded beforehand, as a constant. */
function weightsOf(op: Op, f: FixedValues): Value {
  const rounded = f.plan.weights.get(op);
  const w = op.operand(1);
  // Weights that are computed: a product of two activations.
  if (rounded === undefined) return f.narrow(w);
  return f.dense(shapeOf(w), linearView(op).restore(rounded.raw), rounded.type, w.hint);
}

/** Corrections of the bias that rounding the weights asks for; undefined where it asks for none. */
function shiftOf(op: Op, f: FixedValues): Float64Array | undefined {
  const shift = f.plan.weights.get(op)?.biasShift;
  return shift?.some((s) => s !== 0) === true ? shift : undefined;
}

export function conv(op: Op, f: FixedValues): Value {
  const x = f.narrow(op.operand(0));
  const w = weightsOf(op, f);
  const { b } = nn.conv.args(op);
  const shift = shiftOf(op, f);
  if (b === undefined && shift === undefined) return f.emit(op.name, [x, w], op.result, op.attrs);
  return biased(op, [x, w], f.elem(x).frac + f.elem(w).frac, b, shift, f);
}

export function matmul(op: Op, f: FixedValues): Value {
  const x = f.narrow(op.operand(0));
  const w = weightsOf(op, f);
  const product = f.emit(op.name, [x, w], op.result, op.attrs);
  const shift = shiftOf(op, f);
  if (shift === undefined) return product;
  const next = op.result.uses.length === 1 ? op.result.uses[0] : undefined;
  const offset = next?.op.name === nn.add.name ? constantOf(next.op.operand(1 - next.index)) : undefined;
  if (next !== undefined && offset?.data.length === shift.length && offset.shape.at(-1) === offset.data.length) {
    f.pendingShift.set(next.op, shift);
    return product;
  }
  const frac = f.elem(x).frac + f.elem(w).frac;
  return f.emit("nn.add", [product, f.bias(undefined, frac, shift)], op.result, {});
}

/** Of an operation that a program adds: as any product of a layer, operands are rounded. */
export function narrowed(op: Op, f: FixedValues): Value {
  return f.emit(
    op.name,
    op.operands.map((v) => f.narrow(v)),
    op.result,
    op.attrs,
  );
}

/**
 * A convolution of accumulators with `frac` fractional bits, and its bias. One of that many bits that is too long for
 * a constant is added behind.
 */
function biased(
  op: Op,
  operands: readonly Value[],
  frac: number,
  v: Value | undefined,
  shift: Float64Array | undefined,
  f: FixedValues,
): Value {
  const bias = f.bias(v, frac, shift);
  if (f.elem(bias).frac === frac) return f.emit(op.name, [...operands, bias], op.result, op.attrs);
  const sum = f.emit(op.name, operands, op.result, op.attrs);
  const shape = [
    ...shapeOf(bias),
    ...shapeOf(op.result)
      .slice(2)
      .map(() => 1),
  ];
  return f.emit(
    "nn.add",
    [sum, f.b.value("nn.reshape", [bias], tensor(shape, f.elem(bias)), { shape }, bias.hint)],
    op.result,
    {},
  );
}
