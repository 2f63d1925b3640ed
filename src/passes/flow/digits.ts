/**
 * Iteration spaces as mixed-radix numbers: the iterators of a bijective linear map are the digits of the element index.
 */
import type { AffineExpr } from "../../ir/affine.js";
import type { Iterator } from "../../ir/flow/kernel.js";

export interface Digit {
  readonly iterator: Iterator;
  readonly stride: number;
}

/**
 * The iterators in `chosen` as digits of `linear`, least significant first; undefined unless they are exactly a
 * mixed-radix system (strides 1, n0, n0 n1, ...) and no other iterator takes part.
 */
export function digitsOf(
  all: readonly Iterator[],
  linear: AffineExpr,
  chosen: readonly Iterator[],
): Digit[] | undefined {
  if (linear.offset !== 0) return undefined;
  const digits: Digit[] = [];
  for (let i = 0; i < all.length; i++) {
    const stride = linear.coeffs[i]!;
    const iterator = all[i]!;
    if (!chosen.includes(iterator)) {
      if (stride !== 0) return undefined;
      continue;
    }
    digits.push({ iterator, stride });
  }
  digits.sort((a, b) => a.stride - b.stride);
  let next = 1;
  for (const d of digits) {
    if (d.stride !== next) return undefined;
    next *= d.iterator.extent;
  }
  return digits;
}

export type Parts = ReadonlyMap<string, readonly { name: string; factor: number }[]>;

export interface Refinement {
  /** New iterators, in the order of the first system's original ones as far as they survive. */
  readonly iterators: readonly Iterator[];
  /** How each iterator of the first and of the second system is composed of them. */
  readonly first: Parts;
  readonly second: Parts;
}

/** Coarsest digits of which both systems are groupings; undefined if the strides do not divide one another. */
export function commonRefinement(first: readonly Digit[], second: readonly Digit[]): Refinement | undefined {
  const size = (ds: readonly Digit[]): number => ds.reduce((n, d) => n * d.iterator.extent, 1);
  const total = size(first);
  if (total !== size(second)) return undefined;
  const cuts = [...new Set([...first, ...second].map((d) => d.stride))].sort((a, b) => a - b);
  for (let i = 0; i + 1 < cuts.length; i++) if (cuts[i + 1]! % cuts[i]! !== 0) return undefined;
  const extentAt = (i: number): number => (cuts[i + 1] ?? total) / cuts[i]!;
  const covered = (d: Digit): number[] =>
    cuts.flatMap((c, i) => (c >= d.stride && c < d.stride * d.iterator.extent ? [i] : []));
  const names = new Array<string>(cuts.length);
  for (const d of first) {
    const inside = covered(d);
    inside.forEach(
      (c, k) => (names[c] = inside.length === 1 ? d.iterator.name : `${d.iterator.name}${inside.length - 1 - k}`),
    );
  }
  const compose = (ds: readonly Digit[]): Parts =>
    new Map(
      ds.map((d) => [
        d.iterator.name,
        covered(d)
          .reverse()
          .map((c) => ({ name: names[c]!, factor: cuts[c]! / d.stride })),
      ]),
    );
  const iterators: Iterator[] = first
    .flatMap((d) =>
      covered(d)
        .reverse()
        .map((c) => ({ name: names[c]!, extent: extentAt(c), kind: d.iterator.kind, cut: c })),
    )
    .sort((a, b) => b.cut - a.cut)
    .map(({ name, extent, kind }) => ({ name, extent, kind }));
  return { iterators, first: compose(first), second: compose(second) };
}
