/** The test bench of the package, run with the simulators as a stranger would: nothing of ours takes part. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileModel, newSession } from "../../src/driver.js";
import { writeNpz } from "../../src/frontend/npz.js";
import { cancelling, uniform } from "../quantize/support.js";

let work: string;
let tb: string;
let interval: number;
let latency: number;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-tb-"));
  tb = join(work, "out/ip/tb");
  writeFileSync(join(work, "net.onnx"), cancelling());
  const random = uniform(3);
  const data = Float32Array.from({ length: 64 * 8 }, () => random());
  writeFileSync(join(work, "calib.npz"), writeNpz(new Map([["x", { shape: [64, 8], data }]])));
  const report = await compileModel(
    join(work, "net.onnx"),
    { out: join(work, "out"), calib: join(work, "calib.npz"), axisWidth: { unit: "elements", count: 1 } },
    newSession(),
  );
  [interval, latency] = [report.initiation_interval, report.latency];
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function run(script: string, ...args: string[]): Promise<{ code: number | undefined; out: string }> {
  const r = await execa("sh", [join(tb, script), ...args], { reject: false, all: true });
  return { code: r.exitCode, out: r.all };
}

describe.each(["run_icarus.sh", "run_verilator.sh"])("%s", (script) => {
  it("passes at full rate in the predicted cycles", async () => {
    const r = await run(script, "+stall=0");
    expect(r.out).toContain(`PASS: 16 samples, ${latency + 15 * interval} cycles, stall 0 of 256`);
    expect(r.code).toBe(0);
  });
  it.each([
    ["64", "1"],
    ["200", "9"],
  ])("passes with pauses in %s of 256 cycles, seed %s", async (stall, seed) => {
    const r = await run(script, `+stall=${stall}`, `+seed=${seed}`);
    expect(r.out).toContain(`stall ${stall} of 256, seed ${seed}`);
    expect([r.code, r.out.includes("PASS")]).toEqual([0, true]);
  });
  it("fails with the place of the first difference", async () => {
    const path = join(tb, "m_axis.hex");
    const text = readFileSync(path, "utf8");
    const lines = text.trimEnd().split("\n");
    const last = lines.length - 1;
    lines[last] = lines[last]!.replace(/.$/, (digit) => (digit === "0" ? "1" : "0"));
    writeFileSync(path, `${lines.join("\n")}\n`);
    const r = await run(script);
    writeFileSync(path, text);
    expect(r.out).toMatch(/first difference at m_axis, sample 15, beat \d+: tdata/);
    expect(r.out).toContain("FAIL: 1 beats differ");
    expect(r.code).not.toBe(0);
  });
});

it("has scripts for the vendors' simulators that name every source", () => {
  for (const tool of ["xsim", "questa", "vcs"]) {
    const text = readFileSync(join(tb, `run_${tool}.sh`), "utf8");
    const named = [...text.matchAll(/\.\.\/hdl\/(\S+\.v)/g)].map((m) => m[1]);
    expect(named).toContain("net.v");
  }
});
