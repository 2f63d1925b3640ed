/** The rtl dialect through text: what a builder makes verifies, prints, parses, and prints the same. */
import fc from "fast-check";
import { expect, it } from "vitest";
import "../../src/ir/dialects.js";
import { renderDiagnostic, Sink } from "../../src/diagnostics/index.js";
import { Module } from "../../src/ir/core.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { printModule } from "../../src/ir/text/printer.js";
import { findProblems } from "../../src/ir/verify.js";
import { anyBits, anyRecipe, buildRandom } from "../rtl/random-rtl.js";

function reparse(text: string): Module {
  const sink = new Sink();
  const module = parseModule(text, "m.hir", sink);
  if (module === undefined) throw new Error(sink.diagnostics.map(renderDiagnostic).join("\n"));
  return module;
}

it("random rtl modules round-trip and verify on both sides", () => {
  fc.assert(
    fc.property(
      fc.array(anyBits, { minLength: 1, maxLength: 4 }),
      fc.array(anyRecipe, { minLength: 1, maxLength: 30 }),
      fc.boolean(),
      (inputs, recipes, folding) => {
        const module = new Module("m");
        buildRandom(module, "top", inputs, recipes, folding);
        expect(findProblems(module).map((p) => p.message)).toEqual([]);
        const text = printModule(module);
        const back = reparse(text);
        expect(printModule(back)).toBe(text);
        expect(findProblems(back).map((p) => p.message)).toEqual([]);
      },
    ),
    { numRuns: 100 },
  );
});

it("a register that feeds itself is read back as one", () => {
  const text = `module "m" {
  rtl.module() {sym = "counter", inputs = ["en"], outputs = ["q"]} ({
  ^(%en: u1):
    %q = rtl.reg(%next, %en) {reset = 0} : (u8, u1) -> u8
    %one = rtl.constant() {value = "1"} : () -> u8
    %next = rtl.add(%q, %one) : (u8, u8) -> u8
    rtl.output(%q) : (u8) -> ()
  }) : () -> ()
}
`;
  const module = reparse(text);
  expect(findProblems(module).map((p) => p.message)).toEqual([]);
  const [reg, , add] = module.body.ops[0]!.body.ops;
  expect(reg!.operand(0)).toBe(add!.result);
  expect(printModule(module)).toBe(text);
});
