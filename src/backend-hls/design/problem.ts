/**
 * The scheduling problem of a design: kernels as sequences of steps, ports, and the links between them, each with the
 * order in which words are written and the table of who reads what. What is to be found: how every link is realized and
 * how many words its channel holds (`size-channels.ts`), and from that the interval and the latency (`timeline.ts`).
 */
import type { Location } from "../../ir/core.js";
import type { FixedType, StreamType } from "../../ir/types.js";
import type { ProducerOrder, ReadTable } from "../channel/access.js";
import { type ChannelPlan, planChannel } from "../channel/channel-plan.js";
import { planMemory } from "../channel/memory-plan.js";
import type { Device } from "../device/devices.js";

/** A kernel, as far as a schedule is concerned. */
export interface ProblemKernel {
  readonly kind: "kernel";
  readonly name: string;
  /** Steps per sample; at most one a cycle. */
  readonly steps: number;
  /** Whether step i completes a result word. */
  readonly emits: Uint8Array;
  /**
   * Whether it could fire in lockstep with what feeds it: it has one operand that comes, and nothing of its own that
   * must be fetched first.
   */
  readonly canLockstep: boolean;
}

export interface InputPort {
  readonly kind: "input";
  readonly name: string;
  readonly order: ProducerOrder;
  readonly type: StreamType;
  /** Real numbers are the port's numbers times this. */
  readonly scale: number;
}

export interface OutputPort {
  readonly kind: "output";
  readonly name: string;
  readonly type: StreamType;
  /** Elements per beat. */
  readonly perBeat: number;
  readonly scale: number;
}

/** Words that pass from a producer to an operand of a consumer. */
export interface Link<K extends ProblemKernel = ProblemKernel> {
  readonly name: string;
  readonly producer: K | InputPort;
  readonly consumer: K | OutputPort;
  /** Index among the consumer's operands; 0 for an output. */
  readonly operand: number;
  readonly phase: "body" | "epilogue";
  readonly order: ProducerOrder;
  readonly table: ReadTable;
  readonly elem: FixedType;
  /** Raw integer that is read outside the tensor. */
  readonly pad: number;
  /** What the consumer was made of. */
  readonly loc: Location;
}

/** Kernels in the order of the dataflow. */
export interface Problem<K extends ProblemKernel = ProblemKernel> {
  readonly name: string;
  readonly device: Device;
  readonly inputs: readonly InputPort[];
  readonly kernels: readonly K[];
  readonly outputs: readonly OutputPort[];
  readonly links: readonly Link<K>[];
}

/** What is decided about a link. */
export interface ChannelChoice {
  /** A memory, where the reads alone would make it a stream. */
  readonly memory: boolean;
  /** Whether a stream's flush may be the next sample's first fetch. */
  readonly mergesFlush: boolean;
  /** Whether a stream's ring is block RAM, from which words are there a cycle later. */
  readonly deep: boolean;
  /** Words that fit. */
  readonly capacity: number;
}

export const UNDECIDED: ChannelChoice = { memory: false, mergesFlush: true, deep: false, capacity: 0 };

const plans = new WeakMap<Link, { stream?: ChannelPlan; memory?: ChannelPlan }>();

/** How a link is realized under a choice. */
export function planOf(link: Link, choice: Pick<ChannelChoice, "memory" | "mergesFlush">): ChannelPlan {
  let known = plans.get(link);
  if (known === undefined) plans.set(link, (known = {}));
  const plan = choice.memory
    ? (known.memory ??= planMemory(link.order, link.table))
    : (known.stream ??= planChannel(link.order, link.table));
  return plan.kind === "memory" || choice.mergesFlush ? plan : { ...plan, mergesFlush: false };
}
