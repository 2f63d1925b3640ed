import { readFileSync } from "node:fs";
import "../src/driver/passes.js";
import { Sink } from "../src/diagnostics/index.js";
import { readArrays } from "../src/frontend/npz.js";
import { PassContext } from "../src/passes/pass-context.js";
import { PassManager } from "../src/passes/pass-manager.js";
import { importValid } from "../test/frontend/support.js";
import { cloneModule } from "../src/ir/core.js";
import { prepareNn } from "../src/ir/eval/nn-fixed.js";
import { runOnnxRuntime } from "../test/support/onnxruntime.js";
const [name, passes, ns] = process.argv.slice(2);
const bytes = readFileSync(`/tmp/exp/${name}.onnx`);
const z = readArrays(readFileSync(`/work/shared/mlperf-tiny/${name}_io.npz`), name);
const [k] = [...z.keys()].filter((k) => k.startsWith("input:"));
const a = z.get(k)!; const n = Number(ns ?? 4); const size = a.data.length / a.shape[0];
const xs = Array.from({ length: n }, (_, i) => Float64Array.from(a.data.subarray(i * size, (i + 1) * size) as any));
const shape = [1, ...a.shape.slice(1)];
const m0 = importValid(bytes, "m.onnx");
const names = m0.func.attrs["outputs"] as string[];
for (const [opt, int8] of [[true, true], [true, false], [false, false]]) {
  const [want] = await runOnnxRuntime([{ model: bytes, optimize: opt, int8, samples: xs.map((data) => ({ [k.slice(6)]: { type: "int8", shape, data } })) }]);
  const sink = new Sink();
  const m = new PassManager().run(cloneModule(m0), passes ?? "", { context: new PassContext(sink), sink, verifyEach: true }).module;
  const prog = prepareNn(m);
  const bad = names.map(() => 0), most = names.map(() => 0), all = names.map(() => 0);
  xs.forEach((x, i) => prog.run([x]).forEach((y, o) => { const w = want![i]![names[o]!]!.data; y.forEach((v, j) => { all[o]!++; const d = Math.abs(v - w[j]!); if (d > 0.25) bad[o]!++; most[o] = Math.max(most[o]!, d); }); }));
  console.log("ort", { opt, int8 });
  names.forEach((nm, o) => console.log("  ", nm.slice(-50), bad[o], "of", all[o], most[o]));
}
