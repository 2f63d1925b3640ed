/**
 * Rotary position embedding: pairs of features turned by an angle that grows with the position. ONNX's operator and
 * ONNX Runtime's.
 */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { apply, imported, integers, join, mul, part, add, sub, reshape, shapeOfImported, valueOf } from "./build.js";
import { mergeHeads, splitHeads } from "./attention.js";

export interface Rotation {
  /** Cosines and sines of [batch or 1, length, half] angles. */
  readonly cos: Imported;
  readonly sin: Imported;
  /** Features 2i and 2i + 1 are a pair; otherwise i and i + half. */
  readonly interleaved: boolean;
}

/** Turns the first 2 * half features of x [batch, heads, length, size]. @source onnx.reference, RotaryEmbedding */
export function rotate(ctx: NodeContext, x: Value, { cos, sin, interleaved }: Rotation): Value {
  const [batch, heads, length, size] = shapeOf(x) as [number, number, number, number];
  const half = shapeOfImported(cos)[2]!;
  const angles = (v: Imported, what: string): Value => {
    const s = shapeOfImported(v);
    if (s.length !== 3 || (s[0] !== 1 && s[0] !== batch) || s[1] !== length || s[2] !== half)
      throw ctx.error(`its ${what}s of shape [${s.join(", ")}] do not fit [${shapeOf(x).join(", ")}]`);
    return valueOf(ctx, apply(ctx, "Reshape", [v, integers(s[0]!, 1, length, half)]), what);
  };
  if (2 * half > size) throw ctx.error(`${2 * half} features are to be turned of ${size}`);
  const [c, s] = [angles(cos, "cosine"), angles(sin, "sine")];
  const [a, b] = interleaved
    ? [part(ctx, x, 3, 0, half, 2), part(ctx, x, 3, 1, half, 2)]
    : [part(ctx, x, 3, 0, half), part(ctx, x, 3, half, half)];
  const turned = [sub(ctx, mul(ctx, a, c), mul(ctx, b, s)), add(ctx, mul(ctx, a, s), mul(ctx, b, c))];
  const apart = [batch, heads, length, half, 1];
  const pairs = interleaved
    ? [
        reshape(
          ctx,
          join(
            ctx,
            turned.map((v) => reshape(ctx, v, apart)),
            4,
          ),
          [batch, heads, length, 2 * half],
        ),
      ]
    : turned;
  return join(ctx, 2 * half === size ? pairs : [...pairs, part(ctx, x, 3, 2 * half, size - 2 * half)], 3);
}

/** Angles of positions [batch, length] from a cache [positions, half]. */
export function anglesAt(
  ctx: NodeContext,
  cache: Imported,
  positions: Imported,
  half = shapeOfImported(cache)[1]!,
): Imported {
  const rows = apply(ctx, "Gather", [cache, positions], { axis: 0 });
  return half === shapeOfImported(cache)[1]
    ? rows
    : apply(ctx, "Slice", [rows, integers(0), integers(half), integers(2)]);
}
/** Positions from 0. */
export function fromZero(length: number, offset = 0): Imported {
  return known(
    [1, length],
    Array.from({ length }, (_, i) => i + offset),
    true,
  );
}

/** x [batch, length, heads * size] or [batch, heads, length, size] turned, in the same shape. */
function turn(
  ctx: NodeContext,
  heads: (hidden: number) => number,
  rotation: (length: number, size: number) => Rotation,
): Value {
  const x = ctx.value(0);
  const flat = shapeOf(x).length === 3;
  if (!flat && shapeOf(x).length !== 4) throw ctx.error(`its input has rank ${shapeOf(x).length} instead of 3 or 4`);
  const apart = flat ? splitHeads(ctx, x, heads(shapeOf(x)[2]!)) : x;
  const y = rotate(ctx, apart, rotation(shapeOf(apart)[2]!, shapeOf(apart)[3]!));
  return flat ? mergeHeads(ctx, y) : y;
}

const rotaryEmbedding: OperatorImporter = {
  opType: "RotaryEmbedding",
  since: 23,
  import: (ctx) =>
    turn(
      ctx,
      () => ctx.int("num_heads", 0),
      (_, size) => {
        const half = Math.floor((ctx.int("rotary_embedding_dim", 0) || size) / 2);
        const angles = (i: number): Imported => (ctx.has(3) ? anglesAt(ctx, ctx.input(i), ctx.input(3)) : ctx.input(i));
        const [cos, sin] = [angles(1), angles(2)];
        if (shapeOfImported(cos).at(-1) !== half)
          throw ctx.error(`its cosines have ${shapeOfImported(cos).at(-1)} columns for ${half} pairs of features`);
        return { cos, sin, interleaved: ctx.int("interleaved", 0) !== 0 };
      },
    ),
};

/** com.microsoft's: positions are the second input, [batch, length] or one offset. */
const rotaryOfOnnxRuntime: OperatorImporter = {
  opType: "com.microsoft::RotaryEmbedding",
  limits: "an offset of positions constant; without packed batches",
  import: (ctx) => {
    if (ctx.int("is_packed_batching", 0) !== 0)
      throw ctx.error("batches packed into one sequence are not supported", "export without packing");
    if (ctx.float("scale", 1) !== 1)
      throw ctx.error(`a scale of ${ctx.float("scale", 1)} is not supported`, "scale the caches");
    const cache = ctx.shape(2);
    const dim = ctx.int("rotary_embedding_dim", 0);
    const y = turn(
      ctx,
      (hidden) => ctx.int("num_heads", 0) || hidden / (2 * cache[1]!),
      (length) => {
        // An offset of one position is that position.
        const offset = ctx.shape(1).reduce((n, d) => n * d, 1) === 1;
        const positions = !offset
          ? ctx.input(1)
          : length === 1
            ? apply(ctx, "Reshape", [ctx.input(1), integers(1, 1)])
            : fromZero(length, ctx.needConstant(1, "the offset of positions").data[0]!);
        const angles = (i: number): Imported => anglesAt(ctx, ctx.input(i), positions, dim === 0 ? cache[1]! : dim / 2);
        return { cos: angles(2), sin: angles(3), interleaved: ctx.int("interleaved", 0) !== 0 };
      },
    );
    return imported(y);
  },
};

export const rotaryOperators: readonly OperatorImporter[] = [rotaryEmbedding, rotaryOfOnnxRuntime];
