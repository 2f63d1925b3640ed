/**
 * Which nodes of a quantized model compute with its own integers, and why others do not: what `integerize` found while
 * it worked.
 */
import { ContextKey } from "../../pass-context.js";
import type { Module, Op, Value } from "../../../ir/core.js";
import { EXACT } from "./scaled.js";
import { constantOf } from "../../../ir/nn/values.js";

/** Where the pass leaves its record, in the pass context; absent for models that are not quantized. */
export const INTEGER_RECORD = new ContextKey<IntegerRecord>("a record of integers");

/** A node that computes with real numbers, which `quantize` brings to formats of its own. */
export interface RealNode {
  readonly name: string;
  readonly opType: string;
  readonly reason: string;
  /** Whether the cause lies in this node; others read what such nodes compute. */
  readonly cause: boolean;
}

export interface IntegerRecord {
  /** In the order of the graph. */
  readonly real: readonly RealNode[];
  /** Inputs of the graph that are read as real numbers although they are rounded further on. */
  readonly inputs: readonly string[];
}

/**
 * Reads the record off the module that is left.
 * @param reasons why an operation on integers could not stay one
 */
export function recordOf(module: Module, original: ReadonlySet<Op>, reasons: ReadonlyMap<Op, string>): IntegerRecord {
  const { ops, args, terminator } = module.func.body;
  const live = new Set<Op>([terminator]);
  for (const op of [...ops].reverse())
    if (live.has(op)) op.operands.forEach((v) => v.def !== undefined && live.add(v.def));
  const real = new Map<string, RealNode>();
  const computes = (op: Op): boolean =>
    live.has(op) &&
    original.has(op) &&
    op.attrs[EXACT] !== true &&
    op.name !== "nn.constant" &&
    op.name !== "nn.round" &&
    op.name !== "return";
  // A factor between a real input and its rounding is the host's.
  const inFront = (op: Op): boolean =>
    op.name === "nn.mul" &&
    op.operand(0).def === undefined &&
    op.result.uses.filter((u) => live.has(u.op)).every((u) => u.op.name === "nn.round");
  for (const op of ops) {
    if (!computes(op) || inFront(op)) continue;
    const name = op.loc.nodes[0] ?? op.result.hint ?? op.name;
    const reason = reasons.get(op);
    if (real.get(name)?.cause === true || (real.has(name) && reason === undefined)) continue;
    real.set(name, {
      name,
      opType: op.loc.opType ?? op.name,
      reason: reason ?? `it reads real numbers: ${sourceOf(op, computes)}`,
      cause: reason !== undefined,
    });
  }
  const names = module.func.attrs["inputs"] as readonly string[];
  const inputs = args.flatMap((a, i) =>
    a.uses.some((u) => live.has(u.op) && !isRounded(u.op, live)) ? [names[i]!] : [],
  );
  return { real: [...real.values()], inputs };
}

function isRounded(op: Op, live: ReadonlySet<Op>): boolean {
  if (op.name === "nn.round") return true;
  return (
    op.name === "nn.mul" &&
    constantOf(op.operand(1))?.data.length === 1 &&
    op.result.uses.every((u) => !live.has(u.op) || u.op.name === "nn.round")
  );
}

/** What the real numbers come from: the nearest node or input. */
function sourceOf(op: Op, computes: (op: Op) => boolean): string {
  for (const v of op.operands) {
    if (constantOf(v) !== undefined) continue;
    if (v.def === undefined) return `input "${v.hint ?? ""}"`;
    if (computes(v.def)) return `"${nodeOf(v)}"`;
  }
  return "the model does not quantize them";
}
function nodeOf(v: Value): string {
  return v.def!.loc.nodes[0] ?? v.hint ?? v.def!.name;
}
