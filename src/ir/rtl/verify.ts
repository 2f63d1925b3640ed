/**
 * Checks on whole rtl programs that the record of a single operation cannot make: instances fit their modules, the
 * hierarchy is a tree of definitions, and no combinational path closes on itself, through instances included. Two
 * drivers of one signal cannot be written down: a value has one definition.
 */
import type { Module, Op, Value } from "../core.js";
import { sameType, showType } from "../types.js";

export interface RtlProblem {
  readonly op: Op;
  /** Without a full stop. */
  readonly message: string;
}

/** All that is wrong with the rtl modules of `module`; operations must verify one by one. Does not change it. */
export function verifyRtl(module: Module): RtlProblem[] {
  const problems: RtlProblem[] = [];
  const modules = new Map<string, Op>();
  for (const op of module.body.ops) if (op.name === "rtl.module") modules.set(String(op.attrs["sym"]), op);
  for (const m of modules.values()) checkInstances(m, modules, problems);
  if (problems.length > 0) return problems;
  const order = definitionOrder(modules, problems);
  const paths = new Map<Op, readonly bigint[]>();
  for (const m of order) paths.set(m, combinationalPaths(m, modules, paths, problems));
  return problems;
}

function checkInstances(m: Op, modules: ReadonlyMap<string, Op>, problems: RtlProblem[]): void {
  const symbols = new Set<string>();
  for (const op of m.body.ops) {
    if (op.name === "rtl.forward")
      problems.push({ op, message: `%${op.result.hint ?? "?"} was declared and never resolved` });
    if (op.name !== "rtl.instance") continue;
    const sym = String(op.attrs["sym"]);
    if (symbols.has(sym)) problems.push({ op, message: `a second instance called "${sym}"` });
    symbols.add(sym);
    const target = modules.get(String(op.attrs["module"]));
    if (target === undefined) {
      problems.push({
        op,
        message: `instance "${sym}" of module "${String(op.attrs["module"])}", which does not exist`,
      });
      continue;
    }
    comparePorts(
      op,
      `instance "${sym}": input`,
      op.operands,
      target.body.args,
      target.attrs["inputs"] as readonly string[],
      problems,
    );
    comparePorts(
      op,
      `instance "${sym}": output`,
      op.results,
      target.body.terminator.operands,
      target.attrs["outputs"] as readonly string[],
      problems,
    );
  }
}

function comparePorts(
  op: Op,
  what: string,
  actual: readonly Value[],
  formal: readonly Value[],
  names: readonly string[],
  problems: RtlProblem[],
): void {
  if (actual.length !== formal.length)
    problems.push({ op, message: `${what}s: ${actual.length} instead of ${formal.length}` });
  formal.forEach((f, i) => {
    const a = actual[i];
    if (a !== undefined && !sameType(a.type, f.type))
      problems.push({
        op,
        message: `${what} "${names[i]}" has type ${showType(a.type)} where the module has ${showType(f.type)}`,
      });
  });
}

/** Modules, those instantiated before those that instantiate them. Reports a module that contains itself. */
function definitionOrder(modules: ReadonlyMap<string, Op>, problems: RtlProblem[]): Op[] {
  const state = new Map<Op, "open" | "done">();
  const order: Op[] = [];
  const visit = (m: Op): void => {
    state.set(m, "open");
    for (const op of m.body.ops) {
      if (op.name !== "rtl.instance") continue;
      const target = modules.get(String(op.attrs["module"]))!;
      if (state.get(target) === "open")
        problems.push({ op, message: `module "${String(target.attrs["sym"])}" contains itself` });
      else if (!state.has(target)) visit(target);
    }
    state.set(m, "done");
    order.push(m);
  };
  for (const m of modules.values()) if (!state.has(m)) visit(m);
  return order;
}

/** Values that a result depends on in the same cycle. */
export function combinationalInputs(
  op: Op,
  result: number,
  instancePaths: (target: string) => readonly bigint[] | undefined,
): readonly Value[] {
  switch (op.name) {
    case "rtl.reg":
      return [];
    case "rtl.memory":
      return op.attrs["read_latency"] === 0 ? [op.operand(3 + result)] : [];
    case "rtl.rom":
      return op.attrs["read_latency"] === 0 ? op.operands : [];
    case "rtl.instance": {
      const mask = instancePaths(String(op.attrs["module"]))?.[result] ?? 0n;
      return mask === 0n ? [] : op.operands.filter((_, i) => ((mask >> BigInt(i)) & 1n) === 1n);
    }
    default:
      return op.operands;
  }
}

/** For each output of `m`, the set of inputs (bit i = input i) that reach it within a cycle. Reports loops. */
function combinationalPaths(
  m: Op,
  modules: ReadonlyMap<string, Op>,
  paths: ReadonlyMap<Op, readonly bigint[]>,
  problems: RtlProblem[],
): readonly bigint[] {
  const reach = new Map<Value, bigint>();
  const open = new Set<Value>();
  const pathsOf = (target: string): readonly bigint[] | undefined => paths.get(modules.get(target)!);
  m.body.args.forEach((a, i) => reach.set(a, 1n << BigInt(i)));

  // An explicit stack: chains of adders are deeper than JavaScript's.
  const follow = (root: Value): void => {
    const stack: { value: Value; inputs: readonly Value[]; next: number; mask: bigint }[] = [];
    const enter = (value: Value): void => {
      open.add(value);
      stack.push({ value, inputs: combinationalInputs(value.def!, value.index, pathsOf), next: 0, mask: 0n });
    };
    if (!reach.has(root)) enter(root);
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const input = top.inputs[top.next];
      if (input === undefined) {
        open.delete(top.value);
        reach.set(top.value, top.mask);
        stack.pop();
        const parent = stack[stack.length - 1];
        if (parent !== undefined) {
          parent.mask |= top.mask;
          parent.next++;
        }
        continue;
      }
      const known = reach.get(input);
      if (known !== undefined) {
        top.mask |= known;
        top.next++;
      } else if (open.has(input)) {
        const cycle = stack.slice(stack.findIndex((f) => f.value === input)).map((f) => nameOf(f.value));
        problems.push({
          op: input.def!,
          message: `combinational loop in module "${String(m.attrs["sym"])}": ${[...cycle, cycle[0]].slice(0, 12).join(" <- ")}`,
        });
        top.next++;
      } else enter(input);
    }
  };
  for (const op of m.body.ops) for (const r of op.results) follow(r);
  return m.body.terminator.operands.map((v) => {
    follow(v);
    return reach.get(v)!;
  });
}

function nameOf(v: Value): string {
  const kind = v.def?.name.replace("rtl.", "") ?? "input";
  return v.hint === undefined ? kind : `${v.hint} (${kind})`;
}
