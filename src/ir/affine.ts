/**
 * Affine index maps: the way in which a kernel addresses its operands.
 *
 * A map takes iterator values to indices: `affine<(y, k) -> (2*y + k - 1)>`. A result is a constant plus a multiple of
 * every iterator; an index outside the operand's dimension reads the operand's pad value.
 */
import { at } from "./present.js";

export interface AffineExpr {
  /** One coefficient per input dimension of the map. */
  readonly coeffs: readonly number[];
  readonly offset: number;
}

export interface AffineMap {
  readonly kind: "affine";
  /** Names of the inputs, in order; they match the kernel's iterators. */
  readonly dims: readonly string[];
  readonly results: readonly AffineExpr[];
}

export function affineMap(dims: readonly string[], results: readonly AffineExpr[]): AffineMap {
  return { kind: "affine", dims, results };
}

/** `coeffs` by name; names that are absent have coefficient 0. */
export function affineExpr(dims: readonly string[], terms: Readonly<Record<string, number>>, offset = 0): AffineExpr {
  return { coeffs: dims.map((d) => terms[d] ?? 0), offset };
}

export function evalAffine(expr: AffineExpr, point: ArrayLike<number>): number {
  let v = expr.offset;
  for (let i = 0; i < expr.coeffs.length; i++) v += (expr.coeffs[i] ?? 0) * (point[i] ?? Number.NaN);
  return v;
}

/** Smallest and largest value of `expr` over 0 <= input[i] < extents[i]. */
export function affineRange(expr: AffineExpr, extents: readonly number[]): { lo: number; hi: number } {
  let lo = expr.offset;
  let hi = expr.offset;
  expr.coeffs.forEach((c, i) => {
    const reach = c * (at(extents, i) - 1);
    if (reach < 0) lo += reach;
    else hi += reach;
  });
  return { lo, hi };
}

export function showAffineExpr(expr: AffineExpr, dims: readonly string[]): string {
  const parts: string[] = [];
  expr.coeffs.forEach((c, i) => {
    if (c === 0) return;
    const name = at(dims, i);
    const term = Math.abs(c) === 1 ? name : `${Math.abs(c)}*${name}`;
    parts.push(parts.length === 0 ? (c < 0 ? `-${term}` : term) : c < 0 ? `- ${term}` : `+ ${term}`);
  });
  if (expr.offset !== 0 || parts.length === 0) {
    const o = expr.offset;
    parts.push(parts.length === 0 ? `${o}` : o < 0 ? `- ${-o}` : `+ ${o}`);
  }
  return parts.join(" ");
}

export function showAffineMap(map: AffineMap): string {
  return `affine<(${map.dims.join(", ")}) -> (${map.results.map((r) => showAffineExpr(r, map.dims)).join(", ")})>`;
}
