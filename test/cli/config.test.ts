/** What a configuration file says, and the command line on top of it. */
import { describe, expect, it } from "vitest";
import { resolveSettings } from "../../src/driver/config.js";
import { newSession } from "../../src/driver.js";
import { memoryHost } from "../support/memory-host.js";

const settings = (yaml: string, options = {}): ReturnType<typeof resolveSettings> =>
  resolveSettings({ out: "unused", config: "c.yaml", ...options }, newSession(memoryHost({ "c.yaml": yaml })));

describe("configuration files", () => {
  it.each([
    ["target_ii: 100", { kind: "ii", cycles: 100 }],
    ["target_rate: 1e6", { kind: "rate", hz: 1e6 }],
    ["budget: { dsp: 50, lut: 20000 }", { kind: "budget", limits: { dsp: 50, lut: 20000 } }],
    ["unroll: 'ii=12,dsp-price=80'", { kind: "unroll", options: "ii=12,dsp-price=80" }],
  ])("%s", (yaml, target) => {
    expect(settings(yaml).target).toEqual(target);
  });
  it("gives way to the command line", () => {
    const s = settings("target_ii: 100\ndevice: xc7z020\nminimize: area\nclock_mhz: 125\n", {
      target: { kind: "ii", cycles: 7 },
      minimize: "multipliers",
    });
    expect([s.target, s.device, s.minimize, s.clockMhz]).toEqual([
      { kind: "ii", cycles: 7 },
      "xc7z020",
      "multipliers",
      125,
    ]);
  });
  it("states one target", () => {
    expect(() => settings("target_ii: 100\ntarget_rate: 1e6\n")).toThrow(/CF003.*target_ii and target_rate are given/);
  });
});
