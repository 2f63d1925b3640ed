import { describe, expect, it } from "vitest";
import "../../src/ir/dialects.js";
import { Dense } from "../../src/ir/attributes.js";
import { Block, Builder, cloneModule, Module, Op, type Value } from "../../src/ir/core.js";
import { prepareNn } from "../../src/ir/eval/nn-fixed.js";
import { f32, tensor, type TensorType } from "../../src/ir/types.js";
import { assertValid } from "../../src/ir/verify.js";
import { removeDead } from "../../src/passes/common/dce.js";
import type { Pass } from "../../src/passes/define-pass.js";
import { decomposeSoftmax } from "../../src/passes/nn/decompose-softmax.js";
import { foldScales } from "../../src/passes/nn/fold-scales.js";
import { lowerAverage } from "../../src/passes/nn/lower-average.js";
import { PassContext } from "../../src/passes/pass-context.js";

/**
 * Builds `f(x)` and hands back the module. Constants get pseudo-random values in [-1, 1) of 12 bits, so sums are exact
 * enough.
 */
function build(shapes: readonly (readonly number[])[], f: (b: Make, x: readonly Value[]) => Value): Module {
  const block = new Block();
  const args = shapes.map((s, i) => block.addArg(tensor(s, f32), `x${i}`));
  const y = f(new Make(new Builder(block)), args);
  new Builder(block).create("return", [y], []);
  const m = new Module("net");
  m.body.append(
    new Op({
      name: "func",
      attrs: { sym: "net", inputs: shapes.map((_, i) => `x${i}`), outputs: ["y"] },
      regions: [block],
    }),
  );
  assertValid(m, "test network");
  return m;
}
class Make {
  private seed = 5;
  constructor(readonly b: Builder) {}
  next = (): number => {
    this.seed = (Math.imul(this.seed, 1664525) + 1013904223) | 0;
    return Math.floor((this.seed >>> 20) - 2048) / 2048;
  };
  constant(shape: readonly number[], values?: readonly number[]): Value {
    const n = shape.reduce((a, d) => a * d, 1);
    return this.b.value("nn.constant", [], tensor(shape, f32), {
      value: new Dense(shape, f32, Float32Array.from(values ?? Array.from({ length: n }, this.next))),
    });
  }
  op(name: string, operands: Value[], shape: readonly number[], attrs = {}): Value {
    return this.b.value(name, operands, tensor(shape, f32), attrs, name.slice(3));
  }
}

function apply(pass: Pass, m: Module): Module {
  const copy = cloneModule(m);
  const options = Object.fromEntries(Object.entries(pass.options ?? {}).map(([k, s]) => [k, s.default]));
  pass.run(copy, options, new PassContext());
  removeDead(copy.func.body);
  assertValid(copy, pass.name);
  return copy;
}
const names = (m: Module): string[] =>
  m.func.body.ops.map((o) => o.name).filter((n) => n !== "nn.constant" && n !== "return");

function expectSame(before: Module, after: Module, digits = 6): void {
  const make = new Make(new Builder(new Block()));
  for (let i = 0; i < 3; i++) {
    const x = before.func.body.args.map((a) =>
      Float64Array.from({ length: (a.type as TensorType).shape.reduce((n, d) => n * d, 1) }, () => 3 * make.next()),
    );
    const [p, q] = [prepareNn(before).run(x)[0]!, prepareNn(after).run(x)[0]!];
    expect(q.length).toBe(p.length);
    p.forEach((v, k) => expect(q[k]).toBeCloseTo(v, digits));
  }
}

describe("decompose-softmax", () => {
  const attention = (axis: number, perm?: number[]): Module =>
    build(
      [
        [2, 5, 5],
        [2, 5, 3],
      ],
      (m, [s, g]) => {
        let p = m.op("nn.softmax", [s!], [2, 5, 5], { axis });
        if (perm !== undefined) p = m.op("nn.transpose", [p], [2, 5, 5], { perm });
        return m.op("nn.matmul", [p, g!], [2, 5, 3]);
      },
    );

  it("moves the row factor behind a matmul that contracts the axis", () => {
    const before = attention(2);
    const after = apply(decomposeSoftmax, before);
    expect(names(after)).toEqual([
      "nn.reduce",
      "nn.sub",
      "nn.sub",
      "nn.unary",
      "nn.reduce",
      "nn.unary",
      "nn.matmul",
      "nn.mul",
    ]);
    expect((after.func.body.ops.at(-2)!.result.type as TensorType).shape).toEqual([2, 5, 3]);
    expectSame(before, after);
  });
  it("looks through a transpose", () => {
    const before = attention(1, [0, 2, 1]);
    const after = apply(decomposeSoftmax, before);
    expect(names(after).slice(-2)).toEqual(["nn.matmul", "nn.mul"]);
    expectSame(before, after);
  });
  it("scales before the matmul where the axis is not the contracted one", () => {
    const before = attention(1);
    const after = apply(decomposeSoftmax, before);
    expect(names(after).slice(-2)).toEqual(["nn.mul", "nn.matmul"]);
    expectSame(before, after);
  });
  it("moves the factor of a right-hand operand, too", () => {
    const before = build(
      [
        [3, 5],
        [5, 4],
      ],
      (m, [a, s]) => m.op("nn.matmul", [a!, m.op("nn.softmax", [s!], [5, 4], { axis: 0 })], [3, 4]),
    );
    const after = apply(decomposeSoftmax, before);
    expect(names(after).slice(-2)).toEqual(["nn.matmul", "nn.mul"]);
    expectSame(before, after);
  });
  it("keeps the products where something else reads the softmax", () => {
    const before = build([[4, 4]], (m, [s]) => {
      const p = m.op("nn.softmax", [s!], [4, 4], { axis: 1 });
      return m.op("nn.add", [m.op("nn.matmul", [p, s!], [4, 4]), p], [4, 4]);
    });
    const after = apply(decomposeSoftmax, before);
    expect(names(after).slice(-3)).toEqual(["nn.mul", "nn.matmul", "nn.add"]);
    expectSame(before, after);
  });
});

describe("lower-average", () => {
  it("makes a mean a sum times a constant", () => {
    const before = build([[2, 3, 4]], (m, [x]) =>
      m.op("nn.reduce", [x!], [2, 1, 1], { kind: "mean", axes: [1, 2], keepdims: true }),
    );
    const after = apply(lowerAverage, before);
    expect(names(after)).toEqual(["nn.reduce", "nn.mul"]);
    expectSame(before, after);
  });
  it.each([true, false])("makes average pooling a sum times constants (padding counted: %s)", (count_include_pad) => {
    const before = build([[1, 2, 5, 4]], (m, [x]) =>
      m.op("nn.pool", [x!], [1, 2, 3, 3], {
        kind: "average",
        kernel: [3, 2],
        strides: [2, 2],
        pads: [1, 1, 1, 1],
        dilations: [1, 1],
        count_include_pad,
      }),
    );
    const after = apply(lowerAverage, before);
    expect(names(after)).toEqual(["nn.pool", "nn.mul"]);
    expectSame(before, after);
  });
  it("makes a quotient a product", () => {
    const before = build([[4], [4]], (m, [x, y]) =>
      m.op(
        "nn.div",
        [
          m.op("nn.div", [x!, m.constant([4], [2, 4, 8, -0.5])], [4]),
          m.op("nn.add", [m.op("nn.abs", [y!], [4]), m.constant([], [1])], [4]),
        ],
        [4],
      ),
    );
    const after = apply(lowerAverage, before);
    expect(names(after)).toEqual(["nn.mul", "nn.abs", "nn.add", "nn.unary", "nn.mul"]);
    expectSame(before, after);
  });
});

describe("fold-scales", () => {
  const conv = { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] };
  it("folds normalisation behind a conv into weights and bias", () => {
    const before = build([[1, 2, 4, 4]], (m, [x]) => {
      const y = m.op("nn.conv", [x!, m.constant([3, 2, 2, 2]), m.constant([3])], [1, 3, 3, 3], conv);
      return m.op(
        "nn.add",
        [m.op("nn.mul", [y, m.constant([3, 1, 1])], [1, 3, 3, 3]), m.constant([1, 3, 1, 1])],
        [1, 3, 3, 3],
      );
    });
    const after = apply(foldScales, before);
    expect(names(after)).toEqual(["nn.conv"]);
    expectSame(before, after, 5);
  });
  it("folds a factor behind matmul and offset", () => {
    const before = build([[2, 5]], (m, [x]) => {
      const y = m.op("nn.add", [m.op("nn.matmul", [x!, m.constant([5, 3])], [2, 3]), m.constant([3])], [2, 3]);
      return m.op("nn.add", [m.op("nn.mul", [y, m.constant([1, 3])], [2, 3]), m.constant([1, 3])], [2, 3]);
    });
    const after = apply(foldScales, before);
    expect(names(after)).toEqual(["nn.matmul", "nn.add"]);
    expectSame(before, after, 5);
  });
  it("folds one number before a matmul, through a reshape", () => {
    const before = build([[1, 3, 2]], (m, [x]) =>
      m.op(
        "nn.matmul",
        [
          m.op("nn.reshape", [m.op("nn.mul", [x!, m.constant([], [0.25])], [1, 3, 2])], [1, 6], { shape: [1, 6] }),
          m.constant([6, 2]),
        ],
        [1, 2],
      ),
    );
    const after = apply(foldScales, before);
    expect(names(after)).toEqual(["nn.reshape", "nn.matmul"]);
    expectSame(before, after);
  });
  it("leaves factors alone that differ within a channel, or whose operand is read twice", () => {
    const within = build([[1, 2, 4, 4]], (m, [x]) =>
      m.op(
        "nn.mul",
        [m.op("nn.conv", [x!, m.constant([3, 2, 2, 2])], [1, 3, 3, 3], conv), m.constant([3, 3])],
        [1, 3, 3, 3],
      ),
    );
    expect(names(apply(foldScales, within))).toEqual(["nn.conv", "nn.mul"]);
    const twice = build([[2, 5]], (m, [x]) => {
      const y = m.op("nn.matmul", [x!, m.constant([5, 3])], [2, 3]);
      return m.op("nn.add", [m.op("nn.mul", [y, m.constant([], [0.5])], [2, 3]), y], [2, 3]);
    });
    expect(names(apply(foldScales, twice))).toEqual(["nn.matmul", "nn.mul", "nn.add"]);
  });
});
