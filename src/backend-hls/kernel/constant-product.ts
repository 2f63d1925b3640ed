/** A product by a constant of a body: shifted additions, as few as its signed digits allow. */
import { present } from "../../ir/present.js";
import type { Op } from "../../ir/core.js";
import { intAttr } from "../../ir/define-op.js";
import { fxConstant } from "../../ir/fx/index.js";
import { outerRange, type FixedType } from "../../ir/types.js";
import type { AdderGraph } from "./adder-graph.js";
import { buildAdderGraph } from "./build-adder-graph.js";

const known = new Map<string, AdderGraph>();

/** The graph of `op`, an fx.mul with a constant factor, and which operand varies. */
export function productByConstant(op: Op): { readonly varying: number; readonly graph: AdderGraph } {
  const varying = fxConstant(op.operand(0)) !== undefined ? 1 : 0;
  const factor = intAttr(present(op.operand(1 - varying).def, "def"), "raw");
  const range = outerRange(op.operand(varying).type as FixedType);
  const key = `${factor}:${range.lo}:${range.hi}`;
  let graph = known.get(key);
  if (graph === undefined) known.set(key, (graph = buildAdderGraph([[factor]], [range])));
  return { varying, graph };
}
