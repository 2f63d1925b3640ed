/** Rows of long tables by indices that the network reads: right for every index, not only for those that calibrated. */
import { describe, expect, it } from "vitest";
import { throughHardware } from "./hardware.js";
import { floats, importValid, node, onnx, weights } from "./support.js";

const [ROWS, COLUMNS] = [2000, 3];
const table = Array.from({ length: ROWS * COLUMNS }, (_, i) => Math.sin(i * i) * (1 + (i % 5)));
const model = onnx({
  node: [node("Gather", ["w", "x"], ["y"])],
  initializer: [weights("w", [ROWS, COLUMNS], table)],
  input: [floats("x", [1, 4], 7)],
  output: [floats("y", [1, 4, COLUMNS])],
});

describe("an embedding of 2,000 rows", () => {
  it("is one read of memory per element", () => {
    const ops = importValid(model, "embedding.onnx").func.body.ops.map((op) => op.name);
    expect(ops).toContain("nn.take");
    expect(ops).not.toContain("nn.matmul");
  });

  it.each([1, 12])("reads rows that calibration has not seen, at an interval of %i", (ii) => {
    const small = [[Float64Array.of(0, 1, 2, 3)], [Float64Array.of(4, 5, 6, 7)]];
    const samples = [[Float64Array.of(1999, 0, 1024, 511)], [Float64Array.of(-1, -2000, 3, 1500)]];
    const r = throughHardware(importValid(model, "embedding.onnx"), samples, ii, { calibration: small });
    r.expected.forEach((outputs, s) => expect(r.simulated[s]![0]).toEqual([...outputs[0]!]));
    expect(r.measured).toEqual(r.predicted);
    expect(r.accuracy.outputs["y"]!.sqnr_db).toBeGreaterThan(60);
  });
});
