/**
 * Whether a fixed-point network is near enough to the float network to be used without a word. The limits are for
 * samples that have not chosen its formats.
 */
import type { OutputError } from "./output-error.js";
import type { Metric, OutputBound } from "./quantize/bounds.js";

/** An output that does not reach what is asked of it. */
export interface Shortfall {
  readonly output: string;
  readonly index: number;
  /** `equal`: share of elements of an output of labels that are the same number. */
  readonly metric: Metric | "equal";
  /** In the unit of the metric: dB, a share, or the unit of the output. */
  readonly reached: number;
  readonly limit: number;
}

export interface Limits {
  /** dB */
  readonly sqnr: number;
  /** Share of rows whose largest element is the same, and of labels. */
  readonly agreement: number;
}

/** Below these a design is refused. */
export const LEAST: Limits = { sqnr: 20, agreement: 0.9 };
/**
 * Below these the compiler looks for better widths, and says so where it finds none. Both leave room to the least: what
 * a few dozen samples say of others is no nearer.
 */
export const GOOD: Limits = { sqnr: 25, agreement: 0.95 };

/**
 * How a stated bound takes the place of a limit: one on the size of errors for the ratio, one on argmax for agreement.
 */
function stated(accepted: readonly OutputBound[], index: number, kind: "size" | "agreement"): OutputBound[] {
  return accepted.filter((b) => b.index === index && (b.metric === "argmax") === (kind === "agreement"));
}

/** What each output lacks. `accepted` are bounds that the user states, in place of the limits. */
export function judge(
  errors: Readonly<Record<string, OutputError>>,
  limits: Limits,
  accepted: readonly OutputBound[],
): Shortfall[] {
  return Object.entries(errors).flatMap(([output, e], index): Shortfall[] => {
    const own = { output, index };
    const found: Shortfall[] = [];
    const least = (metric: Shortfall["metric"], reached: number, limit: number): void => {
      if (!(reached >= limit)) found.push({ ...own, metric, reached, limit });
    };
    const [sizes, agreements] = [stated(accepted, index, "size"), stated(accepted, index, "agreement")];
    for (const b of sizes) {
      if (b.metric === "sqnr") least("sqnr", e.sqnr_db, b.value);
      else if (!(sizeOf(e, b.metric) <= b.value))
        found.push({ ...own, metric: b.metric, reached: sizeOf(e, b.metric), limit: b.value });
    }
    for (const b of agreements)
      least(e.equal === undefined ? "argmax" : "equal", e.equal ?? e.argmax_agreement ?? 1, b.value);
    // A label that is wrong is wrong, by however little.
    if (e.equal !== undefined && sizes.length + agreements.length === 0) least("equal", e.equal, limits.agreement);
    else if (e.equal === undefined && sizes.length === 0) least("sqnr", e.sqnr_db, limits.sqnr);
    if (e.equal === undefined && agreements.length === 0 && e.scores === true)
      least("argmax", e.argmax_agreement ?? 1, limits.agreement);
    return found;
  });
}

function sizeOf(e: OutputError, metric: Metric): number {
  return metric === "max" ? e.max_abs_error : metric === "mae" ? e.mae : e.rmse;
}

/** Root mean square error of an output of labels that leaves nearly all of them what they are. */
const LABEL_ERROR = 0.15;

/** What a search for widths has to keep so that `judge` is content, on the samples of the search. */
export function boundsFor(
  errors: Readonly<Record<string, OutputError>>,
  limits: Limits,
  accepted: readonly OutputBound[],
): OutputBound[] {
  return Object.entries(errors).flatMap(([output, e], index): OutputBound[] => {
    const own = { output, index };
    const [sizes, agreements] = [stated(accepted, index, "size"), stated(accepted, index, "agreement")];
    if (e.equal !== undefined && sizes.length === 0) return [{ ...own, metric: "rmse", value: LABEL_ERROR }];
    const size =
      sizes.length > 0 ? sizes : e.equal === undefined ? [{ ...own, metric: "sqnr" as const, value: limits.sqnr }] : [];
    const choice =
      agreements.length > 0
        ? agreements
        : e.equal === undefined && e.scores === true
          ? [{ ...own, metric: "argmax" as const, value: limits.agreement }]
          : [];
    return [...size, ...choice];
  });
}

/** `12.3 dB`, `argmax 85%` */
export function showReached(metric: Shortfall["metric"], v: number): string {
  const share = (): string => `${Number((100 * v).toFixed(1))}%`;
  switch (metric) {
    case "sqnr":
      return v === Infinity ? "exact" : v === -Infinity ? "no signal, only noise" : `${v.toFixed(1)} dB`;
    case "argmax":
      return `the same argmax in ${share()}`;
    case "equal":
      return `the same label in ${share()}`;
    default:
      return `${metric} ${Number(v.toPrecision(3))}`;
  }
}

/** The bound that accepts what is reached, as `--accept-accuracy` takes it, with a little room. */
export function acceptance(s: Shortfall, several: boolean): string {
  const metric = s.metric === "equal" ? "argmax" : s.metric;
  const value =
    s.metric === "sqnr"
      ? Math.floor(s.reached - 0.5)
      : metric === "argmax"
        ? Math.max(0, Math.floor(100 * s.reached - 1) / 100)
        : Number((s.reached * 1.1).toPrecision(2));
  return `${several ? `${s.output}:` : ""}${metric}=${Number.isFinite(value) ? value : -100}`;
}
