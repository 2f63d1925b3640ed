/** Values of more than 53 bits: ranges, rounding, and random graphs on all levels, against rationals. */
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import "../../src/ir/dialects.js";
import {
  addType,
  clipType,
  dotType,
  leakyReluType,
  maxType,
  minType,
  mulType,
  ranged,
  requantizeWide,
  subType,
  sumType,
  weightedSumsRange,
  type Overflow,
  type Rounding,
} from "../../src/ir/fixed-arith.js";
import { fixed, isLossless, typeOfRange, wideRange, type FixedType, type WideRange } from "../../src/ir/types.js";
import { buildAdderGraph } from "../../src/backend-hls/kernel/build-adder-graph.js";
import { rawOfRational, toRational } from "./rational.js";

const wideType = (most: number): fc.Arbitrary<FixedType> =>
  fc.record({
    kind: fc.constant("fixed" as const),
    signed: fc.boolean(),
    width: fc.integer({ min: 1, max: most }),
    frac: fc.integer({ min: -6, max: 12 }),
  });
/** The extremes, what is next to them and to 0, and anything between. */
const rawOf = (t: FixedType): fc.Arbitrary<bigint> => {
  const { lo, hi } = wideRange(t);
  return fc.oneof(fc.constantFrom(lo, hi, lo < hi ? hi - 1n : hi, 0n), fc.bigInt(lo, hi));
};
const typeAndRaw = (most: number): fc.Arbitrary<[FixedType, bigint]> =>
  wideType(most).chain((t) => fc.tuple(fc.constant(t), rawOf(t)));

function fits(t: FixedType, v: bigint): boolean {
  return toRational(rawOfRational(v, t, "floor", "saturate"), t.frac) === v;
}
/** Bits of an interval, by counting digits. */
function bitsOf({ lo, hi }: WideRange): FixedType {
  let width = 1;
  for (; ; width++) {
    const t = fixed(width, 0, lo < 0n);
    const r = wideRange(t);
    if (r.lo <= lo && r.hi >= hi) return t;
  }
}

describe("types of wide results", () => {
  it("typeOfRange takes the fewest bits", () => {
    fc.assert(
      fc.property(fc.bigInt(-(1n << 100n), 1n << 100n), fc.bigInt(0n, 1n << 100n), (lo, more) => {
        expect(typeOfRange({ lo, hi: lo + more }, 0)).toEqual(bitsOf({ lo, hi: lo + more }));
      }),
    );
    for (let w = 50; w <= 128; w++)
      for (const signed of [true, false])
        expect(typeOfRange(wideRange(fixed(w, 3, signed)), 3)).toEqual(fixed(w, 3, signed));
  });

  const one = 1n << 200n;
  const binary: [string, (a: FixedType, b: FixedType) => FixedType, (x: bigint, y: bigint) => bigint][] = [
    ["add", (a, b) => addType(ranged(a), ranged(b)), (x, y) => x + y],
    ["sub", (a, b) => subType(ranged(a), ranged(b)), (x, y) => x - y],
    ["mul", (a, b) => mulType(ranged(a), ranged(b)), (x, y) => (x * y) / one],
    ["dot", (a, b) => dotType(ranged(a), ranged(b), 9), (x, y) => (9n * x * y) / one],
    ["max", (a, b) => maxType(ranged(a), ranged(b)), (x, y) => (x > y ? x : y)],
    ["min", (a, b) => minType(ranged(a), ranged(b)), (x, y) => (x < y ? x : y)],
    ["sum", (a) => sumType(ranged(a), 7), (x) => 7n * x],
    ["leaky relu", (a) => leakyReluType(ranged(a), -5, 3), (x) => (x < 0n ? (x * -5n) / 8n : x)],
    [
      "clip",
      (a) => clipType(ranged(a), -64, 2 ** 40),
      (x) => (x < -64n * one ? -64n * one : x > one << 40n ? one << 40n : x),
    ],
  ];
  it.each(binary)("%s holds every result", (_, typeOf, f) => {
    fc.assert(
      fc.property(typeAndRaw(60), typeAndRaw(60), ([a, x], [b, y]) => {
        expect(fits(typeOf(a, b), f(toRational(x, a.frac), toRational(y, b.frac)))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it("isLossless sees the last bit", () => {
    expect(isLossless(fixed(64, 0), fixed(64, 0))).toBe(true);
    expect(isLossless(fixed(65, 0, false), fixed(65, 0))).toBe(false);
    expect(isLossless(fixed(60, 0), fixed(63, 4))).toBe(false);
    expect(isLossless(fixed(60, 0), fixed(64, 4))).toBe(true);
  });

  it("bounds weighted sums exactly, in numbers or not", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 70 }),
        fc.boolean(),
        fc.array(fc.integer({ min: -(2 ** 30), max: 2 ** 30 }), { minLength: 1, maxLength: 12 }),
        fc.bigInt(-(1n << 80n), 1n << 80n),
        (width, signed, weights, bias) => {
          const x = wideRange(fixed(width, 0, signed));
          const ends = [0n, 1n].map((g) => {
            const own = weights.filter((_, i) => BigInt(i % 2) === g).map(BigInt);
            const worst = (side: (a: bigint, b: bigint) => bigint): bigint =>
              own.reduce((s, w) => s + side(0n, side(w * x.lo, w * x.hi)), 0n);
            return { lo: worst((a, b) => (a < b ? a : b)), hi: worst((a, b) => (a > b ? a : b)) };
          });
          const all = ends.flatMap((e) => [0n, e.lo, e.hi, e.lo + bias, e.hi + bias]);
          const got = weightedSumsRange(
            x,
            weights,
            2,
            (i) => i % 2,
            () => bias,
          );
          expect(got).toEqual({ lo: all.reduce((a, b) => (b < a ? b : a)), hi: all.reduce((a, b) => (b > a ? b : a)) });
        },
      ),
    );
  });

  it("adder graphs never think that a number is smaller than it is", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: -(2 ** 26), max: 2 ** 26 }), { minLength: 4, maxLength: 4 }), {
          minLength: 1,
          maxLength: 3,
        }),
        fc.integer({ min: 30, max: 53 }),
        fc.boolean(),
        (matrix, width, signed) => {
          const exact = wideRange(fixed(width, 0, signed));
          const input = { lo: Number(exact.lo), hi: Number(exact.hi) };
          const graph = buildAdderGraph(
            matrix,
            matrix[0]!.map(() => input),
          );
          const ranges: WideRange[] = graph.inputs.map(() => exact);
          for (const n of graph.nodes) {
            const [p, q] = [
              1n << BigInt(Math.max(0, -n.shift)),
              (n.subtract ? -1n : 1n) << BigInt(Math.max(0, n.shift)),
            ];
            const times = (r: WideRange, c: bigint): WideRange =>
              c < 0n ? { lo: r.hi * c, hi: r.lo * c } : { lo: r.lo * c, hi: r.hi * c };
            const [x, y] = [times(ranges[n.a]!, p), times(ranges[n.b]!, q)];
            const r = n.a === n.b ? times(ranges[n.a]!, p + q) : { lo: x.lo + y.lo, hi: x.hi + y.hi };
            ranges.push(r);
            if (r.lo < BigInt(n.range.lo) || r.hi > BigInt(n.range.hi))
              expect.fail(`[${r.lo}, ${r.hi}] is not within [${n.range.lo}, ${n.range.hi}]`);
          }
        },
      ),
    );
  });
});

describe("rounding of wide numbers", () => {
  const modes: [Rounding, Overflow][] = (["half-up", "half-even", "floor"] as const).flatMap((r) =>
    (["saturate", "wrap"] as const).map((o): [Rounding, Overflow] => [r, o]),
  );
  it.each(modes)("%s, %s agrees with rationals", (rounding, overflow) => {
    fc.assert(
      fc.property(
        typeAndRaw(120),
        wideType(70),
        fc.integer({ min: 0, max: 70 }),
        fc.boolean(),
        ([from, raw], to, shift, tie) => {
          const source = { ...from, frac: to.frac + shift };
          // Ties are rare among random numbers.
          const x = tie && shift > 0 ? ((raw >> BigInt(shift)) << BigInt(shift)) + (1n << BigInt(shift - 1)) : raw;
          expect(requantizeWide(x, source, to, rounding, overflow)).toBe(
            rawOfRational(toRational(x, source.frac), to, rounding, overflow),
          );
        },
      ),
      { numRuns: 400 },
    );
  });
});
