/** Views without copies: transpose, slice, broadcast and most reshapes only change offset and strides. */
import type { Value } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { dataRange, ranged, widened, type Ranged } from "../../ir/fixed-arith.js";
import { rowMajorStrides, type FixedType } from "../../ir/types.js";

/** An nn value as flow sees it: a strided window on a stream or constant. */
export interface Viewed {
  readonly value: Value;
  readonly offset: number;
  readonly strides: readonly number[];
  readonly shape: readonly number[];
  readonly elem: FixedType;
}

export function wholeView(value: Value, shape: readonly number[], elem: FixedType): Viewed {
  return { value, offset: 0, strides: rowMajorStrides(shape), shape, elem };
}

export function transposed(v: Viewed, perm: readonly number[]): Viewed {
  return { ...v, strides: perm.map((p) => v.strides[p]!), shape: perm.map((p) => v.shape[p]!) };
}

export function sliced(
  v: Viewed,
  starts: readonly number[],
  steps: readonly number[],
  shape: readonly number[],
): Viewed {
  return {
    ...v,
    offset: v.offset + starts.reduce((o, s, d) => o + s * v.strides[d]!, 0),
    strides: v.strides.map((s, d) => s * steps[d]!),
    shape,
  };
}

/** Numpy broadcasting to `shape`; new and stretched dimensions get stride 0. */
export function broadcasted(v: Viewed, shape: readonly number[]): Viewed {
  const lead = shape.length - v.shape.length;
  const strides = shape.map((n, d) => (d < lead ? 0 : v.shape[d - lead] === n ? v.strides[d - lead]! : 0));
  return { ...v, strides, shape };
}

/**
 * The same elements in row-major order under another shape; undefined where no strides express it (a transposed
 * view merged across the transposition). Runs of dimensions that are contiguous among themselves are split and merged
 * freely.
 */
export function reshaped(v: Viewed, shape: readonly number[]): Viewed | undefined {
  const old = v.shape.map((n, d) => ({ n, s: v.strides[d]! })).filter((d) => d.n !== 1);
  const strides = new Array<number>(shape.length).fill(0);
  let i = 0;
  let d = 0;
  while (d < shape.length) {
    if (shape[d] === 1) {
      d++;
      continue;
    }
    // Gather a run of old and new dimensions with equal products.
    let oldCount = old[i]?.n;
    if (oldCount === undefined) return undefined;
    let newCount = shape[d]!;
    let iEnd = i + 1;
    let dEnd = d + 1;
    while (oldCount !== newCount) {
      if (oldCount < newCount) {
        if (iEnd >= old.length) return undefined;
        oldCount *= old[iEnd++]!.n;
      } else {
        if (dEnd >= shape.length) return undefined;
        newCount *= shape[dEnd++]!;
      }
    }
    for (let k = i; k + 1 < iEnd; k++) if (old[k]!.s !== old[k + 1]!.s * old[k + 1]!.n) return undefined;
    let s = old[iEnd - 1]!.s;
    for (let k = dEnd - 1; k >= d; k--) {
      strides[k] = s;
      s *= shape[k]!;
    }
    i = iEnd;
    d = dEnd;
  }
  return { ...v, strides, shape };
}

/** Format and raw value range of what a view reads: the actual values of constants. */
export function rangedOf(v: Viewed): Ranged {
  const def = v.value.def;
  return def?.name === "flow.constant"
    ? { frac: v.elem.frac, range: widened(dataRange(denseAttr(def, "value").data)) }
    : ranged(v.elem);
}
