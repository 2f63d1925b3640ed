/** `--widths`: what chooses widths beside the rules. */
import { UserError } from "../diagnostics/index.js";
import type { Module } from "../ir/core.js";
import { WidthBudget, type Allocation } from "../passes/nn/quantize/budget.js";
import { QUANTIZE_DEFAULTS, type QuantizationReport } from "../passes/nn/quantize/index.js";
import { showPrecision } from "../passes/nn/quantize/precision.js";
import { isQuantizedModel } from "../ir/nn/roles.js";
import { WIDTH_CONSTANTS } from "../passes/nn/quantize/width-constants.js";
import { MODEL_RULE } from "../passes/nn/quantize/width-report.js";
import type { Settings } from "./config.js";
import type { Split } from "./hold-out.js";
import type { WidthsChoice } from "./options.js";
import type { PrecisionReport } from "./report.js";
import type { Session } from "./session.js";

/** With fewer samples the noise of a width is chance. */
const LEAST_SAMPLES = 8;

export interface AllocatedWidths extends Allocation {
  readonly choice: Exclude<WidthsChoice, "rules">;
}

/** `float` is the prepared network; undefined where the rules decide. @errors QU027 */
export function allocateWidths(
  float: Module,
  split: Split | undefined,
  settings: Settings,
  session: Session,
): AllocatedWidths | undefined {
  const { widths: choice } = settings;
  if (choice === "rules") return undefined;
  const refuse = (needs: string): UserError => UserError.of("QU027", { widths: choice, needs });
  if (settings.maxError.length > 0) throw refuse("no --max-error, which searches widths itself");
  if (isQuantizedModel(float)) throw refuse("a float network; this one brings its own integers");
  if (split === undefined || split.calibration.length < LEAST_SAMPLES)
    throw refuse(`calibration data of at least ${LEAST_SAMPLES} samples`);
  const budget = new WidthBudget(float, {
    samples: split.calibration,
    base: settings.precision,
    quantize: QUANTIZE_DEFAULTS.options,
    weights: QUANTIZE_DEFAULTS.weights,
    progress: session.progress,
  });
  return { choice, ...budget.allocate(choice === "least-cost" ? "noise" : "cost") };
}

/** Says where another width is used than the user has stated. @errors none; warns QU028, notes QU029 */
export function sayWidths(float: Module, report: QuantizationReport, settings: Settings, session: Session): void {
  const most = WIDTH_CONSTANTS.maxTableBits.value;
  const seen = new Set<string>();
  for (const op of float.func.body.ops) {
    if (op.name !== "nn.unary") continue;
    for (const name of [op.result.hint, ...op.loc.nodes]) {
      const stated = name === undefined ? undefined : settings.precision.layers.get(name)?.input;
      if (name === undefined || stated === undefined || stated <= most || seen.has(name)) continue;
      seen.add(name);
      session.sink.report("QU028", { name, stated, most });
    }
  }
  const [stated, used] = [showPrecision(settings.precision), showPrecision(report.precision)];
  const real = report.widths.some((w) => w.rule !== MODEL_RULE);
  if (settings.precisionGiven && isQuantizedModel(float) && stated !== used && real)
    session.sink.report("QU029", { stated, used });
}

/** What `--widths` has spent and reached, for report.json; nothing where the rules decide. */
export function reportWidths(
  allocated: AllocatedWidths | undefined,
): Pick<PrecisionReport, "widths" | "cost" | "rules_cost" | "rules_noise"> {
  if (allocated === undefined) return {};
  const { choice, cost, rulesCost, noise } = allocated;
  return { widths: choice, cost, rules_cost: rulesCost, rules_noise: noise };
}
