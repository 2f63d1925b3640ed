/** Interprets a module on seeded inputs, so that the results before and after a bit-exact pass can be compared. */
import type { DenseData } from "../ir/attributes.js";
import { allocate } from "../ir/attributes.js";
import type { Value } from "../ir/core.js";
import { prepareFlow } from "../ir/eval/flow.js";
import { elementCount, rawRange, type FixedType, type StreamType, type TensorType } from "../ir/types.js";
import { levelOf, type Evaluator } from "../passes/pass-manager.js";

/**
 * Outputs as numbers (raw x 2^-frac), so that levels with and without scales compare. Modules that no interpreter takes
 * (rtl, networks half way to fixed point) give undefined.
 */
export const evaluateSeeded: Evaluator = (module, { seed, samples }) => {
  if (levelOf(module) !== "flow") return undefined;
  const random = mulberry32(seed);
  const program = prepareFlow(module);
  const { args, terminator } = module.func.body;
  const names = module.func.attrs["outputs"] as readonly string[];
  const results = new Map<string, number[]>(names.map((n) => [n, []]));
  for (let s = 0; s < samples; s++) {
    const outputs = program.run(args.map((a) => randomRaw(a, random)));
    outputs.forEach((data, i) => {
      const { frac } = (terminator.operand(i).type as StreamType).elem as FixedType;
      for (const raw of data) results.get(names[i]!)!.push(raw * 2 ** -frac);
    });
  }
  return results;
};

function randomRaw(arg: Value, random: () => number): DenseData {
  const type = arg.type as StreamType | TensorType;
  const elem = type.elem as FixedType;
  const { lo, hi } = rawRange(elem);
  const data = allocate(elem, elementCount(type.shape));
  for (let i = 0; i < data.length; i++) data[i] = lo + Math.floor(random() * (hi - lo + 1));
  return data;
}

/** Uniform in [0, 1); small, seeded, and equal on every machine. @source Tommy Ettinger, public domain */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
