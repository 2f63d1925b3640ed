/**
 * Whole networks, from ONNX through the passes to the fixed-point interpreter, against the float network on test data.
 */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import "../../src/ir/dialects.js";
import { Sink } from "../../src/diagnostics/index.js";
import { importOnnx } from "../../src/frontend/import.js";
import { readArrays, type NumericArray } from "../../src/frontend/npz.js";
import type { Module } from "../../src/ir/core.js";
import { prepareNn, prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import { removeDead } from "../../src/passes/common/dce.js";
import type { Pass } from "../../src/passes/define-pass.js";
import { measureAccuracy, type Accuracy } from "../../src/passes/nn/accuracy.js";
import { decomposeSoftmax } from "../../src/passes/nn/decompose-softmax.js";
import { foldScales } from "../../src/passes/nn/fold-scales.js";
import { lowerAverage } from "../../src/passes/nn/lower-average.js";
import {
  CALIBRATION_SAMPLES,
  FLOAT_MODULE,
  PRECISION,
  QUANTIZATION_REPORT,
  quantize,
  type QuantizationReport,
} from "../../src/passes/nn/quantize/index.js";
import { inputFormats, roundInputs, toRaw } from "../../src/passes/nn/quantize/inputs.js";
import { defaultPrecision, type PrecisionSpec } from "../../src/passes/nn/quantize/precision.js";
import { PassContext } from "../../src/passes/pass-context.js";
import { assertValid } from "../../src/ir/verify.js";

const SHARED = new URL("../../../shared/models", import.meta.url).pathname;
const EXAMPLE = new URL("../../examples/braggnn/", import.meta.url).pathname;

function load(path: string): Module {
  const sink = new Sink();
  const m = importOnnx(readFileSync(path), path, sink);
  if (m === undefined) throw new Error(sink.diagnostics.map((d) => d.message).join("\n"));
  return m;
}
function arrays(path: string): ReadonlyMap<string, NumericArray> {
  return readArrays(readFileSync(path), path);
}
function rows(a: NumericArray, limit = Infinity): Float64Array[] {
  const n = a.data.length / a.shape[0]!;
  return Array.from({ length: Math.min(limit, a.shape[0]!) }, (_, i) => a.data.subarray(i * n, (i + 1) * n));
}

interface Quantized {
  readonly float: Module;
  readonly fixed: Module;
  readonly report: QuantizationReport;
}
function quantizeWith(
  model: Module,
  calibration: readonly Float64Array[],
  precision: PrecisionSpec = defaultPrecision,
  more: Record<string, unknown> = {},
): Quantized {
  const ctx = new PassContext();
  ctx.set(
    CALIBRATION_SAMPLES,
    calibration.map((x) => [x]),
  );
  ctx.set(PRECISION, precision);
  let module = model;
  const run = (pass: Pass): void => {
    const options = Object.fromEntries(Object.entries(pass.options ?? {}).map(([k, s]) => [k, s.default]));
    for (const p of pass.requires ?? []) expect(p.holds(module), p.name).toBe(true);
    module = pass.run(module, { ...options, ...(pass === quantize ? more : {}) }, ctx) ?? module;
    removeDead(module.func.body);
    assertValid(module, pass.name);
    for (const p of pass.ensures ?? []) expect(p.holds(module), p.name).toBe(true);
  };
  [lowerAverage, foldScales, decomposeSoftmax, quantize].forEach(run);
  return { float: ctx.need(FLOAT_MODULE), fixed: module, report: ctx.need(QUANTIZATION_REPORT) };
}

/** Mean distance in pixels between outputs and truth, both in units of the 11-pixel patch. */
function localisationError(m: Module, x: readonly Float64Array[], truth: readonly Float64Array[]): number {
  const program = prepareNn(m);
  const ports = m.func.body.args.map((a) => a.type);
  let sum = 0;
  x.forEach((sample, i) => {
    const [u, v] = program.run(roundInputs([sample], ports))[0]!;
    sum += 11 * Math.hypot(u! - truth[i]![0]!, v! - truth[i]![1]!);
  });
  return sum / x.length;
}
function accuracy(q: Quantized, x: readonly Float64Array[]): Accuracy {
  return measureAccuracy(
    q.float,
    q.fixed,
    x.map((s) => [s]),
  );
}

describe("localisation networks at the default precision", () => {
  const cases: { name: string; model: string; calib: string; x: string; data: string; truth: string; count: number }[] =
    [
      ...(["braggnn_s1", "braggnn_s1_norm", "braggnn_s1_openhls", "bragg_small", "braggnn_s4"] as const).map(
        (name) => ({
          name,
          model: `${SHARED}/${name}/model_ts_op17_b1.onnx`,
          data: `${SHARED}/${name}/test.npz`,
          calib: "x_calib",
          x: "x_test",
          truth: "test_target",
          count: name === "braggnn_s4" ? 300 : 1000,
        }),
      ),
    ];
  for (const c of cases) {
    const missing = existsSync(c.model) ? "" : ` (skipped: ${c.model} is not on this machine)`;
    it.skipIf(missing !== "")(`${c.name} stays within 4% of the float error${missing}`, () => {
      const data = arrays(c.data);
      const float = load(c.model);
      const q = quantizeWith(load(c.model), rows(data.get(c.calib)!));
      const [x, truth] = [rows(data.get(c.x)!, c.count), rows(data.get(c.truth)!, c.count)];
      expect(localisationError(q.fixed, x, truth)).toBeLessThan(1.04 * localisationError(float, x, truth));
      expect(q.report.weights.every((w) => w.format.startsWith("fixed<8,") || w.format.startsWith("fixed<12,"))).toBe(
        true,
      );
    });
  }

  it("the example stays within 4% of the float error", () => {
    const test = arrays(`${EXAMPLE}data/test.npz`);
    const float = load(`${EXAMPLE}braggnn_s1.onnx`);
    const q = quantizeWith(load(`${EXAMPLE}braggnn_s1.onnx`), rows(arrays(`${EXAMPLE}data/calib.npz`).get("patch")!));
    const [x, truth] = [rows(test.get("patch")!, 1000), rows(test.get("target")!, 1000)];
    expect(localisationError(q.fixed, x, truth)).toBeLessThan(1.04 * localisationError(float, x, truth));
    const a = accuracy(q, x.slice(0, 100));
    expect(a.outputs["centre"]!.sqnr_db).toBeGreaterThan(45);
    expect(a.outputs["centre"]!.max_abs_error).toBeLessThan(0.02);
    expect(a.layers.length).toBeGreaterThan(10);
    expect(a.layers.map((l) => l.name)).toContain(a.worst_layer);
    expect(a.layers.filter((l) => l.saturated > 0.05)).toEqual([]);
    expect(q.report.tables.map((t) => t.fn)).toEqual(["exp_tail", "reciprocal"]);
    for (const t of q.report.tables) expect(t.max_error).toBeGreaterThan(0);
  });
});

describe("quantize", () => {
  const path = `${EXAMPLE}braggnn_s1.onnx`;
  const calibration = rows(arrays(`${EXAMPLE}data/calib.npz`).get("patch")!, 64);
  const spec = (more: Partial<PrecisionSpec>): PrecisionSpec => ({ ...defaultPrecision, ...more });

  it("gets better with more bits", () => {
    const sqnr = [6, 8, 12].map(
      (n) =>
        accuracy(quantizeWith(load(path), calibration, spec({ weights: n, activations: n })), calibration).outputs[
          "centre"
        ]!.sqnr_db,
    );
    expect(sqnr[1]! - sqnr[0]!).toBeGreaterThan(5);
    expect(sqnr[2]! - sqnr[1]!).toBeGreaterThan(8);
  });
  it("is deterministic", () => {
    const formats = (): string[] =>
      quantizeWith(load(path), calibration).report.tensors.map((t) => `${t.name} ${t.format}`);
    expect(formats()).toEqual(formats());
  });
  it("follows widths that are stated for ports and single layers", () => {
    const names = load(path)
      .func.body.ops.filter((o) => o.name === "nn.conv")
      .map((o) => o.loc.nodes[0]!);
    const layers = new Map([
      [names[0]!, { weights: 5, activations: 10 }],
      [names[1]!, { output: 7 }],
    ]);
    const q = quantizeWith(load(path), calibration, spec({ input: 6, output: 20, layers }));
    expect(inputFormats(q.fixed)[0]!.width).toBe(6);
    expect(q.report.outputs[0]).toMatch(/^u?fixed<20,/);
    expect(q.report.weights.find((w) => w.node === names[0])!.format).toMatch(/^fixed<5,/);
    const result = (node: string): string | undefined => {
      const conv = q.fixed.func.body.ops.find((o) => o.name === "nn.conv" && o.loc.nodes[0] === node)!;
      const rounding = conv.result.uses.find((u) => u.op.name === "nn.quantize")!.op;
      return q.report.tensors.find((t) => t.name === rounding.result.hint)?.format;
    };
    expect(result(names[0]!)).toMatch(/^fixed<10,/);
    expect(result(names[1]!)).toMatch(/^fixed<7,/);
  });
  it("names a layer that does not exist", () => {
    expect(() =>
      quantizeWith(load(path), calibration, spec({ layers: new Map([["/conv99", { weights: 4 }]]) })),
    ).toThrow(/QU004.*\/conv99/);
  });
  it("refuses calibration that makes the network infinite, and warns where there is none", () => {
    expect(() => quantizeWith(load(path), [calibration[0]!.map(() => Infinity)])).toThrow(/QU006/);
    const ctx = new PassContext();
    const m = load(path);
    for (const pass of [lowerAverage, foldScales, decomposeSoftmax])
      pass.run(m, Object.fromEntries(Object.entries(pass.options ?? {}).map(([k, s]) => [k, s.default])), ctx);
    removeDead(m.func.body);
    quantize.run(m, Object.fromEntries(Object.entries(quantize.options ?? {}).map(([k, s]) => [k, s.default])), ctx);
    expect(ctx.sink.diagnostics.map((d) => d.code)).toEqual(["CF001"]);
  });
  it("runs on raw integers as on values", () => {
    const q = quantizeWith(load(path), calibration);
    const port = inputFormats(q.fixed)[0]!;
    const out = (q.report.outputs[0]!.match(/,(-?\d+)>/) ?? [])[1];
    const raw = Array.from(prepareNnFixed(q.fixed).run([toRaw(calibration[0]!, port)])[0]!);
    const values = Array.from(
      prepareNn(q.fixed).run(
        roundInputs(
          [calibration[0]!],
          q.fixed.func.body.args.map((a) => a.type),
        ),
      )[0]!,
    );
    expect(raw.map((r) => r * 2 ** -Number(out))).toEqual(values);
  });
  it("refinement never leaves the outputs worse on calibration data", () => {
    const at = (refine: number): number =>
      accuracy(quantizeWith(load(path), calibration, spec({ activations: 6 }), { refine }), calibration.slice(0, 48))
        .outputs["centre"]!.rmse;
    expect(at(30)).toBeLessThanOrEqual(at(0) * 1.02);
  });
});

describe("classifiers and an autoencoder at the default precision", () => {
  const cases = [
    { name: "jet_mlp", truth: "test_target", drop: 0.01 },
    { name: "digit_cnn", truth: "test_target", drop: 0.01 },
  ];
  for (const c of cases) {
    const dir = `${SHARED}/${c.name}`;
    const missing = existsSync(dir) ? "" : ` (skipped: ${dir} is not on this machine)`;
    it.skipIf(missing !== "")(`${c.name} keeps its hit rate${missing}`, () => {
      const data = arrays(`${dir}/test.npz`);
      const q = quantizeWith(load(`${dir}/model_ts_op17_b1.onnx`), rows(data.get("x_calib")!));
      const [x, truth] = [rows(data.get("x_test")!, 500), data.get(c.truth)!.data];
      const hits = (m: Module): number => {
        const p = prepareNn(m);
        return x.filter((s, i) => {
          const y = p.run(
            roundInputs(
              [s],
              m.func.body.args.map((a) => a.type),
            ),
          )[0]!;
          return y.indexOf(Math.max(...y)) === truth[i];
        }).length;
      };
      expect(hits(q.fixed)).toBeGreaterThanOrEqual(hits(q.float) - c.drop * x.length);
    });
  }
  const dir = `${SHARED}/anomaly_ae`;
  const missing = existsSync(dir) ? "" : ` (skipped: ${dir} is not on this machine)`;
  it.skipIf(missing !== "")(`anomaly_ae ranks samples by their reconstruction error as in float${missing}`, () => {
    const data = arrays(`${dir}/test.npz`);
    const q = quantizeWith(load(`${dir}/model_ts_op17_b1.onnx`), rows(data.get("x_calib")!));
    const x = rows(data.get("x_test")!);
    const scores = (m: Module): number[] => {
      const p = prepareNn(m);
      return x.map((s) =>
        p
          .run(
            roundInputs(
              [s],
              m.func.body.args.map((a) => a.type),
            ),
          )[0]!
          .reduce((e, y, i) => e + (y - s[i]!) ** 2, 0),
      );
    };
    // Area under the curve: the chance that an anomaly (second half) scores above a normal sample.
    const auc = (s: readonly number[]): number => {
      const half = s.length / 2;
      const order = s.map((v, i) => [v, i] as const).sort((a, b) => a[0] - b[0]);
      let ranks = 0;
      order.forEach(([, i], rank) => (ranks += i >= half ? rank + 1 : 0));
      return (ranks - (half * (half + 1)) / 2) / (half * half);
    };
    const [a, b] = [auc(scores(q.float)), auc(scores(q.fixed))];
    expect(a).toBeGreaterThan(0.7);
    expect(Math.abs(a - b)).toBeLessThan(0.01);
  });
});
