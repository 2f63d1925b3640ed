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
import { elementAt, lookUp, present } from "../../ir/present.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { kernelMacs, readKernel, type KernelSpec } from "../../ir/flow/kernel.js";
import { source } from "../../ir/eval/flow.js";
import { elementCount, type FixedType, type StreamType } from "../../ir/types.js";
import { portReads } from "../channel/access.js";
import { planStream } from "../channel/stream-plan.js";
import type { Device } from "../device/devices.js";
import type { Resources } from "../device/resources.js";
import { type Arrival, type Candidate, type Candidates, scheduleCandidates } from "./candidates.js";
import { type ChannelCost, ChannelCosts } from "./channel-cost.js";
import type { WholeRequest } from "./request.js";
import { FoldingSearch, type Node } from "./folding-search.js";

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
      value: lookUp(numbers, source(v), "numbers"),
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
        tableSize: tableSize(elementAt(specs, i), elementAt(reads, i)),
        name: elementAt(specs, i).name,
        spec: elementAt(specs, i),
        reads: elementAt(reads, i),
        value: this.args.length + i,
        dead,
      });
    });
    this.macs = ops.reduce((n, op, i) => n + kernelMacs(op, elementAt(specs, i)), 0);
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
      const run = new FoldingSearch(this, request, beam * factor, ways * factor, reads * factor);
      const found = run.run();
      if ("kernels" in found) return found;
      failure = found;
    }
    return present(failure, "failure");
  }

  // --- what a search asks for

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
      elementAt(reads, k) < 0
        ? n
        : n +
          spec.iterators.reduce((m, it, i) => (o.map.results.some((r) => r.coeffs[i] !== 0) ? m * it.extent : m), 1),
    1,
  );
}
