/** The example, end to end, as a user runs it: compile, bit-exact model, lint, Verilator with and without stalls. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lintVerilog } from "../../src/backend-verilog/lint.js";
import { compileModel, newSession, runDesign, simulateDesign, type DesignReport } from "../../src/driver.js";
import { readArrays } from "../../src/frontend/npz.js";

const example = new URL("../../examples/braggnn/", import.meta.url).pathname;
const test = join(example, "data/test.npz");

let work: string;
beforeAll(() => (work = mkdtempSync(join(tmpdir(), "onnx-hls-e2e-"))));
afterAll(() => rmSync(work, { recursive: true, force: true }));

function meanErrorPixels(centres: Float64Array, truth: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < truth.length; i += 2)
    sum += 11 * Math.hypot(centres[i]! - truth[i]!, centres[i + 1]! - truth[i + 1]!);
  return sum / (truth.length / 2);
}

const cases = [
  { model: "braggnn_s1", reference: "float_centre", ii: 121, latency: 450, efficiency: 0.6 },
  { model: "braggnn_s4", reference: "float_centre_s4", ii: 1000, latency: Infinity, efficiency: 0.9 },
];

describe.each(cases)("$model at $ii cycles", ({ model, reference, ii, latency, efficiency }) => {
  let dir: string;
  let report: DesignReport;

  it("compiles within its targets", async () => {
    dir = join(work, model);
    report = await compileModel(
      join(example, `${model}.onnx`),
      { out: dir, calib: join(example, "data/calib.npz"), target: { kind: "ii", cycles: ii } },
      newSession(),
    );
    expect(report.initiation_interval).toBeLessThanOrEqual(ii);
    expect(report.latency).toBeLessThanOrEqual(latency);
    expect(report.mac_efficiency).toBeGreaterThanOrEqual(efficiency);
    expect(readdirSync(dir)).toEqual(expect.arrayContaining(["design.json", "ip", "model.hir", "report.json", "rtl"]));
    expect(JSON.parse(readFileSync(join(dir, "report.json"), "utf8"))).toEqual(report);
    // Names lead back to the network.
    expect(report.kernels.find((k) => k.onnx_nodes.includes("/conv2/Conv"))?.name).toBe("conv2_Conv");
    expect(existsSync(join(dir, "rtl", "conv2_Conv.v"))).toBe(true);
  });

  it("stays within 5 % of the float network's error", async () => {
    const out = join(work, `${model}.npz`);
    const summary = await runDesign(dir, { input: test, output: out }, newSession());
    const data = readArrays(readFileSync(test), test);
    const truth = data.get("target")!.data;
    const centres = readArrays(readFileSync(out), out).get("centre")!;
    expect(centres.shape).toEqual([summary.samples, 2]);
    expect(meanErrorPixels(centres.data, truth)).toBeLessThanOrEqual(
      1.05 * meanErrorPixels(data.get(reference)!.data, truth),
    );
  });

  it("is clean under verilator -Wall, iverilog and yosys, without latches", async () => {
    expect(await lintVerilog(join(dir, "rtl"), model)).toEqual([]);
  });

  it("is bit-exact in Verilator, at the predicted cycle", async () => {
    const out = join(work, `${model}_sim.npz`);
    const free = await simulateDesign(dir, { input: test, output: out }, newSession());
    expect(free).toMatchObject({
      samples: 2048,
      mismatches: 0,
      initiation_interval: report.initiation_interval,
      latency: report.latency,
    });
    const arrays = (path: string): Float64Array => readArrays(readFileSync(path), path).get("centre")!.data;
    expect(arrays(out)).toEqual(arrays(join(work, `${model}.npz`)));
  });

  it("is bit-exact with random stalls on both ports", async () => {
    const stalled = await simulateDesign(
      dir,
      { input: test, output: join(work, `${model}_stalled.npz`), stall: 0.3, seed: 7 },
      newSession(),
    );
    expect(stalled).toMatchObject({ samples: 2048, mismatches: 0 });
    expect(stalled.cycles).toBeGreaterThan(2048 * report.initiation_interval);
  });
});
