import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { readArrays } from "../../src/frontend/npz.js";
import { importValid } from "./support.js";
import { throughHardware } from "./hardware.js";
const arrays = readArrays(readFileSync(new URL("fixtures/ml.npz", import.meta.url)), "ml.npz");
const want = (process.env["CASES"] ?? "forest_regressor").split(",");
const iis = (process.env["II"] ?? "1").split(",").map(Number);
for (const name of want) for (const ii of iis)
  it(`${name} ${ii}`, () => {
    const module = importValid(Uint8Array.from(arrays.get(`${name}.model`)!.data), `${name}.onnx`);
    const x = arrays.get(`${name}.x`)!;
    const [samples, features] = x.shape as [number, number];
    const data = Array.from({ length: samples }, (_, s) => [Float64Array.from(x.data.slice(s * features, (s + 1) * features))]);
    const r = throughHardware(module, data, ii);
    console.log(name, ii, JSON.stringify({ predicted: r.predicted, measured: r.measured, direct: r.direct, acc: r.accuracy }).slice(0, 900));
    expect(r.simulated).toEqual(r.expected.map((o) => o.map((d) => [...d])));
    expect(r.measured).toEqual(r.predicted);
  });
