/**
 * Random quantized networks against ONNX Runtime, with its kernels of integers: nothing in them computes with real numbers, every
 * quantized tensor follows from the integers in front of it, and the kernels that become hardware give the same numbers.
 */
import { describe, expect, it } from "vitest";
import { random } from "../backend/random-nets.js";
import { measureQuantized, type Agreement, type QuantizedRecord } from "../support/agreement.js";
import { onnxRuntimeMissing } from "../support/onnxruntime.js";
import { randomQuantized } from "./random-integers.js";

const SEEDS = Number(process.env["SEEDS"] ?? 120);

async function measure(seed: number, wide: boolean): Promise<QuantizedRecord & { operators: readonly string[] }> {
  const net = randomQuantized(random(seed * 7919 + (wide ? 1 : 0)), wide);
  const r = await measureQuantized(`seed_${seed}.onnx`, net.bytes, { samples: 4, flow: true, references: ["nodes"], random: random(seed) });
  return { ...r, operators: net.operators };
}

/** All elements of several networks together. */
function together(list: readonly Agreement[]): Agreement {
  const elements = list.reduce((n, a) => n + a.elements, 0);
  return { elements, equal: list.reduce((n, a) => n + a.equal * a.elements, 0) / elements, most: Math.max(...list.map((a) => a.most)) };
}

describe.skipIf(onnxRuntimeMissing !== undefined)(`random quantized networks equal ONNX Runtime ${onnxRuntimeMissing ?? ""}`, () => {
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
    // Every operator of the generator was there.
    if (SEEDS >= 100) expect(new Set(records.flatMap((r) => r.operators)).size).toBeGreaterThanOrEqual(25);
  });
});
