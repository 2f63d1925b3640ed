/**
 * From an imported network to a fixed-point one that has been judged: samples are split, widths are searched where a
 * bound is given or the defaults do not do, and what is not accurate enough is refused unless it is accepted. `compile`
 * and `explore` share it.
 */
import type { Module } from "../ir/core.js";
import type { InputData } from "../frontend/npz.js";
import { measureAccuracy, type LayerError } from "../passes/nn/accuracy.js";
import type { OutputError } from "../passes/nn/output-error.js";
import { bindBounds } from "../passes/nn/quantize/bounds.js";
import { spread, type Sample } from "../passes/nn/quantize/calibrate.js";
import type { QuantizationReport } from "../passes/nn/quantize/index.js";
import { formatPrecision } from "../passes/nn/quantize/precision.js";
import { PassContext } from "../passes/pass-context.js";
import type { Settings } from "./config.js";
import { integersReport, warnOfRealNodes } from "./integers.js";
import { splitByNeed, splitSamples } from "./hold-out.js";
import { stagePipeline } from "./stages.js";
import { reportSearch, search } from "./precision.js";
import type { AccuracyCheck, IntegersReport, PrecisionReport } from "./report.js";
import type { Session } from "./session.js";
import { allocateWidths, reportWidths, sayWidths } from "./widths.js";
import { quantizeWith, type Quantized, type RunPipeline } from "./to-fixed.js";
import { Judged } from "./judged.js";

/** Samples of the data that are looked at at all. */
const SAMPLES = 512;
/** Samples on which layers are looked at for the report. */
const LAYER_SAMPLES = 64;

export interface FixedPoint {
  readonly fixed: Module;
  /** As `--precision` takes it. */
  readonly used: string;
  readonly precision: PrecisionReport;
  readonly quantization: QuantizationReport;
  /** Only with calibration data. */
  readonly outputs?: Readonly<Record<string, OutputError>>;
  readonly layers?: readonly LayerError[];
  readonly check?: AccuracyCheck;
  /** Of quantized models: what runs on their own integers. */
  readonly integers?: IntegersReport;
}

/** @errors QU009 to QU013, QU020, QU024, and those of the passes */
export function toFixedPoint(
  network: Module,
  data: InputData | undefined,
  settings: Settings,
  session: Session,
  run: RunPipeline,
): FixedPoint {
  const context = new PassContext(session.sink, (line) => session.host.log(line));
  const prepared = run(network, stagePipeline("prepare", settings.extraPasses), context);
  warnOfRealNodes(context, session.sink);
  const integers = integersReport(context);
  const own = integers === undefined ? {} : { integers };
  const names = prepared.func.attrs["outputs"] as readonly string[];
  const accepted = bindBounds(settings.acceptAccuracy, names, "--accept-accuracy");
  const samples = data === undefined ? undefined : samplesOf(data, SAMPLES);
  const split =
    samples === undefined
      ? undefined
      : settings.holdOut === undefined
        ? splitByNeed(samples, prepared)
        : splitSamples(samples, settings.holdOut);
  const searched =
    settings.maxError.length === 0
      ? undefined
      : search(prepared, split, settings.maxError, settings.precision, session);
  const allocated = allocateWidths(prepared, split, settings, session);
  const by = searched !== undefined ? "search" : allocated !== undefined ? "budget" : undefined;
  const first = quantizeWith(
    run,
    prepared,
    searched?.precision ?? allocated?.precision ?? settings.precision,
    split?.calibration,
    settings.extraPasses,
    context,
    by === undefined ? undefined : { by, stated: settings.precision },
  );
  sayWidths(prepared, first.report, settings, session);
  if (split === undefined)
    return { ...describe(first, { spec: formatPrecision(first.report.precision), hold_out: 0 }), ...own };
  const judged = new Judged(
    prepared,
    split,
    accepted,
    new Set(bindBounds(settings.maxError, names).map((b) => b.output)),
    settings,
    session,
  );
  const done = judged.settle(first, searched, (precision) =>
    quantizeWith(run, prepared, precision, split.calibration, settings.extraPasses, context, {
      by: "cure",
      stated: settings.precision,
    }),
  );
  const holdOut =
    settings.holdOut ??
    (split.heldOut.length === 0 || split.heldOut === split.calibration
      ? 0
      : split.heldOut.length / (split.heldOut.length + split.calibration.length));
  const widths =
    searched === undefined
      ? { spec: formatPrecision(done.design.report.precision), hold_out: holdOut, ...reportWidths(allocated) }
      : reportSearch(searched, done.design.float, done.design.fixed, split, holdOut, session);
  const layers = measureAccuracy(
    done.design.float,
    done.design.fixed,
    spread(split.heldOut.length > 0 ? split.heldOut : split.calibration, LAYER_SAMPLES),
  ).layers;
  return { ...describe(done.design, widths), ...own, outputs: done.outputs, layers, check: done.check };
}

function describe(q: Quantized, precision: PrecisionReport): FixedPoint {
  return { fixed: q.fixed, used: formatPrecision(q.report.precision), precision, quantization: q.report };
}

/** At most `count` samples, spread evenly over the data. */
export function samplesOf(data: InputData, count: number): Sample[] {
  const n = Math.min(count, data.samples);
  return Array.from({ length: n }, (_, i) => {
    const s = Math.floor((i * data.samples) / n);
    return data.data.map((d) => d.subarray((s * d.length) / data.samples, ((s + 1) * d.length) / data.samples));
  });
}
