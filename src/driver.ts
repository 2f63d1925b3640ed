/**
 * Model and options in, artefacts out: the functions behind the commands. All input and output goes through the
 * session's host.
 */
import { join } from "node:path";
import "./driver/stages.js";
import { compare } from "./driver/compare.js";
import { comparisonHtml } from "./driver/compare-html.js";
import { explore } from "./driver/explore.js";
import { explorationHtml, explorationSvg } from "./driver/explore-charts.js";
import { compile } from "./driver/compile.js";
import { run, simulate, synth } from "./driver/execute.js";
import { runFrames } from "./driver/frames.js";
import { hasDetector, simulateDetector } from "./driver/simulate-frames.js";
import { inspect } from "./driver/inspect.js";
import { verifyBuild, type Verification } from "./driver/manifest.js";
import { writeWhole } from "./driver/atomic.js";
import type { Comparison } from "./driver/comparison.js";
import type {
  Exploration,
  Inspection,
  DesignReport,
  FramesSimulation,
  FramesSummary,
  RunSummary,
  SimulationSummary,
  SynthSummary,
} from "./driver/report.js";
import type {
  CompareOptions,
  CompileOptions,
  ExploreOptions,
  RunFramesOptions,
  RunOptions,
  ShapeOptions,
  SimulateOptions,
  SynthOptions,
} from "./driver/options.js";
import type { Session } from "./driver/session.js";

export { newSession, type Session } from "./driver/session.js";
export { parseAxisWidth } from "./backend-hls/design/port-limits.js";
export { parseBound as parseBoundValue, parseShape, splitNamed } from "./driver/shapes.js";
export { joinExtraPasses, parseExtraPass, STAGES, type ExtraPasses, type Stage } from "./driver/stages.js";
export type { InputFile, Manifest, Verification } from "./driver/manifest.js";
export { optFile, type OptOptions } from "./driver/opt.js";
export { checkTools, tools, type ToolSpec, type ToolStatus } from "./driver/tools.js";
export type * from "./driver/options.js";
export { WIDTHS_CHOICES } from "./driver/options.js";
export type * from "./driver/report.js";
export type { Comparison, LayerComparison, OutputComparison } from "./driver/comparison.js";

/** Compiles `model` into the folder `options.out`. */
export async function compileModel(model: string, options: CompileOptions, session: Session): Promise<DesignReport> {
  return compile(model, options, session);
}

/** Runs the bit-exact model of a compiled design on a data file. */
export async function runDesign(dir: string, options: RunOptions, session: Session): Promise<RunSummary> {
  return run(dir, options, session);
}

/** Locates the peaks of a file of detector frames, through a compiled design's network or the float one of a model. */
export async function runFramesOn(design: string, options: RunFramesOptions, session: Session): Promise<FramesSummary> {
  return runFrames(design, options, session);
}

/** Simulates the Verilog of a compiled design on a data file, and compares with the bit-exact model. */
export async function simulateDesign(
  dir: string,
  options: SimulateOptions,
  session: Session,
): Promise<SimulationSummary> {
  return simulate(dir, options, session);
}

/** Whether the design in a folder has the front end of a sensor: then it takes frames. */
export function takesFrames(dir: string, session: Session): boolean {
  return hasDetector(dir, session);
}

/** Simulates the Verilog of such a design on a file of frames; every record and its cycle is held against the models. */
export async function simulateFramesOn(
  dir: string,
  options: SimulateOptions,
  session: Session,
): Promise<FramesSimulation> {
  return simulateDetector(dir, options, session);
}

/**
 * Runs the float network and a compiled design's fixed-point network side by side; `html` is a file to draw the result
 * to.
 */
export async function compareDesign(
  model: string,
  dir: string,
  options: CompareOptions & { readonly html?: string },
  session: Session,
): Promise<Comparison> {
  const result = compare(model, dir, options, session);
  if (options.html !== undefined) writeWhole(options.html, comparisonHtml(result), session.host);
  return result;
}

/**
 * The designs of a model of which none is worse than another in everything; `out` is a folder, `html` and `svg` are
 * files to draw them to.
 */
export async function exploreModel(
  model: string,
  options: ExploreOptions & { readonly out?: string; readonly html?: string; readonly svg?: string },
  session: Session,
): Promise<Exploration> {
  const result = await explore(model, options, session);
  const write = (path: string | undefined, text: string): void => {
    if (path !== undefined) writeWhole(path, text, session.host);
  };
  const inFolder = (name: string): string | undefined =>
    options.out === undefined ? undefined : join(options.out, name);
  write(inFolder("explore.json"), `${JSON.stringify(result, null, 1)}\n`);
  for (const path of [inFolder("explore.html"), options.html]) write(path, explorationHtml(result));
  for (const path of [inFolder("explore.svg"), options.svg]) write(path, explorationSvg(result));
  return result;
}

/** Synthesizes a compiled design, and on demand places and routes it. */
export async function synthDesign(dir: string, options: SynthOptions, session: Session): Promise<SynthSummary> {
  return synth(dir, options, session);
}

/** What is in a model: operators, shapes, cost, and what is not supported. */
export async function inspectModel(model: string, session: Session, options: ShapeOptions = {}): Promise<Inspection> {
  return inspect(model, session, options);
}

/** Holds every file of a compiled design against its manifest.json. @errors IO001, IO004, IO007 */
export function verifyDesign(dir: string, session: Session): Verification {
  return verifyBuild(dir, session);
}
