/**
 * Factors in front of a rounding that fall on the side on which float32 falls. Kernels of integers compute
 * round(float32(u * factor)): a product next to a tie becomes the tie, which goes to the even neighbour. Products are
 * exact here; a factor that is off by a few of its last bits puts those that matter on the same side, and moves no
 * other.
 */
import type { Range } from "./scaled.js";

/** Most results of the rounding; with more, float32 itself is too coarse for them. */
const MAX_RESULTS = 1024;
/** Whether a rounding has more results than float32's products are good for. */
export function isFinerThanFloat32(results: Range | undefined): boolean {
  return results !== undefined && results.hi - results.lo > MAX_RESULTS;
}
/** float32 has every integer below. */
const MAX_INTEGER = 2 ** 24;
/** Steps to each side that are tried, and their size in last bits of the factor. */
const STEPS = 16;
const STEP = 1 / 2;

function roundHalfEven(v: number): number {
  const f = Math.floor(v);
  const d = v - f;
  return d < 0.5 ? f : d > 0.5 ? f + 1 : f % 2 === 0 ? f : f + 1;
}

/**
 * A number next to `factor`, a float32, by which round(u * factor) agrees with float32 for as many integers u of a
 * range as possible.
 *
 * @param u range of the integers
 * @param results range of the rounding's results
 */
export function factorAsFloat32(factor: number, u: Range, results: Range): number {
  if (isFinerThanFloat32(results) || Math.max(-u.lo, u.hi) >= MAX_INTEGER || factor === 0) return factor;
  const last = 2 ** (Math.floor(Math.log2(Math.abs(factor))) - 23);
  const reach = STEPS * STEP * last;
  // Integers whose product comes so near to a tie that one of the candidates may change its side.
  const near: { readonly u: number; readonly result: number }[] = [];
  for (let tie = results.lo - 0.5; tie <= results.hi + 0.5; tie++) {
    const k = Math.round(tie / factor);
    if (k < u.lo || k > u.hi) continue;
    const distance = Math.abs(k * factor - tie);
    if (distance <= Math.abs(k) * reach || distance <= Math.abs(tie) * 2 ** -24)
      near.push({ u: k, result: roundHalfEven(Math.fround(k * factor)) });
  }
  const wrong = (f: number): number => near.reduce((n, x) => n + (roundHalfEven(x.u * f) === x.result ? 0 : 1), 0);
  let best = { factor, wrong: wrong(factor) };
  for (let step = 1; step <= STEPS && best.wrong > 0; step++) {
    for (const f of [factor + step * STEP * last, factor - step * STEP * last]) {
      const n = wrong(f);
      if (n < best.wrong) best = { factor: f, wrong: n };
    }
  }
  return best.factor;
}
