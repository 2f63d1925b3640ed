/** Types that hold every result of exact arithmetic on values of given types. */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Value } from "../core.js";
import { sameType, type BitsType } from "../types.js";
import { rangeOf } from "./fold.js";
import { bitsOf } from "./index.js";
import { bitsRange, typeOfBitsRange, type BitsRange } from "./semantics.js";

/** The smallest range that holds all of `ranges`. */
function hull([first, ...others]: readonly BitsRange[]): BitsRange {
  if (first === undefined) throw new CompilerBug("a range that holds no values");
  return others.reduce((h, r) => ({ lo: r.lo < h.lo ? r.lo : h.lo, hi: r.hi > h.hi ? r.hi : h.hi }), first);
}

export function sumType(a: BitsType, b: BitsType): BitsType {
  const [ra, rb] = [bitsRange(a), bitsRange(b)];
  return typeOfBitsRange({ lo: ra.lo + rb.lo, hi: ra.hi + rb.hi });
}

export function differenceType(a: BitsType, b: BitsType): BitsType {
  const [ra, rb] = [bitsRange(a), bitsRange(b)];
  return typeOfBitsRange({ lo: ra.lo - rb.hi, hi: ra.hi - rb.lo });
}

export function productType(a: BitsType, b: BitsType): BitsType {
  const [ra, rb] = [bitsRange(a), bitsRange(b)];
  const corners = [ra.lo * rb.lo, ra.lo * rb.hi, ra.hi * rb.lo, ra.hi * rb.hi];
  return typeOfBitsRange(hull(corners.map((c) => ({ lo: c, hi: c }))));
}

/** The smallest type that holds every number of the types of `values`, of constants their value. */
export function commonType(values: readonly Value[]): BitsType {
  const [first] = values;
  if (first !== undefined && values.every((v) => sameType(v.type, first.type))) return bitsOf(first.type);
  return typeOfBitsRange(hull(values.map(rangeOf)));
}
