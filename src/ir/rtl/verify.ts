/**
 * Checks on whole rtl programs that the record of a single operation cannot make: instances fit their modules, the
 * hierarchy is a tree of definitions, and no combinational path closes on itself, through instances included. Two
 * drivers of one signal cannot be written down: a value has one definition.
 */
import type { Module, Op, Value } from "../core.js";
import { stringsAttr, strAttr } from "../define-op.js";
import { sameType, showType } from "../types.js";
import { present } from "../present.js";
import { FORWARD, isRtl, rtlModules } from "./index.js";
import { combinationalInputs } from "./timing.js";

export interface RtlProblem {
  readonly op: Op;
  /** Without a full stop. */
  readonly message: string;
}

/** All that is wrong with the rtl modules of `module`; operations must verify one by one. Does not change it. */
export function verifyRtl(module: Module): RtlProblem[] {
  const problems: RtlProblem[] = [];
  const modules = new Map<string, Op>();
  for (const op of rtlModules(module)) modules.set(strAttr(op, "sym"), op);
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
    if (op.name === FORWARD)
      problems.push({ op, message: `%${op.result.hint ?? "?"} was declared and never resolved` });
    if (!isRtl(op, "rtl.instance")) continue;
    const sym = strAttr(op, "sym");
    if (symbols.has(sym)) problems.push({ op, message: `a second instance called "${sym}"` });
    symbols.add(sym);
    const target = modules.get(strAttr(op, "module"));
    if (target === undefined) {
      problems.push({
        op,
        message: `instance "${sym}" of module "${strAttr(op, "module")}", which does not exist`,
      });
      continue;
    }
    comparePorts(
      op,
      `instance "${sym}": input`,
      op.operands,
      target.body.args,
      stringsAttr(target, "inputs"),
      problems,
    );
    comparePorts(
      op,
      `instance "${sym}": output`,
      op.results,
      target.body.terminator.operands,
      stringsAttr(target, "outputs"),
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
      if (!isRtl(op, "rtl.instance")) continue;
      const target = present(modules.get(strAttr(op, "module")), "the module of an instance");
      if (state.get(target) === "open")
        problems.push({ op, message: `module "${strAttr(target, "sym")}" contains itself` });
      else if (!state.has(target)) visit(target);
    }
    state.set(m, "done");
    order.push(m);
  };
  for (const m of modules.values()) if (!state.has(m)) visit(m);
  return order;
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
  const pathsOf = (target: string): readonly bigint[] | undefined =>
    paths.get(present(modules.get(target), "the module of an instance"));
  m.body.args.forEach((a, i) => reach.set(a, 1n << BigInt(i)));

  // An explicit stack: chains of adders are deeper than JavaScript's.
  const follow = (root: Value): void => {
    const stack: { value: Value; inputs: readonly Value[]; next: number; mask: bigint }[] = [];
    const enter = (value: Value): void => {
      open.add(value);
      stack.push({ value, inputs: combinationalInputs(definition(value), value.index, pathsOf), next: 0, mask: 0n });
    };
    if (!reach.has(root)) enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const input = top.inputs[top.next];
      if (input === undefined) {
        open.delete(top.value);
        reach.set(top.value, top.mask);
        stack.pop();
        const parent = stack.at(-1);
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
          op: definition(input),
          message: `combinational loop in module "${strAttr(m, "sym")}": ${[...cycle, cycle[0]].slice(0, 12).join(" <- ")}`,
        });
        top.next++;
      } else enter(input);
    }
  };
  for (const op of m.body.ops) for (const r of op.results) follow(r);
  return m.body.terminator.operands.map((v) => {
    follow(v);
    return present(reach.get(v), "what an output depends on");
  });
}

/** What defines a value that is no input. */
function definition(v: Value): Op {
  return present(v.def, "the operation of a value");
}

function nameOf(v: Value): string {
  const kind = v.def?.name.replace("rtl.", "") ?? "input";
  return v.hint === undefined ? kind : `${v.hint} (${kind})`;
}
