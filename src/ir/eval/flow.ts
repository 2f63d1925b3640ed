/**
 * Reference interpreter of flow: runs every kernel over its whole iteration space, schedule ignored, because values
 * cannot depend on it. It is also the fast bit-exact model behind `onnx-hls run`, so each kernel is compiled to one
 * JavaScript loop nest with hoisted addresses.
 */
import type { AffineExpr } from "../affine.js";
import { affineRange } from "../affine.js";
import { allocate, type DenseData } from "../attributes.js";
import type { Module, Op, Value } from "../core.js";
import { denseAttr } from "../define-op.js";
import { readSparsify, sparsifier } from "../sparse.js";
import { descend, readEnsemble } from "../trees.js";
import {
  isFeatureIterator,
  linearAccess,
  linearResult,
  readKernel,
  type Iterator,
  type KernelSpec,
} from "../flow/kernel.js";
import { elementCount, isWide, NUMBER_WIDTH, wideRange, type FixedType, type StreamType } from "../types.js";
import { Bindings, emitBody, isInt32, runtimeHelpers, stored } from "./fx-js.js";

/** Takes and returns raw integers, one array per input and output of the function, for one sample. */
export interface FlowProgram {
  run(inputs: readonly DenseData[]): DenseData[];
  /** Called with every kernel's result, for comparisons layer by layer; of more than 53 bits only approximated. */
  observe: ((kernel: Op, data: DenseData) => void) | undefined;
}

/** Raw integers of a channel: those of more than 53 bits are bigints. */
type ChannelData = DenseData | bigint[];

type KernelFunction = (inputs: readonly ChannelData[], out: ChannelData) => void;

/** Compiles a flow module; buffers are allocated once and overwritten by each `run`. */
export function prepareFlow(module: Module): FlowProgram {
  const func = module.func;
  const buffers = new Map<Value, ChannelData>();
  const steps: { op: Op; fn: KernelFunction; inputs: Value[]; out: ChannelData }[] = [];
  for (const op of func.body.ops) {
    switch (op.name) {
      case "flow.constant":
        buffers.set(op.result, denseAttr(op, "value").data);
        break;
      case "flow.channel":
        break;
      case "flow.kernel": {
        const t = op.result.type as StreamType;
        const out =
          t.elem.kind === "fixed" && isWide(t.elem)
            ? new Array<bigint>(elementCount(t.shape)).fill(0n)
            : allocate(t.elem, elementCount(t.shape));
        buffers.set(op.result, out);
        steps.push({ op, fn: compileKernel(op), inputs: op.operands.map(source), out });
        break;
      }
      case "flow.sparsify": {
        const run = sparsifier(readSparsify(op));
        const [payload, origin, count] = op.results.map((v) => {
          const t = v.type as StreamType;
          const data = allocate(t.elem, elementCount(t.shape));
          buffers.set(v, data);
          return data;
        });
        const fn: KernelFunction = ([where, x]) =>
          run({
            where: where as DenseData,
            x: x as DenseData,
            payload: payload!,
            origin: origin!,
            count: count!,
          });
        steps.push({ op, fn, inputs: op.operands.map(source), out: payload! });
        break;
      }
      case "return":
        break;
      default:
        throw new Error(`flow interpreter: unexpected ${op.name}`);
    }
  }
  const results = func.body.terminator.operands.map(source);
  const program: FlowProgram = {
    observe: undefined,
    run(inputs) {
      func.body.args.forEach((a, i) => buffers.set(a, inputs[i]!));
      for (const s of steps) {
        s.fn(
          s.inputs.map((v) => buffers.get(v)!),
          s.out,
        );
        program.observe?.(s.op, Array.isArray(s.out) ? Float64Array.from(s.out, Number) : s.out);
      }
      return results.map((v) => (buffers.get(v) as DenseData).slice());
    },
  };
  return program;
}

/** The value behind the channels. */
export function source(v: Value): Value {
  while (v.def?.name === "flow.channel") v = v.def.operand(0);
  return v;
}

function compileKernel(op: Op): KernelFunction {
  const bindings = new Bindings();
  const text = kernelSource(op, readKernel(op), bindings);
  const helperNames = Object.keys(runtimeHelpers);
  const make = new Function(...helperNames, ...bindings.names, `"use strict"; return ${text};`);
  return make(...helperNames.map((n) => runtimeHelpers[n]), ...bindings.values) as KernelFunction;
}

/** Points of the innermost reductions that are written out, at most. */
const MAX_INLINED = 16;

/** All points of some iterators, as values by iterator index. */
function pointsOf(iterators: readonly Iterator[], spec: KernelSpec): Map<number, number>[] {
  return iterators.reduce<Map<number, number>[]>(
    (points, it) =>
      points.flatMap((p) => Array.from({ length: it.extent }, (_, v) => new Map(p).set(spec.iterators.indexOf(it), v))),
    [new Map()],
  );
}

/**
 * A function that gives a leaf's value, from the features at an address, for a tree and an output; and where the
 * output's number comes from.
 */
function treeOf(spec: KernelSpec, bindings: Bindings): { name: string; column: AffineExpr } {
  const e = readEnsemble(spec.trees!);
  const access = linearAccess(spec.operands[0]!);
  const offsets = pointsOf(
    spec.iterators.filter((_, i) => isFeatureIterator(spec, i)),
    spec,
  ).map((p) => [...p].reduce((a, [i, v]) => a + v * access.coeffs[i]!, 0));
  const [features, target] = [spec.operands[0]!.map.results.at(-1)!, new Array<number>(offsets.length)];
  pointsOf(
    spec.iterators.filter((_, i) => isFeatureIterator(spec, i)),
    spec,
  ).forEach(
    (p, k) => (target[[...p].reduce((a, [i, v]) => a + v * features.coeffs[i]!, features.offset)] = offsets[k]!),
  );
  const feature = Int32Array.from(e.feature, (f) => target[f]!);
  const moved = { ...e, feature };
  return {
    name: bindings.add(
      (x: ArrayLike<number>, at: number, tree: number, column: number) =>
        e.values[descend(moved, e.roots[tree]!, x, at) * e.outputs + column],
    ),
    column: spec.operands[1]!.map.results[0]!,
  };
}

/** What operand `i` is outside its view, as a literal of its store. */
function padOf(spec: KernelSpec, i: number): string {
  const { value, view } = spec.operands[i]!;
  return isWide((value.type as StreamType).elem as FixedType) ? `${BigInt(view.pad)}n` : `${view.pad}`;
}

/** JavaScript of one kernel: parallel loops, reduction loops inside, epilogue. */
function kernelSource(op: Op, spec: KernelSpec, bindings: Bindings): string {
  const parallel = spec.iterators.filter((i) => i.kind === "parallel");
  const reduction = spec.iterators.filter((it, i) => it.kind === "reduction" && !isFeatureIterator(spec, i));
  // The innermost reduction loops, kernel windows mostly, are written out: loops of three trips cost more than their
  // bodies.
  const inlined: Iterator[] = [];
  for (let i = reduction.length - 1, points = 1; i >= 0 && (points *= reduction[i]!.extent) <= MAX_INLINED; i--)
    inlined.unshift(reduction[i]!);
  const looped = reduction.slice(0, reduction.length - inlined.length);
  const loops = [...parallel, ...looped];
  const lines: string[] = ["function kernel(inputs, out) {"];
  spec.operands.forEach((_, i) => lines.push(`const x${i} = inputs[${i}];`));

  // An address or an index is built up level by level: level k adds the term of loop k.
  const sums: { name: string; expr: AffineExpr; start: number }[] = [];
  const sum = (name: string, expr: AffineExpr): void => void sums.push({ name, expr, start: expr.offset });
  sum("ao", linearResult(spec));
  const tree = spec.trees === undefined ? undefined : treeOf(spec, bindings);
  if (tree !== undefined) sum("column", tree.column);
  const guards: string[][] = spec.operands.map((o, i) => {
    sum(`a${i}`, linearAccess(o));
    const checks: string[] = [];
    o.map.results.forEach((r, d) => {
      const reach = affineRange(
        r,
        spec.iterators.map((it) => it.extent),
      );
      if (reach.lo >= 0 && reach.hi < o.view.shape[d]!) return;
      sum(`d${i}_${d}`, r);
      checks.push(`d${i}_${d}$ >= 0 && d${i}_${d}$ < ${o.view.shape[d]}`);
    });
    return checks;
  });
  const at = (name: string, level: number): string => `${name}_${level}`;
  for (const s of sums) lines.push(`const ${at(s.name, 0)} = ${s.start};`);
  const open = (loop: Iterator, level: number): void => {
    const i = spec.iterators.indexOf(loop);
    lines.push(`for (let i${level} = 0; i${level} < ${loop.extent}; i${level}++) {`);
    for (const s of sums) {
      const c = s.expr.coeffs[i]!;
      const prev = at(s.name, level - 1);
      lines.push(
        `const ${at(s.name, level)} = ${c === 0 ? prev : `(${prev} + ${c === 1 ? "" : `${c} * `}i${level}) | 0`};`,
      );
    }
  };
  /** `name` at `level`, moved on by the inlined iterators' values `point` (by iterator index). */
  const moved = (name: string, level: number, point: ReadonlyMap<number, number>): string => {
    const { expr } = sums.find((s) => s.name === name)!;
    const offset = [...point].reduce((o, [i, v]) => o + expr.coeffs[i]! * v, 0);
    return offset === 0 ? at(name, level) : `(${at(name, level)} + ${offset})`;
  };
  const read = (i: number, level: number, point: ReadonlyMap<number, number>): string => {
    const element = `x${i}[${moved(`a${i}`, level, point)}]`;
    if (guards[i]!.length === 0) return element;
    const test = guards[i]!.map((g) => g.replace(/(\w+)\$/g, (_, name: string) => moved(name, level, point))).join(
      " && ",
    );
    return `(${test} ? ${element} : ${padOf(spec, i)})`;
  };
  const nowhere: ReadonlyMap<number, number> = new Map();
  const phaseReads = (phase: "body" | "epilogue", level: number, point = nowhere): string[] =>
    spec.operands.flatMap((o, i) => (o.phase === phase ? [read(i, level, point)] : []));

  parallel.forEach((p, k) => open(p, k + 1));
  const inner = loops.length;
  const outer = parallel.length;
  const bindReads = (names: readonly string[], prefix: string): string[] => {
    names.forEach((n, i) => lines.push(`const ${prefix}${i} = ${n};`));
    return names.map((_, i) => `${prefix}${i}`);
  };
  const int = isInt32(spec.accType);
  const wide = isWide(spec.accType);
  const term = op.regions[0]!.terminator.operand(0).type as FixedType;
  // Terms are added up as numbers as long as their sum is one, and only then to the bigint.
  const spill = wide && spec.combiner === "add" && !isWide(term) ? 2 ** (NUMBER_WIDTH - term.width) : 1;
  if (spec.combiner === "none") {
    const { statements, result } = emitBody(op.regions[0]!, bindReads(phaseReads("body", outer), "b"), bindings, "t");
    lines.push(...statements, `const acc = ${stored(result, term, spec.accType)};`);
  } else {
    const range = wideRange(spec.accType);
    const identity = spec.combiner === "add" ? 0n : spec.combiner === "max" ? range.lo : range.hi;
    lines.push(`let acc = ${identity}${wide ? "n" : ""};`);
    if (spill > 1) lines.push("let part = 0, parts = 0;");
    looped.forEach((r, k) => open(r, outer + k + 1));
    for (const point of pointsOf(inlined, spec)) {
      lines.push("{");
      let result: string;
      if (tree !== undefined)
        result = `${tree.name}(x0, ${moved("a0", inner, point)}, ${read(1, inner, point)}, ${moved("column", inner, point)})`;
      else {
        const body = emitBody(op.regions[0]!, bindReads(phaseReads("body", inner, point), "b"), bindings, "t");
        result = body.result;
        lines.push(...body.statements);
      }
      if (spill > 1)
        lines.push(`part += ${result}; if (++parts === ${spill}) { acc += BigInt(part); part = parts = 0; }`);
      else if (spec.combiner === "add")
        lines.push(int ? `acc = (acc + ${result}) | 0;` : `acc += ${stored(result, term, spec.accType)};`);
      else
        lines.push(
          `if (${result} ${spec.combiner === "max" ? ">" : "<"} acc) acc = ${stored(result, term, spec.accType)};`,
        );
      lines.push("}");
    }
    looped.forEach(() => lines.push("}"));
    if (spill > 1) lines.push("acc += BigInt(part);");
  }
  const { statements, result } = emitBody(
    op.regions[1]!,
    ["acc", ...bindReads(phaseReads("epilogue", outer), "e")],
    bindings,
    "u",
  );
  lines.push(...statements, `out[${at("ao", outer)}] = ${result};`);
  parallel.forEach(() => lines.push("}"));
  lines.push("}");
  return lines.join("\n");
}
