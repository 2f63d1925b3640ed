/** Runs the front end alone in the rtl interpreter, with a network that answers at once: always the same position. */
import { findDevice } from "../../src/backend-hls/device/devices.js";
import { detectorPorts, type DetectorPlan, emitShell, planDetector } from "../../src/backend-hls/raster/detector.js";
import { Module } from "../../src/ir/core.js";
import { lookupOp, registerDialect } from "../../src/ir/define-op.js";
import { RtlSimulator } from "../../src/ir/eval/rtl-sim.js";
import { rtlDialect } from "../../src/ir/rtl/index.js";
import { fixed, type FixedType } from "../../src/ir/types.js";
import type { Planes } from "../../src/sensor/correct.js";
import { type SensorRecord, unpackRecord } from "../../src/sensor/records.js";
import { beatsPerRow, type Sensor } from "../../src/sensor/sensor.js";

if (lookupOp("rtl.add") === undefined) registerDialect(rtlDialect);

export interface Beat {
  /** Pixels, the first column first. */
  readonly pixels: readonly number[];
  readonly dark: readonly number[];
  readonly user: boolean;
  readonly last: boolean;
}

/** A frame as beats, with the marks where they belong; what pads a row is anything. */
export function beatsOf(sensor: Sensor, raw: readonly number[], dark: readonly number[] = []): Beat[] {
  const { rows, columns, pixelsPerBeat: lanes } = sensor;
  const beats = beatsPerRow(sensor);
  const padding = 2 ** Math.min(sensor.pixelBits, 16) - 1;
  return Array.from({ length: rows * beats }, (_, n): Beat => {
    const [r, b] = [Math.floor(n / beats), n % beats];
    const part = (data: readonly number[]): number[] =>
      Array.from({ length: lanes }, (_, l) =>
        b * lanes + l < columns ? (data[r * columns + b * lanes + l] ?? 0) : padding,
      );
    const last = b === beats - 1 && (sensor.endOf === "line" || r === rows - 1);
    return { pixels: part(raw), dark: part(dark), user: n === 0, last };
  });
}

export interface ShellRun {
  /** Pixels of the patches as the network sees them. */
  readonly patches: number[][];
  readonly records: SensorRecord[];
  /** Whether the pixel port, and that of the dark, took what was offered in every cycle. */
  readonly alwaysReady: boolean;
}

export const PORT: FixedType = fixed(10, 9, false);
/** What the network answers: row 2.5, column 1.25 of the patch. */
export const ANSWER = { row: 2.5, column: 1.25 };

export interface Shell {
  readonly module: Module;
  readonly plan: DetectorPlan;
}

export function shellOf(sensor: Sensor, planes: Planes, lanes = sensor.patch): Shell {
  const target = { device: findDevice("xcku5p")!, clockMhz: 250 };
  const { patch } = sensor;
  const input = {
    name: "x",
    direction: "input",
    prefix: "s_axis",
    elementsPerBeat: lanes,
    width: PORT.width,
    signed: PORT.signed,
    frac: PORT.frac,
    dataBits: Math.ceil((lanes * PORT.width) / 8) * 8,
    beats: (patch * patch) / lanes,
    shape: [1, 1, patch, patch],
  } as const;
  const output = {
    name: "y",
    direction: "output",
    prefix: "m_axis",
    elementsPerBeat: 1,
    width: 12,
    signed: true,
    frac: 4,
    dataBits: 16,
    beats: 2,
    shape: [1, 2],
  } as const;
  const plan = planDetector(sensor, planes, { input, output }, 4, target);
  const module = new Module("shell");
  emitShell(module, "shell", sensor, planes, { input, output }, plan, target, true);
  return { module, plan };
}

/**
 * @param pause whether a port waits in a cycle: the pixels, the records, or the network
 * @param slow cycles that the network takes for a patch
 */
export function runShell(
  sensor: Sensor,
  { module, plan }: Shell,
  beats: readonly Beat[],
  pause: (port: "pixels" | "records" | "network") => boolean = () => false,
  slow = 0,
): ShellRun {
  const sim = new RtlSimulator(module, "shell");
  sim.reset();
  const word = (values: readonly number[], bits: number): bigint =>
    values.reduceRight((w, v) => (w << BigInt(bits)) | BigInt(v), 0n);
  const { lanes } = plan.feed;
  const size = sensor.patch * sensor.patch;
  const streamed = detectorPorts(sensor).some((p) => p.role === "dark");
  const patches: number[][] = [];
  const records: SensorRecord[] = [];
  const answers: bigint[] = [];
  let current: number[] = [];
  let alwaysReady = true;
  let answerFrom = 0;
  const raw = (pixels: number): bigint => BigInt.asUintN(12, BigInt(pixels * 16));
  for (let cycle = 0, sent = 0, idle = 0; sent < beats.length || idle < 600; cycle++) {
    const offer = sent < beats.length && !pause("pixels");
    const beat = beats[sent];
    sim.set("s_axis_tvalid", offer ? 1 : 0);
    if (streamed) sim.set("s_axis_dark_tvalid", offer ? 1 : 0);
    if (offer && beat !== undefined) {
      sim.set("s_axis_tdata", word(beat.pixels, sensor.pixelBits));
      sim.set("s_axis_tuser", beat.user ? 1 : 0);
      sim.set("s_axis_tlast", beat.last ? 1 : 0);
      if (streamed) {
        sim.set("s_axis_dark_tdata", word(beat.dark, sensor.pixelBits));
        sim.set("s_axis_dark_tuser", beat.user ? 1 : 0);
        sim.set("s_axis_dark_tlast", beat.last ? 1 : 0);
      }
    }
    const [takes, feeds] = [!pause("records"), !pause("network")];
    sim.set("m_axis_tready", takes ? 1 : 0);
    sim.set("m_axis_patch_tready", feeds ? 1 : 0);
    const answers_ = answers.length > 0 && cycle >= answerFrom;
    sim.set("s_axis_answer_tvalid", answers_ ? 1 : 0);
    sim.set("s_axis_answer_tdata", answers[0] ?? 0n);
    if (sim.getNumber("s_axis_tready") !== 1) alwaysReady = false;
    if (streamed && offer && sim.getNumber("s_axis_dark_tready") !== 1) alwaysReady = false;
    idle = sent < beats.length ? 0 : idle + 1;
    if (takes && sim.getNumber("m_axis_tvalid") === 1) {
      records.push(unpackRecord(sim.get("m_axis_tdata")));
      idle = 0;
    }
    if (answers_ && sim.getNumber("s_axis_answer_tready") === 1) {
      answers.shift();
      if (answers.length % 2 === 0) answerFrom = cycle + slow;
    }
    if (feeds && sim.getNumber("m_axis_patch_tvalid") === 1) {
      idle = 0;
      const w = sim.get("m_axis_patch_tdata");
      for (let e = 0; e < lanes; e++) current.push(Number(BigInt.asUintN(PORT.width, w >> BigInt(e * PORT.width))));
      if (current.length === size) {
        patches.push(current);
        current = [];
        const unit = sensor.output.unit === "patch" ? sensor.patch : 1;
        answers.push(raw(ANSWER.column / unit), raw(ANSWER.row / unit));
      }
    }
    if (offer) sent++;
    sim.step();
  }
  return { patches, records, alwaysReady };
}
