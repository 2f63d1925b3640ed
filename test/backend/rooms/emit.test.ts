/** The room `emit`: parts of the hardware, each driven by itself in the rtl interpreter. */
import { beforeAll, describe, expect, it } from "vitest";
import { elementAt, firstOf, lookUp, present } from "../../../src/ir/present.js";
import { Module, type Value } from "../../../src/ir/core.js";
import type { KernelSpec } from "../../../src/ir/flow/kernel.js";
import { RtlSimulator } from "../../../src/ir/eval/rtl-sim.js";
import { RtlModuleBuilder, s, u, type Port } from "../../../src/ir/rtl/builder.js";
import { assertValid } from "../../../src/ir/verify.js";
import { fixed } from "../../../src/ir/types.js";
import type { Design } from "../../../src/backend-hls/design/design.js";
import type { Channel } from "../../../src/backend-hls/design/network.js";
import { parseSchedule, solveSchedule } from "../../../src/backend-hls/design/schedule-text.js";
import { balance, channelPorts, fallBetweenSteps } from "../../../src/backend-hls/emit/emit-balance.js";
import { emitAdderGraph, Staged, wires } from "../../../src/backend-hls/emit/emit-body.js";
import {
  LoopCounters,
  largest,
  least,
  moduloCounter,
  tableLookup,
} from "../../../src/backend-hls/emit/emit-counters.js";
import { emitKernel, waitsFor } from "../../../src/backend-hls/emit/emit-kernel.js";
import { emitMemory } from "../../../src/backend-hls/emit/emit-memory.js";
import { operandLanes } from "../../../src/backend-hls/emit/emit-operands.js";
import { emitStream } from "../../../src/backend-hls/emit/emit-stream.js";
import { accumulate, reduceTree, settle } from "../../../src/backend-hls/emit/emit-sums.js";
import { emitTrees } from "../../../src/backend-hls/emit/emit-trees.js";
import { resultName } from "../../../src/backend-hls/emit/emit-unit.js";
import { lowerToRtl, moduleName } from "../../../src/backend-hls/emit/flow-to-rtl.js";
import { rtlArea } from "../../../src/backend-hls/emit/rtl-area.js";
import { evaluateAdderGraph } from "../../../src/backend-hls/kernel/adder-graph.js";
import { buildAdderGraph } from "../../../src/backend-hls/kernel/build-adder-graph.js";
import type { Pipeline } from "../../../src/backend-hls/kernel/pipeline.js";
import { random } from "../random-nets.js";
import { deviceCalled, scheduledNetwork } from "../scheduled.js";

const device = deviceCalled("xcu280");

/** A module of its own around what `build` makes. */
function simulated(ports: readonly Port[], build: (m: RtlModuleBuilder) => Record<string, Value>): RtlSimulator {
  const module = new Module("test");
  const m = new RtlModuleBuilder(module, "top", [...ports]);
  m.finish(build(m));
  assertValid(module, "the part");
  const sim = new RtlSimulator(module, "top");
  sim.reset();
  return sim;
}

describe("counters", () => {
  it("run through a nest, and say where the last trip is", () => {
    const sim = simulated([{ name: "go", type: u(1) }], (m) => {
      const c = new LoopCounters(
        m,
        [
          { name: "a", trips: 3 },
          { name: "b", trips: 5 },
        ],
        m.input("go"),
        "n_",
      );
      return {
        index: c.index([0, 1]).value,
        last: c.last(1),
        table: tableLookup(
          m,
          c.index([0, 1]).value,
          Array.from({ length: 15 }, (_, i) => (i * i) % 11),
          "t",
        ),
      };
    });
    sim.set("go", 1);
    for (let i = 0; i < 40; i++) {
      expect([sim.getNumber("index"), sim.getNumber("last")]).toEqual([i % 15, i % 5 === 4 ? 1 : 0]);
      expect(sim.getNumber("table")).toBe((i % 15) ** 2 % 11);
      sim.step();
    }
  });
  it("stand still where nothing happens", () => {
    const sim = simulated([{ name: "go", type: u(1) }], (m) => {
      const c = moduloCounter(m, 6, m.input("go"), "c");
      return { value: c.value, next: c.next() };
    });
    let expected = 0;
    const rnd = random(7);
    for (let i = 0; i < 60; i++) {
      const go = rnd() < 0.5 ? 1 : 0;
      sim.set("go", go);
      expect([sim.getNumber("value"), sim.getNumber("next")]).toEqual([expected, (expected + go) % 6]);
      expected = (expected + go) % 6;
      sim.step();
    }
  });
  it("know the least and the largest of long lists", () => {
    const list = Int32Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 300_007);
    expect([least(list), largest(list)]).toEqual([0, Math.max(...list.slice(0, 1000), largest(list))]);
  });
});

describe("balances", () => {
  it("go up by one and down by steps, and know what is present and what is below", () => {
    const falls = [2, 3, 1, 2];
    const sim = simulated(
      [
        { name: "up", type: u(1) },
        { name: "down", type: u(1) },
      ],
      (m) => {
        const steps = moduloCounter(m, falls.length, m.input("down"), "step");
        const fall = fallBetweenSteps(falls, "fall", (list, hint) =>
          tableLookup(m, steps.value, Array.from(list), hint),
        );
        const b = balance(m, { lo: -3, hi: 8 }, 4, m.input("up"), fall, m.input("down"), "words");
        return { present: b.present("present"), below: b.below(6, "below") };
      },
    );
    let [words, step] = [4, 0];
    const rnd = random(3);
    for (let i = 0; i < 300; i++) {
      expect([sim.getNumber("present"), sim.getNumber("below")]).toEqual([words >= 0 ? 1 : 0, words < 6 ? 1 : 0]);
      const fall = elementAt(falls, step);
      const up = words < 7 && rnd() < 0.7 ? 1 : 0;
      const down = words - fall >= -3 && rnd() < 0.4 ? 1 : 0;
      sim.set("up", up);
      sim.set("down", down);
      words += up - down * fall;
      if (down === 1) step = (step + 1) % falls.length;
      sim.step();
    }
  });
});

describe("sums", () => {
  const type = fixed(8, 0);
  const ports: Port[] = Array.from({ length: 5 }, (_, i) => ({ name: `x${i}`, type: s(8) }));
  const spec = (combiner: KernelSpec["combiner"]) =>
    ({ combiner, accType: fixed(combiner === "add" ? 12 : 8, 0) }) as KernelSpec;
  it.each([
    ["add", (v: readonly number[]) => v.reduce((a, b) => a + b)],
    ["max", (v: readonly number[]) => Math.max(...v)],
    ["min", (v: readonly number[]) => Math.min(...v)],
  ] as const)("of five terms in a tree of three levels: %s", (combiner, expected) => {
    const pipeline = { treeStages: [1, 1, 2] } as unknown as Pipeline;
    const sim = simulated(ports, (m) => {
      const terms = ports.map((p) => ({ value: new Staged(m, m.input(p.name), 1), carry: undefined }));
      const sum = reduceTree(m, spec(combiner), pipeline, terms, type);
      return { y: m.cast(settle(m, spec(combiner), pipeline, sum).atStage(2), s(12)) };
    });
    const rnd = random(11);
    for (let i = 0; i < 50; i++) {
      const values = ports.map(() => Math.floor(rnd() * 256) - 128);
      values.forEach((v, k) => sim.set(`x${k}`, v));
      sim.step();
      expect(BigInt.asIntN(12, sim.get("y"))).toBe(BigInt(expected(values)));
    }
  });
  it("over steps begin anew with the first one", () => {
    const pipeline = { accStage: 1 } as unknown as Pipeline;
    const sim = simulated(
      [...ports.slice(0, 1), { name: "first", type: u(1) }, { name: "accumulate", type: u(1) }],
      (m) => ({
        y: accumulate(m, spec("add"), pipeline, { value: new Staged(m, m.input("x0"), 1), carry: undefined }, 1).value,
      }),
    );
    let sum = 0;
    for (let i = 0; i < 30; i++) {
      const x = ((i * 37) % 101) - 50;
      sim.set("x0", x);
      sim.set("first", i % 4 === 0 ? 1 : 0);
      sim.set("accumulate", 1);
      sum = (i % 4 === 0 ? 0 : sum) + x;
      sim.step();
      expect(BigInt.asIntN(12, sim.get("y"))).toBe(BigInt(sum));
    }
  });
  it("of a matrix of constants are what the graph says", () => {
    const graph = buildAdderGraph(
      [
        [3, -5, 7],
        [6, 11, -14],
        [0, 1, 0],
      ],
      ports.slice(0, 3).map(() => ({ lo: -128, hi: 127 })),
    );
    const out = wires(fixed(16, 0));
    const sim = simulated(ports.slice(0, 3), (m) => {
      const inputs = ports.slice(0, 3).map((p) => new Staged(m, m.input(p.name), 1));
      const stages = { nodes: graph.nodes.map(() => 1), outputs: graph.outputs.map(() => 1) };
      return Object.fromEntries(emitAdderGraph(m, graph, inputs, stages, out).map((v, i) => [`y${i}`, v.atStage(1)]));
    });
    for (const x of [
      [1, 2, 3],
      [-128, 127, -1],
      [0, 0, 0],
    ]) {
      x.forEach((v, i) => sim.set(`x${i}`, v));
      expect([0, 1, 2].map((i) => BigInt.asIntN(16, sim.get(`y${i}`)))).toEqual(
        evaluateAdderGraph(graph, x.map(BigInt)),
      );
    }
  });
});

/** Writes random samples into a channel and compares each step with its table of reads. */
function driveChannel(c: Channel, samples: number, seed: number): void {
  const module = new Module("test");
  if (c.plan.kind === "memory") emitMemory(module, "top", c, c.plan, device);
  else emitStream(module, "top", c, c.plan);
  const sim = new RtlSimulator(module, "top");
  sim.reset();
  const { order, table } = c.plan;
  const rnd = random(seed);
  const elements = order.wordOf.length;
  const data = Array.from({ length: samples }, () =>
    Array.from({ length: elements }, () => Math.floor(rnd() * 2 ** c.elem.width)),
  );
  const wordAt = (n: number): bigint => {
    let word = 0n;
    const [sample, w] = [Math.floor(n / c.plan.words), n % c.plan.words];
    for (let e = 0; e < elements; e++)
      if (order.wordOf[e] === w)
        word |= BigInt(elementAt(elementAt(data, sample), e)) << BigInt(elementAt(order.planeOf, e) * c.elem.width);
    return word;
  };
  let [pushed, taken] = [0, 0];
  let due: number | undefined;
  const compare = (step: number): void => {
    const word = sim.get("data");
    const [sample, at] = [Math.floor(step / table.steps), step % table.steps];
    for (let lane = 0; lane < table.lanes; lane++) {
      const e = elementAt(table.element, at * table.lanes + lane);
      const expected = e < 0 ? c.pad : elementAt(elementAt(data, sample), e);
      const found = Number(BigInt.asUintN(c.elem.width, word >> BigInt(lane * c.elem.width)));
      expect(found, `${c.name}: sample ${sample}, step ${at}, lane ${lane}`).toBe(expected);
    }
  };
  for (let cycle = 0; taken < samples * table.steps; cycle++) {
    expect(cycle, `${c.name} comes to an end`).toBeLessThan(40 * samples * (table.steps + c.plan.words) + 400);
    const push = pushed < samples * c.plan.words && sim.getNumber("space") === 1 && rnd() < 0.8;
    sim.set("reserve", push ? 1 : 0);
    sim.set("push", push ? 1 : 0);
    sim.set("push_data", push ? wordAt(pushed) : 0);
    if (push) pushed++;
    if (due !== undefined) compare(due);
    due = undefined;
    const take = sim.getNumber("valid") === 1 && rnd() < 0.8;
    sim.set("take", take ? 1 : 0);
    if (take) {
      // The data of a memory leave a cycle later.
      if (c.plan.kind === "memory") due = taken;
      else compare(taken);
      taken++;
    }
    sim.step();
  }
}

describe("channels", () => {
  const channelOf = (text: string): Channel =>
    present(
      solveSchedule(parseSchedule(text)).network.channels.find((c) => c.consumer.kind === "kernel" && !c.direct),
      "channel",
    );
  it.each([
    [
      "a window",
      "input x 1x6x6 bits 8 word 1\nkernel k 1x4x4 bits 12 depth 3\n loop y 4, x 4, sum i 3 by 3, sum j 3 by 3\n read x [0, y + i, x + j] of 1x6x6\n write [0, y, x]\noutput y k word 1",
    ],
    [
      "a padded window",
      "input x 1x6x6 bits 8 word 1\nkernel k 1x6x6 bits 12 depth 3\n loop y 6, x 6, sum i 3 by 3, sum j 3 by 3\n read x [0, y + i - 1, x + j - 1] of 1x6x6\n write [0, y, x]\noutput y k word 1",
    ],
    [
      "a window with a stride",
      "input x 1x7x7 bits 5 word 1\nkernel k 1x3x3 bits 12 depth 3\n loop y 3, x 3, sum i 2 by 2, sum j 2 by 2\n read x [0, 2*y + i, 2*x + j] of 1x7x7\n write [0, y, x]\noutput y k word 1",
    ],
    [
      "a held window",
      "input x 1x6x6 bits 8 word 1\nkernel k 4x2x2 bits 12 depth 3\n loop c 4, y 2, x 2, sum i 3 by 3, sum j 3 by 3\n order y x c i j\n read x [0, 3*y + i, 3*x + j] of 1x6x6\n write [c, y, x]\noutput y k word 1",
    ],
    [
      "wide words",
      "input x 6x4 bits 7 word 4\nkernel k 6 bits 12 depth 3 buffered\n loop r 6, sum j 4 by 4\n read x [r, j] of 6x4\n write [r]\noutput y k word 1",
    ],
    [
      "a memory",
      "input x 16x16 bits 8 word 1\nkernel k 16x16 bits 8 depth 1\n loop i 16, j 16\n read x [j, i] of 16x16\n write [i, j]\noutput y k word 1",
    ],
    [
      "a memory of wide words",
      "input x 12x8 bits 6 word 4\nkernel k 8x12 bits 8 depth 1\n loop i 8 by 2, j 12\n read x [j, i] of 12x8\n write [i, j]\noutput y k word 1",
    ],
  ])("give every step its elements: %s", (_, text) => {
    const channel = channelOf(text);
    expect(channelPorts(channel).map((p) => p.name)).toEqual(["reserve", "push", "push_data", "take"]);
    for (const seed of [1, 2, 3]) driveChannel(channel, 4, seed);
  });
  it("of random networks give every step its elements", () => {
    let n = 0;
    for (let seed = 1; seed <= 8; seed++)
      for (const c of scheduledNetwork(seed).design.channels) {
        if (c.direct || c.deep || c.pad !== 0) continue;
        driveChannel(c, 3, seed);
        n++;
      }
    expect(n).toBeGreaterThan(10);
  });
});

describe("kernels", () => {
  const designs: Design[] = [];
  beforeAll(() => {
    for (let seed = 1; seed <= 8; seed++) designs.push(scheduledNetwork(seed).design);
  });
  it("are valid modules with the ports that they state", () => {
    for (const { kernels } of designs)
      for (const k of kernels) {
        const module = new Module("test");
        const op = emitKernel(module, "kernel", k, device);
        assertValid(module, k.name);
        const inputs = op.attrs["inputs"] as readonly string[];
        expect(inputs.filter((p) => p.endsWith("_data"))).toHaveLength(k.inputs.length);
        expect(inputs.filter((p) => p.endsWith("_space"))).toHaveLength(waitsFor(k).length);
        expect(op.attrs["outputs"]).toEqual(["fire", "emit", "push", "result"]);
      }
  });
  it("fire where their operands are there, and push as many cycles later as they are deep", () => {
    for (const { kernels } of designs)
      for (const k of kernels) {
        const module = new Module("test");
        const op = emitKernel(module, "kernel", k, device);
        const sim = new RtlSimulator(module, "kernel");
        for (const p of op.attrs["inputs"] as readonly string[]) sim.set(p, p.endsWith("_data") ? 0 : 1);
        sim.reset();
        const emits: number[] = [];
        for (let cycle = 0; cycle < 2 * k.steps + k.depth; cycle++) {
          expect(sim.getNumber("fire")).toBe(1);
          expect(sim.getNumber("emit")).toBe(k.emits[cycle % k.steps]);
          emits.push(sim.getNumber("emit"));
          expect(sim.getNumber("push")).toBe(cycle < k.depth ? 0 : emits[cycle - k.depth]);
          sim.step();
        }
      }
  });
  it("select the lanes of an operand that a unit reads", () => {
    const k = present(
      designs
        .flatMap((d) => d.kernels)
        .find(
          (n) =>
            n.inputs[0]?.operand === 0 &&
            !n.inputs[0].direct &&
            n.inputs[0].plan.kind !== "memory" &&
            n.pipeline.operandStage === 1,
        ),
      "kernel with a buffer",
    );
    const c = firstOf(k.inputs);
    const { lanes } = c.plan.table;
    const sim = simulated(
      [
        { name: "in0_valid", type: u(1) },
        { name: "in0_data", type: u(lanes * c.elem.width) },
      ],
      (m) => {
        const counters = new LoopCounters(m, [], m.constant(1, u(1)), "s_");
        return { last: operandLanes(m, device, k, 0, counters).lanes([lanes - 1]) };
      },
    );
    const value = 2 ** (c.elem.width - 1) + 1;
    sim.set("in0_data", BigInt(value) << BigInt((lanes - 1) * c.elem.width));
    sim.step();
    expect(sim.getNumber("last")).toBe(value);
    expect(resultName(firstOf(k.products.units), 0)).toMatch(/^result/);
  });
  it("without an ensemble are no trees", () => {
    const k = firstOf(firstOf(designs).kernels);
    const m = new RtlModuleBuilder(new Module("test"), "top", []);
    expect(() => emitTrees(m, device, k, firstOf(k.products.units), [], [])).toThrow();
  });
});

describe("area", () => {
  it("of a module holds that of its instances, and is named for every module", () => {
    const { design } = scheduledNetwork(4);
    const rtl = lowerToRtl(design);
    const area = rtlArea(rtl.module, device);
    const top = lookUp(area, rtl.top, "area");
    for (const names of rtl.kernels)
      for (const name of names) expect(lookUp(area, name, "area").lut).toBeLessThanOrEqual(top.lut);
    expect(rtl.formats).toHaveLength(rtl.ports.length);
  });
  it("of a sum is a table for each bit in which two numbers meet", () => {
    const module = new Module("test");
    const m = new RtlModuleBuilder(module, "top", [
      { name: "a", type: u(8) },
      { name: "b", type: u(8) },
    ]);
    m.finish({ y: m.add(m.input("a"), m.input("b")) });
    const { lut, ff } = lookUp(rtlArea(module, device), "top", "area");
    expect(ff).toBe(0);
    expect(lut).toBeGreaterThanOrEqual(8);
    expect(lut).toBeLessThanOrEqual(9);
  });
  it("modules have names that Verilog takes", () => {
    expect(moduleName("conv/1:0")).toBe("conv_1_0");
    expect(moduleName("0x")).toBe("m_0x");
  });
});
