/** Models that must be refused: what is said, and where. */
import { describe, expect, it } from "vitest";
import { Sink } from "../../src/diagnostics/index.js";
import { importOnnx } from "../../src/frontend/import.js";
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
  {
    what: "NaN weight",
    model: { ...fc, initializer: [w([1, 2, 3, NaN, 5, 6, 7, 8])] },
    code: "ON011",
    says: /\[1, 1\] is NaN/,
    at: { tensor: "w" },
  },
  {
    what: "infinite weight",
    model: { ...fc, initializer: [w([1, 2, 3, 4, 5, 6, -Infinity, 8])] },
    code: "ON011",
    says: /\[3, 0\] is -Inf/,
    at: { tensor: "w" },
  },
  {
    what: "too few weights",
    model: { ...fc, initializer: [weights("w", [4, 2], [1, 2, 3])] },
    code: "ON010",
    says: /3 values for 8 elements/,
    at: { tensor: "w" },
  },
  {
    what: "no weights",
    model: { ...fc, initializer: [weights("w", [4, 2], [])] },
    code: "ON010",
    says: /no data for its 8 elements/,
    at: { tensor: "w" },
  },
  {
    what: "negative dimension",
    model: { ...fc, initializer: [weights("w", [-4, -2], finite)] },
    code: "ON010",
    says: /dimension of -4/,
    at: { tensor: "w" },
  },
  {
    what: "integer weight",
    model: { ...fc, initializer: [integers("w", [4, 2], finite)] },
    code: "ON021",
    says: /"x" is float, "w" is int64/,
    at: { node: "fc" },
  },
  {
    what: "inner dimensions differ",
    model: { ...fc, initializer: [weights("w", [3, 2], [1, 2, 3, 4, 5, 6])] },
    code: "ON020",
    says: /inner dimensions 4 and 3/,
    at: { node: "fc" },
  },
  {
    what: "inner symbolic dimension",
    model: { node: [node("Relu", ["x"], ["y"])], input: [floats("x", [1, "seq"])] },
    code: "ON005",
    says: /dimension 1 of input "x" is the symbol "seq"/,
    at: { tensor: "x" },
  },
  {
    what: "input without shape",
    model: { node: [node("Relu", ["x"], ["y"])], input: [{ name: "x", type: { tensorType: { elemType: 1 } } }] },
    code: "ON005",
    says: /"x" has no shape/,
  },
  {
    what: "text input",
    model: { node: [node("Relu", ["x"], ["y"])], input: [floats("x", [1, 4], 8)] },
    code: "ON005",
    says: /"x" holds string/,
  },
  {
    what: "huge input",
    model: { node: [node("Relu", ["x"], ["y"])], input: [floats("x", [1, 2 ** 40])] },
    code: "ON005",
    says: /1099511627776/,
  },
  {
    what: "cycle",
    model: {
      node: [node("Add", ["x", "b"], ["a"], "first"), node("Relu", ["a"], ["b"], "second")],
      output: [floats("b", [1, 4])],
    },
    code: "ON003",
    says: /cycle through "first", "second"|cycle through "second", "first"/,
  },
  {
    what: "tensor defined twice",
    model: { node: [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])] },
    code: "ON003",
    says: /"y"/,
  },
  {
    what: "input of nothing",
    model: { node: [node("Relu", ["ghost"], ["y"], "r")] },
    code: "ON003",
    says: /"ghost", which nothing produces/,
    at: { node: "r" },
  },
  {
    what: "output of nothing",
    model: { node: [node("Relu", ["x"], ["z"])] },
    code: "ON003",
    says: /output "y" is produced by nothing/,
  },
  { what: "opset", model: { node: [node("Relu", ["x"], ["y"])], opset: 5 }, code: "ON002", says: /opset 5/ },
  {
    what: "attribute of another type",
    model: { node: [node("Softmax", ["x"], ["y"], "sm", [{ name: "axis", type: 3, s: Buffer.from("1") }])] },
    code: "ON021",
    says: /axis is not an integer/,
    at: { node: "sm" },
  },
  {
    what: "attribute of a newer opset",
    model: {
      node: [
        node("SpaceToDepth", ["x"], ["y"], "sd", [
          { name: "blocksize", type: 2, i: 2 },
          { name: "mode", type: 3, s: Buffer.from("CRD") },
        ]),
      ],
      input: [floats("x", [1, 1, 4, 4])],
      output: [floats("y", [1, 4, 2, 2])],
    },
    code: "ON021",
    says: /no attribute "mode" in opset 17/,
    at: { node: "sd" },
  },
  {
    what: "attribute that no importer reads",
    model: {
      opset: 7,
      node: [node("BatchNormalization", ["x", "s", "s", "s", "s"], ["y"], "bn", [{ name: "spatial", type: 2, i: 0 }])],
      initializer: [weights("s", [4], [1, 1, 1, 1])],
    },
    code: "ON020",
    says: /attribute spatial is not supported/,
    at: { node: "bn" },
  },
  {
    what: "an operator that no hardware can stand for",
    model: {
      node: [{ ...node("DynamicQuantizeMatMul", ["x", "w", "s"], ["y"], "dq"), domain: "com.microsoft" }],
      domains: ["com.microsoft"],
      initializer: [{ name: "w", dims: [4, 1], dataType: 3, int32Data: [1, 2, 3, 4] }, weights("s", [], [0.5])],
    },
    code: "ON020",
    says: /scales from each sample/,
    at: { node: "dq" },
  },
  {
    what: "parameters that no activation takes",
    model: {
      node: [
        node("LSTM", ["x", "w", "r"], ["y"], "lstm", [
          { name: "hidden_size", type: 2, i: 1 },
          { name: "activation_alpha", type: 6, floats: [0.3] },
        ]),
      ],
      initializer: [weights("w", [1, 4, 1], [1, 1, 1, 1]), weights("r", [1, 4, 1], [1, 1, 1, 1])],
      input: [floats("x", [2, 1, 1])],
      output: [floats("y", [2, 1, 1, 1])],
    },
    code: "ON020",
    says: /attribute activation_alpha has more values than its activations/,
    at: { node: "lstm" },
  },
  {
    what: "zero point of another type than the data",
    model: {
      node: [node("DequantizeLinear", ["x", "s", "z"], ["y"], "dq")],
      input: [floats("x", [1, 4], 3)],
      initializer: [weights("s", [], [0.5]), { name: "z", dims: [], dataType: 2, int32Data: [3] }],
    },
    code: "ON021",
    says: /"x" is int8, "z" is uint8/,
    at: { node: "dq" },
  },
  {
    what: "more inputs than the schema has",
    model: { node: [node("Relu", ["x", "x"], ["y"], "r")] },
    code: "ON021",
    says: /2 inputs, of which Relu knows 1/,
    at: { node: "r" },
  },
  {
    what: "type that a newer opset takes",
    model: { node: [node("Equal", ["x", "x"], ["y"], "eq")], opset: 10 },
    code: "ON021",
    says: /input A \("x"\) is float, which Equal does not take/,
    at: { node: "eq" },
  },
  {
    what: "output_dtype against the zero point",
    model: {
      node: [node("QuantizeLinear", ["x", "s", "z"], ["y"], "q", [{ name: "output_dtype", type: 2, i: 2 }])],
      opset: 21,
      initializer: [weights("s", [], [0.5]), { name: "z", dims: [], dataType: 3, int32Data: [3] }],
    },
    code: "ON020",
    says: /output_dtype is uint8, but its zero point is int8/,
    at: { node: "q" },
  },
  {
    what: "operator of a newer opset",
    model: { node: [node("Gelu", ["x"], ["y"], "g")] },
    code: "ON021",
    says: /Gelu came with opset 20/,
    at: { node: "g" },
  },
  {
    what: "operator that was taken out",
    model: { node: [node("Upsample", ["x", "s"], ["y"], "up")], initializer: [weights("s", [2], [1, 2])] },
    code: "ON021",
    says: /Upsample was taken out of ONNX with opset 10/,
    at: { node: "up" },
  },
  {
    what: "opset of the future",
    model: { node: [node("Relu", ["x"], ["y"])], opset: 29 },
    code: "ON002",
    says: /opset 29; opsets 6 to 28/,
  },
  {
    what: "computed shape",
    model: { node: [node("Reshape", ["x", "s"], ["y"], "rs")], input: [floats("x", [1, 4]), floats("s", [2], 7)] },
    code: "ON020",
    says: /target shape \(input 1\) is computed/,
    at: { node: "rs" },
  },
  {
    what: "reshape that does not fit",
    model: { node: [node("Reshape", ["x", "s"], ["y"], "rs")], initializer: [integers("s", [2], [3, -1])] },
    code: "ON020",
    says: /4 elements do not fill \[3, -1\]/,
  },
  {
    what: "-Inf that no softmax takes away",
    model: {
      node: [node("Add", ["x", "m"], ["y"], "mask")],
      initializer: [weights("m", [1, 4], [0, -Infinity, 0, 0])],
    },
    code: "ON011",
    says: /\[0, 1\] is -Inf/,
    at: { tensor: "m" },
  },
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
    const [d, ...more] = refusal(
      onnx({
        node: [
          node("Frobnicate", ["x"], ["a"], "f1"),
          node("Relu", ["a"], ["b"]),
          { ...node("Magic", ["b"], ["y"]), domain: "com.acme" },
        ],
      }),
    );
    expect(more).toEqual([]);
    expect(d!.code).toBe("ON004");
    expect(d!.message).toMatch(/2 operators .*f1 \(Frobnicate\).*Magic_2 \(com\.acme::Magic\)/);
  });

  it("a type that a newer opset takes comes with that opset", () => {
    expect(refusal(onnx({ node: [node("Equal", ["x", "x"], ["y"], "eq")], opset: 10 }))[0]!.hint).toMatch(
      /^export with opset 11 or newer; in opset 7 it takes/,
    );
  });

  it("attributes that other inputs make idle are no obstacle", () => {
    const noop = { name: "noop_with_empty_axes", type: 2, i: 1 };
    expect(
      importValid(
        onnx({ node: [node("ReduceSum", ["x", "a"], ["y"], "sum", [noop])], initializer: [integers("a", [1], [1])] }),
        "m.onnx",
      ).func.body.ops.map((o) => o.name),
    ).toEqual(["nn.reduce", "return"]);
  });

  it("a declaration of another element type is warned of", () => {
    const sink = new Sink();
    expect(
      importOnnx(
        onnx({ node: [node("Relu", ["x"], ["y"], "r")], output: [floats("y", [1, 4], 11)] }),
        "model.onnx",
        sink,
      ),
    ).toBeDefined();
    expect(sink.diagnostics.map((d) => [d.code, d.severity, d.place.node, d.message])).toEqual([
      ["ON024", "warning", "r", '"y" is float, but the graph declares it as double'],
    ]);
  });

  it("every node with a fault is reported, what depends on it is not", () => {
    const axis = { name: "axis", type: 2, i: 9 };
    const found = refusal(
      onnx({
        node: [
          node("Softmax", ["x"], ["a"], "s1", [axis]),
          node("Relu", ["a"], ["b"], "r"),
          node("Softmax", ["x"], ["c"], "s2", [axis]),
          node("Add", ["b", "c"], ["y"], "sum"),
        ],
      }),
    );
    expect(found.map((d) => d.place.node)).toEqual(["s1", "s2"]);
  });
});

describe("domains that files leave out", () => {
  const quant = (
    domain: string | undefined,
    number: (name: string, value: number) => object = (name, value) => weights(name, [], [value]),
  ): Uint8Array => {
    const flag = (name: string, i: number): object => ({ name, type: 2, i });
    const nodes = ["a", "y"].map((y, k) => ({
      ...node("Quant", [k === 0 ? "x" : "a", "s", "z", "b"], [y], `q${k}`, [flag("signed", 1), flag("narrow", 0)]),
      ...(domain !== undefined && { domain }),
    }));
    return onnx({ node: nodes, initializer: [weights("s", [], [0.25]), number("z", 0), number("b", 6)] });
  };
  it.each([
    [undefined, "ON023", /ONNX has no operator Quant; it is read as that of qonnx\.custom_op\.general/],
    ["qonnx.custom_op.general", "ON022", /domain "qonnx\.custom_op\.general" but does not import it/],
    ["onnx.brevitas", "ON022", /domain "onnx\.brevitas" but does not import it/],
  ] as const)("%s is read, with one note", (domain, code, says) => {
    const sink = new Sink();
    expect(importOnnx(quant(domain), "model.onnx", sink)).toBeDefined();
    expect(sink.diagnostics.map((d) => [d.code, d.severity])).toEqual([[code, "note"]]);
    expect(sink.diagnostics[0]!.message).toMatch(says);
  });
  it("Quant takes a zero point and a width that are integers, as exporters of QKeras write them", () => {
    const sink = new Sink();
    expect(
      importOnnx(
        quant("finn.custom_op.general", (name, value) => ({ name, dims: [], dataType: 7, int64Data: [value] })),
        "model.onnx",
        sink,
      ),
    ).toBeDefined();
    expect(sink.diagnostics.map((d) => d.severity)).toEqual(["note"]);
  });
  it("MultiThreshold names the type of its values, as FINN's schema asks", () => {
    const steps = {
      ...node("MultiThreshold", ["x", "t"], ["y"], "steps", [
        { name: "out_dtype", type: 3, s: Buffer.from("BIPOLAR") },
        { name: "out_scale", type: 1, f: 2 },
        { name: "out_bias", type: 1, f: -1 },
      ]),
      domain: "finn.custom_op.general",
    };
    const sink = new Sink();
    expect(
      importOnnx(onnx({ node: [steps], initializer: [weights("t", [1, 1], [0.5])] }), "model.onnx", sink),
    ).toBeDefined();
    expect(sink.diagnostics.map((d) => d.severity)).toEqual(["note"]);
  });
  it("ONNX Runtime's is read, with a note", () => {
    const sink = new Sink();
    const q = { ...node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"), domain: "com.microsoft" };
    const dq = { ...node("DequantizeLinear", ["q", "s", "z"], ["y"], "dq"), domain: "com.microsoft" };
    expect(
      importOnnx(
        onnx({
          node: [q, dq],
          initializer: [weights("s", [], [0.25]), { name: "z", dims: [], dataType: 3, int32Data: [0] }],
        }),
        "model.onnx",
        sink,
      ),
    ).toBeDefined();
    expect(sink.diagnostics.map((d) => d.code)).toEqual(["ON022"]);
  });
});

describe("files that are no models", () => {
  const good = onnx({ ...fc, initializer: [w(finite)] });
  it("the undamaged file is read", () => expect(importValid(good, "m.onnx").func.body.ops.length).toBeGreaterThan(1));

  const damaged: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ["empty", new Uint8Array(0), /empty/],
    ["text", new TextEncoder().encode("<html>404</html>"), /not an ONNX model/],
    ["lone tag at the end", Uint8Array.of(...good, 0x0a), /truncated/],
    [
      "length of 2^63",
      Uint8Array.of(...good.subarray(0, 2), 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
      /length .* truncated/,
    ],
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
