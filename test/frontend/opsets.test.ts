/**
 * Operator sets before the oldest one that is known as a whole: read as far as their operators have not changed until
 * that.
 */
import { describe, expect, it } from "vitest";
import { floats, importValid, node, onnx, refusal, run } from "./support.js";

const logic = (opset: number, ...operators: readonly string[]): Uint8Array =>
  onnx({
    opset,
    node: operators.map((o, i) =>
      node(o, [i === 0 ? "x" : `t${i}`], [i === operators.length - 1 ? "y" : `t${i + 1}`], `n${i}`),
    ),
    input: [floats("x", [1, 2], 9)],
    output: [floats("y", [1, 2], 9)],
  });

describe("operator sets before 6", () => {
  it.each([1, 5])("Not of opset %i is that of today", (opset) => {
    expect(run(importValid(logic(opset, "Not"), "not.onnx"), new Map([["x", [1, 0]]])).map((r) => [...r.data])).toEqual(
      [[0, 1]],
    );
  });

  it("with an operator that has changed since the model is refused as a whole", () => {
    expect(refusal(logic(5, "Not", "Cast")).map((d) => [d.code, d.message])).toEqual([
      ["ON002", "the model uses opset 5; opsets 6 to 28 are read"],
    ]);
  });

  it("there is no opset 0", () => {
    expect(refusal(logic(0, "Not")).map((d) => d.code)).toEqual(["ON002"]);
  });
});
