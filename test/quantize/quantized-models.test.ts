/**
 * Models that were quantized before, against the integers that ONNX Runtime computes (`fixtures/make-quantized.py`):
 * the float interpreter of the imported graph, the fixed-point network, and the fused kernels that become hardware.
 */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { stagePipeline } from "../../src/driver/stages.js";
import { Sink } from "../../src/diagnostics/index.js";
import { readArrays } from "../../src/frontend/npz.js";
import { cloneModule, type Module, type Op } from "../../src/ir/core.js";
import { prepareFlow } from "../../src/ir/eval/flow.js";
import { prepareNn } from "../../src/ir/eval/nn-fixed.js";
import { fixedOf } from "../../src/ir/nn/values.js";
import { portScale } from "../../src/ir/port-scales.js";
import { PassContext } from "../../src/passes/pass-context.js";
import { PassManager } from "../../src/passes/pass-manager.js";
import { CALIBRATION_SAMPLES } from "../../src/passes/nn/quantize/index.js";
import { roundInputs, toRaw } from "../../src/passes/nn/quantize/inputs.js";
import { importValid, node, onnx, refusal } from "../frontend/support.js";

const arrays = readArrays(readFileSync(new URL("fixtures/quantized.npz", import.meta.url)), "quantized.npz");
const names = [...arrays.keys()].filter((k) => k.endsWith(".model")).map((k) => k.slice(0, -".model".length));
const PEERS = new URL("../../../shared/peers/", import.meta.url).pathname;

interface Built {
  readonly float: Module;
  readonly fixed: Module;
  readonly flow: Module;
}

function build(bytes: Uint8Array, file: string, calibration: readonly Float64Array[][]): Built {
  const sink = new Sink();
  const context = new PassContext(sink, () => undefined);
  context.set(CALIBRATION_SAMPLES, calibration);
  const run = (m: Module, pipeline: string): Module =>
    new PassManager().run(cloneModule(m), pipeline, { context, sink, verifyEach: true }).module;
  const float = importValid(bytes, file);
  const fixed = run(run(float, stagePipeline("prepare")), stagePipeline("to-fixed"));
  return { float, fixed, flow: run(fixed, stagePipeline("lower")) };
}

/** Real outputs of the fixed-point network, and whether the fused kernels give the same integers, for each sample. */
function outputsOf(b: Built, samples: readonly Float64Array[][]): { y: Float64Array; agrees: boolean }[] {
  const [nn, flow] = [prepareNn(b.fixed), prepareFlow(b.flow)];
  const args = b.fixed.func.body.args;
  const scales = args.map((_, i) => portScale(b.fixed.func, "input_scales", i));
  const scale = portScale(b.fixed.func, "output_scales", 0);
  const unit = 2 ** -fixedOf(b.fixed.func.body.terminator.operand(0))!.frac;
  return samples.map((s) => {
    const y = nn.run(
      roundInputs(
        s,
        args.map((a) => a.type),
        scales,
      ),
    )[0]!;
    const raw = flow.run(
      s.map((x, i) =>
        toRaw(
          Float64Array.from(x, (v) => v / scales[i]!),
          fixedOf(args[i]!)!,
        ),
      ),
    )[0]!;
    return { y: Float64Array.from(y, (v) => v * scale), agrees: y.every((v, k) => v === raw[k]! * unit) };
  });
}

function rows(key: string): Float64Array[][] {
  const a = arrays.get(key)!;
  const n = arrays.get(key.replace(/\.x$/, ".y"))!.shape[0]!;
  const size = a.data.length / n;
  return Array.from({ length: n }, (_, i) => [Float64Array.from(a.data.subarray(i * size, (i + 1) * size))]);
}

/** Differences in least significant bits. */
function steps(got: ArrayLike<number>, want: ArrayLike<number>, unit: number): { share: number; most: number } {
  let [off, most] = [0, 0];
  for (let i = 0; i < got.length; i++) {
    const d = Math.abs(got[i]! - want[i]!) / unit;
    if (d > 0.25) off++;
    most = Math.max(most, d);
  }
  return { share: off / got.length, most };
}

const modelOf = (name: string): Uint8Array => Uint8Array.from(arrays.get(`${name}.model`)!.data);

describe("quantized models equal ONNX Runtime", () => {
  it.each(names)("%s", (name) => {
    const samples = rows(`${name}.x`);
    const want = arrays.get(`${name}.y`)!.data;
    const unit = arrays.get(`${name}.unit`)!.data[0]!;
    const b = build(modelOf(name), `${name}.onnx`, samples);
    const interpreter = prepareNn(b.float);
    const float = samples.flatMap((s) => [...interpreter.run(s)[0]!]);
    expect(steps(float, want, unit)).toMatchObject({ share: 0 });
    const results = outputsOf(b, samples);
    expect(results.every((r) => r.agrees)).toBe(true);
    expect(
      steps(
        results.flatMap((r) => [...r.y]),
        want,
        unit,
      ),
    ).toMatchObject({ share: 0 });
  });
});

describe("the integers of the model reach the hardware", () => {
  const weightsOf = (m: Module): Op[] =>
    m.func.body.ops.filter((op) => op.name === "nn.conv" || op.name === "nn.matmul").map((op) => op.operand(1).def!);
  const built = (name: string): Built => build(modelOf(name), name, rows(`${name}.x`));

  it("4-bit weights are multiplied as 4 bits, signs as signs", () => {
    for (const [name, widths] of [
      ["int4_channels", [4]],
      ["qonnx_4bit", [4, 2]],
    ] as const) {
      expect(weightsOf(built(name).fixed).map((c) => fixedOf(c.result)!.width)).toEqual(widths);
    }
  });
  it("a padded convolution pads with the zero point", () => {
    const conv = built("conv_padded").fixed.func.body.ops.find((op) => op.name === "nn.conv")!;
    // Codes are multiplied as they are, 8 bits wide.
    expect(fixedOf(conv.operand(0))).toMatchObject({ signed: false, width: 8, frac: 0 });
    expect(conv.attrs["pad_value"]).toBe(117);
  });
  it("a function between two quantized tensors is one table", () => {
    const ops = built("uint8_weights").fixed.func.body.ops.map((op) => op.name);
    expect(ops.filter((op) => op === "nn.lookup")).toHaveLength(1);
    expect(ops).not.toContain("nn.unary");
  });
});

describe.skipIf(!existsSync(PEERS))("networks shared with other tools (../shared/peers)", () => {
  const golden = existsSync(PEERS) ? readArrays(readFileSync(`${PEERS}golden_rne.npz`), "golden") : new Map();
  const cases = ["jet_int6", "jet_int6p75", "jet_int8", "conv_int6", "conv_int8"].flatMap((n) => [
    `${n}_qdq`,
    `${n}_qonnx`,
  ]);
  it.each(cases)("%s gives the golden integers", (name) => {
    const [net, base] = [name.split("_")[0]!, name.replace(/_q(dq|onnx)$/, "")];
    const x = golden.get(`${net}_x`)!;
    const count = x.shape[0]!;
    const size = x.data.length / count;
    const scale = net === "jet" ? 2 ** -5 : 2 ** -8;
    const used = net === "jet" ? count : 20;
    const samples = Array.from({ length: used }, (_, i) => [
      Float64Array.from(x.data.subarray(i * size, (i + 1) * size) as Float64Array, (v: number) => v * scale),
    ]);
    const want = golden.get(`${base}_rne`)!.data;
    const unit = 2 ** -golden.get(`${base}_frac`)!.data[0]!;
    const b = build(readFileSync(`${PEERS}${name}.onnx`), name, samples.slice(0, 8));
    const got = outputsOf(b, samples);
    expect(got.every((r) => r.agrees)).toBe(true);
    expect(got.flatMap((r) => [...r.y].map((v) => v / unit))).toEqual([
      ...want.subarray(0, used * (want.length / count)),
    ]);
    for (const c of b.fixed.func.body.ops.filter((op) => op.name === "nn.matmul" || op.name === "nn.conv")) {
      expect(fixedOf(c.operand(1))!.width).toBeLessThanOrEqual(base.includes("int6") ? 6 : 8);
    }
  });
});

describe("what fixed hardware cannot quantize is refused", () => {
  it("scales that are computed from each sample", () => {
    const bytes = onnx({ node: [node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])] });
    expect(
      refusal(bytes)
        .map((d) => `${d.message} ${d.hint ?? ""}`)
        .join(),
    ).toMatch(/each sample.*static/s);
  });
});
