/** Inputs whose values are stated: constants of the model, which decide branches and lengths. */
import { describe, expect, it } from "vitest";
import { Sink, type Diagnostic } from "../../src/diagnostics/index.js";
import { importOnnx } from "../../src/frontend/import.js";
import type { GivenShapes } from "../../src/frontend/shapes.js";
import type { Module } from "../../src/ir/core.js";
import { assertValid } from "../../src/ir/verify.js";
import { floats, node, onnx, run, weights } from "./support.js";

function read(bytes: Uint8Array, given: GivenShapes): { module: Module | undefined; said: readonly Diagnostic[] } {
  const sink = new Sink();
  const module = importOnnx(bytes, "model.onnx", sink, given);
  if (module !== undefined) assertValid(module, "the import");
  return { module, said: sink.diagnostics };
}
const [FLOAT, INT64, BOOL] = [1, 7, 9];
const x = [1, -2, 3, -4];
const values = (module: Module | undefined): number[] => [...run(module!, new Map([["x", x]]))[0]!.data];

/** Twice the input where a rate is 16000, its opposite elsewhere. */
const branch = (op: string, ...more: string[]): object => ({
  g: {
    name: op,
    node: [node(op, ["x", ...more], ["b"])],
    output: [floats("b", [1, 4])],
  },
});
const rated = onnx({
  input: [floats("x", [1, 4]), floats("rate", [], INT64)],
  initializer: [{ name: "wide", dims: [], dataType: INT64, int64Data: [16000] }, weights("two", [], [2])],
  node: [
    node("Equal", ["rate", "wide"], ["is"]),
    node("If", ["is"], ["y"], "which", [
      { name: "then_branch", type: 5, ...branch("Mul", "two") },
      { name: "else_branch", type: 5, ...branch("Neg") },
    ]),
  ],
});
const given = (name: string, ...data: number[]): GivenShapes => ({ bind: { [name]: { data } } });

describe("a value that is stated for an input", () => {
  it("decides a branch, and is no port", () => {
    const wide = read(rated, given("rate", 16000));
    expect(wide.module!.func.attrs["inputs"]).toEqual(["x"]);
    expect(values(wide.module)).toEqual(x.map((v) => 2 * v));
    expect(values(read(rated, given("rate", 8000)).module)).toEqual(x.map((v) => -v));
  });

  it("is what the refusal says to state", () => {
    const { said } = read(rated, {});
    expect(said[0]).toMatchObject({ code: "ON020", place: { node: "which" } });
    expect(said[0]!.hint).toMatch(/the input that it follows from.*--bind rate=VALUE/);
  });

  it("is one number for all elements, as many as there are, or an array that says the open dimensions", () => {
    const sum = onnx({
      input: [floats("x", [1, 4]), floats("t", ["n", "m"])],
      node: [
        node("ReduceSum", ["t"], ["s"], "", [{ name: "keepdims", type: 2, i: 0 }]),
        node("Add", ["x", "s"], ["y"]),
      ],
    });
    const added = (bind: GivenShapes["bind"], shapes?: GivenShapes["shapes"]): number =>
      values(read(sum, { bind: bind!, ...(shapes !== undefined && { shapes }) }).module)[0]! - x[0]!;
    expect(added({ t: { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] } })).toBe(21);
    expect(added({ t: { data: [0.5] } }, { t: [2, 3] })).toBe(3);
    expect(added({ t: { data: [1, 2, 3, 4] } }, { t: [2, 2] })).toBe(10);
  });

  it("leaves a batch of the file to be stated", () => {
    const batched = onnx({
      input: [floats("x", [8, 4]), floats("gain", [4])],
      output: [floats("y", [8, 4])],
      node: [node("Mul", ["x", "gain"], ["y"])],
    });
    const { module } = read(batched, { ...given("gain", 1, 2, 3, 4), shapes: { x: [1, 4] } });
    expect(values(module)).toEqual([1, -4, 9, -16]);
  });

  it.each<[string, number, readonly number[], GivenShapes, RegExp]>([
    ["another input", FLOAT, [], given("rat", 1), /"rat", but the model has no such input.*did you mean rate/],
    ["too many numbers", FLOAT, [3], given("rate", 1, 2), /has 2 elements; the input is 3/],
    ["an array of another shape", FLOAT, [3], { bind: { rate: { shape: [1, 3], data: [1, 2, 3] } } }, /dimensions/],
    ["a fraction for integers", INT64, [], given("rate", 0.5), /is 0\.5; the input holds int64 values.*whole numbers/],
    ["2 for a truth value", BOOL, [], given("rate", 2), /is 2; the input holds bool values.*from 0 to 1/],
    ["no number", FLOAT, [], given("rate", NaN), /is NaN/],
    [
      "all inputs",
      FLOAT,
      [],
      { bind: { x: { data: [1] }, rate: { data: [1] } } },
      /no input whose value is not stated/,
    ],
  ])("is refused: %s", (_, type, shape, stated, says) => {
    const model = onnx({
      input: [floats("x", [1, 4]), floats("rate", shape, type)],
      node: [node("Cast", ["rate"], ["r"], "", [{ name: "to", type: 2, i: 1 }]), node("Relu", ["x"], ["y"])],
    });
    const { module, said } = read(model, stated);
    expect([module, said.length]).toEqual([undefined, 1]);
    expect(`${said[0]!.message} (${said[0]!.hint})`).toMatch(says);
  });
});
