/** flow: kernels joined by channels. What the hardware does, in what order, with how much parallelism. */
import { affineRange } from "../affine.js";
import type { Dialect, OpDef, Report } from "../define-op.js";
import { denseAttr } from "../define-op.js";
import type { Op } from "../core.js";
import { isFx } from "../fx/index.js";
import { at } from "../present.js";
import { elementCount, elemType, sameType, tensor, stream } from "../types.js";
import {
  readSparsify,
  SPARSIFY_ATTRS,
  SPARSIFY_OPERANDS,
  SPARSIFY_RESULTS,
  sparsifyResults,
  verifySparsify,
} from "../sparse.js";
import { ensembleProblem } from "../trees.js";
import { linearAccess, linearResult, readKernel } from "./kernel.js";

function verifyKernel(op: Op, report: Report): void {
  if (op.regions.length !== 2) return report("a kernel has a body and an epilogue");
  const spec = readKernel(op);
  if (spec.operands.length !== op.operands.length)
    return report(`${spec.operands.length} accesses for ${op.operands.length} operands`);
  const names = new Set<string>();
  for (const it of spec.iterators) {
    if (names.has(it.name)) report(`iterator ${it.name} appears twice`);
    names.add(it.name);
    if (!Number.isInteger(it.extent) || it.extent < 1) report(`iterator ${it.name} has extent ${it.extent}`);
  }
  if (spec.combiner === "none" && spec.iterators.some((i) => i.kind === "reduction"))
    report("a reduction iterator needs a combiner");
  const reductions = spec.iterators.map((i) => i.kind === "reduction");
  spec.operands.forEach((o, i) => {
    if (o.map.results.length !== o.view.shape.length) report(`operand ${i}: map and view differ in rank`);
    if (
      o.phase === "epilogue" &&
      o.map.results.some((r) => r.coeffs.some((c, k) => c !== 0 && reductions[k] === true))
    ) {
      report(`operand ${i}: an epilogue operand depends on a reduction iterator`);
    }
    const size = elementCount((o.value.type as { shape: readonly number[] }).shape);
    const reach = affineRange({ coeffs: o.view.strides, offset: o.view.offset }, o.view.shape);
    if (reach.lo < 0 || reach.hi >= size)
      report(`operand ${i}: the view reaches [${reach.lo}, ${reach.hi}] of ${size} elements`);
    linearAccess(o);
  });
  const extents = spec.iterators.map((i) => i.extent);
  const out = affineRange(linearResult(spec), extents);
  if (out.lo !== 0 || out.hi !== elementCount(spec.resultShape) - 1)
    report(`the result map covers [${out.lo}, ${out.hi}] of ${elementCount(spec.resultShape)} elements`);
  const points = spec.iterators.filter((i) => i.kind === "parallel").reduce((n, i) => n * i.extent, 1);
  if (points !== elementCount(spec.resultShape))
    report(`${points} parallel points for ${elementCount(spec.resultShape)} result elements`);
  const bodyArgs = spec.operands.filter((o) => o.phase === "body").length;
  if (op.region(0).args.length !== bodyArgs)
    report(`body takes ${op.region(0).args.length} arguments, there are ${bodyArgs} body operands`);
  if (op.region(1).args.length !== 1 + spec.operands.length - bodyArgs)
    report("the epilogue takes the folded value and the epilogue operands");
  if (spec.trees !== undefined) {
    const problem =
      spec.operands.length < 1
        ? "there is no operand of features"
        : ensembleProblem(spec.trees, at(at(spec.operands, 0).view.shape, -1));
    if (problem !== undefined) report(`trees: ${problem}`);
    if (!op.region(0).ops.some((o) => isFx(o, "fx.tree"))) report("there are trees, but no fx.tree");
  }
  const yielded = op.region(1).terminator.operands[0];
  if (yielded !== undefined && !sameType(yielded.type, spec.resultElem))
    report("the epilogue's result is not of the kernel's element type");
  if (spec.schedule !== undefined) {
    const order = [...spec.schedule.order].sort();
    if (order.join() !== [...names].sort().join())
      report(`loop order [${spec.schedule.order.join(", ")}] does not name every iterator once`);
    for (const [n, u] of Object.entries(spec.schedule.unroll))
      if (!names.has(n) || u < 1) report(`unroll ${n}=${u} is not possible`);
    if (!["logic", "dsp", undefined].includes(spec.schedule.multiply))
      report(`multiply = "${spec.schedule.multiply}" is neither logic nor dsp`);
  }
}

const ops: readonly OpDef[] = [
  {
    name: "flow.constant",
    summary: "Weights and other constants, in raw integers.",
    operands: [],
    results: ["y"],
    traits: ["pure"],
    attrs: { value: { kind: "dense" } },
    inferTypes: (op) => [tensor(denseAttr(op, "value").shape, denseAttr(op, "value").elem)],
  },
  {
    name: "flow.kernel",
    summary: "The structured kernel: iteration space, affine operand maps, body, combiner, epilogue, schedule.",
    operands: ["inputs*"],
    results: ["y"],
    regions: 2,
    traits: ["pure"],
    attrs: {
      sym: { kind: "string", doc: "name of the kernel and of its Verilog module" },
      iterators: { kind: "list", doc: "name, extent and kind (parallel or reduction) of each iterator" },
      access: {
        kind: "list",
        doc: "per operand: affine map, view (offset, strides, shape), pad value, phase (body or epilogue)",
      },
      combiner: { kind: "string", oneOf: ["add", "max", "min", "none"] },
      acc: { kind: "type", doc: "type of the folded value" },
      out: { kind: "map", doc: "index of the result element" },
      trees: {
        kind: "record",
        optional: true,
        doc: "the ensemble that fx.tree evaluates: operand 0 holds the features, operand 1 numbers of trees by output and term",
      },
      schedule: {
        kind: "record",
        optional: true,
        doc: "loop order, outermost first, unroll factor per iterator, and what multiplies (logic, dsp)",
      },
      depth: {
        kind: "int",
        optional: true,
        doc: "pipeline depth in cycles, from a firing step to the push of its result",
      },
    },
    verify: verifyKernel,
  },
  {
    name: "flow.channel",
    summary: "The elastic buffer between a producer and one consumer operand.",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    attrs: {
      kind: {
        kind: "string",
        oneOf: ["fifo", "window", "memory", "direct"],
        doc: "realization; direct without a buffer",
      },
      capacity: { kind: "int", doc: "words of the producer that fit" },
      deep: { kind: "bool", optional: true, doc: "the words are in block RAM, from which they come a cycle later" },
      sym: { kind: "string", doc: "name of the Verilog module" },
      merges_flush: {
        kind: "bool",
        optional: true,
        doc: "of windows that hang over the end of a sample: the next sample's first fetch may do as the flush",
      },
    },
    inferTypes: (op) => {
      const t = op.operand(0).type;
      return t.kind === "stream" ? [stream(t.shape, t.elem)] : [t];
    },
  },
  {
    name: "flow.sparsify",
    summary:
      "Sends on the windows of x whose predicate is not 0, with their origins, through a queue: the border between the dense stream and a sparse one.",
    operands: SPARSIFY_OPERANDS,
    results: SPARSIFY_RESULTS,
    traits: ["pure"],
    attrs: {
      ...SPARSIFY_ATTRS,
      where_shape: {
        kind: "list",
        optional: true,
        doc: "how the predicate's elements are numbered, in row-major order",
      },
      x_shape: { kind: "list", optional: true, doc: "how the elements of x are numbered, in row-major order" },
      sym: { kind: "string", doc: "name of the Verilog module" },
      queue: { kind: "int", optional: true, doc: "windows that can wait for whoever takes them" },
    },
    inferTypes: (op) =>
      sparsifyResults(readSparsify(op), elemType(op.operand(1).type)).map((r) => stream(r.shape, r.elem)),
    verify: verifySparsify,
  },
];

export const flowDialect: Dialect = { name: "flow", ops };
