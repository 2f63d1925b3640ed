/** Constant matrices as adder graphs: exact values, exact ranges, least depth. */
import { describe, expect, it } from "vitest";
import { random } from "./random-nets.js";
import { evaluateAdderGraph, type Interval } from "../../src/backend-hls/kernel/adder-graph.js";
import { buildAdderGraph, signedDigitsOf } from "../../src/backend-hls/kernel/build-adder-graph.js";

const inputs = (n: number): Interval[] =>
  Array.from({ length: n }, (_, i) => (i % 2 === 0 ? { lo: -32, hi: 31 } : { lo: 0, hi: 15 }));

describe("adder graphs", () => {
  it.each(Array.from({ length: 100 }, (_, i) => i + 1))("of a random matrix, seed %i", (seed) => {
    const rnd = random(seed);
    const whole = (least: number, most: number): number => least + Math.floor(rnd() * (most - least + 1));
    const columns = whole(1, 9);
    const matrix = Array.from({ length: whole(1, 6) }, () =>
      Array.from({ length: columns }, () => (rnd() < 0.3 ? 0 : whole(-40, 40))),
    );
    const added = seed % 3 === 0 ? undefined : matrix.map(() => (rnd() < 0.4 ? 0 : whole(-100, 100)));
    const ranges = inputs(columns);
    const graph = buildAdderGraph(matrix, ranges, added);
    const terms = matrix.map((row, r) =>
      row.reduce((n, w) => n + signedDigitsOf(w).length, (added?.[r] ?? 0) === 0 ? 0 : 1),
    );
    // A sum of which every term is negative takes one more where its sign matters.
    const limit = Math.ceil(Math.log2(Math.max(1, ...terms))) + (added === undefined ? 0 : 1);
    for (const n of graph.nodes) expect(n.depth).toBeLessThanOrEqual(limit);
    if (added !== undefined) expect(graph.outputs.map((o) => o.negative)).not.toContain(true);
    for (let sample = 0; sample < 20; sample++) {
      const x = ranges.map(({ lo, hi }) => BigInt(sample === 0 ? lo : sample === 1 ? hi : whole(lo, hi)));
      const expected = matrix.map((row, r) =>
        row.reduce((sum, w, i) => sum + BigInt(w) * x[i]!, BigInt(added?.[r] ?? 0)),
      );
      expect(evaluateAdderGraph(graph, x)).toEqual(expected);
      // Every sum stays within the range that its wires are made for.
      const all = evaluateAdderGraph(
        {
          ...graph,
          outputs: graph.nodes.map((_, i) => ({ node: graph.inputs.length + i, shift: 0, negative: false })),
        },
        x,
      );
      all.forEach((v, i) => {
        expect(Number(v)).toBeGreaterThanOrEqual(graph.nodes[i]!.range.lo);
        expect(Number(v)).toBeLessThanOrEqual(graph.nodes[i]!.range.hi);
      });
    }
  });

  it("share what outputs have in common", () => {
    const row = [5, -3, 7, 9];
    const alone = buildAdderGraph([row], inputs(4)).nodes.length;
    expect(buildAdderGraph([row, row.map((w) => 2 * w), row.map((w) => -w)], inputs(4)).nodes.length).toBe(alone);
  });

  it("begin a last subtraction with the upper term where the sign matters", () => {
    const graph = buildAdderGraph([[-1, 4]], inputs(2), [0]);
    expect(graph.nodes).toHaveLength(1);
    expect(graph.nodes[0]).toMatchObject({ a: 1, b: 0, shift: -2, subtract: true, range: { lo: -31, hi: 92 } });
  });
});
