/** Operators that move or choose elements, or give them another shape. */
import type { Value } from "../../ir/core.js";
import { rowMajorStrides } from "../../ir/types.js";
import { broadcastShapes, known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import type { ConstTensor } from "../tensor-data.js";
import { gatherComputed } from "./rearrange.js";

const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Row-major read of `c` through strides. */
function strided(c: ConstTensor, offset: number, strides: readonly number[], shape: readonly number[]): Imported {
  const out = new Float64Array(count(shape));
  const p = shape.map(() => 0);
  for (let i = 0; i < out.length; i++) {
    out[i] = c.data[offset + p.reduce((o, v, d) => o + v * strides[d]!, 0)]!;
    for (let d = p.length - 1; d >= 0 && ++p[d]! === shape[d]; d--) p[d] = 0;
  }
  return known(shape, out, c.integer);
}

/** The same elements under another shape. */
function reshapeTo(ctx: NodeContext, shape: readonly number[]): Value | Imported {
  const c = ctx.constant(0);
  if (count(shape) !== count(ctx.shape(0)))
    throw ctx.error(
      `[${ctx.shape(0).join(", ")}] has ${count(ctx.shape(0))} elements, [${shape.join(", ")}] has ${count(shape)}`,
    );
  if (c !== undefined) return known(shape, c.data, c.integer);
  const x = ctx.value(0);
  return shapeOf(x).join() === shape.join() ? x : ctx.emit("nn.reshape", [x], shape, { shape: [...shape] });
}

const reshape: OperatorImporter = {
  opType: "Reshape",
  since: 5,
  import: (ctx) => {
    const from = ctx.shape(0);
    const target = [...ctx.needConstant(1, "the target shape").data];
    if (target.filter((d) => d === -1).length > 1)
      throw ctx.error(`the target shape [${target.join(", ")}] holds -1 twice`);
    if (target.some((d) => d < -1 || !Number.isSafeInteger(d)))
      throw ctx.error(`the target shape is [${target.join(", ")}]`);
    const allowZero = ctx.int("allowzero", 0) !== 0;
    const rebatched = ctx.rebatchedShape();
    if (rebatched !== undefined) return reshapeTo(ctx, rebatched);
    const shape = target.map((d, i) => (d === 0 && !allowZero ? (from[i] ?? 0) : d));
    const rest = shape.filter((d) => d !== -1).reduce((n, d) => n * d, 1);
    const total = count(from);
    if (shape.includes(-1) && (rest === 0 || total % rest !== 0))
      throw ctx.error(`${total} elements do not fill [${target.join(", ")}]`);
    return reshapeTo(
      ctx,
      shape.map((d) => (d === -1 ? total / rest : d)),
    );
  },
};

const flatten: OperatorImporter = {
  opType: "Flatten",
  import: (ctx) => {
    const from = ctx.shape(0);
    const raw = ctx.int("axis", 1);
    const axis = raw < 0 ? raw + from.length : raw;
    if (axis < 0 || axis > from.length) throw ctx.error(`axis ${raw} is outside a tensor of rank ${from.length}`);
    return reshapeTo(ctx, [count(from.slice(0, axis)), count(from.slice(axis))]);
  },
};

const squeeze: OperatorImporter = {
  opType: "Squeeze",
  import: (ctx) => {
    const from = ctx.shape(0);
    const axes =
      ctx.intsOrInput("axes", 1, "axes")?.map((a) => ctx.axis(a, from.length)) ??
      from.flatMap((n, d) => (n === 1 ? [d] : []));
    const wide = axes.find((a) => from[a] !== 1);
    if (wide !== undefined) throw ctx.error(`axis ${wide} has ${from[wide]} elements and cannot be squeezed`);
    return reshapeTo(
      ctx,
      from.filter((_, d) => !axes.includes(d)),
    );
  },
};

const unsqueeze: OperatorImporter = {
  opType: "Unsqueeze",
  import: (ctx) => {
    const from = [...ctx.shape(0)];
    const list = ctx.intsOrInput("axes", 1, "axes");
    if (list === undefined) throw ctx.error("axes are missing");
    const rank = from.length + list.length;
    const axes = list.map((a) => ctx.axis(a, rank)).sort((a, b) => a - b);
    for (const a of axes) from.splice(a, 0, 1);
    return reshapeTo(ctx, from);
  },
};

const transpose: OperatorImporter = {
  opType: "Transpose",
  import: (ctx) => {
    const from = ctx.shape(0);
    const perm = ctx.ints("perm") ?? from.map((_, d) => from.length - 1 - d);
    if ([...perm].sort((a, b) => a - b).join() !== from.map((_, d) => d).join())
      throw ctx.error(`perm [${perm.join(", ")}] is no permutation of ${from.length} axes`);
    const shape = perm.map((p) => from[p]!);
    const c = ctx.constant(0);
    const strides = rowMajorStrides(from);
    return c === undefined
      ? ctx.emit("nn.transpose", [ctx.value(0)], shape, { perm })
      : strided(
          c,
          0,
          perm.map((p) => strides[p]!),
          shape,
        );
  },
};

const concat: OperatorImporter = {
  opType: "Concat",
  import: (ctx) => {
    const shapes = Array.from({ length: ctx.inputCount }, (_, i) => ctx.shape(i));
    const axis = ctx.axis(ctx.int("axis", 1), shapes[0]!.length);
    for (const s of shapes)
      if (s.length !== shapes[0]!.length || s.some((n, d) => d !== axis && n !== shapes[0]![d]))
        throw ctx.error(`shapes [${shapes[0]!.join(", ")}] and [${s.join(", ")}] cannot be joined along axis ${axis}`);
    const shape = shapes[0]!.map((n, d) => (d === axis ? shapes.reduce((t, s) => t + s[axis]!, 0) : n));
    const used = shapes.flatMap((s, i) => (s[axis] === 0 ? [] : [i]));
    if (ctx.allConstant) {
      const [outer, inner] = [count(shape.slice(0, axis)), count(shape.slice(axis + 1))];
      ctx.checkSize(shape);
      const data = new Float64Array(count(shape));
      let at = 0;
      for (let o = 0; o < outer; o++) {
        for (const i of used) {
          const n = shapes[i]![axis]! * inner;
          data.set(ctx.constant(i)!.data.subarray(o * n, (o + 1) * n), at);
          at += n;
        }
      }
      return known(shape, data, ctx.constant(0)!.integer);
    }
    return used.length === 1
      ? ctx.input(used[0]!)
      : ctx.emit(
          "nn.concat",
          used.map((i) => ctx.value(i)),
          shape,
          { axis },
        );
  },
};

/** Elements start, start + step, ... of each axis. */
function sliceTo(
  ctx: NodeContext,
  starts: readonly number[],
  steps: readonly number[],
  shape: readonly number[],
): Value | Imported {
  const c = ctx.constant(0);
  const strides = rowMajorStrides(ctx.shape(0));
  if (c !== undefined)
    return strided(
      c,
      starts.reduce((o, s, d) => o + s * strides[d]!, 0),
      strides.map((s, d) => s * steps[d]!),
      shape,
    );
  // Exporters slice to nothing and join the rest: an empty part is known.
  if (count(shape) === 0) return known(shape, [], false);
  return ctx.emit("nn.slice", [ctx.value(0)], shape, { starts: [...starts], steps: [...steps], shape: [...shape] });
}

const slice: OperatorImporter = {
  opType: "Slice",
  import: (ctx) => {
    const from = ctx.shape(0);
    const given = (name: string, i: number): number[] | undefined =>
      ctx.opset < 10 ? ctx.ints(name) : ctx.has(i) ? [...ctx.needConstant(i, name).data] : undefined;
    const [begins, ends] = [given("starts", 1), given("ends", 2)];
    if (begins === undefined || ends === undefined || begins.length !== ends.length)
      throw ctx.error("starts and ends are missing or differ in length");
    const axes = (given("axes", 3) ?? begins.map((_, i) => i)).map((a) => ctx.axis(a, from.length));
    const stepList = (ctx.opset < 10 ? undefined : given("steps", 4)) ?? begins.map(() => 1);
    const starts = from.map(() => 0);
    const steps = from.map(() => 1);
    const shape = [...from];
    axes.forEach((a, i) => {
      const n = from[a]!;
      const step = stepList[i]!;
      if (step === 0) throw ctx.error("a step is 0");
      const clamp = (v: number, lo: number, hi: number): number => Math.min(Math.max(v < 0 ? v + n : v, lo), hi);
      const begin = step > 0 ? clamp(begins[i]!, 0, n) : clamp(begins[i]!, 0, n - 1);
      const end = step > 0 ? clamp(ends[i]!, 0, n) : clamp(ends[i]!, -1, n - 1);
      starts[a] = begin;
      steps[a] = step;
      shape[a] = Math.max(0, Math.ceil((end - begin) / step));
    });
    return sliceTo(ctx, starts, steps, shape);
  },
};

const split: OperatorImporter = {
  opType: "Split",
  import: (ctx) => {
    const from = ctx.shape(0);
    const axis = ctx.axis(ctx.int("axis", 0), from.length);
    const parts = ctx.node.output.length;
    if (ctx.int("num_outputs", parts) !== parts)
      throw ctx.error(`num_outputs is ${ctx.int("num_outputs", parts)}, but it has ${parts} outputs`);
    if (ctx.opset < 18 && from[axis]! % parts !== 0 && !ctx.has(1) && ctx.ints("split") === undefined)
      throw ctx.error(`${from[axis]} elements of axis ${axis} do not split into ${parts} equal parts`);
    const sizes =
      ctx.intsOrInput("split", 1, "sizes") ??
      Array.from({ length: parts }, (_, i) =>
        Math.min(Math.ceil(from[axis]! / parts), from[axis]! - i * Math.ceil(from[axis]! / parts)),
      );
    if (sizes.reduce((n, s) => n + s, 0) !== from[axis])
      throw ctx.error(`parts of ${sizes.join(" + ")} do not make up the ${from[axis]} elements of axis ${axis}`);
    let start = 0;
    return sizes.map((size) => {
      const part = sliceTo(
        ctx,
        from.map((_, d) => (d === axis ? start : 0)),
        from.map(() => 1),
        from.map((n, d) => (d === axis ? size : n)),
      );
      start += size;
      return part;
    });
  },
};

const gather: OperatorImporter = {
  opType: "Gather",
  limits: "computed indices of a computed tensor: up to 1,024 elements along the axis",
  import: (ctx) => {
    const from = ctx.shape(0);
    const axis = ctx.axis(ctx.int("axis", 0), from.length);
    if (ctx.constant(1) === undefined) return gatherComputed(ctx, axis);
    const index = ctx.needConstant(1, "the index");
    const at = [...index.data].map((i) => (i < 0 ? i + from[axis]! : i));
    const out = at.find((i) => i < 0 || i >= from[axis]!);
    if (out !== undefined) throw ctx.error(`index ${out} is outside an axis of ${from[axis]}`);
    const shape = [...from.slice(0, axis), ...index.shape, ...from.slice(axis + 1)];
    const c = ctx.constant(0);
    if (c === undefined) {
      // One index is a slice, which needs no selection.
      const taken = from.map((n, d) => (d === axis ? at.length : n));
      const y =
        at.length === 1
          ? ctx.emit("nn.slice", [ctx.value(0)], taken, {
              starts: from.map((_, d) => (d === axis ? at[0]! : 0)),
              steps: from.map(() => 1),
              shape: taken,
            })
          : ctx.emit("nn.gather", [ctx.value(0)], taken, { axis, indices: at });
      return index.shape.length === 1 ? y : ctx.emit("nn.reshape", [y], shape, { shape });
    }
    const [outer, inner] = [count(from.slice(0, axis)), count(from.slice(axis + 1))];
    ctx.checkSize(shape);
    const data = new Float64Array(count(shape));
    let end = 0;
    for (let o = 0; o < outer; o++) {
      for (const i of at) {
        data.set(c.data.subarray((o * from[axis]! + i) * inner, (o * from[axis]! + i + 1) * inner), end);
        end += inner;
      }
    }
    return known(shape, data, c.integer);
  },
};

const expand: OperatorImporter = {
  opType: "Expand",
  import: (ctx) => {
    const from = ctx.shape(0);
    const to = [...ctx.needConstant(1, "the target shape").data];
    const rank = Math.max(from.length, to.length);
    const shape = broadcastShapes(from, to);
    if (shape === undefined) throw ctx.error(`[${from.join(", ")}] does not broadcast to [${to.join(", ")}]`);
    ctx.checkSize(shape);
    const c = ctx.constant(0);
    if (c === undefined)
      return shape.join() === from.join() ? ctx.input(0) : ctx.emit("nn.broadcast", [ctx.value(0)], shape, { shape });
    const strides = rowMajorStrides(from);
    return strided(
      c,
      0,
      shape.map((_, d) => ((from[from.length - rank + d] ?? 1) === 1 ? 0 : strides[from.length - rank + d]!)),
      shape,
    );
  },
};

export const shapeOperators: readonly OperatorImporter[] = [
  reshape,
  flatten,
  squeeze,
  unsqueeze,
  transpose,
  concat,
  slice,
  split,
  gather,
  expand,
];
