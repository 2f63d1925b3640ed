/**
 * Checks a sized design against what its kernels mean: every step finds the very elements that it reads, in the cycle
 * in which it reads them. The timeline says only when things happen; here the words themselves move, through rings,
 * taps and banks, and are compared with the tables of who writes and who reads which element. Nothing here asks how the
 * channels were planned.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import type { MemoryPlan } from "../channel/memory-plan.js";
import type { StreamPlan } from "../channel/stream-plan.js";
import type { Channel, InputNode, Network, TimedKernel } from "../design/network.js";
import { runTimeline, type ChannelTrace } from "../design/timeline.js";

/** What a word is called by: its number in the order of arrival, counted through all samples; -1 is no word. */
type Word = number;

/**
 * Runs the design over `samples` samples without a gap, and follows every word. @errors CompilerBug with the first
 * violation
 */
export function checkChannels(network: Network, samples: number): void {
  const traces = new Map<Channel, ChannelTrace>();
  runTimeline(network, { samples, pace: 0, unbounded: false, trace: traces });
  for (const [channel, trace] of traces) checkChannel(channel, trace, samples);
  checkKernels(network, traces);
  for (const c of network.channels) if (c.direct) checkDirect(c);
}

/** One channel with a buffer. @errors CompilerBug */
export function checkChannel(channel: Channel, trace: ChannelTrace, samples: number): void {
  const { plan } = channel;
  const fail = (what: string): CompilerBug => new CompilerBug(`channel ${channel.name}: ${what}`);
  ascending(trace.pushes, (cycle) => fail(`two words are pushed in cycle ${cycle}`));
  ascending(trace.takes, (cycle) => fail(`two steps are taken in cycle ${cycle}`));
  // The run ends with the last output beat; steps of the last sample that no output waits for may still be to come.
  if (trace.takes.length < plan.table.steps * (samples - 1))
    throw fail(`${plan.table.steps * samples} steps are to be taken, ${trace.takes.length} are`);
  if (plan.kind === "memory") checkMemory(channel, plan, trace, fail);
  else checkStream(channel, plan, trace, fail);
}

/**
 * Cycle from which a word can be read, and the last one in which it can: then the word that takes its place is written.
 */
function lifetime(
  channel: Channel,
  trace: ChannelTrace,
  word: Word,
  place: number,
): { readonly from: number; readonly to: number } {
  const delay = channel.deep ? 2 : channel.through ? 0 : 1;
  const pushed = trace.pushes[word];
  const next = trace.pushes[place];
  // Block RAM has its address a cycle before its data, and gives the old word where both ports meet.
  return {
    from: pushed === undefined ? Infinity : pushed + delay,
    to: next === undefined ? Infinity : next + (channel.deep ? 1 : 0),
  };
}

function checkStream(
  channel: Channel,
  plan: StreamPlan,
  trace: ChannelTrace,
  fail: (what: string) => CompilerBug,
): void {
  const { table, order } = plan;
  const gridRows = plan.words / plan.pitch;
  const taps: Word[][] = Array.from({ length: plan.rows }, () => new Array<Word>(plan.columns).fill(-1));
  let held: readonly (readonly Word[])[] = [];
  let [shift, copy] = [0, 0];
  const advance = (before: number): void => {
    for (;;) {
      const s = trace.shifts[shift];
      const c = trace.copies[copy];
      if (c !== undefined && c < before && (s === undefined || c <= s.cycle)) {
        // The copy sees the taps as they are before the shift of its cycle.
        held = taps.map((row) => [...row]);
        copy++;
      } else if (s !== undefined && s.cycle < before) {
        const visit = Math.floor(s.fetch / plan.pitch);
        const column = s.fetch % plan.pitch;
        taps.forEach((row, r) => {
          const at = plan.firstRow + visit * plan.rowStep + r;
          const word =
            s.fetch >= plan.fetches || at < 0 || at >= gridRows ? -1 : s.sample * plan.words + at * plan.pitch + column;
          if (word >= 0) {
            const { from, to } = lifetime(channel, trace, word, word + channel.capacity);
            if (s.cycle < from)
              throw fail(`word ${word} is fetched in cycle ${s.cycle}, and is there from cycle ${from} on`);
            if (s.cycle > to)
              throw fail(`word ${word} is fetched in cycle ${s.cycle}, and was overwritten in cycle ${to}`);
          }
          row.pop();
          row.unshift(word);
        });
        shift++;
      } else return;
    }
  };
  for (let n = 0; n < trace.takes.length; n++) {
    const cycle = trace.takes[n]!;
    advance(cycle);
    const [sample, step] = [Math.floor(n / table.steps), n % table.steps];
    const inner = step % plan.repeat;
    for (let lane = 0; lane < table.lanes; lane++) {
      const element = table.element[step * table.lanes + lane]!;
      if (element < 0) continue;
      const i = inner * table.lanes + lane;
      const found = (plan.held ? held : taps)[plan.tapRow[i]!]?.[plan.tapColumn[i]!];
      const wanted = sample * plan.words + order.wordOf[element]!;
      if (found !== wanted || plan.tapPlane[i] !== order.planeOf[element])
        throw fail(
          `step ${step} of sample ${sample} in cycle ${cycle} reads word ${found} on lane ${lane} in place of ${wanted}`,
        );
    }
  }
}

function checkMemory(
  channel: Channel,
  plan: MemoryPlan,
  trace: ChannelTrace,
  fail: (what: string) => CompilerBug,
): void {
  const { table, order } = plan;
  const slots = Math.floor(channel.capacity / plan.words);
  if (slots < 1) throw fail(`${channel.capacity} words do not hold a sample of ${plan.words}`);
  for (let n = 0; n < trace.takes.length; n++) {
    const cycle = trace.takes[n]!;
    const [sample, step] = [Math.floor(n / table.steps), n % table.steps];
    for (let lane = 0; lane < table.lanes; lane++) {
      const element = table.element[step * table.lanes + lane]!;
      if (element < 0) continue;
      const i = step * table.lanes + lane;
      const bank = plan.banks[plan.laneBank[i]!];
      // A bank has one address in a step, so it is read once; that it is the right one for every lane is looked at
      // here.
      const word = bank?.words[bank.address[step]!];
      if (
        bank === undefined ||
        word === undefined ||
        word !== order.wordOf[element] ||
        bank.planes[plan.lanePlane[i]!] !== order.planeOf[element]
      )
        throw fail(`step ${step} reads word ${word} on lane ${lane} in place of ${order.wordOf[element]}`);
      const at = sample * plan.words + word;
      const { from, to } = lifetime(channel, trace, at, at + slots * plan.words);
      if (cycle < from) throw fail(`word ${at} is read in cycle ${cycle}, and is there from cycle ${from} on`);
      if (cycle > to) throw fail(`word ${at} is read in cycle ${cycle}, and was overwritten in cycle ${to}`);
    }
  }
}

/** In lockstep step s of the consumer takes word s as it comes. @errors CompilerBug */
function checkDirect({ name, plan }: Channel): void {
  const { table, order } = plan;
  for (let i = 0; i < table.element.length; i++) {
    const step = Math.floor(i / table.lanes);
    const element = table.element[i]!;
    if (element < 0 || order.wordOf[element] !== step)
      throw new CompilerBug(
        `channel ${name}: step ${step} in lockstep reads word ${element < 0 ? "none" : order.wordOf[element]}`,
      );
  }
}

/**
 * A kernel takes all its operands in the cycle in which it fires, and its results come as many cycles later as its
 * pipeline has. @errors CompilerBug
 */
function checkKernels(network: Network, traces: ReadonlyMap<Channel, ChannelTrace>): void {
  for (const node of network.kernels) {
    const fed = node.inputs.filter((c) => !c.direct);
    const body = fed.filter((c) => c.phase === "body");
    if (body.length === 0) continue;
    const fires = traces.get(body[0]!)!.takes;
    const emitting = fires.filter((_, i) => node.emits[i % node.steps] === 1);
    const agree = (channel: Channel, found: readonly number[], expected: readonly number[], what: string): void => {
      const n = Math.min(found.length, expected.length);
      for (let i = 0; i < n; i++)
        if (found[i] !== expected[i])
          throw new CompilerBug(
            `channel ${channel.name}: ${what} ${i} is in cycle ${found[i]}, and kernel ${node.name} says ${expected[i]}`,
          );
    };
    for (const c of fed) agree(c, traces.get(c)!.takes, c.phase === "body" ? fires : emitting, "step");
    for (const { channel, delay } of buffersBehind(node))
      agree(
        channel,
        traces.get(channel)!.pushes,
        emitting.map((c) => c + delay),
        "word",
      );
  }
}

/** The buffers in which results end up, through kernels in lockstep, and the registers on the way there. */
function buffersBehind(node: TimedKernel | InputNode): { channel: Channel; delay: number }[] {
  const depth = node.kind === "kernel" ? node.depth : 0;
  return node.outputs.flatMap((c) =>
    c.direct && c.consumer.kind === "kernel"
      ? buffersBehind(c.consumer).map((b) => ({ channel: b.channel, delay: depth + b.delay }))
      : [{ channel: c, delay: depth }],
  );
}

function ascending(cycles: readonly number[], error: (cycle: number) => CompilerBug): void {
  for (let i = 1; i < cycles.length; i++) if (cycles[i]! <= cycles[i - 1]!) throw error(cycles[i]!);
}
