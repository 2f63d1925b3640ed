/** A sized design as an rtl program: kernels, channels, and the top that joins them behind AXI4-Stream ports. */
import { elementAt, lookUp, present } from "../../ir/present.js";
import { Module, type Op, type Value } from "../../ir/core.js";
import { RtlModuleBuilder, u, type Port } from "../../ir/rtl/builder.js";
import type { FixedType } from "../../ir/types.js";
import { beats } from "../channel/ports.js";
import type { StreamPlan } from "../channel/stream-plan.js";
import type { Design, PlannedKernel } from "../design/design.js";
import {
  type Channel,
  channelInto,
  endBuffersOf,
  inLockstep,
  type InputNode,
  type OutputNode,
} from "../design/network.js";
import type { Device } from "../device/devices.js";
import { moduloCounter } from "./emit-counters.js";
import { emitKernel, waitsFor } from "./emit-kernel.js";
import { emitMemory } from "./emit-memory.js";
import { channelPorts } from "./emit-balance.js";
import { emitStream } from "./emit-stream.js";

/** An AXI4-Stream port of the generated core. */
export interface AxisPort {
  /** ONNX name of the tensor. */
  readonly name: string;
  readonly direction: "input" | "output";
  /** Prefix of the signals: `s_axis`, `m_axis_1`, ... */
  readonly prefix: string;
  readonly elementsPerBeat: number;
  /** Bits of an element; element i of a beat is at bits [i x width, (i + 1) x width). */
  readonly width: number;
  readonly signed: boolean;
  readonly frac: number;
  /** Real numbers are the fixed-point numbers times this; 1 where absent. Powers of two are part of `frac`. */
  readonly scale?: number;
  /** Width of tdata: whole bytes. */
  readonly dataBits: number;
  readonly beats: number;
  readonly shape: readonly number[];
}

export interface RtlDesign {
  readonly module: Module;
  readonly top: string;
  readonly ports: readonly AxisPort[];
  /** Formats of the numbers that cross each port, without the port's scale. */
  readonly formats: readonly FixedType[];
  /** Names of the modules of each kernel: its own, and those of the channels that feed it. */
  readonly kernels: readonly (readonly string[])[];
}

export function lowerToRtl(design: Design): RtlDesign {
  const module = new Module(design.name);
  const top = moduleName(design.name);
  const taken = new Set([top]);
  const unique = (base: string): string => {
    let name = moduleName(base);
    for (let n = 1; taken.has(name); n++) name = `${moduleName(base)}_${n}`;
    taken.add(name);
    return name;
  };
  const channelModules = new Map<Channel, Op>();
  for (const c of design.channels)
    if (!c.direct) channelModules.set(c, emitChannel(module, unique(`ch_${c.name}`), c, design.device));
  const kernelModules = new Map<PlannedKernel, Op>();
  for (const k of design.kernels) kernelModules.set(k, emitKernel(module, unique(k.name), k, design.device));
  const ports = axisPorts(design);
  emitTop(module, top, design, channelModules, kernelModules, ports);
  const nameOf = (op: Op | undefined): string => String(present(op, "op").attrs["sym"]);
  const kernels = design.kernels.map((k) => [
    nameOf(kernelModules.get(k)),
    ...k.inputs.filter((c) => !c.direct).map((c) => nameOf(channelModules.get(c))),
  ]);
  const formats = [...design.inputs.map((n) => n.order.elem), ...design.outputs.map((n) => channelInto(n).elem)];
  return { module, top, ports, formats, kernels };
}

/** A Verilog identifier close to `name`. */
export function moduleName(name: string): string {
  const clean = name.replace(/[^A-Za-z0-9_]+/g, "_").replace(/^_+|_+$/g, "");
  return /^[A-Za-z]/.test(clean) ? clean : `m_${clean}`;
}

function emitChannel(module: Module, name: string, c: Channel, device: Device): Op {
  return c.plan.kind === "memory" ? emitMemory(module, name, c, c.plan, device) : emitStream(module, name, c, c.plan);
}

function axisPorts(design: Design): AxisPort[] {
  const port = (direction: "input" | "output", list: readonly (InputNode | OutputNode)[]) =>
    list.map((n, i): AxisPort => {
      const elem = n.kind === "input" ? n.order.elem : channelInto(n).elem;
      const elementsPerBeat = n.kind === "input" ? n.order.planes : n.perBeat;
      const prefix = `${direction === "input" ? "s" : "m"}_axis${list.length > 1 ? `_${i}` : ""}`;
      return {
        name: n.name,
        direction,
        prefix,
        elementsPerBeat,
        width: elem.width,
        signed: elem.signed,
        ...formatOf(elem.frac, n.scale),
        dataBits: Math.ceil((elementsPerBeat * elem.width) / 8) * 8,
        beats: beats(n.type, elementsPerBeat),
        shape: n.type.shape,
      };
    });
  return [...port("input", design.inputs), ...port("output", design.outputs)];
}

function formatOf(frac: number, scale: number): { frac: number; scale?: number } {
  const steps = Math.log2(scale);
  return Number.isInteger(steps) ? { frac: frac - steps } : { frac, scale };
}

/** The lanes of the step that takes a word as it comes. */
function lanesOf(m: RtlModuleBuilder, c: Channel, word: Value): Value {
  const { tapPlane, table } = c.plan as StreamPlan;
  return m.concat(
    Array.from({ length: table.lanes }, (_, lane) =>
      m.extract(word, elementAt(tapPlane, lane) * c.elem.width, c.elem.width),
    ).reverse(),
  );
}

function emitTop(
  module: Module,
  top: string,
  design: Design,
  channels: ReadonlyMap<Channel, Op>,
  kernels: ReadonlyMap<PlannedKernel, Op>,
  ports: readonly AxisPort[],
): void {
  const inputs: Port[] = ports.flatMap((p) =>
    p.direction === "input"
      ? [
          { name: `${p.prefix}_tdata`, type: u(p.dataBits) },
          { name: `${p.prefix}_tvalid`, type: u(1) },
          { name: `${p.prefix}_tlast`, type: u(1) },
        ]
      : [{ name: `${p.prefix}_tready`, type: u(1) }],
  );
  const m = new RtlModuleBuilder(module, top, inputs, { attrs: { clock: "aclk", resetn: "aresetn" } });
  // Every channel's inputs are forward values, so that instances may be joined in loops.
  const wires = new Map<Channel, Record<string, Value>>();
  const outs = new Map<Channel, Record<string, Value>>();
  for (const c of channels.keys()) {
    const ins = Object.fromEntries(channelPorts(c).map((p) => [p.name, m.forward(p.type, `${c.name}_${p.name}`)]));
    wires.set(c, ins);
    outs.set(c, m.instance(lookUp(channels, c, "channels"), String(lookUp(channels, c, "channels").attrs["sym"]), ins));
  }
  // What goes to a kernel without a buffer: its producer's word, and that it is there.
  const straight = new Map<Channel, { readonly valid: Value; readonly data: Value }>();
  const produce = (node: PlannedKernel | InputNode, push: Value, data: Value): void => {
    for (const c of node.outputs) {
      if (c.direct) straight.set(c, { valid: push, data: lanesOf(m, c, data) });
      else {
        m.resolve(present(lookUp(wires, c, "wires")["push"], "push"), push);
        m.resolve(present(lookUp(wires, c, "wires")["push_data"], "push_data"), data);
      }
    }
  };
  const reserve = (node: PlannedKernel | InputNode, when: Value): void => {
    for (const { channel } of endBuffersOf(node))
      m.resolve(present(lookUp(wires, channel, "wires")["reserve"], "reserve"), when);
  };
  const result: Record<string, Value> = {};
  design.inputs.forEach((node, i) => {
    const p = elementAt(ports, i);
    const ready = m.all(
      endBuffersOf(node).map((s) => present(lookUp(outs, s.channel, "outs")["space"], "space")),
      `${p.prefix}_tready`,
    );
    const push = m.and(m.input(`${p.prefix}_tvalid`), ready, `${p.prefix}_push`);
    produce(node, push, m.extract(m.input(`${p.prefix}_tdata`), 0, p.elementsPerBeat * p.width));
    reserve(node, push);
    result[`${p.prefix}_tready`] = ready;
  });
  for (const k of design.kernels) {
    m.loc = k.op.loc;
    const ins: Record<string, Value> = {};
    k.inputs.forEach((c, i) => {
      const { valid, data } = straight.get(c) ?? (outs.get(c) as { valid: Value; data: Value });
      ins[`in${i}_valid`] = valid;
      ins[`in${i}_data`] = data;
    });
    waitsFor(k).forEach((c, i) => (ins[`out${i}_space`] = present(lookUp(outs, c, "outs")["space"], "space")));
    const r = m.instance(lookUp(kernels, k, "kernels"), String(lookUp(kernels, k, "kernels").attrs["sym"]), ins);
    for (const c of k.inputs)
      if (!c.direct)
        m.resolve(
          present(lookUp(wires, c, "wires")["take"], "take"),
          c.phase === "body" ? present(r["fire"], "fire") : present(r["emit"], "emit"),
        );
    produce(k, present(r["push"], "push"), present(r["result"], "result"));
    if (!inLockstep(k)) reserve(k, present(r["emit"], "emit"));
  }
  m.loc = { nodes: [] };
  design.outputs.forEach((node, i) => {
    const p = elementAt(ports, design.inputs.length + i);
    const c = channelInto(node);
    const valid = present(lookUp(outs, c, "outs")["valid"], "valid");
    const take = m.and(valid, m.input(`${p.prefix}_tready`));
    m.resolve(present(lookUp(wires, c, "wires")["take"], "take"), take);
    const beat = moduloCounter(m, p.beats, take, `${p.prefix}_beat`);
    result[`${p.prefix}_tdata`] = m.cast(present(lookUp(outs, c, "outs")["data"], "data"), u(p.dataBits));
    result[`${p.prefix}_tvalid`] = valid;
    result[`${p.prefix}_tlast`] = beat.last;
  });
  m.finish(result);
}
