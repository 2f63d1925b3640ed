/**
 * Automatic mixed precision: the widths per layer with the least hardware (area.ts) that keep an error bound.
 *
 * 1. The widest formats must keep the bound, otherwise it is refused.
 * 2. Sensitivity: each width by itself is lowered, everything else staying wide, and the noise at the outputs is
 * measured in
 *    the fixed-point network. Noises of different layers hardly correlate, so their powers add.
 * 3. With that model a greedy descent takes, bit by bit, what saves most hardware per noise, up to a noise budget; the
 * budget
 *    is found by bisection, every candidate being judged by the real metrics in the real network.
 * 4. Refinement without the model: single bits off, largest saving first, and exchanges of a bit here for a bit there.
 *
 * A candidate is accepted if the upper confidence limit of every metric on the whole calibration part keeps its bound.
 * The result must keep it on validation samples as well; otherwise the search is repeated with stricter bounds. Work is
 * bounded by counting multiply-accumulates, not by a clock: results do not depend on the machine.
 *
 * @source sensitivity and additive noise: Sakr, Kim, Shanbhag: "Analytical guarantees on numerical precision of deep
 * neural
 *   networks", ICML 2017; greedy descent on it: Dong et al., "HAWQ-V2", NeurIPS 2020
 */
import { UserError } from "../../../diagnostics/index.js";
import type { Module } from "../../../ir/core.js";
import { hardwareCost } from "./area.js";
import { limitOf, measure, showBound, type MeasuredError } from "./bounds.js";
import { spread } from "./calibrate.js";
import { macsOf } from "./linear.js";
import { formatPrecision, parsePrecision, type PrecisionSpec } from "./precision.js";
import { NoiseModel } from "./noise-model.js";
import type { SearchOptions, SearchResult, UniformPrecision } from "./search-result.js";
import { SearchSpace, type CostModel, type Widths, type WidthVariable } from "./search-space.js";
import { outputsOf, Trials, type Reference } from "./trial.js";

export type { SearchOptions, SearchResult };

/** Multiply-accumulates of one evaluation on the small set of samples, and of the whole search. */
const EVALUATION_WORK = 1.5e7;
const SEARCH_WORK = 9e9;
/** What an operation costs per element beside its products, in multiply-accumulates. */
const OVERHEAD = 4;
const [LEAST_SAMPLES, MOST_SAMPLES] = [8, 256];

export function searchPrecision(float: Module, options: SearchOptions): SearchResult {
  return new Search(float, options).run();
}

class Search {
  private readonly trials: Trials;
  private readonly all: Reference;
  private readonly few: Reference;
  private readonly validation: Reference;
  private readonly space: SearchSpace;
  private readonly workPerSample: number;
  private readonly noise: NoiseModel;
  private evaluations = 0;
  /** How much worse the upper limit on all samples is than the error on few. */
  private ratio = 1;
  private readonly costs = new Map<string, number>();
  private readonly verdicts = new Map<string, boolean>();
  private base: PrecisionSpec;
  /** What errors are multiplied with before they are held against the bounds. */
  private strictness = 1;

  constructor(
    float: Module,
    private readonly options: SearchOptions,
  ) {
    this.trials = new Trials(float, options.samples, options.quantize, options.weights);
    const elements = (n: number, v: { type: unknown }): number =>
      n + (v.type as { shape: readonly number[] }).shape.reduce((a, d) => a * d, 1);
    this.workPerSample = float.func.body.ops.reduce(
      (n, op) => n + macsOf(op) + OVERHEAD * op.results.reduce(elements, 0),
      0,
    );
    const count = Math.round(EVALUATION_WORK / this.workPerSample);
    this.all = this.trials.reference(spread(options.samples, MOST_SAMPLES));
    this.few = this.trials.reference(spread(this.all.samples, Math.max(LEAST_SAMPLES, Math.min(MOST_SAMPLES, count))));
    this.validation = this.trials.reference(options.validation);
    this.base = options.base;
    const low = { ...options.base, weights: 4, activations: 4 };
    const tensors = [
      ...new Set([options.base, low].flatMap((p) => this.trials.build(p).roundings.map((r) => r.float))),
    ];
    this.space = new SearchSpace(float, tensors, this.trials.stats, options.base);
    this.noise = new NoiseModel(this.space.variables, (widths) => this.noiseOf(widths), options.bounds, this.few);
  }

  run(): SearchResult {
    const { progress } = this.options;
    const ceiling = this.ceiling();
    this.noise.measure(ceiling, (done, total) => progress("sensitivity of each layer", done, total));
    const [base, uniform] = this.uniforms();
    const typical =
      uniform === undefined ? ceiling : this.space.widthsOf(this.trials.plan(parsePrecision(uniform.precision)));
    const cost = this.space.costModel(this.trials.build(this.spec(typical)));
    for (let round = 1; ; round++) {
      const best = this.refine(this.start(ceiling, cost, typical), cost);
      if (round === ROUNDS || this.validation.samples.length === 0) return this.describe(best, cost, base, uniform);
      const excess = this.excess(this.errorsOn(this.validation, best), "point");
      if (excess <= 1) return this.describe(best, cost, base, uniform);
      // Widths that were chosen by the error on some samples do better on these than on others. Half of what is seen
      // (in dB) is chance of the few samples.
      this.strictness *= Math.sqrt(Math.min(excess, 4)) * 1.01;
      this.verdicts.clear();
    }
  }

  private spec(widths: Widths): PrecisionSpec {
    const spec = this.space.spec(widths);
    return this.base.output === undefined ? spec : { ...spec, output: this.base.output };
  }

  /** The widest formats; refuses the bound if they do not keep it. @errors QU010 */
  private ceiling(): Widths {
    const { variables } = this.space;
    const tries: { limits: Readonly<Record<WidthVariable["kind"], number>>; output?: number }[] = [
      { limits: { weights: 16, activations: 18, input: 14 } },
      { limits: { weights: 16, activations: 18, input: 14 }, output: 24 },
      { limits: { weights: 14, activations: 14, input: 14 } },
      { limits: { weights: 12, activations: 12, input: 12 } },
    ];
    let best: { widths: Widths; errors: MeasuredError[]; excess: number; output: number | undefined } | undefined;
    for (const { limits, output } of tries) {
      // The width of outputs is the user's, where it is stated.
      if (output !== undefined && this.options.base.output !== undefined) continue;
      this.base = output === undefined ? this.options.base : { ...this.options.base, output };
      const widths = variables.map((v) => Math.min(v.max, Math.max(v.min, limits[v.kind])));
      if (this.trials.tryBuild(this.spec(widths)) === undefined) continue;
      const errors = this.errorsOn(this.all, widths);
      const excess = this.excess(errors, "upper");
      if (best === undefined || excess < best.excess) best = { widths, errors, excess, output };
      if (excess <= 1) return widths;
      // Narrower formats are only tried where wider ones overflow an accumulator.
      if (output !== undefined || this.options.base.output !== undefined) break;
    }
    if (best === undefined)
      throw UserError.of("QU005", { what: "a layer", reason: "even 12 bits overflow an accumulator" });
    const broken = this.options.bounds
      .map((b, i) => ({ b, over: ratioTo(best.errors[i]!.upper, limitOf(b)), upper: best.errors[i]!.upper }))
      .reduce((x, y) => (y.over > x.over ? y : x));
    throw UserError.of("QU010", {
      bound: `${broken.b.output}:${showBound(broken.b, limitOf(broken.b))}`,
      best: showBound(broken.b, broken.upper * (1 + 1e-3)),
      widest: `weights of ${Math.max(...best.widths.map((w, i) => (variables[i]!.kind === "weights" ? w : 0)))} bits, activations of ${Math.max(...best.widths.map((w, i) => (variables[i]!.kind === "activations" ? w : 0)))}`,
    });
  }

  private errorsOn(set: Reference, widths: Widths): MeasuredError[] {
    this.evaluations++;
    const actual = this.trials.run(this.spec(widths), set);
    return this.options.bounds.map((b) => measure(b, set.expected, actual));
  }

  private noiseOf(widths: Widths): Float64Array[][] {
    this.evaluations++;
    return this.trials.run(this.spec(widths), this.few);
  }

  private costOf(widths: Widths): number {
    const key = widths.join();
    let cost = this.costs.get(key);
    if (cost === undefined) this.costs.set(key, (cost = hardwareCost(this.trials.build(this.spec(widths)).module)));
    return cost;
  }

  /** The worst error relative to its limit. */
  private excess(errors: readonly MeasuredError[], which: keyof MeasuredError): number {
    return this.options.bounds.reduce((m, b, i) => Math.max(m, ratioTo(errors[i]![which], limitOf(b))), 0);
  }

  private feasible(widths: Widths): boolean {
    const key = widths.join();
    const known = this.verdicts.get(key);
    if (known !== undefined) return known;
    let verdict = true;
    const small = this.few.samples.length < this.all.samples.length;
    const onFew = small ? this.strictness * this.excess(this.errorsOn(this.few, widths), "point") : 1;
    if (small && onFew * this.ratio > 1.05) verdict = false;
    else {
      const onAll = this.strictness * this.excess(this.errorsOn(this.all, widths), "upper");
      if (small && onFew > 0) this.ratio = onAll / onFew;
      verdict = onAll <= 1;
    }
    this.verdicts.set(key, verdict);
    return verdict;
  }

  /**
   * The cheapest of several descents, with the noise as measured and with each layer's noise taken for more or less,
   * and of the uniform precision: where many small noises hang together the model says little.
   */
  private start(ceiling: Widths, cost: CostModel, uniform: Widths): Widths {
    const random = normals(1);
    let best = this.costOf(uniform) < this.costOf(ceiling) && this.feasible(uniform) ? uniform : ceiling;
    for (let k = 0; k < STARTS; k++) {
      const trust = ceiling.map(() => (k === 0 ? 1 : Math.exp(SPREAD * random())));
      const widths = this.bisect(ceiling, cost, trust);
      if (this.costOf(widths) < this.costOf(best)) best = widths;
      this.options.progress("search for widths", k + 1, STARTS);
    }
    return best;
  }

  /** The largest noise budget of the model whose widths keep the bounds. */
  private bisect(ceiling: Widths, cost: CostModel, trust: readonly number[]): Widths {
    let [low, high] = [-8, 5];
    let best = ceiling;
    for (let step = 0; step < BISECTION; step++) {
      const middle = (low + high) / 2;
      const widths = this.descend(ceiling, cost, 2 ** middle, trust);
      if (this.feasible(widths)) {
        best = widths;
        low = middle;
      } else high = middle;
    }
    return best;
  }

  /** Bit by bit what saves most per noise, until the model's noise reaches `budget`. */
  private descend(from: Widths, cost: CostModel, budget: number, trust: readonly number[]): Widths {
    const widths = [...from];
    let spent = 0;
    for (;;) {
      let best: { i: number; gain: number; added: number } | undefined;
      widths.forEach((b, i) => {
        if (b <= this.space.variables[i]!.min) return;
        const saved = cost.of(widths, i) - cost.of(widths, i, b - 1);
        const added = Math.max(0, this.noise.at(i, b - 1) - this.noise.at(i, b)) * trust[i]!;
        if (saved <= 0 || spent + added > budget) return;
        const gain = saved / (added + 1e-6 * budget);
        if (best === undefined || gain > best.gain) best = { i, gain, added };
      });
      if (best === undefined) return widths;
      widths[best.i]!--;
      spent += best.added;
    }
  }

  private refine(start: Widths, cost: CostModel): Widths {
    let widths = [...start];
    const { variables } = this.space;
    const budget = Math.max(40 * this.few.samples.length, Math.floor(SEARCH_WORK / this.workPerSample / 2));
    const first = this.trials.evaluated;
    const spent = (): number => this.trials.evaluated - first;
    const report = (): void => this.options.progress("refinement", Math.min(spent(), budget), budget);
    const saving = (i: number): number =>
      widths[i]! <= variables[i]!.min ? 0 : cost.of(widths, i) - cost.of(widths, i, widths[i]! - 1);
    for (let changed = true; changed && spent() < budget; ) {
      changed = false;
      const order = widths
        .map((_, i) => i)
        .filter((i) => widths[i]! > variables[i]!.min)
        .sort((a, b) => saving(b) - saving(a));
      for (const i of order) {
        if (spent() >= budget) break;
        const next = widths.map((b, k) => (k === i ? b - 1 : b));
        if (this.costOf(next) < this.costOf(widths) && this.feasible(next)) {
          widths = next;
          changed = true;
        }
        report();
      }
      if (changed) continue;
      // No single bit can go any more: one more where it is cheap buys one less where it is dear.
      for (const { i, j } of this.exchanges(widths, cost)) {
        if (spent() >= budget) break;
        const next = widths.map((b, k) => (k === i ? b - 1 : k === j ? b + 1 : b));
        report();
        if (this.costOf(next) >= this.costOf(widths) || !this.feasible(next)) continue;
        widths = next;
        changed = true;
        break;
      }
    }
    this.options.progress("refinement", 1, 1);
    return widths;
  }

  /** Pairs (one bit less, one bit more) that save hardware, by the saving per noise that the model expects. */
  private exchanges(widths: Widths, cost: CostModel): { i: number; j: number }[] {
    const total = cost.total(widths);
    const pairs: { i: number; j: number; rank: number }[] = [];
    widths.forEach((b, i) => {
      if (b <= this.space.variables[i]!.min) return;
      const added = this.noise.at(i, b - 1) - this.noise.at(i, b);
      widths.forEach((c, j) => {
        if (i === j || c >= this.space.variables[j]!.max) return;
        const next = widths.map((w, k) => (k === i ? b - 1 : k === j ? c + 1 : w));
        const saved = total - cost.total(next);
        if (saved <= total * 1e-4) return;
        const change = added - (this.noise.at(j, c) - this.noise.at(j, c + 1));
        if (change < 0.1) pairs.push({ i, j, rank: saved / total / (0.02 + Math.max(0, change)) });
      });
    });
    return pairs.sort((a, b) => b.rank - a.rank).slice(0, EXCHANGES);
  }

  private describe(
    widths: Widths,
    cost: CostModel,
    base: UniformPrecision,
    uniform: UniformPrecision | undefined,
  ): SearchResult {
    const precision = this.spec(widths);
    const total = cost.total(widths);
    const noises = widths.map((b, i) => this.noise.at(i, b));
    const noise = noises.reduce((a, n) => a + n, 0);
    const chosen = this.space.variables.map((v, i) => ({
      ...v,
      bits: widths[i]!,
      cost_share: total === 0 ? 0 : cost.of(widths, i) / total,
      noise_share: noise === 0 ? 0 : noises[i]! / noise,
      next_bit: widths[i]! <= v.min ? 0 : Math.max(0, this.noise.at(i, widths[i]! - 1) - noises[i]!),
    }));
    return {
      precision,
      cost: this.costOf(widths),
      chosen,
      errors: this.errorsOn(this.all, widths),
      base,
      uniform,
      evaluations: this.evaluations,
    };
  }

  /** The base precision with `by` bits more everywhere; undefined beyond the limits. */
  private uniform(by: number): UniformPrecision | undefined {
    const { base, bounds } = this.options;
    const precision = { ...base, weights: base.weights + by, activations: base.activations + by };
    if (precision.weights < 2 || precision.activations < 2 || precision.weights > 16 || precision.activations > 18)
      return undefined;
    const built = this.trials.tryBuild(precision);
    if (built === undefined) return undefined;
    this.evaluations++;
    const actual = this.trials.run(precision, this.all);
    const errors = bounds.map((b) => measure(b, this.all.expected, actual));
    const kept =
      this.excess(errors, "upper") <= 1 &&
      (this.validation.samples.length === 0 ||
        this.excess(
          bounds.map((b) => measure(b, this.validation.expected, outputsOf(built.module, this.validation.samples))),
          "point",
        ) <= 1);
    return { precision: formatPrecision(precision), cost: hardwareCost(built.module), kept, errors };
  }

  /** The base precision, and the narrowest one of its kind that keeps the bounds. */
  private uniforms(): [UniformPrecision, UniformPrecision | undefined] {
    const base = this.uniform(0);
    if (base === undefined)
      throw UserError.of("QU005", {
        what: "a layer",
        reason: `${formatPrecision(this.options.base)} overflows an accumulator`,
      });
    return [base, this.narrowest(base)];
  }

  private narrowest(base: UniformPrecision): UniformPrecision | undefined {
    let found = base.kept ? base : undefined;
    for (let by = base.kept ? -1 : 1; ; by += base.kept ? -1 : 1) {
      const next = this.uniform(by);
      if (next === undefined) return found;
      if (base.kept && !next.kept) return found;
      if (next.kept) found = next;
      if (!base.kept && next.kept) return found;
    }
  }
}

const BISECTION = 9;
/** Descents, and how far (in natural logarithms) their view of each layer's noise differs. */
const [STARTS, SPREAD] = [8, 0.6];
/** Searches, each stricter than the one before. */
const ROUNDS = 3;
/** Exchanges that are tried before the search ends. */
const EXCHANGES = 30;

function ratioTo(error: number, limit: number): number {
  return error === 0 ? 0 : limit === 0 ? Infinity : error / limit;
}

/** Normally distributed numbers from a seed (Box and Muller). */
function normals(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return ((state >>> 8) + 1) / (2 ** 24 + 1);
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
