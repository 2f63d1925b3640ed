import { Command } from "commander";
import {
  simulateDesign,
  simulateFramesOn,
  takesFrames,
  type FramesSimulation,
  type SimulateOptions,
} from "../../driver.js";
import { Exit, runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import { nonNegativeInteger, positiveInteger, probability } from "../options.js";
import { count } from "../table.js";

interface Flags extends GlobalOptions {
  readonly input: string;
  readonly output: string;
  readonly dark?: string;
  readonly stall?: number;
  readonly seed?: number;
  readonly quickBuild?: boolean;
  readonly threads?: number;
  readonly raw?: boolean;
  readonly json?: boolean;
}

export function simulateCommand(env: CliEnv): Command {
  return new Command("simulate")
    .summary("simulate the Verilog of a compiled design, cycle by cycle")
    .description(
      "Builds the Verilog of a compiled design with Verilator, streams a data file through it, measures latency and initiation interval, and compares every value with the bit-exact model.",
    )
    .argument("<dir>", "folder made by onnx-hls compile")
    .requiredOption(
      "--input <data>",
      "inputs (.npz or .npy), the first axis counts samples; frames, for a design with a sensor (.h5, .nxs, .tif, .npy, .npz)",
    )
    .requiredOption(
      "--output <data>",
      "outputs of the simulation (.npz); peaks, for a design with a sensor (.csv, .npz, .h5, .bin)",
    )
    .option("--dark <data>", "dark counts beside the frames, where the sensor streams them")
    .option("--stall <probability>", "let both ports pause at random, with this probability per cycle", probability)
    .option("--seed <n>", "seed of the pauses", nonNegativeInteger)
    .option("--quick-build", "build in half the time a simulation that is slower: for a few samples")
    .option(
      "--threads <n>",
      "threads of the simulation, for designs of thousands of multipliers (default: 1)",
      positiveInteger,
    )
    .option("--raw", "write raw integers instead of float32 values")
    .option("--json", "print the measurements as JSON")
    .addHelpText(
      "after",
      `
Exit code 1 if any value differs from the bit-exact model.

Examples:
  $ onnx-hls simulate build --input test.npz --output sim.npz
  $ onnx-hls simulate build --input test.npz --output sim.npz --stall 0.3 --seed 7`,
    )
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        const options: SimulateOptions = {
          input: flags.input,
          output: flags.output,
          raw: flags.raw === true,
          quickBuild: flags.quickBuild === true,
          ...(flags.threads !== undefined && { threads: flags.threads }),
          ...(flags.stall !== undefined && { stall: flags.stall }),
          ...(flags.seed !== undefined && { seed: flags.seed }),
          ...(flags.dark !== undefined && { dark: flags.dark }),
        };
        if (takesFrames(dir, session)) return showFrames(env, flags, await simulateFramesOn(dir, options, session));
        const r = await simulateDesign(dir, options, session);
        const verdict = (measured: number, predicted: number): string =>
          measured === predicted ? "as predicted" : `predicted ${count(predicted)}`;
        env.out(
          flags.json === true
            ? `${JSON.stringify(r)}\n`
            : [
                `samples              ${count(r.samples)}`,
                `initiation interval  ${count(r.initiation_interval)} cycles (${flags.stall !== undefined && flags.stall > 0 ? "with stalls" : verdict(r.initiation_interval, r.predicted.initiation_interval)})`,
                `latency              ${count(r.latency)} cycles (${flags.stall !== undefined && flags.stall > 0 ? "with stalls" : verdict(r.latency, r.predicted.latency)})`,
                `cycles               ${count(r.cycles)}`,
                `mismatches           ${count(r.mismatches)}`,
                `simulation           ${count(Math.round(r.cycles_per_second))} cycles/s, built in ${r.build_seconds.toFixed(1)} s`,
                "",
              ].join("\n"),
        );
        if (r.mismatches > 0) {
          env.err(`error: ${count(r.mismatches)} values differ from the bit-exact model\n`);
          throw new Exit(1);
        }
      });
    });
}

function showFrames(env: CliEnv, flags: Flags, r: FramesSimulation): void {
  const lines = [
    `frames               ${count(r.frames)}, one in ${count(r.frame_interval)} cycles`,
    `peaks                ${count(r.found)} found, ${count(r.sent)} sent, ${count(r.dropped)} dropped`,
    `records              ${count(r.records)}, ${count(r.mismatches)} differ from the bit-exact model, ${count(r.late)} came in another cycle than predicted`,
    `cycles               ${count(r.cycles)}`,
    `simulation           ${count(Math.round(r.cycles / Math.max(r.simulation_seconds, 1e-6)))} cycles/s, built in ${r.build_seconds.toFixed(1)} s`,
  ];
  env.out(flags.json === true ? `${JSON.stringify(r)}\n` : `${lines.join("\n")}\n`);
  if (r.mismatches + r.late === 0) return;
  env.err(
    `error: ${count(r.mismatches)} records differ from the bit-exact model, ${count(r.late)} came at another time\n`,
  );
  throw new Exit(1);
}
