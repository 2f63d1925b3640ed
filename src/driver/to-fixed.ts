/** A prepared network in fixed point, with stated formats and the samples that choose the rest. */
import type { Module } from "../ir/core.js";
import type { Sample } from "../passes/nn/quantize/calibrate.js";
import {
  CALIBRATION_SAMPLES,
  CHOSEN_WIDTHS,
  FLOAT_MODULE,
  PRECISION,
  QUANTIZATION_REPORT,
  type QuantizationReport,
} from "../passes/nn/quantize/index.js";
import type { PrecisionSpec } from "../passes/nn/quantize/precision.js";
import type { ChosenWidths } from "../passes/nn/quantize/width-report.js";
import type { PassContext } from "../passes/pass-context.js";
import { stagePipeline, type ExtraPasses } from "./stages.js";

/** Runs a pipeline as the command wants it, in a context. */
export type RunPipeline = (module: Module, pipeline: string, context: PassContext) => Module;

export interface Quantized {
  readonly float: Module;
  readonly fixed: Module;
  readonly report: QuantizationReport;
}

export function quantizeWith(
  run: RunPipeline,
  prepared: Module,
  precision: PrecisionSpec,
  calibration: readonly Sample[] | undefined,
  extra: ExtraPasses,
  context: PassContext,
  chosen?: ChosenWidths,
): Quantized {
  context.set(CHOSEN_WIDTHS, chosen);
  if (calibration !== undefined) context.set(CALIBRATION_SAMPLES, calibration);
  context.set(PRECISION, precision);
  const fixed = run(prepared, stagePipeline("to-fixed", extra), context);
  return { float: context.need(FLOAT_MODULE), fixed, report: context.need(QUANTIZATION_REPORT) };
}
