/**
 * Post-training quantization of a float nn module whose operations all have a fixed-point form (the stage `prepare`
 * leaves no others): statistics, weights, plan, module, and a refinement of the plan against the float network's
 * outputs.
 */
import type { Module, Op, Value } from "../../../ir/core.js";
import { isQuantizedModel } from "../../../ir/nn/roles.js";
import { EXACT } from "../integerize.js";
import { buildFixed, type BuiltModule } from "./build.js";
import { calibrate, inputRows, type Sample, type TensorStats } from "./calibrate.js";
import { extractRows, isLinear, linearView, macsOf } from "./linear.js";
import { Plan } from "./plan.js";
import type { QuantizeOptions } from "./width-facts.js";
import { refine } from "./refine.js";
import { momentsOf, roundWeights, type InputMoments, type RoundedWeights } from "./weights.js";

export interface WeightOptions {
  /** A grid of its own per output channel. */
  readonly perChannel: boolean;
  /** Rounding errors are taken up by other weights and the bias. */
  readonly compensate: boolean;
}

export interface Quantizer {
  readonly float: Module;
  readonly plan: Plan;
  readonly built: BuiltModule;
}

/** Rows per group from which input moments are estimated. */
const ROWS = 2048;
/** Compensation is cubic in the weights per output channel; beyond this, weights are rounded to nearest. */
const MAX_INPUTS = 1024;

export function quantizeModule(
  float: Module,
  samples: readonly Sample[],
  options: QuantizeOptions,
  weightOptions: WeightOptions,
  refineTrials: number,
): Quantizer {
  const stats = calibrate(float, samples);
  const weights = roundAllWeights(float, samples, options, weightOptions, stats);
  const plan = new Plan(stats, options, weights, totalMacs(float), isQuantizedModel(float));
  if (refineTrials > 0) refine(float, plan, samples, refineTrials);
  return { float, plan, built: buildFixed(float, plan) };
}

function totalMacs(module: Module): number {
  return module.func.body.ops.reduce((n, op) => n + macsOf(op), 0);
}

function roundAllWeights(
  float: Module,
  samples: readonly Sample[],
  options: QuantizeOptions,
  how: WeightOptions,
  stats: ReadonlyMap<Value, TensorStats>,
): Map<Op, RoundedWeights> {
  const widths = new Plan(stats, options, new Map(), totalMacs(float), isQuantizedModel(float));
  const round = weightRounder(float, samples, how);
  return new Map(roundedLayers(float).map((op) => [op, round(op, widths.decidedWeights(op).bits)]));
}

/** Layers with constant weights that are rounded; those of quantized models are integers already. */
export function roundedLayers(float: Module): Op[] {
  return float.func.body.ops.filter((op) => isLinear(op) && op.attrs[EXACT] !== true);
}

/** Rounds the weights of a linear operation to a width; what calibration says about its inputs is gathered once. */
export function weightRounder(
  float: Module,
  samples: readonly Sample[],
  how: WeightOptions,
): (op: Op, width: number) => RoundedWeights {
  const ops = roundedLayers(float);
  const withMoments = how.compensate ? ops.filter((op) => linearView(op).matrix.inputs <= MAX_INPUTS) : [];
  const rows = inputRows(float, withMoments, samples, extractRows, ROWS);
  // Operations that read the same tensor (attention's projections) share their moments.
  const shared = new Map<string, InputMoments[]>();
  return (op, width) => {
    const { matrix, groups } = linearView(op);
    let moments: InputMoments[] | undefined;
    const own = rows.get(op);
    if (own !== undefined) {
      const key = `${op.operand(0).id} ${JSON.stringify(op.attrs)} ${matrix.inputs}`;
      moments = shared.get(key) ?? own.map((r) => momentsOf(r, matrix.inputs));
      shared.set(key, moments);
    }
    const perGroup = matrix.outputs / groups;
    return roundWeights(matrix, {
      width,
      perChannel: how.perChannel,
      ...(moments !== undefined && { moments: (c: number) => moments[Math.floor(c / perGroup)] }),
    });
  };
}
