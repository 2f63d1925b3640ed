/** Models that must be refused: what is said, and where. */
import { describe, expect, it } from "vitest";
import { floats, importValid, integers, node, onnx, refusal, weights, type GraphSpec } from "./support.js";

const fc = { node: [node("Gemm", ["x", "w"], ["y"], "fc")], output: [floats("y", [1, 2])] };
const w = (data: readonly number[]): object => weights("w", [4, 2], data);
const finite = [1, 2, 3, 4, 5, 6, 7, 8];

interface Case {
  readonly what: string;
  readonly model: GraphSpec;
  readonly code: string;
  readonly says: RegExp;
  readonly at?: { readonly node?: string; readonly tensor?: string };
}

const cases: readonly Case[] = [
  { what: "NaN weight", model: { ...fc, initializer: [w([1, 2, 3, NaN, 5, 6, 7, 8])] }, code: "ON011", says: /\[1, 1\] is NaN/, at: { tensor: "w" } },
  { what: "infinite weight", model: { ...fc, initializer: [w([1, 2, 3, 4, 5, 6, -Infinity, 8])] }, code: "ON011", says: /\[3, 0\] is -Inf/, at: { tensor: "w" } },
  { what: "too few weights", model: { ...fc, initializer: [weights("w", [4, 2], [1, 2, 3])] }, code: "ON010", says: /3 values for 8 elements/, at: { tensor: "w" } },
  { what: "no weights", model: { ...fc, initializer: [weights("w", [4, 2], [])] }, code: "ON010", says: /no data for its 8 elements/, at: { tensor: "w" } },
  { what: "negative dimension", model: { ...fc, initializer: [weights("w", [-4, -2], finite)] }, code: "ON010", says: /dimension of -4/, at: { tensor: "w" } },
  { what: "integer weight", model: { ...fc, initializer: [integers("w", [4, 2], finite)] }, code: "ON020", says: /"x" is float, "w" is int64/, at: { node: "fc" } },
  { what: "inner dimensions differ", model: { ...fc, initializer: [weights("w", [3, 2], [1, 2, 3, 4, 5, 6])] }, code: "ON020", says: /inner dimensions 4 and 3/, at: { node: "fc" } },
  { what: "inner symbolic dimension", model: { node: [node("Relu", ["x"], ["y"])], input: [floats("x", [1, "seq"])] }, code: "ON005", says: /dimension 1 of input "x" is the symbol "seq"/, at: { tensor: "x" } },
  { what: "input without shape", model: { node: [node("Relu", ["x"], ["y"])], input: [{ name: "x", type: { tensorType: { elemType: 1 } } }] }, code: "ON005", says: /"x" has no shape/ },
  { what: "text input", model: { node: [node("Relu", ["x"], ["y"])], input: [floats("x", [1, 4], 8)] }, code: "ON005", says: /"x" holds string/ },
  { what: "huge input", model: { node: [node("Relu", ["x"], ["y"])], input: [floats("x", [1, 2 ** 40])] }, code: "ON005", says: /1099511627776/ },
  { what: "cycle", model: { node: [node("Add", ["x", "b"], ["a"], "first"), node("Relu", ["a"], ["b"], "second")], output: [floats("b", [1, 4])] }, code: "ON003", says: /cycle through "first", "second"|cycle through "second", "first"/ },
  { what: "tensor defined twice", model: { node: [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])] }, code: "ON003", says: /"y"/ },
  { what: "input of nothing", model: { node: [node("Relu", ["ghost"], ["y"], "r")] }, code: "ON003", says: /"ghost", which nothing produces/, at: { node: "r" } },
  { what: "output of nothing", model: { node: [node("Relu", ["x"], ["z"])] }, code: "ON003", says: /output "y" is produced by nothing/ },
  { what: "constant output", model: { node: [node("Relu", ["x"], ["z"]), node("Shape", ["x"], ["y"])] }, code: "ON003", says: /"y" does not depend on any input/ },
  { what: "opset", model: { node: [node("Relu", ["x"], ["y"])], opset: 5 }, code: "ON002", says: /opset 5/ },
  { what: "attribute of another type", model: { node: [node("Softmax", ["x"], ["y"], "sm", [{ name: "axis", type: 3, s: Buffer.from("1") }])] }, code: "ON020", says: /axis is not an integer/, at: { node: "sm" } },
  { what: "computed shape", model: { node: [node("Reshape", ["x", "x"], ["y"], "rs")] }, code: "ON020", says: /target shape \(input 1\) is computed/, at: { node: "rs" } },
  { what: "reshape that does not fit", model: { node: [node("Reshape", ["x", "s"], ["y"], "rs")], initializer: [integers("s", [2], [3, -1])] }, code: "ON020", says: /4 elements do not fill \[3, -1\]/ },
  { what: "-Inf that no softmax takes away", model: { node: [node("Add", ["x", "m"], ["y"], "mask")], initializer: [weights("m", [1, 4], [0, -Infinity, 0, 0])] }, code: "ON011", says: /\[0, 1\] is -Inf/, at: { tensor: "m" } },
];

describe("refused models", () => {
  it.each(cases)("$what", ({ model, code, says, at }) => {
    const found = refusal(onnx(model));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ code, severity: "error", place: { file: "model.onnx", ...at } });
    expect(found[0]!.message).toMatch(says);
    expect(found[0]!.hint).not.toBe("");
  });

  it("unknown operators are listed all at once, unnamed ones by position", () => {
    const [d, ...more] = refusal(onnx({ node: [node("Frobnicate", ["x"], ["a"], "f1"), node("Relu", ["a"], ["b"]), { ...node("Magic", ["b"], ["y"]), domain: "com.acme" }] }));
    expect(more).toEqual([]);
    expect(d!.code).toBe("ON004");
    expect(d!.message).toMatch(/2 operators .*f1 \(Frobnicate\).*Magic_2 \(com\.acme::Magic\)/);
  });

  it("every node with a fault is reported, what depends on it is not", () => {
    const axis = { name: "axis", type: 2, i: 9 };
    const found = refusal(onnx({ node: [node("Softmax", ["x"], ["a"], "s1", [axis]), node("Relu", ["a"], ["b"], "r"), node("Softmax", ["x"], ["c"], "s2", [axis]), node("Add", ["b", "c"], ["y"], "sum")] }));
    expect(found.map((d) => d.place.node)).toEqual(["s1", "s2"]);
  });
});

describe("files that are no models", () => {
  const good = onnx({ ...fc, initializer: [w(finite)] });
  it("the undamaged file is read", () => expect(importValid(good, "m.onnx").func.body.ops.length).toBeGreaterThan(1));

  const damaged: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ["empty", new Uint8Array(0), /empty/],
    ["text", new TextEncoder().encode("<html>404</html>"), /not an ONNX model/],
    ["lone tag at the end", Uint8Array.of(...good, 0x0a), /truncated/],
    ["length of 2^63", Uint8Array.of(...good.subarray(0, 2), 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), /length .* truncated/],
    ["varint of 11 bytes", Uint8Array.of(0x08, ...new Array<number>(10).fill(0x80), 1), /varint/],
    ["wire type 7", Uint8Array.of(...good, 0x0f), /wire type 7/],
    ["no graph", Uint8Array.of(0x08, 0x08), /no graph/],
  ];
  it.each(damaged)("%s", (_, bytes, says) => {
    const found = refusal(bytes);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ code: "ON001", place: { file: "model.onnx" } });
    expect(found[0]!.message).toMatch(says);
  });

  it("truncation anywhere gives a message and no exception", () => {
    for (let n = 1; n < good.length; n++) expect(refusal(good.subarray(0, n)).length).toBeGreaterThan(0);
  });
  it("a flipped byte gives a message or a model, and no exception", () => {
    for (let i = 0; i < good.length; i++) {
      const bytes = good.slice();
      bytes[i]! ^= 0xff;
      let found: readonly unknown[] = [];
      try {
        found = refusal(bytes);
      } catch (e) {
        expect((e as Error).message).toBe("model.onnx was accepted");
        continue;
      }
      expect(found.length).toBeGreaterThan(0);
    }
  });
});
