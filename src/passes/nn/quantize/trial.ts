/** Quantizes and evaluates one network many times: what calibration says is gathered once, rounded weights are kept. */
import { UserError } from "../../../diagnostics/index.js";
import type { Module, Op, Value } from "../../../ir/core.js";
import { prepareNn } from "../../../ir/eval/nn-fixed.js";
import { buildFixed, type BuiltModule } from "./build.js";
import { measure, type MeasuredError, type OutputBound } from "./bounds.js";
import { calibrate, type Sample, type TensorStats } from "./calibrate.js";
import { roundInputs } from "./inputs.js";
import { macsOf } from "./linear.js";
import { Plan } from "./plan.js";
import type { PrecisionSpec } from "./precision.js";
import { isQuantizedModel } from "../../../ir/nn/roles.js";
import { roundedLayers, weightRounder, type WeightOptions } from "./quantizer.js";
import type { RoundedWeights } from "./weights.js";
import type { QuantizeOptions } from "./width-facts.js";

/** Samples with the float network's outputs. */
export interface Reference {
  readonly samples: readonly Sample[];
  readonly expected: readonly (readonly Float64Array[])[];
}

export class Trials {
  readonly stats: Map<Value, TensorStats>;
  /** Samples evaluated so far. */
  evaluated = 0;
  private readonly round: (op: Op, width: number) => RoundedWeights;
  private readonly rounded = new Map<Op, Map<number, RoundedWeights>>();
  private readonly linear: readonly Op[];
  private readonly totalMacs: number;
  private readonly integerModel: boolean;

  constructor(
    readonly float: Module,
    calibration: readonly Sample[],
    private readonly options: Omit<QuantizeOptions, "precision">,
    how: WeightOptions,
  ) {
    this.stats = calibrate(float, calibration);
    this.round = weightRounder(float, calibration, how);
    this.linear = roundedLayers(float);
    this.integerModel = isQuantizedModel(float);
    this.totalMacs = float.func.body.ops.reduce((n, op) => n + macsOf(op), 0);
  }

  reference(samples: readonly Sample[]): Reference {
    return { samples, expected: outputsOf(this.float, samples) };
  }

  plan(
    precision: PrecisionSpec,
    weights: ReadonlyMap<Op, RoundedWeights> = new Map(),
    changed: Partial<QuantizeOptions> = {},
  ): Plan {
    return new Plan(this.stats, { ...this.options, ...changed, precision }, weights, this.totalMacs, this.integerModel);
  }

  build(precision: PrecisionSpec, changed: Partial<QuantizeOptions> = {}): BuiltModule {
    return buildFixed(this.float, this.planned(precision, changed));
  }

  /** A plan with rounded weights; `changed` takes the place of options. */
  planned(precision: PrecisionSpec, changed: Partial<QuantizeOptions> = {}): Plan {
    const widths = this.plan(precision, undefined, changed);
    const weights = new Map(this.linear.map((op) => [op, this.weightsOf(op, widths.decidedWeights(op).bits)]));
    return this.plan(precision, weights, changed);
  }

  /** As `build`; undefined where an accumulator would become too wide. */
  tryBuild(precision: PrecisionSpec): BuiltModule | undefined {
    try {
      return this.build(precision);
    } catch (e) {
      if (e instanceof UserError && e.diagnostics.every((d) => d.code === "QU005")) return undefined;
      throw e;
    }
  }

  /** Outputs of the network with these widths. */
  run(precision: PrecisionSpec, on: Reference): Float64Array[][] {
    this.evaluated += on.samples.length;
    return outputsOf(this.build(precision).module, on.samples);
  }

  private weightsOf(op: Op, width: number): RoundedWeights {
    let byWidth = this.rounded.get(op);
    if (byWidth === undefined) this.rounded.set(op, (byWidth = new Map()));
    let found = byWidth.get(width);
    if (found === undefined) byWidth.set(width, (found = this.round(op, width)));
    return found;
  }
}

/** Outputs of a float or fixed-point module, by sample. */
export function outputsOf(module: Module, samples: readonly Sample[]): Float64Array[][] {
  const program = prepareNn(module);
  const ports = module.func.body.args.map((a) => a.type);
  return samples.map((s) => program.run(roundInputs(s, ports)).map((y) => y.slice()));
}

/** Errors of `fixed` against `float` on samples that neither calibration nor search have seen. */
export function measureBounds(
  float: Module,
  fixed: Module,
  samples: readonly Sample[],
  bounds: readonly OutputBound[],
): MeasuredError[] {
  const [expected, actual] = [outputsOf(float, samples), outputsOf(fixed, samples)];
  return bounds.map((b) => measure(b, expected, actual));
}
