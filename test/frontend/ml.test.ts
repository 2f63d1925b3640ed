/** Models of ai.onnx.ml, as exporters write them and by hand, against ONNX Runtime's outputs; `fixtures/make-ml.py` made the cases. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readArrays } from "../../src/frontend/npz.js";
import { decodeModel } from "../../src/frontend/onnx-proto.js";
import { onnxOperators } from "../../src/frontend/operators/index.js";
import { importValid, maxDifference, run } from "./support.js";

const arrays = readArrays(readFileSync(new URL("fixtures/ml.npz", import.meta.url)), "ml.npz");
const names = [...arrays.keys()].filter((k) => k.endsWith(".model")).map((k) => k.slice(0, -".model".length));
const modelOf = (name: string): Uint8Array => Uint8Array.from(arrays.get(`${name}.model`)!.data);

describe("models equal ONNX Runtime, sample by sample", () => {
  it.each(names)("%s", (name) => {
    const module = importValid(modelOf(name), `${name}.onnx`);
    const input = (module.func.attrs["inputs"] as readonly string[])[0]!;
    const x = arrays.get(`${name}.x`)!;
    const [samples, features] = x.shape as [number, number];
    const want = [0, 1].flatMap((k) => arrays.get(`${name}.y${k}`) ?? []);
    for (let s = 0; s < samples; s++) {
      const results = run(module, new Map([[input, x.data.slice(s * features, (s + 1) * features)]]));
      expect(results).toHaveLength(want.length);
      results.forEach(({ data }, k) => {
        const width = want[k]!.data.length / samples;
        const expected = want[k]!.data.slice(s * width, (s + 1) * width);
        const size = expected.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
        expect(maxDifference(data, expected) / size, `sample ${s}, output ${k}: ${[...data].join()} for ${[...expected].join()}`).toBeLessThan(2e-5);
      });
    }
  });

  it("every operator of the domain occurs", () => {
    const used = new Set(names.flatMap((n) => decodeModel(modelOf(n)).graph!.node.map((o) => `${o.domain}::${o.opType}`)));
    expect(onnxOperators().map((o) => o.opType).filter((o) => o.startsWith("ai.onnx.ml::") && !used.has(o))).toEqual([]);
  });
});
