/** Comparisons, selection and integer arithmetic: what exporters compute shapes with. Only on constants, but for powers. */
import type { Value } from "../../ir/core.js";
import { broadcastShapes, known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { mapConstants } from "./elementwise.js";

const BOOL = 9;

function onConstants(opType: string, f: (x: number, y: number) => number, truth: boolean): OperatorImporter {
  return {
    opType,
    limits: "on constants",
    sameType: 2,
    ...(truth && { resultType: () => BOOL }),
    import: (ctx) => {
      if (ctx.int("fmod", 0) !== 0) throw ctx.error("fmod is not supported");
      const [a, b] = [ctx.needConstant(0, "an operand"), ctx.needConstant(1, "an operand")];
      const shape = needBroadcast(ctx, a.shape, b.shape);
      return known(shape, mapConstants(a, b, shape, f), truth || (a.integer && b.integer));
    },
  };
}

function needBroadcast(ctx: NodeContext, a: readonly number[], b: readonly number[]): number[] {
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

const where: OperatorImporter = {
  opType: "Where",
  limits: "on constants",
  resultType: () => undefined,
  import: (ctx) => {
    const c = ctx.needConstant(0, "the condition");
    // One answer for all elements: the other operand may be anything that does not enlarge the result.
    const same = c.data.every((v) => v === c.data[0]) ? (c.data[0] === 0 ? 2 : 1) : undefined;
    const shape = needBroadcast(ctx, c.shape, needBroadcast(ctx, ctx.shape(1), ctx.shape(2)));
    if (same !== undefined && ctx.shape(same).join() === shape.join()) return ctx.input(same);
    const [a, b] = [ctx.needConstant(1, "an operand"), ctx.needConstant(2, "an operand")];
    const chosen = mapConstants(c, a, shape, (k, v) => (k !== 0 ? v : 0));
    const other = mapConstants(c, b, shape, (k, v) => (k !== 0 ? 0 : v));
    return known(shape, chosen.map((v, i) => v + other[i]!), a.integer && b.integer);
  },
};

const size: OperatorImporter = {
  opType: "Size",
  resultType: () => 7,
  import: (ctx) => known([], [ctx.shape(0).reduce((n, d) => n * d, 1)], true),
};

/** Powers by products, and by the functions that have tables. */
const pow: OperatorImporter = {
  opType: "Pow",
  limits: "exponents 1, 2, 3, 4, 0.5 and -1, or constants",
  import: (ctx): Value | Imported => {
    const exponents = ctx.needConstant(1, "the exponent");
    const base = ctx.constant(0);
    const shape = needBroadcast(ctx, ctx.shape(0), exponents.shape);
    if (base !== undefined) return known(shape, mapConstants(base, exponents, shape, Math.pow), base.integer);
    const p = exponents.data[0];
    if (exponents.data.length !== 1 || shape.join() !== ctx.shape(0).join()) throw ctx.error("its exponents differ from element to element");
    const x = ctx.value(0);
    const times = (a: Value, b: Value): Value => ctx.emit("nn.mul", [a, b], shapeOf(a));
    switch (p) {
      case 1:
        return x;
      case 2:
        return times(x, x);
      case 3:
        return times(times(x, x), x);
      case 4: {
        const square = times(x, x);
        return times(square, square);
      }
      case 0.5:
        return ctx.emit("nn.unary", [x], shape, { fn: "sqrt" });
      case -1:
        return ctx.emit("nn.unary", [x], shape, { fn: "reciprocal" });
      default:
        throw ctx.error(`the exponent ${p} is not supported`, "use products, a square root or a reciprocal");
    }
  },
};

const truth = (v: boolean): number => (v ? 1 : 0);

export const logicOperators: readonly OperatorImporter[] = [
  onConstants("Equal", (a, b) => truth(a === b), true),
  onConstants("Greater", (a, b) => truth(a > b), true),
  onConstants("GreaterOrEqual", (a, b) => truth(a >= b), true),
  onConstants("Less", (a, b) => truth(a < b), true),
  onConstants("LessOrEqual", (a, b) => truth(a <= b), true),
  onConstants("And", (a, b) => truth(a !== 0 && b !== 0), true),
  onConstants("Or", (a, b) => truth(a !== 0 || b !== 0), true),
  // The sign is the divisor's, as for integers; floats would need fmod.
  onConstants("Mod", (a, b) => a - b * Math.floor(a / b), false),
  unaryOnConstants("Not", (v) => truth(v === 0)),
  unaryOnConstants("Floor", Math.floor),
  unaryOnConstants("Ceil", Math.ceil),
  where,
  size,
  pow,
];
