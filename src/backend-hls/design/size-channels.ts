/**
 * The words that every channel has room for: the fewest with which nothing ever waits for space at the design's own
 * pace.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import { channelResources } from "../channel/channel-area.js";
import { consumerCycles, type ChannelPlan } from "../channel/channel-plan.js";
import { planMemory } from "../channel/memory-plan.js";
import type { Device } from "../device/devices.js";
import { equivalentLuts } from "../device/resources.js";
import { ramStorage } from "../device/storage.js";
import { replanKernel, type Channel, type Design } from "./design.js";
import { runTimeline, STEADY_SAMPLES, type TimelineResult } from "./timeline.js";

/** Samples of a first run, and those of one that fills a pipeline of so many cycles and then shows it steady. */
const FIRST_SAMPLES = 10;
const fillingSamples = (latency: number, pace: number): number => Math.ceil(latency / pace) + STEADY_SAMPLES + 2;

/** Whether block RAM is the better place for a stream's ring. */
function isDeep(device: Device, c: Channel): boolean {
  const p = c.plan;
  if (p.kind === "memory") return false;
  const depth = p.rows > 1 ? p.pitch : c.capacity;
  return depth > 1 && ramStorage(device, depth, p.order.planes * c.elem.width, true).style === "block";
}

/** Rows of a window beyond its own that are worth a look. */
const MANY_ROWS = 4;

/**
 * A window that runs far behind its producer would hold many rows, each in a bank of its own, and choose among all of
 * them. A memory with addresses is smaller then. Returns whether the channel has become one.
 */
function holdInMemory(design: Design, c: Channel): boolean {
  const p = c.plan;
  const { device } = design;
  if (
    p.kind === "memory" ||
    p.rows === 1 ||
    c.consumer.kind !== "kernel" ||
    c.capacity <= (p.rows + MANY_ROWS) * p.pitch
  )
    return false;
  const memory = planMemory(p.order, p.table);
  const area = (plan: ChannelPlan, capacity: number): number =>
    equivalentLuts(channelResources(device, plan, c.elem, capacity));
  if (area(memory, 2 * memory.words) >= area(p, c.capacity)) return false;
  c.plan = memory;
  c.deep = false;
  replanKernel(design, c.consumer);
  return true;
}

/** Cycles between samples below which a kernel or port cannot go. */
export function lowerBound(design: Design): number {
  let bound = 1;
  for (const i of design.inputs) bound = Math.max(bound, i.order.words);
  for (const k of design.kernels) bound = Math.max(bound, k.steps);
  for (const c of design.channels) {
    bound = Math.max(bound, c.plan.words, consumerCycles(c.plan));
  }
  return bound;
}

/**
 * Takes back that flushes merge with the next sample: whether they can depends on when it comes, which is the one thing
 * here that is not monotone. Returns whether any did.
 */
function separateFlushes(design: Design): boolean {
  let any = false;
  for (const c of design.channels) {
    if (c.plan.kind === "memory" || !c.plan.mergesFlush) continue;
    c.plan = { ...c.plan, mergesFlush: false };
    any = true;
  }
  return any;
}

/**
 * Gives every channel the fewest words with which nothing ever waits for space at the design's own pace, then measures.
 *
 * Dataflow is monotone: what works with paced samples never gets later when they come without a gap, so no sample of
 * the full-speed run may end after its paced time. (Single distances may be longer, where the samples before came
 * early.)
 */
export function sizeChannels(design: Design): TimelineResult {
  let pace = lowerBound(design);
  let samples = FIRST_SAMPLES;
  for (let attempt = 0; attempt < 12; attempt++) {
    let free = runTimeline(design, { samples, pace, unbounded: true });
    if (free.steadyInterval <= pace && samples < fillingSamples(free.latency, pace)) {
      samples = fillingSamples(free.latency, pace);
      free = runTimeline(design, { samples, pace, unbounded: true });
    }
    if (free.steadyInterval > pace) {
      pace = Math.ceil(free.steadyInterval);
      continue;
    }
    let changed = false;
    for (const c of design.channels) {
      if (c.direct) continue;
      const peak = free.peak.get(c)!;
      const p = c.plan;
      if (p.kind === "memory") c.capacity = Math.ceil(peak / p.words) * p.words;
      else if (p.rows > 1) c.capacity = Math.max(p.rows, Math.ceil(peak / p.pitch)) * p.pitch;
      else c.capacity = Math.max(1, peak);
      if (!c.deep && isDeep(design.device, c)) {
        c.deep = changed = true;
        if (c.through && c.producer.kind === "kernel") {
          c.through = false;
          replanKernel(design, c.producer);
        }
      }
      changed = holdInMemory(design, c) || changed;
    }
    // Words come at other times now.
    if (changed) continue;
    const full = runTimeline(design, { samples, pace: 0, unbounded: false });
    // While the pipeline fills, samples may leave closer together than any kernel could go on, and the next ones after
    // a longer time.
    if (full.ends.every((end, s) => end <= free.ends[s]!))
      return {
        ...full,
        initiationInterval: Math.min(pace, Math.max(lowerBound(design), Math.ceil(full.steadyInterval))),
      };
    if (!separateFlushes(design))
      throw new CompilerBug(`channels sized for ${pace} cycles a sample reach only ${full.steadyInterval}`);
    pace = lowerBound(design);
  }
  throw new CompilerBug("the pace of the design does not settle");
}
