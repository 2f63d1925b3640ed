/**
 * Linear operations with constant weights seen as matrices: conv and matmul alike are rows of weights that meet rows of
 * inputs.
 */
import type { Op } from "../../../ir/core.js";
import { shapeOf, valuesOfDense, constantOf } from "../../../ir/nn/values.js";
import { elementCount, rowMajorStrides } from "../../../ir/types.js";
import type { WeightMatrix } from "./weights.js";
import * as nn from "../../../ir/nn/ops.js";

/** Whether the operation is a conv or a matmul of rank-2 constant weights. */
export function isLinear(op: Op): boolean {
  if (op.name !== nn.conv.name && op.name !== nn.matmul.name) return false;
  const w = constantOf(op.operand(1));
  return (
    w !== undefined && (op.name === nn.conv.name || w.shape.length === 2) && constantOf(op.operand(0)) === undefined
  );
}

/** Whether the operation is a product of a tensor and a constant, element by element. */
export function isScaling(op: Op): boolean {
  return (
    op.name === "nn.mul" && (constantOf(op.operand(0)) === undefined) !== (constantOf(op.operand(1)) === undefined)
  );
}

/** Scalar products of a conv or matmul; 0 for other operations. */
export function macsOf(op: Op): number {
  if (op.name !== nn.conv.name && op.name !== nn.matmul.name) return 0;
  const outputs = elementCount(shapeOf(op.result));
  if (op.name === nn.conv.name) return outputs * elementCount(shapeOf(op.operand(1)).slice(1));
  const a = shapeOf(op.operand(0));
  return outputs * a[a.length - 1]!;
}

export interface LinearView {
  readonly matrix: WeightMatrix;
  readonly groups: number;
  /** Back from the matrix to the layout of the constant. */
  readonly restore: (data: Float64Array) => Float64Array;
}

/** Weights of a linear operation by output channel. */
export function linearView(op: Op): LinearView {
  const dense = constantOf(op.operand(1))!;
  const values = valuesOfDense(dense);
  if (op.name === nn.conv.name) {
    const outputs = dense.shape[0]!;
    return {
      matrix: { outputs, inputs: elementCount(dense.shape.slice(1)), data: values },
      groups: nn.conv.read(op).group,
      restore: (d) => d,
    };
  }
  const [k, n] = dense.shape as [number, number];
  return {
    matrix: { outputs: n, inputs: k, data: transposed(values, k, n) },
    groups: 1,
    restore: (d) => transposed(d, n, k),
  };
}

function transposed(x: Float64Array, rows: number, columns: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) y[j * rows + i] = x[i * columns + j]!;
  return y;
}

/** The rows of inputs that meet the weights, by group: patches of a conv, rows of a matmul's first operand. */
export function extractRows(op: Op, x: Float64Array): Float64Array[][] {
  const shape = shapeOf(op.operand(0));
  const w = constantOf(op.operand(1))!;
  if (op.name === nn.matmul.name) {
    const k = w.shape[0]!;
    return [Array.from({ length: x.length / k }, (_, i) => x.slice(i * k, (i + 1) * k))];
  }
  const rank = shape.length - 2;
  const { strides, pads, dilations, group } = nn.conv.read(op);
  const steps = rowMajorStrides(shape);
  const outs = shapeOf(op.result).slice(2);
  const kernel = w.shape.slice(2);
  const taps = elementCount(kernel);
  const points = elementCount(outs);
  const unravel = (i: number, dims: readonly number[]): number[] => {
    const p = new Array<number>(dims.length);
    for (let d = dims.length - 1; d >= 0; d--) {
      p[d] = i % dims[d]!;
      i = Math.floor(i / dims[d]!);
    }
    return p;
  };
  const inGroup = w.shape[1]!;
  return Array.from({ length: group }, (_, g) =>
    Array.from({ length: points }, (_, i) => {
      const o = unravel(i, outs);
      const row = new Float64Array(inGroup * taps);
      for (let t = 0; t < taps; t++) {
        const k = unravel(t, kernel);
        let at = 0;
        let inside = true;
        for (let d = 0; d < rank; d++) {
          const p = o[d]! * strides[d]! + k[d]! * dilations[d]! - pads[d]!;
          inside &&= p >= 0 && p < shape[2 + d]!;
          at += p * steps[2 + d]!;
        }
        if (inside) for (let c = 0; c < inGroup; c++) row[c * taps + t] = x[(g * inGroup + c) * steps[1]! + at]!;
      }
      return row;
    }),
  );
}
