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
const [file, passes] = process.argv.slice(2);
const bytes = readFileSync(file);
const z = readArrays(readFileSync(file.replace(".onnx","_io.npz")), file);
const [k] = [...z.keys()].filter((k) => k.startsWith("input:"));
const a = z.get(k)!; const n = 8; const size = a.data.length / a.shape[0];
const xs = Array.from({ length: n }, (_, i) => Float64Array.from(a.data.subarray(i * size, (i + 1) * size) as any));
const shape = [1, ...a.shape.slice(1)];
const m0 = importValid(bytes, "m.onnx");
for (const opt of [true, false]) {
  const [want] = await runOnnxRuntime([{ model: bytes, optimize: opt, samples: xs.map((data) => ({ [k.slice(6)]: { type: "int8", shape, data } })) }]);
  for (const p of ["", "integerize,dce", "integerize,fold-constants,canonicalize,cse,dce,fold-scales,lower-average,decompose-softmax,canonicalize,dce"]) {
    const sink = new Sink();
    const m = new PassManager().run(cloneModule(m0), p, { context: new PassContext(sink), sink, verifyEach: true }).module;
    const prog = prepareNn(m);
    let bad = 0, most = 0, all = 0;
    xs.forEach((x, i) => { const y = prog.run([x])[0]!; const w = Object.values(want![i]!)[0]!.data; y.forEach((v, j) => { all++; const d = Math.abs(v - w[j]!); if (d > 0.25) bad++; most = Math.max(most, d); }); });
    console.log(opt ? "ort default" : "ort unoptimized", p.slice(0, 30), bad, "of", all, most);
  }
}
