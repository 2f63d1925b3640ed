import { describe, expect, it } from "vitest";
import {
  FRAME_FIELDS,
  packRecord,
  PEAK_FIELDS,
  readRecords,
  recordBytes,
  unpackRecord,
  type SensorRecord,
} from "../../src/sensor/records.js";

const records: readonly SensorRecord[] = [
  {
    kind: "peak",
    frame: 70_000,
    flags: ["edge"],
    row: -1,
    column: 8191 * 1024 + 1023,
    maximum: 65535,
    sum: 2 ** 24 - 1,
    pixels: 255,
  },
  { kind: "peak", frame: 0, flags: ["clipped"], row: 5 * 1024, column: -(2 ** 23), maximum: 1, sum: 2, pixels: 3 },
  { kind: "frame", frame: 2 ** 24 - 1, flags: ["short", "regions_full"], found: 2 ** 32 - 1, sent: 7, dropped: 9 },
];

describe("records", () => {
  it.each([
    ["peak", PEAK_FIELDS],
    ["frame", FRAME_FIELDS],
  ])("of a %s fill 128 bits without gaps, and no field crosses bit 64", (_, fields) => {
    expect(fields.reduce((at, f) => (f.lo === at ? at + f.bits : NaN), 0)).toBe(128);
    expect(fields.filter((f) => Math.floor(f.lo / 64) !== Math.floor((f.lo + f.bits - 1) / 64))).toEqual([]);
  });
  it("are what they were after packing", () => {
    expect(records.map((r) => unpackRecord(packRecord(r)))).toEqual(records);
    expect(readRecords(recordBytes(records))).toEqual(records);
  });
  it("have their bits where the layout says", () => {
    expect(packRecord(records[1]!).toString(16).padStart(32, "0")).toBe(
      "000002" + "0001" + "800000" + "03" + "001400" + "000000" + "01",
    );
    expect(packRecord({ kind: "frame", frame: 1, flags: [], found: 3, sent: 2, dropped: 1 }).toString(16)).toBe(
      "1" + "00000002" + "00000003" + "000001" + "80",
    );
  });
  it("take frame numbers modulo 2^24 and refuse what does not fit", () => {
    expect(unpackRecord(packRecord({ ...records[2]!, frame: 2 ** 24 + 5 })).frame).toBe(5);
    expect(() => packRecord({ ...records[0]!, row: 2 ** 23 } as SensorRecord)).toThrow(/row is 8388608/);
  });
});
