/**
 * Random quantized networks against ONNX Runtime, with its kernels of integers: nothing in them computes with real
 * numbers, every quantized tensor follows from the integers in front of it, and the kernels that become hardware give
 * the same numbers.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readArrays } from "../../src/frontend/npz.js";
import { decodeModel } from "../../src/frontend/onnx-proto.js";
import { elementCount, type TensorType } from "../../src/ir/types.js";
import { random } from "../backend/random-nets.js";
import { throughHardware } from "../frontend/hardware.js";
import { importValid } from "../frontend/support.js";
import {
  Count,
  countOutput,
  measureQuantized,
  throughFixedPoint,
  type Agreement,
  type QuantizedRecord,
} from "../support/agreement.js";
import { onnxRuntimeMissing } from "../support/onnxruntime.js";
import { randomQuantized } from "./random-integers.js";

const SEEDS = Number(process.env["SEEDS"] ?? 120);

async function measure(seed: number, wide: boolean): Promise<QuantizedRecord & { operators: readonly string[] }> {
  const net = randomQuantized(random(seed * 7919 + (wide ? 1 : 0)), wide);
  const r = await measureQuantized(`seed_${seed}.onnx`, net.bytes, {
    samples: 4,
    flow: true,
    references: wide ? ["nodes", "exact"] : ["nodes"],
    random: random(seed),
  });
  return { ...r, operators: net.operators };
}

/** All elements of several networks together. */
function together(list: readonly Agreement[]): Agreement {
  const elements = list.reduce((n, a) => n + a.elements, 0);
  return {
    elements,
    equal: list.reduce((n, a) => n + a.equal * a.elements, 0) / elements,
    most: Math.max(...list.map((a) => a.most)),
  };
}

describe.skipIf(onnxRuntimeMissing !== undefined)(
  `random quantized networks equal ONNX Runtime ${onnxRuntimeMissing ?? ""}`,
  () => {
    it("with 8 bits, in 99.99 % of elements and never more than one step off", async () => {
      const records: Awaited<ReturnType<typeof measure>>[] = [];
      for (let seed = 1; seed <= SEEDS; seed++) {
        const r = await measure(seed, false);
        expect(r.real, `seed ${seed}`).toEqual([]);
        expect(r.flow, `seed ${seed}: flow`).toBe(true);
        expect(r.compared[0]!.given.most, `seed ${seed}: steps`).toBeLessThanOrEqual(1);
        records.push(r);
      }
      const all = together(records.map((r) => r.compared[0]!.given));
      expect(all.elements).toBeGreaterThan(30 * SEEDS);
      expect(all.equal).toBeGreaterThanOrEqual(0.9999);
      // What leaves the networks, without help from the reference in between.
      expect(together(records.map((r) => r.compared[0]!.outputs)).equal).toBeGreaterThanOrEqual(0.9999);
      // Every operator of the generator was there.
      if (SEEDS >= 100) expect(new Set(records.flatMap((r) => r.operators)).size).toBeGreaterThanOrEqual(25);
    });

    it("with up to 16 bits, never more than one step off", async () => {
      const [records, exact]: [Agreement[], Agreement[]] = [[], []];
      for (let seed = 1; seed <= SEEDS / 4; seed++) {
        const r = await measure(seed, true);
        expect(r.real, `seed ${seed}`).toEqual([]);
        expect(r.flow, `seed ${seed}: flow`).toBe(true);
        records.push(r.compared[0]!.given);
        exact.push(...r.compared.slice(1).map((c) => c.given));
      }
      const all = together(records);
      expect(all.most).toBeLessThanOrEqual(1);
      // In float32, which ONNX Runtime computes these in, one step in 2^16 is near the last bit.
      expect(all.equal).toBeGreaterThanOrEqual(0.999);
      // In float64 it is not.
      expect(exact.length).toBeGreaterThan(SEEDS / 40);
      expect(together(exact).equal).toBeGreaterThanOrEqual(0.9999);
    });
  },
);

describe("recorded random quantized networks", () => {
  const arrays = readArrays(
    readFileSync(new URL("fixtures/random-integers.npz", import.meta.url)),
    "random-integers.npz",
  );
  const parts = (name: string): Float64Array[] => {
    const a = arrays.get(name)!;
    const size = elementCount(a.shape.slice(1));
    return Array.from({ length: a.shape[0]! }, (_, k) => Float64Array.from(a.data.subarray(k * size, (k + 1) * size)));
  };

  it("give ONNX Runtime's outputs: 99.99 % of elements with 8 bits, no element more than one step off", () => {
    const [narrow, wide] = [new Count(), new Count()];
    const networks = arrays.size / 3;
    for (let k = 0; k < networks; k++) {
      const bytes = Uint8Array.from(arrays.get(`${k}.model`)!.data);
      const results = throughFixedPoint(
        `${k}.onnx`,
        bytes,
        parts(`${k}.x`).map((x) => [x]),
        true,
      );
      expect(results.real, `network ${k}`).toEqual([]);
      expect(results.flow, `network ${k}: flow`).toBe(true);
      const model = decodeModel(bytes);
      parts(`${k}.y`).forEach((want, n) =>
        countOutput(k % 4 === 3 ? wide : narrow, model, results.names[0]!, results.outputs[n]![0]!, want),
      );
    }
    expect(networks).toBeGreaterThanOrEqual(40);
    expect(narrow.agreement.elements).toBeGreaterThan(1000);
    expect(narrow.agreement.equal).toBeGreaterThanOrEqual(0.9999);
    expect(narrow.agreement.most).toBeLessThanOrEqual(1);
    expect(wide.agreement.equal).toBeGreaterThanOrEqual(0.99);
  });
});

describe("random quantized networks as hardware", () => {
  it.each([3, 5, 17, 21])("seed %i: the simulated rtl gives the interpreter's integers", (seed) => {
    const net = importValid(randomQuantized(random(seed * 7919), false).bytes, `seed_${seed}.onnx`);
    const rnd = random(seed);
    const samples = Array.from({ length: 4 }, () =>
      net.func.body.args.map((a) =>
        Float64Array.from({ length: elementCount((a.type as TensorType).shape) }, () => Math.floor(256 * rnd()) - 128),
      ),
    );
    const run = throughHardware(net, samples, 200);
    expect(run.simulated).toEqual(run.expected.map((outputs) => outputs.map((y) => [...y])));
    expect(run.measured).toEqual(run.predicted);
  });
});
