import { Command, Option } from "commander";
import {
  compileModel,
  joinExtraPasses,
  parseExtraPass,
  type AxisWidth,
  type CompileOptions,
  type DesignReport,
  type DetectorReport,
  type Minimize,
  type Target,
  WIDTHS_CHOICES,
  type WidthsChoice,
} from "../../driver.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import {
  axisWidth,
  budget,
  BIND_OPTION,
  DIM_OPTION,
  namedShape,
  namedBound,
  namedSize,
  names,
  positiveInteger,
  positiveNumber,
  repeated,
  SHAPE_OPTION,
  type ShapeFlags,
  shapeOptions,
  share,
} from "../options.js";
import { checkSummary, precisionSummary, ratio } from "../precision.js";
import { loadPlugins } from "../plugins.js";
import { count, si, table } from "../table.js";

interface Flags extends GlobalOptions, ShapeFlags {
  readonly output: string;
  readonly calib?: string;
  readonly precision?: string;
  readonly widths?: WidthsChoice;
  readonly maxError?: readonly string[];
  readonly acceptAccuracy?: readonly string[];
  readonly holdOut?: number;
  readonly targetIi?: number;
  readonly targetRate?: number;
  readonly budget?: Readonly<Record<string, number>>;
  readonly unroll?: string;
  readonly minimize?: Minimize;
  readonly axisWidth?: AxisWidth;
  readonly device?: string;
  readonly clock?: number;
  readonly config?: string;
  readonly sensor?: string;
  readonly printIrAfter?: readonly string[];
  readonly dumpIr?: string;
  readonly verifyEach: boolean;
  readonly passesAfter?: readonly string[];
  readonly plugin?: readonly string[];
  readonly singleFile?: boolean;
  readonly json?: boolean;
}

export function compileCommand(env: CliEnv): Command {
  return new Command("compile")
    .summary("compile an ONNX model to Verilog")
    .description(
      "Compiles an ONNX model: quantizes it, chooses the parallelism for the target, and writes Verilog, an IP core, a bit-exact model and a report to DIR.",
    )
    .argument("<model>", "ONNX file (MODEL.onnx)")
    .requiredOption("-o, --output <dir>", "folder for the results; made new, or replaced if onnx-hls wrote it")
    .option("--calib <data>", "representative inputs (.npz or .npy): chooses number formats and measures accuracy")
    .option("--precision <spec>", "bits of weights and activations: 8, w8a12; also of single layers: w8a12,NODE=w10")
    .addOption(
      new Option(
        "--widths <how>",
        "what decides widths: rules; or, by measuring what each does to the outputs, least-cost at the noise that the rules leave, or least-noise at their cost",
      ).choices([...WIDTHS_CHOICES]),
    )
    .option(
      "--max-error <bound>",
      "find the narrowest widths per layer within METRIC=VALUE or OUTPUT:METRIC=VALUE (mae, rmse, max, sqnr in dB, argmax); may be repeated",
      repeated,
    )
    .option(
      "--accept-accuracy <bound>",
      "accept METRIC=VALUE or OUTPUT:METRIC=VALUE in place of 20 dB and 90 % of the same argmax; may be repeated",
      repeated,
    )
    .option(
      "--hold-out <share>",
      "keep this share of the calibration data for measuring accuracy only (default: what calibration can do without; 0.5 with --max-error)",
      share,
    )
    .addOption(
      new Option("--target-ii <cycles>", "at most so many cycles between samples")
        .argParser(positiveInteger)
        .conflicts(["targetRate", "budget"]),
    )
    .addOption(
      new Option("--target-rate <hz>", "at least so many samples per second: 1e6, 1M")
        .argParser(positiveNumber)
        .conflicts(["targetIi", "budget"]),
    )
    .addOption(
      new Option("--budget <limits>", "the fastest design within dsp=N,lut=N,ff=N,bram=N")
        .argParser(budget)
        .conflicts(["targetIi", "targetRate"]),
    )
    .addOption(
      new Option("--unroll <options>", "the very design that explore found: its unroll of explore.json").conflicts([
        "targetIi",
        "targetRate",
        "budget",
        "minimize",
        "axisWidth",
      ]),
    )
    .addOption(
      new Option("--minimize <what>", "what is to be least under the target (default: a compromise)").choices([
        "latency",
        "area",
        "multipliers",
      ]),
    )
    .option(
      "--axis-width <width>",
      "width of the streams: most bits of a beat (128), or elements per beat of the inputs (16e)",
      axisWidth,
    )
    .option("--device <name>", "FPGA (default: xcu280)")
    .option("--clock <mhz>", "clock in MHz (default: 250)", positiveNumber)
    .option(
      "--config <file>",
      "YAML file with these options and precisions of single layers; the command line has precedence",
    )
    .option("--sensor <file>", "YAML file that describes a sensor: frames in, coordinates of peaks out")
    .option(...SHAPE_OPTION, namedShape)
    .option(...DIM_OPTION, namedSize)
    .option(...BIND_OPTION, namedBound)
    .option(
      "--passes-after <stage=pipeline>",
      "run passes behind a stage: prepare, to-fixed, lower, schedule, hardware; may be repeated",
      repeated,
    )
    .option("--plugin <file>", "JavaScript module that registers operators or passes; may be repeated", repeated)
    .option("--print-ir-after <pass>", "print the IR after a pass, all, or changed, to stderr; may be repeated", names)
    .option("--dump-ir <dir>", "write the IR after each pass to numbered files")
    .option("--verify-each", "run the verifier after each pass", true)
    .option("--no-verify-each", "leave the verifier out (only to time the compiler)")
    .option("--single-file", "put all Verilog of the package into one file as well: DIR/ip/TOP_all.v")
    .option("--json", "print report.json instead of the summary")
    .addHelpText(
      "after",
      `
Without a target, the design takes one input element per cycle if that fits into 60 % of the device,
and is the fastest that does otherwise.

Examples:
  $ onnx-hls compile net.onnx -o build --calib samples.npz
  $ onnx-hls compile net.onnx -o build --calib samples.npz --target-ii 121 --precision w8a12
  $ onnx-hls compile net.onnx -o build --calib samples.npz --max-error mae=0.002
  $ onnx-hls compile mlp.onnx -o build --target-rate 10M --device xc7k325t --clock 200
  $ onnx-hls compile mlp.onnx -o build --target-ii 1 --minimize latency`,
    )
    .action(async (model: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        await loadPlugins(flags.plugin);
        const report = await compileModel(model, compileOptions(flags), session);
        env.out(flags.json === true ? `${JSON.stringify(report, null, 2)}\n` : `${summary(report, flags.output)}\n`);
      });
    });
}

function compileOptions(f: Flags): CompileOptions {
  const target: Target | undefined =
    f.targetIi !== undefined
      ? { kind: "ii", cycles: f.targetIi }
      : f.targetRate !== undefined
        ? { kind: "rate", hz: f.targetRate }
        : f.budget !== undefined
          ? { kind: "budget", limits: f.budget }
          : f.unroll !== undefined
            ? { kind: "unroll", options: f.unroll }
            : undefined;
  return {
    out: f.output,
    verifyEach: f.verifyEach,
    ...shapeOptions(f),
    ...(f.calib !== undefined && { calib: f.calib }),
    ...(f.precision !== undefined && { precision: f.precision }),
    ...(f.widths !== undefined && { widths: f.widths }),
    ...(f.maxError !== undefined && { maxError: f.maxError }),
    ...(f.acceptAccuracy !== undefined && { acceptAccuracy: f.acceptAccuracy }),
    ...(f.holdOut !== undefined && { holdOut: f.holdOut }),
    ...(target !== undefined && { target }),
    ...(f.minimize !== undefined && { minimize: f.minimize }),
    ...(f.axisWidth !== undefined && { axisWidth: f.axisWidth }),
    ...(f.device !== undefined && { device: f.device }),
    ...(f.clock !== undefined && { clockMhz: f.clock }),
    ...(f.config !== undefined && { config: f.config }),
    ...(f.sensor !== undefined && { sensor: f.sensor }),
    ...(f.passesAfter !== undefined && { extraPasses: joinExtraPasses(f.passesAfter.map(parseExtraPass)) }),
    ...(f.singleFile !== undefined && { singleFile: f.singleFile }),
    ...(f.printIrAfter !== undefined && { printIrAfter: f.printIrAfter }),
    ...(f.dumpIr !== undefined && { dumpIr: f.dumpIr }),
  };
}

/** The report in a screenful. */
export function summary(r: DesignReport, dir: string): string {
  const micros = (cycles: number): string => si(cycles / (r.clock_mhz * 1e6), "s");
  const lines = [
    `${r.model} on ${r.device} at ${r.clock_mhz} MHz, written to ${dir}`,
    "",
    `  initiation interval  ${count(r.initiation_interval)} cycles (${micros(r.initiation_interval)}, ${si(r.throughput_hz, "samples/s")})`,
    `  latency              ${count(r.latency)} cycles (${micros(r.latency)})`,
    `  multipliers          ${count(r.multipliers)}, ${(r.mac_efficiency * 100).toFixed(1)} % busy on ${count(r.macs)} multiply-accumulates`,
    `  resources            ${count(r.resources.lut)} LUT, ${count(r.resources.ff)} FF, ${count(r.resources.dsp)} DSP, ${count(r.resources.bram)} BRAM (estimated)`,
    `  bound by             ${r.binding.kernel} (busy ${count(r.binding.cycles)} of ${count(r.initiation_interval)} cycles); ${r.binding.resource.toUpperCase()} (${count(r.binding.used)} of ${count(r.binding.available)})`,
  ];
  if (r.detector !== undefined) lines.push(...detectorLines(r.detector, micros));
  for (const [name, a] of Object.entries(r.accuracy ?? {})) {
    lines.push(
      `  accuracy of ${name}: rmse ${si(a.rmse, "")}, largest error ${si(a.max_abs_error, "")}, ${ratio(a)} against the float model`,
    );
  }
  if (r.accuracy_check !== undefined) lines.push(...checkSummary(r.accuracy_check));
  if (r.precision.bounds !== undefined) lines.push("", precisionSummary(r.precision));
  const rows = r.kernels.map((k) => [
    k.name,
    k.cycles,
    unrollText(k.unroll),
    k.multipliers,
    k.resources.lut,
    k.resources.dsp,
    k.resources.bram,
    k.onnx_nodes.join(" "),
  ]);
  lines.push(
    "",
    table(["kernel", "cycles", "unroll", "mult", "LUT", "DSP", "BRAM", "ONNX nodes"], rows),
    "",
    `compiled in ${r.compile_seconds.toFixed(1)} s`,
  );
  return lines.join("\n");
}

function detectorLines(d: DetectorReport, micros: (cycles: number) => string): string[] {
  return [
    `  frames               one in ${count(d.frame_interval)} cycles (${si(d.frames_per_second, "frames/s")})`,
    `  peaks                ${count(d.peak_latency)} cycles (${micros(d.peak_latency)}) from a patch's last pixel to its record, ${si(d.peaks_per_second, "peaks/s")}`,
    `  no peak is lost      of ${count(d.lossless_burst)} at once, of ${count(d.lossless_peaks_per_frame)} spread over a frame`,
  ];
}

function unrollText(unroll: Readonly<Record<string, number>>): string {
  const parts = Object.entries(unroll).filter(([, n]) => n > 1);
  return parts.length === 0 ? "-" : parts.map(([name, n]) => `${name}:${n}`).join(" ");
}
