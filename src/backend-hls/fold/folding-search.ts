/** One run of the dynamic programme over the kernels in the order of the dataflow (see solve-folding.ts). */
import { elementAt, firstOf, lookUp, present } from "../../ir/present.js";
import type { Op } from "../../ir/core.js";
import type { KernelSpec } from "../../ir/flow/kernel.js";
import { elementCount, type FixedType, type StreamType } from "../../ir/types.js";
import { addResources, LUTS_PER_DSP, noResources, type Resources } from "../device/resources.js";
import { type Arrival, type Candidate, portArrival } from "./candidates.js";
import type { ChannelCost } from "./channel-cost.js";
import type { Prices, WholeRequest } from "./request.js";
import type { Folding, FoldingFailure, FoldingSolver } from "./solve-folding.js";

export interface Node {
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
export interface Way {
  readonly candidate: Candidate;
  readonly resources: Resources;
  readonly cost: number;
  readonly waits: readonly (Wait | undefined)[];
}

/** Of a kernel behind one of its operands: shares of the words and of the steps (`ChannelCost`). */
type Wait = Pick<ChannelCost, "headShare" | "tailShare">;

/** When the words of a value are there: first and last, in cycles from the first input beat. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

export interface State {
  /** Arrival per live value. */
  readonly live: ReadonlyMap<number, Arrival>;
  readonly spans: ReadonlyMap<number, Span>;
  /** Of area alone, and with the latency so far. */
  readonly area: number;
  readonly cost: number;
  readonly way: Way | undefined;
  readonly before: State | undefined;
}

/** One run of the dynamic programme. */
export class FoldingSearch {
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
        live: new Map(
          args.map((a, i) => [i, portArrival(a.type as StreamType, elementAt(this.request.inputWords, i))]),
        ),
        spans: new Map(
          args.map((_, i) => [
            i,
            {
              first: 0,
              last: portArrival(elementAt(args, i).type as StreamType, elementAt(this.request.inputWords, i)).words,
            },
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
      const words = returned.map((r) => this.solver.outputWord(r.type, lookUp(s.live, r.value, "live"), this.request));
      const cost =
        s.cost + words.reduce((n, w, i) => n + (w > 0 ? 0 : this.orderingCost(elementAt(returned, i).type)), 0);
      if (cost < bestCost) [best, bestCost, outputs] = [s, cost, words];
    }
    return this.folding(present(best, "best"), bestCost, outputs);
  }

  private folding(end: State, cost: number, outputs: readonly number[]): Folding {
    const { nodes } = this.solver.graph;
    const kernels = new Map<string, KernelSpec>();
    let resources = noResources();
    let multipliers = 0;
    for (let s: State | undefined = end, at = nodes.length - 1; s?.way !== undefined; s = s.before, at--) {
      kernels.set(elementAt(nodes, at).name, s.way.candidate.spec);
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

  private waitingCycles(c: Candidate, channels: readonly (Wait | undefined)[]): number {
    return c.firstWord + Math.max(0, ...channels.map((l) => (l === undefined ? 0 : l.tailShare * c.steps)));
  }

  /** When the results of a kernel come, if words come and go evenly. */
  private spanOf(node: Node, way: Way, spans: ReadonlyMap<number, Span>): Span {
    const { steps, firstWord, depth } = way.candidate;
    let start = 0;
    let end = 0;
    way.waits.forEach((wait, k) => {
      if (wait === undefined) return;
      const { first, last } = lookUp(spans, elementAt(node.reads, k), "spans");
      start = Math.max(start, first + wait.headShare * (last - first));
      end = Math.max(end, last + wait.tailShare * steps);
    });
    return { first: start + firstWord + depth, last: Math.max(end, start + steps) + depth };
  }

  /**
   * The cheapest schedule for every order in which the result may leave; the fewest cycles where none keeps the
   * interval.
   */
  private waysOf(node: Node, state: State, at: number): readonly Way[] | number {
    const arrivals = node.reads.map((v) => (v < 0 ? undefined : lookUp(state.live, v, "live")));
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
      .sort((a, b) => firstOf(a).cost - firstOf(b).cost);
    if (sorted.length > 0) this.least[at] = Math.min(this.least[at] ?? Infinity, firstOf(firstOf(sorted)).cost);
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
        const rated = total + this.cyclePrice * this.waitingCycles(candidate, channels);
        if (rated < bestCost)
          [best, bestCost] = [
            { candidate, resources: addResources(candidate.resources, area), cost: total, waits: channels },
            rated,
          ];
      }
      if (best !== undefined) ways.push(best);
    }
    return ways.length > 0 ? ways : Math.min(slowest, Math.max(fastest, ii + 1));
  }
}
