/**
 * One rtl module as Verilog-2005 text, in the order of its operations: a person reads it from inputs to outputs.
 *
 * - What is used once and short is written in place; what has a hint, several readers or a part select gets a name.
 * - A net is declared where it is defined. Registers that are read earlier than that are declared ahead of everything.
 * - Registers with the same enable and reset share an always block, up to `GROUP` of them: one block for all is
 *   quadratic in Yosys.
 * - Bits that nothing reads (below a rounding point) end in a net called `unused_bits`, which lint tools know by its name.
 */
import { CompilerBug } from "../diagnostics/index.js";
import type { Op, Value } from "../ir/core.js";
import { denseAttr, intAttr, strAttr } from "../ir/define-op.js";
import { at, present } from "../ir/present.js";
import { bitsOf, isRtl, readAddresses } from "../ir/rtl/index.js";
import { romPatterns } from "../ir/rtl/semantics.js";
import { isClocked } from "../ir/rtl/timing.js";
import { ExpressionWriter, literal, sliceOf, type Expr, type Operands, type Slice } from "./expression.js";
import { formOf, isExpression, type Statement } from "./forms.js";
import { moduleHeader, rangeText, wrapList, type ModuleInterface } from "./layout.js";
import { NameScope } from "./names.js";
import { ReadBits } from "./read-bits.js";
import { caseStyle, ramStyle, romStyle } from "./storage-style.js";

/** Registers in one always block. */
const GROUP = 16;
/** Longest expression that is written in place. */
const INLINE = 44;

export class ModuleWriter {
  private readonly scope: NameScope;
  private readonly names = new Map<Value, string>();
  private readonly slices = new Map<Value, Slice>();
  /** Values that must have a name: something selects bits of them. */
  private readonly selected = new Set<Value>();
  private readonly useCount = new Map<Value, number>();
  private readonly read = new ReadBits();

  private readonly ahead: string[] = [];
  private readonly lines: string[] = [];
  private readonly declared = new Set<Value>();
  private readonly emitted = new Set<Op>();
  private readonly arrays = new Map<Op, string>();
  private readonly inline = new Map<Value, Expr>();
  private readonly pending: { readonly q: string; readonly next: string; readonly reset: string | undefined }[] = [];
  private pendingControl: { readonly enable: string | undefined; readonly reset: boolean } | undefined;
  private readonly writer: ExpressionWriter;

  constructor(
    private readonly face: ModuleInterface,
    private readonly instances: ReadonlyMap<string, ModuleInterface>,
  ) {
    const { op } = face;
    this.scope = new NameScope([
      "clk",
      "rst",
      "unused_bits",
      ...[op.attrs["clock"], op.attrs["resetn"]].filter((n) => typeof n === "string"),
      ...face.inputs,
      ...face.outputs,
    ]);
    op.body.args.forEach((a, i) => {
      this.names.set(a, at(face.inputs, i));
      this.declared.add(a);
    });
    this.findSlices();
    this.countUses();
    const operands: Operands = { whole: (v) => this.whole(v), part: (v, lo, width) => this.part(v, lo, width) };
    this.writer = new ExpressionWriter(operands, this.slices);
  }

  /** The whole file. */
  text(): string {
    for (const op of this.face.op.body.ops) this.statement(op);
    this.flushRegisters();
    const unused = this.unusedBits();
    const { op, usesClock, usesReset } = this.face;
    const clocks = [
      ...(typeof op.attrs["clock"] === "string" && usesClock ? [`wire clk = ${op.attrs["clock"]};`] : []),
      ...(typeof op.attrs["resetn"] === "string" && usesReset ? [`wire rst = ~${op.attrs["resetn"]};`] : []),
    ];
    this.ahead.unshift(...clocks);
    const body = [...this.ahead, ...(this.ahead.length > 0 ? [""] : []), ...this.lines, ...unused];
    const spaced = body.filter((l, i) => l !== "" || (i > 0 && body[i - 1] !== ""));
    return `${moduleHeader(this.face)}${spaced.map((l) => (l === "" ? "" : `    ${l}`)).join("\n")}\n\nendmodule\n\n\`default_nettype wire\n`;
  }

  // --- analysis

  private findSlices(): void {
    for (const op of this.face.op.body.ops) {
      const slice = sliceOf(op);
      // A slice with a name of its own is kept under it.
      if (slice !== undefined && op.result.hint === undefined) this.slices.set(op.result, slice);
    }
  }

  private isSlice(op: Op): boolean {
    return op.results.some((r) => this.slices.has(r));
  }

  /** Renders everything once with operands that only take notes. */
  private countUses(): void {
    const note = (v: Value): void => void this.useCount.set(v, (this.useCount.get(v) ?? 0) + 1);
    const dry = new ExpressionWriter(
      {
        whole: (v) => (note(v), { text: "x", atomic: true }),
        part: (v) => (note(v), this.selected.add(v), "x"),
      },
      this.slices,
    );
    for (const op of this.face.op.body.ops) {
      if (this.isSlice(op)) continue;
      if (dry.render(op) === undefined) for (const v of op.operands) dry.own(v);
    }
  }

  // --- operands

  private whole(v: Value): Expr {
    const placed = this.inlineText(v);
    if (placed !== undefined) return placed;
    const type = bitsOf(v.type);
    const name = this.nameOf(v);
    this.read.mark(v, 0, type.width);
    return { text: name, atomic: true, signed: type.signed };
  }

  private part(v: Value, lo: number, width: number): string {
    const name = this.nameOf(v);
    this.read.mark(v, lo, width);
    return width === 1 ? `${name}[${lo}]` : `${name}[${lo + width - 1}:${lo}]`;
  }

  /** Text of a value that is written in place; undefined for one with a name. */
  private inlineText(v: Value): Expr | undefined {
    const op = v.def;
    if (op === undefined || this.names.has(v)) return undefined;
    const known = this.inline.get(v);
    if (known !== undefined) return known;
    if (
      v.hint !== undefined ||
      this.selected.has(v) ||
      (this.useCount.get(v) ?? 0) > 1 ||
      formOf(op).kind !== "expression"
    )
      return undefined;
    const e = this.writer.render(op);
    if (e === undefined) return undefined;
    this.emitted.add(op);
    if (e.text.length <= INLINE) {
      this.inline.set(v, e);
      return e;
    }
    this.assign(v, e);
    return undefined;
  }

  /** Name of a value, which is declared from here on. */
  private nameOf(v: Value): string {
    const op = v.def;
    if (op !== undefined) {
      if (isExpression(op)) this.emitExpression(op);
      else if (isClocked(op) || isRtl(op, "rtl.instance")) {
        if (!this.declared.has(v)) this.ahead.push(this.declaration(v));
      } else if (isRtl(op, "rtl.memory")) this.asyncRead(v);
      else this.statement(op);
    }
    return present(this.names.get(v), "the name of a value");
  }

  private choose(v: Value): string {
    const known = this.names.get(v);
    if (known !== undefined) return known;
    // A port of that name is taken: say what stands behind it.
    const isPort = v.hint !== undefined && this.face.outputs.includes(v.hint);
    const wish = isPort ? `${v.hint}_${isRtl(v.def, "rtl.reg") ? "q" : "w"}` : v.hint;
    const name = this.scope.unique(wish, v.def === undefined ? "t" : formOf(v.def).name);
    this.names.set(v, name);
    return name;
  }

  private declaration(v: Value, kind: "reg" | "wire" = isRtl(v.def, "rtl.instance") ? "wire" : "reg"): string {
    this.declared.add(v);
    return `${kind} ${rangeText(bitsOf(v.type))}${this.choose(v)};`;
  }

  // --- statements

  private statement(op: Op): void {
    if (this.emitted.has(op) || this.isSlice(op)) return;
    const form = formOf(op);
    if (form.kind === "in place") return;
    if (form.kind === "statement") {
      this.emitted.add(op);
      return this.statements[form.statement](op);
    }
    // What is used once may end up in place, or never be needed by name.
    const v = op.result;
    const alone =
      v.hint === undefined &&
      !this.selected.has(v) &&
      (this.useCount.get(v) ?? 0) <= 1 &&
      form.kind !== "named expression";
    if (!alone) this.emitExpression(op);
  }

  private readonly statements: Readonly<Record<Statement, (op: Op) => void>> = {
    select: (op) => this.select(op),
    register: (op) => this.register(op),
    memory: (op) => this.memory(op),
    rom: (op) => this.rom(op),
    instance: (op) => this.instance(op),
    outputs: (op) => this.outputs(op),
  };

  private emitExpression(op: Op): void {
    if (this.emitted.has(op)) return;
    this.emitted.add(op);
    this.assign(op.result, present(this.writer.render(op), `the expression of ${op.name}`));
  }

  private assign(v: Value, e: Expr): void {
    const head = `wire ${rangeText(bitsOf(v.type))}${this.choose(v)} = `;
    this.declared.add(v);
    this.lines.push(...wrapList(`${head}${e.text};`));
  }

  private select(op: Op): void {
    const [index, values] = [op.operand(0), op.operands.slice(1)];
    const width = bitsOf(op.result.type).width;
    const subject = this.writer.own(index);
    const choices = values.map((v) => this.writer.fit(v, width).text);
    const name = this.choose(op.result);
    this.lines.push("", this.declaration(op.result), "always @* begin", `    case (${subject})`);
    choices.forEach((c, i) =>
      this.lines.push(
        `        ${i === choices.length - 1 ? "default" : literal(BigInt(i), bitsOf(index.type).width)}: ${name} = ${c};`,
      ),
    );
    this.lines.push("    endcase", "end");
  }

  private register(op: Op): void {
    const [next, enable] = [op.operand(0), op.operands[1]];
    const width = bitsOf(op.result.type).width;
    if (!this.declared.has(op.result)) this.lines.push(this.declaration(op.result));
    const text = this.writer.fit(next, width).text;
    const gate = enable === undefined ? undefined : this.writer.fit(enable, 1).text;
    const value = op.attrs["reset"];
    const reset = typeof value === "number" ? literal(BigInt(value), width) : undefined;
    const control = { enable: gate, reset: reset !== undefined };
    const same = this.pendingControl?.enable === control.enable && this.pendingControl?.reset === control.reset;
    if (!same || this.pending.length === GROUP) this.flushRegisters();
    this.pendingControl = control;
    this.pending.push({ q: this.choose(op.result), next: text, reset });
  }

  private flushRegisters(): void {
    const control = this.pendingControl;
    if (control === undefined || this.pending.length === 0) return;
    const next = this.pending.map((p) => `${p.q} <= ${p.next};`);
    this.lines.push("", "always @(posedge clk) begin");
    if (control.reset) {
      this.lines.push("    if (rst) begin", ...this.pending.map((p) => `        ${p.q} <= ${p.reset};`));
      this.lines.push(
        control.enable === undefined ? "    end else begin" : `    end else if (${control.enable}) begin`,
      );
      this.lines.push(...next.flatMap((n) => wrapList(n)).map((n) => `        ${n}`), "    end");
    } else if (control.enable !== undefined) {
      this.lines.push(
        `    if (${control.enable}) begin`,
        ...next.flatMap((n) => wrapList(n)).map((n) => `        ${n}`),
        "    end",
      );
    } else this.lines.push(...next.flatMap((n) => wrapList(n)).map((n) => `    ${n}`));
    this.lines.push("end", "");
    this.pending.length = 0;
    this.pendingControl = undefined;
  }

  private memory(op: Op): void {
    const [waddr, wdata, wen] = [op.operand(0), op.operand(1), op.operand(2)];
    const mem = this.words(op);
    const latency = intAttr(op, "read_latency");
    const writer = this.writer;
    const write = `if (${writer.own(wen)}) ${mem}[${writer.own(waddr)}] <= ${writer.own(wdata)};`;
    const reads: string[] = [];
    op.results.forEach((r, i) => {
      if (latency === 0) return this.asyncRead(r);
      const address = writer.own(at(readAddresses(op), i));
      if (!this.declared.has(r)) this.lines.push(this.declaration(r));
      reads.push(`${this.choose(r)} <= ${mem}[${address}];`);
    });
    this.lines.push(
      "",
      "always @(posedge clk) begin",
      ...[write, ...reads].flatMap((l) => wrapList(l)).map((l) => `    ${l}`),
      "end",
      "",
    );
  }

  /** Name of the array of a memory, which is declared from here on. */
  private words(op: Op): string {
    let mem = this.arrays.get(op);
    if (mem === undefined) {
      const hint = op.results.find((r) => r.hint !== undefined)?.hint;
      mem = this.scope.unique(hint === undefined ? "mem" : `${hint}_mem`, "mem");
      this.arrays.set(op, mem);
      this.lines.push(
        "",
        `${ramStyle(strAttr(op, "style"), op.attrs["disjoint"] === true)}reg ${rangeText(bitsOf(op.operand(1).type))}${mem} [0:${intAttr(op, "depth") - 1}];`,
      );
    }
    return mem;
  }

  /** A read in the same cycle. */
  private asyncRead(r: Value): void {
    if (this.declared.has(r)) return;
    const op = present(r.def, "the memory that is read");
    const mem = this.words(op);
    const address = this.writer.own(at(readAddresses(op), r.index));
    this.declared.add(r);
    this.lines.push(`wire ${rangeText(bitsOf(r.type))}${this.choose(r)} = ${mem}[${address}];`);
  }

  private rom(op: Op): void {
    const address = op.operand(0);
    const width = bitsOf(op.result.type).width;
    const clocked = intAttr(op, "read_latency") === 1;
    const subject = this.writer.own(address);
    const name = this.choose(op.result);
    const style = romStyle(strAttr(op, "style"));
    const words = romPatterns(denseAttr(op, "values"));
    const declare = this.declared.has(op.result) ? [] : [`${style}${this.declaration(op.result)}`];
    this.lines.push(
      "",
      ...declare,
      clocked ? "always @(posedge clk) begin" : "always @* begin",
      `    ${caseStyle(strAttr(op, "style"))}case (${subject})`,
    );
    const arrow = clocked ? "<=" : "=";
    const addressBits = bitsOf(address.type).width;
    const complete = words.length === 2 ** addressBits;
    words.forEach((w, i) => {
      const label = complete && i === words.length - 1 ? "default" : literal(BigInt(i), addressBits);
      this.lines.push(`        ${label}: ${name} ${arrow} ${literal(w, width)};`);
    });
    if (!complete) this.lines.push(`        default: ${name} ${arrow} ${literal(0n, width)};`);
    this.lines.push("    endcase", "end", "");
  }

  private instance(op: Op): void {
    const target = this.instances.get(strAttr(op, "module"));
    if (target === undefined)
      throw new CompilerBug(`instance of module ${strAttr(op, "module")}, which does not exist`);
    const inputs = op.operands.map((v, i) => `.${at(target.inputs, i)}(${this.writer.own(v)})`);
    const outputs = op.results.map((r, i) => {
      const isRead = this.useCount.has(r);
      if (!isRead && r.hint === undefined) r.hint = at(target.outputs, i);
      // Lint tools take the name for intent.
      if (!isRead && !this.names.has(r)) this.names.set(r, this.scope.unique(`unused_${r.hint}`, "unused"));
      if (!isRead) this.read.mark(r, 0, bitsOf(r.type).width);
      if (!this.declared.has(r)) this.lines.push(this.declaration(r));
      return `.${at(target.outputs, i)}(${this.choose(r)})`;
    });
    const clocks = [...(target.usesClock ? [".clk(clk)"] : []), ...(target.usesReset ? [".rst(rst)"] : [])];
    const ports = [...clocks, ...inputs, ...outputs];
    this.lines.push("", `${target.name} ${this.scope.unique(strAttr(op, "sym"), "u")} (`);
    ports.forEach((p, i) => this.lines.push(...wrapList(`    ${p}${i < ports.length - 1 ? "," : ""}`)));
    this.lines.push(");", "");
  }

  private outputs(op: Op): void {
    this.flushRegisters();
    const texts = op.operands.map((v) => this.writer.own(v));
    this.lines.push("");
    texts.forEach((t, i) => this.lines.push(...wrapList(`assign ${at(this.face.outputs, i)} = ${t};`)));
  }
  /** A net that reads what nothing else does. */
  private unusedBits(): string[] {
    const { op, usesClock, usesReset } = this.face;
    const parts: string[] = [];
    if (typeof op.attrs["clock"] === "string" && !usesClock) parts.push(op.attrs["clock"]);
    if (typeof op.attrs["resetn"] === "string" && !usesReset) parts.push(op.attrs["resetn"]);
    for (const v of this.declared) {
      const name = present(this.names.get(v), "the name of a value");
      const width = bitsOf(v.type).width;
      for (const { lo, hi } of this.read.gaps(v, width))
        parts.push(hi - lo + 1 === width ? name : lo === hi ? `${name}[${lo}]` : `${name}[${hi}:${lo}]`);
    }
    if (parts.length === 0) return [];
    return [
      "",
      "// Bits that nothing reads: below a rounding point, or ports without a use.",
      ...wrapList(`wire unused_bits = &{1'b0, ${parts.join(", ")}};`),
    ];
  }
}
