/** Model and options in, artefacts out: the functions behind the commands. All input and output goes through the session's host. */
import "./driver/passes.js";
import { compile } from "./driver/compile.js";
import { run, simulate, synth } from "./driver/execute.js";
import { inspect } from "./driver/inspect.js";
import type { Inspection, DesignReport, RunSummary, SimulationSummary, SynthSummary } from "./driver/report.js";
import type { Session } from "./driver/session.js";

export { newSession, type Session } from "./driver/session.js";
export { optFile, type OptOptions } from "./driver/opt.js";
export { checkTools, tools, type ToolSpec, type ToolStatus } from "./driver/tools.js";
export type * from "./driver/report.js";

/** What the design is to reach, or what it may use. */
export type Target =
  /** Cycles between samples, at most. */
  | { readonly kind: "ii"; readonly cycles: number }
  | { readonly kind: "rate"; readonly hz: number }
  /** Largest use of `lut`, `ff`, `dsp`, `bram`; absent ones are not limited. */
  | { readonly kind: "budget"; readonly limits: Readonly<Record<string, number>> };

export interface CompileOptions {
  /** Folder of the artefacts. */
  readonly out: string;
  /** Data file with representative inputs. */
  readonly calib?: string;
  /** `8`, `w8a12`: widths of weights and activations. */
  readonly precision?: string;
  readonly target?: Target;
  readonly device?: string;
  readonly clockMhz?: number;
  /** YAML file; what the other options state has precedence. */
  readonly config?: string;
  readonly printIrAfter?: readonly string[];
  readonly dumpIr?: string;
  readonly verifyEach?: boolean;
}

/** Compiles `model` into the folder `options.out`. */
export async function compileModel(model: string, options: CompileOptions, session: Session): Promise<DesignReport> {
  return compile(model, options, session);
}

export interface RunOptions {
  readonly input: string;
  readonly output: string;
  /** Raw integers in place of float32 values. */
  readonly raw?: boolean;
}

/** Runs the bit-exact model of a compiled design on a data file. */
export async function runDesign(dir: string, options: RunOptions, session: Session): Promise<RunSummary> {
  return run(dir, options, session);
}

export interface SimulateOptions extends RunOptions {
  /** Probability that a port pauses in a cycle. */
  readonly stall?: number;
  readonly seed?: number;
}

/** Simulates the Verilog of a compiled design on a data file, and compares with the bit-exact model. */
export async function simulateDesign(dir: string, options: SimulateOptions, session: Session): Promise<SimulationSummary> {
  return simulate(dir, options, session);
}

/** Synthesizes a compiled design. */
export async function synthDesign(dir: string, session: Session): Promise<SynthSummary> {
  return synth(dir, session);
}

/** What is in a model: operators, shapes, cost, and what is not supported. */
export async function inspectModel(model: string, session: Session): Promise<Inspection> {
  return inspect(model, session);
}
