/** Shapes that are stated for inputs: over open dimensions, and over a batch that the file fixes. */
import { describe, expect, it } from "vitest";
import { Sink, type Diagnostic } from "../../src/diagnostics/index.js";
import { importOnnx } from "../../src/frontend/import.js";
import { inspectOnnx } from "../../src/frontend/inspect.js";
import type { GivenShapes } from "../../src/frontend/shapes.js";
import type { Module } from "../../src/ir/core.js";
import { assertValid } from "../../src/ir/verify.js";
import { uniform } from "../quantize/support.js";
import { floats, integers, maxDifference, node, onnx, run, weights } from "./support.js";

function read(
  bytes: Uint8Array,
  given: GivenShapes = {},
): { readonly module: Module | undefined; readonly said: readonly Diagnostic[] } {
  const sink = new Sink();
  const module = importOnnx(bytes, "model.onnx", sink, given);
  if (module !== undefined) assertValid(module, "the import");
  return { module, said: sink.diagnostics };
}
const random = uniform(7);
const draw = (n: number): number[] => Array.from({ length: n }, () => random());
const ints = (name: string, values: readonly number[]): { name: string; type: number; ints: readonly number[] } => ({
  name,
  type: 7,
  ints: values,
});

const BATCH = 8;
/**
 * Attention over five tokens as exporters write it with a fixed batch: it is in every reshape, alone, with -1, and
 * merged with the tokens.
 */
const attention = onnx({
  input: [floats("x", [BATCH, 5, 4])],
  output: [floats("y", [BATCH, 20])],
  initializer: [
    weights("w", [4, 4], draw(16)),
    weights("b", [4], draw(4)),
    integers("rows", [2], [5 * BATCH, 4]),
    integers("open", [2], [-1, 4]),
    integers("heads", [4], [BATCH, 5, 2, 2]),
    integers("back", [3], [BATCH, 5, -1]),
    integers("flat", [2], [BATCH, -1]),
  ],
  node: [
    node("Reshape", ["x", "rows"], ["r"]),
    node("Gemm", ["r", "w", "b"], ["g"]),
    node("Reshape", ["g", "heads"], ["h"]),
    node("Transpose", ["h"], ["q"], "", [ints("perm", [0, 2, 1, 3])]),
    node("Transpose", ["h"], ["k"], "", [ints("perm", [0, 2, 3, 1])]),
    node("MatMul", ["q", "k"], ["s"]),
    node("Softmax", ["s"], ["p"]),
    node("MatMul", ["p", "q"], ["o"]),
    node("Transpose", ["o"], ["t"], "", [ints("perm", [0, 2, 1, 3])]),
    node("Reshape", ["t", "back"], ["z"]),
    node("Reshape", ["z", "open"], ["z2"]),
    node("Gemm", ["z2", "w"], ["g2"]),
    node("Reshape", ["g2", "flat"], ["y"]),
  ],
});

describe("a batch in the file", () => {
  it("is noticed, with what to type for one sample", () => {
    const { module, said } = read(attention);
    expect(module).toBeDefined();
    expect(said.map((d) => [d.code, d.severity])).toEqual([["ON025", "warning"]]);
    expect(said[0]!.message).toContain("first dimension: this looks like a batch of 8 samples");
    expect(said[0]!.hint).toContain("--shape x=1x5x4");
  });

  it.each([1, 2, 3, 16])("can be %i: samples are those of the file's batch", (batch) => {
    const { module, said } = read(attention, { shapes: { x: [batch, 5, 4] } });
    expect(said).toEqual([]);
    const x = draw(20 * BATCH);
    const [want] = run(read(attention).module!, new Map([["x", x]]));
    const repeated = Array.from({ length: 20 * batch }, (_, i) => x[i % x.length]!);
    const [y] = run(module!, new Map([["x", repeated]]));
    expect(y!.shape).toEqual([batch, 20]);
    expect(
      maxDifference(
        y!.data,
        Array.from({ length: 20 * batch }, (_, i) => want!.data[i % want!.data.length]!),
      ),
    ).toBeLessThan(1e-6);
  });

  it("is not seen in networks that take the rows together, or that hold it in constants", () => {
    const mean = onnx({
      node: [node("ReduceMean", ["x"], ["m"], "mean", [ints("axes", [0])]), node("Sub", ["x", "m"], ["y"])],
      input: [floats("x", [8, 4])],
      output: [floats("y", [8, 4])],
    });
    const table = onnx({
      node: [node("Add", ["x", "c"], ["y"], "sum")],
      initializer: [weights("c", [8, 4], draw(32))],
      input: [floats("x", [8, 4])],
      output: [floats("y", [8, 4])],
    });
    for (const [bytes, name] of [
      [mean, "mean"],
      [table, "sum"],
    ] as const) {
      expect(read(bytes).said).toEqual([]);
      const { module, said } = read(bytes, { shapes: { x: [1, 4] } });
      expect(module).toBeUndefined();
      expect(said[0]).toMatchObject({ code: "ON020", place: { node: name } });
      expect(said[0]!.message).toMatch(/the batch of 8 is part of it/);
      expect(said[0]!.hint).toBe("export the model with a batch of 1");
    }
  });

  it("that is not in front is refused at the reshape that would mix it up", () => {
    const bytes = onnx({
      node: [node("Transpose", ["x"], ["t"]), node("Reshape", ["t", "s"], ["y"], "mix")],
      initializer: [integers("s", [2], [4, 8])],
      input: [floats("x", [8, 4])],
      output: [floats("y", [4, 8])],
    });
    expect(read(bytes, { shapes: { x: [1, 4] } }).said[0]).toMatchObject({
      code: "ON020",
      place: { node: "mix" },
      message: expect.stringContaining("the batch of 8 is part of its target shape") as string,
    });
  });

  it("of 789,444 samples becomes one", () => {
    const bytes = onnx({
      node: [node("Gemm", ["x", "w"], ["y"])],
      initializer: [weights("w", [12, 3], draw(36))],
      input: [floats("x", [789_444, 12])],
      output: [floats("y", [789_444, 3])],
    });
    expect(read(bytes).said.map((d) => d.code)).toEqual(["ON025"]);
    const one = inspectOnnx(bytes, "model.onnx", new Sink(), { shapes: { x: [1, 12] } })!;
    expect([one.inputs[0]!.shape, one.outputs[0]!.shape, one.macs]).toEqual([[1, 12], [1, 3], 36]);
  });

  it("larger than what one sample may have is still read, once another is stated", () => {
    const bytes = onnx({
      node: [node("Relu", ["x"], ["y"])],
      input: [floats("x", [2 ** 22, 64])],
      output: [floats("y", [2 ** 22, 64])],
    });
    expect(read(bytes).said.map((d) => d.code)).toEqual(["ON005"]);
    expect(read(bytes, { shapes: { x: [1, 64] } }).said).toEqual([]);
  });
});

const open = onnx({
  node: [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "z"], ["y"])],
  initializer: [weights("w", [8, 3], draw(24))],
  input: [floats("x", ["batch", "seq", 8]), floats("z", ["batch", "seq", 3])],
  output: [floats("y", ["batch", "seq", 3])],
});
const pair = onnx({
  node: [node("Add", ["x", "z"], ["y"])],
  input: [floats("x", [8, 4]), floats("z", [8, 4])],
  output: [floats("y", [8, 4])],
});
const unnamed = onnx({
  node: [node("Relu", ["x"], ["y"])],
  input: [{ name: "x", type: { tensorType: { elemType: 1, shape: { dim: [{}, { dimParam: "a b" }, {}] } } } }],
  output: [floats("y", [])],
});
// As Paddle's exporter calls all that it does not know.
const queried = onnx({
  node: [node("Relu", ["x"], ["y"])],
  input: [floats("x", [1, "?", "?"])],
  output: [floats("y", ["?", "?"])],
});
const shapeless = onnx({
  node: [node("Relu", ["x"], ["y"])],
  input: [{ name: "x", type: { tensorType: { elemType: 1 } } }],
  output: [floats("y", [])],
});

describe("open dimensions", () => {
  it.each([
    [
      "by name",
      open,
      { dims: { seq: 6 } },
      [
        [1, 6, 8],
        [1, 6, 3],
      ],
    ],
    [
      "by the shape of one input, which holds for the symbol",
      open,
      { shapes: { x: [1, 6, 8] } },
      [
        [1, 6, 8],
        [1, 6, 3],
      ],
    ],
    [
      "the first one as well",
      open,
      { dims: { seq: 6, batch: 2 } },
      [
        [2, 6, 8],
        [2, 6, 3],
      ],
    ],
    ["without a name", unnamed, { shapes: { x: [1, 3, 4] } }, [[1, 3, 4]]],
    [
      "called by a sign that is no name, which may stand for several",
      queried,
      { shapes: { x: [1, 3, 4] } },
      [[1, 3, 4]],
    ],
    ["of a model that states no shape", shapeless, { shapes: { x: [1, 3, 4] } }, [[1, 3, 4]]],
  ] as const)("are stated %s", (_, bytes, given, shapes) => {
    const r = inspectOnnx(bytes, "model.onnx", new Sink(), given as GivenShapes)!;
    expect(r.inputs.map((i) => i.shape)).toEqual(shapes);
    expect(r.nodes.every((n) => n.supported)).toBe(true);
  });

  it.each([
    [
      "nothing",
      open,
      {},
      "ON005",
      /dimension 1 of input "x" is the symbol "seq", dimension 1 of input "z"/,
      /: --dim seq=16$/,
    ],
    [
      "no name to type",
      unnamed,
      {},
      "ON005",
      /dimension 1 of input "x" is the symbol "a b", dimension 2 of input "x" is open/,
      /--dim 'a b=16' --shape x=1x16x16$/,
    ],
    ["no shape at all", shapeless, {}, "ON005", /has no shape/, /--shape x=1x16/],
    ["an unknown symbol", open, { dims: { sq: 4 } }, "ON026", /"sq", but no input has one/, /did you mean seq/],
    [
      "an unknown input",
      open,
      { shapes: { xx: [1, 4, 8] } },
      "ON026",
      /"xx", but the model has no such input/,
      /did you mean x|its inputs are x, z/,
    ],
    [
      "a weight",
      open,
      { shapes: { w: [8, 4] } },
      "ON026",
      /"w", but the model has no such input/,
      /its inputs are x, z|did you mean/,
    ],
    [
      "a fixed dimension",
      open,
      { shapes: { x: [1, 4, 9] } },
      "ON026",
      /dimension 2 of input "x" is 8, the stated shape says 9/,
      /batchxseqx8/,
    ],
    [
      "another rank",
      open,
      { shapes: { x: [4, 8] } },
      "ON026",
      /has 3 dimensions \(batchxseqx8\), the stated shape 4x8 has 2/,
      /3 sizes/,
    ],
    ["zero", open, { dims: { seq: 0 } }, "ON026", /"seq" is stated as 0/, /at least 1/],
    [
      "zero in a shape",
      open,
      { shapes: { x: [1, 0, 8] } },
      "ON026",
      /dimension 1 of input "x" is stated as 0/,
      /at least 1/,
    ],
    [
      "a contradiction",
      open,
      { shapes: { x: [1, 4, 8] }, dims: { seq: 5 } },
      "ON026",
      /"seq" is stated as 5 and, in the shape of input "x", as 4/,
      /once/,
    ],
    [
      "one of two inputs with a batch",
      pair,
      { shapes: { x: [1, 4] } },
      "ON026",
      /input "z" still has the batch of 8/,
      /--shape z=1x4/,
    ],
    ["two batches", pair, { shapes: { x: [1, 4], z: [2, 4] } }, "ON026", /8 to 1, 8 to 2/, /one batch/],
  ] as const)("with %s, the message says what to do", (_, bytes, given, code, says, hint) => {
    const { module, said } = read(bytes, given as GivenShapes);
    expect(module).toBeUndefined();
    expect(said.map((d) => d.code)).toEqual([code]);
    expect(said[0]!.message).toMatch(says);
    expect(said[0]!.hint).toMatch(hint);
  });
});
