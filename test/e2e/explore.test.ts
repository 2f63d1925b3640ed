/**
 * `explore`: the designs to choose among, whichever way they are computed, and each of them made again by `compile`.
 */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exploreModel, newSession, type Exploration, type ParetoPoint } from "../../src/driver.js";
import { writeNpz } from "../../src/frontend/npz.js";
import { floats, node, onnx, weights } from "../frontend/support.js";
import { cli } from "../support/cli.js";

let work: string;
let model: string;
let calib: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-explore-"));
  const wave = (n: number, f: number): number[] => Array.from({ length: n }, (_, i) => Math.sin(f * (i + 1)));
  model = join(work, "small.onnx");
  writeFileSync(
    model,
    onnx({
      node: [
        node("Conv", ["x", "w", "b"], ["c"], "conv"),
        node("Relu", ["c"], ["r"], "relu"),
        node("Flatten", ["r"], ["f"], "flatten"),
        node("Gemm", ["f", "v", "a"], ["y"], "dense"),
      ],
      initializer: [
        weights("w", [4, 2, 3, 3], wave(72, 0.7)),
        weights("b", [4], wave(4, 1.3)),
        weights("v", [144, 5], wave(720, 0.3)),
        weights("a", [5], wave(5, 2.1)),
      ],
      input: [floats("x", [1, 2, 8, 8])],
      output: [floats("y", [1, 5])],
    }),
  );
  calib = join(work, "calib.npz");
  writeFileSync(
    calib,
    writeNpz(
      new Map([
        ["x", { shape: [16, 2, 8, 8], data: Float32Array.from({ length: 16 * 128 }, (_, i) => Math.sin(i * i)) }],
      ]),
    ),
  );
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const MEASURES: readonly ((p: ParetoPoint) => number)[] = [
  (p) => p.initiation_interval,
  (p) => p.latency,
  (p) => p.resources.lut,
  (p) => p.resources.ff,
  (p) => p.resources.dsp,
  (p) => p.resources.bram,
];
const options = { device: "lfe5um5g-85f", clockMhz: 120, intervals: 8 };

describe("explore", () => {
  let result: Exploration;
  it("finds designs that all fit, over a range of rates", async () => {
    result = await exploreModel(model, { ...options, calib, cores: 1, out: join(work, "front") }, newSession());
    expect(result.points.length).toBeGreaterThanOrEqual(5);
    const intervals = result.points.map((p) => p.initiation_interval);
    expect(intervals).toEqual([...intervals].sort((a, b) => a - b));
    // From far below one element per cycle to far above.
    expect(intervals[0]).toBeLessThan(64);
    expect(intervals[intervals.length - 1]).toBeGreaterThan(1000);
    for (const p of result.points) {
      for (const k of ["lut", "ff", "dsp", "bram"] as const)
        expect(p.resources[k]).toBeLessThanOrEqual(result.available[k]);
      expect(p.throughput_hz).toBeCloseTo(120e6 / p.initiation_interval, 3);
    }
  });

  it("shows none that another one betters or equals in everything", () => {
    for (const p of result.points)
      for (const q of result.points)
        if (p !== q)
          expect(
            MEASURES.every((m) => m(q) <= m(p)),
            `${JSON.stringify(q)} against ${JSON.stringify(p)}`,
          ).toBe(false);
  });

  it("writes JSON, a page and a drawing, whole", () => {
    const folder = join(work, "front");
    expect(readdirSync(folder).sort()).toEqual(["explore.html", "explore.json", "explore.svg"]);
    expect(JSON.parse(readFileSync(join(folder, "explore.json"), "utf8"))).toEqual(result);
    const svg = readFileSync(join(folder, "explore.svg"), "utf8");
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\s*$/);
    // A dot per design in each of the six panels.
    expect(svg.match(/<circle /g)).toHaveLength(6 * result.points.length);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    const html = readFileSync(join(folder, "explore.html"), "utf8");
    expect(html).toMatch(/^<!DOCTYPE html>[\s\S]*<\/html>\s*$/);
    expect(html).toContain(svg.trim());
    expect(html.match(/<tr>/g)).toHaveLength(result.points.length + 1);
    // Nothing is loaded from elsewhere.
    expect(html.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|<script|<link/);
  });

  it("does not depend on the number of threads", async () => {
    const threads = await exploreModel(model, { ...options, calib, cores: 3 }, newSession());
    expect({ ...threads, seconds: 0 }).toEqual({ ...result, seconds: 0 });
  });

  it("says of each design what compiles it", async () => {
    for (const p of [
      result.points[0]!,
      result.points[result.points.length >> 1]!,
      result.points[result.points.length - 1]!,
    ]) {
      const dir = join(work, `design${p.initiation_interval}`);
      const { code, err } = await cli(...result.compile, "-o", dir, "--unroll", p.unroll);
      expect(err).not.toMatch(/error/);
      expect(code).toBe(0);
      const report = JSON.parse(readFileSync(join(dir, "report.json"), "utf8")) as Record<string, unknown>;
      expect(report).toMatchObject({
        initiation_interval: p.initiation_interval,
        latency: p.latency,
        resources: p.resources,
        multipliers: p.multipliers,
      });
    }
  });

  it("keeps to the width of the streams", async () => {
    const narrow = await exploreModel(
      model,
      { ...options, calib, cores: 1, intervals: 4, axisWidth: { unit: "elements", count: 1 } },
      newSession(),
    );
    for (const p of narrow.points) expect(p.initiation_interval).toBeGreaterThanOrEqual(128);
  });
});

describe("explore refuses", () => {
  it.each([
    {
      what: "a device that is not known",
      args: ["--device", "xc7z02"],
      says: [/FL001.*xc7z02/, /hint: did you mean xc7z020\? use one of .*ice40hx8k/],
    },
    {
      what: "a clock that the device does not reach",
      args: ["--device", "ice40up5k", "--clock", "200"],
      says: [
        /FL009.*200 MHz.*ice40up5k.*end at \d+ MHz/,
        /hint: use --clock \d+ or less, or a device that reaches it: .*xcu280/,
      ],
    },
    {
      what: "a stream that no beat passes",
      args: ["--axis-width", "4"],
      says: [/FL008.*input x of shape 1x2x8x8 cannot pass in beats of 4 bits/, /hint: possible are 1, 2/],
    },
    {
      what: "a model that is not there",
      args: ["--device", "xcu280"],
      model: "nowhere.onnx",
      says: [/IO001.*nowhere\.onnx/],
    },
    {
      what: "a network that is too large for the device",
      args: ["--device", "ice40up5k", "--clock", "20", "--precision", "w16a16"],
      large: true,
      says: [
        /FL003.*no design fits ice40up5k; the one that comes nearest needs .*lut=\d+/,
        /hint: .*choose a larger device/,
      ],
    },
  ])("$what", async (c) => {
    let path = c.model ?? model;
    if (c.large === true) {
      path = join(work, "large.onnx");
      writeFileSync(
        path,
        onnx({
          node: [node("Gemm", ["x", "w"], ["y"], "dense")],
          initializer: [
            weights(
              "w",
              [160, 100],
              Array.from({ length: 16000 }, (_, i) => Math.sin(i)),
            ),
          ],
          input: [floats("x", [1, 160])],
          output: [floats("y", [1, 100])],
        }),
      );
    }
    const out = join(work, "refused");
    const { code, err } = await cli("explore", path, "-o", out, ...c.args);
    for (const s of c.says) expect(err).toMatch(s);
    expect(code).toBe(1);
    expect(err).not.toMatch(/\n\s+at |internal error/);
    expect(existsSync(out)).toBe(false);
  });

  it("a folding that is too large, and one that is none", async () => {
    const out = join(work, "folding");
    const compile = (unroll: string): ReturnType<typeof cli> =>
      cli("compile", model, "--calib", calib, "--device", "ice40hx8k", "--clock", "50", "-o", out, "--unroll", unroll);
    const large = await compile("ii=1");
    expect(large.code).toBe(1);
    expect(large.err).toMatch(/FL011.*does not fit ice40hx8k: it takes \d+ of 7680 LUT/);
    const none = await compile("speed=3");
    expect(none.code).toBe(1);
    expect(none.err).toMatch(/TX021.*unroll has no option "speed"/);
    expect((await cli("compile", model, "-o", out, "--unroll", "ii=9", "--target-ii", "9")).code).toBe(2);
    expect(existsSync(out)).toBe(false);
  });
});
