/** A small network for tests of quantization: two convolutions and a dense layer with fixed pseudo-random weights. */
import { floats, importValid, integers, node, onnx, weights } from "../frontend/support.js";
import type { Module } from "../../src/ir/core.js";
import { PassContext } from "../../src/passes/pass-context.js";
import { PassManager } from "../../src/passes/pass-manager.js";
import { CALIBRATION_SAMPLES, FLOAT_MODULE, PRECISION } from "../../src/passes/nn/quantize/index.js";
import type { Sample } from "../../src/passes/nn/quantize/calibrate.js";
import type { PrecisionSpec } from "../../src/passes/nn/quantize/precision.js";
import { stagePipeline } from "../../src/driver/stages.js";
import { nodeHost } from "../../src/host.js";
import { Sink } from "../../src/diagnostics/index.js";

/** Uniform numbers in [-1, 1). */
export function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 23 - 1;
  };
}

/** x [1,2,6,6] -> conv1 -> relu -> conv2 -> relu -> flatten -> fc -> y [1,3]. */
export function smallNetwork(seed = 1): Uint8Array {
  const random = uniform(seed);
  const draw = (dims: readonly number[], scale: number): number[] =>
    Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random() * scale);
  const tensor = (name: string, dims: readonly number[], scale: number): object =>
    weights(name, dims, draw(dims, scale));
  return onnx({
    input: [floats("x", [1, 2, 6, 6])],
    output: [floats("y", [1, 3])],
    initializer: [
      tensor("w1", [6, 2, 3, 3], 0.4),
      tensor("b1", [6], 0.1),
      tensor("w2", [4, 6, 3, 3], 0.25),
      tensor("b2", [4], 0.1),
      tensor("w3", [16, 3], 0.4),
      integers("s", [2], [1, 16]),
    ],
    node: [
      node("Conv", ["x", "w1", "b1"], ["c1"], "conv1"),
      node("Relu", ["c1"], ["r1"], "relu1"),
      node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2"),
      node("Relu", ["c2"], ["r2"], "relu2"),
      node("Reshape", ["r2", "s"], ["f"], "flatten"),
      node("MatMul", ["f", "w3"], ["y"], "fc"),
    ],
  });
}

export function samples(count: number, size = 72, seed = 7, scale = 1): Sample[] {
  const random = uniform(seed);
  return Array.from({ length: count }, () => [Float64Array.from({ length: size }, () => random() * scale)]);
}

export function prepared(bytes: Uint8Array = smallNetwork()): Module {
  const sink = new Sink();
  return new PassManager().run(importValid(bytes, "net.onnx"), stagePipeline("prepare"), {
    context: new PassContext(sink),
    sink,
    host: nodeHost(),
    verifyEach: true,
  }).module;
}

/** The float network as quantization saw it, and the fixed-point one. */
export function quantizeTo(
  precision: PrecisionSpec,
  calibration: readonly Sample[],
  bytes: Uint8Array = smallNetwork(),
): { float: Module; fixed: Module } {
  const sink = new Sink();
  const context = new PassContext(sink);
  context.set(CALIBRATION_SAMPLES, calibration);
  context.set(PRECISION, precision);
  const fixed = new PassManager().run(prepared(bytes), stagePipeline("to-fixed"), {
    context,
    sink,
    host: nodeHost(),
    verifyEach: true,
  }).module;
  return { float: context.need(FLOAT_MODULE), fixed };
}

/**
 * x [1,8] -> /large/MatMul, +200, relu -> /small/MatMul -> y [1,4]. What is common to all of the large values cancels
 * in the second layer, so that ten bits of them leave little of y.
 */
export function cancelling(): Uint8Array {
  const random = uniform(11);
  const draw = (n: number, scale: number): number[] => Array.from({ length: n }, () => random() * scale);
  const second = draw(16 * 4, 0.5);
  for (let c = 0; c < 4; c++) {
    const mean = Array.from({ length: 16 }, (_, r) => second[4 * r + c]!).reduce((a, v) => a + v, 0) / 16;
    for (let r = 0; r < 16; r++) second[4 * r + c]! -= mean;
  }
  return onnx({
    input: [floats("x", ["N", 8])],
    output: [floats("y", ["N", 4])],
    initializer: [
      weights("w1", [8, 16], draw(128, 0.5)),
      weights("b1", [16], Array<number>(16).fill(200)),
      weights("w2", [16, 4], second),
    ],
    node: [
      node("MatMul", ["x", "w1"], ["h"], "/large/MatMul"),
      node("Add", ["h", "b1"], ["s"], "/large/Add"),
      node("Relu", ["s"], ["r"], "/large/Relu"),
      node("MatMul", ["r", "w2"], ["y"], "/small/MatMul"),
    ],
  });
}
