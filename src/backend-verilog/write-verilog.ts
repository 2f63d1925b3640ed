/** rtl to Verilog-2005 text: one file per module. */
import { readFileSync } from "node:fs";
import { CompilerBug } from "../diagnostics/index.js";
import { cloneModule, type Module, type Op } from "../ir/core.js";
import { stringsAttr, strAttr } from "../ir/define-op.js";
import { present } from "../ir/present.js";
import { CELL_FILE, isRtl, rtlModules } from "../ir/rtl/index.js";
import { hasState } from "../ir/rtl/timing.js";
import { verifyRtl } from "../ir/rtl/verify.js";
import type { ModuleInterface } from "./layout.js";
import { ModuleWriter } from "./module-writer.js";
import { NameScope } from "./names.js";
import { prepareModule } from "./prepare.js";

/**
 * Files by name, `<module>.v`. The same module gives the same text. Top modules keep the name and the ports that they
 * have as long as these are legal; `verilogName` tells what became of them.
 */
export function writeVerilog(module: Module): Map<string, string> {
  return writePrepared(prepareVerilog(module));
}

/** A copy of the program as it will be printed: folded, narrowed, without what is not used. */
export function prepareVerilog(module: Module): Module {
  const problems = verifyRtl(module);
  if (problems.length > 0)
    throw new CompilerBug(
      `rtl does not verify: ${problems
        .slice(0, 3)
        .map((p) => p.message)
        .join("; ")}`,
    );
  const copy = cloneModule(module);
  for (const m of rtlModules(copy)) prepareModule(m);
  return copy;
}

/** Files by name, of what `prepareVerilog` has returned. */
export function writePrepared(copy: Module): Map<string, string> {
  const modules = rtlModules(copy);
  const faces = interfaces(copy, modules);
  const files = new Map<string, string>();
  for (const face of faces.values()) {
    const cell = face.op.attrs[CELL_FILE];
    files.set(
      `${face.name}.v`,
      typeof cell === "string"
        ? readFileSync(new URL(`../../runtime/cells/${cell}`, import.meta.url), "utf8")
        : new ModuleWriter(face, faces).text(),
    );
  }
  return files;
}

/** Name of the rtl module `sym` in the Verilog text. */
export function verilogName(module: Module, sym: string): string {
  const name = moduleNames(rtlModules(module)).get(sym);
  if (name === undefined) throw new CompilerBug(`no rtl module "${sym}"`);
  return name;
}

function moduleNames(modules: readonly Op[]): Map<string, string> {
  const scope = new NameScope();
  const instantiated = new Set(modules.flatMap((m) => m.body.ops).map((op) => op.attrs["module"]));
  // Cells have the name that is in their file, and users know the name of the top module: these come first.
  const first = [
    ...modules.filter((m) => m.attrs[CELL_FILE] !== undefined),
    ...modules.filter((m) => !instantiated.has(m.attrs["sym"])),
  ];
  const order = [...first, ...modules.filter((m) => !first.includes(m))];
  return new Map(order.map((m) => [strAttr(m, "sym"), scope.unique(strAttr(m, "sym"), "m")]));
}

function interfaces(module: Module, modules: readonly Op[]): Map<string, ModuleInterface> {
  const names = moduleNames(modules);
  const clocks = new ClockUse(module);
  return new Map(
    modules.map((op) => {
      const ports = new NameScope([
        "clk",
        "rst",
        "unused_bits",
        ...[op.attrs["clock"], op.attrs["resetn"]].filter((n) => typeof n === "string"),
      ]);
      const sym = strAttr(op, "sym");
      const inputs = stringsAttr(op, "inputs").map((n) => ports.unique(n, "in"));
      const outputs = stringsAttr(op, "outputs").map((n) => ports.unique(n, "out"));
      return [sym, { op, name: present(names.get(sym), "the name of a module"), inputs, outputs, ...clocks.of(op) }];
    }),
  );
}

/** Which modules have something that is clocked, or reset, in them or below. */
class ClockUse {
  private readonly known = new Map<Op, { usesClock: boolean; usesReset: boolean }>();
  constructor(private readonly module: Module) {}

  of(m: Op): { usesClock: boolean; usesReset: boolean } {
    const before = this.known.get(m);
    if (before !== undefined) return before;
    let [usesClock, usesReset] = [false, false];
    for (const op of m.body.ops) {
      if (hasState(op)) usesClock = true;
      if (isRtl(op, "rtl.reg") && op.attrs["reset"] !== undefined) usesReset = true;
      if (isRtl(op, "rtl.instance")) {
        const inner = this.of(present(this.module.lookup(strAttr(op, "module")), "the module of an instance"));
        usesClock ||= inner.usesClock;
        usesReset ||= inner.usesReset;
      }
    }
    const use = { usesClock, usesReset };
    this.known.set(m, use);
    return use;
  }
}
