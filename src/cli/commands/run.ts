import { Command } from "commander";
import { runDesign } from "../../driver.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import { count } from "../table.js";

interface Flags extends GlobalOptions {
  readonly input: string;
  readonly output: string;
  readonly raw?: boolean;
  readonly json?: boolean;
}

export function runCommand(env: CliEnv): Command {
  return new Command("run")
    .summary("run the bit-exact model of a compiled design")
    .description(
      "Runs the bit-exact model of a compiled design on a data file. Needs no other tool; the results are equal bit for bit to those of the hardware.",
    )
    .argument("<dir>", "folder made by onnx-hls compile")
    .requiredOption(
      "--input <data>",
      "inputs (.npz with the network's input names, or a single .npy); the first axis counts samples",
    )
    .requiredOption("--output <data>", "outputs (.npz, named after the network's outputs)")
    .option("--raw", "write raw integers instead of float32 values")
    .option("--json", "print number of samples and speed as JSON")
    .addHelpText(
      "after",
      `
Example:
  $ onnx-hls run build --input test.npz --output result.npz`,
    )
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        const r = await runDesign(dir, { input: flags.input, output: flags.output, raw: flags.raw === true }, session);
        env.out(
          flags.json === true
            ? `${JSON.stringify(r)}\n`
            : `${count(r.samples)} samples, ${count(Math.round(r.samples_per_second))} per second, written to ${flags.output}\n`,
        );
      });
    });
}
