/**
 * Layers that carry a state along a sequence without a recurrent matrix: linear attention, and causal convolution.
 * Unrolled in time.
 */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import {
  add,
  apply,
  integers,
  join,
  matmul,
  maybe,
  mul,
  part,
  reshape,
  scale,
  sub,
  table,
  transpose,
  valueOf,
} from "./build.js";
import { mergeHeads, splitHeads } from "./attention.js";

/** A factor per head, or per head and feature, [batch, heads, length, 1 or size]. */
function perHead(ctx: NodeContext, i: number, heads: number, size: number): Value {
  const x = ctx.value(i);
  const [batch, length, width] = shapeOf(x) as [number, number, number];
  if (shapeOf(x).length !== 3 || ![1, heads, heads * size].includes(width))
    throw ctx.error(`its input ${i} has the shape [${shapeOf(x).join(", ")}] for ${heads} heads of ${size}`);
  const own = width === 1 ? 1 : heads;
  return transpose(ctx, reshape(ctx, x, [batch, length, own, width / own]), [0, 2, 1, 3]);
}

/**
 * S is decayed, corrected by what it says of the key, written, and read: o = q S. @source onnx.reference,
 * LinearAttention
 */
const linearAttention: OperatorImporter = {
  opType: "LinearAttention",
  since: 27,
  limits: "sequences of fixed length; decay constant or computed",
  ignores: { chunk_size: "it says how to compute, not what" },
  import: (ctx) => {
    const rule = ctx.string("update_rule", "gated_delta");
    const [heads, keyHeads] = [ctx.int("q_num_heads", 0), ctx.int("kv_num_heads", 0)];
    if (!["linear", "gated", "delta", "gated_delta"].includes(rule))
      throw ctx.error(`update_rule "${rule}" is not defined`);
    const [q, k, v] = [
      splitHeads(ctx, ctx.value(0), heads),
      splitHeads(ctx, ctx.value(1), keyHeads),
      splitHeads(ctx, ctx.value(2), keyHeads),
    ];
    const [batch, , length, size] = shapeOf(q) as [number, number, number, number];
    const width = shapeOf(v)[3]!;
    if (heads % keyHeads !== 0 || shapeOf(k)[2] !== length || shapeOf(v)[2] !== length || shapeOf(k)[3] !== size)
      throw ctx.error(
        `queries [${shapeOf(q).join(", ")}], keys [${shapeOf(k).join(", ")}] and values [${shapeOf(v).join(", ")}] do not fit together`,
      );
    const [gated, delta] = [rule.startsWith("gated"), rule.endsWith("delta")];
    const decay = gated ? table(ctx, perHead(ctx, 4, keyHeads, size), "exp") : undefined;
    const rate = delta ? perHead(ctx, 5, keyHeads, size) : undefined;
    const shared = heads / keyHeads;
    const given = ctx.float("scale", 0);
    const queries = reshape(ctx, scale(ctx, q, given === 0 ? 1 / Math.sqrt(size) : given, "scale"), [
      batch,
      keyHeads,
      shared,
      length,
      size,
    ]);
    let state = ctx.has(3) ? ctx.value(3) : undefined;
    const outputs = Array.from({ length }, (_, t): Value => {
      /** Step t as a column: [batch, heads, features, 1]. */
      const column = (x: Value): Value => transpose(ctx, part(ctx, x, 2, t, 1), [0, 1, 3, 2]);
      const key = part(ctx, k, 2, t, 1);
      if (decay !== undefined && state !== undefined) state = mul(ctx, state, column(decay));
      let value = part(ctx, v, 2, t, 1);
      if (rate !== undefined) {
        if (state !== undefined) value = sub(ctx, value, matmul(ctx, key, state));
        value = mul(ctx, value, part(ctx, rate, 2, t, 1));
      }
      const written = matmul(ctx, column(k), value);
      state = state === undefined ? written : add(ctx, state, written);
      const query = reshape(ctx, part(ctx, queries, 3, t, 1), [batch, keyHeads, shared, size]);
      return reshape(ctx, matmul(ctx, query, state), [batch, heads, 1, width]);
    });
    return [mergeHeads(ctx, join(ctx, outputs, 2)), state!];
  },
};

/** A convolution by channel that only looks back; the state is what the next sequence needs of this one. */
const causalConvWithState: OperatorImporter = {
  opType: "CausalConvWithState",
  since: 27,
  import: (ctx) => {
    const x = ctx.value(0);
    const [batch, channels, length] = shapeOf(x) as [number, number, number];
    const [, , k] = ctx.shape(1) as [number, number, number];
    if (shapeOf(x).length !== 3 || ctx.shape(1).join() !== [channels, 1, k].join())
      throw ctx.error(`its weight of shape [${ctx.shape(1).join(", ")}] does not fit [${shapeOf(x).join(", ")}]`);
    const activation = ctx.string("activation", "none");
    if (!["none", "silu", "swish"].includes(activation)) throw ctx.error(`activation "${activation}" is not defined`);
    const before =
      maybe(ctx, 3) ?? known([batch, channels, k - 1], new Float64Array(batch * channels * (k - 1)), false);
    const padded = k === 1 ? x : join(ctx, [valueOf(ctx, before, "past"), x], 2);
    let y: Value;
    if (ctx.constant(1) !== undefined)
      y = valueOf(ctx, apply(ctx, "Conv", [padded, ctx.input(1), maybe(ctx, 2)], { group: channels }));
    else {
      // A weight that is computed: shifted inputs times a column each.
      const terms = Array.from({ length: k }, (_, j) =>
        mul(ctx, part(ctx, padded, 2, j, length), reshape(ctx, part(ctx, ctx.value(1), 2, j, 1), [channels, 1])),
      );
      const sum = terms.reduce((a, b) => add(ctx, a, b));
      y = ctx.has(2) ? add(ctx, sum, valueOf(ctx, apply(ctx, "Reshape", [ctx.input(2), integers(channels, 1)]))) : sum;
    }
    return [
      activation === "none" ? y : mul(ctx, y, table(ctx, y, "sigmoid")),
      ...(k === 1 ? [] : [part(ctx, padded, 2, length, k - 1)]),
    ];
  },
};

export const linearAttentionOperators: readonly OperatorImporter[] = [linearAttention, causalConvWithState];
