/**
 * Choices by a sign: positions of extremes and comparisons are those of the quantized operands, however little these
 * differ.
 */
import { describe, expect, it } from "vitest";
import { floats, importValid, integers, node, onnx } from "../frontend/support.js";
import { newSession } from "../../src/driver.js";
import "../../src/driver/stages.js";
import { prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import { fixedOf } from "../../src/ir/nn/values.js";
import { rawRange } from "../../src/ir/types.js";
import { mulberry32 } from "../../src/driver/evaluate.js";
import { CALIBRATION_SAMPLES } from "../../src/passes/nn/quantize/index.js";
import { PassContext } from "../../src/passes/pass-context.js";
import { PassManager } from "../../src/passes/pass-manager.js";

const N = 7;
const rnd = mulberry32(5);

/** Outputs for raw inputs of which many are equal or neighbours. */
function outputs(
  nodes: readonly object[],
  initializer: readonly object[] = [],
): { raw: number[]; results: number[][] }[] {
  const module = importValid(
    onnx({ node: nodes, initializer, input: [floats("x", [1, N])], output: [floats("y", [])] }),
    "choice.onnx",
  );
  const { sink } = newSession();
  const context = new PassContext(sink, () => {});
  context.set(
    CALIBRATION_SAMPLES,
    Array.from({ length: 32 }, () => [Float64Array.from({ length: N }, rnd)]),
  );
  const fixed = new PassManager().run(module, "@fixed-point", { context, sink }).module;
  const { lo, hi } = rawRange(fixedOf(fixed.func.body.args[0]!)!);
  const program = prepareNnFixed(fixed);
  const scales = fixed.func.body.terminator.operands.map((v) => 2 ** -fixedOf(v)!.frac);
  return Array.from({ length: 300 }, () => {
    const base = lo + Math.floor(rnd() * (hi - lo - 2));
    const raw = Array.from({ length: N }, () => base + Math.floor(rnd() * 3));
    return {
      raw,
      results: program.run([Int32Array.from(raw)]).map((d, i) => Array.from(d, (v) => Number(v) * scales[i]! + 0)),
    };
  });
}

describe("choices are exact on what was quantized", () => {
  it.each(["ArgMax", "ArgMin"])("%s", (opType) => {
    for (const { raw, results } of outputs([node(opType, ["x"], ["y"], "", [{ name: "axis", type: 2, i: 1 }])])) {
      const extreme = opType === "ArgMax" ? Math.max(...raw) : Math.min(...raw);
      expect(results[0], raw.join()).toEqual([raw.indexOf(extreme)]);
    }
  });
  it("TopK", () => {
    for (const { raw, results } of outputs(
      [node("TopK", ["x", "k"], ["v", "y"], "", [{ name: "axis", type: 2, i: 1 }])],
      [integers("k", [1], [3])],
    )) {
      const order = raw.map((v, i) => ({ v, i })).sort((a, b) => b.v - a.v || a.i - b.i);
      expect(results[0], raw.join()).toEqual(order.slice(0, 3).map((e) => e.i));
    }
  });
});
