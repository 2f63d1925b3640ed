import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Dense } from "../../src/ir/attributes.js";
import { Module, Op, type Value } from "../../src/ir/core.js";
import { RtlSimulator } from "../../src/ir/eval/rtl-sim.js";
import { RtlModuleBuilder, s, u } from "../../src/ir/rtl/builder.js";
import { verifyRtl } from "../../src/ir/rtl/verify.js";
import { bits, fixed, ufixed } from "../../src/ir/types.js";
import { findProblems } from "../../src/ir/verify.js";
import { anyBits, anyRecipe, buildRandom, evaluateModule, seeded, someValue } from "./random-rtl.js";

describe("combinational operations", () => {
  it("give the values of the reference semantics, folded or not", () => {
    fc.assert(
      fc.property(
        fc.array(anyBits, { minLength: 2, maxLength: 5 }),
        fc.array(anyRecipe, { minLength: 5, maxLength: 40 }),
        fc.integer(),
        (inputs, recipes, seed) => {
          for (const folding of [false, true]) {
            const module = new Module("m");
            const m = buildRandom(module, "top", inputs, recipes, folding);
            expect(findProblems(module)).toEqual([]);
            const sim = new RtlSimulator(module, "top");
            const random = seeded(seed);
            for (let k = 0; k < 12; k++) {
              const values = inputs.map((t) => someValue(t, random));
              values.forEach((v, i) => sim.set(`i${i}`, v));
              expect((m.attrs["outputs"] as string[]).map((n) => sim.get(n))).toEqual(evaluateModule(m, values));
            }
          }
        },
      ),
      { numRuns: 300, seed: 20 },
    );
  });

  it("have the same values folded and not folded", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("add", "sub", "mul", "and", "or", "xor", "eq", "lt", "le") as fc.Arbitrary<"add">,
        fc.integer({ min: -40, max: 40 }),
        fc.boolean(),
        fc.integer(),
        (method, c, swap, seed) => {
          const module = new Module("m");
          const b = new RtlModuleBuilder(module, "top", [
            { name: "x", type: s(6) },
            { name: "c", type: s(7) },
          ]);
          const constant = b.constant(c, s(7));
          const x = b.cast(b.input("x"), s(7));
          const join = (p: Value, q: Value): Value => (swap ? b[method](q, p) : b[method](p, q));
          b.finish({ folded: join(x, constant), plain: join(x, b.input("c")) });
          const sim = new RtlSimulator(module, "top");
          sim.set("c", c);
          const random = seeded(seed);
          for (let k = 0; k < 10; k++) {
            sim.set("x", someValue(s(6), random));
            expect(BigInt.asUintN(14, sim.get("folded"))).toBe(BigInt.asUintN(14, sim.get("plain")));
          }
        },
      ),
      { numRuns: 500, seed: 5 },
    );
  });
});

describe("the builder", () => {
  it("leaves no operation where a value is known or unchanged", () => {
    const module = new Module("m");
    const b = new RtlModuleBuilder(module, "top", [{ name: "x", type: s(8) }]);
    const x = b.input("x");
    const zero = b.constant(0);
    expect(b.add(x, zero, s(8))).toBe(x);
    expect(b.shl(x, 0)).toBe(x);
    expect(b.cast(x, s(8))).toBe(x);
    expect(b.mul(x, b.constant(1), s(8))).toBe(x);
    expect(b.mul(x, b.constant(8)).def!.name).toBe("rtl.shl");
    expect(b.mux(b.constant(1, u(1)), x, b.neg(x), s(8))).toBe(x);
    expect(b.extract(b.concat([x, b.not(x)]), 8, 8, true)).toBe(x);
    expect(b.lt(x, b.constant(128)).def!.attrs["value"]).toBe("1");
    expect(b.add(b.constant(-3), b.constant(5)).def!.attrs["value"]).toBe("2");
    expect(b.add(x, b.neg(x))).toBe(b.add(x, b.neg(x)));
  });

  it("gives arithmetic the width of the exact result", () => {
    const b = new RtlModuleBuilder(new Module("m"), "top", [
      { name: "a", type: u(8) },
      { name: "b", type: s(8) },
    ]);
    const [x, y] = [b.input("a"), b.input("b")];
    expect(b.add(x, x).type).toEqual(u(9));
    expect(b.add(x, y).type).toEqual(s(10));
    expect(b.sub(x, x).type).toEqual(s(9));
    expect(b.mul(x, x).type).toEqual(u(16));
    expect(b.mul(y, y).type).toEqual(s(16));
    expect(b.mul(x, y).type).toEqual(s(16));
  });

  it("refuses declared values that were never connected", () => {
    const b = new RtlModuleBuilder(new Module("m"), "top", []);
    const q = b.regDeclare(u(3), { hint: "lonely" });
    expect(() => b.finish({ q })).toThrow("lonely");
  });
});

describe("state", () => {
  it("counts with enable and reset", () => {
    const module = new Module("m");
    const b = new RtlModuleBuilder(module, "top", [{ name: "en", type: u(1) }]);
    const count = b.regDeclare(u(3), { reset: 5, hint: "count" });
    b.connect(count, b.add(count, b.constant(1), u(3)), b.input("en"));
    b.finish({ count });
    const sim = new RtlSimulator(module, "top");
    const seen: bigint[] = [];
    for (const en of [1, 1, 0, 1, 1]) {
      sim.set("en", en);
      seen.push(sim.get("count"));
      sim.step();
    }
    expect(seen).toEqual([5n, 6n, 7n, 7n, 0n]);
    sim.reset();
    expect(sim.get("count")).toBe(5n);
  });

  it("shifts and swaps: registers that feed registers all change at once, wide ones as well", () => {
    for (const type of [u(8), u(40), u(300)]) {
      const module = new Module("m");
      const b = new RtlModuleBuilder(module, "top", [{ name: "x", type }]);
      const d3 = b.delay(b.input("x"), 3);
      const [p, q] = [b.regDeclare(u(4), { reset: 1 }), b.regDeclare(u(4), { reset: 2 })];
      b.connect(p, q);
      b.connect(q, p);
      b.finish({ d3, p, q });
      const sim = new RtlSimulator(module, "top");
      const out: bigint[] = [];
      for (let i = 1; i <= 6; i++) {
        sim.set("x", BigInt(i) << BigInt(type.width - 4));
        out.push(sim.get("d3") >> BigInt(type.width - 4));
        expect(sim.get("p")).toBe(i % 2 === 1 ? 1n : 2n);
        sim.step();
      }
      expect(out).toEqual([0n, 0n, 0n, 1n, 2n, 3n]);
    }
  });

  it.each([8, 50, 200])(
    "reads the old word of a memory at latency 1 and the present one at latency 0, %d bits",
    (width) => {
      const module = new Module("m");
      const b = new RtlModuleBuilder(module, "top", [
        { name: "wa", type: u(3) },
        { name: "ra", type: u(3) },
        { name: "d", type: u(width) },
        { name: "we", type: u(1) },
      ]);
      const common = {
        depth: 5,
        word: u(width),
        waddr: b.input("wa"),
        wdata: b.input("d"),
        wen: b.input("we"),
        raddr: [b.input("ra"), b.input("wa")],
      };
      const [slow] = b.memory({ ...common, readLatency: 1 });
      const [fast] = b.memory({ ...common, readLatency: 0 });
      b.finish({ slow: slow!, fast: fast! });
      const sim = new RtlSimulator(module, "top");
      const model = new Array<bigint>(5).fill(0n);
      const random = seeded(width);
      let previous = 0n;
      for (let k = 0; k < 300; k++) {
        const [wa, ra, we] = [Math.floor(random() * 5), Math.floor(random() * 5), random() < 0.6 ? 1 : 0];
        const d = someValue(u(width), random);
        sim.set("wa", wa);
        sim.set("ra", ra);
        sim.set("d", d);
        sim.set("we", we);
        expect(sim.get("slow")).toBe(previous);
        expect(sim.get("fast")).toBe(model[ra]);
        previous = model[ra]!;
        sim.step();
        if (we === 1) model[wa] = d;
      }
    },
  );

  it("reads roms of numbers and of rows", () => {
    const module = new Module("m");
    const b = new RtlModuleBuilder(module, "top", [{ name: "a", type: u(2) }]);
    const numbers = new Dense([3], fixed(8, 0), Int32Array.of(-1, 5, 127));
    const rows = new Dense(
      [3, 20],
      ufixed(5, 0),
      Int32Array.from({ length: 60 }, (_, i) => i % 31),
    );
    const one = b.rom(b.input("a"), numbers, { readLatency: 0 });
    const two = b.rom(b.input("a"), rows, { readLatency: 1 });
    b.finish({ one, two });
    const sim = new RtlSimulator(module, "top");
    sim.set("a", 2);
    expect(sim.get("one")).toBe(127n);
    sim.set("a", 0);
    expect(sim.get("one")).toBe(-1n);
    sim.step();
    const word = sim.get("two");
    expect(Array.from({ length: 20 }, (_, i) => Number((word >> BigInt(5 * i)) & 31n))).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
  });
});

describe("the hierarchy", () => {
  function adder(module: Module): Op {
    const b = new RtlModuleBuilder(module, "adder", [
      { name: "a", type: s(8) },
      { name: "b", type: s(8) },
    ]);
    const sum = b.add(b.input("a"), b.input("b"));
    return b.finish({ sum, late: b.reg(sum) });
  }

  it("is dissolved, with loops through registers of an instance", () => {
    const module = new Module("m");
    const inner = adder(module);
    const b = new RtlModuleBuilder(module, "top", [{ name: "x", type: s(8) }]);
    const back = b.forward(s(8));
    const o = b.instance(inner, "acc", { a: b.input("x"), b: back });
    b.resolve(back, o["late"]!);
    b.finish({ y: o["late"]! });
    expect(verifyRtl(module)).toEqual([]);
    const sim = new RtlSimulator(module, "top");
    sim.set("x", 3);
    for (let k = 0; k < 4; k++) sim.step();
    expect(sim.get("y")).toBe(12n);
  });

  it("has no combinational loop, not even through two instances", () => {
    const module = new Module("m");
    const inner = adder(module);
    const b = new RtlModuleBuilder(module, "top", [{ name: "x", type: s(8) }]);
    const back = b.forward(s(8), "back");
    const first = b.instance(inner, "one", { a: b.input("x"), b: back });
    const second = b.instance(inner, "two", { a: b.input("x"), b: first["sum"]! });
    b.resolve(back, second["sum"]!);
    b.finish({ y: second["late"]! });
    expect(verifyRtl(module).map((p) => p.message)).toEqual([
      expect.stringContaining('combinational loop in module "top"'),
    ]);
    expect(() => new RtlSimulator(module, "top")).toThrow("combinational loop");
  });

  it("has modules that exist, with ports that fit", () => {
    const module = new Module("m");
    const b = new RtlModuleBuilder(module, "top", [{ name: "x", type: s(8) }]);
    const inner = adder(module);
    const wrong = b.op.body.append(
      new Op({
        name: "rtl.instance",
        operands: [b.input("x")],
        resultTypes: [s(8), s(9)],
        attrs: { module: "adder", sym: "i" },
      }),
    );
    const none = b.op.body.append(new Op({ name: "rtl.instance", attrs: { module: "nowhere", sym: "j" } }));
    b.finish({});
    expect(verifyRtl(module).map((p) => p.op)).toEqual([wrong, wrong, none]);
    expect(verifyRtl(module)[1]!.message).toBe('instance "i": output "sum" has type s8 where the module has s9');
    expect(inner.attrs["sym"]).toBe("adder");
  });
});

describe("operation records", () => {
  it.each([
    ["rtl.and", [bits(3), bits(4)], bits(3), {}, "widths 3, 4, 3"],
    ["rtl.extract", [bits(4)], bits(3), { lo: 2 }, "bits 2 to 4 of 4"],
    ["rtl.mux", [bits(2), bits(4), bits(4)], bits(4), {}, "selector of type u2"],
    ["rtl.mux", [bits(1), bits(4), bits(4, true)], bits(4), {}, "branch of type s4"],
    ["rtl.reg", [bits(4), bits(2)], bits(4), {}, "enable of type u2"],
    ["rtl.reg", [bits(4)], bits(4), { reset: 16 }, "reset value 16 is not a u4"],
    ["rtl.shl", [bits(4)], bits(4), { amount: -1 }, "negative"],
    ["rtl.constant", [], bits(4), { value: "16" }, "16 is not a u4"],
    [
      "rtl.memory",
      [bits(2), bits(8), bits(1), bits(3)],
      bits(8),
      { depth: 4, read_latency: 1, style: "auto" },
      "4 words call for u2",
    ],
    [
      "rtl.rom",
      [bits(3)],
      bits(8, true),
      { values: new Dense([3], fixed(8, 0), new Int32Array(3)), read_latency: 2, style: "auto" },
      "read_latency is 2",
    ],
  ] as const)("%s %# is refused", (name, operands, result, attrs, message) => {
    const module = new Module("m");
    const b = new RtlModuleBuilder(
      module,
      "top",
      operands.map((type, i) => ({ name: `i${i}`, type })),
    );
    b.op.body.append(new Op({ name, operands: b.op.body.args, resultTypes: [result], attrs }));
    b.finish({});
    expect(
      findProblems(module)
        .map((p) => p.message)
        .join("\n"),
    ).toContain(message);
  });
});
