/**
 * Float networks with samples for `bench:widths`: one form of each network of docs/idioms.md, the trained networks
 * beside them, and the examples. Quantized models are left out, as they bring their widths with them.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Sink } from "../src/diagnostics/index.js";
import { stagePipeline } from "../src/driver/stages.js";
import { importOnnx } from "../src/frontend/import.js";
import { readArrays } from "../src/frontend/npz.js";
import { nodeHost } from "../src/host.js";
import type { Module } from "../src/ir/core.js";
import { elementCount, type TensorType } from "../src/ir/types.js";
import { PassContext } from "../src/passes/pass-context.js";
import { PassManager } from "../src/passes/pass-manager.js";
import { spread, type Sample } from "../src/passes/nn/quantize/calibrate.js";
import { isQuantizedModel } from "../src/ir/nn/roles.js";
import { dataSets } from "../scripts/data-sets.js";

export interface WidthNetwork {
  readonly name: string;
  readonly path: string;
  /** Ready for quantization. */
  readonly float: Module;
  readonly calibration: readonly Sample[];
  /** Samples that do not calibrate. */
  readonly test: readonly Sample[];
}

const [CALIBRATION, TEST] = [64, 64];

/** Names and loaders; `shared` holds `models` and `onnx-suite/torch-idioms`, where it is there. */
export function widthNetworks(
  root: string,
  shared: string,
): { readonly name: string; readonly load: () => WidthNetwork | undefined }[] {
  const idioms = join(shared, "onnx-suite/torch-idioms");
  const models = join(shared, "models");
  const folders = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir).sort() : []);
  // Forms of one network differ in how they are written, not in what is quantized.
  const families = new Map<string, string>();
  for (const name of folders(idioms))
    if (existsSync(join(idioms, name, "model.onnx")) && !/\.(qdq|qop|dyn_)/.test(name)) {
      const family = name.split(".")[0] ?? name;
      if (!families.has(family)) families.set(family, name);
    }
  return [
    ...[...families.values()].map((name) => ({ name, load: () => loadIdiom(name, join(idioms, name)) })),
    ...folders(models).map((name) => ({
      name: `models/${name}`,
      load: () => loadTrained(`models/${name}`, join(models, name, "model_ts_op17_b1.onnx"), join(models, name)),
    })),
    ...["braggnn_s1", "braggnn_s4"].map((name) => ({
      name: `examples/${name}`,
      load: () =>
        loadTrained(
          `examples/${name}`,
          join(root, `examples/braggnn/${name}.onnx`),
          join(root, "examples/braggnn/data"),
        ),
    })),
  ];
}

function prepare(path: string): { imported: Module; float: Module } {
  const sink = new Sink();
  const imported = importOnnx(readFileSync(path), path, sink);
  sink.throwIfErrors();
  if (imported === undefined) throw new Error(`${path} cannot be imported`);
  const context = new PassContext(sink);
  const { module } = new PassManager().run(imported, stagePipeline("prepare"), {
    context,
    sink,
    host: nodeHost(),
    verifyEach: false,
  });
  return { imported, float: module };
}

function sizesOf(module: Module): number[] {
  return module.func.body.args.map((a) => elementCount((a.type as TensorType).shape));
}

function loadIdiom(name: string, dir: string): WidthNetwork | undefined {
  const path = join(dir, "model.onnx");
  const { imported, float } = prepare(path);
  if (isQuantizedModel(float)) return undefined;
  const names = imported.func.attrs["inputs"] as readonly string[];
  const given = dataSets(dir).map((s) => names.map((n) => Float64Array.from(s.inputs.get(n)?.data ?? [])));
  if (existsSync(join(dir, "eval.npz")) && names.length === 1) {
    const all = rowsOf(join(dir, "eval.npz"), "X", sizesOf(float)[0] ?? 1);
    if (all !== undefined) return { name, path, float, ...halves(all) };
  }
  // Eight samples of noise: others with the same distribution at every place.
  return {
    name,
    path,
    float,
    calibration: [...given, ...mixed(given, 24, 1)],
    test: mixed(given, 32, 2),
  };
}

function halves(all: readonly Sample[]): Pick<WidthNetwork, "calibration" | "test"> {
  const [even, odd] = [all.filter((_, i) => i % 2 === 0), all.filter((_, i) => i % 2 === 1)];
  return { calibration: spread(even, CALIBRATION), test: spread(odd, TEST) };
}

/** Samples each of whose elements comes from one of `given`, at the same place. */
function mixed(given: readonly Sample[], count: number, seed: number): Sample[] {
  let state = seed * 7919;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return ((state >>> 8) % 65536) / 65536;
  };
  return Array.from({ length: count }, () =>
    (given[0] ?? []).map((first, input) =>
      Float64Array.from(
        { length: first.length },
        (_, i) => given[Math.floor(next() * given.length)]?.[input]?.[i] ?? 0,
      ),
    ),
  );
}

function rowsOf(file: string, array: string, size: number): Sample[] | undefined {
  const data = readArrays(readFileSync(file), file).get(array)?.data;
  if (data === undefined) return undefined;
  return Array.from({ length: data.length / size }, (_, i) => [
    Float64Array.from(data.subarray(i * size, (i + 1) * size)),
  ]);
}

/** `dir` holds test.npz with x_calib and x_test, or calib.npz and test.npz with the network's inputs. */
function loadTrained(name: string, path: string, dir: string): WidthNetwork | undefined {
  if (!existsSync(path)) return undefined;
  const { imported, float } = prepare(path);
  const input = (imported.func.attrs["inputs"] as readonly string[])[0] ?? "";
  const size = sizesOf(float)[0] ?? 1;
  const calib = existsSync(join(dir, "calib.npz"))
    ? rowsOf(join(dir, "calib.npz"), input, size)
    : rowsOf(join(dir, "test.npz"), "x_calib", size);
  const test = rowsOf(join(dir, "test.npz"), existsSync(join(dir, "calib.npz")) ? input : "x_test", size);
  if (calib === undefined || test === undefined) return undefined;
  return { name, path, float, calibration: spread(calib, CALIBRATION), test: spread(test, TEST) };
}
