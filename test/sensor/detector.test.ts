/**
 * A network with a sensor's front end, as a user compiles and simulates it: every record of the Verilog against the
 * bit-exact model, its cycle against the cycle model, with and without pauses, and with a queue that overflows.
 */
import { mulberry32 } from "../../src/driver/evaluate.js";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lintVerilog } from "../../src/backend-verilog/lint.js";
import { compileModel, newSession, runFramesOn, simulateFramesOn, type DesignReport } from "../../src/driver.js";
import type { DesignFile } from "../../src/driver/compile.js";
import { verifyBuild, type Manifest } from "../../src/driver/manifest.js";
import { writeNpy, writeNpz } from "../../src/frontend/npz.js";
import { readRecords } from "../../src/sensor/records.js";
import { floats, node, onnx, weights } from "../frontend/support.js";
import { missing } from "../verilog/helpers.js";

const [ROWS, COLUMNS, FRAMES, PATCH] = [26, 45, 4, 5];
const tools = missing("verilator", "g++", "make");

let work: string;
const at = (name: string): string => join(work, name);
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-detector-"));
  const random = mulberry32(3);
  // The column is the weighted mean of the columns, nearly: what it says matters less than that it says the same.
  const plane = Array.from({ length: PATCH * PATCH * 2 }, () => random() / 12);
  writeFileSync(
    at("net.onnx"),
    onnx({
      node: [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"])],
      initializer: [weights("w", [PATCH * PATCH, 2], plane)],
      input: [floats("x", [1, 1, PATCH, PATCH])],
      output: [floats("y", [1, 2])],
    }),
  );
  const samples = Float32Array.from({ length: 40 * PATCH * PATCH }, () => random());
  writeFileSync(at("calib.npz"), writeNpz(new Map([["x", { shape: [40, 1, PATCH, PATCH], data: samples }]])));
  const size = ROWS * COLUMNS;
  const frames = Int32Array.from({ length: FRAMES * size }, (_, i) => {
    // The third frame is full of peaks.
    const dense = Math.floor(i / size) === 2;
    return 100 + Math.floor(random() * 20 + (random() < (dense ? 0.2 : 0.03) ? random() * 3000 : 0));
  });
  writeFileSync(at("frames.npy"), writeNpy({ shape: [FRAMES, ROWS, COLUMNS], data: frames }));
  const dark = Int32Array.from({ length: size }, () => 95 + Math.floor(random() * 10));
  writeFileSync(at("dark.npy"), writeNpy({ shape: [ROWS, COLUMNS], data: dark }));
  const mask = Int32Array.from({ length: size }, () => (random() < 0.03 ? 1 : 0));
  writeFileSync(at("mask.npy"), writeNpy({ shape: [ROWS, COLUMNS], data: mask }));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const common = [`rows: ${ROWS}`, `columns: ${COLUMNS}`, `patch: ${PATCH}`, "pixel_bits: 12", "threshold: 30"];
const cases = [
  { name: "queue of 3, 4 pixels a beat", keys: ["pixels_per_beat: 4", "dark: dark.npy", "mask: mask.npy", "queue: 3"] },
  { name: "dark beside the pixels, 1 pixel a beat", keys: ["dark: stream", "end_of: frame", "queue: 400"] },
];

describe.each(cases)(`detector, $name${tools}`, ({ name, keys }) => {
  const overflows = keys.includes("queue: 3");
  const dir = (): string => at(`build${cases.findIndex((c) => c.name === name)}`);
  const dark = keys.includes("dark: stream") ? { dark: "" } : {};
  let report: DesignReport;

  it("compiles", async () => {
    writeFileSync(at("sensor.yaml"), [...common, ...keys, ""].join("\n"));
    report = await compileModel(
      at("net.onnx"),
      {
        out: dir(),
        calib: at("calib.npz"),
        sensor: at("sensor.yaml"),
        device: "xcku5p",
        target: { kind: "ii", cycles: 40 },
      },
      newSession(),
    );
    const { detector } = report;
    expect(detector!.frame_interval).toBe(ROWS * Math.ceil(COLUMNS / (overflows ? 4 : 1)));
    expect(detector!.lossless_burst).toBe(overflows ? 3 : 400);
    expect(readdirSync(join(dir(), "decoders"))).toEqual(["records.h", "records.py"]);
    // From the last pixel of a patch: the network, and what is around it.
    expect(detector!.peak_latency).toBeGreaterThan(report.latency);
  });

  it("names all files in its manifest, none by the folders of this machine", () => {
    const found = verifyBuild(dir(), newSession());
    expect(found).toMatchObject({ changed: [], missing: [], others: [] });
    const manifest = JSON.parse(readFileSync(join(dir(), "manifest.json"), "utf8")) as Manifest;
    expect(manifest.sensor).toMatch(/^[0-9a-f]{64}$/);
    const files = Object.keys(manifest.files);
    expect(files).toContain("decoders/records.py");
    expect(files.includes("planes.npz")).toBe(overflows);
    for (const name of files.filter((f) => !f.endsWith(".npz")))
      expect(readFileSync(join(dir(), name), "utf8"), name).not.toContain(work);
  });
  it("packages the streams of the front end, and no bench of tensors", () => {
    const ip = join(dir(), "ip");
    const { top, detector } = JSON.parse(readFileSync(join(dir(), "design.json"), "utf8")) as DesignFile;
    const verilog = readFileSync(join(dir(), "rtl", `${top}.v`), "utf8");
    const ports = [...verilog.matchAll(/^\s*(?:input|output)\s+(?:(?:wire|reg|signed)\s+)*(?:\[[^\]]*\]\s*)?(\w+)/gm)]
      .map((m) => m[1]!)
      .sort();
    const vhdl = readFileSync(join(ip, `${top}.vhd`), "utf8").split("end component")[0]!;
    expect([...vhdl.matchAll(/^ {6}(\w+) +: (?:in|out) /gm)].map((m) => m[1]!).sort()).toEqual(ports);
    for (const p of detector!.ports) expect(vhdl).toContain(`${p.prefix}_tdata`);
    expect(readdirSync(ip)).not.toContain("tb");
    expect(readFileSync(join(ip, `${top}.core`), "utf8")).not.toContain("tb/");
  });

  it.skipIf(tools !== "").each([0, 0.3])(
    "gives the records of the model in the cycles of the model, pauses %d",
    async (stall) => {
      const files = {
        input: at("frames.npy"),
        output: at("records.bin"),
        ...(dark.dark === "" && { dark: at("dark.npy") }),
      };
      const r = await simulateFramesOn(dir(), { ...files, stall, seed: 5, quickBuild: true }, newSession());
      expect(r).toMatchObject({ frames: FRAMES, mismatches: 0, late: 0 });
      expect(r.found).toBeGreaterThan(80);
      if (stall === 0 || !overflows) expect(r.dropped > 0).toBe(overflows);
      const records = readRecords(readFileSync(files.output));
      expect(records.filter((x) => x.kind === "frame").map((x) => x.frame)).toEqual([0, 1, 2, 3]);
      // `run` drops what the hardware drops where frames follow one another and records are taken at once.
      if (overflows && stall > 0) return;
      const model = { ...files, output: at("model.bin") };
      const summary = await runFramesOn(dir(), { ...model, html: at("page.html") }, newSession());
      expect(readRecords(readFileSync(model.output))).toEqual(records);
      expect([summary.found, summary.sent, summary.dropped]).toEqual([r.found, r.sent, r.dropped]);
      expect(readFileSync(at("page.html"), "utf8").includes('class="lost"')).toBe(overflows);
      // The same sensor stated: nothing is dropped in software alone.
      const stated = await runFramesOn(dir(), { ...model, sensor: at("sensor.yaml") }, newSession());
      expect([stated.found, stated.dropped]).toEqual([r.found, 0]);
    },
  );

  it.skipIf(tools !== "")("is Verilog without a warning", async () => {
    const { top } = JSON.parse(readFileSync(join(dir(), "design.json"), "utf8")) as { top: string };
    expect(await lintVerilog(join(dir(), "rtl"), top)).toEqual([]);
  });
});
