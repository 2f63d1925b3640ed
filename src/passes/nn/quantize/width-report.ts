/** The widths of a quantized network as they are reported: what has which width, and which rule has set it. */
import type { Module, Value } from "../../../ir/core.js";
import { showType } from "../../../ir/types.js";
import { EXACT } from "../integerize.js";
import type { Rounding } from "./fixed-values.js";
import { isScaling } from "./linear.js";
import type { Plan } from "./plan.js";
import type { PrecisionSpec } from "./precision.js";
import type { DecidedWidth, WIDTH_RULES } from "./width-rules.js";

export interface WidthEntry {
  /** ONNX tensor, or the ONNX node of a layer with weights, of a product by a constant, or of a function. */
  readonly name: string;
  readonly kind: keyof typeof WIDTH_RULES;
  readonly bits: number;
  /** Name of the rule among those of its kind; `model` where the integers are those of a quantized model. */
  readonly rule: string;
  /** Of a factor without the bits by which its elements differ, of an argument the widest of its tables. */
  readonly format?: string;
}

/** The integers of a quantized model have the widths that the model gives them. */
export const MODEL_RULE = "model";

/** Who has stated the widths of a precision: the user some, and what is named here the others. */
export interface ChosenWidths {
  readonly by: "search" | "budget" | "cure";
  /** By the user. */
  readonly stated: PrecisionSpec;
}

/** Tensors in the order in which they are rounded, then what operations have of their own, in program order. */
export function widthEntries(
  float: Module,
  plan: Plan,
  roundings: readonly Rounding[],
  chosen?: ChosenWidths,
): WidthEntry[] {
  const byUser = chosen === undefined ? undefined : plan.withPrecision(chosen.stated);
  const ruleOf = (of: (p: Plan) => DecidedWidth): string => {
    const { rule, stated } = of(plan);
    return chosen === undefined || byUser === undefined || !stated || of(byUser).stated ? rule : chosen.by;
  };
  const tensors = roundings.map(({ float: v, type }): WidthEntry => {
    const { bits } = plan.decided(v);
    const rule = ruleOf((p) => p.decided(v));
    // What the model rounds by itself asks no rule.
    const own = v.def?.name === "nn.round" || v.def?.attrs[EXACT] === true || bits !== type.width;
    return { name: nameOf(v), kind: "tensor", bits: type.width, rule: own ? MODEL_RULE : rule, format: showType(type) };
  });
  const operations = float.func.body.ops.flatMap((op): WidthEntry[] => {
    if (op.attrs[EXACT] === true) return [];
    const name = op.loc.nodes[0] ?? op.results[0]?.hint ?? op.name;
    const weights = plan.weights.get(op);
    if (weights !== undefined) {
      const rule = ruleOf((p) => p.decidedWeights(op));
      return [{ name, kind: "weights", bits: weights.type.width, rule, format: showType(weights.type) }];
    }
    if (isScaling(op)) {
      return [{ name, kind: "factor", bits: plan.decidedFactor(op).bits, rule: ruleOf((p) => p.decidedFactor(op)) }];
    }
    if (op.name !== "nn.unary") return [];
    const rule = ruleOf((p) => p.decidedArgument(op));
    return [{ name, kind: "argument", bits: plan.argumentWidth(op), rule }];
  });
  return [...tensors, ...operations];
}

function nameOf(v: Value): string {
  return v.hint ?? v.def?.loc.nodes[0] ?? `%${v.id}`;
}
