/**
 * One small network per rule of width-rules.ts: with the rule a width is what the rule says, without it another one, or
 * set by another rule.
 */
import { describe, expect, it } from "vitest";
import { Sink } from "../../src/diagnostics/index.js";
import "../../src/ir/dialects.js";
import { Dense } from "../../src/ir/attributes.js";
import { Block, Builder, Module, Op, type Value } from "../../src/ir/core.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { ensembleAttrs } from "../../src/ir/trees.js";
import { elementCount, f32, tensor, type TensorType } from "../../src/ir/types.js";
import { verifyModule } from "../../src/ir/verify.js";
import type { Sample } from "../../src/passes/nn/quantize/calibrate.js";
import { QUANTIZE_DEFAULTS } from "../../src/passes/nn/quantize/index.js";
import { parsePrecision } from "../../src/passes/nn/quantize/precision.js";
import { Trials } from "../../src/passes/nn/quantize/trial.js";
import { WIDTH_RULES, type DecidedWidth } from "../../src/passes/nn/quantize/width-rules.js";
import { uniform } from "./support.js";

interface Fixture {
  /** Lines of a function of %x and %c (below) whose last value is returned, or a module. */
  readonly body: string | (() => Module);
  /** Type of the input. */
  readonly x?: string;
  readonly precision?: string;
  /** Element i of each sample; uniform in [-1, 1) where absent. */
  readonly sample?: (i: number, random: number) => number;
  /** The tensor, or the operation by its result, of which the width is asked. */
  readonly of: string;
  readonly bits: number;
  /** What decides without the rule. */
  readonly otherwise?: { readonly bits: number; readonly rule: string };
}

const dense = (values: readonly number[], type: string): string =>
  `nn.constant() {value = dense<[${values.join(", ")}]> : ${type}} : () -> ${type}`;
const random = uniform(3);
const draw = (n: number): number[] => Array.from({ length: n }, () => random());
const unary = (name: string, of: string, fn: string, shape: string): string =>
  `%${name} = nn.unary(%${of}) {fn = "${fn}"} : (tensor<${shape}xf32>) -> tensor<${shape}xf32>`;
/** %name = %of [rows, inner] times constant weights [inner, columns]. */
const layer = (name: string, of: string, rows: number, inner: number, columns: number): string =>
  `%${name}_w = ${dense(draw(inner * columns), `tensor<${inner}x${columns}xf32>`)}
   %${name} = nn.matmul(%${of}, %${name}_w) : (tensor<${rows}x${inner}xf32>, tensor<${inner}x${columns}xf32>) -> tensor<${rows}x${columns}xf32>`;
const sum = (name: string, of: string, rows: number, inner: number): string =>
  `%${name} = nn.reduce(%${of}) {axes = [1], keepdims = true, kind = "sum"} : (tensor<${rows}x${inner}xf32>) -> tensor<${rows}x1xf32>`;
const two = (op: string, name: string, a: string, b: string, types: readonly [string, string, string]): string =>
  `%${name} = nn.${op}(%${a}, %${b}) : (tensor<${types[0]}xf32>, tensor<${types[1]}xf32>) -> tensor<${types[2]}xf32>`;
const relu = (name: string, of: string, shape: string): string =>
  `%${name} = nn.relu(%${of}) : (tensor<${shape}xf32>) -> tensor<${shape}xf32>`;

/** Two layers of the same size, neither of them light. */
const twoLayers = [layer("h", "x", 1, 8, 8), relu("r", "h", "1x8"), layer("y", "r", 1, 8, 8)].join("\n");
/** 512 products, then 4. */
const lightEnd = [
  layer("h", "x", 1, 16, 32),
  relu("r", "h", "1x32"),
  layer("s", "r", 1, 32, 4),
  layer("y", "s", 1, 4, 1),
].join("\n");
/** The rows of x less their mean, over their deviation. */
const normalization = [
  layer("h", "x", 4, 8, 8),
  sum("t", "h", 4, 8),
  `%eighth = ${dense([0.125], "tensor<1xf32>")}`,
  two("mul", "mean", "t", "eighth", ["4x1", "1", "4x1"]),
  two("sub", "d", "h", "mean", ["4x8", "4x1", "4x8"]),
  two("mul", "q", "d", "d", ["4x8", "4x8", "4x8"]),
  sum("v", "q", 4, 8),
  unary("f", "v", "rsqrt", "4x1"),
  two("mul", "n", "d", "f", ["4x8", "4x1", "4x8"]),
  layer("y", "n", 4, 8, 8),
].join("\n");
const unevenRows = (i: number, r: number): number => r * 4 ** -Math.floor(i / 8);
const scaled = (factors: readonly number[]): string =>
  [
    layer("h", "x", 1, 8, 4),
    `%k = ${dense(factors, "tensor<4xf32>")}`,
    two("mul", "m", "h", "k", ["1x4", "4", "1x4"]),
    layer("y", "m", 1, 4, 8),
  ].join("\n");
const squash = [layer("h", "x", 1, 8, 8), unary("t", "h", "tanh", "1x8"), layer("y", "t", 1, 8, 8)].join("\n");
/** Softmax without its maximum, of the products of two variables. */
const attention = [
  layer("q", "x", 8, 8, 8),
  layer("k", "x", 8, 8, 8),
  "%kt = nn.transpose(%k) {perm = [1, 0]} : (tensor<8x8xf32>) -> tensor<8x8xf32>",
  two("matmul", "s", "q", "kt", ["8x8", "8x8", "8x8"]),
  unary("e", "s", "exp_tail", "8x8"),
  layer("y", "e", 8, 8, 8),
].join("\n");

/** One tree over two features, and the logistic function of its sum. */
function ensemble(): Module {
  const module = new Module("trees");
  const block = new Block();
  const b = new Builder(block, undefined, { nodes: ["ensemble"] });
  const x = block.addArg(tensor([1, 2], f32), "x");
  const lists = { feature: [0], threshold: [0.3], relation: [0], onTrue: [-1], onFalse: [-2], roots: [0] };
  const values = new Dense([2, 1], f32, Float64Array.from([-0.7, 0.9]));
  const trees = ensembleAttrs({ ...lists, aggregate: "add" }, values);
  const s = b.value("nn.trees", [x], tensor([1, 1], f32), { trees }, "s");
  const y = b.value("nn.unary", [s], tensor([1, 1], f32), { fn: "sigmoid" }, "y");
  b.create("return", [y], []);
  module.body.append(new Op({ name: "func", attrs: { sym: "t", inputs: ["x"], outputs: ["y"] }, regions: [block] }));
  return module;
}

const fixtures: Readonly<Record<string, Fixture>> = {
  "tensor/stated": {
    body: twoLayers,
    precision: "w8a10,r=a7",
    of: "r",
    bits: 7,
    otherwise: { bits: 10, rule: "activations" },
  },
  "tensor/stated-by-reader": {
    body: twoLayers,
    precision: "w8a10,y=i6",
    of: "r",
    bits: 6,
    otherwise: { bits: 10, rule: "activations" },
  },
  "tensor/stated-output": {
    body: twoLayers,
    precision: "w8a10o12",
    of: "y",
    bits: 12,
    otherwise: { bits: 16, rule: "output" },
  },
  "tensor/stated-input": {
    body: twoLayers,
    precision: "w8a10i7",
    of: "x",
    bits: 7,
    otherwise: { bits: 10, rule: "input" },
  },
  "tensor/scores": {
    body: attention,
    x: "8x8",
    sample: (_, r) => 8 * r,
    of: "s",
    bits: 17,
    otherwise: { bits: 10, rule: "activations" },
  },
  "tensor/output": { body: twoLayers, of: "y", bits: 16, otherwise: { bits: 10, rule: "activations" } },
  "tensor/constant": { body: twoLayers, of: "h_w", bits: 16, otherwise: { bits: 8, rule: "second-factor" } },
  "tensor/integer-limits": {
    body: `%i = nn.whole(%x) {mode = "trunc", lo = 0, hi = 99} : (tensor<1x8xf32>) -> tensor<1x8xf32>
      %rows = ${dense(draw(200), "tensor<100x2xf32>")}
      %y = nn.take(%i, %rows) : (tensor<1x8xf32>, tensor<100x2xf32>) -> tensor<1x8x2xf32>`,
    sample: (i) => i,
    of: "x",
    bits: 7,
    otherwise: { bits: 3, rule: "whole" },
  },
  "tensor/whole": {
    body: [layer("h", "x", 1, 8, 8), "%y = nn.fraction(%h) : (tensor<1x8xf32>) -> tensor<1x8xf32>"].join("\n"),
    of: "h",
    bits: 16,
    otherwise: { bits: 10, rule: "activations" },
  },
  "tensor/decisions": { body: ensemble, of: "x", bits: 4, otherwise: { bits: 10, rule: "input" } },
  "tensor/integer-input": {
    body: twoLayers,
    sample: (_, r) => Math.floor(4000 + 4000 * r),
    of: "x",
    bits: 13,
    otherwise: { bits: 10, rule: "input" },
  },
  "tensor/uneven-features": {
    body: twoLayers,
    sample: (i, r) => r * 4 ** i,
    of: "x",
    bits: 20,
    otherwise: { bits: 10, rule: "input" },
  },
  "tensor/scale": { body: normalization, x: "4x8", of: "f", bits: 16, otherwise: { bits: 10, rule: "activations" } },
  "tensor/steep": {
    body: normalization,
    x: "4x8",
    sample: unevenRows,
    of: "v",
    bits: 25,
    otherwise: { bits: 10, rule: "activations" },
  },
  "tensor/normalized": {
    body: normalization,
    x: "4x8",
    sample: unevenRows,
    of: "h",
    bits: 16,
    otherwise: { bits: 10, rule: "activations" },
  },
  "tensor/input": { body: twoLayers, of: "x", bits: 10, otherwise: { bits: 10, rule: "activations" } },
  "tensor/uneven-factors": {
    body: scaled([1, 8, 0.5, 2]),
    of: "h",
    bits: 14,
    otherwise: { bits: 10, rule: "activations" },
  },
  "tensor/second-factor": {
    body: attention.replace("exp_tail", "tanh"),
    x: "8x8",
    of: "k",
    bits: 8,
    otherwise: { bits: 10, rule: "activations" },
  },
  "tensor/light": { body: lightEnd, x: "1x16", of: "s", bits: 14, otherwise: { bits: 10, rule: "activations" } },
  "tensor/activations": { body: twoLayers, precision: "w7a9", of: "r", bits: 9 },
  "weights/stated": {
    body: twoLayers,
    precision: "w8a10,h=w5",
    of: "h",
    bits: 5,
    otherwise: { bits: 8, rule: "weights" },
  },
  "weights/light": { body: lightEnd, x: "1x16", of: "y", bits: 12, otherwise: { bits: 8, rule: "weights" } },
  "weights/weights": { body: twoLayers, precision: "w7a9", of: "h", bits: 7 },
  "factor/stated": {
    body: scaled([1, 1, 2, 2]),
    precision: "w8a10,m=w11",
    of: "m",
    bits: 11,
    otherwise: { bits: 8, rule: "factor" },
  },
  "factor/between-scales": {
    body: [scaled([1, 1, 2, 2]), "%z = nn.round(%y) {lo = -128, hi = 127} : (tensor<1x8xf32>) -> tensor<1x8xf32>"].join(
      "\n",
    ),
    of: "m",
    bits: 25,
    otherwise: { bits: 8, rule: "factor" },
  },
  "factor/factor": { body: scaled([1, 1, 2, 2]), precision: "w5a10", of: "m", bits: 8 },
  "argument/stated": { body: squash, precision: "w8a10,t=i6", of: "t", bits: 6, otherwise: { bits: 8, rule: "table" } },
  "argument/steep": { body: normalization, x: "4x8", of: "f", bits: 12, otherwise: { bits: 8, rule: "table" } },
  "argument/ensemble": { body: ensemble, of: "y", bits: 12, otherwise: { bits: 8, rule: "table" } },
  "argument/table": { body: squash, of: "t", bits: 8 },
};

function moduleOf({ body, x = "1x8" }: Fixture): Module {
  if (typeof body !== "string") return body();
  const last = [...body.matchAll(/%(\w+) = .* -> (tensor<[^>]*>)/g)].at(-1);
  const sink = new Sink();
  const text = `module "m" { func() {sym = "f", inputs = ["x"], outputs = ["y"]} ({ ^(%x: tensor<${x}xf32>):
    ${body}
    return(%${last?.[1]}) : (${last?.[2]}) -> () }) : () -> () }`;
  const module = parseModule(text, "fixture.hir", sink);
  sink.throwIfErrors();
  if (module === undefined) throw new Error("the fixture is not a module");
  verifyModule(module, sink);
  sink.throwIfErrors();
  return module;
}

function samplesOf(module: Module, f: Fixture): Sample[] {
  const next = uniform(7);
  const size = module.func.body.args.reduce((n, a) => n + elementCount((a.type as TensorType).shape), 0);
  return Array.from({ length: 32 }, () => [
    Float64Array.from({ length: size }, (_, i) => f.sample?.(i, next()) ?? next()),
  ]);
}

function decide(key: string, f: Fixture, without?: string): DecidedWidth {
  const module = moduleOf(f);
  const trials = new Trials(
    module,
    samplesOf(module, f),
    { ...QUANTIZE_DEFAULTS.options, ...(without !== undefined && { without: new Set([without]) }) },
    QUANTIZE_DEFAULTS.weights,
  );
  const plan = trials.plan(parsePrecision(f.precision ?? "w8a10"));
  const values: Value[] = [...module.func.body.args, ...module.func.body.ops.flatMap((op) => op.results)];
  const v = values.find((value) => value.hint === f.of);
  if (v === undefined) throw new Error(`no %${f.of}`);
  const kind = key.split("/")[0];
  if (kind === "tensor") return plan.decided(v);
  if (v.def === undefined) throw new Error(`%${f.of} is an input`);
  return kind === "weights"
    ? plan.decidedWeights(v.def)
    : kind === "factor"
      ? plan.decidedFactor(v.def)
      : plan.decidedArgument(v.def);
}

describe("rules for widths", () => {
  const rules = Object.entries(WIDTH_RULES).flatMap(([kind, list]) => list.map(({ name }) => `${kind}/${name}`));

  it("have a fixture each, and names of their own", () => {
    expect(Object.keys(fixtures).toSorted()).toEqual(rules.toSorted());
    expect(new Set(rules).size).toBe(rules.length);
  });

  it.each(rules)("%s", (key) => {
    const f = fixtures[key];
    if (f === undefined) throw new Error(`${key} has no fixture`);
    expect(decide(key, f)).toMatchObject({ bits: f.bits, rule: key.split("/")[1] });
    // The last rule of a list is for everything, so that there is none without it.
    if (f.otherwise === undefined) expect(decide(key, f, key).rule).toBe(key.split("/")[1]);
    else expect(decide(key, f, key)).toMatchObject(f.otherwise);
  });
});
