import { describe, expect, it } from "vitest";
import { floats, node, onnx } from "../frontend/support.js";
import { onnxRuntimeMissing, runOnnxRuntime, type RuntimeTensors } from "./onnxruntime.js";

describe.skipIf(onnxRuntimeMissing !== undefined)(`ONNX Runtime as a reference ${onnxRuntimeMissing ?? ""}`, () => {
  const model = onnx({
    node: [node("Add", ["x", "x"], ["y"])],
    input: [floats("x", [2], 6)],
    output: [floats("y", [2], 6)],
  });
  const sample = (...data: number[]): RuntimeTensors => ({ x: { type: "int32", shape: [2], data } });

  it("gives the outputs of each sample with their types", async () => {
    const [a, b] = await Promise.all([
      runOnnxRuntime([{ model, samples: [sample(1, 2), sample(-3, 4)] }]),
      runOnnxRuntime([{ model, samples: [sample(5, 6)], optimize: true }]),
    ]);
    expect(a[0]!.map((s) => [...(s["y"]!.data as Float64Array)])).toEqual([
      [2, 4],
      [-6, 8],
    ]);
    expect(b[0]![0]!["y"]).toMatchObject({ type: "int32", shape: [2], data: Float64Array.of(10, 12) });
  });
  it("says what a model lacks, and goes on", async () => {
    await expect(
      runOnnxRuntime([{ model: onnx({ node: [node("NoSuchOperator", ["x"], ["y"])] }), samples: [] }]),
    ).rejects.toThrow(/NoSuchOperator/);
    expect([
      ...((await runOnnxRuntime([{ model, samples: [sample(1, 1)] }]))[0]![0]!["y"]!.data as Float64Array),
    ]).toEqual([2, 2]);
  });
});
