import { describe, expect, it } from "vitest";
import { momentsOf, roundWeights, type WeightMatrix } from "../../src/passes/nn/quantize/weights.js";

/** A generator of standard normal numbers. */
function normals(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

const rowsOf = (count: number, length: number, next: () => number, mix = 0): Float64Array[] =>
  Array.from({ length: count }, () => {
    const common = next();
    return Float64Array.from({ length }, () => next() * (1 - mix) + common * mix);
  });

/** Mean squared error of the layer's result on `rows`. */
function errorOn(
  rows: readonly Float64Array[],
  matrix: WeightMatrix,
  calibration: readonly Float64Array[] | undefined,
): number {
  const moments = calibration === undefined ? undefined : momentsOf(calibration, matrix.inputs);
  const rounded = roundWeights(matrix, {
    width: 6,
    perChannel: false,
    ...(moments !== undefined && { moments: () => moments }),
  });
  let sum = 0;
  for (const r of rows) {
    for (let c = 0; c < matrix.outputs; c++) {
      let e = rounded.biasShift[c]!;
      for (let i = 0; i < matrix.inputs; i++)
        e +=
          (rounded.raw[c * matrix.inputs + i]! * 2 ** -rounded.type.frac - matrix.data[c * matrix.inputs + i]!) * r[i]!;
      sum += e * e;
    }
  }
  return sum / rows.length / matrix.outputs;
}

describe("weights rounded with compensation", () => {
  const matrix = (outputs: number, inputs: number, seed: number): WeightMatrix => {
    const next = normals(seed);
    return { outputs, inputs, data: Float64Array.from({ length: outputs * inputs }, () => next() / 4) };
  };

  it.each([4, 12, 24])("do not make up for their errors on the %i calibration rows of a wide layer alone", (count) => {
    const next = normals(7);
    const m = matrix(4, 256, 1);
    const [calibration, others] = [rowsOf(count, 256, next), rowsOf(200, 256, next)];
    // The error that is left of the mean (rows are few) is part of it: with n rows it adds a share of 1/n.
    expect(errorOn(others, m, calibration)).toBeLessThan(errorOn(others, m, undefined) * (1.1 + 2 / count));
  });

  it("take up what inputs that go together allow, where there are rows enough to know", () => {
    const next = normals(9);
    const m = matrix(4, 32, 2);
    const [calibration, others] = [rowsOf(400, 32, next, 0.6), rowsOf(200, 32, next, 0.6)];
    expect(errorOn(others, m, calibration)).toBeLessThan(0.6 * errorOn(others, m, undefined));
  });
});

describe("momentsOf", () => {
  it("keeps the variances, and of the covariances what the rows show", () => {
    const next = normals(3);
    const rows = rowsOf(2000, 6, next, 0.5);
    const { covariance } = momentsOf(rows, 6);
    // next() / 2 + common / 2: variance 1/2, covariance 1/4.
    for (let i = 0; i < 6; i++)
      for (let j = 0; j < 6; j++) expect(covariance[i * 6 + j]).toBeCloseTo(i === j ? 0.5 : 0.25, 1);
    const few = momentsOf(rowsOf(4, 64, normals(5)), 64).covariance;
    let [inside, outside] = [0, 0];
    for (let i = 0; i < 64; i++)
      for (let j = 0; j < 64; j++)
        if (i === j) inside += few[i * 64 + j]! / 64;
        else outside += few[i * 64 + j]! ** 2 / (64 * 63);
    // Of independent inputs, four rows show covariances of about 1/3; half of that is left at most.
    expect(inside).toBeGreaterThan(0.5);
    expect(Math.sqrt(outside)).toBeLessThan(0.2);
  });
});
