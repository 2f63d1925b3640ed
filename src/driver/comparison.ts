/** What `compare` finds, and what it advises. */
import type { OutputError } from "../passes/nn/output-error.js";
import type { LayerNoise } from "../passes/nn/layer-noise.js";
import { parsePrecision, showPrecision } from "../passes/nn/quantize/precision.js";
import { showType } from "../ir/types.js";
import type { WidthReport } from "./report.js";

export interface OutputComparison extends OutputError {
  readonly name: string;
  readonly format: string;
  /** Elements per sample. */
  readonly elements: number;
  readonly min: number;
  readonly max: number;
  /** Errors (fixed point minus float) counted in `bins` equal steps from `from` to `to`. */
  readonly histogram: { readonly from: number; readonly to: number; readonly bins: readonly number[] };
  /** Some pairs of float and fixed-point values, spread over all samples. */
  readonly points: readonly (readonly [number, number])[];
}

/** What the table of layers says of each, behind its name: heads of the columns, in text and on the page. */
export const LAYER_COLUMNS = [
  "computes",
  "float range",
  "format",
  "saturated",
  "range used",
  "SQNR dB",
  "own dB",
  "of output noise",
  "mostly",
  "width by",
] as const;

/** A layer as it appears in reports: formats as text. */
export interface LayerComparison extends Omit<LayerNoise, "format" | "weights"> {
  readonly weights: readonly (LayerNoise["weights"][number] & { readonly rule?: string })[];
  /** The ONNX node that is best known by its name: the one with weights, else the last one. */
  readonly name: string;
  readonly format: string;
  readonly width: number;
  /** The rule that set the width (docs/width-rules.md); absent where the design does not say. */
  readonly rule?: string;
  /** What limits the layer's accuracy most. */
  readonly cause: Cause;
  /** What to do about it. */
  readonly advice?: string;
}

export type Cause = "none" | "saturation" | "rounding" | "weights" | "table";

export interface Comparison {
  /** Of the outputs, on this data: what `compile` would say to it. */
  readonly verdict: "good" | "low" | "too low";
  /** What outputs lack. */
  readonly shortfalls: readonly string[];
  readonly model: string;
  readonly design: string;
  readonly precision: string;
  readonly samples: number;
  /** Samples on which layers were measured. */
  readonly layer_samples: number;
  readonly outputs: readonly OutputComparison[];
  readonly layers: readonly LayerComparison[];
  /** Name of the layer that causes most of the error at the outputs; absent where nothing differs. */
  readonly worst_layer?: string;
  /** Sentences in plain language, most important first. */
  readonly findings: readonly string[];
}

/** Saturated values beyond this share are worth a word. */
const SATURATED = 0.001;
/** A value that misses the largest number by an LSB or so is no sign of other data. */
const BEYOND = 1.02;
/** Below this use of the range at least two bits are wasted. */
const WASTED = 0.22;

/** Rules that have set widths, by what has the width and by its name in the ONNX model. */
export type RuleOf = (kind: WidthReport["kind"], name: string) => string | undefined;

/** Looks rules up; what several share a name of has one only where all agree. */
export function ruleLookup(widths: readonly WidthReport[]): RuleOf {
  const rules = new Map<string, string | undefined>();
  for (const { kind, name, rule } of widths) {
    const key = `${kind} ${name}`;
    rules.set(key, rules.has(key) && rules.get(key) !== rule ? undefined : rule);
  }
  return (kind, name) => rules.get(`${kind} ${name}`);
}

/** Layers with names that are theirs alone: parts of one node are told apart by what they compute. */
export function reportLayers(
  layers: readonly LayerNoise[],
  precision: string,
  ruleOf: RuleOf = () => undefined,
): LayerComparison[] {
  const reported = layers.map((l) => reportLayer(l, precision, ruleOf));
  return reported.map((l) =>
    reported.some((o) => o !== l && o.name === l.name)
      ? { ...l, name: `${l.name} (${l.operations[l.operations.length - 1] ?? l.tensor})` }
      : l,
  );
}

function reportLayer(l: LayerNoise, precision: string, ruleOf: RuleOf): LayerComparison {
  const cause = causeOf(l);
  const advice = adviceFor(l, cause, precision);
  const { format, weights, ...rest } = l;
  const rule = ruleOf("tensor", l.tensor);
  return {
    name: nameOf(l),
    ...rest,
    weights: weights.map((w) => {
      const own = ruleOf("weights", w.node);
      return { ...w, ...(own !== undefined && { rule: own }) };
    }),
    ...(rule !== undefined && { rule }),
    format: showType(format),
    width: format.width,
    cause,
    ...(advice !== undefined && { advice }),
  };
}

function nameOf(l: LayerNoise): string {
  return l.weights[0]?.node ?? l.nodes[l.nodes.length - 1] ?? l.tensor;
}

function causeOf(l: LayerNoise): Cause {
  const { rounding, saturation, arithmetic } = l.noise;
  const top = Math.max(rounding, saturation, arithmetic);
  if (top === 0) return "none";
  if (saturation === top) return "saturation";
  if (rounding === top) return "rounding";
  return l.table !== undefined ? "table" : l.weights.length > 0 ? "weights" : "rounding";
}

/** What to type. Two bits lower rounding noise by 12 dB. */
function adviceFor(l: LayerNoise, cause: Cause, precision: string): string | undefined {
  const raise = (target: string, letter: string, bits: number): string =>
    precision.includes("=")
      ? `add '${target}=${letter}${bits}' to --precision`
      : `--precision '${precision},${target}=${letter}${bits}'`;
  switch (cause) {
    case "none":
      return undefined;
    case "saturation":
      return l.saturated > SATURATED || l.range_used > 1.25
        ? `${percent(l.saturated)} of its values lie beyond what ${showType(l.format)} can hold (${short(l.lo)} to ${short(l.hi)}; the data reaches ${short(l.min)} to ${short(l.max)}). If the calibration data did not contain such values, compile with --calib DATA that does; otherwise give it more bits: ${raise(l.tensor, "a", l.format.width + 2)}`
        : `a few large values are clipped; one or two more bits keep them: ${raise(l.tensor, "a", l.format.width + 2)}`;
    case "rounding":
      return l.range_used < WASTED
        ? `it uses only ${percent(l.range_used)} of the range of ${showType(l.format)}: the calibration data was larger than this data. Compile with --calib DATA that is representative, or give it more bits: ${raise(l.tensor, "a", l.format.width + 2)}`
        : `its result is rounded to ${l.format.width} bits; more bits lower the noise by 6 dB each: ${raise(l.tensor, "a", l.format.width + 2)}`;
    case "weights": {
      const w = l.weights.reduce((a, b) => (b.width < a.width ? b : a));
      return `its weights are coarse (${w.format}); more bits for them: ${raise(w.node, "w", Math.min(16, w.width + 2))}`;
    }
    case "table":
      return `its table for ${l.table!.fn} has 2^${l.table!.width} entries; a finer argument: ${raise(l.tensor, "i", Math.min(14, l.table!.width + 2))}`;
  }
}

/** What a reader should know before the tables. */
export function findingsOf(
  layers: readonly LayerComparison[],
  outputs: readonly OutputComparison[],
): { worst: LayerComparison | undefined; findings: string[] } {
  const worst = layers.reduce<LayerComparison | undefined>(
    (w, l) => (l.output_share > (w?.output_share ?? 0) ? l : w),
    undefined,
  );
  const findings: string[] = [];
  if (outputs.every((o) => o.max_abs_error === 0))
    findings.push("The outputs are equal to those of the float network.");
  if (worst !== undefined) {
    findings.push(
      `Most is lost at ${worst.name}${worst.tensor === worst.name ? "" : ` (tensor ${worst.tensor}, ${worst.format})`}: ${percent(worst.output_share)} of the noise at the outputs${worst.advice === undefined ? "" : `; ${worst.advice}`}`,
    );
    const second = layers
      .filter((l) => l !== worst)
      .reduce<LayerComparison | undefined>((w, l) => (l.output_share > (w?.output_share ?? 0) ? l : w), undefined);
    if (second !== undefined && second.output_share > 0.15)
      findings.push(
        `Next is ${second.name} with ${percent(second.output_share)}${second.advice === undefined ? "" : `; ${second.advice}`}`,
      );
  }
  const clipped = layers.filter((l) => l.saturated > SATURATED && l.range_used > BEYOND && l !== worst);
  if (clipped.length > 0)
    findings.push(
      `Values beyond the format in ${clipped.map((l) => `${l.name} (${percent(l.saturated)})`).join(", ")}: look whether the calibration data is representative.`,
    );
  const idle = layers.filter((l) => l.range_used < WASTED && l.range_used > 0 && l !== worst);
  if (idle.length > 0)
    findings.push(
      `Bits that this data does not use in ${idle.map((l) => `${l.name} (${percent(l.range_used)} of the range)`).join(", ")}.`,
    );
  return { worst, findings };
}

/** The widths of a design in a few words. */
export function widthsInWords(precision: string): string {
  return showPrecision(parsePrecision(precision));
}

/** A dash where there is no such share. */
export function percent(share: number): string {
  if (Number.isNaN(share)) return "-";
  const p = share * 100;
  return `${p === 0 ? "0" : p < 0.1 ? p.toPrecision(1) : p < 10 ? p.toFixed(1) : p.toFixed(0)}%`;
}

export function short(x: number): string {
  if (Number.isNaN(x)) return "-";
  return String(Number(x.toPrecision(3)));
}
