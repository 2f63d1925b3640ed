/**
 * Operators with channels as the last dimension (the layout transformations of ONNX Runtime and of QONNX), read as
 * ONNX's with channels as the second.
 */
import type { Value } from "../../ir/core.js";
import type { Imported, NodeContext, OperatorImporter } from "../context.js";
import { fusedConv } from "./fused-activation.js";
import { typesOf } from "./fused.js";
import { apply, imported, maybe, shapeOfImported } from "./build.js";

function toFirst(rank: number): number[] {
  return [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, d) => d + 1)];
}
function toLast(rank: number): number[] {
  return [0, ...Array.from({ length: rank - 2 }, (_, d) => d + 2), 1];
}

/** The node as operator `as` between two transpositions; the first `moved` inputs have their channels last. */
export function channelsLast(ctx: NodeContext, as: string, moved = 1): Imported {
  const results = ctx.delegate(
    as,
    Array.from({ length: ctx.inputCount }, (_, i) =>
      i < moved ? apply(ctx, "Transpose", [ctx.input(i)], { perm: toFirst(ctx.shape(i).length) }) : maybe(ctx, i),
    ),
    { opset: 22, types: typesOf(ctx), readers: [], without: ["channels_last"] },
  );
  const y = imported(Array.isArray(results) ? (results as readonly Value[])[0]! : (results as Value));
  return apply(ctx, "Transpose", [y], { perm: toLast(shapeOfImported(y).length) });
}
function last(opType: string, as: string, moved = 1): OperatorImporter {
  return { opType, limits: `as ${as}`, import: (ctx) => channelsLast(ctx, as, moved) };
}
/** An operator of ONNX Runtime's domain whose attribute says where the channels are. */
export function eitherLayout(o: OperatorImporter): OperatorImporter {
  return { ...o, import: (ctx) => (ctx.int("channels_last", 0) !== 0 ? channelsLast(ctx, o.opType) : o.import(ctx)) };
}

/** Operators that the transformation moves; those with statistics per channel have them in other inputs. */
const MOVED = [
  "AveragePool",
  "BatchNormalization",
  "Conv",
  "ConvTranspose",
  "DepthToSpace",
  "GlobalAveragePool",
  "GlobalLpPool",
  "GlobalMaxPool",
  "InstanceNormalization",
  "LpPool",
  "MaxPool",
  "SpaceToDepth",
];

export const layoutOperators: readonly OperatorImporter[] = [
  last("com.microsoft::NhwcConv", "Conv"),
  fusedConv("NhwcFusedConv", true),
  last("com.microsoft::NhwcMaxPool", "MaxPool"),
  ...MOVED.map((o) => last(`com.ms.internal.nhwc::${o}`, o)),
  // QONNX moves the channels of weights as well.
  last("qonnx.custom_op.channels_last::Conv", "Conv", 2),
  last("qonnx.custom_op.channels_last::MaxPool", "MaxPool"),
  last("qonnx.custom_op.channels_last::BatchNormalization", "BatchNormalization"),
  { ...last("com.ms.internal.nhwc::QLinearConv", "QLinearConv"), resultType: (ctx) => ctx.elementType(7) },
];
