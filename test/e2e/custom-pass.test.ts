/** examples/custom-pass: an operator and a pass that a program adds, from ONNX to Verilog. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../examples/custom-pass/extend.js";
import {
  compileModel,
  denseAttr,
  importOnnx,
  newSession,
  parseModule,
  PassManager,
  readArrays,
  runDesign,
  simulateDesign,
  Sink,
  writeNpz,
  type CompileOptions,
  parseExtraPass,
} from "../../src/index.js";
import { random } from "../backend/random-nets.js";

const model = new URL("../../examples/custom-pass/square.onnx", import.meta.url).pathname;
const load = () => importOnnx(readFileSync(model), model, new Sink())!;

let work: string;
beforeAll(() => (work = mkdtempSync(join(tmpdir(), "onnx-hls-custom-"))));
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("an operator of one's own", () => {
  it("goes all the way to Verilog", async () => {
    const rnd = random(5);
    const x = Float32Array.from({ length: 64 * 8 }, () => rnd() * 2 - 1);
    const data = join(work, "x.npz");
    writeFileSync(data, writeNpz(new Map([["x", { shape: [64, 8], data: x }]])));
    const out = join(work, "design");
    const report = await compileModel(model, { out, calib: data, precision: "w12a14" }, newSession());
    expect(report.kernels.some((k) => k.onnx_nodes.includes("energy"))).toBe(true);
    await runDesign(out, { input: data, output: join(work, "y.npz") }, newSession());
    const y = readArrays(readFileSync(join(work, "y.npz")), "y").get("y")!.data;
    // The network by hand: y = (x w1)^2 w2.
    const [w1, w2] = load()
      .func.body.ops.filter((op) => op.name === "nn.constant")
      .map((op) => denseAttr(op, "value").data);
    for (let s = 0; s < 64; s++) {
      const q = [0, 1, 2, 3].map(
        (j) => [...x.subarray(8 * s, 8 * s + 8)].reduce((sum, v, i) => sum + v * w1![4 * i + j]!, 0) ** 2,
      );
      for (const k of [0, 1])
        expect(y[2 * s + k]!).toBeCloseTo(
          q.reduce((sum, v, j) => sum + v * w2![2 * j + k]!, 0),
          1,
        );
    }
    const sim = await simulateDesign(out, { input: data, output: join(work, "s.npz"), stall: 0.2 }, newSession());
    expect(sim.mismatches).toBe(0);
  });
});

describe("a pass of one's own", () => {
  it("runs in a pipeline, with its option", () => {
    const zeros = (below: number): number => {
      const { module } = new PassManager().run(load(), `prune{below=${below}}`);
      return module.func.body.ops.reduce(
        (n, op) => n + (op.name === "nn.constant" ? denseAttr(op, "value").data.filter((v) => v === 0).length : 0),
        0,
      );
    };
    expect(zeros(0)).toBe(0);
    expect(zeros(0.3)).toBeGreaterThan(0);
    expect(zeros(0.6)).toBeGreaterThan(zeros(0.3));
    expect(() => new PassManager().run(load(), "prune{above=1}")).toThrow(/above/);
  });
  it("reaches hardware behind the stage that is named, with the IR before and after", async () => {
    const rnd = random(6);
    const x = Float32Array.from({ length: 64 * 8 }, () => rnd() * 2 - 1);
    const data = join(work, "p.npz");
    writeFileSync(data, writeNpz(new Map([["x", { shape: [64, 8], data: x }]])));
    const zeros = (hir: string): number =>
      parseModule(hir, "nn.hir", new Sink())!.func.body.ops.reduce(
        (n, op) => n + (op.name === "nn.constant" ? denseAttr(op, "value").data.filter((v) => v === 0).length : 0),
        0,
      );
    const build = async (name: string, more: Partial<CompileOptions>): Promise<string> => {
      const out = join(work, name);
      await compileModel(
        model,
        { out, calib: data, precision: "w12a14", target: { kind: "ii", cycles: 8 }, ...more },
        newSession(),
      );
      return out;
    };
    const plain = await build("plain", {});
    const pruned = await build("pruned", { extraPasses: { prepare: "prune{below=0.5}" }, dumpIr: join(work, "ir") });
    expect(zeros(readFileSync(join(pruned, "nn.hir"), "utf8"))).toBeGreaterThan(
      zeros(readFileSync(join(plain, "nn.hir"), "utf8")),
    );
    const dumped = readdirSync(join(work, "ir"));
    expect(dumped.filter((f) => f.includes("prune"))).toHaveLength(1);
    const sim = await simulateDesign(pruned, { input: data, output: join(work, "ps.npz") }, newSession());
    expect(sim.mismatches).toBe(0);
    writeFileSync(join(work, "c.yaml"), "passes_after:\n  prepare: prune{below=0.5}\n");
    const fromFile = await build("file", { config: join(work, "c.yaml") });
    expect(readFileSync(join(fromFile, "model.hir"), "utf8")).toBe(readFileSync(join(pruned, "model.hir"), "utf8"));
    await expect(build("no", { extraPasses: { prepare: "prun" } })).rejects.toThrow(/prune/);
    expect(() => parseExtraPass("prepar=prune")).toThrow(/CF004[\s\S]*prepare/);
  });
});
