import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { CompilerBug } from "../../src/diagnostics/index.js";
import {
  absType,
  addType,
  clipType,
  dotType,
  leakyReluType,
  maxType,
  minType,
  mulType,
  negType,
  quantizeNumber,
  ranged,
  reluType,
  requantize,
  roundHalfEven,
  roundHalfUp,
  subType,
  sumType,
  weightedSumRange,
  type Overflow,
  type Rounding,
} from "../../src/ir/fixed-arith.js";
import { fixed, isLossless, rawRange, typeOfRange, ufixed, type FixedType } from "../../src/ir/types.js";
import { quantizeRational, toRational } from "./rational.js";

const small: FixedType[] = [];
for (const signed of [true, false])
  for (let width = 1; width <= 4; width++) for (const frac of [-2, 0, 1, 5]) small.push(fixed(width, frac, signed));

function* raws(t: FixedType): Generator<number> {
  const { lo, hi } = rawRange(t);
  for (let r = lo; r <= hi; r++) yield r;
}
function holds(t: FixedType, value: bigint): boolean {
  return toRational(quantizeRational(value, t, "floor", "saturate"), t.frac) === value;
}

describe("result types", () => {
  const binary: [string, (a: FixedType, b: FixedType) => FixedType, (x: bigint, y: bigint) => bigint][] = [
    ["add", (a, b) => addType(ranged(a), ranged(b)), (x, y) => x + y],
    ["sub", (a, b) => subType(ranged(a), ranged(b)), (x, y) => x - y],
    ["mul", (a, b) => mulType(ranged(a), ranged(b)), (x, y) => (x * y) / (1n << 200n)],
    ["max", (a, b) => maxType(ranged(a), ranged(b)), (x, y) => (x > y ? x : y)],
    ["min", (a, b) => minType(ranged(a), ranged(b)), (x, y) => (x < y ? x : y)],
  ];
  it.each(binary)("%s holds every result, and no narrower type does", (_, typeOf, f) => {
    for (const a of small) {
      for (const b of small) {
        const t = typeOf(a, b);
        const tight = fixed(t.width - 1, t.frac, t.signed);
        let fits = true;
        for (const x of raws(a)) {
          for (const y of raws(b)) {
            const v = f(toRational(x, a.frac), toRational(y, b.frac));
            if (!holds(t, v)) expect.fail(`${x} and ${y} of ${JSON.stringify([a, b])} do not fit ${JSON.stringify(t)}`);
            fits &&= tight.width > 0 && holds(tight, v);
          }
        }
        if (t.width > 1) expect(fits, JSON.stringify([a, b, t])).toBe(false);
      }
    }
  });

  const unary: [string, (a: FixedType) => FixedType, (x: bigint) => bigint][] = [
    ["neg", (a) => negType(ranged(a)), (x) => -x],
    ["abs", (a) => absType(ranged(a)), (x) => (x < 0n ? -x : x)],
    ["relu", (a) => reluType(ranged(a)), (x) => (x > 0n ? x : 0n)],
    ["leaky relu 3/8", (a) => leakyReluType(ranged(a), 3, 3), (x) => (x < 0n ? (x * 3n) / 8n : x)],
    ["leaky relu -2", (a) => leakyReluType(ranged(a), -2, 0), (x) => (x < 0n ? x * -2n : x)],
    [
      "clip",
      (a) => clipType(ranged(a), -4, 8),
      (x) => (x < -4n << 200n ? -4n << 200n : x > 8n << 200n ? 8n << 200n : x),
    ],
    ["sum of 3", (a) => sumType(ranged(a), 3), (x) => 3n * x],
  ];
  it.each(unary)("%s holds every result", (_, typeOf, f) => {
    for (const a of small) {
      const t = typeOf(a);
      for (const x of raws(a))
        if (!holds(t, f(toRational(x, a.frac))))
          expect.fail(`${x} of ${JSON.stringify(a)} does not fit ${JSON.stringify(t)}`);
    }
  });

  it("bounds sums of products by the worst group of actual weights", () => {
    const { lo, hi } = weightedSumRange({ lo: 0, hi: 255 }, [1, -1, 3, 2], 2, (i) => i >> 1);
    expect([...lo]).toEqual([-255, 0]);
    expect([...hi]).toEqual([255, 1275]);
    expect(dotType(ranged(ufixed(8, 8)), ranged(fixed(8, 7)), 16)).toEqual(
      typeOfRange({ lo: -16 * 255 * 128, hi: 16 * 255 * 127 }, 15),
    );
  });

  it("refuses results wider than any value may be", () => {
    expect(() => mulType(ranged(fixed(65, 0)), ranged(fixed(65, 0)))).toThrow(CompilerBug);
    expect(mulType(ranged(fixed(64, 0)), ranged(fixed(64, 0))).width).toBe(128);
  });
});

describe("rounding and overflow", () => {
  const modes: [Rounding, Overflow][] = (["half-up", "half-even", "floor"] as const).flatMap((r) =>
    (["saturate", "wrap"] as const).map((o): [Rounding, Overflow] => [r, o]),
  );
  it.each(modes)("%s, %s agrees with rationals on all small formats", (rounding, overflow) => {
    for (const from of [...small, fixed(7, 4), ufixed(6, 6)]) {
      for (const to of small)
        for (const r of raws(from))
          expect(requantize(r, from, to, rounding, overflow) + 0).toBe(
            quantizeRational(toRational(r, from.frac), to, rounding, overflow),
          );
    }
  });
  it("breaks ties as its name says, also where value + 1/2 is not a double", () => {
    expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5].map(roundHalfUp)).toEqual([-2, -1, 0, 1, 2, 3]);
    expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5].map((v) => roundHalfEven(v) + 0)).toEqual([-2, -2, 0, 0, 2, 2]);
    expect(roundHalfUp(0.49999999999999994)).toBe(0);
    expect(roundHalfUp(2 ** 52 + 1)).toBe(2 ** 52 + 1);
  });
  it("agrees with rationals on wide formats", () => {
    const format = fc
      .record({ signed: fc.boolean(), width: fc.integer({ min: 1, max: 53 }), frac: fc.integer({ min: -20, max: 60 }) })
      .map((t) => fixed(t.width, t.frac, t.signed));
    fc.assert(
      fc.property(
        format,
        format,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom(...modes),
        (from, to, u, [rounding, overflow]) => {
          const { lo, hi } = rawRange(from);
          const raw = Math.min(hi, lo + Math.floor(u * (hi - lo)));
          expect(requantize(raw, from, to, rounding, overflow) + 0).toBe(
            quantizeRational(toRational(raw, from.frac), to, rounding, overflow),
          );
        },
      ),
      { seed: 7, numRuns: 2000 },
    );
  });
  it("takes real numbers to ports: half to even, saturating, NaN to 0", () => {
    expect([0.3, 0.75, 0.25, 99, -1, NaN, Infinity, -Infinity].map((v) => quantizeNumber(v, ufixed(4, 1)) + 0)).toEqual(
      [1, 2, 0, 15, 0, 0, 15, 0],
    );
  });
  it("knows when a conversion loses nothing", () => {
    expect(isLossless(fixed(8, 4), fixed(9, 5))).toBe(true);
    expect(isLossless(fixed(8, 4), ufixed(12, 4))).toBe(false);
  });
});
