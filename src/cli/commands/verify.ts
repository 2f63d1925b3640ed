import { Command } from "commander";
import { verifyDesign } from "../../driver.js";
import { UserError } from "../../diagnostics/index.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";

interface Flags extends GlobalOptions {
  readonly json?: boolean;
}

export function verifyCommand(env: CliEnv): Command {
  return new Command("verify")
    .summary("check that a compiled design is as it was built")
    .description(
      "Holds every file of DIR against manifest.json, which names the compiler, the network, the calibration data and the options of the build.",
    )
    .argument("<dir>", "folder that onnx-hls compile wrote")
    .option("--json", "print what was found as JSON")
    .addHelpText(
      "after",
      `
Exit code 1 if a file has changed or is missing.

Example:
  $ onnx-hls verify build`,
    )
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        const found = verifyDesign(dir, session);
        const intact = found.changed.length === 0 && found.missing.length === 0;
        if (flags.json === true) env.out(`${JSON.stringify(found, null, 2)}\n`);
        if (!intact) throw UserError.of("IO008", { path: dir, changed: found.changed, missing: found.missing });
        if (flags.json === true) return;
        const others = found.others.length === 0 ? "" : `, ${found.others.length} more are not of the build`;
        env.out(`${dir}: ${found.intact} files as built${others}\nbuild ${found.build} by ${found.compiler}\n`);
      });
    });
}
