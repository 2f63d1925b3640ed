/** Doors of the package to other tools: each is opened with the tool itself where that is on this machine. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { findTool } from "../../src/backend-verilog/tools.js";
import { compileModel, newSession, type DesignReport } from "../../src/driver.js";
import { cancelling } from "../quantize/support.js";
import { pythonWith } from "../support/python.js";

let work: string;
let ip: string;
let report: DesignReport;
const text = (name: string): string => readFileSync(join(ip, name), "utf8");

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-doors-"));
  ip = join(work, "out/ip");
  writeFileSync(join(work, "net.onnx"), cancelling());
  const model = join(work, "net.onnx");
  report = await compileModel(model, { out: join(work, "out"), singleFile: true }, newSession());
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("the package", () => {
  it("has a README whose worked numbers are those of the vectors", () => {
    const readme = text("README.md");
    expect(readme).toContain(`${report.latency} cycles`);
    const examples = [...readme.matchAll(/beat (\d+) of the first sample of the test bench is 0x(\w+)/g)];
    expect(examples).toHaveLength(2);
    ["s_axis", "m_axis"].forEach((port, i) => {
      const [, beat, tdata] = examples[i]!;
      expect(text(`tb/${port}.hex`).split("\n")[Number(beat)]).toBe(tdata);
    });
    // Element 0 is in the low bits, and its value is the integer times the unit.
    for (const m of readme.matchAll(
      /integer times 2\^-(\d+)\.[\s\S]*?is 0x(\w+): its element 0 is 0x(\w+), the\ninteger (-?\d+), the value (\S+)\.\n/g,
    )) {
      const [, frac, tdata, pattern, raw, value] = m;
      expect(BigInt(`0x${tdata}`) & 0xffn).toBe(BigInt(`0x${pattern}`) & 0xffn);
      expect(Number(value)).toBeCloseTo(Number(raw) * 2 ** -Number(frac), 4);
    }
  });
  it("has waves of equal length, and their drawing", () => {
    const wave = JSON.parse(text("timing.json")) as { signal: ({ wave: string } | [string, ...{ wave: string }[]])[] };
    const rows = wave.signal.flatMap((s) => (Array.isArray(s) ? (s.slice(1) as { wave: string }[]) : [s]));
    expect(new Set(rows.map((r) => r.wave.length)).size).toBe(1);
    expect(rows).toHaveLength(2 + 2 * 4);
    expect(text("timing.svg")).toMatch(/^<svg [\s\S]*<\/svg>\s*$/);
  });
  it("has a FuseSoC core that names files that are there", () => {
    const core = parse(text("net.core").replace("CAPI=2:\n", "")) as {
      filesets: { rtl: { files: string[] }; tb: { files: Record<string, unknown>[] } };
    };
    const files = [...core.filesets.rtl.files, ...core.filesets.tb.files.flatMap((f) => Object.keys(f))];
    expect(files.filter((f) => !existsSync(join(ip, f)))).toEqual([]);
  });
  const found = pythonWith("fusesoc");
  it.skipIf("missing" in found)(`runs under FuseSoC ${"missing" in found ? found.missing : ""}`, async () => {
    const python = "python" in found ? found.python : "";
    const args = ["-m", "fusesoc.main", "--cores-root", ip, "run", "--target=sim", "onnx-hls:nn:net"];
    const r = await execa(python, args, { cwd: work, reject: false, all: true });
    expect(r.all).toContain("PASS: 16 samples");
    expect(r.exitCode).toBe(0);
  });
  it("has all Verilog in one file that Yosys reads", async () => {
    const script = `read_verilog ${join(ip, "net_all.v")}; hierarchy -check -top net`;
    expect((await execa("yosys", ["-q", "-p", script], { reject: false })).exitCode).toBe(0);
  });
  it("has a VHDL component with the ports of the top module", async () => {
    const vhdl = text("net.vhd");
    for (const p of report.ports)
      expect(vhdl).toMatch(new RegExp(`${p.direction === "input" ? "s" : "m"}_axis_tdata +: \\w+ +std_logic_vector`));
    // GHDL is not part of the set-up; where somebody has it, it judges.
    if (findTool("ghdl") === undefined) return;
    const r = await execa("ghdl", ["-a", "--std=08", `--workdir=${work}`, join(ip, "net.vhd")], { reject: false });
    expect([r.exitCode, r.stderr]).toEqual([0, ""]);
  });
});
