/**
 * Bits of integers, by their remainders: x modulo 2^k are the lowest k bits of x, of negative numbers in two's
 * complement.
 */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import { affine, mapConstants, needBroadcast, pair, scalarOf, selectNegative } from "./broadcast.js";
import { fraction, integerType, whole, wrapped } from "./rounding.js";

/** Bits of integers that are told apart; numbers are exact up to 53. */
const MAX_BITS = 52;

interface IntegerType {
  readonly bits: number;
  readonly signed: boolean;
}

function typeOf(ctx: NodeContext): IntegerType {
  const type = integerType(ctx.elementType(0));
  if (type === undefined) throw ctx.error("its operands are not integers");
  return { ...type, bits: Math.min(MAX_BITS, type.bits) };
}

/** The lowest `bits` of x. */
function low(ctx: NodeContext, x: Value, bits: number): Value {
  return bits === 0
    ? scalarOf(ctx, 0, "none")
    : whole(ctx, affine(ctx, fraction(ctx, affine(ctx, x, 2 ** -bits, 0, "low")), 2 ** bits, 0, "high"), "floor");
}

function bitAt(ctx: NodeContext, x: Value, bit: number): Value {
  const shifted = whole(ctx, affine(ctx, x, 2 ** -bit, 0, "bit"), "floor");
  return low(ctx, shifted, 1);
}

/** x and y, bit by bit: the smaller of the two bits. */
function and(ctx: NodeContext, x: Value, y: Value, { bits, signed }: IntegerType): Value {
  const term = (a: Value, b: Value, weight: number): Value =>
    affine(ctx, pair(ctx, "nn.min", a, b), weight, 0, "weight");
  let sum: Value | undefined;
  for (let bit = 0; bit < bits; bit++) {
    const both = term(bitAt(ctx, x, bit), bitAt(ctx, y, bit), signed && bit === bits - 1 ? -(2 ** bit) : 2 ** bit);
    sum = sum === undefined ? both : pair(ctx, "nn.add", sum, both);
  }
  return sum!;
}

/** x and a constant: runs of ones are differences of remainders. */
function mask(ctx: NodeContext, x: Value, constant: number, { bits, signed }: IntegerType): Value {
  const ones = BigInt.asUintN(bits, BigInt(constant));
  const has = (bit: number): boolean => bit < bits && ((ones >> BigInt(bit)) & 1n) === 1n;
  let sum: Value = ctx.emit("nn.mul", [x, scalarOf(ctx, 0, "zero")], shapeOf(x));
  for (let from = 0; from < bits; from++) {
    if (!has(from)) continue;
    let to = from;
    while (has(to)) to++;
    const upper = to === bits ? (signed ? x : low(ctx, x, bits)) : low(ctx, x, to);
    const run = from === 0 ? upper : pair(ctx, "nn.sub", upper, low(ctx, x, from));
    sum = pair(ctx, "nn.add", sum, run);
    from = to;
  }
  return sum;
}

/** x + y - 2 (x and y) is what exactly one of them has; x + y - (x and y) what any has. */
function bitwise(opType: string, shared: number, on: (a: bigint, b: bigint) => bigint): OperatorImporter {
  return {
    opType,
    import: (ctx) => {
      const type = typeOf(ctx);
      const shape = needBroadcast(ctx, ctx.shape(0), ctx.shape(1));
      const [a, b] = [ctx.constant(0), ctx.constant(1)];
      if (a !== undefined && b !== undefined)
        return known(
          shape,
          mapConstants(a, b, shape, (x, y) => Number(on(BigInt(x), BigInt(y)))),
          true,
        );
      const [x, y] = [ctx.value(0), ctx.value(1)];
      const single = [a, b].find(
        (c) => c?.data.every((v) => v === c.data[0]) && shape.join() === ctx.shape(c === a ? 1 : 0).join(),
      );
      const both = single === undefined ? and(ctx, x, y, type) : mask(ctx, single === a ? y : x, single.data[0]!, type);
      if (shared === 0) return both;
      return pair(ctx, "nn.sub", pair(ctx, "nn.add", x, y), affine(ctx, both, shared, 0, "shared"));
    },
  };
}

const not: OperatorImporter = {
  opType: "BitwiseNot",
  import: (ctx) => {
    const { bits, signed } = typeOf(ctx);
    const top = signed ? -1 : 2 ** bits - 1;
    const c = ctx.constant(0);
    return c === undefined
      ? affine(ctx, ctx.value(0), -1, top, "not")
      : known(
          c.shape,
          c.data.map((v) => top - v),
          true,
        );
  },
};

/** By a power of two, which a computed amount makes up of its bits. */
const shift: OperatorImporter = {
  opType: "BitShift",
  import: (ctx) => {
    const type = typeOf(ctx);
    const shape = needBroadcast(ctx, ctx.shape(0), ctx.shape(1));
    const direction = ctx.string("direction", "");
    if (direction !== "LEFT" && direction !== "RIGHT") throw ctx.error(`direction "${direction}" is not defined`);
    const left = direction === "LEFT";
    const [a, b] = [ctx.constant(0), ctx.constant(1)];
    if (a !== undefined && b !== undefined)
      return known(
        shape,
        mapConstants(a, b, shape, (x, y) =>
          Number(left ? BigInt.asUintN(type.bits, BigInt(x) << BigInt(y)) : BigInt(x) >> BigInt(y)),
        ),
        true,
      );
    const fitted = (v: Value): Value => (left ? wrapped(ctx, v, type) : whole(ctx, v, "floor"));
    if (b !== undefined) {
      // By as many bits as there are, or by a negative number, nothing is left but the sign.
      const amount = b.data.map((v) => (v < 0 || v >= type.bits ? type.bits : v));
      const factor = ctx.fromConstant(
        { ...b, data: amount.map((v) => (left ? (v === type.bits ? 0 : 2 ** v) : 2 ** -v)), integer: false },
        `${ctx.name}_factor`,
      );
      return fitted(ctx.emit("nn.mul", [ctx.value(0), factor], shape));
    }
    let y = ctx.value(0);
    for (let bit = 0; 2 ** bit < type.bits; bit++) {
      const set = bitAt(ctx, ctx.value(1), bit);
      const moved = fitted(affine(ctx, y, 2 ** ((left ? 1 : -1) * 2 ** bit), 0, `shift${bit}`));
      y = selectNegative(ctx, ctx.emit("nn.neg", [set], shapeOf(set)), moved, y);
    }
    const amount = ctx.value(1);
    const gone = left
      ? scalarOf(ctx, 0, "gone")
      : whole(ctx, affine(ctx, ctx.value(0), 2 ** -type.bits, 0, "sign"), "floor");
    return selectNegative(
      ctx,
      amount,
      gone,
      selectNegative(ctx, affine(ctx, amount, -1, type.bits - 1, "beyond"), gone, y),
    );
  },
};

export const bitwiseOperators: readonly OperatorImporter[] = [
  bitwise("BitwiseAnd", 0, (a, b) => a & b),
  bitwise("BitwiseOr", 1, (a, b) => a | b),
  bitwise("BitwiseXor", 2, (a, b) => a ^ b),
  not,
  shift,
];
