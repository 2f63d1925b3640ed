/**
 * Sequences of tensors, which exporters leave around splits and loops: lists at import, of which nothing is left
 * behind.
 */
import { known, type Imported, type NodeContext } from "./context.js";
import type { NodeProto } from "./onnx-proto.js";
import { apply, integers, shapeOfImported } from "./operators/build.js";

export type Sequence = readonly { readonly tensor: Imported; readonly type: number | undefined }[];

type Result = { readonly sequence: Sequence } | { readonly tensor: Imported; readonly type: number | undefined };
type Reader = (ctx: NodeContext, sequence: Sequence, typeOf: (i: number) => number | undefined) => Result;

const INT64 = 7;

/** A position in a sequence of `n`, where it may be the end. */
function position(ctx: NodeContext, i: number, n: number, fallback: number): number {
  if (!ctx.has(i)) return fallback;
  const at = ctx.needConstant(i, "the position").data[0]!;
  const index = at < 0 ? at + n : at;
  if (index < 0 || index > n) throw ctx.error(`position ${at} is outside a sequence of ${n}`);
  return index;
}
function element(ctx: NodeContext, sequence: Sequence, fallback: number): number {
  const at = position(ctx, 1, sequence.length, fallback);
  if (at >= sequence.length || at < 0) throw ctx.error(`position ${at} is outside a sequence of ${sequence.length}`);
  return at;
}

const READERS: Readonly<Record<string, Reader>> = {
  SequenceEmpty: () => ({ sequence: [] }),
  SequenceConstruct: (ctx, _, typeOf) => ({
    sequence: Array.from({ length: ctx.inputCount }, (_v, i) => ({ tensor: ctx.input(i), type: typeOf(i) })),
  }),
  SequenceInsert: (ctx, sequence, typeOf) => {
    const at = position(ctx, 2, sequence.length, sequence.length);
    return { sequence: [...sequence.slice(0, at), { tensor: ctx.input(1), type: typeOf(1) }, ...sequence.slice(at)] };
  },
  SequenceErase: (ctx, sequence) => {
    const at = element(ctx, sequence, sequence.length - 1);
    return { sequence: sequence.filter((_, i) => i !== at) };
  },
  SequenceAt: (ctx, sequence) => sequence[element(ctx, sequence, -1)]!,
  SequenceLength: (_, sequence) => ({ tensor: known([], [sequence.length], true), type: INT64 }),
  Identity: (_, sequence) => ({ sequence }),
  ConcatFromSequence: (ctx, sequence) => {
    if (sequence.length === 0) throw ctx.error("its sequence is empty");
    const stacked = ctx.int("new_axis", 0) !== 0;
    const rank = shapeOfImported(sequence[0]!.tensor).length + (stacked ? 1 : 0);
    const axis = ctx.axis(ctx.int("axis", 0), rank);
    const parts = sequence.map((s) => (stacked ? apply(ctx, "Unsqueeze", [s.tensor, integers(axis)]) : s.tensor));
    return { tensor: apply(ctx, "Concat", parts, { axis }), type: sequence[0]!.type };
  },
  SplitToSequence: (ctx, _, typeOf) => {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.int("axis", 0), shape.length);
    const n = shape[axis]!;
    const split = ctx.has(1) ? ctx.needConstant(1, "the sizes") : undefined;
    const size = split === undefined ? 1 : split.shape.length === 0 ? split.data[0]! : undefined;
    if (size !== undefined && size < 1) throw ctx.error(`parts of ${size} elements are asked for`);
    const sizes =
      size === undefined
        ? [...split!.data]
        : Array.from({ length: Math.ceil(n / size) }, (_v, i) => Math.min(size, n - i * size));
    if (sizes.reduce((a, b) => a + b, 0) !== n)
      throw ctx.error(`parts of ${sizes.join(" + ")} do not make up the ${n} elements of axis ${axis}`);
    const squeezed = split === undefined && ctx.int("keepdims", 1) === 0;
    let start = 0;
    return {
      sequence: sizes.map((s) => {
        const part = apply(ctx, "Slice", [ctx.input(0), integers(start), integers(start + s), integers(axis)]);
        start += s;
        return { tensor: squeezed ? apply(ctx, "Squeeze", [part, integers(axis)]) : part, type: typeOf(0) };
      }),
    };
  },
};

/** Whether a node makes or reads a sequence; Identity does where its input is one. */
export function isSequenceNode(node: NodeProto, sequences: ReadonlyMap<string, Sequence>): boolean {
  return (
    (node.domain === "" || node.domain === "ai.onnx") &&
    READERS[node.opType] !== undefined &&
    (node.opType !== "Identity" || sequences.has(node.input[0] ?? ""))
  );
}
/** What a node makes of a sequence, or a sequence of tensors. `sequence` is its first input where that is one. */
export function readSequence(
  ctx: NodeContext,
  sequence: Sequence | undefined,
  typeOf: (i: number) => number | undefined,
): Result {
  const makes = ["SequenceEmpty", "SequenceConstruct", "SplitToSequence"].includes(ctx.node.opType);
  if (!makes && sequence === undefined) throw ctx.error("its input is no sequence");
  return READERS[ctx.node.opType]!(ctx, sequence ?? [], typeOf);
}
