/** `run --sensor`: frames of a detector in, positions of peaks out. */
import { join } from "node:path";
import { type PatchEnd, predictRecords, type TimedRecord } from "../backend-hls/raster/cycle-model.js";
import { designOf } from "../backend-hls/design/schedule.js";
import { requireDevice } from "../backend-hls/passes.js";
import { UserError } from "../diagnostics/index.js";
import { writeNpz } from "../frontend/npz.js";
import { prepareFlow } from "../ir/eval/flow.js";
import { prepareNn } from "../ir/eval/nn-fixed.js";
import { fixed, type TensorType } from "../ir/types.js";
import type { Planes } from "../sensor/correct.js";
import type { Peak } from "../sensor/find.js";
import { type FrameSource, openFrames } from "../sensor/input.js";
import { checkNetwork, locateFrame, type LocatedFrame, type Network } from "../sensor/locate.js";
import { columnsOf, framesCsv, peaksCsv, tableOf } from "../sensor/peak-table.js";
import { recordBytes, type FrameRecord, type SensorRecord } from "../sensor/records.js";
import type { Sensor } from "../sensor/sensor.js";
import { matchTruth, readTruth, type Matched } from "../sensor/truth.js";
import { writeWhole } from "./atomic.js";
import { loadModel } from "./compile.js";
import { loadSensorAndPlanes, PLANES, planOf, readPlanes } from "./detector.js";
import { type Compiled, loadDesign } from "./execute.js";
import { framesHtml } from "./frames-html.js";
import type { RunFramesOptions } from "./options.js";
import type { FramesSummary } from "./report.js";
import { readBytes, type Session } from "./session.js";

/** What frames go through. */
interface Instrument {
  readonly sensor: Sensor;
  readonly planes: Planes;
  readonly network: Network;
  /** What the hardware sends when, given the frames' patches: some do not find a place in the queue. */
  readonly predict?: (frames: readonly (readonly PatchEnd[])[]) => readonly TimedRecord[];
}

/** @errors IO005, SE001 to SE007, SE012 to SE015 and those of the files */
async function instrumentOf(design: string, options: RunFramesOptions, session: Session): Promise<Instrument> {
  const stated = options.sensor === undefined ? undefined : await loadSensorAndPlanes(options.sensor, session);
  if (design.endsWith(".onnx")) {
    if (stated === undefined) throw UserError.of("SE019", {}, { file: design });
    return { ...stated, network: floatNetwork(design, stated.sensor, session) };
  }
  const compiled = loadDesign(design, session);
  if (stated !== undefined) return { ...stated, network: fixedNetwork(compiled, stated.sensor) };
  const { detector, device: name, clock_mhz: clockMhz, ports } = compiled.design;
  if (detector === undefined) throw UserError.of("SE019", {}, { file: design });
  const path = join(design, PLANES);
  const planes = session.host.exists(path) ? readPlanes(readBytes(session.host, path), path) : {};
  const device = requireDevice(name);
  const target = { device, clockMhz };
  const { sensor } = detector;
  return {
    sensor,
    planes,
    network: fixedNetwork(compiled, sensor),
    predict: (frames) =>
      predictRecords(
        sensor,
        planOf(detector, planes, ports, target),
        designOf(compiled.module, device, clockMhz),
        target,
        { frames },
      ),
  };
}

/**
 * Locates the peaks of all frames of a file.
 *
 * @param design folder of a compiled design, whose bit-exact network is used, or an ONNX file, of which the float one is.
 *   With a front end compiled in, and no other sensor stated, peaks are dropped as the hardware drops them when frames
 *   follow one another without a gap and records are taken at once.
 * @errors SE001 to SE020 and those of the files
 */
export async function runFrames(design: string, options: RunFramesOptions, session: Session): Promise<FramesSummary> {
  const { host, progress } = session;
  endingOf(options.output);
  const { sensor, planes, network, predict } = await instrumentOf(design, options, session);
  const truth = options.truth === undefined ? undefined : readTruth(options.truth, host);
  const source = await openFrames(options.input, sensor, host);
  let dark: FrameSource | undefined;
  try {
    if (sensor.dark.kind === "stream")
      dark = await openDark(sensor, options.sensor ?? design, options, source.frames, session);
    const found: SensorRecord[][] = [];
    const ends: FrameRecord[] = [];
    const patches: PatchEnd[][] = [];
    let shown: LocatedFrame | undefined;
    const started = host.now();
    for (let f = 0; f < source.frames; f++) {
      progress("frames", f, source.frames);
      const counts = dark === undefined ? undefined : await dark.read(f % dark.frames);
      const frame = locateFrame(sensor, planes, network, f, await source.read(f), counts);
      found.push(frame.peaks.map((p) => p.record));
      ends.push(frame.end);
      if (predict !== undefined) patches.push(frame.peaks.map((p) => lastPixel(sensor, p.peak)));
      // The page shows the frame with the most peaks.
      if (options.html !== undefined && (shown === undefined || frame.peaks.length > shown.peaks.length)) shown = frame;
    }
    progress("frames", source.frames, source.frames);
    const seconds = (host.now() - started) / 1000;
    const records =
      predict === undefined
        ? found.flatMap((list, f) => [...list, ends[f]!])
        : predict(patches).map((p): SensorRecord => {
            if (p.kind === "peak") return found[p.frame]![p.peak]!;
            return { ...ends[p.frame]!, found: p.found, sent: p.sent, dropped: p.dropped };
          });
    const table = tableOf(records);
    await writeTable(options.output, table, records, session);
    const matched = truth === undefined ? undefined : matchTruth(table.peaks, truth);
    if (options.html !== undefined && shown !== undefined)
      writeWhole(options.html, framesHtml({ input: options.input, sensor, shown, table, truth, matched }), host);
    return summaryOf(table.frames, seconds, matched);
  } finally {
    source.close();
    dark?.close();
  }
}

/** Of a patch: when it has arrived, it can be sent on. */
export function lastPixel(sensor: Sensor, peak: Peak): PatchEnd {
  return { row: peak.row + sensor.patch - 1, column: peak.column + sensor.patch - 1 };
}

/** @param description file or folder that says that they are streamed @errors SE016, SE017 */
export async function openDark(
  sensor: Sensor,
  description: string,
  options: Pick<RunFramesOptions, "dark">,
  frames: number,
  session: Session,
): ReturnType<typeof openFrames> {
  if (options.dark === undefined) throw UserError.of("SE016", {}, { file: description });
  const dark = await openFrames(options.dark, sensor, session.host);
  if (dark.frames === 1 || dark.frames === frames) return dark;
  dark.close();
  throw UserError.of("SE017", { dark: dark.frames, frames }, { file: options.dark });
}

/** The network of a compiled design. @errors SE012, SE013, SE015 */
export function fixedNetwork(c: Compiled, sensor: Sensor): Network {
  const [input, output] = [c.inputs[0]!, c.outputs[0]!];
  checkNetwork(sensor, c.inputs, output.shape);
  for (const p of [input, output])
    if (p.scale !== undefined) throw UserError.of("SE015", { name: p.name, scale: p.scale });
  const program = prepareFlow(c.module);
  return {
    kind: "fixed",
    input: fixed(input.width, input.frac, input.signed),
    outputFrac: output.frac,
    run: (patch) => program.run([patch])[0]!,
  };
}

function floatNetwork(path: string, sensor: Sensor, session: Session): Network {
  const module = loadModel(path, session);
  const names = module.func.attrs["inputs"] as readonly string[];
  const shape = (v: { readonly type: unknown }): readonly number[] => (v.type as TensorType).shape;
  const inputs = module.func.body.args.map((a, i) => ({ name: names[i]!, shape: shape(a) }));
  checkNetwork(sensor, inputs, shape(module.func.body.terminator.operand(0)));
  const program = prepareNn(module);
  return { kind: "float", run: (patch) => program.run([patch])[0]! };
}

/** What the file's name says to write. @errors SE018 */
function endingOf(path: string): string {
  const ending = /\.(csv|npz|h5|hdf5|nxs|bin)$/.exec(path)?.[1];
  if (ending === undefined) throw UserError.of("SE018", { path });
  return ending;
}

/** .csv (with a second one of the frames), .npz, HDF5, or .bin: the records as the hardware sends them. */
export async function writeTable(
  path: string,
  table: Parameters<typeof peaksCsv>[0],
  records: readonly SensorRecord[],
  { host }: Session,
): Promise<void> {
  switch (endingOf(path)) {
    case "csv":
      writeWhole(path, peaksCsv(table), host);
      return writeWhole(path.replace(/\.csv$/, "-frames.csv"), framesCsv(table), host);
    case "npz":
      return writeWhole(
        path,
        writeNpz(new Map([...columnsOf(table)].map(([name, a]) => [name.replace("/", "_"), a]))),
        host,
      );
    case "bin":
      return writeWhole(path, recordBytes(records), host);
    default: {
      const { hdf5Bytes } = await import("../sensor/hdf5.js");
      return writeWhole(path, await hdf5Bytes(columnsOf(table)), host);
    }
  }
}

function summaryOf(ends: readonly FrameRecord[], seconds: number, matched: Matched | undefined): FramesSummary {
  const total = (key: "found" | "sent" | "dropped"): number => ends.reduce((n, e) => n + e[key], 0);
  const near = matched?.residuals.filter((r) => r !== undefined);
  return {
    frames: ends.length,
    found: total("found"),
    sent: total("sent"),
    dropped: total("dropped"),
    flagged: ends.filter((e) => e.flags.length > 0).length,
    frames_per_second: ends.length / Math.max(seconds, 1e-6),
    ...(matched !== undefined &&
      near !== undefined && {
        truth: {
          within_2_px: near.length,
          mean_distance: near.length === 0 ? null : near.reduce((s, r) => s + r.distance, 0) / near.length,
          missed: matched.missed,
        },
      }),
  };
}
