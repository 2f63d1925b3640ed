/** Functions that a model defines, and branches whose condition is constant. */
import { describe, expect, it } from "vitest";
import { floats, importValid, node, onnx, refusal, run, weights } from "./support.js";

const X = [-2, -0.5, 0, 3];
const y = (bytes: Uint8Array): number[] => [...run(importValid(bytes, "model.onnx"), new Map([["x", X]]))[0]!.data];

/** scaled(x) = relu(x * factor + 1), with `factor` from the attribute `by`. */
const scaled = (attributes: object): object => ({
  name: "scaled",
  domain: "local",
  input: ["a"],
  output: ["b"],
  node: [
    node("Constant", [], ["factor"], "", [{ name: "value_float", refAttrName: "by", type: "FLOAT" }]),
    node("Constant", [], ["one"], "", [{ name: "value_float", f: 1, type: "FLOAT" }]),
    node("Mul", ["a", "factor"], ["m"]),
    node("Add", ["m", "one"], ["s"]),
    node("Relu", ["s"], ["b"]),
  ],
  opsetImport: [{ domain: "", version: 17 }],
  ...attributes,
});
const call = (input: string, output: string, name: string, attribute: readonly object[] = []): object => ({
  ...node("scaled", [input], [output], name, attribute),
  domain: "local",
});
const by = (f: number): object => ({ name: "by", f, type: "FLOAT" });

describe("functions of the model", () => {
  it("are read for each call, with its attributes", () => {
    const bytes = onnx({
      node: [call("x", "t", "first", [by(2)]), call("t", "y", "second", [by(-0.5)])],
      domains: ["local"],
      functions: [scaled({ attribute: ["by"] })],
    });
    expect(y(bytes)).toEqual(X.map((x) => Math.max(0, -0.5 * Math.max(0, 2 * x + 1) + 1)));
  });
  it("have defaults", () => {
    const bytes = onnx({
      node: [call("x", "y", "only")],
      domains: ["local"],
      functions: [scaled({ attributeProto: [by(3)] })],
    });
    expect(y(bytes)).toEqual(X.map((x) => Math.max(0, 3 * x + 1)));
  });
  it("may call functions, but not themselves", () => {
    const outer = {
      name: "twice",
      domain: "local",
      input: ["p"],
      output: ["q"],
      node: [call("p", "h", "", [by(1)]), call("h", "q", "", [by(1)])],
      opsetImport: [
        { domain: "", version: 17 },
        { domain: "local", version: 1 },
      ],
    };
    const use = { ...node("twice", ["x"], ["y"], "use"), domain: "local" };
    expect(y(onnx({ node: [use], domains: ["local"], functions: [scaled({ attribute: ["by"] }), outer] }))).toEqual(
      X.map((x) => Math.max(0, x + 1) + 1),
    );
    const endless = { ...outer, node: [{ ...node("twice", ["p"], ["q"]), domain: "local" }] };
    expect(refusal(onnx({ node: [use], domains: ["local"], functions: [endless] }))[0]!.message).toContain(
      "calls itself",
    );
  });
  it("may give back what they get", () => {
    const same = {
      name: "same",
      domain: "local",
      input: ["a"],
      output: ["a"],
      node: [],
      opsetImport: [{ domain: "", version: 17 }],
    };
    const bytes = onnx({
      node: [{ ...node("same", ["x"], ["t"]), domain: "local" }, node("Relu", ["t"], ["y"])],
      domains: ["local"],
      functions: [same],
    });
    expect(y(bytes)).toEqual(X.map((x) => Math.max(0, x)));
  });
  it("with operators that are not known are refused with their names", () => {
    const odd = {
      name: "odd",
      domain: "local",
      input: ["a"],
      output: ["b"],
      node: [node("Unheard", ["a"], ["b"], "inner")],
      opsetImport: [{ domain: "", version: 17 }],
    };
    const [d] = refusal(
      onnx({ node: [{ ...node("odd", ["x"], ["y"], "use"), domain: "local" }], domains: ["local"], functions: [odd] }),
    );
    expect(d!.message).toContain("use/inner (Unheard)");
  });
});

describe("If", () => {
  const branch = (
    name: string,
    nodes: readonly object[],
    output: string,
    initializer: readonly object[] = [],
  ): object => ({ name, type: "GRAPH", g: { name, node: nodes, initializer, output: [floats(output, [1, 4])] } });
  const both = [
    branch("then_branch", [node("Mul", ["h", "w"], ["r"])], "r", [weights("w", [1], [4])]),
    branch("else_branch", [node("Neg", ["h"], ["r"])], "r"),
  ];
  const model = (nodes: readonly object[]): Uint8Array => onnx({ node: [node("Relu", ["x"], ["h"]), ...nodes] });
  const condition = (name: string, value: number): object =>
    node("Constant", [], [name], "", [
      { name: "value", type: "TENSOR", t: { dims: [], dataType: 9, int32Data: [value] } },
    ]);

  it("with a constant condition is the branch that it takes, which reads tensors around it", () => {
    expect(y(model([condition("c", 1), node("If", ["c"], ["y"], "choice", both)]))).toEqual(
      X.map((x) => 4 * Math.max(0, x)),
    );
    expect(y(model([condition("c", 0), node("If", ["c"], ["y"], "choice", both)])).map((v) => v + 0)).toEqual(
      X.map((x) => -Math.max(0, x) + 0),
    );
  });
  it("may be used twice with the same names inside", () => {
    const twice = model([
      condition("c", 1),
      node("If", ["c"], ["t"], "one", both),
      node("If", ["c"], ["u"], "two", both),
      node("Add", ["t", "u"], ["y"]),
    ]);
    expect(y(twice)).toEqual(X.map((x) => 8 * Math.max(0, x)));
  });
  it("may pass a tensor through", () => {
    const through = [branch("then_branch", [], "h"), branch("else_branch", [], "x")];
    expect(y(model([condition("c", 1), node("If", ["c"], ["y"], "choice", through)]))).toEqual(
      X.map((x) => Math.max(0, x)),
    );
  });
  it("with a condition from the inputs is refused", () => {
    const bytes = model([node("Greater", ["h", "x"], ["g"]), node("If", ["g"], ["y"], "choice", both)]);
    expect(refusal(bytes)[0]).toMatchObject({ code: "ON020", place: { node: "choice" } });
  });
});

describe("Loop", () => {
  const int = (name: string, value: number): object =>
    node("Constant", [], [name], "", [
      { name: "value", type: "TENSOR", t: { dims: [], dataType: 7, int64Data: [value] } },
    ]);
  const truth = (name: string, value: number): object =>
    node("Constant", [], [name], "", [
      { name: "value", type: "TENSOR", t: { dims: [], dataType: 9, int32Data: [value] } },
    ]);
  /** s -> 2 s, with another condition where it is given. */
  const body = (condition: readonly object[] = [node("Identity", ["go"], ["goes"])]): object => ({
    name: "body",
    type: "GRAPH",
    g: {
      name: "body",
      node: [node("Add", ["s", "s"], ["d"]), ...condition],
      input: [floats("i", [], 7), floats("go", [], 9), floats("s", [1, 4])],
      output: [floats("goes", [], 9), floats("d", [1, 4])],
    },
  });
  const loop = (nodes: readonly object[], count: string, b = body()): Uint8Array =>
    onnx({ node: [...nodes, node("Loop", [count, "", "x"], ["y"], "again", [b])] });

  it("without a pass is what went in", () => {
    expect(
      y(
        onnx({
          node: [int("n", 0), node("Loop", ["n", "", "x"], ["t"], "again", [body()]), node("Relu", ["t"], ["y"])],
        }),
      ),
    ).toEqual(X.map((x) => Math.max(0, x)));
    expect(
      y(
        onnx({
          node: [
            int("n", 3),
            truth("no", 0),
            node("Loop", ["n", "no", "x"], ["t"], "again", [body()]),
            node("Relu", ["t"], ["y"]),
          ],
        }),
      ),
    ).toEqual(X.map((x) => Math.max(0, x)));
  });
  it("may end in any pass whose condition is known", () => {
    expect(y(loop([int("n", 3)], "n"))).toEqual(X.map((x) => 8 * x));
    const once = body([truth("goes", 0)]);
    expect(y(loop([int("n", 3)], "n", once))).toEqual(X.map((x) => 2 * x));
  });
  it("whose passes or condition are computed is refused", () => {
    const counted = [
      node("ArgMax", ["x"], ["at"], "", [
        { name: "axis", type: "INT", i: 1 },
        { name: "keepdims", type: "INT", i: 0 },
      ]),
    ];
    expect(refusal(loop(counted, "at"))[0]).toMatchObject({ code: "ON020", place: { node: "again" } });
    expect(refusal(loop(counted, "at"))[0]!.message).toContain("number of passes");
    const until = body([
      node("ReduceMax", ["d"], ["m"], "", [{ name: "keepdims", type: "INT", i: 0 }]),
      node("Cast", ["m"], ["goes"], "", [{ name: "to", type: "INT", i: 9 }]),
    ]);
    expect(refusal(loop([int("n", 3)], "n", until))[0]!.message).toContain("condition after pass 1");
  });
  it("that never ends is refused, with the number of nodes that are allowed", () => {
    expect(refusal(loop([], ""))[0]!.message).toMatch(/20000 nodes/);
  });
});
