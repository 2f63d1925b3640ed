/** Data beside a model, laid out like ONNX's backend tests: test_data_set_*\/{input,output}_*.pb. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { decodeModel, decodeTensor } from "../src/frontend/onnx-proto.js";
import { readTensor, type ConstTensor } from "../src/frontend/tensor-data.js";

function readPb(file: string): ConstTensor {
  return readTensor(decodeTensor(readFileSync(file)), basename(file), file);
}

/** Data sets in order: inputs by the name of the model's graph input, outputs by position. */
export function dataSets(dir: string): { inputs: Map<string, ConstTensor>; outputs: ConstTensor[] }[] {
  const graph = decodeModel(readFileSync(join(dir, "model.onnx"))).graph!;
  const initialized = new Set(graph.initializer.map((t) => t.name));
  const all = graph.input.map((i) => i.name);
  const fed = all.filter((n) => !initialized.has(n));
  return readdirSync(dir)
    .filter((d) => d.startsWith("test_data_set_"))
    .sort()
    .map((d) => {
      const numbers = (kind: string): number[] =>
        readdirSync(join(dir, d))
          .filter((f) => f.startsWith(`${kind}_`) && f.endsWith(".pb"))
          .map((f) => Number(/(\d+)\.pb$/.exec(f)![1]))
          .sort((a, b) => a - b);
      const ins = numbers("input");
      const names = ins.length > fed.length ? all : fed;
      return {
        inputs: new Map(ins.map((i) => [names[i] ?? `input ${i}`, readPb(join(dir, d, `input_${i}.pb`))])),
        outputs: numbers("output").map((i) => readPb(join(dir, d, `output_${i}.pb`))),
      };
    });
}
