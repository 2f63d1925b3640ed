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
  sizeOf,
  wrap,
  type Use,
} from "./random-operands.js";
import { constants, moves, sequences } from "./random-moves.js";
import { norms, windows } from "./random-windows.js";

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
