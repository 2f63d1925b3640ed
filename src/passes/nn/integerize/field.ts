/** Numbers that broadcast over a tensor: scales and zero points per tensor, per channel, per position. */
import type { Dense } from "../../../ir/attributes.js";
import { broadcastStrides, offsets } from "../../../ir/nn/kernels.js";
import { elementCount, rowMajorStrides } from "../../../ir/types.js";

/** Right-aligned as numpy broadcasts; [] where all numbers are equal, and no leading dimension of 1. */
export interface Field {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export function scalar(value: number): Field {
  return { shape: [], data: Float64Array.of(value) };
}
export const ZERO = scalar(0);
export const ONE = scalar(1);

export function fieldOf(shape: readonly number[], data: Float64Array): Field {
  if (data.every((v) => v === data[0])) return scalar(data[0]!);
  const first = shape.findIndex((d) => d !== 1);
  return { shape: shape.slice(first), data };
}
export function fieldOfDense(c: Dense): Field {
  return fieldOf(c.shape, Float64Array.from(c.data));
}

/** The number of a field that has only one. */
export function only(f: Field): number | undefined {
  return f.data.length === 1 ? f.data[0] : undefined;
}
export function isAll(f: Field, value: number): boolean {
  return f.data.length === 1 && f.data[0] === value;
}

export function map(f: Field, fn: (v: number) => number): Field {
  return fieldOf(f.shape, f.data.map(fn));
}

export function zip(a: Field, b: Field, fn: (x: number, y: number) => number): Field {
  if (a.data.length === 1) return map(b, (y) => fn(a.data[0]!, y));
  if (b.data.length === 1) return map(a, (x) => fn(x, b.data[0]!));
  const rank = Math.max(a.shape.length, b.shape.length);
  const dim = (s: readonly number[], d: number): number => s[s.length - rank + d] ?? 1;
  const shape = Array.from({ length: rank }, (_, d) => Math.max(dim(a.shape, d), dim(b.shape, d)));
  const [i, j] = [a, b].map((f) => offsets(shape, broadcastStrides(f.shape, shape)));
  return fieldOf(
    shape,
    Float64Array.from({ length: elementCount(shape) }, (_, k) => fn(a.data[i![k]!]!, b.data[j![k]!]!)),
  );
}
export function times(a: Field, b: Field): Field {
  return zip(a, b, (x, y) => x * y);
}

/** The dimensions of a field for a tensor of the given rank. */
export function fullShape(f: Field, rank: number): number[] {
  return [...new Array<number>(rank - f.shape.length).fill(1), ...f.shape];
}

/** The part of a field's shape that differs along `axis` of a tensor of `rank` dimensions. */
export function variesAlong(f: Field, axis: number, rank: number): boolean {
  return fullShape(f, rank)[axis]! > 1;
}

/**
 * Elements of a field in the order of another shape: `from[d]` is the dimension that result dimension d walks along,
 * with a start and a step.
 */
export function permute(f: Field, rank: number, perm: readonly number[]): Field {
  const full = fullShape(f, rank);
  const strides = rowMajorStrides(full);
  const shape = perm.map((p) => full[p]!);
  const at = offsets(
    shape,
    perm.map((p) => (full[p] === 1 ? 0 : strides[p]!)),
  );
  return fieldOf(
    shape,
    Float64Array.from({ length: elementCount(shape) }, (_, k) => f.data[at[k]!]!),
  );
}

/** Elements `indices` along `axis`; the field itself where it does not vary there. */
export function pick(f: Field, rank: number, axis: number, indices: readonly number[]): Field {
  const full = fullShape(f, rank);
  if (full[axis] === 1) return f;
  const inner = elementCount(full.slice(axis + 1));
  const outer = elementCount(full.slice(0, axis));
  const data = new Float64Array(outer * indices.length * inner);
  let n = 0;
  for (let o = 0; o < outer; o++)
    for (const i of indices) for (let k = 0; k < inner; k++) data[n++] = f.data[(o * full[axis]! + i) * inner + k]!;
  return fieldOf([...full.slice(0, axis), indices.length, ...full.slice(axis + 1)], data);
}

/**
 * A field of a tensor of shape `from` after a reshape to `to`; undefined where a dimension along which it varies is
 * split or merged.
 */
export function reshape(f: Field, from: readonly number[], to: readonly number[]): Field | undefined {
  if (f.data.length === 1) return f;
  const full = fullShape(f, from.length);
  const shape = new Array<number>(to.length).fill(1);
  const before = (s: readonly number[], d: number): number => elementCount(s.slice(0, d));
  for (let d = 0; d < from.length; d++) {
    if (full[d] === 1) continue;
    const e = to.findIndex((n, k) => n === from[d] && before(to, k) === before(from, d));
    if (e < 0) return undefined;
    shape[e] = full[d]!;
  }
  return fieldOf(shape, f.data);
}
