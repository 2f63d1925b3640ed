/** How tensors cross the ports: elements per beat, and the beats that this takes. */
import { elementAt, lastOf } from "../../ir/present.js";
import type { Module, Value } from "../../ir/core.js";
import { source } from "../../ir/eval/flow.js";
import { elementCount, type StreamType } from "../../ir/types.js";
import { orderOf, portReads } from "./access.js";
import { planStream } from "./stream-plan.js";

/** Elements per beat of every input and output port. */
export interface PortWords {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** Beats in which a tensor crosses a port. */
export function beats(type: StreamType, perBeat: number): number {
  return Math.ceil(elementCount(type.shape) / perBeat);
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
    const n = elementAt(type.shape, d);
    for (let u = 2; u <= n; u++) if (n % u === 0) choices.push(suffix * u);
    suffix *= n;
  }
  return choices;
}

/** Fewest elements per beat with which a whole tensor passes within `ii` beats, a divisor of the row-major suffixes. */
export function inputWord(type: StreamType, ii: number): number {
  const needed = Math.ceil(elementCount(type.shape) / ii);
  const choices = portWordChoices(type);
  return choices.find((c) => c >= needed) ?? lastOf(choices);
}

/**
 * Most elements per beat, up to a whole word of the producer, in which a result leaves in row-major order as a stream.
 */
export function outputWord(v: Value, wordOf: (arg: Value) => number): number | undefined {
  const type = v.type as StreamType;
  const order = orderOf(source(v), wordOf);
  for (let perBeat = order.planes; perBeat >= 1; perBeat--) {
    if (order.planes % perBeat === 0 && planStream(order, portReads(type, perBeat)) !== undefined) return perBeat;
  }
  return undefined;
}
