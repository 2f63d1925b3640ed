/** The room `device`: what is true of every part, and what operators and memories cost there. */
import { describe, expect, it } from "vitest";
import { Dense } from "../../../src/ir/attributes.js";
import { Module } from "../../../src/ir/core.js";
import { RtlSimulator } from "../../../src/ir/eval/rtl-sim.js";
import { RtlModuleBuilder, s } from "../../../src/ir/rtl/builder.js";
import { fixed, ufixed } from "../../../src/ir/types.js";
import {
  clockFor,
  findDevice,
  knownDevices,
  registerDevice,
  usablePeriod,
} from "../../../src/backend-hls/device/devices.js";
import { ecp5, ice40, sevenSeries, ultraScalePlus } from "../../../src/backend-hls/device/family.js";
import { cellModule, multiplierCell } from "../../../src/backend-hls/device/multiplier-cell.js";
import { addDelay, carryDelay, chooseDelay, signedDigits, usesDsp } from "../../../src/backend-hls/device/operators.js";
import { addResources, addTo, equivalentLuts, noResources } from "../../../src/backend-hls/device/resources.js";
import { muxLuts, ramStorage, romStorage } from "../../../src/backend-hls/device/storage.js";
import { deviceCalled } from "../scheduled.js";

describe.each(knownDevices().map((d) => [d.name, d] as const))("%s", (name, device) => {
  it("is found by its name, and is one of the families", () => {
    expect(findDevice(name.toUpperCase())).toBe(device);
    expect([ultraScalePlus, sevenSeries, ecp5, ice40]).toContain(device.family);
  });
  it("takes longer for wider sums, and for a choice than for a sum", () => {
    expect(addDelay(device, 32) - addDelay(device, 16)).toBeCloseTo(carryDelay(device, 16), 9);
    expect(chooseDelay(device, 16)).toBeGreaterThan(addDelay(device, 16));
  });
  it("keeps a deep memory in block RAM and a shallow one in LUTs or registers", () => {
    if (device.bram > 0) expect(ramStorage(device, 4096, 16, true).style).toBe("block");
    expect(ramStorage(device, 2, 8, true)).toMatchObject({ bram: 0 });
    // Block RAM has its data a cycle late: where nobody waits for them it is none.
    expect(ramStorage(device, 4096, 16, false).style).not.toBe("block");
  });
  it("pays more for more words to choose among", () => {
    const costs = [1, 2, 4, 8, 16, 64].map((n) => muxLuts(device, n));
    expect(costs[0]).toBe(0);
    expect([...costs].sort((a, b) => a - b)).toEqual(costs);
  });
});

describe("devices", () => {
  it("have names once, in lower case", () => {
    const device = deviceCalled("xcu280");
    expect(() => registerDevice(device)).toThrow(/registered twice/);
    expect(() => registerDevice({ ...device, name: "Mine" })).toThrow(/lower case/);
  });
  it("keep the clock whose period is usable", () => {
    expect(clockFor(usablePeriod(250))).toBeCloseTo(250, 0);
  });
});

describe("costs", () => {
  it("of constants are their signed digits", () => {
    // 7 = 8 - 1, 5 = 4 + 1, 85 = 1010101b.
    expect([0, 1, 7, -7, 5, 85].map(signedDigits)).toEqual([0, 1, 2, 2, 2, 4]);
  });
  it("of products are blocks where both factors are more than bits", () => {
    const device = deviceCalled("xcu280");
    expect(usesDsp(device, fixed(8, 0), fixed(8, 0))).toBe(true);
    expect(usesDsp(device, fixed(2, 0), fixed(18, 0))).toBe(false);
    expect(usesDsp(deviceCalled("ice40hx8k"), fixed(8, 0), fixed(8, 0))).toBe(false);
  });
  it("add up", () => {
    const r = noResources();
    addTo(r, { lut: 3, ff: 5, dsp: 1, bram: 0.5 }, 2);
    expect(addResources(r, r)).toEqual({ lut: 12, ff: 20, dsp: 4, bram: 2 });
    expect(equivalentLuts(r)).toBeGreaterThan(equivalentLuts({ ...r, dsp: 0 }));
  });
  it("of a table of few different words are less than of any words", () => {
    const device = deviceCalled("xcu280");
    const table = (f: (i: number) => number) =>
      new Dense(
        [64],
        ufixed(8, 0),
        Float64Array.from({ length: 64 }, (_, i) => f(i)),
      );
    expect(
      romStorage(
        device,
        table(() => 0),
        false,
      ).lut,
    ).toBeLessThan(
      romStorage(
        device,
        table((i) => (i * 97) % 256),
        false,
      ).lut,
    );
  });
});

describe("the multiplier cell of ECP5", () => {
  it("is there for factors that fit it", () => {
    const device = deviceCalled("lfe5um5g-85f");
    expect(multiplierCell(device, fixed(12, 0), fixed(8, 0))?.width).toBe(18);
    expect(multiplierCell(device, fixed(19, 0), fixed(8, 0))).toBeUndefined();
    expect(multiplierCell(deviceCalled("xcu280"), fixed(12, 0), fixed(8, 0))).toBeUndefined();
  });
  it("gives the product as many cycles later as it says, and is built once", () => {
    const cell = multiplierCell(deviceCalled("lfe5um5g-85f"), fixed(12, 0), fixed(8, 0));
    if (cell === undefined) throw new Error("no cell");
    const module = new Module("m");
    const made = cellModule(module, cell);
    expect(cellModule(module, cell)).toBe(made);
    const m = new RtlModuleBuilder(module, "top", [
      { name: "a", type: s(18) },
      { name: "b", type: s(18) },
    ]);
    const p = m.instance(made, "cell", { a: m.input("a"), b: m.input("b") })["p"];
    if (p === undefined) throw new Error("no port p");
    m.finish({ p });
    const sim = new RtlSimulator(module, "top");
    sim.set("a", -1234);
    sim.set("b", 567);
    for (let i = 0; i < cell.latency; i++) sim.step();
    expect(sim.get("p")).toBe(-1234n * 567n);
  });
});
