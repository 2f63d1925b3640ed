/**
 * The checker finds what is wrong with a design: damaged channels, pipelines that read too early, clocks that a device
 * cannot keep.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { checkChannel, checkChannels } from "../../src/backend-hls/check/check-channels.js";
import { checkPipelines, slowestLogic } from "../../src/backend-hls/check/check-pipeline.js";
import type { MemoryPlan } from "../../src/backend-hls/channel/memory-plan.js";
import type { StreamPlan } from "../../src/backend-hls/channel/stream-plan.js";
import type { Design, PlannedKernel } from "../../src/backend-hls/design/design.js";
import type { Channel } from "../../src/backend-hls/design/network.js";
import { runTimeline, type ChannelTrace } from "../../src/backend-hls/design/timeline.js";
import { Sink } from "../../src/diagnostics/index.js";
import { throughHardware } from "../frontend/hardware.js";
import { floats, importValid, node, onnx } from "../frontend/support.js";
import { scheduledNetwork } from "./scheduled.js";

function designOf(seed: number, device?: string, clockMhz?: number): Design {
  return scheduledNetwork(seed, device, clockMhz).design;
}

/** y = x x^T: every row is read with all others, so a memory holds them. */
function squaring(): Design {
  const nodes = [node("Transpose", ["x"], ["t"]), node("MatMul", ["x", "t"], ["y"])];
  const model = onnx({ node: nodes, input: [floats("x", [12, 16])], output: [floats("y", [12, 12])] });
  const samples = [1, 2, 3].map((s) => [Float64Array.from({ length: 192 }, (_, i) => Math.cos(s * i))]);
  return throughHardware(importValid(model, "squaring.onnx"), samples, 300).design;
}

/** Designs of random networks, and every channel and kernel of one kind in them. */
const designs: Design[] = [];
beforeAll(() => {
  for (let seed = 1; seed <= 12; seed++) designs.push(designOf(seed));
  designs.push(squaring());
});
const channels = (take: (c: Channel) => boolean): { design: Design; channel: Channel }[] =>
  designs.flatMap((design) => design.channels.filter(take).map((channel) => ({ design, channel })));
const isStream = (c: Channel): boolean => !c.direct && c.plan.kind !== "memory";

function throws(f: () => void): boolean {
  try {
    f();
    return false;
  } catch {
    return true;
  }
}

/** How many of the damages the checker finds; the design is as it was afterwards. */
function found<T extends { design: Design }>(
  list: readonly T[],
  damage: (t: T) => () => void,
  check = (d: Design): void => checkChannels(d, 4),
): { found: number; of: number } {
  let n = 0;
  for (const t of list) {
    const repair = damage(t);
    if (throws(() => check(t.design))) n++;
    repair();
    check(t.design);
  }
  return { found: n, of: list.length };
}

describe("channels", () => {
  it("are right as they are planned", () => {
    expect(designs.length).toBe(13);
    for (const d of designs) checkChannels(d, 6);
  });
  it("that give another word on a lane are found, all of them", () => {
    const list = channels((c) => isStream(c) && (c.plan as StreamPlan).columns > 1);
    expect(list.length).toBeGreaterThan(3);
    const r = found(list, ({ channel }) => {
      const plan = channel.plan as StreamPlan;
      const lane = plan.tapRow.findIndex((row) => row >= 0);
      const before = plan.tapColumn[lane]!;
      plan.tapColumn[lane] = (before + 1) % plan.columns;
      return () => void (plan.tapColumn[lane] = before);
    });
    expect(r.found).toBe(r.of);
  });
  it("that take another plane of a word are found, all of them", () => {
    const list = channels((c) => isStream(c) && c.plan.order.planes > 1);
    expect(list.length).toBeGreaterThan(3);
    const r = found(list, ({ channel }) => {
      const plan = channel.plan as StreamPlan;
      const lane = plan.tapPlane.findIndex((p) => p >= 0);
      const before = plan.tapPlane[lane]!;
      plan.tapPlane[lane] = (before + 1) % plan.order.planes;
      return () => void (plan.tapPlane[lane] = before);
    });
    expect(r.found).toBe(r.of);
  });
  it("whose words are overwritten before they are read are found", () => {
    // What happens with the room that was planned, looked at as if there were less and less. Room is also kept for
    // words that are still on their way through the pipeline, so the first word less need not be missed.
    let [n, of] = [0, 0];
    for (const design of designs) {
      const traces = new Map<Channel, ChannelTrace>();
      runTimeline(design, { samples: 6, pace: 0, unbounded: false, trace: traces });
      for (const [channel, trace] of traces) {
        if (channel.plan.kind === "memory" || channel.plan.rows === 1) continue;
        of++;
        let missed = false;
        for (let { capacity } = channel; !missed && capacity > 0; capacity -= channel.plan.pitch)
          missed = throws(() => checkChannel({ ...channel, capacity }, trace, 6));
        if (missed) n++;
        checkChannel(channel, trace, 6);
      }
    }
    expect(of).toBeGreaterThan(5);
    expect(n).toBe(of);
  });
  it("that fetch before a word is there are found", () => {
    const list = channels((c) => isStream(c) && c.plan.words > 1);
    const r = found(list, ({ channel }) => {
      const plan = channel.plan as StreamPlan;
      const { need } = plan;
      (plan as { need: Int32Array }).need = need.map((n) => Math.max(0, n - 1));
      return () => void ((plan as { need: Int32Array }).need = need);
    });
    expect(r.found).toBeGreaterThan(0.8 * r.of);
  });
  it("whose banks have another address are found, all of them", () => {
    const list = channels((c) => c.plan.kind === "memory" && c.plan.banks.some((b) => b.words.length > 1));
    expect(list.length).toBeGreaterThan(0);
    const r = found(list, ({ channel }) => {
      const bank = (channel.plan as MemoryPlan).banks.find((b) => b.words.length > 1)!;
      const step = bank.address.findIndex((a) => a >= 0);
      const before = bank.address[step]!;
      bank.address[step] = (before + 1) % bank.words.length;
      return () => void (bank.address[step] = before);
    });
    expect(r.found).toBe(r.of);
  });
});

describe("pipelines", () => {
  const kernels = (): { design: Design; kernel: PlannedKernel }[] =>
    designs.flatMap((design) => design.kernels.map((kernel) => ({ design, kernel })));
  const check = (d: Design): void => checkPipelines(d, new Sink());

  it("keep the clock that they were planned for", () => {
    for (const d of designs) expect(slowestLogic(d)!.ns).toBeLessThanOrEqual(0.85 * 4 + 1e-9);
  });
  it("in which something reads a value of a later stage are found", () => {
    const list = kernels().filter(({ kernel }) => [...kernel.pipeline.stageOf].some(([, stage]) => stage > 1));
    expect(list.length).toBeGreaterThan(3);
    const r = found(
      list,
      ({ kernel }) => {
        const stages = kernel.pipeline.stageOf as Map<(typeof kernel)["op"], number>;
        const before = new Map(stages);
        // Everything in one stage: too early, or too much for a cycle.
        for (const op of stages.keys()) stages.set(op, 1);
        return () => before.forEach((stage, op) => stages.set(op, stage));
      },
      check,
    );
    expect(r.found).toBeGreaterThan(0.6 * r.of);
  });
  it("that a device cannot keep are refused, with the clock that can be kept", () => {
    // 16-bit sums on the HX8K: 2.0 + 1.3 + 16 x 0.15 ns.
    const design = { ...designOf(3, "ice40hx8k", 20), clockMhz: 270 };
    let message = "";
    try {
      check(design);
    } catch (e) {
      message = String(e);
    }
    expect(message).toMatch(/FL012.*cannot run at 270 MHz on ice40hx8k: .* takes [\d.]+ ns, and a cycle has 3\.70 ns/);
    const clock = Number(/--clock ([\d.]+) or less/.exec(message)![1]);
    const sink = new Sink();
    checkPipelines({ ...design, clockMhz: clock }, sink);
    expect(sink.diagnostics).toEqual([]);
    checkPipelines({ ...design, clockMhz: clock * 1.1 }, sink);
    expect(sink.diagnostics.map((d) => d.code)).toEqual(["FL013"]);
  });
});
