/**
 * A scheduled flow module as a network of kernels and channels: what the timeline simulates and the RTL is generated
 * from.
 */
import type { Module, Op, Value } from "../../ir/core.js";
import { loopNest, readKernel, type KernelSpec } from "../../ir/flow/kernel.js";
import { portScale } from "../../ir/port-scales.js";
import type { FixedType, StreamType } from "../../ir/types.js";
import { source } from "../../ir/eval/flow.js";
import { CompilerBug } from "../../diagnostics/index.js";
import { orderOf, portReads, type ProducerOrder, type ReadTable, readTable } from "../channel/access.js";
import { type ChannelPlan, planChannel } from "../channel/channel-plan.js";
import { bankDepth, planMemory } from "../channel/memory-plan.js";
import type { PortWords } from "../channel/ports.js";
import type { Device } from "../device/devices.js";
import { ramStorage, romStorage } from "../device/storage.js";
import { isConstantOperand, isFixedOperand, weightTable, weightWords } from "../kernel/datapath.js";
import { type Pipeline, planPipeline } from "../kernel/pipeline.js";
import { planProducts, type ProductPlan } from "../kernel/products.js";

export interface KernelNode {
  readonly kind: "kernel";
  readonly name: string;
  readonly op: Op;
  readonly spec: KernelSpec;
  readonly products: ProductPlan;
  /** Follows from the channels, and is planned anew where the timeline replaces one. */
  pipeline: Pipeline;
  readonly steps: number;
  /** Whether step i completes a result word. */
  readonly emits: Uint8Array;
  readonly inputs: Channel[];
  readonly outputs: Channel[];
}

export interface InputNode {
  readonly kind: "input";
  readonly name: string;
  readonly arg: Value;
  readonly order: ProducerOrder;
  readonly type: StreamType;
  /** Real numbers are the port's numbers times this. */
  readonly scale: number;
  readonly outputs: Channel[];
}

export interface OutputNode {
  readonly kind: "output";
  readonly name: string;
  readonly type: StreamType;
  readonly perBeat: number;
  readonly scale: number;
  readonly inputs: Channel[];
}

export interface Channel {
  readonly name: string;
  readonly op: Op | undefined;
  readonly producer: KernelNode | InputNode;
  readonly consumer: KernelNode | OutputNode;
  /** Index among the consumer's operands; 0 for an output. */
  readonly operand: number;
  readonly phase: "body" | "epilogue";
  /** May be replaced by the timeline, as far as flushes are concerned. */
  plan: ChannelPlan;
  readonly elem: FixedType;
  /** Words that fit; set by the timeline. */
  capacity: number;
  /** Whether a stream's ring is block RAM, from which words are there a cycle later; set by the timeline. */
  deep: boolean;
  /** Whether a word goes by an empty buffer, and is there the cycle after its push. */
  through: boolean;
  /** Without a buffer: every word is taken in the cycle in which it is there (see `takesAtOnce`). */
  direct: boolean;
}

export interface Design {
  readonly name: string;
  readonly device: Device;
  readonly clockMhz: number;
  readonly inputs: InputNode[];
  readonly kernels: KernelNode[];
  readonly outputs: OutputNode[];
  readonly channels: Channel[];
}

/** Which steps complete a result word: those on the last trip of every reduction loop. */
export function emissions(spec: KernelSpec): Uint8Array {
  const loops = loopNest(spec);
  const steps = loops.reduce((n, l) => n * l.trips, 1);
  const emits = new Uint8Array(steps).fill(1);
  let inner = 1;
  for (let d = loops.length - 1; d >= 0; d--) {
    const { trips, kind } = loops[d]!;
    if (kind === "reduction")
      for (let s = 0; s < steps; s++) if (Math.floor(s / inner) % trips !== trips - 1) emits[s] = 0;
    inner *= trips;
  }
  return emits;
}

export function elaborate(module: Module, device: Device, clockMhz: number, ports: PortWords): Design {
  const func = module.func;
  const inputNames = func.attrs["inputs"] as readonly string[];
  const outputNames = func.attrs["outputs"] as readonly string[];
  const inputWord = (arg: Value): number => ports.inputs[func.body.args.indexOf(arg)]!;
  const nodes = new Map<Value, KernelNode | InputNode>();
  const design: Design = { name: module.name, device, clockMhz, inputs: [], kernels: [], outputs: [], channels: [] };
  func.body.args.forEach((arg, i) => {
    const node: InputNode = {
      kind: "input",
      name: inputNames[i]!,
      arg,
      order: orderOf(arg, inputWord),
      type: arg.type as StreamType,
      scale: portScale(func, "input_scales", i),
      outputs: [],
    };
    nodes.set(arg, node);
    design.inputs.push(node);
  });
  const connect = (
    v: Value,
    consumer: KernelNode | OutputNode,
    operand: number,
    phase: "body" | "epilogue",
    table: ReadTable,
  ): void => {
    const origin = source(v);
    const producer = nodes.get(origin);
    if (producer === undefined) throw new CompilerBug(`${consumer.name}: operand ${operand} has no producer`);
    const op = v.def?.name === "flow.channel" ? v.def : undefined;
    // The timeline may have made a memory of what looked like a stream.
    const order = orderOf(origin, inputWord);
    const chosen = op?.attrs["kind"] === "memory" ? planMemory(order, table) : planChannel(order, table);
    const plan =
      op?.attrs["merges_flush"] === false && chosen.kind !== "memory" ? { ...chosen, mergesFlush: false } : chosen;
    const capacity = op?.attrs["capacity"];
    const channel: Channel = {
      name: `${producer.name}_to_${consumer.name}${consumer.kind === "kernel" && phase === "epilogue" ? "_post" : ""}`,
      op,
      producer,
      consumer,
      operand,
      phase,
      plan,
      elem: (origin.type as StreamType).elem as FixedType,
      capacity: typeof capacity === "number" ? capacity : 0,
      deep: op?.attrs["deep"] === true,
      through: false,
      direct: false,
    };
    producer.outputs.push(channel);
    consumer.inputs.push(channel);
    design.channels.push(channel);
  };
  for (const op of func.body.ops) {
    if (op.name === "flow.kernel") {
      const spec = readKernel(op);
      const emits = emissions(spec);
      const products = planProducts(op, spec, device);
      const node: KernelNode = {
        kind: "kernel",
        name: spec.name,
        op,
        spec,
        products,
        pipeline: UNPLANNED,
        steps: emits.length,
        emits,
        inputs: [],
        outputs: [],
      };
      nodes.set(op.result, node);
      design.kernels.push(node);
      spec.operands.forEach((o, k) => {
        if (source(o.value).def?.name !== "flow.constant") connect(o.value, node, k, o.phase, readTable(spec, k));
      });
    } else if (op.name === "return") {
      op.operands.forEach((v, i) => {
        const type = v.type as StreamType;
        const perBeat = ports.outputs[i]!;
        const node: OutputNode = {
          kind: "output",
          name: outputNames[i]!,
          type,
          perBeat,
          scale: portScale(func, "output_scales", i),
          inputs: [],
        };
        design.outputs.push(node);
        connect(v, node, 0, "body", portReads(type, perBeat));
        if (node.inputs[0]!.plan.kind === "memory")
          throw new CompilerBug(`output ${node.name} does not leave in row-major order`);
      });
    }
  }
  uniqueChannelNames(design);
  for (const c of design.channels) c.direct = takesAtOnce(c);
  for (const c of design.channels) c.through = goesThrough(c);
  for (const k of design.kernels) planKernel(design, k);
  return design;
}

/** Stands for the pipeline of a kernel whose channels are not known yet. */
const UNPLANNED = undefined as unknown as Pipeline;

/**
 * Whether the consumer never lets a word wait: it reads nothing else that could be late, takes each word in one step,
 * and each step completes a result. Then it runs in lockstep with its producer, and where results leave the last such
 * kernel, room for them is reserved when the first one fires.
 */
function takesAtOnce({ plan, consumer, phase }: Channel): boolean {
  if (consumer.kind !== "kernel" || phase !== "body" || !wordAStep(plan)) return false;
  const { spec, inputs, products, emits } = consumer;
  if (inputs.length > 1 || products.products.kind === "packed" || emits.includes(0)) return false;
  if (spec.operands.some((_, i) => isConstantOperand(spec, i) && !isFixedOperand(spec, i))) return false;
  return !plan.table.element.includes(-1);
}

/** Whether each step takes the next word. */
function wordAStep(plan: ChannelPlan): boolean {
  if (plan.kind !== "fifo" || plan.held || plan.flushes > 0 || plan.repeat > 1) return false;
  return plan.table.steps === plan.words && plan.fetches === plan.words && plan.need.every((n, f) => n === f + 1);
}

/** Bits of a word up to which a table for each is a small price for two cycles. */
const NARROW_WORD = 64;

/**
 * Whether words for an output port go by an empty buffer. Wide ones do only where a sample is one word: of many words
 * the last is what latency counts, and its way through the ring is a small part.
 */
function goesThrough({ plan, elem, producer, consumer, deep }: Channel): boolean {
  if (consumer.kind !== "output" || producer.kind !== "kernel" || deep || !wordAStep(plan)) return false;
  return plan.words === 1 || plan.order.planes * elem.width <= NARROW_WORD;
}

/** A channel with a buffer in which results of a kernel or input end up, through kernels in lockstep or none. */
export interface Sink {
  readonly channel: Channel;
  /** Cycles from a firing of the kernel, or a beat of the input, to the push. */
  readonly delay: number;
}

export function sinksOf(node: KernelNode | InputNode): Sink[] {
  const own = node.kind === "kernel" ? node.pipeline.depth : 0;
  return node.outputs.flatMap((c) =>
    c.direct && c.consumer.kind === "kernel"
      ? sinksOf(c.consumer).map((s) => ({ ...s, delay: own + s.delay }))
      : [{ channel: c, delay: own }],
  );
}

/** Whether a kernel fires when its producer says, and never waits. */
export function inLockstep(node: KernelNode): boolean {
  return node.inputs.some((c) => c.direct);
}

/** Whether operand i of a kernel comes out of a block RAM. */
export function isLate(design: Design, node: KernelNode, i: number): boolean {
  const { device } = design;
  if (isConstantOperand(node.spec, i))
    return (
      !isFixedOperand(node.spec, i) &&
      romStorage(device, weightWords(weightTable(node.spec, i)), true).style === "block"
    );
  const { plan, elem } = node.inputs.find((c) => c.operand === i)!;
  // How many samples fit is not known yet; two as a rule.
  return (
    plan.kind === "memory" &&
    plan.banks.some(
      (b) =>
        b.words.length > 1 &&
        ramStorage(device, bankDepth(b.words.length, 2), b.planes.length * elem.width, true).style === "block",
    )
  );
}

/** Plans the pipeline of a kernel for the channels that it has now; those of its producers come first. */
function planKernel(design: Design, node: KernelNode): void {
  const before = node.inputs.find((c) => c.direct)?.producer;
  const { timing } = design.device;
  node.pipeline = planPipeline(node.op, node.spec, node.products, design.device, design.clockMhz, {
    late: (i) => isLate(design, node, i),
    // Beats of a port come out of a register in front of it.
    ...(before !== undefined && { arrival: before.kind === "kernel" ? before.pipeline.rest : timing.base }),
    ...(node.outputs.every((c) => c.direct || c.through) && {
      exit: node.outputs.some((c) => c.through) ? timing.lut : 0,
    }),
  });
}

/** Plans a kernel anew whose channels have changed, and those that begin where it ends. */
export function replanKernel(design: Design, node: KernelNode): void {
  planKernel(design, node);
  for (const c of node.outputs) if (c.direct && c.consumer.kind === "kernel") replanKernel(design, c.consumer);
}

function uniqueChannelNames(design: Design): void {
  const seen = new Map<string, number>();
  for (const c of design.channels) {
    const n = seen.get(c.name) ?? 0;
    seen.set(c.name, n + 1);
    if (n > 0) (c as { name: string }).name = `${c.name}_${n}`;
  }
}
