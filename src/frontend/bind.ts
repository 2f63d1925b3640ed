/**
 * Inputs that hardware is not to have: the user states what they are (which rate, how many steps, which threshold), and
 * they are constants of the model from then on. Branches and lengths that depend on them are decided as the model is
 * read.
 */
import type { Value } from "../ir/core.js";
import { printable, UserError } from "../diagnostics/index.js";
import { nearestName } from "../diagnostics/nearest.js";
import { typed } from "./shapes.js";
import { dataTypeName, integerRange, isIntegerType, type ConstTensor } from "./tensor-data.js";

/** A number for all elements, or elements in row-major order. */
export interface BoundTensor {
  /** As a file with an array states it. */
  readonly shape?: readonly number[];
  readonly data: readonly number[];
}

/** Values of inputs by their names. */
export type Bindings = Readonly<Record<string, BoundTensor>>;

const BOOL = 9;

/** @errors ON026 for names that no input has */
export function checkBound(bind: Bindings, inputs: readonly string[], file: string): void {
  for (const name of Object.keys(bind)) {
    if (inputs.includes(name)) continue;
    const near = nearestName(name, inputs);
    throw UserError.of(
      "ON026",
      {
        what: `a value is stated for "${printable(name)}", but the model has no such input`,
        hint:
          near === undefined
            ? `its inputs are ${inputs.map((n) => printable(n)).join(", ")}`
            : `did you mean ${printable(near)}?`,
      },
      { file },
    );
  }
}

/** The constant in place of an input of this shape and ONNX element type. @errors ON026 for values that do not fit */
export function boundConstant(
  name: string,
  bound: BoundTensor,
  shape: readonly number[],
  type: number,
  file: string,
): ConstTensor {
  const refuse = (what: string, hint: string): UserError =>
    UserError.of("ON026", { what: `the value stated for input "${printable(name)}" ${what}`, hint }, { file });
  const count = shape.reduce((n, d) => n * d, 1);
  const shown = shape.length === 0 ? "a single number" : shape.join("x");
  const isOne = bound.data.length === 1 && (bound.shape ?? []).every((d) => d === 1);
  if (!isOne && (bound.data.length !== count || (bound.shape !== undefined && bound.shape.join() !== shape.join())))
    throw refuse(
      `has ${bound.shape === undefined ? `${bound.data.length} elements` : `the shape ${bound.shape.join("x")}`}; the input is ${shown}`,
      "state one number for all elements, or as many as the input has; --shape states open dimensions",
    );
  const range = type === BOOL ? { lo: 0, hi: 1 } : integerRange(type);
  const integer = type === BOOL || isIntegerType(type);
  const odd = bound.data.find(
    (v) =>
      Number.isNaN(v) || (integer && !Number.isInteger(v)) || (range !== undefined && (v < range.lo || v > range.hi)),
  );
  if (odd !== undefined)
    throw refuse(
      `is ${odd}; the input holds ${dataTypeName(type)} values`,
      range !== undefined
        ? `state whole numbers from ${range.lo} to ${range.hi}`
        : `state ${integer ? "whole " : ""}numbers`,
    );
  const data = isOne ? new Float64Array(count).fill(bound.data[0]!) : Float64Array.from(bound.data);
  return { shape, data, integer };
}

/** Operations that are looked at for where a value comes from. */
const LOOK = 1000;
/** More inputs than a user would state. */
const FEW = 3;

/** What to type where something must be constant and follows from few inputs; undefined where it does not. */
export function bindHint(value: Value): string | undefined {
  const seen = new Set<Value>([value]);
  const names: string[] = [];
  for (const v of seen) {
    if (seen.size > LOOK) return undefined;
    if (v.def === undefined) names.push(v.hint ?? "");
    else for (const x of v.def.operands) seen.add(x);
  }
  return names.length === 0 || names.length > FEW || names.includes("")
    ? undefined
    : `state the value of ${names.length === 1 ? "the input" : "the inputs"} that it follows from, if the hardware is for one: ${names.map((n) => typed("--bind", n, "VALUE")).join(" ")}`;
}
