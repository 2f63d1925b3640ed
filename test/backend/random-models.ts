/**
 * Random networks of ONNX operators, from a seed. A network is a program: a list of operators, each with a seed of its
 * own for operands, attributes and weights; so a failing one shrinks by leaving steps out.
 */
import { onnxOperators } from "../../src/frontend/operators/index.js";
import { operatorSchema, tableDomain, newestOpset } from "../../src/frontend/schema/schema.js";
import { count, ModelBuilder } from "./model-builder.js";
import { random } from "./random-nets.js";
import { plainUses } from "./random-operators.js";
import { attentionUses } from "./random-attention.js";
import { controlUses } from "./random-control.js";
import { numberUses } from "./random-numbers.js";
import { fusedUses } from "./random-fused.js";
import { learnedUses } from "./random-learned.js";
import { quantizedUses } from "./random-quantized.js";

const uses = [
  ...plainUses,
  ...quantizedUses,
  ...attentionUses,
  ...fusedUses,
  ...learnedUses,
  ...controlUses,
  ...numberUses,
];

/** Operators that random networks cannot have, and why. */
const WITHOUT_USE: Readonly<Record<string, string>> = {
  DynamicQuantizeLinear: "it computes scales from each sample, and is refused",
};

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
const ATTEMPTS = 5;
/** Beyond this magnitude, results are clipped. */
const MAX_SIZE = 64;

/** Uses that come first in their networks. */
const FIRST = 2;

/** Program of a seed; its first operators go by turns, so that `networkCount` seeds use all that there are. */
export function randomProgram(seed: number): Program {
  const b = new ModelBuilder(random(seed * 65537 + 1));
  const shape = (): number[] =>
    b.pick([
      () => [1, b.int(1, 3), b.int(2, 5), b.int(2, 5)],
      () => [1, b.int(1, 4), b.int(2, 6)],
      () => [1, b.int(2, 10)],
    ])();
  const step = (use: string): Program["steps"][number] => ({ use, seed: b.int(1, 2 ** 30) });
  const first = shape();
  return {
    seed,
    inputs: b.chance(0.3) ? [first, b.chance(0.5) ? first : shape()] : [first],
    steps: [
      ...Array.from({ length: FIRST }, (_, i) => step(uses[(seed + i * networkCount) % uses.length]!.name)),
      ...Array.from({ length: b.int(0, 2) }, () => step(b.pick(uses).name)),
    ],
  };
}

/** The model of a program, without some of its outputs; undefined where none is left. */
export function modelOf(program: Program, without: readonly string[] = []): RandomModel | undefined {
  let current = random(program.seed);
  const b = new ModelBuilder(() => current());
  for (const shape of program.inputs) b.input(shape);
  for (const step of program.steps) {
    // What gets too large, or does not fit, is tried again with other operands.
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      current = random(step.seed + attempt);
      const undo = b.mark();
      const before = b.tensors.length;
      uses.find((u) => u.name === step.use)!.build(b);
      const made = b.tensors.slice(before);
      if (made.some((t) => count(t.shape) > MAX_ELEMENTS || t.shape.length > 6)) undo();
      else
        for (const t of made)
          if (t.size > MAX_SIZE && t.kind === "real" && b.leaves().includes(t))
            b.node("Clip", [t, b.floats([], [-8]), b.floats([], [8])], { size: 8 });
      if (b.tensors.length > before) break;
    }
  }
  current = random(program.seed + 1);
  const outputs = b.leaves();
  // At times a tensor in the middle is an output, too.
  const inner = b.tensors.filter((t) => t.kind === "real" && !outputs.includes(t) && !b.inputs.includes(t));
  if (inner.length > 0 && b.chance(0.2)) outputs.push(b.pick(inner));
  const names = outputs
    .slice(0, 4)
    .map((t) => t.name)
    .filter((name) => !without.includes(name));
  return names.length === 0 ? undefined : { bytes: b.bytes(names), operators: b.operators, text: b.describe() };
}

/**
 * Whether a node may be of this operator in the newest operator sets; nothing else is known of domains without schemas.
 */
function isCurrent(operator: string): boolean {
  const [domain, name] = operator.includes("::") ? (operator.split("::") as [string, string]) : ["", operator];
  const newest = newestOpset(tableDomain(domain));
  const schema = newest === undefined ? undefined : operatorSchema(domain, name, newest);
  return newest === undefined || (schema !== undefined && !schema.deprecated);
}

/** Operators that are supported today, but that no random network uses. */
export function unusedOperators(used: ReadonlySet<string>): string[] {
  return onnxOperators()
    .filter(
      (o) =>
        !used.has(o.opType) &&
        isCurrent(o.opType) &&
        o.limits?.startsWith("refused") !== true &&
        WITHOUT_USE[o.opType] === undefined,
    )
    .map((o) => o.opType);
}
/** As many networks use all operators. */
export const networkCount = Math.ceil(uses.length / FIRST);

/** Leaves out steps and inputs for as long as `fails` says that the rest fails, too. */
export function shrink(program: Program, fails: (p: Program) => boolean): Program {
  let best = program;
  for (let again = true; again; ) {
    again = false;
    const smaller = [
      ...best.steps.map((_, i) => ({ ...best, steps: best.steps.filter((_s, k) => k !== i) })),
      ...(best.inputs.length > 1
        ? best.inputs.map((_, i) => ({ ...best, inputs: best.inputs.filter((_s, k) => k !== i) }))
        : []),
      ...best.inputs.flatMap((s, i) =>
        s.flatMap((n, d) =>
          d > 0 && n > 1
            ? [{ ...best, inputs: best.inputs.map((t, k) => (k === i ? t.map((m, e) => (e === d ? m - 1 : m)) : t)) }]
            : [],
        ),
      ),
    ];
    const next = smaller.find((p) => p.steps.length > 0 && fails(p));
    if (next !== undefined) {
      best = next;
      again = true;
    }
  }
  return best;
}
