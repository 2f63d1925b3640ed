/** Every operator through the whole compiler: accurate, and the rtl equals the bit-exact model on the predicted cycle. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readArrays } from "../../src/frontend/npz.js";
import { throughHardware } from "./hardware.js";
import { importValid } from "./support.js";

const arrays = readArrays(readFileSync(new URL("fixtures/operators.npz", import.meta.url)), "operators.npz");
const names = [...arrays.keys()].filter((k) => k.endsWith(".model")).map((k) => k.slice(0, -".model".length));
/** Functions that are not defined below 0. */
const positive = new Set(["log", "sqrt", "reciprocal", "reducelogsum"]);

describe("operators in hardware", () => {
  it.each(names)("%s", (name) => {
    const x = arrays.get(`${name}.x`)!.data;
    const variants = [x, x.map((v) => -v / 2), x.map((_, i) => x[(i * 7 + 3) % x.length]!), x.map((v) => 0.9 * v)];
    const samples = variants.map((v) => [positive.has(name) ? v.map(Math.abs) : v]);
    // Unroll factors from fully parallel to fully folded, by turns.
    const ii = [1, 5, 16, 60][names.indexOf(name) % 4]!;
    const r = throughHardware(importValid(Uint8Array.from(arrays.get(`${name}.model`)!.data), `${name}.onnx`), samples, ii);
    r.expected.forEach((outputs, s) => outputs.forEach((want, i) => expect(r.simulated[s]![i], `sample ${s}`).toEqual([...want])));
    expect(r.measured).toEqual(r.predicted);
    expect(r.predicted.interval).toBeLessThanOrEqual(Math.max(ii, x.length));
    for (const output of Object.values(r.accuracy.outputs)) expect(output.sqnr_db).toBeGreaterThan(25);
  }, 20_000);
});
