/**
 * A hierarchy of rtl modules as one net list: instances are dissolved, combinational nodes are in order of evaluation.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Module, Op, Value } from "../core.js";
import { stringsAttr, strAttr } from "../define-op.js";
import { bitsOf, isRtl } from "../rtl/index.js";
import { hasState, isClocked } from "../rtl/timing.js";
import { at, present } from "../present.js";
import type { BitsType } from "../types.js";

/** An operation of some instance. Numbers stand for values: inputs of the top module first, then results. */
export class Node {
  constructor(
    readonly op: Op,
    public operands: readonly number[],
    readonly results: readonly number[],
  ) {}
  operand(i: number): number {
    return present(this.operands[i], `operand ${i} of ${this.op.name}`);
  }
  /** The only result. */
  get result(): number {
    return present(this.results[0], `the result of ${this.op.name}`);
  }
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

class Flattener {
  readonly types: BitsType[] = [];
  readonly nodes: Node[] = [];
  /** Values that are another name of a value: ports of instances. */
  private readonly alias = new Map<number, number>();

  constructor(private readonly module: Module) {}

  fresh(type: BitsType): number {
    this.types.push(type);
    return this.types.length - 1;
  }

  /** Dissolves an instance whose inputs are `inputs`; returns its outputs. */
  flatten(m: Op, inputs: readonly number[], depth = 0): number[] {
    if (depth > 200) throw new CompilerBug(`module ${strAttr(m, "sym")} contains itself`);
    const ids = new Map<Value, number>();
    m.body.args.forEach((a, i) => ids.set(a, at(inputs, i)));
    for (const op of m.body.ops) for (const r of op.results) ids.set(r, this.fresh(bitsOf(r.type)));
    const idOf = (v: Value): number => {
      const id = ids.get(v);
      if (id === undefined) throw new CompilerBug(`%${v.hint ?? v.id} is not a value of module ${strAttr(m, "sym")}`);
      return id;
    };
    let outputs: number[] = [];
    for (const op of m.body.ops) {
      const operands = op.operands.map(idOf);
      if (isRtl(op, "rtl.output")) outputs = operands;
      else if (isRtl(op, "rtl.instance")) {
        const target = this.module.lookup(strAttr(op, "module"));
        if (target === undefined) throw new CompilerBug(`no module ${strAttr(op, "module")}`);
        const inner = this.flatten(target, operands, depth + 1);
        op.results.forEach((r, i) => this.alias.set(idOf(r), at(inner, i)));
      } else this.nodes.push(new Node(op, operands, op.results.map(idOf)));
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
  stringsAttr(top, "inputs").forEach((n, i) => inputs.set(n, f.fresh(bitsOf(at(top.body.args, i).type))));
  const ports = f.flatten(top, [...inputs.values()]);
  const outputs = new Map(stringsAttr(top, "outputs").map((n, i) => [n, f.resolve(at(ports, i))]));
  for (const n of f.nodes) n.operands = n.operands.map((o) => f.resolve(o));
  const state = f.nodes.filter((n) => hasState(n.op));
  return { types: f.types, inputs, outputs, order: levelize(f.nodes, f.types.length), state };
}

/** Topological order of all nodes but the clocked ones. */
function levelize(nodes: readonly Node[], values: number): Node[] {
  const driver = new Array<Node | undefined>(values);
  const comb = nodes.filter((n) => !isClocked(n.op));
  for (const n of comb) for (const r of n.results) driver[r] = n;
  // A memory read at latency 0 depends on the read addresses alone.
  const sources = (n: Node): readonly number[] => (isRtl(n.op, "rtl.memory") ? n.operands.slice(3) : n.operands);
  const state = new Map<Node, "open" | "done">();
  const order: Node[] = [];
  for (const root of comb) {
    if (state.has(root)) continue;
    const stack: { node: Node; inputs: readonly number[]; next: number }[] = [
      { node: root, inputs: sources(root), next: 0 },
    ];
    state.set(root, "open");
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const id = top.inputs[top.next];
      if (id === undefined) {
        state.set(top.node, "done");
        order.push(top.node);
        stack.pop();
        continue;
      }
      top.next++;
      const input = driver[id];
      if (input === undefined || state.get(input) === "done") continue;
      if (state.get(input) === "open")
        throw new CompilerBug(`combinational loop through ${input.op.name} %${input.op.results[0]?.hint ?? ""}`);
      state.set(input, "open");
      stack.push({ node: input, inputs: sources(input), next: 0 });
    }
  }
  return order;
}
