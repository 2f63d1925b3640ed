/** `inspect`: shapes and cost of a network, and every node that keeps it from being compiled. */
import { describe, expect, it } from "vitest";
import { Sink } from "../../src/diagnostics/index.js";
import { inspectOnnx } from "../../src/frontend/inspect.js";
import { floats, node, onnx, weights } from "./support.js";

const zeros = (n: number): number[] => new Array<number>(n).fill(0);
const attribute = (name: string, ints: readonly number[]): object => ({ name, type: 7, ints });

describe("inspect", () => {
  it("counts multiply-accumulates and parameters by node", () => {
    const bytes = onnx({
      node: [
        node("Conv", ["x", "w", "b"], ["c"], "conv", [attribute("pads", [1, 1, 1, 1])]),
        node("Flatten", ["c"], ["f"], "flat"),
        node("Gemm", ["f", "v"], ["y"], "fc"),
      ],
      initializer: [
        weights("w", [3, 2, 3, 3], zeros(54)),
        weights("b", [3], zeros(3)),
        weights("v", [75, 4], zeros(300)),
      ],
      input: [floats("x", ["batch", 2, 5, 5])],
      output: [floats("y", ["batch", 4])],
    });
    const r = inspectOnnx(bytes, "net.onnx", new Sink())!;
    expect(r).toMatchObject({
      model: "net.onnx",
      inputs: [{ name: "x", shape: [1, 2, 5, 5] }],
      outputs: [{ name: "y", shape: [1, 4] }],
    });
    expect(
      r.nodes.map((n) => [n.name, n.op_type, n.output_shape.join("x"), n.macs, n.parameters, n.supported]),
    ).toEqual([
      ["conv", "Conv", "1x3x5x5", 25 * 3 * 18, 57, true],
      ["flat", "Flatten", "1x75", 0, 0, true],
      ["fc", "Gemm", "1x4", 300, 300, true],
    ]);
    expect(r.macs).toBe(25 * 54 + 300);
    expect(r.parameters).toBe(357);
  });

  it("says of every node why it is not supported, and goes on behind it where it can", () => {
    const bytes = onnx({
      node: [
        node("Frobnicate", ["x"], ["a"], "f"),
        node("Relu", ["a"], ["b"], "behind"),
        node("Relu", ["x"], ["c"], "beside"),
        node("Softmax", ["x"], ["y"], "sm", [{ name: "axis", type: 2, i: 5 }]),
      ],
    });
    const r = inspectOnnx(bytes, "net.onnx", new Sink())!;
    const reasons = new Map(r.nodes.map((n) => [n.name, n.reason]));
    expect(reasons.get("f")).toMatch(/not supported/);
    expect(reasons.get("behind")).toMatch(/input comes from a node/);
    expect(reasons.get("beside")).toBeUndefined();
    expect(reasons.get("sm")).toMatch(/axis 5 is outside/);
  });

  it("reports a file that is no model", () => {
    const sink = new Sink();
    expect(inspectOnnx(new Uint8Array(0), "net.onnx", sink)).toBeUndefined();
    expect(sink.diagnostics[0]!.code).toBe("ON001");
  });
});
