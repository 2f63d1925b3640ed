/**
 * `--max-error`: splits the calibration data, searches widths, and says what was found on data that the search has not
 * seen.
 */
import { UserError } from "../diagnostics/index.js";
import type { Module } from "../ir/core.js";
import {
  bindBounds,
  limitOf,
  showBound,
  statedValue,
  type ErrorBound,
  type MeasuredError,
  type OutputBound,
} from "../passes/nn/quantize/bounds.js";
import { spread, type Sample } from "../passes/nn/quantize/calibrate.js";
import { QUANTIZE_DEFAULTS } from "../passes/nn/quantize/index.js";
import { formatPrecision, type PrecisionSpec } from "../passes/nn/quantize/precision.js";
import { searchPrecision, type SearchResult } from "../passes/nn/quantize/search.js";
import { measureBounds } from "../passes/nn/quantize/trial.js";
import type { Split } from "./hold-out.js";
import type { BoundReport, PrecisionReport } from "./report.js";
import type { Session } from "./session.js";
import { isQuantizedModel } from "../ir/nn/roles.js";

/** Of the samples held out, what a search may use to check itself; the rest stays unseen. */
export function validationOf(split: Split): readonly Sample[] {
  return split.heldOut.filter((_, i) => i % 2 === 0);
}
export function unseen(split: Split): readonly Sample[] {
  return split.heldOut.filter((_, i) => i % 2 === 1);
}

/** With fewer, a confidence limit says nothing. */
const LEAST_SAMPLES = 8;
/** Samples on which bounds are measured after the search. */
const HELD_OUT_SAMPLES = 256;

export interface Searched {
  readonly precision: PrecisionSpec;
  readonly result: SearchResult;
  readonly bounds: readonly OutputBound[];
}

/** `float` is the prepared network. @errors QU009, QU010, QU011, QU013 */
export function search(
  float: Module,
  split: Split | undefined,
  bounds: readonly ErrorBound[],
  base: PrecisionSpec,
  session: Session,
): Searched {
  if (isQuantizedModel(float)) throw UserError.of("QU013", {});
  if (split === undefined) throw UserError.of("QU011", { what: "calibration data, on which the error is measured" });
  if (split.calibration.length < LEAST_SAMPLES)
    throw UserError.of("QU011", {
      what: `at least ${LEAST_SAMPLES} calibration samples beside those held out, not ${split.calibration.length}`,
    });
  const bound = bindBounds(bounds, float.func.attrs["outputs"] as readonly string[]);
  const result = searchPrecision(float, {
    samples: split.calibration,
    validation: validationOf(split),
    bounds: bound,
    base,
    quantize: QUANTIZE_DEFAULTS.options,
    weights: QUANTIZE_DEFAULTS.weights,
    progress: session.progress,
  });
  return { precision: result.precision, result, bounds: bound };
}

/**
 * What is reported of the search, with the errors of `fixed` on the samples held out; warns where these break a bound.
 */
export function reportSearch(
  s: Searched,
  float: Module,
  fixed: Module,
  split: Split,
  holdOut: number,
  session: Session,
): PrecisionReport {
  const samples = spread(unseen(split), HELD_OUT_SAMPLES);
  const held = samples.length === 0 ? undefined : measureBounds(float, fixed, samples, s.bounds);
  const { result } = s;
  const bounds = s.bounds.map((b, i): BoundReport => {
    const heldOut = held?.[i];
    const kept = heldOut === undefined || heldOut.point <= limitOf(b);
    if (!kept)
      session.sink.report("QU012", {
        bound: `${b.output}:${showBound(b, limitOf(b))}`,
        reached: showBound(b, heldOut.point),
        samples: samples.length,
      });
    return {
      output: b.output,
      metric: b.metric,
      bound: b.value,
      search: stated(b, result.errors[i]!),
      ...(heldOut !== undefined && { held_out: statedValue(b.metric, heldOut.point) }),
      kept,
    };
  });
  const uniform = result.uniform;
  return {
    spec: formatPrecision(result.precision),
    hold_out: holdOut,
    search_samples: Math.min(split.calibration.length, 256),
    held_out_samples: samples.length,
    bounds,
    cost: result.cost,
    base: {
      precision: result.base.precision,
      cost: result.base.cost,
      kept: result.base.kept,
      errors: s.bounds.map((b, i) => stated(b, result.base.errors[i]!)),
    },
    ...(uniform !== undefined && {
      uniform: {
        precision: uniform.precision,
        cost: uniform.cost,
        kept: true,
        errors: s.bounds.map((b, i) => stated(b, uniform.errors[i]!)),
      },
    }),
    chosen: result.chosen.map(({ name, kind, bits, cost_share, noise_share, next_bit }) => ({
      name,
      kind,
      bits,
      cost_share,
      noise_share,
      next_bit,
    })),
    evaluations: result.evaluations,
  };
}

function stated(b: OutputBound, e: MeasuredError): number {
  return statedValue(b.metric, e.point);
}
