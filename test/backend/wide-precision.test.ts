/** Networks at precisions whose sums and products have more than 53 bits, from ONNX to simulated hardware. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lintVerilog } from "../../src/backend-verilog/lint.js";
import { compileModel, newSession, simulateDesign } from "../../src/driver.js";
import { mulberry32 } from "../../src/driver/evaluate.js";
import { writeNpz } from "../../src/frontend/npz.js";
import { elementCount } from "../../src/ir/types.js";
import { throughHardware } from "../frontend/hardware.js";
import { floats, importValid, node, onnx, weights } from "../frontend/support.js";

const rnd = mulberry32(5);
const numbers = (n: number, size: number, offset = 0): number[] => Array.from({ length: n }, () => offset + size * (2 * rnd() - 1));

interface Net {
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Long sums, and a bias that a constant of an accumulator's fraction has no room for. */
const mlp: Net = {
  shape: [1, 64],
  bytes: onnx({
    node: [node("Gemm", ["x", "w1", "b1"], ["h"], "lower"), node("Relu", ["h"], ["r"]), node("Gemm", ["r", "w2", "b2"], ["y"], "upper")],
    initializer: [weights("w1", [64, 8], numbers(512, 1)), weights("b1", [8], numbers(8, 1)), weights("w2", [8, 4], numbers(32, 1)), weights("b2", [4], numbers(4, 30))],
    input: [floats("x", [1, 64])],
    output: [floats("y", [1, 4])],
  }),
};
/** A bias far above the weights, a product of two activations, their squares' mean. */
const cnn: Net = {
  shape: [1, 2, 6, 6],
  bytes: onnx({
    node: [
      node("Conv", ["x", "w1", "b1"], ["c"], "conv"), node("LeakyRelu", ["c"], ["l"]), node("Conv", ["l", "w2"], ["d"], "gate"),
      node("Mul", ["l", "d"], ["p"]), node("Mul", ["p", "p"], ["q"]), node("GlobalAveragePool", ["q"], ["y"]),
    ],
    initializer: [weights("w1", [4, 2, 3, 3], numbers(72, 0.5)), weights("b1", [4], numbers(4, 0.1, 40)), weights("w2", [4, 4, 1, 1], numbers(16, 0.5))],
    input: [floats("x", [1, 2, 6, 6])],
    output: [floats("y", [1, 4, 1, 1])],
  }),
};
const nets: readonly (readonly [string, Net])[] = [["mlp", mlp], ["cnn", cnn]];

describe("precisions beyond 53 bits inside", () => {
  it.each([
    ["mlp", "w24a28o32", mlp, 56],
    ["cnn", "w16a24o32", cnn, 48],
    ["cnn", "w24a32o32", cnn, 62],
  ] as const)("%s at %s is the same on all levels", (name, precision, net, width) => {
    const samples = Array.from({ length: 6 }, () => [Float64Array.from(numbers(elementCount(net.shape), 2))]);
    const r = throughHardware(importValid(net.bytes, `${name}.onnx`), samples, 72, { precision, target: "device=xcu280,clock=60" });
    expect(r.simulated).toEqual(r.expected.map((s) => s.map((o) => [...o])));
    expect(r.stalled(() => rnd() < 0.3)).toEqual(r.simulated);
    expect(r.measured).toEqual(r.predicted);
    // 20 bits and more behind the point of the largest number: nothing is lost on the way.
    for (const o of Object.values(r.accuracy.outputs)) expect(o.sqnr_db).toBeGreaterThan(100);
    expect(Math.max(...r.design.kernels.map((k) => k.spec.accType.width))).toBeGreaterThanOrEqual(width);
  });

  let work: string;
  beforeAll(() => (work = mkdtempSync(join(tmpdir(), "onnx-hls-wide-"))));
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it.each(nets)("%s at 24 bits in Verilator", async (name, net) => {
    const [model, data, dir] = [join(work, `${name}.onnx`), join(work, `${name}.npz`), join(work, name)];
    writeFileSync(model, net.bytes);
    writeFileSync(data, writeNpz(new Map([["x", { shape: [16, ...net.shape.slice(1)], data: Float32Array.from(numbers(16 * elementCount(net.shape), 2)) }]])));
    const report = await compileModel(model, { out: dir, calib: data, precision: "24", clockMhz: 60, target: { kind: "ii", cycles: 72 } }, newSession());
    expect(await lintVerilog(join(dir, "rtl"), name)).toEqual([]);
    const run = await simulateDesign(dir, { input: data, output: join(work, `${name}-out.npz`), quickBuild: true, stall: 0.2, seed: 3 }, newSession());
    expect(run).toMatchObject({ samples: 16, mismatches: 0 });
    expect(report.initiation_interval).toBeLessThanOrEqual(72);
  });
});
