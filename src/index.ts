/**
 * Public API: compile from a program, work on the IR at its levels, and add operators, operations, passes and devices.
 *
 * - Compiling, running, simulating, synthesizing: `compileModel` and its neighbours take a file, options and a `Session`, and
 *   give the records that `report.json` has. Units are in names: `clockMhz` MHz, `latency` and `interval` cycles.
 * - The IR: `Module`, `Op`, `Value`, types and attributes; `parseModule`, `printModule`, `verifyModule`.
 * - What programs mean: `prepareNn` (real numbers), `prepareNnFixed` and `prepareFlow` (raw integers, value = raw * 2^-frac),
 *   `RtlSimulator` (clock edge by clock edge). The last three agree bit for bit.
 * - Hardware by hand: `RtlModuleBuilder` and `writeVerilog`.
 * - Extending: `registerOnnxOp`, `registerOp`, `registerLowering`, `registerPass`, `registerDevice`; CONTRIBUTING.md shows each.
 *
 * `test/golden/public-api.txt` records names and signatures.
 *
 * @example
 * ```ts
 * import { compileModel, newSession } from "onnx-hls";
 * const report = await compileModel("model.onnx", { out: "build", calib: "data.npz" }, newSession());
 * const cyclesPerSample = report.initiation_interval;
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
export * from "./ir/fixed-arith.js";
export { defineNn, everywhere, type NnOp, type NnOpDef } from "./ir/nn/record.js";
export { broadcastShapes, checkShape, rangedOf, typed } from "./ir/nn/typing.js";
export { constantOf, fixedOf, isConstant, shapeOf, tensorType, valuesOfDense } from "./ir/nn/values.js";
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

/** Reference interpreters, from the network in real numbers to hardware clock by clock. */
export { prepareNn, prepareNnFixed, type FixedProgram, type NnProgram } from "./ir/eval/nn-fixed.js";
export { prepareFlow, type FlowProgram } from "./ir/eval/flow.js";
export { RtlSimulator } from "./ir/eval/rtl-sim.js";

/** Hardware: modules built by a program, and as Verilog text, one file each. */
export { RtlModuleBuilder, s, u, type MemoryOptions, type Port, type StorageStyle } from "./ir/rtl/builder.js";
export { rtlOps, type RtlName } from "./ir/rtl/index.js";
export { fxOps, type FxName } from "./ir/fx/index.js";
export { writeVerilog } from "./backend-verilog/write-verilog.js";

/** Devices: capacities, delays in ns, and the family that says how operations map to cells. */
export { findDevice, knownDevices, registerDevice, type Device, type Timing } from "./backend-hls/device/devices.js";
export { families, type Family } from "./backend-hls/device/family.js";

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
export { lookupOnnxOp, onnxOperators, registerOnnxOp } from "./frontend/operators/index.js";
export type { NodeContext, OperatorImporter } from "./frontend/context.js";
export { registerLowering } from "./passes/lower/operators.js";
export { elementwise, type Lowering } from "./passes/lower/elementwise.js";
export {
  along,
  at0,
  BodyBuilder,
  type Access,
  type Index,
  type KernelRequest,
  type LoweringContext,
} from "./passes/lower/context.js";
