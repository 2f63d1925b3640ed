/** Which samples choose number formats, and which ones tell how accurate the result is. */
import type { Module } from "../ir/core.js";
import { EXACT } from "../passes/nn/integerize.js";
import { MAX_SAMPLES, spread, type Sample } from "../passes/nn/quantize/calibrate.js";
import { linearView, macsOf } from "../passes/nn/quantize/linear.js";
import { roundedLayers } from "../passes/nn/quantize/quantizer.js";
import { makesCodes } from "../ir/nn/roles.js";
import { roleOf } from "../ir/define-op.js";

export interface Split {
  readonly calibration: readonly Sample[];
  /** Samples that take no part in anything but measuring. */
  readonly heldOut: readonly Sample[];
  /**
   * Where calibration needs all samples: quantizations of the same network from a part of them each, to be measured on
   * the rest. The design is made from all; what is measured is, if anything, a little worse than the design.
   */
  readonly refits: readonly { readonly calibration: readonly Sample[]; readonly heldOut: readonly Sample[] }[];
  /** Whether the samples are so few that what is measured on others than those of the design refuses nothing. */
  readonly few?: boolean;
  /** Why accuracy can only be measured on the samples that choose formats; absent where it is not. */
  readonly none?: string;
}

/** Holds out `share` of the samples, evenly spread over them. */
export function splitSamples(samples: readonly Sample[], share: number): Split {
  const isHeldOut = (i: number): boolean => Math.floor((i + 1) * share + 1e-9) > Math.floor(i * share + 1e-9);
  const heldOut = samples.filter((_, i) => isHeldOut(i));
  const none =
    share === 0
      ? "--hold-out 0 keeps none for measuring"
      : heldOut.length === 0
        ? `${share} of ${count(samples.length, "sample")} is none`
        : undefined;
  return {
    calibration: samples.filter((_, i) => !isHeldOut(i)),
    heldOut,
    refits: [],
    ...(none !== undefined && { none }),
  };
}

/** Part of the samples that is measured on where calibration could use them all. */
const QUARTER = 4;
/**
 * So many samples are measured on where they are there. An error that one sample in 32 has (a value beyond a format, a
 * quotient near its pole) is among 16 in four cases of ten, among 64 in nine.
 */
const ENOUGH = 64;
/**
 * Fewer do not say what others are like: one that is larger than the rest is missed by a quantization without it, not
 * by the design.
 */
const FEW = 32;
/** Multiply-accumulates that refits may take; where they are dear, fewer samples are measured on. */
const REFIT_WORK = 1.5e9;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * As `splitSamples`, where no share is stated: calibration takes as many samples as it uses, which is at most
 * MAX_SAMPLES, so that keeping samples apart costs a design nothing. `float` is the prepared network.
 */
export function splitByNeed(samples: readonly Sample[], float: Module): Split {
  const n = samples.length;
  const all = { calibration: samples, heldOut: [], refits: [] };
  // Nothing is chosen from samples where all numbers are the model's own.
  if (
    float.func.body.ops.every(
      (op) => op.name === "return" || roleOf(op) === "constant" || makesCodes(op) || op.attrs[EXACT] === true,
    )
  )
    return { ...all, heldOut: samples };
  if (n - MAX_SAMPLES >= n / QUARTER) {
    const used = new Set(spread(samples, MAX_SAMPLES));
    return { ...all, calibration: [...used], heldOut: samples.filter((s) => !used.has(s)) };
  }
  if (n < 2) return { ...all, none: "there is only one" };
  const parts = Math.min(QUARTER, n);
  // In an order that is in step with nothing: data is often sorted, or repeats in turn.
  const order = samples.map((_, i) => i).sort((i, j) => ((i * GOLDEN) % 1) - ((j * GOLDEN) % 1));
  const part = new Map(order.map((i, rank) => [i, Math.floor((rank * parts) / n)]));
  const refits = Array.from({ length: parts }, (_, k) => ({
    calibration: samples.filter((_, i) => part.get(i) !== k),
    heldOut: samples.filter((_, i) => part.get(i) === k),
  }));
  // Rounding of weights, and two runs of the network for each sample.
  const rounding = roundedLayers(float).reduce((sum, op) => sum + linearView(op).matrix.inputs ** 3, 1);
  const affordable = Math.floor(
    REFIT_WORK / (rounding + 2 * n * float.func.body.ops.reduce((sum, op) => sum + macsOf(op), 0)),
  );
  // One more than measure at first: what is changed then is measured without that which it has looked at.
  const needed = 1 + Math.ceil((ENOUGH * parts) / n);
  return {
    ...all,
    refits: refits.slice(0, Math.min(needed, Math.max(n < FEW ? 1 : 2, affordable))),
    few: n < FEW,
  };
}

/**
 * The refits that judge what has been made without a look at them, and what has been changed (`cured`) with a look at
 * the first.
 */
export function judges(split: Split, cured: boolean): Split["refits"] {
  const { refits } = split;
  if (split.few === true) return refits;
  if (cured) return refits.slice(1);
  let judging = 0;
  return refits.filter((r) => {
    const isNeeded = judging < ENOUGH;
    judging += r.heldOut.length;
    return isNeeded;
  });
}

/** Samples that accuracy is measured on, in words. */
export function measuredOn(split: Split, judging: number, refits: number): string {
  if (split.none !== undefined) return `${count(judging, "sample")} that chose the number formats as well`;
  if (split.refits.length === 0) return `${count(judging, "sample")} that did not calibrate`;
  return `${count(judging, "sample")} that did not calibrate (the network quantized ${refits === 1 ? "again" : `${refits} times more`} from the others)`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
