/** The look of the text: module headers with their comments, line breaks. */
import { at } from "../ir/present.js";
import type { Op } from "../ir/core.js";
import { isAttrRecord } from "../ir/attributes.js";
import { bitsOf } from "../ir/rtl/index.js";
import type { BitsType } from "../ir/types.js";
import { commentText } from "./names.js";

/** What the text of a module, and of those that instantiate it, needs to know. */
export interface ModuleInterface {
  readonly op: Op;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly usesClock: boolean;
  readonly usesReset: boolean;
}

/** Longest line that is not broken. */
const COLUMNS = 108;

/** Breaks a long statement behind commas; later lines are indented. */
export function wrapList(line: string): string[] {
  if (line.length <= COLUMNS || !line.includes(", ")) return [line];
  const indent = `${" ".repeat(line.length - line.trimStart().length)}    `;
  const out: string[] = [];
  let current = "";
  for (const piece of line.split(/(?<=, )/)) {
    if (current !== "" && current.length + piece.trimEnd().length > COLUMNS) {
      out.push(current.trimEnd());
      current = indent;
    }
    current += piece;
  }
  out.push(current);
  return out;
}

/** `[7:0] `, with the sign where there is one. */
export function rangeText(t: BitsType): string {
  return `${t.signed ? "signed " : ""}${t.width === 1 ? "" : `[${t.width - 1}:0] `}`;
}

/** Comment, port list. Notes on the module: `verilog.doc` (a sentence), `verilog.ports` (port -> what it carries). */
export function moduleHeader(face: ModuleInterface): string {
  const { op } = face;
  const lines = [`// ${face.name}`];
  const doc = op.attrs["verilog.doc"];
  if (typeof doc === "string") for (const l of doc.split("\n")) lines.push(`// ${commentText(l)}`);
  if (op.loc.nodes.length > 0) lines.push(`// ONNX nodes: ${nodeList(op.loc.nodes)}`);
  lines.push("", "`default_nettype none", "", `module ${face.name} (`);
  const ports = portList(face);
  const wide = Math.max(...ports.map((p) => p.declaration.length + 1), 0);
  ports.forEach((p, i) =>
    lines.push(`    ${(p.declaration + (i < ports.length - 1 ? "," : "")).padEnd(wide)}  // ${p.doc}`),
  );
  lines.push(");", "");
  return `${lines.join("\n")}\n`;
}

function nodeList(nodes: readonly string[]): string {
  const shown = nodes.slice(0, 8).map((n) => `"${commentText(n, 100)}"`);
  return shown.join(", ") + (nodes.length > shown.length ? `, and ${nodes.length - shown.length} more` : "");
}

interface PortLine {
  readonly declaration: string;
  readonly doc: string;
}

function portList(face: ModuleInterface): PortLine[] {
  const { op } = face;
  const notes = op.attrs["verilog.ports"];
  const docOf = (port: string, t: BitsType): string => {
    const note = isAttrRecord(notes) ? notes[port] : undefined;
    return typeof note === "string"
      ? commentText(note, 90)
      : (axisDoc(port) ?? `${t.signed ? "signed" : "unsigned"}, ${t.width} bit${t.width === 1 ? "" : "s"}`);
  };
  const line = (direction: string, port: string, name: string, t: BitsType): PortLine => ({
    declaration: `${direction} wire ${rangeText(t)}${name}`,
    doc: docOf(port, t),
  });
  const inputs = op.attrs["inputs"] as readonly string[];
  const outputs = op.attrs["outputs"] as readonly string[];
  return [
    ...clockPorts(face),
    ...inputs.map((n, i) => line("input ", n, at(face.inputs, i), bitsOf(at(op.body.args, i).type))),
    ...outputs.map((n, i) => line("output", n, at(face.outputs, i), bitsOf(op.body.terminator.operand(i).type))),
  ];
}

function clockPorts({ op, usesClock, usesReset }: ModuleInterface): PortLine[] {
  const { clock, resetn } = op.attrs;
  const ports: PortLine[] = [];
  if (typeof clock === "string") ports.push({ declaration: `input  wire ${clock}`, doc: "clock, rising edge" });
  else if (usesClock) ports.push({ declaration: "input  wire clk", doc: "clock, rising edge" });
  if (typeof resetn === "string")
    ports.push({ declaration: `input  wire ${resetn}`, doc: "reset, active low, synchronous" });
  else if (usesReset) ports.push({ declaration: "input  wire rst", doc: "reset, active high, synchronous" });
  return ports;
}

function axisDoc(port: string): string | undefined {
  if (port.endsWith("_tdata")) return "AXI4-Stream: elements of a beat, the first one lowest";
  if (port.endsWith("_tvalid")) return "AXI4-Stream: tdata and tlast are valid";
  if (port.endsWith("_tready")) return "AXI4-Stream: the receiver takes a valid beat in this cycle";
  if (port.endsWith("_tlast")) return "AXI4-Stream: last beat of a sample";
  return undefined;
}
