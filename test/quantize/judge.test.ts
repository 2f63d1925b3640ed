/** What is measured at outputs, what is made of it, and widths that go up where the noise comes from. */
import { describe, expect, it } from "vitest";
import { splitByNeed, splitSamples, judges } from "../../src/driver/hold-out.js";
import { measureAccuracy, measureOutputs } from "../../src/passes/nn/accuracy.js";
import { acceptance, boundsFor, GOOD, judge, LEAST } from "../../src/passes/nn/judge.js";
import { OutputMeter, scoresOf, type OutputError } from "../../src/passes/nn/output-error.js";
import { bindBounds, parseBound } from "../../src/passes/nn/quantize/bounds.js";
import { cure } from "../../src/passes/nn/quantize/cure.js";
import { QUANTIZE_DEFAULTS } from "../../src/passes/nn/quantize/index.js";
import { defaultPrecision, formatPrecision } from "../../src/passes/nn/quantize/precision.js";
import { UserError } from "../../src/diagnostics/index.js";
import type { Value } from "../../src/ir/core.js";
import { floats, node, onnx, weights } from "../frontend/support.js";
import { cancelling, prepared, quantizeTo, samples, smallNetwork, uniform } from "./support.js";

const outputOf = (bytes: Uint8Array): Value => prepared(bytes).func.body.terminator.operand(0);
const vector = outputOf(smallNetwork());

function measured(pairs: readonly (readonly [number[], number[]])[], step = 2 ** -12, output = vector): OutputError {
  const meter = new OutputMeter(output);
  for (const [x, y] of pairs) meter.add(x, y, step);
  return meter.result();
}

describe("errors at an output", () => {
  it("are those of the definition", () => {
    const e = measured([
      [
        [3, 4, 0.5],
        [3, 3, 0.5],
      ],
      [
        [1, 0.5, 0.25],
        [1, 0.5, 0.75],
      ],
    ]);
    expect(e.sqnr_db).toBeCloseTo(10 * Math.log10((9 + 16 + 0.25 + 1 + 0.25 + 0.0625) / 1.25), 9);
    expect([e.mae, e.rmse, e.max_abs_error]).toEqual([1.5 / 6, Math.sqrt(1.25 / 6), 1]);
    // The first sample's largest element is 4 in float, and 3 at another place in fixed point.
    expect([e.argmax_agreement, e.scores, e.equal]).toEqual([0.5, true, undefined]);
  });

  it("count a choice between equals as right, and between neighbours of a grid as wrong", () => {
    expect(
      measured([
        [
          [0.5, 0.5 - 1e-5, 0],
          [0.5, 0.5 + 1e-5, 0],
        ],
      ]),
    ).toMatchObject({ argmax_agreement: 1, ties: 1 });
    // The same place needs no resolution.
    expect(
      measured(
        [
          [
            [5, 4, 0],
            [5, 4, 0],
          ],
        ],
        0,
      ),
    ).toMatchObject({ argmax_agreement: 1, ties: 0 });
    expect(
      measured(
        [
          [
            [5, 4, 0],
            [4, 5, 0],
          ],
        ],
        1,
      ).argmax_agreement,
    ).toBe(0);
  });

  it("do not take vectors without a largest element for scores", () => {
    const smooth = Array.from({ length: 200 }, (_, i) => Math.sin(i / 30) + 0.001);
    const long = outputOf(
      onnx({
        input: [floats("x", [1, 200])],
        output: [floats("y", [1, 200])],
        node: [node("Relu", ["x"], ["y"], "relu")],
      }),
    );
    expect(measured([[smooth, smooth.map((v, i) => v + (i === 60 ? 0.1 : 0))]], 2 ** -12, long)).toMatchObject({
      argmax_agreement: 0,
      scores: false,
    });
  });

  it("of labels are whether they are equal", () => {
    const e = measured([
      [
        [1, 7, 3],
        [1, 7, 3],
      ],
      [
        [2, 0, 9],
        [2.01, 0, 4],
      ],
    ]);
    expect(e.equal).toBeCloseTo(5 / 6, 12);
    expect(judge({ y: e }, LEAST, []).map((s) => s.metric)).toEqual(["equal"]);
    expect(judge({ y: e }, LEAST, bindBounds([parseBound("argmax=80%")], ["y"]))).toEqual([]);
  });

  it("of an output that is always zero are right to the last bit, or without bounds", () => {
    expect(
      measured([
        [
          [0, 0, 0],
          [0, 2 ** -12, 0],
        ],
      ]).sqnr_db,
    ).toBe(Infinity);
    expect(
      measured([
        [
          [0, 0, 0],
          [0, 0.1, 0],
        ],
      ]).sqnr_db,
    ).toBe(-Infinity);
  });

  it("ask for the argmax of rows behind a dense layer, not of images", () => {
    const convolved = onnx({
      input: [floats("x", [1, 2, 6, 6])],
      output: [floats("y", [1, 4, 6, 6])],
      initializer: [weights("w", [4, 2, 1, 1], [1, 2, 3, 4, 5, 6, 7, 8])],
      node: [node("Conv", ["x", "w"], ["y"], "conv")],
    });
    const rows = onnx({
      input: [floats("x", [1, 5, 2])],
      output: [floats("y", [1, 5, 3])],
      initializer: [weights("w", [2, 3], [1, 2, 3, 4, 5, 6])],
      node: [node("MatMul", ["x", "w"], ["h"], "dense"), node("Sigmoid", ["h"], ["y"], "squash")],
    });
    expect([scoresOf(vector), scoresOf(outputOf(convolved)), scoresOf(outputOf(rows))]).toEqual([3, 0, 3]);
  });

  it("are refused where the float network's own result is no number", () => {
    const log = onnx({
      input: [floats("x", [1, 4])],
      output: [floats("y", [1, 4])],
      node: [node("Log", ["x"], ["h"], "/log/Log"), node("Add", ["h", "x"], ["y"], "/join/Add")],
    });
    const { float, fixed } = quantizeTo(
      defaultPrecision,
      samples(16, 4).map((s) => [Float64Array.from(s[0]!, (v) => 2 + v)]),
      log,
    );
    const measure = (): unknown => measureOutputs([{ float, fixed, samples: samples(3, 4) }]);
    expect(measure).toThrow(UserError);
    expect(measure).toThrow(/QU024.*"\/log\/Log"/);
  });
});

describe("the judge", () => {
  const e = (sqnr_db: number, argmax_agreement?: number): OutputError => ({
    max_abs_error: 0.5,
    mae: 0.1,
    rmse: 0.2,
    sqnr_db,
    ...(argmax_agreement !== undefined && { argmax_agreement, scores: true }),
  });
  it("asks for 20 dB and 90% of the same argmax, and looks for better below 25 dB and 95%", () => {
    const metrics = (limits: typeof LEAST, error: OutputError): string[] =>
      judge({ y: error }, limits, []).map((s) => s.metric);
    expect([
      metrics(LEAST, e(19.9)),
      metrics(LEAST, e(20.1)),
      metrics(GOOD, e(20.1)),
      metrics(LEAST, e(25.1, 0.89)),
      metrics(LEAST, e(25.1, 0.91)),
      metrics(GOOD, e(25.1, 0.94)),
      metrics(GOOD, e(25.1, 0.95)),
    ]).toEqual([["sqnr"], [], ["sqnr"], ["argmax"], [], ["argmax"], []]);
    expect(metrics(LEAST, { ...e(30, 0.1), scores: false })).toEqual([]);
    expect(metrics(LEAST, e(-Infinity))).toEqual(["sqnr"]);
  });
  it.each([
    ["sqnr=15", e(16), []],
    ["sqnr=15", e(14), ["sqnr"]],
    ["sqnr=15", e(16, 0.5), ["argmax"]],
    ["argmax=0.4", e(16, 0.5), ["sqnr"]],
    ["max=0.6", e(3), []],
    ["mae=0.05", e(30), ["mae"]],
    ["sqnr=40", e(30), ["sqnr"]],
    ["y:rmse=0.3", e(3), []],
  ])("takes %s in place of its own limit", (bound, error, lacks) => {
    const accepted = bindBounds([parseBound(bound)], ["y"]);
    expect(judge({ y: error }, LEAST, accepted).map((s) => s.metric)).toEqual(lacks);
    expect(boundsFor({ y: error }, GOOD, accepted).map((b) => b.metric)).toContain(parseBound(bound).metric);
  });
  it("says which bound would accept what is reached", () => {
    const lacking = judge({ y: e(12.3, 0.755) }, LEAST, []);
    const words = lacking.map((s) => acceptance(s, true));
    expect(words).toEqual(["y:sqnr=11", "y:argmax=0.74"]);
    expect(judge({ y: e(12.3, 0.755) }, LEAST, bindBounds(words.map(parseBound), ["y"]))).toEqual([]);
  });
});

describe("samples that judge", () => {
  const float = prepared();
  it.each([
    [1024, { calibration: 256, heldOut: 768, refits: [] }],
    [400, { calibration: 256, heldOut: 144, refits: [] }],
    [300, { calibration: 300, heldOut: 0, refits: [75, 75] }],
    [160, { calibration: 160, heldOut: 0, refits: [40, 40, 40] }],
    [64, { calibration: 64, heldOut: 0, refits: [16, 16, 16, 16] }],
    [40, { calibration: 40, heldOut: 0, refits: [10, 10, 10, 10] }],
    [8, { calibration: 8, heldOut: 0, refits: [2, 2, 2, 2], few: true }],
    [3, { calibration: 3, heldOut: 0, refits: [1, 1, 1], few: true }],
    [1, { calibration: 1, heldOut: 0, refits: [], none: "there is only one" }],
  ])("of %i are not those that calibrate", (n, expected) => {
    const all = samples(n);
    const split = splitByNeed(all, float);
    expect({
      calibration: split.calibration.length,
      heldOut: split.heldOut.length,
      refits: split.refits.map((r) => r.heldOut.length),
      ...(split.few === true && { few: true }),
      ...(split.none !== undefined && { none: split.none }),
    }).toEqual(expected);
    for (const part of [{ calibration: split.calibration, heldOut: split.heldOut }, ...split.refits]) {
      expect(new Set([...part.calibration, ...part.heldOut]).size).toBe(part.calibration.length + part.heldOut.length);
    }
    // As many judge as it takes, and no more.
    const judging = judges(split, false).map((r) => r.heldOut.length);
    if (split.refits.length > 0) expect(judging.slice(0, -1).reduce((a, b) => a + b, 0)).toBeLessThan(64);
    if (n >= 64 && split.refits.length > 0) expect(judging.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(64);
    // What was changed with a look at some samples is judged on others.
    if (split.refits.length > 1 && split.few !== true) expect(judges(split, true)).not.toContain(split.refits[0]);
  });
  it("as a share that is stated are evenly spread, and none is said", () => {
    expect(splitSamples(samples(16), 0.25)).toMatchObject({ refits: [] });
    expect(splitSamples(samples(16), 0.25).heldOut).toHaveLength(4);
    expect(splitSamples(samples(16), 0).none).toMatch(/--hold-out 0/);
    expect(splitSamples(samples(2), 0.25).none).toMatch(/0\.25 of 2 samples is none/);
  });
});

describe("the cure", () => {
  const random = uniform(5);
  const data = Array.from({ length: 96 }, () => [Float64Array.from({ length: 8 }, random)]);
  const options = {
    samples: data.slice(0, 64),
    validation: data.slice(64),
    base: defaultPrecision,
    quantize: QUANTIZE_DEFAULTS.options,
    weights: QUANTIZE_DEFAULTS.weights,
    progress: () => {},
  };
  const db = (spec: typeof defaultPrecision): number => {
    const { float, fixed } = quantizeTo(spec, data.slice(0, 64), cancelling());
    return measureAccuracy(float, fixed, data.slice(64)).outputs["y"]!.sqnr_db;
  };

  it("raises the layer whose large values cancel, and nothing else by much", () => {
    expect(db(defaultPrecision)).toBeLessThan(20);
    const cured = cure(prepared(cancelling()), { ...options, bounds: bindBounds([parseBound("sqnr=25")], ["y"]) })!;
    expect(cured.kept).toBe(true);
    expect(db(cured.precision)).toBeGreaterThan(25);
    const most = cured.raised.reduce((a, b) => (b.to - b.from > a.to - a.from ? b : a));
    expect(most).toMatchObject({ name: "/large/MatMul" });
    // Bits that are not needed are not spent.
    expect(db(cured.precision)).toBeLessThan(40);
  });

  it("leaves a network alone that keeps its bounds", () => {
    expect(
      cure(prepared(), {
        ...options,
        samples: samples(32),
        validation: [],
        bounds: bindBounds([parseBound("sqnr=10")], ["y"]),
      }),
    ).toBeUndefined();
  });

  it("says so where no width does", () => {
    const cured = cure(prepared(cancelling()), { ...options, bounds: bindBounds([parseBound("sqnr=150")], ["y"]) })!;
    expect(cured.kept).toBe(false);
    expect(formatPrecision(cured.precision)).toMatch(/\/large\/MatMul=/);
  });
});
