/**
 * Kernels and ports joined by realized channels: what the timeline runs. A network is made of a problem and a choice
 * for each of its links, as a whole; a change of a choice makes another network.
 */
import { lookUp, firstOf, elementAt } from "../../ir/present.js";
import type { ChannelPlan } from "../channel/channel-plan.js";
import {
  type ChannelChoice,
  type InputPort,
  type Link,
  type OutputPort,
  planOf,
  type Problem,
  type ProblemKernel,
} from "./problem.js";

/** How long a kernel takes, from the choice of its stages. */
export interface KernelTiming {
  /** Cycles from a firing step to the push of its result. */
  readonly depth: number;
  /** Nanoseconds into that cycle at which the result is there, where no register stands behind it. */
  readonly resultNs: number;
}

/** A kernel that runs: its steps, how long each takes, and the channels around it. */
export interface TimedKernel extends ProblemKernel, KernelTiming {
  readonly inputs: readonly Channel[];
  readonly outputs: readonly Channel[];
}

export interface InputNode extends InputPort {
  readonly outputs: readonly Channel[];
}

export interface OutputNode extends OutputPort {
  readonly inputs: readonly Channel[];
}

/** How a link is realized. */
export interface Realization {
  readonly plan: ChannelPlan;
  /** Words that fit. */
  readonly capacity: number;
  /** Whether a stream's ring is block RAM, from which words are there a cycle later. */
  readonly deep: boolean;
  /** Whether a word goes by an empty buffer, and is there the cycle after its push. */
  readonly through: boolean;
  /** Without a buffer: every word is taken in the cycle in which it is there (see `takesAtOnce`). */
  readonly direct: boolean;
}

export interface Channel extends Omit<Link, "producer" | "consumer">, Realization {
  readonly producer: TimedKernel | InputNode;
  readonly consumer: TimedKernel | OutputNode;
}

export interface Network<K extends TimedKernel = TimedKernel> {
  readonly inputs: readonly InputNode[];
  readonly kernels: readonly K[];
  readonly outputs: readonly OutputNode[];
  /** In the order of the problem's links. */
  readonly channels: readonly Channel[];
}

/** Channels around a kernel whose timing is to be found. */
export interface Around {
  readonly inputs: readonly (Link & Realization)[];
  readonly outputs: readonly (Link & Realization)[];
  /** Timing of the kernel in front, where this one fires in lockstep with it. */
  readonly before: KernelTiming | "port" | undefined;
}

/** Realizes every link by its choice; `timing` adds to a kernel what follows from the channels around it. */
export function connect<K extends ProblemKernel, T extends KernelTiming>(
  problem: Problem<K>,
  choices: readonly ChannelChoice[],
  timing: (kernel: K, around: Around) => T,
): Network<K & T & TimedKernel> {
  type Planned = K & T & TimedKernel;
  const realized = problem.links.map((link, i) => ({ ...link, ...realize(link, elementAt(choices, i, "choice")) }));
  const nodes = new Map<
    ProblemKernel | InputPort | OutputPort,
    { node: Planned | InputNode | OutputNode; inputs: Channel[]; outputs: Channel[] }
  >();
  const inputs = problem.inputs.map((port): InputNode => {
    const outputs: Channel[] = [];
    const node = { ...port, outputs };
    nodes.set(port, { node, inputs: [], outputs });
    return node;
  });
  const timings = new Map<ProblemKernel, KernelTiming>();
  const kernels = problem.kernels.map((kernel): Planned => {
    const around = realized.filter((l) => l.consumer === kernel);
    const before = around.find((l) => l.direct)?.producer;
    const timed = timing(kernel, {
      inputs: around,
      outputs: realized.filter((l) => l.producer === kernel),
      before: before === undefined ? undefined : before.kind === "input" ? "port" : timings.get(before),
    });
    timings.set(kernel, timed);
    const [into, outOf]: [Channel[], Channel[]] = [[], []];
    const node: Planned = { ...kernel, ...timed, inputs: into, outputs: outOf };
    nodes.set(kernel, { node, inputs: into, outputs: outOf });
    return node;
  });
  const outputs = problem.outputs.map((port): OutputNode => {
    const into: Channel[] = [];
    const node = { ...port, inputs: into };
    nodes.set(port, { node, inputs: into, outputs: [] });
    return node;
  });
  const nodeOf = (k: ProblemKernel | InputPort | OutputPort) => lookUp(nodes, k, "node");
  const channels = realized.map((r): Channel => {
    const [from, to] = [nodeOf(r.producer), nodeOf(r.consumer)];
    const channel: Channel = {
      ...r,
      producer: from.node as TimedKernel | InputNode,
      consumer: to.node as TimedKernel | OutputNode,
    };
    from.outputs.push(channel);
    to.inputs.push(channel);
    return channel;
  });
  return { inputs, kernels, outputs, channels };
}

function realize(link: Link, choice: ChannelChoice): Realization {
  const plan = planOf(link, choice);
  const deep = choice.deep && plan.kind !== "memory";
  return {
    plan,
    capacity: choice.capacity,
    deep,
    through: goesThrough(link, plan, deep),
    direct: takesAtOnce(link, plan),
  };
}

/**
 * Whether the consumer never lets a word wait: it reads nothing else that could be late, takes each word in one step,
 * and each step completes a result. Then it runs in lockstep with its producer, and where results leave the last such
 * kernel, room for them is reserved when the first one fires.
 */
function takesAtOnce({ consumer, phase }: Link, plan: ChannelPlan): boolean {
  if (consumer.kind !== "kernel" || phase !== "body" || !consumer.canLockstep || !wordAStep(plan)) return false;
  return !consumer.emits.includes(0) && !plan.table.element.includes(-1);
}

/** Whether each step takes the next word. */
function wordAStep(plan: ChannelPlan): boolean {
  if (plan.kind !== "fifo" || plan.held || plan.flushes > 0 || plan.repeat > 1) return false;
  return plan.table.steps === plan.words && plan.fetches === plan.words && plan.need.every((n, f) => n === f + 1);
}

/** Bits of a word up to which a table for each is a small price for two cycles. */
const NARROW_WORD = 64;

/**
 * Whether words for an output port go by an empty buffer. Wide ones do only where a sample is one word: of many words
 * the last is what latency counts, and its way through the ring is a small part.
 */
function goesThrough({ elem, producer, consumer }: Link, plan: ChannelPlan, deep: boolean): boolean {
  if (consumer.kind !== "output" || producer.kind !== "kernel" || deep || !wordAStep(plan)) return false;
  return plan.words === 1 || plan.order.planes * elem.width <= NARROW_WORD;
}

/** A channel with a buffer in which results of a kernel or input end up, through kernels in lockstep or none. */
export interface EndBuffer {
  readonly channel: Channel;
  /** Cycles from a firing of the kernel, or a beat of the input, to the push. */
  readonly delay: number;
}

export function endBuffersOf(node: TimedKernel | InputNode): EndBuffer[] {
  const own = node.kind === "kernel" ? node.depth : 0;
  return node.outputs.flatMap((c) =>
    c.direct && c.consumer.kind === "kernel"
      ? endBuffersOf(c.consumer).map((s) => ({ ...s, delay: own + s.delay }))
      : [{ channel: c, delay: own }],
  );
}

/** Whether a kernel fires when its producer says, and never waits. */
export function inLockstep(node: TimedKernel): boolean {
  return node.inputs.some((c) => c.direct);
}

/** The channel that ends at an output port. */
export function channelInto(port: OutputNode): Channel {
  return firstOf(port.inputs, `channel into output ${port.name}`);
}
