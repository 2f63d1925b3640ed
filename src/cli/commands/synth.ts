import { Command } from "commander";
import { synthDesign } from "../../driver.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import { count, table } from "../table.js";

interface Flags extends GlobalOptions {
  readonly json?: boolean;
}

export function synthCommand(env: CliEnv): Command {
  return new Command("synth")
    .summary("synthesize a compiled design with Yosys")
    .description("Synthesizes the Verilog of a compiled design with Yosys and counts cells; places and routes it with nextpnr where that supports the device.")
    .argument("<dir>", "folder made by onnx-hls compile")
    .option("--json", "print the counts as JSON")
    .addHelpText("after", `
Example:
  $ onnx-hls synth build`)
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        const r = await synthDesign(dir, session);
        if (flags.json === true) {
          env.out(`${JSON.stringify(r)}\n`);
          return;
        }
        const { lut, ff, dsp, bram } = r.resources;
        const lines = [`${r.device}, ${r.tool}: ${count(lut)} LUT, ${count(ff)} FF, ${count(dsp)} DSP, ${count(bram)} BRAM`];
        if (r.fmax_mhz !== undefined) lines.push(`routed clock: ${r.fmax_mhz} MHz`);
        const cells = Object.entries(r.cells).sort((a, b) => b[1] - a[1]);
        env.out(`${lines.join("\n")}\n\n${table(["cell", "count"], cells)}\n`);
      });
    });
}
