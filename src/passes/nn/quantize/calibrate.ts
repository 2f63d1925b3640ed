/**
 * Statistics of every tensor of a float module over calibration samples: what range selection and weight rounding look
 * at.
 */
import { UserError } from "../../../diagnostics/index.js";
import type { Module, Op, Value } from "../../../ir/core.js";
import { decidesBySign, roleOf, type Role } from "../../../ir/define-op.js";
import { prepareNn } from "../../../ir/eval/nn-fixed.js";
import { fixedOf, constantOf, shapeOf } from "../../../ir/nn/values.js";
import { decisionGrid, type DecisionGrid } from "./decisions.js";
import { placeOf } from "../../../ir/verify.js";

/** One sample: real values per network input, in the order of the function's arguments. */
export type Sample = readonly ArrayLike<number>[];

export interface TensorStats {
  readonly min: number;
  readonly max: number;
  /** A pseudo-random (but fixed) choice of values, extremes included. */
  readonly values: Float64Array;
  /** Of an input that is a list of features: bits by which the largest feature exceeds the small ones; otherwise 0. */
  readonly spread: number;
  /** Of an input that trees alone read. */
  readonly decisions?: DecisionGrid;
}

/** Values kept per tensor: enough for the error of a format to within a percent or so. */
const KEPT = 8192;
/** Samples that are evaluated; more change the formats of the example networks no further. */
export const MAX_SAMPLES = 256;

/**
 * Collects a spread of values from a stream of unknown order: steps of pseudo-random length with the mean that fills
 * the array.
 */
class Collector {
  min = Infinity;
  max = -Infinity;
  private readonly kept: number[] = [];
  private wait = 0;
  private seed = 12345;

  /** @param limit what is as large as this does not count */
  constructor(
    private readonly step: number,
    private readonly limit: number,
  ) {}

  add(all: Float64Array): void {
    const data = this.limit === Infinity ? all : all.filter((v) => Math.abs(v) < this.limit);
    for (let i = 0; i < data.length; i++) {
      const v = data[i]!;
      if (v < this.min) this.min = v;
      if (v > this.max) this.max = v;
      // A comparison with NaN is false, so one NaN would go unseen.
      if (!Number.isFinite(v)) this.min = NaN;
    }
    if (this.step === 1) {
      for (let i = 0; i < data.length; i++) this.kept.push(data[i]!);
      return;
    }
    let at = this.wait;
    for (; at < data.length; at += this.next()) this.kept.push(data[at]!);
    this.wait = at - data.length;
  }
  /** 1 to 2 x step - 1, so that no regular structure of the tensor is in step with it. */
  private next(): number {
    this.seed = (Math.imul(this.seed, 1664525) + 1013904223) | 0;
    return 1 + Math.floor(((this.seed >>> 8) / 2 ** 24) * (2 * this.step - 1));
  }
  stats(): TensorStats {
    if (this.limit !== Infinity && this.kept.length === 0)
      return { min: 0, max: 0, values: new Float64Array(0), spread: 0 };
    return { min: this.min, max: this.max, values: Float64Array.from([this.min, this.max, ...this.kept]), spread: 0 };
  }
}

/** Samples spread evenly over `samples`, at most `count`. */
export function spread(samples: readonly Sample[], count: number): readonly Sample[] {
  if (samples.length <= count) return samples;
  return Array.from({ length: count }, (_, i) => samples[Math.floor((i * samples.length) / count)]!);
}

/**
 * Constants from here on are chosen where a value must not count: they stand for the lowest or highest value of a
 * format.
 */
export const BEYOND = 2 ** 23;

/** Roles that hand on that a value does not count. */
const HANDS_ON: ReadonlySet<Role | undefined> = new Set(["view", "join", "aligned", "fold", "exact"]);

/**
 * Values some elements of which do not count: a choice from a constant beyond all formats, and what follows from it.
 */
export function maskedValues(module: Module): Set<Value> {
  const masked = new Set<Value>();
  const isBeyond = (v: Value): boolean => constantOf(v)?.data.some((c) => Math.abs(c) >= BEYOND) ?? false;
  for (const op of module.func.body.ops) {
    if (!HANDS_ON.has(roleOf(op))) continue;
    const read = op.operands.filter((_, i) => !decidesBySign(op, i));
    const chosen = read.length < op.operands.length && read.some(isBeyond);
    if (chosen || read.some((v) => masked.has(v))) masked.add(op.result);
  }
  return masked;
}

/** The magnitude from which elements of each value do not count: Infinity but for masked ones. */
export function countingLimits(module: Module): (v: Value) => number {
  const masked = maskedValues(module);
  return (v) => (masked.has(v) ? BEYOND / 2 : Infinity);
}

/**
 * Statistics by value, of all but constants. Elements that do not count are left out.
 *
 * @errors QU006 where a value is infinite or not a number
 */
export function calibrate(module: Module, samples: readonly Sample[]): Map<Value, TensorStats> {
  const used = spread(samples, MAX_SAMPLES);
  const collectors = new Map<Value, Collector>();
  const limitOf = countingLimits(module);
  const collect = (v: Value, data: Float64Array): void => {
    let c = collectors.get(v);
    if (c === undefined)
      collectors.set(v, (c = new Collector(Math.max(1, Math.floor((data.length * used.length) / KEPT)), limitOf(v))));
    c.add(data);
  };
  const program = prepareNn(module);
  program.observe = collect;
  const args = module.func.body.args;
  for (const sample of used) {
    program.run(sample);
    args.forEach((a, i) => collect(a, Float64Array.from(sample[i]!)));
  }
  const result = new Map<Value, TensorStats>();
  for (const [v, c] of collectors) {
    const stats =
      v.def === undefined
        ? inputStats(
            v,
            c.stats(),
            used.map((s) => s[args.indexOf(v)]!),
            samples.map((s) => s[args.indexOf(v)]!),
          )
        : c.stats();
    if (!Number.isFinite(stats.min) || !Number.isFinite(stats.max))
      throw UserError.of("QU006", { what: describeValue(v) }, placeOfValue(v));
    result.set(v, stats);
  }
  return result;
}

/**
 * What is looked at in inputs alone, sample by sample: decisions in all samples, as one bit more is cheap and a wrong
 * one is not.
 */
function inputStats(
  v: Value,
  stats: TensorStats,
  used: readonly ArrayLike<number>[],
  all: readonly ArrayLike<number>[],
): TensorStats {
  const decisions = decisionGrid(v, all);
  return { ...stats, spread: featureSpread(v, used), ...(decisions && { decisions }) };
}

/** Features below this ratio of ranges share a grid without harm. */
const UNEVEN = 16;

/**
 * log2 of the largest feature's range over that of the tenth smallest in a hundred. Tables of features come as they
 * were measured, lengths beside counts; pixels of an image have one scale, however dark some corner is.
 */
function featureSpread(arg: Value, samples: readonly ArrayLike<number>[]): number {
  const shape = shapeOf(arg);
  if (shape.length > 2) return 0;
  const size = shape.reduce((n, d) => n * d, 1);
  const ranges = Array.from({ length: size }, (_, i) => samples.reduce((m, s) => Math.max(m, Math.abs(s[i]!)), 0))
    .filter((r) => r > 0)
    .sort((a, b) => a - b);
  if (ranges.length < 2) return 0;
  const ratio = ranges[ranges.length - 1]! / ranges[Math.floor(ranges.length / 10)]!;
  return ratio < UNEVEN ? 0 : Math.ceil(Math.log2(ratio));
}

/** Words for messages and reports: the ONNX node, or the name of the tensor. */
export function describeValue(v: Value): string {
  const node = v.def?.loc.nodes[0];
  if (v.def === undefined) return `input "${v.hint ?? v.index}"`;
  return node === undefined ? `the result of ${v.def.name}` : `the result of "${node}"`;
}
export function placeOfValue(v: Value): ReturnType<typeof placeOf> {
  return v.def === undefined ? {} : placeOf(v.def.loc);
}

/**
 * Rows that meet the weights of a linear operation: for conv the patches of one group (inGroup x kernel values each),
 * for matmul the rows of its first operand. At most `limit` rows per group.
 */
export function inputRows(
  module: Module,
  ops: readonly Op[],
  samples: readonly Sample[],
  extract: (op: Op, x: Float64Array) => Float64Array[][],
  limit: number,
): Map<Op, Float64Array[][]> {
  const used = spread(samples, 64);
  const program = prepareNn(module);
  const latest = new Map<Value, Float64Array>();
  program.observe = (v, data) => latest.set(v, data);
  const rows = new Map<Op, Float64Array[][]>();
  used.forEach((sample, s) => {
    program.run(sample);
    module.func.body.args.forEach((a, i) => latest.set(a, Float64Array.from(sample[i]!)));
    for (const op of ops) {
      const x = op.operand(0);
      if (fixedOf(x) !== undefined) continue;
      const groups = extract(op, latest.get(x)!);
      const all = rows.get(op) ?? groups.map(() => []);
      rows.set(op, all);
      groups.forEach((g, i) => {
        // An even share of each sample's rows.
        const share = Math.ceil((limit * (s + 1)) / used.length) - all[i]!.length;
        for (let k = 0; k < Math.min(share, g.length); k++)
          all[i]!.push(g[Math.floor(((k + 0.5) * g.length) / Math.min(share, g.length))]!);
      });
    }
  });
  return rows;
}
