/**
 * Folding: how much of each kernel is hardware and how much is time. Writes the loop orders and unroll factors that the
 * solver chooses into the module, and says how the ports take and give their tensors.
 */
import type { Module } from "../../ir/core.js";
import { writeKernel } from "../../ir/flow/kernel.js";
import { strAttr } from "../../ir/define-op.js";
import { lookUp } from "../../ir/present.js";
import { inputWords, type PortWords } from "../channel/ports.js";
import { DEFAULT_PRICES, type FoldingRequest, type WholeRequest } from "./request.js";
import type { Folding, FoldingFailure, FoldingSolver } from "./solve-folding.js";

/** The request with what it leaves open. */
export function wholeRequest(module: Module, request: FoldingRequest): WholeRequest {
  return {
    ...request,
    prices: request.prices ?? DEFAULT_PRICES,
    inputWords: request.inputWords ?? inputWords(module, request.ii),
    effort: request.effort ?? "full",
  };
}

/** Folds every kernel; returns the words of the ports, or the kernel that cannot reach the interval. */
export function foldKernels(
  module: Module,
  solver: FoldingSolver,
  request: FoldingRequest,
): { readonly words: PortWords; readonly folding: Folding } | FoldingFailure {
  const whole = wholeRequest(module, request);
  const folding = solver.solve(whole);
  if ("kernel" in folding) return folding;
  for (const op of module.func.body.ops)
    if (op.name === "flow.kernel") writeKernel(op, lookUp(folding.kernels, strAttr(op, "sym"), "folding"));
  return { words: { inputs: whole.inputWords, outputs: folding.outputs }, folding };
}
