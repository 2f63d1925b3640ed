/** The written Verilog, in two simulators, against the reference interpreter; lint-cleanliness of the same text. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Module, type Op } from "../../src/ir/core.js";
import { RtlModuleBuilder } from "../../src/ir/rtl/builder.js";
import { bitsOf } from "../../src/ir/rtl/index.js";
import { bits } from "../../src/ir/types.js";
import { lintVerilog } from "../../src/backend-verilog/lint.js";
import { anyBits, anyRecipe, buildRandom, seeded, someValue } from "../rtl/random-rtl.js";
import { lanes, streamFifo } from "./examples.js";
import { missing, scratch, verilogIn } from "./helpers.js";
import { simulateReference, simulateVerilog, type Vectors } from "./testbench.js";

const absent = missing("verilator", "g++", "make", "iverilog", "yosys");

function randomVectors(m: Op, count: number, seed: number): Vectors {
  const random = seeded(seed);
  return Array.from({ length: count }, () => m.body.args.map((a) => someValue(bitsOf(a.type), random)));
}

async function compare(module: Module, top: string, vectors: Vectors, from = 0): Promise<void> {
  const rtl = verilogIn(module);
  expect(await lintVerilog(rtl, top)).toEqual([]);
  const expected = simulateReference(module, top, vectors);
  const names = module.lookup(top)!.attrs["outputs"] as string[];
  for (const tool of ["icarus", "verilator"] as const) {
    const actual = await simulateVerilog(tool, module, top, rtl, vectors, scratch());
    const wrong: string[] = [];
    for (let k = from; k < vectors.length; k++) {
      expected[k]!.forEach((e, i) => {
        if (actual[k]![i] !== e) wrong.push(`${tool}, vector ${k}: ${names[i]} is ${actual[k]![i]} instead of ${e}`);
      });
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  }
}

/** Many random modules under one top, so that there is one build: every module sees all inputs. */
function batch(count: number, seed: number): Module {
  const module = new Module("batch");
  const inputs = [1, 8, 13, 31, 32, 33, 53, 64, 100].flatMap((w) => [bits(w, false), bits(w, true)]);
  const sample = fc.sample(fc.tuple(fc.array(anyRecipe, { minLength: 4, maxLength: 30 }), fc.boolean()), {
    numRuns: count,
    seed,
  });
  const ops = sample.map(([recipes, folding], i) => buildRandom(module, `m${i}`, inputs, recipes, folding));
  const b = new RtlModuleBuilder(
    module,
    "top",
    inputs.map((type, i) => ({ name: `i${i}`, type })),
  );
  const values = Object.fromEntries(inputs.map((_, i) => [`i${i}`, b.input(`i${i}`)]));
  const outputs = ops.flatMap((op, k) =>
    Object.entries(b.instance(op, `u${k}`, values)).map(([n, v]) => [`m${k}_${n}`, v] as const),
  );
  b.finish(Object.fromEntries(outputs));
  return module;
}

/** Random expressions between random registers, with enables and resets. */
function pipelines(count: number, seed: number): Module {
  const module = new Module("pipelines");
  const b = new RtlModuleBuilder(
    module,
    "top",
    [...Array(4)].map((_, i) => ({ name: `i${i}`, type: bits(8 * i + 5, i % 2 === 1) })),
    { attrs: { clock: "aclk", resetn: "aresetn" } },
  );
  const random = seeded(seed);
  const pool = [...b.op.body.args];
  const pick = (): (typeof pool)[number] => pool[Math.floor(random() * pool.length)]!;
  for (let k = 0; k < count; k++) {
    const type = fc.sample(anyBits, { numRuns: 1, seed: seed + k })[0]!;
    const q = b.regDeclare(
      type,
      random() < 0.7 ? { reset: Math.floor(random() * 2 ** Math.min(20, type.width - 1)) } : {},
    );
    const next = [
      b.add(pick(), q),
      b.mul(pick(), pick(), type),
      b.sub(q, pick()),
      b.concat([pick(), q]),
      b.xor(b.cast(pick(), type), q),
    ][Math.floor(random() * 5)]!;
    b.connect(q, next, random() < 0.4 ? b.bit(pick(), 0) : undefined);
    pool.push(q);
  }
  // Without a reset the first contents are unknown: those registers are shown only through values that are known.
  const shown = pool.slice(4).filter((q) => q.def!.attrs["reset"] !== undefined);
  b.finish(Object.fromEntries(shown.map((q, i) => [`o${i}`, q])));
  return module;
}

describe.skipIf(absent !== "")(`written Verilog${absent}`, () => {
  it("computes what the interpreter computes, on random combinational modules", async () => {
    const module = batch(60, 11);
    await compare(module, "top", randomVectors(module.lookup("top")!, 150, 7));
  });

  it("clocks registers as the interpreter does", async () => {
    const module = pipelines(60, 3);
    // Only registers that have a reset feed the comparison: unknown bits must not come from the others.
    for (const q of module.lookup("top")!.body.ops.filter((op) => op.name === "rtl.reg"))
      q.attrs = { reset: 0, ...q.attrs };
    await compare(module, "top", randomVectors(module.lookup("top")!, 200, 9));
  });

  it("has memories, roms and lanes that work", async () => {
    const module = lanes(8, 16);
    // The data path and the memory hold something known once they have been written.
    await compare(
      module,
      "lanes",
      randomVectors(module.lookup("lanes")!, 300, 4).map((v, k) => [v[0]!, k % 40 === 20 ? 1n : 0n, v[2]!]),
      40,
    );
    const fifo = streamFifo(20, 6, 3);
    const random = seeded(8);
    const vectors = Array.from({ length: 300 }, (_, k) => [
      BigInt(k),
      random() < 0.6 ? 1n : 0n,
      0n,
      random() < 0.6 ? 1n : 0n,
    ]);
    await compare(fifo, "stream_fifo", vectors, 20);
  });
});
