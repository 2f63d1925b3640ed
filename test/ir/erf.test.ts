/** The error function, against values that are published to fifteen digits (NIST DLMF, table 7.2; Python's math.erf). */
import { describe, expect, it } from "vitest";
import { erf } from "../../src/ir/nn/erf.js";

describe("erf", () => {
  it.each([
    [0, 0],
    [0.1, 0.112462916018285],
    [0.5, 0.520499877813047],
    [1, 0.842700792949715],
    [1.5, 0.966105146475311],
    [2, 0.995322265018953],
    [2.5, 0.999593047982555],
    [3, 0.999977909503001],
    [4, 0.999999984582742],
  ])("of %d is %d", (x, value) => {
    expect(Math.abs(erf(x) - value)).toBeLessThan(1e-14);
    expect(Math.abs(erf(-x) + value)).toBeLessThan(1e-14);
  });
  it("ends at one", () => {
    expect([erf(8), erf(-8), erf(Infinity)]).toEqual([1, -1, 1]);
  });
});
