/**
 * Writes fixtures/random-integers.npz: random quantized networks with what ONNX Runtime, node by node, makes of random
 * inputs, for machines without it.
 *
 *   npx tsx test/quantize/make-random-integers.ts    (Python as in test/support/onnxruntime.ts)
 */
import { writeFileSync } from "node:fs";
import { decodeModel } from "../../src/frontend/onnx-proto.js";
import { writeNpz, type OutputArray } from "../../src/frontend/npz.js";
import { random } from "../backend/random-nets.js";
import { inputsOf, randomSamples } from "../support/agreement.js";
import { runOnnxRuntime } from "../support/onnxruntime.js";
import { randomQuantized } from "./random-integers.js";

/** Other seeds than those of the test. */
const FIRST_SEED = 100_001;
const NETWORKS = 60;
const SAMPLES = 4;

const arrays = new Map<string, OutputArray>();
for (let k = 0; k < NETWORKS; k++) {
  const seed = FIRST_SEED + k;
  const { bytes } = randomQuantized(random(seed), k % 4 === 3);
  const [input] = inputsOf(decodeModel(bytes));
  const samples = randomSamples([input!], SAMPLES, random(seed));
  const [results] = await runOnnxRuntime([{ model: bytes, samples }]);
  const outputs = results!.map((r) => Object.values(r)[0]!);
  const all = (parts: readonly ArrayLike<number>[]): Float64Array =>
    Float64Array.from(parts.flatMap((p) => Array.from(p)));
  arrays.set(`${k}.model`, { shape: [bytes.length], data: Int32Array.from(bytes) });
  arrays.set(`${k}.x`, { shape: [SAMPLES, ...input!.shape], data: all(samples.map((s) => s[input!.name]!.data)) });
  arrays.set(`${k}.y`, { shape: [SAMPLES, ...outputs[0]!.shape], data: all(outputs.map((o) => o.data)) });
}
writeFileSync(new URL("fixtures/random-integers.npz", import.meta.url), writeNpz(arrays));
