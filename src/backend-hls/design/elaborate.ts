/** From a module of kernels with loop orders and unroll factors to its scheduling problem. */
import type { Module, Op, Value } from "../../ir/core.js";
import { loopNest, readKernel, type KernelSpec, type ScheduledLoops } from "../../ir/flow/kernel.js";
import { portScale } from "../../ir/port-scales.js";
import type { FixedType, StreamType } from "../../ir/types.js";
import { source } from "../../ir/eval/flow.js";
import { CompilerBug } from "../../diagnostics/index.js";
import { lookUp, elementAt } from "../../ir/present.js";
import { orderOf, portReads, type ReadTable, readTable } from "../channel/access.js";
import type { PortWords } from "../channel/ports.js";
import type { Device } from "../device/devices.js";
import { isConstantOperand, isFixedOperand } from "../kernel/datapath.js";
import { planProducts, type ProductPlan } from "../kernel/products.js";
import { type ChannelChoice, type InputPort, type Link, type OutputPort, planOf, UNDECIDED } from "./problem.js";
import type { Problem, ProblemKernel } from "./problem.js";

/** A kernel before its pipeline is planned. */
export interface KernelNode extends ProblemKernel {
  readonly op: Op;
  readonly spec: KernelSpec;
  readonly products: ProductPlan;
}

/** A problem, and what its `flow.channel`s say where they are in place. */
export interface Elaborated {
  readonly problem: Problem<KernelNode>;
  readonly choices: readonly ChannelChoice[];
}

/** Which steps complete a result word: those on the last trip of every reduction loop. */
export function emissions(spec: ScheduledLoops): Uint8Array {
  const loops = loopNest(spec);
  const steps = loops.reduce((n, l) => n * l.trips, 1);
  const emits = new Uint8Array(steps).fill(1);
  let inner = 1;
  for (const { trips, kind } of [...loops].reverse()) {
    if (kind === "reduction")
      for (let s = 0; s < steps; s++) if (Math.floor(s / inner) % trips !== trips - 1) emits[s] = 0;
    inner *= trips;
  }
  return emits;
}

export function elaborate(module: Module, device: Device, ports: PortWords): Elaborated {
  const func = module.func;
  const inputNames = func.attrs["inputs"] as readonly string[];
  const outputNames = func.attrs["outputs"] as readonly string[];
  const inputWord = (arg: Value): number => elementAt(ports.inputs, func.body.args.indexOf(arg), "word of input");
  const nodes = new Map<Value, KernelNode | InputPort>();
  const inputs = func.body.args.map((arg, i): InputPort => {
    const port: InputPort = {
      kind: "input",
      name: elementAt(inputNames, i, "name of input"),
      order: orderOf(arg, inputWord),
      type: arg.type as StreamType,
      scale: portScale(func, "input_scales", i),
    };
    nodes.set(arg, port);
    return port;
  });
  const kernels: KernelNode[] = [];
  const outputs: OutputPort[] = [];
  const links: Link<KernelNode>[] = [];
  const choices: ChannelChoice[] = [];
  const names = new UniqueNames();
  const connect = (
    v: Value,
    consumer: KernelNode | OutputPort,
    to: Pick<Link, "operand" | "phase" | "table" | "pad" | "loc">,
  ): void => {
    const origin = source(v);
    const producer = lookUp(nodes, origin, `producer of operand ${to.operand} of ${consumer.name}`);
    const suffix = consumer.kind === "kernel" && to.phase === "epilogue" ? "_post" : "";
    links.push({
      ...to,
      name: names.unique(`${producer.name}_to_${consumer.name}${suffix}`),
      producer,
      consumer,
      order: orderOf(origin, inputWord),
      elem: (origin.type as StreamType).elem as FixedType,
    });
    choices.push(v.def?.name === "flow.channel" ? choiceIn(v.def) : UNDECIDED);
  };
  for (const op of func.body.ops) {
    if (op.name === "flow.kernel") {
      const node = kernelNode(op, device);
      nodes.set(op.result, node);
      kernels.push(node);
      node.spec.operands.forEach(({ value, phase, view }, operand) => {
        if (isConstantOperand(node.spec, operand)) return;
        const table = readTable(node.spec, operand);
        connect(value, node, { operand, phase, table, pad: view.pad, loc: op.loc });
      });
    } else if (op.name === "return") {
      op.operands.forEach((v, i) => {
        const port: OutputPort = {
          kind: "output",
          name: elementAt(outputNames, i, "name of output"),
          type: v.type as StreamType,
          perBeat: elementAt(ports.outputs, i, "word of output"),
          scale: portScale(func, "output_scales", i),
        };
        outputs.push(port);
        const table: ReadTable = portReads(port.type, port.perBeat);
        connect(v, port, { operand: 0, phase: "body", table, pad: 0, loc: { nodes: [] } });
      });
    }
  }
  links.forEach((link, i) => {
    if (link.consumer.kind === "output" && planOf(link, elementAt(choices, i, "choice")).kind === "memory")
      throw new CompilerBug(`output ${link.consumer.name} does not leave in row-major order`);
  });
  return { problem: { name: module.name, device, inputs, kernels, outputs, links }, choices };
}

function kernelNode(op: Op, device: Device): KernelNode {
  const spec = readKernel(op);
  const emits = emissions(spec);
  const products = planProducts(op, spec, device);
  const streams = spec.operands.filter((_, i) => !isConstantOperand(spec, i)).length;
  const fetches = spec.operands.some((_, i) => isConstantOperand(spec, i) && !isFixedOperand(spec, i));
  const canLockstep = streams === 1 && !fetches && products.products.kind !== "packed";
  return { kind: "kernel", name: spec.name, op, spec, products, steps: emits.length, emits, canLockstep };
}

/** What the attributes of a `flow.channel` say. */
function choiceIn({ attrs }: Op): ChannelChoice {
  const { kind, capacity, deep, merges_flush: merges } = attrs;
  return {
    memory: kind === "memory",
    mergesFlush: merges !== false,
    deep: deep === true,
    capacity: typeof capacity === "number" ? capacity : 0,
  };
}

class UniqueNames {
  private readonly seen = new Map<string, number>();

  unique(name: string): string {
    const n = this.seen.get(name) ?? 0;
    this.seen.set(name, n + 1);
    return n === 0 ? name : `${name}_${n}`;
  }
}
