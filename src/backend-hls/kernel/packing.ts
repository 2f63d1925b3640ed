/** Two products in one multiplier block: whether they fit, and which output lanes are paired. */
import { elementAt, lookUp, present } from "../../ir/present.js";
import type { KernelSpec } from "../../ir/flow/kernel.js";
import { NUMBER_WIDTH, rawRange } from "../../ir/types.js";
import type { Device } from "../device/devices.js";
import { bitsOfInterval, type Interval } from "./adder-graph.js";
import { elemOf, type LanePoint, type Lanes } from "./datapath.js";

export interface Packing {
  /** Operand that both products share, and the one whose lanes are packed in pairs. */
  readonly shared: number;
  readonly packed: number;
  /** Bit at which the upper product starts. */
  readonly shift: number;
  /** Whether the lower product can be negative and then takes one from the upper. */
  readonly borrows: boolean;
}

/**
 * Whether `(b1 * 2^s + b2) * a` fits a multiplier block: s bits hold the lower product, the packed factor takes s more
 * bits than b. AMD WP486 describes the scheme for 8-bit integers.
 */
export function packingOf(spec: KernelSpec, device: Device, shared: number, packed: number): Packing | undefined {
  const [a, b] = [elemOf(spec, shared), elemOf(spec, packed)];
  if (a.width + b.width > NUMBER_WIDTH) return undefined;
  const [ra, rb] = [rawRange(a), rawRange(b)];
  const corners = [ra.lo * rb.lo, ra.lo * rb.hi, ra.hi * rb.lo, ra.hi * rb.hi];
  const low: Interval = { lo: Math.min(0, ...corners), hi: Math.max(0, ...corners) };
  const shift = bitsOfInterval(low);
  // Ports are signed; a packed number is signed as soon as b is.
  const packedBits = shift + b.width + (b.signed ? 0 : 1);
  const sharedBits = a.width + (a.signed ? 0 : 1);
  const [wide, narrow] = device.family.dspWidths;
  if (device.dsp === 0 || packedBits > wide || sharedBits > narrow || Math.min(a.width, b.width) < 3) return undefined;
  return { shared, packed, shift, borrows: low.lo < 0 };
}

/**
 * Pairs of output lanes that agree in every lane of the shared operand and in none of the packed one; single lanes
 * where none is left.
 */
export function pairLanes(
  lanes: Lanes,
  shared: (out: LanePoint) => number[],
  packed: (out: LanePoint) => number[],
): number[][] {
  const waiting = new Map<string, { lane: number; packed: readonly number[] }[]>();
  const units: number[][] = [];
  const position = new Map<number, number>();
  lanes.outputs.forEach((out, n) => {
    const key = shared(out).join();
    const mine = packed(out);
    const open = waiting.get(key) ?? [];
    const partner = open.findIndex((w) => w.packed.every((p, t) => p !== mine[t]));
    if (partner >= 0) {
      const [w] = open.splice(partner, 1);
      elementAt(units, lookUp(position, present(w, "w").lane, "position")).push(n);
    } else {
      open.push({ lane: n, packed: mine });
      position.set(n, units.length);
      units.push([n]);
    }
    waiting.set(key, open);
  });
  return units;
}
