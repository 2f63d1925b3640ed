/**
 * Scaled dot-product attention: what it means in products, a softmax and masks, and ONNX's own operator for it. A mask
 * is added to the scores right in front of the softmax, as exporters write it, so that there is one treatment of masks
 * for all.
 */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import {
  add,
  apply,
  integers,
  join,
  matmul,
  mul,
  number,
  reshape,
  scale,
  shapeOfImported,
  table,
  transpose,
  valueOf,
} from "./build.js";

const BOOL = 9;
const BFLOAT16 = 16;

export interface AttentionParts {
  /** [batch, heads, queries, size] */
  readonly q: Value;
  /** [batch, key heads, keys, size]; the number of heads is a multiple of that of key heads. */
  readonly k: Value;
  /** [batch, key heads, keys, value size] */
  readonly v: Value;
  readonly scale: number;
  /** Scores s become softcap * tanh(s / softcap); 0 for none. */
  readonly softcap?: number;
  /**
   * What may be seen, 0 or 1, and what is added to the scores. Each broadcasts to [batch, heads, queries, keys];
   * constant biases may hold -Infinity.
   */
  readonly allowed: readonly Imported[];
  readonly biases: readonly Imported[];
  /** A query that may see no key is 0, or (where a large negative number masks) attends to all. */
  readonly blind?: "zero" | "all";
}

/** Which stage of the scores is asked for besides the result. */
export type ScoreStage = "scaled" | "capped" | "masked" | "weights";

/**
 * softmax(q k^T scale + masks) v, of shape [batch, heads, queries, value size].
 * @source onnx.reference, Attention
 */
export function attend(
  ctx: NodeContext,
  parts: AttentionParts,
  stage?: ScoreStage,
): { y: Value; scores: Value | undefined } {
  const [batch, heads, queries, size] = shapeOf(parts.q) as [number, number, number, number];
  const [, keyHeads, keys, keySize] = shapeOf(parts.k) as [number, number, number, number];
  const valueSize = shapeOf(parts.v)[3]!;
  if (heads % keyHeads !== 0 || keySize !== size || shapeOf(parts.v)[1] !== keyHeads || shapeOf(parts.v)[2] !== keys) {
    throw ctx.error(
      `queries [${shapeOf(parts.q).join(", ")}], keys [${shapeOf(parts.k).join(", ")}] and values [${shapeOf(parts.v).join(", ")}] do not fit together`,
    );
  }
  // Query heads that share a key head are an axis of their own, over which keys and values broadcast.
  const shared = heads / keyHeads;
  const split = (s: readonly number[]): number[] =>
    shared === 1 ? [...s] : [s[0]!, ...(s[1] === 1 ? [1, 1] : [keyHeads, shared]), s[2]!, s[3]!];
  const q = reshape(ctx, scale(ctx, parts.q, parts.scale, "scale"), split([batch, heads, queries, size]));
  const overShared = (x: Value): Value =>
    shared === 1 ? x : reshape(ctx, x, [batch, keyHeads, 1, ...shapeOf(x).slice(2)]);
  const scores = matmul(ctx, q, overShared(transpose(ctx, parts.k, [0, 1, 3, 2])));
  const cap = parts.softcap ?? 0;
  const capped =
    cap > 0 ? scale(ctx, table(ctx, scale(ctx, scores, 1 / cap, "inverse_cap"), "tanh"), cap, "cap") : scores;
  const { masked, alive, hides } = addMasks(ctx, capped, parts, [batch, heads, queries, keys], split);
  if (stage === "masked" && hides)
    throw ctx.error(
      "its output of masked scores holds -Infinity, which no fixed-point number is",
      "take the scores before the mask (qk_matmul_output_mode 0 or 1)",
    );
  const weights = ctx.emit("nn.softmax", [masked], shapeOf(masked), { axis: shapeOf(masked).length - 1 });
  const whole = (x: Value): Value => reshape(ctx, x, [batch, heads, queries, shapeOf(x)[shapeOf(x).length - 1]!]);
  const kept = (x: Value): Value => (alive === undefined ? x : mul(ctx, x, alive));
  const y = reshape(ctx, kept(matmul(ctx, weights, overShared(parts.v))), [batch, heads, queries, valueSize]);
  const stages: Record<ScoreStage, () => Value> = {
    scaled: () => whole(scores),
    capped: () => whole(capped),
    masked: () => whole(masked),
    weights: () => whole(kept(weights)),
  };
  return { y, scores: stage === undefined ? undefined : stages[stage]() };
}

/** A mask under four axes; those that it does not have are 1. */
function fourAxes(ctx: NodeContext, mask: Imported, full: readonly number[]): Imported {
  const s = shapeOfImported(mask);
  const shape = [...new Array<number>(Math.max(0, 4 - s.length)).fill(1), ...s];
  if (shape.length !== 4 || shape.some((n, d) => n !== 1 && n !== full[d]))
    throw ctx.error(`its mask of shape [${s.join(", ")}] does not broadcast to [${full.join(", ")}]`);
  return mask.kind === "const"
    ? known(shape, mask.tensor.data, false)
    : { kind: "value", value: reshape(ctx, mask.value, shape) };
}

/**
 * Scores with all masks added, what only hides last; 1 for queries that see a key, 0 for those that see none; and
 * whether anything is hidden.
 */
function addMasks(
  ctx: NodeContext,
  scores: Value,
  parts: AttentionParts,
  full: readonly number[],
  split: (s: readonly number[]) => number[],
): { masked: Value; alive: Value | undefined; hides: boolean } {
  const placed = (m: Imported): Imported =>
    m.kind === "const"
      ? known(split(m.tensor.shape), m.tensor.data, false)
      : { kind: "value", value: reshape(ctx, m.value, split(shapeOf(m.value))) };
  const allowed = parts.allowed.map((m) => fourAxes(ctx, m, full));
  let x = scores;
  for (const bias of parts.biases.map((m) => fourAxes(ctx, m, full))) {
    if (bias.kind === "const") {
      const { shape, data } = bias.tensor;
      if (data.includes(-Infinity))
        allowed.push(
          known(
            shape,
            data.map((v) => Number(v !== -Infinity)),
            true,
          ),
        );
      const finite = data.map((v) => (v === -Infinity ? 0 : v));
      if (finite.some((v) => v !== 0)) x = add(ctx, x, valueOf(ctx, placed(known(shape, finite, false)), "bias"));
    } else x = add(ctx, x, valueOf(ctx, placed(bias)));
  }
  const seen =
    allowed.length === 0
      ? undefined
      : allowed
          .slice(1)
          .reduce<Imported>((a, b) => apply(ctx, "And", [a, b], {}, { types: { 0: BOOL, 1: BOOL } }), allowed[0]!);
  if (seen === undefined || (seen.kind === "const" && seen.tensor.data.every((v) => v !== 0)))
    return { masked: x, alive: undefined, hides: false };
  const zero = parts.blind !== "all";
  if (seen.kind === "value") {
    x = valueOf(ctx, apply(ctx, "Add", [x, placed(maskOf(ctx, seen))], {}, { readers: ["Softmax"] }));
    const shape = shapeOf(seen.value).map((n, d) => (d === 3 ? 1 : n));
    return {
      masked: x,
      alive: zero
        ? valueOf(
            ctx,
            placed({
              kind: "value",
              value: ctx.emit("nn.reduce", [seen.value], shape, { kind: "max", axes: [3], keepdims: true }),
            }),
          )
        : undefined,
      hides: true,
    };
  }
  const { shape, data } = seen.tensor;
  const row = shape[3]!;
  const sees = Float64Array.from({ length: data.length / row }, (_, r) =>
    Number(data.subarray(r * row, (r + 1) * row).some((v) => v !== 0)),
  );
  const hidden = data.map((v, i) => (v === 0 && sees[Math.floor(i / row)] === 1 ? -Infinity : 0));
  if (hidden.some((v) => v !== 0))
    x = valueOf(ctx, apply(ctx, "Add", [x, known(split(shape), hidden, false)], {}, { readers: ["Softmax"] }));
  return {
    masked: x,
    alive:
      zero && sees.includes(0)
        ? valueOf(ctx, known(split([...shape.slice(0, 3), 1]), sees, false), "alive")
        : undefined,
    hides: true,
  };
}

/** 0 where `allowed` holds and -Infinity where not. */
function maskOf(ctx: NodeContext, allowed: Imported): Imported {
  return apply(
    ctx,
    "Where",
    [allowed, number(0), number(-Infinity)],
    {},
    { readers: ["Add"], types: { 0: BOOL, 1: 1, 2: 1 } },
  );
}

/**
 * Positions of keys less those of queries, [queries, keys]: key j is seen from query i of a block that begins `offset`
 * keys in.
 */
export function distances(queries: number, keys: number, offset = 0): Imported {
  return known(
    [queries, keys],
    Float64Array.from({ length: queries * keys }, (_, i) => (i % keys) - Math.floor(i / keys) - offset),
    false,
  );
}
/** Where a query sees `left` keys before itself, and `right` behind; -1 for all of them. */
export function window(
  ctx: NodeContext,
  distance: Imported,
  offset: Imported,
  left: number,
  right: number,
): Imported[] {
  const behind = apply(ctx, "Sub", [distance, offset]);
  return [
    ...(right >= 0 ? [apply(ctx, "LessOrEqual", [behind, number(right)])] : []),
    ...(left >= 0 ? [apply(ctx, "GreaterOrEqual", [behind, number(-left)])] : []),
  ];
}
/** Where keys come before the end that `lengths` ([batch, 1, 1, 1]) gives. */
export function before(ctx: NodeContext, keys: number, lengths: Imported): Imported {
  return apply(ctx, "Less", [
    known(
      [1, 1, 1, keys],
      Array.from({ length: keys }, (_, j) => j),
      false,
    ),
    lengths,
  ]);
}
export function perSample(ctx: NodeContext, lengths: Imported): Imported {
  return apply(ctx, "Reshape", [lengths, integers(-1, 1, 1, 1)]);
}

/** [batch, length, heads * size] as [batch, heads, length, size], and back. */
export function splitHeads(ctx: NodeContext, x: Value, heads: number): Value {
  const [batch, length, hidden] = shapeOf(x) as [number, number, number];
  if (shapeOf(x).length !== 3 || heads < 1 || hidden % heads !== 0)
    throw ctx.error(`${heads} heads do not divide a tensor of shape [${shapeOf(x).join(", ")}]`);
  return transpose(ctx, reshape(ctx, x, [batch, length, heads, hidden / heads]), [0, 2, 1, 3]);
}
export function mergeHeads(ctx: NodeContext, x: Value): Value {
  const [batch, heads, length, size] = shapeOf(x) as [number, number, number, number];
  return reshape(ctx, transpose(ctx, x, [0, 2, 1, 3]), [batch, length, heads * size]);
}

/** Past keys or values in front of new ones. */
export function withPast(ctx: NodeContext, i: number, x: Value): Value {
  if (!ctx.has(i) || ctx.shape(i)[2] === 0) return x;
  const past = ctx.value(i);
  if (shapeOf(past).length !== 4 || shapeOf(past).some((n, d) => d !== 2 && n !== shapeOf(x)[d]))
    throw ctx.error(`a past of shape [${shapeOf(past).join(", ")}] does not precede [${shapeOf(x).join(", ")}]`);
  return join(ctx, [past, x], 2);
}

const STAGES: readonly ScoreStage[] = ["scaled", "capped", "masked", "weights"];

const attention: OperatorImporter = {
  opType: "Attention",
  since: 23,
  limits: "past keys and values of fixed length",
  ignores: { softmax_precision: "the width of a floating-point format; quantization chooses the widths" },
  import: (ctx) => {
    if (ctx.elementType(0) === BFLOAT16)
      throw ctx.error(
        "its result is rounded to bfloat16, which would not be reproduced",
        "keep the network in float32; quantization chooses the widths",
      );
    const flat = ctx.shape(0).length === 3;
    const headsOf = (name: string, i: number): Value => {
      if (flat) return splitHeads(ctx, ctx.value(i), ctx.int(name, 0));
      if (ctx.shape(i).length !== 4) throw ctx.error(`its input ${i} has the shape [${ctx.shape(i).join(", ")}]`);
      return ctx.value(i);
    };
    const q = headsOf("q_num_heads", 0);
    const [k, v] = [withPast(ctx, 4, headsOf("kv_num_heads", 1)), withPast(ctx, 5, headsOf("kv_num_heads", 2))];
    const [queries, keys] = [shapeOf(q)[2]!, shapeOf(k)[2]!];
    const past = ctx.has(4) ? ctx.shape(4)[2]! : 0;
    const [left, right] = [ctx.int("left_window_size", -1), ctx.int("right_window_size", -1)];
    if (left < -1 || right < -1) throw ctx.error(`its window is [${left}, ${right}]`);
    const lengths = ctx.has(6) ? perSample(ctx, ctx.input(6)) : undefined;
    // In a cache that the caller keeps, the last keys that count are those of the queries.
    const offset = lengths === undefined || ctx.has(4) ? number(past) : apply(ctx, "Sub", [lengths, number(queries)]);
    const distance = distances(queries, keys);
    const allowed = [
      ...(ctx.int("is_causal", 0) !== 0 ? window(ctx, distance, offset, -1, 0) : []),
      ...window(ctx, distance, offset, left, right),
    ];
    if (lengths !== undefined) allowed.push(before(ctx, keys, lengths));
    const biases: Imported[] = [];
    if (ctx.has(3)) givenMask(ctx, keys, allowed, biases);
    const mode = ctx.int("qk_matmul_output_mode", 0);
    const stage = (ctx.node.output[3] ?? "") === "" ? undefined : STAGES[mode];
    const given = ctx.float("scale", 0);
    const { y, scores } = attend(
      ctx,
      {
        q,
        k,
        v,
        scale: given === 0 ? 1 / Math.sqrt(shapeOf(q)[3]!) : given,
        softcap: ctx.float("softcap", 0),
        allowed,
        biases,
      },
      stage,
    );
    return [flat ? mergeHeads(ctx, y) : y, k, v, ...(scores === undefined ? [] : [scores])];
  },
};

/** The mask input: truth values say what may be seen, numbers are added. Keys beyond its end are not seen. */
function givenMask(ctx: NodeContext, keys: number, allowed: Imported[], biases: Imported[]): void {
  let mask = ctx.input(3);
  const truth = ctx.elementType(3) === BOOL || (mask.kind === "const" && mask.tensor.integer);
  const shape = shapeOfImported(mask);
  const last = shape[shape.length - 1] ?? 1;
  if (last > keys) throw ctx.error(`its mask of shape [${shape.join(", ")}] covers more than ${keys} keys`);
  if (last < keys && last !== 1) {
    const rest = [...shape.slice(0, -1), keys - last];
    mask = apply(ctx, "Concat", [mask, known(rest, new Float64Array(rest.reduce((n, d) => n * d, 1)), truth)], {
      axis: shape.length - 1,
    });
    allowed.push(before(ctx, keys, number(last)));
  }
  (truth ? allowed : biases).push(mask);
}

export const attentionOperators: readonly OperatorImporter[] = [attention];
