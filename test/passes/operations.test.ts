/**
 * All nn operations have all parts: role, meaning in float and on fixed point, rule of quantization, lowering,
 * documentation; and a case here, in which the parts agree. An operation without a case does not compile.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { allocate, Dense, type Attr } from "../../src/ir/attributes.js";
import { Block, Builder, Module, Op, type Value } from "../../src/ir/core.js";
import { lookupOp, matchesKind, meaningOf, roleOf, type Role } from "../../src/ir/define-op.js";
import "../../src/ir/dialects.js";
import { stagePipeline } from "../../src/driver/stages.js";
import { prepareFlow } from "../../src/ir/eval/flow.js";
import { prepareNn, prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import { nnOps, type NnOpName } from "../../src/ir/nn/index.js";
import { formatOf } from "../../src/ir/nn/typing.js";
import { fixedOf, shapeOf } from "../../src/ir/nn/values.js";
import { ensembleAttrs } from "../../src/ir/trees.js";
import { elementCount, f32, fixed, rawRange, tensor, type FixedType, type ScalarType } from "../../src/ir/types.js";
import { assertValid } from "../../src/ir/verify.js";
import { loweringOf } from "../../src/passes/lower/operators.js";
import { lowerToFlow } from "../../src/passes/lower/nn-to-flow.js";
import { quantizeRules, roleRules } from "../../src/passes/nn/quantize/rules/index.js";
import { PassManager } from "../../src/passes/pass-manager.js";
import { random } from "../backend/random-nets.js";

interface Case {
  /** Operand by operand; a list of numbers is a constant of raw integers. */
  readonly operands: readonly (readonly number[] | { readonly shape: readonly number[]; readonly raw: number[] })[];
  readonly attrs?: Readonly<Record<string, Attr>>;
  /** Where type inference leaves it open. */
  readonly result?: FixedType;
  readonly shape?: readonly number[];
  /** Format of the operands. */
  readonly format?: FixedType;
  /** Formats of operands that have one in float as well, by their index. */
  readonly formats?: Readonly<Record<number, FixedType>>;
  /** Operation that reads the one in question. */
  readonly through?: NnOpName;
}

const image = [1, 2, 4, 4];
const rows = [3, 4];
const window = { kernel: [2, 2], strides: [2, 1], pads: [0, 1, 0, 0] };
const grown = [1, 2, 2, 4];
const rnd = random(3);
const weights = (shape: readonly number[]): { shape: readonly number[]; raw: number[] } => ({
  shape,
  raw: Array.from({ length: elementCount(shape) }, () => Math.floor(rnd() * 15) - 7),
});
const two: Case = { operands: [rows, [4]] };
const one: Case = { operands: [rows] };

const stump = ensembleAttrs(
  {
    feature: [0, 2],
    threshold: [0.25, -1],
    relation: [0, 1],
    onTrue: [1, -1],
    onFalse: [-2, -3],
    roots: [0, 1],
    aggregate: "add",
  },
  new Dense([3, 2], fixed(5, 1), Int32Array.of(1, -2, 3, 4, -5, 6)),
);

const cases: Readonly<Record<NnOpName, readonly Case[]>> = {
  "nn.constant": [{ operands: [rows, weights([4])], through: "nn.add" }],
  "nn.conv": [
    {
      operands: [image, weights([3, 2, 2, 2])],
      attrs: { strides: [1, 2], pads: [1, 0, 0, 1], dilations: [1, 1], group: 1 },
      shape: [1, 3, 4, 2],
    },
    {
      operands: [image, weights([4, 1, 1, 3]), { shape: [4], raw: [100, -5, 0, 9] }],
      attrs: { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [2, 1], group: 2 },
      shape: [1, 4, 4, 2],
    },
  ],
  "nn.matmul": [
    { operands: [rows, weights([4, 2])], shape: [3, 2] },
    { operands: [rows, [4, 2]], shape: [3, 2] },
  ],
  "nn.add": [two],
  "nn.sub": [two],
  "nn.mul": [two],
  "nn.max": [two],
  "nn.min": [two],
  "nn.div": [two],
  "nn.select_neg": [{ operands: [rows, rows, [4]] }],
  "nn.relu": [one],
  "nn.neg": [one],
  "nn.abs": [one],
  "nn.leaky_relu": [{ ...one, attrs: { slope: 0.375, slope_raw: 3, slope_frac: 3 } }],
  "nn.clip": [
    { ...one, attrs: { lo: -1.5, hi: 2.0625 } },
    { ...one, attrs: { hi: 1 } },
  ],
  "nn.quantize": [
    { ...one, attrs: { rounding: "half-up", overflow: "saturate" }, result: fixed(5, 2) },
    { ...one, attrs: { rounding: "half-even", overflow: "wrap" }, result: fixed(4, 1) },
    { ...one, attrs: { rounding: "floor", overflow: "saturate" }, result: fixed(6, 3, false) },
  ],
  "nn.round": [
    { ...one, attrs: { lo: -3, hi: 4 } },
    { ...one, attrs: { lo: 0, hi: 7, zero: 3 } },
  ],
  "nn.whole": ["floor", "ceil", "trunc", "half-even"].map((mode) => ({ ...one, attrs: { mode, lo: -5 } })),
  "nn.fraction": [one],
  "nn.unary": [{ ...one, attrs: { fn: "tanh" }, result: fixed(9, 7) }],
  "nn.lookup": [
    {
      ...one,
      format: fixed(4, 0),
      attrs: { first: -4, values: new Dense([9], f32, Float64Array.of(9, -3, 0, 1, 2, 40, 7, 7, -8)) },
    },
  ],
  "nn.take": [{ operands: [[3], weights([5, 2])], format: fixed(4, 0), shape: [3, 2] }],
  "nn.trees": [{ ...one, attrs: { trees: stump, double: true }, shape: [3, 2] }],
  "nn.reduce": ["sum", "max", "min"].map((kind) => ({
    operands: [image],
    attrs: { kind, axes: [1, 3], keepdims: kind === "max" },
    shape: kind === "max" ? [1, 1, 4, 1] : [1, 4],
  })),
  "nn.pool": [
    { operands: [image], attrs: { kind: "max", ...window }, shape: grown },
    { operands: [image], attrs: { kind: "sum", ...window }, shape: grown },
  ],
  "nn.softmax": [{ ...one, attrs: { axis: 1 } }],
  "nn.concat": [{ operands: [rows, [2, 4]], attrs: { axis: 0 }, shape: [5, 4] }],
  "nn.reshape": [{ ...one, attrs: { shape: [2, 6] }, shape: [2, 6] }],
  "nn.transpose": [{ ...one, attrs: { perm: [1, 0] }, shape: [4, 3] }],
  "nn.slice": [{ ...one, attrs: { starts: [2, 0], steps: [-1, 2], shape: [3, 2] }, shape: [3, 2] }],
  "nn.gather": [{ ...one, attrs: { axis: 1, indices: [3, 0, 0, 1, 2] }, shape: [3, 5] }],
  "nn.broadcast": [{ operands: [[1, 4]], attrs: { shape: [3, 4] }, shape: [3, 4] }],
  "nn.pad": [{ ...one, attrs: { pads: [1, 0, 0, 2], value: -1.5 }, shape: [4, 6] }],
  "nn.sparsify": [
    // Peaks, some of them beyond the capacity, with windows that reach over the edge.
    {
      operands: [rows, rows],
      formats: { 0: fixed(1, 0, false) },
      attrs: { window: [2, 3], offset: [-1, -1], capacity: 3 },
    },
    // A trigger: one bit for all of x.
    {
      operands: [[1, 1], rows],
      formats: { 0: fixed(1, 0, false) },
      attrs: { window: rows, offset: [0, 0], capacity: 1 },
    },
  ],
};

/** The operation alone, its computed operands as inputs. */
function moduleOf(name: NnOpName, c: Case, real: boolean): Module {
  const block = new Block();
  const b = new Builder(block);
  const format = c.format ?? fixed(8, 4);
  const operands = c.operands.map((o, i): Value => {
    if (!("raw" in o)) return block.addArg(tensor(o, c.formats?.[i] ?? (real ? f32 : format)), `x${i}`);
    // A bias has the fractional bits of the accumulator.
    const elem = i === 2 ? fixed(8, 2 * format.frac) : format;
    const value = real
      ? new Dense(
          o.shape,
          f32,
          Float64Array.from(o.raw, (r) => r * 2 ** -elem.frac),
        )
      : dense(o.shape, elem, o.raw);
    return b.value("nn.constant", [], tensor(o.shape, value.elem), { value });
  });
  const made = c.through ?? name;
  const shape = c.shape ?? (c.operands[0] as readonly number[]);
  const isRounding = roleOf(new Op({ name: made })) === "rounding" && c.result !== undefined;
  const elem: ScalarType = real && !isRounding ? f32 : (c.result ?? fixed(1, 0));
  const results = lookupOp(made)!.results.map(() => tensor(shape, elem));
  const op = b.create(made, operands, results, c.attrs ?? {});
  lookupOp(made)!
    .inferTypes?.(op)
    .forEach((type, i) => (op.results[i]!.type = type));
  b.create("return", op.results, []);
  const module = new Module("one");
  const names = block.args.map((_, i) => `x${i}`);
  const outputs = op.results.map((_, i) => `y${i}`);
  module.body.append(new Op({ name: "func", attrs: { sym: "main", inputs: names, outputs }, regions: [block] }));
  assertValid(module, `${name} ${real ? "in float" : "on fixed point"}`);
  return module;
}

function dense(shape: readonly number[], elem: FixedType, raw: readonly number[]): Dense {
  const data = allocate(elem, raw.length);
  data.set(raw);
  return new Dense(shape, elem, data);
}

function samplesOf(module: Module, format: FixedType): Int32Array[][] {
  return Array.from({ length: 6 }, () =>
    module.func.body.args.map((a) => {
      const { lo, hi } = rawRange(fixedOf(a) ?? format);
      return Int32Array.from({ length: elementCount(shapeOf(a)) }, () => lo + Math.floor(rnd() * (hi - lo + 1)));
    }),
  );
}

const scaled = (raw: ArrayLike<number>, frac: number): number[] => Array.from(raw, (r) => r * 2 ** -frac + 0);
const opOf = (module: Module, name: string): Op => module.func.body.ops.find((op) => op.name === name)!;

/** Roles whose results are those of float, to the bit. */
const EXACT: ReadonlySet<Role> = new Set([
  "view",
  "join",
  "aligned",
  "product",
  "linear",
  "fold",
  "exact",
  "rounding",
  "constant",
  "sparse",
]);

const docs = readFileSync(new URL("../../docs/ops/nn.md", import.meta.url), "utf8");
const architecture = readFileSync(new URL("../../docs/architecture.md", import.meta.url), "utf8");

describe.each(nnOps.map((def) => ({ name: def.name, def })))("$name", ({ name, def }) => {
  const meaning = meaningOf(def);
  const composite = def.role === "composite";

  it("has all parts", () => {
    expect(lookupOp(name)).toBe(def);
    expect(def.summary).toMatch(/\.$/);
    expect(meaning?.float).toBeTypeOf("function");
    expect(meaning?.fixed === undefined).toBe(composite);
    expect(def.traits).toContain("pure");
    // What has no rule is refused there, which is right for what passes split, and for what is fixed point already.
    const refused = quantizeRules[name] === roleRules.composite;
    expect(refused).toBe(composite || def.role === "sparse" || name === "nn.constant" || name === "nn.quantize");
    expect(loweringOf(new Op({ name })) === undefined).toBe(composite);
    for (const [key, spec] of Object.entries(def.attrs))
      if (spec.default !== undefined) {
        expect(spec.optional, key).toBe(true);
        expect(matchesKind(spec.default, spec), key).toBe(true);
      }
    for (const o of def.decides ?? []) expect(def.operands).toContain(o);
    expect(docs).toContain(`## ${name}\n`);
    expect(architecture).toContain(`\`${name}\``);
  });

  it.each(cases[name].map((c, i) => ({ i, c })))(
    "means the same in float, on fixed point and in flow: case $i",
    ({ c }) => {
      const real = moduleOf(name, c, true);
      const format = c.format ?? fixed(8, 4);
      const samples = samplesOf(real, format);
      const program = prepareNn(real);
      const values = (s: readonly Int32Array[]): number[][] =>
        s.map((raw, i) => scaled(raw, (fixedOf(real.func.body.args[i]!) ?? format).frac));
      const wanted = samples.map((s) => program.run(values(s)).flatMap((y) => [...y].map((v) => v + 0)));
      for (const v of wanted.flat()) expect(Number.isFinite(v) || name === "nn.div").toBe(true);
      if (composite) {
        const { module } = new PassManager().run(real, stagePipeline("prepare"));
        expect(module.func.body.ops.map((op) => op.name)).not.toContain(name);
        const split = prepareNn(module);
        samples.forEach((s, i) =>
          split.run(values(s))[0]!.forEach((v, k) => {
            if (Number.isFinite(wanted[i]![k]!)) expect(v).toBeCloseTo(wanted[i]![k]!, 6);
          }),
        );
        return;
      }
      const module = moduleOf(name, c, false);
      const fracs = module.func.body.terminator.operands.map((v) => formatOf(v).frac);
      const fixedProgram = prepareNnFixed(module);
      const results = samples.map((s) => fixedProgram.run(s));
      const got = results.map((ys) => ys.flatMap((y) => [...y]));
      const meant = results.map((ys) => ys.flatMap((y, i) => scaled(y, fracs[i]!)));
      if (EXACT.has(def.role) || name !== "nn.unary") expect(meant).toEqual(wanted);
      else
        meant.forEach((g, i) =>
          g.forEach((v, k) => expect(Math.abs(v - wanted[i]![k]!)).toBeLessThanOrEqual(2 ** -fracs[0]! / 2)),
        );
      const flow = lowerToFlow(module);
      assertValid(flow, "the lowering");
      const lowered = prepareFlow(flow);
      expect(samples.map((s) => lowered.run(s).flatMap((y) => [...y]))).toEqual(got);
      wideIsTheSame(module, c.through ?? name, samples, got);
    },
  );
});

/** What is computed for values beyond 53 bits gives the same for small ones. */
function wideIsTheSame(module: Module, name: string, samples: readonly Int32Array[][], expected: number[][]): void {
  const op = opOf(module, name);
  const wide = meaningOf(lookupOp(name))?.wide?.(op);
  if (wide === undefined) return;
  samples.forEach((s, i) => {
    const raws = op.operands.map((v) => {
      const constant = v.def?.attrs["value"];
      const raw = constant instanceof Dense ? constant.data : s[module.func.body.args.indexOf(v)]!;
      return Array.from(raw, (r) => BigInt(r));
    });
    expect(wide(raws).map(Number), "beyond 53 bits").toEqual(expected[i]);
  });
}
