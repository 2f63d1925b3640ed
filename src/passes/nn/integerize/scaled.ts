/** Real numbers as integers: v = scale * u + offset. */
import { Dense, type Attr } from "../../../ir/attributes.js";
import type { Builder, Value } from "../../../ir/core.js";
import { shapeOf } from "../../../ir/nn/values.js";
import { f32, tensor } from "../../../ir/types.js";
import type { ExactBuilder } from "../integer-softmax.js";
import { isAll, map, only, ONE, scalar, times, ZERO, zip, type Field } from "./field.js";

/** Marks operations on integers: `quantize` keeps every bit of them. */
export const EXACT = "integer.exact";

/** Most bits of an exact product: a factor that brings it to another scale must still fit a value. */
export const PRODUCT_BITS = 80;

export interface Range {
  readonly lo: number;
  readonly hi: number;
}

export interface Scaled {
  readonly u: Value;
  /** None is 0. */
  readonly scale: Field;
  readonly offset: Field;
  /** Limits of u where they are known. */
  readonly range: Range | undefined;
}

export function sameShape(a: Value, b: Value): boolean {
  return shapeOf(a).join() === shapeOf(b).join();
}

/** An integer up to the rounding of float32. */
export function isCount(v: number): boolean {
  return Math.abs(v - Math.round(v)) <= 0.02 + Math.abs(v) * 2 ** -22;
}
/** The integers that a field is; undefined where it holds others. */
export function countsOf(f: Field): Field | undefined {
  return f.data.every(isCount) ? map(f, (v) => Math.round(v) + 0) : undefined;
}

export function productRange(p: Range, q: Range): Range {
  const corners = [p.lo * q.lo, p.lo * q.hi, p.hi * q.lo, p.hi * q.hi];
  return { lo: Math.min(...corners), hi: Math.max(...corners) };
}
export function sumRange(p: Range, q: Range): Range {
  return { lo: p.lo + q.lo, hi: p.hi + q.hi };
}
/** Limits of all numbers of a field. */
export function fieldRange(f: Field): Range {
  return {
    lo: f.data.reduce((m, v) => Math.min(m, v), Infinity),
    hi: f.data.reduce((m, v) => Math.max(m, v), -Infinity),
  };
}

/** Builds operations on integers at the place of the operation that is rewritten. */
export class IntegerBuilder {
  /** Where the next operation goes. */
  at!: Builder;

  emit(
    name: string,
    operands: readonly Value[],
    shape: readonly number[],
    attrs: Readonly<Record<string, Attr>>,
    hint: string | undefined,
  ): Value {
    return this.at.value(name, operands, tensor(shape, f32), attrs, hint);
  }
  exact(
    name: string,
    operands: readonly Value[],
    shape: readonly number[],
    attrs: Readonly<Record<string, Attr>>,
    hint: string | undefined,
  ): Value {
    return this.emit(name, operands, shape, { ...attrs, [EXACT]: true }, hint);
  }
  constant(shape: readonly number[], data: Float64Array, hint: string): Value {
    return this.emit("nn.constant", [], shape, { value: new Dense(shape, f32, data) }, hint);
  }

  /** v * f; v itself for 1. */
  multiply(v: Value, f: Field, hint = v.hint): Value {
    return isAll(f, 1)
      ? v
      : this.exact("nn.mul", [v, this.constant(f.shape, f.data, `${hint ?? "integer"}_factor`)], shapeOf(v), {}, hint);
  }
  /** v + f; v itself for 0. */
  add(v: Value, f: Field, hint = v.hint): Value {
    return isAll(f, 0)
      ? v
      : this.exact("nn.add", [v, this.constant(f.shape, f.data, `${hint ?? "integer"}_offset`)], shapeOf(v), {}, hint);
  }

  /** The same numbers as integers alone, without an offset; undefined where that is no multiple of the scale. */
  centred(s: Scaled): Scaled | undefined {
    if (isAll(s.offset, 0)) return s;
    const counts = countsOf(zip(s.offset, s.scale, (o, f) => o / f));
    return (
      counts && {
        u: this.shift(s.u, counts),
        scale: s.scale,
        offset: ZERO,
        range: s.range && sumRange(s.range, fieldRange(counts)),
      }
    );
  }

  /** The range of `centred`. */
  centredRange(s: Scaled): Range | undefined {
    const counts = isAll(s.offset, 0) ? ZERO : countsOf(zip(s.offset, s.scale, (o, f) => o / f));
    return counts && s.range && sumRange(s.range, fieldRange(counts));
  }

  /** u + counts; where a convolution made u, as its bias. */
  private shift(u: Value, counts: Field): Value {
    const conv = u.def?.name === "nn.conv" && u.def.operands.length === 2 && u.uses.length === 0 ? u.def : undefined;
    const channels = shapeOf(u)[1];
    const rank = shapeOf(u).length;
    if (
      conv === undefined ||
      (counts.shape.length !== 0 && !(counts.shape.length === rank - 1 && counts.data.length === channels))
    )
      return this.add(u, counts);
    const data = counts.shape.length === 0 ? new Float64Array(channels!).fill(counts.data[0]!) : counts.data;
    const loc = this.at.loc;
    this.at.loc = conv.loc;
    const biased = this.exact(
      "nn.conv",
      [...conv.operands, this.constant([channels!], data, `${u.hint ?? "conv"}_bias`)],
      shapeOf(u),
      conv.attrs,
      u.hint,
    );
    this.at.loc = loc;
    return biased;
  }

  /** With a positive scale. */
  positive(s: Scaled): Scaled | undefined {
    if (s.scale.data.every((v) => v > 0)) return s;
    if (only(s.scale) === undefined) return undefined;
    return {
      u: this.exact("nn.neg", [s.u], shapeOf(s.u), {}, s.u.hint),
      scale: map(s.scale, (v) => -v),
      offset: s.offset,
      range: s.range && { lo: -s.range.hi, hi: -s.range.lo },
    };
  }

  forFunctions(): ExactBuilder {
    return {
      emit: (name, operands, shape, attrs, hint) => this.exact(name, operands, shape, attrs, hint),
      number: (value, hint) => this.constant([], Float64Array.of(value), hint),
    };
  }
}

/** Integers that stand for themselves, less a zero point. */
export function codes(u: Value, range: Range, zero = 0): Scaled {
  return { u, scale: ONE, offset: scalar(-zero + 0), range };
}
export function withScale(s: Scaled, f: Field): Scaled {
  return { ...s, scale: times(s.scale, f), offset: times(s.offset, f) };
}
