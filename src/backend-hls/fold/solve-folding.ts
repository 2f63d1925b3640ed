/**
 * Folding of all kernels together. The order and the words in which one kernel writes decide what its readers can do
 * and what their channels cost, so schedules are chosen along the whole graph: dynamic programming over the kernels in
 * the order of the dataflow, where a state is how every value arrives that somebody still reads, and of states that
 * agree in this only the cheapest is kept. Partial designs that cannot become cheaper than a known whole one are
 * dropped (branch and bound: the rest costs at least its cheapest schedules, with channels for nothing). What is left
 * is the optimum of the cost model, unless more states than `EFFORT` allows had to be kept at once; the bound says how
 * far off it can be at most.
 *
 * Tables of candidates and channel costs are kept between solutions, so that a search over intervals or prices is
 * cheap.
 */
import type { Module, Op, Value } from "../../ir/core.js";
import { kernelMacs, readKernel, type KernelSpec } from "../../ir/flow/kernel.js";
import { source } from "../../ir/eval/flow.js";
import { elementCount, type FixedType, type StreamType } from "../../ir/types.js";
import { portReads } from "../channel/access.js";
import { planStream } from "../channel/stream-plan.js";
import type { Device } from "../device/devices.js";
import { addResources, LUTS_PER_DSP, noResources, type Resources } from "../device/resources.js";
import { type Arrival, type Candidate, type Candidates, portArrival, scheduleCandidates } from "./candidates.js";
import { type ChannelCost, ChannelCosts } from "./channel-cost.js";
import type { Prices, WholeRequest } from "./request.js";

export interface Folding {
  /** Schedule of each kernel, by name. */
  readonly kernels: ReadonlyMap<string, KernelSpec>;
  /** Elements per beat of every output; 0 where it leaves through a copy that puts it in order. */
  readonly outputs: readonly number[];
  /** Of kernels and channels, rings at a typical size. */
  readonly resources: Resources;
  readonly multipliers: number;
  /** Cycles, estimated: the timeline has the exact ones. */
  readonly latency: number;
  readonly cost: number;
  /** No folding of the same candidates costs less than this. */
  readonly bound: number;
}

export interface FoldingFailure {
  readonly kernel: Op;
  /** Fewest cycles that the kernel can reach. */
  readonly cycles: number;
}

/**
 * States kept at once, ways in which one kernel's result may leave that are followed from each, and element reads that
 * may be tabulated for one kernel over all schedules that are looked at.
 */
const EFFORT = {
  quick: { beam: 8, ways: 6, reads: 1e6 },
  full: { beam: 24, ways: 10, reads: 5e6 },
};
/** Where no state can go on, so many times as much is tried. */
const WIDER = [1, 6];

interface Node {
  readonly op: Op;
  /** Element reads per sample in a table of a stream operand, at most. */
  readonly tableSize: number;
  readonly name: string;
  readonly spec: KernelSpec;
  /** Number of the producing value per operand; -1 for constants. */
  readonly reads: readonly number[];
  readonly value: number;
  /** Values that nobody reads after this kernel. */
  readonly dead: readonly number[];
}

/** A schedule with the channels that feed it. */
interface Way {
  readonly candidate: Candidate;
  readonly resources: Resources;
  readonly cost: number;
  readonly lags: readonly (Lag | undefined)[];
}

/** Of a kernel behind one of its operands: shares of the words and of the steps (`ChannelCost`). */
type Lag = Pick<ChannelCost, "head" | "tail">;

/** When the words of a value are there: first and last, in cycles from the first input beat. */
interface Span {
  readonly first: number;
  readonly last: number;
}

interface State {
  /** Arrival per live value. */
  readonly live: ReadonlyMap<number, Arrival>;
  readonly spans: ReadonlyMap<number, Span>;
  /** Of area alone, and with the latency so far. */
  readonly area: number;
  readonly cost: number;
  readonly way: Way | undefined;
  readonly before: State | undefined;
}

export class FoldingSolver {
  private readonly nodes: Node[] = [];
  private readonly args: readonly Value[];
  private readonly returned: readonly { value: number; type: StreamType }[];
  private readonly channels: ChannelCosts;
  private readonly candidates = new Map<string, Candidates>();
  private readonly solutions = new Map<string, Folding | FoldingFailure>();
  private readonly portWords = new Map<string, number>();
  private readonly macs: number;

  constructor(
    module: Module,
    private readonly device: Device,
  ) {
    const func = module.func;
    this.channels = new ChannelCosts(device);
    this.args = func.body.args;
    const numbers = new Map<Value, number>(func.body.args.map((a, i) => [a, i]));
    const ops = func.body.ops.filter((op) => op.name === "flow.kernel");
    ops.forEach((op, i) => numbers.set(op.result, this.args.length + i));
    this.returned = func.body.terminator.operands.map((v) => ({
      value: numbers.get(source(v))!,
      type: v.type as StreamType,
    }));
    const last = new Map<number, number>();
    const specs = ops.map((op) => readKernel(op));
    const reads = specs.map((s) => s.operands.map((o) => numbers.get(source(o.value)) ?? -1));
    reads.forEach((r, i) => r.forEach((v) => last.set(v, i)));
    this.returned.forEach((r) => last.set(r.value, ops.length));
    ops.forEach((op, i) => {
      const dead = [...last].filter(([v, at]) => v >= 0 && at === i).map(([v]) => v);
      this.nodes.push({
        op,
        tableSize: tableSize(specs[i]!, reads[i]!),
        name: specs[i]!.name,
        spec: specs[i]!,
        reads: reads[i]!,
        value: this.args.length + i,
        dead,
      });
    });
    this.macs = ops.reduce((n, op, i) => n + kernelMacs(op, specs[i]!), 0);
  }

  solve(request: WholeRequest): Folding | FoldingFailure {
    const key = JSON.stringify([
      request.ii,
      request.prices,
      request.inputWords,
      request.outputBits ?? 0,
      request.effort,
    ]);
    let found = this.solutions.get(key);
    if (found === undefined) this.solutions.set(key, (found = this.search(request)));
    return found;
  }

  private search(request: WholeRequest): Folding | FoldingFailure {
    let failure: FoldingFailure | undefined;
    for (const factor of WIDER) {
      const { beam, ways, reads } = EFFORT[request.effort];
      const run = new Search(this, request, beam * factor, ways * factor, reads * factor);
      const found = run.run();
      if ("kernels" in found) return found;
      failure = found;
    }
    return failure!;
  }

  // --- what a search asks for
  //   -------------------------------------------------------------------------------------------

  get graph(): {
    nodes: readonly Node[];
    args: readonly Value[];
    returned: readonly { value: number; type: StreamType }[];
    macs: number;
  } {
    return { nodes: this.nodes, args: this.args, returned: this.returned, macs: this.macs };
  }

  candidatesOf(node: Node, arrivals: readonly (Arrival | undefined)[], ii: number): Candidates {
    const key = `${node.name}|${ii}|${arrivals.map((a) => a?.key ?? "").join("|")}`;
    let found = this.candidates.get(key);
    if (found === undefined)
      this.candidates.set(key, (found = scheduleCandidates(this.device, node.op, node.spec, arrivals, ii)));
    return found;
  }

  /** Channels into a schedule; the cycles of the slowest where they miss the interval. */
  channelsOf(
    c: Candidate,
    arrivals: readonly (Arrival | undefined)[],
    ii: number,
  ): (ChannelCost | undefined)[] | number {
    const costs: (ChannelCost | undefined)[] = [];
    for (let k = 0; k < arrivals.length; k++) {
      const a = arrivals[k];
      const cost = a === undefined ? undefined : this.channels.cost(a.key, a.order, c.spec, k);
      if (cost !== undefined && cost.cycles > ii) return cost.cycles;
      costs.push(cost);
    }
    return costs;
  }

  /**
   * Most elements per beat, up to a word of the producer, in which a result leaves in row-major order as a stream; 0 if
   * in none.
   */
  outputWord(type: StreamType, a: Arrival, { ii, outputBits }: WholeRequest): number {
    const most = Math.min(a.planes, Math.max(1, Math.floor((outputBits ?? Infinity) / (type.elem as FixedType).width)));
    const key = `${a.key}|${type.shape.join()}|${most}`;
    let word = this.portWords.get(key);
    if (word === undefined) {
      word = 0;
      for (let perBeat = most; perBeat >= 1 && word === 0; perBeat--) {
        if (a.planes % perBeat === 0 && planStream(a.order(), portReads(type, perBeat)) !== undefined) word = perBeat;
      }
      this.portWords.set(key, word);
    }
    return word > 0 && Math.ceil(elementCount(type.shape) / word) <= ii ? word : 0;
  }
}

function tableSize(spec: KernelSpec, reads: readonly number[]): number {
  return spec.operands.reduce(
    (n, o, k) =>
      reads[k]! < 0
        ? n
        : n +
          spec.iterators.reduce((m, it, i) => (o.map.results.some((r) => r.coeffs[i] !== 0) ? m * it.extent : m), 1),
    1,
  );
}

/** One run of the dynamic programme. */
class Search {
  private readonly price: Prices;
  private readonly cyclePrice: number;
  private readonly ways = new Map<string, readonly Way[] | number>();
  private cut = false;
  /** Element reads tabulated for the kernel at hand. */
  private reads = 0;
  /** Cheapest schedule of each kernel over everything that was looked at. */
  private readonly least: number[] = [];

  constructor(
    private readonly solver: FoldingSolver,
    private readonly request: WholeRequest,
    private readonly beam: number,
    private readonly most: number,
    private readonly mostReads: number,
  ) {
    this.price = request.prices;
    this.cyclePrice = ((solver.graph.macs / request.ii) * LUTS_PER_DSP * request.prices.latency) / request.ii;
  }

  run(): Folding | FoldingFailure {
    const { nodes, args, returned } = this.solver.graph;
    let states: State[] = [
      {
        live: new Map(args.map((a, i) => [i, portArrival(a.type as StreamType, this.request.inputWords[i]!)])),
        spans: new Map(
          args.map((_, i) => [
            i,
            { first: 0, last: portArrival(args[i]!.type as StreamType, this.request.inputWords[i]!).words },
          ]),
        ),
        area: 0,
        cost: 0,
        way: undefined,
        before: undefined,
      },
    ];
    for (const [at, node] of nodes.entries()) {
      const next = new Map<string, State>();
      let fastest = Infinity;
      this.reads = 0;
      for (const s of states) {
        if (this.reads > this.mostReads && next.size > 0) {
          this.cut = true;
          break;
        }
        const ways = this.waysOf(node, s, at);
        if (typeof ways === "number") {
          fastest = Math.min(fastest, ways);
          continue;
        }
        for (const way of ways) {
          const live = new Map(s.live);
          live.set(node.value, way.candidate.result);
          const spans = new Map(s.spans);
          spans.set(node.value, this.spanOf(node, way, s.spans));
          for (const v of node.dead) {
            live.delete(v);
            spans.delete(v);
          }
          const key = [...live].map(([v, a]) => `${v}=${a.key}`).join("|");
          const area = s.area + way.cost;
          const cost = area + this.cyclePrice * Math.max(...[...spans.values()].map((t) => t.last));
          const known = next.get(key);
          if (known === undefined || cost < known.cost) next.set(key, { live, spans, area, cost, way, before: s });
        }
      }
      if (next.size === 0) return { kernel: node.op, cycles: Math.max(fastest, this.request.ii + 1) };
      states = [...next.values()].sort((a, b) => a.cost - b.cost);
      if (states.length > this.beam) {
        this.cut = true;
        states.length = this.beam;
      }
    }
    let best: State | undefined;
    let bestCost = Infinity;
    let outputs: number[] = [];
    for (const s of states) {
      const words = returned.map((r) => this.solver.outputWord(r.type, s.live.get(r.value)!, this.request));
      const cost = s.cost + words.reduce((n, w, i) => n + (w > 0 ? 0 : this.orderingCost(returned[i]!.type)), 0);
      if (cost < bestCost) [best, bestCost, outputs] = [s, cost, words];
    }
    return this.folding(best!, bestCost, outputs);
  }

  private folding(end: State, cost: number, outputs: readonly number[]): Folding {
    const { nodes } = this.solver.graph;
    const kernels = new Map<string, KernelSpec>();
    let resources = noResources();
    let multipliers = 0;
    for (let s: State | undefined = end, at = nodes.length - 1; s?.way !== undefined; s = s.before, at--) {
      kernels.set(nodes[at]!.name, s.way.candidate.spec);
      resources = addResources(resources, s.way.resources);
      multipliers += s.way.candidate.multipliers;
    }
    const latency = Math.round(Math.max(...[...end.spans.values()].map((t) => t.last)));
    return {
      kernels,
      outputs,
      resources,
      multipliers,
      latency,
      cost,
      bound: this.cut
        ? Math.min(
            cost,
            this.least.reduce((n, c) => n + c, 0),
          )
        : cost,
    };
  }

  /** A copy through a memory that holds two samples. */
  private orderingCost(type: StreamType): number {
    return 500 + (elementCount(type.shape) * 2 * (type.elem as FixedType).width * this.price.lut) / 64;
  }

  private costOf(c: Candidate): number {
    return this.areaCost(c.resources) + this.price.product * c.multipliers;
  }

  private areaCost(r: Resources): number {
    const p = this.price;
    return p.lut * r.lut + p.ff * r.ff + p.dsp * r.dsp + p.bram * r.bram;
  }

  private ownLag(c: Candidate, channels: readonly (Lag | undefined)[]): number {
    return c.firstWord + Math.max(0, ...channels.map((l) => (l === undefined ? 0 : l.tail * c.steps)));
  }

  /** When the results of a kernel come, if words come and go evenly. */
  private spanOf(node: Node, way: Way, spans: ReadonlyMap<number, Span>): Span {
    const { steps, firstWord, depth } = way.candidate;
    let start = 0;
    let end = 0;
    way.lags.forEach((lag, k) => {
      if (lag === undefined) return;
      const { first, last } = spans.get(node.reads[k]!)!;
      start = Math.max(start, first + lag.head * (last - first));
      end = Math.max(end, last + lag.tail * steps);
    });
    return { first: start + firstWord + depth, last: Math.max(end, start + steps) + depth };
  }

  /**
   * The cheapest schedule for every order in which the result may leave; the fewest cycles where none keeps the
   * interval.
   */
  private waysOf(node: Node, state: State, at: number): readonly Way[] | number {
    const arrivals = node.reads.map((v) => (v < 0 ? undefined : state.live.get(v)!));
    const key = `${at}|${arrivals.map((a) => a?.key ?? "").join("|")}`;
    let found = this.ways.get(key);
    if (found === undefined) this.ways.set(key, (found = this.findWays(node, arrivals, at)));
    return found;
  }

  private findWays(node: Node, arrivals: readonly (Arrival | undefined)[], at: number): readonly Way[] | number {
    const { ii } = this.request;
    const { list, fastest } = this.solver.candidatesOf(node, arrivals, ii);
    const groups = new Map<string, { candidate: Candidate; cost: number }[]>();
    for (const candidate of list) {
      const cost = this.costOf(candidate);
      const group = groups.get(candidate.result.key);
      if (group === undefined) groups.set(candidate.result.key, [{ candidate, cost }]);
      else group.push({ candidate, cost });
    }
    const sorted = [...groups.values()]
      .map((g) => g.sort((a, b) => a.cost - b.cost))
      .sort((a, b) => a[0]!.cost - b[0]!.cost);
    if (sorted.length > 0) this.least[at] = Math.min(this.least[at] ?? Infinity, sorted[0]![0]!.cost);
    const ways: Way[] = [];
    let slowest = Infinity;
    for (const group of sorted) {
      if (ways.length >= this.most || (this.reads > this.mostReads && ways.length > 0)) {
        this.cut = true;
        break;
      }
      let best: Way | undefined;
      let bestCost = Infinity;
      for (const { candidate, cost } of group) {
        if (cost >= bestCost) break;
        this.reads += node.tableSize;
        const channels = this.solver.channelsOf(candidate, arrivals, ii);
        if (typeof channels === "number") {
          slowest = Math.min(slowest, channels);
          continue;
        }
        const area = channels.reduce((r, c) => (c === undefined ? r : addResources(r, c.resources)), noResources());
        // Within a way to leave, what remains of the latency is the waiting for words.
        const total = cost + this.areaCost(area);
        const rated = total + this.cyclePrice * this.ownLag(candidate, channels);
        if (rated < bestCost)
          [best, bestCost] = [
            { candidate, resources: addResources(candidate.resources, area), cost: total, lags: channels },
            rated,
          ];
      }
      if (best !== undefined) ways.push(best);
    }
    return ways.length > 0 ? ways : Math.min(slowest, Math.max(fastest, ii + 1));
  }
}
