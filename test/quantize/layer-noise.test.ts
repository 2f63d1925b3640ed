import { describe, expect, it } from "vitest";
import { measureAccuracy } from "../../src/passes/nn/accuracy.js";
import { decibels, measureLayerNoise, type LayerNoise } from "../../src/passes/nn/layer-noise.js";
import { parsePrecision } from "../../src/passes/nn/quantize/precision.js";
import { pairTensors } from "../../src/passes/nn/tensor-pairs.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { printModule } from "../../src/ir/text/printer.js";
import { Sink } from "../../src/diagnostics/index.js";
import { quantizeTo, samples } from "./support.js";

const data = samples(40);
function noiseOf(
  precision: string,
  scale = 1,
): {
  layers: LayerNoise[];
  float: ReturnType<typeof quantizeTo>["float"];
  fixed: ReturnType<typeof quantizeTo>["fixed"];
  used: typeof data;
} {
  const used = scale === 1 ? data : samples(40, 72, 7, scale);
  const { float, fixed } = quantizeTo(parsePrecision(precision), data);
  return { layers: measureLayerNoise(float, fixed, { samples: used, injected: 40 }), float, fixed, used };
}
const named = (layers: readonly LayerNoise[], node: string): LayerNoise => layers.find((l) => l.nodes.includes(node))!;
const worst = (layers: readonly LayerNoise[]): LayerNoise =>
  layers.reduce((w, l) => (l.output_share > w.output_share ? l : w));

describe("noise of layers", () => {
  it("names layers by their ONNX nodes, also where several became one", () => {
    const { layers } = noiseOf("w8a10");
    expect(layers.map((l) => l.nodes)).toEqual([[], ["conv1", "relu1"], ["conv2", "relu2"], ["flatten", "fc"]]);
    expect(layers.map((l) => l.operations)).toEqual([[], ["conv", "relu"], ["conv", "relu"], ["matmul", "add"]]);
    expect(layers.map((l) => l.inputs)).toEqual([[], [0], [1], [2]]);
    expect(layers.map((l) => l.weights.map((w) => w.node))).toEqual([[], ["conv1"], ["conv2"], ["fc"]]);
  });

  it("agrees with the accuracy that compile reports, and survives the text of the module", () => {
    const { layers, float, fixed, used } = noiseOf("w7a8");
    const reported = measureAccuracy(float, fixed, used);
    expect(layers.map((l) => l.sqnr_db)).toEqual(reported.layers.map((l) => l.sqnr_db));
    const sink = new Sink();
    const again = parseModule(printModule(fixed, { resources: "inline" }), "nn.hir", sink)!;
    expect([...pairTensors(float, again).values()]).toEqual([...pairTensors(float, fixed).values()]);
    expect(measureLayerNoise(float, again, { samples: used, injected: 40 })).toEqual(layers);
  });

  it("of the first layer is its own and its input's; later layers inherit", () => {
    const { layers } = noiseOf("w8a10");
    expect(layers[0]!.own_sqnr_db).toBe(layers[0]!.sqnr_db);
    expect(named(layers, "conv1").own_sqnr_db).toBeCloseTo(named(layers, "conv1").sqnr_db, 9);
    for (const node of ["conv2", "fc"])
      expect(named(layers, node).own_sqnr_db).toBeGreaterThan(named(layers, node).sqnr_db);
  });

  it("adds up at the outputs, and the shares to one", () => {
    const { layers } = noiseOf("w8a9");
    expect(layers.reduce((n, l) => n + l.output_share, 0)).toBeCloseTo(1, 9);
    // What the last layer does to the output, as a share of the whole, is its own noise against the running one.
    const last = layers[layers.length - 1]!;
    const power = last.noise.rounding + last.noise.saturation + last.noise.arithmetic;
    const running = last.rms ** 2 / 10 ** (last.sqnr_db / 10);
    expect(last.output_share).toBeGreaterThan((power / running) * 0.6);
    expect(last.output_share).toBeLessThan((power / running) * 1.6);
  });

  it.each([
    ["conv1=a4", "conv1", "rounding"],
    ["conv2=a4", "conv2", "rounding"],
    ["conv1=w3", "conv1", "arithmetic"],
    ["fc=w3", "fc", "arithmetic"],
  ] as const)("with %s the worst layer is %s, by %s", (change, node, cause) => {
    const layer = worst(noiseOf(`w12a14,${change}`).layers);
    expect(layer.nodes).toContain(node);
    const { rounding, saturation, arithmetic } = layer.noise;
    expect(layer.noise[cause]).toBe(Math.max(rounding, saturation, arithmetic));
  });

  it("shows data beyond what calibration has seen as saturation", () => {
    const { layers } = noiseOf("w10a12", 4);
    const input = layers[0]!;
    expect(input.saturated).toBeGreaterThan(0.5);
    expect(input.range_used).toBeGreaterThan(3);
    expect(input.noise.saturation).toBeGreaterThan(100 * input.noise.rounding);
    const calm = noiseOf("w10a12", 0.05).layers[0]!;
    expect(calm.saturated).toBe(0);
    expect(calm.range_used).toBeLessThan(0.08);
  });

  it("rounding of an input is that of its format", () => {
    const input = noiseOf("w8a8").layers[0]!;
    const lsb = 2 ** -input.format.frac;
    expect(input.noise.rounding).toBeGreaterThan((lsb * lsb) / 12 / 1.1);
    expect(input.noise.rounding).toBeLessThan(((lsb * lsb) / 12) * 1.1);
  });

  it("ratios without noise or signal are infinite", () => {
    expect([decibels(1, 0), decibels(0, 1), decibels(100, 1)]).toEqual([Infinity, -Infinity, 20]);
  });
});
