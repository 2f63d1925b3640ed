/**
 * nn operations with an operand or a result of more than 53 bits, on raw integers as bigints.
 *
 * Loops over tensors stay those of nn-kernels.ts, in double arithmetic. Operations that are linear, or linear in each
 * of two operands, run once per limb (per pair of limbs) of so few bits that every sum is exact, and the results are
 * put together. Operations that only choose among elements run on the ranks of the elements. What works on single
 * numbers is written out.
 */
import { CompilerBug, UserError } from "../../diagnostics/index.js";
import type { Op, Value } from "../core.js";
import { intAttr, intsAttr, numAttr, strAttr } from "../define-op.js";
import { requantizeWide, roundWide, type Overflow, type Rounding } from "../fixed-arith.js";
import { elementCount, isWide, NUMBER_WIDTH, showType, type FixedType, type TensorType } from "../types.js";
import { placeOf } from "../verify.js";
import type { Kernel } from "./nn-kernels.js";

/** Raw integers of the values that are too wide for numbers. */
export type WideValues = ReadonlyMap<Value, bigint[]>;

function shapeOf(v: Value): readonly number[] {
  return (v.type as TensorType).shape;
}
function typeOf(v: Value): FixedType {
  return (v.type as TensorType).elem as FixedType;
}

export function hasWide(op: Op): boolean {
  return [...op.operands, ...op.results].some((v) => {
    const { elem } = v.type as TensorType;
    return elem.kind === "fixed" && isWide(elem);
  });
}

/** The nearest real number to a raw integer; exact for a type of up to 53 bits. */
export function approximate(raw: bigint, type: FixedType): number {
  return Number(raw) * 2 ** -type.frac;
}

/**
 * The kernel of `op` on values as the interpreter keeps them, and for wide results on `wide`; `plain` is the one on
 * doubles.
 */
export function wideKernel(op: Op, plain: Kernel, wide: WideValues): Kernel {
  const compute = computation(op, plain);
  const to = typeOf(op.result);
  const target = wide.get(op.result);
  return (inputs, out) => {
    const raws = op.operands.map(
      (v, i) => wide.get(v) ?? Array.from(inputs[i]!, (x) => BigInt(x * 2 ** typeOf(v).frac)),
    );
    const result = compute(raws);
    for (let i = 0; i < out.length; i++) {
      if (target !== undefined) target[i] = result[i]!;
      out[i] = approximate(result[i]!, to);
    }
  };
}

type Computation = (operands: readonly (readonly bigint[])[]) => readonly bigint[];

function computation(op: Op, plain: Kernel): Computation {
  const to = typeOf(op.result);
  const from = op.operands.map(typeOf);
  const n = elementCount(shapeOf(op.result));
  const up = (raw: bigint, frac: number): bigint => raw << BigInt(to.frac - frac);
  const each =
    (f: (raw: bigint) => bigint): Computation =>
    ([x]) =>
      x!.map(f);
  const aligned: (c: Computation) => Computation = (c) => (xs) =>
    c(xs.map((x, i) => (from[i]!.frac === to.frac ? x : x.map((raw) => up(raw, from[i]!.frac)))));
  const x = from[0]!;
  switch (op.name) {
    case "nn.add":
    case "nn.sub":
    case "nn.neg":
      return aligned(linear(plain, n, 2));
    case "nn.reduce":
    case "nn.pool":
      if (strAttr(op, "kind") !== "sum") return choice(plain, n);
      return aligned(
        linear(
          plain,
          n,
          op.name === "nn.pool" ? elementCount(intsAttr(op, "kernel")) : elementCount(shapeOf(op.operand(0))) / n,
        ),
      );
    case "nn.mul":
      return rescaled(bilinear(plain, n, 1), from[0]!.frac + from[1]!.frac, to);
    case "nn.matmul":
      return rescaled(bilinear(plain, n, shapeOf(op.operand(0)).at(-1)!), from[0]!.frac + from[1]!.frac, to);
    case "nn.conv":
      return convolution(op, plain, n);
    case "nn.relu":
      return each((v) => (v > 0n ? up(v, x.frac) : 0n));
    case "nn.abs":
      return each((v) => up(v < 0n ? -v : v, x.frac));
    case "nn.leaky_relu": {
      const [slope, frac] = [BigInt(intAttr(op, "slope_raw")), intAttr(op, "slope_frac")];
      return each((v) => (v < 0n ? up(v * slope, x.frac + frac) : up(v, x.frac)));
    }
    case "nn.clip": {
      const [lo, hi] = [numAttr(op, "lo", -Infinity) * 2 ** x.frac, numAttr(op, "hi", Infinity) * 2 ** x.frac];
      return each((v) => up(v < lo ? BigInt(lo) : v > hi ? BigInt(hi) : v, x.frac));
    }
    case "nn.quantize":
      return each((v) =>
        requantizeWide(v, x, to, strAttr(op, "rounding") as Rounding, strAttr(op, "overflow") as Overflow),
      );
    case "nn.round": {
      const [lo, hi, zero] = [BigInt(intAttr(op, "lo")), BigInt(intAttr(op, "hi")), BigInt(numAttr(op, "zero", 0))];
      return each((v) => {
        const r = roundWide(v, x.frac, "half-even") + zero;
        return r < lo ? lo : r > hi ? hi : r;
      });
    }
    case "nn.select_neg":
      return ([c, ...rest]) =>
        choice(
          (ranks, out) => plain([Float64Array.from(c!, (v) => (v < 0n ? -1 : 0)), ...ranks], out),
          n,
        )(rest.map((r, i) => r.map((v) => up(v, from[i + 1]!.frac))));
    case "nn.pad":
      return choice(plain, n, numAttr(op, "value", 0), BigInt(numAttr(op, "value", 0) * 2 ** to.frac));
    case "nn.max":
    case "nn.min":
    case "nn.concat":
    case "nn.reshape":
    case "nn.transpose":
    case "nn.broadcast":
    case "nn.slice":
    case "nn.gather":
      return aligned(choice(plain, n));
    default:
      throw UserError.of(
        "QU005",
        {
          what: op.loc.nodes[0] ?? op.name,
          reason: `${op.name} has no form for ${[...from, to].filter(isWide).map(showType).join(", ")}, more than ${NUMBER_WIDTH} bits`,
        },
        placeOf(op.loc),
      );
  }
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
function linear(kernel: Kernel, n: number, terms: number): Computation {
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
function bilinear(kernel: Kernel, n: number, terms: number): Computation {
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
function rescaled(compute: Computation, frac: number, to: FixedType): Computation {
  return to.frac === frac ? compute : (operands) => compute(operands).map((v) => v << BigInt(to.frac - frac));
}

/** With padding other than zero, x is its padding everywhere, and x - padding inside; `kernel` pads with zero. */
function convolution(op: Op, kernel: Kernel, n: number): Computation {
  const [x, w, y] = [typeOf(op.operand(0)), shapeOf(op.operand(1)), shapeOf(op.result)];
  const terms = elementCount(w.slice(1));
  const pad = BigInt(numAttr(op, "pad_value", 0) * 2 ** x.frac);
  const products = bilinear(kernel, n, terms);
  const plane = elementCount(y.slice(2));
  const frac = x.frac + typeOf(op.operand(1)).frac;
  const scale = op.operands.length > 2 ? BigInt(frac - typeOf(op.operand(2)).frac) : 0n;
  return rescaled(
    ([data, weights, bias]) => {
      const sums = products([pad === 0n ? data! : data!.map((v) => v - pad), weights!]);
      const added = Array.from(
        { length: w[0]! },
        (_, c) =>
          (bias === undefined ? 0n : bias[c]! << scale) +
          pad * weights!.slice(c * terms, (c + 1) * terms).reduce((s, v) => s + v, 0n),
      );
      return sums.map((v, i) => v + added[Math.floor(i / plane) % w[0]!]!);
    },
    frac,
    typeOf(op.result),
  );
}

/**
 * A kernel whose results are among the elements of its operands, which all have the result's format, or `fill`, which
 * stands for `fillRaw`.
 */
function choice(kernel: Kernel, n: number, fill?: number, fillRaw = 0n): Computation {
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
