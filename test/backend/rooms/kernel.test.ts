/** The room `kernel`: lanes, products, pipelines and prices of one kernel. */
import { beforeAll, describe, expect, it } from "vitest";
import { firstOf, present } from "../../../src/ir/present.js";
import { kernelMacs, laneCount } from "../../../src/ir/flow/kernel.js";
import { fixed, rawRange } from "../../../src/ir/types.js";
import { evaluateAdderGraph } from "../../../src/backend-hls/kernel/adder-graph.js";
import { buildAdderGraph, signedDigitsOf } from "../../../src/backend-hls/kernel/build-adder-graph.js";
import { productByConstant } from "../../../src/backend-hls/kernel/constant-product.js";
import {
  accumulatorLoops,
  elemOf,
  isConstantOperand,
  kernelLanes,
  sumType,
  weightTable,
  weightWords,
} from "../../../src/backend-hls/kernel/datapath.js";
import { compareLevels, numberBits, tableLevels } from "../../../src/backend-hls/kernel/decisions.js";
import { kernelMultipliers, kernelResources } from "../../../src/backend-hls/kernel/kernel-area.js";
import { packingOf } from "../../../src/backend-hls/kernel/packing.js";
import { planPipeline } from "../../../src/backend-hls/kernel/pipeline.js";
import { plainProduct, planProducts } from "../../../src/backend-hls/kernel/products.js";
import { StageClock } from "../../../src/backend-hls/kernel/stage-clock.js";
import type { PlannedKernel } from "../../../src/backend-hls/design/design.js";
import { deviceCalled, scheduledNetwork } from "../scheduled.js";

const kernels: PlannedKernel[] = [];
beforeAll(() => {
  for (let seed = 1; seed <= 16; seed++) kernels.push(...scheduledNetwork(seed).design.kernels);
});
const device = deviceCalled("xcu280");

describe("stages", () => {
  it("begin a new cycle where an operation does not fit into what is left", () => {
    const clock = new StageClock(device, 250, 1);
    let slot = clock.place([], 0.5);
    for (let i = 0; i < 20; i++) {
      const next = clock.place([slot], 0.5);
      expect(next.ns).toBeLessThanOrEqual(clock.period);
      expect(next.stage === slot.stage ? next.ns > slot.ns : next.stage === slot.stage + 1).toBe(true);
      slot = next;
    }
  });
  it("count the carry of a chain of sums once", () => {
    const clock = new StageClock(device, 100, 1);
    const one = clock.sum([], 32);
    const two = clock.sum([one], 32);
    expect(two.ns - one.ns).toBeCloseTo(device.timing.add, 9);
  });
});

describe("pipelines", () => {
  const plan = (k: PlannedKernel, clockMhz: number) =>
    planPipeline(k.op, k.spec, k.products, device, clockMhz, { fromBlockRam: () => false });

  it("have more stages at a faster clock, and none of it at a crawl", () => {
    for (const k of kernels) {
      const [slow, fast] = [plan(k, 10), plan(k, 400)];
      expect(fast.depth).toBeGreaterThanOrEqual(slow.depth);
    }
    expect(kernels.some((k) => plan(k, 400).depth > plan(k, 10).depth)).toBe(true);
  });
  it("compute nothing before its operands", () => {
    for (const k of kernels)
      for (const [op, stage] of k.pipeline.stageOf)
        for (const v of op.operands) {
          const before = v.def === undefined ? undefined : k.pipeline.stageOf.get(v.def);
          if (before !== undefined) expect(stage).toBeGreaterThanOrEqual(before);
        }
  });
});

describe("lanes", () => {
  it("are the product of the unroll factors, outputs times terms", () => {
    for (const { spec } of kernels) {
      if (spec.trees !== undefined) continue;
      const { outputs, terms } = kernelLanes(spec);
      expect(outputs.length * terms.length).toBe(laneCount(spec));
    }
  });
  it("accumulate where a reduction is not unrolled", () => {
    for (const { spec } of kernels) {
      const { reductions } = accumulatorLoops(spec);
      expect(reductions.every((l) => l.kind === "reduction" && l.trips > 1)).toBe(true);
    }
  });
  it("have their weights in the order of use", () => {
    let tables = 0;
    for (const { spec } of kernels)
      spec.operands.forEach((_, i) => {
        if (!isConstantOperand(spec, i)) return;
        const table = weightTable(spec, i);
        const dense = weightWords(table);
        expect(dense.shape).toEqual([table.rows.length, table.lanes.length]);
        expect(Array.from(dense.data.slice(0, table.lanes.length), Number)).toEqual(Array.from(firstOf(table.rows)));
        tables++;
      });
    expect(tables).toBeGreaterThan(5);
  });
  it("need no wider sums than the accumulator", () => {
    expect(sumType(fixed(8, 0), 4, fixed(20, 0))).toMatchObject({ width: 10, frac: 0 });
    expect(sumType(fixed(8, 0), 1 << 20, fixed(20, 0)).width).toBe(20);
  });
});

describe("products", () => {
  it("serve every output lane once", () => {
    for (const { op, spec } of kernels) {
      const { units, lanes } = planProducts(op, spec, device);
      const served = units.flatMap((u) => u.outputs).sort((a, b) => a - b);
      expect(served).toEqual(lanes.outputs.map((_, n) => n));
    }
  });
  it("share a multiplier block where the lower one can be told from the upper", () => {
    let found = 0;
    for (const { op, spec } of kernels)
      for (const [shared, packed] of [plainProduct(op, spec) ?? []].flatMap(([a, b]) =>
        a === undefined || b === undefined ? [] : [[a, b] as const, [b, a] as const],
      )) {
        const packing = packingOf(spec, device, shared, packed);
        if (packing === undefined) continue;
        const ends = (i: number): bigint[] => Object.values(rawRange(elemOf(spec, i))).map(BigInt);
        for (const a of ends(shared))
          for (const upper of ends(packed))
            for (const lower of ends(packed)) {
              const both = ((upper << BigInt(packing.shift)) + lower) * a;
              const low = (packing.borrows ? BigInt.asIntN : BigInt.asUintN)(packing.shift, both);
              expect([low, (both - low) >> BigInt(packing.shift)]).toEqual([lower * a, upper * a]);
            }
        found++;
      }
    expect(found).toBeGreaterThan(0);
  });
  it("by constants are graphs of sums that give the product", () => {
    let found = 0;
    for (const { op } of kernels)
      for (const o of op.regions.flatMap((r) => r.ops)) {
        if (o.name !== "fx.mul" || o.operands.every((v) => v.def?.name !== "fx.constant")) continue;
        const { varying, graph } = productByConstant(o);
        const c = BigInt(String(present(o.operand(1 - varying).def, "constant").attrs["raw"]));
        expect(evaluateAdderGraph(graph, [3n])).toEqual([3n * c]);
        found++;
      }
    expect(found).toBeGreaterThan(0);
    const graph = buildAdderGraph(
      [[45, -3]],
      [
        { lo: 0, hi: 7 },
        { lo: 0, hi: 7 },
      ],
    );
    expect(evaluateAdderGraph(graph, [5n, 2n])).toEqual([219n]);
    expect(signedDigitsOf(7)).toEqual([
      { shift: 0, sign: -1 },
      { shift: 3, sign: 1 },
    ]);
  });
});

describe("prices of candidates", () => {
  it("count the products of a step", () => {
    for (const { op, spec, steps } of kernels) {
      const macs = kernelMacs(op, spec);
      if (macs > 0) expect(kernelMultipliers(op, spec) * steps).toBeGreaterThanOrEqual(macs);
    }
  });
  it("are higher for more lanes", () => {
    for (const { op, spec } of kernels) {
      const single = { ...spec, schedule: { order: spec.iterators.map((i) => i.name), unroll: {} } };
      if (spec.trees !== undefined || laneCount(spec) < 8) continue;
      const [one, many] = [kernelResources(device, op, single), kernelResources(device, op, spec)];
      expect(many.lut + 80 * many.dsp).toBeGreaterThan(one.lut + 80 * one.dsp - 200);
    }
  });
});

describe("decisions", () => {
  it("take tables of a lookup table's width", () => {
    expect([1, 2, 3, 9].map(numberBits)).toEqual([0, 1, 2, 4]);
    expect(compareLevels(device, 4)).toBeLessThanOrEqual(compareLevels(device, 32));
    expect(tableLevels(device, 6)).toBe(1);
    expect(tableLevels(device, 9)).toBeGreaterThan(1);
  });
});
