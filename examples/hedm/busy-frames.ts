/**
 * A trigger from the parts of a front end: which frames of a file hold at least N peaks, and would be sent on.
 *
 *     npx tsx examples/hedm/busy-frames.ts examples/hedm/sensor.yaml examples/hedm/scan.h5 20
 *
 * The predicate is one bit a frame and the window all of the frame, so the operation is the one that cuts patches out,
 * `nn.sparsify`. The module that is printed can be run through any pass, as every other program of nn.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import {
  busyFramesModule,
  loadPlanes,
  nodeHost,
  openFrames,
  parseSensor,
  prepareNnFixed,
  printModule,
  UserError,
} from "../../src/index.js";

/** Numbers of the frames that hold at least `least` peaks, and the program that says so. */
export async function busyFrames(
  sensorFile: string,
  framesFile: string,
  least: number,
): Promise<{ readonly busy: number[]; readonly of: number; readonly text: string }> {
  const sensor = parseSensor(readFileSync(sensorFile, "utf8"), sensorFile);
  if (sensor.find.rule !== "local-maximum") throw new Error("the example counts local maxima");
  const module = busyFramesModule(sensor, sensor.find, await loadPlanes(sensor, nodeHost()), least);
  const program = prepareNnFixed(module);
  const frames = await openFrames(framesFile, sensor, nodeHost());
  const busy: number[] = [];
  for (let f = 0; f < frames.frames; f++) {
    const [, , count] = program.run([Float64Array.from(await frames.read(f))]);
    if (count![1] === 1) busy.push(f);
  }
  frames.close();
  return { busy, of: frames.frames, text: printModule(module, { resources: "digest" }) };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [sensorFile, framesFile, least] = process.argv.slice(2) as [string, string, string];
  try {
    const { busy, of, text } = await busyFrames(sensorFile, framesFile, Number(least));
    process.stdout.write(
      `${text}\nframes with at least ${least} peaks: ${busy.join(", ")} (${busy.length} of ${of})\n`,
    );
  } catch (e) {
    if (!(e instanceof UserError)) throw e;
    process.stderr.write(`${e.message}\n`);
    process.exitCode = 1;
  }
}
