/**
 * Every operator through the whole compiler: accurate, and the rtl equals the bit-exact model on the predicted cycle.
 */
import { describe, expect, it } from "vitest";
import { throughHardware } from "./hardware.js";
import { arrays, modelOf, names, samplesOf } from "./operator-cases.js";
import { importValid } from "./support.js";

/** Functions that are not defined below 0. */
const positive = new Set(["log", "sqrt", "reciprocal", "reducelogsum"]);

describe("operators in hardware", () => {
  it.each(names)(
    "%s",
    (name) => {
      const x = arrays.get(`${name}.x`)!.data;
      const variants = samplesOf(name, (v) => [
        v,
        v.map((e) => -e / 2),
        v.map((_, i) => v[(i * 7 + 3) % v.length]!),
        v.map((e) => 0.9 * e),
      ]);
      const samples = variants.map((v) => [positive.has(name) ? v.map(Math.abs) : v]);
      // Unroll factors from fully parallel to fully folded, by turns.
      const ii = [1, 5, 16, 60][names.indexOf(name) % 4]!;
      const r = throughHardware(importValid(modelOf(name), `${name}.onnx`), samples, ii);
      r.expected.forEach((outputs, s) =>
        outputs.forEach((want, i) => expect(r.simulated[s]![i], `sample ${s}`).toEqual([...want])),
      );
      expect(r.measured).toEqual(r.predicted);
      expect(r.predicted.interval).toBeLessThanOrEqual(Math.max(ii, x.length));
      for (const output of Object.values(r.accuracy.outputs)) expect(output.sqnr_db).toBeGreaterThan(25);
    },
    20_000,
  );
});
