import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderDiagnostic, Sink } from "../../src/diagnostics/index.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { printModule } from "../../src/ir/text/printer.js";
import { anyModule } from "./random-module.js";

function messages(text: string): string[] {
  const sink = new Sink();
  const module = parseModule(text, "m.hir", sink);
  expect(module).toBeUndefined();
  return sink.diagnostics.map(
    (d) => `${d.place.line}:${d.place.column} ${d.code} ${d.message}${d.hint === undefined ? "" : ` | ${d.hint}`}`,
  );
}
const wrap = (op: string): string => `module "m" {\n  %x = t.op() : () -> u8\n  ${op}\n}\n`;

describe("errors in textual IR", () => {
  it.each([
    ["", /^1:1 TX001 expected "module", found the end of the text/],
    ["modul", /^1:1 TX001 expected "module", found "modul"/],
    ['module "m" {', /^1:12 TX001 expected "}", found the end of the text/],
    ['module "m" {} {}', /^1:15 TX001 expected the end of the text/],
    ['module "m', /^1:8 TX001 expected a string that ends on its line/],
    ["module ?", /^1:8 TX001 expected IR text, found "\?"/],
    [wrap("t.op(%x : (u8) -> ()"), /^3:11 TX001 expected "\)", found ":"/],
    [wrap("t.op(%x) : (tensor<3xf16>) -> ()"), /^3:15 TX001 expected "\)", found "tensor<3xf16>\)"/],
    [wrap("t.op() {a = b} : () -> ()"), /^3:15 TX001 expected an attribute value, found "b}" \| values are true/],
    [wrap("t.op() {a = 1, a = 2} : () -> ()"), /^3:18 TX008 attribute "a" is given twice/],
    [wrap("t.opp() : () -> ()"), /^3:3 TX002 unknown operation "t.opp" \| did you mean "t.op"\?/],
    [wrap("t.op(%y) : (u8) -> ()"), /^3:8 TX003 no value named %y/],
    [
      wrap("%tap_12 = t.op(%tap_1) : (u8) -> u8"),
      /^3:18 TX003 no value named %tap_1 is visible here \| did you mean %tap_12\?/,
    ],
    [wrap("%x = t.op() : () -> u8"), /^3:3 TX004 %x is defined a second time/],
    [wrap("t.op(%x) : (u9) -> ()"), /^3:8 TX005 %x has type u8, but is used here as u9/],
    [wrap("t.op(%x) : () -> ()"), /^3:3 TX006 1 operands, but 0 types/],
    [wrap("%a, %b = t.op() : () -> u8"), /^3:12 TX006 2 results, but 1 types/],
    [wrap("t.op() {v = dense<@00ff> : tensor<2xf32>} : () -> ()"), /^3:21 TX007 the data of constant @00ff/],
    [
      wrap("t.op() {v = dense<[1, 2, 3]> : tensor<2xf32>} : () -> ()"),
      /^3:15 TX008 3 values in a constant of type tensor<2xf32>, which has 2/,
    ],
    [
      wrap("t.op() {v = dense<[128]> : tensor<1xfixed<8,4>>} : () -> ()"),
      /^3:15 TX008 element 0 of the constant is 128: fixed<8,4> holds raw integers from -128 to 127/,
    ],
    [wrap("t.op() {v = dense<[0.5]> : tensor<1xfixed<8,4>>} : () -> ()"), /^3:15 TX008 element 0/],
    [
      wrap("t.op() {v = affine<(row) -> (rov)>} : () -> ()"),
      /^3:32 TX008 "rov" is not a dimension of this map; did you mean "row"\?/,
    ],
    [wrap("t.op() {v = fixed<129,2>} : () -> ()"), /^3:15 TX008 fixed<129,2>: the width must be 1 to 128 bits/],
    [
      wrap("t.op() {v = dense<[1]> : tensor<1xfixed<54,0>>} : () -> ()"),
      /^3:15 TX008 a constant of type fixed<54,0>: constants have at most 53 bits/,
    ],
    [wrap('t.op() {v = "\\q"} : () -> ()'), /^3:15 TX008 unknown escape/],
    [
      'module "m" {}\nresources {\n  @00 = f64 "AAAA"\n}',
      /^3:3 TX008 the data of resource @00 does not have this digest/,
    ],
    ['module "m" {}\nresources {\n  @00 = f16 "AAAA"\n}', /^3:9 TX008 unknown storage class "f16"/],
  ])("%s", (text, expected) => {
    expect(messages(text)[0]).toMatch(expected);
  });

  it("reports all unknown names of a text at once", () => {
    expect(
      messages(wrap("t.op(%a, %b) : (u8, u8) -> ()\n  t.unknown() : () -> ()")).map((m) => m.slice(0, 10)),
    ).toEqual(["4:3 TX002 ", "3:8 TX003 ", "3:12 TX003"]);
  });

  it("does not see values of a region from outside", () => {
    expect(messages(wrap("t.graph() ({ %in = t.op() : () -> u8 }) : () -> ()\n  t.op(%in) : (u8) -> ()"))[0]).toMatch(
      /TX003/,
    );
  });

  it("refuses hostile nesting", () => {
    expect(messages(`module "m" {\n  t.op() {a = ${"[".repeat(200_000)}`)[0]).toMatch(/TX008 .*nested too deeply/);
  });

  it("never fails on damaged text, and always says something", () => {
    fc.assert(
      fc.property(
        anyModule,
        fc.nat(),
        fc.nat(),
        fc.string({ unit: "binary", maxLength: 4 }),
        (module, at, length, inserted) => {
          const text = printModule(module);
          const start = at % text.length;
          const damaged = text.slice(0, start) + inserted + text.slice(start + (length % 8));
          const sink = new Sink();
          const parsed = parseModule(damaged, "m.hir", sink);
          expect(parsed === undefined).toBe(sink.hasErrors);
          for (const d of sink.diagnostics) expect(d.place.line).toBeGreaterThan(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("renders file, line and column", () => {
    const sink = new Sink();
    parseModule("module 5", "dir/m.hir", sink);
    expect(renderDiagnostic(sink.diagnostics[0]!)).toContain("--> dir/m.hir:1:8");
  });
});
