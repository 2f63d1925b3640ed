/** Checks of generated sources with the tools that others use: what they say is an error or a warning of ours. */
import { readdirSync } from "node:fs";
import { runTool } from "./tools.js";

export interface LintFinding {
  readonly tool: "verilator" | "iverilog" | "yosys";
  readonly text: string;
}

/** The Verilog files of a folder, sorted. */
export function verilogFiles(rtlDir: string): string[] {
  return readdirSync(rtlDir)
    .filter((f) => f.endsWith(".v"))
    .sort();
}

/**
 * Everything that `verilator --lint-only -Wall`, `iverilog -Wall` and Yosys (hierarchy, processes, latches, loops,
 * several drivers) find in the sources of a folder. Empty = clean.
 *
 * @errors TO001, TO003
 */
export async function lintVerilog(
  rtlDir: string,
  top: string,
  options: { tools?: readonly LintFinding["tool"][]; seconds?: number } = {},
): Promise<LintFinding[]> {
  const tools = options.tools ?? ["verilator", "iverilog", "yosys"];
  const seconds = options.seconds ?? 300;
  const files = verilogFiles(rtlDir);
  const findings: LintFinding[] = [];
  const add = (tool: LintFinding["tool"], code: number, lines: readonly string[]): void => {
    for (const text of lines) findings.push({ tool, text });
    if (code !== 0 && lines.length === 0) findings.push({ tool, text: `exit code ${code}` });
  };
  if (tools.includes("verilator")) {
    const r = await runTool("verilator", ["--lint-only", "-Wall", "--top-module", top, ...files], {
      cwd: rtlDir,
      seconds,
      step: "lint",
      allowFailure: true,
    });
    add(
      "verilator",
      r.code,
      r.stderr.split("\n").filter((l) => l.startsWith("%")),
    );
  }
  if (tools.includes("iverilog")) {
    const r = await runTool("iverilog", ["-Wall", "-g2005", "-t", "null", "-s", top, ...files], {
      cwd: rtlDir,
      seconds,
      step: "lint",
      allowFailure: true,
    });
    add(
      "iverilog",
      r.code,
      `${r.stdout}\n${r.stderr}`.split("\n").filter((l) => l.trim() !== ""),
    );
  }
  if (tools.includes("yosys")) {
    // A latch is a cell of its own after proc; `check -assert` finds loops and drivers.
    // Cells of a device are looked at as their behavioural twins.
    const script = [
      `read_verilog -nosynthesis ${files.join(" ")}`,
      `hierarchy -check -top ${top}`,
      "proc",
      "select -assert-none t:$dlatch t:$dlatchsr t:$adlatch %u",
      "opt_clean",
      "check -assert",
    ];
    const r = await runTool("yosys", ["-q", "-p", script.join("; ")], {
      cwd: rtlDir,
      seconds,
      step: "check",
      allowFailure: true,
    });
    add(
      "yosys",
      r.code,
      `${r.stdout}\n${r.stderr}`.split("\n").filter((l) => /warning|error|assert/i.test(l)),
    );
  }
  return findings;
}
