/**
 * The scalar functions behind `nn.unary`, and their tables: on fixed point such a function is, by definition, the
 * correctly rounded (half to even) and saturated value for every input.
 */
import { allocate, Dense } from "../attributes.js";
import { rawRange, type FixedType } from "../types.js";
import { roundHalfEven } from "../fixed-arith.js";
import { erf } from "./erf.js";

/** log(1 + exp(x)), without overflow. */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/**
 * A number of turns, so that the argument of sine and cosine can be any: what lies beyond a turn is dropped exactly.
 */
const turns = (t: number): number => 2 * Math.PI * (t - Math.round(t));

export const unaryFunctions: Readonly<Record<string, (x: number) => number>> = {
  exp: Math.exp,
  exp_tail: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  rsqrt: (x) => 1 / Math.sqrt(x),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  erf,
  softplus,
  softsign: (x) => x / (1 + Math.abs(x)),
  mish: (x) => x * Math.tanh(softplus(x)),
  hard_swish: (x) => x * Math.min(1, Math.max(0, x / 6 + 0.5)),
  elu: (x) => (x < 0 ? Math.expm1(x) : x),
  selu: (x) => 1.0507009873554805 * (x < 0 ? 1.6732632423543772 * Math.expm1(x) : x),
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  sin_turns: (x) => Math.sin(turns(x)),
  tan_half_turns: (x) => Math.tan(turns(x / 2)),
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  gelu_tanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

/** Powers are written with their exponent: `pow:1.5`. */
const POWER = /^pow:(-?\d+(?:\.\d+)?(?:e-?\d+)?)$/;

/** The function of that name; undefined where there is none. */
export function unaryFunction(fn: string): ((x: number) => number) | undefined {
  const named = unaryFunctions[fn];
  if (named !== undefined) return named;
  const exponent = POWER.exec(fn)?.[1];
  return exponent === undefined ? undefined : (x) => x ** Number(exponent);
}

/** Part of the table's largest result below which its least one is nothing. */
const TAIL = 2 ** -9;

/**
 * Whether the lowest argument stands for everything below it, of which exp is 0. A softmax adds up what is far below
 * its maximum: there may be any number of it.
 */
function isTail(fn: string, raw: number, from: FixedType): boolean {
  if (fn !== "exp_tail") return false;
  const { lo, hi } = rawRange(from);
  return raw === lo && Math.exp((lo - hi) * 2 ** -from.frac) <= TAIL;
}

/** Raw result of `fn` at a raw input. NaN (the logarithm of a negative number) counts as 0; infinities saturate. */
export function unaryRaw(fn: string, raw: number, from: FixedType, to: FixedType): number {
  const f = unaryFunction(fn);
  if (f === undefined) throw new Error(`unknown function ${fn}`);
  if (isTail(fn, raw, from)) return 0;
  const { lo, hi } = rawRange(to);
  const v = f(raw * 2 ** -from.frac) * 2 ** to.frac;
  if (Number.isNaN(v)) return 0;
  return Math.min(hi, Math.max(lo, v === Infinity || v === -Infinity ? v : roundHalfEven(v)));
}

/** All results, ordered by raw input from the least: 2^from.width entries. */
export function unaryTable(fn: string, from: FixedType, to: FixedType): Dense {
  const { lo } = rawRange(from);
  const size = 2 ** from.width;
  const data = allocate(to, size);
  for (let i = 0; i < size; i++) data[i] = unaryRaw(fn, lo + i, from, to);
  return new Dense([size], to, data);
}
