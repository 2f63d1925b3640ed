/**
 * Formats for tensors that are only compared with constants, as the features of trees are: what counts is not how small
 * an error is, but on which side of each constant a value falls.
 */
import type { Value } from "../../../ir/core.js";
import { roleOf } from "../../../ir/define-op.js";
import { roundTo } from "../../../ir/fixed-arith.js";
import { treesOf } from "../../../ir/nn/trees.js";
import { RELATIONS } from "../../../ir/trees.js";
import { fixed, rawRange, typeOfRange, type FixedType } from "../../../ir/types.js";
import { shapeOf } from "../../../ir/nn/values.js";
import { isView } from "../../../ir/nn/roles.js";
import * as nn from "../../../ir/nn/ops.js";

/** How a tensor must be represented for decisions to fall as in float. */
export interface DecisionGrid {
  readonly type: FixedType;
  /** Whether all samples are multiples of the step, so that thresholds may lie between. */
  readonly exact: boolean;
}

/**
 * Most bits that are given to decisions: some more than the significant bits of single precision, as numbers differ in
 * size.
 */
const MAX_BITS = 32;
/**
 * Bits by which values of leaves are finer than their sum is output, beyond those that the number of trees asks for.
 */
const GUARD_BITS = 2;
/** Thresholds that exceed all samples and nine of ten thresholds so many times count as infinite. */
const FAR = 4;
/** Range beyond that of the samples for other readers. */
const HEADROOM = 1.25;
/** Steps finer than 2^-40 are noise of conversions. */
const FINEST = 40;

interface Met {
  /** Thresholds per feature, along the last axis. */
  readonly sets: readonly Set<number>[];
  /** Whether nothing but trees reads the tensor. */
  readonly alone: boolean;
  readonly single: boolean;
}

/** The thresholds that the elements of `v` meet, also behind operations that move features. */
function thresholdsMet(v: Value): Met {
  const features = shapeOf(v).at(-1) ?? 1;
  const sets = Array.from({ length: features }, () => new Set<number>());
  let [alone, single] = [v.uses.length > 0, true];
  const add = (to: number, from: Iterable<number>): void => {
    for (const t of from) sets[to]!.add(t);
  };
  for (const { op, index } of v.uses) {
    if (op.name === nn.trees.name) {
      const e = treesOf(op);
      for (let i = 0; i < e.feature.length; i++)
        if (Number.isFinite(e.threshold[i]!)) sets[e.feature[i]!]!.add(e.threshold[i]!);
      single &&= !nn.trees.read(op).double;
      continue;
    }
    if (!isView(op) && roleOf(op) !== "join") {
      alone = false;
      continue;
    }
    const next = thresholdsMet(op.result);
    alone &&= next.alone;
    single &&= next.single;
    const last = shapeOf(v).length - 1;
    if (op.name === nn.concat.name && nn.concat.read(op).axis === last) {
      const start = op.operands.slice(0, index).reduce((n, o) => n + shapeOf(o).at(-1)!, 0);
      sets.forEach((_, i) => add(i, next.sets[start + i]!));
    } else if (op.name === nn.gather.name && nn.gather.read(op).axis === last)
      nn.gather.read(op).indices.forEach((i, k) => add(i, next.sets[k] ?? []));
    else if (op.name === nn.slice.name) {
      const { starts, steps } = nn.slice.read(op);
      next.sets.forEach((s, k) => add(starts[last]! + k * steps[last]!, s));
    } else if ((op.name === nn.reshape.name || op.name === nn.concat.name) && next.sets.length === features)
      next.sets.forEach((s, i) => add(i, s));
    // Whatever else moves: any element may meet any threshold.
    else sets.forEach((_, i) => next.sets.forEach((s) => add(i, s)));
  }
  return { sets, alone, single };
}

/** Thresholds per feature, ascending; undefined where no trees read `v`. */
function thresholdsOf(v: Value): { thresholds: Float64Array[]; alone: boolean; single: boolean } | undefined {
  const { sets, alone, single } = thresholdsMet(v);
  return sets.every((s) => s.size === 0)
    ? undefined
    : { thresholds: sets.map((s) => Float64Array.from(s).sort()), alone, single };
}

/** Index of the first of `sorted` that is above `x`. */
function upperBound(sorted: Float64Array, x: number): number {
  let [lo, hi] = [0, sorted.length];
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (sorted[mid]! <= x) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/**
 * The grid for features that trees read, or undefined where no trees read `v`. Its step is the coarsest at which no
 * sample shares a grid point with a threshold that it differs from, with a bit to spare; or that of the samples, where
 * they have a coarser one. Its range is that of the thresholds: what lies beyond saturates without changing sides.
 */
export function decisionGrid(
  v: Value,
  samples: readonly ArrayLike<number>[],
  bits = MAX_BITS,
): DecisionGrid | undefined {
  const found = thresholdsOf(v);
  if (found === undefined) return undefined;
  const { thresholds, alone, single } = found;
  let least = Infinity;
  let [smallest, largest] = [0, 0];
  // Fractional bits at which all samples are multiples of the step.
  let own = 0;
  const n = thresholds.length;
  for (const sample of samples) {
    for (let i = 0; i < sample.length; i++) {
      const x = single ? Math.fround(sample[i]!) : sample[i]!;
      smallest = Math.min(smallest, x);
      largest = Math.max(largest, Math.abs(x));
      while (own < FINEST && !Number.isInteger(x * 2 ** own)) own++;
      const t = thresholds[i % n]!;
      const above = upperBound(t, x);
      if (above < t.length) least = Math.min(least, t[above]! - x);
      let below = above - 1;
      if (below >= 0 && t[below] === x) below--;
      if (below >= 0) least = Math.min(least, x - t[below]!);
    }
  }
  const apart = Number.isFinite(least) ? Math.min(FINEST, 1 - Math.floor(Math.log2(least))) : 0;
  const exact = own <= apart;
  // What lies far beyond all samples, and nearly all thresholds, decides nothing that saturation would change.
  const sizes = Float64Array.from(thresholds.flatMap((t) => [...t.map(Math.abs)])).sort();
  const reach = FAR * Math.max(largest, sizes[Math.floor(0.9 * sizes.length)] ?? 0);
  const all = thresholds.flatMap((t) => [...t.filter((v) => Math.abs(v) <= reach)]);
  // What else reads the tensor wants it without saturation.
  const [lo, hi] = bounds([
    ...(all.length === 0 ? [0] : all),
    ...(alone ? [] : [HEADROOM * smallest, HEADROOM * largest]),
  ]);
  let frac = exact ? own : apart;
  // A step beyond the thresholds on both sides; below 0 only where there are such samples or thresholds.
  const typeAt = (f: number): FixedType =>
    typeOfRange(
      {
        lo: smallest < 0 || lo < 0 ? Math.min(0, Math.floor(lo * 2 ** f) - 1) : 0,
        hi: Math.max(1, Math.ceil(hi * 2 ** f) + 1),
      },
      f,
    );
  while (typeAt(frac).width > bits) frac--;
  return { type: typeAt(frac), exact: exact && frac >= own };
}

function bounds(values: readonly number[]): [number, number] {
  let [lo, hi] = [Infinity, -Infinity];
  for (const v of values) {
    lo = Math.min(lo, v);
    hi = Math.max(hi, v);
  }
  return [lo, hi];
}

/**
 * A threshold as a multiple of the step of `type`. Where values lie on the grid, any threshold between them does;
 * otherwise it is rounded as they are, so that one that equals it still does.
 */
export function thresholdOnGrid(
  t: number,
  relation: number,
  type: FixedType,
  exact: boolean,
): { threshold: number; relation: number } {
  // On one side of everything.
  if (!Number.isFinite(t)) return { threshold: t, relation };
  const { lo, hi } = rawRange(type);
  const unit = 2 ** -type.frac;
  const scaled = t / unit;
  const name = RELATIONS[relation]!;
  if (exact)
    return {
      threshold: name === "le" ? Math.floor(scaled) * unit : name === "lt" ? Math.ceil(scaled) * unit : t,
      relation,
    };
  return { threshold: Math.min(hi, Math.max(lo, roundTo(scaled, "half-even"))) * unit, relation };
}

/** The finest format of `width` bits in which all thresholds of the trees that read `v` fit. */
export function statedGrid(v: Value, width: number): FixedType | undefined {
  const all = thresholdsOf(v)?.thresholds.flatMap((t) => [...t]);
  if (all === undefined || all.length === 0) return undefined;
  const [lo, hi] = bounds(all);
  const signed = lo < 0;
  let frac = FINEST;
  const fits = (f: number): boolean => {
    const r = rawRange(fixed(width, f, signed));
    return Math.floor(lo * 2 ** f) - 1 >= (signed ? r.lo : -1) && Math.ceil(hi * 2 ** f) + 1 <= r.hi;
  };
  while (frac > -FINEST && !fits(frac)) frac--;
  return fixed(width, frac, signed);
}

/** Fractional bits of the values of leaves whose sums, up to `largest` in size, are output with `bits` bits. */
export function leafFraction(values: ArrayLike<number>, trees: number, largest: number, bits: number): number {
  // Rounding errors of the trees add up as their root; an output's own rounding shall stay the larger part.
  let frac =
    largest === 0
      ? 0
      : bits - 1 - Math.ceil(Math.log2(largest)) + Math.ceil(Math.log2(Math.max(1, trees)) / 2) + GUARD_BITS;
  const all = Array.from(values);
  while (frac > -30 && all.every((x) => Number.isInteger(x * 2 ** (frac - 1)))) frac--;
  return frac;
}
