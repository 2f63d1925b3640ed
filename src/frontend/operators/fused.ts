/** Operators that ONNX Runtime's optimizer makes of several (domain com.microsoft), read as what they are made of. */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import {
  apply,
  applyAll,
  integers,
  maybe,
  mul,
  part,
  reshape,
  scale,
  shapeOfImported,
  sub,
  table,
  transpose,
  valueOf,
} from "./build.js";

const MS = "com.microsoft::";

export function sum(ctx: NodeContext, ...terms: readonly (Imported | undefined)[]): Imported {
  const given = terms.filter((t) => t !== undefined);
  return given.slice(1).reduce<Imported>((a, b) => apply(ctx, "Add", [a, b]), given[0]!);
}
export function result(
  opType: string,
  read: (ctx: NodeContext) => Value | Imported | readonly (Value | Imported)[],
  limits?: string,
  ignores?: OperatorImporter["ignores"],
): OperatorImporter {
  return {
    opType: MS + opType,
    ...(limits !== undefined && { limits }),
    ...(ignores !== undefined && { ignores }),
    import: read,
  };
}
/** Operators whose meaning is that of ONNX's own by the same inputs and attributes. */
function same(opType: string, as = opType, opset = 22): OperatorImporter {
  return {
    opType: MS + opType,
    import: (ctx) =>
      ctx.delegate(
        as,
        Array.from({ length: ctx.inputCount }, (_, i) => maybe(ctx, i)),
        { opset, types: typesOf(ctx) },
      ),
  };
}
export function typesOf(ctx: NodeContext): Record<number, number | undefined> {
  return Object.fromEntries(Array.from({ length: ctx.inputCount }, (_, i) => [i, ctx.elementType(i)]));
}

/** x sigmoid(alpha x). */
function gated(ctx: NodeContext, x: Value, alpha = 1): Value {
  return mul(ctx, x, table(ctx, scale(ctx, x, alpha, "alpha"), "sigmoid"));
}

// --- sums and normalizations

function skipNormalization(opType: string, rms: boolean): OperatorImporter {
  return result(opType, (ctx) => {
    const x = sum(ctx, ctx.input(0), ctx.input(1), maybe(ctx, rms ? 3 : 4));
    if (shapeOfImported(x).join() !== ctx.shape(0).join())
      throw ctx.error(
        `its skip of shape [${ctx.shape(1).join(", ")}] does not broadcast to [${ctx.shape(0).join(", ")}]`,
      );
    const norm = applyAll(
      ctx,
      rms ? "RMSNormalization" : "LayerNormalization",
      rms ? [x, ctx.input(2)] : [x, ctx.input(2), ...(ctx.has(3) ? [ctx.input(3)] : [])],
      { axis: -1, epsilon: ctx.float("epsilon", 1e-12) },
    );
    const asked = (i: number): boolean => (ctx.node.output[i] ?? "") !== "";
    if (rms && (asked(1) || asked(2))) throw ctx.error("its outputs of mean and deviation are not supported");
    return rms ? [norm[0]!, norm[0]!, norm[0]!, x] : [norm[0]!, norm[1]!, norm[2]!, x];
  });
}

function groupNormalization(opType: string, skip: boolean): OperatorImporter {
  return result(opType, (ctx) => {
    const last = ctx.int("channels_last", 1) !== 0;
    const rank = ctx.shape(0).length;
    const channels = (v: Imported | undefined): Imported | undefined =>
      v === undefined || shapeOfImported(v).length !== 2
        ? v
        : apply(ctx, "Reshape", [
            v,
            integers(
              -1,
              ...new Array<number>(last ? 1 : 0).fill(1),
              ...new Array<number>(last ? 0 : rank - 2).fill(1),
              shapeOfImported(v)[1]!,
            ),
          ]);
    const x = skip ? sum(ctx, ctx.input(0), channels(ctx.input(3)), maybe(ctx, 4)) : ctx.input(0);
    const order = ctx.shape(0).map((_, d) => d);
    const first = last ? apply(ctx, "Transpose", [x], { perm: [0, rank - 1, ...order.slice(1, -1)] }) : x;
    const normal = valueOf(
      ctx,
      apply(ctx, "GroupNormalization", [first, ctx.input(1), ctx.input(2)], {
        num_groups: ctx.int("groups", 1),
        epsilon: ctx.float("epsilon", 1e-5),
      }),
    );
    const y = ctx.int("activation", 0) === 1 ? gated(ctx, normal) : normal;
    return [last ? transpose(ctx, y, [0, ...order.slice(2), 1]) : y, x];
  });
}

/** Word, position and segment rows, summed and normalized. */
export function embedded(
  ctx: NodeContext,
  at: {
    ids: Imported;
    segments: Imported | undefined;
    words: Imported;
    places: Imported | undefined;
    parts: Imported | undefined;
    gamma: Imported;
    beta: Imported;
    positions: Imported | undefined;
  },
): { y: Imported; total: Imported } {
  const length = shapeOfImported(at.ids)[1]!;
  const rows = (t: Imported, ids: Imported): Imported => apply(ctx, "Gather", [t, ids], { axis: 0 });
  const position =
    at.places === undefined
      ? undefined
      : at.positions === undefined
        ? apply(ctx, "Slice", [at.places, integers(0), integers(length), integers(0)])
        : rows(at.places, at.positions);
  const segment = at.segments === undefined || at.parts === undefined ? undefined : rows(at.parts, at.segments);
  const total = sum(ctx, rows(at.words, at.ids), position, segment);
  return {
    y: apply(ctx, "LayerNormalization", [total, at.gamma, at.beta], { axis: -1, epsilon: ctx.float("epsilon", 1e-12) }),
    total,
  };
}

const embedLayerNormalization = result(
  "EmbedLayerNormalization",
  (ctx) => {
    const { y, total } = embedded(ctx, {
      ids: ctx.input(0),
      segments: maybe(ctx, 1),
      words: ctx.input(2),
      places: maybe(ctx, 3),
      parts: maybe(ctx, 4),
      gamma: ctx.input(5),
      beta: ctx.input(6),
      positions: maybe(ctx, 8),
    });
    const batch = ctx.shape(0)[0]!;
    // The number of positions that count; without a mask it is 0.
    const length = ctx.has(7)
      ? apply(ctx, "ReduceSum", [ctx.input(7), integers(1)], { keepdims: 0 })
      : known([batch], new Float64Array(batch), true);
    return [y, length, total];
  },
  "a mask without gaps",
  { mask_index_type: "the type of an output" },
);

/** Softmax of a sum, over the dimensions from `axis` on. */
const biasSoftmax = result(
  "BiasSoftmax",
  (ctx) =>
    apply(
      ctx,
      "Softmax",
      [apply(ctx, "Add", [ctx.input(0), ctx.input(1)], {}, { readers: ["Softmax"] })],
      { axis: ctx.int("axis", 1) },
      { opset: 12 },
    ),
  undefined,
  { is_inner_broadcast: "the shapes say it" },
);

const biasSplitGelu = result("BiasSplitGelu", (ctx) => {
  const x = valueOf(ctx, sum(ctx, ctx.input(0), ctx.input(1)));
  const axis = shapeOf(x).length - 1;
  const half = shapeOf(x)[axis]! / 2;
  return mul(ctx, part(ctx, x, axis, 0, half), valueOf(ctx, apply(ctx, "Gelu", [part(ctx, x, axis, half, half)])));
});

/** What is left of a dropout at inference: its sums. */
function dropout(opType: string): OperatorImporter {
  return result(
    opType,
    (ctx) => {
      const mode = opType === "BitmaskDropout" ? 2 : 4;
      if (ctx.has(mode) && ctx.needConstant(mode, "training_mode").data[0] !== 0)
        throw ctx.error("training mode is on", "export the model in evaluation mode");
      return opType === "BitmaskDropout" ? ctx.input(0) : sum(ctx, ctx.input(0), ctx.input(1), maybe(ctx, 2));
    },
    "inference only; the mask output is not available",
    { ratio: "nothing is dropped at inference", seed: "nothing is dropped at inference" },
  );
}

/** Pads are an input; constant ones make it an ordinary convolution. */
const convTransposeWithPads = result(
  "ConvTransposeWithDynamicPads",
  (ctx) => {
    const pads = ctx.has(2) ? [...ctx.needConstant(2, "the pads").data] : undefined;
    const lists = ["strides", "dilations", "output_padding", "kernel_shape"].flatMap((name) => {
      const v = ctx.ints(name);
      return v === undefined ? [] : [[name, v] as const];
    });
    return apply(ctx, "ConvTranspose", [ctx.input(0), ctx.input(1), maybe(ctx, 3)], {
      ...Object.fromEntries(lists),
      ...(pads !== undefined && { pads }),
      group: ctx.int("group", 1),
      auto_pad: ctx.string("auto_pad", "NOTSET"),
    });
  },
  "constant pads",
);

/** Distances between the rows of two matrices. */
const cdist = result(
  "CDist",
  (ctx) => {
    const metric = ctx.string("metric", "euclidean");
    if (metric !== "euclidean" && metric !== "sqeuclidean")
      throw ctx.error(`metric "${metric}" is not supported`, "use euclidean or sqeuclidean");
    const [a, b] = [ctx.value(0), ctx.value(1)];
    const [m, n, width] = [shapeOf(a)[0]!, shapeOf(b)[0]!, shapeOf(a)[1]!];
    const d = sub(ctx, reshape(ctx, a, [m, 1, width]), reshape(ctx, b, [1, n, width]));
    const squares = ctx.emit("nn.reduce", [mul(ctx, d, d)], [m, n], { kind: "sum", axes: [2], keepdims: false });
    return metric === "euclidean" ? table(ctx, squares, "sqrt") : squares;
  },
  "metrics euclidean and sqeuclidean",
);

export const fusedOperators: readonly OperatorImporter[] = [
  same("Gelu"),
  same("Trilu"),
  same("Range"),
  same("Pad"),
  same("GatherND"),
  same("GridSample", "GridSample", 16),
  result("BiasGelu", (ctx) => apply(ctx, "Gelu", [sum(ctx, ctx.input(0), ctx.input(1))])),
  result("FastGelu", (ctx) => apply(ctx, "Gelu", [sum(ctx, ctx.input(0), maybe(ctx, 1))], { approximate: "tanh" })),
  result("GemmFastGelu", (ctx) =>
    apply(ctx, "Gelu", [sum(ctx, apply(ctx, "MatMul", [ctx.input(0), ctx.input(1)]), maybe(ctx, 2))], {
      approximate: "tanh",
    }),
  ),
  result("QuickGelu", (ctx) => gated(ctx, ctx.value(0), ctx.float("alpha", 1.702))),
  result("BiasAdd", (ctx) => sum(ctx, ctx.input(0), ctx.input(1), maybe(ctx, 2))),
  result("ExpandDims", (ctx) =>
    apply(ctx, "Unsqueeze", [ctx.input(0), known([1], [ctx.needConstant(1, "the axis").data[0]!], true)]),
  ),
  skipNormalization("SkipLayerNormalization", false),
  skipNormalization("SkipSimplifiedLayerNormalization", true),
  groupNormalization("GroupNorm", false),
  groupNormalization("SkipGroupNorm", true),
  embedLayerNormalization,
  biasSoftmax,
  biasSplitGelu,
  dropout("BiasDropout"),
  dropout("BitmaskBiasDropout"),
  dropout("BitmaskDropout"),
  cdist,
  convTransposeWithPads,
  {
    opType: "SwiGLU",
    since: 28,
    import: (ctx) => {
      if (ctx.shape(0).join() !== ctx.shape(1).join())
        throw ctx.error(
          `its gate of shape [${ctx.shape(0).join(", ")}] and value of shape [${ctx.shape(1).join(", ")}] differ`,
        );
      return mul(ctx, gated(ctx, ctx.value(0), ctx.float("alpha", 1)), ctx.value(1));
    },
  },
  // Before ONNX had it, RMSNormalization was ONNX Runtime's under ONNX's domain.
  {
    opType: "SimplifiedLayerNormalization",
    ignores: { stash_type: "a type inside" },
    import: (ctx) => ctx.delegate("RMSNormalization", [ctx.input(0), ctx.input(1)]),
  },
];
