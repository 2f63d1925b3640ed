/** Graphs with values of 40 to 120 bits inside: rationals = nn interpreter = flow interpreter = rtl, bit for bit. */
import { describe, expect, it } from "vitest";
import "../../src/ir/dialects.js";
import { allocate, Dense, type Attr } from "../../src/ir/attributes.js";
import { Block, Builder, Module, Op, type Value } from "../../src/ir/core.js";
import { lookupOp } from "../../src/ir/define-op.js";
import { prepareFlow } from "../../src/ir/eval/flow.js";
import { prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import { elementCount, f32, fixed, rawRange, tensor, type FixedType, type TensorType } from "../../src/ir/types.js";
import { assertValid } from "../../src/ir/verify.js";
import { fuseElementwise } from "../../src/passes/flow/fuse-elementwise.js";
import { foldRounding } from "../../src/passes/flow/fold-rounding.js";
import { PassContext } from "../../src/passes/pass-context.js";
import { lowerToFlow } from "../../src/passes/lower/nn-to-flow.js";
import { designOf, insertChannels, foldDesign } from "../../src/backend-hls/design/schedule.js";
import { knownDevices } from "../../src/backend-hls/device/devices.js";
import { lowerToRtl } from "../../src/backend-hls/emit/flow-to-rtl.js";
import { newSession } from "../../src/driver.js";
import { evaluateRational } from "../quantize/rational.js";
import { runAxis } from "../support/axis.js";
import { random } from "./random-nets.js";

const typeOf = (v: Value): FixedType => (v.type as TensorType).elem as FixedType;
const shapeOf = (v: Value): readonly number[] => (v.type as TensorType).shape;

class WideNet {
  readonly block = new Block();
  readonly b = new Builder(this.block);
  /** The widest value so far. */
  widest = 0;
  constructor(readonly rnd: () => number) {}

  below(n: number): number {
    return Math.floor(this.rnd() * n);
  }
  raws(type: FixedType, count: number): Float64Array {
    const { lo, hi } = rawRange(type);
    return Float64Array.from({ length: count }, () =>
      this.below(2) === 0 ? [lo, hi, Math.max(lo, 0)][this.below(3)]! : lo + Math.floor(this.rnd() * (hi - lo + 1)),
    );
  }
  constant(shape: readonly number[], type: FixedType): Value {
    const data = allocate(type, elementCount(shape));
    data.set(this.raws(type, data.length));
    return this.b.value("nn.constant", [], tensor(shape, type), { value: new Dense(shape, type, data) });
  }
  op(name: string, operands: readonly Value[], attrs: Record<string, Attr> = {}): Value {
    const op = this.b.create(name, operands, [tensor([], f32)], attrs);
    // The shape of a choice is its result's.
    op.result.type = tensor(shapeOf(operands[0]!), f32);
    op.result.type = lookupOp(name)!.inferTypes!(op)[0]!;
    this.widest = Math.max(this.widest, typeOf(op.result).width);
    return op.result;
  }
  quantize(x: Value, type: FixedType): Value {
    const rounding = ["half-up", "half-even", "floor"][this.below(3)]!;
    return this.b.value("nn.quantize", [x], tensor(shapeOf(x), type), {
      rounding,
      overflow: ["saturate", "wrap"][this.below(2)]!,
    });
  }
  module(y: Value): Module {
    this.b.create("return", [y], []);
    const m = new Module("wide");
    m.body.append(
      new Op({ name: "func", attrs: { sym: "wide", inputs: ["x"], outputs: ["y"] }, regions: [this.block] }),
    );
    assertValid(m, "the generated network");
    return m;
  }
  /** `x` in at most `most` bits, of which about half lie behind the point. */
  within(x: Value, most: number): Value {
    const t = typeOf(x);
    return t.width <= most && t.frac <= 60
      ? x
      : this.quantize(
          x,
          fixed(most, Math.max(-4, Math.min(60, t.frac - Math.floor((t.width - most) / 2))), this.below(3) > 0),
        );
  }
}

const C = 3;
const window = { strides: [1, 1], dilations: [1, 1] };
const small = (n: WideNet, frac = n.below(12)): FixedType => fixed(8 + n.below(16), frac, n.below(3) > 0);

/** Steps from a tensor of [1, 3, 4, 4] to another, with the widest operand that their results have room for. */
const steps: readonly (readonly [string, (n: WideNet, x: Value, before: Value) => Value])[] = [
  [
    "conv",
    (n, x) => n.op("nn.conv", [n.within(x, 90), n.constant([C, C, 2, 2], small(n))], { ...window, pads: [1, 0, 0, 1] }),
  ],
  [
    "conv with a bias",
    (n, x) => {
      const [v, w] = [n.within(x, 90), small(n)];
      return n.op("nn.conv", [v, n.constant([C, 1, 3, 3], w), n.constant([C], fixed(40, typeOf(v).frac + w.frac))], {
        ...window,
        pads: [1, 1, 1, 1],
        group: C,
      });
    },
  ],
  [
    "conv with a padding of its own",
    (n, x) =>
      n.op("nn.conv", [n.within(x, 70), n.constant([C, C, 1, 3], small(n))], {
        ...window,
        pads: [0, 1, 0, 1],
        pad_value: 16,
      }),
  ],
  ["square", (n, x) => ((v) => n.op("nn.mul", [v, v]))(n.within(x, 56))],
  ["product of two tensors", (n, x, y) => n.op("nn.mul", [n.within(x, 70), n.within(y, 50)])],
  ["product with constants", (n, x) => n.op("nn.mul", [n.within(x, 90), n.constant([C, 1, 1], small(n))])],
  ["matmul of two tensors", (n, x, y) => n.op("nn.matmul", [n.within(x, 64), n.within(y, 50)])],
  ["matmul by weights", (n, x) => n.op("nn.matmul", [n.within(x, 90), n.constant([4, 4], small(n))])],
  ["sum", (n, x, y) => n.op("nn.add", [n.within(x, 110), n.within(y, 100)])],
  [
    "sum with constants",
    (n, x) => n.op("nn.add", [n.within(x, 110), n.constant([C, 1, 1], fixed(53, 8 + n.below(20)))]),
  ],
  ["difference", (n, x, y) => n.op("nn.sub", [n.within(x, 110), n.within(y, 100)])],
  [
    "difference with the sum",
    (n, x) =>
      ((v) => n.op("nn.sub", [v, n.op("nn.reduce", [v], { kind: "sum", axes: [1], keepdims: true })]))(
        n.within(x, 110),
      ),
  ],
  [
    "difference with the largest",
    (n, x) =>
      ((v) => n.op("nn.sub", [n.op("nn.reduce", [v], { kind: "max", axes: [1], keepdims: true }), v]))(
        n.within(x, 110),
      ),
  ],
  [
    "sums of windows",
    (n, x) => n.op("nn.pool", [n.within(x, 110)], { kind: "sum", kernel: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1] }),
  ],
  [
    "largest of windows",
    (n, x) => n.op("nn.pool", [n.within(x, 110)], { kind: "max", kernel: [2, 2], strides: [1, 1], pads: [1, 1, 0, 0] }),
  ],
  ["larger", (n, x, y) => n.op("nn.max", [n.within(x, 100), n.within(y, 100)])],
  ["smaller", (n, x, y) => n.op("nn.min", [n.within(x, 100), n.within(y, 100)])],
  ["choice", (n, x, y) => n.op("nn.select_neg", [x, n.within(y, 100), n.within(x, 100)])],
  ["relu", (n, x) => n.op("nn.relu", [x])],
  ["abs of neg", (n, x) => n.op("nn.abs", [n.op("nn.neg", [n.within(x, 110)])])],
  ["leaky relu", (n, x) => n.op("nn.leaky_relu", [n.within(x, 100)], { slope: -0.3, slope_raw: -307, slope_frac: 10 })],
  ["clip", (n, x) => ((v) => n.op("nn.clip", [v], { lo: -(2 ** 20), hi: 2 ** 40 }))(n.within(x, 110))],
  [
    "halves of two",
    (n, x, y) => {
      const half = (v: Value, from: number): Value =>
        n.op("nn.slice", [v], { starts: [0, 0, 0, from], steps: [1, 1, 1, 1], shape: [1, C, 4, 2] });
      return n.op("nn.concat", [half(n.within(x, 100), 2), half(n.within(y, 100), 0)], { axis: 3 });
    },
  ],
  ["transpose", (n, x) => n.op("nn.transpose", [x], { perm: [0, 1, 3, 2] })],
  ["round", (n, x) => n.op("nn.add", [n.within(x, 100), n.op("nn.round", [x], { lo: -100, hi: 27, zero: 3 })])],
];

function network(seed: number): { module: Module; widest: number } {
  const n = new WideNet(random(seed));
  const input = n.block.addArg(tensor([1, C, 4, 4], fixed(22 + n.below(19), 4 + n.below(12))), "x");
  let [before, x]: [Value, Value] = [input, input];
  // Every step is taken by some seed, behind one that makes numbers wide.
  const list = [
    "square",
    seed % 2 === 0 ? "conv" : "product of two tensors",
    steps[seed % steps.length]![0],
    ...Array.from({ length: n.below(3) }, () => steps[n.below(steps.length)]![0]),
  ];
  for (const name of list) [before, x] = [x, steps.find(([s]) => s === name)![1](n, x, before)];
  return {
    module: n.module(n.quantize(x, fixed(4 + n.below(40), typeOf(x).frac - n.below(typeOf(x).width), n.below(2) > 0))),
    widest: n.widest,
  };
}

const seeds = Array.from({ length: Number(process.env["SEEDS"] ?? 2 * steps.length) }, (_, i) => i + 1);

describe("networks of wide values", () => {
  it.each(seeds)("seed %i", (seed) => {
    const { module, widest } = network(seed);
    expect(widest).toBeGreaterThan(53);
    const n = new WideNet(random(seed * 7919));
    const type = module.func.body.args[0]!.type as TensorType;
    const samples = Array.from({ length: 3 }, () => n.raws(type.elem as FixedType, elementCount(type.shape)));
    const reference = prepareNnFixed(module);
    const expected = samples.map((s) => Array.from(reference.run([s])[0]!));
    expect(expected).toEqual(samples.map((s) => evaluateRational(module, [Array.from(s)])[0]));

    const flow = lowerToFlow(module);
    const check = (stage: string): void => {
      assertValid(flow, stage);
      const program = prepareFlow(flow);
      expect(
        samples.map((s) => Array.from(program.run([s])[0]!)),
        stage,
      ).toEqual(expected);
    };
    check("lower");
    fuseElementwise(flow);
    check("fuse");
    foldRounding.run(flow, {}, new PassContext(newSession().sink, () => {}));
    check("fold-rounding");
    if (seed % 3 !== 0) return;
    const device = knownDevices()[seed % knownDevices().length]!;
    const clock = 60;
    for (let ii = [16, 48, 200][(seed / 3) % 3]!; ; ) {
      const failure = foldDesign(flow, device, { ii });
      if (failure === undefined) break;
      ii = failure.cycles;
    }
    const { timeline } = insertChannels(flow, device, clock);
    check("insert-channels");
    const rtl = lowerToRtl(designOf(flow, device, clock));
    assertValid(rtl.module, "rtl");
    const free = runAxis(rtl.module, rtl.top, rtl.ports[0]!, rtl.ports[1]!, samples, () => false);
    expect(free.values).toEqual(expected.flat());
    expect(free.latency).toBe(timeline.latency);
  });
});
