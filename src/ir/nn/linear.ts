/** nn.conv and nn.matmul. */
import type { Op } from "../core.js";
import { attrReader, operandReader, type Kernel, type Report, type WideKernel } from "../define-op.js";
import {
  addRanges,
  addType,
  checkWidth,
  dotType,
  ranged,
  rangeAt,
  unionRanges,
  weightedSumsRange,
} from "../fixed-arith.js";
import { elementCount, typeOfRange, type FixedType } from "../types.js";
import { conv as convKernel, matmul as matmulKernel } from "./kernels.js";
import { defineNn, everywhere } from "./record.js";
import { broadcastShapes, checkShape, formatOf, listText, rangedOf, typed } from "./typing.js";
import { constantOf, fixedOf, shapeOf } from "./values.js";
import { bilinear, rescaled, wideProducts } from "./wide.js";

const window = attrReader({
  strides: { kind: "list" },
  pads: { kind: "list", doc: "begins of all axes, then ends" },
  dilations: { kind: "list" },
  group: { kind: "int", optional: true, default: 1, doc: "1 where absent" },
  pad_value: { kind: "number", optional: true, default: 0, doc: "what x is outside; 0 where absent" },
});
const convOperands = operandReader(["x", "w", "b?"]);

function convShape(op: Op): number[] {
  const args = convOperands(op);
  const [x, w] = [shapeOf(args.x), shapeOf(args.w)];
  const { strides, pads, dilations } = window(op);
  const n = x.length - 2;
  const out = x
    .slice(2)
    .map((s, d) => Math.floor((s + pads[d]! + pads[n + d]! - (w[2 + d]! - 1) * dilations[d]! - 1) / strides[d]!) + 1);
  return [x[0]!, w[0]!, ...out];
}

/** The convolution that takes x to be `padValue` outside. */
function convolution(op: Op, padValue: number): Kernel {
  const { x, w } = convOperands(op);
  const { strides, pads, dilations, group } = window(op);
  return convKernel({
    x: shapeOf(x),
    w: shapeOf(w),
    y: shapeOf(op.result),
    strides,
    pads: pads.slice(0, strides.length),
    dilations,
    group,
    padValue,
  });
}

/** With padding other than zero, x is its padding everywhere, and x - padding inside. */
function wideConvolution(op: Op): WideKernel {
  const args = convOperands(op);
  const [x, w] = [formatOf(args.x), shapeOf(args.w)];
  const outputs = w[0]!;
  const terms = elementCount(w.slice(1));
  const pad = BigInt(window(op).pad_value * 2 ** x.frac);
  const products = bilinear(convolution(op, 0), elementCount(shapeOf(op.result)), terms);
  const plane = elementCount(shapeOf(op.result).slice(2));
  const frac = x.frac + formatOf(args.w).frac;
  const scale = args.b === undefined ? 0n : BigInt(frac - formatOf(args.b).frac);
  return rescaled(
    ([data, weights, bias]) => {
      const sums = products([pad === 0n ? data! : data!.map((v) => v - pad), weights!]);
      const added = Array.from(
        { length: outputs },
        (_, c) =>
          (bias === undefined ? 0n : bias[c]! << scale) +
          pad * weights!.slice(c * terms, (c + 1) * terms).reduce((s, v) => s + v, 0n),
      );
      return sums.map((v, i) => v + added[Math.floor(i / plane) % outputs]!);
    },
    frac,
    formatOf(op.result),
  );
}

/** Format of a linear operation: with constant weights, and bias, the worst output channel decides. */
function linearFormat(op: Op, terms: number, groups: number, groupOf: (i: number) => number): FixedType {
  const x = rangedOf(op.operand(0));
  const w = rangedOf(op.operand(1));
  const weights = constantOf(op.operand(1))?.data;
  const bias = op.operands[2];
  const frac = x.frac + w.frac;
  if (weights === undefined) {
    const dot = dotType(x, w, terms);
    return bias === undefined ? dot : addType(ranged(dot), rangedOf(bias));
  }
  const b = bias === undefined ? undefined : constantOf(bias)?.data;
  const scale = bias === undefined ? 0n : BigInt(frac - formatOf(bias).frac);
  let range = weightedSumsRange(x.range, weights, groups, groupOf, b && ((g) => BigInt(b[g]!) << scale));
  if (bias !== undefined && b === undefined)
    range = addRanges(range, unionRanges({ lo: 0n, hi: 0n }, rangeAt(rangedOf(bias), frac)));
  return checkWidth(typeOfRange(range, frac), `a sum of ${terms} products`);
}

function verifyConv(op: Op, report: Report): void {
  const [x, w] = [shapeOf(op.operand(0)), shapeOf(op.operand(1))];
  const a = window(op);
  const { group } = a;
  if (x.length !== w.length || x.length < 3 || x.length > 5)
    return report(`input of rank ${x.length} and weight of rank ${w.length}`);
  const n = x.length - 2;
  for (const [name, count] of [
    ["strides", n],
    ["dilations", n],
    ["pads", 2 * n],
  ] as const) {
    if (a[name].length !== count) return report(`${name} has ${a[name].length} entries instead of ${count}`);
  }
  if (x[1] !== w[1]! * group) report(`the input has ${x[1]} channels, the weight takes ${w[1]! * group}`);
  if (w[0]! % group !== 0) report(`group ${group} does not divide ${w[0]} output channels`);
  const bias = op.operands[2];
  if (bias !== undefined && shapeOf(bias).join() !== `${w[0]}`)
    report(`the bias has shape ${listText(shapeOf(bias))} for ${w[0]} channels`);
  const fx = [op.operand(0), op.operand(1)].map(fixedOf);
  if (
    bias !== undefined &&
    fx[0] !== undefined &&
    fx[1] !== undefined &&
    fixedOf(bias)?.frac !== fx[0].frac + fx[1].frac
  )
    report(`the bias must have the accumulator's ${fx[0].frac + fx[1].frac} fractional bits`);
  checkShape(op, convShape(op), report);
}

/** Result shape of a matrix product by numpy's rules; undefined where the operands do not fit. */
export function matmulShape(a: readonly number[], b: readonly number[]): number[] | undefined {
  if (a.length === 0 || b.length === 0) return undefined;
  const x = a.length === 1 ? [1, ...a] : a;
  const y = b.length === 1 ? [...b, 1] : b;
  if (x[x.length - 1] !== y[y.length - 2]) return undefined;
  const batch = broadcastShapes(x.slice(0, -2), y.slice(0, -2));
  return (
    batch && [...batch, ...(a.length === 1 ? [] : [x[x.length - 2]!]), ...(b.length === 1 ? [] : [y[y.length - 1]!])]
  );
}

export const conv = defineNn({
  name: "nn.conv",
  summary:
    "1-D to 3-D convolution with groups, strides, dilations and zero padding; the bias joins the exact accumulator.",
  source: "ONNX Conv",
  operands: ["x", "w", "b?"],
  results: ["y"],
  role: "linear",
  traits: ["pure"],
  attrs: window.specs,
  inferTypes: (op) => {
    const w = shapeOf(op.operand(1));
    const terms = w.slice(1).reduce((n, d) => n * d, 1);
    return typed(op, convShape(op), () => linearFormat(op, terms, w[0]!, (i) => Math.floor(i / terms)));
  },
  verify: verifyConv,
  evaluate: everywhere((op) => convolution(op, window(op).pad_value), wideConvolution),
});

function product(op: Op): Kernel {
  return matmulKernel(shapeOf(op.operand(0)), shapeOf(op.operand(1)), shapeOf(op.result));
}

export const matmul = defineNn({
  name: "nn.matmul",
  summary: "Matrix product with numpy's broadcasting of leading dimensions.",
  source: "ONNX MatMul",
  operands: ["a", "b"],
  results: ["y"],
  role: "linear",
  traits: ["pure"],
  attrs: {},
  inferTypes: (op) => {
    const [a, b] = [shapeOf(op.operand(0)), shapeOf(op.operand(1))];
    const shape = matmulShape(a, b) ?? a;
    const columns = b.length === 1 ? 1 : b[b.length - 1]!;
    const rows = b.length === 1 ? b[0]! : b[b.length - 2]!;
    return typed(op, shape, () =>
      linearFormat(
        op,
        rows,
        columns * (b.slice(0, -2).reduce((n, d) => n * d, 1) || 1),
        (i) => Math.floor(i / (rows * columns)) * columns + (i % columns),
      ),
    );
  },
  verify: (op, report) => {
    const [a, b] = [shapeOf(op.operand(0)), shapeOf(op.operand(1))];
    const shape = matmulShape(a, b);
    if (shape === undefined) return report(`shapes ${listText(a)} and ${listText(b)} cannot be multiplied`);
    checkShape(op, shape, report);
  },
  evaluate: everywhere(
    product,
    wideProducts(product, (op) => shapeOf(op.operand(0)).at(-1)!),
  ),
});

export const linearOps = [conv, matmul] as const;
