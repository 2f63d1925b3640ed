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
    expect(() => settings("target_ii: 100\ntarget_rate: 1e6\n")).toThrow(/CF006.*target_ii and target_rate are given/);
  });
  it.each([
    ["clock_mhz: fast", /CF003\]: clock_mhz is "fast" in the configuration; a positive number is needed/],
    ["target_ii: -3", /CF003\]: target_ii is -3 /],
    ["device: 5", /CF003\]: device is 5 in the configuration; a text is needed/],
    ["minimize: power", /CF003\]: minimize is "power" .*latency, area or multipliers/],
    ["hold_out: 0.95", /CF003\]: hold_out is 0\.95 .*from 0 to 0\.9/],
    ["axis_width: wide", /CF003\]: axis_width is "wide" /],
    ["budget: 7", /CF003\]: budget is 7 .*dsp: 100/],
    ["budget: {dps: 7}", /CF003\]: budget is \{"dps":7\} /],
    ["passes_after: prune", /CF003\]: passes_after is "prune" /],
    ["shape: 5", /CF003\]: shape is 5 .*input: 1x576/],
    ["shape: {x: many}", /CF003\]: shape of x is "many" .*1x576/],
    ["dim: {seq: long}", /CF003\]: dim of seq is "long" .*whole number/],
    ["- device", /CF007\]: the configuration cannot be read: it does not hold keys and values/],
    ["device: [", /CF007\]: the configuration cannot be read: it is not YAML: /],
    ["devise: xcu280", /CF008\]: the configuration has the key "devise"[\s\S]*did you mean "device"\?/],
  ])("refuses %s", (yaml, says) => {
    expect(() => settings(`${yaml}\n`)).toThrow(says);
  });
});
