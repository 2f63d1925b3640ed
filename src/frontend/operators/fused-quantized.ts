/**
 * ONNX Runtime's operators on integers with scales, and on weights in blocks (domain com.microsoft), read as
 * dequantized ones.
 */
import { known, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";
import { apply, applyAll, maybe, valueOf } from "./build.js";
import { embedded, typesOf } from "./fused.js";
import { eitherLayout } from "./layout.js";

const MS = "com.microsoft::";

/** Real numbers behind inputs (x, scale, zero point), whose scale is constant. */
function real(ctx: NodeContext, x: number, scale: number, zero: number, axis = 0): Imported {
  ctx.needConstant(scale, "a scale");
  return apply(
    ctx,
    "DequantizeLinear",
    [ctx.input(x), ctx.input(scale), maybe(ctx, zero)],
    { axis },
    { types: { 0: ctx.elementType(x), 2: ctx.elementType(zero) } },
  );
}
function codes(ctx: NodeContext, y: Imported, scale: number, zero: number): Imported {
  return apply(
    ctx,
    "QuantizeLinear",
    [y, ctx.input(scale), maybe(ctx, zero)],
    {},
    { types: { 2: ctx.elementType(zero) } },
  );
}

const qLinearConv: OperatorImporter = eitherLayout({
  opType: `${MS}QLinearConv`,
  limits: "as QLinearConv, in both layouts",
  resultType: (ctx) => ctx.elementType(7),
  import: (ctx) =>
    ctx.delegate(
      "QLinearConv",
      Array.from({ length: ctx.inputCount }, (_, i) => maybe(ctx, i)),
      { opset: 22, types: typesOf(ctx) },
    ),
});

const qLinearWhere: OperatorImporter = {
  opType: `${MS}QLinearWhere`,
  limits: "constant scales and zero points",
  resultType: (ctx) => ctx.elementType(8),
  import: (ctx) =>
    codes(
      ctx,
      apply(ctx, "Where", [ctx.input(0), real(ctx, 1, 2, 3), real(ctx, 4, 5, 6)], {}, { types: { 0: 9, 1: 1, 2: 1 } }),
      7,
      8,
    ),
};

const qLinearReduceMean: OperatorImporter = {
  opType: `${MS}QLinearReduceMean`,
  limits: "constant scales and zero points",
  resultType: (ctx) => ctx.elementType(4),
  import: (ctx) =>
    codes(
      ctx,
      apply(
        ctx,
        "ReduceMean",
        [real(ctx, 0, 1, 2)],
        { ...(ctx.ints("axes") !== undefined && { axes: ctx.ints("axes")! }), keepdims: ctx.int("keepdims", 1) },
        { opset: 13 },
      ),
      3,
      4,
    ),
};

/** A product of integers, scaled to real numbers. */
const matMulIntegerToFloat: OperatorImporter = {
  opType: `${MS}MatMulIntegerToFloat`,
  limits: "constant scales and zero points",
  resultType: () => 1,
  import: (ctx) => {
    const y = apply(ctx, "MatMul", [real(ctx, 0, 2, 4, -1), real(ctx, 1, 3, 5, -1)]);
    return ctx.has(6) ? apply(ctx, "Add", [y, ctx.input(6)]) : y;
  },
};

const qAttention: OperatorImporter = {
  opType: `${MS}QAttention`,
  limits: "as com.microsoft::Attention, with constant scales",
  resultType: () => 1,
  import: (ctx) =>
    ctx.delegate(`${MS}Attention`, [
      real(ctx, 0, 3, 6),
      real(ctx, 1, 4, 7, 1),
      ctx.input(2),
      maybe(ctx, 5),
      maybe(ctx, 8),
    ]),
};

const qEmbedLayerNormalization: OperatorImporter = {
  opType: `${MS}QEmbedLayerNormalization`,
  limits: "as com.microsoft::EmbedLayerNormalization, with constant scales",
  resultType: () => 1,
  import: (ctx) => {
    const table = (i: number, k: number): Imported => real(ctx, i, 8 + k, 13 + k);
    const { y } = embedded(ctx, {
      ids: ctx.input(0),
      segments: maybe(ctx, 1),
      words: table(2, 0),
      places: table(3, 1),
      parts: ctx.has(4) ? table(4, 2) : undefined,
      gamma: table(5, 3),
      beta: table(6, 4),
      positions: undefined,
    });
    const batch = ctx.shape(0)[0]!;
    return [
      y,
      ctx.has(7)
        ? apply(ctx, "ReduceSum", [ctx.input(7), known([1], [1], true)], { keepdims: 0 })
        : known([batch], new Float64Array(batch), true),
    ];
  },
};

// --- weights in blocks

/** Number `i` of those that are packed in bytes, the first in the lowest bits; each row begins a byte. */
function unpack(c: ConstTensor, bits: number, perRow: number, row: number, i: number): number {
  const bytes = Math.ceil((perRow * bits) / 8);
  const at = i * bits;
  return (c.data[row * bytes + (at >> 3)]! >> (at & 7)) & (2 ** bits - 1);
}

/** A [rows of K] matrix B of blocks: (q - zero point) * scale, each per block. @source ONNX Runtime, MatMulNBits */
const matMulNBits: OperatorImporter = {
  opType: `${MS}MatMulNBits`,
  limits: "constant weights, 2, 4 or 8 bits, not prepacked",
  ignores: { accuracy_level: "the width of a floating-point format; quantization chooses the widths" },
  import: (ctx) => {
    const [k, n, bits, block] = [ctx.int("K", 0), ctx.int("N", 0), ctx.int("bits", 4), ctx.int("block_size", 0)];
    if (![2, 4, 8].includes(bits) || block < 1 || k < 1 || n < 1)
      throw ctx.error(`K ${k}, N ${n}, ${bits} bits in blocks of ${block} are not defined`);
    if (ctx.int("weight_prepacked", 0) !== 0)
      throw ctx.error("its weights are packed for one processor", "save the model without prepacking");
    const [q, scales] = [ctx.needConstant(1, "the weight"), ctx.needWeight(2, "the scales")];
    const blocks = Math.ceil(k / block);
    if (q.data.length !== n * blocks * Math.ceil((block * bits) / 8) || scales.data.length !== n * blocks)
      throw ctx.error(
        `its weight of shape [${q.shape.join(", ")}] and scales of shape [${scales.shape.join(", ")}] do not make up ${n} rows of ${k}`,
      );
    const zeros = ctx.has(3) ? ctx.needConstant(3, "the zero points") : undefined;
    const groups = ctx.has(4) ? ctx.needConstant(4, "the groups").data : undefined;
    const zeroOf = (row: number, b: number): number =>
      zeros === undefined
        ? 2 ** (bits - 1)
        : zeros.integer
          ? unpack(zeros, bits, blocks, row, b)
          : zeros.data[row * blocks + b]!;
    const data = new Float64Array(k * n);
    for (let row = 0; row < n; row++) {
      for (let i = 0; i < k; i++) {
        const b = Math.floor(i / block);
        const g = groups?.[i] ?? b;
        data[i * n + row] =
          (unpack(q, bits, block, row * blocks + b, i % block) - zeroOf(row, g)) * scales.data[row * blocks + g]!;
      }
    }
    const y = apply(ctx, "MatMul", [
      ctx.input(0),
      { kind: "value", value: valueOf(ctx, known([k, n], data, false), "weight") },
    ]);
    return ctx.has(5) ? apply(ctx, "Add", [y, ctx.input(5)]) : y;
  },
};

/** Values of 4-bit codes. @source bitsandbytes, as ONNX Runtime has them in blockwise_quant_block_bnb4.h */
const FP4 = [0, 0.00520833333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25];
const NF4 = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

const matMulBnb4: OperatorImporter = {
  opType: `${MS}MatMulBnb4`,
  limits: "constant weights",
  ignores: { training_mode: "the product is the same" },
  import: (ctx) => {
    const [k, n, block] = [ctx.int("K", 0), ctx.int("N", 0), ctx.int("block_size", 0)];
    const codesOf = ctx.int("quant_type", 1) === 1 ? NF4 : [...FP4, ...FP4.map((v) => -v)];
    const [q, most] = [ctx.needConstant(1, "the weight"), ctx.needWeight(2, "the largest values")];
    if (
      block < 1 ||
      k < 1 ||
      n < 1 ||
      q.data.length !== Math.ceil((k * n) / 2) ||
      most.data.length !== Math.ceil((k * n) / block)
    )
      throw ctx.error(`its weight of shape [${q.shape.join(", ")}] does not make up ${n} rows of ${k}`);
    const turned = ctx.int("transB", 1) !== 0;
    const data = new Float64Array(k * n);
    for (let i = 0; i < k * n; i++) {
      const code = (q.data[i >> 1]! >> (i % 2 === 0 ? 4 : 0)) & 15;
      data[turned ? (i % k) * n + Math.floor(i / k) : i] = codesOf[code]! * most.data[Math.floor(i / block)]!;
    }
    return apply(ctx, "MatMul", [
      ctx.input(0),
      { kind: "value", value: valueOf(ctx, known([k, n], data, false), "weight") },
    ]);
  },
};

/** Rows of a table that is kept in blocks. */
const gatherBlockQuantized: OperatorImporter = {
  opType: `${MS}GatherBlockQuantized`,
  limits: "constant table of 2, 4 or 8 bits",
  resultType: (ctx) => ctx.elementType(2),
  import: (ctx) => {
    const [table, scales] = [ctx.needConstant(0, "the table"), ctx.needWeight(2, "the scales")];
    const own = ctx.elementType(0);
    // Bytes hold several numbers of fewer bits; types of 4 bits are numbers already.
    const bits = own === 21 || own === 22 ? 8 : ctx.int("bits", 4);
    const rank = table.shape.length;
    const shape = table.shape.map((d, i) => (i === rank - 1 ? (d * 8) / bits : d));
    const axis = ctx.axis(ctx.int("quantize_axis", 1), rank);
    const block = ctx.int("block_size", 128);
    const zeros = ctx.has(3) ? ctx.needConstant(3, "the zero points") : undefined;
    const row = shape[rank - 1]!;
    const zeroRow = scales.shape[rank - 1] ?? 1;
    const standard = own === 2 ? 2 ** (bits - 1) : 0;
    const data = new Float64Array(shape.reduce((n, d) => n * d, 1));
    const p = shape.map(() => 0);
    for (let i = 0; i < data.length; i++) {
      const s = p.reduce((at, v, d) => at * scales.shape[d]! + (d === axis ? Math.floor(v / block) : v), 0);
      const zero =
        zeros === undefined
          ? standard
          : own === 2
            ? unpack(zeros, bits, zeroRow, Math.floor(s / zeroRow), s % zeroRow)
            : zeros.data[s]!;
      data[i] =
        ((bits === 8 ? table.data[i]! : unpack(table, bits, row, Math.floor(i / row), i % row)) - zero) *
        scales.data[s]!;
      for (let d = rank - 1; d >= 0 && ++p[d]! === shape[d]; d--) p[d] = 0;
    }
    return apply(ctx, "Gather", [known(shape, data, false), ctx.input(1)], { axis: ctx.int("gather_axis", 0) });
  },
};

/** Products and sums of integers, exact. */
const mulInteger: OperatorImporter = {
  opType: `${MS}MulInteger`,
  limits: "constant zero points",
  resultType: () => 6,
  import: (ctx) => {
    const centred = (i: number): Imported =>
      ctx.has(i + 1) ? apply(ctx, "Sub", [ctx.input(i), ctx.input(i + 1)]) : ctx.input(i);
    return apply(ctx, "Mul", [centred(0), centred(2)]);
  },
};
const reduceSumInteger: OperatorImporter = {
  opType: `${MS}ReduceSumInteger`,
  resultType: () => 6,
  import: (ctx) =>
    apply(
      ctx,
      "ReduceSum",
      [
        ctx.input(0),
        ...(ctx.ints("axes") === undefined ? [] : [known([ctx.ints("axes")!.length], ctx.ints("axes")!, true)]),
      ],
      { keepdims: ctx.int("keepdims", 1) },
    ),
};
const matMulInteger16: OperatorImporter = {
  opType: `${MS}MatMulInteger16`,
  resultType: () => 6,
  import: (ctx) => applyAll(ctx, "MatMulInteger", [ctx.input(0), ctx.input(1)], {}, { types: typesOf(ctx) }),
};

export const fusedQuantizedOperators: readonly OperatorImporter[] = [
  qLinearConv,
  qLinearWhere,
  qLinearReduceMean,
  matMulIntegerToFloat,
  qAttention,
  qEmbedLayerNormalization,
  matMulNBits,
  matMulBnb4,
  gatherBlockQuantized,
  mulInteger,
  reduceSumInteger,
  matMulInteger16,
];
