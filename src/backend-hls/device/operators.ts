/**
 * Delay and area of scalar operators on a device: the one place that turns an `fx` operation into nanoseconds and LUTs.
 */
import type { Op } from "../../ir/core.js";
import { outerRange, type FixedType } from "../../ir/types.js";
import type { Device } from "./devices.js";

/** Whether a product of these widths takes a multiplier block rather than logic. */
export function usesDsp(device: Device, a: FixedType, b: FixedType): boolean {
  return device.dsp > 0 && Math.min(a.width, b.width) >= 3 && a.width + b.width > 6;
}

/** Signed digits of a constant: the additions that a product by it needs, plus one. */
export function signedDigits(n: number): number {
  let v = Math.abs(n);
  let digits = 0;
  while (v > 0) {
    if (v % 2 === 1) {
      const d = v % 4 === 3 ? -1 : 1;
      v -= d;
      digits++;
    }
    v /= 2;
  }
  return digits;
}

export function constantOf(op: Op, i: number): number | undefined {
  const def = op.operand(i).def;
  return def?.name === "fx.constant" ? (def.attrs["raw"] as number) : undefined;
}

function widthOf(op: Op, i: number): FixedType {
  return op.operand(i).type as FixedType;
}

/**
 * A sum on its own. Of a chain of sums only the last one's carry counts: each begins at its low bits, which the one
 * before has first.
 */
export function addDelay(d: Device, width: number): number {
  return d.timing.add + carryDelay(d, width);
}

/** From the lowest bit of a sum to its highest. */
export function carryDelay(d: Device, width: number): number {
  return width * d.timing.carry;
}

/** The larger or smaller of two numbers. */
export function chooseDelay(d: Device, width: number): number {
  return addDelay(d, width) + d.timing.select;
}

/** Logic delay of one operation without registers, ns. */
export function opDelay(d: Device, op: Op): number {
  const to = op.results[0] === undefined ? undefined : (op.result.type as FixedType);
  switch (op.name) {
    case "fx.constant":
    case "fx.cast":
    case "fx.yield":
    case "fx.tree":
      return 0;
    case "fx.add":
    case "fx.sub":
      return addDelay(d, to!.width);
    case "fx.mul":
      // A product by a constant is a graph of sums (kernel/constant-product.ts).
      return d.timing.multiply - d.timing.base;
    case "fx.max":
    case "fx.min":
      // Against zero only the sign matters.
      return (constantOf(op, 0) ?? constantOf(op, 1)) === 0 ? d.timing.lut : chooseDelay(d, to!.width);
    case "fx.select_neg":
      return d.timing.lut;
    case "fx.requantize":
      return requantizeDelay(d, op).all;
    case "fx.table": {
      // From 512 entries on the table is read through a register (datapath.ts).
      const width = widthOf(op, 0).width;
      const levels = width >= 9 ? 1 : Math.max(1, Math.ceil((width - d.family.lutInputs) / 2) + 1);
      return levels * d.timing.lut;
    }
    default:
      throw new Error(`no delay for ${op.name}`);
  }
}

/**
 * Delays of a requantization: from the last bit of its argument, and from the low bits, of which a sum has the first
 * ones earlier. `lowBits`: bits up to the lowest one of the result. `round` and `limit` are its two halves, with a
 * register between.
 */
export function requantizeDelay(
  d: Device,
  op: Op,
): {
  readonly all: number;
  readonly high: number;
  readonly low: number;
  readonly lowBits: number;
  readonly round: number;
  readonly limit: number;
} {
  const { lut } = d.timing;
  const [from, to] = [op.operand(0).type as FixedType, op.result.type as FixedType];
  const rounding = op.attrs["rounding"] as string;
  const shift = from.frac - to.frac;
  const rounds = shift > 0 && (rounding === "half-up" || rounding === "half-even") ? addDelay(d, from.width) : 0;
  // Each bit of the result looks at itself and at the bits above the format; the lowest one at a tie first.
  const above = saturates(op)
    ? levels(d, 1 + Math.max(1, from.width - shift - to.width + (to.signed ? 1 : 0))) * lut
    : 0;
  const tie = shift > 0 && rounding.endsWith("half-even") ? levels(d, shift + 1) * lut : 0;
  const high = rounds + above;
  const low = rounds + tie + (saturates(op) ? lut : 0);
  return {
    all: Math.max(high, low),
    high,
    low,
    lowBits: Math.max(0, shift) + 1,
    round: rounds + tie,
    limit: saturates(op) ? Math.max(above, lut) : 0,
  };
}

/** Levels of lookup tables for a function of so many bits that is an AND of them or little else. */
function levels(d: Device, inputs: number): number {
  return Math.max(1, Math.ceil(Math.log(inputs) / Math.log(d.family.lutInputs) - 1e-9));
}

/** Whether a requantization must compare against the limits of its result. */
export function saturates(op: Op): boolean {
  if (op.attrs["overflow"] !== "saturate") return false;
  const [from, to] = [op.operand(0).type as FixedType, op.result.type as FixedType];
  const [a, b] = [outerRange(from), outerRange(to)];
  const s = 2 ** (to.frac - from.frac);
  return a.hi * s + 0.5 >= b.hi + 1 || a.lo * s < b.lo;
}

export interface Area {
  lut: number;
  dsp: number;
}

/** Area of one operation, registers apart. */
export function opArea(d: Device, op: Op): Area {
  const to = op.results[0] === undefined ? undefined : (op.result.type as FixedType);
  switch (op.name) {
    case "fx.constant":
    case "fx.cast":
    case "fx.yield":
    case "fx.tree":
      // Ensembles are counted as a whole: see cost.ts.
      return { lut: 0, dsp: 0 };
    case "fx.add":
    case "fx.sub":
      return { lut: to!.width, dsp: 0 };
    case "fx.mul": {
      const c = constantOf(op, 0) ?? constantOf(op, 1);
      if (c !== undefined) return { lut: Math.max(0, signedDigits(c) - 1) * to!.width, dsp: 0 };
      return multiplierArea(d, widthOf(op, 0), widthOf(op, 1));
    }
    case "fx.max":
    case "fx.min":
      return { lut: to!.width + Math.ceil(to!.width / 2), dsp: 0 };
    case "fx.select_neg":
      return { lut: Math.ceil(to!.width / 2), dsp: 0 };
    case "fx.requantize": {
      const from = widthOf(op, 0);
      const rounds =
        from.frac > to!.frac && (op.attrs["rounding"] === "half-up" || op.attrs["rounding"] === "half-even");
      return { lut: (rounds ? Math.min(from.width, to!.width + 2) : 0) + (saturates(op) ? to!.width + 4 : 0), dsp: 0 };
    }
    case "fx.table":
      // Tables are memories: see storage.ts.
      return { lut: 0, dsp: 0 };
    default:
      throw new Error(`no area for ${op.name}`);
  }
}

export function multiplierArea(d: Device, a: FixedType, b: FixedType): Area {
  if (!usesDsp(d, a, b)) return { lut: Math.ceil(a.width * b.width * 1.1), dsp: 0 };
  const [p, q] = d.family.dspWidths;
  // The block's factors are signed.
  const [narrow, wide] = [a, b].map((t) => t.width + (t.signed ? 0 : 1)).sort((x, y) => x - y) as [number, number];
  return { lut: 0, dsp: Math.ceil(wide / p) * Math.ceil(narrow / q) };
}
