/**
 * Scales and zero points of quantized models: how they are read, and the operations that make codes of real numbers and
 * real numbers of codes.
 */
import type { Value } from "../../ir/core.js";
import { known, type NodeContext, shapeOf, type Imported } from "../context.js";
import { dataTypeName, integerRange } from "../tensor-data.js";

/** Scale or zero point: one number, or one per index of `axis`. */
interface Parameter {
  readonly values: Float64Array;
  readonly axis: number | undefined;
}

export function parameter(
  ctx: NodeContext,
  i: number,
  what: string,
  rank: number,
  axisAttr: number,
  of: readonly number[],
): Parameter {
  const c = ctx.needWeight(i, what);
  if (c.data.length === 1) return { values: c.data, axis: undefined };
  if (c.shape.length !== 1)
    throw ctx.error(
      `its ${what} has the shape [${c.shape.join(", ")}]: quantization in blocks is not supported`,
      "quantize per tensor or per channel",
    );
  const axis = ctx.axis(axisAttr, rank);
  if (c.data.length !== of[axis])
    throw ctx.error(`its ${what} has ${c.data.length} values for ${of[axis]} elements along axis ${axis}`);
  return { values: c.data, axis };
}

export function positive(ctx: NodeContext, p: Parameter): Parameter {
  const bad = p.values.find((v) => !(v > 0));
  if (bad !== undefined) throw ctx.error(`its scale is ${bad}; scales are positive`, "quantize the model again");
  return p;
}

function broadcastShape(p: Parameter, rank: number): number[] {
  return p.axis === undefined ? [] : [p.values.length, ...new Array<number>(rank - p.axis - 1).fill(1)];
}

export function constant(ctx: NodeContext, p: Parameter, rank: number, f: (v: number) => number, what: string): Value {
  return ctx.fromConstant(
    { shape: broadcastShape(p, rank), data: p.values.map(f), integer: false },
    `${ctx.name}_${what}`,
  );
}

/** Index along the axis of a parameter, for each element of a constant. */
export function parameterIndex(p: Parameter, shape: readonly number[]): (i: number) => number {
  if (p.axis === undefined) return () => 0;
  const inner = shape.slice(p.axis + 1).reduce((n, d) => n * d, 1);
  return (i) => Math.floor(i / inner) % p.values.length;
}

export function roundHalfEven(v: number): number {
  const f = Math.floor(v);
  const d = v - f;
  return d < 0.5 ? f : d > 0.5 ? f + 1 : f % 2 === 0 ? f : f + 1;
}

/** Codes where zero points differ along an axis: rounded within the widest limits, moved, then limited to the type. */
export function quantizeByChannel(
  ctx: NodeContext,
  x: Value,
  scale: Parameter,
  zero: Parameter,
  range: { lo: number; hi: number },
): Value {
  const shape = shapeOf(x);
  const scaled = ctx.emit("nn.mul", [x, constant(ctx, scale, shape.length, (s) => 1 / s, "inverse_scale")], shape);
  const rounded = ctx.emit("nn.round", [scaled], shape, {
    lo: range.lo - Math.max(...zero.values),
    hi: range.hi - Math.min(...zero.values),
  });
  return ctx.emit(
    "nn.clip",
    [ctx.emit("nn.add", [rounded, constant(ctx, zero, shape.length, (z) => z, "zero_point")], shape)],
    shape,
    range,
  );
}

/** Codes of `x`: round(x / scale) + zero point, limited to the type. */
export function quantizeValue(
  ctx: NodeContext,
  x: Value,
  scale: Parameter,
  zero: number,
  range: { lo: number; hi: number },
): Value {
  const shape = shapeOf(x);
  const scaled = ctx.emit("nn.mul", [x, constant(ctx, scale, shape.length, (s) => 1 / s, "inverse_scale")], shape);
  const rounded = ctx.emit("nn.round", [scaled], shape, { lo: range.lo - zero, hi: range.hi - zero });
  return zero === 0
    ? rounded
    : ctx.emit(
        "nn.add",
        [
          rounded,
          ctx.fromConstant({ shape: [], data: Float64Array.of(zero), integer: false }, `${ctx.name}_zero_point`),
        ],
        shape,
      );
}

function dequantizeValue(ctx: NodeContext, q: Value, scale: Parameter, zero: Parameter): Value {
  const shape = shapeOf(q);
  const centred = zero.values.every((z) => z === 0)
    ? q
    : ctx.emit("nn.sub", [q, constant(ctx, zero, shape.length, (z) => z, "zero_point")], shape);
  return ctx.emit("nn.mul", [centred, constant(ctx, scale, shape.length, (s) => s, "scale")], shape);
}

export function zeroParameter(
  ctx: NodeContext,
  i: number,
  rank: number,
  axis: number,
  of: readonly number[],
): Parameter {
  return ctx.has(i) ? parameter(ctx, i, "zero point", rank, axis, of) : { values: Float64Array.of(0), axis: undefined };
}

export function onlyZero(ctx: NodeContext, zero: Parameter): number {
  const z = zero.values[0]!;
  if (zero.values.some((v) => v !== z))
    throw ctx.error("its zero points differ between channels", "use symmetric quantization per channel");
  return z;
}

/** Integers in place of real numbers: what the zero point's type, or the attribute, says. */
export function codeType(ctx: NodeContext, zeroInput: number): { type: number; lo: number; hi: number } {
  const stated = ctx.int("output_dtype", 0) || undefined;
  const ofZero = ctx.has(zeroInput) ? ctx.elementType(zeroInput) : undefined;
  if (stated !== undefined && ofZero !== undefined && stated !== ofZero)
    throw ctx.error(
      `output_dtype is ${dataTypeName(stated)}, but its zero point is ${dataTypeName(ofZero)}`,
      "quantize the model again",
    );
  const type = ofZero ?? stated ?? 2;
  const range = integerRange(type);
  if (range === undefined || range.hi > 65535 || range.lo < -32768)
    throw ctx.error(
      `it quantizes to an element type (${type}) that is no integer of up to 16 bits`,
      "quantize to int4, uint4, int8, uint8, int16 or uint16",
    );
  return { type, ...range };
}

/**
 * Codes that may come from an input of 16 or 32 bits, within the limits of their type; `integerize` drops what is
 * limited already.
 */
function limitedCodes(ctx: NodeContext, v: Value, type: number | undefined): Value {
  const range =
    type === 6 && v.def === undefined
      ? { lo: -(2 ** 31), hi: 2 ** 31 - 1 }
      : type === 4 || type === 5
        ? integerRange(type)
        : undefined;
  return range === undefined ? v : ctx.emit("nn.round", [v], shapeOf(v), range);
}

/** Real numbers of input `x` by scale and zero point; constants at once. */
export function dequantize(ctx: NodeContext, x: number, s: number, z: number, axis: number): Value | Imported {
  const shape = ctx.shape(x);
  const scale = positive(ctx, parameter(ctx, s, "scale", shape.length, axis, shape));
  const zero = zeroParameter(ctx, z, shape.length, axis, shape);
  const c = ctx.constant(x);
  if (c === undefined) return dequantizeValue(ctx, limitedCodes(ctx, ctx.value(x), ctx.elementType(x)), scale, zero);
  const [si, zi] = [parameterIndex(scale, shape), parameterIndex(zero, shape)];
  return known(
    shape,
    c.data.map((v, i) => (v - zero.values[zi(i)]!) * scale.values[si(i)]!),
    false,
  );
}
