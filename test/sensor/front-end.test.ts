/** The front end as a program of nn gives the peaks of the meaning, and so does what it is lowered to. */
import { describe, expect, it } from "vitest";
import { prepareFlow } from "../../src/ir/eval/flow.js";
import { prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { printModule } from "../../src/ir/text/printer.js";
import { assertValid, verifyModule } from "../../src/ir/verify.js";
import { Sink } from "../../src/diagnostics/index.js";
import { lowerToFlow } from "../../src/passes/lower/nn-to-flow.js";
import { correct } from "../../src/sensor/correct.js";
import { findPeaks } from "../../src/sensor/find.js";
import { busyFramesModule, frontEndModule } from "../../src/sensor/front-end.js";
import type { LocalMaximum } from "../../src/sensor/sensor.js";
import type { SensorInput } from "../../src/sensor/read-sensor.js";
import { randomCase } from "./random-frames.js";

const CAPACITY = 40;
const sensors: readonly (readonly [string, SensorInput])[] = [
  ["defaults", {}],
  ["dark and mask", { dark: "dark.npy", mask: "mask.npy", threshold: 5, patch: 5 }],
  ["streamed dark, window 3, padded", { dark: "stream", find: { window: 3, edges: "pad" }, patch: 4 }],
  ["window 7 beyond the patch", { dark: 2, find: { window: 7, edges: "pad", peak_min: 30 }, patch: 3 }],
  ["flat field, 12 bits", { pixel_bits: 12, flat: "flat.npy", patch: 5 }],
  ["32 bits", { pixel_bits: 32, dark: 3, patch: 5 }],
  ["dispersion", { dispersion: { background: 2, signal: 1 }, mask: "mask.npy", patch: 5, threshold: 4 }],
];

describe.each(sensors)("%s", (_, keys) => {
  it.each([1, 2, 3, 4, 5, 6])("equals the meaning in nn and in flow (seed %i)", (seed) => {
    const { sensor, planes, raw, dark } = randomCase(seed, keys);
    const { peaks } = findPeaks(sensor, correct(sensor, planes, raw, dark).values);
    const module = frontEndModule(sensor, sensor.find as LocalMaximum, planes, CAPACITY);
    assertValid(module, "front end");
    const flow = lowerToFlow(module);
    assertValid(flow, "front end in flow");
    const numbers = (list: readonly number[]) => Float64Array.from(list);
    const inputs = sensor.dark.kind === "stream" ? [numbers(raw), numbers(dark)] : [numbers(raw)];
    for (const [patches, origins, count] of [prepareNnFixed(module).run(inputs), prepareFlow(flow).run(inputs)]) {
      const sent = Math.min(peaks.length, CAPACITY);
      expect([...count!]).toEqual([peaks.length, sent]);
      const size = sensor.patch ** 2;
      peaks.slice(0, sent).forEach((p, k) => {
        expect([origins![2 * k], origins![2 * k + 1]]).toEqual([p.row, p.column]);
        expect([...patches!.slice(k * size, (k + 1) * size)]).toEqual([...p.pixels]);
      });
      expect([...patches!.slice(sent * size)].every((v) => v === 0)).toBe(true);
    }
  });
});

describe("a trigger", () => {
  it.each([1, 2, 4, 5])("sends on frames of at least so many peaks, as they came (seed %i)", (seed) => {
    const { sensor, planes, raw, dark } = randomCase(seed, {
      patch: 5,
      dark: "stream",
      mask: "mask.npy",
      threshold: 3,
    });
    const found = findPeaks(sensor, correct(sensor, planes, raw, dark).values).peaks.length;
    for (const least of [found, found + 1]) {
      const module = busyFramesModule(sensor, sensor.find as LocalMaximum, planes, least);
      assertValid(module, "trigger");
      const flow = lowerToFlow(module);
      assertValid(flow, "trigger in flow");
      const inputs = [Float64Array.from(raw), Float64Array.from(dark)];
      for (const [frame, origin, count] of [prepareNnFixed(module).run(inputs), prepareFlow(flow).run(inputs)]) {
        const sent = least === found ? 1 : 0;
        expect([...count!]).toEqual([sent, sent]);
        expect([...origin!]).toEqual([0, 0, 0, 0]);
        expect([...frame!]).toEqual(sent === 1 ? raw : raw.map(() => 0));
      }
    }
  });
});

describe("text of a front end", () => {
  it("is read back as it was", () => {
    const { sensor, planes } = randomCase(1, { patch: 5 });
    for (const m of [0, 1]) {
      const nn = frontEndModule(sensor, sensor.find as LocalMaximum, planes, 4);
      const text = printModule(m === 0 ? nn : lowerToFlow(nn));
      const sink = new Sink();
      const again = parseModule(text, "front.hir", sink)!;
      expect(verifyModule(again, sink)).toBe(true);
      expect(printModule(again)).toBe(text);
    }
  });
});

const rank1 = (attrs: string, where: string, x: string, results: string): string => `module "gate" {
  func() {sym = "gate", inputs = ["where", "x"], outputs = ["y", "at", "n"]} ({
  ^(%where: ${where}, %x: ${x}):
    %y, %at, %n = nn.sparsify(%where, %x) {${attrs}} : (${where}, ${x}) -> (${results})
    return(%y, %at, %n) : (${results}) -> ()
  }) : () -> ()
}`;

describe("nn.sparsify", () => {
  const bit = (n: number): string => `tensor<${n}xufixed<1,0>>`;
  it("is a gate where one bit decides on a whole frame", () => {
    const text = rank1(
      "window = [4], offset = [0], capacity = 1",
      bit(1),
      "tensor<4xufixed<8,0>>",
      "tensor<1x4xufixed<8,0>>, tensor<1x1xufixed<1,0>>, tensor<2xufixed<1,0>>",
    );
    const sink = new Sink();
    const module = parseModule(text, "gate.hir", sink)!;
    expect(verifyModule(module, sink), JSON.stringify(sink.diagnostics)).toBe(true);
    const run = (gate: number): number[][] =>
      [prepareNnFixed(module), prepareFlow(lowerToFlow(module))].map((p) =>
        p.run([Int32Array.of(gate), Int32Array.of(1, 2, 3, 4)]).flatMap((a) => [...a]),
      );
    expect(run(1)).toEqual([
      [1, 2, 3, 4, 0, 1, 1],
      [1, 2, 3, 4, 0, 1, 1],
    ]);
    expect(run(0)).toEqual([
      [0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 0],
    ]);
  });
  it("sends windows a stride apart, and counts those beyond its capacity", () => {
    const text = rank1(
      "window = [3], offset = [-1], strides = [2], capacity = 2",
      bit(3),
      "tensor<6xufixed<8,0>>",
      "tensor<2x3xufixed<8,0>>, tensor<2x1xfixed<3,0>>, tensor<2xufixed<2,0>>",
    );
    const module = parseModule(text, "gate.hir", new Sink())!;
    assertValid(module, "gate");
    const [y, at, n] = prepareNnFixed(module).run([Int32Array.of(1, 1, 1), Int32Array.of(1, 2, 3, 4, 5, 6)]);
    expect([[...y!], [...at!], [...n!]]).toEqual([
      [0, 1, 2, 2, 3, 4],
      [-1, 1],
      [3, 2],
    ]);
  });
});
