/** Frames in every format, and one message for each kind of file that cannot be used. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import { newSession, runFramesOn, type RunFramesOptions } from "../../src/driver.js";
import { readArrays, writeNpy } from "../../src/frontend/npz.js";
import { nodeHost } from "../../src/host.js";
import { loadPlanes, openFrames } from "../../src/sensor/input.js";
import { sensorFrom, type SensorInput } from "../../src/sensor/read-sensor.js";
import { readRecords } from "../../src/sensor/records.js";

const fixtures = new URL("./fixtures/", import.meta.url).pathname;
const at = (name: string): string => join(fixtures, name);
const model = new URL("../../examples/braggnn/braggnn_s1.onnx", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "onnx-hls-frames-"));
afterAll(() => rmSync(folder, { recursive: true }));

const host = nodeHost();
const shape = { rows: 24, columns: 31 };
const sensorOf = (keys: SensorInput = {}) => sensorFrom({ ...shape, ...keys });

/** Code and text of the only message, with its remedy. */
async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (e) {
    if (!(e instanceof UserError)) throw e;
    expect(e.diagnostics.length).toBe(1);
    const d = e.diagnostics[0]!;
    return `${d.code} ${d.message} | ${d.hint}`;
  }
  throw new Error("nothing was refused");
}

async function pixelsOf(path: string, keys: SensorInput = {}): Promise<number[]> {
  const source = await openFrames(path, sensorOf(keys), host);
  try {
    const all: number[] = [];
    for (let f = 0; f < source.frames; f++) all.push(...Array.from(await source.read(f)));
    return all;
  } finally {
    source.close();
  }
}

/** A file of numbers for what only a test needs. */
function npy(name: string, dims: readonly number[], data: Float32Array | Int32Array | Float64Array): string {
  const path = join(folder, `${name}.npy`);
  writeFileSync(path, writeNpy({ shape: dims, data }));
  return path;
}

describe("frames are read from", () => {
  const expected = [...readArrays(readFileSync(at("frames.npy")), "frames.npy").get("")!.data];
  it.each([
    "frames.npz",
    "frames.npz:frames",
    "frames.tif",
    "frames-int32.tif",
    "eiger_master.h5",
    "eiger_master.h5:entry/data",
  ])("%s", async (name) => {
    expect(await pixelsOf(at(name))).toEqual(expected);
  });
  it("one data file of EIGER by itself, bitshuffle with LZ4", async () => {
    expect(await pixelsOf(at("eiger_data_000001.h5"))).toEqual(expected.slice(0, 2 * 24 * 31));
  });
  it("whole numbers in float", async () => {
    const file = npy("float", [1, 24, 31], Float32Array.from(expected.slice(0, 24 * 31)));
    expect(await pixelsOf(file)).toEqual(expected.slice(0, 24 * 31));
  });
});

describe("numbers per pixel are read", () => {
  it("from arrays under their names, a mask as EIGER writes it, darks rounded", async () => {
    const keys = { dark: at("frames.npz"), mask: at("eiger_master.h5"), flat: at("frames.npz:flat") };
    const planes = await loadPlanes(sensorOf(keys), host);
    expect([planes.dark![0], planes.flat![0], planes.mask![2], planes.mask![3], planes.mask![34]]).toEqual([
      4, 16384, 0, 1, 1,
    ]);
  });
});

describe("refused with one message:", () => {
  const one = (v: number): Float32Array => new Float32Array(24 * 31).fill(v);
  it("frames of another size", async () => {
    expect(await refusal(openFrames(at("frames.npy"), sensorFrom({ rows: 31, columns: 24 }), host))).toBe(
      "SE008 the frames have the shape [3, 24, 31], the sensor has 31 rows of 24 columns | correct rows and columns of the sensor description, or give frames of that size",
    );
  });
  it("frames of another type", async () => {
    expect(await refusal(pixelsOf(at("frames.npy"), { pixel_bits: 8 }))).toMatch(
      /^SE009 frame 0 \(uint16\) holds \d+ at row \d+, column \d+, which is no pixel of 8 bits \| pixels are whole numbers from 0 to 255/,
    );
    expect(await refusal(pixelsOf(npy("half", [24, 31], one(0.5))))).toContain(
      "SE009 frame 0 (float32) holds 0.5 at row 0, column 0",
    );
    expect(await refusal(pixelsOf(npy("less", [24, 31], new Int32Array(24 * 31).fill(-1))))).toContain(
      "int32) holds -1",
    );
  });
  it("NaN in float frames", async () => {
    const data = one(7);
    data[33] = NaN;
    expect(await refusal(pixelsOf(npy("nan", [24, 31], data)))).toContain(
      "SE009 frame 0 (float32) holds NaN at row 1, column 2, which is no pixel of 16 bits",
    );
  });
  it("an array that is no stack of images", async () => {
    expect(await refusal(pixelsOf(npy("flat", [24 * 31], one(1))))).toContain(
      "SE010 cannot read the frames: the array has",
    );
  });
  it("a truncated HDF5 file, and one that is none", async () => {
    expect(await refusal(pixelsOf(at("truncated.h5")))).toContain(
      "SE010 cannot read the frames: the file is truncated",
    );
    const path = join(folder, "text.h5");
    writeFileSync(path, "no file of this kind");
    expect(await refusal(pixelsOf(path))).toContain("SE010 cannot read the frames: it is no HDF5 file");
  });
  it("a damaged TIFF file", async () => {
    const path = join(folder, "damaged.tif");
    writeFileSync(path, readFileSync(at("frames.tif")).subarray(0, 300));
    expect(await refusal(pixelsOf(path))).toContain(
      "SE010 cannot read the frames: it is no TIFF file, or it is damaged",
    );
  });
  it("an unknown compression filter", async () => {
    expect(await refusal(pixelsOf(at("jpegls.h5")))).toContain(
      "SE011 dataset /scan/images is compressed with filter 32018 (HDF5 JPEG-LS filter), which cannot be read here | known are deflate",
    );
  });
  it("a link to a file that is not there", async () => {
    expect(await refusal(pixelsOf(at("lonely_master.h5")))).toContain(
      "entry/data/data_000001 cannot be opened: not_there.h5 belongs beside the file",
    );
  });
  it("an array that is not in the file", async () => {
    expect(await refusal(pixelsOf(at("frames.npz:images")))).toMatch(
      /^SE014 there is no array of images; .*frames, dark, mask/,
    );
    expect(await refusal(pixelsOf(at("eiger_data_000001.h5:entry/images")))).toContain(
      "SE014 there is no array of entry/images; the file holds entry/data/data",
    );
    expect(await refusal(pixelsOf(join(folder, "absent.h5")))).toMatch(/^IO001 cannot read .*absent.h5: no such file/);
  });
  it("dark of another shape, or beyond the pixels", async () => {
    const other = npy("dark", [31, 24], one(3));
    expect(await refusal(loadPlanes(sensorOf({ dark: other }), host))).toContain(
      "SE005 the dark has the shape [31, 24], the sensor has 24 rows of 31 columns",
    );
    expect(await refusal(loadPlanes(sensorOf({ dark: npy("high", [24, 31], one(70_000)) }), host))).toContain(
      "SE006 the dark is 70000 at row 0, column 0; a number of counts from 0 to 65535 is needed",
    );
    expect(await refusal(loadPlanes(sensorOf({ flat: npy("gain", [24, 31], one(4)) }), host))).toContain(
      "SE006 the flat field is 4 at row 0",
    );
  });
  it("a mask that masks all", async () => {
    expect(await refusal(loadPlanes(sensorOf({ mask: npy("all", [24, 31], one(1)) }), host))).toBe(
      "SE007 the mask takes out all 744 pixels | 1 means that a pixel is not used, 0 that it is: the mask may be the wrong way round",
    );
  });
});

describe("run --sensor", () => {
  const session = newSession(host);
  const sensor = (name: string, keys: SensorInput): string => {
    const path = join(folder, `${name}.yaml`);
    writeFileSync(path, JSON.stringify({ ...shape, ...keys }));
    return path;
  };
  const found = { dark: 4, threshold: 20, find: { peak_min: 200 } };
  const run = (name: string, keys: SensorInput, options: Partial<RunFramesOptions> = {}) =>
    runFramesOn(
      model,
      { sensor: sensor(name, keys), input: at("eiger_master.h5"), output: join(folder, `${name}.csv`), ...options },
      session,
    );
  it("finds what is there, and writes it in four formats that agree", async () => {
    const page = join(folder, "page.html");
    const summary = await run("csv", found, { truth: at("frames.npz:truth"), html: page });
    expect(summary).toMatchObject({ frames: 3, found: 6, sent: 6, dropped: 0, flagged: 0 });
    expect(summary.truth).toMatchObject({ within_2_px: 6, missed: 0 });
    expect(summary.truth!.mean_distance).toBeLessThan(0.25);
    const lines = readFileSync(join(folder, "csv.csv"), "utf8").trim().split("\n").slice(1);
    const rows = lines.map((l) => l.split(",").map(Number));
    const frames = readFileSync(join(folder, "csv-frames.csv"), "utf8");
    expect(frames).toBe("frame,found,sent,dropped,flags\n0,2,2,0,\n1,2,2,0,\n2,2,2,0,\n");

    await run("npz", found, { output: join(folder, "peaks.npz") });
    const npz = readArrays(readFileSync(join(folder, "peaks.npz")), "peaks.npz");
    await run("h5", found, { output: join(folder, "peaks.h5") });
    await run("bin", found, { output: join(folder, "peaks.bin") });
    const records = readRecords(readFileSync(join(folder, "peaks.bin"))).filter((r) => r.kind === "peak");
    expect(records.map((r) => [r.frame, r.row / 1024, r.column / 1024, r.maximum, r.sum, r.pixels])).toEqual(
      ["frame", "row", "column", "maximum", "sum", "pixels"]
        .map((k) => [...npz.get(`peaks_${k}`)!.data])
        .reduce<number[][]>((list, column) => column.map((v, i) => [...(list[i] ?? []), v]), []),
    );
    rows.forEach((r, i) => {
      expect(r[1]).toBeCloseTo(records[i]!.row / 1024, 4);
      expect(r[2]).toBeCloseTo(records[i]!.column / 1024, 4);
    });
    const { default: h5wasm } = await import("h5wasm/node");
    const h5 = new h5wasm.File(join(folder, "peaks.h5"), "r");
    const column = h5.get("peaks/column") as InstanceType<typeof h5wasm.Dataset>;
    expect([...(column.value as Float64Array)]).toEqual([...npz.get("peaks_column")!.data]);
    h5.close();

    const html = readFileSync(page, "utf8");
    expect(html.match(/class="found"/g)!.length).toBe(2 + 1); // two rings, and the one that explains them
    expect(html).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
  });
  it("takes truth from a table, and refuses one without centres", async () => {
    const table = (text: string): string => {
      const path = join(folder, "truth.csv");
      writeFileSync(path, text);
      return path;
    };
    const summary = await run("truth", found, { truth: table("col,frame,row\n9.7,0,8.3\n20.2,0,14.6\n1,1,1\n") });
    expect(summary.truth).toMatchObject({ within_2_px: 2, missed: 1 });
    expect(await refusal(run("truth", found, { truth: table("x,y\n1,2\n") }))).toContain(
      "SE020 the table of true centres has no columns frame, row and column",
    );
    expect(await refusal(run("truth", found, { truth: at("frames.npz:centres") }))).toContain(
      "SE014 there is no array of centres; the file holds frames, dark",
    );
  });
  it("draws a page without truth, too", async () => {
    const page = join(folder, "plain.html");
    await run("plain", found, { html: page });
    const html = readFileSync(page, "utf8");
    expect(html).toContain("the brightest, and others spread over the frame");
    expect(html).not.toContain("Distance to the truth");
    expect(html.match(/class="centre"/g)!.length).toBe(2 * 2);
  });
  it("takes streamed darks from a second file", async () => {
    const streamed = { ...found, dark: "stream" };
    expect(await refusal(run("streamed", streamed))).toContain(
      "SE016 the sensor description says that dark counts are",
    );
    expect(await refusal(run("streamed", streamed, { dark: at("eiger_data_000001.h5") }))).toContain(
      "SE017 there are 2 images of dark counts for 3 frames",
    );
    const dark = npy("dark4", [24, 31], new Int32Array(24 * 31).fill(4));
    expect(await run("streamed", streamed, { dark })).toMatchObject({ found: 6 });
  });
  it("refuses networks whose input is no patch, or that give no position", async () => {
    expect(await refusal(run("patch", { patch: 9 }))).toContain(
      "SE012 input patch of the network has the shape [1, 1, 11, 11], which is no patch of 9 x 9 pixels",
    );
    expect(await refusal(run("output", { output: { row: 2 } }))).toContain(
      "SE013 row of the position is output 2, the network has 2 outputs",
    );
  });
  it("refuses a network whose ports have scales of their own, as those of quantized models", async () => {
    const dir = join(folder, "scaled");
    const port = { width: 8, frac: 0, signed: false, elementsPerBeat: 1, beats: 1, dataBits: 8 };
    const ports = [
      { ...port, name: "x", prefix: "s_axis", direction: "input", shape: [1, 1, 11, 11], scale: 0.004 },
      { ...port, name: "y", prefix: "m_axis", direction: "output", shape: [1, 2] },
    ];
    host.writeFile(join(dir, "design.json"), JSON.stringify({ top: "m", ports }));
    host.writeFile(
      join(dir, "model.hir"),
      'module "m" { func() {sym = "f", inputs = ["x"], outputs = ["x"]} ({ ^(%x: stream<1xufixed<8,0>>): return(%x) : (stream<1xufixed<8,0>>) -> () }) : () -> () }',
    );
    const options = { sensor: sensor("scaled", found), input: at("frames.npy"), output: join(folder, "scaled.csv") };
    expect(await refusal(runFramesOn(dir, options, session))).toContain(
      "SE015 port x of the network has the scale 0.004, which is no power of two",
    );
  });
  it("refuses a model without a sensor", async () => {
    const options = { input: at("frames.npy"), output: join(folder, "no.csv") };
    expect(await refusal(runFramesOn(model, options, session))).toContain("SE019 there is no sensor in it");
  });
  it("refuses an output that it cannot write, before it reads anything", async () => {
    expect(await refusal(run("ending", found, { output: join(folder, "peaks.txt"), input: "nowhere.h5" }))).toMatch(
      /^SE018 the ending of .*peaks.txt does not say what to write/,
    );
  });
});
