/** Damaged models, bytes and fields: whatever comes of them is a module or an explanation, in reasonable time. */
import { describe, expect, it } from "vitest";
import { Sink } from "../../src/diagnostics/index.js";
import { importOnnx } from "../../src/frontend/import.js";
import { messageType } from "../../src/frontend/onnx-proto.js";
import { random } from "../backend/random-nets.js";
import { floats, integers, node, onnx, weights } from "./support.js";

const ints = (name: string, values: readonly number[]): object => ({ name, type: "INTS", ints: values });
const int = (name: string, i: number): object => ({ name, type: "INT", i });

/** A network with the kinds of things that go wrong: windows, shapes as tensors, a function, a branch, quantization. */
const model = onnx({
  input: [floats("x", [1, 2, 6, 6])],
  output: [floats("y", [1, 3])],
  initializer: [
    weights(
      "w",
      [4, 2, 3, 3],
      Array.from({ length: 72 }, (_, i) => Math.sin(i)),
    ),
    weights("b", [4], [0.1, 0.2, -0.3, 0]),
    integers("shape", [2], [1, 16]),
    weights(
      "v",
      [16, 3],
      Array.from({ length: 48 }, (_, i) => Math.cos(i)),
    ),
    weights("scale", [], [0.05]),
    { name: "zero", dims: [], dataType: 2, int32Data: [128] },
    { name: "yes", dims: [], dataType: 9, int32Data: [1] },
  ],
  node: [
    node("Conv", ["x", "w", "b"], ["c"], "conv", [
      ints("kernel_shape", [3, 3]),
      ints("strides", [1, 1]),
      ints("pads", [0, 0, 0, 0]),
    ]),
    { ...node("act", ["c"], ["r"], "call", [{ name: "slope", f: 0.1, type: "FLOAT" }]), domain: "local" },
    node("MaxPool", ["r"], ["p"], "pool", [ints("kernel_shape", [2, 2]), ints("strides", [2, 2])]),
    node("Reshape", ["p", "shape"], ["f"], "reshape"),
    node("QuantizeLinear", ["f", "scale", "zero"], ["q"], "quantize"),
    node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantize"),
    node("Gemm", ["d", "v"], ["g"], "gemm", [int("transB", 0)]),
    node("If", ["yes"], ["i"], "if", [
      {
        name: "then_branch",
        type: "GRAPH",
        g: {
          name: "then",
          node: [node("Softmax", ["g"], ["s"], "softmax", [int("axis", -1)])],
          output: [floats("s", [1, 3])],
        },
      },
      {
        name: "else_branch",
        type: "GRAPH",
        g: { name: "else", node: [node("Neg", ["g"], ["s"], "neg")], output: [floats("s", [1, 3])] },
      },
    ]),
    node("Clip", ["i"], ["y"], "clip"),
  ],
  domains: ["local"],
  functions: [
    {
      name: "act",
      domain: "local",
      input: ["a"],
      output: ["z"],
      attribute: ["slope"],
      node: [node("LeakyRelu", ["a"], ["z"], "leaky", [{ name: "alpha", refAttrName: "slope", type: "FLOAT" }])],
      opsetImport: [{ domain: "", version: 17 }],
    },
  ],
});

/** Throws what must not come out of the importer. */
function attempt(bytes: Uint8Array): "module" | "refused" {
  const sink = new Sink();
  const module = importOnnx(bytes, "damaged.onnx", sink);
  if (module !== undefined) return "module";
  if (sink.diagnostics.length === 0 || sink.diagnostics.some((d) => d.message === ""))
    throw new Error("refused without a reason");
  return "refused";
}

function attempts(count: number, damage: (seed: number) => Uint8Array): { module: number; refused: number } {
  const seen = { module: 0, refused: 0 };
  for (let seed = 1; seed <= count; seed++) {
    try {
      seen[attempt(damage(seed))]++;
    } catch (e) {
      throw new Error(`seed ${seed}`, { cause: e });
    }
  }
  return seen;
}

describe("the importer on damaged files", () => {
  it("reads the whole one", () => expect(attempt(model)).toBe("module"));

  it("survives changed, missing and repeated bytes", () => {
    const seen = attempts(1500, (seed) => {
      const rnd = random(seed);
      const at = Math.floor(rnd() * model.length);
      const length = 1 + Math.floor(rnd() * 8);
      switch (seed % 4) {
        case 0:
          return model.subarray(0, at);
        case 1:
          return Uint8Array.from([...model.subarray(0, at), ...model.subarray(at + length)]);
        case 2:
          return Uint8Array.from([...model.subarray(0, at + length), ...model.subarray(at)]);
        default: {
          const copy = Uint8Array.from(model);
          for (let k = 0; k < length; k++) copy[Math.floor(rnd() * copy.length)] = Math.floor(rnd() * 256);
          return copy;
        }
      }
    });
    expect(seen.refused).toBeGreaterThan(500);
  }, 120_000);

  it("survives fields that make no sense", () => {
    const type = messageType("onnx.ModelProto");
    const seen = attempts(1500, (seed) => {
      const rnd = random(seed * 7919);
      const copy = type.toObject(type.decode(model), { longs: Number, bytes: Uint8Array }) as Record<string, unknown>;
      for (let k = 0; k <= seed % 3; k++) spoil(copy, rnd);
      return type.encode(type.fromObject(copy)).finish();
    });
    expect(seen.refused).toBeGreaterThan(500);
  }, 120_000);
});

/** Changes one field somewhere: numbers to odd ones, texts to other texts of the model, lists in length and order. */
function spoil(message: Record<string, unknown>, rnd: () => number): void {
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
    for (const key of Object.keys(value)) {
      places.push({ holder: value as Record<string, unknown>, key });
      visit((value as Record<string, unknown>)[key]);
    }
  };
  visit(message);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(rnd() * list.length)]!;
  const { holder, key } = pick(places);
  const value = holder[key];
  if (typeof value === "number")
    holder[key] = pick([0, -1, 1, 2, 3, 7, 127, 4096, 2 ** 30, -(2 ** 30), value + 1, value - 1]);
  else if (typeof value === "string")
    holder[key] = pick(["", "x", "y", "w", "c", "shape", "axis", "Conv", "Add", "Loop", "\u0000", "a".repeat(300)]);
  else if (Array.isArray(value)) {
    const list = [...(value as unknown[])];
    const change = Math.floor(rnd() * 4);
    if (change === 0) list.pop();
    else if (change === 1 && list.length > 0) list.push(structuredClone(pick(list)));
    else if (change === 2) list.reverse();
    else list.length = 0;
    holder[key] = list;
  } else if (!ArrayBuffer.isView(value) && !Array.isArray(holder)) delete holder[key];
}
