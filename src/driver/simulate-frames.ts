/**
 * `simulate` of a design with the front end of a sensor: frames through the Verilog, every record held against the
 * bit-exact model, and its cycle against the cycle model.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { predictRecords } from "../backend-hls/raster/cycle-model.js";
import { designOf } from "../backend-hls/design/schedule.js";
import { requireDevice } from "../backend-hls/passes.js";
import { packBeats } from "../backend-verilog/beats.js";
import { inputCycles, outputReady } from "../backend-verilog/harness-random.js";
import { buildSimulation, MARK_LAST, MARK_USER, runSimulation, type StreamPort } from "../backend-verilog/verilator.js";
import { type FrameSource, openFrames } from "../sensor/input.js";
import { locateFrame, type LocatedFrame } from "../sensor/locate.js";
import { packRecord, readRecords, type SensorRecord } from "../sensor/records.js";
import { beatsPerFrame, beatsPerRow, type Sensor } from "../sensor/sensor.js";
import { tableOf } from "../sensor/peak-table.js";
import type { DesignFile } from "./compile.js";
import { type DetectorFile, PLANES, planOf, readPlanes } from "./detector.js";
import { fixedNetwork, lastPixel, openDark, writeTable } from "./frames.js";
import { type Compiled, loadDesign } from "./execute.js";
import type { SimulateOptions } from "./options.js";
import type { FramesSimulation } from "./report.js";
import { readBytes, type Session } from "./session.js";

/** A compiled design with its front end. */
export interface CompiledDetector extends Compiled {
  readonly design: DesignFile & { readonly detector: DetectorFile };
}

export interface SimulatedFrames {
  readonly summary: FramesSimulation;
  /** As the Verilog gave them. */
  readonly records: readonly SensorRecord[];
}

/** @errors SE008 to SE011, SE014, SE016, SE017 and those of the tools */
export async function simulateFrames(
  dir: string,
  compiled: CompiledDetector,
  options: Pick<SimulateOptions, "input" | "dark" | "stall" | "seed" | "quickBuild" | "threads">,
  session: Session,
): Promise<SimulatedFrames> {
  const { design, module } = compiled;
  const { detector } = design;
  const { sensor } = detector;
  const { host } = session;
  const planesPath = join(dir, PLANES);
  const planes = host.exists(planesPath) ? readPlanes(readBytes(host, planesPath), planesPath) : {};
  const streamed = sensor.dark.kind === "stream";
  const source = await openFrames(options.input, sensor, host);
  const darks = streamed ? await openDark(sensor, dir, options, source.frames, session) : undefined;
  const network = fixedNetwork(compiled, sensor);
  const work = mkdtempSync(join(tmpdir(), "onnx-hls-"));
  try {
    const file = (prefix: string): string => join(work, `${prefix}.bin`);
    const perFrame = beatsPerFrame(sensor);
    const pixels = new BeatWriter(sensor, source.frames);
    const darkBeats = darks === undefined ? undefined : new BeatWriter(sensor, source.frames);
    const located: LocatedFrame[] = [];
    for (let f = 0; f < source.frames; f++) {
      session.progress("model", f, source.frames);
      const raw = await source.read(f);
      const dark = darks === undefined ? undefined : await darkOf(darks, f);
      located.push(locateFrame(sensor, planes, network, f, raw, dark));
      pixels.write(f, raw);
      if (dark !== undefined) darkBeats!.write(f, dark);
    }
    session.progress("model", source.frames, source.frames);
    host.writeFile(file("s_axis"), pixels.bytes);
    if (darkBeats !== undefined) host.writeFile(file("s_axis_dark"), darkBeats.bytes);

    // What comes out, and when.
    const stall = options.stall ?? 0;
    const seed = options.seed ?? 1;
    // Dark counts must come with the pixels.
    const stallInputs = streamed ? 0 : stall;
    const device = requireDevice(design.device);
    const target = { device, clockMhz: design.clock_mhz };
    const flow = designOf(module, device, design.clock_mhz);
    const plan = planOf(detector, planes, design.ports, target);
    const predicted = predictRecords(sensor, plan, flow, target, {
      frames: located.map((l) => l.peaks.map(({ peak }) => lastPixel(sensor, peak))),
      beatCycles: inputCycles(perFrame * source.frames, seed, stallInputs),
      accepts: outputReady(seed, stall),
    });
    const expected = predicted.map((p): SensorRecord => {
      const frame = located[p.frame]!;
      return p.kind === "peak"
        ? frame.peaks[p.peak]!.record
        : { ...frame.end, found: p.found, sent: p.sent, dropped: p.dropped };
    });

    const ports = detector.ports.map(
      (p): StreamPort => ({
        name: p.prefix,
        direction: p.direction === "input" ? "in" : "out",
        width: p.dataBits,
        beatsPerSample: p.direction === "input" ? perFrame : 1,
        ...(p.direction === "input" ? { marks: true } : { hasLast: false }),
      }),
    );
    session.progress("build", 0, 0);
    const simulation = await buildSimulation(join(dir, "rtl"), design.top, ports, join(dir, "sim"), {
      quick: options.quickBuild === true,
      threads: options.threads ?? 1,
    });
    const result = await runSimulation(simulation, {
      inputs: { s_axis: file("s_axis"), s_axis_dark: file("s_axis_dark") },
      outputs: { m_axis: file("m_axis") },
      samples: source.frames,
      totals: { m_axis: predicted.length },
      cycles: join(work, "cycles.bin"),
      stallInputs,
      stallOutputs: stall,
      seed,
      watchdogCycles: 100_000 + 4 * design.latency,
      onProgress: (p) => session.progress("simulate", Math.min(p.samples, p.total), p.total),
    });
    const records = readRecords(host.readFile(file("m_axis")));
    const cycles = readCycles(host.readFile(join(work, "cycles.bin")));
    const mismatches = expected.filter((r, i) => records[i] === undefined || packRecord(r) !== packRecord(records[i]));
    const late = predicted.filter((p, i) => p.cycle !== cycles[i]);
    const total = (key: "found" | "sent" | "dropped"): number =>
      records.reduce((n, r) => n + (r.kind === "frame" ? r[key] : 0), 0);
    return {
      records,
      summary: {
        frames: source.frames,
        found: total("found"),
        sent: total("sent"),
        dropped: total("dropped"),
        records: records.length,
        mismatches: mismatches.length,
        late: late.length,
        cycles: (cycles[cycles.length - 1] ?? -1) + 1,
        frame_interval: perFrame,
        build_seconds: simulation.buildSeconds,
        simulation_seconds: result.seconds,
      },
    };
  } finally {
    source.close();
    darks?.close();
    rmSync(work, { recursive: true, force: true });
  }
}

/** Whether the design in a folder has the front end of a sensor. @errors IO001, IO005 */
export function hasDetector(dir: string, session: Session): boolean {
  return loadDesign(dir, session).design.detector !== undefined;
}

/** Simulates a design with a front end on a file of frames, and writes the peaks that its Verilog gave. */
export async function simulateDetector(
  dir: string,
  options: SimulateOptions,
  session: Session,
): Promise<FramesSimulation> {
  const compiled = loadDesign(dir, session) as CompiledDetector;
  const { records, summary } = await simulateFrames(dir, compiled, options, session);
  await writeTable(options.output, tableOf(records), records, session);
  return summary;
}

/** Dark counts of frame `f`: its own, or those of the only one. */
function darkOf(darks: FrameSource, f: number): ReturnType<FrameSource["read"]> {
  return darks.read(darks.frames === 1 ? 0 : f);
}

/** Frames as the beats of a port, each with its byte of marks. */
class BeatWriter {
  readonly bytes: Uint8Array;
  private readonly beatBytes: number;

  constructor(
    private readonly sensor: Sensor,
    frames: number,
  ) {
    this.beatBytes = Math.ceil((sensor.pixelsPerBeat * sensor.pixelBits) / 8);
    this.bytes = new Uint8Array(frames * beatsPerFrame(sensor) * (this.beatBytes + 1));
  }

  write(frame: number, pixels: ArrayLike<number>): void {
    const { rows, columns, pixelsPerBeat: lanes, pixelBits, endOf } = this.sensor;
    const beats = beatsPerRow(this.sensor);
    const row = new Float64Array(columns);
    let at = frame * rows * beats * (this.beatBytes + 1);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) row[c] = pixels[r * columns + c]!;
      const packed = packBeats(row, {
        elementBits: pixelBits,
        elementsPerBeat: lanes,
        signed: false,
        width: this.beatBytes * 8,
      });
      for (let b = 0; b < beats; b++) {
        this.bytes.set(packed.subarray(b * this.beatBytes, (b + 1) * this.beatBytes), at);
        at += this.beatBytes;
        const last = b === beats - 1 && (endOf === "line" || r === rows - 1);
        this.bytes[at++] = (r === 0 && b === 0 ? MARK_USER : 0) | (last ? MARK_LAST : 0);
      }
    }
  }
}

/** Whole numbers of 8 bytes each. */
function readCycles(bytes: Uint8Array): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => Number(view.getBigUint64(8 * i, true)));
}
