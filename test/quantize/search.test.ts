import { describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import { hardwareCost } from "../../src/passes/nn/quantize/area.js";
import { bindBounds, limitOf, measure, parseBound } from "../../src/passes/nn/quantize/bounds.js";
import { QUANTIZE_DEFAULTS } from "../../src/passes/nn/quantize/index.js";
import {
  defaultPrecision,
  formatPrecision,
  parsePrecision,
  type PrecisionSpec,
} from "../../src/passes/nn/quantize/precision.js";
import { searchPrecision, type SearchResult } from "../../src/passes/nn/quantize/search.js";
import { outputsOf } from "../../src/passes/nn/quantize/trial.js";
import type { Op, Value } from "../../src/ir/core.js";
import { fixedOf, shapeOf } from "../../src/ir/nn/values.js";
import { prepared, quantizeTo, samples } from "./support.js";

const calibration = samples(64);
const others = samples(200, 72, 99);

function search(
  bounds: readonly string[],
  base: PrecisionSpec = defaultPrecision,
  progress: (phase: string, done: number, total: number) => void = () => {},
): SearchResult {
  const float = prepared();
  return searchPrecision(float, {
    samples: calibration,
    validation: samples(32, 72, 55),
    bounds: bindBounds(bounds.map(parseBound), ["y"]),
    base,
    quantize: QUANTIZE_DEFAULTS.options,
    weights: QUANTIZE_DEFAULTS.weights,
    progress,
  });
}
function errorOf(precision: PrecisionSpec, bound: string, on = others): number {
  const { float, fixed } = quantizeTo(precision, calibration);
  return measure(bindBounds([parseBound(bound)], ["y"])[0]!, outputsOf(float, on), outputsOf(fixed, on)).point;
}

describe("search for widths", () => {
  it.each([["mae=0.02"], ["rmse=0.01"], ["max=0.1"], ["sqnr=35"], ["argmax=0.97"]])(
    "keeps %s on the search and on other data, with less hardware than any uniform precision that does",
    (bound) => {
      const r = search([bound]);
      const limit = limitOf(parseBound(bound));
      expect(r.errors[0]!.point).toBeLessThanOrEqual(limit);
      expect(errorOf(r.precision, bound)).toBeLessThanOrEqual(bound.startsWith("argmax") ? limit + 0.02 : limit * 1.15);
      expect(r.uniform!.cost).toBeGreaterThan(r.cost);
      expect(r.cost).toBe(hardwareCost(quantizeTo(r.precision, calibration).fixed));
      // Whatever is left of the bound is no whole bit of all layers.
      const fewer = {
        ...r.precision,
        layers: new Map(
          [...r.precision.layers].map(([n, p]) => [
            n,
            {
              ...(p.weights !== undefined && { weights: Math.max(2, p.weights - 1) }),
              ...(p.activations !== undefined && { activations: Math.max(2, p.activations - 1) }),
            },
          ]),
        ),
      };
      expect(errorOf(fewer, bound, calibration)).toBeGreaterThan(limit);
    },
  );

  it("spends more on a tighter bound, and keeps several at once", () => {
    const [loose, tight] = [search(["mae=0.05"]), search(["mae=0.005"])];
    expect(tight.cost).toBeGreaterThan(loose.cost * 1.2);
    const both = search(["mae=0.05", "sqnr=45"]);
    expect(errorOf(both.precision, "sqnr=45", calibration)).toBeLessThanOrEqual(limitOf(parseBound("sqnr=45")));
    expect(both.cost).toBeGreaterThan(loose.cost);
  });

  it("gives a precision that says it all: text and back, the same network", () => {
    const r = search(["mae=0.02"]);
    const text = formatPrecision(r.precision);
    const again = quantizeTo(parsePrecision(text), calibration);
    const widths = (m: typeof again.fixed): unknown => m.func.body.ops.map((op) => [op.name, op.results.map(fixedOf)]);
    expect(widths(again.fixed)).toEqual(widths(quantizeTo(r.precision, calibration).fixed));
    expect(r.chosen.map((c) => `${c.name} ${c.kind}`)).toEqual([
      "conv1 weights",
      "conv2 weights",
      "fc weights",
      "x activations",
      "conv1 activations",
      "conv2 activations",
    ]);
    expect(r.chosen.reduce((n, c) => n + c.noise_share, 0)).toBeCloseTo(1, 9);
    expect(formatPrecision(search(["mae=0.02"]).precision)).toBe(text);
  });

  it("leaves alone what the user states, ports included", () => {
    const base = parsePrecision("w8a10o20,conv1=w9,x=a11");
    const r = search(["mae=0.02"], base);
    expect(r.precision.layers.get("conv1")!.weights).toBe(9);
    expect(r.precision.layers.get("x")).toEqual({ activations: 11 });
    expect(r.precision.output).toBe(20);
    expect(r.chosen.some((c) => (c.name === "conv1" && c.kind === "weights") || c.name === "x")).toBe(false);
  });

  it("refuses what the widest formats do not reach, and says what they do", () => {
    let message = "";
    try {
      search(["mae=1e-9"]);
    } catch (e) {
      if (!(e instanceof UserError)) throw e;
      message = `${e.diagnostics[0]!.code} ${e.diagnostics[0]!.message}`;
    }
    expect(message).toMatch(
      /^QU010 the bound y:mae 1e-9 cannot be kept: the widest formats \(weights of 16 bits, activations of 18\) reach mae 0\.0000\d+/,
    );
    const reached = Number(/reach mae ([\d.e-]+)/.exec(message)![1]);
    expect(search([`mae=${reached * 1.05}`]).errors[0]!.upper).toBeLessThanOrEqual(reached * 1.05);
  }, 60_000);

  it("tells how far it is", () => {
    const seen: [string, number, number][] = [];
    search(["mae=0.05"], defaultPrecision, (...p) => seen.push(p));
    expect([...new Set(seen.map((s) => s[0]))]).toEqual([
      "sensitivity of each layer",
      "search for widths",
      "refinement",
    ]);
    expect(seen.every(([, done, total]) => done >= 0 && done <= total)).toBe(true);
  });

  it("costs are products of widths, times their number", () => {
    const { fixed } = quantizeTo(parsePrecision("w4a6,fc=w4,conv2=a6"), calibration);
    const bits = (v: Value | undefined): number => fixedOf(v!)!.width;
    const elements = (v: Value): number => shapeOf(v).reduce((n, d) => n * d, 1);
    const all = (name: string): Op[] => fixed.func.body.ops.filter((op) => op.name === name);
    // Multiply-accumulates by hand: 4x4 outputs of 6 channels of 2x3x3, 2x2 outputs of 4 channels of 6x3x3, 16 by 3.
    const macs = [16 * 6 * 18, 4 * 4 * 54, 48];
    const products = [...all("nn.conv"), ...all("nn.matmul")].map(
      (op, i) => macs[i]! * bits(op.operand(0)) * bits(op.operand(1)),
    );
    const tensors = [fixed.func.body.args[0]!, ...all("nn.quantize").map((op) => op.result)].map(
      (v) => elements(v) * bits(v),
    );
    expect(hardwareCost(fixed)).toBe([...products, ...tensors].reduce((n, c) => n + c, 0));
    expect(bits(all("nn.matmul")[0]!.operand(1))).toBe(4);
  });
});
