/**
 * What quantization has decided so far: a width and a format for every tensor that is rounded, rounded weights for
 * every linear operation. Formats follow from calibration unless refinement moves their binary point.
 */
import type { Op, Value } from "../../../ir/core.js";
import { numAttr, strAttr } from "../../../ir/define-op.js";
import { shapeOf, valuesOfDense, constantOf } from "../../../ir/nn/values.js";
import { unaryFunction } from "../../../ir/nn/unary-table.js";
import { fixed, typeOfRange, type FixedType } from "../../../ir/types.js";
import type { TensorStats } from "./calibrate.js";
import { statedGrid } from "./decisions.js";
import { VIEWS } from "./views.js";
import { chooseFormat, roomyFormat, spreadBits } from "./formats.js";
import { isLinear, macsOf } from "./linear.js";
import type { LayerPrecision, PrecisionSpec } from "./precision.js";
import { chooseArgument, chooseSegments, isRelative, isSteep, relativeResult, type TableSegment } from "./tables.js";
import type { RoundedWeights } from "./weights.js";

export interface QuantizeOptions {
  readonly precision: PrecisionSpec;
  /** Most bits of a table's argument. */
  readonly tableBits: number;
  /** The same for reciprocals, whose argument may span orders of magnitude. */
  readonly reciprocalBits: number;
  /** Bits that light layers get on top: see `isLight`. */
  readonly lightBits: number;
  /**
   * Width of tensors that only scale others: sums and products around a normalisation, which are few but widely spread.
   */
  readonly scaleBits: number;
}

export { VIEWS };

export class Plan {
  /** Steps of the binary point away from the calibrated choice, by tensor. */
  readonly shifts = new Map<Value, number>();
  private readonly memo = new Map<Value, FixedType>();

  constructor(
    readonly stats: ReadonlyMap<Value, TensorStats>,
    readonly options: QuantizeOptions,
    readonly weights: ReadonlyMap<Op, RoundedWeights>,
    /** Multiply-accumulates of the whole network. */
    private readonly totalMacs: number,
  ) {}

  statsOf(v: Value): TensorStats {
    return this.stats.get(v) ?? { min: 0, max: 0, values: new Float64Array(0), spread: 0 };
  }

  /** What is stated for `v`: for its ONNX node, and with precedence for the tensor itself. */
  layer(v: Value): LayerPrecision {
    const { layers } = this.options.precision;
    if (layers.size === 0) return {};
    let found: LayerPrecision = {};
    for (const name of [...(v.def?.loc.nodes ?? []).toReversed(), v.hint])
      if (name !== undefined) found = { ...found, ...layers.get(name) };
    return found;
  }

  weightWidth(op: Op): number {
    const { precision, lightBits } = this.options;
    return this.layer(op.result).weights ?? widened(precision.weights, this.isLight(op) ? lightBits : 0);
  }

  /**
   * Significant bits of a constant that `op` multiplies activations with, beyond those by which its elements differ.
   */
  factorWidth(op: Op): number {
    return this.layer(op.result).weights ?? Math.max(CONSTANT_BITS, this.options.precision.weights);
  }

  /**
   * Whether `op` is one of the layers that hardly cost anything: below 1% of the network's products. The last layers of
   * a regression network are the typical ones, and they are where rounding shows directly in the result.
   */
  private isLight(op: Op): boolean {
    return macsOf(op) < LIGHT_SHARE * this.totalMacs;
  }
  /** Whether `v` is read by light linear layers only. */
  private feedsLight(v: Value): boolean {
    return (
      v.uses.length > 0 &&
      v.uses.every(({ op }) => (VIEWS.has(op.name) ? this.feedsLight(op.result) : isLinear(op) && this.isLight(op)))
    );
  }

  /**
   * What is stated for `v`, or for the operation in front of it whose exact result `v` takes along to its own rounding.
   */
  private statedWidth(v: Value): number | undefined {
    const own = this.layer(v);
    const stated = own.output ?? (v.def === undefined ? own.input : undefined) ?? own.activations;
    if (stated !== undefined || v.def === undefined || !PASSES_ON.has(v.def.name)) return stated;
    for (const x of v.def.operands) {
      if (x.def === undefined || x.def.name === "nn.constant" || x.uses.length !== 1) continue;
      const before = this.statedWidth(x);
      if (before !== undefined) return before;
    }
    return undefined;
  }

  /** Bits that are stated for `v` where it leaves the network. */
  statedOutput(v: Value): number | undefined {
    return this.statedWidth(v) ?? (feedsOutput(v) ? this.options.precision.output : undefined);
  }

  /** Bits of tensor `v` where it is rounded. */
  width(v: Value): number {
    const stated = this.statedWidth(v);
    return stated ?? Math.max(this.ownWidth(v), this.absoluteWidth(v));
  }

  /**
   * Bits of a tensor whose differences count as they are, however large it is: the arguments of exp. 0 for other
   * tensors.
   */
  private absoluteWidth(v: Value): number {
    const lsb = v.def?.name === "nn.constant" ? Infinity : this.finestStep(v);
    const { min, max } = this.statsOf(v);
    const reach = Math.max(max, -min);
    if (lsb === Infinity || reach <= 0) return 0;
    return Math.min(SCORE_WIDTH, Math.ceil(Math.log2((reach * SCORE_HEADROOM) / lsb)) + (min < 0 ? 1 : 0));
  }

  /** The step at which `v` must be known for the exponents that are made of it; Infinity where none is. */
  private finestStep(v: Value): number {
    const each = v.uses.map(({ op, index }) => {
      if (op.name === "nn.unary") return strAttr(op, "fn") === "exp_tail" ? EXP_STEP : Infinity;
      const other = op.operands[1 - index];
      if (op.name === "nn.mul") {
        const c = other && constantOf(other);
        return c === undefined
          ? Infinity
          : this.finestStep(op.result) / valuesOfDense(c).reduce((a, x) => Math.max(a, Math.abs(x)), 0);
      }
      // Errors of factors are independent of one another, so that those of a product's terms grow with the root of
      // their number.
      if (op.name === "nn.matmul" && other !== undefined && constantOf(op.operand(1)) === undefined) {
        const { values } = this.statsOf(other);
        const n = shapeOf(op.operand(0)).at(-1)!;
        const size = Math.sqrt(values.reduce((a, x) => a + x * x, 0) / Math.max(1, values.length));
        return (FACTOR_STEPS * this.finestStep(op.result)) / (Math.sqrt(n) * size);
      }
      const extreme = op.name === "nn.reduce" && strAttr(op, "kind") !== "sum";
      return (PASSES_ON.has(op.name) && op.name !== "nn.leaky_relu") ||
        extreme ||
        (op.name === "nn.select_neg" && index > 0)
        ? this.finestStep(op.result)
        : Infinity;
    });
    return Math.min(Infinity, ...each);
  }

  private ownWidth(v: Value): number {
    const { precision, scaleBits, lightBits } = this.options;
    // A reader may state the width of what it reads; a table's argument is rounded on its own.
    const read = v.uses
      .filter((u) => u.op.name !== "nn.unary")
      .map((u) => this.layer(u.op.results[0] ?? v).input)
      .filter((w) => w !== undefined);
    if (read.length > 0) return Math.max(...read);
    if (feedsOutput(v)) return precision.output ?? Math.max(16, precision.activations);
    if (v.def?.name === "nn.constant") return LIGHT_WIDTH;
    const limits = v.def === undefined && precision.input === undefined ? this.limits(v) : undefined;
    if (limits !== undefined) return limits.width;
    // What is close to a step comes out on its other side: the finer, the less often.
    if (feedsWhole(v))
      return (
        (v.def === undefined ? (precision.input ?? integerBits(this.statsOf(v))) : undefined) ??
        Math.max(LIGHT_WIDTH, precision.activations)
      );
    // Rows that a normalisation brings to one size need as much more as the smallest is smaller.
    const uneven = (roots: readonly Op[]): number => precision.activations + Math.ceil(this.octaves(roots) / 2);
    const normalized = Math.max(
      precision.activations,
      Math.min(LIGHT_WIDTH, uneven(normalizations(v)) - SMALL_ROW_BITS),
    );
    const { decisions } = this.statsOf(v);
    if (decisions !== undefined) return precision.input ?? decisions.type.width;
    if (v.def === undefined)
      return (
        precision.input ??
        integerBits(this.statsOf(v)) ??
        Math.max(normalized, Math.min(FEATURE_WIDTH, precision.activations + this.statsOf(v).spread))
      );
    const steep = steepBelow(v);
    // Sums that a root or reciprocal reads: the small ones count as much as the large ones.
    if (steep.length > 0)
      return Math.max(
        scaleBits + Math.max(0, Math.min(MAX_SPREAD, this.octaves(steep) - SCALE_OCTAVES)),
        precision.activations,
      );
    if (isScale(v)) return Math.max(scaleBits, precision.activations, Math.min(CENTRED_WIDTH, uneven(scalingRoots(v))));
    if (normalized > precision.activations) return normalized;
    const factors = unevenFactor(v);
    if (factors > 0) return Math.min(FEATURE_WIDTH, precision.activations + factors);
    if (this.weighs(v)) return Math.min(precision.activations, Math.max(precision.weights, WEIGHING_WIDTH));
    return widened(precision.activations, this.feedsLight(v) ? lightBits : 0);
  }

  /** The format of an input of integers that is limited wherever it is read. */
  private limits(v: Value): FixedType | undefined {
    return this.statsOf(v).values.every(Number.isInteger) ? integerLimits(v) : undefined;
  }

  /** log2 of the ratio of the arguments that occur at roots and reciprocals. */
  private octaves(ops: readonly Op[]): number {
    const each = ops.map((op) => {
      const { values, max } = this.argumentStats(op);
      const least = values.reduce((a, b) => (b > 0 && b < a ? b : a), Infinity);
      return max > least ? Math.ceil(Math.log2(max / least)) : 0;
    });
    return Math.max(0, ...each);
  }

  /**
   * What occurs at the argument of a function. Rows that vary less than the network's own epsilon are constant, and
   * what is left of them is noise: nothing that a root or reciprocal should resolve.
   */
  private argumentStats(op: Op): TensorStats {
    const stats = this.statsOf(op.operand(0));
    const epsilon = isRelative(strAttr(op, "fn")) ? epsilonOf(op.operand(0)) : 0;
    // What is added to keep off zero is small; anything else is a part of the argument.
    const floor = epsilon < EPSILON_SHARE * stats.max ? 2 * epsilon : 0;
    const values = stats.values.filter((v) => v > floor);
    return floor === 0 || values.length === 0
      ? stats
      : { ...stats, values, min: values.reduce((a, b) => Math.min(a, b), Infinity) };
  }

  /** What occurs at the result of a reciprocal or reciprocal root of such arguments; larger results saturate. */
  private resultStats(op: Op): TensorStats {
    const [all, counting, stats] = [this.statsOf(op.operand(0)), this.argumentStats(op), this.statsOf(op.result)];
    return counting === all
      ? stats
      : { ...stats, max: Math.min(stats.max, unaryFunction(strAttr(op, "fn"))!(counting.min)) };
  }

  /**
   * Whether `v` plays the part of the weights: the second factor of products of two variables, such as the keys and
   * values of an attention. At a weight's width two of its products share a multiplier block.
   */
  private weighs(v: Value): boolean {
    return (
      v.uses.length > 0 &&
      v.uses.every(({ op, index }) =>
        VIEWS.has(op.name) ? this.weighs(op.result) : op.name === "nn.matmul" && index === 1 && !this.isLight(op),
      )
    );
  }

  /** Whether the samples of `v`, which trees compare with their thresholds, lie on the grid of its format. */
  onGrid(v: Value): boolean {
    if (v.def !== undefined)
      return !VIEWS.has(v.def.name) && v.def.name !== "nn.concat"
        ? true
        : v.def.operands.every((o) => o.def?.name === "nn.constant" || this.onGrid(o));
    const { decisions } = this.statsOf(v);
    return decisions?.exact === true && this.format(v).frac >= decisions.type.frac;
  }

  /** The format to which `v` is rounded. */
  format(v: Value): FixedType {
    const found = this.memo.get(v);
    if (found !== undefined) return this.shifted(v, found);
    const stats = this.statsOf(v);
    if (stats.decisions !== undefined) {
      const stated = this.statedWidth(v) ?? this.options.precision.input;
      const type = stated === undefined ? stats.decisions.type : (statedGrid(v, stated) ?? stats.decisions.type);
      this.memo.set(v, type);
      return type;
    }
    const width = this.width(v);
    const isReciprocal = v.def?.name === "nn.unary" && isRelative(strAttr(v.def, "fn"));
    const limits = v.def === undefined ? this.limits(v) : undefined;
    if (limits !== undefined && limits.width === width) {
      this.memo.set(v, limits);
      return this.shifted(v, limits);
    }
    const integers =
      v.def === undefined && this.layer(v).input === undefined && this.options.precision.input === undefined
        ? integerBits(stats)
        : undefined;
    const type =
      integers === width
        ? fixed(width, 0, stats.min < 0)
        : isReciprocal
          ? relativeResult(this.resultStats(v.def!), width)
          : width >= ROOMY
            ? roomyFormat(stats, width)
            : chooseFormat(stats, width);
    this.memo.set(v, type);
    return this.shifted(v, type);
  }

  private shifted(v: Value, type: FixedType): FixedType {
    const shift = this.shifts.get(v) ?? 0;
    return shift === 0 ? type : { ...type, frac: type.frac + shift };
  }

  private readonly argumentMemo = new Map<string, readonly TableSegment[]>();

  /** Width of the argument of `op`, an nn.unary. */
  argumentWidth(op: Op): number {
    return Math.max(...this.argument(op).map((s) => s.from.width));
  }

  /** The formats in which `op`, an nn.unary, reads its argument, by the size of the argument. */
  argument(op: Op): readonly TableSegment[] {
    const fn = strAttr(op, "fn");
    const to = this.format(op.result);
    const key = `${op.result.id}:${to.signed}:${to.width}:${to.frac}`;
    let segments = this.argumentMemo.get(key);
    if (segments === undefined) {
      const stated = this.layer(op.result).input;
      const bits = Math.min(
        MAX_TABLE_BITS,
        stated ?? (isSteep(fn) || isEnsemble(op.operand(0)) ? this.options.reciprocalBits : this.options.tableBits),
      );
      // A width that is stated is taken as it is; otherwise bits that gain nothing are left out.
      const stats = this.argumentStats(op);
      segments = chooseSegments(
        fn,
        stats,
        chooseArgument(fn, stats, to, bits, stated === undefined ? 1.5 : 1),
        to,
        bits,
      );
      this.argumentMemo.set(key, segments);
    }
    return segments;
  }
}

/** Step of the argument of a softmax's exp: half of what its table of 8 bits resolves. */
const EXP_STEP = 2 ** -6;
/** Most bits of scores: a difference of 10^5 at that step. */
const SCORE_WIDTH = 24;
const SCORE_HEADROOM = 1.25;
/** Steps of the scores that the error of a query or key may be. */
const FACTOR_STEPS = 4;

/**
 * Operations whose operand goes on unrounded, so that what is stated for the operation in front counts for their
 * result.
 */
export const PASSES_ON: ReadonlySet<string> = new Set([
  ...VIEWS,
  "nn.add",
  "nn.sub",
  "nn.max",
  "nn.min",
  "nn.relu",
  "nn.neg",
  "nn.abs",
  "nn.leaky_relu",
  "nn.clip",
]);

/** Least significant bits of constants that multiply activations; as many as weights have where these have more. */
const CONSTANT_BITS = 8;

/** Most bits of an input whose features differ in range. */
const FEATURE_WIDTH = 20;

/** From this width on, what calibration has not seen matters more than one bit of resolution. */
const ROOMY = 13;

/** Share of the network's products below which a layer counts as light. */
const LIGHT_SHARE = 0.01;
/** Least width of a variable in the part of the weights: it has not been trained to be coarse. */
const WEIGHING_WIDTH = 8;
/** A table of more entries would be memory by itself. */
export const MAX_TABLE_BITS = 14;
/** Octaves of a sum that a scale's width resolves anyway, and most bits beyond them. */
const SCALE_OCTAVES = 6;
const MAX_SPREAD = 14;
/** Bits less than the smallest row of a normalised tensor would need: it is read by others as well. */
const SMALL_ROW_BITS = 2;
/** Most bits of a tensor less its mean: what one hardware multiplier squares. */
const CENTRED_WIDTH = 18;
/** Light layers stay within what one hardware multiplier takes. */
const LIGHT_WIDTH = 16;

function widened(width: number, by: number): number {
  return Math.max(width, Math.min(LIGHT_WIDTH, width + by));
}

/** Bits that hold a tensor of integers as it is, where 16 are enough: detector counts, pixels. */
export function integerBits(stats: TensorStats): number | undefined {
  if (!stats.values.every((v) => Number.isInteger(v))) return undefined;
  const magnitude = Math.max(stats.max, -stats.min - 1, 1);
  const bits = Math.ceil(Math.log2(magnitude + 1)) + (stats.min < 0 ? 1 : 0);
  return bits <= 16 ? bits : undefined;
}

/** The integers that an input is limited to wherever it is read: rows of a table, of which calibration sees a few. */
function integerLimits(v: Value): FixedType | undefined {
  const limits = v.uses.map(({ op }) =>
    op.name === "nn.whole" &&
    op.attrs["mode"] === "trunc" &&
    Number.isFinite(numAttr(op, "lo", -Infinity)) &&
    Number.isFinite(numAttr(op, "hi", Infinity))
      ? { lo: numAttr(op, "lo", 0), hi: numAttr(op, "hi", 0) }
      : undefined,
  );
  if (limits.length === 0 || limits.some((l) => l === undefined)) return undefined;
  const type = typeOfRange({ lo: Math.min(...limits.map((l) => l!.lo)), hi: Math.max(...limits.map((l) => l!.hi)) }, 0);
  return type.width <= MAX_INTEGER_BITS ? type : undefined;
}
/** Bits of an input of integers that leave no room for other formats. */
const MAX_INTEGER_BITS = 20;

/** Whether an integer or a phase is made of `v`, through what only shifts, turns or moves it. */
export function feedsWhole(v: Value): boolean {
  return v.uses.some(({ op, index }) => {
    if (op.name === "nn.whole" || op.name === "nn.fraction") return true;
    const shifts =
      (op.name === "nn.add" || op.name === "nn.sub" || op.name === "nn.mul") &&
      op.operand(1 - index).def?.name === "nn.constant";
    return (shifts || op.name === "nn.neg" || op.name === "nn.abs" || VIEWS.has(op.name)) && feedsWhole(op.result);
  });
}

/** Whether `v` reaches an output of the network through views alone. */
export function feedsOutput(v: Value): boolean {
  return v.uses.some(({ op }) => op.name === "return" || (VIEWS.has(op.name) && feedsOutput(op.result)));
}

/** Whether `v` is a sum of trees, exact to far more bits than layers are. */
function isEnsemble(v: Value): boolean {
  return (
    v.def?.name === "nn.trees" ||
    (v.def !== undefined && (VIEWS.has(v.def.name) || v.def.name === "nn.neg") && isEnsemble(v.def.operand(0)))
  );
}

/**
 * The roots and reciprocals whose argument are sums of `v`: squares below a normalisation. None where `v` is read
 * elsewhere too.
 */
function steepBelow(v: Value): Op[] {
  const found = v.uses.map(({ op, index }): Op[] => {
    if (op.name === "nn.unary") return isSteep(strAttr(op, "fn")) ? [op] : [];
    const other = op.operands[1 - index];
    const byConstant =
      (op.name === "nn.mul" || op.name === "nn.add" || op.name === "nn.max") && other?.def?.name === "nn.constant";
    return byConstant || op.name === "nn.reduce" || VIEWS.has(op.name) ? steepBelow(op.result) : [];
  });
  return found.some((f) => f.length === 0) ? [] : found.flat();
}

/** Part of the largest argument of a root or reciprocal that an epsilon is at most. */
const EPSILON_SHARE = 2 ** -12;

/** What is added to `v` so that it never is zero; 0 where nothing is. */
function epsilonOf(v: Value): number {
  const { def } = v;
  if (def === undefined) return 0;
  if (VIEWS.has(def.name)) return epsilonOf(def.operand(0));
  if (def.name !== "nn.add" && def.name !== "nn.max") return 0;
  const constants = def.operands.flatMap((o) => constantOf(o) ?? []).flatMap((c) => [...valuesOfDense(c)]);
  return constants.length === 0 ? 0 : Math.max(0, Math.min(...constants));
}

/** The roots whose reciprocal is a factor of `v`. */
function scalingRoots(v: Value): Op[] {
  const rootOf = (x: Value): Op[] => {
    while (x.def !== undefined && VIEWS.has(x.def.name)) x = x.def.operand(0);
    return x.def?.name === "nn.unary" && strAttr(x.def, "fn") === "rsqrt" ? [x.def] : [];
  };
  return v.uses.flatMap(({ op, index }) =>
    VIEWS.has(op.name)
      ? scalingRoots(op.result)
      : op.name === "nn.mul" && op.operand(0) !== op.operand(1)
        ? rootOf(op.operand(1 - index))
        : [],
  );
}

/**
 * The roots whose reciprocal is a factor of a difference between a tensor and its mean, of either of which `v` is a
 * part.
 */
function normalizations(v: Value): Op[] {
  return v.uses.flatMap(({ op, index }) => {
    if (op.name === "nn.sub") return scalingRoots(op.result);
    const byConstant = op.name === "nn.mul" && op.operand(1 - index).def?.name === "nn.constant";
    return VIEWS.has(op.name) ||
      byConstant ||
      op.name === "nn.add" ||
      op.name === "nn.concat" ||
      op.name === "nn.reduce"
      ? normalizations(op.result)
      : [];
  });
}

/**
 * Bits by which constants differ that `v` meets element by element, where nothing else reads it: what is scaled up is
 * read in fine detail.
 */
function unevenFactor(v: Value): number {
  const each = v.uses.map(({ op, index }) => {
    if (VIEWS.has(op.name)) return unevenFactor(op.result);
    const other = op.name === "nn.mul" ? constantOf(op.operand(1 - index)) : undefined;
    return other === undefined ? 0 : spreadBits(valuesOfDense(other));
  });
  return each.includes(0) ? 0 : Math.max(0, ...each);
}

/** A reciprocal, or a factor that meets one: `t * (1/sum)`. */
function isScale(v: Value): boolean {
  const reciprocal = (x: Value): boolean => {
    while (x.def !== undefined && VIEWS.has(x.def.name)) x = x.def.operand(0);
    return x.def?.name === "nn.unary" && isRelative(strAttr(x.def, "fn"));
  };
  const meets = (x: Value): boolean =>
    x.uses.some(({ op, index }) =>
      VIEWS.has(op.name) ? meets(op.result) : op.name === "nn.mul" && reciprocal(op.operand(1 - index)),
    );
  return reciprocal(v) || meets(v);
}
