import { Command } from "commander";
import { synthDesign } from "../../driver.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import { positiveInteger } from "../options.js";
import { count, table } from "../table.js";

interface Flags extends GlobalOptions {
  readonly json?: boolean;
  readonly pnr?: boolean;
  readonly seed?: number;
  readonly timeout?: number;
}

export function synthCommand(env: CliEnv): Command {
  return new Command("synth")
    .summary("synthesize a compiled design with Yosys")
    .description(
      "Synthesizes the Verilog of a compiled design with Yosys and counts cells. With --pnr it is placed and routed with nextpnr, which knows ECP5 and iCE40 devices.",
    )
    .argument("<dir>", "folder made by onnx-hls compile")
    .option("--pnr", "place and route with nextpnr too, for the routed clock (ECP5, iCE40)")
    .option("--seed <n>", "seed of the placer", positiveInteger)
    .option(
      "--timeout <seconds>",
      "most time for each tool (default: 1800 for Yosys, 3600 for nextpnr)",
      positiveInteger,
    )
    .option("--json", "print the counts as JSON")
    .addHelpText(
      "after",
      `
Example:
  $ onnx-hls synth build
  $ onnx-hls synth build --pnr`,
    )
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        const r = await synthDesign(
          dir,
          {
            ...(flags.pnr === true && { pnr: true }),
            ...(flags.seed !== undefined && { seed: flags.seed }),
            ...(flags.timeout !== undefined && { timeout: flags.timeout }),
          },
          session,
        );
        if (flags.json === true) {
          env.out(`${JSON.stringify(r)}\n`);
          return;
        }
        const { lut, ff, dsp, bram } = r.resources;
        const lines = [
          `${r.device}, ${r.tool}: ${count(lut)} LUT, ${count(ff)} FF, ${count(dsp)} DSP, ${count(bram)} BRAM`,
        ];
        if (r.fmax_mhz !== undefined) {
          lines.push(
            `routed by ${r.router}: ${r.fmax_mhz} MHz (${r.clock_mhz} asked for)`,
            "",
            "longest path",
            ...(r.critical_path ?? []).map((s) => `  ${s.ns.toFixed(2).padStart(6)} ns  ${s.kind.padEnd(8)}  ${s.to}`),
          );
        }
        const cells = Object.entries(r.cells).sort((a, b) => b[1] - a[1]);
        env.out(`${lines.join("\n")}\n\n${table(["cell", "count"], cells)}\n`);
      });
    });
}
