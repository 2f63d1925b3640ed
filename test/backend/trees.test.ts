/** Ensembles of trees as hardware: random ones at random intervals, and exporters' models against ONNX Runtime. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readArrays } from "../../src/frontend/npz.js";
import { Block, Builder, Module, Op } from "../../src/ir/core.js";
import { Dense } from "../../src/ir/attributes.js";
import { ensembleAttrs } from "../../src/ir/trees.js";
import { f32, tensor } from "../../src/ir/types.js";
import { importValid } from "../frontend/support.js";
import { throughHardware, type HardwareRun } from "../frontend/hardware.js";
import { random } from "./random-nets.js";

/** A network of one ensemble: trees of uneven depth, of all relations, with thresholds that samples meet exactly. */
function randomEnsemble(seed: number, split = false): { module: Module; samples: Float64Array[][] } {
  const rnd = random(seed);
  const int = (lo: number, hi: number): number => lo + Math.floor(rnd() * (hi - lo + 1));
  const [features, outputs, trees, depth] = [int(1, 9), int(1, 3), int(1, 11), int(1, 5)];
  const aggregate = (["add", "add", "min", "max"] as const)[int(0, 3)]!;
  const step = 2 ** -int(0, 3);
  const relations = [[0], [0, 1], [0, 1, 2]][int(0, 2)]!;
  const lists = {
    feature: [] as number[],
    threshold: [] as number[],
    relation: [] as number[],
    onTrue: [] as number[],
    onFalse: [] as number[],
    roots: [] as number[],
  };
  const leaves: number[] = [];
  const grow = (d: number): number => {
    if (d === 0 || rnd() < 0.15) {
      for (let c = 0; c < outputs; c++) leaves.push(rnd() < 0.3 ? 0 : Math.fround(2 * rnd() - 1));
      return -leaves.length / outputs;
    }
    const at = lists.feature.push(int(0, features - 1)) - 1;
    lists.threshold.push(int(-6, 6) * step);
    lists.relation.push(relations[int(0, relations.length - 1)]!);
    lists.onTrue.push(0);
    lists.onFalse.push(0);
    lists.onTrue[at] = grow(d - 1);
    lists.onFalse[at] = grow(d - 1);
    return at;
  };
  for (let t = 0; t < trees; t++) lists.roots.push(grow(depth));
  const module = new Module(`trees${seed}`);
  const block = new Block();
  const b = new Builder(block, undefined, { nodes: ["ensemble"] });
  const rows = rnd() < 0.25 ? 2 : 1;
  // In two inputs, of different size, in another order.
  const first = split ? Math.ceil(features / 2) : features;
  const args = (split && first < features ? [first, features - first] : [features]).map((n, i) =>
    block.addArg(tensor([rows, n], f32), `x${i}`),
  );
  const order = Array.from({ length: features }, (_, i) => features - 1 - i);
  const whole =
    args.length === 1 ? args[0]! : b.value("nn.concat", args, tensor([rows, features], f32), { axis: 1 }, "whole");
  const x = split
    ? b.value("nn.gather", [whole], tensor([rows, features], f32), { axis: 1, indices: order }, "picked")
    : whole;
  const values = new Dense([leaves.length / outputs, outputs], f32, Float64Array.from(leaves));
  const y = b.value(
    "nn.trees",
    [x],
    tensor([rows, outputs], f32),
    { trees: ensembleAttrs({ ...lists, aggregate }, values) },
    "y",
  );
  b.create("return", [y], []);
  module.body.append(
    new Op({
      name: "func",
      attrs: { sym: module.name, inputs: args.map((a) => a.hint!), outputs: ["y"] },
      regions: [block],
    }),
  );
  const exact = rnd() < 0.5;
  const part = (n: number, far: number): Float64Array =>
    Float64Array.from(
      { length: rows * n },
      () => far * (exact ? int(-8, 8) * step : Math.fround((16 * rnd() - 8) * step)),
    );
  return {
    module,
    samples: Array.from({ length: 20 }, () =>
      args.length === 1 ? [part(features, 1)] : [part(first, 1), part(features - first, 8)],
    ),
  };
}

function expectExact(r: HardwareRun): void {
  expect(r.simulated).toEqual(r.expected.map((o) => o.map((d) => [...d])));
  expect(r.measured).toEqual(r.predicted);
}

describe("random ensembles are exact and on time", () => {
  const cases = Array.from(
    { length: 24 },
    (_, i) =>
      [
        i + 1,
        [1, 2, 5, 1000][i % 4]!,
        i % 6 === 5 ? "device=lfe5um5g-85f,clock=100" : "device=xcu280,clock=250",
      ] as const,
  );
  it.each(cases)("seed %i at an interval of %i", (seed, ii, target) => {
    const { module, samples } = randomEnsemble(seed);
    const r = throughHardware(module, samples, ii, { target });
    expectExact(r);
    // No decision differs from the float network's: what is left is the rounding of values.
    for (const { max_abs_error } of Object.values(r.accuracy.outputs)) expect(max_abs_error).toBeLessThan(2 ** -13);
  });
});

describe("features that are put together first", () => {
  it.each([101, 102, 103, 104, 105, 106])("seed %i", (seed) => {
    const { module, samples } = randomEnsemble(seed, true);
    const r = throughHardware(module, samples, 2);
    expectExact(r);
    for (const { max_abs_error } of Object.values(r.accuracy.outputs)) expect(max_abs_error).toBeLessThan(2 ** -13);
  });
});

const arrays = readArrays(readFileSync(new URL("../frontend/fixtures/ml.npz", import.meta.url)), "ml.npz");

describe("exporters' models equal ONNX Runtime as hardware", () => {
  const tolerance = 1e-3;
  it.each([
    ["forest_regressor", 1],
    ["forest_two_targets", 3],
    ["boosting_regressor", 1000],
    ["lightgbm_regressor", 1],
    ["xgboost_regressor", 4],
    ["modes", 1],
    ["aggregate_min_3", 2],
    ["ensemble_member", 1],
    ["forest", 1],
    ["forest_two_classes", 1],
    ["forest_labels", 6],
    ["tree", 1],
    ["two_none_1_positive", 1],
    ["scaled_forest_regressor", 1],
  ] as const)("%s at an interval of %i", (name, ii) => {
    const module = importValid(Uint8Array.from(arrays.get(`${name}.model`)!.data), `${name}.onnx`);
    const x = arrays.get(`${name}.x`)!;
    const [samples, features] = x.shape as [number, number];
    const r = throughHardware(
      module,
      Array.from({ length: samples }, (_, s) => [Float64Array.from(x.data.slice(s * features, (s + 1) * features))]),
      ii,
    );
    expectExact(r);
    const names = module.func.attrs["outputs"] as readonly string[];
    names.forEach((output, k) => {
      const want = arrays.get(`${name}.y${k}`)!.data;
      const size = want.reduce((m: number, v: number) => Math.max(m, Math.abs(v)), 0);
      const { max_abs_error } = r.accuracy.outputs[output]!;
      expect(max_abs_error / size, output).toBeLessThan(names.length === 2 && k === 0 ? 1e-9 : tolerance);
    });
  });
});
