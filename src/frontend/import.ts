/** ONNX -> nn: reads the graph, folds what is constant, and reports everything that is not supported at once. */
import type { Module } from "../ir/core.js";
import { printable, UserError, type Sink } from "../diagnostics/index.js";
import { decodeModel, type ModelProto } from "./onnx-proto.js";
import type { GivenShapes } from "./shapes.js";
import { OPSETS } from "./versions.js";
import type { GraphSummary } from "./graph-summary.js";
import { Importer } from "./importer.js";

export { OPSETS };

/** Imports a model, its inputs in the shapes that are stated; `undefined` where errors were reported to the sink. */
export function importOnnx(bytes: Uint8Array, file: string, sink: Sink, given: GivenShapes = {}): Module | undefined {
  try {
    return new Importer(decode(bytes, file), file, sink, given).run();
  } catch (e) {
    if (!(e instanceof UserError)) throw e;
    sink.diagnostics.push(...e.diagnostics);
    return undefined;
  }
}

/**
 * Reads as much of a model as can be read: nodes that fail carry the reason, and what depends on them is not reached.
 */
export function summarizeOnnx(
  bytes: Uint8Array,
  file: string,
  sink: Sink,
  given: GivenShapes = {},
): GraphSummary | undefined {
  try {
    return new Importer(decode(bytes, file), file, sink, given).summarize();
  } catch (e) {
    if (!(e instanceof UserError)) throw e;
    sink.diagnostics.push(...e.diagnostics);
    return undefined;
  }
}

function decode(bytes: Uint8Array, file: string): ModelProto {
  if (bytes.length === 0) throw UserError.of("ON001", { reason: "the file is empty" }, { file });
  let model: ModelProto;
  try {
    model = decodeModel(bytes);
  } catch (e) {
    throw UserError.of("ON001", { reason: parseProblem(e instanceof Error ? e.message : String(e)) }, { file });
  }
  if (model.graph == null || (model.graph.node.length === 0 && model.graph.output.length === 0))
    throw UserError.of("ON001", { reason: "it holds no graph" }, { file });
  return model;
}

function parseProblem(message: string): string {
  if (/utf-8/i.test(message)) return "it does not parse as a protobuf: a name in it is not valid UTF-8";
  return `it does not parse as a protobuf: ${printable(message, 200)}`;
}
