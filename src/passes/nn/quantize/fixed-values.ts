/**
 * What building a fixed-point module knows of values: the exact counterpart of each float value, the rounded one,
 * constants on a grid, and how an operation is created whose type follows from its operands.
 */
import { CompilerBug, UserError } from "../../../diagnostics/index.js";
import { allocate, Dense, type Attr } from "../../../ir/attributes.js";
import { Block, Builder, type Module, type Op, type Value } from "../../../ir/core.js";
import { lookupOp, roleOf } from "../../../ir/define-op.js";
import { dataRange, MAX_WIDTH, shiftRange, unionRanges } from "../../../ir/fixed-arith.js";
import { fixedOf, shapeOf, valuesOfDense, constantOf } from "../../../ir/nn/values.js";
import "../../../ir/dialects.js";
import { placeOf } from "../../../ir/verify.js";
import {
  fixed,
  isWide,
  NUMBER_WIDTH,
  rawRange,
  sameType,
  showType,
  tensor,
  typeOfRange,
  wideRange,
  type FixedType,
  type Type,
} from "../../../ir/types.js";
import { BEYOND, describeValue, placeOfValue } from "./calibrate.js";
import { spreadBits } from "./formats.js";
import type { Plan } from "./plan.js";
import { SCALE_BITS } from "./width-rules.js";

/** A float tensor and what stands for it: rounded to a format of its own. */
export interface Rounding {
  readonly float: Value;
  readonly fixed: Value;
  readonly type: FixedType;
}

/** Results up to this width go on unrounded; beyond, additions and comparisons round first. */
export const EXACT_LIMIT = 40;
/** Operands of elementwise products up to this width are not rounded: one hardware multiplier takes them. */
const FACTOR_LIMIT = 18;
/** Most bits of a factor between scales. */
const MAX_SCALE_BITS = 40;
/** Fractional bits of constants that are added to multiples of integers. */
const OFFSET_BITS = 12;
/** Ends the name of what is rounded: the rounded tensor has the name itself. */
const EXACT_NAME = "_exact";

/** The values of a module under construction. */
export class FixedValues {
  readonly block = new Block();
  readonly b = new Builder(this.block);
  /** The exact counterpart of each float value. */
  readonly exact = new Map<Value, Value>();
  readonly rounded = new Map<Value, Value>();
  /** Values in a format that is final: rounded ones and views of such. */
  readonly final = new Set<Value>();
  readonly roundings: Rounding[] = [];
  private readonly renamed = new Set<Value>();
  /**
   * Integers that the network reads or makes, and what it computes of them alone: positions and counts, of which every
   * bit counts.
   */
  readonly wholes = new Set<Value>();
  /** Corrections of the mean that the addition of a constant behind a matmul takes along, by that addition. */
  readonly pendingShift = new Map<Op, Float64Array>();

  constructor(
    readonly source: Module,
    readonly plan: Plan,
  ) {}

  isConstant(v: Value): boolean {
    return constantOf(v) !== undefined;
  }

  exactOf(v: Value): Value {
    if (this.isConstant(v)) return this.constant(v, this.plan.decided(v).bits);
    const found = this.exact.get(v);
    if (found === undefined) throw new CompilerBug(`quantize: ${describeValue(v)} is used before it is converted`);
    return found;
  }

  elem(v: Value): FixedType {
    return fixedOf(v)!;
  }

  /** `v` in its final format. */
  narrow(v: Value): Value {
    if (this.isConstant(v)) return this.constant(v, this.plan.decided(v).bits);
    const done = this.rounded.get(v);
    if (done !== undefined) return done;
    const x = this.exactOf(v);
    const type = this.plan.format(v);
    const result = this.final.has(x) || this.elem(x).width <= type.width ? x : this.round(x, type, v);
    this.final.add(result);
    this.rounded.set(v, result);
    return result;
  }

  round(x: Value, type: FixedType, float: Value | undefined): Value {
    if (sameType(this.elem(x), type)) return x;
    const hint = float?.hint ?? x.hint;
    if (x.def !== undefined && x.hint !== undefined && !this.renamed.has(x)) x.hint += EXACT_NAME;
    this.renamed.add(x);
    const loc = this.b.loc;
    if (float?.def !== undefined) this.b.loc = float.def.loc;
    const y = this.b.value(
      "nn.quantize",
      [x],
      tensor(shapeOf(x), type),
      { rounding: "half-up", overflow: "saturate" },
      hint,
    );
    this.b.loc = loc;
    if (float !== undefined) this.roundings.push({ float, fixed: y, type });
    return y;
  }

  /** `v` exact where nothing else reads it, in its final format otherwise. */
  operand(v: Value, limit = EXACT_LIMIT): Value {
    if (v.uses.length !== 1 || this.elem(this.exactOf(v)).width > limit) return this.narrow(v);
    return this.exactOf(v);
  }

  /** An operand of a product. */
  factor(v: Value, reader: Op): Value {
    if (this.isConstant(v))
      return this.constant(v, this.plan.decidedFactor(reader).bits + spreadBits(valuesOfDense(constantOf(v)!)));
    const x = this.exactOf(v);
    const linear = v.def !== undefined && roleOf(v.def) === "linear";
    return !linear && this.elem(x).width <= FACTOR_LIMIT ? x : this.narrow(v);
  }

  dense(shape: readonly number[], raw: ArrayLike<number>, type: FixedType, hint: string | undefined): Value {
    const data = allocate(type, raw.length);
    for (let i = 0; i < raw.length; i++) data[i] = raw[i]! + 0;
    return this.b.value("nn.constant", [], tensor(shape, type), { value: new Dense(shape, type, data) }, hint);
  }

  /** A constant with `width` significant bits for its largest element. */
  constant(v: Value, width: number): Value {
    const values = valuesOfDense(constantOf(v)!);
    const top = values.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    // One bit is the sign's, where there is one.
    const bits = values.some((x) => x < 0) ? width - 1 : width;
    let frac = top === 0 ? 0 : Math.floor(Math.log2((2 ** bits - 0.5) / top));
    // Fewer where all are exact with fewer: powers of two cost nothing.
    while (frac > -30 && values.every((x) => Number.isInteger(x * 2 ** (frac - 1)))) frac--;
    return this.constantAt(v, frac);
  }

  constantAt(v: Value, most: number, shift?: Float64Array): Value {
    const values = valuesOfDense(constantOf(v)!).map((x, i) => x + (shift?.[i] ?? 0));
    const frac = numberFrac(values, most);
    const raw = values.map((x) => Math.floor(x * 2 ** frac + 0.5));
    return this.dense(shapeOf(v), raw, typeOfRange(dataRange(raw), frac), v.hint);
  }

  /** Creates an operation; its result type follows from its operands. */
  emit(name: string, operands: readonly Value[], like: Value, attrs: Readonly<Record<string, Attr>>): Value {
    const op = this.b.create(name, operands, [tensor(shapeOf(like), fixed(1, 0))], attrs, { hints: [like.hint] });
    let type: Type | undefined;
    try {
      type = lookupOp(name)?.inferTypes?.(op)[0];
    } catch (e) {
      // The arithmetic refuses results wider than any value may be; here that is a consequence of the widths the user
      // asked for.
      if (e instanceof CompilerBug || e instanceof RangeError)
        throw UserError.of("QU005", { what: describeValue(like), reason: e.message }, placeOfValue(like));
      throw e;
    }
    if (type?.kind !== "tensor" || type.elem.kind !== "fixed")
      throw UserError.of("QU007", { op: name, lacks: "fixed-point form" }, placeOf(op.loc));
    if (type.elem.width > MAX_WIDTH)
      throw UserError.of(
        "QU005",
        { what: describeValue(like), reason: `it needs ${showType(type.elem)}` },
        placeOfValue(like),
      );
    op.result.type = type;
    return op.result;
  }

  /** x without loss in a format that has `value`, too: in its range, and as fine as constants that are added. */
  holding(x: Value, value: number): Value {
    const own = this.elem(x);
    let frac = Math.max(own.frac, OFFSET_BITS);
    while (frac > own.frac && Number.isInteger(Math.round(value * 2 ** OFFSET_BITS) * 2 ** (frac - 1 - OFFSET_BITS)))
      frac--;
    const { lo, hi } = wideRange(own);
    const raw = BigInt(Math.round(value * 2 ** frac));
    const inside = frac === own.frac && raw >= lo && raw <= hi;
    return inside
      ? x
      : this.round(
          x,
          typeOfRange(unionRanges(shiftRange({ lo, hi }, frac - own.frac), { lo: raw, hi: raw }), frac),
          undefined,
        );
  }

  /** A constant that is added to multiples of integers, with no more fractional bits than it needs. */
  offsetConstant(v: Value, frac: number, width: number): Value {
    const values = valuesOfDense(constantOf(v)!);
    // The factor behind the sum needs its bits, too.
    let f = Math.max(frac, Math.min(OFFSET_BITS, frac + MAX_WIDTH - 2 - SCALE_BITS - width));
    while (
      f > frac &&
      values.every((x) => Number.isInteger(Math.round(x * 2 ** OFFSET_BITS) * 2 ** (f - 1 - OFFSET_BITS)))
    )
      f--;
    return this.constantAt(v, f);
  }

  /**
   * Factors between scales: as many bits as keep the error of a result of 8 bits below a thousandth of its last one.
   */
  fineConstant(v: Value, width: number, significant: number): Value {
    const values = valuesOfDense(constantOf(v)!);
    const sizes = values.filter((x) => x !== 0).map(Math.abs);
    if (sizes.length === 0) return this.constantAt(v, 0);
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
    const bits = (frac: number): number => Math.floor(Math.log2(most)) + 2 + frac;
    let frac = significant - 1 - Math.floor(Math.log2(least));
    // A power of two has one bit, wherever it is.
    const shift = values.every((x) => x !== 0 && Number.isInteger(Math.log2(Math.abs(x))));
    while (!shift && bits(frac) > Math.min(Math.max(MAX_SCALE_BITS, significant), MAX_WIDTH - 1 - width) && frac > 0)
      frac--;
    while (frac > -30 && values.every((x) => Number.isInteger(x * 2 ** (frac - 1)))) frac--;
    return this.constantAt(v, frac);
  }

  /**
   * Bias with the fractional bits of the accumulator, so that adding it needs no alignment; with fewer where a constant
   * has no room for them.
   */
  bias(v: Value | undefined, most: number, shift?: Float64Array): Value {
    const values = (
      v === undefined ? new Float64Array(shift!.length) : valuesOfDense(constantOf(v) ?? unsupportedBias(v))
    ).map((b, i) => b + (shift?.[i] ?? 0));
    const frac = numberFrac(values, most);
    const raw = values.map((b) => Math.floor(b * 2 ** frac + 0.5));
    return this.dense([raw.length], raw, typeOfRange(dataRange(raw), frac), v?.hint);
  }

  /**
   * Whether a constant has elements beyond all formats, all on the side of `sign`, where a maximum or minimum does not
   * see them.
   */
  isNeutral(v: Value, sign: number): boolean {
    return this.reachesBeyond(v) && constantOf(v)!.data.every((x) => Math.abs(x) < BEYOND || Math.sign(x) === sign);
  }

  /**
   * What a multiple of 2^-frac is compared with: x < t and x < ceil(t) are the same, and so are x > t and x > floor(t).
   */
  threshold(v: Value, most: number, below: boolean): Value {
    const values = valuesOfDense(constantOf(v)!);
    const frac = numberFrac(values, most);
    const raw = values.map((t) => (below ? Math.floor(t * 2 ** frac) : Math.ceil(t * 2 ** frac)));
    return this.dense(shapeOf(v), raw, typeOfRange(dataRange(raw), frac), v.hint);
  }

  reachesBeyond(v: Value): boolean {
    return constantOf(v)!.data.some((x) => Math.abs(x) >= BEYOND);
  }

  /** A constant in the format of what it is chosen against; what lies beyond becomes the lowest or highest value. */
  limited(v: Value, type: FixedType): Value {
    // A constant of as many bits as a number has, where the format has more.
    const own = isWide(type) ? { ...type, width: NUMBER_WIDTH, frac: type.frac - (type.width - NUMBER_WIDTH) } : type;
    const { lo, hi } = rawRange(own);
    const raw = valuesOfDense(constantOf(v)!).map((x) =>
      Math.min(hi, Math.max(lo, Math.floor(x * 2 ** own.frac + 0.5))),
    );
    return this.dense(shapeOf(v), raw, own, v.hint);
  }
}

/** Fractional bits, at most `most`, with which raw integers of all values are numbers. */
export function numberFrac(values: ArrayLike<number>, most: number): number {
  let top = 0;
  for (let i = 0; i < values.length; i++) top = Math.max(top, Math.abs(values[i]!));
  return top * 2 ** most < 2 ** (NUMBER_WIDTH - 1) ? most : NUMBER_WIDTH - 2 - Math.floor(Math.log2(top));
}
function unsupportedBias(v: Value): never {
  throw UserError.of("QU007", { op: "nn.conv with a computed bias", lacks: "fixed-point form" }, placeOfValue(v));
}
