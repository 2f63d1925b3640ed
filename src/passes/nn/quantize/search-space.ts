/**
 * What the search for widths may choose: one width per layer for its weights, for the tensor that it leaves, and for
 * the argument of a table. Each has a name under which `--precision` states it, so that a choice is nothing but a
 * PrecisionSpec.
 */
import type { Module, Op, Value } from "../../../ir/core.js";
import { strAttr } from "../../../ir/define-op.js";
import { fixedOf, isConstant } from "../../../ir/nn/values.js";
import { costTerms, termCost, type CostTerm } from "./area.js";
import type { BuiltModule } from "./build.js";
import type { TensorStats } from "./calibrate.js";
import { isLinear, isScaling } from "./linear.js";
import type { Plan } from "./plan.js";
import type { LayerPrecision, PrecisionSpec } from "./precision.js";
import { isRelative } from "./tables.js";
import { feedsOutput, passesOn } from "./tensor-roles.js";
import { WIDTH_CONSTANTS } from "./width-constants.js";
import { integerBits } from "./width-facts.js";
import { isView } from "../../../ir/nn/roles.js";

export type WidthKind = "weights" | "activations" | "input";

/** One width to choose. */
export interface WidthVariable {
  /** ONNX node or tensor. */
  readonly name: string;
  readonly kind: WidthKind;
  readonly min: number;
  readonly max: number;
}

/** Widths by variable, in the order of the space. */
export type Widths = readonly number[];

export class SearchSpace {
  readonly variables: readonly WidthVariable[];
  private readonly byWeights = new Map<Op, number>();
  private readonly byTensor = new Map<Value, number>();
  private readonly byFactor = new Map<Op, number>();
  private readonly byTable = new Map<Op, number>();

  /** `tensors`: every float tensor that may be rounded. What `base` states for a layer stays as it is stated. */
  constructor(
    float: Module,
    tensors: readonly Value[],
    stats: ReadonlyMap<Value, TensorStats>,
    private readonly base: PrecisionSpec,
    /**
     * Whether accuracy comes first: constants that multiply activations are chosen as well, and tensors may be as wide
     * as can be stated.
     */
    generous = false,
  ) {
    const found = new Map<string, WidthVariable>();
    const index = new Map<string, number>();
    const variable = (
      name: string,
      kind: WidthKind,
      min: number,
      max: number,
      stated: LayerPrecision | undefined,
    ): number | undefined => {
      if (stated?.[kind] !== undefined || (kind === "activations" && stated?.output !== undefined)) return undefined;
      const key = `${kind} ${name}`;
      if (!found.has(key)) {
        index.set(key, found.size);
        found.set(key, { name, kind, min, max });
      }
      return index.get(key)!;
    };
    const names = nodeNames(float);
    for (const op of float.func.body.ops) {
      if (isLinear(op)) {
        const name = names.get(op) ?? op.result.hint;
        const v =
          name === undefined
            ? undefined
            : variable(name, "weights", WEIGHT_LIMITS[0], WEIGHT_LIMITS[1], statedFor(base, name, op.result));
        if (v !== undefined) this.byWeights.set(op, v);
      }
      if (generous && isScaling(op) && op.result.hint !== undefined) {
        const v = variable(
          op.result.hint,
          "weights",
          WEIGHT_LIMITS[0],
          WEIGHT_LIMITS[1],
          statedFor(base, op.result.hint, op.result),
        );
        if (v !== undefined) this.byFactor.set(op, v);
      }
      if (op.name === "nn.unary" && op.result.hint !== undefined) {
        const v = variable(
          op.result.hint,
          "input",
          TABLE_LIMITS[0],
          isRelative(strAttr(op, "fn")) ? TABLE_LIMITS[1] : TABLE_LIMITS[1] - 2,
          statedFor(base, op.result.hint, op.result),
        );
        if (v !== undefined) this.byTable.set(op, v);
      }
    }
    for (const t of tensors) {
      // Ports of the network keep their width: outputs, and inputs that are integers.
      if (
        feedsOutput(t) ||
        (t.def === undefined &&
          (base.input !== undefined ||
            integerBits(stats.get(t)!, WIDTH_CONSTANTS.integerInputBits.value) !== undefined))
      )
        continue;
      const first = startOf(t);
      const name = (first === undefined ? undefined : names.get(first)) ?? t.hint;
      const stated =
        name === undefined ? undefined : { ...statedFor(base, name, first?.result ?? t), ...statedFor(base, name, t) };
      const v =
        name === undefined || (t.def === undefined && stated?.input !== undefined)
          ? undefined
          : variable(name, "activations", TENSOR_LIMITS[0], generous ? WIDEST : TENSOR_LIMITS[1], stated);
      if (v !== undefined) this.byTensor.set(t, v);
    }
    this.variables = [...found.values()];
  }

  /** The precision that states `widths`. */
  spec(widths: Widths): PrecisionSpec {
    const layers = new Map<string, LayerPrecision>(this.base.layers);
    this.variables.forEach((v, i) => layers.set(v.name, { ...layers.get(v.name), [v.kind]: widths[i]! }));
    return { ...this.base, layers };
  }

  /** The widths that a plan gives, stated one by one. */
  widthsOf(plan: Plan): Widths {
    const widths = this.variables.map((v) => v.min);
    const raise = (i: number, bits: number): void =>
      void (widths[i] = Math.min(this.variables[i]!.max, Math.max(widths[i]!, bits)));
    for (const [op, i] of this.byWeights) raise(i, plan.decidedWeights(op).bits);
    for (const [tensor, i] of this.byTensor) raise(i, plan.decided(tensor).bits);
    for (const [op, i] of this.byFactor) raise(i, plan.decidedFactor(op).bits);
    for (const [op, i] of this.byTable) raise(i, plan.argumentWidth(op));
    return widths;
  }

  /** The variable that decides the width of `tensor` where it is rounded. */
  tensorVariable(tensor: Value): number | undefined {
    return this.byTensor.get(tensor);
  }
  /**
   * The variables that decide how exactly `op` computes: its weights, its table's argument, the common format of what
   * it joins.
   */
  innerVariables(op: Op): number[] {
    return [
      this.byWeights.get(op),
      this.byFactor.get(op),
      this.byTable.get(op),
      op.name === "nn.concat" ? this.byTensor.get(op.result) : undefined,
    ].filter((i) => i !== undefined);
  }

  /** Cost as a function of widths, from a module in which all tensors are rounded. */
  costModel(built: BuiltModule): CostModel {
    const rounded = new Map(built.roundings.map((r) => [r.fixed, r.float]));
    const origin = (v: Value): number | undefined => {
      for (let x = v; ; x = x.def.operand(0)) {
        const float = rounded.get(x);
        if (float !== undefined) return this.byTensor.get(float);
        if (x.def === undefined || !(isView(x.def) || KEEPS_WIDTH.has(x.def.name))) return undefined;
      }
    };
    const originOf = (op: Op | undefined): Op | undefined => (op === undefined ? undefined : built.origins.get(op));
    const variableOf = (t: CostTerm, v: Value): number | undefined => {
      if (t.kind === "table" && v === t.first) return lookup(this.byTable, originOf(t.second.def));
      if (!isConstant(v)) return origin(v);
      const reader = v.uses[0]?.op;
      const op = originOf(reader);
      return lookup(this.byWeights, op) ?? lookup(this.byFactor, op);
    };
    return new CostModel(
      costTerms(built.module).map((t) => ({
        kind: t.kind,
        count: t.count,
        first: variableOf(t, t.first),
        second: variableOf(t, t.second),
        now: [fixedOf(t.first)!.width, fixedOf(t.second)!.width],
      })),
      this.variables.length,
    );
  }
}

function lookup(map: ReadonlyMap<Op, number>, op: Op | undefined): number | undefined {
  return op === undefined ? undefined : map.get(op);
}

/** Least and most bits that are tried. Products of the widest fit one hardware multiplier. */
export const WEIGHT_LIMITS: readonly [number, number] = [2, 16];
export const TENSOR_LIMITS: readonly [number, number] = [2, 18];
/** Of a tensor that can be stated. */
const WIDEST = 24;
/** Of the argument of a table; of a reciprocal two more. */
export const TABLE_LIMITS: readonly [number, number] = [4, 14];

const KEEPS_WIDTH: ReadonlySet<string> = new Set(["nn.relu", "nn.pool", "nn.concat"]);

interface ModelTerm {
  readonly kind: CostTerm["kind"];
  readonly count: number;
  /** Variable that decides the width, or undefined where it is `now`. */
  readonly first: number | undefined;
  readonly second: number | undefined;
  readonly now: readonly [number, number];
}

export class CostModel {
  private readonly touching: readonly (readonly ModelTerm[])[];

  constructor(
    private readonly terms: readonly ModelTerm[],
    variables: number,
  ) {
    this.touching = Array.from({ length: variables }, (_, i) => terms.filter((t) => t.first === i || t.second === i));
  }

  total(widths: Widths): number {
    return sum(this.terms, widths);
  }
  /** Cost of all terms that depend on variable `i`, at width `at`. */
  of(widths: Widths, i: number, at = widths[i]!): number {
    return sum(this.touching[i]!, widths, i, at);
  }
}

function sum(terms: readonly ModelTerm[], widths: Widths, i = -1, at = 0): number {
  const width = (v: number | undefined, now: number): number => (v === undefined ? now : v === i ? at : widths[v]!);
  return terms.reduce((n, t) => n + termCost(t.kind, t.count, width(t.first, t.now[0]), width(t.second, t.now[1])), 0);
}

function statedFor(base: PrecisionSpec, name: string, v: Value): LayerPrecision {
  let found: LayerPrecision = {};
  for (const n of [...(v.def?.loc.nodes ?? []), v.hint, name])
    if (n !== undefined) found = { ...found, ...base.layers.get(n) };
  return found;
}

/** The ONNX nodes of layers with weights, where the node is one such layer and nothing that has another role. */
function nodeNames(float: Module): Map<Op, string> {
  const byNode = new Map<string, Op | undefined>();
  for (const op of float.func.body.ops) {
    const node = op.loc.nodes[0];
    if (node === undefined || !isLinear(op)) continue;
    byNode.set(node, byNode.has(node) ? undefined : op);
  }
  return new Map([...byNode].flatMap(([node, op]) => (op === undefined ? [] : [[op, node] as const])));
}

/** The layer with weights whose exact result goes on, unread by others, to the rounding of `v`. */
function startOf(v: Value): Op | undefined {
  if (v.def === undefined) return undefined;
  if (isLinear(v.def)) return v.def;
  if (!passesOn(v.def)) return undefined;
  for (const x of v.def.operands) {
    if (x.def === undefined || isConstant(x) || x.uses.length !== 1) continue;
    const start = startOf(x);
    if (start !== undefined) return start;
  }
  return undefined;
}
