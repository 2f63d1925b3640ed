/** What is asked of a folding: the one form in which the search, the pass `unroll` and the solver say it. */
import { LUTS_PER_DSP, LUTS_PER_PRODUCT, type Resources } from "../device/resources.js";

/** What one unit of each is worth, in LUTs. */
export interface Prices extends Resources {
  readonly product: number;
  /** Of a latency of one interval, as a share of the area of all multipliers. */
  readonly latency: number;
}

export const DEFAULT_PRICES: Prices = {
  lut: 1,
  ff: 0.2,
  dsp: LUTS_PER_DSP,
  bram: 200,
  product: LUTS_PER_PRODUCT,
  latency: 1 / 8,
};

/** How many foldings are compared: `quick` to find out what fits. */
export type Effort = "quick" | "full";

export interface FoldingRequest {
  /** Most cycles that each kernel, channel and port may take per sample. */
  readonly ii: number;
  /** `DEFAULT_PRICES` where absent. */
  readonly prices?: Prices;
  /** Elements per beat of every input; the fewest that keep the interval where absent. */
  readonly inputWords?: readonly number[];
  /** Most bits per beat of an output; no limit where absent. */
  readonly outputBits?: number;
  /** `full` where absent. */
  readonly effort?: Effort;
}

/** A request in which nothing is left to defaults but the limit of the outputs. */
export interface WholeRequest extends FoldingRequest {
  readonly prices: Prices;
  readonly inputWords: readonly number[];
  readonly effort: Effort;
}

/** Options of the pass `unroll` that give this request again. */
export function unrollText(r: WholeRequest): string {
  const p = r.prices;
  const priced = {
    "lut-price": p.lut,
    "ff-price": p.ff,
    "dsp-price": p.dsp,
    "bram-price": p.bram,
    "product-price": p.product,
    "latency-price": p.latency,
  };
  return [
    `ii=${r.ii}`,
    ...Object.entries(priced).map(([k, v]) => `${k}=${v}`),
    `input-words="${r.inputWords.join("+")}"`,
    ...(r.effort === "full" ? [] : [`effort=${r.effort}`]),
    ...(r.outputBits === undefined ? [] : [`output-bits=${r.outputBits}`]),
  ].join(",");
}
