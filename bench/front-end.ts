/**
 * Front ends of sensors alone, without a network: what they take by estimate and by Yosys. `npm run bench:front-end`
 * prints a table, compares with `front-end-baseline.json`, and ends with exit code 1 where a limit is exceeded or the
 * area has grown by more than 2 %. `--update` rewrites the baseline.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rtlArea } from "../src/backend-hls/emit/rtl-area.js";
import type { AxisPort } from "../src/backend-hls/emit/flow-to-rtl.js";
import { requireDevice } from "../src/backend-hls/passes.js";
import { emitShell, planDetector } from "../src/backend-hls/raster/detector.js";
import { synthesize } from "../src/backend-verilog/yosys.js";
import { prepareVerilog, writePrepared } from "../src/backend-verilog/write-verilog.js";
import "../src/driver/stages.js";
import { Module } from "../src/ir/core.js";
import { sensorFrom, type SensorInput } from "../src/sensor/read-sensor.js";

interface Area {
  readonly lut: number;
  readonly ff: number;
  readonly dsp: number;
  readonly bram: number;
}
interface Row {
  readonly name: string;
  readonly estimated: Area;
  readonly yosys: Area;
}

interface FrontEnd {
  readonly name: string;
  readonly device: string;
  readonly clockMhz: number;
  readonly sensor: SensorInput;
  readonly limit?: { readonly lut: number; readonly bram: number };
}

const common = { rows: 2048, columns: 2048, dark: 200, threshold: 60, find: { peak_min: 120 } };
const frontEnds: readonly FrontEnd[] = [
  {
    name: "2048 x 2048, 8 pixels a beat, queue of 16",
    device: "xcku5p",
    clockMhz: 250,
    sensor: { ...common, pixels_per_beat: 8, queue: 16 },
    limit: { lut: 12_000, bram: 24 },
  },
  {
    name: "2048 x 2048, 1 pixel a beat, queue of 16",
    device: "lfe5um5g-85f",
    clockMhz: 125,
    sensor: { ...common, pixels_per_beat: 1, queue: 16 },
  },
];

/** Of a network that takes a pixel a beat and gives row and column. */
const port = { name: "x", signed: false, elementsPerBeat: 1, width: 12, frac: 11, dataBits: 16 } as const;
const input: AxisPort = { ...port, direction: "input", prefix: "s_axis", beats: 121, shape: [1, 1, 11, 11] };
const output: AxisPort = { ...port, direction: "output", prefix: "m_axis", signed: true, beats: 2, shape: [1, 2] };
/** Patches in the network at a time. */
const IN_FLIGHT = 4;
const GROWTH = 1.02;

const baselineFile = join(dirname(fileURLToPath(import.meta.url)), "front-end-baseline.json");

async function measure({ name, device: deviceName, clockMhz, sensor: keys }: FrontEnd): Promise<Row> {
  const device = requireDevice(deviceName);
  const sensor = sensorFrom(keys);
  const target = { device, clockMhz };
  const plan = planDetector(sensor, {}, { input, output }, IN_FLIGHT, target);
  const module = new Module("front_end");
  emitShell(module, "front_end", sensor, {}, { input, output }, plan, target, true);
  const hardware = prepareVerilog(module);
  const dir = mkdtempSync(join(tmpdir(), "onnx-hls-front-end-"));
  try {
    for (const folder of ["rtl", "work"]) mkdirSync(join(dir, folder));
    for (const [file, text] of writePrepared(hardware)) writeFileSync(join(dir, "rtl", file), text);
    const { lut, ff, dsp, bram } = await synthesize(join(dir, "rtl"), "front_end", device.family.synthesis, {
      workDir: join(dir, "work"),
    });
    const e = rtlArea(hardware, device).get("front_end")!;
    const estimated = { lut: Math.round(e.lut), ff: Math.round(e.ff), dsp: e.dsp, bram: e.bram };
    return { name, estimated, yosys: { lut, ff, dsp, bram } };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const rows: Row[] = [];
for (const f of frontEnds) rows.push(await measure(f));
const problems: string[] = [];
if (process.argv.includes("--update")) writeFileSync(baselineFile, `${JSON.stringify(rows, null, 1)}\n`);
const baseline = existsSync(baselineFile) ? (JSON.parse(readFileSync(baselineFile, "utf8")) as Row[]) : [];
process.stdout.write("| front end | LUT | FF | DSP | block RAM | LUT estimated |\n|---|---|---|---|---|---|\n");
for (const [i, r] of rows.entries()) {
  const { lut, ff, dsp, bram } = r.yosys;
  const count = (n: number): string => n.toLocaleString("en-US");
  process.stdout.write(
    `| ${r.name}, ${frontEnds[i]!.device} | ${count(lut)} | ${count(ff)} | ${dsp} | ${bram} | ${count(r.estimated.lut)} |\n`,
  );
  const { limit } = frontEnds[i]!;
  if (limit !== undefined && (lut > limit.lut || bram > limit.bram))
    problems.push(`${r.name}: more than ${limit.lut} LUT and ${limit.bram} block RAMs`);
  const before = baseline.find((b) => b.name === r.name)?.yosys;
  if (before === undefined) problems.push(`${r.name}: not in the baseline`);
  else if (lut > before.lut * GROWTH || ff > before.ff * GROWTH || dsp > before.dsp || bram > before.bram)
    problems.push(`${r.name}: larger than the baseline`);
}
for (const p of problems) process.stderr.write(`${p}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
