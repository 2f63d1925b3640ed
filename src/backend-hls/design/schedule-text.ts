/**
 * Scheduling problems as text, so that a mistake of the scheduler is a fixture of ten lines and not a random network:
 *
 *     schedule window on xcu280
 *     input x 1x6x6 bits 8 word 1
 *     kernel conv 1x4x4 bits 12 depth 7
 *       loop y 4, x 4, sum ky 3 by 3, sum kx 3 by 3
 *       read x [0, y + ky, x + kx] of 1x6x6
 *       write [0, y, x]
 *     output y conv word 1
 *     expect interval 36
 *     expect latency 44
 *     expect channel x_to_conv window capacity 18
 *
 * Loops are named in the order of the lanes, `sum` for reductions, `by` for unroll factors; `order` states another order
 * of the nest. `read` is once per step, `add` once per result word (an operand of the epilogue). A view other than the
 * whole tensor in row-major order has `strides` and `offset`. A kernel that is `buffered` never fires in lockstep.
 */
import { affineExpr, affineMap, showAffineExpr, type AffineExpr } from "../../ir/affine.js";
import type { Iterator, View } from "../../ir/flow/kernel.js";
import { rowMajorStrides, ufixed, stream, type FixedType } from "../../ir/types.js";
import { UserError } from "../../diagnostics/index.js";
import { elementAt } from "../../ir/present.js";
import { type KernelAccess, kernelOrder, portOrder, portReads, readTable } from "../channel/access.js";
import { findDevice } from "../device/devices.js";
import { emissions } from "./elaborate.js";
import { type Channel, channelInto, connect, type KernelTiming, type Network, type TimedKernel } from "./network.js";
import type { InputPort, Link, OutputPort, Problem, ProblemKernel } from "./problem.js";
import { sizeChannels, type Sized } from "./size-channels.js";

/** A kernel of the text: what it reads and writes when, and how long it takes. */
export interface TextKernel extends ProblemKernel {
  readonly access: KernelAccess;
  readonly depth: number;
}

/** What is predicted of a problem. */
export interface Expected {
  readonly interval?: number;
  readonly latency?: number;
  /** `fifo`, `window`, `memory` or `direct`, the words that fit, and whether they are in block RAM; by channel. */
  readonly channels: Readonly<Record<string, string>>;
}

export interface ScheduleText {
  readonly problem: Problem<TextKernel>;
  readonly expected: Expected;
}

export type SizedText = Sized<Network<TextKernel & KernelTiming & TimedKernel>>;

/** Sizes the channels of a problem whose kernels take as long as the text says. */
export function solveSchedule({ problem }: ScheduleText): SizedText {
  const timing = ({ depth }: TextKernel): KernelTiming => ({ depth, resultNs: 0 });
  return sizeChannels(problem.device, problem.links.length, (choices) => connect(problem, choices, timing));
}

/** What was found, as the text expects it. */
export function foundIn(network: Network, timeline: { initiationInterval: number; latency: number }): Expected {
  return {
    interval: timeline.initiationInterval,
    latency: timeline.latency,
    channels: Object.fromEntries(network.channels.map((c) => [c.name, showChannel(c)])),
  };
}

function showChannel(c: Channel): string {
  return c.direct ? "direct" : `${c.plan.kind} capacity ${c.capacity}${c.deep ? " in block RAM" : ""}`;
}

// --- printing -------------------------------------------------------------------------------------------------------

/** A network whose kernels were made of `access`, with what is expected of it. */
export function printSchedule(
  name: string,
  device: string,
  network: Network,
  accessOf: (kernel: TimedKernel) => { readonly access: KernelAccess; readonly canLockstep: boolean },
  expected: Expected,
): string {
  const lines = [`schedule ${word(name)} on ${device}`];
  for (const { name: port, type, order } of network.inputs)
    lines.push(`input ${word(port)} ${type.shape.join("x")} bits ${order.elem.width} word ${order.planes}`);
  for (const k of network.kernels) {
    const { access, canLockstep } = accessOf(k);
    const { resultShape, resultElem, out, operands } = access;
    const dims = out.dims;
    const index = (results: readonly AffineExpr[]): string =>
      `[${results.map((r) => showAffineExpr(r, dims)).join(", ")}]`;
    lines.push(
      `kernel ${word(k.name)} ${resultShape.join("x")} bits ${resultElem.width} depth ${k.depth}${canLockstep ? "" : " buffered"}`,
      ...showLoops(access),
      ...k.inputs.map((c) => {
        const { map, view } = elementAt(operands, c.operand, "operand");
        return `  ${c.phase === "body" ? "read" : "add"} ${word(c.producer.name)} ${index(map.results)} of ${showView(view)}`;
      }),
      `  write ${index(out.results)}`,
    );
  }
  for (const o of network.outputs)
    lines.push(`output ${word(o.name)} ${word(channelInto(o).producer.name)} word ${o.perBeat}`);
  if (expected.interval !== undefined) lines.push(`expect interval ${expected.interval}`);
  if (expected.latency !== undefined) lines.push(`expect latency ${expected.latency}`);
  for (const [channel, what] of Object.entries(expected.channels))
    lines.push(`expect channel ${word(channel)} ${what}`);
  return `${lines.join("\n")}\n`;
}

function showLoops({ iterators, schedule }: KernelAccess): string[] {
  const loops = iterators.map(({ name, extent, kind }) => {
    const unroll = schedule?.unroll[name] ?? 1;
    return `${kind === "reduction" ? "sum " : ""}${name} ${extent}${unroll === 1 ? "" : ` by ${unroll}`}`;
  });
  const names = iterators.map((i) => i.name).join(" ");
  const order = (schedule?.order ?? []).join(" ");
  return [
    ...(loops.length === 0 ? [] : [`  loop ${loops.join(", ")}`]),
    ...(order === names ? [] : [`  order ${order}`]),
  ];
}

function showView({ shape, strides, offset }: View): string {
  const plain = offset === 0 && strides.join() === rowMajorStrides(shape).join();
  return `${shape.join("x")}${plain ? "" : ` strides ${strides.join(" ")} offset ${offset}`}`;
}

/** Names in the text are words. */
function word(name: string): string {
  return name.replace(/[^\w.:/-]+/g, "_");
}

// --- reading --------------------------------------------------------------------------------------------------------

/** @errors FL015 with the line that cannot be read */
export function parseSchedule(text: string): ScheduleText {
  const reader = new Reader();
  text.split("\n").forEach((line, i) => {
    const code = line.replace(/#.*$/, "").trim();
    if (code !== "") reader.line(code, i + 1);
  });
  return reader.finish();
}

/** Lines of a kernel, gathered until the next one begins. */
interface OpenKernel {
  readonly name: string;
  readonly shape: readonly number[];
  readonly elem: FixedType;
  readonly depth: number;
  readonly buffered: boolean;
  iterators: readonly Iterator[];
  unroll: Readonly<Record<string, number>>;
  order: readonly string[] | undefined;
  readonly reads: {
    readonly source: string;
    readonly phase: "body" | "epilogue";
    readonly view: View;
    readonly results: readonly AffineExpr[];
  }[];
}

class Reader {
  private name = "schedule";
  private device = findDevice("xcu280");
  private at = 0;
  private text = "";
  private open: OpenKernel | undefined;
  private readonly inputs: InputPort[] = [];
  private readonly kernels: TextKernel[] = [];
  private readonly outputs: OutputPort[] = [];
  private readonly links: Link<TextKernel>[] = [];
  private readonly elems = new Map<string, FixedType>();
  private readonly taken = new Map<string, number>();
  private readonly expected: { interval?: number; latency?: number; channels: Record<string, string> } = {
    channels: {},
  };

  private readonly lines: readonly (readonly [RegExp, (m: readonly string[]) => void])[] = [
    [/^schedule (\S+) on (\S+)$/, ([name = "", device = ""]) => this.header(name, device)],
    [/^input (\S+) ([\dx]+) bits (\d+) word (\d+)$/, (m) => this.input(m)],
    [/^kernel (\S+) ([\dx]+) bits (\d+) depth (\d+)( buffered)?$/, (m) => this.kernel(m)],
    [/^loop (.+)$/, ([loops = ""]) => this.loops(loops)],
    [/^order (.+)$/, ([names = ""]) => void (this.opened().order = names.split(/\s+/))],
    [/^(read|add) (\S+) \[(.*)\] of ([\dx]+)(?: strides ([-\d ]+) offset (-?\d+))?$/, (m) => this.read(m)],
    [/^write \[(.*)\]$/, ([index = ""]) => this.write(index)],
    [/^output (\S+) (\S+) word (\d+)$/, (m) => this.output(m)],
    [/^expect interval (\d+)$/, ([n]) => void (this.expected.interval = Number(n))],
    [/^expect latency (\d+)$/, ([n]) => void (this.expected.latency = Number(n))],
    [/^expect channel (\S+) (.+)$/, ([name = "", what = ""]) => void (this.expected.channels[name] = what)],
  ];

  line(text: string, at: number): void {
    [this.at, this.text] = [at, text];
    for (const [pattern, take] of this.lines) {
      const m = pattern.exec(text);
      if (m !== null) return take(m.slice(1));
    }
    throw this.fail("no such line is known");
  }

  finish(): ScheduleText {
    [this.at, this.text] = [this.at + 1, "the end"];
    if (this.open !== undefined) throw this.fail(`kernel ${this.open.name} writes nothing`);
    if (this.device === undefined || this.outputs.length === 0) throw this.fail("there is no output");
    const { name, device, inputs, kernels, outputs, links, expected } = this;
    return { problem: { name, device, inputs, kernels, outputs, links }, expected };
  }

  private fail(what: string): UserError {
    return UserError.of("FL015", { line: this.at, text: this.text, what });
  }

  private opened(): OpenKernel {
    if (this.open === undefined) throw this.fail("no kernel is open here");
    return this.open;
  }

  private header(name: string, device: string): void {
    this.name = name;
    this.device = findDevice(device);
    if (this.device === undefined) throw this.fail(`there is no device ${device}`);
  }

  private input([name = "", shape = "", bits, perBeat]: readonly string[]): void {
    const elem = ufixed(Number(bits), 0);
    const type = stream(shapeOf(shape), elem);
    this.elems.set(name, elem);
    this.inputs.push({ kind: "input", name, type, order: portOrder(type, Number(perBeat)), scale: 1 });
  }

  private kernel([name = "", shape = "", bits, depth, buffered]: readonly string[]): void {
    if (this.open !== undefined) throw this.fail(`kernel ${this.open.name} writes nothing`);
    this.open = {
      name,
      shape: shapeOf(shape),
      elem: ufixed(Number(bits), 0),
      depth: Number(depth),
      buffered: buffered !== undefined,
      iterators: [],
      unroll: {},
      order: undefined,
      reads: [],
    };
  }

  private loops(text: string): void {
    const k = this.opened();
    const unroll: Record<string, number> = {};
    k.iterators = text.split(",").map((part): Iterator => {
      const m = /^(sum )?([A-Za-z_]\w*) (\d+)(?: by (\d+))?$/.exec(part.trim());
      const [, sum, name, extent, by] = m ?? [];
      if (name === undefined) throw this.fail(`"${part.trim()}" is no loop: [sum] NAME EXTENT [by UNROLL]`);
      if (by !== undefined) unroll[name] = Number(by);
      return { name, extent: Number(extent), kind: sum === undefined ? "parallel" : "reduction" };
    });
    k.unroll = unroll;
  }

  private read([what, source = "", index = "", shape = "", strides, offset]: readonly string[]): void {
    const dims = shapeOf(shape);
    const view: View = {
      shape: dims,
      strides: strides === undefined ? rowMajorStrides(dims) : strides.trim().split(/\s+/).map(Number),
      offset: Number(offset ?? 0),
      pad: 0,
    };
    const phase = what === "read" ? "body" : "epilogue";
    this.opened().reads.push({ source, phase, view, results: this.index(index) });
  }

  private index(text: string): AffineExpr[] {
    const names = this.opened().iterators.map((i) => i.name);
    if (text.trim() === "") return [];
    return text.split(",").map((part) => {
      const terms: Record<string, number> = {};
      let offset = 0;
      const rest = part
        .replace(/\s+/g, "")
        .replace(/([+-]?)(?:(\d+)\*)?([A-Za-z_]\w*|\d+)/g, (_, sign, factor, what) => {
          const times = (sign === "-" ? -1 : 1) * Number(factor ?? 1);
          if (/^\d/.test(what)) offset += times * Number(what);
          else if (!names.includes(what)) throw this.fail(`there is no loop ${what}`);
          else terms[what] = (terms[what] ?? 0) + times;
          return "";
        });
      if (rest !== "") throw this.fail(`"${part.trim()}" is no index`);
      return affineExpr(names, terms, offset);
    });
  }

  /** Ends a kernel. */
  private write(index: string): void {
    const { name, shape, elem, depth, buffered, iterators, unroll, order, reads } = this.opened();
    const dims = iterators.map((i) => i.name);
    if (order !== undefined && [...order].sort().join() !== [...dims].sort().join())
      throw this.fail(`the order of kernel ${name} names other loops than it has`);
    const access: KernelAccess = {
      name,
      iterators,
      schedule: { order: order ?? dims, unroll },
      operands: reads.map(({ results, view, phase }) => ({ map: affineMap(dims, results), view, phase })),
      out: affineMap(dims, this.index(index)),
      resultShape: shape,
      resultElem: elem,
    };
    const emits = emissions(access);
    const canLockstep = !buffered && reads.length === 1;
    const kernel: TextKernel = { kind: "kernel", name, steps: emits.length, emits, canLockstep, access, depth };
    reads.forEach(({ source, phase }, operand) =>
      this.link(source, kernel, { operand, phase, table: readTable(access, operand) }),
    );
    this.elems.set(name, elem);
    this.kernels.push(kernel);
    this.open = undefined;
  }

  private output([name = "", source = "", perBeat]: readonly string[]): void {
    const producer = this.kernels.find((k) => k.name === source) ?? this.inputs.find((i) => i.name === source);
    if (producer === undefined) throw this.fail(`there is no kernel ${source}`);
    const type =
      producer.kind === "kernel" ? stream(producer.access.resultShape, producer.access.resultElem) : producer.type;
    const port: OutputPort = { kind: "output", name, type, perBeat: Number(perBeat), scale: 1 };
    this.outputs.push(port);
    this.link(source, port, { operand: 0, phase: "body", table: portReads(type, port.perBeat) });
  }

  private link(source: string, consumer: TextKernel | OutputPort, to: Pick<Link, "operand" | "phase" | "table">): void {
    const producer = this.kernels.find((k) => k.name === source) ?? this.inputs.find((i) => i.name === source);
    const elem = this.elems.get(source);
    if (producer === undefined || elem === undefined) throw this.fail(`nothing before is called ${source}`);
    const order = producer.kind === "kernel" ? kernelOrder(producer.access) : producer.order;
    const base = `${source}_to_${consumer.name}${to.phase === "epilogue" ? "_post" : ""}`;
    const n = this.taken.get(base) ?? 0;
    this.taken.set(base, n + 1);
    const name = n === 0 ? base : `${base}_${n}`;
    this.links.push({ ...to, name, producer, consumer, order, elem, pad: 0, loc: { nodes: [] } });
  }
}

function shapeOf(text: string): number[] {
  return text.split("x").map(Number);
}
