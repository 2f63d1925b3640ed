/**
 * Which nodes of a quantized model do not compute with its integers: as `inspect` shows it and as `compile` warns of
 * it.
 */
import { describe, expect, it } from "vitest";
import { Sink } from "../../src/diagnostics/index.js";
import { integersReport, warnOfRealNodes, withArithmetic } from "../../src/driver/integers.js";
import "../../src/driver/stages.js";
import { inspectOnnx, type InspectedNode } from "../../src/frontend/inspect.js";
import { cloneModule } from "../../src/ir/core.js";
import { PassContext } from "../../src/passes/pass-context.js";
import { PassManager } from "../../src/passes/pass-manager.js";
import { floats, importValid, node, onnx, weights } from "../frontend/support.js";

const code = (name: string, type: number, value: number): object => ({
  name,
  dims: [],
  dataType: type,
  int32Data: [value],
});
/** x -> QuantizeLinear -> DequantizeLinear -> `middle` -> QuantizeLinear -> y. */
function quantized(middle: readonly object[], to: string, type: number): Uint8Array {
  return onnx({
    opset: 21,
    node: [
      node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize"),
      node("DequantizeLinear", ["q", "s", "z"], ["d"], "dequantize"),
      ...middle,
      node("QuantizeLinear", [to, "s", "z"], ["y"], "last"),
    ],
    initializer: [
      weights("s", [], [0.05]),
      code("z", type, 7),
      { name: "k", dims: [4, 4], dataType: 3, int32Data: Array.from({ length: 16 }, (_, i) => 8 * i - 60) },
      weights("ks", [4], [0.1, 0.23714, 0.313371, 0.771731]),
      { name: "kz", dims: [4], dataType: 3, int32Data: [0, 0, 0, 0] },
      weights("half", [1, 4], [0.31, 0.123, 0.77, 0.5]),
    ],
    output: [floats("y", [1, 4], type)],
  });
}
const product = (axis: number): object[] => [
  node("DequantizeLinear", ["k", "ks", "kz"], ["w"], "weights", [{ name: "axis", type: 2, i: axis }]),
  node("MatMul", ["d", "w"], ["m"], "product"),
];

function recorded(bytes: Uint8Array): { nodes: readonly InspectedNode[]; context: PassContext; sink: Sink } {
  const sink = new Sink();
  const network = importValid(bytes, "net.onnx");
  const context = new PassContext(sink);
  new PassManager().run(cloneModule(network), "integerize", { context, sink, verifyEach: true });
  return { nodes: withArithmetic(inspectOnnx(bytes, "net.onnx", sink)!.nodes, network, context), context, sink };
}

describe("the record of integers", () => {
  it("has nothing to say of a model whose every node computes with integers", () => {
    const { nodes, context, sink } = recorded(quantized([...product(1), node("Relu", ["m"], ["r"], "relu")], "r", 3));
    expect(nodes.filter((n) => n.arithmetic === "real")).toEqual([]);
    expect(nodes.filter((n) => n.arithmetic === "integers").map((n) => n.name)).toEqual(
      expect.arrayContaining(["quantize", "product", "relu", "last"]),
    );
    expect(integersReport(context)).toEqual({ real_nodes: [], real_inputs: [] });
    warnOfRealNodes(context, sink);
    expect(sink.diagnostics).toEqual([]);
  });
  it("names the node, and why: scales that differ within a sum", () => {
    const { nodes, context, sink } = recorded(quantized(product(0), "m", 3));
    expect(nodes.find((n) => n.name === "product")).toMatchObject({
      arithmetic: "real",
      arithmetic_reason: expect.stringMatching(/weights are no integers times a scale for each output channel/),
    });
    expect(
      integersReport(context)!
        .real_nodes.filter((n) => n.cause)
        .map((n) => n.node),
    ).toEqual(["product"]);
    warnOfRealNodes(context, sink);
    expect(sink.diagnostics).toMatchObject([{ code: "QU014", severity: "warning" }]);
    expect(sink.diagnostics[0]!.message).toMatch(/product \(MatMul\): its weights/);
  });
  it("tells the cause from what reads it", () => {
    const { context } = recorded(quantized([...product(0), node("Sqrt", ["m"], ["r"], "root")], "r", 3));
    const { real_nodes } = integersReport(context)!;
    expect(real_nodes.map((n) => [n.node, n.cause])).toEqual([
      ["product", true],
      ["root", false],
    ]);
    expect(real_nodes[1]!.reason).toMatch(/product/);
  });
  it("says nothing of a network in float, even if it takes integers", () => {
    const { nodes, context } = recorded(
      onnx({
        node: [node("Cast", ["x"], ["c"], "cast", [{ name: "to", type: 2, i: 1 }]), node("Sigmoid", ["c"], ["y"], "s")],
        input: [floats("x", [1, 4], 2)],
      }),
    );
    expect(integersReport(context)).toBeUndefined();
    expect(nodes.every((n) => n.arithmetic === undefined)).toBe(true);
  });
});
