/** What a schedule means for the datapath of a kernel: its lanes, its accumulators, its weights in the order of use. */
import { elementAt, present } from "../../ir/present.js";
import { allocate, Dense } from "../../ir/attributes.js";
import type { Op } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { fxConstant } from "../../ir/fx/index.js";
import { loopNest, type KernelSpec, type Loop } from "../../ir/flow/kernel.js";
import { scaleRange, unionRanges } from "../../ir/fixed-arith.js";
import { typeOfRange, wideRange, type FixedType } from "../../ir/types.js";
import { source } from "../../ir/eval/flow.js";
import { lanePoints } from "../channel/access.js";

/** Lanes of a kernel: output lanes, and the reduction lanes that are summed in each. */
export interface Lanes {
  readonly outputs: readonly (readonly { index: number; lane: number }[])[];
  readonly terms: readonly (readonly { index: number; lane: number }[])[];
}

export function kernelLanes(spec: KernelSpec): Lanes {
  return {
    outputs: lanePoints(spec, (i) => elementAt(spec.iterators, i).kind === "parallel"),
    terms: lanePoints(spec, (i) => elementAt(spec.iterators, i).kind === "reduction"),
  };
}

/** Accumulators per output lane: parallel loops that run inside a reduction loop. 0 without sequential reductions. */
export function accumulatorLoops(spec: KernelSpec): { reductions: Loop[]; inner: Loop[] } {
  const nest = loopNest(spec);
  const first = nest.findIndex((l) => l.kind === "reduction");
  if (first < 0) return { reductions: [], inner: [] };
  return {
    reductions: nest.filter((l) => l.kind === "reduction"),
    inner: nest.slice(first).filter((l) => l.kind === "parallel"),
  };
}

/** Type of a partial sum over `n` terms: what the terms need, but never more than the accumulator, which holds all. */
export function sumType(term: FixedType, n: number, acc: FixedType): FixedType {
  const t = typeOfRange(unionRanges({ lo: 0n, hi: 0n }, scaleRange(wideRange(term), BigInt(n))), acc.frac);
  return t.width < acc.width ? t : acc;
}

/** A product of two variables (or of a variable and a weight from memory), as against one by a constant in the body. */
export function opIsMultiplier(o: Op): boolean {
  return o.operands.every((v) => fxConstant(v) === undefined);
}

/** Whether operand `i` is a constant tensor. */
export function isConstantOperand(spec: KernelSpec, i: number): boolean {
  return source(elementAt(spec.operands, i).value).def?.name === "flow.constant";
}

/** Whether operand `i` is a constant of one value per lane: it does not change from step to step. */
export function isFixedOperand(spec: KernelSpec, i: number): boolean {
  const o = elementAt(spec.operands, i);
  if (!isConstantOperand(spec, i)) return false;
  return loopNest(spec).every((l) => o.map.results.every((r) => r.coeffs[l.index] === 0));
}

/** Type of the numbers of operand `i`. */
export function elemOf(spec: KernelSpec, i: number): FixedType {
  return (elementAt(spec.operands, i).value.type as { elem: FixedType }).elem;
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
  const o = elementAt(spec.operands, i);
  const dense = denseAttr(present(source(o.value).def, "def"), "value");
  const involved = (k: number): boolean => o.map.results.some((r) => r.coeffs[k] !== 0);
  const loops = loopNest(spec).filter((l) => involved(l.index));
  const lanes = lanePoints(spec, involved);
  const total = loops.reduce((n, l) => n * l.trips, 1);
  const rows: Float64Array[] = [];
  const count = loops.map(() => 0);
  for (let row = 0; row < total; row++) {
    const point = new Int32Array(spec.iterators.length);
    loops.forEach((l, k) => (point[l.index] = elementAt(count, k) * l.unroll));
    rows.push(
      Float64Array.from(lanes, (lane) => {
        const p = point.slice();
        for (const { index, lane: n } of lane) p[index]! += n;
        if (lane.some(({ index }) => elementAt(p, index) >= elementAt(spec.iterators, index).extent)) return o.view.pad;
        let a = o.view.offset;
        for (let d = 0; d < o.map.results.length; d++) {
          const r = elementAt(o.map.results, d);
          let v = r.offset;
          for (let k = 0; k < r.coeffs.length; k++) v += elementAt(r.coeffs, k) * elementAt(p, k);
          if (v < 0 || v >= elementAt(o.view.shape, d)) return o.view.pad;
          a += v * elementAt(o.view.strides, d);
        }
        return elementAt(dense.data, a);
      }),
    );
    for (let k = loops.length - 1; k >= 0 && ++count[k]! === elementAt(loops, k).trips; k--) count[k] = 0;
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

/** Weights as memory words, one per row of the table, lane 0 lowest. */
export function weightWords(table: WeightTable): Dense {
  const lanes = table.lanes.length;
  const data = allocate(table.elem, table.rows.length * lanes);
  table.rows.forEach((row, r) => data.set(row, r * lanes));
  return new Dense([table.rows.length, lanes], table.elem, data);
}
