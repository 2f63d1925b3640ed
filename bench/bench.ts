/** Measures the designs and holds them against the committed baseline (see README.md). */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readArrays } from "../src/frontend/npz.js";
import type { DesignReport, RunSummary, SimulationSummary, SynthSummary } from "../src/driver.js";
import type { QualityRecord } from "./bench-record.js";
import { designs, type BenchDesign } from "./designs.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const baselineFile = join(root, "bench", "baseline.json");

interface Finished {
  readonly stdout: string;
  readonly peakMb: number;
}

/** Runs the command line and watches its memory (VmHWM, where the system has it). */
function onnxHls(args: readonly string[]): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, "dist/cli/main.js"), ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    let peakMb = 0;
    const watch = setInterval(() => {
      try {
        const kb = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"));
        if (kb !== null) peakMb = Math.max(peakMb, Number(kb[1]) / 1024);
      } catch {
        // The process is gone, or there is no /proc.
      }
    }, 20);
    child.stdout.on("data", (d: Buffer) => (stdout += d.toString()));
    child.stderr.on("data", (d: Buffer) => (stderr += d.toString()));
    child.on("close", (code) => {
      clearInterval(watch);
      if (code === 0 || stdout !== "") resolve({ stdout, peakMb });
      else reject(new Error(`onnx-hls ${args.join(" ")}: ${stderr}`));
    });
  });
}

function meanErrorPixels(test: string, result: string, reference: string): { float: number; fixed: number } {
  const load = (path: string) => readArrays(readFileSync(path), path);
  const data = load(join(root, test));
  const truth = data.get("target")!.data;
  const mean = (y: Float64Array): number => {
    let sum = 0;
    for (let i = 0; i < truth.length; i += 2) sum += 11 * Math.hypot(y[i]! - truth[i]!, y[i + 1]! - truth[i + 1]!);
    return sum / (truth.length / 2);
  };
  return { float: mean(data.get(reference)!.data), fixed: mean(load(result).get("centre")!.data) };
}

const rounded = (x: number, digits: number): number => Number(x.toPrecision(digits));

type Level = "simulate" | "synthesize" | "route";

async function measure(d: BenchDesign, level: Level): Promise<QualityRecord | undefined> {
  const build = join("build", "bench");
  const files = d.files(join(build, "inputs"));
  if (files === undefined) return undefined;
  const dir = join(build, d.name);
  mkdirSync(build, { recursive: true });
  const compiled = await onnxHls(["compile", files.model, "-o", dir, "--calib", files.calib, ...d.args, "--json"]);
  const report = JSON.parse(compiled.stdout) as DesignReport;
  const result = join(build, `${d.name}.npz`);
  const run = JSON.parse(
    (await onnxHls(["run", dir, "--input", files.test, "--output", result, "--json"])).stdout,
  ) as RunSummary;
  const simulate = async (...more: string[]): Promise<SimulationSummary> =>
    JSON.parse(
      (
        await onnxHls([
          "simulate",
          dir,
          "--input",
          files.test,
          "--output",
          join(build, `${d.name}_sim.npz`),
          "--json",
          ...more,
        ])
      ).stdout,
    ) as SimulationSummary;
  const free = await simulate();
  const stalled = await simulate("--stall", "0.3", "--seed", "7");
  const synth =
    level === "simulate"
      ? undefined
      : (JSON.parse(
          (
            await onnxHls([
              "synth",
              dir,
              "--json",
              "--timeout",
              "10800",
              ...(level === "route" && d.route === true ? ["--pnr"] : []),
            ])
          ).stdout,
        ) as SynthSummary);
  const error = d.reference === undefined ? undefined : meanErrorPixels(files.test, result, d.reference);
  return {
    design: d.name,
    initiation_interval: { predicted: report.initiation_interval, measured: free.initiation_interval },
    latency: { predicted: report.latency, measured: free.latency },
    samples: free.samples,
    mismatches: free.mismatches,
    mismatches_with_stalls: stalled.mismatches,
    multipliers: report.multipliers,
    mac_efficiency: rounded(report.mac_efficiency, 4),
    resources_estimated: report.resources,
    ...(synth !== undefined && { resources_yosys: synth.resources }),
    ...(synth?.fmax_mhz !== undefined && {
      routed_mhz: { asked: report.clock_mhz, reached: rounded(synth.fmax_mhz, 4) },
    }),
    ...(error !== undefined && { error_px: { float: rounded(error.float, 4), fixed: rounded(error.fixed, 4) } }),
    rmse: Object.fromEntries(Object.entries(report.accuracy ?? {}).map(([name, a]) => [name, rounded(a.rmse, 4)])),
    compile_seconds: rounded(report.compile_seconds, 2),
    compile_peak_mb: Math.round(compiled.peakMb),
    run_samples_per_second: Math.round(run.samples_per_second),
    simulation_build_seconds: rounded(free.build_seconds, 3),
    simulated_cycles_per_second: Math.round(free.cycles_per_second),
  };
}

/** What is wrong with a record, by itself and against the baseline. */
function complaints(r: QualityRecord, base: QualityRecord | undefined): string[] {
  const found: string[] = [];
  const differ = (what: string, a: number, b: number): void =>
    void (a !== b && found.push(`${what}: ${a} predicted, ${b} measured`));
  differ("initiation interval", r.initiation_interval.predicted, r.initiation_interval.measured);
  differ("latency", r.latency.predicted, r.latency.measured);
  if (r.mismatches + r.mismatches_with_stalls > 0)
    found.push(`${r.mismatches} mismatches, ${r.mismatches_with_stalls} with stalls`);
  if (r.resources_yosys !== undefined) {
    // What is promised of estimates: blocks exactly, the rest within 15 %.
    for (const k of ["dsp", "bram"] as const)
      if (r.resources_estimated[k] !== r.resources_yosys[k])
        found.push(`${k}: ${r.resources_estimated[k]} estimated, ${r.resources_yosys[k]} by Yosys`);
    for (const k of ["lut", "ff"] as const)
      if (Math.abs(r.resources_estimated[k] / r.resources_yosys[k] - 1) > 0.15)
        found.push(`${k}: ${r.resources_estimated[k]} estimated, ${r.resources_yosys[k]} by Yosys`);
  }
  if (base === undefined) return found;
  const worse = (what: string, now: number, before: number, slack: number): void =>
    void (now > before * (1 + slack) && found.push(`${what}: ${now}, baseline ${before}`));
  worse("initiation interval", r.initiation_interval.measured, base.initiation_interval.measured, 0);
  worse("latency", r.latency.measured, base.latency.measured, 0);
  worse("multipliers", r.multipliers, base.multipliers, 0);
  for (const k of ["lut", "ff", "dsp", "bram"] as const)
    worse(`estimated ${k}`, r.resources_estimated[k], base.resources_estimated[k], 0.02);
  if (r.error_px !== undefined && base.error_px !== undefined)
    worse("error in pixels", r.error_px.fixed, base.error_px.fixed, 0.02);
  for (const [name, e] of Object.entries(r.rmse)) worse(`error of ${name}`, e, base.rmse[name] ?? e, 0.02);
  return found;
}

async function main(): Promise<void> {
  process.chdir(root);
  const flags = new Set(process.argv.slice(2));
  const full = flags.has("--full");
  const level: Level = full || flags.has("--route") ? "route" : flags.has("--synth") ? "synthesize" : "simulate";
  const baseline = new Map<string, QualityRecord>(
    existsSync(baselineFile)
      ? (JSON.parse(readFileSync(baselineFile, "utf8")) as QualityRecord[]).map((r) => [r.design, r])
      : [],
  );
  let failed = false;
  const only = [...flags].filter((f) => f.startsWith("--only=")).flatMap((f) => f.slice("--only=".length).split(","));
  for (const d of designs.filter((x) => (only.length > 0 ? only.includes(x.name) : full || x.quick))) {
    const r = await measure(d, level);
    if (r === undefined) {
      process.stderr.write(`${d.name}: left out, ../shared is not here\n`);
      continue;
    }
    const before = baseline.get(d.name);
    const wrong = complaints(r, flags.has("--update") ? undefined : before);
    process.stdout.write(`${JSON.stringify(r)}\n`);
    for (const w of wrong) process.stderr.write(`${d.name}: ${w}\n`);
    failed ||= wrong.length > 0;
    // What a quick run does not measure stays as an earlier run of the same design found it.
    const same =
      before !== undefined && JSON.stringify(before.resources_estimated) === JSON.stringify(r.resources_estimated)
        ? before
        : undefined;
    const yosys = r.resources_yosys ?? same?.resources_yosys;
    const routed = r.routed_mhz ?? same?.routed_mhz;
    baseline.set(d.name, {
      ...r,
      ...(yosys !== undefined && { resources_yosys: yosys }),
      ...(routed !== undefined && { routed_mhz: routed }),
    });
    if (flags.has("--update"))
      writeFileSync(
        baselineFile,
        `${JSON.stringify(
          designs.flatMap((x) => baseline.get(x.name) ?? []),
          null,
          1,
        )}\n`,
      );
  }
  if (!flags.has("--keep")) rmSync(join("build", "bench"), { recursive: true, force: true });
  if (failed) process.exitCode = 1;
}

await main();
