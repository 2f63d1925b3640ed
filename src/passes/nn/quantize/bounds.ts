/**
 * Bounds on the error of a fixed-point network against the float network, as the user states them: `mae=0.001`,
 * `centre:max=0.01`. Inside, every metric is an error, smaller being better; `sqnr` and `argmax` are turned around.
 */
import { UserError } from "../../../diagnostics/index.js";
import { nearestName } from "../../../diagnostics/nearest.js";

/**
 * - `mae`: mean absolute error; `rmse`: root mean square error; `max`: largest absolute error, in the unit of the
 *   output
 * - `sqnr`: signal-to-quantization-noise ratio in dB, at least
 * - `argmax`: share of samples in which the same element is the largest, at least
 */
export const METRICS = ["mae", "rmse", "max", "sqnr", "argmax"] as const;
export type Metric = (typeof METRICS)[number];

export interface ErrorBound {
  readonly metric: Metric;
  /** As stated: dB for sqnr, a share from 0 to 1 for argmax. */
  readonly value: number;
  /** Absent: every output by itself. */
  readonly output?: string;
}

/** Reads `METRIC=VALUE` or `OUTPUT:METRIC=VALUE`; shares may be written with a percent sign. @errors QU008 */
export function parseBound(text: string): ErrorBound {
  return boundOf(text, "--max-error");
}

/** As `parseBound`, of an option that messages name. @errors QU008 */
export function boundOf(text: string, option: string): ErrorBound {
  const m = /^(?:(.+):)?\s*([a-z]+)\s*=\s*([^=]+)$/i.exec(text.trim());
  const metric = METRICS.find((k) => k === m?.[2]?.toLowerCase());
  if (m === null || metric === undefined) {
    throw UserError.of("QU008", {
      option,
      text,
      reason: m === null ? "it is not METRIC=VALUE or OUTPUT:METRIC=VALUE" : `${m[2]} is not a metric`,
      nearest: m === null ? undefined : nearestName(m[2]!, METRICS),
    });
  }
  const percent = m[3]!.trim().endsWith("%");
  const value = Number(m[3]!.trim().replace(/%$/, "")) / (percent ? 100 : 1);
  const isShare = metric === "argmax";
  if (!Number.isFinite(value) || (percent && !isShare) || (metric !== "sqnr" && value < 0) || (isShare && value > 1)) {
    throw UserError.of("QU008", {
      option,
      text,
      reason: isShare
        ? "a share from 0 to 1 is needed, such as argmax=0.99 or argmax=99%"
        : metric === "sqnr"
          ? "a number of dB is needed"
          : "a number of at least 0 is needed",
      nearest: undefined,
    });
  }
  return { metric, value, ...(m[1] !== undefined && { output: m[1].trim() }) };
}

/** The text that `parseBound` takes. */
export function boundText(b: ErrorBound): string {
  return `${b.output === undefined ? "" : `${b.output}:`}${b.metric}=${b.value}`;
}

/** A bound on one output. */
export interface OutputBound extends ErrorBound {
  readonly output: string;
  readonly index: number;
}

/** One bound per output that is meant. @errors QU009 */
export function bindBounds(
  bounds: readonly ErrorBound[],
  outputs: readonly string[],
  option = "--max-error",
): OutputBound[] {
  return bounds.flatMap((b) => {
    if (b.output === undefined) return outputs.map((output, index) => ({ ...b, output, index }));
    const index = outputs.indexOf(b.output);
    if (index < 0)
      throw UserError.of("QU009", {
        option,
        name: b.output,
        known: outputs.join(", "),
        nearest: nearestName(b.output, outputs),
      });
    return [{ ...b, output: b.output, index }];
  });
}

/** The bound as an error: what `measure` must not exceed. */
export function limitOf(b: ErrorBound): number {
  return b.metric === "sqnr" ? 10 ** (-b.value / 20) : b.metric === "argmax" ? 1 - b.value : b.value;
}
/** An error in the unit in which its bound is stated. */
export function statedValue(metric: Metric, error: number): number {
  return metric === "sqnr"
    ? error === 0
      ? Infinity
      : -20 * Math.log10(error)
    : metric === "argmax"
      ? 1 - error
      : error;
}
export function showBound(b: ErrorBound, error: number): string {
  const v = statedValue(b.metric, error);
  return `${b.metric} ${b.metric === "sqnr" ? `${v.toFixed(1)} dB` : String(Number(v.toPrecision(4)))}`;
}

export interface MeasuredError {
  /** On these samples. */
  readonly point: number;
  /**
   * Upper limit of a one-sided 95% confidence interval for samples of the same kind; for `max` what is expected as the
   * largest of ten times as many samples, largest errors of samples being distributed as extremes are (Gumbel).
   */
  readonly upper: number;
}

/** Quantile of the normal distribution for 95%. */
const Z = 1.645;

/** The error of one output over samples. */
export function measure(
  b: OutputBound,
  expected: readonly (readonly Float64Array[])[],
  actual: readonly (readonly Float64Array[])[],
): MeasuredError {
  const n = expected.length;
  const perSample = new Float64Array(n);
  let [signal, elements] = [0, 1];
  for (let s = 0; s < n; s++) {
    const [x, y] = [expected[s]![b.index]!, actual[s]![b.index]!];
    elements = x.length;
    for (let i = 0; i < x.length; i++) signal += x[i]! ** 2;
    perSample[s] = sampleError(b.metric, x, y);
  }
  const mean = perSample.reduce((a, v) => a + v, 0) / n;
  const variance = perSample.reduce((a, v) => a + (v - mean) ** 2, 0) / Math.max(1, n - 1);
  if (b.metric === "max") {
    const worst = perSample.reduce((m, v) => Math.max(m, v), 0);
    return { point: worst, upper: Math.max(worst, mean + (Math.sqrt(6 * variance) / Math.PI) * Math.log(10 * n)) };
  }
  const deviation = Math.sqrt(variance / n);
  const power = signal / (n * elements);
  const shown = (v: number): number =>
    b.metric === "rmse"
      ? Math.sqrt(v)
      : b.metric === "sqnr"
        ? v === 0
          ? 0
          : power === 0
            ? Infinity
            : Math.sqrt(v / power)
        : v;
  const upper = shown(mean + Z * deviation);
  return {
    point: shown(mean),
    upper: b.metric === "argmax" ? Math.max(upper, expectedFlips(b.index, expected, actual)) : upper,
  };
}

/**
 * Share of samples in which noise of the size that is seen should change the largest element: the lead of the largest
 * over the second against the error of that lead. That none of 256 samples has changed does not mean that it happens in
 * less than 1%.
 */
function expectedFlips(
  output: number,
  expected: readonly (readonly Float64Array[])[],
  actual: readonly (readonly Float64Array[])[],
): number {
  const n = expected.length;
  let noise = 0;
  const leads = expected.map((sample, s) => {
    const [x, y] = [sample[output]!, actual[s]![output]!];
    const first = argmax(x);
    const second = argmax(x.map((v, i) => (i === first ? -Infinity : v)));
    const lead = x.length < 2 ? Infinity : x[first]! - x[second]!;
    if (x.length > 1) noise += (y[first]! - y[second]! - lead) ** 2 / n;
    return lead;
  });
  if (noise === 0) return 0;
  return leads.reduce((p, lead) => p + normalTail(lead / Math.sqrt(noise)) / n, 0);
}

/**
 * Probability that a normally distributed number exceeds `x` >= 0. @source Abramowitz and Stegun 26.2.17, error below
 * 1e-7
 */
function normalTail(x: number): number {
  if (x === Infinity) return 0;
  const t = 1 / (1 + 0.2316419 * x);
  const p = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * p;
}

function sampleError(metric: Metric, x: Float64Array, y: Float64Array): number {
  switch (metric) {
    case "mae":
      return x.reduce((a, v, i) => a + Math.abs(v - y[i]!), 0) / x.length;
    case "max":
      return x.reduce((a, v, i) => Math.max(a, Math.abs(v - y[i]!)), 0);
    case "rmse":
    case "sqnr":
      return x.reduce((a, v, i) => a + (v - y[i]!) ** 2, 0) / x.length;
    case "argmax":
      return argmax(x) === argmax(y) ? 0 : 1;
  }
}

/** Index of the first largest element. */
export function argmax(x: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < x.length; i++) if (x[i]! > x[best]!) best = i;
  return best;
}
