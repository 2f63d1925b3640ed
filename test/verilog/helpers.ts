import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Module } from "../../src/ir/core.js";
import { lookupOp, registerDialect } from "../../src/ir/define-op.js";
import { rtlDialect } from "../../src/ir/rtl/index.js";
import { findTool } from "../../src/backend-verilog/tools.js";
import { writeVerilog } from "../../src/backend-verilog/write-verilog.js";

if (lookupOp("rtl.add") === undefined) registerDialect(rtlDialect);

const folders: string[] = [];
afterAll(() => folders.forEach((d) => rmSync(d, { recursive: true, force: true })));

/** A folder that is removed after the tests of a file. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "onnx-hls-test-"));
  folders.push(dir);
  return dir;
}

/** The Verilog of `module` in a new folder. */
export function verilogIn(module: Module): string {
  const dir = join(scratch(), "rtl");
  mkdirSync(dir);
  for (const [file, text] of writeVerilog(module)) writeFileSync(join(dir, file), text);
  return dir;
}

/** Names of the tools that are missing, for skipped tests; empty if all are there. */
export function missing(...tools: string[]): string {
  const absent = tools.filter((t) => findTool(t) === undefined);
  return absent.length === 0 ? "" : ` (skipped: ${absent.join(", ")} not installed)`;
}
