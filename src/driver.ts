/** Model and options in, artefacts out: the functions behind the commands. All input and output goes through the session's host. */
import "./driver/passes.js";
import { compile } from "./driver/compile.js";
import { run, simulate, synth } from "./driver/execute.js";
import { inspect } from "./driver/inspect.js";
import type { Inspection, DesignReport, RunSummary, SimulationSummary, SynthSummary } from "./driver/report.js";
import type { CompileOptions, RunOptions, SimulateOptions } from "./driver/options.js";
import type { Session } from "./driver/session.js";

export { newSession, type Session } from "./driver/session.js";
export { optFile, type OptOptions } from "./driver/opt.js";
export { checkTools, tools, type ToolSpec, type ToolStatus } from "./driver/tools.js";
export type * from "./driver/options.js";
export type * from "./driver/report.js";

/** Compiles `model` into the folder `options.out`. */
export async function compileModel(model: string, options: CompileOptions, session: Session): Promise<DesignReport> {
  return compile(model, options, session);
}

/** Runs the bit-exact model of a compiled design on a data file. */
export async function runDesign(dir: string, options: RunOptions, session: Session): Promise<RunSummary> {
  return run(dir, options, session);
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
