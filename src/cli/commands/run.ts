import { Command } from "commander";
import { runDesign, runFramesOn, takesFrames, type Session } from "../../driver.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import { count } from "../table.js";

interface Flags extends GlobalOptions {
  readonly input: string;
  readonly output: string;
  readonly sensor?: string;
  readonly dark?: string;
  readonly truth?: string;
  readonly html?: string;
  readonly raw?: boolean;
  readonly json?: boolean;
}

export function runCommand(env: CliEnv): Command {
  return new Command("run")
    .summary("run the bit-exact model of a compiled design")
    .description(
      "Runs the bit-exact model of a compiled design on a data file. Needs no other tool; the results are equal bit for bit to those of the hardware.",
    )
    .argument("<dir>", "folder made by onnx-hls compile; with --sensor also an ONNX file, which is run in float")
    .requiredOption(
      "--input <data>",
      "inputs (.npz with the network's input names, or a single .npy); the first axis counts samples. With --sensor frames (.h5, .nxs, .tif, .npy, .npz; FILE:NAME names an array)",
    )
    .requiredOption(
      "--output <data>",
      "outputs (.npz, named after the network's outputs); with --sensor peaks (.csv, .npz, .h5, or .bin as the hardware sends them)",
    )
    .option(
      "--sensor <file>",
      "take frames of the detector that this file describes, and locate their peaks (default: the sensor that the design was compiled with)",
    )
    .option("--dark <data>", "with --sensor: dark counts beside the frames, where they are streamed")
    .option("--truth <data>", "with --sensor: true centres (.csv, .npz) to compare with")
    .option("--html <page>", "with --sensor: draw frame, peaks, patches and residuals to a page")
    .option("--raw", "write raw integers instead of float32 values")
    .option("--json", "print number of samples and speed as JSON")
    .addHelpText(
      "after",
      `
Example:
  $ onnx-hls run build --input test.npz --output result.npz
  $ onnx-hls run build --sensor sensor.yaml --input scan_master.h5 --output peaks.csv --html peaks.html`,
    )
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        const ofModel = dir.endsWith(".onnx");
        if (flags.sensor !== undefined || ofModel || takesFrames(dir, session))
          return runOnFrames(env, dir, flags, session);
        const r = await runDesign(dir, { input: flags.input, output: flags.output, raw: flags.raw === true }, session);
        env.out(
          flags.json === true
            ? `${JSON.stringify(r)}\n`
            : `${count(r.samples)} samples, ${count(Math.round(r.samples_per_second))} per second, written to ${flags.output}\n`,
        );
      });
    });
}

async function runOnFrames(env: CliEnv, dir: string, flags: Flags, session: Session): Promise<void> {
  const { sensor, input, output, dark, truth, html } = flags;
  const r = await runFramesOn(
    dir,
    {
      ...(sensor !== undefined && { sensor }),
      input,
      output,
      ...(dark !== undefined && { dark }),
      ...(truth !== undefined && { truth }),
      ...(html !== undefined && { html }),
    },
    session,
  );
  const near = r.truth;
  const lines = [
    `frames    ${count(r.frames)}, ${r.frames_per_second.toPrecision(3)} per second${r.flagged === 0 ? "" : `, ${count(r.flagged)} flagged`}`,
    `peaks     ${count(r.sent)}, ${(r.sent / Math.max(1, r.frames)).toFixed(1)} per frame, written to ${output}${r.dropped === 0 ? "" : `; ${count(r.dropped)} dropped`}`,
    ...(near === undefined
      ? []
      : [
          `truth     ${near.mean_distance === null ? "no peak is near a true centre" : `${near.mean_distance.toFixed(4)} px on average for ${count(near.within_2_px)} peaks within 2 px`}, ${count(near.missed)} centres without a peak`,
        ]),
    ...(html === undefined ? [] : [`page      ${html}`]),
  ];
  env.out(flags.json === true ? `${JSON.stringify(r)}\n` : `${lines.join("\n")}\n`);
}
