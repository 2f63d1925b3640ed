/** FloatQuant of QONNX: numbers rounded to a narrow floating-point format, which a fixed-point grid holds exactly. */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { mapConstants } from "./broadcast.js";
import { modeOf, NEAR, NOT, number, round32, scalar, scaleOf, tensorOf, type RoundingMode } from "./qonnx-rounding.js";

/** Most bits of a fixed-point grid that holds all numbers of a narrow floating-point format. */
const MAX_GRID_BITS = 40;

/** A narrow floating-point format without its sign: numbers of one step per octave, the lowest two with the same. */
interface NarrowFloat {
  readonly mantissa: number;
  /** Smallest step, as a power of two. */
  readonly least: number;
  /** Largest number. */
  readonly most: number;
}

function narrowFloatOf(ctx: NodeContext): NarrowFloat {
  // What the format holds besides numbers changes nothing for these.
  for (const other of ["has_inf", "has_nan", "has_subnormal"]) ctx.int(other, 0);
  if (ctx.int("saturation", 1) === 0)
    throw ctx.error("values beyond the format become infinite (saturation = 0)", "export with saturation = 1");
  const [exponent, mantissa] = [scalar(ctx, 2, "exponent bit width"), scalar(ctx, 3, "mantissa bit width")];
  const bias = ctx.has(4) ? scalar(ctx, 4, "exponent bias") : 2 ** (exponent - 1) - 1;
  for (const [what, bits] of [
    ["exponent bit width", exponent],
    ["mantissa bit width", mantissa],
  ] as const)
    if (!Number.isInteger(bits) || bits < 0) throw ctx.error(`its ${what} is ${bits}; it is a whole number`);
  const top = (2 - 2 ** -mantissa) * 2 ** (2 ** exponent - 1 - bias);
  const most = ctx.has(5) ? Math.min(top, scalar(ctx, 5, "largest value")) : top;
  if (!(most > 0)) throw ctx.error(`its largest value is ${most}`, "export with a largest value above 0");
  return { mantissa, least: 1 - bias - mantissa, most };
}

function narrowed(v: number, f: NarrowFloat, mode: RoundingMode): number {
  const step = 2 ** Math.max(Math.floor(Math.log2(Math.abs(v) + 2 ** -126)) - f.mantissa, f.least);
  return Math.min(f.most, Math.max(-f.most, step * mode.round(v / step)));
}

/**
 * `x` rounded to the format: the part of its magnitude in each octave is rounded to the octave's step, and limited to
 * the octave; the parts below are whole then, and those above nothing.
 */
function narrowedValue(ctx: NodeContext, x: Value, f: NarrowFloat, mode: RoundingMode): Value {
  const shape = shapeOf(x);
  if (!Number.isInteger(f.least) || Math.log2(f.most) - f.least > MAX_GRID_BITS)
    throw ctx.error(
      `numbers from 2^${f.least} to ${f.most} do not fit a fixed-point grid of ${MAX_GRID_BITS} bits`,
      "round activations to a format of at most 5 bits of exponent",
    );
  const magnitude = ctx.emit("nn.abs", [x], shape);
  const isNearest = mode.negative === NOT;
  const offset = (half: number, near: number): number => half / 2 + near * NEAR;
  // Away from zero for one sign is towards it for the other's magnitude.
  const [below, above] = [-offset(...mode.negative), offset(...mode.positive)];
  const moved =
    below === above
      ? number(ctx, above, "offset")
      : ctx.emit("nn.select_neg", [x, number(ctx, below, "offset_below"), number(ctx, above, "offset_above")], shape);
  let sum: Value | undefined;
  // The first part holds the numbers without a leading one, and the octave above with the same step.
  for (let start = 0, e = f.least; start < f.most; start = 2 ** (e + f.mantissa + 1), e++) {
    const step = 2 ** e;
    const end = Math.min(f.most, 2 ** (e + f.mantissa + 1));
    const scaled = ctx.emit("nn.mul", [magnitude, number(ctx, 1 / step, `inverse_step_${e}`)], shape);
    let v = start === 0 ? scaled : ctx.emit("nn.sub", [scaled, number(ctx, start / step, `start_${e}`)], shape);
    if (!isNearest) v = ctx.emit("nn.add", [v, moved], shape);
    // With no mantissa the only tie of an octave lies above an odd number.
    else if (start > 0 && f.mantissa === 0) v = ctx.emit("nn.add", [v, number(ctx, NEAR, `tie_${e}`)], shape);
    const codes = ctx.emit("nn.round", [v], shape, { lo: 0, hi: Math.ceil((end - start) / step) });
    const part = ctx.emit("nn.mul", [codes, number(ctx, step, `step_${e}`)], shape);
    sum = sum === undefined ? part : ctx.emit("nn.add", [sum, part], shape);
  }
  const limited = Number.isInteger(f.most / 2 ** lastStep(f))
    ? sum!
    : ctx.emit("nn.min", [sum!, number(ctx, f.most, "most")], shape);
  return ctx.emit("nn.select_neg", [x, ctx.emit("nn.neg", [limited], shape), limited], shape);
}

/** Step of the octave that holds the largest number, as a power of two. */
function lastStep(f: NarrowFloat): number {
  return Math.max(f.least, Math.ceil(Math.log2(f.most)) - 1 - f.mantissa);
}

export function floatQuant(opType: string): OperatorImporter {
  return {
    opType,
    limits: `constant scale and format; of computed tensors formats whose numbers fit ${MAX_GRID_BITS} bits`,
    import: (ctx): Value | Imported => {
      const shape = ctx.shape(0);
      const mode = modeOf(ctx, "ROUND");
      const format = narrowFloatOf(ctx);
      const scale = scaleOf(ctx, 1, "scale", shape);
      const c = ctx.constant(0);
      if (c !== undefined)
        return known(
          shape,
          mapConstants(c, scale, shape, (v, s) => round32(narrowed(round32(v / s), format, mode) * s)),
          false,
        );
      const times = (v: Value, f: (s: number) => number, what: string): Value =>
        scale.data.every((s) => s === 1) ? v : ctx.emit("nn.mul", [v, tensorOf(ctx, scale, f, what)], shape);
      const scaled = times(ctx.value(0), (s) => 1 / s, "inverse_scale");
      return times(narrowedValue(ctx, scaled, format, mode), (s) => s, "scale");
    },
  };
}
