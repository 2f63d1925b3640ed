import { describe, expect, it } from "vitest";
import { Sink, UserError } from "../../src/diagnostics/index.js";
import {
  checkLayerNames,
  defaultPrecision,
  formatPrecision,
  parsePrecision,
  precisionFromConfig,
  showPrecision,
} from "../../src/passes/nn/quantize/precision.js";

function codeOf(f: () => unknown): string {
  try {
    f();
  } catch (e) {
    if (e instanceof UserError) return `${e.diagnostics[0]!.code} ${e.diagnostics[0]!.message}`;
    throw e;
  }
  throw new Error("no error");
}

describe("precision", () => {
  it("reads one width and two", () => {
    expect(parsePrecision("8")).toEqual({ weights: 8, activations: 8, layers: new Map() });
    expect(parsePrecision(" W6a12 ")).toEqual({ weights: 6, activations: 12, layers: new Map() });
  });

  it("reads exceptions per layer, and keeps what it is not told", () => {
    const base = precisionFromConfig({
      weights: 6,
      output: 20,
      layers: { a: 7, "/conv1/Conv": { weights: 4, input: 9 } },
    });
    const spec = parsePrecision("w8a12, /conv1/Conv=w10a14 ,x=a9o16", "--precision", base);
    expect(spec).toMatchObject({ weights: 8, activations: 12, output: 20 });
    expect([...spec.layers]).toEqual([
      ["a", { weights: 7, activations: 7 }],
      ["/conv1/Conv", { weights: 10, activations: 14, input: 9 }],
      ["x", { activations: 9, output: 16 }],
    ]);
    expect(parsePrecision("conv=w4")).toEqual({ ...defaultPrecision, layers: new Map([["conv", { weights: 4 }]]) });
  });

  it.each(["w8a10", "w8a10i12o20", "w8a10,/a/Conv=w5,x=i7", "w8a10,b;c,d=e=w4a9"])("%s is read and written", (text) => {
    expect(formatPrecision(parsePrecision(text))).toBe(text);
  });

  it("reads configuration, with exceptions per layer", () => {
    const spec = precisionFromConfig({
      weights: 6,
      output: 20,
      layers: { "/conv1/Conv": { weights: 10, input: 12 }, centre: "w8a16", other: 7 },
    });
    expect(spec).toMatchObject({ weights: 6, activations: defaultPrecision.activations, output: 20 });
    expect([...spec.layers]).toEqual([
      ["/conv1/Conv", { weights: 10, input: 12 }],
      ["centre", { weights: 8, activations: 16 }],
      ["other", { weights: 7, activations: 7 }],
    ]);
    expect(precisionFromConfig(9)).toEqual(parsePrecision("9"));
    expect(showPrecision(spec)).toBe(
      "w6a9 (output 20, 3 layers of its own)".replace("a9", `a${defaultPrecision.activations}`),
    );
  });

  it.each([
    ["text", () => parsePrecision("w8"), 'QU001 --precision: "w8" is not a precision'],
    [
      "a layer without widths",
      () => parsePrecision("w8a10,conv"),
      'QU001 --precision: "w8a10,conv" is not a precision',
    ],
    ["a letter twice", () => parsePrecision("w8a10,conv=w8w9"), 'QU001 --precision: "w8w9" is not a precision'],
    ["a width of a layer out of range", () => parsePrecision("w8a10,conv=w1"), "QU002 --precision: weights of 1 bits"],
    ["empty text", () => parsePrecision(""), 'QU001 --precision: "" is not a precision'],
    ["a fraction", () => parsePrecision("7.5"), 'QU001 --precision: "7.5" is not a precision'],
    ["too few bits", () => parsePrecision("w1a8"), "QU002 --precision: weights of 1 bits"],
    ["too many bits", () => parsePrecision("w8a64"), "QU002 --precision: activations of 64 bits"],
    [
      "a fraction in a record",
      () => precisionFromConfig({ weights: 7.5 }),
      "QU002 precision.weights: weights of 7.5 bits",
    ],
    ["an unknown entry", () => precisionFromConfig({ weight: 8 }), 'QU003 precision has no entry "weight"'],
    [
      "an unknown entry of a layer",
      () => precisionFromConfig({ layers: { a: { actvations: 8 } } }),
      'QU003 precision.layers.a has no entry "actvations"',
    ],
    ["a list", () => precisionFromConfig([8]), 'QU001 precision: "[8]" is not a precision'],
    [
      "layers that are no record",
      () => precisionFromConfig({ layers: 3 }),
      'QU001 precision.layers: "3" is not a precision',
    ],
  ])("refuses %s", (_, f, message) => {
    expect(codeOf(f)).toBe(message);
  });

  it("suggests names, and reports all layers that the network does not have", () => {
    const sink = new Sink();
    checkLayerNames(
      precisionFromConfig({ layers: { "/conv1/Cnov": 8, zzz: 8, y: 8 } }),
      new Set(["/conv1/Conv", "y"]),
      sink,
    );
    expect(sink.diagnostics.map((d) => [d.code, d.hint])).toEqual([
      ["QU004", 'did you mean "/conv1/Conv"?'],
      ["QU004", "onnx-hls inspect lists the nodes"],
    ]);
  });
});
