/** examples/hedm: what its README says is what comes out. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { busyFrames } from "../../examples/hedm/busy-frames.js";
import { newSession, runFramesOn } from "../../src/driver.js";
import { sensorFrom } from "../../src/sensor/read-sensor.js";
import { beatsPerFrame } from "../../src/sensor/sensor.js";

const at = (name: string): string => new URL(`../../examples/${name}`, import.meta.url).pathname;
const readme = readFileSync(at("hedm/README.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "onnx-hls-hedm-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the README of examples/hedm", () => {
  it("states how far the float network's positions are from the truth", async () => {
    const options = {
      sensor: at("hedm/sensor.yaml"),
      input: at("hedm/scan.h5"),
      output: join(folder, "peaks.csv"),
      truth: at("hedm/truth.csv"),
    };
    const r = await runFramesOn(at("braggnn/braggnn_s1.onnx"), options, newSession());
    const [, peaks, pixels] = /\| onnx-hls, float network \| (\d+) \| ([\d.]+) \|/.exec(readme)!;
    expect([String(r.found), r.truth!.mean_distance!.toFixed(3)]).toEqual([peaks, pixels]);
  });
  it("states frames per second that follow from the beats of a frame", () => {
    const rows = [...readme.matchAll(/^\| ([^|]+) \| (\d+) x (\d+) \| ([\d,]+) \|((?: [\d,]+ \|){4}) ([^|]+) \|$/gm)];
    expect(rows.length).toBe(6);
    for (const [, name, height, width, full, rates, verdict] of rows) {
      const [rows, columns] = [Number(height), Number(width)];
      const own = Number(full!.replace(/,/g, ""));
      const each = [1, 8, 16, 32].map((n) => ({
        n,
        rate: Math.floor(250e6 / beatsPerFrame(sensorFrom({ rows, columns, pixels_per_beat: n }))),
      }));
      const enough = each.find((e) => e.rate >= own);
      const keepsUp = enough === undefined ? "not quite" : `from ${enough.n} pixel${enough.n === 1 ? "" : "s"} a beat`;
      const stated = rates!
        .split("|")
        .slice(0, 4)
        .map((x) => Number(x.replace(/,/g, "")));
      expect([name, stated, verdict]).toEqual([name, each.map((e) => e.rate), keepsUp]);
    }
  });
});

describe("the trigger", () => {
  it("lets pass the frames that hold at least so many peaks", async () => {
    const frames = (least: number) => busyFrames(at("hedm/sensor.yaml"), at("hedm/scan.h5"), least);
    expect((await frames(20)).busy).toEqual([0, 2]);
    const { busy, of, text } = await frames(28);
    expect([busy, of]).toEqual([[0], 4]);
    expect(text).toContain("nn.sparsify");
  });
});
