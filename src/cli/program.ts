/** The command line as a whole: commands, global options, exit codes. */
import { Command, CommanderError, Option } from "commander";
import { bugReport, Exit } from "./action.js";
import { VERSION } from "../version.js";
import type { CliEnv } from "./env.js";
import { compareCommand } from "./commands/compare.js";
import { compileCommand } from "./commands/compile.js";
import { doctorCommand } from "./commands/doctor.js";
import { exploreCommand } from "./commands/explore.js";
import { inspectCommand } from "./commands/inspect.js";
import { optCommand } from "./commands/opt.js";
import { runCommand } from "./commands/run.js";
import { simulateCommand } from "./commands/simulate.js";
import { synthCommand } from "./commands/synth.js";
import { verifyCommand } from "./commands/verify.js";

export function buildProgram(env: CliEnv): Command {
  const program = new Command("onnx-hls")
    .description("Compiles ONNX neural networks to synthesizable Verilog, bit-exact and predicted to the cycle.")
    .version(VERSION)
    .addOption(
      new Option("--diagnostics <format>", "errors and warnings on stderr: text, or JSON (one record per line)")
        .choices(["text", "json"])
        .default("text"),
    )
    .option("-q, --quiet", "no progress on stderr")
    .addHelpText(
      "after",
      `
A first design:
  $ onnx-hls inspect model.onnx
  $ onnx-hls compile model.onnx -o build --calib inputs.npz
  $ onnx-hls run build --input inputs.npz --output result.npz
  $ onnx-hls simulate build --input inputs.npz --output sim.npz

Exit codes: 0 done, 1 the input cannot be processed (the message says why), 2 wrong usage.`,
    );
  const commands = [
    compileCommand,
    runCommand,
    simulateCommand,
    compareCommand,
    exploreCommand,
    synthCommand,
    inspectCommand,
    verifyCommand,
    optCommand,
    doctorCommand,
  ].map((make) => make(env));
  for (const c of commands) program.addCommand(c);
  for (const c of [program, ...commands]) {
    c.exitOverride()
      .configureOutput({ writeOut: env.out, writeErr: env.err })
      .showHelpAfterError("(--help shows the usage)");
  }
  return program;
}

/** Runs the command line; the result is the exit code. */
export async function main(args: readonly string[], env: CliEnv): Promise<number> {
  try {
    await buildProgram(env).parseAsync(args, { from: "user" });
    return 0;
  } catch (e) {
    if (e instanceof Exit) return e.code;
    if (e instanceof CommanderError) return e.exitCode === 0 ? 0 : 2;
    env.err(`${bugReport(e, env)}\n`);
    return 1;
  }
}
