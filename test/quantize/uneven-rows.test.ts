/**
 * Tensors whose rows, or features, differ by orders of magnitude: the small ones count after a normalization as much as
 * the large ones.
 */
import { describe, expect, it } from "vitest";
import { floats, importValid, node, onnx, weights } from "../frontend/support.js";
import { mulberry32 } from "../../src/driver/evaluate.js";
import { newSession } from "../../src/driver.js";
import "../../src/driver/stages.js";
import type { Module } from "../../src/ir/core.js";
import { measureAccuracy } from "../../src/passes/nn/accuracy.js";
import { CALIBRATION_SAMPLES } from "../../src/passes/nn/quantize/index.js";
import { PassContext } from "../../src/passes/pass-context.js";
import { PassManager } from "../../src/passes/pass-manager.js";

const [ROWS, N] = [8, 16];

/** Noise of the output for rows of which each is `ratio` times smaller than the one before. */
function quantized(
  nodes: readonly object[],
  initializer: readonly object[],
  size: (row: number, column: number) => number,
): { db: number; fixed: Module } {
  const rnd = mulberry32(11);
  const samples = Array.from({ length: 64 }, () => [
    Float64Array.from({ length: ROWS * N }, (_, i) => (2 * rnd() - 1) * size(Math.floor(i / N), i % N)),
  ]);
  const bytes = onnx({ node: nodes, initializer, input: [floats("x", [1, ROWS, N])], output: [floats("y", [])] });
  const { sink } = newSession();
  const context = new PassContext(sink, () => {});
  context.set(CALIBRATION_SAMPLES, samples);
  const fixed = new PassManager().run(importValid(bytes, "uneven.onnx"), "@fixed-point", { context, sink }).module;
  return { db: measureAccuracy(importValid(bytes, "uneven.onnx"), fixed, samples).outputs["y"]!.sqnr_db, fixed };
}

const norm = [node("LayerNormalization", ["x", "scale"], ["y"], "", [{ name: "axis", type: 2, i: -1 }])];
const scale = weights("scale", [N], new Array<number>(N).fill(1));
const tables = (m: Module): number => m.func.body.ops.filter((op) => op.name === "nn.unary").length;

describe("rows of different size", () => {
  it("are normalized alike", () => {
    const even = quantized(norm, [scale], () => 4);
    const uneven = quantized(norm, [scale], (row) => 4 * 2 ** -row);
    expect(even.db).toBeGreaterThan(45);
    expect(uneven.db).toBeGreaterThan(40);
  });
  it("take a table for every few octaves of the variance, and one where one is enough", () => {
    expect(tables(quantized(norm, [scale], () => 4).fixed)).toBe(1);
    expect(tables(quantized(norm, [scale], (row) => 4 * 2 ** -row).fixed)).toBeGreaterThan(2);
  });
  it("do not count where they vary less than the network's own epsilon", () => {
    const constant = quantized(norm, [scale], (row) => (row === 0 ? 0 : 4));
    expect(tables(constant.fixed)).toBe(1);
    expect(constant.db).toBeGreaterThan(45);
  });
  it("count where what is added is more than an epsilon", () => {
    const { db } = quantized(
      [node("Mul", ["x", "x"], ["q"]), node("Add", ["q", "c"], ["s"]), node("Reciprocal", ["s"], ["y"])],
      [weights("c", [1], [1])],
      () => 2.5,
    );
    expect(db).toBeGreaterThan(45);
  });
});

describe("features of different size", () => {
  it("are as fine as the factors that make them equal ask for", () => {
    const factors = Array.from({ length: N }, (_, c) => 2 ** (c / 2));
    const { db } = quantized(
      [node("Sub", ["x", "mean"], ["d"]), node("Mul", ["d", "factor"], ["s"]), node("Tanh", ["s"], ["y"])],
      [weights("mean", [N], new Array<number>(N).fill(0.25)), weights("factor", [N], factors)],
      (_, c) => 2 / factors[c]!,
    );
    expect(db).toBeGreaterThan(40);
  });
});
