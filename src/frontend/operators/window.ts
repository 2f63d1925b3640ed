/** Strides, pads and dilations of convolutions and pools. */
import type { NodeContext } from "../context.js";

export interface Window {
  readonly strides: number[];
  /** Begins, then ends. */
  readonly pads: number[];
  readonly dilations: number[];
  readonly out: number[];
  /** By how much ceil_mode lets the last window hang over the padded input; these elements count nowhere. */
  readonly overhang: number[];
}

/** Reads the attributes and resolves auto_pad and ceil_mode into explicit pads. @source ONNX Conv, MaxPool */
export function windowOf(ctx: NodeContext, size: readonly number[], kernel: readonly number[]): Window {
  const n = size.length;
  const list = (name: string, fallback: number, count: number): number[] => {
    const v = ctx.ints(name) ?? new Array<number>(count).fill(fallback);
    if (v.length !== count) throw ctx.error(`${name} has ${v.length} entries instead of ${count}`);
    return v;
  };
  const strides = list("strides", 1, n);
  const dilations = list("dilations", 1, n);
  if (strides.some((s) => s < 1)) throw ctx.error(`strides are [${strides.join(", ")}]`);
  if (dilations.some((s) => s < 1)) throw ctx.error(`dilations are [${dilations.join(", ")}]`);
  const extent = kernel.map((k, d) => (k - 1) * dilations[d]! + 1);
  let pads = list("pads", 0, 2 * n);
  if (pads.some((p) => Math.abs(p) > 2 ** 31)) throw ctx.error(`pads are [${pads.join(", ")}]`);
  if (pads.some((p) => p < 0))
    throw ctx.error(`pads are [${pads.join(", ")}]; negative ones are not supported`, "slice the input instead");
  const autoPad = ctx.string("auto_pad", "NOTSET");
  if (autoPad === "SAME_UPPER" || autoPad === "SAME_LOWER") {
    const total = size.map((s, d) => Math.max(0, (Math.ceil(s / strides[d]!) - 1) * strides[d]! + extent[d]! - s));
    const small = total.map((t) => Math.floor(t / 2));
    const large = total.map((t, d) => t - small[d]!);
    pads = autoPad === "SAME_UPPER" ? [...small, ...large] : [...large, ...small];
  } else if (autoPad === "VALID") pads = pads.map(() => 0);
  else if (autoPad !== "NOTSET") throw ctx.error(`auto_pad "${autoPad}" is not defined`);
  const overhang = size.map(() => 0);
  const ceil = ctx.int("ceil_mode", 0) !== 0;
  const out = size.map((s, d) => {
    const room = s + pads[d]! + pads[n + d]! - extent[d]!;
    if (room < 0)
      throw ctx.error(`a kernel of ${extent[d]} does not fit an input of ${s} with pads ${pads[d]} and ${pads[n + d]}`);
    let count = Math.floor(room / strides[d]!) + 1;
    if (ceil) {
      count = Math.ceil(room / strides[d]!) + 1;
      // A window that would start beyond the input and its left pad does not count.
      if ((count - 1) * strides[d]! >= s + pads[d]!) count--;
      overhang[d] = Math.max(0, (count - 1) * strides[d]! + extent[d]! - s - pads[d]! - pads[n + d]!);
      pads[n + d]! += overhang[d]!;
    }
    return count;
  });
  return { strides, pads, dilations, out, overhang };
}
