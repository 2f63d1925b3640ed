/** Quantized models: which nodes compute with the model's own integers, as data and as a warning. */
import { printable, type Sink } from "../diagnostics/index.js";
import type { InspectedNode } from "../frontend/inspect.js";
import type { Module } from "../ir/core.js";
import { INTEGER_RECORD, type RealNode } from "../passes/nn/integerize/record.js";
import type { PassContext } from "../passes/pass-context.js";
import type { IntegersReport } from "./report.js";

/** Most nodes that a message names. */
const LISTED = 8;

/** What `integerize` found; undefined for models that are not quantized. */
export function integersReport(context: PassContext): IntegersReport | undefined {
  const record = context.get(INTEGER_RECORD);
  return (
    record && {
      real_nodes: record.real.map((n) => ({ node: n.name, op_type: n.opType, reason: n.reason, cause: n.cause })),
      real_inputs: record.inputs,
    }
  );
}

/** Says which nodes of a quantized model fall back to rounding, and why. */
export function warnOfRealNodes(context: PassContext, sink: Sink): void {
  const record = context.get(INTEGER_RECORD);
  if (record === undefined || record.real.length === 0) return;
  const causes = record.real.filter((n) => n.cause);
  const first = causes.length > 0 ? causes : record.real;
  const show = (n: RealNode): string => `${printable(n.name, 60)} (${printable(n.opType, 40)}): ${n.reason}`;
  const rest = record.real.length - Math.min(LISTED, first.length);
  sink.report("QU014", {
    count: record.real.length,
    list: `${first.slice(0, LISTED).map(show).join("; ")}${rest > 0 ? `; and ${rest} more` : ""}`,
  });
}

/**
 * The nodes with what they compute with; nodes that compute nothing (constants, changes of shape) are left as they are.
 */
export function withArithmetic(
  nodes: readonly InspectedNode[],
  network: Module,
  context: PassContext,
): InspectedNode[] {
  const record = context.get(INTEGER_RECORD);
  if (record === undefined) return [...nodes];
  const computing = new Set(
    network.func.body.ops.filter((op) => op.name !== "nn.constant").flatMap((op) => op.loc.nodes),
  );
  // Nodes of a function are named behind the node that calls it.
  const of = (name: string, other: string): boolean => other === name || other.startsWith(`${name}/`);
  return nodes.map((n) => {
    const real = record.real.find((r) => of(n.name, r.name));
    if (real !== undefined) return { ...n, arithmetic: "real", arithmetic_reason: real.reason };
    return [...computing].some((c) => of(n.name, c)) ? { ...n, arithmetic: "integers" } : n;
  });
}
