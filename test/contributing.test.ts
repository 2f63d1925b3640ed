/** The programs of CONTRIBUTING.md, taken out of the page and run: each ends in Verilog. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  compileModel,
  denseAttr,
  type CompileOptions,
  type DesignReport,
  findDevice,
  importOnnx,
  newSession,
  parseModule,
  runDesign,
  readArrays,
  Sink,
  writeNpz,
} from "../src/index.js";
import { random } from "./backend/random-nets.js";

const page = readFileSync(new URL("../CONTRIBUTING.md", import.meta.url), "utf8");
const programs = new Map([...page.matchAll(/```ts (\w+)\n([\s\S]*?)```/g)].map((m) => [m[1] ?? "", m[2] ?? ""]));
const model = new URL("../examples/custom-pass/square.onnx", import.meta.url).pathname;

let work: string;
let data: string;
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "contributing-"));
  for (const [name, text] of programs) {
    const file = join(work, `${name}.ts`);
    writeFileSync(
      file,
      text.replace('"onnx-hls"', JSON.stringify(new URL("../src/index.ts", import.meta.url).pathname)),
    );
    await import(/* @vite-ignore */ file);
  }
  const rnd = random(7);
  data = join(work, "x.npz");
  const x = Float32Array.from({ length: 64 * 8 }, () => rnd() * 2 - 1);
  writeFileSync(data, writeNpz(new Map([["x", { shape: [64, 8], data: x }]])));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function build(name: string, more: Partial<CompileOptions>): Promise<{ report: DesignReport; out: string }> {
  const out = join(work, name);
  const report = await compileModel(model, { out, calib: data, precision: "w12a14", ...more }, newSession());
  expect(readdirSync(join(out, "rtl")).filter((f) => f.endsWith(".v")).length).toBeGreaterThan(0);
  return { report, out };
}

/** Weights of the model, layer by layer. */
function weights(): number[][] {
  const module = importOnnx(readFileSync(model), model, new Sink());
  return (module?.func.body.ops ?? [])
    .filter((op) => op.name === "nn.constant")
    .map((op) => [...denseAttr(op, "value").data]);
}

/** Constants of the network that was built, as real numbers. */
function constants(out: string): number[] {
  const module = parseModule(readFileSync(join(out, "nn.hir"), "utf8"), "nn.hir", new Sink());
  return (module?.func.body.ops ?? [])
    .filter((op) => op.name === "nn.constant")
    .flatMap((op) => [...denseAttr(op, "value").data]);
}

describe("CONTRIBUTING.md", () => {
  it("shows each of them in under 30 lines", () => {
    expect([...programs.keys()]).toEqual(["operator", "pass", "device"]);
    for (const text of programs.values()) expect(text.trimEnd().split("\n").length).toBeLessThan(30);
  });

  it("an operator: from ONNX to Verilog, with the values of its definition", async () => {
    const { report, out } = await build("operator", {});
    expect(report.kernels.some((k) => k.onnx_nodes.includes("energy"))).toBe(true);
    const y = join(work, "y.npz");
    await runDesign(out, { input: data, output: y }, newSession());
    const outputs = [...(readArrays(readFileSync(y), "y").get("y")?.data ?? [])].map(Number);
    // The network by hand: y = (x w1)^2 w2, with 4 squares and 2 outputs.
    const inputs = [...(readArrays(readFileSync(data), "x").get("x")?.data ?? [])].map(Number);
    const [w1 = [], w2 = []] = weights();
    const at = (list: readonly number[], i: number): number => list[i] ?? Number.NaN;
    const expected = Array.from({ length: 64 * 2 }, (_, i) => {
      const [sample, k] = [i >> 1, i & 1];
      const dot = (j: number): number =>
        inputs.slice(8 * sample, 8 * sample + 8).reduce((sum, v, d) => sum + v * at(w1, 4 * d + j), 0);
      return [0, 1, 2, 3].reduce((sum, j) => sum + dot(j) ** 2 * at(w2, 2 * j + k), 0);
    });
    expect(outputs.length).toBe(expected.length);
    outputs.forEach((v, i) => expect(v).toBeCloseTo(at(expected, i), 1));
  });

  it("a pass: every weight in the hardware is a power of two", async () => {
    const { out } = await build("pass", { extraPasses: { prepare: "power-of-two-weights" } });
    const isPower = (raw: number): boolean => raw === 0 || Number.isInteger(Math.log2(Math.abs(raw)));
    expect(constants(out).length).toBeGreaterThan(0);
    expect(constants(out).filter((raw) => !isPower(raw))).toEqual([]);
    expect(constants((await build("without", {})).out).filter((raw) => !isPower(raw)).length).toBeGreaterThan(0);
  });

  it("a device: a design for it, with its limits", async () => {
    expect(findDevice("ice40up3k")?.lut).toBe(2800);
    const { report } = await build("device", { device: "ice40up3k", clockMhz: 20 });
    expect(report.resources.dsp).toBeLessThanOrEqual(4);
    expect(report.resources.lut).toBeLessThanOrEqual(2800);
  });
});
