/**
 * The schedules of one kernel that a search chooses among: loop order, lanes and what forms the products, each with its
 * resources. Which loops there are depends on how the operands arrive.
 */
import { elementAt, present } from "../../ir/present.js";
import type { Op } from "../../ir/core.js";
import { isWholeIterator, linearResult, loopNest, stepCount, unrollOf, type KernelSpec } from "../../ir/flow/kernel.js";
import { elementCount, type StreamType } from "../../ir/types.js";
import { kernelOrder, portOrder, type ProducerOrder } from "../channel/access.js";
import type { Device } from "../device/devices.js";
import type { Resources } from "../device/resources.js";
import { isFixedOperand } from "../kernel/datapath.js";
import { kernelMultipliers, kernelResources } from "../kernel/kernel-area.js";
import { plainProduct } from "../kernel/products.js";
import { matchProducers, portDigits, type ProducerDigit, resultDigits } from "./match-order.js";

/** How a value comes: everything that schedules of its readers depend on. */
export interface Arrival {
  /** Equal for values of equal order. */
  readonly key: string;
  readonly digits: readonly ProducerDigit[];
  readonly planes: number;
  readonly words: number;
  readonly order: () => ProducerOrder;
}

export interface Candidate {
  readonly spec: KernelSpec;
  readonly steps: number;
  /** Steps up to the first result word, this one included. */
  readonly firstWord: number;
  /** Pipeline stages, roughly: the timing of the whole pipeline is planned for final designs only. */
  readonly depth: number;
  readonly multipliers: number;
  /** Of the kernel alone. */
  readonly resources: Resources;
  readonly result: Arrival;
}

export interface Candidates {
  readonly list: readonly Candidate[];
  /** Fewest steps of any schedule. */
  readonly fastest: number;
}

function lazy<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

export function portArrival(type: StreamType, word: number): Arrival {
  return {
    key: `p${word}/${type.shape.join()}`,
    digits: portDigits(type, word),
    planes: word,
    words: Math.ceil(elementCount(type.shape) / word),
    order: lazy(() => portOrder(type, word)),
  };
}

export function resultArrival(spec: KernelSpec): Arrival {
  const expr = linearResult(spec);
  const loops = loopNest(spec).filter((l) => l.kind === "parallel");
  const rank = new Map(loops.map((l, n) => [l.name, n]));
  // Lanes are numbered in the order of the iterators.
  const parts = spec.iterators.flatMap((it, i) =>
    it.kind === "parallel" && it.extent > 1
      ? [`${expr.coeffs[i]}:${it.extent}:${unrollOf(spec, it.name)}:${rank.get(it.name) ?? ""}`]
      : [],
  );
  return {
    key: parts.join(),
    digits: resultDigits(spec),
    planes: spec.iterators.reduce((n, it) => (it.kind === "parallel" ? n * unrollOf(spec, it.name) : n), 1),
    words: loops.reduce((n, l) => n * l.trips, 1),
    order: lazy(() => kernelOrder(spec)),
  };
}

/** Beyond so many schedules of one kernel, those that walk along the stream in more than one place are left out. */
const MANY = 6000;

/**
 * All schedules worth a look whose steps fit `ii`. Lanes along the arriving stream take words of several positions: one
 * place more is looked at than is needed to keep the interval.
 */
export function scheduleCandidates(
  device: Device,
  op: Op,
  spec: KernelSpec,
  arrivals: readonly (Arrival | undefined)[],
  ii: number,
): Candidates {
  const { spec: split, order } = matchProducers(
    spec,
    arrivals.map((a) => a?.digits),
  );
  const inner = split.iterators.filter((i) => !order.majors.has(i.name) || i.kind === "reduction").map((i) => i.name);
  const walking = [...order.order].filter((n) => !inner.includes(n)).reverse();
  let fastest = Infinity;
  let list: KernelSpec[] = [];
  for (let extra = 0; extra <= walking.length; extra++) {
    const free = new Set([...inner, ...walking.slice(0, extra)]);
    const enough = list.length > 0;
    const least = split.iterators.reduce((n, it) => n * (free.has(it.name) ? 1 : it.extent), 1);
    fastest = Math.min(fastest, least);
    if (least > ii) continue;
    const more = unrollings(split, free, order.along, ii).map(
      (unroll): KernelSpec => ({ ...split, schedule: { order: order.order, unroll } }),
    );
    if (enough && more.length > MANY) break;
    list = more;
    if (enough) break;
  }
  const candidates = list.flatMap((s) => {
    const steps = stepCount(s);
    const result = resultArrival(s);
    const multipliers = kernelMultipliers(op, s);
    return implementations(op, s).map(
      (i): Candidate => ({
        spec: i,
        steps,
        firstWord: stepsToFirstWord(s),
        depth: roughDepth(op, s),
        multipliers,
        resources: kernelResources(device, op, i),
        result,
      }),
    );
  });
  return { list: candidates, fastest };
}

/** Reduction loops run through once, with everything inside them, before a word is complete. */
function stepsToFirstWord(spec: KernelSpec): number {
  const nest = loopNest(spec);
  const first = nest.findIndex((l) => l.kind === "reduction");
  if (first < 0) return 1;
  // The first word is complete when every reduction is at its last trip and all parallel loops at their first.
  let inner = 1;
  let steps = 0;
  for (let d = nest.length - 1; d >= first; d--) {
    if (elementAt(nest, d).kind === "reduction") steps += (elementAt(nest, d).trips - 1) * inner;
    inner *= elementAt(nest, d).trips;
  }
  return steps + 1;
}

function roughDepth(op: Op, spec: KernelSpec): number {
  const terms = spec.iterators.reduce((n, it) => (it.kind === "reduction" ? n * unrollOf(spec, it.name) : n), 1);
  return 3 + Math.ceil(Math.log2(terms)) / 2 + Math.min(4, elementAt(op.regions, 1).ops.length);
}

/** Weights that never change: as shifted additions, or in multiplier blocks. */
function implementations(op: Op, spec: KernelSpec): readonly KernelSpec[] {
  const product = plainProduct(op, spec);
  if (product?.some((i) => isFixedOperand(spec, i)) !== true) return [spec];
  return [spec, { ...spec, schedule: { ...present(spec.schedule, "schedule"), multiply: "dsp" } }];
}

/** Unroll vectors: per iterator the least factor of each trip count, where the steps fit the interval. */
function unrollings(
  spec: KernelSpec,
  free: ReadonlySet<string>,
  along: ReadonlySet<string>,
  ii: number,
): Record<string, number>[] {
  const options = spec.iterators.map((it, i) => {
    if (isWholeIterator(spec, i)) return [{ unroll: it.extent, trips: 1 }];
    if (!free.has(it.name)) return [{ unroll: 1, trips: it.extent }];
    const byTrips = new Map<number, number>();
    for (let u = it.extent; u >= 1; u--) {
      // Result words that do not divide the tensor cost every consumer dearly; along the stream there may be no other
      // way.
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
      found.push(Object.fromEntries(spec.iterators.map((it, i) => [it.name, elementAt(chosen, i).unroll])));
      return;
    }
    for (const o of elementAt(options, d)) {
      chosen[d] = o;
      visit(d + 1, steps * o.trips);
    }
  };
  visit(0, 1);
  return found;
}
