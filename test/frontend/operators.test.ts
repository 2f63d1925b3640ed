/** Every operator against ONNX Runtime's outputs; `fixtures/make-operators.py` made the cases. */
import { describe, expect, it } from "vitest";
import { decodeModel } from "../../src/frontend/onnx-proto.js";
import { onnxOperators, registerOnnxOp } from "../../src/frontend/operators/index.js";
import { known } from "../../src/frontend/context.js";
import { arrays, modelOf, names } from "./operator-cases.js";
import { importValid, integers, maxDifference, node, onnx, run } from "./support.js";

describe("operators equal ONNX Runtime", () => {
  it.each(names)("%s", (name) => {
    const module = importValid(modelOf(name), `${name}.onnx`);
    const [y] = run(module, new Map([["x", arrays.get(`${name}.x`)!.data]]));
    const want = arrays.get(`${name}.y`)!;
    expect(y!.shape).toEqual(want.shape);
    expect(maxDifference(y!.data, want.data)).toBeLessThan(1e-5);
  });

  it("every operation names its ONNX node, every value its tensor", () => {
    for (const name of names) {
      const module = importValid(modelOf(name), `${name}.onnx`);
      for (const op of module.func.body.ops) {
        if (op.name === "return") continue;
        expect(op.loc.nodes).toHaveLength(1);
        expect(op.loc.opType).toBeDefined();
        expect(op.result.hint).toBeDefined();
      }
    }
  });

  it("has a case for every operator that computes", () => {
    const onlyOnConstants = new Set(
      onnxOperators()
        .filter(
          (o) =>
            o.limits === "on constants" || o.limits === "size constant" || o.limits?.startsWith("refused") === true,
        )
        .map((o) => o.opType),
    );
    const used = new Set(names.flatMap((name) => decodeModel(modelOf(name)).graph!.node.map((n) => n.opType)));
    // Constants need no case of their own; Upsample is Resize under its old name; ONNX Runtime has no Swish yet.
    const exempt = new Set([
      "DynamicQuantizeLinear",
      "Swish",
      "Constant",
      "ConstantOfShape",
      "Range",
      "Size",
      "Upsample",
    ]);
    const missing = onnxOperators()
      .map((o) => o.opType)
      .filter((o) => !used.has(o) && !onlyOnConstants.has(o) && !exempt.has(o) && !o.includes("::"));
    expect(missing).toEqual([]);
  });
});

describe("shape arithmetic leaves nothing behind", () => {
  it.each(["reshape_by_shape", "reshape_zero", "reshape_computed"])("%s is one reshape", (name) => {
    const ops = importValid(modelOf(name), `${name}.onnx`).func.body.ops.map((op) => op.name);
    expect(ops).toEqual(["nn.reshape", "return"]);
  });
  it("a symbolic batch is one sample", () => {
    const module = importValid(modelOf("reshape_by_shape"), "m.onnx");
    expect(module.func.body.args[0]!.type).toMatchObject({ shape: [1, 2, 3] });
  });
});

describe("operators of a program", () => {
  it("are registered under their domain", () => {
    registerOnnxOp({
      opType: "com.example::Twice",
      import: (ctx) => ctx.emit("nn.add", [ctx.value(0), ctx.value(0)], ctx.shape(0)),
    });
    const twice = { ...node("Twice", ["x"], ["y"], "t"), domain: "com.example" };
    const bytes = onnx({ node: [twice] });
    expect(() => importValid(bytes, "m.onnx")).toThrow(/com\.example/); // the model must import the domain
    const [y] = run(
      importValid(onnx({ node: [twice], domains: ["com.example"] }), "m.onnx"),
      new Map([["x", [1, 2, 3, 4]]]),
    );
    expect([...y!.data]).toEqual([2, 4, 6, 8]);
    expect(() => registerOnnxOp({ opType: "Relu", import: () => known([], [0], false) })).toThrow(/registered twice/);
  });
  it("see constants as numbers", () => {
    const [y] = run(
      importValid(
        onnx({ node: [node("Reshape", ["x", "s"], ["y"])], initializer: [integers("s", [2], [2, 2])] }),
        "m.onnx",
      ),
      new Map([["x", [1, 2, 3, 4]]]),
    );
    expect(y!.shape).toEqual([2, 2]);
  });
});
