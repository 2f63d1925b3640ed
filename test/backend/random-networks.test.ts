/** nn interpreter = flow interpreter = rtl, bit for bit and cycle for cycle, on random networks, with and without stalls. */
import { describe, expect, it } from "vitest";
import { devices } from "../../src/backend-hls/devices.js";
import { lowerToRtl } from "../../src/backend-hls/flow-to-rtl.js";
import { designOf, insertChannels, unrollModule } from "../../src/backend-hls/schedule.js";
import { prepareFlow } from "../../src/ir/eval/flow.js";
import { prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import { assertValid } from "../../src/ir/verify.js";
import { elementCount, rawRange, type FixedType, type TensorType } from "../../src/ir/types.js";
import { fuseElementwise } from "../../src/passes/flow/fuse-elementwise.js";
import { lowerToFlow } from "../../src/passes/lower/nn-to-flow.js";
import { runAxis } from "../support/axis.js";
import { random, randomNetwork } from "./random-nets.js";

const seeds = Array.from({ length: Number(process.env["SEEDS"] ?? 200) }, (_, i) => i + 1);

describe("random networks", () => {
  it.each(seeds)("seed %i", (seed) => {
    const nn = randomNetwork(seed);
    assertValid(nn, "the generated network");
    const rnd = random(seed * 7919);
    const type = nn.func.body.args[0]!.type as TensorType;
    const { lo, hi } = rawRange(type.elem as FixedType);
    const samples = Array.from({ length: 10 }, () => Int32Array.from({ length: elementCount(type.shape) }, () => (rnd() < 0.1 ? (rnd() < 0.5 ? lo : hi) : lo + Math.floor(rnd() * (hi - lo + 1)))));
    const reference = prepareNnFixed(nn);
    const expected = samples.map((s) => [...reference.run([s])[0]!]);

    const flow = lowerToFlow(nn);
    const check = (stage: string): void => {
      assertValid(flow, stage);
      const program = prepareFlow(flow);
      expect(samples.map((s) => [...program.run([s])[0]!]), stage).toEqual(expected);
    };
    check("lower");
    fuseElementwise(flow);
    check("fuse");
    const device = devices[seed % 5]!;
    const elements = elementCount(type.shape);
    const ii = Math.max(1, Math.round(elements * [0.25, 1, 1, 3, 10][seed % 5]!));
    const target = { device, clockMhz: 100 + 50 * (seed % 4), ii: Math.max(ii, 8) };
    expect(unrollModule(flow, target)).toBeUndefined();
    check("unroll");
    const { timeline } = insertChannels(flow, device, target.clockMhz);
    check("insert-channels");
    const rtl = lowerToRtl(designOf(flow, device, target.clockMhz));
    assertValid(rtl.module, "rtl");
    const [input, output] = [rtl.ports[0]!, rtl.ports[1]!];
    const free = runAxis(rtl.module, rtl.top, input, output, samples, () => false);
    expect(free.values).toEqual(expected.flat());
    expect(free.latency).toBe(timeline.latency);
    expect(free.interval).toBe(timeline.initiationInterval);
    const stalled = runAxis(rtl.module, rtl.top, input, output, samples, () => rnd() < 0.35);
    expect(stalled.values).toEqual(expected.flat());
  });
});
