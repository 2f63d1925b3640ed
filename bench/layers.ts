/**
 * The single layers that OpenHLS was measured on (M. Levental et al., arXiv 2302.06751, table 2), as ONNX models with
 * random data: addmm, batch normalization, convolution, max pooling and softmax.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeNpz } from "../src/frontend/npz.js";
import { floats, node, onnx, weights, type GraphSpec } from "../test/frontend/support.js";

/** Numbers in [-1, 1), the same in every run. */
function numbers(count: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (state * 48271) % 2147483647;
    return Math.fround((2 * state) / 2147483647 - 1);
  });
}
const ints = (name: string, values: readonly number[]): object => ({ name, type: "INTS", ints: values });
const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

interface Layer {
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly output: readonly number[];
  readonly graph: Pick<GraphSpec, "node" | "initializer">;
}

const LAYERS: Readonly<Record<string, Layer>> = {
  addmm: {
    inputs: { a: [16, 16], b: [16, 16], c: [16, 16] },
    output: [16, 16],
    graph: { node: [node("Gemm", ["a", "b", "c"], ["y"], "addmm")] },
  },
  conv: {
    inputs: { x: [1, 1, 16, 16] },
    output: [1, 3, 14, 14],
    graph: {
      node: [node("Conv", ["x", "w", "bias"], ["y"], "conv", [ints("kernel_shape", [3, 3])])],
      initializer: [weights("w", [3, 1, 3, 3], numbers(27, 5)), weights("bias", [3], numbers(3, 6))],
    },
  },
  max_pool: {
    inputs: { x: [1, 3, 16, 16] },
    output: [1, 3, 7, 7],
    graph: {
      node: [node("MaxPool", ["x"], ["y"], "max_pool", [ints("kernel_shape", [3, 3]), ints("strides", [2, 2])])],
    },
  },
  softmax: {
    inputs: { x: [1, 3, 16, 16] },
    output: [1, 3, 16, 16],
    graph: { node: [node("Softmax", ["x"], ["y"], "softmax", [{ name: "axis", type: "INT", i: -1 }])] },
  },
  batch_norm: {
    inputs: { x: [10, 2, 3, 3] },
    output: [10, 2, 3, 3],
    graph: {
      node: [node("BatchNormalization", ["x", "scale", "offset", "mean", "variance"], ["y"], "batch_norm")],
      initializer: [
        weights("scale", [2], [0.9, 1.2]),
        weights("offset", [2], [0.1, -0.2]),
        weights("mean", [2], [0.05, -0.1]),
        weights("variance", [2], [0.8, 1.1]),
      ],
    },
  },
};

/** Samples of data. */
const SAMPLES = 24;

/** Writes model and data of a layer into `dir`, and returns their paths. */
export function writeLayer(name: string, dir: string): { readonly model: string; readonly data: string } {
  const layer = LAYERS[name]!;
  mkdirSync(dir, { recursive: true });
  const model = join(dir, `${name}.onnx`);
  writeFileSync(
    model,
    onnx({
      ...layer.graph,
      input: Object.entries(layer.inputs).map(([n, s]) => floats(n, s)),
      output: [floats("y", layer.output)],
    }),
  );
  const data = join(dir, `${name}.npz`);
  const arrays = Object.entries(layer.inputs).map(
    ([n, shape], i) =>
      [
        n,
        {
          shape: [SAMPLES * shape[0]!, ...shape.slice(1)],
          data: Float32Array.from(numbers(SAMPLES * product(shape), 17 + i)),
        },
      ] as const,
  );
  writeFileSync(data, writeNpz(new Map(arrays)));
  return { model, data };
}
