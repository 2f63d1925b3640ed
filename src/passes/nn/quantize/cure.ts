/**
 * Widths for a network that the usual ones do not do for: more bits where the noise at the outputs comes from, and
 * there where they cost least. The search of `--max-error` goes down from wide formats and is thorough; this one goes
 * up from the usual widths, in a few measurements.
 *
 * 1. What each layer's own noise does to the outputs is measured in the float network (layer-noise.ts), by cause:
 * rounding and
 *    saturation are the tensor's, the rest is its weights' or its table's.
 * 2. A bit is worth a factor of 4 in power. Bit by bit goes where it takes most noise per hardware (area.ts), until the
 * sum
 *    is below what is allowed.
 * 3. The network with these widths is measured, and the model scaled to what is seen, until the bounds are kept on the
 * samples
 *    of the search and on others.
 */
import type { Module, Op, Value } from "../../../ir/core.js";
import { measureNoise, type MeasuredLayer } from "../layer-noise.js";
import { limitOf, measure } from "./bounds.js";
import { spread } from "./calibrate.js";
import { macsOf } from "./linear.js";
import type { LayerPrecision, PrecisionSpec } from "./precision.js";
import type { SearchOptions } from "./search.js";
import { SearchSpace, type CostModel, type Widths, type WidthKind } from "./search-space.js";
import { outputsOf, Trials, type Reference } from "./trial.js";

export interface RaisedWidth {
  /** ONNX node or tensor. */
  readonly name: string;
  readonly kind: WidthKind;
  readonly from: number;
  readonly to: number;
}

export interface Cure {
  readonly precision: PrecisionSpec;
  readonly raised: readonly RaisedWidth[];
  /** Whether the bounds are kept on the samples of the search. */
  readonly kept: boolean;
}

/** Multiply-accumulates (and elementwise steps) of one evaluation, and of telling what a layer does to the outputs. */
const EVALUATION_WORK = 5e7;
const INJECTION_WORK = 3e8;
const [LEAST_SAMPLES, MOST_SAMPLES] = [8, 256];
/** Steps of an element beside its products. */
const OVERHEAD = 4;
const ROUNDS = 8;
/** Rounds after which layers are measured again, with the widths that they have by then. */
const AGAIN = new Set([3, 6]);
/** Part of the noise that is allowed which the model aims at: other samples are somewhat worse. */
const AIM = 0.5;

/** Part of the noise that widths must be able to lower. */
const USEFUL = 0.1;

/**
 * Wider formats for `float`, the module that quantization starts from. Undefined where no width would change anything.
 */
export function cure(float: Module, options: SearchOptions): Cure | undefined {
  return new Raising(float, options).run();
}

class Raising {
  private readonly trials: Trials;
  private readonly all: Reference;
  private readonly validation: Reference;
  private readonly space: SearchSpace;
  private readonly base: Widths;
  private readonly injected: number;
  /** Most bits of tensors, and of weights; the first counts, the others take its place where accumulators overflow. */
  private caps: readonly Readonly<Record<WidthKind, number>>[] = [
    { activations: 24, weights: 16, input: 14 },
    { activations: 18, weights: 16, input: 14 },
    { activations: 16, weights: 12, input: 14 },
  ];

  constructor(
    private readonly float: Module,
    private readonly options: SearchOptions,
  ) {
    this.trials = new Trials(float, options.samples, options.quantize, options.weights);
    const elements = (n: number, v: Value): number =>
      n + (v.type as { shape: readonly number[] }).shape.reduce((a, d) => a * d, 1);
    const work = float.func.body.ops.reduce((n, op) => n + macsOf(op) + OVERHEAD * op.results.reduce(elements, 0), 1);
    const count = Math.max(LEAST_SAMPLES, Math.min(MOST_SAMPLES, Math.round(EVALUATION_WORK / work)));
    this.all = this.trials.reference(spread(options.samples, count));
    this.validation = this.trials.reference(spread(options.validation, count));
    const built = this.trials.build(options.base);
    this.injected = Math.floor(
      Math.min(MOST_SAMPLES / 8, INJECTION_WORK / (work * Math.max(1, built.roundings.length))),
    );
    const tensors = new Set([
      ...built.roundings.map((r) => r.float),
      ...float.func.body.ops.filter((op) => op.name === "nn.concat").map((op) => op.result),
    ]);
    this.space = new SearchSpace(float, [...tensors], this.trials.stats, options.base, true);
    this.base = this.space.widthsOf(this.trials.plan(options.base));
  }

  run(): Cure | undefined {
    const { progress } = this.options;
    let widths = this.base;
    let excess = this.excess(this.all, widths);
    let model = this.noise(widths);
    const cost = this.space.costModel(this.trials.build(this.options.base));
    for (let round = 1; round <= ROUNDS; round++) {
      progress("more bits where noise comes from", round, ROUNDS);
      if (AGAIN.has(round)) model = this.noise(widths);
      const next = this.raise(widths, model, excess, cost);
      if (next === undefined) break;
      const seen = this.excess(this.all, next);
      // Sums of products became too wide for exact arithmetic: the same again within narrower limits.
      if (seen === Infinity && this.caps.length > 1) {
        this.caps = this.caps.slice(1);
        continue;
      }
      if (seen === Infinity) break;
      model = model.map((n, i) => n / 4 ** (next[i]! - widths[i]!));
      [widths, excess] = [next, seen];
      if (excess > 1) continue;
      excess = this.validation.samples.length === 0 ? excess : this.excess(this.validation, widths);
      if (excess > 1) continue;
      const less = this.lower(widths, model, excess, cost);
      if (less !== undefined && this.worst(less) <= 1) widths = less;
      break;
    }
    const raised = this.space.variables.flatMap((v, i): RaisedWidth[] =>
      widths[i]! > this.base[i]! ? [{ name: v.name, kind: v.kind, from: this.base[i]!, to: widths[i]! }] : [],
    );
    return raised.length === 0 ? undefined : { precision: this.spec(widths), raised, kept: excess <= 1 };
  }

  /** States what is not as it would be anyway. */
  private spec(widths: Widths): PrecisionSpec {
    const layers = new Map<string, LayerPrecision>(this.options.base.layers);
    this.space.variables.forEach((v, i) => {
      if (widths[i]! !== this.base[i]!) layers.set(v.name, { ...layers.get(v.name), [v.kind]: widths[i]! });
    });
    return { ...this.options.base, layers };
  }

  /**
   * Noise at the outputs over what is allowed, in power: of the worst bound. Infinite where the widths cannot be built.
   */
  private excess(on: Reference, widths: Widths): number {
    const built = this.trials.tryBuild(this.spec(widths));
    if (built === undefined) return Infinity;
    const actual = outputsOf(built.module, on.samples);
    return this.options.bounds.reduce((worst, b) => {
      const e = measure(b, on.expected, actual);
      // Of a few samples the size of errors is known well; how often a choice changes is not, and is taken as it is
      // seen.
      const error = b.metric === "argmax" || on.samples.length < LEAST_SAMPLES ? e.point : e.upper;
      const limit = limitOf(b);
      return Math.max(worst, error === 0 ? 0 : limit === 0 ? Infinity : (error / limit) ** 2);
    }, 0);
  }

  private worst(widths: Widths): number {
    return Math.max(
      this.excess(this.all, widths),
      this.validation.samples.length === 0 ? 0 : this.excess(this.validation, widths),
    );
  }

  /** What each width contributes to the noise at the outputs, up to a common factor. */
  private noise(widths: Widths): number[] {
    const noise = this.space.variables.map(() => 0);
    if (this.injected === 0) return noise.map(() => 1);
    const built = this.trials.build(this.spec(widths));
    // Half of them samples that have not chosen formats: values beyond a format show there only.
    const count = Math.max(LEAST_SAMPLES, this.injected);
    const others = spread(this.options.validation, Math.ceil(count / 2));
    const own = spread(this.options.samples, count - others.length);
    const samples = Array.from({ length: Math.max(own.length, others.length) }, (_, i) => [others[i], own[i]])
      .flat()
      .filter((s) => s !== undefined);
    const pairs = new Map(built.roundings.map((r) => [r.fixed, r.float]));
    const layers = measureNoise(this.float, built.module, { samples, injected: this.injected, pairs });
    for (const l of layers) this.attribute(l, new Set(pairs.values()), noise);
    return noise;
  }

  private attribute({ float, noise: own }: MeasuredLayer, rounded: ReadonlySet<Value>, into: number[]): void {
    const { rounding, saturation, arithmetic } = own.noise;
    const total = rounding + saturation + arithmetic;
    if (total === 0 || own.output_share === 0) return;
    const tensor = this.space.tensorVariable(float);
    const inner = [...new Set(opsSince(float, rounded).flatMap((op) => this.space.innerVariables(op)))];
    const add = (variables: readonly number[], share: number): void =>
      variables.forEach((i) => (into[i]! += (own.output_share * share) / variables.length));
    const outer = tensor === undefined ? [] : [tensor];
    add(outer.length > 0 ? outer : inner, (rounding + saturation) / total);
    add(inner.length > 0 ? inner : outer, arithmetic / total);
  }

  /** Bits that were raised and are not needed, what saves most for its noise first; undefined where there are none. */
  private lower(from: Widths, model: readonly number[], excess: number, cost: CostModel): Widths | undefined {
    const sum = model.reduce((a, n) => a + n, 0);
    if (sum === 0 || excess > AIM) return undefined;
    const noise = model.map((n) => (n * excess) / sum);
    const widths = [...from];
    for (let rest = excess; ; ) {
      let best: { i: number; gain: number; added: number } | undefined;
      widths.forEach((b, i) => {
        const added = 3 * noise[i]!;
        if (b <= this.base[i]! || rest + added > AIM) return;
        const gain = (cost.of(widths, i) - cost.of(widths, i, b - 1)) / (added + 1e-9);
        if (best === undefined || gain > best.gain) best = { i, gain, added };
      });
      if (best === undefined) break;
      widths[best.i]!--;
      rest += best.added;
      noise[best.i]! *= 4;
    }
    return widths.some((b, i) => b !== from[i]!) ? widths : undefined;
  }

  /** Bit by bit what lowers the noise most for its hardware; undefined where no width can grow. */
  private raise(from: Widths, model: readonly number[], excess: number, cost: CostModel): Widths | undefined {
    const { variables } = this.space;
    const sum = model.reduce((a, n) => a + n, 0);
    const scale = Number.isFinite(excess) && sum > 0 ? excess / sum : 1;
    const noise = model.map((n) => (sum > 0 ? n * scale : 1));
    const limits = variables.map((v) => Math.min(v.max, this.caps[0]![v.kind]));
    const widths = [...from];
    const area = Math.max(1, cost.total(widths));
    let rest = noise.reduce((a, n) => a + n, 0);
    const aim = Math.min(AIM, rest / 2);
    while (rest > aim) {
      // What no width can lower decides: more bits elsewhere would be for nothing.
      if (noise.reduce((a, n, i) => (widths[i]! < limits[i]! ? a + n : a), 0) < USEFUL * rest) break;
      let best: { i: number; gain: number } | undefined;
      widths.forEach((b, i) => {
        if (b >= limits[i]! || noise[i]! === 0) return;
        const dearer = Math.max(0, cost.of(widths, i, b + 1) - cost.of(widths, i));
        // What costs nothing still costs something: a bit that takes no noise is none.
        const gain = (0.75 * noise[i]!) / (dearer + 1e-5 * area);
        if (best === undefined || gain > best.gain) best = { i, gain };
      });
      if (best === undefined) break;
      widths[best.i]!++;
      rest -= 0.75 * noise[best.i]!;
      noise[best.i]! /= 4;
    }
    return widths.some((b, i) => b !== from[i]!) ? widths : undefined;
  }
}

/** Operations of the float network between `v` and the tensors in front of it that are rounded. */
function opsSince(v: Value, rounded: ReadonlySet<Value>): Op[] {
  const ops: Op[] = [];
  const seen = new Set<Value>();
  const visit = (x: Value): void => {
    if (seen.has(x) || x.def === undefined || x.def.name === "nn.constant" || (x !== v && rounded.has(x))) return;
    seen.add(x);
    ops.push(x.def);
    x.def.operands.forEach(visit);
  };
  visit(v);
  return ops;
}
