/**
 * A gradient-boosted ensemble as exporters write it (TreeEnsembleRegressor), trained here on data made here: splits at
 * random quantiles of random features, leaves that take a tenth of what is left of the error. Complete trees, all
 * thresholds float32.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeNpz } from "../src/frontend/npz.js";
import { floats, node, onnx } from "../test/frontend/support.js";

const [SAMPLES, CALIBRATION, TEST] = [4000, 1000, 2000];
const RATE = 0.1;

function generator(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

export interface EnsembleSize {
  readonly trees: number;
  readonly depth: number;
  readonly features: number;
}

/** Attributes with the numbers of their types in ONNX. */
const list = (name: string, values: readonly number[], real = false): object =>
  real ? { name, type: 6, floats: values } : { name, type: 7, ints: values };

/** Writes model, calibration and test data into `dir`, and returns their paths. */
export function writeTrees(
  name: string,
  { trees, depth, features }: EnsembleSize,
  dir: string,
): { readonly model: string; readonly calib: string; readonly test: string } {
  const next = generator(20240229);
  const sample = (): Float64Array =>
    Float64Array.from({ length: features }, () => Math.fround(next() + next() + next() + next() - 2));
  const x = Array.from({ length: SAMPLES }, sample);
  const left = x.map(
    (v) =>
      Math.sin(3 * v[0]!) +
      v[1]! * v[2 % features]! +
      (v[3 % features]! > 0.2 ? 0.7 : 0) +
      0.3 * v[5 % features]! ** 2 +
      0.1 * next(),
  );
  const nodes = {
    treeids: [] as number[],
    nodeids: [] as number[],
    featureids: [] as number[],
    values: [] as number[],
    truenodeids: [] as number[],
    falsenodeids: [] as number[],
  };
  const modes: string[] = [];
  const leaves = { treeids: [] as number[], nodeids: [] as number[], ids: [] as number[], weights: [] as number[] };
  for (let tree = 0; tree < trees; tree++) {
    let count = 0;
    const grow = (members: readonly number[], levels: number): number => {
      const id = count++;
      const at = modes.push(levels === 0 ? "LEAF" : "BRANCH_LEQ") - 1;
      const feature = levels === 0 ? 0 : Math.floor(next() * features);
      for (const [k, v] of Object.entries({
        treeids: tree,
        nodeids: id,
        featureids: feature,
        values: 0,
        truenodeids: 0,
        falsenodeids: 0,
      }))
        nodes[k as keyof typeof nodes].push(v);
      if (levels === 0) {
        const mean = members.length === 0 ? 0 : members.reduce((s, m) => s + left[m]!, 0) / members.length;
        const weight = Math.fround(RATE * mean);
        for (const m of members) left[m]! -= weight;
        for (const [k, v] of Object.entries({ treeids: tree, nodeids: id, ids: 0, weights: weight }))
          leaves[k as keyof typeof leaves].push(v);
        return id;
      }
      const sorted = members.map((m) => x[m]![feature]!).sort((a, b) => a - b);
      const place = Math.floor((0.25 + 0.5 * next()) * (sorted.length - 1));
      const threshold =
        sorted.length < 2 ? Math.fround(4 * next() - 2) : Math.fround((sorted[place]! + sorted[place + 1]!) / 2);
      nodes.values[at] = threshold;
      nodes.truenodeids[at] = grow(
        members.filter((m) => x[m]![feature]! <= threshold),
        levels - 1,
      );
      nodes.falsenodeids[at] = grow(
        members.filter((m) => x[m]![feature]! > threshold),
        levels - 1,
      );
      return id;
    };
    grow(
      x.map((_, i) => i),
      depth,
    );
  }
  const attributes = [
    ...Object.entries(nodes).map(([k, v]) => list(`nodes_${k}`, v, k === "values")),
    { name: "nodes_modes", type: 8, strings: modes.map((m) => new TextEncoder().encode(m)) },
    ...Object.entries(leaves).map(([k, v]) => list(`target_${k}`, v, k === "weights")),
    { name: "n_targets", type: 2, i: 1 },
  ];
  mkdirSync(dir, { recursive: true });
  const model = join(dir, `${name}.onnx`);
  writeFileSync(
    model,
    onnx({
      node: [{ ...node("TreeEnsembleRegressor", ["x"], ["y"], "trees", attributes), domain: "ai.onnx.ml" }],
      input: [floats("x", ["batch", features])],
      output: [floats("y", ["batch", 1])],
      domains: ["ai.onnx.ml"],
    }),
  );
  const write = (part: string, samples: number): string => {
    const path = join(dir, `${name}_${part}.npz`);
    writeFileSync(
      path,
      writeNpz(
        new Map([
          [
            "x",
            {
              shape: [samples, features],
              data: Float32Array.from(Array.from({ length: samples }, () => [...sample()]).flat()),
            },
          ],
        ]),
      ),
    );
    return path;
  };
  return { model, calib: write("calib", CALIBRATION), test: write("test", TEST) };
}
