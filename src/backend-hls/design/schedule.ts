/** From fused kernels to a sized design: folding, output order, channels; and the search for the interval that fits. */
import { elementAt, lookUp, present } from "../../ir/present.js";
import { Block, Builder, type Module, type Op, type Value } from "../../ir/core.js";
import { affineMap, affineExpr } from "../../ir/affine.js";
import { endBody } from "../../ir/fx/index.js";
import { buildKernel, kernelMacs, readKernel, rowMajorView, type KernelSpec } from "../../ir/flow/kernel.js";
import { source } from "../../ir/eval/flow.js";
import type { FixedType, StreamType } from "../../ir/types.js";
import { consumerCycles } from "../channel/channel-plan.js";
import { beats, inputWord, outputWord, type PortWords } from "../channel/ports.js";
import type { Device } from "../device/devices.js";
import type { Resources } from "../device/resources.js";
import { foldKernels } from "../fold/folding.js";
import type { FoldingRequest } from "../fold/request.js";
import { FoldingSolver } from "../fold/solve-folding.js";
import { kernelMultipliers } from "../kernel/kernel-area.js";
import { type Design, DesignPlanner } from "./design.js";
import { elaborate } from "./elaborate.js";
import { type Channel, channelInto } from "./network.js";
import { foundIn, printSchedule } from "./schedule-text.js";
import { sizeChannels } from "./size-channels.js";
import type { TimelineResult } from "./timeline.js";

/** A kernel, or a port, that cannot reach the target. */
export interface ScheduleFailure {
  readonly kernel: Op;
  readonly cycles: number;
}

export interface Scheduled {
  readonly design: Design;
  readonly timeline: TimelineResult;
}

/**
 * Chooses loop orders and unroll factors, and notes the words of the ports on the function. @param solver made from a
 * module with the same kernels, to share what it knows
 */
export function foldDesign(
  module: Module,
  device: Device,
  request: FoldingRequest,
  solver: FoldingSolver = new FoldingSolver(module, device),
): ScheduleFailure | undefined {
  const folded = foldKernels(module, solver, request);
  if ("kernel" in folded) return folded;
  const func = module.func;
  const ordered = orderOutputs(module, folded.words, request.ii);
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
  const wordOf = (arg: Value): number => elementAt(words.inputs, func.body.args.indexOf(arg));
  const ret = func.body.terminator;
  const outputs = ret.operands.map((v, i) => {
    if (elementAt(words.outputs, i) > 0) return elementAt(words.outputs, i);
    const copy = rowMajorCopy(v, ret, ii);
    ret.setOperand(i, copy);
    return present(outputWord(copy, wordOf), "output word");
  });
  return { inputs: words.inputs, outputs };
}

function rowMajorCopy(v: Value, before: Op, ii: number): Value {
  const type = v.type as StreamType;
  const elem = type.elem as FixedType;
  const iterators = type.shape.flatMap((extent, d) =>
    extent > 1 ? [{ name: `d${d}`, extent, kind: "parallel" as const, d }] : [],
  );
  const dims = iterators.map((i) => i.name);
  const map = affineMap(
    dims,
    type.shape.map((_, d) => affineExpr(dims, dims.includes(`d${d}`) ? { [`d${d}`]: 1 } : {})),
  );
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
    endBody(b, b.addArg(elem));
    return b;
  };
  return buildKernel(Builder.before(before), spec, region(), region(), source(v).def?.loc ?? before.loc).result;
}

/** Makes the channels explicit, sizes them by the timeline, and notes what was predicted on the function. */
export function insertChannels(module: Module, device: Device, clockMhz: number): Scheduled {
  const { problem } = elaborate(module, device, portWords(module));
  const planner = new DesignPlanner(problem, clockMhz);
  const { network: design, timeline } = sizeChannels(device, problem.links.length, (c) => planner.design(c));
  const func = module.func;
  const insert = (consumer: Op, index: number, c: Channel): void => {
    const v = consumer.operand(index);
    const channel = Builder.before(consumer).value(
      "flow.channel",
      [v],
      v.type,
      {
        sym: c.name,
        kind: c.direct ? "direct" : c.plan.kind,
        capacity: c.capacity,
        ...(c.deep && { deep: true }),
        ...(c.plan.kind !== "memory" && c.plan.flushes > 0 && { merges_flush: c.plan.mergesFlush }),
      },
      c.name,
    );
    consumer.setOperand(index, channel);
  };
  for (const k of design.kernels) {
    for (const c of k.inputs) insert(k.op, c.operand, c);
    k.op.attrs["depth"] = k.depth;
  }
  design.outputs.forEach((port, i) => insert(func.body.terminator, i, channelInto(port)));
  func.attrs["latency"] = timeline.latency;
  func.attrs["initiation_interval"] = timeline.initiationInterval;
  return { design, timeline };
}

/** The scheduling problem of a design with its solution, as text. */
export function showScheduled({ design, timeline }: Scheduled): string {
  const byName = new Map(design.kernels.map((k) => [k.name, k]));
  return printSchedule(
    design.name,
    design.device.name,
    design,
    (k) => {
      const { spec, canLockstep } = lookUp(byName, k.name, "kernel");
      return { access: spec, canLockstep };
    },
    foundIn(design, timeline),
  );
}

/** The design of a module whose channels are in place. */
export function designOf(module: Module, device: Device, clockMhz: number): Design {
  const { problem, choices } = elaborate(module, device, portWords(module));
  return new DesignPlanner(problem, clockMhz).design(choices);
}

/** Steps of the largest kernel on a single lane: beyond this interval kernels shrink no further. */
export function slowestKernel(module: Module): number {
  const points = module.func.body.ops.flatMap((op) =>
    op.name === "flow.kernel" ? [readKernel(op).iterators.reduce((n, i) => n * i.extent, 1)] : [],
  );
  return Math.max(1, ...points);
}

/** What holds a design back. */
export interface Binding {
  /** Kernel, or port, that is busy for most of the interval, and for how many cycles. */
  readonly kernel: string;
  readonly cycles: number;
  /** The resource of which the largest share is taken. */
  readonly resource: keyof Resources;
  readonly used: number;
  readonly available: number;
}

export function bindingOf(
  design: Design,
  resources: Resources,
  limits: Readonly<Partial<Record<keyof Resources, number>>>,
): Binding {
  const busy = [
    ...design.kernels.map((k) => ({
      kernel: k.name,
      cycles: Math.max(k.steps, ...k.inputs.map((c) => consumerCycles(c.plan))),
    })),
    ...design.inputs.map((i) => ({ kernel: `input ${i.name}`, cycles: i.order.words })),
    ...design.outputs.map((o) => ({ kernel: `output ${o.name}`, cycles: beats(o.type, o.perBeat) })),
  ].reduce((a, b) => (b.cycles > a.cycles ? b : a));
  const shares = (["lut", "ff", "dsp", "bram"] as const).map((resource) => ({
    resource,
    used: resources[resource],
    available: limits[resource] ?? Infinity,
  }));
  const share = (x: { used: number; available: number }): number => (x.used === 0 ? 0 : x.used / x.available);
  return { ...busy, ...shares.reduce((a, b) => (share(b) > share(a) ? b : a)) };
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
