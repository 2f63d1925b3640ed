/** Lists of indices as grids: every grid reads what the list says, and regular lists are few grids. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gridSize, gridView, indexGrids, indexRuns, type IndexGrid } from "../../src/passes/lower/index-grids.js";
import type { Viewed } from "../../src/passes/lower/views.js";

/** Indices of a grid, by the view of an axis that it makes. */
function listed(g: IndexGrid): number[] {
  const line = { offset: 0, strides: [1], shape: [1000] } as unknown as Viewed;
  const v = gridView(line, 0, g);
  return v.shape.reduce<number[]>(
    (list, n, d) => list.flatMap((at) => Array.from({ length: n }, (_, i) => at + i * v.strides[d]!)),
    [v.offset],
  );
}

describe("indices as grids", () => {
  it.each([
    [
      "windows of 2 x 4",
      Array.from(
        { length: 64 },
        (_, i) => Math.floor(i / 32) * 32 + (Math.floor(i / 4) % 4) * 8 + (Math.floor(i / 16) % 2) * 4 + (i % 4),
      ),
      1,
    ],
    ["each twice", [0, 0, 1, 1, 2, 2, 3, 3], 1],
    ["a roll", [5, 6, 7, 0, 1, 2, 3, 4], 2],
    ["backwards", [7, 5, 3, 1], 1],
    ["interleaved", [0, 4, 1, 5, 2, 6, 3, 7], 1],
  ])("%s", (_, indices, count) => {
    expect(indexGrids(indices)).toHaveLength(count);
    expect(indexGrids(indices).flatMap(listed)).toEqual(indices);
  });

  it("keeps any list, in order", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 40 }), (indices) => {
        for (const grids of [indexGrids(indices), indexRuns(indices)]) {
          expect(grids.flatMap(listed)).toEqual(indices);
          expect(grids.reduce((n, g) => n + gridSize(g), 0)).toBe(indices.length);
        }
        expect(indexGrids(indices).length).toBeLessThanOrEqual(indexRuns(indices).length);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
