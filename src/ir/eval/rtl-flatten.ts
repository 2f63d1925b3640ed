/**
 * A hierarchy of rtl modules as one net list: instances are dissolved, combinational nodes are in order of evaluation.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Module, Op, Value } from "../core.js";
import { bitsOf } from "../rtl/index.js";
import type { BitsType } from "../types.js";

/** An operation of some instance. Numbers stand for values: inputs of the top module first, then results. */
export interface Node {
  readonly op: Op;
  readonly operands: readonly number[];
  readonly results: readonly number[];
}

export interface NetList {
  /** Type of every value. */
  readonly types: readonly BitsType[];
  readonly inputs: ReadonlyMap<string, number>;
  readonly outputs: ReadonlyMap<string, number>;
  /** Combinational nodes, and reads at latency 0, sources first. */
  readonly order: readonly Node[];
  /** Registers, memories, and roms with a registered read. */
  readonly state: readonly Node[];
}

/** Whether the results of `op` are registers: they change at a clock edge alone. */
export function isClocked(op: Op): boolean {
  return (
    op.name === "rtl.reg" || ((op.name === "rtl.memory" || op.name === "rtl.rom") && op.attrs["read_latency"] === 1)
  );
}

class Flattener {
  readonly types: BitsType[] = [];
  readonly nodes: { op: Op; operands: number[]; results: number[] }[] = [];
  /** Values that are another name of a value: ports of instances. */
  private readonly alias = new Map<number, number>();

  constructor(private readonly module: Module) {}

  fresh(type: BitsType): number {
    this.types.push(type);
    return this.types.length - 1;
  }

  /** Dissolves an instance whose inputs are `inputs`; returns its outputs. */
  flatten(m: Op, inputs: readonly number[], depth = 0): number[] {
    if (depth > 200) throw new CompilerBug(`module ${String(m.attrs["sym"])} contains itself`);
    const ids = new Map<Value, number>();
    m.body.args.forEach((a, i) => ids.set(a, inputs[i]!));
    for (const op of m.body.ops) for (const r of op.results) ids.set(r, this.fresh(bitsOf(r.type)));
    const idOf = (v: Value): number => {
      const id = ids.get(v);
      if (id === undefined)
        throw new CompilerBug(`%${v.hint ?? v.id} is not a value of module ${String(m.attrs["sym"])}`);
      return id;
    };
    let outputs: number[] = [];
    for (const op of m.body.ops) {
      const operands = op.operands.map(idOf);
      if (op.name === "rtl.output") outputs = operands;
      else if (op.name === "rtl.instance") {
        const target = this.module.lookup(String(op.attrs["module"]));
        if (target === undefined) throw new CompilerBug(`no module ${String(op.attrs["module"])}`);
        const inner = this.flatten(target, operands, depth + 1);
        op.results.forEach((r, i) => this.alias.set(idOf(r), inner[i]!));
      } else this.nodes.push({ op, operands, results: op.results.map(idOf) });
    }
    return outputs;
  }

  resolve(id: number): number {
    let v = id;
    for (let next = this.alias.get(v), steps = 0; next !== undefined; next = this.alias.get(v), steps++) {
      if (steps > this.types.length) throw new CompilerBug("a combinational loop through ports");
      v = next;
    }
    return v;
  }
}

export function flattenRtl(module: Module, top: Op): NetList {
  const f = new Flattener(module);
  const inputs = new Map<string, number>();
  (top.attrs["inputs"] as readonly string[]).forEach((n, i) => inputs.set(n, f.fresh(bitsOf(top.body.args[i]!.type))));
  const ports = f.flatten(top, [...inputs.values()]);
  const outputs = new Map((top.attrs["outputs"] as readonly string[]).map((n, i) => [n, f.resolve(ports[i]!)]));
  for (const n of f.nodes) n.operands = n.operands.map((o) => f.resolve(o));
  const state = f.nodes.filter((n) => isClocked(n.op) || n.op.name === "rtl.memory");
  return { types: f.types, inputs, outputs, order: levelize(f.nodes, f.types.length), state };
}

/** Topological order of all nodes but the clocked ones. */
function levelize(nodes: readonly Node[], values: number): Node[] {
  const driver = new Array<Node | undefined>(values);
  const comb = nodes.filter((n) => !isClocked(n.op));
  for (const n of comb) for (const r of n.results) driver[r] = n;
  // A memory read at latency 0 depends on the read addresses alone.
  const sources = (n: Node): readonly number[] => (n.op.name === "rtl.memory" ? n.operands.slice(3) : n.operands);
  const state = new Map<Node, "open" | "done">();
  const order: Node[] = [];
  for (const root of comb) {
    if (state.has(root)) continue;
    const stack: { node: Node; inputs: readonly number[]; next: number }[] = [
      { node: root, inputs: sources(root), next: 0 },
    ];
    state.set(root, "open");
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      if (top.next === top.inputs.length) {
        state.set(top.node, "done");
        order.push(top.node);
        stack.pop();
        continue;
      }
      const input = driver[top.inputs[top.next++]!];
      if (input === undefined || state.get(input) === "done") continue;
      if (state.get(input) === "open")
        throw new CompilerBug(`combinational loop through ${input.op.name} %${input.op.results[0]?.hint ?? ""}`);
      state.set(input, "open");
      stack.push({ node: input, inputs: sources(input), next: 0 });
    }
  }
  return order;
}
