/**
 * Removes operations whose results nobody reads. Liveness is traced from the operations with effects, so that dead
 * cycles of a graph region go as well.
 */
import { walk, type Block, type Op } from "../../ir/core.js";
import { hasTrait } from "../../ir/define-op.js";
import { definePass } from "../define-pass.js";

export const dce = definePass({
  name: "dce",
  summary: "Remove operations without effect whose results are not used.",
  level: "any",
  semantics: "bit-exact",
  example: {
    before: "%0 = nn.relu(%x) : (tensor<4xf32>) -> tensor<4xf32>\nreturn(%x) : (tensor<4xf32>) -> ()",
    after: "return(%x) : (tensor<4xf32>) -> ()",
  },
  run: (module) => removeDead(module.body),
});

/** Removes the dead operations of `block` and of the regions in it. Top-level operations are always alive. */
export function removeDead(block: Block): void {
  const alive = new Set<Op>();
  const todo: Op[] = [];
  const enliven = (op: Op): void => {
    if (alive.has(op)) return;
    alive.add(op);
    todo.push(op);
  };
  for (const op of block.ops) if (block.parentOp === undefined || !hasTrait(op, "pure")) enliven(op);
  for (let op = todo.pop(); op !== undefined; op = todo.pop()) {
    for (const v of op.operands) if (v.def !== undefined) enliven(v.def);
    for (const region of op.regions) for (const inner of region.ops) if (!hasTrait(inner, "pure")) enliven(inner);
  }
  sweep(block, alive);
}

function sweep(block: Block, alive: ReadonlySet<Op>): void {
  const dead = block.ops.filter((op) => !alive.has(op));
  // Operands first: dead operations may use each other in a cycle.
  for (const op of dead) {
    op.setOperands([]);
    for (const region of op.regions) walk(region, (inner) => inner.setOperands([]));
  }
  block.reorder(block.ops.filter((op) => alive.has(op)));
  for (const op of dead) op.parent = undefined;
  for (const op of block.ops) for (const region of op.regions) sweep(region, alive);
}
