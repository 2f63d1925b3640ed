/**
 * What nn operations compute on operands or results of more than 53 bits: raw integers as bigints.
 *
 * Loops over tensors stay those of kernels.ts, in double arithmetic. Operations that are linear, or linear in each of
 * two operands, run once per limb (per pair of limbs) of so few bits that every sum is exact, and the results are put
 * together. Operations that only choose among elements run on the ranks of the elements. What works on single numbers
 * is written out.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Op } from "../core.js";
import type { Kernel, WideKernel } from "../define-op.js";
import { elementCount, NUMBER_WIDTH, type FixedType } from "../types.js";
import { formatOf } from "./typing.js";
import { shapeOf } from "./values.js";

function resultCount(op: Op): number {
  return elementCount(shapeOf(op.result));
}

/** Element by element of the first operand. `up` takes a raw integer with `frac` fractional bits to the result's. */
export function wideEach(
  f: (op: Op, from: FixedType, up: (raw: bigint, frac: number) => bigint) => (raw: bigint) => bigint,
): (op: Op) => WideKernel {
  return (op) => {
    const to = formatOf(op.result);
    const each = f(op, formatOf(op.operand(0)), (raw, frac) => raw << BigInt(to.frac - frac));
    return ([x]) => (x ?? []).map(each);
  };
}

/** Brings operands to the fractional bits of the result first. */
function wideAligned(op: Op, compute: WideKernel): WideKernel {
  const to = formatOf(op.result);
  const shifts = op.operands.map((v) => BigInt(to.frac - formatOf(v).frac));
  return (xs) =>
    compute(
      xs.map((x, i) => {
        const shift = shifts[i] ?? 0n;
        return shift === 0n ? x : x.map((raw) => raw << shift);
      }),
    );
}

/** Sums of up to `terms` elements; `plain` is the same on doubles. */
export function wideSum(plain: (op: Op) => Kernel, terms: (op: Op) => number): (op: Op) => WideKernel {
  return (op) => wideAligned(op, linear(plain(op), resultCount(op), terms(op)));
}

/** Elements of the operands, chosen or moved. */
export function wideChoice(plain: (op: Op) => Kernel): (op: Op) => WideKernel {
  return (op) => wideAligned(op, choice(plain(op), resultCount(op)));
}

/** Sums of up to `terms` products of the elements of two operands. */
export function wideProducts(plain: (op: Op) => Kernel, terms: (op: Op) => number): (op: Op) => WideKernel {
  return (op) =>
    rescaled(
      bilinear(plain(op), resultCount(op), terms(op)),
      formatOf(op.operand(0)).frac + formatOf(op.operand(1)).frac,
      formatOf(op.result),
    );
}

/** The parts of `values` of `bits` bits each, least first: only the last one has a sign. */
function limbsOf(values: readonly bigint[], bits: number): Float64Array[] {
  let rest = [...values];
  const limbs: Float64Array[] = [];
  const [shift, least, most] = [BigInt(bits), -(1n << BigInt(bits)), 1n << BigInt(bits)];
  while (rest.some((v) => v < least || v > most)) {
    limbs.push(Float64Array.from(rest, (v) => Number(BigInt.asUintN(bits, v))));
    rest = rest.map((v) => v >> shift);
  }
  limbs.push(Float64Array.from(rest, Number));
  return limbs;
}

/** Bits that sums of `terms` numbers leave to each number. */
function bitsBelow(terms: number): number {
  return NUMBER_WIDTH - 1 - Math.ceil(Math.log2(Math.max(1, terms)));
}

function accumulate(sum: bigint[], part: Float64Array, shift: number): void {
  for (let i = 0; i < part.length; i++) sum[i]! += BigInt(part[i]!) << BigInt(shift);
}

/**
 * A kernel that is linear in all operands together; every element of the result is a sum of up to `terms` of theirs.
 */
function linear(kernel: Kernel, n: number, terms: number): WideKernel {
  const bits = bitsBelow(terms);
  return (operands) => {
    const limbs = operands.map((x) => limbsOf(x, bits));
    const sum = new Array<bigint>(n).fill(0n);
    const out = new Float64Array(n);
    for (let l = 0; l < Math.max(...limbs.map((x) => x.length)); l++) {
      kernel(
        limbs.map((x) => x[l] ?? new Float64Array(x[0]!.length)),
        out,
      );
      accumulate(sum, out, l * bits);
    }
    return sum;
  };
}

/**
 * A kernel that is linear in each of its two operands; every element of the result is a sum of up to `terms` products.
 */
export function bilinear(kernel: Kernel, n: number, terms: number): WideKernel {
  const bits = Math.floor(bitsBelow(terms) / 2);
  return ([a, b]) => {
    const [p, q] = [limbsOf(a!, bits), limbsOf(b!, bits)];
    const sum = new Array<bigint>(n).fill(0n);
    const out = new Float64Array(n);
    p.forEach((x, i) =>
      q.forEach((y, j) => {
        kernel([x, y], out);
        accumulate(sum, out, (i + j) * bits);
      }),
    );
    return sum;
  };
}

/** The result of a computation in units of 2^-frac, in the format `to`. */
export function rescaled(compute: WideKernel, frac: number, to: FixedType): WideKernel {
  return to.frac === frac ? compute : (operands) => compute(operands).map((v) => v << BigInt(to.frac - frac));
}

/**
 * A kernel whose results are among the elements of its operands, which all have the result's format, or `fill`, which
 * stands for `fillRaw`.
 */
export function choice(kernel: Kernel, n: number, fill?: number, fillRaw = 0n): WideKernel {
  const first = fill === undefined ? 0 : Math.ceil(fill) + 1;
  return (operands) => {
    const ordered = [...new Set(operands.flat())].sort((a, b) => (a < b ? -1 : 1));
    const ranks = new Map(ordered.map((v, i) => [v, first + i]));
    const out = new Float64Array(n);
    kernel(
      operands.map((x) => Float64Array.from(x, (v) => ranks.get(v)!)),
      out,
    );
    return Array.from(out, (r) => {
      if (r === fill) return fillRaw;
      const v = ordered[r - first];
      if (v === undefined) throw new CompilerBug("a choice among wide values that is none of them");
      return v;
    });
  };
}
