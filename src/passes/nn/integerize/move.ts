/** Reductions of integers, and operations that only move them. */
import type { Attr } from "../../../ir/attributes.js";
import type { Op, Value } from "../../../ir/core.js";
import type { nnOps } from "../../../ir/nn/index.js";
import * as nn from "../../../ir/nn/ops.js";
import { elementCount } from "../../../ir/types.js";
import { SOFTMAX_BITS, SOFTMAX_VALUES, softmaxOfIntegers } from "../integer-softmax.js";
import { gatesOf } from "../softmax-gates.js";
import { readMask } from "../softmax-mask.js";
import { countsInside } from "../lower-average.js";
import { biased, type Squares } from "./elementwise.js";
import {
  fieldOf,
  isAll,
  map,
  only,
  permute,
  pick,
  reshape,
  scalar,
  times,
  variesAlong,
  ZERO,
  zip,
  type Field,
} from "./field.js";
import type { Refuse, ScaledOf } from "./linear.js";
import { countsOf, isCount, sumRange, fieldRange, type IntegerBuilder, type Range, type Scaled } from "./scaled.js";
import { shapeOf } from "../../../ir/nn/values.js";

/**
 * Softmax of codes is exp by tables and a quotient of integers; a zero point cancels. A mask in front is read as what
 * it says.
 */
export function softmax(b: IntegerBuilder, op: Op, scaledOf: ScaledOf, refuse: Refuse): Scaled | undefined {
  const shape = shapeOf(op.result);
  const { axis } = nn.softmax.read(op);
  const hint = op.result.hint ?? "softmax";
  const direct = scaledOf(op.operand(0));
  const mask = direct === undefined ? readMask(op.operand(0), axis, b.at) : undefined;
  const x = mask?.scores === undefined ? direct : scaledOf(mask.scores);
  // Rows that are closed for good are the affair of decompose-softmax, which says so.
  if (x === undefined || (mask?.deadRows ?? 0) > 0 || shapeOf(x.u).join() !== shape.join()) return undefined;
  const s = b.positive(x);
  const scale = s && only(s.scale);
  if (
    s?.range === undefined ||
    scale === undefined ||
    only(s.offset) === undefined ||
    s.range.hi - s.range.lo + 1 > SOFTMAX_VALUES
  )
    return refuse(`its argument is not one of up to ${SOFTMAX_VALUES} values: quantize it`);
  const gates = mask && gatesOf(mask, axis, shape, b.at, (suffix) => `${hint}_${suffix}`);
  const closed = (open: Value): Value => b.at.value("nn.neg", [open], open.type, {}, `${hint}_closed`);
  const u = softmaxOfIntegers(
    b.forFunctions(),
    s.u,
    scale,
    s.range,
    axis,
    hint,
    gates && { competes: closed(gates.competes), counts: closed(gates.counts) },
  );
  return u === undefined
    ? refuse("its rows are too long")
    : { u, scale: scalar(2 ** -SOFTMAX_BITS), offset: ZERO, range: { lo: 0, hi: 2 ** SOFTMAX_BITS } };
}

/** Maxima and sums of integers; averages are sums whose scale has the count in it. */
export function fold(
  b: IntegerBuilder,
  op: Op,
  scaledOf: ScaledOf,
  squares: Squares,
  refuse: Refuse,
): Scaled | undefined {
  const x = scaledOf(op.operand(0));
  if (x === undefined) return undefined;
  const [from, to] = [shapeOf(x.u), shapeOf(op.result)];
  const window = op.name === nn.pool.name ? nn.pool.read(op) : undefined;
  const { kind } = window ?? nn.reduce.read(op);
  const folded = window === undefined ? nn.reduce.read(op).axes : from.flatMap((_, d) => (d >= 2 ? [d] : []));
  const across = (f: Field): Field | undefined =>
    folded.some((d) => variesAlong(f, d, from.length))
      ? undefined
      : window !== undefined
        ? f
        : reshapeKept(f, from, to, folded);
  const scale = across(x.scale);
  if (scale === undefined) return refuse("its input has scales that differ within what it folds");
  if (kind === "max" || kind === "min") {
    const s = b.positive(x);
    if (s === undefined) return refuse("its input has scales of both signs");
    const offset = across(s.offset);
    if (offset === undefined) {
      const c = b.centred(s);
      return c === undefined
        ? refuse("its input has offsets that differ within what it folds")
        : { ...c, scale, u: b.exact(op.name, [c.u], to, op.attrs, op.result.hint) };
    }
    return { ...s, scale: across(s.scale)!, offset, u: b.exact(op.name, [s.u], to, op.attrs, op.result.hint) };
  }
  const padded = window?.pads.some((p) => p !== 0) === true;
  // Padding counts as 0.
  const s = padded || across(x.offset) === undefined ? (b.centred(x) ?? biased(b, x)) : x;
  if (s === undefined) return refuse("its input has an offset that is no multiple of its scale");
  const terms = window === undefined ? elementCount(from) / elementCount(to) : elementCount(window.kernel);
  let count: Field = scalar(1);
  if (kind === "mean") count = scalar(terms);
  else if (kind === "average")
    count =
      padded && !window.count_include_pad ? fieldOf(to.slice(2), Float64Array.from(countsInside(op))) : scalar(terms);
  else if (kind !== "sum") return refuse(`its kind is ${kind}`);
  const { count_include_pad: _, ...rest } = op.attrs;
  const u = b.exact(op.name, [s.u], to, { ...rest, kind: "sum" }, op.result.hint);
  const squared = squares.get(s.u);
  if (squared !== undefined) squares.set(u, squared);
  const range: Range | undefined = s.range && {
    lo: terms * Math.min(s.range.lo, padded ? 0 : s.range.lo),
    hi: terms * Math.max(s.range.hi, padded ? 0 : s.range.hi),
  };
  const share = (f: Field): Field => zip(f, count, (v, n) => v / n);
  return {
    u,
    scale: share(scale),
    offset: isAll(s.offset, 0) ? ZERO : share(map(across(s.offset)!, (o) => o * terms)),
    range,
  };
}

function reshapeKept(
  f: Field,
  from: readonly number[],
  to: readonly number[],
  folded: readonly number[],
): Field | undefined {
  if (from.length === to.length) return f;
  return reshape(
    f,
    from.map((d, i) => (folded.includes(i) ? 1 : d)),
    to,
  );
}

/** Integers in another order; scales and zero points move along. */
export function view(b: IntegerBuilder, op: Op, scaledOf: ScaledOf, refuse: Refuse): Scaled | undefined {
  const s = scaledOf(op.operand(0));
  if (s === undefined) return undefined;
  const [scale, offset] = [movedField(op, s.scale), movedField(op, s.offset)];
  if (scale === undefined || offset === undefined) {
    const c = offset === undefined && scale !== undefined ? b.centred(s) : undefined;
    return c === undefined || op.name === nn.pad.name
      ? refuse("it mixes scales that differ between channels")
      : { ...c, scale: scale!, u: b.exact(op.name, [c.u], shapeOf(op.result), op.attrs, op.result.hint) };
  }
  const attrs: Record<string, Attr> = { ...op.attrs };
  let range = s.range;
  if (op.name === nn.pad.name) {
    const fill = (nn.pad.read(op).value - only(s.offset)!) / only(s.scale)!;
    if (!isCount(fill)) return refuse("it pads with a number that is none of its input's integers");
    attrs["value"] = Math.round(fill) + 0;
    range = range && { lo: Math.min(range.lo, Math.round(fill)), hi: Math.max(range.hi, Math.round(fill)) };
  }
  return { u: b.emit(op.name, [s.u], shapeOf(op.result), attrs, op.result.hint), scale, offset, range };
}

type ViewOpName = Extract<(typeof nnOps)[number], { readonly role: "view" }>["name"];

/** Scales and offsets that differ along an axis, moved as the elements are; undefined where they get mixed. */
const fieldMoves: Readonly<Record<ViewOpName, (op: Op, f: Field) => Field | undefined>> = {
  "nn.reshape": (op, f) => reshape(f, shapeOf(op.operand(0)), shapeOf(op.result)),
  "nn.transpose": (op, f) => permute(f, shapeOf(op.operand(0)).length, nn.transpose.read(op).perm),
  "nn.slice": (op, f) => {
    const { starts, steps, shape } = nn.slice.read(op);
    const along = (d: number, n: number): number[] => Array.from({ length: n }, (_, i) => starts[d]! + i * steps[d]!);
    return shape.reduce((g, n, d) => pick(g, shape.length, d, along(d, n)), f);
  },
  "nn.gather": (op, f) => {
    const { axis, indices } = nn.gather.read(op);
    return pick(f, shapeOf(op.operand(0)).length, axis, indices);
  },
  "nn.broadcast": (_, f) => f,
  "nn.pad": () => undefined,
};

function movedField(op: Op, f: Field): Field | undefined {
  if (only(f) !== undefined) return f;
  return Object.hasOwn(fieldMoves, op.name) ? fieldMoves[op.name as ViewOpName](op, f) : undefined;
}

/** Parts with the same scale; zero points are brought to the first part's. */
export function concat(b: IntegerBuilder, op: Op, scaledOf: ScaledOf): Scaled | undefined {
  const parts = op.operands.map(scaledOf);
  const first = parts[0];
  const [f, o] = [first && only(first.scale), first && only(first.offset)];
  if (first === undefined || f === undefined || o === undefined) return undefined;
  const apart: Field[] = [];
  for (const p of parts) {
    if (p === undefined || only(p.scale) !== f) return undefined;
    const counts = countsOf(
      times(
        map(p.offset, (v) => v - o),
        scalar(1 / f),
      ),
    );
    if (counts === undefined) return undefined;
    apart.push(counts);
  }
  const ranges = parts.map((p, i) => p!.range && sumRange(p!.range, fieldRange(apart[i]!)));
  const range = ranges.every((r) => r !== undefined)
    ? { lo: Math.min(...ranges.map((r) => r!.lo)), hi: Math.max(...ranges.map((r) => r!.hi)) }
    : undefined;
  return {
    ...first,
    range,
    u: b.exact(
      op.name,
      parts.map((p, i) => b.add(p!.u, apart[i]!)),
      shapeOf(op.result),
      op.attrs,
      op.result.hint,
    ),
  };
}
