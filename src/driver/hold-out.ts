/** Which samples choose number formats, and which ones tell how accurate the result is. */
import type { Module } from "../ir/core.js";
import { EXACT } from "../passes/nn/integerize.js";
import { MAX_SAMPLES, spread, type Sample } from "../passes/nn/quantize/calibrate.js";
import { linearView } from "../passes/nn/quantize/linear.js";
import { roundedLayers } from "../passes/nn/quantize/quantizer.js";

export interface Split {
  readonly calibration: readonly Sample[];
  /** Samples that take no part in anything but measuring. */
  readonly heldOut: readonly Sample[];
  /**
   * Where calibration needs all samples: quantizations of the same network from a part of them each, to be measured on the rest.
   * The design is made from all; what is measured is, if anything, a little worse than the design.
   */
  readonly refits: readonly { readonly calibration: readonly Sample[]; readonly heldOut: readonly Sample[] }[];
  /** Why accuracy can only be measured on the samples that choose formats; absent where it is not. */
  readonly none?: string;
}

/** Holds out `share` of the samples, evenly spread over them. */
export function splitSamples(samples: readonly Sample[], share: number): Split {
  const isHeldOut = (i: number): boolean => Math.floor((i + 1) * share + 1e-9) > Math.floor(i * share + 1e-9);
  const heldOut = samples.filter((_, i) => isHeldOut(i));
  const none = share === 0 ? "--hold-out 0 keeps none for measuring" : heldOut.length === 0 ? `${share} of ${count(samples.length, "sample")} is none` : undefined;
  return { calibration: samples.filter((_, i) => !isHeldOut(i)), heldOut, refits: [], ...(none !== undefined && { none }) };
}

/** Part of the samples that is measured on where calibration could use them all, and most refits. */
const QUARTER = 4;
/** From so many samples on, a quarter of them is enough to measure on. */
const ENOUGH = 64;
/** Work of rounding weights, in multiply-accumulates, that refits may take. */
const REFIT_WORK = 2e9;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * As `splitSamples`, where no share is stated: calibration takes as many samples as it uses, which is at most MAX_SAMPLES, so that
 * keeping samples apart costs a design nothing. `float` is the prepared network.
 */
export function splitByNeed(samples: readonly Sample[], float: Module): Split {
  const n = samples.length;
  if (float.func.body.ops.every((op) => op.name === "return" || op.name === "nn.constant" || op.name === "nn.round" || op.name === "nn.lookup" || op.attrs[EXACT] === true)) return { calibration: samples, heldOut: samples, refits: [] };
  if (n - MAX_SAMPLES >= n / QUARTER) {
    const used = new Set(spread(samples, MAX_SAMPLES));
    return { calibration: [...used], heldOut: samples.filter((s) => !used.has(s)), refits: [] };
  }
  if (n < 2) return { calibration: samples, heldOut: [], refits: [], none: "there is only one" };
  const parts = Math.min(QUARTER, n);
  // A sequence that is in step with nothing: data is often sorted, or repeats in turn.
  const part = samples.map((_, i) => (n < 2 * QUARTER ? i % parts : Math.floor(((i * GOLDEN) % 1) * parts)));
  const work = roundedLayers(float).reduce((sum, op) => sum + linearView(op).matrix.inputs ** 3, 1);
  const refits = n >= ENOUGH ? 1 : Math.max(1, Math.min(parts, Math.floor(REFIT_WORK / work)));
  return {
    calibration: samples,
    heldOut: [],
    refits: Array.from({ length: refits }, (_, k) => ({ calibration: samples.filter((_, i) => part[i] !== k), heldOut: samples.filter((_, i) => part[i] === k) })),
  };
}

/** Samples that accuracy is measured on, in words. */
export function measuredOn(split: Split, judging: number): string {
  if (split.none !== undefined) return `${count(judging, "sample")} that chose the number formats as well`;
  if (split.refits.length === 0) return `${count(judging, "sample")} that did not calibrate`;
  return `${count(judging, "sample")} that did not calibrate (the network quantized ${split.refits.length === 1 ? "again" : `${split.refits.length} times more`} from the others)`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
