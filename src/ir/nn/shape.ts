/** nn operations that move or choose elements, and those that make or convert them. */
import type { OpDef } from "../define-op.js";
import { denseAttr, intAttr, intsAttr, numAttr } from "../define-op.js";
import type { Op } from "../core.js";
import { ranged, unionType } from "../fixed-arith.js";
import { elementCount, isWide, NUMBER_WIDTH, rawRange, tensor, wideRange, type ScalarType } from "../types.js";
import { broadcastShapes, checkShape, fixedElem, listText, rangedOf, shapeOf, tensorType, typed } from "./typing.js";

/** Same element type as the operand, another shape. */
function moved(op: Op, shape: readonly number[]): readonly [ReturnType<typeof tensor>] {
  return [tensor(shape, tensorType(op.operand(0)).elem as ScalarType)];
}

function concatShape(op: Op): number[] {
  const axis = intAttr(op, "axis");
  const first = shapeOf(op.operand(0));
  return first.map((n, d) => (d === axis ? op.operands.reduce((t, v) => t + (shapeOf(v)[d] ?? 0), 0) : n));
}

function view(
  name: string,
  summary: string,
  source: string,
  attrs: NonNullable<OpDef["attrs"]>,
  shape: (op: Op) => number[],
  check?: OpDef["verify"],
): OpDef {
  return {
    name,
    summary,
    source,
    attrs,
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    inferTypes: (op) => moved(op, shape(op)),
    verify: (op, report) => {
      let failed = false;
      check?.(op, (m) => {
        failed = true;
        report(m);
      });
      if (!failed) checkShape(op, shape(op), report);
    },
  };
}

export const shapeOps: readonly OpDef[] = [
  {
    name: "nn.constant",
    summary: "Weights and other constants: values in float, raw integers on fixed point.",
    source: "ONNX Constant, initializers",
    operands: [],
    results: ["y"],
    traits: ["pure"],
    attrs: { value: { kind: "dense" } },
    inferTypes: (op) => [tensor(denseAttr(op, "value").shape, denseAttr(op, "value").elem)],
    verify: (op, report) => {
      const d = denseAttr(op, "value");
      if (d.elem.kind !== "fixed") return;
      if (isWide(d.elem)) return report(`constants have at most ${NUMBER_WIDTH} bits`);
      const { lo, hi } = rawRange(d.elem);
      const bad = d.data.findIndex((v) => v < lo || v > hi || !Number.isInteger(v));
      if (bad >= 0) report(`element ${bad} is ${d.data[bad]}, outside [${lo}, ${hi}]`);
    },
  },
  view(
    "nn.reshape",
    "The same elements in row-major order under another shape.",
    "ONNX Reshape, Flatten, Squeeze, Unsqueeze",
    { shape: { kind: "list" } },
    (op) => intsAttr(op, "shape"),
    (op, report) => {
      const [n, m] = [elementCount(shapeOf(op.operand(0))), elementCount(intsAttr(op, "shape"))];
      if (n !== m) report(`${n} elements do not fill ${listText(intsAttr(op, "shape"))}`);
    },
  ),
  view(
    "nn.transpose",
    "Axes in another order.",
    "ONNX Transpose",
    { perm: { kind: "list" } },
    (op) => intsAttr(op, "perm").map((p) => shapeOf(op.operand(0))[p]!),
    (op, report) => {
      const perm = intsAttr(op, "perm");
      if (
        [...perm].sort((a, b) => a - b).join() !==
        shapeOf(op.operand(0))
          .map((_, d) => d)
          .join()
      )
        report(`perm ${listText(perm)} is no permutation of ${shapeOf(op.operand(0)).length} axes`);
    },
  ),
  view(
    "nn.slice",
    "Elements start, start + step, ... of every axis.",
    "ONNX Slice, Split",
    { starts: { kind: "list" }, steps: { kind: "list" }, shape: { kind: "list" } },
    (op) => intsAttr(op, "shape"),
    (op, report) => {
      const x = shapeOf(op.operand(0));
      const [starts, steps, shape] = [intsAttr(op, "starts"), intsAttr(op, "steps"), intsAttr(op, "shape")];
      if (starts.length !== x.length || steps.length !== x.length || shape.length !== x.length)
        return report(`starts, steps and shape need ${x.length} entries`);
      x.forEach((n, d) => {
        const last = starts[d]! + (shape[d]! - 1) * steps[d]!;
        if (starts[d]! < 0 || starts[d]! >= n || last < 0 || last >= n)
          report(`axis ${d}: elements ${starts[d]} to ${last} of ${n}`);
      });
    },
  ),
  view(
    "nn.gather",
    "Elements of an axis by a list of constant indices.",
    "ONNX Gather",
    { axis: { kind: "int" }, indices: { kind: "list" } },
    (op) => shapeOf(op.operand(0)).map((n, d) => (d === intAttr(op, "axis") ? intsAttr(op, "indices").length : n)),
    (op, report) => {
      const x = shapeOf(op.operand(0));
      const n = x[intAttr(op, "axis")];
      if (n === undefined) return report(`axis ${intAttr(op, "axis")} of a tensor of rank ${x.length}`);
      const indices = intsAttr(op, "indices");
      const bad = indices.find((i) => i < 0 || i >= n);
      if (bad !== undefined) report(`index ${bad} of an axis of ${n}`);
    },
  ),
  view(
    "nn.broadcast",
    "Repeats along new axes and axes of length 1.",
    "ONNX Expand",
    { shape: { kind: "list" } },
    (op) => intsAttr(op, "shape"),
    (op, report) => {
      if (broadcastShapes(shapeOf(op.operand(0)), intsAttr(op, "shape"))?.join() !== intsAttr(op, "shape").join())
        report(`${listText(shapeOf(op.operand(0)))} does not broadcast to ${listText(intsAttr(op, "shape"))}`);
    },
  ),
  view(
    "nn.pad",
    "Adds elements of one value around the tensor.",
    "ONNX Pad",
    { pads: { kind: "list", doc: "begins of all axes, then ends" }, value: { kind: "number", optional: true } },
    (op) => {
      const x = shapeOf(op.operand(0));
      const pads = intsAttr(op, "pads");
      return x.map((n, d) => n + pads[d]! + pads[x.length + d]!);
    },
    (op, report) => {
      if (intsAttr(op, "pads").length !== 2 * shapeOf(op.operand(0)).length)
        return report("pads needs two entries per axis");
      const elem = fixedElem(op.operand(0));
      if (elem === undefined) return;
      const raw = numAttr(op, "value", 0) * 2 ** elem.frac;
      const { lo, hi } = wideRange(elem);
      if (!Number.isInteger(raw) || raw < lo || raw > hi)
        report(`the value ${numAttr(op, "value", 0)} is not in the operand's format`);
    },
  ),
  {
    name: "nn.concat",
    summary: "Joins tensors along an axis.",
    source: "ONNX Concat",
    operands: ["parts*"],
    results: ["y"],
    traits: ["pure"],
    attrs: { axis: { kind: "int" } },
    inferTypes: (op) =>
      typed(op, concatShape(op), () =>
        op.operands.slice(1).reduce((t, v) => unionType(ranged(t), rangedOf(v)), fixedElem(op.operand(0))!),
      ),
    verify: (op, report) => {
      const axis = intAttr(op, "axis");
      const first = shapeOf(op.operand(0));
      if (axis < 0 || axis >= first.length) return report(`axis ${axis} of a tensor of rank ${first.length}`);
      for (const v of op.operands)
        if (shapeOf(v).length !== first.length || shapeOf(v).some((n, d) => d !== axis && n !== first[d]))
          return report(`shapes ${listText(first)} and ${listText(shapeOf(v))} cannot be joined along axis ${axis}`);
      checkShape(op, concatShape(op), report);
    },
  },
  {
    name: "nn.quantize",
    summary: "Rounds and limits to the fixed-point result type, from float or fixed point.",
    source: "ONNX QuantizeLinear with power-of-two scales",
    operands: ["x"],
    results: ["y"],
    traits: ["pure", "elementwise", "same-shape"],
    attrs: {
      rounding: { kind: "string", oneOf: ["half-up", "half-even", "floor"] },
      overflow: { kind: "string", oneOf: ["saturate", "wrap"] },
    },
    verify: (op, report) => {
      checkShape(op, shapeOf(op.operand(0)), report);
      if (fixedElem(op.result) === undefined) report("the result is not in fixed point");
    },
  },
];
