/** `compile --sensor`: the front end of a sensor around a compiled network, and what the report says of it. */
import { basename } from "node:path";
import {
  planDetector,
  type DetectorPlan,
  type DetectorPort,
  emitDetector,
  networkPorts,
} from "../backend-hls/raster/detector.js";
import { predictRecords } from "../backend-hls/raster/cycle-model.js";
import type { Target as ClockTarget } from "../backend-hls/raster/scalar.js";
import type { Design } from "../backend-hls/design/design.js";
import type { AxisWidth } from "../backend-hls/design/port-limits.js";
import type { Scheduled } from "../backend-hls/design/schedule.js";
import type { AxisPort, RtlDesign } from "../backend-hls/emit/flow-to-rtl.js";
import type { IpStream } from "../backend-verilog/ip-description.js";
import { readArrays, writeNpz, type OutputArray } from "../frontend/npz.js";
import type { Planes } from "../sensor/correct.js";
import { cDecoder, pythonDecoder } from "../sensor/decoders.js";
import { loadPlanes } from "../sensor/input.js";
import { parseSensor, sensorFrom, type SensorInput } from "../sensor/read-sensor.js";
import { beatsPerFrame, type Sensor } from "../sensor/sensor.js";
import type { Settings } from "./config.js";
import { canonical, sha256 } from "./manifest.js";
import type { DetectorReport } from "./report.js";
import { readText, type Session } from "./session.js";

/** Of DIR/design.json: what simulation needs besides the network. Numbers per pixel are in DIR/`PLANES`. */
export interface DetectorFile {
  readonly sensor: Sensor;
  readonly ports: readonly DetectorPort[];
  /** Samples that the network holds at most. */
  readonly in_flight: number;
}

/** File of DIR with the numbers per pixel. */
export const PLANES = "planes.npz";

export interface LoadedSensor {
  readonly sensor: Sensor;
  readonly planes: Planes;
}

/** @errors SE001 to SE007, SE010, SE011, SE014 and those of files */
export async function loadSensorAndPlanes(given: string | SensorInput, session: Session): Promise<LoadedSensor> {
  const sensor = typeof given === "string" ? parseSensor(readText(session.host, given), given) : sensorFrom(given);
  return { sensor, planes: await loadPlanes(sensor, session.host) };
}

/**
 * Elements a beat of the network's input, where none are stated: the fewest that keep the interval and make up the rows
 * of a patch.
 */
export function patchWidth(sensor: Sensor, settings: Settings): AxisWidth {
  const { target, clockMhz } = settings;
  const interval =
    target?.kind === "ii" ? target.cycles : target?.kind === "rate" ? (clockMhz * 1e6) / target.hz : Infinity;
  const widths = Array.from({ length: sensor.patch }, (_, i) => i + 1).filter((n) => sensor.patch % n === 0);
  const enough = widths.find((n) => (sensor.patch * sensor.patch) / n <= interval);
  return { unit: "elements", count: enough ?? sensor.patch };
}

export interface Detector extends LoadedSensor {
  readonly plan: DetectorPlan;
  readonly top: string;
  readonly ports: readonly DetectorPort[];
  readonly inFlight: number;
}

/** Puts the front end around a network. The design's module gets a new top. @errors SE012, SE013, SE030 */
export function attachDetector(loaded: LoadedSensor, rtl: RtlDesign, s: Scheduled, target: ClockTarget): Detector {
  const { sensor, planes } = loaded;
  // A sample that enters is answered a latency later at the latest.
  const inFlight = Math.ceil(s.timeline.latency / s.timeline.initiationInterval) + 2;
  const plan = planDetector(sensor, planes, networkPorts(rtl.ports, sensor), inFlight, target);
  return { ...loaded, plan, inFlight, ...emitDetector(rtl, sensor, planes, plan, target) };
}

/** The plan of a design that has been compiled. */
export function planOf(
  file: DetectorFile,
  planes: Planes,
  ports: readonly AxisPort[],
  target: ClockTarget,
): DetectorPlan {
  return planDetector(file.sensor, planes, networkPorts(ports, file.sensor), file.in_flight, target);
}

/** What design.json says of a detector; names of files without the folders of this machine. */
export function detectorFile({ sensor, ports, inFlight }: Detector): DetectorFile {
  const { dark, mask, flat, ...stated } = sensor;
  return {
    sensor: {
      ...stated,
      dark: dark.kind === "file" ? { ...dark, path: basename(dark.path) } : dark,
      ...(mask !== undefined && { mask: basename(mask) }),
      ...(flat !== undefined && { flat: basename(flat) }),
    },
    ports,
    in_flight: inFlight,
  };
}

/** Files of DIR besides those of the network: what reads the records, and the numbers per pixel. */
export function detectorFiles({ planes }: LoadedSensor): [string, string | Uint8Array][] {
  const perPixel = planesFile(planes);
  return [
    ["decoders/records.py", pythonDecoder()],
    ["decoders/records.h", cDecoder()],
    ...(perPixel === undefined ? [] : [[PLANES, perPixel] as [string, Uint8Array]]),
  ];
}

/** SHA-256 of all that a sensor's description states, with the numbers per pixel in place of their files' names. */
export function sensorDigest({ sensor, planes }: LoadedSensor): string {
  const { mask: _, flat: __, dark, ...stated } = sensor;
  const perPixel = planesFile(planes);
  const darkStated = dark.kind === "file" ? dark.kind : dark;
  return sha256(
    JSON.stringify([canonical({ ...stated, dark: darkStated }), perPixel === undefined ? null : sha256(perPixel)]),
  );
}

/** Numbers per pixel as a file of DIR, and back. */
export function planesFile(planes: Planes): Uint8Array | undefined {
  const arrays = new Map<string, OutputArray>();
  for (const [name, data] of Object.entries(planes) as [string, ArrayLike<number>][])
    arrays.set(name, { shape: [data.length], data: Float64Array.from(data) });
  return arrays.size === 0 ? undefined : writeNpz(arrays);
}
export function readPlanes(bytes: Uint8Array, path: string): Planes {
  const arrays = readArrays(bytes, path);
  const { dark, mask, flat } = Object.fromEntries([...arrays].map(([n, a]) => [n, a.data]));
  return {
    ...(dark !== undefined && { dark: Uint32Array.from(dark) }),
    ...(mask !== undefined && { mask: Uint8Array.from(mask) }),
    ...(flat !== undefined && { flat: Uint16Array.from(flat) }),
  };
}

export function detectorReport(
  { sensor, plan }: Detector,
  design: Design,
  interval: number,
  target: ClockTarget,
): DetectorReport {
  const hz = target.clockMhz * 1e6;
  const frame = beatsPerFrame(sensor);
  // Of the patch that takes longest to fetch, in a network that is idle.
  const { patch, pixelsPerBeat: lanes } = sensor;
  const { pairs } = plan.front;
  const slowest = pairs.indexOf(Math.max(...pairs));
  const column = slowest + lanes * Math.ceil((patch - 1 - slowest) / lanes);
  const row = patch - 1;
  const at = row * plan.front.beats + Math.floor(column / lanes);
  const [record] = predictRecords(sensor, plan, design, target, { frames: [[{ row, column }]] });
  const peakInterval = Math.max(interval, patch * Math.max(...pairs), (patch * patch) / plan.feed.lanes);
  return {
    frame_interval: frame,
    frames_per_second: hz / frame,
    peak_latency: record!.cycle - at,
    peak_interval: peakInterval,
    peaks_per_second: hz / peakInterval,
    lossless_burst: sensor.queue,
    lossless_peaks_per_frame: Math.floor(frame / peakInterval),
  };
}

/** Streams of the packaged core. */
export function detectorStreams(sensor: Sensor, ports: readonly DetectorPort[]): IpStream[] {
  const { pixelsPerBeat: lanes, pixelBits: bits, endOf } = sensor;
  const marks = `TUSER is the first beat of a frame, TLAST the last of a ${endOf}`;
  const docs = {
    pixels: `pixels: ${lanes} of ${bits} bits per beat, the first column lowest; ${marks}`,
    dark: `dark counts of the pixels, beat by beat; ${marks}`,
    records: "records of 128 bits: peaks, and the end of each frame with TLAST; see records.h and records.py",
  };
  return ports.map((p) => ({
    name: p.prefix,
    direction: p.direction === "input" ? "in" : "out",
    width: p.dataBits,
    hasUser: p.direction === "input",
    doc: docs[p.role],
  }));
}
