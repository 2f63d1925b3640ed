/** Real numbers in front of a rounding: all factors are taken down to the integers that they multiply. */
import type { Op, Value } from "../../../ir/core.js";
import { roleOf } from "../../../ir/define-op.js";
import { isNnOpName, type NnOpName } from "../../../ir/nn/index.js";
import * as nn from "../../../ir/nn/ops.js";
import { elementCount } from "../../../ir/types.js";
import { isCoarse } from "./elementwise.js";
import { fieldOfDense, isAll, map, ONE, only, scalar, times, ZERO, zip, type Field } from "./field.js";
import { reciprocalOfIntegers, RECIPROCAL_BITS } from "../integer-reciprocal.js";
import { factorAsFloat32, isFinerThanFloat32 } from "./float32.js";
import type { ScaledOf } from "./linear.js";
import { sameShape, type IntegerBuilder, type Range, type Scaled } from "./scaled.js";
import { fineTable } from "./table.js";
import { constantOf, shapeOf } from "../../../ir/nn/values.js";
import { isMove } from "../../../ir/nn/roles.js";

/** Bits behind the point of terms that are summed before they are rounded to an integer, and of their limits. */
const TERM_BITS = 16;
const TERM_RANGE = 28;

/** Bits of a real input behind the point of the integers that are made of it, and in front of their width. */
const INPUT_BITS = 12;
const INPUT_SPARE_BITS = 6;

/** Bits of the factor of a reciprocal. */
const FACTOR_BITS = 23;

function roundedTo(v: number, bits: number): number {
  return Math.round(v * 2 ** bits) * 2 ** -bits;
}

/** How a factor behind an operation gets in front of it. */
interface Passing {
  /** `each` as it is, `one` where it is a single number, `own` by a rule of `through`, or not at all. */
  readonly factor: "each" | "one" | "own" | "none";
  /** A number beyond the limits of a rounding behind may be any other beyond them. */
  readonly keepsLimits?: true;
  /** Factors of either sign, and 0, pass. */
  readonly anySign?: true;
}
const STOPS: Passing = { factor: "none" };
const OWN: Passing = { factor: "own" };
const MOVES: Passing = { factor: "one", keepsLimits: true };

const passing: Readonly<Record<NnOpName, Passing>> = {
  "nn.constant": { factor: "own", anySign: true },
  "nn.conv": STOPS,
  "nn.matmul": STOPS,
  "nn.add": OWN,
  "nn.sub": OWN,
  "nn.mul": { factor: "own", anySign: true, keepsLimits: true },
  "nn.div": { factor: "own", anySign: true, keepsLimits: true },
  "nn.max": OWN,
  "nn.min": OWN,
  "nn.select_neg": STOPS,
  "nn.relu": { factor: "each", keepsLimits: true },
  "nn.neg": { factor: "each" },
  "nn.abs": { factor: "each" },
  "nn.leaky_relu": OWN,
  "nn.clip": OWN,
  "nn.quantize": STOPS,
  "nn.round": STOPS,
  "nn.whole": STOPS,
  "nn.fraction": STOPS,
  "nn.unary": { factor: "own", keepsLimits: true },
  "nn.lookup": STOPS,
  "nn.take": STOPS,
  "nn.trees": STOPS,
  "nn.reduce": OWN,
  "nn.pool": OWN,
  "nn.softmax": STOPS,
  "nn.concat": { factor: "one" },
  "nn.reshape": MOVES,
  "nn.transpose": MOVES,
  "nn.slice": MOVES,
  "nn.gather": MOVES,
  "nn.broadcast": MOVES,
  "nn.pad": OWN,
  "nn.sparsify": STOPS,
};

function passingOf(op: Op): Passing {
  return isNnOpName(op.name) ? passing[op.name] : isMove(op) ? MOVES : STOPS;
}

/** An input in any order, or times a number: quantized at once. */
function isScaledInput(v: Value): boolean {
  if (v.def === undefined) return true;
  const passes = v.def.name === "nn.mul" ? constantOf(v.def.operand(1))?.data.length === 1 : isMove(v.def);
  return passes && isScaledInput(v.def.operand(0));
}

export class Expander {
  private inputLimit: number | undefined;
  /** Of the rounding in front of which numbers are expanded. */
  private limits: Range | undefined;

  constructor(
    private readonly b: IntegerBuilder,
    private readonly scaledOf: ScaledOf,
  ) {}

  /** `v * f`, an exact multiple of integers wherever these are known. */
  expand(v: Value, f: Field): Value {
    const { y, rest } = this.parts(v, f);
    return this.b.add(y, rest, v.hint);
  }

  /** `v * f` as the sum of a tensor and numbers: zero points of several terms are added once. */
  private parts(v: Value, f: Field): { y: Value; rest: Field } {
    const s = this.scaledOf(v) ?? (constantOf(v) === undefined ? fineTable(this.b, v, this.scaledOf) : undefined);
    if (s !== undefined) return this.multiple(s, f, v.hint);
    const factor = only(f);
    if (factor !== undefined && factor < 0 && v.def !== undefined && passingOf(v.def).anySign !== true) {
      return { y: this.b.exact("nn.neg", [this.expand(v, scalar(-factor))], shapeOf(v), {}, v.hint), rest: ZERO };
    }
    const { limits } = this;
    if (v.def !== undefined && passingOf(v.def).keepsLimits !== true) this.limits = undefined;
    const found = this.through(v, f) ?? { y: this.leaf(v, f), rest: ZERO };
    this.limits = limits;
    return found;
  }

  /** @param results range of the rounding where the product is rounded at once */
  private multiple(s: Scaled, f: Field, hint: string | undefined, results?: Range): { y: Value; rest: Field } {
    // As kernels of integers compute it, in float32: what lies next to a tie then falls to the same side. For more
    // results than float32 tells apart there are no such kernels, and rounding the factor would only be an error.
    const isFine = isFinerThanFloat32(results ?? this.limits);
    const single = isFine ? times(s.scale, f) : map(times(map(s.scale, Math.fround), f), Math.fround);
    const centred = results === undefined ? undefined : this.b.centredRange(s);
    const factor =
      results === undefined || centred === undefined
        ? single
        : map(single, (v) => factorAsFloat32(v, centred, results));
    if (isAll(s.offset, 0)) return { y: this.b.multiply(s.u, factor, hint), rest: ZERO };
    // Sums of products have their bias in front of the factor, where it is an integer as a rule; not where it dwarfs
    // them.
    const small =
      s.range === undefined ||
      s.offset.data.every(
        (o) =>
          Math.abs(o) <=
          4 * Math.max(-s.range!.lo, s.range!.hi) * s.scale.data.reduce((m, v) => Math.min(m, Math.abs(v)), Infinity),
      );
    const whole = isCoarse(s.range) || !small ? undefined : this.b.centred(s);
    if (whole !== undefined) return { y: this.b.multiply(whole.u, factor, hint), rest: ZERO };
    return { y: this.b.multiply(s.u, factor, hint), rest: times(s.offset, f) };
  }

  /**
   * Real numbers that no integers are behind; those of an input enter with many bits more than the rounding in front of
   * which they are.
   */
  private leaf(v: Value, f: Field): Value {
    if (v.def !== undefined || this.inputLimit === undefined || only(f) === undefined) return this.b.multiply(v, f);
    const fine = this.b.multiply(v, scalar(only(f)! * 2 ** INPUT_BITS));
    const rounded = this.b.exact(
      "nn.round",
      [fine],
      shapeOf(v),
      { lo: -this.inputLimit, hi: this.inputLimit },
      `${v.hint ?? "input"}_fine`,
    );
    return this.b.multiply(rounded, scalar(2 ** -INPUT_BITS), v.hint);
  }

  /** A rounding of `v` to [lo, hi] behind operations on real numbers. */
  rounded(v: Value, lo: number, hi: number): Value {
    this.inputLimit = isScaledInput(v)
      ? undefined
      : 2 ** (Math.ceil(Math.log2(hi - lo + 1)) + INPUT_BITS + INPUT_SPARE_BITS);
    this.limits = { lo, hi };
    const s = this.scaledOf(v);
    const { y, rest } = s === undefined ? this.parts(v, ONE) : this.multiple(s, ONE, v.hint, { lo, hi });
    this.inputLimit = undefined;
    this.limits = undefined;
    return this.b.add(y, rest, v.hint);
  }

  private through(v: Value, f: Field): { y: Value; rest: Field } | undefined {
    const c = constantOf(v);
    if (c !== undefined) {
      const all = times(fieldOfDense(c), f);
      if (all.shape.length <= c.shape.length) {
        const lead = c.shape.length - all.shape.length;
        return {
          y: this.b.constant(
            only(all) === undefined ? [...new Array<number>(lead).fill(1), ...all.shape] : c.shape,
            only(all) === undefined ? all.data : new Float64Array(c.data.length).fill(all.data[0]!),
            v.hint ?? "constant",
          ),
          rest: ZERO,
        };
      }
      return { y: this.b.constant(all.shape, all.data, v.hint ?? "constant"), rest: ZERO };
    }
    const op = v.def;
    if (op === undefined) return undefined;
    if (f.data.some((x) => x <= 0) && passingOf(op).anySign !== true) return undefined;
    const once = (y: Value): { y: Value; rest: Field } => ({ y, rest: ZERO });
    const inner = (i = 0): Value => this.expand(op.operand(i), f);
    const emit = (name: string, operands: readonly Value[], attrs: Op["attrs"] = {}): { y: Value; rest: Field } =>
      once(this.b.exact(name, operands, shapeOf(v), attrs, v.hint));
    switch (op.name) {
      case "nn.mul":
      case "nn.div": {
        const at = constantOf(op.operand(1)) !== undefined || op.name === "nn.div" ? 1 : 0;
        const factor = constantOf(op.operand(at));
        if (factor === undefined || !sameShape(v, op.operand(1 - at))) return undefined;
        const own = op.name === "nn.mul" ? fieldOfDense(factor) : map(fieldOfDense(factor), (x) => 1 / x);
        if (own.data.some((x) => x === 0 || !Number.isFinite(x))) return undefined;
        return this.parts(op.operand(1 - at), times(own, f));
      }
      case "nn.add":
      case "nn.sub": {
        if (only(f) === undefined && !op.operands.every((x) => sameShape(x, v) || constantOf(x) !== undefined))
          return undefined;
        const [p, q] = op.operands.map((x) =>
          constantOf(x) === undefined
            ? this.parts(x, f)
            : { y: undefined, rest: times(fieldOfDense(constantOf(x)!), f) },
        ) as [{ y?: Value; rest: Field }, { y?: Value; rest: Field }];
        const rest = zip(p.rest, q.rest, (x, y) => (op.name === "nn.add" ? x + y : x - y));
        if (p.y === undefined)
          return q.y === undefined || !sameShape(q.y, v)
            ? undefined
            : { y: op.name === "nn.add" ? q.y : this.b.exact("nn.neg", [q.y], shapeOf(v), {}, v.hint), rest };
        if (q.y === undefined) return sameShape(p.y, v) ? { y: p.y, rest } : undefined;
        return { y: this.b.exact(op.name, [p.y, q.y], shapeOf(v), {}, v.hint), rest };
      }
      case "nn.max":
      case "nn.min":
        return only(f) === undefined ? undefined : emit(op.name, [inner(0), inner(1)]);
      case "nn.leaky_relu": {
        const x = inner();
        return emit("nn.select_neg", [
          x,
          this.expand(
            op.operand(0),
            map(f, (v) => v * nn.leakyRelu.read(op).slope),
          ),
          x,
        ]);
      }
      case "nn.clip":
        return only(f) === undefined
          ? undefined
          : emit("nn.clip", [inner()], {
              lo: nn.clip.read(op).lo * only(f)!,
              hi: nn.clip.read(op).hi * only(f)!,
            });
      case "nn.pad":
        return only(f) === undefined
          ? undefined
          : emit("nn.pad", [inner()], { ...op.attrs, value: nn.pad.read(op).value * only(f)! });
      case "nn.unary":
        return nn.unary.read(op).fn !== "reciprocal" || only(f) === undefined
          ? undefined
          : this.reciprocal(op, only(f)!);
      case "nn.pool":
      case "nn.reduce": {
        if (only(f) === undefined || op.result.uses.length !== 1) return undefined;
        if (op.attrs["kind"] === "max" || op.attrs["kind"] === "min") return emit(op.name, [inner()], op.attrs);
        return op.name === "nn.reduce" ? this.sumOfReals(op, only(f)!) : undefined;
      }
      default:
        if (passingOf(op).factor === "none" || (only(f) === undefined && passingOf(op).factor !== "each"))
          return undefined;
        return roleOf(op) !== "join" && op.result.uses.length !== 1
          ? undefined
          : emit(
              op.name,
              op.operands.map((_, i) => inner(i)),
              op.attrs,
            );
    }
  }

  /** f / (scale * u) for integers u; what is rounded to the limit anyway need not be told apart. */
  private reciprocal(op: Op, f: number): { y: Value; rest: Field } | undefined {
    const x = this.scaledOf(op.operand(0));
    const s = x && this.b.centred(x);
    const scale = s && only(s.scale);
    if (s?.range === undefined || s.range.lo < 0 || scale === undefined || scale <= 0 || this.limits === undefined)
      return undefined;
    const most = this.limits.hi + 1;
    const numerator = f / scale;
    // From here down all results are beyond the limit.
    const least = Math.max(s.range.lo, Math.min(s.range.hi, Math.floor(numerator / most)));
    if (least < 1) return undefined;
    const shape = shapeOf(op.result);
    const hint = op.result.hint ?? "reciprocal";
    const u = least > s.range.lo ? this.b.exact("nn.clip", [s.u], shape, { lo: least }, `${hint}_argument`) : s.u;
    const r = reciprocalOfIntegers(this.b.forFunctions(), u, { lo: least, hi: s.range.hi }, hint);
    if (r === undefined) return undefined;
    // The factor keeps the mantissa's bits; the power of two goes to the rounding.
    const factor = numerator * r.scale * 2 ** -RECIPROCAL_BITS;
    const unit = 2 ** Math.ceil(Math.log2(factor));
    const limit = 2 ** (RECIPROCAL_BITS + 1);
    const product = this.b.exact(
      "nn.round",
      [this.b.multiply(r.mantissa, scalar(roundedTo(factor / unit, FACTOR_BITS)), hint)],
      shape,
      { lo: 0, hi: limit },
      `${hint}_mantissa`,
    );
    return {
      y: this.b.multiply(this.b.exact("nn.mul", [product, r.power], shape, {}, hint), scalar(unit), hint),
      rest: ZERO,
    };
  }

  /** Sums of what is no integer: each term is rounded to a small part of the last bit of the result. */
  private sumOfReals(op: Op, f: number): { y: Value; rest: Field } {
    const x = op.operand(0);
    const terms = elementCount(nn.reduce.read(op).axes.map((a) => shapeOf(x)[a]!));
    // The rounding of the terms is that of an input, too.
    const limit = this.inputLimit;
    this.inputLimit = undefined;
    const fine = this.expand(x, scalar((f * 2 ** TERM_BITS) / (nn.reduce.read(op).kind === "mean" ? terms : 1)));
    this.inputLimit = limit;
    const rounded = this.b.exact(
      "nn.round",
      [fine],
      shapeOf(x),
      { lo: -(2 ** TERM_RANGE), hi: 2 ** TERM_RANGE },
      `${op.result.hint ?? "sum"}_terms`,
    );
    const sum = this.b.exact("nn.reduce", [rounded], shapeOf(op.result), { ...op.attrs, kind: "sum" }, op.result.hint);
    return { y: this.b.multiply(sum, scalar(2 ** -TERM_BITS), op.result.hint), rest: ZERO };
  }
}
