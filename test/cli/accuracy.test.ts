/** `compare` and `compile --max-error` at the command line, on a network with two inputs and two outputs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Comparison, DesignReport } from "../../src/driver.js";
import { readArrays, writeNpz } from "../../src/frontend/npz.js";
import { floats, node, onnx, weights } from "../frontend/support.js";
import { uniform } from "../quantize/support.js";
import { cli } from "../support/cli.js";

let work: string;
const at = (name: string): string => join(work, name);

/** sum = relu(a w1) + b, exported as is; and a dense layer behind it. */
function model(seed: number): Uint8Array {
  const random = uniform(seed);
  const draw = (n: number, scale: number): number[] => Array.from({ length: n }, () => random() * scale);
  return onnx({
    input: [floats("a", ["N", 8]), floats("b", ["N", 6])],
    output: [floats("sum", ["N", 6]), floats("scores", ["N", 4])],
    initializer: [
      weights("w1", [8, 6], draw(48, 0.5)),
      weights("w2", [6, 4], draw(24, 0.6)),
      weights("c2", [4], draw(4, 0.2)),
    ],
    node: [
      node("MatMul", ["a", "w1"], ["h"], "/first/MatMul"),
      node("Relu", ["h"], ["r"], "/act/Relu"),
      node("Add", ["r", "b"], ["sum"], "/join/Add"),
      node("Gemm", ["sum", "w2", "c2"], ["g"], "/second/Gemm"),
      node("Sigmoid", ["g"], ["scores"], "/squash/Sigmoid"),
    ],
  });
}

function data(name: string, count: number, scale = 1, seed = 3): string {
  const random = uniform(seed);
  const array = (n: number): { shape: number[]; data: Float32Array } => ({
    shape: [count, n],
    data: Float32Array.from({ length: count * n }, () => random() * scale),
  });
  writeFileSync(
    at(name),
    writeNpz(
      new Map([
        ["a", array(8)],
        ["b", array(6)],
      ]),
    ),
  );
  return at(name);
}

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-accuracy-"));
  writeFileSync(at("net.onnx"), model(1));
  writeFileSync(at("other.onnx"), model(2));
  data("calib.npz", 128);
  data("test.npz", 37, 1, 8);
  expect((await cli("compile", at("net.onnx"), "-o", at("build"), "--calib", at("calib.npz"), "-q")).code).toBe(0);
}, 60_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("compare", () => {
  it("measures outputs as run computes them", async () => {
    const { code, out } = await cli("compare", at("net.onnx"), at("build"), "--input", at("test.npz"), "--json", "-q");
    expect(code).toBe(0);
    const c = JSON.parse(out) as Comparison;
    expect(c).toMatchObject({ samples: 37, precision: "w8a10" });
    expect(c.outputs.map((o) => [o.name, o.elements])).toEqual([
      ["sum", 6],
      ["scores", 4],
    ]);
    expect((await cli("run", at("build"), "--input", at("test.npz"), "--output", at("fixed.npz"), "-q")).code).toBe(0);
    const fixed = readArrays(readFileSync(at("fixed.npz")), "fixed.npz");
    // The fixed-point values of the scatter are those that run writes.
    const written = new Set([...fixed.get("scores")!.data].map((v) => v.toFixed(9)));
    expect(c.outputs[1]!.points.every(([, v]) => written.has(v.toFixed(9)))).toBe(true);
    for (const o of c.outputs) {
      expect(o.mae).toBeGreaterThan(0);
      expect(o.mae).toBeLessThanOrEqual(o.rmse);
      expect(o.rmse).toBeLessThanOrEqual(o.max_abs_error);
      expect(o.histogram.bins.reduce((n, b) => n + b, 0)).toBe(37 * o.elements);
    }
    expect(c.layers.map((l) => l.name)).toEqual(
      ["a", "b", "/first/MatMul", "/squash/Sigmoid"].map((n) => (n === "/squash/Sigmoid" ? "/second/Gemm" : n)),
    );
    expect(c.layers.find((l) => l.name === "/first/MatMul")!.nodes).toEqual([
      "/first/MatMul",
      "/act/Relu",
      "/join/Add",
    ]);
    expect(c.layers.map((l) => l.name)).toContain(c.worst_layer);
  });

  it("says in words and in a table which layer loses most", async () => {
    const { code, out } = await cli(
      "compare",
      at("net.onnx"),
      at("build"),
      "--input",
      at("test.npz"),
      "--samples",
      "10",
      "-q",
    );
    expect(code).toBe(0);
    expect(out).toMatch(/on 10 samples/);
    expect(out).toMatch(/^> \S+/m);
    expect(out).toMatch(/Most is lost at \S+.*% of the noise at the outputs; .*--precision 'w8a10,\S+=[wai]\d+'/);
  });

  it("gives advice that helps", async () => {
    const narrow = ["compile", at("net.onnx"), "-o", at("narrow"), "--calib", at("calib.npz"), "-q", "--precision"];
    expect((await cli(...narrow, "w10a14,/first/MatMul=a5")).code).toBe(0);
    const look = async (): Promise<Comparison> =>
      JSON.parse(
        (await cli("compare", at("net.onnx"), at("narrow"), "--input", at("test.npz"), "--json", "-q")).out,
      ) as Comparison;
    const before = await look();
    expect(before.worst_layer).toBe("/first/MatMul");
    const change = /'(\S+)' to --precision/.exec(before.findings[0]!)![1]!;
    expect((await cli(...narrow, `w10a14,/first/MatMul=a5,${change}`)).code).toBe(0);
    expect((await look()).outputs[0]!.sqnr_db).toBeGreaterThan(before.outputs[0]!.sqnr_db + 6);
  });

  it("blames data that calibration has not seen", async () => {
    data("loud.npz", 20, 6);
    const { out } = await cli("compare", at("net.onnx"), at("build"), "--input", at("loud.npz"), "-q");
    expect(out).toMatch(/of its values lie beyond what \S+ can hold .*compile with --calib DATA/);
  });

  it("draws one page that needs nothing else", async () => {
    const { code, out } = await cli(
      "compare",
      at("net.onnx"),
      at("build"),
      "--input",
      at("test.npz"),
      "--html",
      at("page.html"),
      "-q",
    );
    expect([code, out]).toEqual([0, expect.stringContaining("drawn in")]);
    const page = readFileSync(at("page.html"), "utf8");
    expect(page).toMatch(/^<!DOCTYPE html>/);
    expect(page).not.toMatch(/https?:|<script|<link|@import|url\(|src=/);
    // Ratio, ranges, and scatter and errors of two outputs.
    expect(page.match(/<svg [^>]*role="img"/g)).toHaveLength(6);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
    for (const tag of ["svg", "section", "text", "table", "tr", "td", "div"]) {
      expect((page.match(new RegExp(`<${tag}[ >]`, "g")) ?? []).length, tag).toBe(
        (page.match(new RegExp(`</${tag}>`, "g")) ?? []).length,
      );
    }
  });

  it.each([
    [
      "another model",
      () => ["other.onnx", "build", "test.npz"],
      /IO006.*build was compiled from another network.*net\.onnx/,
    ],
    ["a folder without a design", () => ["net.onnx", "nowhere", "test.npz"], /IO005/],
    ["data for another network", () => ["net.onnx", "build", "half.npz"], /NP002.*"b"/],
  ])("refuses %s", async (_, args, expected) => {
    writeFileSync(at("half.npz"), writeNpz(new Map([["a", { shape: [2, 8], data: new Float32Array(16) }]])));
    const [m, dir, input] = args() as [string, string, string];
    const { code, err, out } = await cli(
      "compare",
      at(m),
      at(dir),
      "--input",
      at(input),
      "--html",
      at("never.html"),
      "-q",
    );
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(expected);
    expect(err).toMatch(/hint: /);
    expect(existsSync(at("never.html"))).toBe(false);
  });
});

describe("compile --max-error", () => {
  const compile = (dir: string, ...more: string[]): ReturnType<typeof cli> =>
    cli("compile", at("net.onnx"), "-o", at(dir), "--calib", at("calib.npz"), ...more);

  it("reports what it chose and why, and the printed options give the same network", async () => {
    const { code, out, err } = await compile(
      "searched",
      "--max-error",
      "scores:mae=0.004",
      "--max-error",
      "sum:max=0.1",
    );
    expect(code).toBe(0);
    expect(err).toMatch(/sensitivity of each layer\nsearch for widths\nrefinement\n/);
    expect(out).toMatch(/scores: mae at most 0\.004; .* on the 64 samples of the search, .* on 32 samples held out/);
    expect(out).toMatch(/layer +weights +result +table +share of cost +share of noise +one bit less/);
    expect(out).toMatch(/\/first\/MatMul +\d+ +- +- +\d+%/);
    const report = JSON.parse(readFileSync(at("searched/report.json"), "utf8")) as DesignReport;
    expect(report.precision.bounds!.map((b) => [b.output, b.metric, b.bound])).toEqual([
      ["scores", "mae", 0.004],
      ["sum", "max", 0.1],
    ]);
    for (const b of report.precision.bounds!) expect(b.search).toBeLessThanOrEqual(b.bound);
    expect(report.precision.bounds!.every((b) => b.held_out! > 0)).toBe(true);
    expect(report.precision.chosen!.length).toBeGreaterThan(4);

    const spec = /--precision '([^']+)' --hold-out 0\.5/.exec(out)!;
    expect(spec[1]).toBe(report.precision.spec);
    expect((await compile("again", "--precision", spec[1]!, "--hold-out", "0.5", "-q")).code).toBe(0);
    expect(readFileSync(at("again/nn.hir"), "utf8")).toBe(readFileSync(at("searched/nn.hir"), "utf8"));
    const yaml = /in a file for --config:\n([\s\S]*?)\n\n/.exec(out)![1]!;
    writeFileSync(at("widths.yaml"), yaml);
    expect((await compile("configured", "--config", at("widths.yaml"), "-q")).code).toBe(0);
    expect(readFileSync(at("configured/nn.hir"), "utf8")).toBe(readFileSync(at("searched/nn.hir"), "utf8"));
  });

  it("takes bounds from a configuration", async () => {
    writeFileSync(at("bound.yaml"), "max_error: [scores:argmax=90%]\nhold_out: 0.25\n");
    const { code, out } = await compile("configured2", "--config", at("bound.yaml"), "--json", "-q");
    expect(code).toBe(0);
    const p = (JSON.parse(out) as DesignReport).precision;
    expect(p).toMatchObject({
      hold_out: 0.25,
      search_samples: 96,
      held_out_samples: 16,
      bounds: [{ output: "scores", metric: "argmax", bound: 0.9 }],
    });
  });

  it.each([
    [
      "a bound that nothing keeps",
      ["--max-error", "sum:max=1e-12"],
      /QU010.*sum:max 1e-12 cannot be kept.*\n.*the best that can be asked for is max 0\.0/,
    ],
    ["a metric that is not known", ["--max-error", "mea=1"], /QU008.*mea.*\n.*did you mean mae/],
    ["an output that is not there", ["--max-error", "score:mae=1"], /QU009.*"score".*\n.*"scores"/],
  ])("refuses %s", async (_, more, expected) => {
    const { code, out, err } = await compile("refused", ...more, "-q");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(expected);
    expect(existsSync(at("refused"))).toBe(false);
  });

  it("needs data", async () => {
    const none = await cli("compile", at("net.onnx"), "-o", at("refused"), "--max-error", "mae=1", "-q");
    expect([none.code, none.err]).toEqual([1, expect.stringMatching(/QU011.*calibration data/)]);
    data("few.npz", 6);
    const few = await cli(
      "compile",
      at("net.onnx"),
      "-o",
      at("refused"),
      "--calib",
      at("few.npz"),
      "--max-error",
      "mae=1",
      "-q",
    );
    expect([few.code, few.err]).toEqual([1, expect.stringMatching(/QU011.*at least 8 calibration samples/)]);
    expect((await cli("compile", at("net.onnx"), "-o", at("refused"), "--hold-out", "1")).code).toBe(2);
  });

  it("holds samples out without a search, too", async () => {
    const [all, half] = await Promise.all([compile("plain", "-q"), compile("half", "--hold-out", "0.5", "-q")]);
    expect([all.code, half.code]).toEqual([0, 0]);
    const read = (dir: string): DesignReport =>
      JSON.parse(readFileSync(at(`${dir}/report.json`), "utf8")) as DesignReport;
    expect(read("plain").precision).toEqual({ spec: "w8a10", hold_out: 0 });
    expect(read("half").precision).toEqual({ spec: "w8a10", hold_out: 0.5 });
    expect(read("half").accuracy!["sum"]!.rmse).not.toBe(read("plain").accuracy!["sum"]!.rmse);
  });
});
