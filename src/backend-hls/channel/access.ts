/**
 * Who writes and who reads which element when: static tables, by enumeration, that everything about channels follows
 * from.
 */
import { evalAffine } from "../../ir/affine.js";
import type { Value } from "../../ir/core.js";
import {
  linearAccess,
  linearResult,
  loopNest,
  readKernel,
  unrollOf,
  type KernelOperand,
  type KernelSpec,
  type Loop,
  type ScheduledLoops,
} from "../../ir/flow/kernel.js";
import { elementCount, rowMajorStrides, type FixedType, type StreamType } from "../../ir/types.js";

/** The part of a kernel that says what it reads and writes when; what it computes has no say in it. */
export interface KernelAccess extends ScheduledLoops, Pick<KernelSpec, "out" | "resultShape" | "resultElem"> {
  readonly operands: readonly Pick<KernelOperand, "map" | "view" | "phase">[];
}

/** The order in which a producer writes its elements. */
export interface ProducerOrder {
  /** Words per sample. */
  readonly words: number;
  /** Elements side by side in a word; lanes beyond the tensor's edge carry nothing. */
  readonly planes: number;
  readonly elem: FixedType;
  /** Word and plane of each element, by linear index. */
  readonly wordOf: Int32Array;
  readonly planeOf: Int32Array;
  /** Trip counts of the sequential loops, outermost first; their product is `words`. */
  readonly trips: readonly number[];
}

/** All points of the lanes of `names`: iterator index -> lane number, in row-major order of the kernel's iterators. */
export function lanePoints(
  spec: ScheduledLoops,
  take: (index: number) => boolean,
): { index: number; lane: number }[][] {
  let points: { index: number; lane: number }[][] = [[]];
  spec.iterators.forEach((it, index) => {
    const u = unrollOf(spec, it.name);
    if (u === 1 || !take(index)) return;
    points = points.flatMap((p) => Array.from({ length: u }, (_, lane) => [...p, { index, lane }]));
  });
  return points;
}

/** Calls `visit` for every step of the nest with the iterator values of lane 0. */
function forEachStep(loops: readonly Loop[], rank: number, visit: (point: Int32Array, step: number) => void): void {
  const point = new Int32Array(rank);
  const count = loops.map(() => 0);
  const total = loops.reduce((n, l) => n * l.trips, 1);
  for (let step = 0; step < total; step++) {
    visit(point, step);
    for (let d = loops.length - 1; d >= 0; d--) {
      const l = loops[d]!;
      if (++count[d]! < l.trips) {
        point[l.index]! += l.unroll;
        break;
      }
      count[d] = 0;
      point[l.index] = 0;
    }
  }
}

/** Output words of a scheduled kernel: one word per point of its parallel loops, one plane per parallel lane. */
export function kernelOrder(spec: KernelAccess): ProducerOrder {
  const loops = loopNest(spec).filter((l) => l.kind === "parallel");
  const expr = linearResult(spec);
  const lanes = lanePoints(spec, (i) => spec.iterators[i]!.kind === "parallel");
  const size = elementCount(spec.resultShape);
  const wordOf = new Int32Array(size);
  const planeOf = new Int32Array(size);
  const base = lanes.map((l) => l.reduce((a, p) => a + p.lane * expr.coeffs[p.index]!, 0));
  forEachStep(loops, spec.iterators.length, (point, word) => {
    const a = evalAffine(expr, point);
    lanes.forEach((l, plane) => {
      if (l.some((p) => point[p.index]! + p.lane >= spec.iterators[p.index]!.extent)) return;
      wordOf[a + base[plane]!] = word;
      planeOf[a + base[plane]!] = plane;
    });
  });
  return {
    words: loops.reduce((n, l) => n * l.trips, 1),
    planes: lanes.length,
    elem: spec.resultElem,
    wordOf,
    planeOf,
    trips: loops.map((l) => l.trips),
  };
}

/** Row-major order with `perWord` elements a word: how tensors enter and leave. */
export function portOrder(type: StreamType, perWord: number): ProducerOrder {
  const size = elementCount(type.shape);
  const words = Math.ceil(size / perWord);
  // The loops are the dimensions, with the word taken out of the innermost ones that it covers.
  const trips: number[] = [];
  const strides = rowMajorStrides(type.shape);
  type.shape.forEach((n, d) => {
    const s = strides[d]!;
    if (s >= perWord && s % perWord === 0) trips.push(n);
    else if (s * n > perWord) trips.push(Math.ceil((s * n) / perWord));
  });
  const product = trips.reduce((n, t) => n * t, 1);
  return {
    words,
    planes: perWord,
    elem: type.elem as FixedType,
    wordOf: Int32Array.from({ length: size }, (_, i) => Math.floor(i / perWord)),
    planeOf: Int32Array.from({ length: size }, (_, i) => i % perWord),
    trips: product === words ? trips.filter((t) => t > 1) : [words],
  };
}

/** What one operand of a kernel reads: `element[step * lanes + lane]`, -1 where the pad value is read. */
export interface ReadTable {
  readonly steps: number;
  readonly lanes: number;
  readonly element: Int32Array;
  readonly loops: readonly Loop[];
  /** Per lane, the lane numbers of the iterators that it depends on. */
  readonly lanePoints: readonly (readonly { index: number; lane: number }[])[];
}

/** Reads of operand `k`; an epilogue operand is read once per result word. */
export function readTable(spec: KernelAccess, k: number): ReadTable {
  const operand = spec.operands[k]!;
  const nest = loopNest(spec);
  const loops = operand.phase === "body" ? nest : nest.filter((l) => l.kind === "parallel");
  const expr = linearAccess(operand);
  const involved = (i: number): boolean => operand.map.results.some((r) => r.coeffs[i] !== 0);
  const lanes = lanePoints(spec, involved);
  const steps = loops.reduce((n, l) => n * l.trips, 1);
  const element = new Int32Array(steps * lanes.length);
  const linear = Int32Array.from(lanes, (l) => l.reduce((a, p) => a + p.lane * expr.coeffs[p.index]!, 0));
  // Only what can leave the view, or the iteration space, is looked at point by point.
  const reach = (coeffs: readonly number[], offset: number): { lo: number; hi: number } =>
    coeffs.reduce(
      (r, c, i) => {
        const it = spec.iterators[i]!;
        const end = c * (Math.ceil(it.extent / unrollOf(spec, it.name)) * unrollOf(spec, it.name) - 1);
        return { lo: r.lo + Math.min(0, end), hi: r.hi + Math.max(0, end) };
      },
      { lo: offset, hi: offset },
    );
  const dims = operand.map.results.flatMap((r, d) => {
    const size = operand.view.shape[d]!;
    const { lo, hi } = reach(r.coeffs, r.offset);
    return lo >= 0 && hi < size
      ? []
      : [{ r, size, lane: Int32Array.from(lanes, (l) => l.reduce((a, p) => a + p.lane * r.coeffs[p.index]!, 0)) }];
  });
  const edges = spec.iterators.flatMap((it, index) => {
    if (it.extent % unrollOf(spec, it.name) === 0) return [];
    return [
      { index, extent: it.extent, lane: Int32Array.from(lanes, (l) => l.find((p) => p.index === index)?.lane ?? 0) },
    ];
  });
  const at = new Int32Array(dims.length);
  const count = lanes.length;
  forEachStep(loops, spec.iterators.length, (point, step) => {
    const a = evalAffine(expr, point);
    const base = step * count;
    for (let lane = 0; lane < count; lane++) element[base + lane] = a + linear[lane]!;
    for (let d = 0; d < dims.length; d++) at[d] = evalAffine(dims[d]!.r, point);
    for (let d = 0; d < dims.length; d++) {
      const { size, lane: offset } = dims[d]!;
      for (let lane = 0; lane < count; lane++) {
        const v = at[d]! + offset[lane]!;
        if (v < 0 || v >= size) element[base + lane] = -1;
      }
    }
    for (const e of edges) {
      if (point[e.index]! + e.lane[count - 1]! < e.extent) continue;
      for (let lane = 0; lane < count; lane++)
        if (point[e.index]! + e.lane[lane]! >= e.extent) element[base + lane] = -1;
    }
  });
  return { steps, lanes: lanes.length, element, loops, lanePoints: lanes };
}

/** Reads of an output port: the whole tensor in row-major order, `perWord` elements a beat. */
export function portReads(type: StreamType, perWord: number): ReadTable {
  const size = elementCount(type.shape);
  const steps = Math.ceil(size / perWord);
  return {
    steps,
    lanes: perWord,
    element: Int32Array.from({ length: steps * perWord }, (_, i) => (i < size ? i : -1)),
    loops: steps === 1 ? [] : [{ name: "beat", trips: steps, kind: "parallel", unroll: 1, extent: steps, index: 0 }],
    lanePoints: Array.from({ length: perWord }, () => []),
  };
}

/** Order of the words of a value: a scheduled kernel's result or a function argument. */
export function orderOf(v: Value, inputWord: (arg: Value) => number): ProducerOrder {
  if (v.def === undefined) return portOrder(v.type as StreamType, inputWord(v));
  if (v.def.name === "flow.channel") return orderOf(v.def.operand(0), inputWord);
  return kernelOrder(readKernel(v.def));
}
