/**
 * Refinement of a plan against the network's outputs: the format with the least error of a tensor by itself is not
 * always the one that hurts the result least (a rare large value may decide the answer, or never matter). Each tensor's
 * binary point is tried one step to either side, and what lowers the output error is kept.
 */
import type { Module, Value } from "../../../ir/core.js";
import { prepareNn } from "../../../ir/eval/nn-fixed.js";
import { buildFixed } from "./build.js";
import { spread, type Sample } from "./calibrate.js";
import { roundInputs } from "./inputs.js";
import type { Plan } from "./plan.js";

const SAMPLES = 48;
/** A change must lower the error by this share: less is chance, on so few samples. */
const GAIN = 0.02;

/** Squared output error relative to each output's variance, mean over samples. */
export function outputError(
  fixedModule: Module,
  samples: readonly Sample[],
  expected: readonly (readonly Float64Array[])[],
  scales: readonly number[],
): number {
  const program = prepareNn(fixedModule);
  const ports = fixedModule.func.body.args.map((a) => a.type);
  let sum = 0;
  samples.forEach((sample, s) => {
    const outputs = program.run(roundInputs(sample, ports));
    outputs.forEach((y, o) => {
      let e = 0;
      for (let i = 0; i < y.length; i++) e += (y[i]! - expected[s]![o]![i]!) ** 2;
      sum += (e / y.length) * scales[o]!;
    });
  });
  return sum / samples.length;
}

/**
 * Coordinate descent over the tensors in program order; ends with the budget of evaluations, or when a round changes
 * nothing.
 */
export function refine(
  float: Module,
  plan: Plan,
  samples: readonly Sample[],
  budget: number,
): { before: number; after: number; evaluations: number } {
  const used = spread(samples, SAMPLES);
  const program = prepareNn(float);
  const expected = used.map((s) => program.run(s).map((y) => y.slice()));
  const scales = (expected[0] ?? []).map((_, o) => 1 / (variance(expected.map((e) => e[o]!)) || 1));
  const evaluate = (): number => outputError(buildFixed(float, plan).module, used, expected, scales);
  let best = evaluate();
  const before = best;
  let evaluations = 1;
  const tensors: Value[] = [...new Set(buildFixed(float, plan).roundings.map((r) => r.float))];
  for (let round = 0; round < 3; round++) {
    let changed = false;
    for (const v of tensors) {
      const own = plan.shifts.get(v) ?? 0;
      for (const step of [1, -1]) {
        if (evaluations >= budget) return { before, after: best, evaluations };
        plan.shifts.set(v, own + step);
        const error = evaluate();
        evaluations++;
        if (error < best * (1 - GAIN)) {
          best = error;
          changed = true;
          break;
        }
        plan.shifts.set(v, own);
      }
    }
    if (!changed) break;
  }
  return { before, after: best, evaluations };
}

function variance(arrays: readonly Float64Array[]): number {
  let [n, sum, squares] = [0, 0, 0];
  for (const a of arrays) for (const v of a) [n, sum, squares] = [n + 1, sum + v, squares + v * v];
  return n === 0 ? 0 : squares / n - (sum / n) ** 2;
}
