/**
 * Quantized models: QuantizeLinear and DequantizeLinear, the QLinear operators that ONNX Runtime's static quantizer
 * writes, and the Integer operators.
 *
 * All of them become the same few operations: a product with 1/scale, `nn.round` to integers within limits, a zero
 * point that is added or subtracted, a product with scale. The pass `integerize` then computes with the integers
 * themselves.
 */
import type { Value } from "../../ir/core.js";
import { known, type NodeContext, shapeOf, type Imported, type OperatorImporter } from "../context.js";
import { eitherLayout } from "./layout.js";
import {
  parameter,
  positive,
  constant,
  parameterIndex,
  roundHalfEven,
  quantizeByChannel,
  quantizeValue,
  zeroParameter,
  onlyZero,
  codeType,
  dequantize,
} from "./quantization.js";

function blocksRefused(ctx: NodeContext): void {
  if (ctx.int("block_size", 0) !== 0)
    throw ctx.error("quantization in blocks (block_size) is not supported", "quantize per tensor or per channel");
}

const quantizeLinear: OperatorImporter = {
  opType: "QuantizeLinear",
  since: 10,
  limits: "4 to 16 bits; per tensor or per axis; not in blocks",
  ignores: {
    saturate: "only for floats of 8 bits, which are refused",
    precision: "the quotient is rounded once, from its exact value",
  },
  resultType: (ctx) => codeType(ctx, 2).type,
  import: (ctx) => {
    blocksRefused(ctx);
    const shape = ctx.shape(0);
    const scale = positive(ctx, parameter(ctx, 1, "scale", shape.length, ctx.int("axis", 1), shape));
    const zero = zeroParameter(ctx, 2, shape.length, ctx.int("axis", 1), shape);
    const range = codeType(ctx, 2);
    const c = ctx.constant(0);
    if (c === undefined)
      return zero.values.every((z) => z === zero.values[0])
        ? quantizeValue(ctx, ctx.value(0), scale, zero.values[0]!, range)
        : quantizeByChannel(ctx, ctx.value(0), scale, zero, { lo: range.lo, hi: range.hi });
    const [s, z] = [parameterIndex(scale, shape), parameterIndex(zero, shape)];
    return known(
      shape,
      c.data.map((v, i) =>
        Math.min(range.hi, Math.max(range.lo, roundHalfEven(v / scale.values[s(i)]!) + zero.values[z(i)]!)),
      ),
      true,
    );
  },
};

const dequantizeLinear: OperatorImporter = {
  opType: "DequantizeLinear",
  since: 10,
  limits: "per tensor or per axis; not in blocks",
  resultType: (ctx) => ctx.int("output_dtype", 0) || ctx.elementType(1),
  import: (ctx) => {
    blocksRefused(ctx);
    // Products are exact here; rounding them to 11 bits is below what quantization does anyway, rounding to 8 bits is
    // not.
    if (ctx.int("output_dtype", 0) === 16 && ctx.elementType(1) !== 16)
      throw ctx.error("its result is rounded to bfloat16, which would not be reproduced", "keep it in float32");
    return dequantize(ctx, 0, 1, 2, ctx.int("axis", 1));
  },
};

function asInput(v: Value | Imported): Imported {
  return "kind" in v && (v.kind === "const" || v.kind === "value")
    ? (v as Imported)
    : { kind: "value", value: v as Value };
}

/** The node as operator `opType` on other inputs. */
function inner(ctx: NodeContext, opType: string, inputs: readonly (Imported | undefined)[], opset?: number): Value {
  const result = ctx.delegate(opType, inputs, opset === undefined ? {} : { opset });
  const first = Array.isArray(result) ? (result as readonly (Value | Imported)[])[0]! : (result as Value | Imported);
  const v = asInput(first);
  return v.kind === "value" ? v.value : ctx.fromConstant(v.tensor, `${ctx.name}_constant`);
}

/**
 * An operator on dequantized inputs, quantized again: inputs come as (x, scale, zero point) from the positions given.
 */
function qlinear(
  opType: string,
  float: string,
  spec: { inputs: readonly number[]; output: number; limits?: string; bias?: boolean; scale?: (s: number) => number },
): OperatorImporter {
  return {
    opType,
    limits: spec.limits ?? `as ${float} between DequantizeLinear and QuantizeLinear`,
    resultType: (ctx) => codeType(ctx, spec.output + 1).type,
    import: (ctx) => {
      const inputs = spec.inputs.map(
        (at, k): Imported => asInput(dequantize(ctx, at, at + 1, at + 2, opType === "QLinearConv" && k === 1 ? 0 : -1)),
      );
      if (spec.bias === true && ctx.has(8)) inputs.push(biasOf(ctx));
      // QLinearSoftmax says which operator set's Softmax it means.
      const y = inner(ctx, float, inputs, ctx.int("opset", 0) || undefined);
      const shape = shapeOf(y);
      const stated = positive(ctx, parameter(ctx, spec.output, "output scale", shape.length, 1, shape));
      const scale = spec.scale === undefined ? stated : { ...stated, values: stated.values.map(spec.scale) };
      return quantizeValue(
        ctx,
        y,
        scale,
        onlyZero(ctx, zeroParameter(ctx, spec.output + 1, shape.length, 1, shape)),
        codeType(ctx, spec.output + 1),
      );
    },
  };
}

/**
 * ONNX Runtime's kernel of QLinearSoftmax, which defines it, has a whole number of steps in 1: it drops the rest of 1 /
 * scale.
 */
function wholeSteps(scale: number): number {
  return 1 / Math.max(2 ** -20, Math.floor(Math.fround(1 / scale)));
}

/** The int32 bias of QLinearConv counts in units of input scale x weight scale. */
function biasOf(ctx: NodeContext): Imported {
  const b = ctx.needWeight(8, "bias");
  const xs = ctx.needWeight(1, "input scale").data[0]!;
  const ws = ctx.needWeight(4, "weight scale").data;
  return known(
    b.shape,
    b.data.map((v, c) => v * xs * ws[ws.length === 1 ? 0 : c]!),
    false,
  );
}

/** com.microsoft's QGemm: A, its scale and zero point, B likewise, C (int32), the output's scale and zero point. */
const qGemm: OperatorImporter = {
  opType: "com.microsoft::QGemm",
  limits: "with an output scale",
  resultType: (ctx) => (ctx.has(7) ? codeType(ctx, 8).type : 1),
  import: (ctx) => {
    const alpha = ctx.float("alpha", 1);
    const a = asInput(dequantize(ctx, 0, 1, 2, -1));
    const b = asInput(dequantize(ctx, 3, 4, 5, ctx.int("transB", 0) !== 0 ? 0 : 1));
    const inputs: Imported[] = [a, b];
    if (ctx.has(6)) {
      const c = ctx.needWeight(6, "C");
      const [as, bs] = [ctx.needWeight(1, "scale of A").data[0]!, ctx.needWeight(4, "scale of B").data];
      inputs.push(
        known(
          c.shape,
          c.data.map((v, i) => v * alpha * as * bs[bs.length === 1 ? 0 : i % bs.length]!),
          false,
        ),
      );
    }
    const y = inner(ctx, "Gemm", inputs);
    if (!ctx.has(7)) return y;
    const scale = positive(ctx, parameter(ctx, 7, "output scale", 2, 1, shapeOf(y)));
    return quantizeValue(ctx, y, scale, onlyZero(ctx, zeroParameter(ctx, 8, 2, 1, shapeOf(y))), codeType(ctx, 8));
  },
};

/** com.microsoft's QLinearConcat: the output's scale and zero point, then three inputs per part. */
const qConcat: OperatorImporter = {
  opType: "com.microsoft::QLinearConcat",
  resultType: (ctx) => codeType(ctx, 1).type,
  import: (ctx) => {
    const parts = Array.from({ length: (ctx.inputCount - 2) / 3 }, (_, k) =>
      asInput(dequantize(ctx, 2 + 3 * k, 3 + 3 * k, 4 + 3 * k, 0)),
    );
    const y = inner(ctx, "Concat", parts);
    return quantizeValue(
      ctx,
      y,
      positive(ctx, parameter(ctx, 0, "output scale", 1, 0, [1])),
      onlyZero(ctx, zeroParameter(ctx, 1, 1, 0, [1])),
      codeType(ctx, 1),
    );
  },
};

/** Integer operands less their zero points, multiplied exactly. */
function integerOperator(opType: string, float: string): OperatorImporter {
  return {
    opType,
    limits: `as ${float} on integers; zero points and one operand constant`,
    resultType: () => 6,
    import: (ctx) => {
      const operand = (i: number): Imported => {
        const shape = ctx.shape(i);
        const axis = float === "Conv" ? 0 : i === 0 ? shape.length - 2 : shape.length - 1;
        const zero = zeroParameter(ctx, i + 2, shape.length, axis, shape);
        const c = ctx.constant(i);
        const at = parameterIndex(zero, shape);
        if (c !== undefined)
          return known(
            shape,
            c.data.map((v, k) => v - zero.values[at(k)]!),
            false,
          );
        const v = ctx.value(i);
        return {
          kind: "value",
          value: zero.values.every((z) => z === 0)
            ? v
            : ctx.emit("nn.sub", [v, constant(ctx, zero, shape.length, (z) => z, "zero_point")], shape),
        };
      };
      return inner(ctx, float, [operand(0), operand(1)]);
    },
  };
}

const dynamicQuantizeLinear: OperatorImporter = {
  opType: "DynamicQuantizeLinear",
  limits: "refused: its scale is computed from each sample",
  import: (ctx) => {
    throw ctx.error(
      "it computes scales from each sample, which fixed hardware cannot",
      "quantize statically, with calibration data, or give the float model to onnx-hls",
    );
  },
};

/** ONNX Runtime's own domain had 16 and 4 bits before ONNX did; the operators are the same. */
const ofOnnxRuntime = (o: OperatorImporter): OperatorImporter => ({
  ...o,
  opType: `com.microsoft::${o.opType}`,
  since: 1,
});

export const quantizedOperators: readonly OperatorImporter[] = [
  quantizeLinear,
  dequantizeLinear,
  ofOnnxRuntime(quantizeLinear),
  ofOnnxRuntime(dequantizeLinear),
  dynamicQuantizeLinear,
  qlinear("QLinearConv", "Conv", { inputs: [0, 3], output: 6, bias: true }),
  qlinear("QLinearMatMul", "MatMul", { inputs: [0, 3], output: 6 }),
  integerOperator("ConvInteger", "Conv"),
  integerOperator("MatMulInteger", "MatMul"),
  qGemm,
  qConcat,
  qlinear("com.microsoft::QLinearAdd", "Add", { inputs: [0, 3], output: 6 }),
  qlinear("com.microsoft::QLinearMul", "Mul", { inputs: [0, 3], output: 6 }),
  ...(["Sigmoid", "LeakyRelu"] as const).map((f) =>
    qlinear(`com.microsoft::QLinear${f}`, f, { inputs: [0], output: 3 }),
  ),
  qlinear("com.microsoft::QLinearSoftmax", "Softmax", { inputs: [0], output: 3, scale: wholeSteps }),
  ...(["GlobalAveragePool", "AveragePool"] as const).map((f) =>
    eitherLayout(qlinear(`com.microsoft::QLinear${f}`, f, { inputs: [0], output: 3 })),
  ),
];
