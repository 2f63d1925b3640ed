/**
 * Folding: how much of each kernel is hardware and how much is time. Writes the schedules that the solver chooses into
 * the module, and notes how the ports take and give their tensors.
 */
import type { Module } from "../../ir/core.js";
import { writeKernel } from "../../ir/flow/kernel.js";
import { inputWords, type PortWords } from "../channel/ports.js";
import { DEFAULT_PRICES, type Folding, type FoldingFailure, type FoldingSolver, type Prices } from "./solve-folding.js";

export interface FoldingTarget {
  /** Cycles between samples that every kernel must reach. */
  readonly ii: number;
  readonly prices?: Prices;
  /** Elements per beat of the inputs; the fewest that keep the interval where absent. */
  readonly inputWords?: readonly number[];
  readonly outputBits?: number;
  readonly effort?: "quick" | "full";
}

/** Schedules every kernel; returns the words of the ports, or the kernel that cannot reach the target. */
export function foldModule(
  module: Module,
  solver: FoldingSolver,
  target: FoldingTarget,
): { words: PortWords; folding: Folding } | FoldingFailure {
  const inputs = target.inputWords ?? inputWords(module, target.ii);
  const folding = solver.solve({
    ii: target.ii,
    prices: target.prices ?? DEFAULT_PRICES,
    inputs,
    ...(target.outputBits !== undefined && { outputBits: target.outputBits }),
    ...(target.effort !== undefined && { effort: target.effort }),
  });
  if ("kernel" in folding) return folding;
  for (const op of module.func.body.ops)
    if (op.name === "flow.kernel") writeKernel(op, folding.kernels.get(op.attrs["sym"] as string)!);
  return { words: { inputs, outputs: folding.outputs }, folding };
}
