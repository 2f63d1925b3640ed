/**
 * Public API: compile from a program, work on the IR, and add passes, operations and lowerings.
 *
 * @example
 * ```ts
 * import { definePass, registerPass, applyRules } from "onnx-hls";
 * registerPass(definePass({ name: "drop-relu-of-relu", summary: "...", level: "nn", semantics: "bit-exact",
 *   run: (module) => applyRules(module, [rule]) }));
 * ```
 */
import "./ir/dialects.js";

export * from "./driver.js";
export { nodeHost, type Host } from "./host.js";
export {
  CompilerBug,
  renderDiagnostic,
  Sink,
  UserError,
  type Code,
  type Diagnostic,
  type Place,
  type Severity,
} from "./diagnostics/index.js";

export * from "./ir/types.js";
export * from "./ir/affine.js";
export * from "./ir/attributes.js";
export * from "./ir/core.js";
export * from "./ir/define-op.js";
export { parseModule, type ParseOptions } from "./ir/text/parser.js";
export { printModule, printOp, printAttr, type PrintOptions } from "./ir/text/printer.js";
export { assertValid, findProblems, verifyModule, type Problem } from "./ir/verify.js";

export { bool, choice, definePass, int, number, text, words } from "./passes/define-pass.js";
export type {
  Level,
  OptionSpec,
  OptionSpecs,
  OptionsOf,
  OptionValue,
  Pass,
  PassDef,
  Predicate,
} from "./passes/define-pass.js";
export { PassContext } from "./passes/pass-context.js";
export {
  levelOf,
  PassFailure,
  PassManager,
  type Evaluator,
  type PassTiming,
  type PipelineResult,
  type RunOptions as PipelineOptions,
} from "./passes/pass-manager.js";
export { parsePipeline, printPipeline, type PipelineItem } from "./passes/pipeline-spec.js";
export { PassRegistry, passRegistry, registerPass, type PipelineAlias } from "./passes/registry.js";
export { applyRules, replaceResult, type Rule } from "./passes/rewrite.js";

export { importOnnx } from "./frontend/import.js";
export {
  readArrays,
  readNpy,
  writeNpy,
  writeNpz,
  matchInputs,
  type NumericArray,
  type OutputArray,
} from "./frontend/npz.js";
export { correct, type Corrected, type Planes } from "./sensor/correct.js";
export { cDecoder, pythonDecoder } from "./sensor/decoders.js";
export { findPeaks, type Found, type Peak } from "./sensor/find.js";
export { busyFramesModule, frontEndModule } from "./sensor/front-end.js";
export { loadPlanes, openFrames, type FrameSource } from "./sensor/input.js";
export { parseSensor, sensorFrom, type SensorInput } from "./sensor/read-sensor.js";
export { packRecord, readRecords, recordBytes, unpackRecord, type SensorRecord } from "./sensor/records.js";
export type { Component, Dark, Dispersion, LocalMaximum, PositionOutput, Sensor } from "./sensor/sensor.js";
export { prepareNnFixed, type FixedProgram } from "./ir/eval/nn-fixed.js";
export { registerOnnxOp } from "./frontend/operators/index.js";
export type { NodeContext, OperatorImporter } from "./frontend/context.js";
export { registerLowering } from "./passes/lower/nn-to-flow.js";
export {
  along,
  at0,
  BodyBuilder,
  type Access,
  type Index,
  type KernelRequest,
  type LoweringContext,
} from "./passes/lower/context.js";
