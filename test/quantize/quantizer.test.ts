import { describe, expect, it } from "vitest";
import { fixed, ufixed } from "../../src/ir/types.js";
import type { TensorStats } from "../../src/passes/nn/quantize/calibrate.js";
import { chooseFormat, quantizationError, roomyFormat } from "../../src/passes/nn/quantize/formats.js";
import { chooseArgument, largestTableError, tableError } from "../../src/passes/nn/quantize/tables.js";
import { momentsOf, roundWeights } from "../../src/passes/nn/quantize/weights.js";

function stats(values: readonly number[]): TensorStats {
  return { min: Math.min(...values), max: Math.max(...values), values: Float64Array.from(values), spread: 0 };
}
function uniform(seed: number): () => number {
  let s = seed;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) | 0;
    return (s >>> 8) / 2 ** 24;
  };
}

describe("range selection", () => {
  it("takes the finest format that clips nothing where values fill the range", () => {
    const values = Array.from({ length: 1001 }, (_, i) => i / 1000);
    expect(chooseFormat(stats(values), 8)).toEqual(ufixed(8, 8)); // 1 becomes 255/256: cheaper than half the resolution
    expect(chooseFormat(stats(values.map((v) => v * 3.9)), 8)).toEqual(ufixed(8, 6));
    expect(chooseFormat(stats(values.map((v) => v - 0.5)), 8)).toEqual(fixed(8, 8));
  });
  it("clips rare outliers, unlike min-max", () => {
    const next = uniform(1);
    const values = Array.from({ length: 4000 }, () => next() - 0.5);
    values.push(3.5);
    const type = chooseFormat(stats(values), 6);
    expect(type).toEqual(fixed(6, 4));
    expect(quantizationError(values, type)).toBeLessThan(0.75 * quantizationError(values, fixed(6, 3)));
  });
  it("has the least error of all formats of that width", () => {
    const next = uniform(2);
    const values = Array.from({ length: 500 }, () => (next() + next() + next() + next() - 2) ** 3);
    const chosen = quantizationError(values, chooseFormat(stats(values), 7));
    for (let frac = -2; frac < 14; frac++)
      expect(chosen).toBeLessThanOrEqual(quantizationError(values, fixed(7, frac)));
  });
  it("survives tensors that are always zero, and leaves wide formats headroom", () => {
    expect(chooseFormat(stats([0, 0]), 8).signed).toBe(false);
    expect(roomyFormat(stats([-0.9, 0.5]), 16)).toEqual(fixed(16, 14));
  });
});

describe("tables", () => {
  it("spends bits on the argument until the result's rounding dominates, within the limit", () => {
    const x = stats(Array.from({ length: 800 }, (_, i) => -4 + i / 100));
    const y = ufixed(8, 2);
    const narrow = chooseArgument("exp", x, y, 12);
    expect(narrow.width).toBeLessThan(12);
    expect(chooseArgument("exp", x, y, 6).width).toBeLessThanOrEqual(6);
    const table = (w: number): number => tableError("exp", x.values, fixed(w, w - 3), y);
    expect(tableError("exp", x.values, narrow, y)).toBeLessThan(2 * table(12));
  });
  it("resolves a reciprocal over two orders of magnitude", () => {
    const x = stats(Array.from({ length: 1000 }, (_, i) => 100 * 1.0052 ** i));
    const to = ufixed(16, 22);
    const from = chooseArgument("reciprocal", x, to, 14);
    expect(from.width).toBeLessThanOrEqual(14);
    expect(Math.sqrt(tableError("reciprocal", x.values, from, to))).toBeLessThan(2e-3);
  });
  it("states the largest error over the calibrated range", () => {
    const x = stats([-4, -1, 0, 1, 3.9]);
    const [from, to] = [fixed(8, 5), ufixed(8, 2)];
    const worst = largestTableError("exp", x, from, to);
    for (let v = -4; v <= 3.9; v += 0.01)
      expect(Math.abs(Math.round(Math.exp(Math.floor(v * 32 + 0.5) / 32) * 4) / 4 - Math.exp(v))).toBeLessThanOrEqual(
        worst + 1e-9,
      );
    expect(worst).toBeLessThan(Math.exp(3.9) * (Math.exp(1 / 64) - 1) + 0.2);
  });
});

describe("weight rounding", () => {
  const next = uniform(3);
  const [outputs, inputs] = [4, 12];
  const data = Float64Array.from({ length: outputs * inputs }, () => next() - 0.5);
  // Strongly correlated inputs with a mean, as behind a rectifier.
  const rows = Array.from({ length: 400 }, () => {
    const common = next();
    return Float64Array.from({ length: inputs }, () => 0.7 * common + 0.3 * next());
  });
  const moments = momentsOf(rows, inputs);
  const resultError = (raw: Float64Array, frac: number, shift: Float64Array): number => {
    let sum = 0;
    for (const r of rows) {
      for (let c = 0; c < outputs; c++) {
        let e = shift[c]!;
        for (let i = 0; i < inputs; i++) e += (raw[c * inputs + i]! * 2 ** -frac - data[c * inputs + i]!) * r[i]!;
        sum += e * e;
      }
    }
    return sum / rows.length;
  };

  it("compensation lowers the layer's error far below rounding to nearest, and predicts it", () => {
    const matrix = { outputs, inputs, data };
    const plain = roundWeights(matrix, { width: 5, perChannel: false });
    const compensated = roundWeights(matrix, { width: 5, perChannel: false, moments: () => moments });
    const [a, b] = [
      resultError(plain.raw, plain.type.frac, plain.biasShift),
      resultError(compensated.raw, compensated.type.frac, compensated.biasShift),
    ];
    expect(b).toBeLessThan(a / 4);
    // Covariances are shrunk by what 400 rows leave open.
    expect(Math.abs((compensated.error * outputs) / b - 1)).toBeLessThan(0.02);
  });
  it("keeps to the width", () => {
    for (const width of [2, 4, 8]) {
      const r = roundWeights({ outputs, inputs, data }, { width, perChannel: false, moments: () => moments });
      expect(r.type.width).toBeLessThanOrEqual(width);
      expect(Math.max(...r.raw.map(Math.abs))).toBeLessThan(2 ** (width - 1));
    }
  });
  it("gives every channel a grid of its own on request", () => {
    const scaled = data.map((v, i) => v * [1, 0.24, 0.06, 0.001][Math.floor(i / inputs)]!);
    const matrix = { outputs, inputs, data: scaled };
    const [one, own] = [
      roundWeights(matrix, { width: 5, perChannel: false }),
      roundWeights(matrix, { width: 5, perChannel: true }),
    ];
    expect(own.error).toBeLessThan(one.error / 2);
    expect(new Set(own.grid).size).toBeGreaterThan(2);
    own.raw.forEach((r, i) => expect(r % 2 ** own.grid[Math.floor(i / inputs)]!).toBeCloseTo(0));
    own.raw.forEach((r, i) => expect(Math.abs(r) / 2 ** own.grid[Math.floor(i / inputs)]!).toBeLessThan(16));
  });
  it("does not run away on inputs that never vary", () => {
    const constant = momentsOf([Float64Array.from({ length: inputs }, () => 1)], inputs);
    const r = roundWeights({ outputs, inputs, data }, { width: 8, perChannel: false, moments: () => constant });
    r.raw.forEach((v, i) =>
      expect(Math.abs(v * 2 ** -r.type.frac - data[i]!)).toBeLessThanOrEqual(2 ** -r.type.frac / 2 + 1e-12),
    );
  });
});
