/**
 * Teaches the compiler an operator of its own and a pass of its own, through the public API.
 *
 * The operator is com.example::Square, y = x^2: an importer, an operation `nn.square` with its exact fixed-point type
 * and its meaning, and a lowering to the structured kernel. The pass `prune` sets small weights to zero before
 * quantization.
 */
import {
  allocate,
  type BodyBuilder,
  definePass,
  Dense,
  denseAttr,
  along,
  number,
  registerLowering,
  registerOnnxOp,
  registerOp,
  registerPass,
  typeOfRange,
  rawRange,
  walk,
  type FixedType,
  type Pass,
  type TensorType,
} from "../../src/index.js";

registerOp({
  name: "nn.square",
  summary: "x * x.",
  operands: ["x"],
  results: ["y"],
  role: "product",
  traits: ["pure", "elementwise"],
  inferTypes: (op) => {
    const x = op.operand(0).type as TensorType;
    if (x.elem.kind !== "fixed") return [x];
    // Never negative, so the square of a signed w-bit number needs 2w - 1 bits.
    const { lo, hi } = rawRange(x.elem);
    return [{ ...x, elem: typeOfRange({ lo: 0, hi: Math.max(lo * lo, hi * hi) }, 2 * x.elem.frac) }];
  },
  evaluate:
    () =>
    ([x], out) =>
      out.forEach((_, i) => (out[i] = x![i]! * x![i]!)),
});

registerOnnxOp({
  opType: "com.example::Square",
  import: (ctx) => ctx.emit("nn.square", [ctx.value(0)], ctx.shape(0)),
});

registerLowering("nn.square", (op, ctx) => {
  const x = ctx.view(op.operand(0));
  const result = op.result.type as TensorType;
  const grid = result.shape.map((_, d) => `d${d}`);
  const square = ctx.kernel({
    name: op.loc.nodes[0] ?? "square",
    loc: op.loc,
    iterators: grid.map((name, d) => ({ name, extent: result.shape[d]!, kind: "parallel" as const })),
    operands: [{ of: x, index: grid.map((name) => along(name)) }],
    combiner: "none",
    result,
    out: grid.map((name) => along(name)),
    body: (b: BodyBuilder, [v]) => b.cast(b.mul(v!, v!), result.elem as FixedType),
  });
  ctx.setView(op.result, square);
});

/** Sets weights below a share of the largest one to zero. */
export const prune: Pass = definePass({
  name: "prune",
  summary: "Set weights to zero that are small against the largest of their layer.",
  level: "nn",
  semantics: "changes-values",
  options: { below: number({ min: 0, max: 1, default: 0.1, doc: "share of the largest magnitude" }) },
  run: (module, { below }) => {
    walk(module.body, (op) => {
      if (op.name !== "nn.matmul" && op.name !== "nn.conv") return;
      const weights = op.operand(1).def;
      if (weights?.name !== "nn.constant") return;
      const { shape, elem, data } = denseAttr(weights, "value");
      let largest = 0;
      for (const v of data) largest = Math.max(largest, Math.abs(v));
      const kept = allocate(elem, data.length);
      data.forEach((v, i) => (kept[i] = Math.abs(v) < below * largest ? 0 : v));
      weights.attrs = { ...weights.attrs, value: new Dense(shape, elem, kept) };
    });
  },
});
registerPass(prune);
