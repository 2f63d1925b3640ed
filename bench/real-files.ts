/**
 * Real files of other projects: each of bench/real-files.json that a folder holds is compiled with defaults on generated data,
 * and what comes out is compared with ONNX Runtime.
 *
 *   npm run bench:real -- --dir DIR [--only TEXT] [--json FILE] [--resume] [--markdown FILE]
 *
 * DIR holds the files, in any folders; they are found by their SHA-256. A compilation has 120 s of processor time. ONNX Runtime is
 * that of the Python in $ONNX_HLS_PYTHON (python3 where absent). Exit code 1 where a result is wrong, or inaccurate without a word.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { isSilent, isWrong, type Outcome, type RealFile, type RealFileRecord, type StepResult } from "./real-file-record.js";
import { markdown, plain } from "./real-files-tables.js";

const CPU_SECONDS = 120;
const WALL_SECONDS = 1200;
const HEAP_MB = 6144;
/** Multiply-accumulates that the samples of a file may cost in the interpreter. */
const SAMPLE_MACS = 3e9;

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
  /** Of processor time, of the process and what it waited for. */
  readonly seconds: number;
}

/** Runs a Node.js program under a limit of processor time. */
function limited(args: readonly string[], cpuSeconds: number): Ended {
  const script = `ulimit -t ${cpuSeconds}; "$@"; code=$?; times >&2; exit $code`;
  const r = spawnSync("bash", ["-c", script, "bash", process.execPath, `--max-old-space-size=${HEAP_MB}`, ...args], { encoding: "utf8", timeout: WALL_SECONDS * 1000, maxBuffer: 1 << 28 });
  const times = [...r.stderr.matchAll(/(\d+)m([\d.]+)s/g)].slice(-2).map((m) => 60 * Number(m[1]) + Number(m[2]));
  // bash says 128 + signal: 24 is SIGXCPU, 9 SIGKILL, 6 SIGABRT.
  return { code: r.status, signal: r.signal ?? (r.status === 152 || r.status === 137 ? "SIGXCPU" : null), out: r.stdout, err: r.stderr, seconds: times.reduce((n, t) => n + t, 0) };
}

function stepOf(args: readonly string[]): StepResult | string {
  const r = limited(["--import", "tsx", join(import.meta.dirname, "real-file.ts"), ...args], 3 * CPU_SECONDS);
  const line = r.out.trim().split("\n").at(-1) ?? "";
  if (r.code === 0 && line.startsWith("{")) return JSON.parse(line) as StepResult;
  return r.signal === "SIGXCPU" ? "timeout" : lastWords(r.err);
}

function lastWords(err: string): string {
  const lines = err.split("\n").map((l) => l.trim()).filter((l) => l !== "" && !/^\d+m[\d.]+s/.test(l));
  return (lines.find((l) => /^internal error|Error:|heap out of memory/.test(l)) ?? lines.at(-1) ?? "no message").slice(0, 300);
}

/** The data of a file, and what ONNX Runtime makes of them. */
function reference(model: string, entry: RealFile, data: string, macs: number): { readonly reference: boolean; readonly problem?: string; readonly no_data?: string } {
  const count = (least: number, most: number): number => Math.max(least, Math.min(most, Math.floor(SAMPLE_MACS / (4 * Math.max(1, macs)))));
  const args = [join(import.meta.dirname, "real-files-reference.py"), model, data, String(count(4, 64)), String(count(2, 32)), JSON.stringify(entry.shapes ?? {})];
  const r = spawnSync(process.env["ONNX_HLS_PYTHON"] ?? "python3", args, { encoding: "utf8", timeout: WALL_SECONDS * 1000 });
  const line = r.stdout.trim().split("\n").at(-1) ?? "";
  if (!line.startsWith("{")) return { reference: false, no_data: `the reference script failed: ${r.stderr.trim().split("\n").at(-1) ?? ""}`.slice(0, 200) };
  return JSON.parse(line) as { reference: boolean };
}

function measure(model: string, entry: RealFile, work: string): RealFileRecord {
  const { name } = entry;
  const cost = stepOf(["cost", model]);
  if (typeof cost === "string") return { name, outcome: cost === "timeout" ? "timeout" : "crash", errors: [{ code: "", message: cost }] };
  if ("refused" in cost) return { name, outcome: "refused", errors: cost.refused };
  const macs = "macs" in cost ? cost.macs : 0;
  const data = join(work, "data");
  mkdirSync(data);
  const made = reference(model, entry, data, macs);
  const float = made.reference ? stepOf(["float", model, data]) : undefined;
  const notes = [made.problem, made.no_data, typeof float === "string" ? `float interpreter: ${float}` : undefined].filter((n) => n !== undefined);
  const design = join(work, "design");
  const calibrated = existsSync(join(data, "calib.npz"));
  const r = limited([join(import.meta.dirname, "../dist/cli/main.js"), "compile", model, "-o", design, ...(calibrated ? ["--calib", join(data, "calib.npz")] : []), "--json", "--diagnostics", "json"], CPU_SECONDS);
  const said = r.err.split("\n").filter((l) => l.startsWith("{")).map((l) => JSON.parse(l) as { severity: string; code: string; message: string; hint?: string });
  const errors = said.filter((d) => d.severity === "error").map(({ code, message, hint }) => ({ code, message, ...(hint !== undefined && { hint }) }));
  const warnings = [...new Set(said.filter((d) => d.severity === "warning").map((d) => d.code))];
  const seconds = Math.round(10 * r.seconds) / 10;
  const known = { name, macs, ...(float !== undefined && typeof float !== "string" && "distances" in float && { float: float.distances }) };
  if (r.code !== 0) {
    const outcome: Outcome = r.signal === "SIGXCPU" ? "timeout" : errors.length > 0 ? "refused" : "crash";
    return { ...known, outcome, seconds, errors: outcome === "crash" ? [{ code: "", message: lastWords(r.err) }] : errors, ...(notes.length > 0 && { note: notes.join("; ") }) };
  }
  const fixed = calibrated ? stepOf(["fixed", model, data, design]) : undefined;
  if (typeof fixed === "string") notes.push(`held-out samples: ${fixed}`);
  const measured = fixed !== undefined && typeof fixed !== "string" && "distances" in fixed ? fixed : undefined;
  if (measured?.note !== undefined) notes.push(measured.note);
  return { ...known, outcome: "compiled", seconds, warnings, ...(measured !== undefined && { fixed: measured.distances, against: measured.against }), ...(notes.length > 0 && { note: notes.join("; ") }) };
}

/** Paths by SHA-256 of all ONNX files below a folder. */
function filesBelow(dir: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const e of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (!e.isFile() || !e.name.endsWith(".onnx")) continue;
    const path = join(e.parentPath, e.name);
    found.set(createHash("sha256").update(readFileSync(path)).digest("hex"), path);
  }
  return found;
}

function main(): void {
  const program = new Command("bench:real").requiredOption("--dir <dir>", "folder with the files").option("--list <file>", "the list", join(import.meta.dirname, "real-files.json")).option("--only <text>", "only files whose name contains this").option("--json <file>", "write the records", "real-files-results.json").option("--resume", "keep what the JSON file holds already").option("--markdown <file>", "write the tables as a page");
  program.parse();
  const options = program.opts<{ dir: string; list: string; only?: string; json: string; resume?: boolean; markdown?: string }>();
  const list = JSON.parse(readFileSync(options.list, "utf8")) as RealFile[];
  const paths = filesBelow(options.dir);
  const records = options.resume === true && existsSync(options.json) ? (JSON.parse(readFileSync(options.json, "utf8")) as RealFileRecord[]) : [];
  const work = mkdtempSync(join(tmpdir(), "onnx-hls-real-"));
  try {
    for (const [i, entry] of list.entries()) {
      const path = paths.get(entry.sha256);
      if (path === undefined || (options.only !== undefined && !entry.name.includes(options.only)) || records.some((r) => r.name === entry.name)) continue;
      process.stderr.write(`${i + 1} of ${list.length}: ${entry.name}\n`);
      const dir = join(work, "file");
      mkdirSync(dir);
      records.push(measure(path, entry, dir));
      rmSync(dir, { recursive: true, force: true });
      records.sort((a, b) => (a.name < b.name ? -1 : 1));
      // Whatever ends the run, what is measured stays.
      writeFileSync(options.json, `[\n${records.map((r) => JSON.stringify(r)).join(",\n")}\n]\n`);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(plain(records));
  if (options.markdown !== undefined) writeFileSync(options.markdown, markdown(list, records));
  process.exitCode = records.some((r) => r.outcome === "crash" || isWrong(r) || isSilent(r)) ? 1 : 0;
}

main();
