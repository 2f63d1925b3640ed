/** nn operations that move elements: views, borders, joins. */
import type { Op } from "../core.js";
import { attrReader, type AttrReader, type AttrSpecs, type Kernel, type Meaning, type OpDef } from "../define-op.js";
import { ranged, unionType } from "../fixed-arith.js";
import { elementCount, rowMajorStrides, tensor, wideRange } from "../types.js";
import { broadcastStrides, concat as concatKernel, offsets, permuted } from "./kernels.js";
import { defineNn, everywhere, type NnOp } from "./record.js";
import { broadcastShapes, checkShape, formatOf, listText, rangedOf, typed } from "./typing.js";
import { fixedOf, shapeOf, tensorType } from "./values.js";
import { choice, wideChoice } from "./wide.js";

interface View<A extends AttrSpecs> {
  readonly summary: string;
  readonly source: string;
  readonly attrs: AttrReader<A>;
  readonly shape: (op: Op) => readonly number[];
  readonly check?: NonNullable<OpDef["verify"]>;
  readonly evaluate: Meaning;
  /** False where elements come in that are none of the operand's. */
  readonly moves?: false;
}

function view<const N extends `nn.${string}`, const A extends AttrSpecs>(
  name: N,
  v: View<A>,
): NnOp<N, "view", A, readonly ["x"]> {
  return defineNn({
    name,
    summary: v.summary,
    source: v.source,
    attrs: v.attrs.specs,
    operands: ["x"],
    results: ["y"],
    role: "view",
    traits: v.moves === false ? ["pure"] : ["pure", "moves"],
    inferTypes: (op) => [tensor(v.shape(op), tensorType(op.operand(0)).elem)],
    verify: (op, report) => {
      let failed = false;
      v.check?.(op, (m) => {
        failed = true;
        report(m);
      });
      if (!failed) checkShape(op, v.shape(op), report);
    },
    evaluate: v.evaluate,
  });
}

/** The meaning of a view from where each element of the result comes from. */
function moved(kernel: (op: Op) => Kernel): Meaning {
  return everywhere(kernel, wideChoice(kernel));
}

const shapes = attrReader({ shape: { kind: "list" } });

export const reshape = view("nn.reshape", {
  summary: "The same elements in row-major order under another shape.",
  source: "ONNX Reshape, Flatten, Squeeze, Unsqueeze",
  attrs: shapes,
  shape: (op) => shapes(op).shape,
  check: (op, report) => {
    const { shape } = shapes(op);
    const [n, m] = [elementCount(shapeOf(op.operand(0))), elementCount(shape)];
    if (n !== m) report(`${n} elements do not fill ${listText(shape)}`);
  },
  evaluate: moved(
    () =>
      ([x], out) =>
        out.set(x!),
  ),
});

const axes = attrReader({ perm: { kind: "list" } });

export const transpose = view("nn.transpose", {
  summary: "Axes in another order.",
  source: "ONNX Transpose",
  attrs: axes,
  shape: (op) => axes(op).perm.map((p) => shapeOf(op.operand(0))[p]!),
  check: (op, report) => {
    const { perm } = axes(op);
    const x = shapeOf(op.operand(0));
    if ([...perm].sort((a, b) => a - b).join() !== x.map((_, d) => d).join())
      report(`perm ${listText(perm)} is no permutation of ${x.length} axes`);
  },
  evaluate: moved((op) => {
    const strides = rowMajorStrides(shapeOf(op.operand(0)));
    return permuted(
      offsets(
        shapeOf(op.result),
        axes(op).perm.map((p) => strides[p]!),
      ),
    );
  }),
});

const ranges = attrReader({ starts: { kind: "list" }, steps: { kind: "list" }, shape: { kind: "list" } });

export const slice = view("nn.slice", {
  summary: "Elements start, start + step, ... of every axis.",
  source: "ONNX Slice, Split",
  attrs: ranges,
  shape: (op) => ranges(op).shape,
  check: (op, report) => {
    const x = shapeOf(op.operand(0));
    const { starts, steps, shape } = ranges(op);
    if (starts.length !== x.length || steps.length !== x.length || shape.length !== x.length)
      return report(`starts, steps and shape need ${x.length} entries`);
    x.forEach((n, d) => {
      const last = starts[d]! + (shape[d]! - 1) * steps[d]!;
      if (starts[d]! < 0 || starts[d]! >= n || last < 0 || last >= n)
        report(`axis ${d}: elements ${starts[d]} to ${last} of ${n}`);
    });
  },
  evaluate: moved((op) => {
    const strides = rowMajorStrides(shapeOf(op.operand(0)));
    const { starts, steps } = ranges(op);
    const first = starts.reduce((n, s, d) => n + s * strides[d]!, 0);
    return permuted(
      offsets(
        shapeOf(op.result),
        strides.map((s, d) => s * steps[d]!),
        first,
      ),
    );
  }),
});

const picks = attrReader({ axis: { kind: "int" }, indices: { kind: "list" } });

export const gather = view("nn.gather", {
  summary: "Elements of an axis by a list of constant indices.",
  source: "ONNX Gather",
  attrs: picks,
  shape: (op) => shapeOf(op.operand(0)).map((n, d) => (d === picks(op).axis ? picks(op).indices.length : n)),
  check: (op, report) => {
    const x = shapeOf(op.operand(0));
    const { axis, indices } = picks(op);
    const n = x[axis];
    if (n === undefined) return report(`axis ${axis} of a tensor of rank ${x.length}`);
    const bad = indices.find((i) => i < 0 || i >= n);
    if (bad !== undefined) report(`index ${bad} of an axis of ${n}`);
  },
  evaluate: moved((op) => {
    const x = shapeOf(op.operand(0));
    const strides = rowMajorStrides(x);
    const { axis, indices } = picks(op);
    const outer = offsets(x.slice(0, axis), strides.slice(0, axis));
    const inner = offsets(x.slice(axis + 1), strides.slice(axis + 1));
    const from = new Int32Array(elementCount(shapeOf(op.result)));
    let n = 0;
    for (const o of outer) for (const i of indices) for (const r of inner) from[n++] = o + i * strides[axis]! + r;
    return permuted(from);
  }),
});

export const broadcast = view("nn.broadcast", {
  summary: "Repeats along new axes and axes of length 1.",
  source: "ONNX Expand",
  attrs: shapes,
  shape: (op) => shapes(op).shape,
  check: (op, report) => {
    const { shape } = shapes(op);
    if (broadcastShapes(shapeOf(op.operand(0)), shape)?.join() !== shape.join())
      report(`${listText(shapeOf(op.operand(0)))} does not broadcast to ${listText(shape)}`);
  },
  evaluate: moved((op) => {
    const y = shapeOf(op.result);
    return permuted(offsets(y, broadcastStrides(shapeOf(op.operand(0)), y)));
  }),
});

const border = attrReader({
  pads: { kind: "list", doc: "begins of all axes, then ends" },
  value: { kind: "number", optional: true, default: 0 },
});

function padded(op: Op): Kernel {
  const [x, y] = [shapeOf(op.operand(0)), shapeOf(op.result)];
  const strides = rowMajorStrides(x);
  const { pads, value } = border(op);
  const from = offsets(y, strides, -x.reduce((n, _, d) => n + pads[d]! * strides[d]!, 0));
  const positions = y.map((_, d) =>
    offsets(
      y,
      y.map((__, e) => (d === e ? 1 : 0)),
    ),
  );
  const inside = from.map((at, i) =>
    positions.every((p, d) => p[i]! >= pads[d]! && p[i]! < pads[d]! + x[d]!) ? at : -1,
  );
  return permuted(inside, value);
}

export const pad = view("nn.pad", {
  summary: "Adds elements of one value around the tensor.",
  source: "ONNX Pad",
  attrs: border,
  moves: false,
  shape: (op) => {
    const x = shapeOf(op.operand(0));
    const { pads } = border(op);
    return x.map((n, d) => n + pads[d]! + pads[x.length + d]!);
  },
  check: (op, report) => {
    const { pads, value } = border(op);
    if (pads.length !== 2 * shapeOf(op.operand(0)).length) return report("pads needs two entries per axis");
    const elem = fixedOf(op.operand(0));
    if (elem === undefined) return;
    const raw = value * 2 ** elem.frac;
    const { lo, hi } = wideRange(elem);
    if (!Number.isInteger(raw) || raw < lo || raw > hi) report(`the value ${value} is not in the operand's format`);
  },
  evaluate: everywhere(padded, (op) => {
    const { value } = border(op);
    return choice(padded(op), elementCount(shapeOf(op.result)), value, BigInt(value * 2 ** formatOf(op.result).frac));
  }),
});

const join = attrReader({ axis: { kind: "int" } });

function concatShape(op: Op): number[] {
  const { axis } = join(op);
  return shapeOf(op.operand(0)).map((n, d) =>
    d === axis ? op.operands.reduce((t, v) => t + (shapeOf(v)[d] ?? 0), 0) : n,
  );
}

function joined(op: Op): Kernel {
  return concatKernel(op.operands.map(shapeOf), join(op).axis);
}

export const concat = defineNn({
  name: "nn.concat",
  summary: "Joins tensors along an axis.",
  source: "ONNX Concat",
  operands: ["parts*"],
  results: ["y"],
  role: "join",
  traits: ["pure", "moves"],
  attrs: join.specs,
  inferTypes: (op) =>
    typed(op, concatShape(op), () =>
      op.operands.slice(1).reduce((t, v) => unionType(ranged(t), rangedOf(v)), formatOf(op.operand(0))),
    ),
  verify: (op, report) => {
    const { axis } = join(op);
    const first = shapeOf(op.operand(0));
    if (axis < 0 || axis >= first.length) return report(`axis ${axis} of a tensor of rank ${first.length}`);
    for (const v of op.operands)
      if (shapeOf(v).length !== first.length || shapeOf(v).some((n, d) => d !== axis && n !== first[d]))
        return report(`shapes ${listText(first)} and ${listText(shapeOf(v))} cannot be joined along axis ${axis}`);
    checkShape(op, concatShape(op), report);
  },
  evaluate: everywhere(joined, wideChoice(joined)),
});

export const moveOps = [reshape, transpose, slice, gather, broadcast, pad, concat] as const;
