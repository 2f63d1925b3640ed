/** How a channel is realized: as a stream of windows, or as a memory of whole samples. */
import type { ProducerOrder, ReadTable } from "./access.js";
import { type MemoryPlan, planMemory } from "./memory-plan.js";
import { planStream, streamCycles, type StreamPlan } from "./stream-plan.js";

export type ChannelPlan = StreamPlan | MemoryPlan;

/** A stream that keeps its consumer busy for this many times the unavoidable cycles is no stream but a held tensor. */
export const MAX_STREAM_OVERHEAD = 1.5;

/**
 * The realization of a channel: a stream where the reads allow one without long waits for its windows, otherwise a
 * memory.
 */
export function planChannel(order: ProducerOrder, table: ReadTable): ChannelPlan {
  const stream = planStream(order, table);
  if (stream !== undefined && consumerCycles(stream) <= MAX_STREAM_OVERHEAD * Math.max(order.words, table.steps))
    return stream;
  return planMemory(order, table);
}

/** Cycles per sample that a channel keeps its consumer busy. */
export function consumerCycles(plan: ChannelPlan): number {
  return plan.kind === "memory" ? plan.need.length : streamCycles(plan);
}
