/** Questions about nn operations that their records answer, those of operations that a program adds too. */
import type { Module, Op } from "../core.js";
import { hasTrait, roleOf } from "../define-op.js";

/** Whether `op` moves the elements of its one operand, or adds a border: format and meaning pass through. */
export function isView(op: Op): boolean {
  return roleOf(op) === "view";
}

/** Whether `op` is a view whose elements all are the operand's. */
export function isMove(op: Op): boolean {
  return isView(op) && hasTrait(op, "moves");
}

/** Whether `op` makes integers of a quantized model: on its grid, or from a table of such. */
export function makesCodes(op: Op): boolean {
  return op.name === "nn.round" || op.name === "nn.lookup";
}

/** Whether a model was quantized before it was imported: it rounds to a grid of its own. */
export function isQuantizedModel(module: Module): boolean {
  return module.func.body.ops.some((op) => op.name === "nn.round");
}
