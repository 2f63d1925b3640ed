/**
 * Exact rational reference for fixed point: values as BigInt multiples of 2^-SCALE. Independent of
 * src/ir/fixed-arith.ts.
 */
import type { Dense } from "../../src/ir/attributes.js";
import type { Module, Op, Value } from "../../src/ir/core.js";
import type { FixedType, TensorType } from "../../src/ir/types.js";

const SCALE = 200n;
const ONE = 1n << SCALE;

export function toRational(raw: number | bigint, frac: number): bigint {
  return frac >= 0 ? (BigInt(raw) << SCALE) >> BigInt(frac) : BigInt(raw) << (SCALE + BigInt(-frac));
}
/** floor(a / b) for b > 0. */
function floorDiv(a: bigint, b: bigint): bigint {
  return a >= 0n ? a / b : -((-a + b - 1n) / b);
}
function product(a: bigint, b: bigint): bigint {
  const p = a * b;
  if (p % ONE !== 0n) throw new Error("reference: more fractional bits than it has");
  return p / ONE;
}

/** The raw integer of an exact value in format `to`, which has at most 53 bits. */
export function quantizeRational(v: bigint, to: FixedType, rounding: string, overflow: string): number {
  return Number(rawOfRational(v, to, rounding, overflow));
}

/** The raw integer of an exact value in format `to`. */
export function rawOfRational(v: bigint, to: FixedType, rounding: string, overflow: string): bigint {
  const unit = to.frac >= 0 ? ONE >> BigInt(to.frac) : ONE << BigInt(-to.frac);
  let raw = floorDiv(v, unit);
  const rest = v - raw * unit;
  if (rounding === "half-up" && 2n * rest >= unit) raw += 1n;
  if (rounding === "half-even" && (2n * rest > unit || (2n * rest === unit && raw % 2n !== 0n))) raw += 1n;
  const span = 1n << BigInt(to.width);
  const lo = to.signed ? -(span / 2n) : 0n;
  const hi = lo + span - 1n;
  if (overflow === "saturate") return raw < lo ? lo : raw > hi ? hi : raw;
  return ((((raw - lo) % span) + span) % span) + lo;
}

const shape = (v: Value): readonly number[] => (v.type as TensorType).shape;
const elem = (v: Value): FixedType => (v.type as TensorType).elem as FixedType;
const count = (s: readonly number[]): number => s.reduce((n, d) => n * d, 1);

function index(flat: number, s: readonly number[]): number[] {
  const p = s.map(() => 0);
  for (let d = s.length - 1; d >= 0; d--) {
    p[d] = flat % s[d]!;
    flat = Math.floor(flat / s[d]!);
  }
  return p;
}
function flat(p: readonly number[], s: readonly number[]): number {
  return p.reduce((n, i, d) => n * s[d]! + i, 0);
}
function at(data: readonly bigint[], s: readonly number[], p: readonly number[]): bigint {
  const q = p.slice(p.length - s.length).map((i, d) => (s[d] === 1 ? 0 : i));
  return data[flat(q, s)]!;
}

/** Evaluates the operations that random test networks use, from their definition, without regard to speed. */
export function evaluateRational(module: Module, inputs: readonly (readonly number[])[]): number[][] {
  const values = new Map<Value, bigint[]>();
  module.func.body.args.forEach((a, i) =>
    values.set(
      a,
      inputs[i]!.map((r) => toRational(r, elem(a).frac)),
    ),
  );
  for (const op of module.func.body.ops) {
    if (op.name === "return")
      return op.operands.map((v) => values.get(v)!.map((x) => quantizeRational(x, elem(v), "floor", "saturate")));
    const result = evaluateOp(
      op,
      op.operands.map((v) => values.get(v)!),
    );
    // The result type must hold every value: exactness is part of the contract.
    result.forEach((x) => {
      const t = elem(op.result);
      if (toRational(rawOfRational(x, t, "floor", "saturate"), t.frac) !== x)
        throw new Error(`${op.name}: a result does not fit its type`);
    });
    values.set(op.result, result);
  }
  throw new Error("no return");
}

function evaluateOp(op: Op, x: readonly bigint[][]): bigint[] {
  const out = shape(op.result);
  const points = Array.from({ length: count(out) }, (_, i) => index(i, out));
  const [a, b] = [x[0] ?? [], x[1] ?? []];
  const [sa, sb] = [op.operands[0] && shape(op.operand(0)), op.operands[1] && shape(op.operand(1))] as [
    readonly number[],
    readonly number[],
  ];
  const pointwise = (f: (p: bigint, q: bigint) => bigint): bigint[] => points.map((p) => f(at(a, sa, p), at(b, sb, p)));
  const attr = (key: string): number[] => op.attrs[key] as number[];
  switch (op.name) {
    case "nn.constant": {
      const value = op.attrs["value"] as Dense;
      return Array.from(value.data, (r) => toRational(r, (value.elem as FixedType).frac));
    }
    case "nn.add":
      return pointwise((p, q) => p + q);
    case "nn.sub":
      return pointwise((p, q) => p - q);
    case "nn.mul":
      return pointwise(product);
    case "nn.max":
      return pointwise((p, q) => (p > q ? p : q));
    case "nn.min":
      return pointwise((p, q) => (p < q ? p : q));
    case "nn.relu":
      return a.map((v) => (v > 0n ? v : 0n));
    case "nn.neg":
      return a.map((v) => -v);
    case "nn.abs":
      return a.map((v) => (v < 0n ? -v : v));
    case "nn.leaky_relu": {
      const slope = toRational(op.attrs["slope_raw"] as number, op.attrs["slope_frac"] as number);
      return a.map((v) => (v < 0n ? product(v, slope) : v));
    }
    case "nn.quantize": {
      const to = elem(op.result);
      return a.map((v) =>
        toRational(rawOfRational(v, to, op.attrs["rounding"] as string, op.attrs["overflow"] as string), to.frac),
      );
    }
    case "nn.clip": {
      const [lo, hi] = [op.attrs["lo"] as number, op.attrs["hi"] as number].map((v) => toRational(v * 2 ** 20, 20)) as [
        bigint,
        bigint,
      ];
      return a.map((v) => (v < lo ? lo : v > hi ? hi : v));
    }
    case "nn.select_neg":
      return points.map((p) => (at(a, sa, p) < 0n ? at(b, sb, p) : at(x[2]!, shape(op.operand(2)), p)));
    case "nn.round": {
      const [lo, hi, zero] = [
        op.attrs["lo"] as number,
        op.attrs["hi"] as number,
        (op.attrs["zero"] as number | undefined) ?? 0,
      ];
      const whole = (v: bigint): bigint =>
        rawOfRational(v, { kind: "fixed", signed: true, width: 200, frac: 0 }, "half-even", "saturate") + BigInt(zero);
      return a.map(whole).map((v) => toRational(v < lo ? lo : v > hi ? hi : v, 0));
    }
    case "nn.slice": {
      const [starts, steps] = [attr("starts"), attr("steps")];
      return points.map(
        (p) =>
          a[
            flat(
              p.map((v, d) => starts[d]! + v * steps[d]!),
              sa,
            )
          ]!,
      );
    }
    case "nn.reshape":
      return [...a];
    case "nn.transpose":
      return points.map((p) => {
        const q = p.map(() => 0);
        attr("perm").forEach((from, to) => (q[from] = p[to]!));
        return a[flat(q, sa)]!;
      });
    case "nn.concat": {
      const axis = op.attrs["axis"] as number;
      return points.map((p) => {
        let i = p[axis]!;
        let k = 0;
        while (i >= shape(op.operand(k))[axis]!) i -= shape(op.operand(k++))[axis]!;
        return x[k]![
          flat(
            p.map((v, d) => (d === axis ? i : v)),
            shape(op.operand(k)),
          )
        ]!;
      });
    }
    case "nn.reduce": {
      const axes = attr("axes");
      const kept = sa.map((_, d) => d).filter((d) => !axes.includes(d));
      return points.map((p) => {
        const members = a.filter((_, i) => {
          const q = index(i, sa);
          return op.attrs["keepdims"] === true ? kept.every((d) => q[d] === p[d]) : kept.every((d, j) => q[d] === p[j]);
        });
        return fold(op.attrs["kind"] as string, members);
      });
    }
    case "nn.pool":
      return points.map((p) => {
        const members: bigint[] = [];
        for (let k = 0; k < count(attr("kernel")); k++) {
          const o = index(k, attr("kernel"));
          const q = o.map((v, d) => p[2 + d]! * attr("strides")[d]! + v - attr("pads")[d]!);
          if (q.every((v, d) => v >= 0 && v < sa[2 + d]!)) members.push(a[flat([p[0]!, p[1]!, ...q], sa)]!);
        }
        return fold(op.attrs["kind"] as string, members);
      });
    case "nn.matmul":
      return points.map((p) => {
        let sum = 0n;
        const row = sa.length === 1 ? [] : [p[p.length - 2]!];
        const n = p[p.length - 1]!;
        const batch = p.slice(0, -1 - row.length);
        for (let k = 0; k < sa[sa.length - 1]!; k++)
          sum += product(at(a, sa, [...batch, ...row, k]), at(b, sb, [...batch, k, n]));
        return sum;
      });
    case "nn.conv":
      return points.map((p) => {
        const group = (op.attrs["group"] as number | undefined) ?? 1;
        const inGroup = sb[1]!;
        const first = Math.floor(p[1]! / (sb[0]! / group)) * inGroup;
        let sum = x[2] === undefined ? 0n : x[2][p[1]!]!;
        const kernel = sb.slice(2);
        for (let c = 0; c < inGroup; c++) {
          for (let k = 0; k < count(kernel); k++) {
            const o = index(k, kernel);
            const q = o.map((v, d) => p[2 + d]! * attr("strides")[d]! + v * attr("dilations")[d]! - attr("pads")[d]!);
            const outside = q.some((v, d) => v < 0 || v >= sa[2 + d]!);
            sum += product(
              outside
                ? toRational((op.attrs["pad_value"] as number | undefined) ?? 0, 0)
                : a[flat([p[0]!, first + c, ...q], sa)]!,
              b[flat([p[1]!, c, ...o], sb)]!,
            );
          }
        }
        return sum;
      });
    default:
      throw new Error(`reference: ${op.name}`);
  }
}

function fold(kind: string, members: readonly bigint[]): bigint {
  if (kind === "sum") return members.reduce((s, v) => s + v, 0n);
  return members.reduce((m, v) => ((kind === "max") === v > m ? v : m));
}
