/**
 * Random networks of ONNX operators, from a seed. A network is a program: a list of operators, each with a seed of its own for
 * operands, attributes and weights; so a failing one shrinks by leaving steps out.
 */
import { onnxOperators } from "../../src/frontend/operators/index.js";
import { count, ModelBuilder } from "./model-builder.js";
import { random } from "./random-nets.js";
import { plainUses } from "./random-operators.js";
import { quantizedUses } from "./random-quantized.js";

const uses = [...plainUses, ...quantizedUses];

/** Operators without a use here: those that the importer refuses by design. */
const REFUSED = ["DynamicQuantizeLinear"];

export interface Program {
  readonly inputs: readonly (readonly number[])[];
  /** Operator of each step, as its use is called, and the seed of its choices. */
  readonly steps: readonly { readonly use: string; readonly seed: number }[];
  readonly seed: number;
}

export interface RandomModel {
  readonly bytes: Uint8Array;
  readonly operators: readonly string[];
  readonly text: string;
}

/** Tensors beyond this are left out: the rtl is interpreted. */
const MAX_ELEMENTS = 96;
/** Beyond this magnitude, results are clipped. */
const MAX_SIZE = 64;

/** Program of a seed; its first operator goes by turns, so that as many seeds as there are operators use them all. */
export function randomProgram(seed: number): Program {
  const b = new ModelBuilder(random(seed * 65537 + 1));
  const shape = (): number[] => b.pick([() => [1, b.int(1, 3), b.int(2, 5), b.int(2, 5)], () => [1, b.int(1, 4), b.int(2, 6)], () => [1, b.int(2, 10)]])();
  const step = (use: string): Program["steps"][number] => ({ use, seed: b.int(1, 2 ** 30) });
  const first = shape();
  return {
    seed,
    inputs: b.chance(0.3) ? [first, b.chance(0.5) ? first : shape()] : [first],
    steps: [step(uses[seed % uses.length]!.name), ...Array.from({ length: b.int(1, 4) }, () => step(b.pick(uses).name))],
  };
}

/** The model of a program; undefined where all of its steps came to nothing. */
export function modelOf(program: Program): RandomModel | undefined {
  let current = random(program.seed);
  const b = new ModelBuilder(() => current());
  for (const shape of program.inputs) b.input(shape);
  for (const step of program.steps) {
    current = random(step.seed);
    const undo = b.mark();
    const before = b.tensors.length;
    uses.find((u) => u.name === step.use)!.build(b);
    const made = b.tensors.slice(before);
    if (made.some((t) => count(t.shape) > MAX_ELEMENTS || t.shape.length > 6)) undo();
    else for (const t of made) if (t.size > MAX_SIZE && t.kind === "real" && b.leaves().includes(t)) b.node("Clip", [t, b.floats([], [-8]), b.floats([], [8])], { size: 8 });
  }
  current = random(program.seed + 1);
  const outputs = b.leaves();
  if (outputs.length === 0) return undefined;
  // At times a tensor in the middle is an output, too.
  const inner = b.tensors.filter((t) => t.kind === "real" && !outputs.includes(t) && !b.inputs.includes(t));
  if (inner.length > 0 && b.chance(0.2)) outputs.push(b.pick(inner));
  return { bytes: b.bytes(outputs.slice(0, 4).map((t) => t.name)), operators: b.operators, text: b.describe() };
}

/** Operators that are supported, but that no random network uses. */
export function unusedOperators(used: ReadonlySet<string>): string[] {
  return onnxOperators().map((o) => o.opType).filter((o) => !used.has(o) && !REFUSED.includes(o));
}
export const useCount = uses.length;

/** Leaves out steps and inputs for as long as `fails` says that the rest fails, too. */
export function shrink(program: Program, fails: (p: Program) => boolean): Program {
  let best = program;
  for (let again = true; again; ) {
    again = false;
    const smaller = [
      ...best.steps.map((_, i) => ({ ...best, steps: best.steps.filter((_s, k) => k !== i) })),
      ...(best.inputs.length > 1 ? best.inputs.map((_, i) => ({ ...best, inputs: best.inputs.filter((_s, k) => k !== i) })) : []),
      ...best.inputs.flatMap((s, i) => s.flatMap((n, d) => (d > 0 && n > 1 ? [{ ...best, inputs: best.inputs.map((t, k) => (k === i ? t.map((m, e) => (e === d ? m - 1 : m)) : t)) }] : []))),
    ];
    const next = smaller.find((p) => p.steps.length > 0 && fails(p));
    if (next !== undefined) {
      best = next;
      again = true;
    }
  }
  return best;
}
