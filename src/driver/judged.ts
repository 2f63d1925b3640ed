/**
 * Judges a fixed-point network on samples that have not made it: widens it where the noise comes from, refuses what is
 * not accurate enough, and says so.
 */
import type { Module } from "../ir/core.js";
import { measureOutputs } from "../passes/nn/accuracy.js";
import {
  acceptance,
  boundsFor,
  GOOD,
  judge,
  LEAST,
  showReached,
  type Limits,
  type Shortfall,
} from "../passes/nn/judge.js";
import type { OutputError } from "../passes/nn/output-error.js";
import type { OutputBound } from "../passes/nn/quantize/bounds.js";
import type { Sample } from "../passes/nn/quantize/calibrate.js";
import { QUANTIZE_DEFAULTS } from "../passes/nn/quantize/index.js";
import { cure, type Cure } from "../passes/nn/quantize/cure.js";
import { formatPrecision, type PrecisionSpec } from "../passes/nn/quantize/precision.js";
import { Sink, UserError } from "../diagnostics/index.js";
import { PassContext } from "../passes/pass-context.js";
import { PassManager } from "../passes/pass-manager.js";
import type { Settings } from "./config.js";
import { judges, measuredOn, type Split } from "./hold-out.js";
import { measureLayers, worstLayers } from "./layers.js";
import { unseen, validationOf, type Searched } from "./precision.js";
import type { AccuracyCheck } from "./report.js";
import type { Session } from "./session.js";
import { isQuantizedModel } from "../ir/nn/roles.js";
import { quantizeWith, type Quantized } from "./to-fixed.js";

interface Settled {
  readonly design: Quantized;
  readonly outputs: Readonly<Record<string, OutputError>>;
  readonly check: AccuracyCheck;
}

/** Measures on samples that have not made what is measured, and decides. */
export class Judged {
  constructor(
    private readonly prepared: Module,
    private readonly split: Split,
    private readonly accepted: readonly OutputBound[],
    /** Outputs of which `--max-error` says how good they have to be. */
    private readonly bounded: ReadonlySet<string>,
    private readonly settings: Settings,
    private readonly session: Session,
  ) {}

  settle(first: Quantized, searched: Searched | undefined, quantize: (precision: PrecisionSpec) => Quantized): Settled {
    const { session, settings, split } = this;
    const before = this.measure(first, searched === undefined ? split.heldOut : unseen(split), false);
    if (split.none !== undefined) session.sink.report("QU023", { reason: split.none });
    const missing = this.lacks(before.decisive, GOOD);
    if (missing.length === 0) return this.conclude(first, before, undefined);
    const isInteger = isQuantizedModel(this.prepared);
    // What the user states is not changed, and a model's own integers cannot be.
    if (searched !== undefined || settings.precisionStated || isInteger) return this.conclude(first, before, undefined);
    // What the design is like without some samples tells what to do; others then judge.
    const trial = split.few === true ? undefined : split.refits[0];
    const validation = trial?.heldOut ?? validationOf(split);
    const cured = cure(this.prepared, {
      samples: trial?.calibration ?? split.calibration,
      validation,
      bounds: boundsFor(before.decisive, GOOD, this.accepted),
      base: settings.precision,
      quantize: QUANTIZE_DEFAULTS.options,
      weights: QUANTIZE_DEFAULTS.weights,
      progress: session.progress,
    });
    if (cured === undefined) return this.conclude(first, before, undefined, missing);
    const second = quantize(cured.precision);
    const after = this.measure(second, unseen(split), true);
    // Bits that have not helped are not spent.
    if (!helps(missing, before.decisive, after.decisive)) return this.conclude(first, before, undefined, missing);
    return this.conclude(second, after, { ...cured, before: before.decisive, missing }, missing);
  }

  private lacks(errors: Readonly<Record<string, OutputError>>, limits: Limits): Shortfall[] {
    return judge(errors, limits, this.accepted).filter((s) => !this.bounded.has(s.output));
  }

  private measure(design: Quantized, heldOut: readonly Sample[], cured: boolean): Measured {
    const { split } = this;
    if (split.refits.length > 0) {
      const parts = judges(split, cured).map((part) => {
        const quiet = new PassContext(new Sink());
        const again = quantizeWith(
          (m, pipeline, context) =>
            new PassManager().run(m, pipeline, {
              context,
              sink: context.sink,
              host: this.session.host,
              verifyEach: false,
            }).module,
          this.prepared,
          design.report.precision,
          part.calibration,
          this.settings.extraPasses,
          quiet,
        );
        return { float: again.float, fixed: again.fixed, samples: part.heldOut };
      });
      const outputs = measureOutputs(parts);
      // A few samples do not say enough about others to refuse, or change, a design that is right for them.
      const decisive =
        split.few === true
          ? measureOutputs([{ float: design.float, fixed: design.fixed, samples: split.calibration }])
          : outputs;
      return { outputs, decisive, count: parts.reduce((n, p) => n + p.samples.length, 0), refits: parts.length };
    }
    const samples = heldOut.length > 0 ? heldOut : split.calibration;
    const outputs = measureOutputs([{ float: design.float, fixed: design.fixed, samples }]);
    return { outputs, decisive: outputs, count: samples.length, refits: 0 };
  }

  /** Refuses what is below the least, and warns of what is below what is good. */
  private conclude(
    design: Quantized,
    measured: Measured,
    cured: Cured | undefined,
    tried: readonly Shortfall[] = [],
  ): Settled {
    const { session } = this;
    const { split } = this;
    const [low, bad] = [this.lacks(measured.decisive, GOOD), this.lacks(measured.decisive, LEAST)];
    const precision = formatPrecision(design.report.precision);
    const where =
      split.few === true
        ? `the ${split.calibration.length} samples that chose the number formats`
        : measuredOn(split, measured.count, measured.refits);
    if (low.length > 0) {
      const named = bad.length > 0 ? bad : low;
      const layers = worstLayers(
        measureLayers(
          design.float,
          design.fixed,
          split.heldOut.length > 0 ? split.heldOut : split.calibration,
          (done, total) => session.progress("layers", done, total),
          0.25,
        ).layers,
        precision,
      );
      const several = Object.keys(measured.outputs).length > 1;
      const said = {
        reached: reachedOf(named),
        samples: where,
        least: [...new Set(named.map((s) => showReached(s.metric, s.limit)))].join(" and "),
        tried:
          tried.length === 0
            ? ""
            : `, and more bits where the noise comes from ${cured === undefined ? "do not help" : `do not do (${tried.map((s) => showReached(s.metric, s.reached)).join(", ")} without them)`}`,
        layers: layers.names === "" ? "" : `; most is lost at ${layers.names}`,
        advice: layers.advice,
        accept: named.map((s) => `--accept-accuracy ${acceptance(s, several)}`).join(" "),
      };
      // Outputs that a search has no bound for may have been given up for those that it has.
      if (bad.length > 0 && this.bounded.size === 0) throw UserError.of("QU020", said);
      session.sink.report("QU021", said);
    } else if (cured !== undefined) {
      const show = (list: readonly Shortfall[], of: Readonly<Record<string, OutputError>>): string =>
        list.map((s) => showReached(s.metric, valueOf(of[s.output]!, s))).join(", ");
      session.sink.report("QU022", {
        before: show(cured.missing, cured.before),
        after: show(cured.missing, measured.decisive),
        samples: where,
        widths: widthsInWords(cured.raised),
      });
    }
    const elsewhere = split.few === true && low.length === 0 ? this.lacks(measured.outputs, GOOD) : [];
    if (elsewhere.length > 0)
      session.sink.report("QU025", { count: split.calibration.length, reached: reachedOf(elsewhere) });
    return this.settled(design, measured, cured, [...low, ...elsewhere]);
  }

  private settled(design: Quantized, measured: Measured, cured: Cured | undefined, low: readonly Shortfall[]): Settled {
    const { split } = this;
    const plain = judge(measured.decisive, GOOD, []).length === 0;
    const check: AccuracyCheck = {
      measured_on: split.none !== undefined ? "calibration" : split.refits.length > 0 ? "refits" : "held-out",
      samples: measured.count,
      calibration_samples: split.calibration.length,
      ...(split.few === true && { on_calibration: measured.decisive }),
      verdict: low.length > 0 ? "low" : plain ? "good" : "accepted",
      ...(cured !== undefined && {
        cure: { precision: formatPrecision(cured.precision), raised: cured.raised, before: cured.before },
      }),
    };
    return { design, outputs: measured.outputs, check };
  }
}

/** `"y" has 12.3 dB and the same argmax in 70%, "z" has 3.0 dB` */
function reachedOf(missing: readonly Shortfall[]): string {
  const outputs = [...new Set(missing.map((s) => s.output))];
  return outputs
    .map(
      (o) =>
        `"${o}" has ${missing
          .filter((s) => s.output === o)
          .map((s) => showReached(s.metric, s.reached))
          .join(" and ")}`,
    )
    .join(", ");
}

/** Least that more bits must bring, in dB or as a share. */
const [BETTER_DB, BETTER_SHARE] = [1, 0.005];

/** Whether anything that was missing is better by a good deal. */
function helps(
  missing: readonly Shortfall[],
  before: Readonly<Record<string, OutputError>>,
  after: Readonly<Record<string, OutputError>>,
): boolean {
  return missing.some((s) => {
    const [was, is] = [valueOf(before[s.output]!, s), valueOf(after[s.output]!, s)];
    if (s.metric === "sqnr") return is - was >= BETTER_DB || (was === -Infinity && is > was);
    return s.metric === "argmax" || s.metric === "equal" ? is - was >= BETTER_SHARE : was - is >= was / 10;
  });
}

/** Widths that are named one by one. */
const SHOWN = 6;
const LETTERS = { weights: "w", activations: "a", input: "i" } as const;

/** `conv1=w8->w10` of the widths that were raised most. */
function widthsInWords(raised: Cure["raised"]): string {
  const most = raised.toSorted((p, q) => q.to - q.from - (p.to - p.from));
  const more = most.length > SHOWN ? ` and ${most.length - SHOWN} more` : "";
  return (
    most
      .slice(0, SHOWN)
      .map((r) => `${r.name} ${LETTERS[r.kind]}${r.from} to ${LETTERS[r.kind]}${r.to}`)
      .join(", ") + more
  );
}

interface Measured {
  readonly outputs: Readonly<Record<string, OutputError>>;
  readonly count: number;
  readonly refits: number;
  /** What decides: of few samples the design itself on those that have made it, otherwise `outputs`. */
  readonly decisive: Readonly<Record<string, OutputError>>;
}

interface Cured extends Cure {
  readonly before: Readonly<Record<string, OutputError>>;
  readonly missing: readonly Shortfall[];
}

function valueOf(e: OutputError, s: Shortfall): number {
  return s.metric === "sqnr"
    ? e.sqnr_db
    : s.metric === "argmax"
      ? (e.argmax_agreement ?? 1)
      : s.metric === "equal"
        ? (e.equal ?? 1)
        : s.metric === "max"
          ? e.max_abs_error
          : e[s.metric];
}
