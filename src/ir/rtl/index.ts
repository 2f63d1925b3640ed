/**
 * rtl: what is written out. Modules whose regions are graphs: a value may be used before it is defined, and registers
 * close the loops. Every module has an implicit clock and an implicit synchronous reset.
 *
 * The names are a closed set, `RtlName`. What an operation is elsewhere stands in tables over it: its integers in
 * `semantics.ts`, simpler forms in `fold.ts`, what is clocked in `timing.ts`, JavaScript in `eval/rtl-js.ts`, Verilog in
 * `backend-verilog`, area in `backend-hls/emit/rtl-area.ts`.
 *
 * All values are `u<W>` or `s<W>`. Arithmetic computes the exact integer of its operands, each by its own sign, and
 * wraps it to the result type; there is no implicit extension to reason about.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import {
  denseAttr,
  intAttr,
  listAttr,
  opTable,
  strAttr,
  type AttrSpec,
  type Dialect,
  type OpDef,
  type Report,
} from "../define-op.js";
import type { Module, Op, Value } from "../core.js";
import { bits, sameType, showType, type BitsType, type Type } from "../types.js";
import { addressWidth, bitsRange } from "./semantics.js";

type Described = Omit<OpDef, "name">;

const u1 = bits(1);

/** The type of an rtl value. Anything else is a broken invariant. */
export function bitsOf(type: Type): BitsType {
  if (type.kind !== "bits") throw new CompilerBug(`${showType(type)} is not a type of the rtl level (u8, s8)`);
  return type;
}

function allBits(op: Op, report: Report): boolean {
  const bad = [...op.operands, ...op.results].find((v) => v.type.kind !== "bits");
  if (bad !== undefined) report(`${showType(bad.type)} is not a type of the rtl level (u8, s8)`);
  return bad === undefined;
}

function bitsOnly(op: Op, report: Report): void {
  allBits(op, report);
}

function sameWidths(op: Op, report: Report): void {
  if (!allBits(op, report)) return;
  const widths = [...op.operands, ...op.results].map((v) => bitsOf(v.type).width);
  if (new Set(widths).size > 1) report(`bitwise operation on widths ${widths.join(", ")}`);
}

/** Operands from `first` on must have the type of the result. */
function branchesAgree(op: Op, first: number, report: Report): void {
  const odd = op.operands.slice(first).find((v) => !sameType(v.type, op.result.type));
  if (odd !== undefined)
    report(`a branch of type ${showType(odd.type)} for a result of type ${showType(op.result.type)}`);
}

function arithmetic(summary: string): Described {
  return { summary, operands: ["a", "b"], results: ["y"], traits: ["pure"], verify: bitsOnly };
}
function bitwise(summary: string): Described {
  return { summary, operands: ["a", "b"], results: ["y"], traits: ["pure"], verify: sameWidths };
}
function comparison(summary: string): Described {
  return {
    summary,
    operands: ["a", "b"],
    results: ["y"],
    traits: ["pure"],
    inferTypes: () => [u1],
    verify: bitsOnly,
  };
}
function shift(summary: string): Described {
  return {
    summary,
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    attrs: { amount: { kind: "int", doc: "bits, not negative" } },
    verify: (op, report) => {
      if (allBits(op, report) && intAttr(op, "amount") < 0) report("amount is negative");
    },
  };
}

const style: AttrSpec = {
  kind: "string",
  oneOf: ["auto", "block", "distributed", "registers"],
  doc: "how synthesis is to build it",
};
const readLatency: AttrSpec = { kind: "int", doc: "0: read in the same cycle; 1: registered read" };
const symbol: AttrSpec = { kind: "string" };
const names: AttrSpec = { kind: "list", doc: "port names, in order" };

function checkLatency(op: Op, report: Report): void {
  const latency = intAttr(op, "read_latency");
  if (latency !== 0 && latency !== 1) report(`read_latency is ${latency} instead of 0 or 1`);
}

function checkAddress(op: Op, index: number, depth: number, report: Report): void {
  const type = bitsOf(op.operand(index).type);
  const width = addressWidth(depth);
  if (type.signed || type.width !== width)
    report(`address of type ${showType(type)} where ${depth} words call for u${width}`);
}

function verifyModule(op: Op, report: Report): void {
  const inputs = listAttr(op, "inputs");
  const outputs = listAttr(op, "outputs");
  const ports = [...inputs, ...outputs];
  if (ports.some((p) => typeof p !== "string" || p === "")) return report("a port name is not a string");
  const twice = ports.find((p, i) => ports.indexOf(p) !== i);
  if (twice !== undefined) report(`two ports are called "${String(twice)}"`);
  if (inputs.length !== op.body.args.length)
    report(`${inputs.length} input names for ${op.body.args.length} arguments`);
  const odd = op.body.args.find((a) => a.type.kind !== "bits");
  if (odd !== undefined) report(`an input of type ${showType(odd.type)}, which is not a type of the rtl level`);
  const end = op.body.ops.at(-1);
  if (!isRtl(end, "rtl.output")) report("does not end with rtl.output");
  else if (end.operands.length !== outputs.length)
    report(`${outputs.length} output names for ${end.operands.length} values`);
}

function verifyMemory(op: Op, report: Report): void {
  if (!allBits(op, report)) return;
  const depth = intAttr(op, "depth");
  if (depth < 1) return report(`depth is ${depth}`);
  checkLatency(op, report);
  if (!sameType(op.operand(2).type, u1)) report(`write enable of type ${showType(op.operand(2).type)} instead of u1`);
  if (op.operands.length === 3) report("has no read address");
  for (let i = 0; i < op.operands.length; i++) if (i !== 1 && i !== 2) checkAddress(op, i, depth, report);
}

function verifyRom(op: Op, report: Report): void {
  if (!allBits(op, report)) return;
  const { shape, elem } = denseAttr(op, "values");
  if (elem.kind !== "fixed") return report("values are not fixed-point numbers");
  if (shape.length !== 1 && shape.length !== 2) return report(`values of rank ${shape.length} instead of 1 or 2`);
  checkLatency(op, report);
  const [depth = 0] = shape;
  if (depth < 1) return report("no words");
  checkAddress(op, 0, depth, report);
}

/** Word of a rom with these values: an element, or for rank 2 the elements of a row, element 0 least significant. */
export function romWordType(
  shape: readonly number[],
  elem: { readonly width: number; readonly signed: boolean },
): BitsType {
  const [, perWord] = shape;
  return perWord === undefined ? bits(elem.width, elem.signed) : bits(elem.width * perWord);
}

function verifyReg(op: Op, report: Report): void {
  if (!allBits(op, report)) return;
  const enable = op.operands[1];
  if (enable !== undefined && !sameType(enable.type, u1))
    report(`enable of type ${showType(enable.type)} instead of u1`);
  const reset = op.attrs["reset"];
  if (typeof reset !== "number") return;
  const type = bitsOf(op.result.type);
  const { lo, hi } = bitsRange(type);
  if (BigInt(reset) < lo || BigInt(reset) > hi) report(`reset value ${reset} is not a ${showType(type)}`);
}

/** A value that a builder has declared and not defined yet; never part of a finished program. */
export const FORWARD = "rtl.forward";

/** Note on a module that stands for a cell of a device: the file in `runtime/cells` that is its Verilog text. */
export const CELL_FILE = "cell.file";

export const rtlOps = opTable({
  "rtl.module": {
    summary: "A hardware module; clock and reset are implicit.",
    operands: [],
    results: [],
    regions: 1,
    traits: ["graph"],
    attrs: {
      sym: symbol,
      inputs: names,
      outputs: names,
      clock: { kind: "string", optional: true, doc: "port name of the clock; of the top module" },
      resetn: { kind: "string", optional: true, doc: "port name of the active-low reset; of the top module" },
    },
    verify: verifyModule,
  },
  "rtl.output": {
    summary: "The values of the output ports.",
    operands: ["values*"],
    results: [],
    traits: ["terminator"],
    verify: bitsOnly,
  },
  "rtl.constant": {
    summary: "An integer.",
    operands: [],
    results: ["y"],
    traits: ["pure"],
    attrs: { value: { kind: "string", doc: "decimal" } },
    verify: (op, report) => {
      if (!allBits(op, report)) return;
      const text = strAttr(op, "value");
      if (!/^-?\d+$/.test(text)) return report(`value "${text}" is not a decimal integer`);
      const { lo, hi } = bitsRange(bitsOf(op.result.type));
      if (BigInt(text) < lo || BigInt(text) > hi) report(`value ${text} is not a ${showType(op.result.type)}`);
    },
  },
  "rtl.add": arithmetic("Sum, wrapped to the result type."),
  "rtl.sub": arithmetic("Difference, wrapped to the result type."),
  "rtl.mul": arithmetic("Product, wrapped to the result type."),
  "rtl.and": bitwise("Bitwise and."),
  "rtl.or": bitwise("Bitwise or."),
  "rtl.xor": bitwise("Bitwise exclusive or."),
  "rtl.not": {
    summary: "Bitwise complement.",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    verify: sameWidths,
  },
  "rtl.shl": shift("x * 2^amount, wrapped to the result type."),
  "rtl.shr": shift("floor(x / 2^amount), wrapped to the result type: arithmetic on signed operands."),
  "rtl.eq": comparison("Whether two numbers are equal."),
  "rtl.ne": comparison("Whether two numbers differ."),
  "rtl.lt": comparison("Whether a is below b, by value."),
  "rtl.le": comparison("Whether a is at most b, by value."),
  "rtl.mux": {
    summary: "a where sel is 1, else b.",
    operands: ["sel", "a", "b"],
    results: ["y"],
    traits: ["pure"],
    verify: (op, report) => {
      if (!allBits(op, report)) return;
      if (!sameType(op.operand(0).type, u1)) report(`selector of type ${showType(op.operand(0).type)} instead of u1`);
      branchesAgree(op, 1, report);
    },
  },
  "rtl.select": {
    summary: "The value number index; the last one for an index beyond the end.",
    operands: ["index", "v0", "values*"],
    results: ["y"],
    traits: ["pure"],
    verify: (op, report) => {
      if (!allBits(op, report)) return;
      if (bitsOf(op.operand(0).type).signed) report("index is signed");
      branchesAgree(op, 1, report);
    },
  },
  "rtl.concat": {
    summary: "The bits of all operands, most significant first.",
    operands: ["x", "more*"],
    results: ["y"],
    traits: ["pure"],
    inferTypes: (op) => [bits(op.operands.reduce((n, v) => n + bitsOf(v.type).width, 0))],
  },
  "rtl.extract": {
    summary: "Bits from lo upwards; the result type says how many.",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    attrs: { lo: { kind: "int" } },
    verify: (op, report) => {
      if (!allBits(op, report)) return;
      const lo = intAttr(op, "lo");
      const to = lo + bitsOf(op.result.type).width;
      const width = bitsOf(op.operand(0).type).width;
      if (lo < 0 || to > width) report(`bits ${lo} to ${to - 1} of ${width}`);
    },
  },
  "rtl.cast": {
    summary: "The same number in the result type: extended by the operand's sign, or wrapped.",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    verify: bitsOnly,
  },
  "rtl.reg": {
    summary:
      "A register: the value of next one cycle earlier. Without reset it is part of a data path, and undefined until first written.",
    operands: ["next", "enable?"],
    results: ["q"],
    attrs: { reset: { kind: "int", optional: true, doc: "value under reset, which goes before enable" } },
    inferTypes: (op) => [op.operand(0).type],
    verify: verifyReg,
  },
  "rtl.memory": {
    summary:
      "Words with one write port and a read port per raddr. A registered read gives the old word when the same word is written in that cycle; contents are undefined until written, addresses are below depth.",
    operands: ["waddr", "wdata", "wen", "raddr*"],
    results: ["rdata*"],
    attrs: {
      depth: { kind: "int" },
      read_latency: readLatency,
      style,
      disjoint: { kind: "bool", optional: true, doc: "what is read while it is written is never used" },
    },
    inferTypes: (op) => readAddresses(op).map(() => op.operand(1).type),
    verify: verifyMemory,
  },
  "rtl.rom": {
    summary:
      "Constant words. Rank 2: a word is a row of values, element 0 least significant. Addresses are below the depth.",
    operands: ["addr"],
    results: ["data"],
    attrs: { values: { kind: "dense" }, read_latency: readLatency, style },
    inferTypes: (op) => {
      const { shape, elem } = denseAttr(op, "values");
      if (elem.kind !== "fixed") throw new CompilerBug("values are not fixed-point numbers");
      return [romWordType(shape, elem)];
    },
    verify: verifyRom,
  },
  "rtl.instance": {
    summary: "An instance of a module of this program; operands and results are its ports, in order.",
    operands: ["inputs*"],
    results: ["outputs*"],
    attrs: { module: symbol, sym: symbol },
    verify: bitsOnly,
  },
});

export type RtlName = keyof typeof rtlOps;

export const rtlDialect: Dialect = { name: "rtl", ops: Object.values(rtlOps) };

/** Whether `op` is the rtl operation `name`; a name that does not exist does not compile. */
export function isRtl<N extends RtlName>(op: Op | undefined, name: N): op is Op & { readonly name: N } {
  return op?.name === name;
}

/** The entry for `op` in a table over all rtl operations. Anything else at this level is a broken invariant. */
export function rtlEntry<T>(table: Readonly<Record<RtlName, T>>, op: Op): T {
  if (!Object.hasOwn(table, op.name)) throw new CompilerBug(`${op.name} is not an operation of the rtl level`);
  return table[op.name as RtlName];
}

/** The modules of a program, in order. */
export function rtlModules(module: Module): Op[] {
  return module.body.ops.filter((op) => isRtl(op, "rtl.module"));
}

/** What a memory reads: its operands behind write address, data and enable. */
export function readAddresses(memory: Op): readonly Value[] {
  return memory.operands.slice(3);
}
