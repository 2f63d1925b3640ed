/**
 * What a tensor is for, read off the operations around it: the questions that the rules for widths ask of the network
 * alone, whatever the samples and the precision are.
 */
import type { Op, Value } from "../../../ir/core.js";
import { numAttr, strAttr, decidesBySign, roleOf } from "../../../ir/define-op.js";
import { constantOf, valuesOfDense, isConstant } from "../../../ir/nn/values.js";
import { typeOfRange, type FixedType } from "../../../ir/types.js";
import { spreadBits } from "./formats.js";
import { isRelative, isSteep } from "./tables.js";
import * as nn from "../../../ir/nn/ops.js";
import { isView } from "../../../ir/nn/roles.js";

/**
 * Operations whose operand goes on unrounded, so that what is stated for the operation in front counts for their
 * result.
 */
export function passesOn(op: Op): boolean {
  const role = roleOf(op);
  if (role === "aligned") return !op.operands.some((_, i) => decidesBySign(op, i));
  return role === "view" || (role === "exact" && !makesWhole(op));
}

/** Whether `op` makes an integer, or a phase, of a number. */
function makesWhole(op: Op): boolean {
  return op.name === nn.whole.name || op.name === nn.fraction.name;
}

/** `v` in front of what only moves it. */
function behindViews(v: Value): Op | undefined {
  let x = v;
  while (x.def !== undefined && isView(x.def)) x = x.def.operand(0);
  return x.def;
}

/** The range of integers that an input is limited to wherever it is read: rows of a table. Undefined for others. */
export function integerLimits(v: Value): FixedType | undefined {
  const limits: { lo: number; hi: number }[] = [];
  for (const { op } of v.uses) {
    const [lo, hi] = [numAttr(op, "lo", -Infinity), numAttr(op, "hi", Infinity)];
    if (op.name !== "nn.whole" || op.attrs["mode"] !== "trunc" || !Number.isFinite(lo) || !Number.isFinite(hi))
      return undefined;
    limits.push({ lo, hi });
  }
  if (limits.length === 0) return undefined;
  return typeOfRange({ lo: Math.min(...limits.map((l) => l.lo)), hi: Math.max(...limits.map((l) => l.hi)) }, 0);
}

/** Whether an integer or a phase is made of `v`, through what only shifts, turns or moves it. */
export function feedsWhole(v: Value): boolean {
  return v.uses.some(({ op, index }) => {
    if (makesWhole(op)) return true;
    const shifts =
      (op.name === "nn.add" || op.name === "nn.sub" || op.name === "nn.mul") && isConstant(op.operand(1 - index));
    return (shifts || op.name === "nn.neg" || op.name === "nn.abs" || isView(op)) && feedsWhole(op.result);
  });
}

/** Whether `v` reaches an output of the network through views alone. */
export function feedsOutput(v: Value): boolean {
  return v.uses.some(({ op }) => op.name === "return" || (isView(op) && feedsOutput(op.result)));
}

/** Whether `v` is a sum of trees, exact to far more bits than layers are. */
export function isEnsemble(v: Value): boolean {
  return (
    v.def?.name === "nn.trees" ||
    (v.def !== undefined && (isView(v.def) || v.def.name === "nn.neg") && isEnsemble(v.def.operand(0)))
  );
}

/**
 * The roots and reciprocals whose argument are sums of `v`: squares below a normalisation. None where `v` is read
 * elsewhere too.
 */
export function steepBelow(v: Value): Op[] {
  const found = v.uses.map(({ op, index }): Op[] => {
    if (op.name === "nn.unary") return isSteep(strAttr(op, "fn")) ? [op] : [];
    const other = op.operands[1 - index];
    const byConstant = (op.name === "nn.mul" || op.name === "nn.add" || op.name === "nn.max") && isConstant(other);
    return byConstant || op.name === "nn.reduce" || isView(op) ? steepBelow(op.result) : [];
  });
  return found.some((f) => f.length === 0) ? [] : found.flat();
}

/** What is added to `v` so that it never is zero; 0 where nothing is. */
export function epsilonOf(v: Value): number {
  const { def } = v;
  if (def === undefined) return 0;
  if (isView(def)) return epsilonOf(def.operand(0));
  if (def.name !== "nn.add" && def.name !== "nn.max") return 0;
  const constants = def.operands.flatMap((o) => constantOf(o) ?? []).flatMap((c) => [...valuesOfDense(c)]);
  return constants.length === 0 ? 0 : Math.max(0, Math.min(...constants));
}

/** The roots whose reciprocal is a factor of `v`. */
export function scalingRoots(v: Value): Op[] {
  const rootOf = (x: Value): Op[] => {
    const def = behindViews(x);
    return def?.name === "nn.unary" && strAttr(def, "fn") === "rsqrt" ? [def] : [];
  };
  return v.uses.flatMap(({ op, index }) =>
    isView(op)
      ? scalingRoots(op.result)
      : op.name === "nn.mul" && op.operand(0) !== op.operand(1)
        ? rootOf(op.operand(1 - index))
        : [],
  );
}

/**
 * The roots whose reciprocal is a factor of a difference between a tensor and its mean, of either of which `v` is a
 * part.
 */
export function normalizations(v: Value): Op[] {
  return v.uses.flatMap(({ op, index }) => {
    if (op.name === "nn.sub") return scalingRoots(op.result);
    const byConstant = op.name === "nn.mul" && isConstant(op.operand(1 - index));
    return isView(op) || byConstant || op.name === "nn.add" || op.name === "nn.concat" || op.name === "nn.reduce"
      ? normalizations(op.result)
      : [];
  });
}

/** Bits by which constants differ that `v` meets element by element, where nothing else reads it; otherwise 0. */
export function unevenFactor(v: Value): number {
  const each = v.uses.map(({ op, index }) => {
    if (isView(op)) return unevenFactor(op.result);
    const other = op.name === "nn.mul" ? constantOf(op.operand(1 - index)) : undefined;
    return other === undefined ? 0 : spreadBits(valuesOfDense(other));
  });
  return each.includes(0) ? 0 : Math.max(0, ...each);
}

/** Whether `v` is a reciprocal, or a factor that meets one: `t * (1/sum)`. */
export function isScale(v: Value): boolean {
  const reciprocal = (x: Value): boolean => {
    const def = behindViews(x);
    return def?.name === "nn.unary" && isRelative(strAttr(def, "fn"));
  };
  const meets = (x: Value): boolean =>
    x.uses.some(({ op, index }) =>
      isView(op) ? meets(op.result) : op.name === "nn.mul" && reciprocal(op.operand(1 - index)),
    );
  return reciprocal(v) || meets(v);
}
