/**
 * One step of the measurement of a real file, in a process of its own, so that time and memory have limits:
 *
 *   tsx bench/real-file.ts cost MODEL            multiply-accumulates, or why the file is refused
 *   tsx bench/real-file.ts float MODEL DATA      the float interpreter against ONNX Runtime
 *   tsx bench/real-file.ts fixed MODEL DATA DIR  the compiled design against ONNX Runtime (or the float interpreter), on the held-out samples
 *
 * DATA is a folder of bench/real-files-reference.py, DIR a compiled design. Prints one line of JSON.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import "../src/index.js";
import { newSession, type Session } from "../src/driver.js";
import { loadModel, loadSamples, samplesOf } from "../src/driver/compile.js";
import { UserError } from "../src/diagnostics/index.js";
import { inspectOnnx } from "../src/frontend/inspect.js";
import { readArrays } from "../src/frontend/npz.js";
import type { Module } from "../src/ir/core.js";
import { prepareNn } from "../src/ir/eval/nn-fixed.js";
import { portScale } from "../src/ir/port-scales.js";
import { parseModule } from "../src/ir/text/parser.js";
import { elementCount, type TensorType } from "../src/ir/types.js";
import { roundInputs } from "../src/passes/nn/quantize/inputs.js";
import type { Sample } from "../src/passes/nn/quantize/calibrate.js";
import type { Distance, StepResult } from "./real-file-record.js";

function distance(output: string, want: readonly ArrayLike<number>[], got: readonly ArrayLike<number>[], lastAxis: number): Distance {
  let [signal, noise, worst, largest, rows, same] = [0, 0, 0, 0, 0, 0];
  want.forEach((x, s) => {
    const y = got[s]!;
    for (let i = 0; i < x.length; i++) {
      const e = Math.abs(y[i]! - x[i]!);
      signal += x[i]! ** 2;
      noise += e * e;
      if (!(e <= worst)) worst = e;
      largest = Math.max(largest, Math.abs(x[i]!));
    }
    if (lastAxis < 3) return;
    const largestAt = (v: ArrayLike<number>, start: number): number => {
      let at = 0;
      for (let i = 1; i < lastAxis; i++) if (v[start + i]! > v[start + at]!) at = i;
      return at;
    };
    for (let r = 0; r + lastAxis <= x.length; r += lastAxis) {
      rows++;
      if (largestAt(x, r) === largestAt(y, r)) same++;
    }
  });
  const nrmse = noise === 0 ? 0 : Math.sqrt(noise / Math.max(signal, 1e-30));
  return { output, nrmse, max_error: noise === 0 ? 0 : worst / Math.max(largest, 1e-30), sqnr_db: noise === 0 ? null : 10 * Math.log10(signal / noise), ...(rows > 0 && { argmax: same / rows }) };
}

/** Expected outputs by name, a row per sample, as far as they are there, are finite, and have the shape. */
function expectedOf(data: string, names: readonly string[], counts: readonly number[], samples: number): ReadonlyMap<string, Float64Array[]> {
  const path = join(data, "expected.npz");
  const found = new Map<string, Float64Array[]>();
  if (!existsSync(path)) return found;
  const arrays = readArrays(readFileSync(path), path);
  names.forEach((name, i) => {
    const a = arrays.get(name);
    const per = counts[i]!;
    if (a === undefined || a.data.length !== per * samples || !a.data.every(Number.isFinite)) return;
    found.set(name, Array.from({ length: samples }, (_, s) => a.data.subarray(s * per, (s + 1) * per)));
  });
  return found;
}

function compareWith(float: Module, held: readonly Sample[], data: string, run: (sample: Sample) => Float64Array[], fallback: boolean): StepResult {
  const names = float.func.attrs["outputs"] as readonly string[];
  const shapes = float.func.body.terminator.operands.map((v) => (v.type as TensorType).shape);
  const expected = new Map(expectedOf(data, names, shapes.map(elementCount), held.length));
  const missing = names.filter((n) => !expected.has(n));
  let against: "onnxruntime" | "float interpreter" = "onnxruntime";
  if (expected.size === 0 && fallback) {
    against = "float interpreter";
    const reference = prepareNn(float);
    const rows = held.map((s) => reference.run(s).map((y) => y.slice()));
    names.forEach((n, o) => expected.set(n, rows.map((r) => r[o]!)));
  }
  const got = held.map((s) => run(s).map((y) => y.slice()));
  const distances = names.flatMap((n, o) => {
    const want = expected.get(n);
    return want === undefined ? [] : [distance(n, want, got.map((g) => g[o]!), shapes[o]!.at(-1) ?? 1)];
  });
  return { distances, against, ...(missing.length > 0 && against === "onnxruntime" && { note: `not compared: ${missing.join(", ")}` }) };
}

function step(args: readonly string[], session: Session): StepResult {
  const [what, model, data, dir] = args as [string, string, string, string];
  if (what === "cost") {
    loadModel(model, session);
    return { macs: inspectOnnx(readFileSync(model), model, session.sink)?.macs ?? 0 };
  }
  const float = loadModel(model, session);
  const samples = loadSamples(join(data, "held.npz"), float, session);
  const held = samplesOf(samples, samples.samples);
  if (what === "float") {
    const program = prepareNn(float);
    return compareWith(float, held, data, (s) => program.run(s), false);
  }
  const path = join(dir, "nn.hir");
  const fixed = parseModule(readFileSync(path, "utf8"), path, session.sink);
  session.sink.throwIfErrors();
  const program = prepareNn(fixed!);
  const ports = fixed!.func.body.args.map((a) => a.type);
  const scales = ports.map((_, i) => portScale(fixed!.func, "input_scales", i));
  return compareWith(float, held, data, (s) => program.run(roundInputs(s, ports, scales)).map((y, o) => y.map((v) => v * portScale(fixed!.func, "output_scales", o))), true);
}

const session = newSession();
try {
  console.log(JSON.stringify(step(process.argv.slice(2), session)));
} catch (e) {
  if (!(e instanceof UserError)) throw e;
  console.log(JSON.stringify({ refused: e.diagnostics.filter((d) => d.severity === "error").map((d) => ({ code: d.code, message: d.message, ...(d.hint !== undefined && { hint: d.hint }) })) } satisfies StepResult));
}
