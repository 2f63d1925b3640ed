/** What is in a model, as data: operators, shapes, cost, and what is not supported, and where. */
import { denseAttr } from "../ir/define-op.js";
import type { Op } from "../ir/core.js";
import { elementCount } from "../ir/types.js";
import type { Sink } from "../diagnostics/index.js";
import { shapeOf } from "./context.js";
import { summarizeOnnx } from "./import.js";
import type { GivenShapes } from "./shapes.js";

export interface InspectedNode {
  readonly name: string;
  readonly op_type: string;
  readonly output_shape: readonly number[];
  /** Multiply-accumulates per sample. */
  readonly macs: number;
  readonly parameters: number;
  readonly supported: boolean;
  readonly reason?: string;
  /**
   * In a quantized model: whether the node computes with the model's own integers, or with formats that the compiler
   * chooses.
   */
  readonly arithmetic?: "integers" | "real";
  /** Why it is "real". */
  readonly arithmetic_reason?: string;
}

export interface InspectedModel {
  readonly model: string;
  readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly outputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly nodes: readonly InspectedNode[];
  readonly macs: number;
  readonly parameters: number;
}

/** Undefined where the file is no ONNX model; then the sink says why. */
export function inspectOnnx(
  bytes: Uint8Array,
  file: string,
  sink: Sink,
  given: GivenShapes = {},
): InspectedModel | undefined {
  const summary = summarizeOnnx(bytes, file, sink, given);
  if (summary === undefined) return undefined;
  const nodes = summary.nodes.map(
    (n): InspectedNode => ({
      name: n.name,
      op_type: n.opType,
      output_shape: n.outputShape,
      macs: n.ops.reduce((sum, op) => sum + macsOf(op), 0),
      parameters: n.ops.reduce(
        (sum, op) => sum + (op.name === "nn.constant" ? denseAttr(op, "value").data.length : 0),
        0,
      ),
      supported: n.reason === undefined,
      ...(n.reason !== undefined && { reason: n.reason }),
    }),
  );
  const total = (key: "macs" | "parameters"): number => nodes.reduce((sum, n) => sum + n[key], 0);
  return {
    model: file,
    inputs: summary.inputs,
    outputs: summary.outputs,
    nodes,
    macs: total("macs"),
    parameters: total("parameters"),
  };
}

function macsOf(op: Op): number {
  const out = elementCount(shapeOf(op.results[0]!));
  if (op.name === "nn.conv") return out * elementCount(shapeOf(op.operand(1)).slice(1));
  if (op.name === "nn.matmul") {
    const a = shapeOf(op.operand(0));
    return out * a[a.length - 1]!;
  }
  return 0;
}
