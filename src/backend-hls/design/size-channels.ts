/**
 * The words that every channel has room for: the fewest with which nothing ever waits for space at the design's own
 * pace.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import { lookUp, elementAt } from "../../ir/present.js";
import { channelResources } from "../channel/channel-area.js";
import { consumerCycles, type ChannelPlan } from "../channel/channel-plan.js";
import { planMemory } from "../channel/memory-plan.js";
import type { Device } from "../device/devices.js";
import { equivalentLuts } from "../device/resources.js";
import { ramStorage } from "../device/storage.js";
import type { Channel, Network } from "./network.js";
import { type ChannelChoice, UNDECIDED } from "./problem.js";
import { runTimeline, STEADY_SAMPLES, type TimelineResult } from "./timeline.js";

/** Samples of a first run, and those of one that fills a pipeline of so many cycles and then shows it steady. */
const FIRST_SAMPLES = 10;
const fillingSamples = (latency: number, pace: number): number => Math.ceil(latency / pace) + STEADY_SAMPLES + 2;

/** Whether block RAM is the better place for a stream's ring of `capacity` words. */
function isDeep(device: Device, { plan, elem }: Channel, capacity: number): boolean {
  if (plan.kind === "memory") return false;
  const depth = plan.rows > 1 ? plan.pitch : capacity;
  return depth > 1 && ramStorage(device, depth, plan.order.planes * elem.width, true).style === "block";
}

/** Rows of a window beyond its own that are worth a look. */
const MANY_ROWS = 4;

/**
 * Whether a memory with addresses is smaller: a window that runs far behind its producer would hold many rows, each in
 * a bank of its own, and choose among all of them.
 */
function isSmallerAsMemory(device: Device, c: Channel, capacity: number): boolean {
  const { plan } = c;
  if (plan.kind === "memory" || plan.rows === 1 || c.consumer.kind !== "kernel") return false;
  if (capacity <= (plan.rows + MANY_ROWS) * plan.pitch) return false;
  const memory = planMemory(plan.order, plan.table);
  const area = (p: ChannelPlan, words: number): number => equivalentLuts(channelResources(device, p, c.elem, words));
  return area(memory, 2 * memory.words) < area(plan, capacity);
}

/** Words for a peak of `peak`: whole samples in a memory, whole rows in a window. */
function roundedUp(plan: ChannelPlan, peak: number): number {
  if (plan.kind === "memory") return Math.ceil(peak / plan.words) * plan.words;
  if (plan.rows > 1) return Math.max(plan.rows, Math.ceil(peak / plan.pitch)) * plan.pitch;
  return Math.max(1, peak);
}

/** The choice for a channel that was seen to hold `peak` words. */
function choiceFor(device: Device, c: Channel, peak: number, before: ChannelChoice): ChannelChoice {
  if (c.direct) return before;
  const capacity = roundedUp(c.plan, peak);
  const memory = before.memory || isSmallerAsMemory(device, c, capacity);
  return { ...before, capacity, memory, deep: !memory && (before.deep || isDeep(device, c, capacity)) };
}

/** Cycles between samples below which a kernel or port cannot go. */
export function lowerBound(network: Network): number {
  let bound = 1;
  for (const i of network.inputs) bound = Math.max(bound, i.order.words);
  for (const k of network.kernels) bound = Math.max(bound, k.steps);
  for (const { plan } of network.channels) bound = Math.max(bound, plan.words, consumerCycles(plan));
  return bound;
}

export interface Sized<N extends Network> {
  readonly network: N;
  readonly choices: readonly ChannelChoice[];
  readonly timeline: TimelineResult;
}

/**
 * Gives every channel the fewest words with which nothing ever waits for space at the design's own pace, then measures.
 * `realize` makes the network of a choice for each link.
 *
 * Dataflow is monotone: what works with paced samples never gets later when they come without a gap, so no sample of
 * the full-speed run may end after its paced time. (Single distances may be longer, where the samples before came
 * early.)
 */
export function sizeChannels<N extends Network>(
  device: Device,
  links: number,
  realize: (choices: readonly ChannelChoice[]) => N,
): Sized<N> {
  let choices: readonly ChannelChoice[] = Array.from({ length: links }, () => UNDECIDED);
  let network = realize(choices);
  let pace = lowerBound(network);
  let samples = FIRST_SAMPLES;
  for (let attempt = 0; attempt < 12; attempt++) {
    let free = runTimeline(network, { samples, pace, unbounded: true });
    if (free.steadyInterval <= pace && samples < fillingSamples(free.latency, pace)) {
      samples = fillingSamples(free.latency, pace);
      free = runTimeline(network, { samples, pace, unbounded: true });
    }
    if (free.steadyInterval > pace) {
      pace = Math.ceil(free.steadyInterval);
      continue;
    }
    const before = choices;
    choices = network.channels.map((c, i) =>
      choiceFor(device, c, c.direct ? 0 : lookUp(free.peak, c, "peak"), elementAt(before, i)),
    );
    network = realize(choices);
    // Words come at other times now.
    if (
      choices.some(
        ({ memory, deep }, i) => memory !== elementAt(before, i).memory || deep !== elementAt(before, i).deep,
      )
    )
      continue;
    const full = runTimeline(network, { samples, pace: 0, unbounded: false });
    // While the pipeline fills, samples may leave closer together than any kernel could go on, and the next ones after
    // a longer time.
    if (full.ends.every((end, s) => end <= elementAt(free.ends, s))) {
      const interval = Math.min(pace, Math.max(lowerBound(network), Math.ceil(full.steadyInterval)));
      return { network, choices, timeline: { ...full, initiationInterval: interval } };
    }
    // Whether flushes can merge with the next sample depends on when it comes, which is the one thing here that is not
    // monotone.
    if (!network.channels.some(({ plan }) => plan.kind !== "memory" && plan.mergesFlush))
      throw new CompilerBug(`channels sized for ${pace} cycles a sample reach only ${full.steadyInterval}`);
    choices = choices.map((c) => ({ ...c, mergesFlush: false }));
    network = realize(choices);
    pace = lowerBound(network);
  }
  throw new CompilerBug("the pace of the design does not settle");
}
