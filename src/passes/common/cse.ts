/** Merges operations that compute the same: equal name, operands, attributes and types, and no effect. */
import { fuseLocs, type Block, type Op, type Value } from "../../ir/core.js";
import { hasTrait } from "../../ir/define-op.js";
import { printAttr } from "../../ir/text/printer.js";
import { showType } from "../../ir/types.js";
import { definePass } from "../define-pass.js";

export const cse = definePass({
  name: "cse",
  summary: "Merge operations that compute the same value from the same operands.",
  level: "any",
  semantics: "bit-exact",
  doc: "Operations with regions are left alone, and so is everything that is not `pure`: two registers with the same input stay two registers, which placement may want.",
  example: {
    before:
      "%0 = nn.relu(%x) : (tensor<4xf32>) -> tensor<4xf32>\n%1 = nn.relu(%x) : (tensor<4xf32>) -> tensor<4xf32>\n%2 = nn.add(%0, %1) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>",
    after:
      "%0 = nn.relu(%x) : (tensor<4xf32>) -> tensor<4xf32>\n%1 = nn.add(%0, %0) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>",
  },
  run: (module) => mergeEqual(module.body, undefined),
});

/** Operations by key, of this block and of those around it. */
class Known {
  private readonly ops = new Map<string, Op>();
  constructor(private readonly outer: Known | undefined) {}
  get(key: string): Op | undefined {
    return this.ops.get(key) ?? this.outer?.get(key);
  }
  set(key: string, op: Op): void {
    this.ops.set(key, op);
  }
}

function mergeEqual(block: Block, outer: Known | undefined): void {
  const known = new Known(outer);
  const kept: Op[] = [];
  for (const op of block.ops) {
    const key = keyOf(op);
    const first = key === undefined ? undefined : known.get(key);
    if (first === undefined) {
      if (key !== undefined) known.set(key, op);
      kept.push(op);
      for (const region of op.regions) mergeEqual(region, known);
      continue;
    }
    op.results.forEach((r, i) => {
      const stays = first.results[i]!;
      stays.hint ??= r.hint;
      r.replaceAllUsesWith(stays);
    });
    first.loc = fuseLocs(first.loc, op.loc);
    op.setOperands([]);
    op.parent = undefined;
  }
  block.reorder(kept);
}

function keyOf(op: Op): string | undefined {
  if (op.results.length === 0 || op.regions.length > 0 || !hasTrait(op, "pure")) return undefined;
  const attrs = Object.keys(op.attrs)
    .sort()
    .map((k) => `${k}=${printAttr(op.attrs[k]!)}`);
  const name = (v: Value): number => v.id;
  return [
    op.name,
    op.operands.map(name).join(","),
    attrs.join(";"),
    op.results.map((r) => showType(r.type)).join(","),
  ].join("|");
}
