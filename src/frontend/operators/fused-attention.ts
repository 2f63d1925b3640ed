/**
 * Attention as ONNX Runtime's optimizer writes it (domain com.microsoft): with its projection, with heads in one
 * tensor, with grouped heads.
 */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { add, apply, integers, join, maybe, number, part, reshape, shapeOfImported, valueOf } from "./build.js";
import {
  attend,
  before,
  distances,
  mergeHeads,
  perSample,
  splitHeads,
  window,
  withPast,
  type AttentionParts,
} from "./attention.js";
import { anglesAt, fromZero, rotate } from "./rotary.js";

/** Scale of the scores: the attribute's, or one by the root of a head's size. */
function scaleOf(ctx: NodeContext, q: Value): number {
  const given = ctx.float("scale", 0);
  return given === 0 ? 1 / Math.sqrt(shapeOf(q)[3]!) : given;
}

/** A mask of integers in any of its forms: 1 for keys that count, ends of samples, or ends and then begins. */
function keyMask(ctx: NodeContext, i: number, batch: number, queries: number, keys: number): Imported[] {
  if (!ctx.has(i)) return [];
  const mask = ctx.input(i);
  const shape = shapeOfImported(mask);
  const positive = (v: Imported): Imported => apply(ctx, "Greater", [v, number(0)]);
  const placed = (to: readonly number[]): Imported => positive(apply(ctx, "Reshape", [mask, integers(...to)]));
  if (shape.length === 1 && shape[0] === batch) return [before(ctx, keys, perSample(ctx, mask))];
  if (shape.length === 1 && shape[0] === 2 * batch) {
    const half = (k: number): Imported =>
      perSample(ctx, apply(ctx, "Slice", [mask, integers(k * batch), integers((k + 1) * batch), integers(0)]));
    return [
      before(ctx, keys, half(0)),
      apply(ctx, "GreaterOrEqual", [
        known(
          [1, 1, 1, keys],
          Array.from({ length: keys }, (_, j) => j),
          false,
        ),
        half(1),
      ]),
    ];
  }
  if (shape.length === 2 && shape[1] === keys) return [placed([shape[0]!, 1, 1, keys])];
  if (shape.length === 3 && shape[1] === queries && shape[2] === keys) return [placed([shape[0]!, 1, queries, keys])];
  if (shape.length === 4) {
    const past = keys - queries;
    return [positive(apply(ctx, "Slice", [mask, integers(past, 0), integers(past + queries, keys), integers(2, 3)]))];
  }
  throw ctx.error(
    `its mask of shape [${shape.join(", ")}] is in a form that is not supported`,
    "use a mask of 0 and 1 per key, or lengths",
  );
}

/** Why it is not looked at: a mask hides with it. */
const FILTER = "any number that hides a key does";

function refuse(ctx: NodeContext, i: number, what: string, hint = "export without it"): void {
  if (ctx.has(i)) throw ctx.error(`${what} (input ${i}) is not supported`, hint);
}

/** Heads attended, with what follows from the attributes that the operators share. */
function shared(
  ctx: NodeContext,
  q: Value,
  k: Value,
  v: Value,
  masks: Pick<AttentionParts, "allowed" | "biases">,
): Value {
  const [queries, keys] = [shapeOf(q)[2]!, shapeOf(k)[2]!];
  const causal =
    ctx.int("unidirectional", 0) !== 0 ? window(ctx, distances(queries, keys), number(keys - queries), -1, 0) : [];
  return mergeHeads(
    ctx,
    attend(ctx, {
      q,
      k,
      v,
      scale: scaleOf(ctx, q),
      allowed: [...masks.allowed, ...causal],
      biases: masks.biases,
      blind: "all",
    }).y,
  );
}

/** The projection to queries, keys and values is inside. */
const attention: OperatorImporter = {
  opType: "com.microsoft::Attention",
  limits: "constant weights; without rotary embedding and shared buffers",
  ignores: {
    mask_filter_value: FILTER,
    rotary_embedding_dim: "of a rotary embedding, which is refused",
    past_sequence_length: "of a shared buffer, which is refused",
  },
  import: (ctx) => {
    if (ctx.int("do_rotary", 0) !== 0)
      throw ctx.error(
        "rotary embedding inside is not supported",
        "save the model with RotaryEmbedding as a node of its own",
      );
    if (ctx.int("past_present_share_buffer", 0) !== 0)
      throw ctx.error(
        "a buffer that past and present share is not supported",
        "export with past and present of their own",
      );
    const x = ctx.value(0);
    const weights = ctx.needWeight(1, "the weight");
    const heads = ctx.int("num_heads", 0);
    const total = weights.shape[1]!;
    const sizes = ctx.ints("qkv_hidden_sizes") ?? [total / 3, total / 3, total / 3];
    if (sizes.length !== 3 || sizes.reduce((n, s) => n + s, 0) !== total || sizes.some((s) => !Number.isInteger(s)))
      throw ctx.error(`a weight of shape [${weights.shape.join(", ")}] is no projection to [${sizes.join(", ")}]`);
    const starts = [0, sizes[0]!, sizes[0]! + sizes[1]!];
    const columns = (i: number, k: number): Imported =>
      apply(ctx, "Slice", [ctx.input(i), integers(starts[k]!), integers(starts[k]! + sizes[k]!), integers(-1)]);
    const [q, k, v] = [0, 1, 2].map((p) => {
      const product = apply(ctx, "MatMul", [x, columns(1, p)]);
      return splitHeads(ctx, valueOf(ctx, ctx.has(2) ? apply(ctx, "Add", [product, columns(2, p)]) : product), heads);
    }) as [Value, Value, Value];
    // Past keys and values are one tensor of [2, batch, heads, length, size].
    const past = maybe(ctx, 4);
    const before = (i: number, now: Value): Value => {
      if (past === undefined || shapeOfImported(past)[3] === 0) return now;
      const then = valueOf(ctx, past, "past");
      return join(ctx, [reshape(ctx, part(ctx, then, 0, i, 1), shapeOf(then).slice(1)), now], 2);
    };
    const [keys, values] = [before(0, k), before(1, v)];
    const [batch, queries, length] = [shapeOf(q)[0]!, shapeOf(q)[2]!, shapeOf(keys)[2]!];
    const y = shared(ctx, q, keys, values, {
      allowed: keyMask(ctx, 3, batch, queries, length),
      biases: ctx.has(5) ? [ctx.input(5)] : [],
    });
    if ((ctx.node.output[1] ?? "") === "") return [y];
    return [
      y,
      join(
        ctx,
        [keys, values].map((t) => reshape(ctx, t, [1, ...shapeOf(t)])),
        0,
      ),
    ];
  },
};

const multiHeadAttention: OperatorImporter = {
  opType: "com.microsoft::MultiHeadAttention",
  limits: "past keys and values of fixed length, without shared buffers",
  ignores: { mask_filter_value: FILTER },
  import: (ctx) => {
    refuse(ctx, 8, "a past in a shared buffer", "export with past and present of their own");
    refuse(ctx, 9, "beam search inside attention");
    const heads = ctx.int("num_heads", 0);
    /** Tensor `k` of those that are packed along axis 3 of [batch, length, heads, parts, size]. */
    const unpacked = (i: number, k: number): Value => {
      const x = ctx.value(i);
      const [batch, length, count, , size] = shapeOf(x) as [number, number, number, number, number];
      return reshape(ctx, part(ctx, x, 3, k, 1), [batch, length, count * size]);
    };
    const packed = [0, 1].find((i) => ctx.has(i) && ctx.shape(i).length === 5);
    const flat = (i: number): Value =>
      packed === 0 ? unpacked(0, i) : packed === 1 && i > 0 ? unpacked(1, i - 1) : ctx.value(i);
    const bias = maybe(ctx, 3);
    let start = 0;
    const headed = (i: number): Value => {
      const x = flat(i);
      // Keys and values of another network's output come with their heads apart, and have no bias.
      if (shapeOf(x).length === 4) return x;
      const size = shapeOf(x)[2]!;
      const own =
        bias === undefined
          ? undefined
          : apply(ctx, "Slice", [bias, integers(start), integers(start + size), integers(0)]);
      start += size;
      return splitHeads(ctx, own === undefined ? x : add(ctx, x, valueOf(ctx, own, "bias")), heads);
    };
    const q = headed(0);
    const [k, v] = [withPast(ctx, 6, headed(1)), withPast(ctx, 7, headed(2))];
    const allowed = keyMask(ctx, 4, shapeOf(q)[0]!, shapeOf(q)[2]!, shapeOf(k)[2]!);
    return [shared(ctx, q, k, v, { allowed, biases: ctx.has(5) ? [ctx.input(5)] : [] }), k, v];
  },
};

/** Keys and values serve several query heads each; causal. */
const groupQueryAttention: OperatorImporter = {
  opType: "com.microsoft::GroupQueryAttention",
  limits: "without past; position ids constant or from 0; without sinks and quantized caches",
  ignores: {
    total_sequence_length: "without a past it is that of the sequence",
    past_key: "refused unless it is empty",
    past_value: "refused unless it is empty",
  },
  import: (ctx) => {
    const past = [3, 4].find((i) => ctx.has(i) && ctx.shape(i)[2] !== 0);
    if (past !== undefined)
      throw ctx.error(
        "past keys and values in a buffer that grows are not supported",
        "export the network for whole sequences, without a past",
      );
    refuse(ctx, 11, "an attention sink");
    if (ctx.int("smooth_softmax", 0) > 0) throw ctx.error("a smooth softmax is not supported", "export without it");
    const [heads, keyHeads] = [ctx.int("num_heads", 0), ctx.int("kv_num_heads", 0)];
    const together = !ctx.has(1);
    const size = ctx.shape(0)[2]! / (together ? heads + 2 * keyHeads : heads);
    const flat = (i: number): Value =>
      together
        ? part(
            ctx,
            ctx.value(0),
            2,
            size * (i === 0 ? 0 : heads + (i - 1) * keyHeads),
            size * (i === 0 ? heads : keyHeads),
          )
        : ctx.value(i);
    let q = splitHeads(ctx, flat(0), heads);
    let k = splitHeads(ctx, flat(1), keyHeads);
    const v = splitHeads(ctx, flat(2), keyHeads);
    const [length, keys] = [shapeOf(q)[2]!, shapeOf(k)[2]!];
    if (length !== keys) throw ctx.error(`${length} queries and ${keys} keys without a past do not fit`);
    if (ctx.int("do_rotary", 0) !== 0) {
      const positions = maybe(ctx, 9) ?? fromZero(length);
      const rotation = {
        cos: anglesAt(ctx, ctx.input(7), positions),
        sin: anglesAt(ctx, ctx.input(8), positions),
        interleaved: ctx.int("rotary_interleaved", 0) !== 0,
      };
      [q, k] = [rotate(ctx, q, rotation), rotate(ctx, k, rotation)];
    }
    const left = ctx.int("local_window_size", -1);
    const allowed = window(ctx, distances(length, keys), number(0), left < 0 ? -1 : left - 1, 0);
    // Lengths that are known are those of the sequence. Behind others nothing counts.
    if (ctx.has(5) && ctx.constant(5) === undefined)
      allowed.push(before(ctx, keys, perSample(ctx, apply(ctx, "Add", [ctx.input(5), number(1)]))));
    const y = attend(ctx, {
      q,
      k,
      v,
      scale: scaleOf(ctx, q),
      softcap: ctx.float("softcap", 0),
      allowed,
      biases: ctx.has(10) ? [ctx.input(10)] : [],
      blind: "all",
    }).y;
    return [mergeHeads(ctx, y), k, v];
  },
};

export const fusedAttentionOperators: readonly OperatorImporter[] = [
  attention,
  multiHeadAttention,
  groupQueryAttention,
];
