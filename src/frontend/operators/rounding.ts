/** Integers out of real numbers: roundings, conversions between types, quotients and remainders. */
import type { Value } from "../../ir/core.js";
import { roundWhole } from "../../ir/fixed-arith.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { dataTypeName, isNumberType } from "../tensor-data.js";
import { affine, mapConstants, needBroadcast, pair, scalarOf, selectNegative } from "./broadcast.js";

const [FLOAT, BOOL, FLOAT16, DOUBLE, BFLOAT16] = [1, 9, 10, 11, 16];

/** Bits and sign of integer types, by ONNX's numbers. */
const INTEGERS: Readonly<Record<number, { readonly bits: number; readonly signed: boolean }>> = {
  2: { bits: 8, signed: false },
  3: { bits: 8, signed: true },
  4: { bits: 16, signed: false },
  5: { bits: 16, signed: true },
  6: { bits: 32, signed: true },
  7: { bits: 64, signed: true },
  12: { bits: 32, signed: false },
  13: { bits: 64, signed: false },
  21: { bits: 4, signed: false },
  22: { bits: 4, signed: true },
};

export function isIntegerType(type: number | undefined): boolean {
  return type !== undefined && INTEGERS[type] !== undefined;
}
export function integerType(type: number | undefined): { readonly bits: number; readonly signed: boolean } | undefined {
  return type === undefined ? undefined : INTEGERS[type];
}

/** The integer that `mode` of nn.whole gives, limited to [lo, hi]. */
export function whole(
  ctx: NodeContext,
  x: Value,
  mode: string,
  limits: { readonly lo?: number; readonly hi?: number } = {},
): Value {
  return ctx.emit("nn.whole", [x], shapeOf(x), { mode, ...limits });
}
/** x - floor(x). */
export function fraction(ctx: NodeContext, x: Value): Value {
  return ctx.emit("nn.fraction", [x], shapeOf(x));
}

function rounding(opType: string, mode: string): OperatorImporter {
  return {
    opType,
    import: (ctx) => {
      const c = ctx.constant(0);
      return c === undefined
        ? whole(ctx, ctx.value(0), mode)
        : known(
            c.shape,
            c.data.map((v) => roundWhole(v, mode)),
            c.integer,
          );
    },
  };
}

// --- quotients and remainders

/**
 * A quotient of integers a little away from zero, so that its integer part is right although a reciprocal is not exact:
 * (|x| + 1/2) / y is at least 1 / 2y from every integer. The sign is that of the quotient.
 */
export function quotient(ctx: NodeContext, i: number, j: number, shape: readonly number[]): Value {
  const divisor = ctx.constant(j);
  if (divisor?.data.some((v) => v === 0) === true) throw ctx.error("it divides by 0");
  const x = ctx.value(i);
  const away = selectNegative(ctx, x, affine(ctx, x, 1, -0.5, "below"), affine(ctx, x, 1, 0.5, "above"));
  if (divisor === undefined) return ctx.emit("nn.div", [away, ctx.value(j)], shape);
  const inverse = ctx.fromConstant(
    { ...divisor, data: divisor.data.map((v) => 1 / v), integer: false },
    `${ctx.name}_inverse`,
  );
  return ctx.emit("nn.mul", [away, inverse], shape);
}

/** Towards zero, as quotients of integers are. */
export function truncated(ctx: NodeContext, x: Value): Value {
  return whole(ctx, x, "trunc");
}

/**
 * A remainder by a computed divisor: what is smaller than the divisor, which may be infinite, is its own; without fmod
 * it gets the divisor's sign.
 */
function remainder(ctx: NodeContext, x: Value, y: Value, rest: Value, fmod: boolean): Value {
  const [size, step] = [x, y].map((v) => ctx.emit("nn.abs", [v], shapeOf(v))) as [Value, Value];
  const negated = (v: Value): Value => ctx.emit("nn.neg", [v], shapeOf(v));
  const r = selectNegative(ctx, pair(ctx, "nn.sub", size, step), x, rest);
  if (fmod) return r;
  const moved = pair(ctx, "nn.add", r, y);
  const above = selectNegative(ctx, negated(r), selectNegative(ctx, y, moved, r), r);
  return selectNegative(ctx, r, selectNegative(ctx, negated(y), moved, r), above);
}

/** x - y * [x / y]: the quotient rounded down, so that the sign is the divisor's, or with fmod towards zero. */
const mod: OperatorImporter = {
  opType: "Mod",
  limits: "of real numbers, what lies close to a multiple of the divisor may come out on its other side",
  import: (ctx) => {
    const [a, b] = [ctx.constant(0), ctx.constant(1)];
    const shape = needBroadcast(ctx, ctx.shape(0), ctx.shape(1));
    const like = ctx.int("fmod", 0) !== 0;
    if (a !== undefined && b !== undefined)
      return known(
        shape,
        mapConstants(a, b, shape, like ? (x, y) => x % y : (x, y) => x - y * Math.floor(x / y)),
        a.integer && b.integer,
      );
    if (b?.data.some((v) => v === 0) === true) throw ctx.error("its divisor is 0");
    const integer = isIntegerType(ctx.elementType(0));
    const [x, y] = [ctx.value(0), ctx.value(1)];
    const inverse =
      b === undefined
        ? undefined
        : ctx.fromConstant({ ...b, data: b.data.map((v) => 1 / v), integer: false }, `${ctx.name}_inverse`);
    const divided = (v: Value): Value =>
      inverse === undefined ? pair(ctx, "nn.div", v, y) : pair(ctx, "nn.mul", v, inverse);
    const rest = (q: Value): Value => pair(ctx, "nn.sub", x, pair(ctx, "nn.mul", q, y));
    if (like && (integer || b !== undefined))
      return rest(truncated(ctx, integer ? quotient(ctx, 0, 1, shape) : divided(x)));
    if (!integer && b !== undefined) return rest(whole(ctx, divided(x), "floor"));
    if (!integer) return remainder(ctx, x, y, rest(truncated(ctx, divided(x))), like);
    // Half a step towards the inside, on the side where the divisor is: see `quotient`.
    const half =
      b === undefined
        ? selectNegative(ctx, y, scalarOf(ctx, -0.5, "below"), scalarOf(ctx, 0.5, "above"))
        : ctx.fromConstant({ ...b, data: b.data.map((v) => Math.sign(v) / 2), integer: false }, `${ctx.name}_half`);
    return rest(whole(ctx, divided(pair(ctx, "nn.add", x, half)), "floor"));
  },
};

// --- conversions

/** What a type makes of a number that it may not hold. */
function convertConstant(v: number, to: number): number {
  if (to === BOOL) return Number(v !== 0);
  return isIntegerType(to) ? Math.trunc(v) : v;
}

/** x modulo 2^bits, from -2^(bits-1) on for signed types: what is left of an integer in a narrower type. */
export function wrapped(
  ctx: NodeContext,
  x: Value,
  { bits, signed }: { readonly bits: number; readonly signed: boolean },
): Value {
  const [unit, half] = [2 ** bits, signed ? 2 ** (bits - 1) : 0];
  return whole(
    ctx,
    affine(
      ctx,
      fraction(ctx, affine(ctx, affine(ctx, x, 1, half, "shift"), 1 / unit, 0, "wrap")),
      unit,
      -half,
      "unwrap",
    ),
    "floor",
  );
}

/** Bits of the narrowest type that no integer of a network is expected to leave. */
const WIDE = 32;

const TO_SHORT_FLOATS = {
  saturate: "only for floats of 8 bits, which are not read",
  round_mode: "only for floats of 8 bits, which are not read",
};

function converted(ctx: NodeContext, to: number): Value | Imported {
  if (!isNumberType(to))
    throw ctx.error(`a cast to ${dataTypeName(to)} is not supported`, "keep the network in float32 and integers");
  const from = ctx.elementType(0);
  const c = ctx.constant(0);
  if (c !== undefined)
    return known(
      c.shape,
      isIntegerType(to) || to === BOOL ? c.data.map((v) => convertConstant(v, to)) : c.data,
      isIntegerType(to) || to === BOOL,
    );
  // Rounding to 11 bits is below what quantization does anyway; rounding to 8 bits is not.
  if (to === BFLOAT16 && from !== BFLOAT16)
    throw ctx.error(
      "a computed tensor is rounded to bfloat16, which would not be reproduced",
      "keep the network in float32; quantization chooses the widths",
    );
  if ([FLOAT, FLOAT16, DOUBLE, BFLOAT16].includes(to) || from === to) return ctx.input(0);
  if (to === BOOL) {
    const x = ctx.value(0);
    const apart = ctx.emit("nn.neg", [ctx.emit("nn.abs", [x], shapeOf(x))], shapeOf(x));
    return selectNegative(ctx, apart, scalarOf(ctx, 1, "true"), scalarOf(ctx, 0, "false"));
  }
  const type = integerType(to);
  if (type === undefined)
    throw ctx.error(
      `a computed tensor is cast to ${dataTypeName(to)}, which is no number of this network`,
      "keep the network in float32",
    );
  if (from === BOOL) return ctx.input(0);
  const limits = type.signed
    ? { lo: -(2 ** (type.bits - 1)), hi: 2 ** (type.bits - 1) - 1 }
    : { lo: 0, hi: 2 ** type.bits - 1 };
  const own = integerType(from);
  // What integers of 4 bits do not hold loses its upper bits.
  if (own === undefined && type.bits === 4) return wrapped(ctx, whole(ctx, ctx.value(0), "trunc"), type);
  if (own === undefined)
    return whole(ctx, ctx.value(0), "trunc", type.bits > WIDE ? (type.signed ? {} : { lo: 0 }) : limits);
  const holds =
    type.bits >= WIDE ||
    (type.bits > own.bits ? type.signed || !own.signed : type.bits === own.bits && type.signed === own.signed);
  return holds ? ctx.input(0) : wrapped(ctx, ctx.value(0), type);
}

const cast: OperatorImporter = {
  opType: "Cast",
  ignores: TO_SHORT_FLOATS,
  limits: "real numbers beyond an integer type's range saturate; rounding to 16 bits is left to quantization",
  resultType: (ctx) => ctx.int("to", FLOAT),
  import: (ctx) => converted(ctx, ctx.int("to", FLOAT)),
};

const castLike: OperatorImporter = {
  opType: "CastLike",
  limits: "as Cast",
  ignores: TO_SHORT_FLOATS,
  resultType: (ctx) => ctx.elementType(1),
  import: (ctx) => {
    const like = ctx.constant(1);
    const to = ctx.elementType(1) ?? (like?.integer === true ? undefined : FLOAT);
    if (to === undefined) throw ctx.error("the type of what it is cast like is not known", "export with Cast");
    return converted(ctx, to);
  },
};

// --- what fixed point does not have

/**
 * Whether x is moved out of a softmax: rows of -Inf alone, the only ones that ONNX leaves undefined, are zeros here.
 */
function isOfSoftmax(x: Value): boolean {
  let at = x;
  while (at.def !== undefined && ["nn.reshape", "nn.transpose", "nn.slice", "nn.broadcast"].includes(at.def.name))
    at = at.def.operand(0);
  return at.def?.name === "nn.softmax";
}

/** 1 where x is no number: every comparison with it fails, also that which makes |x| the larger of itself and -1. */
function isNaNValue(ctx: NodeContext, x: Value): Value {
  const size = ctx.emit("nn.max", [ctx.emit("nn.abs", [x], shapeOf(x)), scalarOf(ctx, -1, "below")], shapeOf(x));
  return selectNegative(ctx, size, scalarOf(ctx, 1, "true"), scalarOf(ctx, 0, "false"));
}

const isNaN: OperatorImporter = {
  opType: "IsNaN",
  limits: "in fixed point always false",
  resultType: () => BOOL,
  import: (ctx) => {
    const c = ctx.constant(0);
    if (c !== undefined)
      return known(
        c.shape,
        c.data.map((v) => Number(Number.isNaN(v))),
        true,
      );
    const x = ctx.value(0);
    return isOfSoftmax(x)
      ? known(shapeOf(x), new Float64Array(shapeOf(x).reduce((n, d) => n * d, 1)), true)
      : isNaNValue(ctx, x);
  },
};

const isInf: OperatorImporter = {
  opType: "IsInf",
  limits: "in fixed point always false",
  resultType: () => BOOL,
  import: (ctx) => {
    const [negative, positive] = [ctx.int("detect_negative", 1) !== 0, ctx.int("detect_positive", 1) !== 0];
    const c = ctx.constant(0);
    if (c !== undefined)
      return known(
        c.shape,
        c.data.map((v) => Number((negative && v === -Infinity) || (positive && v === Infinity))),
        true,
      );
    const x = ctx.value(0);
    // Of the infinities alone the difference from themselves is no number although they are.
    const infinite = pair(ctx, "nn.sub", isNaNValue(ctx, pair(ctx, "nn.sub", x, x)), isNaNValue(ctx, x));
    const side = (on: boolean): Value => (on ? infinite : scalarOf(ctx, 0, "false"));
    return selectNegative(ctx, x, side(negative), side(positive));
  },
};

export const roundingOperators: readonly OperatorImporter[] = [
  rounding("Floor", "floor"),
  rounding("Ceil", "ceil"),
  rounding("Round", "half-even"),
  mod,
  cast,
  castLike,
  isNaN,
  isInf,
];
