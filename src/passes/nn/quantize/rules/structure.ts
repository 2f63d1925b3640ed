/** Operations in fixed point that fold, join and move elements. */
import { CompilerBug } from "../../../../diagnostics/index.js";
import type { Attr, Dense } from "../../../../ir/attributes.js";
import type { Op, Value } from "../../../../ir/core.js";
import { quantizeNumber } from "../../../../ir/fixed-arith.js";
import * as nn from "../../../../ir/nn/ops.js";
import { constantOf, shapeOf, valuesOfDense } from "../../../../ir/nn/values.js";
import { tensor } from "../../../../ir/types.js";
import { EXACT_LIMIT, type FixedValues } from "../fixed-values.js";

/** Reductions and pooling: sums are exact and can be rounded behind; a maximum is of its operand's format. */
export function reduce(op: Op, f: FixedValues): Value {
  return folded(op, nn.reduce.read(op).kind, f);
}

export function pool(op: Op, f: FixedValues): Value {
  return folded(op, nn.pool.read(op).kind, f);
}

function folded(op: Op, kind: string, f: FixedValues): Value {
  if (kind === "mean" || kind === "average")
    throw new CompilerBug(`${op.name} of kind ${kind} reaches quantize; lower-average splits it`);
  const x = f.narrow(op.operand(0));
  const y = f.emit(op.name, [x], op.result, op.attrs);
  if (kind !== "sum") f.final.add(y);
  return y;
}

/** All parts in the format of the whole, so that the whole has one. */
export function concat(op: Op, f: FixedValues): Value {
  const planned = f.plan.format(op.result);
  // What has a final format, finer than the plan's, has it for a reason: scores that are compared, integers.
  const finer = op.operands
    .flatMap((v) => (f.isConstant(v) ? [] : [f.exactOf(v)]))
    .filter((x) => f.elem(x).width > planned.width || f.elem(x).frac > planned.frac);
  const frac = Math.max(planned.frac, ...finer.map((x) => f.elem(x).frac));
  const whole = frac + Math.max(...finer.map((x) => f.elem(x).width - f.elem(x).frac), planned.width - planned.frac);
  const type =
    finer.length > 0 && finer.every((x) => f.final.has(x)) && whole < EXACT_LIMIT
      ? { ...planned, width: whole, frac }
      : planned;
  const parts = op.operands.map((v) => {
    const c = constantOf(v);
    if (c !== undefined) return f.constantAt(v, Math.min(type.frac, neededFraction(c, type.frac)));
    const x = f.operand(v);
    return f.elem(x).width <= type.width && f.elem(x).frac <= type.frac ? x : f.round(x, type, undefined);
  });
  const y = f.emit(op.name, parts, op.result, op.attrs);
  if (f.elem(y).width > type.width + 2) return f.round(y, type, op.result);
  f.final.add(y);
  return y;
}

/** An output's width is not imposed on a tensor that other layers read as well. */
export function view(op: Op, f: FixedValues): Value {
  return viewed(op, f.narrow(op.operand(0)), op.attrs, f);
}

/** The border in the format of the operand. */
export function pad(op: Op, f: FixedValues): Value {
  const x = f.narrow(op.operand(0));
  const type = f.elem(x);
  const value = quantizeNumber(nn.pad.read(op).value, type, "half-up") * 2 ** -type.frac + 0;
  return viewed(op, x, { ...op.attrs, value }, f);
}

function viewed(op: Op, x: Value, attrs: Readonly<Record<string, Attr>>, f: FixedValues): Value {
  const y = f.b.value(op.name, [x], tensor(shapeOf(op.result), f.elem(x)), attrs, op.result.hint);
  f.final.add(y);
  return y;
}

/** Fewest fractional bits, up to `most`, with which a constant is exact; `most` where it is not. */
function neededFraction(c: Dense, most: number): number {
  const values = valuesOfDense(c);
  let frac = 0;
  while (frac < most && !values.every((x) => Number.isInteger(x * 2 ** frac))) frac++;
  return frac;
}
