/** `run --sensor`: frames of a detector in, positions of peaks out. */
import { UserError } from "../diagnostics/index.js";
import { writeNpz } from "../frontend/npz.js";
import { prepareFlow } from "../ir/eval/flow.js";
import { prepareNn } from "../ir/eval/nn-fixed.js";
import { fixed, type TensorType } from "../ir/types.js";
import { openFrames, loadPlanes } from "../sensor/input.js";
import { checkNetwork, locateFrame, type LocatedFrame, type Network } from "../sensor/locate.js";
import { columnsOf, framesCsv, peaksCsv, rowsOf, type PeakRow } from "../sensor/peak-table.js";
import { parseSensor } from "../sensor/read-sensor.js";
import { recordBytes, type FrameRecord, type SensorRecord } from "../sensor/records.js";
import type { Sensor } from "../sensor/sensor.js";
import { matchTruth, readTruth, type Matched, type TrueCentre } from "../sensor/truth.js";
import { writeWhole } from "./atomic.js";
import { loadModel } from "./compile.js";
import { type Compiled, loadDesign } from "./execute.js";
import { framesHtml, type FramePage } from "./frames-html.js";
import type { RunFramesOptions } from "./options.js";
import type { FramesSummary } from "./report.js";
import { readText, type Session } from "./session.js";

/** A sensor description from its file. @errors IO001, SE001 to SE004 */
export function loadSensor(path: string, session: Session): Sensor {
  return parseSensor(readText(session.host, path), path);
}

/**
 * Locates the peaks of all frames of a file.
 *
 * @param design folder of a compiled design, whose bit-exact network is used, or an ONNX file, of which the float one is
 * @errors SE001 to SE018 and those of the files
 */
export async function runFrames(design: string, options: RunFramesOptions, session: Session): Promise<FramesSummary> {
  const { host, progress } = session;
  endingOf(options.output);
  const sensor = loadSensor(options.sensor, session);
  const network = design.endsWith(".onnx")
    ? floatNetwork(design, sensor, session)
    : fixedNetwork(loadDesign(design, session), sensor);
  const truth = options.truth === undefined ? undefined : readTruth(options.truth, host);
  const planes = await loadPlanes(sensor, host);
  const source = await openFrames(options.input, sensor, host);
  try {
    const dark =
      sensor.dark.kind === "stream"
        ? await openDark(sensor, options.sensor, options, source.frames, session)
        : undefined;
    const peaks: PeakRow[] = [];
    const records: SensorRecord[] = [];
    const ends: FrameRecord[] = [];
    let shown: LocatedFrame | undefined;
    const started = host.now();
    for (let f = 0; f < source.frames; f++) {
      progress("frames", f, source.frames);
      const counts = dark === undefined ? undefined : await dark.read(f % dark.frames);
      const frame = locateFrame(sensor, planes, network, f, await source.read(f), counts);
      peaks.push(...rowsOf(frame));
      records.push(...frame.peaks.map((p) => p.record), frame.end);
      ends.push(frame.end);
      // The page shows the frame with the most peaks.
      if (options.html !== undefined && (shown === undefined || frame.peaks.length > shown.peaks.length)) shown = frame;
    }
    progress("frames", source.frames, source.frames);
    const seconds = (host.now() - started) / 1000;
    dark?.close();
    await writeTable(options.output, { peaks, frames: ends }, records, session);
    const matched = truth === undefined ? undefined : matchTruth(peaks, truth);
    if (options.html !== undefined && shown !== undefined)
      writeWhole(options.html, framesHtml(pageOf(options, sensor, shown, peaks, ends, truth, matched)), host);
    return summaryOf(ends, seconds, matched);
  } finally {
    source.close();
  }
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

function pageOf(
  options: RunFramesOptions,
  sensor: Sensor,
  shown: LocatedFrame,
  peaks: readonly PeakRow[],
  ends: readonly FrameRecord[],
  truth: readonly TrueCentre[] | undefined,
  matched: Matched | undefined,
): FramePage {
  const number = shown.end.frame;
  return {
    input: options.input,
    sensor,
    shown,
    frames: ends,
    peaks,
    ...(truth !== undefined && { truth: truth.filter((t) => t.frame === number) }),
    ...(matched !== undefined && { matched }),
  };
}
