/**
 * Delay and area of scalar operators on a device: the one place that turns an `fx` operation into nanoseconds and LUTs.
 */
import type { Op } from "../../ir/core.js";
import { strAttr } from "../../ir/define-op.js";
import { fixedType, fxConstant, fxEntry, type FxComputation } from "../../ir/fx/index.js";
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

/** Operand `i` where it is a constant: its raw integer. */
export function constantOf(op: Op, i: number): number | undefined {
  return fxConstant(op.operand(i));
}

function operandType(op: Op, i: number): FixedType {
  return fixedType(op.operand(i).type);
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

/** What a scalar operation is on a device, registers apart. */
interface OperatorCost {
  /** How it takes its place in a pipeline: sums have their low bits first, products stand between registers. */
  readonly kind: "constant" | "sum" | "product" | "requantize" | "table" | "logic";
  /** From its last operand to its result, ns. */
  readonly delay: (d: Device, op: Op, to: FixedType) => number;
  readonly area: (d: Device, op: Op, to: FixedType) => Area;
}

const luts = (lut: number): Area => ({ lut, dsp: 0 });

/** Only wires; of an ensemble, which is counted as a whole (kernel-area.ts). */
const wiring = { delay: () => 0, area: () => luts(0) };

const sum: OperatorCost = {
  kind: "sum",
  delay: (d, _, to) => addDelay(d, to.width),
  area: (_d, _op, to) => luts(to.width),
};
const larger: OperatorCost = {
  kind: "logic",
  // Against zero only the sign matters.
  delay: (d, op, to) => ((constantOf(op, 0) ?? constantOf(op, 1)) === 0 ? d.timing.lut : chooseDelay(d, to.width)),
  area: (_d, _op, to) => luts(to.width + Math.ceil(to.width / 2)),
};

const COSTS: Readonly<Record<FxComputation, OperatorCost>> = {
  "fx.constant": { kind: "constant", ...wiring },
  "fx.cast": { kind: "logic", ...wiring },
  "fx.tree": { kind: "logic", ...wiring },
  "fx.add": sum,
  "fx.sub": sum,
  "fx.mul": {
    kind: "product",
    // A product by a constant is a graph of sums (kernel/constant-product.ts).
    delay: (d) => d.timing.multiply - d.timing.base,
    area: (d, op, to) => {
      const c = constantOf(op, 0) ?? constantOf(op, 1);
      if (c !== undefined) return luts(Math.max(0, signedDigits(c) - 1) * to.width);
      return multiplierArea(d, operandType(op, 0), operandType(op, 1));
    },
  },
  "fx.max": larger,
  "fx.min": larger,
  "fx.select_neg": { kind: "logic", delay: (d) => d.timing.lut, area: (_d, _op, to) => luts(Math.ceil(to.width / 2)) },
  "fx.requantize": {
    kind: "requantize",
    delay: (d, op) => requantizeDelay(d, op).all,
    area: (_, op, to) => {
      const from = operandType(op, 0);
      const rounds =
        from.frac > to.frac && (op.attrs["rounding"] === "half-up" || op.attrs["rounding"] === "half-even");
      return luts((rounds ? Math.min(from.width, to.width + 2) : 0) + (saturates(op) ? to.width + 4 : 0));
    },
  },
  "fx.table": {
    kind: "table",
    delay: (d, op) => {
      // From 512 entries on the table is read through a register (`isRegisteredTable` in kernel/pipeline.ts).
      const { width } = operandType(op, 0);
      const levels = width >= 9 ? 1 : Math.max(1, Math.ceil((width - d.family.lutInputs) / 2) + 1);
      return levels * d.timing.lut;
    },
    // Tables are memories: see storage.ts.
    area: () => luts(0),
  },
};

/** How an operation of a body takes its place in a pipeline. */
export function kindOf(op: Op): OperatorCost["kind"] {
  return fxEntry(COSTS, op).kind;
}

/** Logic delay of one operation without registers, ns. */
export function opDelay(d: Device, op: Op): number {
  return fxEntry(COSTS, op).delay(d, op, fixedType(op.result.type));
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
  const [from, to] = [operandType(op, 0), fixedType(op.result.type)];
  const rounding = strAttr(op, "rounding");
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
  const [from, to] = [operandType(op, 0), fixedType(op.result.type)];
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
  return fxEntry(COSTS, op).area(d, op, fixedType(op.result.type));
}

export function multiplierArea(d: Device, a: FixedType, b: FixedType): Area {
  if (!usesDsp(d, a, b)) return { lut: Math.ceil(a.width * b.width * 1.1), dsp: 0 };
  const [p, q] = d.family.dspWidths;
  // The block's factors are signed.
  const [narrow, wide] = [a, b].map((t) => t.width + (t.signed ? 0 : 1)).sort((x, y) => x - y) as [number, number];
  return { lut: 0, dsp: Math.ceil(wide / p) * Math.ceil(narrow / q) };
}
