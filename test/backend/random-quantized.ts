/** How random networks use the operators of quantized models: codes between a QuantizeLinear and a DequantizeLinear. */
import { count, type ModelBuilder, type Tensor } from "./model-builder.js";
import type { Use } from "./random-operands.js";

type CodeType = "uint8" | "int8" | "uint16" | "int16";
const LIMITS: Readonly<Record<CodeType, readonly [number, number]>> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
};
const MICROSOFT = "com.microsoft";

interface Scaled {
  readonly scale: string;
  readonly zero: string;
}
interface Codes extends Scaled {
  readonly q: Tensor;
}

/**
 * A scale that takes numbers of the given magnitude about to the type's limits, and a zero point; sometimes powers of
 * two.
 */
function scaled(b: ModelBuilder, size: number, type: CodeType): Scaled {
  const [lo, hi] = LIMITS[type];
  const step = (2 * size) / (hi - lo);
  const middle = type.startsWith("u") ? (hi + 1) / 2 : 0;
  return {
    scale: b.floats([], [b.chance(0.4) ? 2 ** Math.round(Math.log2(step)) : step * (0.8 + 0.4 * b.rnd())]),
    zero: b.codes(type, [], [b.chance(0.4) ? middle : Math.min(hi, Math.max(lo, middle + b.int(-9, 9)))]),
  };
}
function quantized(b: ModelBuilder, x: Tensor, type: CodeType): Codes {
  const s = scaled(b, x.size, type);
  return { q: b.node("QuantizeLinear", [x, s.scale, s.zero], { kind: "code" }), ...s };
}
function dequantized(b: ModelBuilder, q: Tensor, s: Scaled, size: number): Tensor {
  return b.node("DequantizeLinear", [q, s.scale, s.zero], { size });
}
const narrow = (b: ModelBuilder): CodeType => b.pick<CodeType>(["uint8", "int8"]);

function real(b: ModelBuilder): Tensor {
  return b.pick(b.tensors.filter((t) => t.kind === "real" && t.size <= 64));
}
function ofRank(b: ModelBuilder, rank: number): Tensor {
  const list = b.tensors.filter(
    (t) => t.kind === "real" && t.shape.length === rank && t.shape[0] === 1 && t.size <= 64,
  );
  if (list.length > 0) return b.pick(list);
  const x = real(b);
  return b.node("Reshape", [x, b.integers(rank === 2 ? [1, -1] : rank === 3 ? [1, 1, -1] : [1, 1, 1, -1])]);
}
function weightCodes(b: ModelBuilder, shape: readonly number[], type: CodeType, bits = 8): string {
  const [lo, hi] = type.startsWith("u") ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  return b.codes(
    type,
    shape,
    Array.from({ length: count(shape) }, () => b.int(lo, hi)),
  );
}

function integerConv(b: ModelBuilder, name: "QLinearConv" | "ConvInteger"): void {
  const x = ofRank(b, b.pick([3, 4]));
  const [, c, ...spatial] = x.shape as [number, number, ...number[]];
  const type = narrow(b);
  const a = quantized(b, x, type);
  const kernel = spatial.map((n) => Math.min(n, b.int(1, 3)));
  const out = b.int(1, 3);
  const pads = [...kernel, ...kernel].map((k) => (b.chance(0.5) ? 0 : b.int(0, k - 1)));
  const attrs = { kernel_shape: kernel, pads, strides: kernel.map(() => b.int(1, 2)) };
  const w = weightCodes(b, [out, c, ...kernel], "int8");
  if (name === "ConvInteger") {
    const y = b.node("ConvInteger", [a.q, w, a.zero], { attrs, kind: "code" });
    b.node("Mul", [b.node("Cast", [y], { attrs: { to: 1 }, kind: "code" }), b.floats([], [1 / 4096])], {
      size: 8 * c * count(kernel),
    });
    return;
  }
  const perChannel = b.chance(0.5);
  const ws = perChannel ? b.positive([out], 0.02) : b.floats([], [0.0123]);
  const wz = b.codes("int8", perChannel ? [out] : [], perChannel ? new Array<number>(out).fill(0) : [0]);
  const size = 2 * x.size;
  const y = scaled(b, size, type);
  const bias = b.chance(0.6)
    ? [
        b.codes(
          "int32",
          [out],
          Array.from({ length: out }, () => b.int(-2000, 2000)),
        ),
      ]
    : [];
  dequantized(
    b,
    b.node("QLinearConv", [a.q, a.scale, a.zero, w, ws, wz, y.scale, y.zero, ...bias], { attrs, kind: "code" }),
    y,
    size,
  );
}

/** `operands` of (codes, scale, zero point), then the output's scale and zero point. */
function onCodes(
  name: string,
  operands: number,
  build: (b: ModelBuilder, x: Tensor) => Record<string, number | readonly number[] | { float: number }>,
  rank?: number,
): Use {
  return {
    name: `${MICROSOFT}::${name}`,
    build: (b) => {
      const x = rank === undefined ? real(b) : ofRank(b, rank);
      const type = narrow(b);
      const inputs = Array.from({ length: operands }, () => quantized(b, x, type));
      const size =
        name === "QLinearSigmoid" || name === "QLinearSoftmax"
          ? 1
          : name === "QLinearAdd"
            ? 2 * x.size
            : name === "QLinearMul"
              ? x.size * x.size
              : x.size;
      const y = scaled(b, size, type);
      dequantized(
        b,
        b.node(name, [...inputs.flatMap((i) => [i.q, i.scale, i.zero]), y.scale, y.zero], {
          domain: MICROSOFT,
          attrs: build(b, x),
          kind: "code",
        }),
        y,
        size,
      );
    },
  };
}

const QONNX = ["qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"];

export const quantizedUses: readonly Use[] = [
  {
    name: "QuantizeLinear",
    build: (b) => {
      const x = real(b);
      const a = quantized(b, x, b.pick<CodeType>(["uint8", "int8", "int16", "uint16"]));
      dequantized(b, a.q, a, x.size);
    },
  },
  {
    name: "DequantizeLinear",
    build: (b) => {
      // Weights per channel, as static quantizers write them.
      const x = ofRank(b, 2);
      const k = x.shape[1]!;
      const n = b.int(1, 4);
      const w = b.constantNode(
        "DequantizeLinear",
        [weightCodes(b, [k, n], "int8"), b.positive([n], 0.02), b.codes("int8", [n], new Array<number>(n).fill(0))],
        { axis: 1 },
      );
      const type = narrow(b);
      const a = quantized(b, x, type);
      const y = b.node("MatMul", [dequantized(b, a.q, a, x.size), w], { size: k * x.size });
      const c = quantized(b, y, type);
      dequantized(b, c.q, c, y.size);
    },
  },
  {
    name: `${MICROSOFT}::QuantizeLinear`,
    build: (b) => {
      const x = real(b);
      const s = scaled(b, x.size, "int16");
      const q = b.node("QuantizeLinear", [x, s.scale, s.zero], { domain: MICROSOFT, kind: "code" });
      b.node("DequantizeLinear", [q, s.scale, s.zero], { domain: MICROSOFT, size: x.size });
    },
  },
  { name: "QLinearConv", build: (b) => integerConv(b, "QLinearConv") },
  { name: "ConvInteger", build: (b) => integerConv(b, "ConvInteger") },
  {
    name: "QLinearMatMul",
    build: (b) => {
      const x = ofRank(b, b.pick([2, 3]));
      const k = x.shape[x.shape.length - 1]!;
      const type = narrow(b);
      const a = quantized(b, x, type);
      const size = 2 * x.size;
      const y = scaled(b, size, type);
      dequantized(
        b,
        b.node(
          "QLinearMatMul",
          [
            a.q,
            a.scale,
            a.zero,
            weightCodes(b, [k, b.int(1, 4)], "int8"),
            b.floats([], [0.011]),
            b.codes("int8", [], [b.pick([0, 0, 3])]),
            y.scale,
            y.zero,
          ],
          { kind: "code" },
        ),
        y,
        size,
      );
    },
  },
  {
    name: "MatMulInteger",
    build: (b) => {
      const x = ofRank(b, 2);
      const a = quantized(b, x, "uint8");
      const y = b.node("MatMulInteger", [a.q, weightCodes(b, [x.shape[1]!, b.int(1, 4)], "int8"), a.zero], {
        kind: "code",
      });
      b.node("Mul", [b.node("Cast", [y], { attrs: { to: 1 }, kind: "code" }), b.floats([], [1 / 4096])], {
        size: 8 * x.shape[1]!,
      });
    },
  },
  {
    name: `${MICROSOFT}::QGemm`,
    build: (b) => {
      const x = ofRank(b, 2);
      const n = b.int(1, 4);
      const a = quantized(b, x, "uint8");
      const size = 2 * x.size;
      const y = scaled(b, size, "uint8");
      const c = b.codes(
        "int32",
        [n],
        Array.from({ length: n }, () => b.int(-500, 500)),
      );
      dequantized(
        b,
        b.node(
          "QGemm",
          [
            a.q,
            a.scale,
            a.zero,
            weightCodes(b, [n, x.shape[1]!], "int8"),
            b.floats([], [0.011]),
            b.codes("int8", [], [0]),
            c,
            y.scale,
            y.zero,
          ],
          { domain: MICROSOFT, attrs: { transB: 1 }, kind: "code" },
        ),
        y,
        size,
      );
    },
  },
  {
    name: `${MICROSOFT}::QLinearConcat`,
    build: (b) => {
      const x = ofRank(b, 3);
      const parts = [quantized(b, x, "uint8"), quantized(b, x, "uint8")];
      const y = scaled(b, x.size, "uint8");
      dequantized(
        b,
        b.node("QLinearConcat", [y.scale, y.zero, ...parts.flatMap((p) => [p.q, p.scale, p.zero])], {
          domain: MICROSOFT,
          attrs: { axis: b.int(1, 2) },
          kind: "code",
        }),
        y,
        x.size,
      );
    },
  },
  onCodes("QLinearAdd", 2, () => ({})),
  onCodes("QLinearMul", 2, () => ({})),
  onCodes("QLinearSigmoid", 1, () => ({})),
  onCodes("QLinearLeakyRelu", 1, () => ({ alpha: { float: 0.1 } })),
  onCodes("QLinearSoftmax", 1, () => ({ axis: -1, opset: 13 }), 2),
  onCodes("QLinearGlobalAveragePool", 1, () => ({}), 4),
  onCodes("QLinearAveragePool", 1, (_, x) => ({ kernel_shape: x.shape.slice(2).map((n) => Math.min(n, 2)) }), 4),
  ...QONNX.flatMap((domain): Use[] => [
    {
      name: `${domain}::Quant`,
      build: (b) => {
        const x = real(b);
        const bits = b.int(2, 8);
        b.node(
          "Quant",
          [x, b.floats([], [b.pick([(2 * x.size) / 2 ** bits, 0.3, 0.125])]), b.floats([], [0]), b.floats([], [bits])],
          { domain, attrs: { signed: b.int(0, 1), narrow: b.int(0, 1), rounding_mode: "ROUND" } },
        );
      },
    },
    {
      name: `${domain}::IntQuant`,
      build: (b) => {
        const x = real(b);
        b.node(
          "IntQuant",
          [
            x,
            b.floats([], [b.pick([0.3, 0.125, 0.5])]),
            b.floats([], [b.pick([0, 2, 3])]),
            b.floats([], [b.int(1, 6)]),
          ],
          {
            domain,
            attrs: {
              signed: b.int(0, 1),
              narrow: 0,
              rounding_mode: b.pick(["CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]),
            },
          },
        );
      },
    },
    {
      name: `${domain}::MultiThreshold`,
      build: (b) => {
        const x = ofRank(b, b.int(2, 4));
        const [channels, steps] = [b.pick([1, x.shape[1]!]), b.int(1, 7)];
        const rows = Array.from({ length: channels }, () =>
          Array.from({ length: steps }, () => b.number(x.size)).sort((p, q) => p - q),
        ).flat();
        b.node("MultiThreshold", [x, b.floats([channels, steps], rows)], {
          domain,
          attrs: {
            out_dtype: "UINT4",
            out_scale: { float: b.pick([1, 0.5]) },
            out_bias: { float: b.pick([0, -1.5]) },
            ...(x.shape.length === 3 && { data_layout: "NCW" }),
          },
          size: steps,
        });
      },
    },
    {
      name: `${domain}::FloatQuant`,
      build: (b) => {
        const x = ofRank(b, 2);
        const w = b.node(
          "FloatQuant",
          [b.weights([x.shape[1]!, b.int(1, 4)]), ...[1, 4, 3, 7, 240].map((v) => b.floats([], [v]))],
          { domain, attrs: { rounding_mode: "ROUND", saturation: 1 } },
        );
        b.node("MatMul", [x, w.name], { size: x.size * x.shape[1]! });
      },
    },
    {
      name: `${domain}::BipolarQuant of activations`,
      build: (b) => void b.node("BipolarQuant", [real(b), b.floats([], [0.75])], { domain, size: 1 }),
    },
    {
      name: `${domain}::BipolarQuant`,
      build: (b) => {
        const x = ofRank(b, 2);
        const w = b.node("BipolarQuant", [b.weights([x.shape[1]!, b.int(1, 4)]), b.floats([], [0.5])], { domain });
        b.node("MatMul", [x, w.name], { size: x.size * x.shape[1]! });
      },
    },
    {
      name: `${domain}::Trunc`,
      build: (b) => {
        const x = real(b);
        const s = b.floats([], [0.125]);
        const [zero, from] = [b.floats([], [0]), b.floats([], [8])];
        b.node(
          "Trunc",
          [
            b.node("Quant", [x, s, zero, from], { domain, attrs: { signed: 1, narrow: 0, rounding_mode: "ROUND" } }),
            s,
            zero,
            from,
            b.floats([], [4]),
          ],
          { domain, attrs: { rounding_mode: "FLOOR" } },
        );
      },
    },
  ]),
];
