/** Predicates of a window, as scalar functions of its pixels: 1 where the window's centre is sent on. */
import type { Value } from "../../ir/core.js";
import { ufixed } from "../../ir/types.js";
import type { BodyBuilder } from "../../passes/lower/context.js";
import type { LocalMaximum } from "../../sensor/sensor.js";
import { type ScalarFunction, scalarFunction, type Target } from "./scalar.js";

/**
 * Largest of a rectangle: down the columns first, then of two, four, ... columns side by side, so that windows that
 * overlap have as much as possible in common.
 */
function largestOf(b: BodyBuilder, columns: readonly (readonly Value[])[]): Value {
  let level = columns.map((c) => c.reduce((x, y) => b.max(x, y)));
  let rest: Value | undefined;
  while (level.length > 1) {
    const pairs: Value[] = [];
    for (let i = 0; i + 1 < level.length; i += 2) pairs.push(b.max(level[i]!, level[i + 1]!));
    if (level.length % 2 === 1) {
      const last = level[level.length - 1]!;
      rest = rest === undefined ? last : b.max(last, rest);
    }
    level = pairs;
  }
  return rest === undefined ? level[0]! : b.max(level[0]!, rest);
}

/**
 * Whether the centre is at least `peakMin`, larger than the pixels before it in raster order and at least as large as
 * those behind.
 */
export function localMaximum(target: Target, rule: LocalMaximum, bits: number): ScalarFunction {
  const { window } = rule;
  const half = window >> 1;
  const type = ufixed(bits, 0);
  return scalarFunction(target, new Array(window * window).fill(type), (b, pixels) => {
    const at = (row: number, column: number): Value => pixels[row * window + column]!;
    const span = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
    const above = span(window).map((c) => span(half).map((r) => at(r, c)));
    const below = span(window).map((c) => span(half).map((r) => at(half + 1 + r, c)));
    const left = span(half).map((c) => [at(half, c)]);
    const right = span(half).map((c) => [at(half, half + 1 + c)]);
    const before = b.max(largestOf(b, above), largestOf(b, left));
    const behind = b.max(largestOf(b, below), largestOf(b, right));
    const least = b.max(
      b.max(b.add(before, b.constant(1, ufixed(1, 0))), behind),
      b.constant(rule.peakMin, ufixed(bits, 0)),
    );
    const bit = (n: number): Value => b.constant(n, ufixed(1, 0));
    return b.selectNegative(b.sub(at(half, half), least), bit(0), bit(1));
  });
}
