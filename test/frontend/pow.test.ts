/** Exponents as exporters write them. */
import { describe, expect, it } from "vitest";
import { prepareNn } from "../../src/ir/eval/nn-fixed.js";
import { floats, importValid, node, onnx, weights } from "./support.js";

const power = (p: number): Uint8Array =>
  onnx({
    input: [floats("x", [1, 3])],
    output: [floats("y", [1, 3])],
    initializer: [weights("p", [], [p])],
    node: [node("Pow", ["x", "p"], ["y"], "/Pow")],
  });

describe("Pow", () => {
  it.each([0.5, 0.4999997615814209, 0.499, -0.5, 2, 2.0000002384185791, -1])("to %d", (p) => {
    const x = [0.25, 3, 17];
    const [y] = prepareNn(importValid(power(p), "pow.onnx")).run([x]);
    // Against the exponent as it is written: single precision has some 7 digits.
    x.forEach((v, i) => expect(Math.abs(y![i]! / v ** p - 1)).toBeLessThan(3e-6));
  });
  it("another fraction is no half", () => {
    const functions = importValid(power(0.499), "pow.onnx")
      .func.body.ops.filter((op) => op.name === "nn.unary")
      .map((op) => op.attrs["fn"]);
    expect(functions).toEqual([expect.stringMatching(/^pow:0\.499/)]);
  });
});
