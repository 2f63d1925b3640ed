/**
 * Networks that other people's tools exported, where they are at hand: compiled with defaults, simulated, bit-exact, on
 * time.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileModel, newSession, runDesign, simulateDesign } from "../../src/driver.js";
import { importOnnx } from "../../src/frontend/import.js";
import { readArrays, writeNpz } from "../../src/frontend/npz.js";
import { Sink } from "../../src/diagnostics/index.js";

const models = new URL("../../../shared/models/", import.meta.url).pathname;
const missing = existsSync(models) ? undefined : "../shared/models is not there";

let work: string;
beforeAll(() => (work = mkdtempSync(join(tmpdir(), "onnx-hls-models-"))));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Data file with the first samples of an array of the model's data set, under the name of the network's input. */
function dataFile(model: string, array: string, input: string, count: number): string {
  const path = join(models, model, "test.npz");
  const a = readArrays(readFileSync(path), path).get(array)!;
  const n = Math.min(count, a.shape[0]!);
  const file = join(work, `${model}_${array}.npz`);
  writeFileSync(
    file,
    writeNpz(
      new Map([[input, { shape: [n, ...a.shape.slice(1)], data: a.data.slice(0, (a.data.length / a.shape[0]!) * n) }]]),
    ),
  );
  return file;
}

const networks = [
  { name: "braggnn_s1", cosim: true },
  { name: "braggnn_s1_norm", cosim: false },
  { name: "braggnn_s1_openhls", cosim: false },
  { name: "bragg_small", cosim: true },
  { name: "jet_mlp", cosim: true },
  { name: "anomaly_ae", cosim: true },
  { name: "digit_cnn", cosim: true },
];

describe.skipIf(missing !== undefined)(
  `networks of other exporters${missing === undefined ? "" : ` (skipped: ${missing})`}`,
  () => {
    it.each(networks)("$name compiles with defaults and is exact", async ({ name, cosim }) => {
      const model = join(models, name, "model_dynamo_op18_dyn.onnx");
      const module = importOnnx(readFileSync(model), model, new Sink())!;
      const input = (module.func.attrs["inputs"] as string[])[0]!;
      const calib = dataFile(name, "x_calib", input, 256);
      const test = dataFile(name, "x_test", input, 100);
      const dir = join(work, name);
      const report = await compileModel(model, { out: dir, calib }, newSession());
      // One input element per cycle.
      expect(report.initiation_interval).toBeLessThanOrEqual(report.ports[0]!.shape.reduce((n, d) => n * d, 1));
      if (cosim) {
        const r = await simulateDesign(
          dir,
          { input: test, output: join(work, `${name}.npz`), quickBuild: true },
          newSession(),
        );
        expect(r).toMatchObject({
          mismatches: 0,
          initiation_interval: report.initiation_interval,
          latency: report.latency,
        });
      } else {
        const r = await runDesign(dir, { input: test, output: join(work, `${name}.npz`) }, newSession());
        expect(r.samples).toBe(100);
      }
    });
  },
);
