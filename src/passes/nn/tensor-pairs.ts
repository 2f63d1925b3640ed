/**
 * Which tensor of the float network a tensor of the fixed-point network stands for. The pass `quantize` writes it to
 * the operation that rounds, so that it survives the textual form, in which names are simplified.
 */
import type { Module, Value } from "../../ir/core.js";
import { shapeOf, isConstant } from "../../ir/nn/values.js";
import { portScale } from "../../ir/port-scales.js";
import { NameScopes, sanitizeHint } from "../../ir/text/printer.js";
import { makesCodes } from "../../ir/nn/roles.js";
import { hasTrait, roleOf } from "../../ir/define-op.js";

/** Attribute of a rounding operation: the name in text of the float tensor that its result stands for. */
export const FLOAT_TENSOR = "quantize.tensor";

/** Names in text of all tensors of a module; they are unique. */
export function tensorNames(module: Module): NameScopes {
  const names = new NameScopes();
  names.define(tensorsOf(module));
  return names;
}

function tensorsOf(module: Module): Value[] {
  const { args, ops } = module.func.body;
  return [...args, ...ops.flatMap((op) => op.results)];
}

/**
 * Fixed-point tensors that are compared, in program order, with their float counterparts: the inputs, and the results
 * of roundings (nn.quantize, nn.unary, nn.round, nn.lookup). Everything between them is exact. Where that is not said
 * (integers of a network that was quantized before it was imported, modules made by hand), tensors of the same name
 * belong together, if there is one of that name only.
 */
export function pairTensors(float: Module, fixed: Module): Map<Value, Value> {
  const names = tensorNames(float);
  const byText = new Map<string, Value>();
  const byHint = new Map<string, Value | undefined>();
  for (const v of tensorsOf(float)) {
    if (isConstant(v)) continue;
    byText.set(names.get(v), v);
    const hint = sanitizeHint(v.hint);
    if (hint !== undefined) byHint.set(hint, byHint.has(hint) ? undefined : v);
  }
  const states = fixed.func.body.ops.some((op) => op.attrs[FLOAT_TENSOR] !== undefined);
  const size = (v: Value): number => shapeOf(v).reduce((n, d) => n * d, 1);
  const pairs = new Map<Value, Value>();
  const taken = new Set<Value>(float.func.body.args);
  // A port that takes integers has a scale of its own; the rounding to these integers is compared behind it.
  fixed.func.body.args.forEach(
    (a, i) => void (portScale(fixed.func, "input_scales", i) === 1 && pairs.set(a, float.func.body.args[i]!)),
  );
  for (const op of fixed.func.body.ops) {
    const role = roleOf(op);
    if (role !== "rounding" && !(role === "table" && hasTrait(op, "elementwise"))) continue;
    const isInteger = makesCodes(op);
    const stated = op.attrs[FLOAT_TENSOR];
    const hint = sanitizeHint(op.result.hint);
    const partner =
      typeof stated === "string"
        ? byText.get(stated)
        : (states && !isInteger) || hint === undefined
          ? undefined
          : byHint.get(hint);
    if (partner !== undefined && !taken.has(partner) && size(partner) === size(op.result)) {
      taken.add(partner);
      pairs.set(op.result, partner);
    }
  }
  return pairs;
}
