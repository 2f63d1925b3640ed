/**
 * The static timeline: a cycle-by-cycle run of kernels and channels without their data. Everything is static, so
 * latency, initiation interval and the fill of every channel are exact; the generated hardware behaves the same, cycle
 * for cycle (docs/architecture.md, "Timing model").
 */
import { CompilerBug } from "../../diagnostics/index.js";
import { lookUp } from "../../ir/present.js";
import type { StreamPlan } from "../channel/stream-plan.js";
import {
  type Channel,
  channelInto,
  endBuffersOf,
  inLockstep,
  type InputNode,
  type Network,
  type TimedKernel,
} from "./network.js";

export interface TimelineResult {
  /** Cycles from the first input beat to the last output beat of a sample in an idle pipeline, both counted. */
  readonly latency: number;
  /** Distance of the last two samples, and mean distance over the last ones, in cycles. */
  readonly initiationInterval: number;
  readonly steadyInterval: number;
  /** Cycle of the last output beat of each sample. */
  readonly ends: readonly number[];
  /** Most words reserved and not yet released, per channel. */
  readonly peak: ReadonlyMap<Channel, number>;
  readonly cycles: number;
}

/** Distances at the end of a run that count as steady. */
export const STEADY_SAMPLES = 4;

export interface TimelineOptions {
  readonly samples: number;
  /** Distance at which samples are offered; 0 offers them without a gap. */
  readonly pace: number;
  /** Ignore capacities, to find out what they must be. */
  readonly unbounded: boolean;
  /** What happens in every channel is noted here. */
  readonly trace?: Map<Channel, ChannelTrace>;
}

/** Cycles in which things happen in a channel with a buffer, in order; for the checker. */
export interface ChannelTrace {
  /** In which the producer pushes a word. */
  readonly pushes: number[];
  /**
   * In which words move into the taps of a stream: `fetch` counts within a sample; from `fetches` on nothing is
   * fetched.
   */
  readonly shifts: { readonly cycle: number; readonly sample: number; readonly fetch: number }[];
  /** In which a window is copied to registers of its own. */
  readonly copies: number[];
  /** In which the consumer takes a step. */
  readonly takes: number[];
}

class ChannelState {
  arrived = 0;
  reserved = 0;
  released = 0;
  peak = 0;
  /** Cycles in which words become visible, in order. */
  readonly arrivals: number[] = [];
  private nextArrival = 0;
  // Stream: sample and number of fetches done in it, sample and group to be read, step within the group.
  private fetchSample = 0;
  private fetched = 0;
  private groupSample = 0;
  private group = 0;
  private inGroup = 0;
  // Held windows: whether one is there for the consumer; the groups above then count windows copied.
  private holding = false;
  // Memory: step to be read.
  private step = 0;

  constructor(
    readonly channel: Channel,
    private readonly bounded: boolean,
    private readonly trace: ChannelTrace | undefined,
  ) {}

  hasSpace(): boolean {
    return !this.bounded || this.reserved - this.released < this.channel.capacity;
  }
  /**
   * Counts the words that are there by now: at the start of a cycle and, where words go by the ring, before its end.
   */
  receive(cycle: number): void {
    while (this.nextArrival < this.arrivals.length && this.arrivals[this.nextArrival]! <= cycle) {
      this.nextArrival++;
      this.arrived++;
    }
  }
  /** A word that is pushed at the end of `cycle`. */
  push(cycle: number): void {
    this.trace?.pushes.push(cycle);
    this.arrivals.push(cycle + (this.channel.deep ? 2 : this.channel.through ? 0 : 1));
  }
  reserve(): void {
    this.reserved++;
    this.peak = Math.max(this.peak, this.reserved - this.released);
  }
  valid(): boolean {
    const p = this.channel.plan;
    if (p.kind === "memory") return this.arrived >= this.groupSample * p.words + p.need[this.step]!;
    return p.held ? this.holding : this.complete(p);
  }
  private complete(p: StreamPlan): boolean {
    return (
      this.fetchSample > this.groupSample ||
      (this.fetchSample === this.groupSample && this.fetched > p.ready[this.group]!)
    );
  }
  /** End of the cycle: `fired` if the consumer took the step. */
  endCycle(cycle: number, fired: boolean): void {
    const p = this.channel.plan;
    if (fired) this.trace?.takes.push(cycle);
    if (p.kind === "memory") {
      if (fired && ++this.step === p.need.length) {
        this.step = 0;
        this.groupSample++;
        this.released = this.groupSample * p.words;
      }
      return;
    }
    const complete = this.complete(p);
    let finished = false;
    if (fired && ++this.inGroup === p.repeat) {
      this.inGroup = 0;
      finished = true;
    }
    const leaves = p.held ? complete && (!this.holding || finished) : finished;
    if (p.held) this.holding = leaves || (this.holding && !finished);
    if (p.held && leaves) this.trace?.copies.push(cycle);
    if (leaves && ++this.group === p.groups) {
      this.group = 0;
      this.groupSample++;
    }
    if (!complete || leaves) this.fetch(p, cycle);
  }
  private fetch(p: StreamPlan, cycle: number): void {
    const flush = this.fetched >= p.fetches;
    if (flush && p.mergesFlush && this.arrived >= (this.fetchSample + 1) * p.words + p.need[0]!) {
      this.fetchSample++;
      this.fetched = 1;
      this.released = this.fetchSample * p.words + p.release[0]!;
      this.trace?.shifts.push({ cycle, sample: this.fetchSample, fetch: 0 });
      return;
    }
    if (!flush && this.arrived < this.fetchSample * p.words + p.need[this.fetched]!) return;
    if (!flush) this.released = this.fetchSample * p.words + p.release[this.fetched]!;
    this.trace?.shifts.push({ cycle, sample: this.fetchSample, fetch: this.fetched });
    if (++this.fetched === p.fetches + p.flushes) {
      this.fetched = 0;
      this.fetchSample++;
    }
  }
}

/** What an output or input port did in a cycle. */
interface Moves {
  readonly sent: readonly boolean[];
  readonly taken: readonly boolean[];
  readonly moved: boolean;
}

/** A network in time: its kernels and channels, cycle by cycle. What happens at the ports is up to whoever runs it. */
export class Timeline {
  /** The next cycle. */
  cycle = 0;
  readonly states = new Map<Channel, ChannelState>();
  private readonly all: readonly ChannelState[];
  private readonly inputs: readonly { readonly outputs: readonly Sink[] }[];
  private readonly outputs: readonly { readonly input: ChannelState }[];
  private readonly kernels: readonly {
    readonly node: TimedKernel;
    step: number;
    readonly body: readonly ChannelState[];
    readonly epilogue: readonly ChannelState[];
    readonly outputs: readonly Sink[];
    fired: boolean;
  }[];

  constructor(network: Network, options: Pick<TimelineOptions, "unbounded" | "trace">) {
    for (const c of network.channels) {
      if (c.direct) continue;
      const trace: ChannelTrace | undefined = options.trace && { pushes: [], shifts: [], copies: [], takes: [] };
      if (trace !== undefined) options.trace!.set(c, trace);
      this.states.set(c, new ChannelState(c, !options.unbounded, trace));
    }
    const of = (cs: readonly Channel[]): ChannelState[] => cs.map((c) => lookUp(this.states, c, "state"));
    const into = (node: TimedKernel | InputNode): Sink[] =>
      endBuffersOf(node).map((s) => ({ state: lookUp(this.states, s.channel, "state"), delay: s.delay }));
    this.inputs = network.inputs.map((node) => ({ outputs: into(node) }));
    // Kernels in lockstep do what the first of them does, later.
    this.kernels = network.kernels
      .filter((k) => !inLockstep(k))
      .map((node) => ({
        node,
        step: 0,
        body: of(node.inputs.filter((c) => c.phase === "body")),
        epilogue: of(node.inputs.filter((c) => c.phase === "epilogue")),
        outputs: into(node),
        fired: false,
      }));
    this.outputs = network.outputs.map((node) => ({ input: lookUp(this.states, channelInto(node), "state") }));
    this.all = [...this.states.values()];
  }

  /** One cycle, in which input `i` has a word to send where `offers(i)`, and output `o` is taken from where `accepts(o)`. */
  step(offers: (input: number) => boolean, accepts: (output: number) => boolean): Moves {
    const { cycle, kernels } = this;
    for (const s of this.all) s.receive(cycle);
    let moved = false;
    for (const k of kernels) {
      const emits = k.node.emits[k.step] === 1;
      k.fired =
        k.body.every((s) => s.valid()) &&
        (!emits || (k.epilogue.every((s) => s.valid()) && k.outputs.every((o) => o.state.hasSpace())));
    }
    const taken = this.outputs.map((o, n) => accepts(n) && o.input.valid());
    const sent = this.inputs.map((i, n) => offers(n) && i.outputs.every((o) => o.state.hasSpace()));
    const firedOn = new Set<ChannelState>();
    for (const k of kernels) {
      if (!k.fired) continue;
      moved = true;
      k.body.forEach((s) => firedOn.add(s));
      if (k.node.emits[k.step] === 1) {
        k.epilogue.forEach((s) => firedOn.add(s));
        for (const o of k.outputs) {
          o.state.reserve();
          o.state.push(cycle + o.delay);
        }
      }
      if (++k.step === k.node.steps) k.step = 0;
    }
    taken.forEach((took, n) => {
      if (!took) return;
      moved = true;
      firedOn.add(this.outputs[n]!.input);
    });
    sent.forEach((go, n) => {
      if (!go) return;
      moved = true;
      for (const o of this.inputs[n]!.outputs) {
        o.state.reserve();
        o.state.push(cycle + o.delay);
      }
    });
    for (const s of this.all) {
      if (s.channel.through) s.receive(cycle);
      s.endCycle(cycle, firedOn.has(s));
    }
    this.cycle++;
    return { sent, taken, moved };
  }
}

/** A channel that words are pushed into, and the cycles that they take to it. */
interface Sink {
  readonly state: ChannelState;
  readonly delay: number;
}

/** Runs the design; throws where it cannot finish, which would be a deadlock. */
export function runTimeline(network: Network, options: TimelineOptions): TimelineResult {
  const timeline = new Timeline(network, options);
  const inputs = network.inputs.map((node) => ({ words: node.order.words, sent: 0 }));
  const outputs = network.outputs.map((node) => ({
    node,
    beats: channelInto(node).plan.table.steps,
    taken: 0,
  }));
  const sampleStart: number[] = [];
  const sampleEnd: number[] = [];
  let quiet = 0;
  const longest = network.kernels.reduce((n, k) => n + k.depth, 1) + options.pace + 64;
  const done = (): boolean => outputs.every((o) => o.taken === o.beats * options.samples);
  while (!done()) {
    const { cycle } = timeline;
    const { sent, taken, moved } = timeline.step(
      (n) => {
        const i = inputs[n]!;
        return i.sent < i.words * options.samples && cycle >= Math.floor(i.sent / i.words) * options.pace;
      },
      (n) => outputs[n]!.taken < outputs[n]!.beats * options.samples,
    );
    outputs.forEach((o, n) => {
      if (!taken[n]) return;
      if (++o.taken % o.beats === 0)
        sampleEnd[o.taken / o.beats - 1] = Math.max(sampleEnd[o.taken / o.beats - 1] ?? 0, cycle);
    });
    inputs.forEach((i, n) => {
      if (!sent[n]) return;
      if (i.sent % i.words === 0) sampleStart[i.sent / i.words] ??= cycle;
      i.sent++;
    });
    quiet = moved ? 0 : quiet + 1;
    if (quiet > longest) {
      const waiting = outputs.filter((o) => o.taken < o.beats * options.samples).map((o) => o.node.name);
      throw new CompilerBug(`timeline: no progress after cycle ${cycle - quiet}; output ${waiting.join(", ")} waits`);
    }
  }
  const { cycle } = timeline;
  const n = options.samples;
  const initiationInterval = n > 1 ? sampleEnd[n - 1]! - sampleEnd[n - 2]! : cycle;
  return {
    latency: sampleEnd[0]! - sampleStart[0]! + 1,
    initiationInterval,
    steadyInterval:
      n > STEADY_SAMPLES ? (sampleEnd[n - 1]! - sampleEnd[n - 1 - STEADY_SAMPLES]!) / STEADY_SAMPLES : cycle,
    ends: sampleEnd,
    peak: new Map([...timeline.states.values()].map((s) => [s.channel, s.peak])),
    cycles: cycle,
  };
}
