/** What the search for widths (search.ts) is given, and what it finds. */
import type { MeasuredError, OutputBound } from "./bounds.js";
import type { Sample } from "./calibrate.js";
import type { PrecisionSpec } from "./precision.js";
import type { WeightOptions } from "./quantizer.js";
import type { WidthVariable } from "./search-space.js";
import type { QuantizeOptions } from "./width-facts.js";

export interface SearchOptions {
  /** What the bounds are kept on; formats are chosen from these samples, too. */
  readonly samples: readonly Sample[];
  /** What decides whether the search has fitted the widths to its samples too closely; may be empty. */
  readonly validation: readonly Sample[];
  readonly bounds: readonly OutputBound[];
  /** Widths of what is not searched. What it states for single layers stays. */
  readonly base: PrecisionSpec;
  readonly quantize: Omit<QuantizeOptions, "precision">;
  readonly weights: WeightOptions;
  readonly progress: (phase: string, done: number, total: number) => void;
}

export interface ChosenWidth extends WidthVariable {
  readonly bits: number;
  /** Share of the network's cost in which this width is a factor. */
  readonly cost_share: number;
  /** Share of the noise at the outputs, as measured for this width by itself. */
  readonly noise_share: number;
  /** What one bit less alone would add to the noise at the outputs, relative to what the bounds allow in all. */
  readonly next_bit: number;
}

/** One precision for the whole network, for comparison. */
export interface UniformPrecision {
  readonly precision: string;
  readonly cost: number;
  readonly kept: boolean;
  readonly errors: readonly MeasuredError[];
}

export interface SearchResult {
  readonly precision: PrecisionSpec;
  readonly cost: number;
  readonly chosen: readonly ChosenWidth[];
  /** On the samples of the search, by bound. */
  readonly errors: readonly MeasuredError[];
  /** The precision that would have been used without a bound. */
  readonly base: UniformPrecision;
  /**
   * The narrowest one of the same kind (all weights, all activations alike) that keeps the bounds; undefined where none
   * does.
   */
  readonly uniform: UniformPrecision | undefined;
  /** Networks that were evaluated. */
  readonly evaluations: number;
}
