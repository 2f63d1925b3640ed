/** Estimated area of a scheduled kernel and of the channels that feed it, in the resources of a device. */
import type { Op } from "../ir/core.js";
import { laneCount, loopNest, type KernelSpec } from "../ir/flow/kernel.js";
import { source } from "../ir/eval/flow.js";
import type { FixedType } from "../ir/types.js";
import type { ChannelPlan } from "./design.js";
import { accumulatorLoops, isFixedOperand, kernelLanes, opIsMultiplier } from "./datapath.js";
import type { Pipeline } from "./pipeline.js";
import type { Device } from "./devices.js";
import { multiplierArea, opArea, tableLuts } from "./operators.js";

export interface Resources {
  lut: number;
  ff: number;
  dsp: number;
  bram: number;
}

export function noResources(): Resources {
  return { lut: 0, ff: 0, dsp: 0, bram: 0 };
}
export function addResources(a: Resources, b: Resources): Resources {
  return { lut: a.lut + b.lut, ff: a.ff + b.ff, dsp: a.dsp + b.dsp, bram: a.bram + b.bram };
}

/** LUTs that one multiplier block is worth in comparisons. */
export const LUTS_PER_DSP = 60;

/** One number to compare designs by: LUTs, with a DSP counted as 60 and a block RAM as 200. */
export function equivalentLuts(r: Resources): number {
  return r.lut + LUTS_PER_DSP * r.dsp + 200 * r.bram + 0.1 * r.ff;
}

/** Scalar products that the kernel forms per cycle when all lanes are busy, products by constants included. */
export function kernelMultipliers(op: Op, spec: KernelSpec): number {
  const count = (region: number): number => op.regions[region]!.ops.filter((o) => o.name === "fx.mul").length;
  const lanes = kernelLanes(spec);
  return count(0) * laneCount(spec) + count(1) * lanes.outputs.length;
}

/** Area of the datapath, its control and its weights. */
export function kernelResources(d: Device, op: Op, spec: KernelSpec, pipeline: Pipeline | undefined): Resources {
  const lanes = kernelLanes(spec);
  const outputs = lanes.outputs.length;
  const terms = lanes.terms.length;
  const r = noResources();
  const fixedLane = spec.operands.some((o, i) => o.phase === "body" && isFixedOperand(spec, i));
  const bodyOperands = spec.operands.flatMap((o, i) => (o.phase === "body" ? [i] : []));
  for (const o of op.regions[0]!.ops) {
    if (o.name === "fx.mul" && opIsMultiplier(o) && fixedLane) {
      // A weight that never changes is a constant: shifts and adds of its signed digits, a third of its bits on average.
      const [x, w] = [o.operand(0).type as FixedType, o.operand(1).type as FixedType];
      const asLogic = Math.max(0, w.width / 3 - 1) * (x.width + 4) + x.width;
      const dsp = multiplierArea(d, x, w);
      const logic = asLogic < LUTS_PER_DSP || dsp.dsp === 0;
      r.lut += outputs * terms * (logic ? asLogic : dsp.lut);
      r.dsp += logic ? 0 : outputs * terms * dsp.dsp;
      continue;
    }
    const a = opArea(d, o);
    r.lut += outputs * terms * a.lut;
    r.dsp += outputs * terms * a.dsp;
  }
  for (const o of op.regions[1]!.ops) {
    const a = opArea(d, o);
    r.lut += outputs * a.lut;
    r.dsp += outputs * a.dsp;
  }
  const width = spec.accType.width;
  if (terms > 1) r.lut += outputs * (terms - 1) * (spec.combiner === "add" ? Math.max(4, width - 3) : width * 1.5);
  const { reductions, inner } = accumulatorLoops(spec);
  if (reductions.length > 0) {
    const depth = inner.reduce((n, l) => n * l.trips, 1);
    r.lut += outputs * width * (1 + Math.ceil(depth / 32) * (depth > 1 ? 1 : 0));
    r.ff += outputs * width;
  }
  const nest = loopNest(spec);
  for (const i of bodyOperands.concat(spec.operands.flatMap((o, k) => (o.phase === "epilogue" ? [k] : [])))) {
    const o = spec.operands[i]!;
    const elem = (o.value.type as { elem: FixedType }).elem;
    const involved = (k: number): boolean => o.map.results.some((m) => m.coeffs[k] !== 0);
    const lanesOf = spec.iterators.reduce((n, it, k) => (involved(k) ? n * (spec.schedule!.unroll[it.name] ?? 1) : n), 1);
    if (source(o.value).def?.name === "flow.constant") {
      const depth = nest.filter((l) => involved(l.index)).reduce((n, l) => n * l.trips, 1);
      if (depth > 1) {
        const bits = Math.ceil(Math.log2(depth));
        const luts = lanesOf * tableLuts(d, bits, elem.width) * (depth / 2 ** bits);
        const block = Math.ceil((lanesOf * elem.width) / 72) * Math.ceil(depth / 512);
        if (depth >= 256 && block * 200 < luts) r.bram += block;
        else r.lut += luts;
        r.ff += lanesOf * elem.width;
      }
    } else r.ff += lanesOf * elem.width;
  }
  const stages = pipeline?.depth ?? 6;
  r.ff += outputs * (terms * 2 * (spec.combiner === "add" ? width * 0.6 : width) + Math.max(0, stages - 3) * spec.resultElem.width);
  r.lut += 20 + nest.length * 8;
  r.ff += 10 + nest.length * 6 + stages * 2;
  return round(r);
}

/** Area of one channel with room for `capacity` words. */
export function channelResources(d: Device, plan: ChannelPlan, elem: FixedType, capacity: number): Resources {
  const r = noResources();
  const wordBits = plan.order.planes * elem.width;
  if (plan.kind === "memory") {
    const slots = Math.max(1, Math.ceil(capacity / plan.words));
    for (const b of plan.banks) {
      const bits = b.planes.length * elem.width;
      const depth = b.words.length * slots;
      if (b.words.length === 1) {
        r.ff += bits * slots;
        r.lut += Math.ceil((bits * (slots - 1)) / 2) + 2;
      } else if (depth <= 64 || d.bram === 0) r.lut += Math.ceil(depth / 64) * Math.ceil(bits / 7) * 4 + 8;
      else r.bram += Math.ceil(depth / 512) * Math.max(1, Math.ceil(bits / 72));
    }
    const perLane = new Map<number, Set<string>>();
    for (let i = 0; i < plan.laneBank.length; i++) {
      if (plan.laneBank[i]! < 0) continue;
      const lane = i % plan.table.lanes;
      if (!perLane.has(lane)) perLane.set(lane, new Set());
      perLane.get(lane)!.add(`${plan.laneBank[i]}:${plan.lanePlane[i]}`);
    }
    for (const sources of perLane.values()) r.lut += muxLuts(sources.size) * elem.width;
    r.lut += 30;
    r.ff += 30;
    return round(r);
  }
  const ringDepth = plan.rows > 1 ? plan.pitch : capacity;
  const rings = plan.rows > 1 ? Math.max(plan.rows, Math.ceil(capacity / plan.pitch)) : 1;
  if (ringDepth * rings > 1) r.lut += rings * Math.ceil(ringDepth / 64) * Math.ceil(wordBits / 7) * 4;
  if (plan.rows > 1) r.lut += plan.rows * wordBits * muxLuts(rings);
  r.ff += (plan.held ? 2 : 1) * plan.rows * plan.columns * wordBits;
  for (let lane = 0; lane < plan.table.lanes; lane++) {
    const sources = new Set<number>();
    for (let m = 0; m < plan.repeat; m++) {
      const i = m * plan.table.lanes + lane;
      if (plan.tapRow[i]! >= 0) sources.add((plan.tapRow[i]! * 1024 + plan.tapColumn[i]!) * 65536 + plan.tapPlane[i]!);
    }
    r.lut += muxLuts(sources.size) * elem.width;
  }
  r.lut += 25;
  r.ff += 30;
  return round(r);
}

/** LUTs per bit of a multiplexer with n inputs. */
function muxLuts(n: number): number {
  return n <= 1 ? 0 : n === 2 ? 0.5 : n <= 4 ? 1 : Math.ceil(n / 4) * 1.25;
}

function round(r: Resources): Resources {
  return { lut: Math.round(r.lut), ff: Math.round(r.ff), dsp: Math.round(r.dsp), bram: Math.round(r.bram) };
}
