/**
 * Infinite constants of a network: a mask in front of a softmax may hold them, and a choice, but nothing that computes.
 */
import type { Module, Value } from "../ir/core.js";
import { denseAttr } from "../ir/define-op.js";
import { checkNumbers } from "./context.js";

/** Operations through which a mask reaches its softmax. */
const HANDS_ON: ReadonlySet<string> = new Set([
  "nn.add",
  "nn.sub",
  "nn.mul",
  "nn.neg",
  "nn.max",
  "nn.min",
  "nn.clip",
  "nn.reshape",
  "nn.transpose",
  "nn.slice",
  "nn.gather",
  "nn.broadcast",
  "nn.concat",
  "nn.pad",
]);

/** Refuses infinite constants that no softmax takes away. @errors ON011 */
export function checkInfinities(module: Module, file: string): void {
  for (const op of module.func.body.ops) {
    if (op.name !== "nn.constant") continue;
    const { shape, data } = denseAttr(op, "value");
    const numbers = Float64Array.from(data);
    if (numbers.every((v) => Number.isFinite(v)) || isTakenAway(op.result, new Set())) continue;
    checkNumbers({ shape, data: numbers, integer: false }, op.result.hint ?? "a constant", file, true);
  }
}

function isTakenAway(v: Value, seen: Set<Value>): boolean {
  if (seen.has(v)) return true;
  seen.add(v);
  return v.uses.every(({ op, index }) => {
    if (op.name === "nn.softmax") return true;
    // Chosen in the place of something finite, it is the lowest or highest value of that one's format.
    if (op.name === "nn.select_neg")
      return index > 0 && (op.operand(3 - index).def?.name !== "nn.constant" || isTakenAway(op.result, seen));
    // A bound that bounds nothing.
    const other = op.operands[1 - index];
    if (
      (op.name === "nn.max" || op.name === "nn.min") &&
      other?.def?.name !== "nn.constant" &&
      isBound(v, op.name === "nn.max" ? -Infinity : Infinity)
    )
      return true;
    return HANDS_ON.has(op.name) && isTakenAway(op.result, seen);
  });
}

/** Whether the infinities of a constant are all of this sign. */
function isBound(v: Value, none: number): boolean {
  return (
    v.def?.name === "nn.constant" &&
    Array.from(denseAttr(v.def, "value").data).every((x) => Number.isFinite(x) || x === none)
  );
}
