/** What the user states is what is done, or a message says what is; and stating the default changes nothing. */
import { describe, expect, it } from "vitest";
import { newSession } from "../../src/driver.js";
import { resolveSettings } from "../../src/driver/config.js";
import { toFixedPoint, type FixedPoint } from "../../src/driver/fixed-point.js";
import type { CompileOptions } from "../../src/driver/options.js";
import type { Module } from "../../src/ir/core.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { printModule } from "../../src/ir/text/printer.js";
import { elementCount, type TensorType } from "../../src/ir/types.js";
import { PassManager } from "../../src/passes/pass-manager.js";
import { importValid } from "../frontend/support.js";
import { memoryHost } from "../support/memory-host.js";
import { cancelling, smallNetwork, uniform } from "./support.js";

interface Made {
  readonly text: string;
  readonly codes: readonly string[];
  readonly point: FixedPoint;
}

function make(network: () => Module, options: Partial<CompileOptions> = {}, count = 96): Made {
  const session = newSession(memoryHost({}));
  const module = network();
  const random = uniform(3);
  const inputs = module.func.body.args.map((a) => elementCount((a.type as TensorType).shape));
  const data = { samples: count, data: inputs.map((n) => Float64Array.from({ length: n * count }, random)) };
  const settings = resolveSettings({ out: "unused", ...options }, session);
  const point = toFixedPoint(
    module,
    data,
    settings,
    session,
    (m, pipeline, context) =>
      new PassManager().run(m, pipeline, { context, sink: session.sink, host: session.host, verifyEach: false }).module,
  );
  return { text: printModule(point.fixed), codes: session.sink.diagnostics.map((d) => d.code), point };
}

const small = (): Module => importValid(smallNetwork(), "small.onnx");
const inaccurate = (): Module => importValid(cancelling(), "cancelling.onnx");

function fromText(lines: string): Module {
  const { sink } = newSession();
  const text = `module "m" { func() {sym = "f", inputs = ["x"], outputs = ["y"]} ({ ^(%x: tensor<1x4xf32>):
    ${lines}
    return(%y) : (tensor<1x4xf32>) -> () }) : () -> () }`;
  const module = parseModule(text, "stated.hir", sink);
  sink.throwIfErrors();
  if (module === undefined) throw new Error("not a module");
  return module;
}
/** A quantized model of one value, and a function of a sum of two, which is computed beside its integers. */
const partlyQuantized = (): Module =>
  fromText(`%k = nn.constant() {value = dense<[40]> : tensor<f32>} : () -> tensor<f32>
    %s = nn.mul(%x, %k) : (tensor<1x4xf32>, tensor<f32>) -> tensor<1x4xf32>
    %u = nn.round(%s) {lo = -128, hi = 127} : (tensor<1x4xf32>) -> tensor<1x4xf32>
    %d = nn.constant() {value = dense<[0.025]> : tensor<f32>} : () -> tensor<f32>
    %v = nn.mul(%u, %d) : (tensor<1x4xf32>, tensor<f32>) -> tensor<1x4xf32>
    %t = nn.unary(%x) {fn = "tanh"} : (tensor<1x4xf32>) -> tensor<1x4xf32>
    %y = nn.mul(%t, %v) : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<1x4xf32>`);
const squash = (): Module => fromText('%y = nn.unary(%x) {fn = "tanh"} : (tensor<1x4xf32>) -> tensor<1x4xf32>');

describe("stating the default precision", () => {
  it.each([
    ["a network", small],
    ["a network whose widths are raised", inaccurate],
    ["a quantized model with a part in floating point", partlyQuantized],
  ])("changes no byte of %s", (_, network) => {
    const [none, stated] = [make(network), make(network, { precision: "w8a10" })];
    expect(stated.text).toBe(none.text);
    expect(stated.point.precision.spec).toBe(none.point.precision.spec);
    expect(make(network, { precision: "w8a12" }).text).not.toBe(none.text);
  });
  it("still says where more bits are used than are stated", () => {
    expect(make(inaccurate, { precision: "w8a10" }).codes).toContain("QU022");
    expect(make(partlyQuantized, { precision: "w8a10" }).codes).toContain("QU029");
    expect(make(partlyQuantized).codes).not.toContain("QU029");
  });
});

describe("what is stated", () => {
  const widthOf = (m: Made, name: string): { bits: number; rule: string } | undefined =>
    m.point.quantization.widths.find((w) => w.name === name && w.kind === "tensor");

  it("for a tensor, outputs and inputs counts, whatever rules say", () => {
    const stated = make(small, { precision: "w8a10i6o9,conv1=a5" });
    expect(widthOf(stated, "x")).toMatchObject({ bits: 6, rule: "stated-input" });
    expect(widthOf(stated, "y")).toMatchObject({ bits: 9, rule: "stated-output" });
    expect(stated.point.quantization.widths.filter((w) => w.bits === 5 && w.rule === "stated")).toHaveLength(1);
  });
  it("for exponents is not widened by what scores ask for", () => {
    const scores = (): Module =>
      fromText(`%m = nn.softmax(%x) {axis = 1} : (tensor<1x4xf32>) -> tensor<1x4xf32>
        %y = nn.neg(%m) : (tensor<1x4xf32>) -> tensor<1x4xf32>`);
    const [free, stated] = [make(scores), make(scores, { precision: "w8a10i5,x=i5", acceptAccuracy: ["sqnr=0"] })];
    expect(widthOf(stated, "x")).toMatchObject({ bits: 5, rule: "stated" });
    expect(widthOf(free, "x")?.bits).toBeGreaterThan(5);
  });
  it("beyond the largest table is said to be less", () => {
    expect(make(squash, { precision: "w8a10,y=i16" }).codes).toContain("QU028");
    expect(make(squash, { precision: "w8a10,y=i14" }).codes).not.toContain("QU028");
  });
});

describe("--widths", () => {
  const cost = (m: Made): number => m.point.precision.cost ?? 0;

  it("least-cost spends less at the noise that rules leave, and says what chose", () => {
    const [rules, least] = [make(small), make(small, { widths: "least-cost" })];
    const { precision, quantization } = least.point;
    expect(precision).toMatchObject({ widths: "least-cost" });
    expect(cost(least)).toBeLessThan(precision.rules_cost ?? 0);
    expect(precision.rules_noise).toBeLessThanOrEqual(1);
    expect(quantization.widths.some((w) => w.rule === "budget")).toBe(true);
    expect(rules.point.precision.widths).toBeUndefined();
    // As text it makes the same again.
    expect(make(small, { precision: precision.spec }).text).toBe(least.text);
  });
  it("least-noise makes less noise at the cost of rules", () => {
    const { precision } = make(small, { widths: "least-noise" }).point;
    expect(precision.cost).toBeLessThanOrEqual(precision.rules_cost ?? 0);
    expect(precision.rules_noise).toBeLessThan(1);
  });
  it("leaves alone what is stated", () => {
    const { widths } = make(small, { widths: "least-cost", precision: "w8a10o12,conv1=w7" }).point.quantization;
    expect(widths.find((w) => w.kind === "weights" && w.name === "conv1")).toMatchObject({ bits: 7, rule: "stated" });
    expect(widths.find((w) => w.name === "y")).toMatchObject({ bits: 12, rule: "stated-output" });
    expect(widths.some((w) => w.rule === "budget")).toBe(true);
  });
  it.each([
    ["with --max-error", small, { maxError: ["sqnr=30"] }, 96],
    ["for a quantized model", partlyQuantized, {}, 96],
    ["with a few samples", small, {}, 4],
  ] as const)("is refused %s", (_, network, options, count) => {
    expect(() => make(network, { widths: "least-cost", ...options }, count)).toThrow(/QU027/);
  });
  it("is read from YAML, and names that are none are refused", () => {
    const read = (yaml: string): string =>
      resolveSettings({ out: "unused", config: "c.yaml" }, newSession(memoryHost({ "c.yaml": yaml }))).widths;
    expect(read("widths: least-noise\n")).toBe("least-noise");
    expect(read("device: xcu280\n")).toBe("rules");
    expect(() => read("widths: wide\n")).toThrow(/CF003.*widths is "wide"/);
  });
});
