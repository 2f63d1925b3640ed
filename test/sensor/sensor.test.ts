/** Sensor descriptions: every mistake by line and key, with what was probably meant. */
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import { parseSensor, sensorFrom } from "../../src/sensor/read-sensor.js";
import { beatsPerFrame, beatsPerRow } from "../../src/sensor/sensor.js";

function messages(text: string): string[] {
  try {
    parseSensor(text, "/lab/sensor.yaml");
  } catch (e) {
    if (e instanceof UserError)
      return e.diagnostics.map((d) => `${d.place.line ?? "-"} ${d.code} ${d.message} | ${d.hint}`);
    throw e;
  }
  return [];
}

describe("a sensor description", () => {
  it("needs rows and columns, the rest has defaults", () => {
    expect(parseSensor("rows: 512\ncolumns: 1030\n", "/lab/sensor.yaml")).toEqual({
      rows: 512,
      columns: 1030,
      pixelBits: 16,
      pixelsPerBeat: 1,
      endOf: "line",
      dark: { kind: "number", counts: 0 },
      threshold: 1,
      find: { rule: "local-maximum", window: 5, peakMin: 1, edges: "drop" },
      patch: 11,
      normalisation: "min-max",
      queue: 64,
      output: { row: 1, column: 0, unit: "patch" },
    });
  });
  it("takes paths relative to its file", () => {
    const text = "rows: 8\ncolumns: 8\ndark: dark.npz:dark\nmask: ../mask.npy\nflat: /flat.npy\n";
    const sensor = parseSensor(text, "/lab/run/sensor.yaml");
    expect([sensor.dark, sensor.mask, sensor.flat]).toEqual([
      { kind: "file", path: "/lab/run/dark.npz:dark" },
      "/lab/mask.npy",
      "/flat.npy",
    ]);
    expect(sensorFrom({ rows: 8, columns: 8, dark: "stream", mask: "none" }).mask).toBe(undefined);
  });
  it("reads all groups", () => {
    const text = [
      "{rows: 10, columns: 10, pixel_bits: 32, pixels_per_beat: 4, end_of: frame, threshold: 60, patch: 9, queue: 7,",
      " find: {rule: component, min_pixels: 4, open_regions: 32}, dispersion: {window: 5, signal: 4},",
      " normalisation: none, output: {row: 0, column: 1, unit: pixel}}",
    ].join("\n");
    const sensor = parseSensor(text, "/lab/sensor.yaml");
    expect(sensor.find).toEqual({ rule: "component", minPixels: 4, openRegions: 32 });
    expect(sensor.dispersion).toEqual({ window: 5, background: 6, signal: 4, minCount: 2 });
    expect(sensor.output).toEqual({ row: 0, column: 1, unit: "pixel" });
    expect([sensor.pixelBits, sensor.endOf, sensor.normalisation]).toEqual([32, "frame", "none"]);
  });
  it("a peak is at least as high as the threshold, unless it says otherwise", () => {
    const find = (keys: object) => sensorFrom({ rows: 8, columns: 8, ...keys }).find;
    expect(find({ threshold: 60 })).toMatchObject({ peakMin: 60 });
    expect(find({ threshold: 60, find: { peak_min: 120 } })).toMatchObject({ peakMin: 120 });
    expect(find({ threshold: 0 })).toMatchObject({ peakMin: 1 });
    expect(find({ find: "component" })).toMatchObject({ rule: "component", minPixels: 3 });
  });
  it("says how many beats a frame has: rows are padded", () => {
    const sensor = sensorFrom({ rows: 4362, columns: 4148, pixels_per_beat: 32 });
    expect([beatsPerRow(sensor), beatsPerFrame(sensor)]).toEqual([130, 567_060]);
  });
});

describe("mistakes are refused by line and key", () => {
  it.each([
    ["rows: [8\n", ["SE001 the sensor description cannot be read: "]],
    ["- rows\n", ["SE001 the sensor description cannot be read: it does not hold keys and values"]],
    ["rows: 8\n", ["- SE003 the sensor description does not say columns"]],
    ["rows: 8\ncolumns: 8\npixel_bit: 16\n", ["3 SE002 the key pixel_bit is not known | did you mean pixel_bits?"]],
    ["rows: 8\ncolumns: 8\nfind:\n  windw: 5\n", ["4 SE002 the key find.windw is not known | did you mean window?"]],
    [
      "rows: 8\ncolumns: 8\nfind:\n  rule: component\n  window: 5\n",
      [
        "5 SE002 the key find.window of the rule component is not known | known here are rule, min_pixels, open_regions",
      ],
    ],
    [
      "rows: 8\ncolumns: 9000\npixel_bits: 11\n",
      [
        "2 SE004 columns is 9000; a whole number from 1 to 8192 is needed | did you mean 8192?",
        "3 SE004 pixel_bits is 11; 8, 10, 12, 14, 16 or 32 is needed | did you mean 12?",
      ],
    ],
    [
      "rows: 8\ncolumns: 8\nfind: local-maxima\n",
      ['3 SE004 find is "local-maxima"; local-maximum or component is needed | did you mean local-maximum?'],
    ],
    ["rows: 8\ncolumns: 8\nend_of: row\n", ['3 SE004 end_of is "row"; line or frame is needed']],
    ["rows: 8\ncolumns: 8\nthreshold: 1.5\n", ["3 SE004 threshold is 1.5; a whole number from 0 to 65535 is needed"]],
    ["rows: 8\ncolumns: 8\ndark: -1\n", ["3 SE004 dark is -1; a whole number of counts, a file or stream is needed"]],
    ["rows: 8\ncolumns: 8\nmask: 3\n", ["3 SE004 mask is 3; a file is needed"]],
    ["rows: 8\ncolumns: 8\ndispersion: yes\n", ['3 SE004 dispersion is "yes"; a group of keys, such as {window: 7']],
    [
      "rows: 8\ncolumns: 8\noutput: {unit: pixels}\n",
      ['3 SE004 output.unit is "pixels"; patch or pixel is needed | did'],
    ],
  ])("%j", (text, expected) => {
    const found = messages(text);
    expect(found.length).toBe(expected.length);
    found.forEach((m, i) => expect(m).toContain(expected[i]!));
  });
});
