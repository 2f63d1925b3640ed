/** Rounding modes and parameters of QONNX' quantizers. */
import type { Value } from "../../ir/core.js";
import { shapeOf, type NodeContext } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";
import { needBroadcast } from "./broadcast.js";

export const round32 = Math.fround;

export function roundHalfEven(v: number): number {
  const f = Math.floor(v);
  const d = v - f;
  return d < 0.5 ? f : d > 0.5 ? f + 1 : f % 2 === 0 ? f : f + 1;
}

/** A rounding mode: on numbers, and as what is added to a number of either sign before it is rounded half to even. */
export interface RoundingMode {
  readonly round: (v: number) => number;
  /** In halves, and in parts of what counts as near a tie. */
  readonly negative: readonly [half: number, near: number];
  readonly positive: readonly [half: number, near: number];
}

/** Quotients by a scale are exact to this: what is closer to a tie or an integer counts as one. */
export const NEAR = 2 ** -12;
export const NOT = [0, 0] as const;
const UPWARD = [1, -1] as const;
const DOWNWARD = [-1, 1] as const;
const MORE = [0, 1] as const;
const LESS = [0, -1] as const;

/** Modes by name, as QONNX defines them: HALF_UP and UP are away from zero. */
const MODES: Readonly<Record<string, RoundingMode>> = {
  ROUND: { round: roundHalfEven, negative: NOT, positive: NOT },
  HALF_EVEN: { round: roundHalfEven, negative: NOT, positive: NOT },
  CEIL: { round: Math.ceil, negative: UPWARD, positive: UPWARD },
  FLOOR: { round: Math.floor, negative: DOWNWARD, positive: DOWNWARD },
  UP: { round: (v) => Math.sign(v) * Math.ceil(Math.abs(v)), negative: DOWNWARD, positive: UPWARD },
  DOWN: { round: Math.trunc, negative: UPWARD, positive: DOWNWARD },
  ROUND_TO_ZERO: { round: Math.trunc, negative: UPWARD, positive: DOWNWARD },
  HALF_UP: { round: (v) => Math.sign(v) * Math.floor(Math.abs(v) + 0.5), negative: LESS, positive: MORE },
  HALF_DOWN: { round: (v) => Math.sign(v) * Math.ceil(Math.abs(v) - 0.5), negative: MORE, positive: LESS },
};

export function modeOf(ctx: NodeContext, fallback: string): RoundingMode {
  const name = ctx.string("rounding_mode", fallback).toUpperCase();
  const mode = MODES[name];
  if (mode === undefined)
    throw ctx.error(`rounding mode ${name} is not known`, `use one of ${Object.keys(MODES).join(", ")}`);
  return mode;
}

/** `x` rounded to integers in [lo, hi]; what is closer to a tie or an integer than `near` counts as one. */
export function rounded(ctx: NodeContext, x: Value, mode: RoundingMode, lo: number, hi: number, near = NEAR): Value {
  const shape = shapeOf(x);
  let v = x;
  if (mode.negative !== NOT) {
    const [negative, positive] = [mode.negative, mode.positive].map(([half, part]) =>
      number(ctx, half / 2 + part * near, "offset"),
    ) as [Value, Value];
    const offset =
      mode.negative === mode.positive ? positive : ctx.emit("nn.select_neg", [x, negative, positive], shape);
    v = ctx.emit("nn.add", [x, offset], shape);
  }
  return ctx.emit("nn.round", [v], shape, { lo, hi });
}

export function number(ctx: NodeContext, value: number, what: string): Value {
  return ctx.fromConstant({ shape: [], data: Float64Array.of(value), integer: false }, `${ctx.name}_${what}`);
}
export function tensorOf(ctx: NodeContext, c: ConstTensor, f: (v: number) => number, what: string): Value {
  return ctx.fromConstant(
    { shape: c.data.length === 1 ? [] : c.shape, data: c.data.map(f), integer: false },
    `${ctx.name}_${what}`,
  );
}

/** A parameter that broadcasts to the shape of the input. */
export function parameter(ctx: NodeContext, i: number, what: string, shape: readonly number[]): ConstTensor {
  const c = ctx.needWeight(i, `the ${what}`);
  if (
    needBroadcast(ctx, c.shape.length > shape.length && c.data.length === 1 ? [] : c.shape, shape).join() !==
    shape.join()
  )
    throw ctx.error(`its ${what} of shape [${c.shape.join(", ")}] does not broadcast to [${shape.join(", ")}]`);
  return c.data.length === 1 ? { ...c, shape: [] } : c;
}
export function scaleOf(ctx: NodeContext, i: number, what: string, shape: readonly number[]): ConstTensor {
  const c = parameter(ctx, i, what, shape);
  const bad = c.data.find((v) => !(v > 0));
  if (bad !== undefined) throw ctx.error(`its ${what} is ${bad}; scales are positive`, "quantize the model again");
  return c;
}
export function scalar(ctx: NodeContext, i: number, what: string): number {
  const c = ctx.needWeight(i, `the ${what}`);
  if (c.data.length === 0 || c.data.some((v) => v !== c.data[0]))
    throw ctx.error(`its ${what} has ${c.data.length} values instead of one`);
  return c.data[0]!;
}
