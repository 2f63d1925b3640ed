/** What peaks are: hand-made frames for each rule of the meaning, and plain second implementations for the rest. */
import { describe, expect, it } from "vitest";
import { fixed, ufixed } from "../../src/ir/types.js";
import { correct, strongPixels } from "../../src/sensor/correct.js";
import { findPeaks } from "../../src/sensor/find.js";
import { networkInput, patchFacts, position } from "../../src/sensor/patch.js";
import { sensorFrom, type SensorInput } from "../../src/sensor/read-sensor.js";
import { randomCase } from "./random-frames.js";

/** A frame from its rows of digits, in hundreds of counts; a dot is 0. */
function frame(...lines: string[]): { rows: number; columns: number; values: Uint16Array } {
  const values = lines.flatMap((l) => [...l.replace(/ /g, "")].map((c) => (c === "." ? 0 : Number(c) * 100)));
  return { rows: lines.length, columns: values.length / lines.length, values: Uint16Array.from(values) };
}

function peaksOf(f: ReturnType<typeof frame>, keys: SensorInput): string[] {
  const sensor = sensorFrom({ rows: f.rows, columns: f.columns, ...keys });
  return findPeaks(sensor, f.values).peaks.map((p) => `${p.row},${p.column}`);
}

describe("local maxima", () => {
  const pad = { patch: 3, find: { window: 3, edges: "pad" } };
  it("of a plateau the first in raster order counts, as far as the window sees", () => {
    expect(peaksOf(frame(".....", ".55..", ".55..", ".....", "....."), pad)).toEqual(["0,0"]);
    // A window of 3 does not see from one end of four equal pixels to the other; neither end nor middle is first of all.
    expect(peaksOf(frame(".......", ".5555..", "......."), pad)).toEqual(["0,0"]);
    // Not connected: each is the first that it sees.
    expect(peaksOf(frame(".......", ".5.5...", "......."), pad)).toEqual(["0,0", "0,2"]);
    expect(peaksOf(frame(".......", ".5.5...", "......."), { ...pad, find: { window: 5, edges: "pad" } })).toEqual([
      "0,0",
    ]);
    // The one to the lower left comes later in raster order.
    expect(peaksOf(frame("....", "..5.", ".5..", "...."), pad)).toEqual(["0,1"]);
  });
  it("at edges patches are padded, or their peaks dropped", () => {
    const corner = frame("7....", ".....", "..6..", ".....", "....8");
    expect(peaksOf(corner, pad)).toEqual(["-1,-1", "1,1", "3,3"]);
    expect(peaksOf(corner, { patch: 3, find: { window: 3 } })).toEqual(["1,1"]);
    const sensor = sensorFrom({ rows: 5, columns: 5, ...pad });
    const first = findPeaks(sensor, corner.values).peaks[0]!;
    expect([...first.pixels]).toEqual([0, 0, 0, 0, 700, 0, 0, 0, 0]);
    expect(patchFacts(sensor, first)).toEqual({ maximum: 700, sum: 700, pixels: 1, edge: true, clipped: false });
  });
  it("a patch of an even number of pixels begins half of it before the peak", () => {
    expect(peaksOf(frame("......", "......", "..5...", "......"), { patch: 4, find: { window: 3 } })).toEqual(["0,0"]);
  });
  it("are at least peak_min", () => {
    const two = frame(".......", ".5...6.", ".......");
    expect(peaksOf(two, { patch: 3, find: { window: 3, peak_min: 501 } })).toEqual(["0,4"]);
    expect(peaksOf(two, { patch: 3, find: { window: 3, peak_min: 600 } })).toEqual(["0,4"]);
    expect(peaksOf(two, { patch: 3, find: { window: 3, peak_min: 601 } })).toEqual([]);
  });
});

describe("components", () => {
  const find = { rule: "component", min_pixels: 2 };
  it("touch at corners, and are no larger than a patch", () => {
    const f = frame("5.....5", ".5...5.", "..5.5..", "...5...");
    expect(peaksOf(f, { patch: 7, find })).toEqual(["-1,0"]);
    expect(peaksOf(f, { patch: 6, find })).toEqual([]);
  });
  it("hold only their own pixels, centred", () => {
    const f = frame("......", ".55.9.", "....9.", "......", "......");
    const sensor = sensorFrom({ rows: 5, columns: 6, patch: 4, find });
    const peaks = findPeaks(sensor, f.values).peaks;
    expect(peaks.map((p) => [p.row, p.column])).toEqual([
      [0, 0],
      [0, 3],
    ]);
    expect([...peaks[0]!.pixels]).toEqual([0, 0, 0, 0, 0, 500, 500, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect([...peaks[1]!.pixels]).toEqual([0, 0, 0, 0, 0, 900, 0, 0, 0, 900, 0, 0, 0, 0, 0, 0]);
  });
  it("of fewer pixels are left out", () => {
    expect(peaksOf(frame("5....", "...55"), { patch: 3, find })).toEqual(["0,3"]);
  });
  it("find no place in a full table, which is said", () => {
    const f = frame("55.55.55", "........", "55......");
    const at = (open: number): ReturnType<typeof findPeaks> =>
      findPeaks(sensorFrom({ rows: 3, columns: 8, patch: 3, find: { ...find, open_regions: open } }), f.values);
    expect([at(3).peaks.length, at(3).regionsFull, at(3).openRegions]).toEqual([4, false, 3]);
    // Places are free again when the row below has passed.
    expect([at(2).peaks.length, at(2).regionsFull]).toEqual([3, true]);
  });
  it("give back the places of what was joined at the end of the next row", () => {
    const comb = frame("5.5.5...", "55555...", "5.......", "5.5.5.5.", "5555555.");
    const at = (open: number): boolean =>
      findPeaks(sensorFrom({ rows: 5, columns: 8, patch: 8, find: { ...find, open_regions: open } }), comb.values)
        .regionsFull;
    expect([at(4), at(3)]).toEqual([false, true]);
  });
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])("equal a flood fill (seed %i)", (seed) => {
    const { sensor, planes, raw } = randomCase(seed, { patch: 5, find: { ...find, open_regions: 4096 }, threshold: 6 });
    const { values } = correct(sensor, planes, raw);
    const origins = findPeaks(sensor, values).peaks.map((p) => `${p.row},${p.column}:${[...p.pixels].join()}`);
    expect(origins).toEqual(floodFill(values, sensor.rows, sensor.columns, 5, 2));
  });
});

/** The reference's rule, written once more: seeds in raster order, a stack, a box. */
function floodFill(v: Uint16Array, rows: number, columns: number, size: number, least: number): string[] {
  const seen = new Set<number>();
  const found: { row: number; column: number; text: string }[] = [];
  for (let s = 0; s < v.length; s++) {
    if (v[s] === 0 || seen.has(s)) continue;
    const [stack, all] = [[s], [] as [number, number][]];
    seen.add(s);
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      const [r, c] = [Math.floor(i / columns), i % columns];
      all.push([r, c]);
      for (const [y, x] of [-1, 0, 1].flatMap((dy) => [-1, 0, 1].map((dx) => [r + dy, c + dx] as const))) {
        const k = y * columns + x;
        if (y < 0 || x < 0 || y >= rows || x >= columns || v[k] === 0 || seen.has(k)) continue;
        seen.add(k);
        stack.push(k);
      }
    }
    const [ys, xs] = [all.map((p) => p[0]), all.map((p) => p[1])];
    const [top, left] = [Math.min(...ys), Math.min(...xs)];
    const [h, w] = [Math.max(...ys) - top + 1, Math.max(...xs) - left + 1];
    if (all.length < least || h > size || w > size) continue;
    const [row, column] = [top - Math.floor((size - h) / 2), left - Math.floor((size - w) / 2)];
    const patch = new Array<number>(size * size).fill(0);
    for (const [r, c] of all) patch[(r - row) * size + c - column] = v[r * columns + c]!;
    found.push({ row, column, text: `${row},${column}:${patch.join()}` });
  }
  return found.sort((a, b) => a.row - b.row || a.column - b.column).map((p) => p.text);
}

describe("correction", () => {
  const one = (keys: SensorInput, raw: number, planes = {}): [number, boolean] => {
    const c = correct(sensorFrom({ rows: 1, columns: 1, ...keys }), planes, [raw], [70]);
    return [c.values[0]!, c.clipped];
  };
  it("subtracts the dark and never goes below zero", () => {
    expect(one({ dark: 100 }, 130)).toEqual([30, false]);
    expect(one({ dark: 100 }, 90)).toEqual([0, false]);
    expect(one({ dark: "stream" }, 90)).toEqual([20, false]);
    expect(one({ dark: "d.npy" }, 90, { dark: [80] })).toEqual([10, false]);
  });
  it("drops what is below the threshold", () => {
    expect(one({ dark: 100, threshold: 30 }, 130)).toEqual([30, false]);
    expect(one({ dark: 100, threshold: 31 }, 130)).toEqual([0, false]);
  });
  it("clips 32 bits to 16, and says so unless the pixel is masked", () => {
    expect(one({ pixel_bits: 32 }, 65535)).toEqual([65535, false]);
    expect(one({ pixel_bits: 32 }, 65536)).toEqual([65535, true]);
    expect(one({ pixel_bits: 32, mask: "m.npy" }, 2 ** 32 - 1, { mask: Uint8Array.of(1) })).toEqual([0, false]);
  });
  it("multiplies by the flat field, half up", () => {
    expect(one({ flat: "f.npy" }, 3, { flat: Uint16Array.of(2 ** 13) })).toEqual([2, false]);
    expect(one({ flat: "f.npy" }, 60000, { flat: Uint16Array.of(2 ** 15) })).toEqual([65535, true]);
    expect(one({ flat: "f.npy", pixel_bits: 8 }, 200, { flat: Uint16Array.of(2 ** 15) })).toEqual([255, true]);
  });
});

describe("dispersion", () => {
  it.each([1, 2, 3, 4, 5, 6])("equals sums over each window, in bigints (seed %i)", (seed) => {
    for (const window of [3, 5, 7] as const) {
      const { sensor, planes, raw } = randomCase(seed, { dispersion: { window, background: 2, signal: 1 }, mask: "m" });
      const { rows, columns } = sensor;
      const v = Uint16Array.from(raw, (x, i) => (planes.mask![i] === 0 ? x : 0));
      const expected = Array.from(v, (p, i) => {
        const [r, c, half] = [Math.floor(i / columns), i % columns, window >> 1];
        let [m, s, s2] = [0n, 0n, 0n];
        for (let y = Math.max(0, r - half); y <= Math.min(rows - 1, r + half); y++)
          for (let x = Math.max(0, c - half); x <= Math.min(columns - 1, c + half); x++) {
            const k = y * columns + x;
            if (planes.mask![k] !== 0) continue;
            m++;
            s += BigInt(v[k]!);
            s2 += BigInt(v[k]!) ** 2n;
          }
        const [a, d] = [m * s2 - s * s - s * (m - 1n), m * BigInt(p) - s];
        const strong = a > 0n && d > 0n && a * a > 8n * s * s * (m - 1n) && d * d > s * m;
        return planes.mask![i] === 0 && m >= 2n && strong ? 1 : 0;
      });
      expect([...strongPixels(sensor, sensor.dispersion!, v, planes.mask)]).toEqual(expected);
      expect(expected.some((x) => x === 1)).toBe(true);
    }
  });
  it("decides ties that doubles cannot: equality is not above", () => {
    // m = 2, one pixel p: a = p (p - 1), and a^2 > 2 b^2 p^2 turns at (p - 1)^2 = 2 b^2; no integer solves that. With
    // m = 3 it turns at (2p - 2)^2 = 4 b^2, which p = b + 1 solves.
    const test = { window: 3, background: 6, signal: 1, minCount: 2 } as const;
    const at = (p: number): number =>
      strongPixels({ rows: 1, columns: 3 }, test, Uint16Array.of(0, p, 0), undefined)[1]!;
    expect([at(7), at(8)]).toEqual([0, 1]);
  });
  it("is a mask in front of the rule", () => {
    const flat = new Array<number>(121).fill(40);
    flat[60] = 400;
    flat[61] = 300;
    const sensor = sensorFrom({ rows: 11, columns: 11, dispersion: {}, find: { rule: "component", min_pixels: 2 } });
    const { values } = correct(sensor, {}, flat);
    expect(findPeaks(sensor, values).peaks.map((p) => [p.row, p.column])).toEqual([[0, 1]]);
    expect([...values].filter((v) => v > 0)).toEqual([400, 300]);
  });
});

describe("the network's ends", () => {
  it("patches are normalised half up, and saturate at one", () => {
    const sensor = { normalisation: "min-max" } as const;
    expect([...networkInput(sensor, Uint16Array.of(10, 13, 16, 12), ufixed(8, 4))]).toEqual([0, 8, 16, 5]);
    expect([...networkInput(sensor, Uint16Array.of(10, 13, 16, 12), ufixed(4, 4))]).toEqual([0, 8, 15, 5]);
    expect([...networkInput(sensor, Uint16Array.of(5, 5), ufixed(4, 4))]).toEqual([0, 0]);
    // floor(2^31 / 65535 + 1/2)
    expect([...networkInput(sensor, Uint16Array.of(0, 1, 65535), fixed(33, 31))]).toEqual([0, 32769, 2 ** 31]);
  });
  it("counts go through as they are, rounded to a coarser format", () => {
    const sensor = { normalisation: "none" } as const;
    expect([...networkInput(sensor, Uint16Array.of(5, 6, 65535), ufixed(14, -2))]).toEqual([1, 2, 16383]);
    expect([...networkInput(sensor, Uint16Array.of(5, 6), ufixed(20, 2))]).toEqual([20, 24]);
  });
  it("positions are the origin and the answer in patches or pixels, in 1/1024", () => {
    const output = (unit: "patch" | "pixel") => ({ patch: 11, output: { row: 1, column: 0, unit } });
    expect(position(output("patch"), 100, 2048, 12)).toBe(100 * 1024 + 5.5 * 1024);
    expect(position(output("pixel"), -3, 2048, 12)).toBe(-3 * 1024 + 512);
    expect(position(output("pixel"), 0, 6, 12)).toBe(2); // 1.5 / 1024
    expect(position(output("pixel"), 0, -6, 12)).toBe(-1);
    expect(position(output("pixel"), 8191, 100, 0)).toBe(2 ** 23 - 1);
  });
});
