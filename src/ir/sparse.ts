/**
 * From a dense stream to a sparse one: what `nn.sparsify` and `flow.sparsify` have in common.
 *
 * The predicate `where` has the rank of `x`; its element p stands for the window of `x` that begins at
 * p x strides + offset. Where it is not 0, the window is sent on with its tag, in row-major order of p. A trigger is a
 * predicate of one element over a window of all of `x`, a veto its complement, a region of interest a predicate that is
 * computed from the frame or is constant.
 */
import { intAttr, intsAttr, type AttrSpecs, type Report } from "./define-op.js";
import type { Op } from "./core.js";
import { bitLength, elementCount, rowMajorStrides, showType, typeOfRange, ufixed, type FixedType } from "./types.js";
import type { ScalarType } from "./types.js";

export interface Sparsify {
  /** Shapes of the operands. */
  readonly where: readonly number[];
  readonly x: readonly number[];
  /** Extents of the payload. */
  readonly window: readonly number[];
  /** First element of the window of predicate 0. */
  readonly offset: readonly number[];
  /** Distance between the windows of neighbouring elements of the predicate. */
  readonly strides: readonly number[];
  /** Windows of one sample that can be sent; others are only counted. */
  readonly capacity: number;
}

export const SPARSIFY_ATTRS = {
  window: { kind: "list", doc: "extents of the payload" },
  offset: { kind: "list", doc: "where the window of the predicate's first element begins; may be negative" },
  strides: { kind: "list", optional: true, doc: "distance of the windows of neighbouring elements; 1 where absent" },
  capacity: { kind: "int", doc: "windows of a sample that are sent; further ones are counted and dropped" },
} as const satisfies AttrSpecs;

export const SPARSIFY_OPERANDS = ["where", "x"] as const;
export const SPARSIFY_RESULTS = ["payload", "origin", "count"] as const;

type Shaped = { readonly shape: readonly number[]; readonly elem: ScalarType };

export function readSparsify(op: Op): Sparsify {
  const [where, x] = [op.operand(0).type as Shaped, op.operand(1).type as Shaped];
  return {
    where: seenAs(op, "where_shape", where.shape),
    x: seenAs(op, "x_shape", x.shape),
    window: intsAttr(op, "window"),
    offset: intsAttr(op, "offset"),
    strides: op.attrs["strides"] === undefined ? intsAttr(op, "window").map(() => 1) : intsAttr(op, "strides"),
    capacity: intAttr(op, "capacity"),
  };
}

function seenAs(op: Op, key: string, shape: readonly number[]): readonly number[] {
  return op.attrs[key] === undefined ? shape : intsAttr(op, key);
}

/** Shape and element type of payload, origins and counts (found, sent). */
export function sparsifyResults(s: Sparsify, elem: ScalarType): readonly Shaped[] {
  // Before the verifier has seen them, the lists may be short.
  const ends = s.where.map((n, d) => (s.offset[d] ?? 0) + (n - 1) * (s.strides[d] ?? 1));
  const origin = typeOfRange({ lo: Math.min(0, ...s.offset), hi: Math.max(0, ...ends) }, 0);
  return [
    { shape: [s.capacity, ...s.window], elem },
    { shape: [s.capacity, s.x.length], elem: origin },
    { shape: [2], elem: ufixed(Math.max(1, bitLength(elementCount(s.where))), 0) },
  ];
}

export function verifySparsify(op: Op, report: Report): void {
  const s = readSparsify(op);
  const rank = s.x.length;
  [s.where, s.x].forEach((seen, i) => {
    const own = (op.operand(i).type as Shaped).shape;
    if (elementCount(seen) !== elementCount(own))
      report(`operand ${i} of shape [${own.join(", ")}] cannot be seen as [${seen.join(", ")}]`);
  });
  if (rank === 0) return report("x has no axis");
  if (s.where.length !== rank) return report(`the predicate has rank ${s.where.length}, x has ${rank}`);
  for (const [key, list] of Object.entries({ window: s.window, offset: s.offset, strides: s.strides }))
    if (list.length !== rank) return report(`${key} has ${list.length} numbers, x has rank ${rank}`);
  if (s.window.some((n) => n < 1)) report(`window [${s.window.join(", ")}] is empty`);
  if (s.strides.some((n) => n < 0)) report(`strides [${s.strides.join(", ")}] are negative`);
  if (s.capacity < 1) report(`capacity is ${s.capacity}; at least 1 window is needed`);
  const bit = (op.operand(0).type as Shaped).elem;
  if (!isBit(bit)) report(`the predicate is of ${showType(bit)}; ufixed<1,0> is needed`);
}

function isBit(elem: ScalarType): elem is FixedType {
  return elem.kind === "fixed" && !elem.signed && elem.width === 1 && elem.frac === 0;
}

/** Numbers in row-major order; those of the results are overwritten. */
export interface SparsifyData {
  readonly where: ArrayLike<number>;
  readonly x: ArrayLike<number>;
  readonly payload: { [i: number]: number; fill(v: number): unknown };
  readonly origin: { [i: number]: number; fill(v: number): unknown };
  readonly count: { [i: number]: number };
}

/** The meaning. Elements beyond x are 0, and so are payloads and origins that no window has filled. */
export function sparsifier(s: Sparsify): (data: SparsifyData) => void {
  const rank = s.x.length;
  const [whereStrides, xStrides] = [rowMajorStrides(s.where), rowMajorStrides(s.x)];
  const [positions, size] = [elementCount(s.where), elementCount(s.window)];
  const windowStrides = rowMajorStrides(s.window);
  return ({ where, x, payload, origin, count }) => {
    payload.fill(0);
    origin.fill(0);
    let found = 0;
    for (let p = 0; p < positions; p++) {
      if (where[p] === 0) continue;
      const k = found++;
      if (k >= s.capacity) continue;
      const first = s.where.map((n, d) => (Math.floor(p / whereStrides[d]!) % n) * s.strides[d]! + s.offset[d]!);
      first.forEach((v, d) => (origin[k * rank + d] = v));
      for (let i = 0; i < size; i++) {
        let at = 0;
        for (let d = 0; d < rank; d++) {
          const index = first[d]! + (Math.floor(i / windowStrides[d]!) % s.window[d]!);
          if (index < 0 || index >= s.x[d]!) {
            at = -1;
            break;
          }
          at += index * xStrides[d]!;
        }
        payload[k * size + i] = at < 0 ? 0 : x[at]!;
      }
    }
    count[0] = found;
    count[1] = Math.min(found, s.capacity);
  };
}
