/**
 * How random networks use attention, in ONNX's form and in those of ONNX Runtime's optimizer, rotary embedding, and
 * states along sequences.
 */
import { count, type Attributes, type ModelBuilder, type Tensor } from "./model-builder.js";
import { last } from "./random-fused.js";
import { ranked, type Use } from "./random-operands.js";

const MS = "com.microsoft";

/** [1, up to 4, `heads` x (1 to 4) features] */
function sequence(b: ModelBuilder, heads: number): Tensor {
  const x = ranked(b, 3, (s) => s[1]! <= 4 && s[2]! % heads === 0 && s[2]! <= 8);
  if (x.shape[1]! <= 6 && last(x) % heads === 0) return x;
  return b.node("Reshape", [
    b.node("ReduceMean", [x, b.integers([1, 2])], { attrs: { keepdims: 1 } }),
    b.integers([1, 1, 1]),
  ]);
}
/** A projection of x's features to `width`. */
function projected(b: ModelBuilder, x: Tensor, width: number): Tensor {
  return b.node("MatMul", [x, b.weights([last(x), width], 0.5)], { size: (last(x) * x.size) / 2 });
}
function ones(b: ModelBuilder, shape: readonly number[]): string {
  const data = Array.from({ length: count(shape) }, () => b.int(0, 1));
  return b.codes(
    "int32",
    shape,
    data.map((v, i) => (i % shape[shape.length - 1]! === 0 ? 1 : v)),
  );
}
/** Cosines and sines of angles, [positions, half]. */
function caches(b: ModelBuilder, positions: number, half: number): [string, string] {
  const angles = Array.from({ length: positions * half }, (_, i) => Math.floor(i / half) * 0.7 ** (i % half));
  return [b.floats([positions, half], angles.map(Math.cos)), b.floats([positions, half], angles.map(Math.sin))];
}

export const attentionUses: readonly Use[] = [
  {
    name: "Attention",
    build: (b) => {
      const heads = b.pick([1, 2, 4]);
      const shared = heads === 1 ? 1 : b.pick([1, 2]);
      const x = sequence(b, 1);
      const length = x.shape[1]!;
      const [q, k, v] = [
        projected(b, x, 2 * heads),
        projected(b, x, (2 * heads) / shared),
        projected(b, x, heads / shared),
      ];
      const [past, most] = b.chance(0.3) ? [2, length + 2] : [0, length];
      const mask = b.pick([
        () => "",
        () =>
          b.codes(
            "bool",
            [length, most],
            Array.from({ length: length * most }, () => b.int(0, 1)),
          ),
        () =>
          b.floats(
            [length, most],
            Array.from({ length: length * most }, () => (b.chance(0.2) ? -Infinity : b.number(1))),
          ),
      ])();
      const before = past > 0 ? [b.weights([1, heads / shared, past, 2]), b.weights([1, heads / shared, past, 1])] : [];
      const attrs: Attributes = {
        q_num_heads: heads,
        kv_num_heads: heads / shared,
        is_causal: b.int(0, 1),
        softcap: { float: b.pick([0, 1.5]) },
        ...(b.chance(0.3) && { scale: { float: 0.6 } }),
        ...(b.chance(0.3) && { left_window_size: b.int(0, 2) }),
      };
      b.node("Attention", [q, k, v, mask, ...before], { attrs, size: v.size });
    },
  },
  {
    name: `${MS}::Attention`,
    build: (b) => {
      const heads = b.pick([1, 2]);
      const x = sequence(b, 1);
      const length = x.shape[1]!;
      const hidden = 2 * heads;
      const mask = b.pick([
        () => [],
        () => [ones(b, [1, length])],
        () => [b.codes("int32", [1], [b.int(1, length)])],
        () => ["", "", b.weights([1, heads, length, length])],
      ])();
      b.node("Attention", [x, b.weights([last(x), 3 * hidden], 0.5), b.weights([3 * hidden]), ...mask], {
        domain: MS,
        attrs: { num_heads: heads, unidirectional: b.int(0, 1) },
        size: last(x) * x.size + 1,
      });
    },
  },
  {
    name: `${MS}::QAttention`,
    build: (b) => {
      const heads = b.pick([1, 2]);
      const x = sequence(b, 1);
      const columns = 6 * heads;
      const [scale, zero] = [b.floats([], [x.size / 120]), b.codes("uint8", [], [121])];
      const q = b.node("QuantizeLinear", [x, scale, zero], { kind: "code" });
      const w = b.codes(
        "int8",
        [last(x), columns],
        Array.from({ length: last(x) * columns }, () => b.int(-100, 100)),
      );
      b.node(
        "QAttention",
        [q, w, b.weights([columns]), scale, b.floats([], [0.005]), "", zero, b.codes("int8", [], [0])],
        { domain: MS, attrs: { num_heads: heads, unidirectional: b.int(0, 1) }, size: last(x) * x.size + 1 },
      );
    },
  },
  {
    name: `${MS}::MultiHeadAttention`,
    build: (b) => {
      const heads = b.pick([1, 2]);
      const x = sequence(b, heads);
      const length = x.shape[1]!;
      const keys = b.chance(0.5) ? x : b.node("Neg", [x]);
      const rest = b.pick([
        () => [],
        () => [b.weights([3 * last(x)])],
        () => ["", ones(b, [1, length])],
        () => ["", "", b.weights([1, heads, length, length])],
      ])();
      b.node("MultiHeadAttention", [x, keys, x, ...rest], {
        domain: MS,
        attrs: { num_heads: heads, unidirectional: b.int(0, 1) },
        size: x.size + 1,
      });
    },
  },
  {
    name: `${MS}::GroupQueryAttention`,
    build: (b) => {
      const x = sequence(b, 1);
      const length = x.shape[1]!;
      const rotary = b.chance(0.5);
      const qkv = projected(b, x, 4 * (2 + 2));
      const operands = [
        qkv,
        "",
        "",
        "",
        "",
        b.codes("int32", [1], [length - 1]),
        b.codes("int32", [], [length]),
        ...(rotary ? caches(b, length, 2) : []),
      ];
      b.results("GroupQueryAttention", operands, 1, {
        domain: MS,
        attrs: {
          num_heads: 2,
          kv_num_heads: 1,
          do_rotary: rotary ? 1 : 0,
          local_window_size: b.pick([-1, 2]),
          ...(b.chance(0.3) && { softcap: { float: 2 } }),
        },
        size: qkv.size,
      });
    },
  },
  {
    name: "RotaryEmbedding",
    build: (b) => {
      const x = sequence(b, 2);
      const wide = projected(b, x, 8);
      const [cos, sin] = caches(b, 6, 2);
      b.node(
        "RotaryEmbedding",
        [
          wide,
          cos,
          sin,
          b.integers(
            Array.from({ length: x.shape[1]! }, () => b.int(0, 5)),
            [1, x.shape[1]!],
          ),
        ],
        {
          attrs: { num_heads: 2, interleaved: b.int(0, 1), ...(b.chance(0.5) && { rotary_embedding_dim: 4 }) },
          size: 1.5 * wide.size,
        },
      );
    },
  },
  {
    name: `${MS}::RotaryEmbedding`,
    build: (b) => {
      const x = sequence(b, 1);
      const wide = projected(b, x, 8);
      const [cos, sin] = caches(b, 9, 2);
      b.node("RotaryEmbedding", [wide, b.integers([b.int(0, 2)]), cos, sin], {
        domain: MS,
        attrs: { num_heads: 2, interleaved: b.int(0, 1) },
        size: 1.5 * wide.size,
      });
    },
  },
  {
    name: "LinearAttention",
    build: (b) => {
      const x = sequence(b, 1);
      const rule = b.pick(["linear", "gated", "delta", "gated_delta"]);
      const [q, k, v] = [projected(b, x, 4), projected(b, x, 2), projected(b, x, 3)].map((t) =>
        b.node("Tanh", [t], { size: 1 }),
      ) as [Tensor, Tensor, Tensor];
      const length = x.shape[1]!;
      const decay = rule.startsWith("gated")
        ? b.floats(
            [1, length, 1],
            Array.from({ length }, () => -Math.abs(b.number(1))),
          )
        : "";
      const rate = rule.endsWith("delta") ? [b.positive([1, length, 1])] : [];
      const operands = [q, k, v, b.chance(0.3) ? b.weights([1, 1, 2, 3]) : "", decay, ...rate];
      while (operands[operands.length - 1] === "") operands.pop();
      b.results("LinearAttention", operands, 2, {
        attrs: { q_num_heads: 2, kv_num_heads: 1, update_rule: rule },
        size: 8,
      });
    },
  },
  {
    name: "CausalConvWithState",
    build: (b) => {
      const x = ranked(b, 3, (s) => s[1]! <= 4);
      const [channels, k] = [x.shape[1]!, b.int(2, 3)];
      b.results(
        "CausalConvWithState",
        [
          x,
          b.weights([channels, 1, k]),
          ...(b.chance(0.7)
            ? [b.weights([channels]), ...(b.chance(0.5) ? [b.weights([1, channels, k - 1])] : [])]
            : []),
        ],
        2,
        { attrs: { activation: b.pick(["none", "silu"]) }, size: k * x.size + 1 },
      );
    },
  },
];
