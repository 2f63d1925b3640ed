/**
 * Operations that a program adds through the public API, a record and a lowering each: from an ONNX node of a domain of
 * one's own to Verilog, bit for bit as the interpreters of nn and flow have it.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  absType,
  along,
  attrReader,
  broadcastShapes,
  checkShape,
  clipType,
  compileModel,
  defineNn,
  elementwise,
  everywhere,
  fixed,
  fixedOf,
  newSession,
  PassManager,
  readArrays,
  rangedOf,
  ranged,
  registerLowering,
  registerOnnxOp,
  registerOp,
  runDesign,
  shapeOf,
  subType,
  type tensor,
  tensorType,
  typed,
  typeOfRange,
  writeNpz,
  type FixedType,
  type Op,
  type Value,
} from "../../src/index.js";
import { random } from "../backend/random-nets.js";
import { throughHardware } from "../frontend/hardware.js";
import { floats, importValid, node, onnx, weights } from "../frontend/support.js";

/** |a - b|, with broadcasting of a vector over rows. */
const absDiff = defineNn({
  name: "nn.abs_diff",
  summary: "|a - b|.",
  operands: ["a", "b"],
  results: ["y"],
  role: "aligned",
  traits: ["pure", "elementwise"],
  attrs: {},
  inferTypes: (op) => {
    const [a, b] = op.operands;
    return typed(op, broadcastShapes(shapeOf(a!), shapeOf(b!))!, () =>
      absType(ranged(subType(rangedOf(a!), rangedOf(b!)))),
    );
  },
  evaluate: everywhere((op) => {
    const columns = shapeOf(op.operand(1)).at(-1)!;
    const single = shapeOf(op.operand(1)).length < shapeOf(op.operand(0)).length;
    return ([a, b], out) => out.forEach((_, i) => (out[i] = Math.abs(a![i]! - b![single ? i % columns : i]!)));
  }),
});

const shiftAttrs = attrReader({ by: { kind: "int" }, limit: { kind: "number", optional: true, default: 1 } });

/** min(x * 2^by, limit). */
const clippedShift = defineNn({
  name: "nn.clipped_shift",
  summary: "min(x * 2^by, limit).",
  operands: ["x"],
  results: ["y"],
  role: "exact",
  traits: ["pure", "elementwise"],
  attrs: shiftAttrs.specs,
  inferTypes: (op) => typed(op, shapeOf(op.operand(0)), () => shifted(op)),
  verify: (op, report) => checkShape(op, shapeOf(op.operand(0)), report),
  evaluate: everywhere((op) => {
    const { by, limit } = shiftAttrs(op);
    return ([x], out) => out.forEach((_, i) => (out[i] = Math.min(limit, x![i]! * 2 ** by)));
  }),
});
function shifted(op: Op): FixedType {
  const { by, limit } = shiftAttrs(op);
  const x = rangedOf(op.operand(0));
  return clipType({ ...x, frac: x.frac - by }, -Infinity, limit);
}

/** The last axis the other way round. */
const flip = defineNn({
  name: "nn.flip",
  summary: "The last axis reversed.",
  operands: ["x"],
  results: ["y"],
  role: "view",
  traits: ["pure", "moves"],
  attrs: {},
  inferTypes: (op) => [tensorType(op.operand(0))],
  evaluate: everywhere((op) => {
    const n = shapeOf(op.operand(0)).at(-1)!;
    return ([x], out) => out.forEach((_, i) => (out[i] = x![i - (i % n) + n - 1 - (i % n)]!));
  }),
});

for (const def of [absDiff, clippedShift, flip]) registerOp(def);

registerOnnxOp({
  opType: "test.own::AbsDiff",
  import: (ctx) => ctx.emit("nn.abs_diff", [ctx.value(0), ctx.value(1)], ctx.shape(0)),
});
registerOnnxOp({
  opType: "test.own::ClippedShift",
  import: (ctx) => ctx.emit("nn.clipped_shift", [ctx.value(0)], ctx.shape(0), { by: ctx.int("by", 0), limit: 3 }),
});
registerOnnxOp({ opType: "test.own::Flip", import: (ctx) => ctx.emit("nn.flip", [ctx.value(0)], ctx.shape(0)) });

registerLowering("nn.abs_diff", (op, ctx) =>
  elementwise(op, ctx, (b, x: Value, y: Value) => b.max(b.sub(x, y), b.sub(y, x))),
);
registerLowering("nn.clipped_shift", (op, ctx) => {
  const { by, limit } = clippedShift.read(op);
  const { frac } = fixedOf(op.result)!;
  const raw = limit * 2 ** frac;
  elementwise(op, ctx, (b, x: Value) =>
    b.min(b.mul(x, b.constant(1, fixed(1, -by, false))), b.constant(raw, typeOfRange({ lo: raw, hi: raw }, frac))),
  );
});
registerLowering("nn.flip", (op, ctx) => {
  const result = tensorType(op.result);
  const grid = result.shape.map((extent, d) => ({ name: `d${d}`, extent, kind: "parallel" as const }));
  const last = grid.length - 1;
  ctx.setView(
    op.result,
    ctx.kernel({
      name: op.loc.nodes[0] ?? "flip",
      loc: op.loc,
      iterators: grid,
      operands: [
        {
          of: ctx.view(op.operand(0)),
          index: grid.map((g, d) => (d === last ? along(g.name, -1, g.extent - 1) : along(g.name))),
        },
      ],
      combiner: "none",
      result,
      out: grid.map((g) => along(g.name)),
      body: (_, [v]) => v!,
    }),
  );
});

const rnd = random(11);
const w = Array.from({ length: 12 }, () => rnd() * 2 - 1);
const c = [0.25, -0.5, 0.125];
const own = (op: string, input: string[], output: string, name: string, attribute: object[] = []): object => ({
  ...(node(op, input, [output], name, attribute) as Record<string, unknown>),
  domain: "test.own",
});
/** y = flip(min(4 |x w - c|, 3)) against itself unshifted: every role with a constant, and two tensors that meet. */
const model = onnx({
  domains: ["test.own"],
  node: [
    node("MatMul", ["x", "w"], ["h"], "dense"),
    own("AbsDiff", ["h", "c"], "d", "distance"),
    own("ClippedShift", ["d"], "s", "loud", [{ name: "by", type: 2, i: 2 }]),
    own("Flip", ["s"], "f", "mirror"),
    own("AbsDiff", ["f", "d"], "y", "difference"),
  ],
  initializer: [weights("w", [4, 3], w), weights("c", [3], c)],
  input: [floats("x", [1, 4])],
  output: [floats("y", [1, 3])],
});

function byHand(x: ArrayLike<number>): number[] {
  const d = c.map((v, j) => Math.abs([0, 1, 2, 3].reduce((sum, i) => sum + x[i]! * w[3 * i + j]!, 0) - v));
  const s = d.map((v) => Math.min(3, 4 * v));
  return d.map((v, j) => Math.abs(s[2 - j]! - v));
}

describe("operations of a program, record and lowering", () => {
  const samples = Array.from({ length: 12 }, () => [Float64Array.from({ length: 4 }, () => rnd() * 2 - 1)]);

  it.each([1, 6])("nn = flow = rtl at an interval of %i", (ii) => {
    const r = throughHardware(importValid(model, "own.onnx"), samples, ii, { precision: "w12a14" });
    expect(r.simulated).toEqual(r.expected.map((outputs) => outputs.map((o) => [...o])));
    for (const output of Object.values(r.accuracy.outputs)) expect(output.sqnr_db).toBeGreaterThan(45);
  });

  it("keeps what a view moves in its format, and adds no rounding to what is exact", () => {
    const network = importValid(model, "own.onnx");
    const { module } = new PassManager().run(network, "@fixed-point");
    const find = (name: string): Op => module.func.body.ops.find((op) => op.name === name)!;
    const mirror = find("nn.flip");
    expect(mirror.result.type).toEqual(mirror.operand(0).type);
    expect(find("nn.clipped_shift").operand(0).def?.name).not.toBe("nn.constant");
    // The constant meets the tensor on its grid.
    const distance = find("nn.abs_diff");
    expect(fixedOf(distance.operand(1))!.frac).toBeLessThanOrEqual(fixedOf(distance.operand(0))!.frac);
  });

  it("reaches Verilog, and the numbers are those by hand", async () => {
    const work = mkdtempSync(join(tmpdir(), "onnx-hls-own-"));
    try {
      writeFileSync(join(work, "own.onnx"), model);
      const data = Float32Array.from(samples.flatMap((s) => [...s[0]!]));
      writeFileSync(join(work, "x.npz"), writeNpz(new Map([["x", { shape: [12, 4], data }]])));
      const out = join(work, "design");
      const options = { out, calib: join(work, "x.npz"), precision: "w16a16" };
      const report = await compileModel(join(work, "own.onnx"), options, newSession());
      for (const kernel of ["distance", "loud"])
        expect(report.kernels.some((k) => k.onnx_nodes.includes(kernel))).toBe(true);
      expect(readdirSync(join(out, "rtl")).some((f) => f.endsWith(".v"))).toBe(true);
      await runDesign(out, { input: join(work, "x.npz"), output: join(work, "y.npz") }, newSession());
      const y = readArrays(readFileSync(join(work, "y.npz")), "y").get("y")!.data;
      samples.forEach((s, i) => byHand(s[0]!).forEach((v, j) => expect(y[3 * i + j]!).toBeCloseTo(v, 2)));
    } finally {
      rmSync(work, { recursive: true });
    }
  });
});

describe("what an operation of one's own lacks is said", () => {
  const register = (name: string, more: object): void =>
    registerOp({ name, summary: "A test.", operands: ["x"], results: ["y"], ...more });
  const same = (op: Op): readonly [ReturnType<typeof tensor>] => [tensorType(op.operand(0))];
  const through = (name: string): (() => unknown) => {
    const bytes = onnx({ domains: ["test.own"], node: [own(name, ["x"], "y", "mine")] });
    registerOnnxOp({
      opType: `test.own::${name}`,
      import: (ctx) => ctx.emit(`nn.${name.toLowerCase()}`, [ctx.value(0)], ctx.shape(0)),
    });
    const network = importValid(bytes, "own.onnx");
    return () => throughHardware(network, [[Float64Array.of(0.1, 0.2, 0.3, 0.4)]], 4);
  };

  it("its meaning", () => {
    register("nn.dumb", { inferTypes: same });
    expect(through("Dumb")).toThrow(/nn\.dumb cannot be computed: it has no meaning/);
  });
  it("its form on fixed point", () => {
    const copy = everywhere(
      () =>
        ([x], out) =>
          out.set(x!),
    );
    register("nn.real", { evaluate: copy });
    expect(through("Real")).toThrow(/nn\.real cannot be quantized: it has no fixed-point form/);
  });
  it("its lowering", () => {
    const copy = everywhere(
      () =>
        ([x], out) =>
          out.set(x!),
    );
    register("nn.soft", { evaluate: copy, inferTypes: same });
    expect(through("Soft")).toThrow(/nn\.soft cannot be lowered: it has no lowering/);
  });
});
