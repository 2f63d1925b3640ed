/** How random networks use moves, recurrent layers and constants. */
import { count, type ModelBuilder, type NodeOptions } from "./model-builder.js";
import { axisOf, broadcastable, ofKind, ranked, real, reshape, split, wrap, type Use } from "./random-operands.js";

export const moves: Use[] = [
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
export const sequences: Use[] = [
  recurrent("RNN", 1, () => ({})),
  recurrent("GRU", 3, (b) => ({ linear_before_reset: b.int(0, 1) })),
  recurrent("LSTM", 4, () => ({})),
];

/** What exporters compute with constants and shapes. */
export const constants: Use[] = [
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
