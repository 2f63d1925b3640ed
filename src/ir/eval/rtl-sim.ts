/**
 * Reference interpreter of rtl: dissolves the hierarchy, puts the combinational operations in order and compiles them
 * to JavaScript functions that work on typed arrays.
 *
 * Before `reset`, and for what has no reset, state is zero; hardware may start with anything there. An address beyond
 * the end of a memory or rom reads zero and writes nothing.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Dense } from "../attributes.js";
import type { Module } from "../core.js";
import { denseAttr, intAttr, strAttr } from "../define-op.js";
import type { BitsType } from "../types.js";
import { at, present } from "../present.js";
import { bitsOf, isRtl } from "../rtl/index.js";
import { romPatterns, wrap } from "../rtl/semantics.js";
import { isClocked } from "../rtl/timing.js";
import { flattenRtl, type NetList, type Node } from "./rtl-flatten.js";
import { JsWriter, runtime, storeOf, wordsOf, type Names, type Store } from "./rtl-js.js";

/** Operations per generated function: larger ones are not optimized by V8. */
const CHUNK = 400;

type Code = (I: Int32Array, F: Float64Array, W: Int32Array, M: readonly Table[], R: typeof runtime) => void;
type Table = Int32Array | Float64Array;

export class RtlSimulator {
  /** Clock edges so far. */
  cycle = 0;
  private readonly net: NetList;
  private readonly layout: Layout;
  private readonly I: Int32Array;
  private readonly F: Float64Array;
  private readonly W: Int32Array;
  private readonly evaluate: readonly Code[];
  private readonly commit: readonly Code[];
  private stale = true;

  /** @errors CompilerBug if the program does not verify */
  constructor(module: Module, topName: string) {
    const top = module.lookup(topName);
    if (!isRtl(top, "rtl.module")) throw new CompilerBug(`no rtl module "${topName}" to simulate`);
    this.net = flattenRtl(module, top);
    this.layout = new Layout(this.net);
    const { sizes } = this.layout;
    this.I = new Int32Array(sizes.I);
    this.F = new Float64Array(sizes.F);
    this.W = new Int32Array(sizes.W);
    const compiler = new ChunkCompiler(this.net, this.layout);
    this.evaluate = compiler.combinational();
    this.commit = compiler.clockEdge();
    for (const c of compiler.initial()) this.poke(c.id, c.value);
    this.loadReset();
  }

  /** Sets an input port; the value wraps to its type. */
  set(port: string, value: bigint | number): void {
    const id = this.net.inputs.get(port);
    if (id === undefined) throw new CompilerBug(`no input port "${port}"`);
    this.poke(id, value);
    this.stale = true;
  }

  /** Value of an output port in this cycle: an integer of the port's type. */
  get(port: string): bigint {
    const id = this.outputId(port);
    const t = this.layout.type(id);
    const at = this.layout.place(id);
    if (storeOf(t) !== "W") return BigInt((storeOf(t) === "I" ? this.I : this.F)[at] ?? 0);
    return wrap(runtime.load(this.W, at, wordsOf(t)), t);
  }

  /** `get` as a number; exact up to 53 bits. */
  getNumber(port: string): number {
    const id = this.outputId(port);
    const store = storeOf(this.layout.type(id));
    if (store === "W") return Number(this.get(port));
    // Products of zero leave negative zeros.
    return ((store === "I" ? this.I : this.F)[this.layout.place(id)] ?? 0) + 0;
  }

  /** One clock edge. */
  step(): void {
    this.settle();
    for (const f of this.commit) f(this.I, this.F, this.W, this.layout.tables, runtime);
    this.cycle++;
    this.stale = true;
  }

  /** One clock edge with reset active: what has a reset value takes it, everything else goes on. */
  reset(): void {
    this.step();
    this.loadReset();
  }

  private loadReset(): void {
    for (const n of this.net.state) {
      const value = n.op.attrs["reset"];
      if (isRtl(n.op, "rtl.reg") && typeof value === "number") this.poke(n.result, value);
    }
    this.stale = true;
  }

  private outputId(port: string): number {
    this.settle();
    const id = this.net.outputs.get(port);
    if (id === undefined) throw new CompilerBug(`no output port "${port}"`);
    return id;
  }

  private settle(): void {
    if (!this.stale) return;
    for (const f of this.evaluate) f(this.I, this.F, this.W, this.layout.tables, runtime);
    this.stale = false;
  }

  private poke(id: number, value: bigint | number): void {
    const t = this.layout.type(id);
    const at = this.layout.place(id);
    if (storeOf(t) === "W") return runtime.save(this.W, at, t.width, BigInt(value));
    const store = storeOf(t) === "I" ? this.I : this.F;
    store[at] = Number(wrap(BigInt(value), t));
  }
}

/** Where values and the words of memories are kept. */
class Layout {
  private readonly index: number[] = [];
  readonly sizes: Record<Store, number> = { I: 0, F: 0, W: 0 };
  readonly tables: Table[] = [];
  private readonly tableOf = new Map<Node, number>();
  /** Operands of state that are themselves state: their copies from before the clock edge. */
  readonly shadow = new Map<number, number>();

  constructor(private readonly net: NetList) {
    net.types.forEach((t) => this.index.push(this.allot(t)));
    for (const n of [...net.state, ...net.order]) {
      if (this.tableOf.has(n)) continue;
      if (isRtl(n.op, "rtl.memory"))
        this.addTable(n, memoryWords(bitsOf(n.op.operand(1).type), intAttr(n.op, "depth")));
      if (isRtl(n.op, "rtl.rom")) this.addTable(n, romTable(denseAttr(n.op, "values"), bitsOf(n.op.result.type)));
    }
    const clocked = new Set(net.state.filter((n) => isClocked(n.op)).flatMap((n) => n.results));
    for (const n of net.state)
      for (const o of n.operands)
        if (clocked.has(o) && !this.shadow.has(o)) this.shadow.set(o, this.allot(at(net.types, o)));
  }
  type(id: number): BitsType {
    return at(this.net.types, id);
  }
  /** Where in its store a value begins. */
  place(id: number): number {
    return at(this.index, id);
  }
  /** Where the words of a memory or rom are. */
  table(n: Node): number {
    return present(this.tableOf.get(n), `the table of ${n.op.name}`);
  }
  private allot(t: BitsType): number {
    const store = storeOf(t);
    const at = this.sizes[store];
    this.sizes[store] += store === "W" ? wordsOf(t) : 1;
    return at;
  }
  private addTable(n: Node, words: Table): void {
    this.tableOf.set(n, this.tables.push(words) - 1);
  }
}

function memoryWords(t: BitsType, depth: number): Table {
  const store = storeOf(t);
  return store === "F" ? new Float64Array(depth) : new Int32Array(store === "I" ? depth : depth * wordsOf(t));
}

function romTable(values: Dense, t: BitsType): Table {
  const patterns = romPatterns(values);
  const table = memoryWords(t, patterns.length);
  patterns.forEach((word, d) => {
    if (storeOf(t) === "W") runtime.save(table as Int32Array, d * wordsOf(t), t.width, word);
    else table[d] = Number(wrap(word, t));
  });
  return table;
}

/**
 * Cuts the net list into functions of bounded size. Numbers live in local constants; what other functions need is
 * stored.
 */
class ChunkCompiler {
  private readonly constants = new Map<number, bigint>();
  /** Values that are read from the stores by someone else than the defining function. */
  private readonly stored = new Set<number>();
  private readonly chunks: Node[][] = [];

  constructor(
    private readonly net: NetList,
    private readonly layout: Layout,
  ) {
    const nodes: Node[] = [];
    for (const n of net.order) {
      if (isRtl(n.op, "rtl.constant")) this.constants.set(n.result, BigInt(strAttr(n.op, "value")));
      else nodes.push(n);
    }
    const home = new Map<number, number>();
    for (let i = 0; i < nodes.length; i += CHUNK) {
      const chunk = nodes.slice(i, i + CHUNK);
      for (const n of chunk) for (const r of n.results) home.set(r, this.chunks.length);
      this.chunks.push(chunk);
    }
    this.chunks.forEach((chunk, k) => {
      for (const n of chunk) for (const o of n.operands) if (home.get(o) !== k) this.stored.add(o);
    });
    for (const n of net.state) for (const o of n.operands) this.stored.add(o);
    for (const id of net.outputs.values()) this.stored.add(id);
  }

  /** Values that hold from the start: constants. */
  initial(): { id: number; value: bigint }[] {
    return [...this.constants].map(([id, value]) => ({ id, value }));
  }

  combinational(): Code[] {
    const codes = this.chunks.map((chunk) => {
      const f = new Func(this.layout, this.constants);
      const w = new JsWriter(f);
      for (const n of chunk) this.node(n, f, w);
      return f.compile();
    });
    return [...codes, ...this.shadows()];
  }

  /** Copies the state that other state reads: all of them change at once. */
  private shadows(): Code[] {
    return inGroups([...this.layout.shadow], (group) => {
      const f = new Func(this.layout, this.constants);
      const w = new JsWriter(f);
      for (const [id, at] of group) {
        const t = this.layout.type(id);
        f.lines.push(
          storeOf(t) === "W"
            ? w.copyWords(at, this.layout.place(id), wordsOf(t))
            : `${storeOf(t)}[${at}] = ${storeOf(t)}[${this.layout.place(id)}];`,
        );
      }
      return f.compile();
    });
  }

  private node(n: Node, f: Func, w: JsWriter): void {
    if (isRtl(n.op, "rtl.memory")) return n.results.forEach((r, i) => this.read(n, n.operand(3 + i), r, f));
    if (isRtl(n.op, "rtl.rom")) return this.read(n, n.operand(0), n.result, f);
    const code = w.combinational(n);
    if ("statements" in code) f.lines.push(code.statements);
    else f.define(n.result, code.number, this.stored.has(n.result));
  }

  /** Reads a word of a table at the address `addr` into `result`. */
  private read(n: Node, addr: number, result: number, f: Func): void {
    const t = this.layout.type(result);
    const m = this.layout.table(n);
    const depth = isRtl(n.op, "rtl.rom") ? at(denseAttr(n.op, "values").shape, 0) : intAttr(n.op, "depth");
    const a = f.num(addr);
    const complete = depth === 2 ** this.layout.type(addr).width;
    if (storeOf(t) !== "W")
      return f.define(result, complete ? `M[${m}][${a}]` : `${a} < ${depth} ? M[${m}][${a}] : 0`, true);
    const words = wordsOf(t);
    const first = this.layout.place(result);
    const body = `for (let i = 0, a = ${a} * ${words}; i < ${words}; i++) W[${first} + i] = M[${m}][a + i];`;
    f.lines.push(complete ? body : `if (${a} < ${depth}) { ${body} } else W.fill(0, ${first}, ${first + words});`);
  }

  clockEdge(): Code[] {
    return inGroups(this.net.state, (group) => {
      const f = new Func(this.layout, this.constants, true);
      const w = new JsWriter(f);
      for (const n of group) {
        if (isRtl(n.op, "rtl.reg")) this.register(n, f, w);
        else {
          if (isClocked(n.op)) this.node(n, f, w);
          if (isRtl(n.op, "rtl.memory")) this.write(n, f);
        }
      }
      return f.compile();
    });
  }

  private register(n: Node, f: Func, w: JsWriter): void {
    const [next, enable] = [n.operand(0), n.operands[1]];
    const q = n.result;
    const t = this.layout.type(q);
    const copy =
      storeOf(t) === "W"
        ? w.copyWords(this.layout.place(q), f.at(next), wordsOf(t))
        : `${storeOf(t)}[${this.layout.place(q)}] = ${f.num(next)};`;
    f.lines.push(enable === undefined ? copy : `if (${f.num(enable)} === 1) { ${copy} }`);
  }

  private write(n: Node, f: Func): void {
    const [waddr, wdata, wen] = [n.operand(0), n.operand(1), n.operand(2)];
    const t = this.layout.type(wdata);
    const m = this.layout.table(n);
    const depth = intAttr(n.op, "depth");
    const a = f.num(waddr);
    const guard = depth === 2 ** this.layout.type(waddr).width ? "" : ` && ${a} < ${depth}`;
    const words = wordsOf(t);
    const body =
      storeOf(t) === "W"
        ? `for (let i = 0, a = ${a} * ${words}; i < ${words}; i++) M[${m}][a + i] = W[${f.at(wdata)} + i];`
        : `M[${m}][${a}] = ${f.num(wdata)};`;
    f.lines.push(`if (${f.num(wen)} === 1${guard}) { ${body} }`);
  }
}

function inGroups<T>(items: readonly T[], compile: (group: readonly T[]) => Code): Code[] {
  const codes: Code[] = [];
  for (let i = 0; i < items.length; i += CHUNK) codes.push(compile(items.slice(i, i + CHUNK)));
  return codes;
}

/** The text of one function. */
class Func implements Names {
  readonly lines: string[] = [];
  private readonly local = new Set<number>();

  constructor(
    private readonly layout: Layout,
    private readonly constants: ReadonlyMap<number, bigint>,
    /** Whether operands are read as they were before the clock edge. */
    private readonly before = false,
  ) {}

  type(id: number): BitsType {
    return this.layout.type(id);
  }

  private indexOf(id: number): number {
    return (this.before ? this.layout.shadow.get(id) : undefined) ?? this.layout.place(id);
  }
  num(id: number): string {
    const c = this.constants.get(id);
    const store = storeOf(this.type(id));
    if (c !== undefined && store !== "W") return c.toString();
    if (store === "W") throw new CompilerBug("a wide value where a number is called for");
    if (!this.local.has(id)) {
      this.local.add(id);
      this.lines.push(`const v${id} = ${store}[${this.indexOf(id)}];`);
    }
    return `v${id}`;
  }
  at(id: number): number {
    return this.indexOf(id);
  }
  define(id: number, expression: string, stored: boolean): void {
    const store = storeOf(this.type(id));
    // At a clock edge the name stands for the old value.
    if (this.before) {
      this.lines.push(`${store}[${this.layout.place(id)}] = ${expression};`);
      return;
    }
    this.local.add(id);
    this.lines.push(`const v${id} = ${expression};`);
    if (stored) this.lines.push(`${store}[${this.layout.place(id)}] = v${id};`);
  }
  compile(): Code {
    // Arithmetic is spelt out of numbers that the verifier has seen; no text of the user gets in here.
    return new Function("I", "F", "W", "M", "R", `"use strict";\n${this.lines.join("\n")}`) as Code;
  }
}
