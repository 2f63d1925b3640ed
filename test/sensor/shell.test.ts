/** The front end in the rtl interpreter against the meaning of src/sensor: patches, records, marks, and what is dropped. */
import { mulberry32 } from "../../src/driver/evaluate.js";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import { correct } from "../../src/sensor/correct.js";
import { findPeaks, type Peak } from "../../src/sensor/find.js";
import { networkInput, patchFacts } from "../../src/sensor/patch.js";
import { sensorFrom, type SensorInput } from "../../src/sensor/read-sensor.js";
import { packRecord, type SensorRecord } from "../../src/sensor/records.js";
import type { Sensor } from "../../src/sensor/sensor.js";
import { ANSWER, type Beat, beatsOf, PORT, runShell, shellOf } from "./shell.js";
import { type FrameCase, randomCase } from "./random-frames.js";

const UNIT: SensorInput = { output: { column: 0, row: 1, unit: "pixel" } };

function peaksOf(c: FrameCase): readonly Peak[] {
  return findPeaks(c.sensor, correct(c.sensor, c.planes, c.raw, c.dark).values).peaks;
}
function recordOf(sensor: Sensor, frame: number, peak: Peak): SensorRecord {
  const { edge: _, clipped, ...facts } = patchFacts(sensor, peak);
  return {
    kind: "peak",
    frame,
    flags: clipped ? ["clipped"] : [],
    row: (peak.row + ANSWER.row) * 1024,
    column: (peak.column + ANSWER.column) * 1024,
    ...facts,
  };
}
const inputs = (sensor: Sensor, peaks: readonly Peak[]): number[][] =>
  peaks.map((p) => [...networkInput(sensor, p.pixels, PORT)]);

/** Two frames of a sensor: same planes. */
function frames(seed: number, keys: SensorInput): FrameCase[] {
  const first = randomCase(seed, keys);
  const sizes = { rows: first.sensor.rows, columns: first.sensor.columns };
  const second = randomCase(seed + 1, { ...keys, ...sizes });
  return [first, { ...second, sensor: first.sensor, planes: first.planes }];
}

const cases: readonly (readonly [string, SensorInput, number])[] = [
  ["1 pixel a beat", { pixels_per_beat: 1, pixel_bits: 12, dark: 2, threshold: 6 }, 0],
  [
    "2 pixels a beat, dark and mask on the chip",
    { pixels_per_beat: 2, dark: "d.npy", mask: "m.npy", columns: 23 },
    0.3,
  ],
  ["4 pixels a beat, dark beside the pixels", { pixels_per_beat: 4, dark: "stream", end_of: "frame" }, 0.2],
  ["8 pixels a beat, flat field", { pixels_per_beat: 8, flat: "f.npy", dark: 3, rows: 30, columns: 61 }, 0],
  ["16 pixels a beat, window of 7", { pixels_per_beat: 16, columns: 90, rows: 24, find: { window: 7 }, patch: 9 }, 0.1],
  ["32 pixels a beat, 32 bits", { pixels_per_beat: 32, pixel_bits: 32, columns: 200, rows: 20, dark: 2 }, 0],
  [
    "window of 3, counts to the network",
    { pixels_per_beat: 2, find: { window: 3 }, patch: 4, normalisation: "none" },
    0,
  ],
];

describe("front end", () => {
  it.each(cases)("%s: patches and records", (_name, keys, stall) => {
    const all: SensorInput = { queue: 400, patch: 5, ...UNIT, ...keys };
    const list = frames(cases.findIndex((c) => c[0] === _name) * 2 + 5, all);
    const { sensor, planes } = list[0]!;
    const random = mulberry32(7);
    const run = runShell(
      sensor,
      shellOf(sensor, planes),
      list.flatMap((c) => beatsOf(sensor, c.raw, c.dark)),
      (port) => (port !== "pixels" || stall > 0) && random() < stall,
    );
    const peaks = list.map(peaksOf);
    expect(peaks.flat().length).toBeGreaterThan(3);
    expect(run.alwaysReady).toBe(true);
    expect(run.patches).toEqual(peaks.flatMap((p) => inputs(sensor, p)));
    const clipped = list.map((c) => correct(sensor, planes, c.raw, c.dark).clipped);
    const end = (frame: number): SensorRecord => {
      const n = peaks[frame]!.length;
      return { kind: "frame", frame, flags: clipped[frame]! ? ["clipped"] : [], found: n, sent: n, dropped: 0 };
    };
    expect(run.records).toEqual(peaks.flatMap((p, f) => [...p.map((q) => recordOf(sensor, f, q)), end(f)]));
  });

  it("drops and counts what the queue does not hold, and mixes no frames", () => {
    const list = frames(11, { rows: 40, columns: 40, pixels_per_beat: 2, queue: 2, patch: 5, ...UNIT });
    const { sensor, planes } = list[0]!;
    const beats = list.flatMap((c) => beatsOf(sensor, c.raw));
    const run = runShell(sensor, shellOf(sensor, planes), beats, () => false, 70);
    const peaks = list.map(peaksOf);
    const ends = run.records.filter((r) => r.kind === "frame");
    expect(ends.map((e) => [e.frame, e.found, e.flags])).toEqual(peaks.map((p, f) => [f, p.length, []]));
    expect(Math.min(...ends.map((e) => e.dropped))).toBeGreaterThan(0);
    for (const [frame, end] of ends.entries()) {
      const sent = run.records.filter((r) => r.kind === "peak" && r.frame === frame);
      expect(sent.length).toBe(end.sent);
      expect(end.sent + end.dropped).toBe(end.found);
      // Each is one of the frame's, in order.
      const all = peaks[frame]!.map((p) => packRecord(recordOf(sensor, frame, p)));
      const places = sent.map((r) => all.indexOf(packRecord(r)));
      expect(places.every((p, i) => p > (places[i - 1] ?? -1))).toBe(true);
    }
  });

  it("keeps count while nobody takes records", () => {
    const c = randomCase(5, { rows: 12, columns: 30, pixels_per_beat: 2, queue: 3, patch: 5, ...UNIT });
    const one = beatsOf(c.sensor, c.raw);
    const many = 60;
    let cycle = 0;
    const waits = (port: string): boolean => port === "records" && cycle++ < many * one.length;
    const run = runShell(c.sensor, shellOf(c.sensor, {}), Array.from({ length: many }, () => one).flat(), waits);
    const ends = run.records.filter((r) => r.kind === "frame");
    const found = peaksOf(c).length;
    expect(ends.length).toBeLessThan(many);
    expect(ends[ends.length - 1]!.frame).toBe(many - 1);
    expect(ends.reduce((n, e) => n + e.found, 0)).toBe(many * found);
    expect(ends.some((e) => e.flags.includes("merged"))).toBe(true);
    expect(run.records.filter((r) => r.kind === "peak").length).toBe(ends.reduce((n, e) => n + e.sent, 0));
  });

  const broken: readonly (readonly [string, "line" | "frame", (b: Beat[]) => Beat[], readonly string[]])[] = [
    ["cut short by the next", "line", (b) => b.slice(0, 150), ["short"]],
    ["with beats behind it", "line", (b) => [...b, b[5]!, b[6]!], []],
    ["with a line mark too early", "line", (b) => b.map((x, i) => (i === 20 ? { ...x, last: true } : x)), ["line"]],
    ["without its end mark", "frame", (b) => b.map((x) => ({ ...x, last: false })), ["long"]],
    ["with its end mark too early", "frame", (b) => b.map((x, i) => ({ ...x, last: i === 30 || x.last })), ["short"]],
  ];
  it.each(broken)("flags a frame %s, and the next is right", (_name, endOf, spoil, flags) => {
    const keys = { rows: 20, columns: 24, pixels_per_beat: 2, queue: 50, patch: 5, end_of: endOf, ...UNIT };
    const list = frames(23, keys);
    const { sensor } = list[0]!;
    const [bad, good] = list.map((c) => beatsOf(sensor, c.raw)) as [Beat[], Beat[]];
    const run = runShell(sensor, shellOf(sensor, {}), [...spoil(bad), ...good, ...good]);
    const ends = run.records.filter((r) => r.kind === "frame");
    const peaks = peaksOf(list[1]!);
    expect(ends.map((e) => e.frame)).toEqual([0, 1, 2]);
    expect(ends[0]!.flags).toEqual(flags);
    // Beats between two frames are the second one's flag: the first one had ended.
    expect(ends[1]!.flags).toEqual(_name === "with beats behind it" ? ["long"] : []);
    expect(run.records.filter((r) => r.kind === "peak" && r.frame === 1)).toEqual(
      peaks.map((p) => recordOf(sensor, 1, p)),
    );
    if (flags.includes("short") && endOf === "line") expect(ends[0]!.found).toBeLessThan(peaksOf(list[0]!).length);
  });

  it.each([
    [{ find: "component" }, "find"],
    [{ find: { edges: "pad" } }, "edges"],
    [{ dispersion: {} }, "dispersion"],
    [{ find: { window: 7 }, patch: 5 }, "window"],
    [{ pixels_per_beat: 32 }, "pixels_per_beat"],
  ] as const)("refuses what has no hardware: %j", (keys, key) => {
    const sensor = sensorFrom({ rows: 40, columns: 40, ...keys });
    const attempt = (): unknown => shellOf(sensor, {});
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(new RegExp(`${key} of the sensor description`));
  });
});
