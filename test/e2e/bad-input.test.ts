/**
 * Bad input at the command line: one message with place and remedy, exit code 1, no stack trace, nothing half-written.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/program.js";
import { nodeHost } from "../../src/host.js";
import { writeNpz } from "../../src/frontend/npz.js";

const model = new URL("../../examples/braggnn/braggnn_s1.onnx", import.meta.url).pathname;
const calib = new URL("../../examples/braggnn/data/calib.npz", import.meta.url).pathname;

let work: string;
beforeAll(() => (work = mkdtempSync(join(tmpdir(), "onnx-hls-bad-"))));
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function cli(...args: string[]): Promise<{ code: number; err: string }> {
  let err = "";
  const code = await main(args, {
    host: nodeHost(),
    out: () => {},
    err: (t) => void (err += t),
    isTTY: false,
    env: {},
  });
  return { code, err };
}

function data(name: string, shape: readonly number[], fill: (i: number) => number, array = "patch"): string {
  const path = join(work, name);
  const values = Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => fill(i));
  writeFileSync(path, writeNpz(new Map([[array, { shape, data: values }]])));
  return path;
}
function file(name: string, content: string | Uint8Array): string {
  const path = join(work, name);
  writeFileSync(path, content);
  return path;
}

interface Case {
  readonly what: string;
  readonly args: () => string[];
  readonly says: readonly RegExp[];
}

const cases: readonly Case[] = [
  { what: "a model that is not there", args: () => ["nowhere.onnx"], says: [/IO001.*nowhere\.onnx.*no such file/] },
  {
    what: "a truncated model",
    args: () => [file("cut.onnx", readFileSync(model).subarray(0, 9000))],
    says: [/ON001/, /truncated|ends|end/],
  },
  { what: "a text file", args: () => [file("page.onnx", "<html>404</html>")], says: [/ON001/, /cut|page\.onnx/] },
  {
    what: "calibration data of the wrong shape",
    args: () => [model, "--calib", data("shape.npz", [4, 1, 9, 9], () => 0.5)],
    says: [/NP003.*\[4, 1, 9, 9\].*\[N, 1, 11, 11\]/, /patch/],
  },
  {
    what: "calibration data with NaN",
    args: () => [model, "--calib", data("nan.npz", [4, 1, 11, 11], (i) => (i === 200 ? NaN : 0.5))],
    says: [/NP004.*patch.*NaN, in sample 1/],
  },
  {
    what: "calibration data without the input",
    args: () => [model, "--calib", data("name.npz", [4, 3], () => 0, "other")],
    says: [/NP003|NP002/, /patch/],
  },
  { what: "data that are no arrays", args: () => [model, "--calib", file("no.npz", "hello")], says: [/NP001/] },
  {
    what: "a target that no device of this size reaches",
    args: () => [model, "--calib", calib, "--target-ii", "1"],
    says: [/FL005.*does not fit xcu280.*DSP/, /--target-ii \d+ fits/],
  },
  {
    what: "more samples a second than cycles",
    args: () => [model, "--calib", calib, "--target-rate", "1G"],
    says: [/FL004/, /at most 250000000/],
  },
  {
    what: "a budget that nothing fits",
    args: () => [model, "--calib", calib, "--budget", "lut=10"],
    says: [/FL003.*lut=10/, /use --budget lut=\d+/],
  },
  {
    what: "a device that is not known",
    args: () => [model, "--device", "xcnone"],
    says: [/FL001.*xcnone/, /xcu280.*lfe5um5g-85f/],
  },
  {
    what: "an unknown precision",
    args: () => [model, "--calib", calib, "--precision", "eight"],
    says: [/QU001.*eight/],
  },
  {
    what: "an unknown key in the configuration",
    args: () => [model, "--config", file("c.yaml", "devise: xcu280\n")],
    says: [/CF008[^\n]*"devise"[\s\S]*"device"/],
  },
  {
    what: "two targets in the configuration",
    args: () => [model, "--config", file("t.yaml", "target_ii: 100\nbudget: { dsp: 50 }\n")],
    says: [/CF006.*target_ii and budget are given/],
  },
  {
    what: "a layer that the network does not have",
    args: () => [model, "--calib", calib, "--config", file("l.yaml", "precision: { layers: { /conv9/Conv: 12 } }\n")],
    says: [/\/conv9\/Conv/],
  },
];

describe("compile refuses", () => {
  it.each(cases)("$what", async ({ args, says }) => {
    const out = join(work, "out");
    const { code, err } = await cli("compile", ...args(), "-o", out);
    expect(code).toBe(1);
    for (const pattern of says) expect(err).toMatch(pattern);
    expect(err).toMatch(/hint: /);
    expect(err).not.toMatch(/\n\s+at |internal error/);
    expect(existsSync(out)).toBe(false);
    // No temporary folder is left behind either.
    expect(readdirSync(work).filter((f) => f.startsWith(".out"))).toEqual([]);
  });

  it("a folder that is somebody else's", async () => {
    const out = join(work, "mine");
    mkdirSync(out);
    writeFileSync(join(out, "thesis.tex"), "x");
    const { code, err } = await cli("compile", model, "--calib", calib, "-o", out, "--target-ii", "1000");
    expect(code).toBe(1);
    expect(err).toMatch(/IO003.*thesis\.tex/);
    expect(readdirSync(out)).toEqual(["thesis.tex"]);
  });

  it("a path below a file", async () => {
    const { code, err } = await cli(
      "compile",
      model,
      "--calib",
      calib,
      "-o",
      join(file("plain", "x"), "out"),
      "--target-ii",
      "1000",
    );
    expect(code).toBe(1);
    expect(err).toMatch(/IO00[12]/);
    expect(err).not.toMatch(/internal error/);
  });

  // The superuser may write anywhere.
  it.skipIf(process.getuid?.() === 0)("an unwritable folder", async () => {
    const locked = join(work, "locked");
    mkdirSync(locked);
    chmodSync(locked, 0o500);
    const { code, err } = await cli(
      "compile",
      model,
      "--calib",
      calib,
      "-o",
      join(locked, "out"),
      "--target-ii",
      "1000",
    );
    expect(code).toBe(1);
    expect(err).toMatch(/IO002.*permission denied/);
  });
});

describe("the other commands refuse", () => {
  it.each(["run", "simulate"])("%s on a folder that was not compiled", async (command) => {
    const { code, err } = await cli(command, work, "--input", calib, "--output", join(work, "y.npz"));
    expect(code).toBe(1);
    expect(err).toMatch(/IO005.*not a folder made by onnx-hls compile/);
    expect(existsSync(join(work, "y.npz"))).toBe(false);
  });

  it("simulate and synth without their tools", async () => {
    const out = join(work, "design");
    expect((await cli("compile", model, "--calib", calib, "-o", out, "--target-ii", "1000")).code).toBe(0);
    const path = process.env["PATH"];
    process.env["PATH"] = "/nonexistent";
    try {
      const sim = await cli("simulate", out, "--input", calib, "--output", join(work, "s.npz"));
      expect(sim.code).toBe(1);
      expect(sim.err).toMatch(/TO001.*verilator/);
      expect(sim.err).toMatch(/apt-get install/);
      const synth = await cli("synth", out);
      expect(synth.code).toBe(1);
      expect(synth.err).toMatch(/TO001.*yosys/);
    } finally {
      process.env["PATH"] = path;
    }
    expect(existsSync(join(work, "s.npz"))).toBe(false);
  });
});
