/** Faults of the object graph, which text cannot express; those of the text are fixtures (test/fixtures/verify.hir). */
import { describe, expect, it } from "vitest";
import { CompilerBug, Sink } from "../../src/diagnostics/index.js";
import { Block, Module, Op } from "../../src/ir/core.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { assertValid, findProblems, verifyModule } from "../../src/ir/verify.js";
import { bits } from "../../src/ir/types.js";
import "./random-module.js";

function small(): { module: Module; a: Op; b: Op } {
  const module = parseModule(
    'module "m" {\n  %a = t.op() : () -> u8\n  t.op(%a, %a) : (u8, u8) -> () loc("/relu" : "Relu")\n}',
    "m.hir",
    new Sink(),
  )!;
  return { module, a: module.body.ops[0]!, b: module.body.ops[1]! };
}
const messages = (m: Module): string[] => findProblems(m).map((p) => p.message);

describe("verifier of the object graph", () => {
  it("accepts a sound module", () => {
    expect(messages(small().module)).toEqual([]);
  });
  it("finds a use that the value does not know", () => {
    const { module, a } = small();
    a.result.uses.pop();
    expect(messages(module)).toEqual(["%a (a result of t.op) knows 1 uses, operand lists state 2"]);
  });
  it("finds a use that is listed twice in place of another", () => {
    const { module, a } = small();
    a.result.uses[1] = a.result.uses[0]!;
    expect(messages(module)).toEqual(["%a (a result of t.op) lists a use by t.op twice"]);
  });
  it("finds an operand whose operation is in no block", () => {
    const { module, a } = small();
    module.body.remove(a);
    expect(messages(module)).toContain("operand 0, %a (a result of t.op), comes from an operation that is in no block");
  });
  it("finds wrong parents", () => {
    const { module, a, b } = small();
    a.parent = new Block();
    const region = new Block();
    region.append(new Op({ name: "t.end" }));
    b.regions.push(region);
    expect(messages(module)).toEqual([
      "is listed in a block that is not its parent",
      "has a region that belongs to another operation",
    ]);
  });
  it("finds a value that is read before it is defined, but not in a graph region", () => {
    const text = (name: string): Module =>
      parseModule(
        `module "m" {\n  t.${name}() ({\n    t.op(%a) : (u8) -> ()\n    %a = t.op() : () -> u8\n    t.end() : () -> ()\n  }) : () -> ()\n}`,
        "m.hir",
        new Sink(),
      )!;
    expect(messages(text("graph"))).toEqual([]);
    expect(messages(text("op"))).toEqual(["operand 0, %a (a result of t.op), is not defined before this use"]);
  });
  it("finds operations that are not known, and widths that are not possible", () => {
    const module = new Module("m");
    module.body.append(new Op({ name: "t.missing" }));
    module.body.append(new Op({ name: "t.op", resultTypes: [bits(0)] }));
    expect(messages(module)).toEqual([
      "is not a known operation",
      "(a result of t.op) has type u0: the width must be at least 1 bit",
    ]);
  });
  it("reports to users with file and node, and as a bug with the operation", () => {
    const { module, a } = small();
    a.result.uses.pop();
    const sink = new Sink();
    expect(verifyModule(module, sink)).toBe(false);
    expect(sink.diagnostics[0]).toMatchObject({ code: "TX010", place: { file: "m.hir", line: 2, column: 8 } });
    expect(() => assertValid(module, "after fuse")).toThrow(CompilerBug);
    expect(() => assertValid(module, "after fuse")).toThrow(
      /^after fuse: the module does not verify\n {2}t.op: %a .*\n {4}in %a = t.op\(\) : \(\) -> u8/,
    );
  });
  it("says how many problems it does not show, if there are any", () => {
    const wrong = (count: number): string => {
      const { module } = small();
      for (let i = 0; i < count; i++) module.body.append(new Op({ name: "t.op", attrs: { odd: i } }));
      expect(findProblems(module).length).toBe(count);
      try {
        assertValid(module, "here");
      } catch (e) {
        return (e as Error).message;
      }
      return "";
    };
    expect(wrong(0)).toBe("");
    expect(wrong(5)).not.toMatch(/and -?\d+ more/);
    expect(wrong(7)).toMatch(/\n {2}and 2 more$/);
  });
});
