import { Command } from "commander";
import { checkTools } from "../../driver.js";
import { Exit, runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import { table } from "../table.js";

interface Flags extends GlobalOptions {
  readonly json?: boolean;
}

export function doctorCommand(env: CliEnv): Command {
  return new Command("doctor")
    .summary("show which tools are there, and how to get the others")
    .description("Checks the external programs that some commands use. compile and run need none of them.")
    .option("--json", "print the list as JSON")
    .addHelpText(
      "after",
      `
Exit code 1 only if a program is missing without which nothing works.`,
    )
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async () => {
        const found = await checkTools();
        if (flags.json === true) {
          env.out(
            `${JSON.stringify(
              found.map((t) => ({
                tool: t.command,
                found: t.version !== undefined,
                version: t.version ?? null,
                used_for: t.usedFor,
                install: t.install,
              })),
              null,
              2,
            )}\n`,
          );
        } else {
          const rows = found.map((t) => [
            t.command,
            t.version?.slice(0, 60) ?? "missing",
            t.usedFor,
            t.version === undefined ? t.install : "",
          ]);
          const missing = found.filter((t) => t.version === undefined);
          env.out(
            `${table(["tool", "version", "used for", "how to get it"], rows)}\n\n${missing.length === 0 ? "Everything is there." : `${missing.length} missing; compile and run work without them.`}\n`,
          );
        }
        if (found.some((t) => t.required && t.version === undefined)) throw new Exit(1);
      });
    });
}
