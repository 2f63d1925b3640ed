/**
 * Widths by one mechanism: every width is a variable, and bits go where they lower the noise at the outputs most for
 * what they cost. The rules (width-rules.ts) say only how much noise there may be, or how much hardware.
 *
 * 1. The noise that each width alone causes at the outputs is measured (noise-model.ts), in units of the noise that the
 *    rules leave at each output.
 * 2. From wide formats on, bit by bit what saves most hardware (area.ts) for its noise is taken off, until the sum of
 *    the noises reaches a limit.
 * 3. The limit is found by bisection: each candidate is measured in the fixed-point network.
 *
 * The search of `--max-error` (search.ts) begins in the same way and refines what it finds by hundreds of trials.
 *
 * @source equal slopes of noise over cost: Shoham, Gersho: "Efficient bit allocation for an arbitrary set of
 *   quantizers", IEEE Trans. ASSP 36 (1988); noise at the outputs as the budget: Sakr, Kim, Shanbhag: "Analytical
 *   guarantees on numerical precision of deep neural networks", ICML 2017
 */
import type { Module } from "../../../ir/core.js";
import { elementCount } from "../../../ir/types.js";
import { hardwareCost } from "./area.js";
import type { OutputBound } from "./bounds.js";
import { spread, type Sample } from "./calibrate.js";
import { macsOf } from "./linear.js";
import { NoiseModel } from "./noise-model.js";
import type { PrecisionSpec } from "./precision.js";
import type { WeightOptions } from "./quantizer.js";
import { SearchSpace, type CostModel, type Widths } from "./search-space.js";
import { outputsOf, Trials, type Reference } from "./trial.js";
import type { QuantizeOptions } from "./width-facts.js";
import { shapeOf } from "../../../ir/nn/values.js";

export interface BudgetOptions {
  readonly samples: readonly Sample[];
  /** What rules are given; what it states for single layers stays. */
  readonly base: PrecisionSpec;
  readonly quantize: Omit<QuantizeOptions, "precision">;
  readonly weights: WeightOptions;
  readonly progress: (phase: string, done: number, total: number) => void;
}

/** `noise`: no more of it at any output than by rules, at least cost; `cost`: the least noise at no more cost. */
export type Keep = "noise" | "cost";

export interface Allocation {
  /** States every width that was allocated; what was given where none is better than by rules. */
  readonly precision: PrecisionSpec;
  /** One-bit cells per sample (area.ts). */
  readonly cost: number;
  readonly rulesCost: number;
  /** Noise power at the worst output over that by rules, on the samples. */
  readonly noise: number;
}

/** Multiply-accumulates (and elementwise steps) of one evaluation for the model, and of one that judges a candidate. */
const [MODEL_WORK, JUDGING_WORK] = [1.5e7, 1e8];
const [LEAST_SAMPLES, MODEL_SAMPLES, MOST_SAMPLES] = [8, 16, 64];
/** Steps of an element beside its products. */
const OVERHEAD = 4;
/** Bits on top of those by rules from which bits are taken off. */
const WIDE = 4;
const BISECTION = 9;
/** Limits of the predicted noise, over that by rules, as powers of 2. */
const [LOWEST, HIGHEST] = [-8, 5];
/** Noise over the signal, in power, that does not count where rules leave less. */
const NEGLIGIBLE = 1e-9;

interface Candidate {
  readonly widths: Widths;
  readonly cost: number;
  readonly noise: number;
}

/** Allocates the widths of one network, the module that quantization starts from. */
export class WidthBudget {
  private readonly trials: Trials;
  private readonly judging: Reference;
  private readonly space: SearchSpace;
  private readonly model: NoiseModel;
  private readonly rules: Candidate;
  /** Noise power of each output by rules. */
  private readonly allowed: readonly number[];
  private readonly cost: CostModel;
  private wide: Widths | "too wide" | undefined;

  constructor(
    float: Module,
    private readonly options: BudgetOptions,
  ) {
    this.trials = new Trials(float, options.samples, options.quantize, options.weights);
    const work = float.func.body.ops.reduce(
      (n, op) => n + macsOf(op) + OVERHEAD * op.results.reduce((e, v) => e + elementCount(shapeOf(v)), 0),
      1,
    );
    const some = (total: number, most: number): Reference => {
      const count = Math.max(LEAST_SAMPLES, Math.min(most, Math.round(total / work)));
      return this.trials.reference(spread(options.samples, count));
    };
    this.judging = some(JUDGING_WORK, MOST_SAMPLES);
    const built = this.trials.build(options.base);
    const tensors = new Set([
      ...built.roundings.map((r) => r.float),
      ...float.func.body.ops.filter((op) => op.name === "nn.concat").map((op) => op.result),
    ]);
    this.space = new SearchSpace(float, [...tensors], this.trials.stats, options.base, true);
    this.cost = this.space.costModel(built);
    const powers = powersOf(this.judging, outputsOf(built.module, this.judging.samples));
    this.allowed = powers.map(({ signal, noise }) => Math.max(noise, NEGLIGIBLE * signal, Number.MIN_VALUE));
    const widths = this.space.widthsOf(this.trials.plan(options.base));
    this.rules = { widths, cost: hardwareCost(built.module), noise: 1 };
    const names = float.func.attrs["outputs"] as readonly string[];
    const bounds = powers.map(
      ({ signal }, index): OutputBound => ({
        output: names[index] ?? String(index),
        index,
        metric: "sqnr",
        value: 10 * Math.log10((signal || 1) / (this.allowed[index] ?? 1)),
      }),
    );
    const few = some(MODEL_WORK, MODEL_SAMPLES);
    this.model = new NoiseModel(this.space.variables, (w) => this.trials.run(this.space.spec(w), few), bounds, few);
  }

  allocate(keep: Keep): Allocation {
    this.wide ??= this.measured();
    const best = this.wide === "too wide" ? this.rules : this.bisect(this.wide, keep);
    return {
      precision: best === this.rules ? this.options.base : this.space.spec(best.widths),
      cost: best.cost,
      rulesCost: this.rules.cost,
      noise: best.noise,
    };
  }

  /** Fills the model; the widths from which bits are taken off. */
  private measured(): Widths | "too wide" {
    const { variables } = this.space;
    const wide = variables.map((v, i) => Math.min(v.max, (this.rules.widths[i] ?? v.min) + WIDE));
    if (this.trials.tryBuild(this.space.spec(wide)) === undefined) return "too wide";
    this.model.measure(wide, (done, total) => this.options.progress("noise of each width", done, total));
    return wide;
  }

  /** The best candidate on the way to the limit at which noise, or cost, is that by rules. */
  private bisect(wide: Widths, keep: Keep): Candidate {
    let best = this.rules;
    let [low, high] = [LOWEST, HIGHEST];
    for (let step = 0; step < BISECTION; step++) {
      const limit = (low + high) / 2;
      const found = this.candidate(this.descend(wide, 2 ** limit));
      const kept = found !== undefined && (keep === "noise" ? found.noise <= 1 : found.cost <= this.rules.cost);
      // A higher limit is more noise and less hardware.
      if (kept === (keep === "noise")) low = limit;
      else high = limit;
      if (kept && (keep === "noise" ? found.cost < best.cost : found.noise < best.noise)) best = found;
    }
    return best;
  }

  private candidate(widths: Widths): Candidate | undefined {
    const built = this.trials.tryBuild(this.space.spec(widths));
    if (built === undefined) return undefined;
    const powers = powersOf(this.judging, outputsOf(built.module, this.judging.samples));
    const noise = powers.reduce((worst, p, o) => Math.max(worst, p.noise / (this.allowed[o] ?? 1)), 0);
    return { widths, cost: hardwareCost(built.module), noise };
  }

  /** Bits taken off one by one, what saves most for its noise first, until the predicted noise reaches `limit`. */
  private descend(wide: Widths, limit: number): Widths {
    const { variables } = this.space;
    const widths = [...wide];
    let spent = 0;
    for (;;) {
      let best: { i: number; gain: number; added: number } | undefined;
      for (const [i, v] of variables.entries()) {
        const bits = widths[i] ?? v.min;
        if (bits <= v.min) continue;
        const saved = this.cost.of(widths, i) - this.cost.of(widths, i, bits - 1);
        const added = Math.max(0, this.model.at(i, bits - 1) - this.model.at(i, bits));
        if (saved <= 0 || spent + added > limit) continue;
        const gain = saved / (added + 1e-6 * limit);
        if (best === undefined || gain > best.gain) best = { i, gain, added };
      }
      if (best === undefined) return widths;
      widths[best.i] = (widths[best.i] ?? 0) - 1;
      spent += best.added;
    }
  }
}

/** Power of each output, and of its error, over all samples. */
function powersOf(
  { expected }: Reference,
  actual: readonly (readonly Float64Array[])[],
): { signal: number; noise: number }[] {
  const sums = (expected[0] ?? []).map(() => ({ signal: 0, noise: 0 }));
  expected.forEach((outputs, s) => {
    outputs.forEach((y, o) => {
      const [sum, got] = [sums[o], actual[s]?.[o]];
      if (sum === undefined || got === undefined) return;
      for (const [k, value] of y.entries()) {
        sum.signal += value ** 2;
        sum.noise += ((got[k] ?? 0) - value) ** 2;
      }
    });
  });
  return sums;
}
