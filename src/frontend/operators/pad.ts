/** Operators that put elements around a tensor or take them away: Pad, CenterCropPad. */
import type { Value } from "../../ir/core.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import { gatherAxes } from "./resize.js";

/** The input index that stands at position `i` of an axis of `n`. @source ONNX Pad */
const PAD_MODES: Readonly<Record<string, (i: number, n: number) => number>> = {
  edge: (i, n) => Math.min(n - 1, Math.max(0, i)),
  reflect: (i, n) => {
    const period = Math.max(1, 2 * (n - 1));
    const k = ((i % period) + period) % period;
    return k < n ? k : period - k;
  },
  wrap: (i, n) => ((i % n) + n) % n,
};

function padByIndex(ctx: NodeContext, mode: string, pads: readonly number[]): Value {
  const at = PAD_MODES[mode];
  if (at === undefined) throw ctx.error(`mode "${mode}" is not defined`);
  const x = ctx.value(0);
  const from = shapeOf(x);
  const to = from.map((n, d) => n + pads[d]! + pads[from.length + d]!);
  if (to.some((n) => n < 1)) throw ctx.error(`its result would have the shape [${to.join(", ")}]`);
  ctx.checkSize(to);
  return gatherAxes(
    ctx,
    x,
    to.map((n, d) => Array.from({ length: n }, (_, i) => at(i - pads[d]!, from[d]!))),
  );
}

/** Elements of `value` around x; negative pads take elements away. */
export function padded(ctx: NodeContext, x: Value, pads: readonly number[], value: number): Value {
  const from = shapeOf(x);
  const [begin, end] = [pads.slice(0, from.length), pads.slice(from.length)];
  const cut = from.map((n, d) => n + Math.min(0, begin[d]!) + Math.min(0, end[d]!));
  if (cut.some((n, d) => n < 0 || (n === 0 && from[d]! + begin[d]! + end[d]! > 0)))
    throw ctx.error(`pads [${pads.join(", ")}] leave nothing of the shape [${from.join(", ")}]`);
  const inner =
    cut.join() === from.join()
      ? x
      : ctx.emit("nn.slice", [x], cut, {
          starts: begin.map((p) => Math.max(0, -p)),
          steps: cut.map(() => 1),
          shape: cut,
        });
  const grown = pads.map((p) => Math.max(0, p));
  return grown.every((p) => p === 0)
    ? inner
    : ctx.emit(
        "nn.pad",
        [inner],
        cut.map((n, d) => n + grown[d]! + grown[from.length + d]!),
        { pads: grown, value },
      );
}

const pad: OperatorImporter = {
  opType: "Pad",
  limits: "pads constant",
  import: (ctx) => {
    const from = ctx.shape(0);
    const mode = ctx.string("mode", "constant");
    const given = ctx.opset < 11 ? ctx.ints("pads") : [...ctx.needConstant(1, "pads").data];
    const axes = ctx.has(3)
      ? [...ctx.needConstant(3, "axes").data].map((a) => ctx.axis(a, from.length))
      : from.map((_, d) => d);
    if (given === undefined || given.length !== 2 * axes.length)
      throw ctx.error(`pads has ${given?.length ?? 0} entries instead of ${2 * axes.length}`);
    const pads = new Array<number>(2 * from.length).fill(0);
    axes.forEach((a, i) => {
      pads[a] = given[i]!;
      pads[from.length + a] = given[axes.length + i]!;
    });
    if (mode !== "constant") return padByIndex(ctx, mode, pads);
    const value =
      ctx.opset < 11 ? ctx.float("value", 0) : ctx.has(2) ? (ctx.needConstant(2, "the pad value").data[0] ?? 0) : 0;
    if (pads.every((p) => p === 0)) return ctx.input(0);
    if (!Number.isFinite(value)) throw ctx.error(`its pad value is ${value}`, "pad with a finite value");
    return padded(ctx, ctx.value(0), pads, value);
  },
};

/** The middle of every axis that is named, or zeros around it. */
const centerCropPad: OperatorImporter = {
  opType: "CenterCropPad",
  since: 18,
  limits: "shape constant",
  import: (ctx) => {
    const from = ctx.shape(0);
    const target = [...ctx.needConstant(1, "the shape").data];
    const axes = ctx.ints("axes")?.map((a) => ctx.axis(a, from.length)) ?? from.map((_, d) => d);
    if (target.length !== axes.length) throw ctx.error(`a shape of ${target.length} numbers for ${axes.length} axes`);
    const pads = new Array<number>(2 * from.length).fill(0);
    axes.forEach((a, i) => {
      const more = target[i]! - from[a]!;
      pads[a] = Math.sign(more) * Math.floor(Math.abs(more) / 2);
      pads[from.length + a] = more - pads[a];
    });
    return padded(ctx, ctx.value(0), pads, 0);
  },
};

export const padOperators: readonly OperatorImporter[] = [pad, centerCropPad];
