import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Module } from "../../src/ir/core.js";
import { RtlModuleBuilder, u } from "../../src/ir/rtl/builder.js";
import { installedRouter, placeAndRoute } from "../../src/backend-verilog/route.js";
import { readStatistics, synthesize } from "../../src/backend-verilog/yosys.js";
import { lanes } from "./examples.js";
import { missing, scratch, verilogIn } from "./helpers.js";
import { findDevice } from "../../src/backend-hls/device/devices.js";
import { ecp5, sevenSeries, ultraScalePlus } from "../../src/backend-hls/device/family.js";

const absent = missing("yosys");

function sumOfMany(): Module {
  const module = new Module("sum");
  const b = new RtlModuleBuilder(module, "sum", [{ name: "x", type: u(128) }], {
    attrs: { clock: "aclk", resetn: "aresetn" },
  });
  const terms = b.split(b.reg(b.input("x")), u(8), 16);
  b.finish({ y: b.reg(terms.reduce((a, t) => b.add(a, t))) });
  return module;
}

function memories(): Module {
  const module = new Module("mem");
  const b = new RtlModuleBuilder(
    module,
    "mem",
    [
      { name: "wa", type: u(10) },
      { name: "ra", type: u(10) },
      { name: "d", type: u(18) },
      { name: "we", type: u(1) },
    ],
    { attrs: { clock: "aclk", resetn: "aresetn" } },
  );
  const port = { waddr: b.input("wa"), wdata: b.input("d"), wen: b.input("we"), raddr: [b.input("ra")], word: u(18) };
  const [block] = b.memory({ ...port, depth: 1024, readLatency: 1, style: "block" });
  const [distributed] = b.memory({ ...port, depth: 32, readLatency: 0, style: "distributed" });
  const [registers] = b.memory({ ...port, depth: 4, readLatency: 0, style: "registers" });
  b.finish({ block: block!, distributed: distributed!, registers: registers! });
  return module;
}

describe("cell statistics", () => {
  it("are multiplied by the number of instances", () => {
    const json = JSON.stringify({
      modules: {
        "\\top": { num_cells_by_type: { "\\mid": 2, LUT6: 1 } },
        "\\mid": { num_cells_by_type: { "\\leaf": 3, FDRE: 5 } },
        "\\leaf": { num_cells_by_type: { LUT6: 7 } },
      },
    });
    expect(readStatistics(json, "top")).toEqual({
      leaf: { instances: 6, cells: { LUT6: 7 } },
      mid: { instances: 2, cells: { FDRE: 5 } },
      top: { instances: 1, cells: { LUT6: 1 } },
    });
  });
});

describe("statistics as Yosys 0.23 writes them", () => {
  it("are read despite stray commas and the tree of the hierarchy", () => {
    const json =
      '{\n   "modules": {\n      "\\\\top": {\n         "num_cells_by_type": {\n            "LUT6": 2,\n         }\n      }\n   },\n       lane            1\n}\n';
    expect(readStatistics(json, "top")).toEqual({ top: { instances: 1, cells: { LUT6: 2 } } });
  });
});

describe.skipIf(absent !== "")(`synthesis${absent}`, () => {
  it("counts over the hierarchy, lanes synthesized once", async () => {
    const r = await synthesize(verilogIn(lanes(8, 16)), "lanes", sevenSeries.synthesis);
    expect(r.cellsByModule["lane"]!.instances).toBe(8);
    expect(r.dsp).toBe(8 * (r.cellsByModule["lane"]!.cells["DSP48E1"] ?? 0));
    expect(r.dsp).toBe(8);
    expect(r.ff).toBeGreaterThan(8 * 12);
    expect(r.lut).toBeGreaterThan(0);
  });

  it("infers memories of the style asked for", async () => {
    const r = await synthesize(verilogIn(memories()), "mem", ultraScalePlus.synthesis);
    expect(r.bram).toBeGreaterThan(0);
    expect(r.bram).toBeLessThanOrEqual(1);
    expect(r.lutram).toBeGreaterThan(0);
    expect(r.lutram).toBeLessThanOrEqual(60);
    // Four words of registers, and no block of registers besides.
    expect(r.ff).toBeGreaterThanOrEqual(4 * 18);
    expect(r.ff).toBeLessThan(4 * 18 + 60);
  });

  it("keeps sums as carry chains", async () => {
    const rtl = verilogIn(sumOfMany());
    const dir = join(scratch(), "synth");
    const mapped = await synthesize(rtl, "sum", ecp5.synthesis, { workDir: dir });
    const fused = await synthesize(rtl, "sum", ecp5.synthesis, { premapAdders: false });
    expect(mapped.carry).toBeGreaterThan(15 * 4);
    expect(mapped.lut).toBeLessThan(fused.lut);
    if (installedRouter(ecp5.router!) === undefined) return;
    const routed = await placeAndRoute(dir, findDevice("lfe5um5g-85f")!, { clockMhz: 100 });
    expect(routed.fmaxMhz).toBeGreaterThan(10);
    expect(routed.criticalPath.length).toBeGreaterThan(1);
  });
});
