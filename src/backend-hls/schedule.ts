/** From fused kernels to a sized design: folding, output order, channels; and the search for the interval that fits. */
import { Block, Builder, type Module, type Op, type Value } from "../ir/core.js";
import { affineMap, affineExpr } from "../ir/affine.js";
import { buildKernel, kernelMacs, readKernel, rowMajorView, type KernelSpec } from "../ir/flow/kernel.js";
import { source } from "../ir/eval/flow.js";
import { elementCount, type FixedType, type StreamType } from "../ir/types.js";
import { addResources, channelResources, kernelMultipliers, kernelResources, noResources, type Resources } from "./cost.js";
import { elaborate, type Channel, type Design, type KernelNode, type PortWords } from "./design.js";
import type { Device } from "./devices.js";
import { foldModule, inputWord, outputWord } from "./folding.js";
import { sizeChannels, type TimelineResult } from "./timeline.js";

export interface ScheduleTarget {
  readonly device: Device;
  readonly clockMhz: number;
  /** Most cycles between samples. */
  readonly ii: number;
}

/** A kernel, or a port, that cannot reach the target. */
export interface ScheduleFailure {
  readonly kernel: Op;
  readonly cycles: number;
}

export interface Scheduled {
  readonly design: Design;
  readonly timeline: TimelineResult;
  readonly resources: Resources;
}

export function isFailure(s: object): s is ScheduleFailure {
  return "kernel" in s;
}

/** Chooses unroll factors and loop orders; notes the words of the ports on the function. */
export function unrollModule(module: Module, target: ScheduleTarget): ScheduleFailure | undefined {
  const words = foldModule(module, { device: target.device, ii: target.ii });
  if ("kernel" in words) return words;
  const func = module.func;
  const ordered = orderOutputs(module, words, target.ii);
  func.attrs["input_words"] = [...ordered.inputs];
  func.attrs["output_words"] = [...ordered.outputs];
  return undefined;
}

function portWords(module: Module): PortWords {
  const { input_words, output_words } = module.func.attrs;
  return { inputs: input_words as readonly number[], outputs: output_words as readonly number[] };
}

/**
 * Results leave in row-major order. Where the last kernel computes in another order, a copy stands behind it that reads
 * through a memory.
 */
function orderOutputs(module: Module, words: PortWords, ii: number): PortWords {
  const func = module.func;
  const wordOf = (arg: Value): number => words.inputs[func.body.args.indexOf(arg)]!;
  const ret = func.body.terminator;
  const outputs = ret.operands.map((v, i) => {
    if (words.outputs[i]! > 0) return words.outputs[i]!;
    const copy = rowMajorCopy(v, ret, ii);
    ret.setOperand(i, copy);
    return outputWord(copy, wordOf)!;
  });
  return { inputs: words.inputs, outputs };
}

function rowMajorCopy(v: Value, before: Op, ii: number): Value {
  const type = v.type as StreamType;
  const elem = type.elem as FixedType;
  const iterators = type.shape.flatMap((extent, d) => (extent > 1 ? [{ name: `d${d}`, extent, kind: "parallel" as const, d }] : []));
  const dims = iterators.map((i) => i.name);
  const map = affineMap(dims, type.shape.map((_, d) => affineExpr(dims, dims.includes(`d${d}`) ? { [`d${d}`]: 1 } : {})));
  let left = inputWord(type, ii);
  const unroll: Record<string, number> = {};
  for (const i of [...iterators].reverse()) {
    unroll[i.name] = Math.min(left, i.extent);
    left = Math.max(1, Math.floor(left / i.extent));
  }
  const spec: KernelSpec = {
    name: `${String(source(v).def?.attrs["sym"] ?? v.hint ?? "output")}_order`,
    iterators: iterators.map(({ name, extent, kind }) => ({ name, extent, kind })),
    operands: [{ value: v, map, view: rowMajorView(type.shape), phase: "body" }],
    combiner: "none",
    accType: elem,
    out: map,
    resultShape: type.shape,
    resultElem: elem,
    schedule: { order: dims, unroll },
  };
  const region = (): Block => {
    const b = new Block();
    new Builder(b).create("fx.yield", [b.addArg(elem)], []);
    return b;
  };
  return buildKernel(Builder.before(before), spec, region(), region(), source(v).def?.loc ?? before.loc).result;
}

/** Makes the channels explicit, sizes them by the timeline, and notes what was predicted on the function. */
export function insertChannels(module: Module, device: Device, clockMhz: number): Scheduled {
  const plain = elaborate(module, device, clockMhz, portWords(module));
  const timeline = sizeChannels(plain);
  const func = module.func;
  for (const c of plain.channels) {
    const consumer = c.consumer.kind === "kernel" ? c.consumer.op : func.body.terminator;
    const index = c.consumer.kind === "kernel" ? c.operand : plain.outputs.indexOf(c.consumer);
    const v = consumer.operand(index);
    const b = Builder.before(consumer);
    const channel = b.value("flow.channel", [v], v.type, { sym: c.name, kind: c.plan.kind, capacity: c.capacity, ...(c.plan.kind !== "memory" && c.plan.flushes > 0 && { merges_flush: c.plan.mergesFlush }) }, c.name);
    consumer.setOperand(index, channel);
  }
  for (const k of plain.kernels) k.op.attrs["depth"] = k.pipeline.depth;
  func.attrs["latency"] = timeline.latency;
  func.attrs["initiation_interval"] = timeline.initiationInterval;
  return { design: plain, timeline, resources: designResources(plain, device) };
}

/** The design of a module whose channels are in place. */
export function designOf(module: Module, device: Device, clockMhz: number): Design {
  return elaborate(module, device, clockMhz, portWords(module));
}

export function nodeResources(node: KernelNode, device: Device): Resources {
  return kernelResources(device, node.op, node.spec, node);
}
export function channelArea(c: Channel, device: Device): Resources {
  return channelResources(device, c.plan, c.elem, c.capacity);
}

/** Estimated area of everything. */
export function designResources(design: Design, device: Device): Resources {
  const kernels = design.kernels.reduce((r, k) => addResources(r, nodeResources(k, device)), noResources());
  return design.channels.reduce((r, c) => addResources(r, channelArea(c, device)), kernels);
}

/** Estimated area of the kernels of an unrolled module, channels and pipeline registers apart: a lower bound, at once. */
export function kernelsArea(module: Module, device: Device): Resources {
  return module.func.body.ops.filter((op) => op.name === "flow.kernel").reduce((r, op) => addResources(r, kernelResources(device, op, readKernel(op))), noResources());
}

export interface DesignCounts {
  readonly macs: number;
  readonly multipliers: number;
}

export function designCounts(design: Design): DesignCounts {
  return {
    macs: design.kernels.reduce((n, k) => n + kernelMacs(k.op, k.spec), 0),
    multipliers: design.kernels.reduce((n, k) => n + kernelMultipliers(k.op, k.spec), 0),
  };
}

/** Largest share of a device that a design takes, over its resources. */
export function utilization(r: Resources, device: Device): number {
  const share = (used: number, have: number): number => (used === 0 ? 0 : have === 0 ? Infinity : used / have);
  return Math.max(share(r.lut, device.lut), share(r.ff, device.ff), share(r.dsp, device.dsp), share(r.bram, device.bram));
}

/** Elements of the largest input: the interval at one element per cycle. */
export function inputElements(module: Module): number {
  return Math.max(1, ...module.func.body.args.map((a) => elementCount((a.type as StreamType).shape)));
}

