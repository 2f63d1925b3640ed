/** One lowering per nn operation: nearly all are the structured kernel with other maps, the rest are views. */
import type { Op, Value } from "../../ir/core.js";
import { boolAttr, denseAttr, intAttr, intsAttr, numAttr, strAttr } from "../../ir/define-op.js";
import {
  fixed,
  type FixedType,
  outerRange,
  rawRange,
  showType,
  type TensorType,
  typeOfRange,
  wideRange,
} from "../../ir/types.js";
import {
  checkWidth,
  dataRange,
  dotType,
  ranged,
  sumType,
  weightedSumsRange,
  widened,
  type Ranged,
} from "../../ir/fixed-arith.js";
import { allocate, Dense } from "../../ir/attributes.js";
import { CompilerBug } from "../../diagnostics/index.js";
import { along, at0, fixedElem, type Access, type BodyBuilder, type Index, type LoweringContext } from "./context.js";
import { gridSize, gridView, indexGrids, indexRuns, type IndexGrid } from "./index-grids.js";
import { broadcasted, reshaped, sliced, transposed, type Viewed } from "./views.js";
import { copyOf } from "./copy.js";
import { lowerSparsify } from "./sparsify.js";
import { lowerTrees } from "./trees.js";
import { unaryTable } from "../../ir/nn/unary-table.js";
import { elementwise, gridOf, label, parallel, reduction, resultType, type Lowering } from "./elementwise.js";
import { lowerFraction, lowerTake, lowerWhole } from "./numbers.js";

export type { Lowering };

/** Format and raw value range of what a view reads: the actual values of constants. */
function rangedOf(v: Viewed): Ranged {
  const def = v.value.def;
  return def?.name === "flow.constant"
    ? { frac: v.elem.frac, range: widened(dataRange(denseAttr(def, "value").data)) }
    : ranged(v.elem);
}

/**
 * Type that holds any sum of `terms` products of x and w. With constant weights the bound is the worst row of actual
 * weights, which is far tighter than the formats; `rows` groups weights that meet in one sum.
 */
function accumulatorType(
  x: Viewed,
  w: Viewed,
  terms: number,
  rows:
    | { readonly weights: ArrayLike<number>; readonly count: number; readonly rowOf: (i: number) => number }
    | undefined,
): FixedType {
  if (rows === undefined) return dotType(rangedOf(x), rangedOf(w), terms);
  return checkWidth(
    typeOfRange(weightedSumsRange(rangedOf(x).range, rows.weights, rows.count, rows.rowOf), x.elem.frac + w.elem.frac),
    "a sum of products",
  );
}

/** The product of the two arguments, aligned to nothing: its frac is the accumulator's. */
function product(b: BodyBuilder, args: readonly Value[]): Value {
  return b.mul(args[0]!, args[1]!);
}

const SPATIAL = ["z", "y", "x"];

const lowerConv: Lowering = (op, ctx) => {
  const x = ctx.view(op.operand(0));
  const w = ctx.view(op.operand(1));
  const bias = op.operands.length > 2 ? ctx.view(op.operand(2)) : undefined;
  const type = resultType(op);
  const rank = type.shape.length - 2;
  const names = SPATIAL.slice(3 - rank);
  const [strides, dilations, pads, group] = [
    intsAttr(op, "strides"),
    intsAttr(op, "dilations"),
    intsAttr(op, "pads"),
    numAttr(op, "group", 1),
  ];
  const [outGroup, inGroup] = [w.shape[0]! / group, w.shape[1]!];
  const iterators = [
    parallel("n", type.shape[0]!),
    parallel("g", group),
    parallel("co", outGroup),
    ...names.map((s, d) => parallel(s, type.shape[2 + d]!)),
    reduction("ci", inGroup),
    ...names.map((s, d) => reduction(`k${s}`, w.shape[2 + d]!)),
  ];
  const spatial = names.map(
    (s, d): Index => ({ terms: { [s]: strides[d]!, [`k${s}`]: dilations[d]! }, offset: -pads[d]! }),
  );
  const channel: Index = { terms: { g: outGroup, co: 1 } };
  const terms = w.shape.slice(1).reduce((n, d) => n * d, 1);
  const weights = w.value.def?.name === "flow.constant" ? denseAttr(w.value.def, "value").data : undefined;
  const accType = accumulatorType(
    x,
    w,
    terms,
    weights && { weights, count: w.shape[0]!, rowOf: (i) => Math.floor(i / terms) },
  );
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators,
      operands: [
        {
          of: x,
          index: [along("n"), { terms: { g: inGroup, ci: 1 } }, ...spatial],
          pad: numAttr(op, "pad_value", 0) * 2 ** x.elem.frac,
        },
        { of: w, index: [channel, along("ci"), ...names.map((s) => along(`k${s}`))] },
        ...(bias === undefined ? [] : [{ of: bias, index: [channel], phase: "epilogue" as const }]),
      ],
      combiner: "add",
      accType,
      result: type,
      out: [along("n"), channel, ...names.map((s) => along(s))],
      body: product,
      epilogue: (b, acc, [c]) => (c === undefined ? acc : b.add(acc, c)),
    }),
  );
};

const lowerMatmul: Lowering = (op, ctx) => {
  const type = resultType(op);
  let [a, b] = [ctx.view(op.operand(0)), ctx.view(op.operand(1))];
  // Rank 1 operands are a row or a column; the missing dimension of the result is not indexed.
  const [rowVector, columnVector] = [a.shape.length === 1, b.shape.length === 1];
  if (rowVector) a = { ...a, shape: [1, ...a.shape], strides: [0, ...a.strides] };
  if (columnVector) b = { ...b, shape: [...b.shape, 1], strides: [...b.strides, 0] };
  const [m, k] = a.shape.slice(-2) as [number, number];
  const n = b.shape[b.shape.length - 1]!;
  const batchRank = Math.max(a.shape.length, b.shape.length) - 2;
  const batch = type.shape.slice(0, batchRank);
  const batchIndex = batch.map((_, d) => along(`b${d}`));
  const extend = (v: Viewed): Viewed => broadcasted(v, [...batch, ...v.shape.slice(-2)]);
  const constant =
    b.value.def?.name === "flow.constant" &&
    b.shape.length === 2 &&
    b.shape.every((d, i) => d === (b.value.type as TensorType).shape[i]);
  const weights = constant ? denseAttr(b.value.def!, "value").data : undefined;
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators: [...batch.map((e, d) => parallel(`b${d}`, e)), parallel("m", m), parallel("n", n), reduction("k", k)],
      operands: [
        { of: extend(a), index: [...batchIndex, along("m"), along("k")] },
        { of: extend(b), index: [...batchIndex, along("k"), along("n")] },
      ],
      combiner: "add",
      accType: accumulatorType(a, b, k, weights && { weights, count: n, rowOf: (i) => i % n }),
      result: type,
      out: [...batchIndex, ...(rowVector ? [] : [along("m")]), ...(columnVector ? [] : [along("n")])],
      body: product,
    }),
  );
};

const lowerReduce: Lowering = (op, ctx) => {
  const x = ctx.view(op.operand(0));
  const kind = strAttr(op, "kind");
  if (kind === "mean") throw new CompilerBug("nn.reduce of kind mean reaches the lowering; quantization splits it");
  const axes = new Set(intsAttr(op, "axes").map((a) => (a < 0 ? a + x.shape.length : a)));
  const iterators = x.shape.map((n, d) => (axes.has(d) ? reduction(`r${d}`, n) : parallel(`d${d}`, n)));
  const keep = boolAttr(op, "keepdims");
  const out = x.shape.flatMap((_, d) => (axes.has(d) ? (keep ? [at0] : []) : [along(`d${d}`)]));
  const terms = [...axes].reduce((n, d) => n * x.shape[d]!, 1);
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators,
      // Lanes beyond the edge read the pad value, which must not decide a maximum.
      operands: [
        {
          of: x,
          index: iterators.map((i) => along(i.name)),
          pad: kind === "sum" ? 0 : kind === "max" ? outerRange(x.elem).lo : rawRange(x.elem).hi,
        },
      ],
      combiner: kind === "sum" ? "add" : (kind as "max" | "min"),
      accType: kind === "sum" ? sumType(rangedOf(x), terms, false) : x.elem,
      result: resultType(op),
      out,
      body: (_, [v]) => v!,
    }),
  );
};

const lowerPool: Lowering = (op, ctx) => {
  const x = ctx.view(op.operand(0));
  const type = resultType(op);
  const kind = strAttr(op, "kind");
  if (kind !== "max" && kind !== "sum")
    throw new CompilerBug(`nn.pool of kind ${kind} reaches the lowering; quantization splits it`);
  const [kernel, strides, pads] = [intsAttr(op, "kernel"), intsAttr(op, "strides"), intsAttr(op, "pads")];
  const dilations = op.attrs["dilations"] === undefined ? kernel.map(() => 1) : intsAttr(op, "dilations");
  const names = SPATIAL.slice(3 - kernel.length);
  const terms = kernel.reduce((n, k) => n * k, 1);
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators: [
        parallel("n", type.shape[0]!),
        parallel("c", type.shape[1]!),
        ...names.map((s, d) => parallel(s, type.shape[2 + d]!)),
        ...names.map((s, d) => reduction(`k${s}`, kernel[d]!)),
      ],
      operands: [
        {
          of: x,
          index: [
            along("n"),
            along("c"),
            ...names.map(
              (s, d): Index => ({ terms: { [s]: strides[d]!, [`k${s}`]: dilations[d]! }, offset: -pads[d]! }),
            ),
          ],
          pad: kind === "max" ? outerRange(x.elem).lo : 0,
        },
      ],
      combiner: kind === "max" ? "max" : "add",
      accType: kind === "max" ? x.elem : sumType(rangedOf(x), terms, false),
      result: type,
      out: [along("n"), along("c"), ...names.map((s) => along(s))],
      body: (_, [v]) => v!,
    }),
  );
};

/** Copies a view: what a reshape needs where no strides express it. */
function materialize(v: Viewed, op: Op, ctx: LoweringContext): Viewed {
  return copyOf(v, label(op), op.loc, ctx);
}

const lowerReshape: Lowering = (op, ctx) => {
  const v = ctx.view(op.operand(0));
  const shape = resultType(op).shape;
  ctx.setView(op.result, reshaped(v, shape) ?? reshaped(materialize(v, op, ctx), shape)!);
};

/** Concatenation: every operand is read out of range, hence as 0, except where its part of the result is. */
function concatViews(op: Op, parts: readonly Viewed[], axis: number, ctx: LoweringContext): Viewed {
  const type = resultType(op);
  const elem = fixedElem(type.elem);
  const { iterators, index } = gridOf(type.shape);
  let start = 0;
  const operands = parts.map((v): Access => {
    const shifted = index.map((x, d): Index => (d === axis ? { terms: x.terms, offset: -start } : x));
    start += v.shape[axis]!;
    return { of: v, index: shifted };
  });
  return ctx.kernel({
    name: label(op),
    loc: op.loc,
    iterators,
    operands,
    combiner: "none",
    result: type,
    out: index,
    // At most one operand is not zero, so the sum stays within the element type although intervals say otherwise.
    body: (b, args) => args.map((a) => b.cast(a, elem)).reduce((s, a) => b.merge(s, a, elem)),
  });
}

const lowerConcat: Lowering = (op, ctx) => {
  const axis = intAttr(op, "axis");
  const rank = resultType(op).shape.length;
  ctx.setView(
    op.result,
    concatViews(
      op,
      op.operands.map((v) => ctx.view(v)),
      axis < 0 ? axis + rank : axis,
      ctx,
    ),
  );
};

/**
 * A gather reads equidistant indices, and equidistant repetitions of such, as one view; it is the concatenation of
 * these.
 */
const lowerGather: Lowering = (op, ctx) => {
  const v = ctx.view(op.operand(0));
  const rank = v.shape.length;
  const axis = ((intAttr(op, "axis") % rank) + rank) % rank;
  const indices = intsAttr(op, "indices").map((i) => (i < 0 ? i + v.shape[axis]! : i));
  const shape = resultType(op).shape;
  const pick = (g: IndexGrid): Viewed => {
    const grid = gridView(v, axis, g);
    const flat = v.shape.map((n, d) => (d === axis ? gridSize(g) : n));
    return reshaped(grid, flat) ?? reshaped(materialize(grid, op, ctx), flat)!;
  };
  const [runs, grids] = [indexRuns(indices), indexGrids(indices)];
  // A grid that no strides flatten is copied first, which is worth it where it stands for many runs.
  const parts = grids.length === 1 || 2 * grids.length <= runs.length ? grids : runs;
  const whole = parts.length === 1 ? pick(parts[0]!) : concatViews(op, parts.map(pick), axis, ctx);
  ctx.setView(op.result, reshaped(whole, shape) ?? reshaped(materialize(whole, op, ctx), shape)!);
};

const lowerPad: Lowering = (op, ctx) => {
  const v = ctx.view(op.operand(0));
  const type = resultType(op);
  const pads = intsAttr(op, "pads");
  const { iterators, index } = gridOf(type.shape);
  const value = numAttr(op, "value", 0);
  const raw = value * 2 ** v.elem.frac;
  const range = wideRange(v.elem);
  if (!Number.isInteger(raw) || raw < range.lo || raw > range.hi)
    throw new CompilerBug(`pad value ${value} is not a value of the operand's type`);
  ctx.setView(
    op.result,
    ctx.kernel({
      name: label(op),
      loc: op.loc,
      iterators,
      operands: [{ of: v, index: index.map((x, d): Index => ({ terms: x.terms, offset: -pads[d]! })), pad: raw }],
      combiner: "none",
      result: type,
      out: index,
      body: (_, [x]) => x!,
    }),
  );
};

const lowerLeakyRelu: Lowering = (op, ctx) => {
  const [raw, frac] = [intAttr(op, "slope_raw"), intAttr(op, "slope_frac")];
  const type = typeOfRange({ lo: raw, hi: raw }, frac);
  elementwise(op, ctx, (b, [x]) => b.selectNegative(x!, b.mul(x!, b.constant(raw, type)), x!));
};

const lowerClip: Lowering = (op, ctx) => {
  const [lo, hi] = [numAttr(op, "lo", -Infinity), numAttr(op, "hi", Infinity)];
  elementwise(op, ctx, (b, [x]) => {
    const t = x!.type as FixedType;
    const bound = (v: number): Value => {
      let [raw, frac] = [v * 2 ** t.frac, t.frac];
      if (!Number.isInteger(raw)) throw new CompilerBug(`clip bound ${v} is not a value of the operand's grid`);
      // The last bits of a larger integer that is a double are zeros.
      while (!Number.isSafeInteger(raw)) [raw, frac] = [raw / 2, frac - 1];
      return b.constant(raw, typeOfRange({ lo: raw, hi: raw }, frac));
    };
    const range = wideRange(t);
    let y = x!;
    if (lo * 2 ** t.frac > range.lo) y = b.max(y, bound(lo));
    if (hi * 2 ** t.frac < range.hi) y = b.min(y, bound(hi));
    return y;
  });
};

const lowerUnary: Lowering = (op, ctx) => {
  const from = ctx.view(op.operand(0)).elem;
  const table = unaryTable(strAttr(op, "fn"), from, fixedElem(resultType(op).elem));
  elementwise(op, ctx, (b, [x]) => b.table(x!, table));
};

/** Rounds half to even and limits to the range, which need not be a whole format's. */
const lowerRound: Lowering = (op, ctx) => {
  const to = fixedElem(resultType(op).elem);
  const [lo, hi, zero] = [intAttr(op, "lo"), intAttr(op, "hi"), numAttr(op, "zero", 0)];
  const range = rawRange(to);
  const moved = (b: BodyBuilder, x: Value): Value =>
    zero === 0 ? x : b.add(x, b.constant(zero, typeOfRange({ lo: zero, hi: zero }, 0)));
  elementwise(op, ctx, (b, [x]) => {
    // An odd number in front of the rounding would turn ties around.
    const first =
      zero % 2 === 0
        ? moved(b, x!)
        : moved(b, b.requantize(x!, typeOfRange({ lo: lo - zero, hi: hi - zero }, 0), "half-even", "saturate"));
    let y = b.requantize(first, to, "half-even", "saturate");
    if (lo > range.lo) y = b.max(y, b.constant(lo, typeOfRange({ lo, hi: lo }, 0)));
    if (hi < range.hi) y = b.min(y, b.constant(hi, typeOfRange({ lo: hi, hi }, 0)));
    return y;
  });
};

const lowerLookup: Lowering = (op, ctx) => {
  const from = ctx.view(op.operand(0)).elem;
  const to = fixedElem(resultType(op).elem);
  if (from.frac !== 0) throw new CompilerBug(`nn.lookup of ${showType(from)}, which is no integer`);
  const [first, { data }] = [intAttr(op, "first"), denseAttr(op, "values")];
  const { lo, hi } = rawRange(from);
  const entries = allocate(to, hi - lo + 1);
  for (let raw = lo; raw <= hi; raw++) entries[raw - lo] = data[Math.min(data.length - 1, Math.max(0, raw - first))]!;
  elementwise(op, ctx, (b, [x]) => b.table(x!, new Dense([entries.length], to, entries)));
};

export const lowerings = new Map<string, Lowering>([
  ["nn.constant", (op, ctx) => ctx.setView(op.result, ctx.constant(denseAttr(op, "value"), op.result.hint))],
  ["nn.conv", lowerConv],
  ["nn.matmul", lowerMatmul],
  ["nn.add", (op, ctx) => elementwise(op, ctx, (b, [x, y]) => b.add(x!, y!))],
  ["nn.sub", (op, ctx) => elementwise(op, ctx, (b, [x, y]) => b.sub(x!, y!))],
  ["nn.mul", (op, ctx) => elementwise(op, ctx, (b, [x, y]) => b.mul(x!, y!))],
  ["nn.max", (op, ctx) => elementwise(op, ctx, (b, [x, y]) => b.max(x!, y!))],
  ["nn.min", (op, ctx) => elementwise(op, ctx, (b, [x, y]) => b.min(x!, y!))],
  [
    "nn.relu",
    (op, ctx) =>
      elementwise(op, ctx, (b, [x]) => b.max(x!, b.constant(0, fixed(1, (x!.type as FixedType).frac, false)))),
  ],
  [
    "nn.neg",
    (op, ctx) =>
      elementwise(op, ctx, (b, [x]) => b.sub(b.constant(0, fixed(1, (x!.type as FixedType).frac, false)), x!)),
  ],
  [
    "nn.abs",
    (op, ctx) =>
      elementwise(op, ctx, (b, [x]) =>
        b.max(x!, b.sub(b.constant(0, fixed(1, (x!.type as FixedType).frac, false)), x!)),
      ),
  ],
  ["nn.leaky_relu", lowerLeakyRelu],
  ["nn.clip", lowerClip],
  ["nn.unary", lowerUnary],
  ["nn.round", lowerRound],
  ["nn.whole", lowerWhole],
  ["nn.fraction", lowerFraction],
  ["nn.select_neg", (op, ctx) => elementwise(op, ctx, (b, [x, p, q]) => b.selectNegative(x!, p!, q!))],
  ["nn.lookup", lowerLookup],
  ["nn.take", lowerTake],
  ["nn.reduce", lowerReduce],
  ["nn.pool", lowerPool],
  [
    "nn.quantize",
    (op, ctx) =>
      elementwise(op, ctx, (b, [x]) =>
        b.requantize(x!, fixedElem(resultType(op).elem), strAttr(op, "rounding"), strAttr(op, "overflow")),
      ),
  ],
  ["nn.reshape", lowerReshape],
  ["nn.transpose", (op, ctx) => ctx.setView(op.result, transposed(ctx.view(op.operand(0)), intsAttr(op, "perm")))],
  [
    "nn.slice",
    (op, ctx) =>
      ctx.setView(
        op.result,
        sliced(ctx.view(op.operand(0)), intsAttr(op, "starts"), intsAttr(op, "steps"), resultType(op).shape),
      ),
  ],
  ["nn.broadcast", (op, ctx) => ctx.setView(op.result, broadcasted(ctx.view(op.operand(0)), resultType(op).shape))],
  ["nn.concat", lowerConcat],
  ["nn.gather", lowerGather],
  ["nn.pad", lowerPad],
  ["nn.sparsify", lowerSparsify],
  ["nn.trees", (op, ctx) => lowerTrees(op, ctx, label(op))],
]);
