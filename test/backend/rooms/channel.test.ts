/** The room `channel`: who writes and reads which element when, and what holds it meanwhile. */
import { describe, expect, it } from "vitest";
import { elementAt } from "../../../src/ir/present.js";
import { affineExpr, affineMap } from "../../../src/ir/affine.js";
import { rowMajorView } from "../../../src/ir/flow/kernel.js";
import { fixed, stream } from "../../../src/ir/types.js";
import {
  type KernelAccess,
  kernelOrder,
  lanePoints,
  portOrder,
  portReads,
  readTable,
} from "../../../src/backend-hls/channel/access.js";
import { channelResources } from "../../../src/backend-hls/channel/channel-area.js";
import { consumerCycles, planChannel } from "../../../src/backend-hls/channel/channel-plan.js";
import { bankDepth, planMemory } from "../../../src/backend-hls/channel/memory-plan.js";
import { beats, inputWord, portWordChoices } from "../../../src/backend-hls/channel/ports.js";
import { fetchGaps, planStream, streamCycles } from "../../../src/backend-hls/channel/stream-plan.js";
import { deviceCalled } from "../scheduled.js";

const picture = stream([1, 6, 6], fixed(8, 0));

/** A window of 3 x 3 over a picture of 6 x 6; `lanes` columns side by side. */
function window({ pad = 0, lanes = 1, swapped = false } = {}): KernelAccess {
  const side = 4 + 2 * pad;
  const names = ["y", "x", "ky", "kx"];
  const at = (v: string) => affineExpr(names, { [v]: 1, [`k${v}`]: 1 }, -pad);
  return {
    name: "window",
    iterators: [
      { name: "y", extent: side, kind: "parallel" },
      { name: "x", extent: side, kind: "parallel" },
      { name: "ky", extent: 3, kind: "reduction" },
      { name: "kx", extent: 3, kind: "reduction" },
    ],
    schedule: { order: swapped ? ["x", "y", "ky", "kx"] : names, unroll: { x: lanes, ky: 3, kx: 3 } },
    operands: [
      {
        map: affineMap(names, [affineExpr(names, {}), at("y"), at("x")]),
        view: rowMajorView([1, 6, 6]),
        phase: "body",
      },
    ],
    out: affineMap(names, [affineExpr(names, { y: 1 }), affineExpr(names, { x: 1 })]),
    resultShape: [side, side],
    resultElem: fixed(12, 0),
  };
}

describe("tables of access", () => {
  it("say the element of every step and lane, and where there is none", () => {
    const spec = window({ pad: 1 });
    const table = readTable(spec, 0);
    expect([table.steps, table.lanes]).toEqual([36, 9]);
    const lane = (n: number): readonly [number, number] => [Math.floor(n / 3), n % 3];
    for (let step = 0; step < table.steps; step++)
      for (let n = 0; n < 9; n++) {
        const [ky, kx] = lane(n);
        const [y, x] = [Math.floor(step / 6) + ky - 1, (step % 6) + kx - 1];
        expect(table.element[step * 9 + n]).toBe(y < 0 || y >= 6 || x < 0 || x >= 6 ? -1 : 6 * y + x);
      }
  });
  it("number lanes in the order of the iterators", () => {
    const points = lanePoints(window({ lanes: 2 }), () => true);
    expect(points).toHaveLength(18);
    expect(points[1]).toEqual([
      { index: 1, lane: 0 },
      { index: 2, lane: 0 },
      { index: 3, lane: 1 },
    ]);
  });
  it("say when a result is written, each element once", () => {
    const order = kernelOrder(window({ lanes: 2, swapped: true }));
    expect([order.words, order.planes]).toEqual([8, 2]);
    const places = Array.from(order.wordOf, (w, i) => `${w}.${order.planeOf[i]}`);
    expect(new Set(places).size).toBe(16);
    // Columns outside: element (1, 0) is written right after element (0, 0).
    expect([order.wordOf[0], order.wordOf[4], order.wordOf[2]]).toEqual([0, 1, 4]);
  });
});

describe("ports", () => {
  it("take whole groups of row-major elements", () => {
    expect(portWordChoices(picture)).toEqual([1, 2, 3, 6, 12, 18, 36]);
    expect(inputWord(picture, 12)).toBe(3);
    expect(inputWord(picture, 11)).toBe(6);
    expect(beats(picture, 6)).toBe(6);
  });
  it("read what they write", () => {
    const order = portOrder(picture, 6);
    const table = portReads(picture, 6);
    expect(order.words).toBe(table.steps);
    expect(Array.from(table.element, (e) => order.wordOf[e])).toEqual(
      Array.from({ length: 36 }, (_, i) => Math.floor(i / 6)),
    );
  });
});

describe("streams", () => {
  it("take a window in three rows and three columns, fetched once each", () => {
    const plan = planStream(portOrder(picture, 1), readTable(window(), 0));
    expect(plan).toMatchObject({ kind: "window", rows: 3, columns: 3, pitch: 6, fetches: 24, flushes: 0 });
    if (plan === undefined) return;
    expect(streamCycles(plan)).toBe(24);
    expect(fetchGaps(plan).reduce((a, b) => a + b)).toBe(24);
    for (let f = 0; f < plan.fetches; f++) expect(elementAt(plan.release, f)).toBeLessThanOrEqual(36);
  });
  it("merge the flush of a padded window with the next sample", () => {
    const plan = planStream(portOrder(picture, 1), readTable(window({ pad: 1 }), 0));
    expect(plan).toMatchObject({ flushes: 1, mergesFlush: true });
    expect(plan === undefined ? 0 : streamCycles(plan)).toBe(36);
  });
  it("of a port are one tap", () => {
    expect(planStream(portOrder(picture, 2), portReads(picture, 2))).toMatchObject({
      kind: "fifo",
      rows: 1,
      columns: 1,
    });
  });
});

describe("memories", () => {
  it("hold what is read in another order, and need a word when it is first read", () => {
    const table = readTable(window({ swapped: true }), 0);
    const plan = planMemory(portOrder(picture, 1), table);
    // The first column of windows reads down to the last row.
    expect([plan.need[0], plan.need[3]]).toEqual([15, 33]);
    expect(plan.banks.length).toBeGreaterThan(0);
    for (let i = 0; i < table.element.length; i++) {
      const bank = plan.banks[elementAt(plan.laneBank, i)];
      const step = Math.floor(i / table.lanes);
      expect(bank?.words[bank.address[step] ?? -1]).toBe(table.element[i]);
    }
    expect(consumerCycles(plan)).toBe(16);
  });
  it("have banks of whole powers of two where addresses are joined", () => {
    expect(bankDepth(5, 2)).toBeGreaterThanOrEqual(10);
  });
  it("are chosen where a stream would wait too long", () => {
    const large = stream([16, 16], fixed(8, 0));
    const forwards = portReads(large, 1);
    const backwards = { ...forwards, element: forwards.element.slice().reverse() };
    expect(planChannel(portOrder(large, 1), backwards).kind).toBe("memory");
    expect(planChannel(portOrder(large, 1), forwards).kind).toBe("fifo");
    expect(planChannel(portOrder(picture, 1), readTable(window(), 0)).kind).toBe("window");
  });
});

describe("the area of a channel", () => {
  it("grows with its capacity, and knows block RAM", () => {
    const device = deviceCalled("xcu280");
    const plan = planChannel(portOrder(picture, 1), portReads(picture, 1));
    const at = (words: number, deep = false) => channelResources(device, plan, fixed(8, 0), words, { deep });
    expect(at(1024).lut).toBeGreaterThan(at(16).lut);
    expect(at(4096, true).bram).toBeGreaterThan(0);
    expect(at(16).bram).toBe(0);
  });
});
