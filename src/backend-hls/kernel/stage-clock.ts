/**
 * Where in a pipeline an operation ends up: as early as its operands allow, with a register in front of it where it
 * would not fit into what is left of the clock period.
 */
import type { Op } from "../../ir/core.js";
import { fixedType } from "../../ir/fx/index.js";
import { type Device, usablePeriod } from "../device/devices.js";
import { carryDelay, kindOf, opDelay, requantizeDelay } from "../device/operators.js";

/** Point in time: a stage, and nanoseconds since its clock edge; of a sum, also when its lowest bits are there. */
export interface Slot {
  readonly stage: number;
  readonly ns: number;
  readonly low?: number;
}

export class StageClock {
  /** Nanoseconds of a stage that logic may take. */
  readonly period: number;
  private readonly base: number;

  /** @param first stage in which the first operation may be */
  constructor(
    private readonly device: Device,
    clockMhz: number,
    private readonly first: number,
  ) {
    this.period = usablePeriod(clockMhz);
    this.base = device.timing.base;
  }

  /** Something that takes `delay` ns from the last bit of its last operand. */
  place(inputs: readonly Slot[], delay: number): Slot {
    const stage = this.stageOf(inputs);
    const ns = Math.max(this.base, ...inputs.filter((s) => s.stage === stage).map((s) => s.ns));
    // An operator longer than a period gets a stage of its own; the device model then misses the clock and says so.
    return ns + delay > this.period && ns > this.base
      ? { stage: stage + 1, ns: this.base + delay }
      : { stage, ns: ns + delay };
  }

  /**
   * A sum of `width` bits, behind logic of `before` ns: it begins with the low bits of its summands, and the carry runs
   * through the last one of a chain only.
   */
  sum(inputs: readonly Slot[], width: number, before = 0): Slot {
    const stage = this.stageOf(inputs);
    const delay = before + this.device.timing.add;
    const carry = carryDelay(this.device, width);
    const low = Math.max(this.base, ...inputs.filter((s) => s.stage === stage).map((s) => s.low ?? s.ns)) + delay;
    return low + carry > this.period && low > this.base + delay
      ? { stage: stage + 1, ns: this.base + delay + carry, low: this.base + delay }
      : { stage, ns: low + carry, low };
  }

  /** A scalar operation of a body. */
  operation(op: Op, inputs: readonly Slot[]): Slot {
    if (kindOf(op) === "sum") return this.sum(inputs, fixedType(op.result.type).width);
    const delay = opDelay(this.device, op);
    const slot = this.place(inputs, delay);
    // Only wires, as a product by a power of two: low bits stay early.
    const { low } = inputs.find((s) => s.stage === slot.stage && s.ns === slot.ns) ?? {};
    return delay > 0 || low === undefined ? slot : { ...slot, low };
  }

  /**
   * What reads the low bits of a sum need not wait for its carry. Where a cycle is too short for all of it, a register
   * stands between rounding, in stage `rounded`, and the limits.
   */
  requantize(op: Op, input: Slot): { readonly slot: Slot; readonly rounded?: number } {
    const { all, high, low, lowBits, round, limit } = requantizeDelay(this.device, op);
    const at = this.place([input], 0);
    const lowest =
      input.low === undefined || input.stage < at.stage ? at.ns : input.low + carryDelay(this.device, lowBits);
    const end = Math.max(at.ns + high, lowest + low);
    if (end <= this.period) return { slot: { stage: at.stage, ns: end } };
    if (this.base + all <= this.period || limit === 0) return { slot: this.place([input], all) };
    const { stage } = this.place([input], round);
    return { slot: { stage: stage + 1, ns: this.base + limit }, rounded: stage };
  }

  private stageOf(inputs: readonly Slot[]): number {
    return Math.max(this.first, ...inputs.map((s) => s.stage));
  }
}
