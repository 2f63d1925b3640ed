/**
 * How random networks use each ONNX operator: with random attributes, on tensors that are there, and within what is
 * defined.
 */
import { count, type ModelBuilder, type NodeOptions, type Tensor } from "./model-builder.js";
import {
  axisOf,
  bounded,
  broadcastable,
  ofKind,
  partner,
  positive,
  ranked,
  real,
  reshape,
  sizeOf,
  split,
  wrap,
  type Use,
} from "./random-operands.js";

function unary(
  name: string,
  attrs: (b: ModelBuilder) => NonNullable<NodeOptions["attrs"]> = () => ({}),
  size?: number,
): Use {
  return { name, build: (b) => void b.node(name, [real(b)], { attrs: attrs(b), ...(size !== undefined && { size }) }) };
}
const alpha = (b: ModelBuilder): NonNullable<NodeOptions["attrs"]> => ({
  alpha: { float: b.pick([0.01, 0.25, 0.5, 1]) },
});

const unaries: Use[] = [
  ...["Abs", "Neg", "Relu", "HardSwish", "Softplus", "Mish", "Identity", "Selu"].map((n) => unary(n)),
  ...["Sigmoid", "Tanh", "Erf", "Softsign", "Sign"].map((n) => unary(n, undefined, 1)),
  ...["LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "Swish"].map((n) => unary(n, alpha)),
  unary("HardSigmoid", (b) => ({ alpha: { float: b.pick([0.2, 0.25]) }, beta: { float: 0.5 } }), 1),
  unary("Gelu", (b) => ({ approximate: b.pick(["none", "tanh"]) })),
  {
    name: "Cast",
    build: (b) => void b.node("Cast", [b.pick(b.tensors.filter((t) => t.kind !== "code"))], { attrs: { to: 1 } }),
  },
  { name: "CastLike", build: (b) => void b.node("CastLike", [real(b), b.weights([1])]) },
  { name: "Dropout", build: (b) => void b.node("Dropout", [real(b), b.floats([], [0.5])]) },
  {
    name: "Clip",
    build: (b) =>
      void b.node("Clip", [
        real(b),
        b.chance(0.3) ? "" : b.floats([], [-b.pick([0.5, 1, 3])]),
        b.floats([], [b.pick([0.75, 2, 6])]),
      ]),
  },
  {
    name: "Sqrt",
    build: (b) => void b.node("Sqrt", [b.chance(0.5) ? b.node("Relu", [real(b)]) : positive(b, real(b))]),
  },
  { name: "Reciprocal", build: (b) => void b.node("Reciprocal", [positive(b, real(b))], { size: 4 }) },
  { name: "Log", build: (b) => void b.node("Log", [positive(b, real(b))]) },
  { name: "Exp", build: (b) => void b.node("Exp", [bounded(b, real(b), 2)], { size: 8 }) },
  {
    name: "Pow",
    build: (b) => {
      const p = b.pick([0.5, 1, 2, 2, 3, -1]);
      const x = bounded(b, real(b), 2);
      b.node("Pow", [p === 0.5 || p < 0 ? positive(b, x) : x, b.floats([], [p])], { size: 27 });
    },
  },
  {
    name: "PRelu",
    build: (b) => {
      const x = real(b);
      b.node("PRelu", [x, b.weights(broadcastable(b, x.shape))]);
    },
  },
];

const arithmetic: Use[] = [
  ...["Add", "Sub", "Mul", "Max", "Min"].map(
    (name): Use => ({
      name,
      build: (b) => {
        const x = real(b);
        const y = partner(b, x);
        const size =
          name === "Mul"
            ? x.size * sizeOf(y)
            : name === "Max" || name === "Min"
              ? Math.max(x.size, sizeOf(y))
              : x.size + sizeOf(y);
        b.node(name, b.chance(0.5) ? [x, y] : [y, x], { size });
      },
    }),
  ),
  {
    name: "Div",
    build: (b) => {
      const x = real(b);
      const y = partner(b, x);
      b.node("Div", [x, typeof y === "string" ? b.positive(broadcastable(b, x.shape)) : positive(b, y)], {
        size: 4 * x.size,
      });
    },
  },
  ...["Sum", "Mean"].map(
    (name): Use => ({
      name,
      build: (b) => {
        const x = real(b);
        b.node(
          name,
          [x, ...Array.from({ length: b.int(0, 2) }, () => (b.chance(0.5) ? x : b.weights(broadcastable(b, x.shape))))],
          { size: 3 * x.size },
        );
      },
    }),
  ),
];

function truth(b: ModelBuilder): Tensor {
  const known = b.chance(0.6) ? ofKind(b, "truth") : undefined;
  if (known !== undefined) return known;
  const x = real(b);
  return b.node(b.pick(["Less", "Greater"]), [x, b.weights(broadcastable(b, x.shape))], { kind: "truth", size: 1 });
}
const choices: Use[] = [
  ...["Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"].map(
    (name): Use => ({
      name,
      build: (b) => {
        const x = real(b);
        b.node(name, [x, partner(b, x)], { kind: "truth", size: 1 });
      },
    }),
  ),
  ...["And", "Or", "Xor"].map(
    (name): Use => ({
      name,
      build: (b) => {
        const x = truth(b);
        b.node(
          name,
          [
            x,
            b.chance(0.5)
              ? b.codes(
                  "bool",
                  x.shape,
                  Array.from({ length: count(x.shape) }, () => b.int(0, 1)),
                )
              : b.node("Not", [x], { kind: "truth", size: 1 }),
          ],
          { kind: "truth", size: 1 },
        );
      },
    }),
  ),
  { name: "Not", build: (b) => void b.node("Not", [truth(b)], { kind: "truth", size: 1 }) },
  {
    name: "Where",
    build: (b) => {
      const x = real(b);
      const shape = broadcastable(b, x.shape);
      const known = b.chance(0.3)
        ? b.codes(
            "bool",
            shape,
            Array.from({ length: count(shape) }, () => b.int(0, 1)),
          )
        : undefined;
      const condition = known ?? b.node("Greater", [x, partner(b, x)], { kind: "truth", size: 1 });
      const base = typeof condition === "string" ? x.shape : condition.shape;
      const y = base.join() === x.shape.join() ? partner(b, x) : b.weights(broadcastable(b, base));
      b.node("Where", [condition, ...(b.chance(0.5) ? [x, y] : [y, x])], { size: Math.max(x.size, sizeOf(y)) });
    },
  },
  ...["ArgMax", "ArgMin"].map(
    (name): Use => ({
      name,
      build: (b) => {
        const x = real(b);
        if (x.shape.length > 0) {
          const axis = axisOf(b, x.shape);
          b.node(name, [x], {
            attrs: { axis, keepdims: b.int(0, 1), select_last_index: b.int(0, 1) },
            size: x.shape[wrap(axis, x.shape.length)]! - 1,
          });
        }
      },
    }),
  ),
  {
    name: "TopK",
    build: (b) => {
      const x = real(b);
      if (x.shape.length === 0) return;
      const axis = axisOf(b, x.shape);
      const n = x.shape[wrap(axis, x.shape.length)]!;
      if (n <= 8)
        b.results("TopK", [x, b.integers([b.int(1, n)])], 2, { attrs: { axis, largest: b.int(0, 1), sorted: 1 } });
    },
  },
  {
    name: "OneHot",
    build: (b) => {
      const x = real(b);
      if (x.shape.length === 0 || count(x.shape) > 40) return;
      const at = b.node("ArgMax", [x], { attrs: { axis: -1, keepdims: 0 }, size: x.shape[x.shape.length - 1]! - 1 });
      b.node(
        "OneHot",
        [
          at,
          b.integers([x.shape[x.shape.length - 1]!], []),
          b.floats(
            [2],
            b.pick([
              [0, 1],
              [-1, 2],
            ]),
          ),
        ],
        { attrs: { axis: b.int(-1, at.shape.length) }, size: 2 },
      );
    },
  },
];

const reductions: Use[] = [
  "ReduceSum",
  "ReduceMean",
  "ReduceMax",
  "ReduceMin",
  "ReduceProd",
  "ReduceL1",
  "ReduceL2",
  "ReduceSumSquare",
  "ReduceLogSum",
  "ReduceLogSumExp",
].map(
  (name): Use => ({
    name,
    build: (b) => {
      const x =
        name === "ReduceLogSum" ? positive(b, real(b)) : name === "ReduceProd" ? bounded(b, real(b), 1) : real(b);
      const axes = x.shape.map((_, d) => d).filter(() => b.chance(0.5));
      const n = axes.length === 0 ? count(x.shape) : axes.reduce((k, d) => k * x.shape[d]!, 1);
      const growth = ["ReduceSum", "ReduceL1", "ReduceL2"].includes(name)
        ? n
        : name === "ReduceSumSquare"
          ? n * x.size
          : 1;
      b.node(name, b.chance(0.2) ? [x] : [x, b.integers(axes.map((d) => (b.chance(0.3) ? d - x.shape.length : d)))], {
        attrs: { keepdims: b.int(0, 1), noop_with_empty_axes: b.int(0, 1) },
        size: growth * x.size,
      });
    },
  }),
);

const products: Use[] = [
  {
    name: "MatMul",
    build: (b) => {
      const x = b.chance(0.5) ? ranked(b, 2) : ranked(b, 3);
      const k = x.shape[x.shape.length - 1]!;
      if (b.chance(0.5) && x.shape.length === 3)
        b.node("MatMul", [x, b.node("Transpose", [x], { attrs: { perm: [0, 2, 1] } })], { size: k * x.size * x.size });
      else
        b.node("MatMul", [x, b.weights([...(b.chance(0.2) && x.shape.length === 3 ? [1] : []), k, b.int(1, 4)])], {
          size: k * x.size,
        });
    },
  },
  {
    name: "Gemm",
    build: (b) => {
      const x = ranked(b, 2);
      const transA = b.int(0, 1);
      const transB = b.int(0, 1);
      const [rows, k] = transA === 1 ? [x.shape[1]!, x.shape[0]!] : [x.shape[0]!, x.shape[1]!];
      const n = b.int(1, 4);
      const c = b.chance(0.6) ? [b.weights(b.pick([[n], [1, n], [rows, n], [1]]))] : [];
      b.node("Gemm", [x, b.weights(transB === 1 ? [n, k] : [k, n]), ...c], {
        attrs: { transA, transB, alpha: { float: b.pick([1, 0.5]) }, beta: { float: b.pick([1, 2]) } },
        size: k * x.size + 2,
      });
    },
  },
  {
    name: "Einsum",
    build: (b) => {
      const x = ranked(b, 3);
      const [, r, c] = x.shape as [number, number, number];
      const [equation, ...others] = b.pick<[string, ...(Tensor | string)[]]>([
        ["bij,bkj->bik", x],
        ["bij->bji"],
        ["bij->bi"],
        ["bij->j"],
        ["...ij,jk->...ik", b.weights([c, 3])],
        ["bij,i->bj", b.weights([r])],
        ["bij,jk->bki", b.weights([c, 2])],
        ["bij,bij->b", x],
        ["bij,bjk->bik", b.weights([1, c, 2])],
      ]);
      b.node("Einsum", [x, ...others], {
        attrs: { equation },
        size: r * c * x.size * Math.max(1, ...others.map(sizeOf)),
      });
    },
  },
  {
    name: "CumSum",
    build: (b) => {
      const x = real(b);
      if (x.shape.length > 0)
        b.node("CumSum", [x, b.integers([axisOf(b, x.shape)], [])], {
          attrs: { exclusive: b.int(0, 1), reverse: b.int(0, 1) },
          size: x.size * Math.max(...x.shape),
        });
    },
  },
  {
    name: "Trilu",
    build: (b) => {
      const x = b.chance(0.5) ? ranked(b, 2) : ranked(b, 3);
      b.node("Trilu", [x, b.integers([b.int(-1, 1)], [])], { attrs: { upper: b.int(0, 1) } });
    },
  },
];

/** Kernel, strides, pads and so on for the spatial axes of x. */
function windowOf(
  b: ModelBuilder,
  spatial: readonly number[],
  dilated: boolean,
): { kernel: number[]; attrs: Record<string, readonly number[] | string> } {
  const dilations = spatial.map(() => (dilated && b.chance(0.3) ? 2 : 1));
  const kernel = spatial.map((n, d) => Math.max(1, Math.min(b.int(1, 3), Math.floor((n - 1) / dilations[d]!) + 1)));
  const extent = kernel.map((k, d) => (k - 1) * dilations[d]! + 1);
  const pads = [...kernel, ...kernel].map((k) => (b.chance(0.5) ? 0 : b.int(0, k - 1)));
  const auto = b.chance(0.2) ? b.pick(["SAME_UPPER", "SAME_LOWER", "VALID"]) : undefined;
  const fits = extent.every((e, d) => e <= spatial[d]!);
  return {
    kernel,
    attrs: {
      kernel_shape: kernel,
      strides: spatial.map(() => b.pick([1, 1, 2])),
      ...(fits && { dilations }),
      ...(auto === undefined ? { pads } : { auto_pad: auto }),
    },
  };
}
const spatialTensor = (b: ModelBuilder): Tensor => (b.chance(0.7) ? ranked(b, 4) : ranked(b, 3));

const windows: Use[] = [
  {
    name: "Conv",
    build: (b) => {
      const x = spatialTensor(b);
      const [, c, ...spatial] = x.shape as [number, number, ...number[]];
      const group = b.chance(0.3) ? b.pick([c, c % 2 === 0 ? 2 : 1]) : 1;
      const out = group * b.int(1, group > 2 ? 1 : 3);
      const { kernel, attrs } = windowOf(b, spatial, true);
      b.node("Conv", [x, b.weights([out, c / group, ...kernel]), ...(b.chance(0.6) ? [b.weights([out])] : [])], {
        attrs: { ...attrs, group },
        size: x.size * (c / group) * count(kernel),
      });
    },
  },
  {
    name: "ConvTranspose",
    build: (b) => {
      const x = spatialTensor(b);
      const [, c, ...spatial] = x.shape as [number, number, ...number[]];
      const group = c % 2 === 0 && b.chance(0.3) ? 2 : 1;
      const kernel = spatial.map(() => b.int(1, 3));
      const strides = spatial.map(() => b.int(1, 2));
      const out = b.int(1, 2);
      const pads = [...kernel, ...kernel].map((k, i) =>
        b.chance(0.7) || spatial[i % spatial.length]! < 2 ? 0 : b.int(0, k - 1),
      );
      b.node(
        "ConvTranspose",
        [x, b.weights([c, out, ...kernel]), ...(b.chance(0.5) ? [b.weights([out * group])] : [])],
        {
          attrs: {
            kernel_shape: kernel,
            strides,
            group,
            output_padding: strides.map((s) => (s > 1 ? b.int(0, s - 1) : 0)),
            ...(b.chance(0.2) ? { auto_pad: "SAME_UPPER" } : { pads }),
          },
          size: x.size * c * count(kernel),
        },
      );
    },
  },
  ...["MaxPool", "AveragePool", "LpPool"].map(
    (name): Use => ({
      name,
      build: (b) => {
        const x = spatialTensor(b);
        const { kernel, attrs } = windowOf(b, x.shape.slice(2), true);
        const own =
          name === "AveragePool" ? { count_include_pad: b.int(0, 1) } : name === "LpPool" ? { p: b.int(1, 2) } : {};
        b.node(name, [x], {
          attrs: { ...attrs, ...own, ceil_mode: "auto_pad" in attrs ? 0 : b.int(0, 1) },
          size: name === "LpPool" ? x.size * count(kernel) : x.size,
        });
      },
    }),
  ),
  ...["GlobalMaxPool", "GlobalAveragePool"].map(
    (name): Use => ({ name, build: (b) => void b.node(name, [spatialTensor(b)]) }),
  ),
  {
    name: "GlobalLpPool",
    build: (b) => {
      const x = spatialTensor(b);
      b.node("GlobalLpPool", [x], { attrs: { p: b.int(1, 2) }, size: x.size * count(x.shape) });
    },
  },
  {
    name: "DepthToSpace",
    build: (b) =>
      void b.node("DepthToSpace", [ranked(b, 4, (s) => s[1]! % 4 === 0)], {
        attrs: { blocksize: 2, mode: b.pick(["DCR", "CRD"]) },
      }),
  },
  {
    name: "SpaceToDepth",
    build: (b) =>
      void b.node("SpaceToDepth", [ranked(b, 4, (s) => s[2]! % 2 === 0 && s[3]! % 2 === 0)], {
        attrs: { blocksize: 2 },
      }),
  },
  {
    name: "Resize",
    build: (b) => {
      const x = spatialTensor(b);
      const linear = b.chance(0.5);
      const to = x.shape.map((n, d) => (d < 2 ? n : Math.max(1, b.pick([n, 2 * n, n - 1, n + 2]))));
      const bySizes = b.chance(0.5);
      const attrs = {
        mode: linear ? "linear" : "nearest",
        coordinate_transformation_mode: b.pick([
          "half_pixel",
          "asymmetric",
          "align_corners",
          "pytorch_half_pixel",
          "half_pixel_symmetric",
        ]),
        ...(!linear && { nearest_mode: b.pick(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]) }),
      };
      b.node(
        "Resize",
        [
          x,
          "",
          ...(bySizes
            ? ["", b.integers(to)]
            : [
                b.floats(
                  [to.length],
                  to.map((_, d) =>
                    d < 2 ? 1 : b.pick([1, 2, 0.5, 1.5].filter((s) => Math.floor(x.shape[d]! * s) >= 1)),
                  ),
                ),
              ]),
        ],
        { attrs },
      );
    },
  },
];

const parameters = (b: ModelBuilder, shape: readonly number[]): string[] => [b.positive(shape), b.weights(shape)];
const norms: Use[] = [
  {
    name: "BatchNormalization",
    build: (b) => {
      const x = b.chance(0.3) ? ranked(b, 2) : spatialTensor(b);
      const c = [x.shape[1]!];
      b.node("BatchNormalization", [x, ...parameters(b, c), b.weights(c), b.positive(c)], {
        attrs: { epsilon: { float: 1e-3 } },
        size: 6 * x.size + 6,
      });
    },
  },
  {
    name: "LayerNormalization",
    build: (b) => {
      const x = b.chance(0.5) ? ranked(b, 3) : ranked(b, 2);
      const axis = b.int(1, x.shape.length - 1);
      b.node("LayerNormalization", [x, ...parameters(b, x.shape.slice(axis)).slice(0, b.int(1, 2))], {
        attrs: { axis, epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  {
    name: "RMSNormalization",
    build: (b) => {
      const x = ranked(b, 3);
      b.node("RMSNormalization", [x, b.positive([x.shape[2]!])], {
        attrs: { axis: -1, epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  {
    name: "InstanceNormalization",
    build: (b) => {
      const x = spatialTensor(b);
      b.node("InstanceNormalization", [x, ...parameters(b, [x.shape[1]!])], {
        attrs: { epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  {
    name: "GroupNormalization",
    build: (b) => {
      const x = spatialTensor(b);
      const c = x.shape[1]!;
      b.node("GroupNormalization", [x, ...parameters(b, [c])], {
        attrs: { num_groups: c % 2 === 0 ? 2 : 1, epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  {
    name: "LpNormalization",
    build: (b) => {
      const x = ranked(b, b.int(2, 3));
      b.node("LpNormalization", [positive(b, x)], { attrs: { axis: axisOf(b, x.shape), p: b.int(1, 2) }, size: 1 });
    },
  },
  {
    name: "Softmax",
    build: (b) => {
      const x = ranked(b, b.int(2, 4));
      b.node("Softmax", [x], { attrs: { axis: axisOf(b, x.shape) }, size: 1 });
    },
  },
  {
    name: "MaskedSoftmax",
    build: (b) => {
      const x = bounded(b, ranked(b, b.int(2, 3)), 4);
      const s = b.node(
        "Where",
        [
          b.node("Greater", [x, b.floats([], [b.pick([-0.5, 0, 0.5])])], { kind: "truth" }),
          x,
          b.floats([], [b.pick([-Infinity, -1e9, -1e4])]),
        ],
        { size: 4 },
      );
      // Nothing else may compute with -Infinity.
      b.tensors.splice(b.tensors.indexOf(s), 1);
      const p = b.node("Softmax", [s], { attrs: { axis: -1 }, size: 1 });
      b.node("Where", [b.constantNode("IsNaN", [p]), b.floats([], [0]), p], { size: 1 });
    },
  },
  {
    name: "LogSoftmax",
    build: (b) => {
      const x = ranked(b, b.int(2, 3));
      b.node("LogSoftmax", [x], { attrs: { axis: axisOf(b, x.shape) }, size: 2 * x.size + 3 });
    },
  },
];

const moves: Use[] = [
  {
    name: "Reshape",
    build: (b) => {
      const x = real(b);
      reshape(b, x, split(b, count(x.shape), b.int(1, 4)));
    },
  },
  {
    name: "Flatten",
    build: (b) => {
      const x = real(b);
      b.node("Flatten", [x], { attrs: { axis: b.int(0, x.shape.length) } });
    },
  },
  {
    name: "Squeeze",
    build: (b) => {
      const x = real(b);
      const ones = x.shape.flatMap((n, d) => (n === 1 ? [d] : []));
      b.node("Squeeze", b.chance(0.5) ? [x] : [x, b.integers(ones)]);
    },
  },
  {
    name: "Unsqueeze",
    build: (b) => {
      const x = real(b);
      if (x.shape.length < 5) b.node("Unsqueeze", [x, b.integers([b.int(-x.shape.length - 1, x.shape.length)])]);
    },
  },
  {
    name: "Transpose",
    build: (b) => {
      const x = real(b);
      const perm = x.shape
        .map((_, d) => d)
        .map((d) => ({ d, key: b.rnd() }))
        .sort((p, q) => p.key - q.key)
        .map((p) => p.d);
      b.node("Transpose", [x], { attrs: perm.length > 0 ? { perm } : {} });
    },
  },
  {
    name: "Concat",
    build: (b) => {
      const x = real(b);
      if (x.shape.length === 0) return;
      const axis = axisOf(b, x.shape);
      const d = wrap(axis, x.shape.length);
      const alike = b.tensors.filter(
        (t) =>
          t.kind === "real" &&
          t.shape.length === x.shape.length &&
          t.shape.every((n, i) => i === d || n === x.shape[i]),
      );
      const other = b.chance(0.7) ? b.pick(alike) : b.weights(x.shape.map((n, i) => (i === d ? 2 : n)));
      b.node("Concat", [x, other, ...(b.chance(0.3) ? [x] : [])], { attrs: { axis } });
    },
  },
  {
    name: "Split",
    build: (b) => {
      const x = real(b);
      const axis = x.shape.findIndex((n) => n > 1);
      if (axis < 0) return;
      const n = x.shape[axis]!;
      const first = b.int(1, n - 1);
      if (b.chance(0.5)) b.results("Split", [x, b.integers([first, n - first])], 2, { attrs: { axis } });
      else b.results("Split", [x], 2, { attrs: { axis, num_outputs: 2 } });
    },
  },
  {
    name: "Slice",
    build: (b) => {
      const x = real(b);
      const axes = x.shape.map((_, d) => d).filter((d) => x.shape[d]! > 1);
      if (axes.length === 0) return;
      const parts = axes.map((d) => {
        const n = x.shape[d]!;
        const step = b.pick([1, 1, 2, -1, -2]);
        return step > 0
          ? { start: b.pick([0, 1, -n]), end: b.pick([n, 2 ** 31, n > 2 ? -1 : n]), step }
          : { start: b.pick([-1, n - 1]), end: b.pick([-n - 1, -(2 ** 31)]), step };
      });
      b.node("Slice", [
        x,
        b.integers(parts.map((p) => p.start)),
        b.integers(parts.map((p) => p.end)),
        b.integers(axes),
        b.integers(parts.map((p) => p.step)),
      ]);
    },
  },
  {
    name: "Gather",
    build: (b) => {
      const x = real(b);
      if (x.shape.length === 0) return;
      const axis = axisOf(b, x.shape);
      const n = x.shape[wrap(axis, x.shape.length)]!;
      const indices = ofKind(b, "index");
      if (indices !== undefined && indices.size < n && b.chance(0.5))
        return void b.node("Gather", [x, indices], { attrs: { axis } });
      const shape = b.pick([[], [2], [3], [2, 2]]);
      b.node(
        "Gather",
        [
          x,
          b.integers(
            Array.from({ length: count(shape) }, () => b.int(-n, n - 1)),
            shape,
          ),
        ],
        { attrs: { axis } },
      );
    },
  },
  {
    name: "GatherElements",
    build: (b) => {
      const x = real(b);
      if (x.shape.length === 0) return;
      const axis = axisOf(b, x.shape);
      const n = x.shape[wrap(axis, x.shape.length)]!;
      const shape = x.shape.map((m, d) => (d === wrap(axis, x.shape.length) ? b.int(1, 3) : m));
      b.node(
        "GatherElements",
        [
          x,
          b.integers(
            Array.from({ length: count(shape) }, () => b.int(-n, n - 1)),
            shape,
          ),
        ],
        { attrs: { axis } },
      );
    },
  },
  {
    name: "Pad",
    build: (b) => {
      const x = real(b);
      if (x.shape.length === 0) return;
      const mode = b.pick(["constant", "constant", "edge", "reflect", "wrap"]);
      const most = (d: number): number => (mode === "reflect" || mode === "wrap" ? Math.min(2, x.shape[d]! - 1) : 2);
      const pads = [...x.shape.keys(), ...x.shape.keys()].map((d) =>
        d === 0 || b.chance(0.4) ? 0 : b.int(0, most(d)),
      );
      b.node(
        "Pad",
        [x, b.integers(pads), ...(mode === "constant" && b.chance(0.5) ? [b.floats([], [b.number(1)])] : [])],
        { attrs: { mode } },
      );
    },
  },
  {
    name: "Expand",
    build: (b) => {
      const x = real(b);
      b.node("Expand", [
        x,
        b.integers([...(b.chance(0.3) ? [2] : []), ...x.shape.map((n) => (n === 1 ? b.int(1, 3) : b.pick([1, n])))]),
      ]);
    },
  },
  {
    name: "Tile",
    build: (b) => {
      const x = real(b);
      if (x.shape.length > 0) b.node("Tile", [x, b.integers(x.shape.map(() => b.pick([1, 1, 2])))]);
    },
  },
];

/** Three-dimensional [sequence, batch 1, features], and weights for `gates` gates. */
function recurrent(name: string, gates: number, attrs: (b: ModelBuilder) => NonNullable<NodeOptions["attrs"]>): Use {
  return {
    name,
    build: (b) => {
      const x = ranked(b, 3, (s) => s[1]! <= 4 && s[2]! <= 6);
      if (x.shape[1]! > 6) return;
      const layout = b.int(0, 1);
      const sequence = layout === 1 ? x : b.node("Transpose", [x], { attrs: { perm: [1, 0, 2] } });
      const direction = b.pick(["forward", "reverse", "bidirectional"]);
      const [d, h, f] = [direction === "bidirectional" ? 2 : 1, b.int(1, 3), x.shape[2]!];
      const bias = b.chance(0.7) ? b.weights([d, 2 * gates * h], 0.5) : "";
      const initial = b.chance(0.3) ? ["", b.weights(layout === 1 ? [1, d, h] : [d, 1, h], 0.5)] : [];
      b.results(
        name,
        [sequence, b.weights([d, gates * h, f]), b.weights([d, gates * h, h]), bias, ...initial],
        name === "LSTM" ? 3 : 2,
        { attrs: { hidden_size: h, direction, layout, ...attrs(b) }, size: 2 },
      );
    },
  };
}
const sequences: Use[] = [
  recurrent("RNN", 1, () => ({})),
  recurrent("GRU", 3, (b) => ({ linear_before_reset: b.int(0, 1) })),
  recurrent("LSTM", 4, () => ({})),
];

/** What exporters compute with constants and shapes. */
const constants: Use[] = [
  {
    name: "Constant",
    build: (b) => {
      const x = real(b);
      const two = b.constantNode("Constant", [], { value_float: { float: 1.5 } });
      b.node("Add", [x, b.constantNode(b.pick(["Floor", "Ceil"]), [two])], { size: x.size + 2 });
    },
  },
  {
    name: "Shape",
    build: (b) => {
      const x = real(b);
      b.node("Mul", [x, b.constantNode("ConstantOfShape", [b.constantNode("Shape", [x])])]);
    },
  },
  {
    name: "Size",
    build: (b) => {
      const x = real(b);
      b.node("Reshape", [
        x,
        b.constantNode(
          "Concat",
          [b.integers([1]), b.constantNode("Reshape", [b.constantNode("Size", [x]), b.integers([1])])],
          { axis: 0 },
        ),
      ]);
    },
  },
  {
    name: "ConstantOfShape",
    build: (b) => {
      const x = real(b);
      b.node("Max", [x, b.constantNode("ConstantOfShape", [b.integers(broadcastable(b, x.shape))])]);
    },
  },
  {
    name: "Range",
    build: (b) => {
      const x = real(b);
      if (x.shape.length > 0)
        b.node(
          "Add",
          [
            x,
            b.constantNode("Range", [
              b.floats([], [0]),
              b.floats([], [x.shape[x.shape.length - 1]!]),
              b.floats([], [1]),
            ]),
          ],
          { size: x.size + 8 },
        );
    },
  },
  {
    name: "Mod",
    build: (b) => {
      const x = real(b);
      if (x.shape.length > 0)
        b.node("Gather", [x, b.constantNode("Mod", [b.integers([b.int(0, 20)], []), b.integers([x.shape[0]!], [])])], {
          attrs: { axis: 0 },
        });
    },
  },
];

export const plainUses: readonly Use[] = [
  ...unaries,
  ...arithmetic,
  ...choices,
  ...reductions,
  ...products,
  ...windows,
  ...norms,
  ...moves,
  ...sequences,
  ...constants,
];
