/**
 * Every message is provoked by some test: those that no other test provokes are here, by the shortest way that a user could
 * meet them.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runTool } from "../../src/backend-verilog/tools.js";
import { requireRouter } from "../../src/backend-verilog/route.js";
import { main } from "../../src/cli/program.js";
import { codes } from "../../src/diagnostics/codes.js";
import { writeNpz } from "../../src/frontend/npz.js";
import { nodeHost } from "../../src/host.js";
import { findDevice, parseModule, prepareNn, registerOnnxOp, registerOp, Sink } from "../../src/index.js";
import { floats, node, onnx, weights } from "../frontend/support.js";
import { cancelling, uniform } from "../quantize/support.js";

const host = nodeHost();
let work: string;
beforeAll(() => (work = mkdtempSync(join(tmpdir(), "codes-"))));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** What the command line says, and its exit code. */
async function cli(...args: string[]): Promise<{ code: number; err: string }> {
  let err = "";
  const code = await main(args, {
    // What is left for a report of a failure goes beside the other files, not where the tests are run.
    host: {
      ...host,
      writeFile: (path, bytes) => host.writeFile(path === "repro.hir" ? join(work, path) : path, bytes),
    },
    out: () => undefined,
    err: (t) => void (err += t),
    isTTY: false,
    env: {},
  });
  return { code, err };
}
function file(name: string, data: Uint8Array | string): string {
  writeFileSync(join(work, name), data);
  return join(work, name);
}
/** Arrays by name: shape, and the numbers in row-major order. */
function arrays(name: string, of: Readonly<Record<string, readonly [readonly number[], readonly number[]]>>): string {
  const list = Object.entries(of).map(([k, [shape, data]]) => [k, { shape, data: Float32Array.from(data) }] as const);
  return file(name, writeNpz(new Map(list)));
}
function numbers(count: number, of: (i: number) => number = () => 1): number[] {
  const random = uniform(3);
  return Array.from({ length: count }, (_, i) => random() * of(i));
}
const compile = (model: string, ...more: string[]): ReturnType<typeof cli> =>
  cli("compile", model, "-o", join(work, "out"), "-q", ...more);

const FIXED = `module "m" {
  func() {sym = "f", inputs = ["x"], outputs = ["y"]} ({
  ^(%x: tensor<1x16xfixed<8,4>>):
    %y = nn.relu(%x) : (tensor<1x16xfixed<8,4>>) -> tensor<1x16xfixed<8,4>>
    return(%y) : (tensor<1x16xfixed<8,4>>) -> ()
  }) : () -> ()
}
`;
const WIDE = `module "m" {
  func() {sym = "f", inputs = ["x"], outputs = ["y"]} ({
  ^(%x: tensor<1x2xfixed<60,4>>):
    %y = nn.unary(%x) {fn = "exp"} : (tensor<1x2xfixed<60,4>>) -> tensor<1x2xfixed<60,4>>
    return(%y) : (tensor<1x2xfixed<60,4>>) -> ()
  }) : () -> ()
}
`;

describe("messages", () => {
  it("CF005: a plugin that is not there", async () => {
    const { code, err } = await compile(file("net.onnx", cancelling()), "--plugin", join(work, "none.mjs"));
    expect(err).toMatch(/error\[CF005\]: the plugin cannot be loaded: .*none\.mjs/);
    expect(code).toBe(1);
  });

  it("NP005: inputs with different numbers of samples", async () => {
    const model = onnx({
      input: [floats("a", ["N", 4]), floats("b", ["N", 4])],
      output: [floats("y", ["N", 4])],
      node: [node("Add", ["a", "b"], ["y"], "add")],
    });
    const data = arrays("two.npz", { a: [[6, 4], numbers(24)], b: [[5, 4], numbers(20)] });
    const { code, err } = await compile(file("two.onnx", model), "--calib", data);
    expect(err).toMatch(/error\[NP005\]: input b has 5 samples, the inputs before it have 6/);
    expect(code).toBe(1);
  });

  it("FL002, FL014: an interval that a kernel cannot reach, and a module for no device", async () => {
    const hir = file("fixed.hir", FIXED);
    const { code, err } = await cli("opt", hir, "--passes", "@lower,unroll{ii=4}");
    expect([code, err]).toEqual([1, expect.stringMatching(/error\[FL014\]: module m says no device and clock/)]);
    const target = "target{device=xcu280,clock=250}";
    const slow = await cli("opt", hir, "--passes", `@lower,${target},unroll{ii=4,input-words=1}`);
    expect(slow.err).toMatch(
      /error\[FL002\]: an initiation interval of 4 cycles cannot be reached: y needs at least \d+/,
    );
    expect(slow.code).toBe(1);
    // The hint names a lower bound of what is possible: whoever follows it arrives.
    let ii = 4;
    let said = slow;
    while (said.code !== 0) {
      const next = Number(/use --target-ii (\d+)/.exec(said.err)?.[1]);
      expect(next).toBeGreaterThan(ii);
      ii = next;
      said = await cli("opt", hir, "--passes", `@lower,${target},unroll{ii=${ii},input-words=1}`);
    }
    expect(ii).toBeLessThanOrEqual(16);
  });

  it("QU005: an operation that numbers of more than 53 bits do not have", () => {
    const module = parseModule(WIDE, "wide.hir", new Sink());
    if (module === undefined) throw new Error("the text does not parse");
    expect(() => prepareNn(module).run([[1, 2]])).toThrow(/error\[QU005\]: nn\.unary becomes too wide: .*fixed<60,4>/);
  });

  it("QU007: an operation without a form in fixed point", async () => {
    registerOp({
      name: "nn.float_only",
      summary: "Says no type of its result.",
      operands: ["x"],
      results: ["y"],
      traits: ["pure"],
      evaluate: () => (inputs, out) => inputs.forEach((x) => out.set(x)),
    });
    registerOnnxOp({
      opType: "com.example::FloatOnly",
      import: (ctx) => ctx.emit("nn.float_only", [ctx.value(0)], ctx.shape(0)),
    });
    const model = onnx({
      domains: ["com.example"],
      input: [floats("x", ["N", 4])],
      output: [floats("y", ["N", 4])],
      node: [node("Relu", ["x"], ["h"], "r"), { ...node("FloatOnly", ["h"], ["y"], "odd"), domain: "com.example" }],
    });
    const { code, err } = await compile(file("float.onnx", model));
    expect(err).toMatch(/error\[QU007\]: nn\.float_only cannot be quantized: it has no fixed-point form\n.*node "odd"/);
    expect(code).toBe(1);
  });

  it("QU012: a bound that holds on the samples of the search only", async () => {
    // One sample in five is thirty times as large, and some of those are held out.
    const data = arrays("loud.npz", { x: [[40, 8], numbers(320, (i) => (Math.floor(i / 8) % 5 === 2 ? 30 : 1))] });
    const model = file("net.onnx", cancelling());
    const { code, err } = await compile(model, "--max-error", "sqnr=30", "--hold-out", "0.3", "--calib", data);
    expect(err).toMatch(
      /warning\[QU012\]: the bound y:sqnr 30\.0 dB is kept on the samples of the search, but not on the \d+ held/,
    );
    expect(code).toBe(0);
  });

  it("QU013: a search for widths that the model has already", async () => {
    const model = onnx({
      input: [floats("x", ["N", 4])],
      output: [floats("y", ["N", 4])],
      initializer: [weights("s", [], [0.01])],
      node: [
        node("QuantizeLinear", ["x", "s"], ["q"], "q"),
        node("DequantizeLinear", ["q", "s"], ["d"], "d"),
        node("Relu", ["d"], ["y"], "r"),
      ],
    });
    const data = arrays("q.npz", { x: [[64, 4], numbers(256)] });
    const { code, err } = await compile(file("qdq.onnx", model), "--max-error", "mae=0.1", "--calib", data);
    expect(err).toMatch(/error\[QU013\]: --max-error chooses widths for float networks/);
    expect(code).toBe(1);
  });

  it("QU025: few samples, one of which is not like the others", async () => {
    const data = arrays("few.npz", { x: [[8, 8], numbers(64, (i) => (i < 8 ? 40 : 1))] });
    const model = file("net.onnx", cancelling());
    const { code, err } = await compile(model, "--precision", "w14a14", "--calib", data);
    expect(err).toMatch(/warning\[QU025\]: 8 samples do not say what others are like/);
    expect(code).toBe(0);
  });

  it("QU026: a row of a softmax that is masked throughout", async () => {
    const off = Number.NEGATIVE_INFINITY;
    const model = onnx({
      input: [floats("x", ["N", 2, 3])],
      output: [floats("y", ["N", 2, 3])],
      initializer: [weights("m", [2, 3], [0, off, 0, off, off, off])],
      node: [node("Add", ["x", "m"], ["s"], "mask"), node("Softmax", ["s"], ["y"], "softmax")],
    });
    const data = arrays("m.npz", { x: [[64, 2, 3], numbers(384)] });
    const { code, err } = await compile(file("masked.onnx", model), "--calib", data);
    expect(err).toMatch(/warning\[QU026\]: a row of the softmax is masked with -Inf throughout/);
    expect(code).toBe(0);
  });

  it("TO003: a program that does not end", async () => {
    const forever = runTool(process.execPath, ["-e", "for(;;);"], { step: "loop", seconds: 0.2 });
    await expect(forever).rejects.toThrow(/error\[TO003\]: .* did not finish within 0\.2 s \(loop\)/);
  });

  it("TO006: a device that no open tool routes", () => {
    const device = findDevice("xcu280");
    if (device === undefined) throw new Error("xcu280 is gone");
    expect(() => requireRouter(device)).toThrow(/error\[TO006\]: xcu280 cannot be placed and routed with open tools/);
  });
});

describe("codes", () => {
  const tests = fileURLToPath(new URL("..", import.meta.url));
  const texts = readdirSync(tests, { recursive: true, encoding: "utf8" })
    .filter((f) => /\.(ts|hir|py)$/.test(f))
    .map((f) => readFileSync(join(tests, f), "utf8"));
  /** What no test provokes yet, and why. */
  const UNPROVOKED: Readonly<Record<string, string>> = {
    FL006: "no network is known whose kernels, each fast enough, wait for one another once channels have their sizes",
  };
  it("are each in a test that provokes them, but for those with a reason", () => {
    const provoked = (c: string): boolean => texts.some((t) => t.replace(/UNPROVOKED[\s\S]*?\};/, "").includes(c));
    expect(Object.keys(codes).filter((c) => !provoked(c))).toEqual(Object.keys(UNPROVOKED));
  });
});
