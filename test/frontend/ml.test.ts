/**
 * Models of ai.onnx.ml, as exporters write them and by hand, against ONNX Runtime's outputs; `fixtures/make-ml.py` made
 * the cases.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Sink } from "../../src/diagnostics/index.js";
import { importOnnx } from "../../src/frontend/import.js";
import { readArrays } from "../../src/frontend/npz.js";
import { decodeModel } from "../../src/frontend/onnx-proto.js";
import { onnxOperators } from "../../src/frontend/operators/index.js";
import { floats, importValid, maxDifference, node, onnx, refusal, run } from "./support.js";

const arrays = readArrays(readFileSync(new URL("fixtures/ml.npz", import.meta.url)), "ml.npz");
const names = [...arrays.keys()].filter((k) => k.endsWith(".model")).map((k) => k.slice(0, -".model".length));
const modelOf = (name: string): Uint8Array => Uint8Array.from(arrays.get(`${name}.model`)!.data);

describe("models equal ONNX Runtime, sample by sample", () => {
  it.each(names)("%s", (name) => {
    const module = importValid(modelOf(name), `${name}.onnx`);
    const input = (module.func.attrs["inputs"] as readonly string[])[0]!;
    const x = arrays.get(`${name}.x`)!;
    const [samples, features] = x.shape as [number, number];
    const want = [0, 1].flatMap((k) => arrays.get(`${name}.y${k}`) ?? []);
    for (let s = 0; s < samples; s++) {
      const results = run(module, new Map([[input, x.data.slice(s * features, (s + 1) * features)]]));
      expect(results).toHaveLength(want.length);
      results.forEach(({ data }, k) => {
        const width = want[k]!.data.length / samples;
        const expected = want[k]!.data.slice(s * width, (s + 1) * width);
        const size = expected.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
        expect(
          maxDifference(data, expected) / size,
          `sample ${s}, output ${k}: ${[...data].join()} for ${[...expected].join()}`,
        ).toBeLessThan(2e-5);
      });
    }
  });

  it("names of classes are said", () => {
    const sink = new Sink();
    importOnnx(modelOf("forest_names"), "forest_names.onnx", sink);
    expect(sink.diagnostics.map((d) => `${d.code} ${d.message}`)).toEqual([
      'ON027 labels leave as numbers: 0 for "setosa", 1 for "versicolor", 2 for "virginica"',
    ]);
  });

  it("every operator of the domain occurs", () => {
    const used = new Set(
      names.flatMap((n) => decodeModel(modelOf(n)).graph!.node.map((o) => `${o.domain}::${o.opType}`)),
    );
    expect(
      onnxOperators()
        .map((o) => o.opType)
        .filter((o) => o.startsWith("ai.onnx.ml::") && !used.has(o)),
    ).toEqual([]);
  });
});

describe("what cannot be meant is refused by name", () => {
  const ints = (name: string, values: readonly number[]): object => ({ name, type: 7, ints: values });
  const text = (name: string, values: readonly string[]): object => ({
    name,
    type: 8,
    strings: values.map((v) => new TextEncoder().encode(v)),
  });
  const stump = {
    nodes_treeids: [0, 0, 0],
    nodes_nodeids: [0, 1, 2],
    nodes_featureids: [0, 0, 0],
    nodes_truenodeids: [1, 0, 0],
    nodes_falsenodeids: [2, 0, 0],
    target_treeids: [0, 0],
    target_nodeids: [1, 2],
    target_ids: [0, 0],
  };
  const regressor = (
    change: Partial<typeof stump>,
    modes = ["BRANCH_LEQ", "LEAF", "LEAF"],
    more: readonly object[] = [],
    values = [0.5, 0, 0],
  ): Uint8Array =>
    onnx({
      node: [
        {
          ...node("TreeEnsembleRegressor", ["x"], ["y"], "trees", [
            ...Object.entries({ ...stump, ...change }).map(([k, v]) => ints(k, v)),
            text("nodes_modes", modes),
            { name: "nodes_values", type: 6, floats: values },
            { name: "target_weights", type: 6, floats: [1, 2] },
            ...more,
          ]),
          domain: "ai.onnx.ml",
        },
      ],
      input: [floats("x", [1, 4])],
      output: [floats("y", [1, 1])],
      domains: ["ai.onnx.ml"],
    });

  it.each([
    ["a feature that is not there", regressor({ nodes_featureids: [4, 0, 0] }), /feature 4 of 4/],
    ["a child that is not there", regressor({ nodes_truenodeids: [7, 0, 0] }), /leads to node 7/],
    ["a path without an end", regressor({ nodes_truenodeids: [0, 0, 0] }), /does not end|two roots/],
    ["two roots", regressor({ nodes_truenodeids: [2, 0, 0] }), /two roots/],
    ["an unknown mode", regressor({}, ["BRANCH_LIKE", "LEAF", "LEAF"]), /BRANCH_LIKE/],
    ["lists of different lengths", regressor({ nodes_featureids: [0] }), /nodes_featureids has 1 entries for 3 nodes/],
    ["a target that is not there", regressor({ target_ids: [0, 1] }), /target_ids holds 1/],
    [
      "an unknown aggregation",
      regressor({}, undefined, [{ name: "aggregate_function", type: 3, s: new TextEncoder().encode("MEDIAN") }]),
      /MEDIAN/,
    ],
    [
      "a transformation that is not made",
      regressor({}, undefined, [{ name: "post_transform", type: 3, s: new TextEncoder().encode("PROBIT") }]),
      /PROBIT/,
    ],
  ] as const)("%s", (_, model, message) => {
    expect(
      refusal(model)
        .map((d) => d.message)
        .join(),
    ).toMatch(message);
  });
  it("a path of thousands of comparisons", () => {
    const n = 3000;
    const chain = regressor(
      {
        nodes_treeids: new Array(2 * n + 1).fill(0),
        nodes_nodeids: Array.from({ length: 2 * n + 1 }, (_, i) => i),
        nodes_featureids: new Array(2 * n + 1).fill(0),
        nodes_truenodeids: Array.from({ length: 2 * n + 1 }, (_, i) => (i < n ? i + 1 : 0)),
        nodes_falsenodeids: Array.from({ length: 2 * n + 1 }, (_, i) => (i < n ? n + 1 + i : 0)),
        target_nodeids: [n, n + 1],
      },
      Array.from({ length: 2 * n + 1 }, (_, i) => (i < n ? "BRANCH_LEQ" : "LEAF")),
      [],
      new Array(2 * n + 1).fill(0.5),
    );
    expect(
      refusal(chain)
        .map((d) => d.message)
        .join(),
    ).toMatch(/3000 comparisons, at most 512/);
  });
  it("accepts the model that these are made from", () => {
    expect(run(importValid(regressor({}), "stump.onnx"), new Map([["x", [0.25, 0, 0, 0]]]))[0]!.data[0]).toBe(1);
  });
});

describe("trees behind a scaling ask of the features as they come", () => {
  const scaled = (offset: number, scale: number, mode: string, threshold: number): Uint8Array => {
    const list = (name: string, values: readonly number[], real = false): object =>
      real ? { name, type: 6, floats: values } : { name, type: 7, ints: values };
    const attributes = [
      list("nodes_treeids", [0, 0, 0]),
      list("nodes_nodeids", [0, 1, 2]),
      list("nodes_featureids", [0, 0, 0]),
      list("nodes_truenodeids", [1, 0, 0]),
      list("nodes_falsenodeids", [2, 0, 0]),
      list("target_treeids", [0, 0]),
      list("target_nodeids", [1, 2]),
      list("target_ids", [0, 0]),
      list("target_weights", [1, 2], true),
      list("nodes_values", [threshold, 0, 0], true),
      { name: "nodes_modes", type: 8, strings: [mode, "LEAF", "LEAF"].map((v) => new TextEncoder().encode(v)) },
    ];
    return onnx({
      node: [
        {
          ...node("Scaler", ["x"], ["s"], "scaler", [list("offset", [offset], true), list("scale", [scale], true)]),
          domain: "ai.onnx.ml",
        },
        { ...node("TreeEnsembleRegressor", ["s"], ["y"], "trees", attributes), domain: "ai.onnx.ml" },
      ],
      input: [floats("x", [1, 1])],
      output: [floats("y", [1, 1])],
      domains: ["ai.onnx.ml"],
    });
  };
  const answers: Readonly<Record<string, (v: number, t: number) => boolean>> = {
    BRANCH_LEQ: (v, t) => v <= t,
    BRANCH_LT: (v, t) => v < t,
    BRANCH_GTE: (v, t) => v >= t,
    BRANCH_GT: (v, t) => v > t,
  };

  it.each(Object.keys(answers))("%s, rising and falling, next to the threshold", (mode) => {
    for (const scale of [0.7, -1.3, 512, -0.001]) {
      const [offset, t] = [Math.fround(0.3), Math.fround(0.55)];
      const module = importValid(scaled(offset, scale, mode, t), "scaled.onnx");
      expect(module.func.body.ops.find((op) => op.name === "nn.trees")!.operand(0).def).toBeUndefined();
      const at = Math.fround(t / Math.fround(scale) + offset);
      const near = Array.from({ length: 41 }, (_, i) => Math.fround(at + (i - 20) * Math.abs(at) * 2 ** -24));
      for (const x of [...near, 0, 1e4, -1e4]) {
        const v = Math.fround(Math.fround(x - offset) * Math.fround(scale));
        expect(run(module, new Map([["x", [x]]]))[0]!.data[0], `${mode} ${scale} ${x}`).toBe(
          answers[mode]!(v, t) ? 1 : 2,
        );
      }
    }
  });
});
