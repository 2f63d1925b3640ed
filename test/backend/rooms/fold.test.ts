/** The room `fold`: candidates for every kernel, and the choice among them for all kernels together. */
import { describe, expect, it } from "vitest";
import type { Module } from "../../../src/ir/core.js";
import { readKernel, stepCount } from "../../../src/ir/flow/kernel.js";
import type { StreamType } from "../../../src/ir/types.js";
import { lowerToFlow } from "../../../src/passes/lower/nn-to-flow.js";
import { fuseElementwise } from "../../../src/passes/flow/fuse-elementwise.js";
import { planChannel, consumerCycles } from "../../../src/backend-hls/channel/channel-plan.js";
import { readTable } from "../../../src/backend-hls/channel/access.js";
import { portArrival, resultArrival, scheduleCandidates } from "../../../src/backend-hls/fold/candidates.js";
import { ChannelCosts } from "../../../src/backend-hls/fold/channel-cost.js";
import { foldKernels, wholeRequest } from "../../../src/backend-hls/fold/folding.js";
import { FoldingSearch } from "../../../src/backend-hls/fold/folding-search.js";
import { matchProducers, portDigits } from "../../../src/backend-hls/fold/match-order.js";
import { DEFAULT_PRICES, unrollText } from "../../../src/backend-hls/fold/request.js";
import { FoldingSolver } from "../../../src/backend-hls/fold/solve-folding.js";
import { unroll } from "../../../src/backend-hls/passes.js";
import { parsePipeline } from "../../../src/passes/pipeline-spec.js";
import { randomNetwork } from "../random-nets.js";
import { deviceCalled } from "../scheduled.js";

const device = deviceCalled("xcu280");
function fused(seed: number): Module {
  const flow = lowerToFlow(randomNetwork(seed));
  fuseElementwise(flow);
  return flow;
}
const seeds = Array.from({ length: 12 }, (_, i) => i + 1);

describe("candidates", () => {
  it.each(seeds)("fit the interval, seed %i", (seed) => {
    const flow = fused(seed);
    const op = flow.func.body.ops.find((o) => o.name === "flow.kernel");
    if (op === undefined) return;
    const spec = readKernel(op);
    const arrivals = spec.operands.map((o) =>
      o.value.def === undefined ? portArrival(o.value.type as StreamType, 1) : undefined,
    );
    const { list, fastest } = scheduleCandidates(device, op, spec, arrivals, 64);
    for (const c of list) {
      expect(c.steps).toBeLessThanOrEqual(64);
      expect(stepCount(c.spec)).toBe(c.steps);
      expect(c.firstWord).toBeLessThanOrEqual(c.steps);
    }
    if (list.length === 0) expect(fastest).toBeGreaterThan(64);
  });
  it("cost what their channels cost when they are planned as a whole", () => {
    let compared = 0;
    for (const seed of seeds) {
      const op = fused(seed).func.body.ops.find((o) => o.name === "flow.kernel");
      if (op === undefined) continue;
      const spec = readKernel(op);
      const arrivals = spec.operands.map((o) =>
        o.value.def === undefined ? portArrival(o.value.type as StreamType, 1) : undefined,
      );
      for (const { spec: s } of scheduleCandidates(device, op, spec, arrivals, 200).list.slice(0, 20)) {
        const arrival = arrivals[0];
        if (arrival === undefined) continue;
        const cost = new ChannelCosts(device).cost(arrival.key, arrival.order, s, 0);
        expect(cost.cycles).toBe(consumerCycles(planChannel(arrival.order(), readTable(s, 0))));
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(20);
  });
  it("of equal order are told apart by nothing else", () => {
    const op = fused(2).func.body.ops.find((o) => o.name === "flow.kernel");
    if (op === undefined) throw new Error("no kernel");
    const spec = { ...readKernel(op), schedule: { order: readKernel(op).iterators.map((i) => i.name), unroll: {} } };
    expect(resultArrival(spec).key).toBe(resultArrival({ ...spec, name: "other" }).key);
  });
});

describe("loop orders", () => {
  it("split iterators where the words of a port end, and walk along it", () => {
    const op = fused(1).func.body.ops.find((o) => o.name === "flow.kernel");
    if (op === undefined) throw new Error("no kernel");
    const spec = readKernel(op);
    const type = spec.operands[0]?.value.type as StreamType;
    const { spec: split, order } = matchProducers(
      spec,
      spec.operands.map((_, k) => (k === 0 ? portDigits(type, 1) : undefined)),
    );
    expect([...order.order].sort()).toEqual(split.iterators.map((i) => i.name).sort());
    const points = (s: typeof spec): number => s.iterators.reduce((n, i) => n * i.extent, 1);
    expect(points(split)).toBe(points(spec));
  });
});

describe("foldings", () => {
  it.each(seeds)("keep the interval and cost at least their bound, seed %i", (seed) => {
    const flow = fused(seed);
    const solver = new FoldingSolver(flow, device);
    const request = wholeRequest(flow, { ii: 400 });
    const folding = solver.solve(request);
    if ("kernel" in folding) return expect(folding.cycles).toBeGreaterThan(400);
    expect(folding.bound).toBeLessThanOrEqual(folding.cost + 1e-9);
    for (const spec of folding.kernels.values()) expect(stepCount(spec)).toBeLessThanOrEqual(400);
    // A wider search finds nothing dearer; what is known is not searched again.
    const wide = new FoldingSearch(solver, request, 200, 40, 5e7).run();
    if (!("kernel" in wide)) expect(wide.cost).toBeLessThanOrEqual(folding.cost + 1e-9);
    expect(solver.solve({ ...request })).toBe(folding);
  });
  it("cost no more where there is more time", () => {
    for (const seed of seeds) {
      const flow = fused(seed);
      const solver = new FoldingSolver(flow, device);
      const at = (ii: number): number => {
        const f = solver.solve({
          ...wholeRequest(flow, { ii, prices: { ...DEFAULT_PRICES, latency: 0 } }),
          inputWords: [1],
        });
        return "kernel" in f ? Infinity : f.cost;
      };
      expect(at(4000)).toBeLessThanOrEqual(at(500) + 1e-9);
    }
  });
  it("are written into the module, and refused with the kernel that is too slow", () => {
    const flow = fused(3);
    const solver = new FoldingSolver(flow, device);
    const refused = foldKernels(flow, solver, { ii: 1, inputWords: [1] });
    expect("kernel" in refused && refused.cycles > 1).toBe(true);
    const folded = foldKernels(flow, solver, { ii: 400 });
    expect("words" in folded && folded.words.inputs.length).toBe(1);
    for (const op of flow.func.body.ops) if (op.name === "flow.kernel") expect(readKernel(op).schedule).toBeDefined();
  });
});

describe("requests", () => {
  it("as text are options of the pass `unroll`", () => {
    const flow = fused(1);
    const text = unrollText(wholeRequest(flow, { ii: 77, outputBits: 32, effort: "quick" }));
    const [parsed] = parsePipeline(`unroll{${text}}`);
    expect(parsed).toMatchObject({
      kind: "pass",
      name: unroll.name,
      options: { ii: 77, effort: "quick", "output-bits": 32 },
    });
  });
});
