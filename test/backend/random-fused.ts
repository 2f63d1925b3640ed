/**
 * How random networks use what ONNX Runtime's optimizer makes of several operators (domain com.microsoft), and its
 * other layouts.
 */
import {
  count,
  INT32,
  type Attributes,
  type CodeType,
  type ModelBuilder,
  type NodeOptions,
  type Tensor,
} from "./model-builder.js";
import { ranked, real, type Use } from "./random-operands.js";

const MS = "com.microsoft";
const NHWC = "com.ms.internal.nhwc";
const QONNX_LAST = "qonnx.custom_op.channels_last";

function ms(b: ModelBuilder, name: string, operands: readonly (Tensor | string)[], options: NodeOptions = {}): Tensor {
  return b.node(name, operands, { domain: MS, ...options });
}
function fused(name: string, build: (b: ModelBuilder) => void): Use {
  return { name: `${MS}::${name}`, build };
}
/** A tensor of the given rank, each size but the first between bounds. */
function sized(b: ModelBuilder, rank: number, least = 1, most = 8): Tensor {
  return ranked(b, rank, (s) => s.slice(1).every((n) => n >= least && n <= most));
}
export const last = (x: Tensor): number => x.shape[x.shape.length - 1]!;
export function channelsLast(b: ModelBuilder, x: Tensor): Tensor {
  return b.node("Transpose", [x], { attrs: { perm: [0, ...x.shape.slice(2).map((_, d) => d + 2), 1] } });
}
/** Rows of a table by the largest features of x [1, length, features]; integers of 32 bits. */
export function rowNumbers(b: ModelBuilder, x: Tensor): Tensor {
  const at = b.node("ArgMax", [x], { attrs: { axis: 2, keepdims: 0 }, size: x.shape[2]! - 1 });
  return b.node("Cast", [at], { attrs: { to: INT32 }, size: at.size });
}
function bytes(b: ModelBuilder, shape: readonly number[], most = 255): string {
  return b.codes(
    "uint8",
    shape,
    Array.from({ length: count(shape) }, () => b.int(0, most)),
  );
}

// --- activations and sums

function activation(b: ModelBuilder, asList: boolean): Attributes {
  const [name, ...parameters] = b.pick<[string, ...[string, number][]]>([
    ["Relu"],
    ["Sigmoid"],
    ["Tanh"],
    ["LeakyRelu", ["alpha", 0.1]],
    ["HardSigmoid", ["alpha", 0.25], ["beta", 0.5]],
    ...(asList ? [["Clip", ["min", -0.5], ["max", 1.5]] as [string, ...[string, number][]]] : []),
  ]);
  if (asList)
    return {
      activation: name,
      ...(parameters.length > 0 && { activation_params: { floats: parameters.map(([, v]) => v) } }),
    };
  return { activation: name, ...Object.fromEntries(parameters.map(([k, v]) => [`activation_${k}`, { float: v }])) };
}
const withBias = (name: string, rank?: number): Use =>
  fused(name, (b) => {
    const x = rank === undefined ? ranked(b, b.int(2, 3)) : ranked(b, rank);
    ms(b, name, [x, b.weights([last(x)])], { size: x.size + 1 });
  });

const activations: Use[] = [
  fused("Gelu", (b) => void ms(b, "Gelu", [real(b)])),
  fused("QuickGelu", (b) => void ms(b, "QuickGelu", [real(b)], { attrs: { alpha: { float: b.pick([1, 1.702]) } } })),
  withBias("BiasGelu"),
  withBias("FastGelu"),
  fused("BiasAdd", (b) => {
    const x = ranked(b, 3);
    ms(b, "BiasAdd", [x, b.weights([last(x)]), b.chance(0.5) ? x : b.weights(x.shape)], { size: 2 * x.size + 2 });
  }),
  fused("BiasSplitGelu", (b) => {
    const x = ranked(b, 3, (s) => s[2]! % 2 === 0);
    ms(b, "BiasSplitGelu", [x, b.weights([last(x)])], { size: (x.size + 1) ** 2 });
  }),
  fused("BiasSoftmax", (b) => {
    const x = ranked(b, 3);
    ms(b, "BiasSoftmax", [x, b.weights(x.shape)], { attrs: { axis: b.int(1, 2), is_inner_broadcast: 0 }, size: 1 });
  }),
  ...["BiasDropout", "BitmaskBiasDropout"].map((name) =>
    fused(name, (b) => {
      const x = real(b);
      ms(b, name, [x, b.weights(x.shape.slice(-1)), ...(b.chance(0.5) ? [b.weights(x.shape)] : [])], {
        size: x.size + 2,
      });
    }),
  ),
  fused("BitmaskDropout", (b) => void ms(b, "BitmaskDropout", [real(b), b.floats([], [0.5])])),
  {
    name: "SwiGLU",
    build: (b) => {
      const x = real(b);
      b.node("SwiGLU", [x, b.chance(0.5) ? x : b.weights(x.shape)], {
        attrs: { alpha: { float: b.pick([1, 1.5]) } },
        size: x.size * Math.max(1, x.size),
      });
    },
  },
];

// --- products and convolutions

function product(name: string, own: (b: ModelBuilder) => Attributes): Use {
  return fused(name, (b) => {
    const x = sized(b, b.int(2, 3));
    const transA = b.int(0, 1);
    const transB = b.int(0, 1);
    const k = x.shape[x.shape.length - 1 - transA]!;
    const n = b.int(1, 4);
    ms(b, name, [x, b.weights(transB === 1 ? [n, k] : [k, n])], {
      attrs: { transA, transB, alpha: { float: b.pick([1, 0.5, 2]) }, ...own(b) },
      size: 2 * k * x.size,
    });
  });
}
function convolution(
  b: ModelBuilder,
  channels: number,
  spatial: readonly number[],
  weightsLast = false,
): { w: string; attrs: Attributes; out: number; fan: number } {
  const kernel = spatial.map((n) => Math.min(n, b.int(1, 3)));
  const out = b.int(1, 3);
  return {
    w: b.weights(weightsLast ? [out, ...kernel, channels] : [out, channels, ...kernel]),
    out,
    fan: channels * count(kernel),
    attrs: {
      kernel_shape: kernel,
      strides: kernel.map(() => b.int(1, 2)),
      pads: [...kernel, ...kernel].map((n) => (b.chance(0.5) ? 0 : b.int(0, n - 1))),
    },
  };
}
const products: Use[] = [
  product("FusedMatMul", () => ({})),
  product("TransposeMatMul", () => ({})),
  product("FusedMatMulActivation", (b) => activation(b, false)),
  fused("FusedGemm", (b) => {
    const x = ranked(b, 2);
    const n = b.int(1, 4);
    ms(b, "FusedGemm", [x, b.weights([last(x), n]), b.weights([n])], {
      attrs: { beta: { float: b.pick([1, 0.5]) }, ...activation(b, false) },
      size: last(x) * x.size + 1,
    });
  }),
  fused("GemmFastGelu", (b) => {
    const x = ranked(b, 2);
    const n = b.int(1, 4);
    ms(b, "GemmFastGelu", [x, b.weights([last(x), n]), b.weights([n])], { size: last(x) * x.size + 1 });
  }),
  fused("CDist", (b) => {
    const x = sized(b, 2);
    ms(b, "CDist", [x, b.weights([b.int(1, 3), last(x)])], {
      attrs: { metric: b.pick(["euclidean", "sqeuclidean"]) },
      size: last(x) * (x.size + 1) ** 2,
    });
  }),
  fused("FusedConv", (b) => {
    const x = ranked(b, 4);
    const { w, attrs, out, fan } = convolution(b, x.shape[1]!, x.shape.slice(2));
    ms(b, "FusedConv", [x, w, b.weights([out])], {
      attrs: { ...attrs, ...activation(b, true) },
      size: fan * x.size + 1,
    });
  }),
  ...["NhwcConv", "NhwcFusedConv"].map((name) =>
    fused(name, (b) => {
      const x = channelsLast(b, ranked(b, 4));
      const { w, attrs, out, fan } = convolution(b, last(x), x.shape.slice(1, -1));
      ms(b, name, [x, w, b.weights([out])], {
        attrs: { ...attrs, ...(name === "NhwcFusedConv" && activation(b, true)) },
        size: fan * x.size + 1,
      });
    }),
  ),
  fused("ConvTransposeWithDynamicPads", (b) => {
    const x = ranked(b, 4, (s) => s[2]! >= 2 && s[3]! >= 2);
    const kernel = [b.int(1, 3), b.int(1, 3)];
    ms(
      b,
      "ConvTransposeWithDynamicPads",
      [
        x,
        b.weights([x.shape[1]!, 2, ...kernel]),
        b.integers([...kernel, ...kernel].map((k) => b.int(0, k > 1 ? 1 : 0))),
        b.weights([2]),
      ],
      {
        attrs: { strides: [b.int(1, 2), b.int(1, 2)], kernel_shape: kernel },
        size: x.size * x.shape[1]! * count(kernel),
      },
    );
  }),
];

// --- normalizations

const norms: Use[] = [
  ...["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"].map((name) =>
    fused(name, (b) => {
      const x = ranked(b, 3);
      const c = [last(x)];
      const rest = name === "SkipLayerNormalization" ? [b.weights(c)] : [];
      ms(b, name, [x, b.weights(x.shape), b.positive(c), ...rest, ...(b.chance(0.5) ? [b.weights(c)] : [])], {
        attrs: { epsilon: { float: 0.01 } },
        size: 4,
      });
    }),
  ),
  {
    name: "SimplifiedLayerNormalization",
    build: (b) => {
      const x = ranked(b, b.int(2, 3));
      b.node("SimplifiedLayerNormalization", [x, b.positive([last(x)])], {
        attrs: { axis: -1, epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  ...["GroupNorm", "SkipGroupNorm"].map((name) =>
    fused(name, (b) => {
      const x = channelsLast(b, ranked(b, 4));
      const c = last(x);
      const skip = name === "SkipGroupNorm" ? [b.weights(x.shape), ...(b.chance(0.5) ? [b.weights([c])] : [])] : [];
      ms(b, name, [x, b.positive([c]), b.weights([c]), ...skip], {
        attrs: {
          groups: c % 2 === 0 ? b.pick([1, 2]) : 1,
          activation: b.int(0, 1),
          channels_last: 1,
          epsilon: { float: 0.01 },
        },
        size: 4,
      });
    }),
  ),
  fused("EmbedLayerNormalization", (b) => {
    const x = ranked(b, 3, (s) => s[1]! <= 6 && s[2]! <= 8);
    const [length, rows, width] = [x.shape[1]!, x.shape[2]!, b.pick([2, 4])];
    const segments = b.chance(0.5);
    const ids = rowNumbers(b, x);
    const table = (n: number): string => b.weights([n, width]);
    ms(
      b,
      "EmbedLayerNormalization",
      [
        ids,
        segments
          ? b.codes(
              "int32",
              [1, length],
              Array.from({ length }, () => b.int(0, 1)),
            )
          : "",
        table(rows),
        table(length + 1),
        segments ? table(2) : "",
        b.positive([width]),
        b.weights([width]),
      ],
      { attrs: { epsilon: { float: 0.01 } }, size: 4 },
    );
  }),
];

/** The same with tables in bytes, each with a scale and a zero point. */
const embedded: Use = fused("QEmbedLayerNormalization", (b) => {
  const x = ranked(b, 3, (s) => s[1]! <= 6 && s[2]! <= 8);
  const [length, rows, width] = [x.shape[1]!, x.shape[2]!, b.pick([2, 4])];
  const ids = rowNumbers(b, x);
  const tables = [[rows, width], [length + 1, width], [2, width], [width], [width]];
  const segments = b.codes(
    "int32",
    [1, length],
    Array.from({ length }, () => b.int(0, 1)),
  );
  const scales = tables.map(() => b.floats([], [b.pick([0.01, 0.012, 0.02])]));
  const zeros = tables.map(() => b.codes("uint8", [], [128]));
  ms(b, "QEmbedLayerNormalization", [ids, segments, ...tables.map((t) => bytes(b, t)), "", ...scales, ...zeros], {
    unread: 1,
    attrs: { epsilon: { float: 0.01 } },
    size: 6,
  });
});

// --- moves

const moves: Use[] = [
  fused("ExpandDims", (b) => {
    const x = real(b);
    if (x.shape.length < 5) ms(b, "ExpandDims", [x, b.codes("int32", [], [b.int(-1, x.shape.length)])]);
  }),
  fused(
    "Trilu",
    (b) =>
      void ms(b, "Trilu", [ranked(b, b.int(2, 3)), b.integers([b.int(-1, 1)], [])], { attrs: { upper: b.int(0, 1) } }),
  ),
  fused("Pad", (b) => {
    const x = real(b);
    ms(
      b,
      "Pad",
      [
        x,
        b.integers([...x.shape, ...x.shape].map((_, d) => (d % x.shape.length === 0 ? 0 : b.int(0, 1)))),
        b.floats([1], [b.number(1)]),
      ],
      { attrs: { mode: "constant" } },
    );
  }),
  fused("Range", (b) => {
    const x = ranked(b, 2);
    b.node(
      "Add",
      [x, ms(b, "Range", [b.floats([], [0.5]), b.floats([], [last(x) * 0.5 + 0.5]), b.floats([], [0.5])]).name],
      { size: x.size + last(x) },
    );
  }),
  fused("GatherND", (b) => {
    const x = ranked(b, 3);
    ms(b, "GatherND", [
      x,
      b.integers(Array.from({ length: 2 }, () => [0, b.int(-x.shape[1]!, x.shape[1]! - 1)]).flat(), [2, 2]),
    ]);
  }),
  fused("GridSample", (b) => {
    const x = ranked(b, 4);
    ms(b, "GridSample", [x, b.weights([1, 2, 2, 2])], {
      attrs: {
        mode: b.pick(["bilinear", "nearest"]),
        padding_mode: b.pick(["zeros", "border"]),
        align_corners: b.int(0, 1),
      },
    });
  }),
];

/** The operators that a layout transformation moves. */
function moved(
  name: string,
  build: (b: ModelBuilder, x: Tensor) => { operands?: readonly string[]; attrs?: Attributes; size?: number },
  domain = NHWC,
): Use {
  return {
    name: `${domain}::${name}`,
    build: (b) => {
      const x = channelsLast(
        b,
        ranked(b, 4, (s) => s[2]! >= 2 && s[3]! >= 2),
      );
      const { operands = [], attrs = {}, size } = build(b, x);
      b.node(name, [x, ...operands], { domain, attrs, ...(size !== undefined && { size }) });
    },
  };
}
const window = (b: ModelBuilder): Attributes => ({ kernel_shape: [b.int(1, 2), 2], strides: [1, b.int(1, 2)] });
function normalization(b: ModelBuilder, x: Tensor): { operands: readonly string[]; size: number } {
  const c = [last(x)];
  return { operands: [b.positive(c), b.weights(c), b.weights(c), b.positive(c)], size: 6 * x.size + 6 };
}
const layouts: Use[] = [
  moved("Conv", (b, x) => {
    const { w, attrs, out, fan } = convolution(b, last(x), x.shape.slice(1, -1));
    return { operands: [w, b.weights([out])], attrs, size: fan * x.size + 1 };
  }),
  moved("ConvTranspose", (b, x) => ({
    operands: [b.weights([last(x), 2, 2, 2])],
    attrs: { kernel_shape: [2, 2], strides: [b.int(1, 2), 1] },
    size: 4 * last(x) * x.size,
  })),
  ...["MaxPool", "AveragePool"].map((n) => moved(n, (b) => ({ attrs: window(b) }))),
  moved("LpPool", (b, x) => ({ attrs: { ...window(b), p: b.int(1, 2) }, size: 4 * x.size })),
  ...["GlobalMaxPool", "GlobalAveragePool"].map((n) => moved(n, () => ({}))),
  moved("GlobalLpPool", (_, x) => ({ size: x.size * count(x.shape) })),
  moved("BatchNormalization", normalization),
  moved(
    "Conv",
    (b, x) => {
      const { w, attrs, fan } = convolution(b, last(x), x.shape.slice(1, -1), true);
      return { operands: [w], attrs, size: fan * x.size + 1 };
    },
    QONNX_LAST,
  ),
  moved("MaxPool", (b) => ({ attrs: window(b) }), QONNX_LAST),
  moved("BatchNormalization", normalization, QONNX_LAST),
  moved("InstanceNormalization", (b, x) => ({
    operands: [b.positive([last(x)]), b.weights([last(x)])],
    attrs: { epsilon: { float: 0.01 } },
    size: 4,
  })),
  {
    name: `${NHWC}::SpaceToDepth`,
    build: (b) =>
      void b.node(
        "SpaceToDepth",
        [
          channelsLast(
            b,
            ranked(b, 4, (s) => s[2]! % 2 === 0 && s[3]! % 2 === 0),
          ),
        ],
        { domain: NHWC, attrs: { blocksize: 2 } },
      ),
  },
  {
    name: `${NHWC}::DepthToSpace`,
    build: (b) =>
      void b.node(
        "DepthToSpace",
        [
          channelsLast(
            b,
            ranked(b, 4, (s) => s[1]! % 4 === 0),
          ),
        ],
        { domain: NHWC, attrs: { blocksize: 2, mode: b.pick(["DCR", "CRD"]) } },
      ),
  },
];

// --- weights in blocks, and integers with scales

interface Coded {
  readonly q: Tensor;
  readonly scale: string;
  readonly zero: string;
}
/** x in bytes: unsigned with a zero point, or signed. */
function coded(b: ModelBuilder, x: Tensor, type: CodeType = b.pick<CodeType>(["uint8", "int8"])): Coded {
  const scale = b.floats([], [(x.size / 127) * (0.9 + 0.2 * b.rnd())]);
  const zero = b.codes(type, [], [type === "uint8" ? 128 + b.int(-9, 9) : b.int(-9, 9)]);
  return { q: b.node("QuantizeLinear", [x, scale, zero], { kind: "code" }), scale, zero };
}
const quantizedWeights = (b: ModelBuilder, shape: readonly number[]): string =>
  b.codes(
    "int8",
    shape,
    Array.from({ length: count(shape) }, () => b.int(-127, 127)),
  );

const integers: Use[] = [
  fused("MatMulNBits", (b) => {
    const x = ranked(b, b.int(2, 3));
    const [k, n, bits] = [last(x), b.int(1, 4), b.pick([2, 4, 8])];
    const blocks = Math.ceil(k / 16);
    ms(b, "MatMulNBits", [x, bytes(b, [n, blocks, 2 * bits]), b.positive([n * blocks], 1 / 2 ** bits)], {
      attrs: { K: k, N: n, bits, block_size: 16 },
      size: k * x.size,
    });
  }),
  fused("MatMulBnb4", (b) => {
    const x = ranked(b, 2);
    const [k, n] = [last(x), b.int(1, 4)];
    ms(b, "MatMulBnb4", [x, bytes(b, [Math.ceil((k * n) / 2)]), b.positive([Math.ceil((k * n) / 16)])], {
      attrs: { K: k, N: n, block_size: 16, quant_type: b.int(0, 1) },
      size: k * x.size,
    });
  }),
  fused("GatherBlockQuantized", (b) => {
    const x = ranked(b, 3, (s) => s[1]! <= 6 && s[2]! <= 8);
    ms(b, "GatherBlockQuantized", [bytes(b, [x.shape[2]!, 8]), rowNumbers(b, x), b.positive([x.shape[2]!, 1], 0.2)], {
      attrs: { block_size: 16, bits: 4, quantize_axis: 1 },
      size: 2,
    });
  }),
  fused("MatMulIntegerToFloat", (b) => {
    const x = ranked(b, b.int(2, 3));
    const { q, scale, zero } = coded(b, x);
    const n = b.int(1, 4);
    ms(
      b,
      "MatMulIntegerToFloat",
      [
        q,
        quantizedWeights(b, [last(x), n]),
        scale,
        b.floats([], [0.01]),
        zero,
        "",
        ...(b.chance(0.5) ? [b.weights([n])] : []),
      ],
      { size: last(x) * 2 * x.size },
    );
  }),
  fused("QLinearWhere", (b) => {
    const x = real(b);
    const condition = b.node("Greater", [x, b.floats([], [b.number(1)])]);
    const type = b.pick<CodeType>(["uint8", "int8"]);
    const a = coded(b, x, type);
    const c = coded(b, b.node("Neg", [x]), type);
    const y = ms(b, "QLinearWhere", [condition, a.q, a.scale, a.zero, c.q, c.scale, c.zero, a.scale, a.zero]);
    b.node("DequantizeLinear", [y, a.scale, a.zero], { size: x.size });
  }),
  fused("QLinearReduceMean", (b) => {
    const x = ranked(b, b.int(2, 3));
    const a = coded(b, x);
    b.node(
      "DequantizeLinear",
      [
        ms(b, "QLinearReduceMean", [a.q, a.scale, a.zero, a.scale, a.zero], {
          attrs: { axes: [b.int(1, x.shape.length - 1)], keepdims: b.int(0, 1) },
        }),
        a.scale,
        a.zero,
      ],
      { size: x.size },
    );
  }),
  ...[MS, NHWC].map(
    (domain): Use => ({
      name: `${domain}::QLinearConv`,
      build: (b) => {
        const x = channelsLast(b, ranked(b, 4));
        const a = coded(b, x);
        const y = {
          scale: b.floats([], [(2 * x.size) / 127]),
          zero: b.codes(a.q.type === 2 ? "uint8" : "int8", [], [7]),
        };
        const out = b.int(1, 3);
        const q = b.node(
          "QLinearConv",
          [
            a.q,
            a.scale,
            a.zero,
            quantizedWeights(b, [out, last(x), 1, 1]),
            b.floats([], [0.011]),
            b.codes("int8", [], [0]),
            y.scale,
            y.zero,
          ],
          { domain, attrs: { kernel_shape: [1, 1], ...(domain === MS && { channels_last: 1 }) } },
        );
        b.node("DequantizeLinear", [q, y.scale, y.zero], { size: 2 * x.size });
      },
    }),
  ),
  fused("NhwcMaxPool", (b) => {
    const a = coded(
      b,
      channelsLast(
        b,
        ranked(b, 4, (s) => s[2]! >= 2 && s[3]! >= 2),
      ),
    );
    b.node(
      "DequantizeLinear",
      [ms(b, "NhwcMaxPool", [a.q], { attrs: { kernel_shape: [2, 2], strides: [b.int(1, 2), 1] } }), a.scale, a.zero],
      { size: 4 },
    );
  }),
  fused("DequantizeLinear", (b) => {
    const x = real(b);
    const a = coded(b, x);
    ms(b, "DequantizeLinear", [a.q, a.scale, a.zero], { size: x.size });
  }),
  fused("MulInteger", (b) => {
    const x = real(b);
    const a = coded(b, x);
    const y = ms(b, "MulInteger", [a.q, a.zero, b.codes(a.q.type === 2 ? "uint8" : "int8", [], [b.int(1, 100)])], {
      kind: "code",
    });
    rescaled(b, y, 1 / 4096, 8);
  }),
  fused("ReduceSumInteger", (b) => {
    const x = ranked(b, b.int(2, 3));
    const a = coded(b, x);
    const y = ms(b, "ReduceSumInteger", [a.q], {
      attrs: { axes: [b.int(1, x.shape.length - 1)], keepdims: b.int(0, 1) },
      kind: "code",
    });
    rescaled(b, y, 1 / 256, 8);
  }),
  fused("MatMulInteger16", (b) => {
    const x = ranked(b, 2);
    const q = b.node("QuantizeLinear", [x, b.floats([], [x.size / 2000]), b.codes("int16", [], [0])], { kind: "code" });
    rescaled(
      b,
      ms(
        b,
        "MatMulInteger16",
        [
          q,
          b.codes(
            "int16",
            [last(x), 2],
            Array.from({ length: 2 * last(x) }, () => b.int(-900, 900)),
          ),
        ],
        { kind: "code" },
      ),
      1 / 2 ** 20,
      last(x) * 2,
    );
  }),
];
/** Integers as real numbers of a moderate size. */
function rescaled(b: ModelBuilder, q: Tensor, by: number, size: number): void {
  b.node("Mul", [b.node("Cast", [q], { attrs: { to: 1 }, kind: "code" }), b.floats([], [by])], { size, kind: "real" });
}

export const fusedUses: readonly Use[] = [
  ...activations,
  ...products,
  ...norms,
  embedded,
  ...moves,
  ...layouts,
  ...integers,
];
