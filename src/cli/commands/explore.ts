import { Command } from "commander";
import { exploreModel, type AxisWidth, type Exploration } from "../../driver.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import {
  axisWidth,
  BIND_OPTION,
  DIM_OPTION,
  namedShape,
  namedBound,
  namedSize,
  positiveInteger,
  positiveNumber,
  repeated,
  SHAPE_OPTION,
  type ShapeFlags,
  shapeOptions,
  share,
} from "../options.js";
import { checkSummary, ratio } from "../precision.js";
import { si, table } from "../table.js";

interface Flags extends GlobalOptions, ShapeFlags {
  readonly calib?: string;
  readonly precision?: string;
  readonly acceptAccuracy?: readonly string[];
  readonly holdOut?: number;
  readonly device?: string;
  readonly clock?: number;
  readonly axisWidth?: AxisWidth;
  readonly config?: string;
  readonly intervals?: number;
  readonly cores?: number;
  readonly output?: string;
  readonly html?: string;
  readonly svg?: string;
  readonly json?: boolean;
}

export function exploreCommand(env: CliEnv): Command {
  return new Command("explore")
    .summary("the designs to choose among: rate, latency and resources")
    .description(
      "Computes designs of a model over the whole range of rates, and shows those that no other one betters in rate, latency and every resource.",
    )
    .argument("<model>", "ONNX file (MODEL.onnx)")
    .option("--device <name>", "FPGA (default: xcu280)")
    .option("--clock <mhz>", "clock in MHz (default: 250)", positiveNumber)
    .option("--calib <data>", "representative inputs (.npz or .npy): chooses number formats")
    .option("--precision <spec>", "bits of weights and activations: 8, w8a12")
    .option(
      "--accept-accuracy <bound>",
      "accept METRIC=VALUE or OUTPUT:METRIC=VALUE in place of 20 dB and 90 % of the same argmax; may be repeated",
      repeated,
    )
    .option("--hold-out <share>", "keep this share of the calibration data for measuring accuracy only", share)
    .option(
      "--axis-width <width>",
      "width of the streams: most bits of a beat (128), or elements per beat of the inputs (16e)",
      axisWidth,
    )
    .option("--config <file>", "YAML file with these options; the command line has precedence")
    .option(...SHAPE_OPTION, namedShape)
    .option(...DIM_OPTION, namedSize)
    .option(...BIND_OPTION, namedBound)
    .option("--intervals <count>", "intervals to try, on a geometric grid (default: 24)", positiveInteger)
    .option(
      "--cores <count>",
      "threads (default: as many as there are cores); the result does not depend on it",
      positiveInteger,
    )
    .option("-o, --output <dir>", "folder for explore.json, explore.html and explore.svg")
    .option("--html <file>", "draw the designs as a page of its own")
    .option("--svg <file>", "draw the designs")
    .option("--json", "print the designs as JSON instead of a table")
    .addHelpText(
      "after",
      `
explore.json (or --json) says for each design what compiles it: the arguments under compile, a folder (-o),
and the design's --unroll.

Examples:
  $ onnx-hls explore net.onnx --device xc7k325t --clock 200
  $ onnx-hls explore net.onnx --calib samples.npz --html designs.html`,
    )
    .action(async (model: string, _flags: unknown, command: Command) => {
      const f = command.optsWithGlobals<Flags>();
      await runAction(env, f, async (session) => {
        const result = await exploreModel(
          model,
          {
            ...shapeOptions(f),
            ...(f.calib !== undefined && { calib: f.calib }),
            ...(f.precision !== undefined && { precision: f.precision }),
            ...(f.acceptAccuracy !== undefined && { acceptAccuracy: f.acceptAccuracy }),
            ...(f.holdOut !== undefined && { holdOut: f.holdOut }),
            ...(f.device !== undefined && { device: f.device }),
            ...(f.clock !== undefined && { clockMhz: f.clock }),
            ...(f.axisWidth !== undefined && { axisWidth: f.axisWidth }),
            ...(f.config !== undefined && { config: f.config }),
            ...(f.intervals !== undefined && { intervals: f.intervals }),
            ...(f.cores !== undefined && { cores: f.cores }),
            ...(f.output !== undefined && { out: f.output }),
            ...(f.html !== undefined && { html: f.html }),
            ...(f.svg !== undefined && { svg: f.svg }),
          },
          session,
        );
        env.out(f.json === true ? `${JSON.stringify(result, null, 2)}\n` : `${summary(result)}\n`);
      });
    });
}

function summary(e: Exploration): string {
  const rows = e.points.map((p) => [
    p.initiation_interval,
    si(p.throughput_hz, "/s"),
    p.latency,
    p.multipliers,
    `${(100 * p.mac_efficiency).toFixed(1)} %`,
    p.resources.lut,
    p.resources.ff,
    p.resources.dsp,
    p.resources.bram,
  ]);
  const accuracy = Object.entries(e.accuracy ?? {}).map(
    ([name, a]) => `accuracy of ${name}: ${ratio(a)} against the float model`,
  );
  const check = e.accuracy_check === undefined ? [] : [...accuracy, ...checkSummary(e.accuracy_check), ""];
  return [
    `${e.model} on ${e.device} at ${e.clock_mhz} MHz: ${e.points.length} designs of which none is worse than another in everything`,
    "",
    ...check,
    table(["interval", "rate", "latency", "mult", "busy", "LUT", "FF", "DSP", "BRAM"], rows),
    "",
    `explored in ${e.seconds.toFixed(1)} s`,
  ].join("\n");
}
