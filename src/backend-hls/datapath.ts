/**
 * Pipeline of a kernel: which stage of the datapath every operation of its body, reduction tree, accumulator and epilogue
 * takes, at the clock asked for. Stage s of a step that fires in cycle t is cycle t + s. Stage 0 selects the operands and
 * ends in their registers; all lanes have the same pipeline.
 */
import type { Block, Op, Value } from "../ir/core.js";
import { denseAttr } from "../ir/define-op.js";
import { lanePoints } from "./access.js";
import { loopNest, type KernelSpec, type Loop } from "../ir/flow/kernel.js";
import { typeOfRange, rawRange, type FixedType } from "../ir/types.js";
import { source } from "../ir/eval/flow.js";
import type { Device } from "./devices.js";
import { addDelay, opDelay } from "./operators.js";

/** Tables of at least this many entries are read through a register, so that block RAM can hold them. */
export const REGISTERED_TABLE = 512;

/** Point in time: a stage, and nanoseconds since its clock edge. */
export interface Slot {
  readonly stage: number;
  readonly ns: number;
}

export interface Pipeline {
  /** Stage in which each operation of body and epilogue is computed. */
  readonly stageOf: ReadonlyMap<Op, number>;
  /** When the body's result, a tree level's sums, the folded value, and the result are there. */
  readonly term: Slot;
  readonly treeStages: readonly number[];
  /** Stage of the accumulator; undefined without sequential reduction loops. */
  readonly accStage: number | undefined;
  /** Stage at whose start, or in which, the epilogue sees the folded value. */
  readonly folded: Slot;
  /** Cycles from a firing step to the push of its result. */
  readonly depth: number;
}

/** Lanes of a kernel: output lanes, and the reduction lanes that are summed in each. */
export interface Lanes {
  readonly outputs: readonly (readonly { index: number; lane: number }[])[];
  readonly terms: readonly (readonly { index: number; lane: number }[])[];
}

export function kernelLanes(spec: KernelSpec): Lanes {
  return {
    outputs: lanePoints(spec, (i) => spec.iterators[i]!.kind === "parallel"),
    terms: lanePoints(spec, (i) => spec.iterators[i]!.kind === "reduction"),
  };
}

/** Accumulators per output lane: parallel loops that run inside a reduction loop. 0 without sequential reductions. */
export function accumulatorLoops(spec: KernelSpec): { reductions: Loop[]; inner: Loop[] } {
  const nest = loopNest(spec);
  const first = nest.findIndex((l) => l.kind === "reduction");
  if (first < 0) return { reductions: [], inner: [] };
  return { reductions: nest.filter((l) => l.kind === "reduction"), inner: nest.slice(first).filter((l) => l.kind === "parallel") };
}

/** Type of a partial sum over `n` terms: what the terms need, but never more than the accumulator, which holds all. */
export function sumType(term: FixedType, n: number, acc: FixedType): FixedType {
  const r = rawRange(term);
  const t = typeOfRange({ lo: Math.min(0, r.lo * n), hi: Math.max(0, r.hi * n) }, acc.frac);
  return t.width < acc.width ? t : acc;
}

/** Share of the clock period that logic and average routing may take. */
const USABLE = 0.85;

export function planPipeline(op: Op, spec: KernelSpec, device: Device, clockMhz: number): Pipeline {
  const period = (1000 / clockMhz) * USABLE;
  const base = device.timing.base;
  const stageOf = new Map<Op, number>();
  const slots = new Map<Value, Slot>();
  const start: Slot = { stage: 1, ns: base };
  const place = (inputs: readonly Slot[], delay: number): Slot => {
    const stage = Math.max(1, ...inputs.map((s) => s.stage));
    const ns = Math.max(base, ...inputs.filter((s) => s.stage === stage).map((s) => s.ns));
    // An operator longer than a period gets a stage of its own; the device model then misses the clock and says so.
    return ns + delay > period && ns > base ? { stage: stage + 1, ns: base + delay } : { stage, ns: ns + delay };
  };
  const run = (block: Block): Slot => {
    for (const o of block.ops) {
      if (o.name === "fx.yield") return slots.get(o.operand(0))!;
      if (o.name === "fx.constant") {
        slots.set(o.result, { stage: 0, ns: 0 });
        continue;
      }
      const multiplies = o.name === "fx.mul" && opIsMultiplier(o);
      // Multipliers sit between registers of their own, which tools fold into the block.
      const inputs = o.operands.map((v) => slots.get(v)!);
      let slot = place(inputs, opDelay(device, o));
      if (multiplies) {
        const stage = Math.max(1, ...inputs.map((s) => (s.ns > base ? s.stage + 1 : s.stage)));
        slot = { stage, ns: period };
      }
      stageOf.set(o, slot.stage);
      if (o.name === "fx.table" && denseAttr(o, "values").data.length >= REGISTERED_TABLE) slot = { stage: slot.stage + 1, ns: base };
      slots.set(o.result, slot);
    }
    throw new Error("body without fx.yield");
  };
  op.regions[0]!.args.forEach((a) => slots.set(a, start));
  const term = run(op.regions[0]!);
  const lanes = kernelLanes(spec);
  const treeStages: number[] = [];
  let slot = term;
  const termType = op.regions[0]!.terminator.operand(0).type as FixedType;
  for (let n = lanes.terms.length, covered = 1; n > 1; n = Math.ceil(n / 2)) {
    covered *= 2;
    const width = spec.combiner === "add" ? sumType(termType, covered, spec.accType).width : spec.accType.width;
    slot = place([slot], addDelay(device, width) + (spec.combiner === "add" ? 0 : device.timing.lut));
    treeStages.push(slot.stage);
  }
  const { reductions } = accumulatorLoops(spec);
  let accStage: number | undefined;
  if (reductions.length > 0) {
    const delay = addDelay(device, spec.accType.width) + device.timing.lut;
    slot = place([slot], delay);
    accStage = slot.stage;
    slot = { stage: slot.stage + 1, ns: base };
  }
  const folded = slot;
  // The other epilogue operands are delayed to arrive with the folded value.
  op.regions[1]!.args.forEach((a, i) => slots.set(a, i === 0 ? folded : { stage: folded.stage, ns: base }));
  const result = run(op.regions[1]!);
  return { stageOf, term, treeStages, accStage, folded, depth: Math.max(1, result.stage) + 1 };
}

/** A product of two variables (or of a variable and a weight from memory), as against one by a constant in the body. */
export function opIsMultiplier(o: Op): boolean {
  return o.operands.every((v) => v.def?.name !== "fx.constant");
}

/** Whether operand `i` is a constant of one value per lane: it does not change from step to step. */
export function isFixedOperand(spec: KernelSpec, i: number): boolean {
  const o = spec.operands[i]!;
  if (source(o.value).def?.name !== "flow.constant") return false;
  return loopNest(spec).every((l) => o.map.results.every((r) => r.coeffs[l.index] === 0));
}

/** Values of a constant operand in the order of use: one row per combination of the loops that it depends on. */
export interface WeightTable {
  readonly loops: readonly Loop[];
  /** `rows[row][lane]`, raw integers; lanes beyond the edge hold the pad value. */
  readonly rows: readonly Float64Array[];
  readonly lanes: readonly (readonly { index: number; lane: number }[])[];
  readonly elem: FixedType;
}

export function weightTable(spec: KernelSpec, i: number): WeightTable {
  const o = spec.operands[i]!;
  const dense = denseAttr(source(o.value).def!, "value");
  const involved = (k: number): boolean => o.map.results.some((r) => r.coeffs[k] !== 0);
  const loops = loopNest(spec).filter((l) => involved(l.index));
  const lanes = lanePoints(spec, involved);
  const total = loops.reduce((n, l) => n * l.trips, 1);
  const rows: Float64Array[] = [];
  const count = loops.map(() => 0);
  for (let row = 0; row < total; row++) {
    const point = new Int32Array(spec.iterators.length);
    loops.forEach((l, k) => (point[l.index] = count[k]! * l.unroll));
    rows.push(
      Float64Array.from(lanes, (lane) => {
        const p = point.slice();
        for (const { index, lane: n } of lane) p[index]! += n;
        if (lane.some(({ index }) => p[index]! >= spec.iterators[index]!.extent)) return o.view.pad;
        let a = o.view.offset;
        for (let d = 0; d < o.map.results.length; d++) {
          const r = o.map.results[d]!;
          let v = r.offset;
          for (let k = 0; k < r.coeffs.length; k++) v += r.coeffs[k]! * p[k]!;
          if (v < 0 || v >= o.view.shape[d]!) return o.view.pad;
          a += v * o.view.strides[d]!;
        }
        return dense.data[a]!;
      }),
    );
    for (let k = loops.length - 1; k >= 0 && ++count[k]! === loops[k]!.trips; k--) count[k] = 0;
  }
  return { loops, rows, lanes, elem: dense.elem as FixedType };
}

export type LanePoint = readonly { readonly index: number; readonly lane: number }[];

/** Finds the lane of an operand that serves the given lanes of the kernel: lanes are numbered in row-major order. */
export function laneFinder(operandLanes: readonly LanePoint[]): (...points: readonly LanePoint[]) => number {
  const last = operandLanes[operandLanes.length - 1] ?? [];
  return (...points) => {
    let n = 0;
    for (const digit of last) {
      let lane = 0;
      for (const point of points) for (const p of point) if (p.index === digit.index) lane = p.lane;
      n = n * (digit.lane + 1) + lane;
    }
    return n;
  };
}
