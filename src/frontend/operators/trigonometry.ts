/**
 * Angles and their functions. Sine, cosine and tangent take any angle: whole turns are dropped exactly before the
 * table.
 */
import type { Value } from "../../ir/core.js";
import { unaryFunction } from "../../ir/nn/unary-table.js";
import { known, shapeOf, type OperatorImporter } from "../context.js";
import { affine } from "./broadcast.js";
import { fraction } from "./rounding.js";

/** The table `fn` of the fraction of x / period + start. */
function periodic(
  opType: string,
  f: (x: number) => number,
  fn: string,
  period: number,
  start: number,
): OperatorImporter {
  return {
    opType,
    import: (ctx) => {
      const c = ctx.constant(0);
      if (c !== undefined) return known(c.shape, c.data.map(f), false);
      const phase: Value = fraction(ctx, affine(ctx, ctx.value(0), 1 / period, start, "turns"));
      return ctx.emit("nn.unary", [phase], shapeOf(phase), { fn });
    },
  };
}

function plain(opType: string, fn: string): OperatorImporter {
  return {
    opType,
    import: (ctx) => {
      const c = ctx.constant(0);
      return c === undefined
        ? ctx.emit("nn.unary", [ctx.value(0)], ctx.shape(0), { fn })
        : known(c.shape, c.data.map(unaryFunction(fn)!), false);
    },
  };
}

export const trigonometryOperators: readonly OperatorImporter[] = [
  periodic("Sin", Math.sin, "sin_turns", 2 * Math.PI, 0),
  periodic("Cos", Math.cos, "sin_turns", 2 * Math.PI, 0.25),
  periodic("Tan", Math.tan, "tan_half_turns", Math.PI, 0),
  ...["Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"].map((name) => plain(name, name.toLowerCase())),
];
