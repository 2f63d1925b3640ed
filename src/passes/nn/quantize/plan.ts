/**
 * What quantization has decided so far: a width and a format for every tensor that is rounded, rounded weights for
 * every linear operation. Widths follow from rules (width-rules.ts), formats from calibration (format-rules.ts) unless
 * refinement moves their binary point.
 */
import type { Op, Value } from "../../../ir/core.js";
import { strAttr } from "../../../ir/define-op.js";
import type { FixedType } from "../../../ir/types.js";
import type { TensorStats } from "./calibrate.js";
import { decideFormat } from "./format-rules.js";
import type { PrecisionSpec } from "./precision.js";
import { chooseArgument, chooseSegments, type TableSegment } from "./tables.js";
import type { RoundedWeights } from "./weights.js";
import { type QuantizeOptions, WidthFacts } from "./width-facts.js";
import { argumentRules, decideWidth, factorRules, tensorRules, weightRules, type DecidedWidth } from "./width-rules.js";
import { isView } from "../../../ir/nn/roles.js";
import { isConstant } from "../../../ir/nn/values.js";

/** Error of a table of fewer bits, relative to that of the best one, at which these gain nothing. */
const TABLE_SLACK = 1.5;

export class Plan {
  /** Steps of the binary point away from the calibrated choice, by tensor. */
  readonly shifts = new Map<Value, number>();
  private readonly facts: WidthFacts;
  private readonly widths = new Map<Value, DecidedWidth>();
  private readonly formats = new Map<Value, FixedType>();
  private readonly segments = new Map<string, readonly TableSegment[]>();

  /**
   * @param totalMacs multiply-accumulates of the whole network
   * @param integerModel whether the network has integers of its own
   */
  constructor(
    stats: ReadonlyMap<Value, TensorStats>,
    readonly options: QuantizeOptions,
    readonly weights: ReadonlyMap<Op, RoundedWeights>,
    totalMacs: number,
    integerModel: boolean,
  ) {
    this.facts = new WidthFacts(stats, options, totalMacs, integerModel);
  }

  /** What the rules would decide for another precision. */
  withPrecision(precision: PrecisionSpec): Plan {
    const { totalMacs, integerModel } = this.facts;
    return new Plan(this.facts.stats, { ...this.options, precision }, this.weights, totalMacs, integerModel);
  }

  statsOf(v: Value): TensorStats {
    return this.facts.statsOf(v);
  }

  private leftOut(kind: string): ((rule: string) => boolean) | undefined {
    const { without } = this.options;
    return without === undefined ? undefined : (rule) => without.has(`${kind}/${rule}`);
  }

  /** Bits of tensor `v` where it is rounded, and why. */
  decided(v: Value): DecidedWidth {
    let found = this.widths.get(v);
    if (found === undefined)
      this.widths.set(v, (found = decideWidth(tensorRules, v, this.facts, this.leftOut("tensor"))));
    return found;
  }

  /** Bits of the constant weights of `op`, and why. */
  decidedWeights(op: Op): DecidedWidth {
    return decideWidth(weightRules, op, this.facts, this.leftOut("weights"));
  }

  /**
   * Significant bits of a constant that `op` multiplies activations with, beyond those by which its elements differ,
   * and why.
   */
  decidedFactor(op: Op): DecidedWidth {
    return decideWidth(factorRules, op, this.facts, this.leftOut("factor"));
  }

  /** Most bits of the argument of `op`, an nn.unary, and why. */
  decidedArgument(op: Op): DecidedWidth {
    return decideWidth(argumentRules, op, this.facts, this.leftOut("argument"));
  }

  /** Bits that are stated for `v` where it leaves the network. */
  statedOutput(v: Value): number | undefined {
    return this.facts.statedOutput(v);
  }

  /** Whether the samples of `v`, which trees compare with their thresholds, lie on the grid of its format. */
  onGrid(v: Value): boolean {
    if (v.def !== undefined)
      return !isView(v.def) && v.def.name !== "nn.concat"
        ? true
        : v.def.operands.every((o) => isConstant(o) || this.onGrid(o));
    const { decisions } = this.statsOf(v);
    return decisions?.exact === true && this.format(v).frac >= decisions.type.frac;
  }

  /** The format to which `v` is rounded. */
  format(v: Value): FixedType {
    let type = this.formats.get(v);
    if (type === undefined) this.formats.set(v, (type = decideFormat(v, this.decided(v).bits, this.facts)));
    const shift = this.shifts.get(v) ?? 0;
    return shift === 0 ? type : { ...type, frac: type.frac + shift };
  }

  /** Bits of the argument of `op`, an nn.unary. */
  argumentWidth(op: Op): number {
    return Math.max(...this.argument(op).map((s) => s.from.width));
  }

  /** The formats in which `op`, an nn.unary, reads its argument, by the size of the argument. */
  argument(op: Op): readonly TableSegment[] {
    const fn = strAttr(op, "fn");
    const to = this.format(op.result);
    const key = `${op.result.id}:${to.signed}:${to.width}:${to.frac}`;
    let segments = this.segments.get(key);
    if (segments === undefined) {
      const { bits, stated } = this.decidedArgument(op);
      // A width that is stated is taken as it is; otherwise bits that gain nothing are left out.
      const stats = this.facts.argumentStats(op);
      const whole = chooseArgument(fn, stats, to, bits, stated ? 1 : TABLE_SLACK);
      segments = chooseSegments(fn, stats, whole, to, bits);
      this.segments.set(key, segments);
    }
    return segments;
  }
}
