/** Measures the designs and holds them against the committed baseline (see README.md). */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readArrays } from "../src/frontend/npz.js";
import type { DesignReport, Resources, RunSummary, SimulationSummary, SynthSummary } from "../src/driver.js";
import { designs, type BenchDesign } from "./designs.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const baselineFile = join(root, "bench", "baseline.json");

/** One record per design. Predicted and measured are told apart by name; resources are estimates unless `yosys`. */
interface QualityRecord {
  readonly design: string;
  readonly initiation_interval: { readonly predicted: number; readonly measured: number };
  readonly latency: { readonly predicted: number; readonly measured: number };
  readonly samples: number;
  readonly mismatches: number;
  readonly mismatches_with_stalls: number;
  readonly multipliers: number;
  readonly mac_efficiency: number;
  readonly resources_estimated: Resources;
  readonly resources_yosys?: Resources;
  readonly error_px: { readonly float: number; readonly fixed: number };
  readonly compile_seconds: number;
  readonly compile_peak_mb: number;
  readonly run_samples_per_second: number;
}

interface Finished {
  readonly stdout: string;
  readonly peakMb: number;
}

/** Runs the command line and watches its memory (VmHWM, where the system has it). */
function onnxHls(args: readonly string[]): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, "dist/cli/main.js"), ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
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

async function measure(d: BenchDesign, synthesis: boolean): Promise<QualityRecord> {
  const dir = join(root, "build", "bench", d.name);
  mkdirSync(dirname(dir), { recursive: true });
  const compiled = await onnxHls(["compile", d.model, "-o", dir, "--calib", d.calib, ...d.args, "--json"]);
  const report = JSON.parse(compiled.stdout) as DesignReport;
  const result = join(root, "build", "bench", `${d.name}.npz`);
  const run = JSON.parse((await onnxHls(["run", dir, "--input", d.test, "--output", result, "--json"])).stdout) as RunSummary;
  const simulate = async (...more: string[]): Promise<SimulationSummary> => JSON.parse((await onnxHls(["simulate", dir, "--input", d.test, "--output", join(root, "build", "bench", `${d.name}_sim.npz`), "--json", ...more])).stdout) as SimulationSummary;
  const free = await simulate();
  const stalled = await simulate("--stall", "0.3", "--seed", "7");
  const yosys = synthesis ? (JSON.parse((await onnxHls(["synth", dir, "--json"])).stdout) as SynthSummary).resources : undefined;
  const error = meanErrorPixels(d.test, result, d.reference);
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
    ...(yosys !== undefined && { resources_yosys: yosys }),
    error_px: { float: rounded(error.float, 4), fixed: rounded(error.fixed, 4) },
    compile_seconds: rounded(report.compile_seconds, 2),
    compile_peak_mb: Math.round(compiled.peakMb),
    run_samples_per_second: Math.round(run.samples_per_second),
  };
}

/** What is wrong with a record, by itself and against the baseline. */
function complaints(r: QualityRecord, base: QualityRecord | undefined): string[] {
  const found: string[] = [];
  const differ = (what: string, a: number, b: number): void => void (a !== b && found.push(`${what}: ${a} predicted, ${b} measured`));
  differ("initiation interval", r.initiation_interval.predicted, r.initiation_interval.measured);
  differ("latency", r.latency.predicted, r.latency.measured);
  if (r.mismatches + r.mismatches_with_stalls > 0) found.push(`${r.mismatches} mismatches, ${r.mismatches_with_stalls} with stalls`);
  if (base === undefined) return found;
  const worse = (what: string, now: number, before: number, slack: number): void => void (now > before * (1 + slack) && found.push(`${what}: ${now}, baseline ${before}`));
  worse("initiation interval", r.initiation_interval.measured, base.initiation_interval.measured, 0);
  worse("latency", r.latency.measured, base.latency.measured, 0);
  worse("multipliers", r.multipliers, base.multipliers, 0);
  for (const k of ["lut", "ff", "dsp", "bram"] as const) worse(`estimated ${k}`, r.resources_estimated[k], base.resources_estimated[k], 0.02);
  worse("error in pixels", r.error_px.fixed, base.error_px.fixed, 0.02);
  return found;
}

async function main(): Promise<void> {
  const flags = new Set(process.argv.slice(2));
  const full = flags.has("--full");
  const baseline = new Map<string, QualityRecord>(existsSync(baselineFile) ? (JSON.parse(readFileSync(baselineFile, "utf8")) as QualityRecord[]).map((r) => [r.design, r]) : []);
  let failed = false;
  const only = [...flags].filter((f) => f.startsWith("--only=")).map((f) => f.slice("--only=".length));
  for (const d of designs.filter((x) => (only.length > 0 ? only.includes(x.name) : full || x.quick))) {
    const r = await measure(d, full || flags.has("--synth"));
    const wrong = complaints(r, flags.has("--update") ? undefined : baseline.get(d.name));
    process.stdout.write(`${JSON.stringify(r)}\n`);
    for (const w of wrong) process.stderr.write(`${d.name}: ${w}\n`);
    failed ||= wrong.length > 0;
    // A quick run measures no synthesis; what an earlier full run found stays.
    const yosys = r.resources_yosys ?? baseline.get(d.name)?.resources_yosys;
    baseline.set(d.name, { ...r, ...(yosys !== undefined && { resources_yosys: yosys }) });
  }
  if (flags.has("--update") && !failed) writeFileSync(baselineFile, `${JSON.stringify([...baseline.values()], null, 1)}\n`);
  if (!flags.has("--keep")) rmSync(join(root, "build", "bench"), { recursive: true, force: true });
  if (failed) process.exitCode = 1;
}

await main();
