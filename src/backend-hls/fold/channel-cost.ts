/**
 * What a channel would cost, for the many pairs of schedules that a search looks at. Loops that an operand does not
 * depend on only repeat its windows, so they are left out of the tables and put back as a factor; what remains is
 * shared by all schedules that read alike. The result is that of `planChannel` on the whole tables.
 */
import { elementAt, firstOf, lastOf, present } from "../../ir/present.js";
import { loopNest, type KernelSpec } from "../../ir/flow/kernel.js";
import type { FixedType } from "../../ir/types.js";
import { type ProducerOrder, readTable } from "../channel/access.js";
import { channelResources } from "../channel/channel-area.js";
import { type ChannelPlan, consumerCycles, MAX_STREAM_OVERHEAD } from "../channel/channel-plan.js";
import { planMemory } from "../channel/memory-plan.js";
import { isHeld, planStream, streamCycles, type StreamPlan } from "../channel/stream-plan.js";
import type { Device } from "../device/devices.js";
import type { Resources } from "../device/resources.js";

export interface ChannelCost {
  /** Cycles per sample that the channel keeps its consumer busy. */
  readonly cycles: number;
  readonly resources: Resources;
  /** Share of the words that the first step waits for, and share of the steps that come after the last word. */
  readonly headShare: number;
  readonly tailShare: number;
}

/** Words of room in the ring of a FIFO, where only the timeline knows how many there will be. */
const TYPICAL_RING = 8;

export class ChannelCosts {
  private readonly known = new Map<string, ChannelCost>();

  constructor(private readonly device: Device) {}

  /** Cost of operand `k` of `spec` behind a producer whose order is identified by `orderKey`. */
  cost(orderKey: string, order: () => ProducerOrder, spec: KernelSpec, k: number): ChannelCost {
    const operand = elementAt(spec.operands, k);
    const involved = (i: number): boolean => operand.map.results.some((r) => r.coeffs[i] !== 0);
    const loops = operand.phase === "body" ? loopNest(spec) : loopNest(spec).filter((l) => l.kind === "parallel");
    const outermost = loops.findIndex((l) => !involved(l.index));
    const kept = loops.filter((l) => involved(l.index));
    const inside = outermost < 0 ? 0 : loops.slice(outermost).filter((l) => involved(l.index)).length;
    const factor = loops.filter((l) => !involved(l.index)).reduce((n, l) => n * l.trips, 1);
    const lanes = spec.iterators.flatMap((it, i) =>
      involved(i)
        ? [
            `${operand.map.results.map((r) => r.coeffs[i]).join(".")}:${it.extent}:${present(spec.schedule, "schedule").unroll[it.name] ?? 1}`,
          ]
        : [],
    );
    const nest = kept.map((l) => spec.iterators.slice(0, l.index).filter((_, i) => involved(i)).length);
    const view = operand.view;
    const key = `${(operand.value.type as { elem: FixedType }).elem.width}|${orderKey}|${lanes.join()}|${nest.join()}|${inside}|${factor}|${view.offset};${view.strides.join()};${view.shape.join()};${operand.map.results.map((r) => r.offset).join()}`;
    let found = this.known.get(key);
    if (found === undefined) this.known.set(key, (found = this.compute(order(), spec, k, involved, inside, factor)));
    return found;
  }

  private compute(
    order: ProducerOrder,
    spec: KernelSpec,
    k: number,
    involved: (i: number) => boolean,
    inside: number,
    factor: number,
  ): ChannelCost {
    const { unroll } = present(spec.schedule, "schedule");
    const bare = Object.fromEntries(
      spec.iterators.map((it, i) => [it.name, involved(i) ? (unroll[it.name] ?? 1) : it.extent]),
    );
    const table = readTable({ ...spec, schedule: { ...present(spec.schedule, "schedule"), unroll: bare } }, k);
    const steps = table.steps * factor;
    const elem = (elementAt(spec.operands, k).value.type as { elem: FixedType }).elem;
    const stream = planStream(order, table, inside);
    if (stream !== undefined) {
      const repeat = stream.repeat * factor;
      const whole: StreamPlan = { ...stream, repeat, held: isHeld(stream, repeat, steps) };
      const cycles = streamCycles(whole);
      if (cycles <= MAX_STREAM_OVERHEAD * Math.max(order.words, steps))
        return { cycles, resources: this.area({ ...stream, held: whole.held }, elem), ...waitFor(stream) };
    }
    const memory = planMemory(order, table);
    const last = lastOf(memory.need);
    const complete = memory.need.indexOf(last);
    return {
      cycles: consumerCycles(memory) * factor,
      resources: this.area(memory, elem),
      headShare: firstOf(memory.need) / memory.words,
      tailShare: (memory.need.length - complete) / memory.need.length,
    };
  }

  private area(plan: ChannelPlan, elem: FixedType): Resources {
    const capacity = plan.kind === "memory" ? 2 * plan.words : plan.rows > 1 ? plan.rows * plan.pitch : TYPICAL_RING;
    return channelResources(this.device, plan, elem, capacity);
  }
}

function waitFor(p: StreamPlan): { headShare: number; tailShare: number } {
  const need = (g: number): number => elementAt(p.need, Math.min(elementAt(p.ready, g), p.fetches - 1));
  const last = need(p.groups - 1);
  let complete = p.groups - 1;
  while (complete > 0 && need(complete - 1) === last) complete--;
  return { headShare: need(0) / p.words, tailShare: (p.groups - complete) / p.groups };
}
