/** The room `design`: kernels and channels as one network, its timeline, and the search for a request. */
import { describe, expect, it } from "vitest";
import { firstOf } from "../../../src/ir/present.js";
import type { Module } from "../../../src/ir/core.js";
import { lowerToFlow } from "../../../src/passes/lower/nn-to-flow.js";
import { fuseElementwise } from "../../../src/passes/flow/fuse-elementwise.js";
import { type Design, DesignPlanner } from "../../../src/backend-hls/design/design.js";
import { elaborate, emissions } from "../../../src/backend-hls/design/elaborate.js";
import {
  excess,
  fits,
  requireClock,
  requireFit,
  scaledDevice,
  within,
} from "../../../src/backend-hls/design/limits.js";
import { channelInto, endBuffersOf, inLockstep } from "../../../src/backend-hls/design/network.js";
import { parseAxisWidth, portLimits } from "../../../src/backend-hls/design/port-limits.js";
import { planOf, UNDECIDED } from "../../../src/backend-hls/design/problem.js";
import type { DesignRequest } from "../../../src/backend-hls/design/request.js";
import {
  bindingOf,
  designCounts,
  designOf,
  foldDesign,
  insertChannels,
  slowestKernel,
} from "../../../src/backend-hls/design/schedule.js";
import { parseSchedule, solveSchedule } from "../../../src/backend-hls/design/schedule-text.js";
import { type AreaOf, chooseDesign } from "../../../src/backend-hls/design/search.js";
import { lowerBound } from "../../../src/backend-hls/design/size-channels.js";
import { runTimeline } from "../../../src/backend-hls/design/timeline.js";
import { equivalentLuts, type Resources } from "../../../src/backend-hls/device/resources.js";
import { randomNetwork } from "../random-nets.js";
import { deviceCalled, scheduledNetwork } from "../scheduled.js";

const device = deviceCalled("xcu280");
const seeds = Array.from({ length: 10 }, (_, i) => i + 1);
function fused(seed: number): Module {
  const flow = lowerToFlow(randomNetwork(seed));
  fuseElementwise(flow);
  return flow;
}
const shape = (d: Design): unknown => [
  d.kernels.map((k) => [k.name, k.depth, k.steps]),
  d.channels.map((c) => [c.name, c.plan.kind, c.capacity, c.deep, c.through, c.direct]),
];

describe("designs", () => {
  it.each(seeds)("run as their timeline says, and no slower than what bounds them, seed %i", (seed) => {
    const { design, timeline } = scheduledNetwork(seed);
    expect(timeline.initiationInterval).toBeGreaterThanOrEqual(lowerBound(design));
    const run = runTimeline(design, { samples: 1, pace: 0, unbounded: false });
    expect(run.latency).toBe(timeline.latency);
    expect(bindingOf(design, { lut: 1, ff: 1, dsp: 0, bram: 0 }, {}).cycles).toBeLessThanOrEqual(
      timeline.initiationInterval,
    );
  });
  it("never finish with too little room, and say which output waits", () => {
    const { network } = solveSchedule(
      parseSchedule(
        `input x 1x4x4 bits 8 word 1\nkernel k 1x3x3 bits 8 depth 3\n loop y 3, x 3, sum i 2 by 2, sum j 2 by 2\n read x [0, y + i, x + j] of 1x4x4\n write [0, y, x]\noutput y k word 1`,
      ),
    );
    expect(runTimeline(network, { samples: 3, pace: 0, unbounded: false }).ends).toHaveLength(3);
    for (const c of network.channels)
      (c as { capacity: number }).capacity = c.consumer.kind === "kernel" ? 4 : c.capacity;
    expect(() => runTimeline(network, { samples: 3, pace: 0, unbounded: false })).toThrow(
      /no progress .*output y waits/,
    );
  });
});

describe("elaboration", () => {
  it("emits on the last trip of each reduction", () => {
    const loops = [
      { name: "r", extent: 2, kind: "reduction" as const },
      { name: "p", extent: 3, kind: "parallel" as const },
    ];
    const at = (order: string[]) => [...emissions({ name: "k", iterators: loops, schedule: { order, unroll: {} } })];
    expect(at(["p", "r"])).toEqual([0, 1, 0, 1, 0, 1]);
    expect(at(["r", "p"])).toEqual([0, 0, 0, 1, 1, 1]);
  });
});

describe("networks", () => {
  const { network } = solveSchedule(
    parseSchedule(
      "input x 8 bits 8 word 1\nkernel a 8 bits 8 depth 1\n loop i 8\n read x [i] of 8\n write [i]\nkernel b 8 bits 8 depth 2\n loop i 8\n read a [i] of 8\n write [i]\noutput y b word 1",
    ),
  );
  it("end behind kernels in lockstep, as much later as these are deep", () => {
    const input = firstOf(network.inputs);
    expect(network.kernels.map(inLockstep)).toEqual([true, true]);
    expect(endBuffersOf(input).map((b) => [b.channel.name, b.delay])).toEqual([["b_to_y", 3]]);
    expect(channelInto(firstOf(network.outputs)).producer.name).toBe("b");
  });
  it("realize a link as a memory where that is chosen", () => {
    const link = firstOf(network.channels);
    expect(planOf(link, UNDECIDED).kind).toBe("fifo");
    expect(planOf(link, { ...UNDECIDED, memory: true }).kind).toBe("memory");
  });
});

describe("limits", () => {
  const used: Resources = { lut: 100, ff: 10, dsp: 2, bram: 0 };
  it("hold what they state and nothing else", () => {
    expect(within(used, { lut: 100 })).toBe(true);
    expect(within(used, { dsp: 1 })).toBe(false);
    expect(scaledDevice(device, 0.5).lut).toBe(Math.floor(device.lut / 2));
  });
  it("of a device are named where they are exceeded", () => {
    const small = deviceCalled("ice40up5k");
    const much = { ...used, lut: small.lut + 1 };
    expect([fits(used, small), fits(much, small)]).toEqual([true, false]);
    expect(excess(much, small)).toBe(`${small.lut + 1} of ${small.lut} LUT`);
    expect(() => requireFit(much, small)).toThrow(/FL011/);
    expect(() => requireClock(small, 1000)).toThrow(/FL009/);
  });
  it("of ports are bits or elements", () => {
    expect(parseAxisWidth("128")).toEqual({ unit: "bits", count: 128 });
    expect(parseAxisWidth("16e")).toEqual({ unit: "elements", count: 16 });
    expect(parseAxisWidth("16x")).toBeUndefined();
    const flow = fused(1);
    const limits = portLimits(flow, { unit: "elements", count: 1 });
    expect(limits.words).toEqual([1]);
    expect(() => limits.mustFeed(1)).toThrow(/FL007/);
  });
});

describe("the search", () => {
  /** As if a kernel took what its products take: quick to count. */
  const areaOf: AreaOf = (d) => ({
    lut: 50 * designCounts(d).multipliers + 100 * d.kernels.length,
    ff: 0,
    dsp: 0,
    bram: 0,
  });
  const request = (more: Partial<DesignRequest>): DesignRequest => ({
    device,
    clockMhz: 250,
    target: undefined,
    minimize: undefined,
    axis: undefined,
    ...more,
  });

  it.each(seeds)("reaches the interval that is asked for, seed %i", (seed) => {
    const flow = fused(seed);
    const ii = slowestKernel(flow);
    const chosen = chooseDesign(flow, request({ target: { kind: "ii", cycles: 4 * ii } }), areaOf);
    expect(chosen.scheduled.timeline.initiationInterval).toBeLessThanOrEqual(4 * ii);
    expect(chosen.resources).toEqual(areaOf(chosen.scheduled.design));
  });
  it("ranks by what the hardware takes, and keeps a budget of it", () => {
    const flow = fused(3);
    const free = chooseDesign(flow, request({}), areaOf);
    const limit = Math.ceil(0.6 * free.resources.lut);
    try {
      const chosen = chooseDesign(flow, request({ target: { kind: "budget", limits: { lut: limit } } }), areaOf);
      expect(chosen.resources.lut).toBeLessThanOrEqual(limit);
      expect(equivalentLuts(chosen.resources)).toBeLessThan(equivalentLuts(free.resources));
    } catch (e) {
      expect(String(e)).toMatch(/FL003/);
    }
  });
});

describe("modules", () => {
  it.each(seeds)("with channels in place are the design that put them there, seed %i", (seed) => {
    const flow = fused(seed);
    let ii = 16;
    while (foldDesign(flow, device, { ii }) !== undefined) ii *= 2;
    const plain = elaborate(flow, device, {
      inputs: flow.func.attrs["input_words"] as readonly number[],
      outputs: flow.func.attrs["output_words"] as readonly number[],
    });
    expect(plain.choices.every((c) => c === UNDECIDED)).toBe(true);
    const { design } = insertChannels(flow, device, 250);
    expect(shape(designOf(flow, device, 250))).toEqual(shape(design));
    const planner = new DesignPlanner(plain.problem, 250);
    const [one, other] = [planner.design(plain.choices), planner.design(plain.choices)];
    one.kernels.forEach((k, i) => expect(other.kernels[i]?.pipeline).toBe(k.pipeline));
  });
});
