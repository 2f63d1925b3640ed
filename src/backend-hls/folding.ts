/**
 * Folding: how much of each kernel is hardware and how much is time. Given a target initiation interval, picks the unroll
 * factors of every kernel at least cost, in the order of the dataflow, so that each sees its producers' words.
 */
import type { Module, Op, Value } from "../ir/core.js";
import { kernelMacs, readKernel, stepCount, writeKernel, type KernelSpec } from "../ir/flow/kernel.js";
import { source } from "../ir/eval/flow.js";
import { elementCount, type FixedType, type StreamType } from "../ir/types.js";
import { orderOf, portReads, readTable } from "./access.js";
import { channelResources, equivalentLuts, kernelMultipliers, kernelResources, LUTS_PER_DSP, LUTS_PER_PRODUCT } from "./cost.js";
import { consumerCycles, planChannel, type PortWords } from "./design.js";
import type { Device } from "./devices.js";
import { matchProducers, operandDigits, type LoopOrder } from "./match-order.js";
import { planStream } from "./stream-plan.js";

export interface FoldingTarget {
  readonly device: Device;
  /** Cycles between samples that every kernel must reach. */
  readonly ii: number;
}

export interface FoldingFailure {
  readonly kernel: Op;
  /** Fewest cycles that the kernel can reach. */
  readonly cycles: number;
}

/** Share of the multipliers' area that all cycles of an interval together are worth: what a shorter latency may cost. */
const LATENCY_SHARE = 1 / 24;

/** Schedules every kernel; returns the words of the ports, or the kernel that cannot reach the target. */
export function foldModule(module: Module, target: FoldingTarget): PortWords | FoldingFailure {
  const func = module.func;
  const inputs = func.body.args.map((a) => inputWord(a.type as StreamType, target.ii));
  const wordOf = (arg: Value): number => inputs[func.body.args.indexOf(arg)]!;
  const kernels = func.body.ops.filter((op) => op.name === "flow.kernel");
  const products = kernels.reduce((sum, op) => sum + kernelMacs(op, readKernel(op)), 0);
  const cyclePrice = ((products / target.ii) * LUTS_PER_DSP * LATENCY_SHARE) / target.ii;
  for (const op of kernels) {
    const failure = foldKernel(op, target, wordOf, cyclePrice);
    if (failure !== undefined) return failure;
  }
  return { inputs, outputs: func.body.terminator.operands.map((v) => outputWord(v, wordOf) ?? 0) };
}

/** Fewest elements per beat with which a whole tensor passes within `ii` beats, a divisor of the row-major suffixes. */
export function inputWord(type: StreamType, ii: number): number {
  const size = elementCount(type.shape);
  const needed = Math.ceil(size / ii);
  if (needed <= 1) return 1;
  let suffix = 1;
  for (let d = type.shape.length - 1; d >= 0; d--) {
    const n = type.shape[d]!;
    for (let u = 1; u <= n; u++) if (n % u === 0 && suffix * u >= needed) return suffix * u;
    suffix *= n;
  }
  return size;
}

/** Most elements per beat, up to a whole word of the producer, in which a result leaves in row-major order as a stream. */
export function outputWord(v: Value, wordOf: (arg: Value) => number): number | undefined {
  const type = v.type as StreamType;
  const order = orderOf(source(v), wordOf);
  for (let perBeat = order.planes; perBeat >= 1; perBeat--) {
    if (order.planes % perBeat === 0 && planStream(order, portReads(type, perBeat)) !== undefined) return perBeat;
  }
  return undefined;
}

interface Candidate {
  readonly spec: KernelSpec;
  readonly cost: number;
}

function foldKernel(op: Op, target: FoldingTarget, wordOf: (arg: Value) => number, cyclePrice: number): FoldingFailure | undefined {
  const digits = operandDigits(op, readKernel(op), wordOf);
  const { spec: split, order } = matchProducers(readKernel(op), digits);
  const inner = split.iterators.filter((i) => !order.majors.has(i.name) || i.kind === "reduction").map((i) => i.name);
  let fastest = Infinity;
  // Unrolling along the stream takes words of several positions; only where the rest does not suffice.
  const walking = [...order.order].filter((n) => !inner.includes(n)).reverse();
  for (let extra = 0; extra <= walking.length; extra++) {
    const free = new Set([...inner, ...walking.slice(0, extra)]);
    const { best, cycles } = search(op, split, order, free, target, wordOf, cyclePrice);
    if (best !== undefined) {
      writeKernel(op, best);
      return undefined;
    }
    fastest = Math.min(fastest, cycles);
  }
  return { kernel: op, cycles: fastest };
}

/** Cheapest schedule with lanes on the iterators in `free` alone. */
function search(op: Op, split: KernelSpec, order: LoopOrder, free: ReadonlySet<string>, target: FoldingTarget, wordOf: (arg: Value) => number, cyclePrice: number): { best: KernelSpec | undefined; cycles: number } {
  const candidates: Candidate[] = [];
  let cycles = Infinity;
  for (const unroll of unrollings(split, free, order.along, target.ii)) {
    const spec = { ...split, schedule: { order: order.order, unroll } };
    cycles = Math.min(cycles, stepCount(spec));
    candidates.push({ spec, cost: equivalentLuts(kernelResources(target.device, op, spec)) + LUTS_PER_PRODUCT * kernelMultipliers(op, spec) + cyclePrice * stepCount(spec) });
  }
  candidates.sort((a, b) => a.cost - b.cost);
  let best: Candidate | undefined;
  for (const c of candidates) {
    if (best !== undefined && c.cost >= best.cost) break;
    const channels = channelCost(c.spec, target, wordOf);
    if (channels === undefined) continue;
    const cost = c.cost + channels;
    if (best === undefined || cost < best.cost) best = { spec: c.spec, cost };
  }
  return { best: best?.spec, cycles };
}

/** Unroll vectors worth a look: per iterator the least factor of each trip count, where the steps fit the interval. */
function unrollings(spec: KernelSpec, free: ReadonlySet<string>, along: ReadonlySet<string>, ii: number): Record<string, number>[] {
  const options = spec.iterators.map((it) => {
    if (!free.has(it.name)) return [{ unroll: 1, trips: it.extent }];
    const byTrips = new Map<number, number>();
    for (let u = it.extent; u >= 1; u--) {
      // Result words that do not divide the tensor cost every consumer dearly; along the stream there may be no other way.
      if (it.kind === "parallel" && !along.has(it.name) && it.extent % u !== 0) continue;
      byTrips.set(Math.ceil(it.extent / u), u);
    }
    return [...byTrips].map(([trips, unroll]) => ({ unroll, trips })).sort((a, b) => a.trips - b.trips);
  });
  const found: Record<string, number>[] = [];
  const chosen: { unroll: number; trips: number }[] = [];
  const visit = (d: number, steps: number): void => {
    if (steps > ii) return;
    if (d === options.length) {
      found.push(Object.fromEntries(spec.iterators.map((it, i) => [it.name, chosen[i]!.unroll])));
      return;
    }
    for (const o of options[d]!) {
      chosen[d] = o;
      visit(d + 1, steps * o.trips);
    }
  };
  visit(0, 1);
  return found;
}

/** Cost of the channels into a kernel; undefined where one of them makes the kernel miss the interval. */
function channelCost(spec: KernelSpec, target: FoldingTarget, wordOf: (arg: Value) => number): number | undefined {
  let cost = 0;
  for (let k = 0; k < spec.operands.length; k++) {
    const origin = source(spec.operands[k]!.value);
    if (origin.def?.name === "flow.constant") continue;
    const order = orderOf(origin, wordOf);
    const plan = planChannel(order, readTable(spec, k));
    if (consumerCycles(plan) > target.ii) return undefined;
    const capacity = plan.kind === "memory" ? 2 * plan.words : plan.rows > 1 ? plan.rows * plan.pitch : 8;
    cost += equivalentLuts(channelResources(target.device, plan, (origin.type as StreamType).elem as FixedType, capacity));
  }
  return cost;
}
