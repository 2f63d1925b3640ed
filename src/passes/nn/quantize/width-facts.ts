/**
 * What the rules for widths ask: of the samples, of the precision that is stated, and of the network as far as either
 * counts. Each answer is about one tensor or operation.
 */
import type { Op, Value } from "../../../ir/core.js";
import { strAttr } from "../../../ir/define-op.js";
import { constantOf, shapeOf, valuesOfDense, isConstant } from "../../../ir/nn/values.js";
import { unaryFunction } from "../../../ir/nn/unary-table.js";
import type { FixedType } from "../../../ir/types.js";
import type { TensorStats } from "./calibrate.js";
import { isLinear, macsOf } from "./linear.js";
import type { LayerPrecision, PrecisionSpec } from "./precision.js";
import { epsilonOf, feedsOutput, integerLimits, normalizations, passesOn } from "./tensor-roles.js";
import { isRelative } from "./tables.js";
import { constantsWith, type WidthConstants } from "./width-constants.js";
import { isView } from "../../../ir/nn/roles.js";

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
  /** Other values of the rules' constants, to measure what they are worth. */
  readonly constants?: Partial<WidthConstants>;
  /** Rules that are left out, as `tensor/light`, to measure what they are worth. */
  readonly without?: ReadonlySet<string>;
}

/** Bits that hold a tensor of integers as it is, of both signs where one is negative. */
export function integerBits(stats: TensorStats, most: number): number | undefined {
  if (!stats.values.every((v) => Number.isInteger(v))) return undefined;
  const magnitude = Math.max(stats.max, -stats.min - 1, 1);
  const bits = Math.ceil(Math.log2(magnitude + 1)) + (stats.min < 0 ? 1 : 0);
  return bits <= most ? bits : undefined;
}

export class WidthFacts {
  readonly c: WidthConstants;
  readonly precision: PrecisionSpec;

  constructor(
    readonly stats: ReadonlyMap<Value, TensorStats>,
    readonly options: QuantizeOptions,
    /** Multiply-accumulates of the whole network. */
    readonly totalMacs: number,
    /** Whether the network is one of integers, whose constants must be finer than ours. */
    readonly integerModel: boolean,
  ) {
    this.c = constantsWith(options.constants);
    this.precision = options.precision;
  }

  statsOf(v: Value): TensorStats {
    return this.stats.get(v) ?? { min: 0, max: 0, values: new Float64Array(0), spread: 0 };
  }

  /** What is stated for `v`: for its ONNX node, and with precedence for the tensor itself. */
  layer(v: Value): LayerPrecision {
    const { layers } = this.precision;
    if (layers.size === 0) return {};
    let found: LayerPrecision = {};
    for (const name of [...(v.def?.loc.nodes ?? []).toReversed(), v.hint])
      if (name !== undefined) found = { ...found, ...layers.get(name) };
    return found;
  }

  /**
   * Bits that are stated for `v`, or for the operation in front of it whose exact result `v` takes along to its own
   * rounding.
   */
  statedWidth(v: Value): number | undefined {
    const own = this.layer(v);
    const stated = own.output ?? (v.def === undefined ? own.input : undefined) ?? own.activations;
    if (stated !== undefined || v.def === undefined || !passesOn(v.def)) return stated;
    for (const x of v.def.operands) {
      if (x.def === undefined || isConstant(x) || x.uses.length !== 1) continue;
      const before = this.statedWidth(x);
      if (before !== undefined) return before;
    }
    return undefined;
  }

  /** Bits that readers of `v` state for what they read; a table's argument is rounded on its own. */
  statedByReaders(v: Value): number | undefined {
    const widths = v.uses
      .filter((u) => u.op.name !== "nn.unary")
      .flatMap((u) => this.layer(u.op.results[0] ?? v).input ?? []);
    return widths.length === 0 ? undefined : Math.max(...widths);
  }

  /** Bits that are stated for `v` where it leaves the network. */
  statedOutput(v: Value): number | undefined {
    return this.statedWidth(v) ?? (feedsOutput(v) ? this.precision.output : undefined);
  }

  /** Bits that are stated for all inputs, where `v` is one. */
  statedInput(v: Value): number | undefined {
    return v.def === undefined ? this.precision.input : undefined;
  }

  /**
   * Whether `op` is one of the layers that hardly cost anything. The last layers of a regression network are the
   * typical ones, and they are where rounding shows directly in the result.
   */
  isLight(op: Op): boolean {
    return macsOf(op) < this.c.lightShare * this.totalMacs;
  }

  /** Whether `v` is read by light linear layers only. */
  feedsLight(v: Value): boolean {
    return (
      v.uses.length > 0 &&
      v.uses.every(({ op }) => (isView(op) ? this.feedsLight(op.result) : isLinear(op) && this.isLight(op)))
    );
  }

  /** `width` bits and `by` more, as far as that stays cheap. */
  widened(width: number, by: number): number {
    return Math.max(width, Math.min(this.c.lightWidth, width + by));
  }

  /**
   * Whether `v` plays the part of the weights: the second factor of products of two variables, such as the keys and
   * values of an attention.
   */
  weighs(v: Value): boolean {
    return (
      v.uses.length > 0 &&
      v.uses.every(({ op, index }) =>
        isView(op) ? this.weighs(op.result) : op.name === "nn.matmul" && index === 1 && !this.isLight(op),
      )
    );
  }

  /** The format of an input of integers that is limited wherever it is read. */
  limits(v: Value): FixedType | undefined {
    if (v.def !== undefined || !this.statsOf(v).values.every(Number.isInteger)) return undefined;
    const type = integerLimits(v);
    return type !== undefined && type.width <= this.c.maxIntegerBits ? type : undefined;
  }

  /** Bits of an input of integers. */
  integerInput(v: Value): number | undefined {
    return v.def === undefined ? integerBits(this.statsOf(v), this.c.integerInputBits) : undefined;
  }

  /**
   * Bits of a tensor whose differences count as they are, however large it is: the arguments of exp. 0 for other
   * tensors.
   */
  scoreBits(v: Value): number {
    const lsb = isConstant(v) ? Infinity : this.finestStep(v);
    const { min, max } = this.statsOf(v);
    const reach = Math.max(max, -min);
    if (lsb === Infinity || reach <= 0) return 0;
    const bits = Math.ceil(Math.log2((reach * this.c.scoreHeadroom) / lsb)) + (min < 0 ? 1 : 0);
    return Math.min(this.c.scoreWidth, bits);
  }

  /** The step at which `v` must be known for the exponents that are made of it; Infinity where none is. */
  private finestStep(v: Value): number {
    const each = v.uses.map(({ op, index }) => {
      if (op.name === "nn.unary") return strAttr(op, "fn") === "exp_tail" ? this.c.expStep : Infinity;
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
        const n = shapeOf(op.operand(0)).at(-1) ?? 1;
        const size = Math.sqrt(values.reduce((a, x) => a + x * x, 0) / Math.max(1, values.length));
        return (this.c.factorSteps * this.finestStep(op.result)) / (Math.sqrt(n) * size);
      }
      const extreme = op.name === "nn.reduce" && strAttr(op, "kind") !== "sum";
      return (passesOn(op) && op.name !== "nn.leaky_relu") || extreme || (op.name === "nn.select_neg" && index > 0)
        ? this.finestStep(op.result)
        : Infinity;
    });
    return Math.min(Infinity, ...each);
  }

  /** log2 of the ratio of the arguments that occur at roots and reciprocals. */
  octaves(ops: readonly Op[]): number {
    const each = ops.map((op) => {
      const { values, max } = this.argumentStats(op);
      const least = values.reduce((a, b) => (b > 0 && b < a ? b : a), Infinity);
      return max > least ? Math.ceil(Math.log2(max / least)) : 0;
    });
    return Math.max(0, ...each);
  }

  /** Bits of rows that a normalisation brings to one size: as much more as the smallest is smaller. */
  unevenRows(roots: readonly Op[]): number {
    return this.precision.activations + Math.ceil(this.octaves(roots) / 2);
  }

  /** The same for a tensor that others read as well; the usual width where it is not normalised. */
  normalized(v: Value): number {
    return Math.max(
      this.precision.activations,
      Math.min(this.c.lightWidth, this.unevenRows(normalizations(v)) - this.c.smallRowBits),
    );
  }

  /**
   * What occurs at the argument of a function. Rows that vary less than the network's own epsilon are constant, and
   * what is left of them is noise: nothing that a root or reciprocal should resolve.
   */
  argumentStats(op: Op): TensorStats {
    const stats = this.statsOf(op.operand(0));
    const epsilon = isRelative(strAttr(op, "fn")) ? epsilonOf(op.operand(0)) : 0;
    // What is added to keep off zero is small; anything else is a part of the argument.
    const floor = epsilon < this.c.epsilonShare * stats.max ? 2 * epsilon : 0;
    const values = stats.values.filter((v) => v > floor);
    return floor === 0 || values.length === 0
      ? stats
      : { ...stats, values, min: values.reduce((a, b) => Math.min(a, b), Infinity) };
  }

  /** What occurs at the result of a reciprocal or reciprocal root of such arguments; larger results saturate. */
  resultStats(op: Op): TensorStats {
    const [all, counting, stats] = [this.statsOf(op.operand(0)), this.argumentStats(op), this.statsOf(op.result)];
    const f = unaryFunction(strAttr(op, "fn"));
    return counting === all || f === undefined ? stats : { ...stats, max: Math.min(stats.max, f(counting.min)) };
  }
}
