/** QONNX' operators against the functions of its own package; `fixtures/make-qonnx.py` made the cases. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readArrays } from "../../src/frontend/npz.js";
import { portScale } from "../../src/ir/port-scales.js";
import { prepareNn } from "../../src/ir/eval/nn-fixed.js";
import { roundInputs } from "../../src/passes/nn/quantize/inputs.js";
import { defaultPrecision } from "../../src/passes/nn/quantize/precision.js";
import { quantizeTo } from "../quantize/support.js";
import { importValid, maxDifference, node, onnx, refusal, run, weights } from "./support.js";

const arrays = readArrays(readFileSync(new URL("fixtures/qonnx.npz", import.meta.url)), "qonnx.npz");
const modelOf = (key: string): Uint8Array => Uint8Array.from(arrays.get(key)!.data);
const named = (suffix: string): string[] =>
  [...arrays.keys()].filter((k) => k.endsWith(suffix)).map((k) => k.slice(0, -suffix.length));
const data = (key: string): Float64Array => Float64Array.from(arrays.get(key)!.data);

describe("operators of QONNX equal the package's functions", () => {
  it.each(named(".folded"))("%s on constants, to the last bit", (name) => {
    const [y] = run(
      importValid(modelOf(`${name}.folded`), `${name}.onnx`),
      new Map([["moved", data(`${name}.x`).map(() => 0)]]),
    );
    expect(y!.data.map(Math.fround)).toEqual(data(`${name}.y`).map((v) => v + 0));
  });

  it.each(named(".model"))("%s computed", (name) => {
    const bytes = modelOf(`${name}.model`);
    const x = data(`${name}.x`);
    const [y] = run(importValid(bytes, `${name}.onnx`), new Map([["x", x]]));
    const want = data(`${name}.y`);
    expect(maxDifference(y!.data, want)).toBeLessThan(1e-5);
    // Ports take integers as they are, and other inputs finer than any step here.
    const input = x.every(Number.isInteger) ? {} : { input: 16 };
    // What is real and read in several octaves is rounded like any activation.
    const wide = name.startsWith("computed_float") ? { activations: 16 } : {};
    const { fixed } = quantizeTo({ ...defaultPrecision, ...input, ...wide, output: 24 }, [[x]], bytes);
    const [program, scale] = [prepareNn(fixed), portScale(fixed.func, "output_scales", 0)];
    const ports = fixed.func.body.args.map((a) => a.type);
    const inputs = roundInputs(
      [x],
      ports,
      ports.map((_, i) => portScale(fixed.func, "input_scales", i)),
    );
    const actual = program.run(inputs)[0]!.map((v) => v * scale);
    expect(maxDifference(actual, want), name).toBeLessThan(
      name.includes("_bits") || name.startsWith("bipolar") ? 2 ** -10 : 1e-4,
    );
  });

  it.each(named(".layout"))("%s with the channels last", (name) => {
    const [y] = run(importValid(modelOf(`${name}.layout`), `${name}.onnx`), new Map([["x", data(`${name}.x`)]]));
    expect(y!.shape).toEqual(arrays.get(`${name}.y`)!.shape);
    expect(maxDifference(y!.data, data(`${name}.y`))).toBeLessThan(1e-5);
  });

  it("refuses a narrow float format that no fixed-point grid holds, by name", () => {
    const domain = "qonnx.custom_op.general";
    const [error] = refusal(
      onnx({
        node: [{ ...node("FloatQuant", ["x", "s", "e", "m", "b", "t"], ["y"], "narrow"), domain }],
        domains: [domain],
        initializer: [
          weights("s", [], [1]),
          weights("e", [], [8]),
          weights("m", [], [7]),
          weights("b", [], [127]),
          weights("t", [], [3e38]),
        ],
      }),
    );
    expect(error).toMatchObject({ code: "ON020", place: { node: "narrow" } });
    expect(error!.message).toMatch(/from 2\^-133 to .* do not fit a fixed-point grid of 40 bits/);
  });
});
