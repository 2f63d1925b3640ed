/**
 * Random networks of ONNX operators as a user compiles them, their Verilog simulated by Verilator, with and without
 * stalls.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lintVerilog } from "../../src/backend-verilog/lint.js";
import { compileModel, newSession, simulateDesign } from "../../src/driver.js";
import { writeNpz } from "../../src/frontend/npz.js";
import type { TensorType } from "../../src/ir/types.js";
import { elementCount } from "../../src/ir/types.js";
import { importValid } from "../frontend/support.js";
import { modelOf, randomProgram } from "./random-models.js";
import { random } from "./random-nets.js";

/**
 * By hand: VERILATOR_SEEDS=50 for the first fifty; here some with several inputs or outputs, windows, trees, attention,
 * gates, codes and volumes.
 */
const count = Number(process.env["VERILATOR_SEEDS"] ?? 0);
const seeds = count > 0 ? Array.from({ length: count }, (_, i) => i + 1) : [48, 67, 102, 121];
/** More than any of the pipelines holds. */
const SAMPLES = 64;

let work: string;
beforeAll(() => (work = mkdtempSync(join(tmpdir(), "onnx-hls-random-"))));
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("random networks in Verilator", () => {
  it.each(seeds)("seed %i", async (seed) => {
    const model = modelOf(randomProgram(seed))!;
    const path = join(work, `net${seed}.onnx`);
    writeFileSync(path, model.bytes);
    const network = importValid(model.bytes, path);
    const names = network.func.attrs["inputs"] as readonly string[];
    const rnd = random(seed * 31337);
    const data = join(work, `net${seed}.npz`);
    writeFileSync(
      data,
      writeNpz(
        new Map(
          network.func.body.args.map((a, i) => {
            const { shape } = a.type as TensorType;
            return [
              names[i]!,
              {
                shape: [SAMPLES, ...shape.slice(1)],
                data: Float32Array.from({ length: SAMPLES * elementCount(shape) }, () => 4 * rnd() - 2),
              },
            ];
          }),
        ),
      ),
    );
    const dir = join(work, `net${seed}`);
    const report = await compileModel(path, { out: dir, calib: data }, newSession());
    expect(await lintVerilog(join(dir, "rtl"), `net${seed}`), model.text).toEqual([]);
    const free = await simulateDesign(
      dir,
      { input: data, output: join(work, "free.npz"), quickBuild: true },
      newSession(),
    );
    expect(free, model.text).toMatchObject({ samples: SAMPLES, mismatches: 0, latency: report.latency });
    expect(free.initiation_interval, model.text).toBeLessThanOrEqual(report.initiation_interval);
    const stalled = await simulateDesign(
      dir,
      { input: data, output: join(work, "stalled.npz"), stall: 0.3, seed, quickBuild: true },
      newSession(),
    );
    expect(stalled, model.text).toMatchObject({ samples: SAMPLES, mismatches: 0 });
  });
});
