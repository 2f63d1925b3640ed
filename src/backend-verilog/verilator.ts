/**
 * Simulation with Verilator: builds the generic harness of runtime/sim around a design, and runs it on files of beats.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { UserError } from "../diagnostics/index.js";
import { verilogFiles } from "./lint.js";
import { findTool, requireTools, runTool, tail } from "./tools.js";

/** An AXI4-Stream port of the top module: `<name>_tdata`, `_tvalid`, `_tready` and, if it has one, `_tlast`. */
export interface StreamPort {
  readonly name: string;
  readonly direction: "in" | "out";
  /** Bits of tdata. */
  readonly width: number;
  readonly beatsPerSample: number;
  /** Whether there is a `_tlast`; default true. */
  readonly hasLast?: boolean;
  /**
   * Of an input: TUSER and TLAST come from the file, in a byte more per beat (`MARK_USER`, `MARK_LAST`), and not from the
   * number of beats.
   */
  readonly marks?: boolean;
}

/** Bits of the byte of marks. */
export const MARK_USER = 1;
export const MARK_LAST = 2;

export interface BuildOptions {
  /** Port names of clock and active-low reset; default aclk, aresetn. */
  readonly clock?: string;
  readonly resetn?: string;
  /** Build in half the time a simulation that runs several times slower: for a few samples. */
  readonly quick?: boolean;
  /**
   * Threads of the simulation; 1 where absent. More pay for designs of thousands of multipliers, on cores that are
   * free.
   */
  readonly threads?: number;
  readonly seconds?: number;
}

export interface Simulation {
  readonly binary: string;
  readonly ports: readonly StreamPort[];
  /** Whether an earlier build was of the same sources. */
  readonly reused: boolean;
  readonly buildSeconds: number;
}

export interface RunSimulationOptions {
  /** By port name: a file with `samples` x beatsPerSample beats of `beatBytes(port)` bytes each. */
  readonly inputs: Readonly<Record<string, string>>;
  /** By port name: the file to write. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly samples: number;
  /** Probability of a pause per cycle, at least 0 and below 1. */
  readonly stallInputs?: number;
  readonly stallOutputs?: number;
  readonly seed?: number;
  /** Cycles without a beat at any port after which the run is given up. */
  readonly watchdogCycles?: number;
  /** Beats that pass the ports, by name, where that is no multiple of a sample: samples are not counted then. */
  readonly totals?: Readonly<Record<string, number>>;
  /** File for the cycle of every output beat: 8 bytes each, port by port. */
  readonly cycles?: string;
  /** File for the cycles of each sample's first and last beat per port (CSV). */
  readonly timing?: string;
  readonly seconds?: number;
  readonly onProgress?: (p: { readonly cycle: number; readonly samples: number; readonly total: number }) => void;
}

export interface SimulationResult {
  readonly samples: number;
  /** First input beat of the first sample to last output beat of the last, both inclusive. */
  readonly cycles: number;
  /** First input beat to last output beat of the first sample, both inclusive. */
  readonly latency: number;
  /**
   * Mean distance of the last output beats of neighbouring samples, rounded up, without filling and draining; undefined
   * for one sample.
   */
  readonly initiationInterval: number | undefined;
  readonly initiationIntervalMin: number | undefined;
  readonly initiationIntervalMax: number | undefined;
  readonly seconds: number;
  readonly cyclesPerSecond: number;
}

/** Bytes of a beat in the files: least significant first, the last one padded. */
export function beatBytes(port: { readonly width: number }): number {
  return Math.ceil(port.width / 8);
}

const harness = (): string => fileURLToPath(new URL("../../runtime/sim/harness.cpp", import.meta.url));

/** A comment for the generated files, so that a reader knows where to look. */
const GENERATED = "// Generated for one design; the harness is runtime/sim/harness.cpp.";

/**
 * Builds a simulation of `top` from the Verilog files in `rtlDir`, in `buildDir`. Nothing is built if the sources, the
 * ports and the tools are those of the last build there.
 *
 * @errors TO001 Verilator, g++ or make is missing; TO002, TO003 the build fails
 */
export async function buildSimulation(
  rtlDir: string,
  top: string,
  ports: readonly StreamPort[],
  buildDir: string,
  options: BuildOptions = {},
): Promise<Simulation> {
  requireTools("verilator", "g++", "make");
  const started = performance.now();
  const files = verilogFiles(rtlDir).map((f) => resolve(rtlDir, f));
  const config = harnessConfig(ports, options);
  const version = (await runTool("verilator", ["--version"], { step: "version" })).stdout;
  const hash = createHash("sha256");
  for (const text of [
    version,
    top,
    config,
    options.quick === true ? "quick" : "",
    String(options.threads ?? 1),
    readFileSync(harness()),
    ...files.flatMap((f) => [f, readFileSync(f)]),
  ])
    hash.update(text).update("\0");
  const digest = hash.digest("hex");
  const dir = resolve(buildDir);
  const binary = join(dir, "obj", "simulation");
  const stamp = join(dir, "build.sha256");
  if (existsSync(binary) && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) {
    return { binary, ports, reused: true, buildSeconds: 0 };
  }
  rmSync(stamp, { force: true });
  rmSync(join(dir, "obj"), { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "harness_config.h"), config);
  const seconds = options.seconds ?? 1800;
  await runTool(
    "verilator",
    [
      "--cc",
      "--exe",
      "--prefix",
      "Vtop",
      "--top-module",
      top,
      "-Mdir",
      join(dir, "obj"),
      "-o",
      "simulation",
      ...(options.threads === undefined || options.threads === 1 ? [] : ["--threads", String(options.threads)]),
      "-O3",
      "--x-assign",
      "fast",
      "--x-initial",
      "fast",
      "--noassert",
      "-Wno-fatal",
      "-CFLAGS",
      `-std=c++17 -I${dir}`,
      ...files,
      harness(),
    ],
    { cwd: dir, seconds, step: "translation to C++" },
  );
  const cache = findTool("ccache") === undefined ? "" : "ccache";
  // The machine's own vector instructions make wide registers nearly twice as fast.
  const optimize = options.quick === true ? "-O0" : "-O2 -march=native";
  await runTool(
    "make",
    [
      "-C",
      join(dir, "obj"),
      "-f",
      "Vtop.mk",
      "-j2",
      `OPT_FAST=${optimize}`,
      "OPT_GLOBAL=-O1",
      `OBJCACHE=${cache}`,
      "simulation",
    ],
    { seconds, step: "compilation of the simulation" },
  );
  writeFileSync(stamp, digest);
  return { binary, ports, reused: false, buildSeconds: (performance.now() - started) / 1000 };
}

/**
 * Streams samples through a simulation.
 *
 * @errors TO004 a protocol error, a beat too many, or no progress; TO003
 */
export async function runSimulation(sim: Simulation, options: RunSimulationOptions): Promise<SimulationResult> {
  const fileOf = (p: StreamPort): string => {
    const file = (p.direction === "in" ? options.inputs : options.outputs)[p.name];
    if (file === undefined) throw new Error(`no file for port ${p.name}`);
    return file;
  };
  const args = [
    ...sim.ports.filter((p) => p.direction === "in").flatMap((p) => ["--in", fileOf(p)]),
    ...sim.ports.filter((p) => p.direction === "out").flatMap((p) => ["--out", fileOf(p)]),
    "--samples",
    String(options.samples),
    "--seed",
    String(options.seed ?? 1),
    "--watchdog",
    String(options.watchdogCycles ?? 100_000),
    "--stall-in",
    String(options.stallInputs ?? 0),
    "--stall-out",
    String(options.stallOutputs ?? 0),
    ...(options.timing === undefined ? [] : ["--timing", options.timing]),
    ...(options.cycles === undefined ? [] : ["--cycles", options.cycles]),
    ...(options.totals === undefined ? [] : ["--totals", totalsOf(sim.ports, options)]),
    ...(options.onProgress === undefined ? ["--quiet"] : []),
  ];
  const seconds = options.seconds ?? 3600;
  const child = execa(sim.binary, args, { reject: false, timeout: 1000 * seconds, stdin: "ignore" });
  let rest = "";
  child.stderr.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const m = /^progress (\d+) (\d+) (\d+)$/.exec(line);
      if (m !== null) options.onProgress?.({ cycle: Number(m[1]), samples: Number(m[2]), total: Number(m[3]) });
    }
  });
  const r = await child;
  if (r.timedOut) throw UserError.of("TO003", { tool: "the simulation", step: `${options.samples} samples`, seconds });
  const result = parseResult(r.stdout);
  if (result === undefined)
    throw UserError.of("TO002", {
      tool: "the simulation",
      step: "run",
      output: tail(r.stderr || (r.shortMessage ?? "no output")),
    });
  if (typeof result["error"] === "string") throw UserError.of("TO004", { reason: result["error"] });
  const number = (key: string): number | undefined => (typeof result[key] === "number" ? result[key] : undefined);
  return {
    samples: number("samples") ?? 0,
    cycles: number("cycles") ?? 0,
    latency: number("latency") ?? 0,
    initiationInterval: number("initiation_interval"),
    initiationIntervalMin: number("initiation_interval_min"),
    initiationIntervalMax: number("initiation_interval_max"),
    seconds: number("seconds") ?? 0,
    cyclesPerSecond: number("cycles_per_second") ?? 0,
  };
}

function totalsOf(ports: readonly StreamPort[], options: RunSimulationOptions): string {
  const ordered = [...ports.filter((p) => p.direction === "in"), ...ports.filter((p) => p.direction === "out")];
  return ordered.map((p) => options.totals?.[p.name] ?? options.samples * p.beatsPerSample).join(",");
}

function parseResult(stdout: string): Record<string, unknown> | undefined {
  const line = stdout.split("\n").find((l) => l.startsWith("{"));
  try {
    return line === undefined ? undefined : (JSON.parse(line) as Record<string, unknown>);
  } catch {
    return undefined;
  }
}

/** The header that tells the harness about the ports of a design. */
export function harnessConfig(ports: readonly StreamPort[], options: BuildOptions = {}): string {
  const inputs = ports.filter((p) => p.direction === "in");
  const outputs = ports.filter((p) => p.direction === "out");
  const table = (list: readonly StreamPort[]): string =>
    list
      .map(
        (p) =>
          `    {"${p.name}", ${beatBytes(p) + (p.marks === true ? 1 : 0)}u, ${p.beatsPerSample}u, ${p.hasLast !== false}},`,
      )
      .join("\n");
  const each = (list: readonly StreamPort[], body: (p: StreamPort) => string): string =>
    list.map((p, i) => `        case ${i}: ${body(p)} break;`).join("\n");
  const ask = (list: readonly StreamPort[], what: (p: StreamPort) => string): string =>
    list.map((p, i) => `        case ${i}: return ${what(p)};`).join("\n");
  return `${GENERATED}
#pragma once
#include <cstddef>
#include <cstdint>

#include "Vtop.h"

using Top = Vtop;

struct PortConfig {
    const char* name;
    unsigned bytesPerBeat;
    uint64_t beatsPerSample;
    bool hasLast;
};

constexpr unsigned kInputCount = ${inputs.length};
constexpr PortConfig kInputs[kInputCount + 1] = {
${table(inputs)}
    {nullptr, 0, 0, false}};
constexpr unsigned kOutputCount = ${outputs.length};
constexpr PortConfig kOutputs[kOutputCount + 1] = {
${table(outputs)}
    {nullptr, 0, 0, false}};

// Bytes to and from Verilator's types: integers up to 64 bits, arrays of 32-bit words above.
template <typename T>
inline void putBits(T& port, const uint8_t* bytes, unsigned count) {
    uint64_t v = 0;
    for (unsigned i = 0; i < count; i++) v |= static_cast<uint64_t>(bytes[i]) << (8 * i);
    port = static_cast<T>(v);
}
template <std::size_t N>
inline void putBits(VlWide<N>& port, const uint8_t* bytes, unsigned count) {
    for (std::size_t w = 0; w < N; w++) {
        uint32_t v = 0;
        for (unsigned i = 0; i < 4 && 4 * w + i < count; i++) v |= static_cast<uint32_t>(bytes[4 * w + i]) << (8 * i);
        port[w] = v;
    }
}
template <typename T>
inline void getBits(const T& port, uint8_t* bytes, unsigned count) {
    for (unsigned i = 0; i < count; i++) bytes[i] = static_cast<uint8_t>(static_cast<uint64_t>(port) >> (8 * i));
}
template <std::size_t N>
inline void getBits(const VlWide<N>& port, uint8_t* bytes, unsigned count) {
    for (unsigned i = 0; i < count; i++) bytes[i] = static_cast<uint8_t>(port[i / 4] >> (8 * (i % 4)));
}

inline void setClock(Top& t, bool level) { t.${options.clock ?? "aclk"} = level; }
inline void setReset(Top& t, bool active) { t.${options.resetn ?? "aresetn"} = !active; }

inline void driveInput([[maybe_unused]] Top& t, unsigned port, [[maybe_unused]] const uint8_t* bytes, [[maybe_unused]] bool valid, [[maybe_unused]] bool last) {
    switch (port) {
${each(inputs, (p) => `putBits(t.${p.name}_tdata, bytes, ${beatBytes(p)}u); t.${p.name}_tvalid = valid; ${p.marks === true ? `t.${p.name}_tuser = bytes[${beatBytes(p)}] & ${MARK_USER}u; t.${p.name}_tlast = (bytes[${beatBytes(p)}] & ${MARK_LAST}u) != 0; ` : p.hasLast === false ? "" : `t.${p.name}_tlast = last; `}`)}
        default: break;
    }
}
inline bool isReady([[maybe_unused]] Top& t, unsigned port) {
    switch (port) {
${ask(inputs, (p) => `t.${p.name}_tready`)}
        default: return false;
    }
}
inline void driveReady([[maybe_unused]] Top& t, unsigned port, [[maybe_unused]] bool ready) {
    switch (port) {
${each(outputs, (p) => `t.${p.name}_tready = ready;`)}
        default: break;
    }
}
inline bool isValid([[maybe_unused]] Top& t, unsigned port) {
    switch (port) {
${ask(outputs, (p) => `t.${p.name}_tvalid`)}
        default: return false;
    }
}
inline bool isLast([[maybe_unused]] Top& t, unsigned port) {
    switch (port) {
${ask(outputs, (p) => (p.hasLast === false ? "false" : `t.${p.name}_tlast`))}
        default: return false;
    }
}
inline void readOutput([[maybe_unused]] Top& t, unsigned port, [[maybe_unused]] uint8_t* bytes) {
    switch (port) {
${each(outputs, (p) => `getBits(t.${p.name}_tdata, bytes, ${beatBytes(p)}u);`)}
        default: break;
    }
}
`;
}
