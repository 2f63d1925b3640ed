import { Command, Option } from "commander";
import { optFile } from "../../driver.js";
import { evaluateSeeded } from "../../driver/evaluate.js";
import { writeWhole } from "../../driver/atomic.js";
import { printModule } from "../../ir/text/printer.js";
import { levelsOf } from "../../passes/define-pass.js";
import { passRegistry } from "../../passes/registry.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import { names, nonNegativeInteger, seedAndCount } from "../options.js";
import { table } from "../table.js";

interface Flags extends GlobalOptions {
  readonly passes?: string;
  readonly output?: string;
  readonly resources: "inline" | "digest";
  readonly printIrAfter?: readonly string[];
  readonly dumpIr?: string;
  readonly verifyEach: boolean;
  readonly evalEach?: { readonly seed: number; readonly samples: number };
  readonly stopAfter?: string;
  readonly skip?: readonly string[];
  readonly bisectLimit?: number;
  readonly timePasses?: string;
  readonly listPasses?: boolean;
}

export function optCommand(env: CliEnv): Command {
  const command = new Command("opt")
    .summary("run passes on textual IR")
    .description(
      "Reads textual IR, runs a pipeline of passes, and prints textual IR. Without --passes, the file's first RUN line says what to run.",
    )
    .argument("[file]", "textual IR (FILE.hir); /dev/stdin to read from a pipe")
    .option("--passes <pipeline>", 'passes with options, and named pipelines: "a,b{x=1},@clean"')
    .option("-o, --output <file>", "write there instead of to stdout")
    .addOption(
      new Option("--resources <how>", "data of large constants: all of it, or only hashes")
        .choices(["inline", "digest"])
        .default("inline"),
    )
    .option("--print-ir-after <pass>", "print the IR after a pass, all, or changed, to stderr; may be repeated", names)
    .option("--dump-ir <dir>", "write the IR after each pass to numbered files")
    .option("--verify-each", "run the verifier after each pass", true)
    .option("--no-verify-each", "leave the verifier out (only to time the compiler)")
    .option(
      "--eval-each <seed:samples>",
      "interpret so many inputs before and after each bit-exact pass, and stop at a difference",
      seedAndCount,
    )
    .option("--stop-after <pass>", "end after the first pass of this name")
    .option("--skip <pass>", "leave passes out; may be repeated", names)
    .option("--bisect-limit <n>", "run only the first so many passes, to find the guilty one", nonNegativeInteger)
    .option("--time-passes <file>", "write milliseconds and operation counts per pass as JSON")
    .option("--list-passes", "list passes and named pipelines, and exit")
    .addHelpText(
      "after",
      `
Examples:
  $ onnx-hls opt net.hir --passes "canonicalize,cse,dce"
  $ onnx-hls opt net.hir --passes @clean --print-ir-after cse
  $ onnx-hls opt repro.hir          # repeats a failure from its RUN line`,
    );
  return command.action(async (argument: string | undefined) => {
    const flags = command.optsWithGlobals<Flags>();
    if (flags.listPasses === true) {
      env.out(`${listPasses()}\n`);
      return;
    }
    const file =
      argument ??
      command.error("error: missing required argument 'file'", { exitCode: 2, code: "commander.missingArgument" });
    await runAction(env, flags, async (session) => {
      const { module, timings } = optFile(
        file,
        {
          verifyEach: flags.verifyEach,
          ...(flags.passes !== undefined && { passes: flags.passes }),
          ...(flags.printIrAfter !== undefined && { printIrAfter: flags.printIrAfter }),
          ...(flags.dumpIr !== undefined && { dumpIr: flags.dumpIr }),
          ...(flags.evalEach !== undefined && { evalEach: { ...flags.evalEach, evaluate: evaluateSeeded } }),
          ...(flags.stopAfter !== undefined && { stopAfter: flags.stopAfter }),
          ...(flags.skip !== undefined && { skip: flags.skip }),
          ...(flags.bisectLimit !== undefined && { bisectLimit: flags.bisectLimit }),
        },
        session,
      );
      if (flags.timePasses !== undefined)
        writeWhole(flags.timePasses, `${JSON.stringify(timings, null, 2)}\n`, session.host);
      const text = printModule(module, { resources: flags.resources });
      if (flags.output === undefined) env.out(text);
      else writeWhole(flags.output, text, session.host);
    });
  });
}

function listPasses(): string {
  const rows = passRegistry.passes().map((p) => {
    const { from, to } = levelsOf(p);
    return [p.name, from === to ? from : `${from} -> ${to}`, p.semantics, p.summary];
  });
  const aliases = passRegistry.aliases().map((a) => [`@${a.name}`, a.pipeline, a.summary]);
  return `${table(["pass", "level", "semantics", "summary"], rows)}\n\n${table(["pipeline", "passes", "summary"], aliases)}`;
}
