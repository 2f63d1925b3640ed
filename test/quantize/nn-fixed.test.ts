import { describe, expect, it } from "vitest";
import fc from "fast-check";
import "../../src/ir/dialects.js";
import { allocate, Dense, type Attr } from "../../src/ir/attributes.js";
import { Block, Builder, Module, Op, type Value } from "../../src/ir/core.js";
import { lookupOp } from "../../src/ir/define-op.js";
import { prepareNn, prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import { unaryRaw } from "../../src/ir/nn/unary-table.js";
import {
  elementCount,
  f32,
  fixed,
  rawRange,
  tensor,
  ufixed,
  type FixedType,
  type TensorType,
} from "../../src/ir/types.js";
import { assertValid } from "../../src/ir/verify.js";
import { CompilerBug } from "../../src/diagnostics/index.js";
import { evaluateRational } from "./rational.js";

/** Deterministic pseudo-random integers. */
function generator(seed: number): (n: number) => number {
  let s = seed | 0;
  return (n) => {
    s = (Math.imul(s, 1664525) + 1013904223) | 0;
    return Math.floor(((s >>> 4) / 2 ** 28) * n);
  };
}
function randomRaw(type: FixedType, count: number, below: (n: number) => number): number[] {
  const { lo, hi } = rawRange(type);
  // Extremes and zero are as likely as all the rest together: that is where formats break.
  return Array.from({ length: count }, () =>
    below(2) === 0 ? [lo, hi, Math.max(lo, 0)][below(3)]! : lo + below(hi - lo + 1),
  );
}

class Net {
  readonly block = new Block();
  readonly b = new Builder(this.block);
  constructor(readonly below: (n: number) => number) {}

  input(shape: readonly number[], type: FixedType): Value {
    return this.block.addArg(tensor(shape, type), `x${this.block.args.length}`);
  }
  constant(shape: readonly number[], type: FixedType): Value {
    const raw = randomRaw(type, elementCount(shape), this.below);
    const data = allocate(type, raw.length);
    raw.forEach((r, i) => (data[i] = r));
    return this.b.value("nn.constant", [], tensor(shape, type), { value: new Dense(shape, type, data) });
  }
  op(name: string, operands: readonly Value[], attrs: Record<string, Attr> = {}): Value {
    const op = this.b.create(name, operands, [tensor([], f32)], attrs);
    op.result.type = lookupOp(name)!.inferTypes!(op)[0]!;
    return op.result;
  }
  quantize(x: Value, type: FixedType, rounding = "half-up", overflow = "saturate"): Value {
    return this.b.value("nn.quantize", [x], tensor((x.type as TensorType).shape, type), { rounding, overflow });
  }
  module(...outputs: Value[]): Module {
    this.b.create("return", outputs, []);
    const m = new Module("net");
    m.body.append(
      new Op({
        name: "func",
        attrs: { sym: "net", inputs: this.block.args.map((_, i) => `x${i}`), outputs: outputs.map((_, i) => `y${i}`) },
        regions: [this.block],
      }),
    );
    assertValid(m, "test network");
    return m;
  }
}

function compare(m: Module, below: (n: number) => number, runs = 4): void {
  const program = prepareNnFixed(m);
  for (let i = 0; i < runs; i++) {
    const inputs = m.func.body.args.map((a) => {
      const t = (a.type as TensorType).elem as FixedType;
      const raw = allocate(t, elementCount((a.type as TensorType).shape));
      randomRaw(t, raw.length, below).forEach((r, k) => (raw[k] = r));
      return raw;
    });
    expect(program.run(inputs).map((y) => Array.from(y))).toEqual(
      evaluateRational(
        m,
        inputs.map((x) => Array.from(x)),
      ),
    );
  }
}

const A = fixed(6, 3);
const B = ufixed(5, 7);
const W = fixed(5, 4);
const window = { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] };

const single: [string, (n: Net) => Value][] = [
  ["add with broadcasting", (n) => n.op("nn.add", [n.input([2, 3, 1], A), n.input([4], B)])],
  ["sub", (n) => n.op("nn.sub", [n.input([2, 3], B), n.input([2, 3], A)])],
  ["mul with a constant", (n) => n.op("nn.mul", [n.input([2, 3], A), n.constant([3], W)])],
  ["max and min", (n) => n.op("nn.max", [n.op("nn.min", [n.input([7], A), n.input([7], B)]), n.constant([], W)])],
  ["relu, neg, abs", (n) => n.op("nn.abs", [n.op("nn.neg", [n.op("nn.relu", [n.input([9], A)])])])],
  ["leaky relu", (n) => n.op("nn.leaky_relu", [n.input([9], A)], { slope: 0.1, slope_raw: 51, slope_frac: 9 })],
  [
    "conv with bias and padding",
    (n) =>
      n.op("nn.conv", [n.input([1, 2, 5, 4], A), n.constant([3, 2, 3, 2], W), n.constant([3], fixed(9, 7))], {
        ...window,
        pads: [1, 0, 2, 1],
      }),
  ],
  [
    "strided, dilated conv in groups",
    (n) =>
      n.op("nn.conv", [n.input([1, 4, 7, 7], B), n.constant([6, 2, 2, 2], W)], {
        strides: [2, 1],
        pads: [0, 1, 1, 0],
        dilations: [1, 2],
        group: 2,
      }),
  ],
  [
    "1-D conv",
    (n) =>
      n.op("nn.conv", [n.input([1, 2, 9], A), n.constant([2, 2, 3], W)], {
        strides: [2],
        pads: [1, 1],
        dilations: [1],
      }),
  ],
  ["conv with computed weights", (n) => n.op("nn.conv", [n.input([1, 2, 4, 4], A), n.input([2, 2, 2, 2], W)], window)],
  ["matmul by weights", (n) => n.op("nn.matmul", [n.input([3, 5], A), n.constant([5, 4], W)])],
  ["batched matmul of activations", (n) => n.op("nn.matmul", [n.input([2, 3, 4], A), n.input([1, 4, 2], B)])],
  ["vector by matrix", (n) => n.op("nn.matmul", [n.input([4], A), n.constant([4, 3], W)])],
  ["reduce sum", (n) => n.op("nn.reduce", [n.input([2, 3, 4], A)], { kind: "sum", axes: [0, 2], keepdims: true })],
  [
    "reduce max without kept axes",
    (n) => n.op("nn.reduce", [n.input([2, 3, 4], A)], { kind: "max", axes: [1], keepdims: false }),
  ],
  [
    "pool max",
    (n) =>
      n.op("nn.pool", [n.input([1, 2, 5, 5], A)], {
        kind: "max",
        kernel: [2, 2],
        strides: [2, 2],
        pads: [0, 0, 1, 1],
        dilations: [1, 1],
      }),
  ],
  [
    "pool sum",
    (n) =>
      n.op("nn.pool", [n.input([1, 2, 4, 4], A)], {
        kind: "sum",
        kernel: [3, 2],
        strides: [1, 2],
        pads: [1, 0, 0, 0],
        dilations: [1, 1],
      }),
  ],
  [
    "transpose and reshape",
    (n) => n.op("nn.reshape", [n.op("nn.transpose", [n.input([2, 3, 4], A)], { perm: [2, 0, 1] })], { shape: [4, 6] }),
  ],
  ["concat of two formats", (n) => n.op("nn.concat", [n.input([2, 3], A), n.input([2, 2], B)], { axis: 1 })],
];

describe("fixed-point interpreter", () => {
  it.each(single)("%s is exact", (_, make) => {
    const below = generator(11);
    const net = new Net(below);
    compare(net.module(make(net)), below, 8);
  });

  it.each(["half-up", "half-even", "floor"].flatMap((r) => ["saturate", "wrap"].map((o) => [r, o] as const)))(
    "quantize %s, %s covers every raw value, ties included",
    (rounding, overflow) => {
      for (const [from, to] of [
        [fixed(8, 4), fixed(4, 1)],
        [ufixed(8, 4), ufixed(3, 2)],
        [fixed(8, 4), ufixed(5, 3)],
        [fixed(6, 1), fixed(12, 5)],
      ] as const) {
        const net = new Net(generator(1));
        const { lo, hi } = rawRange(from);
        const m = net.module(net.quantize(net.input([hi - lo + 1], from), to, rounding, overflow));
        const raw = allocate(from, hi - lo + 1).map((_: number, i: number) => lo + i);
        expect(Array.from(prepareNnFixed(m).run([raw as Int32Array])[0]!)).toEqual(
          evaluateRational(m, [Array.from(raw)])[0],
        );
      }
    },
  );

  it("looks functions up, correctly rounded", () => {
    const [from, to] = [fixed(8, 5), ufixed(8, 2)];
    const net = new Net(generator(1));
    const m = net.module(net.b.value("nn.unary", [net.input([256], from)], tensor([256], to), { fn: "exp" }));
    const raw = Int32Array.from({ length: 256 }, (_, i) => i - 128);
    const y = prepareNnFixed(m).run([raw])[0]!;
    raw.forEach((r, i) => expect(y[i]).toBe(unaryRaw("exp", r, from, to)));
    expect(y[255]).toBe(Math.round(Math.exp(127 / 32) * 4));
  });

  it("gives observed values in real units", () => {
    const net = new Net(generator(1));
    const x = net.input([2], A);
    const m = net.module(net.op("nn.neg", [x]));
    const program = prepareNnFixed(m);
    const seen: number[][] = [];
    program.observe = (_, data) => seen.push(Array.from(data));
    expect(Array.from(program.run([Int32Array.of(8, -4)])[0]!)).toEqual([-8, 4]);
    expect(seen).toEqual([[-1, 0.5]]);
  });

  it("refuses a module that is not quantized, and results wider than 53 bits", () => {
    const float = new Net(generator(1));
    const m = float.module(float.op("nn.relu", [float.block.addArg(tensor([2], f32), "x")]));
    expect(() => prepareNnFixed(m)).toThrow(CompilerBug);
    expect(Array.from(prepareNn(m).run([[-1, 2]])[0]!)).toEqual([0, 2]);
    const wide = new Net(generator(1));
    const x = wide.block.addArg(tensor([1], fixed(30, 0)), "x");
    const product = wide.b.value("nn.mul", [x, x], tensor([1], fixed(60, 0)));
    wide.b.create("return", [product], []);
    const w = new Module("wide");
    w.body.append(
      new Op({ name: "func", attrs: { sym: "wide", inputs: ["x"], outputs: ["y"] }, regions: [wide.block] }),
    );
    expect(() => prepareNnFixed(w)).toThrow(/53 bits/);
  });

  it("equals exact rational evaluation on random networks", () => {
    const steps: ((n: Net, x: Value, below: (k: number) => number) => Value)[] = [
      (n, x) => n.op("nn.relu", [x]),
      (n, x) => n.op("nn.leaky_relu", [x], { slope: 0.01, slope_raw: 41, slope_frac: 12 }),
      (n, x) =>
        n.op(
          "nn.conv",
          [
            x,
            n.constant([3, 3, 2, 2], W),
            n.constant([3], fixed(8, ((x.type as TensorType).elem as FixedType).frac + W.frac)),
          ],
          { ...window, pads: [1, 0, 0, 1] },
        ),
      (n, x) => n.op("nn.add", [x, n.constant([3, 1, 1], B)]),
      (n, x) => n.op("nn.mul", [x, n.constant([1], W)]),
      (n, x) => n.op("nn.sub", [n.op("nn.reduce", [x], { kind: "max", axes: [1], keepdims: true }), x]),
      (n, x) => n.op("nn.add", [x, x]),
    ];
    fc.assert(
      fc.property(
        fc.integer(),
        fc.array(
          fc.record({
            step: fc.nat(steps.length - 1),
            width: fc.integer({ min: 2, max: 9 }),
            frac: fc.integer({ min: -1, max: 8 }),
            rounding: fc.constantFrom("half-up", "half-even", "floor"),
            overflow: fc.constantFrom("saturate", "wrap"),
          }),
          { minLength: 1, maxLength: 6 },
        ),
        (seed, layers) => {
          const below = generator(seed);
          const net = new Net(below);
          let x = net.input([1, 3, 4, 4], A);
          for (const l of layers)
            x = net.quantize(
              steps[l.step]!(net, x, below),
              fixed(l.width, l.frac, below(2) === 0),
              l.rounding,
              l.overflow,
            );
          compare(net.module(x), below, 2);
        },
      ),
      { seed: 3, numRuns: 60 },
    );
  });
});
