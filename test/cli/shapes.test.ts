/**
 * `--shape`, `--dim` and `--bind` at the command line: every command that reads a model takes them, and a compiled folder
 * remembers them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArrays, writeNpy, writeNpz } from "../../src/frontend/npz.js";
import { floats, integers, node, onnx, weights } from "../frontend/support.js";
import { uniform } from "../quantize/support.js";
import { cli } from "../support/cli.js";

let work: string;
const at = (name: string): string => join(work, name);

const json = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(at(path), "utf8")) as Record<string, unknown>;

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-shapes-"));
  const random = uniform(4);
  const draw = (n: number): number[] => Array.from({ length: n }, () => random());
  writeFileSync(
    at("open.onnx"),
    onnx({
      node: [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])],
      initializer: [weights("w", [4, 3], draw(12))],
      input: [floats("x", ["batch", "seq", 4])],
      output: [floats("y", ["batch", "seq", 3])],
    }),
  );
  writeFileSync(
    at("baked.onnx"),
    onnx({
      node: [node("Gemm", ["x", "w"], ["h"]), node("Reshape", ["h", "s"], ["y"])],
      initializer: [weights("w", [4, 6], draw(24)), integers("s", [3], [32, 2, -1])],
      input: [floats("x", [32, 4])],
      output: [floats("y", [32, 2, 3])],
    }),
  );
  writeFileSync(
    at("gain.onnx"),
    onnx({
      node: [node("Mul", ["x", "gain"], ["y"])],
      input: [floats("x", [1, 4]), floats("gain", [4])],
    }),
  );
  writeFileSync(at("x5.npz"), writeNpz(new Map([["x", { shape: [9, 5, 4], data: Float32Array.from(draw(180)) }]])));
  writeFileSync(at("x.npz"), writeNpz(new Map([["x", { shape: [64, 4], data: Float32Array.from(draw(256)) }]])));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("--dim", () => {
  it("is what the refusal says to type, in compile and inspect", async () => {
    for (const args of [
      ["compile", at("open.onnx"), "-o", at("none")],
      ["inspect", at("open.onnx")],
      ["explore", at("open.onnx")],
    ]) {
      const { code, err } = await cli(...args, "-q");
      expect([args[0], code]).toEqual([args[0], 1]);
      expect(err).toContain("--dim seq=16");
    }
    expect((await cli("inspect", at("open.onnx"), "--dim", "seq=5", "-q")).out).toContain("x [1, 5, 4]");
  });

  it("is recorded in the folder, which compare and run take as it is", async () => {
    const compiled = await cli(
      "compile",
      at("open.onnx"),
      "-o",
      at("b5"),
      "--dim",
      "seq=5",
      "--calib",
      at("x5.npz"),
      "-q",
    );
    expect([compiled.code, compiled.err]).toEqual([0, ""]);
    expect([json("b5/design.json")["dims"], json("b5/report.json")["dims"], json("b5/report.json")["shapes"]]).toEqual([
      { seq: 5 },
      { seq: 5 },
      undefined,
    ]);
    expect((await cli("compare", at("open.onnx"), at("b5"), "--input", at("x5.npz"), "-q")).code).toBe(0);
    expect((await cli("run", at("b5"), "--input", at("x5.npz"), "--output", at("y5.npz"), "-q")).code).toBe(0);
    expect(readArrays(readFileSync(at("y5.npz")), "y5.npz").get("y")!.shape).toEqual([9, 5, 3]);
    const other = await cli("compare", at("open.onnx"), at("b5"), "--input", at("x5.npz"), "--dim", "seq=6", "-q");
    expect([other.code, other.err.includes("IO006")]).toEqual([1, true]);
  });

  it("comes from a configuration file as well, and explore says it in what compiles its designs", async () => {
    writeFileSync(at("c.yaml"), "dim: { seq: 3 }\nshape: { x: 1x3x4 }\n");
    const { code, out } = await cli(
      "explore",
      at("open.onnx"),
      "--config",
      at("c.yaml"),
      "--intervals",
      "1",
      "--cores",
      "1",
      "--json",
      "-q",
    );
    expect(code).toBe(0);
    const { compile } = JSON.parse(out) as { compile: string[] };
    expect(compile.slice(compile.indexOf("--shape"))).toEqual(["--shape", "x=1x3x4", "--dim", "seq=3"]);
  });

  it.each([
    ["dim: 5\n", /dim is 5 in the configuration/],
    ["shape: { x: big }\n", /shape of x is "big"/],
    ["dim: { seq: many }\n", /dim of seq is "many"/],
  ])("%j is refused", async (yaml, says) => {
    writeFileSync(at("bad.yaml"), yaml);
    const { code, err } = await cli("compile", at("open.onnx"), "-o", at("none"), "--config", at("bad.yaml"), "-q");
    expect(code).toBe(1);
    expect(err).toMatch(says);
  });
});

describe("--bind", () => {
  it("is recorded in the folder, which compare takes as it is", async () => {
    const compiled = await cli(
      "compile",
      at("gain.onnx"),
      "-o",
      at("g2"),
      "--bind",
      "gain=2",
      "--calib",
      at("x.npz"),
      "-q",
    );
    expect([compiled.code, compiled.err]).toEqual([0, ""]);
    expect([json("g2/design.json")["bind"], json("g2/report.json")["bind"]]).toEqual([
      { gain: { data: [2] } },
      { gain: { data: [2] } },
    ]);
    expect((await cli("compare", at("gain.onnx"), at("g2"), "--input", at("x.npz"), "-q")).code).toBe(0);
    const other = await cli("compare", at("gain.onnx"), at("g2"), "--input", at("x.npz"), "--bind", "gain=3", "-q");
    expect([other.code, other.err.includes("IO006")]).toEqual([1, true]);
  });

  it("takes numbers, truth values and NumPy files, from a configuration file as well", async () => {
    writeFileSync(at("gain.npy"), writeNpy({ shape: [4], data: Float32Array.from([1, 2, 3, 4]) }));
    const ports = async (...args: string[]): Promise<string> =>
      (await cli("inspect", at("gain.onnx"), ...args, "-q")).out;
    for (const value of ["1,2,3,4", "true", "-1e-3", at("gain.npy")])
      expect(await ports("--bind", `gain=${value}`)).toMatch(/inputs: {2}x \[1, 4\]\n/);
    for (const [yaml, bound] of [
      [`bind: { gain: ${at("gain.npy")} }\n`, "1,2,3,4"],
      ["bind: { gain: [4, 3, 2, 1] }\n", "4,3,2,1"],
      ["bind: { gain: 0.5 }\n", "0.5"],
    ] as const) {
      writeFileSync(at("b.yaml"), yaml);
      const { code, out } = await cli(
        "explore",
        at("gain.onnx"),
        "--config",
        at("b.yaml"),
        "--intervals",
        "1",
        "--cores",
        "1",
        "--json",
        "-q",
      );
      expect([yaml, code]).toEqual([yaml, 0]);
      const { compile } = JSON.parse(out) as { compile: string[] };
      expect(compile.slice(compile.indexOf("--bind"))).toEqual(["--bind", `gain=${bound}`]);
    }
  });

  it.each([
    [2, ["--bind", "gain"], /an input and its value are needed/],
    [2, ["--bind", "gain=loud"], /an input and its value are needed/],
    [2, ["--bind", "gain=1", "--bind", "gain=2"], /the value of gain is given twice/],
    [1, ["--bind", "gain=none.npy"], /IO001.*none\.npy/],
  ])("ends with %i where it is %j", async (expected, args, says) => {
    const { code, err } = await cli("inspect", at("gain.onnx"), ...args, "-q");
    expect(code).toBe(expected);
    expect(err).toMatch(says);
  });
  it.each([
    ["bind: 5\n", /bind is 5 in the configuration/],
    ["bind: { gain: loud }\n", /bind of gain is "loud"/],
    ["bind: { gain: [a] }\n", /bind of gain is/],
  ])("%j is refused", async (yaml, says) => {
    writeFileSync(at("bad.yaml"), yaml);
    const { code, err } = await cli("compile", at("gain.onnx"), "-o", at("none"), "--config", at("bad.yaml"), "-q");
    expect([code, err]).toEqual([1, expect.stringMatching(says)]);
  });
});

describe("--shape", () => {
  it("takes one sample out of a batch in the file", async () => {
    const whole = await cli("inspect", at("baked.onnx"), "-q");
    expect(whole.err).toMatch(/ON025.*a batch of 32 samples[\s\S]*--shape x=1x4/);
    const { code, err } = await cli(
      "compile",
      at("baked.onnx"),
      "-o",
      at("b1"),
      "--shape",
      "x=1x4",
      "--calib",
      at("x.npz"),
      "-q",
    );
    expect([code, err]).toEqual([0, ""]);
    expect(json("b1/design.json")["shapes"]).toEqual({ x: [1, 4] });
    expect(json("b1/report.json")["macs"]).toBe(24);
    const { out } = await cli("compare", at("baked.onnx"), at("b1"), "--input", at("x.npz"), "--json", "-q");
    expect((JSON.parse(out) as { samples: number }).samples).toBe(64);
  });

  it.each([
    ["--shape", "x"],
    ["--shape", "x=4y4"],
    ["--shape", "=1x4"],
    ["--dim", "seq=-1"],
    ["--dim", "seq"],
    ["--dim", "seq=1.5"],
  ])("%s %s is wrong usage", async (option, value) => {
    expect((await cli("inspect", at("baked.onnx"), option, value)).code).toBe(2);
  });
  it("given twice for one input is wrong usage", async () => {
    expect((await cli("inspect", at("baked.onnx"), "--shape", "x=1x4", "--shape", "x=2x4")).code).toBe(2);
  });
});
