import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderDiagnostic, Sink } from "../../src/diagnostics/index.js";
import { Dense } from "../../src/ir/attributes.js";
import { Block, Module, Op, type Value } from "../../src/ir/core.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { printModule } from "../../src/ir/text/printer.js";
import { bits, f32, fixed } from "../../src/ir/types.js";
import { anyModule } from "./random-module.js";

function reparse(text: string): Module {
  const sink = new Sink();
  const module = parseModule(text, "m.hir", sink);
  if (module === undefined)
    throw new Error(`${sink.diagnostics.map(renderDiagnostic).join("\n")}\n${text.slice(0, 2000)}`);
  return module;
}

describe("textual IR round trip", () => {
  it("prints what it parsed, for arbitrary modules", () => {
    fc.assert(
      fc.property(anyModule, (module) => {
        const text = printModule(module);
        expect(printModule(reparse(text))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  it("keeps storage and bytes of large constants", () => {
    const module = new Module("m");
    const values = Float64Array.from({ length: 1000 }, (_, i) => Math.sin(i));
    const ints = Int32Array.from({ length: 1000 }, (_, i) => (i % 256) - 128);
    const single = Float32Array.from(values);
    const put = (key: string, d: Dense) => module.body.append(new Op({ name: "t.op", attrs: { [key]: d } }));
    put("a", new Dense([10, 100], f32, values));
    put("b", new Dense([1000], fixed(8, 4), ints));
    put("c", new Dense([1000], f32, single));
    const back = reparse(printModule(module));
    const data = back.body.ops.map((op) => (Object.values(op.attrs)[0] as Dense).data);
    expect(data).toEqual([values, ints, single]);
  });

  it("shows only digests on request, and refuses to read those without data", () => {
    const module = new Module("m");
    const dense = new Dense([100], f32, new Float64Array(100));
    module.body.append(new Op({ name: "t.op", attrs: { value: dense } }));
    const text = printModule(module, { resources: "digest" });
    expect(text).not.toContain("resources {");
    const sink = new Sink();
    expect(parseModule(text, "m.hir", sink)).toBeUndefined();
    expect(sink.diagnostics.map((d) => d.code)).toEqual(["TX007"]);
    const supplied = parseModule(text, "m.hir", new Sink(), { resources: new Map([[dense.digest, dense.data]]) });
    expect((supplied!.body.ops[0]!.attrs["value"] as Dense).data).toBe(dense.data);
  });

  it("prints and parses in time that grows with the operations, not with their square", () => {
    const chain = (count: number): Module => {
      const module = new Module("large");
      const body = new Block();
      const values: Value[] = [body.addArg(bits(12), "x"), body.addArg(bits(12), "y")];
      for (let i = 0; i < count; i++) {
        const operands = [values[values.length - 1]!, values[(i * 7919) % values.length]!];
        const op = new Op({
          name: "t.op",
          operands,
          resultTypes: [bits(12 + (i % 5))],
          attrs: { amount: i, style: "auto" },
          hints: [i % 3 === 0 ? "tap" : undefined],
          loc: { nodes: ["/conv/Conv"], opType: "Conv" },
        });
        body.append(op);
        values.push(op.result);
      }
      body.append(new Op({ name: "t.end" }));
      module.body.append(new Op({ name: "t.graph", regions: [body] }));
      return module;
    };
    // Processor time, which other jobs do not change much; the first round warms up.
    const seconds = (count: number): number => {
      const module = chain(count);
      const before = process.cpuUsage();
      const text = printModule(module);
      expect(printModule(reparse(text))).toBe(text);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1e6;
    };
    seconds(5_000);
    const small = seconds(5_000);
    expect(seconds(50_000)).toBeLessThan(40 * small);
  });
});
