/** Integer arithmetic that exporters compute shapes with, on constants only; and powers. */
import type { Value } from "../../ir/core.js";
import { broadcastShapes, known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { mapConstants } from "./elementwise.js";

function onConstants(opType: string, f: (x: number, y: number) => number): OperatorImporter {
  return {
    opType,
    limits: "on constants",
    import: (ctx) => {
      if (ctx.int("fmod", 0) !== 0) throw ctx.error("fmod is not supported");
      const [a, b] = [ctx.needConstant(0, "an operand"), ctx.needConstant(1, "an operand")];
      const shape = needBroadcast(ctx, a.shape, b.shape);
      return known(shape, mapConstants(a, b, shape, f), a.integer && b.integer);
    },
  };
}

export function needBroadcast(ctx: NodeContext, a: readonly number[], b: readonly number[]): number[] {
  const shape = broadcastShapes(a, b);
  if (shape === undefined) throw ctx.error(`shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast`);
  ctx.checkSize(shape);
  return shape;
}

function unaryOnConstants(opType: string, f: (x: number) => number): OperatorImporter {
  return {
    opType,
    limits: "on constants",
    import: (ctx) => {
      const c = ctx.needConstant(0, "the operand");
      return known(c.shape, c.data.map(f), c.integer);
    },
  };
}

const size: OperatorImporter = {
  opType: "Size",
  resultType: () => 7,
  import: (ctx) => known([], [ctx.shape(0).reduce((n, d) => n * d, 1)], true),
};

/** Exporters compute 1/p of a norm in single precision or with an epsilon: what is a few parts in a million beside a half is one. */
function nearHalf(p: number): number {
  const half = Math.round(2 * p) / 2;
  return Math.abs(p - half) <= 2 ** -20 * Math.max(1, Math.abs(p)) ? half : p;
}

/** Powers by products, and by the functions that have tables. */
const pow: OperatorImporter = {
  opType: "Pow",
  limits: "exponent constant: 0.5, -0.5, or an integer between -16 and 16",
  import: (ctx): Value | Imported => {
    const exponents = ctx.needConstant(1, "the exponent");
    const base = ctx.constant(0);
    const shape = needBroadcast(ctx, ctx.shape(0), exponents.shape);
    if (base !== undefined) return known(shape, mapConstants(base, exponents, shape, Math.pow), base.integer);
    const p = nearHalf(exponents.data[0]!);
    if (exponents.data.length !== 1 || shape.join() !== ctx.shape(0).join()) throw ctx.error("its exponents differ from element to element");
    const x = ctx.value(0);
    const times = (a: Value, b: Value): Value => ctx.emit("nn.mul", [a, b], shapeOf(a));
    if (Math.abs(p) === 0.5) return ctx.emit("nn.unary", [x], shape, { fn: p > 0 ? "sqrt" : "rsqrt" });
    if (p === 0 || !Number.isInteger(p) || Math.abs(p) > 16) throw ctx.error(`the exponent ${p} is not supported`, "use products, a square root or a reciprocal");
    // Square and multiply.
    let power: Value | undefined;
    for (let bits = Math.abs(p), square = x; bits > 0; bits >>= 1) {
      if (bits % 2 === 1) power = power === undefined ? square : times(power, square);
      if (bits > 1) square = times(square, square);
    }
    return p > 0 ? power! : ctx.emit("nn.unary", [power!], shape, { fn: "reciprocal" });
  },
};

export const logicOperators: readonly OperatorImporter[] = [
  // The sign is the divisor's, as for integers; floats would need fmod.
  onConstants("Mod", (a, b) => a - b * Math.floor(a / b)),
  unaryOnConstants("Floor", Math.floor),
  unaryOnConstants("Ceil", Math.ceil),
  size,
  pow,
];
