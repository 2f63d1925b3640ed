/** nn operations on the elements of several tensors, with numpy's broadcasting. */
import type { Op } from "../core.js";
import type { Kernel, Meaning, Role } from "../define-op.js";
import { addType, maxType, minType, mulType, rangeAt, type Ranged, subType, unionRanges } from "../fixed-arith.js";
import { typeOfRange, type FixedType } from "../types.js";
import { binary as binaryKernel, broadcastStrides, offsets } from "./kernels.js";
import { defineNn, everywhere, type NnOp } from "./record.js";
import { broadcastShapes, checkShape, formatOf, listText, rangedOf, typed } from "./typing.js";
import { fixedOf, shapeOf } from "./values.js";
import { choice, wideChoice, wideProducts, wideSum } from "./wide.js";

function broadcastOf(op: Op): number[] | undefined {
  return broadcastShapes(shapeOf(op.operand(0)), shapeOf(op.operand(1)));
}

function kernelOf(f: (a: number, b: number) => number): (op: Op) => Kernel {
  return (op) => binaryKernel(f, shapeOf(op.operand(0)), shapeOf(op.operand(1)), shapeOf(op.result));
}

interface Binary<R extends Role> {
  readonly summary: string;
  readonly source: string;
  readonly role: R;
  readonly evaluate: Meaning;
  /** Of an exact result; absent where the operation is one of float only. */
  readonly format?: (a: Ranged, b: Ranged) => FixedType;
}

function binary<const N extends `nn.${string}`, const R extends Role>(
  name: N,
  b: Binary<R>,
): NnOp<N, R, Record<string, never>, readonly ["a", "b"]> {
  const { format } = b;
  return defineNn({
    name,
    summary: b.summary,
    source: b.source,
    operands: ["a", "b"],
    results: ["y"],
    role: b.role,
    traits: ["pure", "elementwise"],
    attrs: {} as Record<string, never>,
    inferTypes: (op) =>
      typed(op, broadcastOf(op) ?? shapeOf(op.operand(0)), () => {
        if (format === undefined) throw new Error(`${name} has no fixed-point form`);
        return format(rangedOf(op.operand(0)), rangedOf(op.operand(1)));
      }),
    verify: (op, report) => {
      const shape = broadcastOf(op);
      if (shape === undefined)
        return report(
          `shapes ${listText(shapeOf(op.operand(0)))} and ${listText(shapeOf(op.operand(1)))} do not broadcast`,
        );
      checkShape(op, shape, report);
      if (format === undefined && fixedOf(op.operand(0)) !== undefined) report(`${name} has no fixed-point form`);
    },
    evaluate: b.evaluate,
  });
}

const sum = kernelOf((a, b) => a + b);
const difference = kernelOf((a, b) => a - b);
const product = kernelOf((a, b) => a * b);
const larger = kernelOf((a, b) => (a > b ? a : b));
const smaller = kernelOf((a, b) => (a < b ? a : b));

export const add = binary("nn.add", {
  summary: "Sum, with broadcasting.",
  source: "ONNX Add",
  role: "aligned",
  format: addType,
  evaluate: everywhere(
    sum,
    wideSum(sum, () => 2),
  ),
});
export const sub = binary("nn.sub", {
  summary: "Difference, with broadcasting.",
  source: "ONNX Sub",
  role: "aligned",
  format: subType,
  evaluate: everywhere(
    difference,
    wideSum(difference, () => 2),
  ),
});
export const mul = binary("nn.mul", {
  summary: "Product, with broadcasting.",
  source: "ONNX Mul",
  role: "product",
  format: mulType,
  evaluate: everywhere(
    product,
    wideProducts(product, () => 1),
  ),
});
export const div = binary("nn.div", {
  summary: "Quotient, with broadcasting; only in float, quantization takes the reciprocal.",
  source: "ONNX Div",
  role: "composite",
  evaluate: { float: kernelOf((a, b) => a / b), fixed: undefined },
});
export const max = binary("nn.max", {
  summary: "The larger value, with broadcasting.",
  source: "ONNX Max",
  role: "aligned",
  format: maxType,
  evaluate: everywhere(larger, wideChoice(larger)),
});
export const min = binary("nn.min", {
  summary: "The smaller value, with broadcasting.",
  source: "ONNX Min",
  role: "aligned",
  format: minType,
  evaluate: everywhere(smaller, wideChoice(smaller)),
});

/** Holds the values of both. */
function maxHull(a: Ranged, b: Ranged): FixedType {
  const frac = Math.max(a.frac, b.frac);
  return typeOfRange(unionRanges(rangeAt(a, frac), rangeAt(b, frac)), frac);
}

function chosen(op: Op): Kernel {
  const y = shapeOf(op.result);
  const [x, p, q] = op.operands.map((v) => offsets(y, broadcastStrides(shapeOf(v), y))) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  return ([c, a, b], out) => {
    for (let i = 0; i < out.length; i++) out[i] = c![x[i]!]! < 0 ? a![p[i]!]! : b![q[i]!]!;
  };
}

export const selectNeg = defineNn({
  name: "nn.select_neg",
  summary: "a where x is negative, otherwise b, with broadcasting: comparisons, choices, orders.",
  source: "ONNX Where, Less",
  operands: ["x", "a", "b"],
  results: ["y"],
  role: "aligned",
  decides: ["x"],
  traits: ["pure", "elementwise"],
  attrs: {},
  inferTypes: (op) => typed(op, shapeOf(op.result), () => maxHull(rangedOf(op.operand(1)), rangedOf(op.operand(2)))),
  verify: (op, report) => {
    const shape = op.operands
      .map(shapeOf)
      .reduce<readonly number[] | undefined>((s, t) => s && broadcastShapes(s, t), []);
    if (shape === undefined) return report("shapes do not broadcast");
    checkShape(op, shape, report);
  },
  evaluate: everywhere(chosen, (op) => {
    const plain = chosen(op);
    const n = shapeOf(op.result).reduce((m, d) => m * d, 1);
    const { frac } = formatOf(op.result);
    return ([c, ...rest]) => {
      const signs = Float64Array.from(c ?? [], (v) => (v < 0n ? -1 : 0));
      const pick = choice((ranks, out) => plain([signs, ...ranks], out), n);
      return pick(rest.map((r, i) => r.map((v) => v << BigInt(frac - formatOf(op.operand(i + 1)).frac))));
    };
  }),
});

export const arithmeticOps = [add, sub, mul, div, max, min, selectNeg] as const;
