/**
 * nn interpreter = flow interpreter = rtl, bit for bit and cycle for cycle, on random networks, with and without
 * stalls.
 */
import { describe, expect, it } from "vitest";
import { prepareFlow } from "../../src/ir/eval/flow.js";
import { prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import { assertValid } from "../../src/ir/verify.js";
import { elementCount, rawRange, type FixedType, type TensorType } from "../../src/ir/types.js";
import { fuseElementwise } from "../../src/passes/flow/fuse-elementwise.js";
import { lowerToFlow } from "../../src/passes/lower/nn-to-flow.js";
import { runAxis } from "../support/axis.js";
import { importValid } from "../frontend/support.js";
import { throughHardware } from "../frontend/hardware.js";
import { modelOf, randomProgram, shrink, unusedOperators, networkCount, type Program } from "./random-models.js";
import { random, randomNetwork } from "./random-nets.js";
import { designOf, insertChannels, showScheduled, foldDesign } from "../../src/backend-hls/design/schedule.js";
import { type Device, knownDevices } from "../../src/backend-hls/device/devices.js";
import { lowerToRtl } from "../../src/backend-hls/emit/flow-to-rtl.js";

const seeds = Array.from({ length: Number(process.env["SEEDS"] ?? 200) }, (_, i) => i + 1);

/** Every device in turn. */
function deviceOf(seed: number): Device {
  return knownDevices()[seed % knownDevices().length]!;
}

/** A clock between a quarter and four quarters of what a sum of 24 bits allows. */
function clockOf(device: Device, seed: number): number {
  const { base, add, carry, multiply } = device.timing;
  return Math.max(
    1,
    Math.floor(((1 + (seed % 4)) / 4) * (800 / Math.max(base + add + 24 * carry, device.dsp > 0 ? multiply : 0))),
  );
}

describe("random networks", () => {
  it.each(seeds)("seed %i", (seed) => {
    const nn = randomNetwork(seed);
    assertValid(nn, "the generated network");
    const rnd = random(seed * 7919);
    const type = nn.func.body.args[0]!.type as TensorType;
    const { lo, hi } = rawRange(type.elem as FixedType);
    const samples = Array.from({ length: 10 }, () =>
      Int32Array.from({ length: elementCount(type.shape) }, () =>
        rnd() < 0.1 ? (rnd() < 0.5 ? lo : hi) : lo + Math.floor(rnd() * (hi - lo + 1)),
      ),
    );
    const reference = prepareNnFixed(nn);
    const expected = samples.map((s) => [...reference.run([s])[0]!]);

    const flow = lowerToFlow(nn);
    const check = (stage: string): void => {
      assertValid(flow, stage);
      const program = prepareFlow(flow);
      expect(
        samples.map((s) => [...program.run([s])[0]!]),
        stage,
      ).toEqual(expected);
    };
    check("lower");
    fuseElementwise(flow);
    check("fuse");
    // Some devices have so much block RAM that every ring goes there.
    const plain = deviceOf(seed);
    const device = seed % 4 === 3 && plain.bram > 0 ? { ...plain, bram: 1e9 } : plain;
    const elements = elementCount(type.shape);
    const ii = Math.max(1, Math.round(elements * [0.25, 1, 1, 3, 10][seed % 5]!));
    const target = { device, clockMhz: clockOf(device, seed), ii: Math.max(ii, 8) };
    // Some windows cannot be fetched as fast; each refusal asks for more time, until it is enough.
    for (let wanted = target.ii; ; ) {
      const failure = foldDesign(flow, device, { ii: wanted });
      if (failure === undefined) break;
      expect(failure.cycles).toBeGreaterThan(wanted);
      expect(failure.cycles).toBeLessThan(2 * elements);
      wanted = failure.cycles;
    }
    check("unroll");
    const scheduled = insertChannels(flow, device, target.clockMhz);
    const { timeline } = scheduled;
    check("insert-channels");
    const rtl = lowerToRtl(designOf(flow, device, target.clockMhz));
    assertValid(rtl.module, "rtl");
    const [input, output] = [rtl.ports[0]!, rtl.ports[1]!];
    const free = runAxis(rtl.module, rtl.top, input, output, samples, () => false);
    expect(free.values).toEqual(expected.flat());
    expect(free.latency, showScheduled(scheduled)).toBe(timeline.latency);
    expect(free.interval, showScheduled(scheduled)).toBe(timeline.initiationInterval);
    const stalled = runAxis(rtl.module, rtl.top, input, output, samples, () => rnd() < 0.35);
    expect(stalled.values).toEqual(expected.flat());
  });
});

/** The scheduling problems of programs that got as far as that. */
const schedules = new WeakMap<Program, string>();

/** Runs a program's network on all levels; what goes wrong, or undefined. */
function problemOf(
  program: Program,
  clock = clockOf(deviceOf(program.seed), program.seed),
  without: readonly string[] = [],
): string | undefined {
  try {
    const model = modelOf(program, without);
    if (model === undefined) return undefined;
    const network = importValid(model.bytes, "random.onnx");
    const rnd = random(program.seed * 104729);
    const { args } = network.func.body;
    const sample = (size: number): Float64Array[] =>
      args.map((a) =>
        Float64Array.from({ length: elementCount((a.type as TensorType).shape) }, () => (2 * rnd() - 1) * size),
      );
    const calibration = Array.from({ length: 4 }, () => sample(2));
    // Some samples are beyond what the formats were chosen for.
    const samples = Array.from({ length: 10 }, (_, i) => sample(i === 9 ? 3 : 2));
    const device = deviceOf(program.seed);
    const elements = Math.max(...args.map((a) => elementCount((a.type as TensorType).shape)));
    const ii = Math.max(16, Math.round(elements * [0.5, 1, 3, 10][program.seed % 4]!));
    const precision = ["8", "w8a10", "w6a7", "w10a12"][(program.seed >> 2) % 4]!;
    const run = throughHardware(network, samples, ii, {
      calibration,
      precision,
      target: `device=${device.name},clock=${clock}`,
    });
    const different = (got: readonly (readonly (readonly number[])[])[], how: string): string | undefined => {
      for (const [s, outputs] of run.expected.entries()) {
        for (const [o, want] of outputs.entries())
          for (const [i, v] of want.entries())
            if (got[s]![o]![i] !== v)
              return `${how}: sample ${s}, output ${o}, element ${i} is ${got[s]![o]![i]} instead of ${v}`;
      }
      return undefined;
    };
    schedules.set(program, run.schedule());
    const wrong =
      different(run.simulated, "rtl") ??
      different(
        run.stalled(() => rnd() < 0.35),
        "rtl with stalls",
      );
    if (wrong !== undefined) return wrong;
    if (run.measured.latency !== run.predicted.latency)
      return `latency ${run.measured.latency}, predicted ${run.predicted.latency}`;
    // Samples that left early while the pipeline filled may be followed by longer distances, for a while. Parts that do
    // not depend on one another need not wait for each other, and end sooner.
    const last = run.ends.length - 1;
    const interval = (run.ends[last]! - run.ends[last - 4]!) / 4;
    const independent = network.func.body.terminator.operands.length + args.length > 2;
    const slower = run.ends
      .slice(0, last)
      .every((end, s) => run.ends[last]! - end > (last - s) * run.predicted.interval);
    if (slower) return `samples end at ${run.ends.join(", ")}, predicted interval ${run.predicted.interval}`;
    return interval === run.predicted.interval || interval > run.predicted.interval || independent
      ? undefined
      : `interval ${interval}, predicted ${run.predicted.interval}`;
  } catch (e) {
    // Folding may find that an output is constant, which is refused; the others are looked at without it.
    const constant = e instanceof Error ? /FL010\]: output (\S+) is the same/.exec(e.message) : null;
    if (constant !== null && !without.includes(constant[1]!))
      return problemOf(program, clock, [...without, constant[1]!]);
    // A clock that the device cannot keep is refused with one that it can.
    const possible = e instanceof Error ? /FL012[\s\S]*--clock ([\d.]+) or less/.exec(e.message) : null;
    if (possible !== null && Number(possible[1]) < clock) return problemOf(program, Number(possible[1]), without);
    return e instanceof Error ? (e.stack ?? e.message) : String(e);
  }
}

/** Seeds of the networks of ONNX operators: each use is among the first of one network. */
const modelSeeds = Array.from({ length: Number(process.env["SEEDS"] ?? networkCount) }, (_, i) => i + 1);

describe("random networks of all operators", () => {
  it.each(modelSeeds)("seed %i", (seed) => {
    const program = randomProgram(seed);
    const problem = problemOf(program);
    if (problem === undefined) return;
    const least = shrink(program, (p) => problemOf(p) !== undefined);
    expect.fail(
      `${problemOf(least)}\nleast failing network: ${JSON.stringify(least)}\n${modelOf(least)?.text ?? ""}\n${schedules.get(least) ?? ""}`,
    );
  });

  it("use every operator that is supported", () => {
    const used = new Set(
      Array.from({ length: networkCount }, (_, i) => modelOf(randomProgram(i + 1))?.operators ?? []).flat(),
    );
    expect(unusedOperators(used)).toEqual([]);
  });
});
