/** The meaning of a sensor, held against the reference in numpy on the simulated frames of ../shared: 0 differences. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { newSession, runFramesOn } from "../../src/driver.js";
import { readArrays } from "../../src/frontend/npz.js";
import { correct } from "../../src/sensor/correct.js";
import { findPeaks } from "../../src/sensor/find.js";
import { sensorFrom } from "../../src/sensor/read-sensor.js";

const frames = new URL("../../../shared/frames/", import.meta.url).pathname;
const models = new URL("../../../shared/models/", import.meta.url).pathname;
const read = (name: string): ReturnType<typeof readArrays> =>
  readArrays(readFileSync(join(frames, `${name}.npz`)), name);
const sets = ["edge_cases", "dense256", "hedm512", "hedm2048"];
const there = existsSync(frames);

describe.skipIf(!there)("frames of ../shared (skipped where they are absent)", () => {
  it.each(["hedm512"])("%s: positions through the float network are those of ONNX Runtime", async (set) => {
    const [given, expected] = [read(set), read(`${set}_expected`)];
    const number = (name: string): number => given.get(name)!.data[0]!;
    const [, rows, columns] = given.get("frames")!.shape as [number, number, number];
    const folder = mkdtempSync(join(tmpdir(), "onnx-hls-shared-"));
    try {
      const file = join(frames, `${set}.npz`);
      const find = { rule: "local-maximum", peak_min: number("peak_min") };
      const keys = { rows, columns, dark: `${file}:dark`, mask: `${file}:mask`, threshold: number("threshold"), find };
      writeFileSync(join(folder, "sensor.yaml"), JSON.stringify(keys));
      const output = join(folder, "peaks.npz");
      const options = { sensor: join(folder, "sensor.yaml"), input: file, output };
      await runFramesOn(join(models, "braggnn_s1/model_ts_op17_b1.onnx"), options, newSession());
      const peaks = readArrays(readFileSync(output), output);
      const position = expected.get("local_maximum_position")!.data;
      const [row, column] = [peaks.get("peaks_row")!.data, peaks.get("peaks_column")!.data];
      expect(row.length).toBe(position.length / 2);
      let largest = 0;
      row.forEach((v, i) => {
        largest = Math.max(largest, Math.abs(v - position[2 * i]!), Math.abs(column[i]! - position[2 * i + 1]!));
      });
      // Half a step of 1/1024, and what single precision leaves of numbers up to 512.
      expect(largest).toBeLessThan(0.5 / 1024 + 1e-4);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
  it.each(sets)("%s: every origin and patch of both rules is equal", (set) => {
    const [given, expected] = [read(set), read(`${set}_expected`)];
    const [count, rows, columns] = given.get("frames")!.shape as [number, number, number];
    const number = (name: string): number => given.get(name)!.data[0]!;
    const planes = { dark: given.get("dark")!.data, mask: Uint8Array.from(given.get("mask")!.data) };
    for (const rule of ["local-maximum", "component"] as const) {
      const sensor = sensorFrom({
        rows,
        columns,
        dark: "dark.npy",
        mask: "mask.npy",
        threshold: number("threshold"),
        find:
          rule === "component"
            ? { rule, min_pixels: number("min_pixels"), open_regions: 4096 }
            : { rule, peak_min: number("peak_min") },
      });
      const key = rule.replace("-", "_");
      const origins: number[] = [];
      const patches: number[] = [];
      for (let f = 0; f < count; f++) {
        const raw = given.get("frames")!.data.subarray(f * rows * columns, (f + 1) * rows * columns);
        const found = findPeaks(sensor, correct(sensor, planes, raw).values);
        expect(found.regionsFull).toBe(false);
        for (const p of found.peaks) {
          origins.push(f, p.row, p.column);
          patches.push(...p.pixels);
        }
      }
      expect(origins.length).toBeGreaterThan(0);
      expect(origins).toEqual([...expected.get(`${key}_origin`)!.data]);
      expect(patches).toEqual([...expected.get(`${key}_patches`)!.data]);
    }
  });
});
