/** Networks at precisions whose sums and products have more than 53 bits, from ONNX to simulated hardware. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lintVerilog } from "../../src/backend-verilog/lint.js";
import { compileModel, newSession, simulateDesign } from "../../src/driver.js";
import { mulberry32 } from "../../src/driver/evaluate.js";
import { writeNpz } from "../../src/frontend/npz.js";
import { prepareNn } from "../../src/ir/eval/nn-fixed.js";
import { elementCount } from "../../src/ir/types.js";
import { throughHardware } from "../frontend/hardware.js";
import { floats, importValid, node, onnx, weights } from "../frontend/support.js";

const rnd = mulberry32(5);
const numbers = (n: number, size: number, offset = 0): number[] =>
  Array.from({ length: n }, () => offset + size * (2 * rnd() - 1));

interface Net {
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Long sums, and a bias that a constant of an accumulator's fraction has no room for. */
const mlp: Net = {
  shape: [1, 64],
  bytes: onnx({
    node: [
      node("Gemm", ["x", "w1", "b1"], ["h"], "lower"),
      node("Relu", ["h"], ["r"]),
      node("Gemm", ["r", "w2", "b2"], ["y"], "upper"),
    ],
    initializer: [
      weights("w1", [64, 8], numbers(512, 1)),
      weights("b1", [8], numbers(8, 1)),
      weights("w2", [8, 4], numbers(32, 1)),
      weights("b2", [4], numbers(4, 30)),
    ],
    input: [floats("x", [1, 64])],
    output: [floats("y", [1, 4])],
  }),
};
/** A bias far above the weights, a product of two activations, their squares' mean. */
const cnn: Net = {
  shape: [1, 2, 6, 6],
  bytes: onnx({
    node: [
      node("Conv", ["x", "w1", "b1"], ["c"], "conv"),
      node("LeakyRelu", ["c"], ["l"]),
      node("Conv", ["l", "w2"], ["d"], "gate"),
      node("Mul", ["l", "d"], ["p"]),
      node("Mul", ["p", "p"], ["q"]),
      node("GlobalAveragePool", ["q"], ["y"]),
    ],
    initializer: [
      weights("w1", [4, 2, 3, 3], numbers(72, 0.5)),
      weights("b1", [4], numbers(4, 0.1, 40)),
      weights("w2", [4, 4, 1, 1], numbers(16, 0.5)),
    ],
    input: [floats("x", [1, 2, 6, 6])],
    output: [floats("y", [1, 4, 1, 1])],
  }),
};
const nets: readonly (readonly [string, Net])[] = [
  ["mlp", mlp],
  ["cnn", cnn],
];

describe("precisions beyond 53 bits inside", () => {
  it.each([
    ["mlp", "w24a28o32", mlp, 56],
    ["cnn", "w16a24o32", cnn, 48],
    ["cnn", "w24a32o32", cnn, 62],
  ] as const)("%s at %s is the same on all levels", (name, precision, net, width) => {
    const samples = Array.from({ length: 6 }, () => [Float64Array.from(numbers(elementCount(net.shape), 2))]);
    const r = throughHardware(importValid(net.bytes, `${name}.onnx`), samples, 72, {
      precision,
      target: "device=xcu280,clock=60",
    });
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
    writeFileSync(
      data,
      writeNpz(
        new Map([
          [
            "x",
            { shape: [16, ...net.shape.slice(1)], data: Float32Array.from(numbers(16 * elementCount(net.shape), 2)) },
          ],
        ]),
      ),
    );
    const report = await compileModel(
      model,
      { out: dir, calib: data, precision: "24", clockMhz: 60, target: { kind: "ii", cycles: 72 } },
      newSession(),
    );
    expect(await lintVerilog(join(dir, "rtl"), name)).toEqual([]);
    const run = await simulateDesign(
      dir,
      { input: data, output: join(work, `${name}-out.npz`), quickBuild: true, stall: 0.2, seed: 3 },
      newSession(),
    );
    expect(run).toMatchObject({ samples: 16, mismatches: 0 });
    expect(report.initiation_interval).toBeLessThanOrEqual(72);
  });
});

/** Round half to even of v / 2^shift. */
function halfEven(v: bigint, shift: number): bigint {
  const [floor, half] = [v >> BigInt(shift), 1n << BigInt(shift - 1)];
  const rest = v - (floor << BigInt(shift));
  return rest > half || (rest === half && (floor & 1n) === 1n) ? floor + 1n : floor;
}

const domain = "qonnx.custom_op.general";
const attribute = [
  { name: "signed", type: 2, i: 1 },
  { name: "narrow", type: 2, i: 0 },
  { name: "rounding_mode", type: 3, s: new TextEncoder().encode("ROUND") },
];
const quant = (x: string, scale: string, bits: string, y: string): object => ({
  ...node("Quant", [x, scale, "zero", bits], [y], `to_${y}`, attribute),
  domain,
});

describe("integers beyond 53 bits inside", () => {
  it("squares of 28 bits are rounded to 32 from their exact value", () => {
    const n = 24;
    const model = onnx({
      node: [quant("x", "s", "b28", "a"), node("Mul", ["a", "a"], ["p"]), quant("p", "t", "b32", "y")],
      initializer: [
        weights("zero", [], [0]),
        weights("s", [], [2 ** -24]),
        weights("t", [], [2 ** -26]),
        weights("b28", [], [28]),
        weights("b32", [], [32]),
      ],
      input: [floats("x", [1, n])],
      output: [floats("y", [1, n])],
      domains: [domain],
    });
    // The port takes the integers; those of the last sample are beyond the limits.
    const samples = [2, 2, 2, 2, 9].map((size) => [
      Float64Array.from(numbers(n, size), (v) => Math.round(v * 2 ** 24)),
    ]);
    const r = throughHardware(importValid(model, "squares.onnx"), samples, n, {
      calibration: samples.map(([x]) => [x!.map((v) => v * 2 ** -24)]),
      target: "device=xcu280,clock=60",
    });
    const expected = samples.map(([x]) =>
      Array.from(x!, (v) => {
        const a = BigInt(Math.max(-(2 ** 27), Math.min(2 ** 27 - 1, v)));
        const y = halfEven(a * a, 48 - 26);
        return Number(y > 2n ** 31n - 1n ? 2n ** 31n - 1n : y);
      }),
    );
    expect(r.simulated.map((s) => [...s[0]!])).toEqual(expected);
    expect(r.expected.map((s) => Array.from(s[0]!))).toEqual(expected);
  });

  it("long sums of int16 by int16 come out right in every element, whatever the channels' scales", () => {
    const [k, n] = [80, 6];
    // Scales far apart: the smallest factor needs as many bits as the others.
    const scales = [2 ** -12, 3e-4, 1e-5, 2.7e-6, 1.1e-4, 7e-5].map(Math.fround);
    const codes = Float64Array.from({ length: k * n }, () => Math.round(32767 * (2 * rnd() - 1)));
    const [s, t] = [Math.fround(1 / 9000), Math.fround(1 / 5)];
    const model = onnx({
      node: [
        quant("x", "s", "b16", "a"),
        quant("w", "u", "b16", "v"),
        node("MatMul", ["a", "v"], ["m"]),
        quant("m", "t", "b16", "y"),
      ],
      initializer: [
        weights("zero", [], [0]),
        weights("s", [], [s]),
        weights("t", [], [t]),
        weights("u", [n], scales),
        weights("b16", [], [16]),
        weights(
          "w",
          [k, n],
          Array.from(codes, (q, i) => Math.fround(q * scales[i % n]!)),
        ),
      ],
      input: [floats("x", [1, k])],
      output: [floats("y", [1, n])],
      domains: [domain],
    });
    const samples = Array.from({ length: 3 }, () => [Float64Array.from(numbers(k, 32767), Math.round)]);
    const r = throughHardware(importValid(model, "int16.onnx"), samples, k, {
      calibration: samples.map(([x]) => [x!.map((q) => q * s)]),
      target: "device=xcu280,clock=60",
    });
    const expected = samples.map(([x]) =>
      Array.from(scales, (scale, c) => {
        const sum = x!.reduce((total, a, i) => total + a * codes[i * n + c]!, 0);
        return Math.max(-32768, Math.min(32767, Math.round((sum * s * scale) / t))) + 0;
      }),
    );
    expect(r.expected.map((o) => Array.from(o[0]!))).toEqual(expected);
    expect(r.simulated.map((o) => [...o[0]!])).toEqual(expected);
    // Limits and zeros alone would say little.
    expect(new Set(expected.flat().filter((q) => q !== 0 && Math.abs(q) < 32767)).size).toBeGreaterThan(8);
  });

  it("layer normalization of rows of int16 is that of real numbers", () => {
    const n = 96;
    const step = 2 ** -13;
    const model = onnx({
      node: [
        quant("x", "s", "b16", "a"),
        node("LayerNormalization", ["a", "g", "o"], ["m"]),
        quant("m", "s", "b16", "y"),
      ],
      initializer: [
        weights("zero", [], [0]),
        weights("s", [], [step]),
        weights("b16", [], [16]),
        weights("g", [n], numbers(n, 0.2, 1).map(Math.fround)),
        weights("o", [n], new Array<number>(n).fill(0)),
      ],
      input: [floats("x", [1, n])],
      output: [floats("y", [1, n])],
      domains: [domain],
    });
    const network = importValid(model, "norm.onnx");
    const samples = Array.from({ length: 3 }, () => [Float64Array.from(numbers(n, 2 ** 15), Math.round)]);
    const real = samples.map(([x]) => [x!.map((q) => q * step)]);
    const r = throughHardware(network, samples, n, { calibration: real, target: "device=xcu280,clock=60" });
    expect(r.simulated.map((o) => [...o[0]!])).toEqual(r.expected.map((o) => Array.from(o[0]!)));
    const float = prepareNn(network);
    const wanted = real.flatMap((inputs) => Array.from(float.run(inputs)[0]!, (v) => v / step));
    const got = r.simulated.flatMap((o) => [...o[0]!]);
    expect(got.filter((v, i) => v === wanted[i]).length / got.length).toBeGreaterThan(0.99);
    expect(Math.max(...got.map((v, i) => Math.abs(v - wanted[i]!)))).toBeLessThanOrEqual(1);
    // More bits than all numbers of the row need one by one.
    expect(
      Math.max(
        ...r.design.kernels.flatMap((k) =>
          k.op.regions.flatMap((b) =>
            b.ops.flatMap((o) => o.results.map((v) => (v.type.kind === "fixed" ? v.type.width : 0))),
          ),
        ),
      ),
    ).toBeGreaterThan(53);
  });
});
