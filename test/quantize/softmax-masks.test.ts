/**
 * Softmax under every mask of a small matrix, against ONNX Runtime (`frontend/fixtures/make-masks.py`), in float and in
 * fixed point.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Module } from "../../src/ir/core.js";
import { prepareNn } from "../../src/ir/eval/nn-fixed.js";
import { portScale } from "../../src/ir/port-scales.js";
import type { Sample } from "../../src/passes/nn/quantize/calibrate.js";
import { reportLayers } from "../../src/driver/comparison.js";
import { measureAccuracy } from "../../src/passes/nn/accuracy.js";
import { measureLayerNoise } from "../../src/passes/nn/layer-noise.js";
import { roundInputs } from "../../src/passes/nn/quantize/inputs.js";
import { defaultPrecision } from "../../src/passes/nn/quantize/precision.js";
import { readArrays } from "../../src/frontend/npz.js";
import { floats, importValid, node, onnx, weights } from "../frontend/support.js";
import { prepared, quantizeTo, uniform } from "./support.js";

const arrays = readArrays(readFileSync(new URL("../frontend/fixtures/masks.npz", import.meta.url)), "masks.npz");
const COUNT = 512;
const part = (name: string, k: number): Float64Array =>
  Float64Array.from(arrays.get(name)!.data.subarray(k * 9, k * 9 + 9));
const maskOf = (k: number): number[] => Array.from({ length: 9 }, (_, i) => (k >> i) & 1);
/**
 * ONNX Runtime's result; rows that are masked throughout have NaN there and are 0 here. NaN where nothing is wanted.
 */
function wanted(name: string, k: number): Float64Array {
  const y = part(`${name}.y`, k).map((v) => (Number.isNaN(v) ? 0 : v));
  if (!BILLION.has(name) || k % 8 < 4 || k % 8 > 5) return y;
  // A row from which 10^9 is taken keeps what float32 has left of scores beyond 32: multiples of 64.
  const mask = maskOf(k);
  return y.map((v, i) => ([0, 1, 2].some((j) => mask[i - (i % 3) + j] === 1) ? v : NaN));
}
const BILLION = new Set(["added.-1e+09", "product_positive"]);

/**
 * Difference of shares that rounding may cause: exp has a table of 2^8 entries over a range of 8, scores a step of
 * 2^-6.
 */
const BOUND = 0.02;

function worst(
  module: Module,
  cases: readonly number[],
  sample: (k: number) => Sample,
  want: (k: number) => Float64Array,
): number {
  const program = prepareNn(module);
  const ports = module.func.body.args.map((a) => a.type);
  let top = 0;
  for (const k of cases) {
    const y = program.run(roundInputs(sample(k), ports))[0]!;
    want(k).forEach((v, i) => {
      if (!Number.isNaN(v)) top = Math.max(top, Number.isNaN(y[i]!) ? Infinity : Math.abs(y[i]! - v));
    });
  }
  return top;
}
const all = Array.from({ length: COUNT }, (_, k) => k);
const depths = [...arrays.keys()]
  .filter((k) => k.startsWith("added."))
  .map((k) => k.slice("added.".length, -".y".length));
const computed = [...arrays.keys()].filter((k) => k.endsWith(".model")).map((k) => k.slice(0, -".model".length));

/** Softmax of scores with a mask that is constant. */
function constantMask(kind: string, depth: number, k: number): Uint8Array {
  const mask = maskOf(k);
  const softmax = node("Softmax", ["s"], ["y"], "softmax");
  const io = { input: [floats("x", [3, 3])], output: [floats("y", [3, 3])] };
  if (kind === "added")
    return onnx({
      ...io,
      node: [node("Add", ["x", "m"], ["s"]), softmax],
      initializer: [
        weights(
          "m",
          [3, 3],
          mask.map((m) => (m === 1 ? 0 : depth)),
        ),
      ],
    });
  return onnx({
    ...io,
    node: [node("Where", ["m", "x", "d"], ["s"]), softmax],
    initializer: [{ name: "m", dims: [3, 3], dataType: 9, int32Data: mask }, weights("d", [], [depth])],
  });
}

describe("a softmax under constant masks", () => {
  const numbers: Readonly<Record<string, number>> = { "-inf": -Infinity, "-3.40282e+38": -3.4028234663852886e38 };
  // Numbers that are handled alike share the masks.
  const whole = new Set(["added.-inf"]);
  it.each(depths.flatMap((d) => ["added", "chosen"].map((kind) => [kind, d] as const)))("%s %s", (kind, text) => {
    const depth = numbers[text] ?? Number(text);
    const name = `${kind}.${text}`;
    for (const k of all.filter((j) => whole.has(name) || j % 8 === (j >> 3) % 8 || j % 16 === 0)) {
      const bytes = constantMask(kind, depth, k);
      const x = part("scores", k);
      const want = wanted(name, k);
      // Doubles keep what float32 loses of scores beside 10^9.
      if (depth !== -1e9)
        expect(
          worst(
            importValid(bytes, "m.onnx"),
            [k],
            () => [x],
            () => want,
          ),
          `import ${k}`,
        ).toBeLessThan(2e-6 + roundingOf(depth));
      const ready = prepared(bytes);
      expect(
        worst(
          ready,
          [k],
          () => [x],
          () => want,
        ),
        `prepared ${k}`,
      ).toBeLessThan(2e-6 + roundingOf(depth));
      // An eighth of the masks in fixed point: each range of scores comes up eight times.
      if (k % 8 !== (k >> 3) % 8) continue;
      const { fixed } = quantizeTo(defaultPrecision, [[x], [x.map((v) => -v)]], bytes);
      expect(
        worst(
          fixed,
          [k],
          () => [x],
          () => want,
        ),
        `fixed ${k}`,
      ).toBeLessThan(BOUND + roundingOf(depth));
    }
  });
});

/**
 * What float32 loses of scores to which such a number is added, where a whole row is masked; in shares, of which two
 * sum up.
 */
function roundingOf(depth: number): number {
  return Math.abs(depth) < 1e7 ? Math.abs(depth) * 2 ** -23 : 0;
}

describe("a quantized softmax under computed masks", () => {
  it.each(computed.filter((n) => n.startsWith("quantized")))("%s: all masks, on the model's own integers", (name) => {
    const bytes = Uint8Array.from(arrays.get(`${name}.model`)!.data);
    const sample = (k: number): Sample => [part("scores", k), Float64Array.from(maskOf(k))];
    const { fixed } = quantizeTo(defaultPrecision, all.filter((k) => k % 3 === 0).map(sample), bytes);
    expect(fixed.func.body.ops.filter((op) => op.name === "nn.unary").map((op) => op.attrs["fn"])).toEqual([]);
    const program = prepareNn(fixed);
    const [ports, scale] = [fixed.func.body.args.map((a) => a.type), portScale(fixed.func, "output_scales", 0)];
    const inputScales = ports.map((_, i) => portScale(fixed.func, "input_scales", i));
    let unequal = 0;
    for (const k of all) {
      const y = program.run(roundInputs(sample(k), ports, inputScales))[0]!.map((v) => v * scale);
      wanted(name, k).forEach((v, i) => {
        const steps = Math.round((y[i]! - v) * 255);
        expect(Math.abs(steps)).toBeLessThanOrEqual(1);
        if (steps !== 0) unequal++;
      });
    }
    expect(unequal / (COUNT * 9)).toBeLessThan(1e-3);
  });
});

/** Softmax of rows of `n` in the given range, with the float network's shares. */
function ranges(n: number, range: number, centre: number): { readonly worst: number; readonly sum: number } {
  const bytes = onnx({
    input: [floats("x", [4, n])],
    output: [floats("y", [4, n])],
    node: [node("Softmax", ["x"], ["y"], "softmax")],
  });
  const random = uniform(n + 7);
  const samples = Array.from({ length: 24 }, () => [
    Float64Array.from({ length: 4 * n }, () => centre + random() * range),
  ]);
  const { float, fixed } = quantizeTo(defaultPrecision, samples.slice(0, 12), bytes);
  const [reference, program, ports] = [prepareNn(float), prepareNn(fixed), fixed.func.body.args.map((a) => a.type)];
  let [worst, sum] = [0, 0];
  for (const x of samples.slice(12)) {
    const want = reference.run(x)[0]!.slice();
    const y = program.run(roundInputs(x, ports))[0]!;
    want.forEach((v, i) => (worst = Math.max(worst, Math.abs(v - y[i]!))));
    for (let r = 0; r < 4; r++)
      sum = Math.max(sum, Math.abs(y.subarray(r * n, (r + 1) * n).reduce((a, v) => a + v, 0) - 1));
  }
  return { worst, sum };
}

describe("a softmax of scores of any range", () => {
  it.each(
    [1, 2, 5, 64].flatMap(
      (n) =>
        [
          [n, 0, 0],
          [n, 0, 90],
          [n, 1e-3, 0],
          [n, 1e-3, -40],
          [n, 1, 5],
          [n, 30, 0],
          [n, 400, 0],
          [n, 3000, -2000],
        ] as const,
    ),
  )("rows of %i, range %f around %f", (n, range, centre) => {
    const { worst, sum } = ranges(n, range, centre);
    expect(worst).toBeLessThan(n === 1 ? 1e-3 : BOUND);
    // What is far below the maximum is 0 and does not add up.
    expect(sum).toBeLessThan(0.002);
  });
});

describe("a softmax under computed masks", () => {
  it.each(computed.filter((n) => !n.startsWith("quantized")))("%s: all masks of a 3 x 3 matrix", (name) => {
    const bytes = Uint8Array.from(arrays.get(`${name}.model`)!.data);
    const module = importValid(bytes, `${name}.onnx`);
    const inputs = module.func.attrs["inputs"] as readonly string[];
    const sample = (k: number): Sample =>
      inputs.map((i) => (i === "x" ? part("scores", k) : Float64Array.from(maskOf(k))));
    const want = (k: number): Float64Array => wanted(name, k);
    const rounding = roundingOf(-1e4);
    if (name !== "product_positive") expect(worst(module, all, sample, want)).toBeLessThan(2e-6 + rounding);
    expect(worst(prepared(bytes), all, sample, want)).toBeLessThan(2e-6 + rounding);
    const { fixed } = quantizeTo(defaultPrecision, all.filter((k) => k % 3 === 0).map(sample), bytes);
    expect(worst(fixed, all, sample, want)).toBeLessThan(BOUND + rounding);
  });
});

describe("what is chosen against a number beyond all formats", () => {
  const far = (value: number): Uint8Array =>
    onnx({
      input: [floats("x", [3, 4])],
      output: [floats("y", [3, 1])],
      opset: 17,
      node: [
        node("Where", ["m", "x", "d"], ["s"]),
        node("ReduceMax", ["s"], ["y"], "max", [{ name: "axes", type: 7, ints: [1] }]),
      ],
      initializer: [
        { name: "m", dims: [3, 4], dataType: 9, int32Data: [1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1] },
        weights("d", [], [value]),
      ],
    });
  it.each([-Infinity, -1e9, -3.4028234663852886e38])("%f takes no part in a maximum, nor in its format", (value) => {
    const random = uniform(3);
    const samples = Array.from({ length: 16 }, () => [Float64Array.from({ length: 12 }, () => 5 * random())]);
    const { float, fixed } = quantizeTo(defaultPrecision, samples, far(value));
    expect(Object.values(measureAccuracy(float, fixed, samples).outputs)[0]!.sqnr_db).toBeGreaterThan(50);
  });
});

describe("reports of masked networks", () => {
  it.each(computed)("%s: every number is one", (name) => {
    const bytes = Uint8Array.from(arrays.get(`${name}.model`)!.data);
    const inputs = importValid(bytes, "m.onnx").func.attrs["inputs"] as readonly string[];
    const samples = all
      .filter((k) => k % 32 === 5)
      .map((k): Sample => inputs.map((i) => (i === "x" ? part("scores", k) : Float64Array.from(maskOf(k)))));
    const { float, fixed } = quantizeTo(defaultPrecision, samples, bytes);
    const layers = reportLayers(measureLayerNoise(float, fixed, { samples, injected: 4 }), "w8a10");
    for (const l of layers) {
      // Integers of a softmax have up to 27 bits; what closes a position is far beyond.
      for (const v of [l.min, l.max, l.rms, l.saturated, l.range_used, l.output_share, ...Object.values(l.noise)])
        expect(Math.abs(v), l.name).toBeLessThan(2 ** 28);
      for (const v of [l.sqnr_db, l.own_sqnr_db]) expect(v, l.name).not.toBeNaN();
    }
    const accuracy = measureAccuracy(float, fixed, samples);
    for (const o of Object.values(accuracy.outputs)) expect(o.sqnr_db).toBeGreaterThan(25);
    expect(JSON.stringify([layers.map((l) => l.advice), accuracy.layers.map((l) => l.name)])).not.toMatch(/NaN|e\+/);
  });
});
