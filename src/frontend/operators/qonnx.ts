/**
 * QONNX: Quant, BipolarQuant, Trunc, FloatQuant, and FINN's MultiThreshold. Constants are folded in float32 as QONNX'
 * own functions do it; computed tensors become products with constants, `nn.round`, choices and sums.
 *
 * @source Pappalardo et al., "QONNX: Representing arbitrary-precision quantized neural networks" (arXiv 2206.07527);
 * package qonnx 1.0.0
 */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";
import { mapConstants } from "./broadcast.js";
import { floatQuant } from "./narrow-float.js";
import {
  modeOf,
  NEAR,
  NOT,
  number,
  parameter,
  round32,
  rounded,
  roundHalfEven,
  scalar,
  scaleOf,
  tensorOf,
} from "./qonnx-rounding.js";

/** Most bits of Quant. */
const MAX_BITS = 32;

function bitWidth(ctx: NodeContext, i: number, what: string): number {
  const bits = scalar(ctx, i, what);
  if (!(bits >= 1 && bits <= MAX_BITS) || !Number.isInteger(bits))
    throw ctx.error(`its ${what} is ${bits}; whole numbers from 1 to ${MAX_BITS} are supported`);
  return bits;
}

/** Limits of integers of so many bits. */
function limits(bits: number, signed: boolean, narrow: boolean): { lo: number; hi: number } {
  return {
    lo: signed ? -(2 ** (bits - 1)) + (narrow ? 1 : 0) : 0,
    hi: signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1 - (narrow ? 1 : 0),
  };
}

/** -scale below 0, scale from 0 on. */
function signOf(ctx: NodeContext, x: Value, scale: ConstTensor): Value {
  return ctx.emit(
    "nn.select_neg",
    [x, tensorOf(ctx, scale, (s) => -s, "below"), tensorOf(ctx, scale, (s) => s, "above")],
    shapeOf(x),
  );
}

function quant(opType: string): OperatorImporter {
  return {
    opType,
    limits: `constant scale, zero point and bit width (up to ${MAX_BITS})`,
    import: (ctx): Value | Imported => {
      const shape = ctx.shape(0);
      const bits = bitWidth(ctx, 3, "bit width");
      const mode = modeOf(ctx, "ROUND");
      const signed = ctx.int("signed", 1) !== 0;
      const { lo, hi } = limits(bits, signed, ctx.int("narrow", 0) !== 0);
      const [scale, zero] = [scaleOf(ctx, 1, "scale", shape), parameter(ctx, 2, "zero point", shape)];
      const bipolar = bits === 1 && signed;
      const c = ctx.constant(0);
      if (c !== undefined) {
        const moved = mapConstants(
          { ...c, data: mapConstants(c, scale, shape, (v, s) => round32(v / s)), shape },
          zero,
          shape,
          (v, z) => round32(v + z),
        );
        const codes = moved.map((v) => (bipolar ? (v >= 0 ? 1 : -1) : mode.round(Math.min(hi, Math.max(lo, v)))));
        const centred = mapConstants({ shape, data: codes, integer: false }, zero, shape, (q, z) => round32(q - z));
        return known(
          shape,
          mapConstants({ shape, data: centred, integer: false }, scale, shape, (v, s) => round32(v * s)),
          false,
        );
      }
      const z = zero.data[0]!;
      const plain = zero.data.every((v) => v === 0);
      const scaled = ctx.emit("nn.mul", [ctx.value(0), tensorOf(ctx, scale, (s) => 1 / s, "inverse_scale")], shape);
      if (bipolar && plain) return signOf(ctx, ctx.value(0), scale);
      // A zero point that is one even integer only moves the limits: ties stay what they are.
      const moves = mode.negative === NOT && zero.data.every((v) => v === z) && z % 2 === 0 && !bipolar;
      const centred = (q: Value): Value =>
        plain ? q : ctx.emit("nn.sub", [q, tensorOf(ctx, zero, (v) => v, "zero_point")], shape);
      if (moves)
        return ctx.emit(
          "nn.mul",
          [ctx.emit("nn.round", [scaled], shape, { lo: lo - z, hi: hi - z }), tensorOf(ctx, scale, (s) => s, "scale")],
          shape,
        );
      const moved = plain ? scaled : ctx.emit("nn.add", [scaled, tensorOf(ctx, zero, (v) => v, "zero_point")], shape);
      const codes = bipolar
        ? signOf(ctx, moved, { shape: [], data: Float64Array.of(1), integer: false })
        : rounded(ctx, moved, mode, lo, hi);
      return ctx.emit("nn.mul", [centred(codes), tensorOf(ctx, scale, (s) => s, "scale")], shape);
    },
  };
}

function bipolar(opType: string): OperatorImporter {
  return {
    opType,
    limits: "constant scale",
    import: (ctx) => {
      const shape = ctx.shape(0);
      const scale = scaleOf(ctx, 1, "scale", shape);
      const c = ctx.constant(0);
      return c === undefined
        ? signOf(ctx, ctx.value(0), scale)
        : known(
            shape,
            mapConstants(c, scale, shape, (v, s) => (v >= 0 ? s : -s)),
            false,
          );
    },
  };
}

/** Version 1 has the bit widths; version 2 a scale of the result as well, and limits of its width. */
function trunc(opType: string): OperatorImporter {
  return {
    opType,
    limits: "constant scales, zero point and bit widths",
    import: (ctx): Value | Imported => {
      const shape = ctx.shape(0);
      const second = ctx.inputCount > 5;
      const [scale, zero, from, to] = [
        scaleOf(ctx, 1, "scale", shape),
        scalar(ctx, 2, "zero point"),
        bitWidth(ctx, 3, "input bit width"),
        bitWidth(ctx, second ? 5 : 4, "output bit width"),
      ];
      if (!Number.isInteger(zero))
        throw ctx.error(`its zero point ${zero} is not an integer`, "export with a zero point of 0");
      const mode = modeOf(ctx, "FLOOR");
      const outScale = second ? scaleOf(ctx, 4, "output scale", shape) : scale;
      const ratios = second
        ? mapConstants(outScale, scale, shape, (o, s) => Math.round(Math.log2(o / s)))
        : [from - to];
      if (ratios.some((r) => r !== ratios[0]))
        throw ctx.error("its output scale is not the same multiple of its scale everywhere");
      const parts = 2 ** ratios[0]!;
      const own = limits(to, ctx.int("signed", 1) !== 0, ctx.int("narrow", 0) !== 0);
      // Without limits of its own, what comes in has as many bits as it says.
      const { lo, hi } = second ? own : { lo: -(2 ** (to + 1)), hi: 2 ** (to + 1) };
      const outZero = second ? zero / parts : zero;
      const c = ctx.constant(0);
      if (c !== undefined) {
        const codes = mapConstants(
          c,
          scale,
          shape,
          (v, s) => roundHalfEven(round32(round32(v / s) + zero)) / parts,
        ).map((v) => mode.round(second ? Math.min(hi, Math.max(lo, v)) : v));
        return known(
          shape,
          mapConstants({ shape, data: codes, integer: false }, outScale, shape, (q, s) =>
            round32(round32(q - outZero) * s),
          ),
          false,
        );
      }
      const scaled = ctx.emit("nn.mul", [ctx.value(0), tensorOf(ctx, scale, (s) => 1 / s, "inverse_scale")], shape);
      const range = 2 ** (from + 1);
      const integers = ctx.emit("nn.round", [scaled], shape, { lo: -range, hi: range });
      const moved = zero === 0 ? integers : ctx.emit("nn.add", [integers, number(ctx, zero, "zero_point")], shape);
      const shifted = parts === 1 ? moved : ctx.emit("nn.mul", [moved, number(ctx, 1 / parts, "shift")], shape);
      // Multiples of 1 / parts: half of that is nowhere near any.
      const codes = rounded(ctx, shifted, mode, lo, hi, Math.max(NEAR, 0.5 / Math.max(2, parts)));
      const centred =
        outZero === 0 ? codes : ctx.emit("nn.sub", [codes, number(ctx, outZero, "output_zero_point")], shape);
      return ctx.emit("nn.mul", [centred, tensorOf(ctx, outScale, (s) => s, "scale")], shape);
    },
  };
}

/** Position of the channels: what the layout says, else what QONNX takes a tensor of this rank for. */
function channelAxis(ctx: NodeContext, rank: number): number {
  const layout =
    ctx.string("data_layout", "") || ({ 2: "NC", 3: "NWC", 4: "NCHW" } as Readonly<Record<number, string>>)[rank] || "";
  const axis = layout.includes("C") ? layout.indexOf("C") : 1;
  if (axis >= rank) throw ctx.error(`its layout "${layout}" does not fit a tensor of rank ${rank}`);
  return axis;
}

/** The number of thresholds that an element reaches, by comparisons: sum over i of x >= t[c, i]. */
function multiThreshold(opType: string): OperatorImporter {
  return {
    opType,
    limits: "constant thresholds",
    ignores: { out_dtype: "a name for the values that out_scale and out_bias make" },
    import: (ctx) => {
      const shape = ctx.shape(0);
      const t = ctx.needWeight(1, "thresholds");
      // The type follows from the number of thresholds.
      ctx.string("out_dtype", "");
      const axis = channelAxis(ctx, shape.length);
      const [channels, steps] = [t.shape[0] ?? 0, t.shape[1] ?? 0];
      if (t.shape.length !== 2 || steps === 0 || (channels !== 1 && channels !== shape[axis]))
        throw ctx.error(
          `its thresholds of shape [${t.shape.join(", ")}] do not fit ${shape[axis]} channels along axis ${axis}`,
        );
      const [scale, bias] = [ctx.float("out_scale", 1), ctx.float("out_bias", 0)];
      const c = ctx.constant(0);
      const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
      const row = (i: number): Float64Array => {
        const at = channels === 1 ? 0 : Math.floor(i / inner) % channels;
        return Float64Array.from(t.data.subarray(at * steps, (at + 1) * steps));
      };
      if (c !== undefined)
        return known(
          shape,
          c.data.map((v, i) => round32(round32(scale * row(i).reduce((n, x) => n + Number(v >= x), 0)) + bias)),
          false,
        );
      // Thresholds come first, so that x is broadcast and need not be moved.
      const at = [steps, ...shape.map((_, d) => (d === axis ? channels : 1))];
      const table = ctx.fromConstant(
        {
          shape: at,
          data: Float64Array.from(
            { length: t.data.length },
            (_, k) => t.data[(k % channels) * steps + Math.floor(k / channels)]!,
          ),
          integer: false,
        },
        ctx.node.input[1],
      );
      const wide = [steps, ...shape];
      const above = ctx.emit(
        "nn.select_neg",
        [ctx.emit("nn.sub", [ctx.value(0), table], wide), number(ctx, 0, "below"), number(ctx, 1, "reached")],
        wide,
      );
      const count = ctx.emit("nn.reduce", [above], shape, { kind: "sum", axes: [0], keepdims: false });
      const scaled = scale === 1 ? count : ctx.emit("nn.mul", [count, number(ctx, scale, "scale")], shape);
      return bias === 0 ? scaled : ctx.emit("nn.add", [scaled, number(ctx, bias, "bias")], shape);
    },
  };
}

const QONNX_DOMAINS = ["qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"];

export const qonnxOperators: readonly OperatorImporter[] = QONNX_DOMAINS.flatMap((d) => [
  quant(`${d}::Quant`),
  quant(`${d}::IntQuant`),
  bipolar(`${d}::BipolarQuant`),
  trunc(`${d}::Trunc`),
  floatQuant(`${d}::FloatQuant`),
  multiThreshold(`${d}::MultiThreshold`),
]);
