/**
 * What a fixed-point network costs in hardware, before anything is folded or scheduled: the cost function that the
 * search for widths minimises.
 */
import type { Module, Value } from "../../../ir/core.js";
import { fixedOf, shapeOf } from "../../../ir/nn/values.js";
import { elementCount } from "../../../ir/types.js";
import { macsOf } from "./linear.js";

export interface CostTerm {
  readonly kind: "product" | "table" | "tensor";
  /** Pairs of factors, table reads, elements. */
  readonly count: number;
  /** The factors; argument and result of a table; twice the tensor. */
  readonly first: Value;
  readonly second: Value;
}

/**
 * The terms of the cost. Unit: one-bit cells per sample, roughly LUTs times cycles, whatever the folding is.
 *
 * - product: a multiplier of w by a bits has w x a cells, and each multiply-accumulate (and each elementwise product)
 *   needs
 *   one for a cycle: MACs x weight bits x activation bits
 * - table: 2^argument bits entries of the result's width, 64 entry bits to a cell (a LUT with six inputs)
 * - tensor: an element that is rounded or comes in is registered and moved once, a cell per bit; small against
 *   products, it
 *   makes tensors narrow that no product reads
 */
export function costTerms(fixed: Module): CostTerm[] {
  const terms: CostTerm[] = [];
  const size = (v: Value): number => elementCount(shapeOf(v));
  const tensor = (v: Value): void => void terms.push({ kind: "tensor", count: size(v), first: v, second: v });
  fixed.func.body.args.forEach(tensor);
  for (const op of fixed.func.body.ops) {
    if (op.results.length !== 1 || fixedOf(op.result) === undefined) continue;
    const macs = macsOf(op);
    if (macs > 0) terms.push({ kind: "product", count: macs, first: op.operand(0), second: op.operand(1) });
    else if (op.name === "nn.mul")
      terms.push({ kind: "product", count: size(op.result), first: op.operand(0), second: op.operand(1) });
    else if (op.name === "nn.unary")
      terms.push({ kind: "table", count: size(op.result), first: op.operand(0), second: op.result });
    if (op.name === "nn.quantize" || op.name === "nn.unary") tensor(op.result);
  }
  return terms;
}

/** Cells of one term whose `first` and `second` have these widths; see `costTerms`. */
export function termCost(kind: CostTerm["kind"], count: number, first: number, second: number): number {
  return kind === "product"
    ? count * first * second
    : kind === "table"
      ? (count * 2 ** first * second) / 64
      : count * second;
}

/** One-bit cells per sample of the whole network. */
export function hardwareCost(fixed: Module): number {
  return costTerms(fixed).reduce(
    (n, t) => n + termCost(t.kind, t.count, fixedOf(t.first)!.width, fixedOf(t.second)!.width),
    0,
  );
}
