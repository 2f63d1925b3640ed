import { describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import {
  bindBounds,
  limitOf,
  measure,
  parseBound,
  showBound,
  statedValue,
  type OutputBound,
} from "../../src/passes/nn/quantize/bounds.js";

function messageOf(f: () => unknown): string {
  try {
    f();
  } catch (e) {
    if (e instanceof UserError)
      return `${e.diagnostics[0]!.code} ${e.diagnostics[0]!.message} | ${e.diagnostics[0]!.hint}`;
    throw e;
  }
  throw new Error("no error");
}
const bound = (text: string): OutputBound => bindBounds([parseBound(text)], ["y"])[0]!;
const of = (...values: number[]): Float64Array[] => [Float64Array.from(values)];

describe("bounds", () => {
  it("are read with and without an output, whose name may hold colons", () => {
    expect(parseBound("mae=1e-3")).toEqual({ metric: "mae", value: 0.001 });
    expect(parseBound(" Identity:0:SQNR = 40 ")).toEqual({ metric: "sqnr", value: 40, output: "Identity:0" });
    expect(parseBound("argmax=99.5%")).toEqual({ metric: "argmax", value: 0.995 });
  });
  it("without an output hold for each", () => {
    expect(
      bindBounds([parseBound("max=2"), parseBound("b:mae=1")], ["a", "b"]).map((b) => [b.output, b.index, b.metric]),
    ).toEqual([
      ["a", 0, "max"],
      ["b", 1, "max"],
      ["b", 1, "mae"],
    ]);
  });
  it.each([
    ["mea=1", /^QU008 .*mea is not a metric \| did you mean mae/],
    ["mae", /^QU008 .*not METRIC=VALUE/],
    ["mae=-1", /^QU008 .*at least 0/],
    ["mae=x", /^QU008 .*at least 0/],
    ["mae=5%", /^QU008/],
    ["argmax=99", /^QU008 .*from 0 to 1/],
    ["sqnr=", /^QU008/],
  ])("%s is refused", (text, expected) => {
    expect(messageOf(() => parseBound(text))).toMatch(expected);
  });
  it("name outputs that the network has", () => {
    expect(messageOf(() => bindBounds([parseBound("centr:mae=1")], ["centre"]))).toMatch(
      /^QU009 .*"centr".*did you mean "centre"/,
    );
  });
});

describe("metrics", () => {
  const expected = [of(1, 2), of(3, -4)];
  const actual = [of(1.5, 2), of(3, -3)];
  it.each([
    ["mae=1", 1.5 / 4],
    ["rmse=1", Math.sqrt(1.25 / 4)],
    ["max=1", 1],
    ["sqnr=1", Math.sqrt(1.25 / 30)],
    ["argmax=1", 0],
  ])("%s", (text, error) => {
    const m = measure(bound(text), expected, actual);
    expect(m.point).toBeCloseTo(error, 12);
    expect(m.upper).toBeGreaterThanOrEqual(m.point);
  });
  it("of ratios and shares are stated the other way round", () => {
    expect(limitOf(parseBound("sqnr=40"))).toBeCloseTo(0.01, 12);
    expect(statedValue("sqnr", 0.01)).toBeCloseTo(40, 12);
    expect(limitOf(parseBound("argmax=0.9"))).toBeCloseTo(0.1, 12);
    expect(showBound(parseBound("sqnr=40"), 0.1)).toBe("sqnr 20.0 dB");
    expect(showBound(parseBound("argmax=0.9"), 0.25)).toBe("argmax 0.75");
  });
  it("the confidence limit shrinks with the number of samples, and covers the truth about 19 times in 20", () => {
    let state = 5;
    const random = (): number => ((state = (Math.imul(state, 1664525) + 1013904223) | 0) >>> 8) / 2 ** 24;
    const draw = (n: number): ReturnType<typeof measure> =>
      measure(
        bound("mae=1"),
        Array.from({ length: n }, () => of(0)),
        Array.from({ length: n }, () => of(random())),
      );
    let covered = 0;
    for (let k = 0; k < 400; k++) if (draw(50).upper >= 0.5) covered++;
    expect(covered / 400).toBeGreaterThan(0.91);
    expect(covered / 400).toBeLessThan(0.985);
    const [few, many] = [draw(20), draw(2000)];
    expect(many.upper - many.point).toBeLessThan((few.upper - few.point) / 5);
  });
  it("agreement counts changes that the noise makes likely, though none has happened", () => {
    const close = Array.from({ length: 40 }, (_, i) => of(i % 2 === 0 ? 1 : 1.02, 1.01));
    const noisy = close.map(([x], i) => of(x![0]! + (i % 2 === 0 ? -0.02 : 0.02), x![1]!));
    const m = measure(bound("argmax=0.99"), close, noisy);
    expect(m.point).toBe(0);
    expect(m.upper).toBeGreaterThan(0.2);
    const far = measure(
      bound("argmax=0.99"),
      close.map(() => of(5, 0)),
      close.map(() => of(4.98, 0)),
    );
    expect(far.upper).toBeLessThan(1e-6);
  });
});
