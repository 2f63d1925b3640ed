/**
 * Whole networks and public test suites, where they lie beside the checkout (`../shared`, or ONNX_HLS_SHARED): exports
 * by both PyTorch exporters against recorded outputs, ONNX's backend tests, and a collection of hostile files.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { renderDiagnostic, Sink } from "../../src/diagnostics/index.js";
import { importOnnx } from "../../src/frontend/import.js";
import { readArrays } from "../../src/frontend/npz.js";
import { decodeModel, decodeTensor } from "../../src/frontend/onnx-proto.js";
import { lookupOnnxOp } from "../../src/frontend/operators/index.js";
import { readTensor, type ConstTensor } from "../../src/frontend/tensor-data.js";
import { importValid, maxDifference, run } from "./support.js";

const shared = process.env["ONNX_HLS_SHARED"] ?? fileURLToPath(new URL("../../../shared", import.meta.url));
const read = (...path: string[]): Uint8Array => readFileSync(join(...path));
const manifest = <T>(folder: string): T => JSON.parse(new TextDecoder().decode(read(folder, "manifest.json"))) as T;

const models = join(shared, "models");
const exportsOf = (folder: string): string[] =>
  readdirSync(join(models, folder)).filter((f) => f.endsWith(".onnx") && !f.includes("qdq"));
const networks = existsSync(models)
  ? readdirSync(models)
      .filter((d) => existsSync(join(models, d, "test.npz")))
      .flatMap((d) => exportsOf(d).map((f) => `${d}/${f}`))
  : [];

describe.skipIf(networks.length === 0)(
  "networks as PyTorch exports them equal the recorded outputs (skipped without ../shared/models)",
  () => {
    it.each(networks)("%s", (path) => {
      const module = importValid(read(models, path), join(models, path));
      const arrays = readArrays(read(models, path, "..", "test.npz"), "test.npz");
      const inputs = module.func.attrs["inputs"] as readonly string[];
      const outputs = module.func.attrs["outputs"] as readonly string[];
      const sampleOf = (name: string, s: number): Float64Array => {
        const a = arrays.get(name);
        if (a === undefined) throw new Error(`no array ${name} in ${[...arrays.keys()].join(", ")}`);
        const size = a.data.length / a.shape[0]!;
        return a.data.subarray(s * size, (s + 1) * size);
      };
      const named = (prefix: string, name: string): string =>
        arrays.has(`${prefix}_${name}`) ? `${prefix}_${name}` : prefix;
      for (let s = 0; s < 16; s++) {
        const results = run(module, new Map(inputs.map((n) => [n, sampleOf(named("x_test", n), s)])));
        results.forEach((y, i) =>
          expect(maxDifference(y.data, sampleOf(named("y_test", outputs[i]!), s))).toBeLessThan(1e-4),
        );
      }
    });
  },
);

/** Outputs of a model on its first test data set compared with what the set says; a text where they differ. */
function deviation(folder: string, file: string): string | undefined {
  const module = importValid(read(folder, file), join(folder, file));
  const set = join(folder, "test_data_set_0");
  const tensor = (name: string): ConstTensor => readTensor(decodeTensor(read(set, name)), name, set);
  const order = decodeModel(read(folder, "model.onnx")).graph!.input.map((i) => i.name);
  const inputs = new Map(
    (module.func.attrs["inputs"] as readonly string[]).map((n) => [n, tensor(`input_${order.indexOf(n)}.pb`).data]),
  );
  for (const [i, y] of run(module, inputs).entries()) {
    const want = tensor(`output_${i}.pb`);
    if (y.shape.join() !== want.shape.join()) return `shape [${y.shape}] instead of [${want.shape}]`;
    // The tolerance of ONNX's own runner. What has no value in floating point has none to compare with.
    const k = want.data.findIndex(
      (v, j) =>
        !Number.isNaN(v) &&
        !Object.is(v, y.data[j]) &&
        !(Math.abs(v - y.data[j]!) <= 1e-7 + 1e-3 * Math.max(Math.abs(v), 1e-3)),
    );
    if (k >= 0) return `element ${k} is ${y.data[k]} instead of ${want.data[k]}`;
  }
  return undefined;
}

interface BackendTest {
  readonly name: string;
  readonly kind: string;
  readonly path: string;
  readonly primary_model: string;
  readonly ops: Readonly<Record<string, number>>;
}
const backend = join(shared, "onnx-suite", "backend");

describe.skipIf(!existsSync(backend))("ONNX's backend tests (skipped without ../shared/onnx-suite/backend)", () => {
  it("of our operators: none wrong, all refusals explained", () => {
    const tests = manifest<{ tests: BackendTest[] }>(backend).tests.filter(
      (t) => t.kind !== "light" && Object.keys(t.ops).every((o) => lookupOnnxOp("", o) !== undefined),
    );
    const wrong: string[] = [];
    let passed = 0;
    for (const t of tests) {
      const folder = join(backend, t.path);
      const sink = new Sink();
      const file = join(folder, t.primary_model);
      if (importOnnx(readFileSync(file), file, sink) === undefined) {
        expect(sink.diagnostics.length, t.name).toBeGreaterThan(0);
        continue;
      }
      const problem = deviation(folder, t.primary_model);
      if (problem === undefined) passed++;
      else wrong.push(`${t.name}: ${problem}`);
    }
    expect(wrong).toEqual([]);
    expect(passed).toBeGreaterThan(340);
  }, 60_000);
});

interface HostileCase {
  readonly id: string;
  readonly expect: "error" | "accept" | "either";
  readonly must_mention: readonly string[];
}
/** Files that were to be refused for operators that are supported since: fused ones of ONNX Runtime's optimizer. */
const READ_SINCE = new Set(["i23_ort_fused"]);
const hostile = join(shared, "onnx-suite", "hostile");
const hostileCases = existsSync(hostile)
  ? manifest<{ cases: HostileCase[] }>(hostile).cases.filter((c) => existsSync(join(hostile, c.id, "model.onnx")))
  : [];

describe.skipIf(hostileCases.length === 0)("hostile files (skipped without ../shared/onnx-suite/hostile)", () => {
  it.each(hostileCases.map((c) => [c.id, c] as const))("%s", (id, c) => {
    const folder = join(hostile, id);
    const file = join(folder, "model.onnx");
    const sink = new Sink();
    const module = importOnnx(readFileSync(file), file, sink);
    if (module === undefined) {
      expect(c.expect).not.toBe("accept");
      const text = sink.diagnostics.map(renderDiagnostic).join("\n");
      expect(text).toContain(basename(file));
      if (c.must_mention.length > 0)
        expect(
          c.must_mention.filter((m) => text.includes(m)),
          text,
        ).not.toEqual([]);
    } else {
      if (!READ_SINCE.has(id)) expect(c.expect).not.toBe("error");
      if (existsSync(join(folder, "test_data_set_0"))) expect(deviation(folder, "model.onnx")).toBeUndefined();
    }
  });
});
