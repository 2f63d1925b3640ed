/** What random networks found, as small as it gets. */
import { describe, expect, it } from "vitest";
import { throughHardware } from "../frontend/hardware.js";
import { floats, importValid, integers, node, onnx, run, weights } from "../frontend/support.js";

const attribute = (name: string, i: number): object => ({ name, type: 2, i });

describe("what random networks found", () => {
  it("the cosine of nothing but zeros is one", () => {
    const model = onnx({
      node: [node("Mul", ["x", "k"], ["m"]), node("Cos", ["m"], ["y"])],
      initializer: [weights("k", [1, 3], [0, 0, 0])],
      input: [floats("x", [1, 3])],
      output: [floats("y", [1, 3])],
    });
    const samples = [
      [-2, 0, 1],
      [2, 1, 0],
    ].map((s) => [Float64Array.from(s)]);
    const { accuracy, expected, simulated } = throughHardware(importValid(model, "cos.onnx"), samples, 16);
    expect(simulated).toEqual(expected.map((s) => s.map((o) => [...o])));
    expect(accuracy.outputs["y"]!.max_abs_error).toBeLessThan(0.01);
  });

  it("a constant around integers of a model keeps its value, beyond their range too", () => {
    // Codes of x are -100 to 100; the padding is clipped at the type's end, and in the other case lies between two
    // codes.
    for (const [fill, code] of [
      [9.5, 127],
      [0.2345, 23],
    ] as const) {
      const nodes = [
        node("Pad", ["x", "p", "v"], ["t"]),
        node("QuantizeLinear", ["t", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
      ];
      const initializer = [
        integers("p", [4], [0, 0, 0, 1]),
        weights("v", [], [fill]),
        weights("s", [], [0.01]),
        { name: "z", dims: [], dataType: 3, int32Data: [0] },
      ];
      const model = onnx({ node: nodes, initializer, input: [floats("x", [1, 3])], output: [floats("y", [1, 4])] });
      const samples = [
        [-1, 0.25, 1],
        [0.5, 0.125, 0],
      ].map((s) => [Float64Array.from(s)]);
      const network = importValid(model, "pad.onnx");
      const { expected, simulated, accuracy } = throughHardware(network, samples, 16);
      expect(simulated).toEqual(expected.map((s) => s.map((o) => [...o])));
      expect(run(network, new Map([["x", samples[0]![0]!]]))[0]!.data[3]).toBeCloseTo(code / 100, 6);
      expect(accuracy.outputs["y"]!.max_abs_error).toBeLessThan(1e-6);
    }
  });

  it("an offset of positions also holds for sequences of one position", () => {
    const angles = [0, 0.5, 1];
    const nodes = [
      {
        ...node("RotaryEmbedding", ["x", "p", "c", "s"], ["y"], "", [attribute("num_heads", 1)]),
        domain: "com.microsoft",
      },
    ];
    const initializer = [
      integers("p", [1], [2]),
      weights("c", [3, 1], angles.map(Math.cos)),
      weights("s", [3, 1], angles.map(Math.sin)),
    ];
    const network = importValid(
      onnx({
        node: nodes,
        initializer,
        domains: ["com.microsoft"],
        input: [floats("x", [1, 1, 2])],
        output: [floats("y", [1, 1, 2])],
      }),
      "rotary.onnx",
    );
    const [y] = run(network, new Map([["x", [3, 4]]]));
    expect([...y!.data].map((v) => Math.round(v * 1e5))).toEqual(
      [3 * Math.cos(1) - 4 * Math.sin(1), 3 * Math.sin(1) + 4 * Math.cos(1)].map((v) => Math.round(v * 1e5)),
    );
  });
});
