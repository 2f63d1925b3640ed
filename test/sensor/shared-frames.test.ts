/** The meaning of a sensor, held against the reference in numpy on the simulated frames of ../shared: 0 differences. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readArrays } from "../../src/frontend/npz.js";
import { correct } from "../../src/sensor/correct.js";
import { findPeaks } from "../../src/sensor/find.js";
import { sensorFrom } from "../../src/sensor/read-sensor.js";

const frames = new URL("../../../shared/frames/", import.meta.url).pathname;
const sets = ["edge_cases", "dense256", "hedm512", "hedm2048"];
const there = existsSync(frames);

describe.skipIf(!there)("frames of ../shared (skipped where they are absent)", () => {
  it.each(sets)("%s: every origin and patch of both rules is equal", (set) => {
    const file = (name: string): ReturnType<typeof readArrays> =>
      readArrays(readFileSync(join(frames, `${name}.npz`)), name);
    const [given, expected] = [file(set), file(`${set}_expected`)];
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
