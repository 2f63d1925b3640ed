/**
 * Folding: how much of each kernel is hardware and how much is time. Writes the schedules that the solver chooses into the
 * module, and notes how the ports take and give their tensors.
 */
import type { Module, Value } from "../ir/core.js";
import { writeKernel } from "../ir/flow/kernel.js";
import { source } from "../ir/eval/flow.js";
import { elementCount, type StreamType } from "../ir/types.js";
import { orderOf, portReads } from "./access.js";
import type { PortWords } from "./design.js";
import { DEFAULT_PRICES, type Folding, type FoldingFailure, type FoldingSolver, type Prices } from "./solve-folding.js";
import { planStream } from "./stream-plan.js";

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
export function foldModule(module: Module, solver: FoldingSolver, target: FoldingTarget): { words: PortWords; folding: Folding } | FoldingFailure {
  const inputs = target.inputWords ?? inputWords(module, target.ii);
  const folding = solver.solve({ ii: target.ii, prices: target.prices ?? DEFAULT_PRICES, inputs, ...(target.outputBits !== undefined && { outputBits: target.outputBits }), ...(target.effort !== undefined && { effort: target.effort }) });
  if ("kernel" in folding) return folding;
  for (const op of module.func.body.ops) if (op.name === "flow.kernel") writeKernel(op, folding.kernels.get(op.attrs["sym"] as string)!);
  return { words: { inputs, outputs: folding.outputs }, folding };
}

/** Fewest elements per beat of every input with which samples pass every `ii` cycles. */
export function inputWords(module: Module, ii: number): number[] {
  return module.func.body.args.map((a) => inputWord(a.type as StreamType, ii));
}

/** Numbers of elements per beat in which a tensor can pass: whole groups of its row-major elements, ascending. */
export function portWordChoices(type: StreamType): number[] {
  const choices: number[] = [1];
  let suffix = 1;
  for (let d = type.shape.length - 1; d >= 0; d--) {
    const n = type.shape[d]!;
    for (let u = 2; u <= n; u++) if (n % u === 0) choices.push(suffix * u);
    suffix *= n;
  }
  return choices;
}

/** Fewest elements per beat with which a whole tensor passes within `ii` beats, a divisor of the row-major suffixes. */
export function inputWord(type: StreamType, ii: number): number {
  const needed = Math.ceil(elementCount(type.shape) / ii);
  const choices = portWordChoices(type);
  return choices.find((c) => c >= needed) ?? choices[choices.length - 1]!;
}

/** Most elements per beat, up to a whole word of the producer, in which a result leaves in row-major order as a stream. */
export function outputWord(v: Value, wordOf: (arg: Value) => number): number | undefined {
  const type = v.type as StreamType;
  const order = orderOf(source(v), wordOf);
  for (let perBeat = order.planes; perBeat >= 1; perBeat--) {
    if (order.planes % perBeat === 0 && planStream(order, portReads(type, perBeat)) !== undefined) return perBeat;
  }
  return undefined;
}
