/**
 * Builds rtl modules. Results are as wide as they need to be unless a type is given; constants are folded and trivial
 * operations vanish on the way, so that generators can be written without special cases. Equal operations are built
 * once.
 *
 * Over 400 lines, because it is one class with a method for each operation.
 *
 * ```ts
 * const m = new RtlModuleBuilder(module, "counter", [{ name: "enable", type: u(1) }]);
 * const count = m.regDeclare(u(8), { reset: 0, hint: "count" });
 * m.connect(count, m.add(count, m.constant(1), u(8)), m.input("enable"));
 * m.finish({ count });
 * ```
 */
import { CompilerBug } from "../../diagnostics/index.js";
import type { Dense, Attr } from "../attributes.js";
import { Block, Op, unknownLoc, type Location, type Module, type Value } from "../core.js";
import { bits, showType, type BitsType } from "../types.js";
import { stringsAttr, strAttr } from "../define-op.js";
import { bitsOf, FORWARD, isRtl, romWordType, type RtlName } from "./index.js";
import { addressWidth, typeOfBitsRange, wrap, type CombinationalName } from "./semantics.js";
import { simplify } from "./fold.js";
import { commonType, differenceType, productType, sumType } from "./result-types.js";

/** `u<width>`. */
export function u(width: number): BitsType {
  return bits(width, false);
}
/** `s<width>`. */
export function s(width: number): BitsType {
  return bits(width, true);
}

export interface Port {
  readonly name: string;
  readonly type: BitsType;
}
export type StorageStyle = "auto" | "block" | "distributed" | "registers";

export interface MemoryOptions {
  /** Words. */
  readonly depth: number;
  readonly word: BitsType;
  readonly waddr: Value;
  readonly wdata: Value;
  readonly wen: Value;
  readonly raddr: readonly Value[];
  readonly readLatency: 0 | 1;
  readonly style?: StorageStyle;
  /** What is read while it is written is never used. */
  readonly disjoint?: boolean;
  readonly hint?: string;
}

export class RtlModuleBuilder {
  /** The module under construction; complete after `finish`. */
  readonly op: Op;
  /** Given to the operations that are built from now on. */
  loc: Location;
  private readonly block = new Block();
  private readonly known = new Map<string, Value>();
  private readonly inputNames: readonly string[];
  private readonly open = new Set<Value>();

  /**
   * Appends the module to `module`. `attrs`: `clock` and `resetn` of a top module, or notes with a dot in their names.
   */
  constructor(
    module: Module,
    name: string,
    inputs: readonly Port[],
    options: { loc?: Location; attrs?: Readonly<Record<string, Attr>> } = {},
  ) {
    this.loc = options.loc ?? unknownLoc;
    this.inputNames = inputs.map((p) => p.name);
    for (const p of inputs) this.block.addArg(p.type, p.name);
    this.op = new Op({
      name: "rtl.module",
      attrs: { sym: name, inputs: this.inputNames, outputs: [], ...options.attrs },
      regions: [this.block],
      loc: this.loc,
    });
    module.body.append(this.op);
  }

  /** The input port called `name`. */
  input(name: string): Value {
    const arg = this.block.args[this.inputNames.indexOf(name)];
    if (arg === undefined) throw new CompilerBug(`module ${strAttr(this.op, "sym")} has no input ${name}`);
    return arg;
  }

  /** Ends the module: its output ports in the order given. */
  finish(outputs: Readonly<Record<string, Value>>): Op {
    if (this.open.size > 0) {
      const hints = [...this.open].map((v) => v.hint ?? "?").slice(0, 5);
      throw new CompilerBug(
        `module ${strAttr(this.op, "sym")}: ${this.open.size} declared values were never connected (${hints.join(", ")})`,
      );
    }
    this.op.attrs["outputs"] = Object.keys(outputs);
    this.block.append(new Op({ name: "rtl.output", operands: Object.values(outputs), loc: this.loc }));
    return this.op;
  }

  // --- arithmetic

  /** An integer; of the smallest type unless one is given. Wraps to that type. */
  constant(value: bigint | number, type?: BitsType): Value {
    const v = BigInt(value);
    const t = type ?? typeOfBitsRange({ lo: v, hi: v });
    return this.pure("rtl.constant", [], t, { value: wrap(v, t).toString() }, undefined);
  }
  /** a + b, exact unless `type` is narrower. */
  add(a: Value, b: Value, type?: BitsType, hint?: string): Value {
    return this.build("rtl.add", [a, b], type ?? sumType(bitsOf(a.type), bitsOf(b.type)), {}, hint);
  }
  /** a - b, exact unless `type` is narrower. */
  sub(a: Value, b: Value, type?: BitsType, hint?: string): Value {
    return this.build("rtl.sub", [a, b], type ?? differenceType(bitsOf(a.type), bitsOf(b.type)), {}, hint);
  }
  /** a * b, exact unless `type` is narrower. */
  mul(a: Value, b: Value, type?: BitsType, hint?: string): Value {
    return this.build("rtl.mul", [a, b], type ?? productType(bitsOf(a.type), bitsOf(b.type)), {}, hint);
  }
  /** -x. */
  neg(x: Value, type?: BitsType, hint?: string): Value {
    return this.sub(this.constant(0), x, type, hint);
  }
  /** x * 2^amount. */
  shl(x: Value, amount: number, type?: BitsType, hint?: string): Value {
    const t = bitsOf(x.type);
    return this.build("rtl.shl", [x], type ?? bits(t.width + amount, t.signed), { amount }, hint);
  }
  /** floor(x / 2^amount). */
  shr(x: Value, amount: number, type?: BitsType, hint?: string): Value {
    const t = bitsOf(x.type);
    return this.build("rtl.shr", [x], type ?? bits(Math.max(1, t.width - amount), t.signed), { amount }, hint);
  }
  /** x in another type, by value. */
  cast(x: Value, type: BitsType, hint?: string): Value {
    return this.build("rtl.cast", [x], type, {}, hint);
  }

  // --- comparison, choice

  eq(a: Value, b: Value, hint?: string): Value {
    return this.build("rtl.eq", [a, b], u(1), {}, hint);
  }
  ne(a: Value, b: Value, hint?: string): Value {
    return this.build("rtl.ne", [a, b], u(1), {}, hint);
  }
  lt(a: Value, b: Value, hint?: string): Value {
    return this.build("rtl.lt", [a, b], u(1), {}, hint);
  }
  le(a: Value, b: Value, hint?: string): Value {
    return this.build("rtl.le", [a, b], u(1), {}, hint);
  }
  gt(a: Value, b: Value, hint?: string): Value {
    return this.lt(b, a, hint);
  }
  ge(a: Value, b: Value, hint?: string): Value {
    return this.le(b, a, hint);
  }
  /** `a` where `sel` is 1, else `b`; in the smallest type of both unless one is given. */
  mux(sel: Value, a: Value, b: Value, type?: BitsType, hint?: string): Value {
    const t = type ?? commonType([a, b]);
    return this.build("rtl.mux", [sel, this.cast(a, t), this.cast(b, t)], t, {}, hint);
  }
  /** `values[index]`; the last one for an index beyond the end. */
  select(index: Value, values: readonly Value[], type?: BitsType, hint?: string): Value {
    const t = type ?? commonType(values);
    return this.build("rtl.select", [index, ...values.map((v) => this.cast(v, t))], t, {}, hint);
  }
  /** The larger number. */
  max(a: Value, b: Value, type?: BitsType, hint?: string): Value {
    return this.mux(this.lt(a, b), b, a, type, hint);
  }
  /** The smaller number. */
  min(a: Value, b: Value, type?: BitsType, hint?: string): Value {
    return this.mux(this.lt(b, a), b, a, type, hint);
  }

  // --- bits ---------------------------------------------------------------------------------------------------------

  and(a: Value, b: Value, hint?: string): Value {
    return this.build("rtl.and", [a, b], bitsOf(a.type), {}, hint);
  }
  or(a: Value, b: Value, hint?: string): Value {
    return this.build("rtl.or", [a, b], bitsOf(a.type), {}, hint);
  }
  xor(a: Value, b: Value, hint?: string): Value {
    return this.build("rtl.xor", [a, b], bitsOf(a.type), {}, hint);
  }
  not(x: Value, hint?: string): Value {
    return this.build("rtl.not", [x], bitsOf(x.type), {}, hint);
  }
  /** Conjunction of u1 values; 1 for none. */
  all(values: readonly Value[], hint?: string): Value {
    return this.balanced(values, (a, b, h) => this.and(a, b, h), 1, hint);
  }
  /** Disjunction of u1 values; 0 for none. */
  any(values: readonly Value[], hint?: string): Value {
    return this.balanced(values, (a, b, h) => this.or(a, b, h), 0, hint);
  }
  private balanced(
    values: readonly Value[],
    join: (a: Value, b: Value, hint?: string) => Value,
    neutral: number,
    hint: string | undefined,
  ): Value {
    const [first, ...others] = values;
    if (first === undefined) return this.constant(neutral, u(1));
    if (others.length === 0) return first;
    const half = values.length >> 1;
    return join(
      this.balanced(values.slice(0, half), join, neutral, undefined),
      this.balanced(values.slice(half), join, neutral, undefined),
      hint,
    );
  }
  /** Most significant first. */
  concat(values: readonly Value[], hint?: string): Value {
    return this.build("rtl.concat", values, u(values.reduce((n, v) => n + bitsOf(v.type).width, 0)), {}, hint);
  }
  /** `width` bits of `x` from `lo` upwards. */
  extract(x: Value, lo: number, width: number, signed = false, hint?: string): Value {
    return this.build("rtl.extract", [x], bits(width, signed), { lo }, hint);
  }
  /** One bit as u1. */
  bit(x: Value, index: number, hint?: string): Value {
    return this.extract(x, index, 1, false, hint);
  }
  /** The words of a bundle; word 0 is the least significant. */
  split(x: Value, word: BitsType, count: number): Value[] {
    return Array.from({ length: count }, (_, i) => this.extract(x, i * word.width, word.width, word.signed));
  }

  // --- state

  /** A register. */
  reg(
    next: Value,
    options: { enable?: Value | undefined; reset?: number | undefined; hint?: string | undefined } = {},
  ): Value {
    const operands = options.enable === undefined ? [next] : [next, options.enable];
    const attrs = options.reset === undefined ? {} : { reset: options.reset };
    return this.appendOne("rtl.reg", operands, bitsOf(next.type), attrs, options.hint ?? next.hint);
  }
  /** A register whose input is given later by `connect`. */
  regDeclare(type: BitsType, options: { reset?: number | undefined; hint?: string | undefined } = {}): Value {
    const attrs = options.reset === undefined ? {} : { reset: options.reset };
    const q = this.appendOne("rtl.reg", [], type, attrs, options.hint);
    this.open.add(q);
    return q;
  }
  /** Gives a declared register its input (cast to its type), and an enable. */
  connect(reg: Value, next: Value, enable?: Value): void {
    if (!this.open.delete(reg) || !isRtl(reg.def, "rtl.reg"))
      throw new CompilerBug(`%${reg.hint ?? reg.id} is not a register that waits for its input`);
    reg.def.addOperand(this.cast(next, bitsOf(reg.type)));
    if (enable !== undefined) reg.def.addOperand(enable);
  }
  /** `x` after `cycles` registers. */
  delay(x: Value, cycles: number, options: { reset?: number | undefined; hint?: string | undefined } = {}): Value {
    let v = x;
    for (let i = 1; i <= cycles; i++)
      v = this.reg(v, { reset: options.reset, hint: options.hint ?? delayedName(x.hint, i) });
    return v;
  }
  /** One result per read address. Addresses and data are cast to the types called for. */
  memory(o: MemoryOptions): readonly Value[] {
    const address = u(addressWidth(o.depth));
    const operands = [
      this.cast(o.waddr, address),
      this.cast(o.wdata, o.word),
      o.wen,
      ...o.raddr.map((r) => this.cast(r, address)),
    ];
    return this.append(
      "rtl.memory",
      operands,
      o.raddr.map(() => o.word),
      {
        depth: o.depth,
        read_latency: o.readLatency,
        style: o.style ?? "auto",
        ...(o.disjoint === true && { disjoint: true }),
      },
      o.raddr.map(() => o.hint),
    );
  }
  /** `values[addr]`; shape [depth] or, for words of several elements (element 0 least significant), [depth, n]. */
  rom(addr: Value, values: Dense, options: { readLatency: 0 | 1; style?: StorageStyle; hint?: string }): Value {
    if (values.elem.kind !== "fixed") throw new CompilerBug("a rom of values that are not fixed-point numbers");
    const [depth = 0] = values.shape;
    const operands = [this.cast(addr, u(addressWidth(depth)))];
    const attrs = { values, read_latency: options.readLatency, style: options.style ?? "auto" };
    return this.appendOne("rtl.rom", operands, romWordType(values.shape, values.elem), attrs, options.hint);
  }

  // --- structure

  /** An instance of a finished module; inputs and result by port name. Inputs are cast to the types of the ports. */
  instance(module: Op, sym: string, inputs: Readonly<Record<string, Value>>): Record<string, Value> {
    const names = stringsAttr(module, "inputs");
    const extra = Object.keys(inputs).find((n) => !names.includes(n));
    if (extra !== undefined) throw new CompilerBug(`instance ${sym}: ${strAttr(module, "sym")} has no input ${extra}`);
    const operands = names.map((n, i) => {
      const v = inputs[n];
      if (v === undefined)
        throw new CompilerBug(`instance ${sym}: input ${n} of ${strAttr(module, "sym")} is not connected`);
      return this.cast(v, portType(module, i));
    });
    const outputs = stringsAttr(module, "outputs");
    const types = module.body.terminator.operands.map((v) => bitsOf(v.type));
    const results = this.append(
      "rtl.instance",
      operands,
      types,
      { module: strAttr(module, "sym"), sym },
      outputs.map((n) => `${sym}_${n}`),
    );
    return Object.fromEntries(results.map((r, i) => [outputs[i] ?? "", r]));
  }
  /** A value that is defined later by `resolve`: for loops through instances. */
  forward(type: BitsType, hint?: string): Value {
    const v = this.appendOne(FORWARD, [], type, {}, hint);
    this.open.add(v);
    return v;
  }
  /** Replaces a forward value by `value`, cast to its type. */
  resolve(forward: Value, value: Value): void {
    if (!this.open.delete(forward) || forward.def?.name !== FORWARD)
      throw new CompilerBug(`%${forward.hint ?? forward.id} is not a forward value`);
    const v = this.cast(value, bitsOf(forward.type));
    if (v === forward) throw new CompilerBug(`%${forward.hint ?? forward.id} would be defined by itself`);
    forward.replaceAllUsesWith(v);
    // Values found by structure may now have another structure.
    this.known.clear();
    forward.def.erase();
  }

  // --- the machinery

  private append(
    name: RtlName,
    operands: readonly Value[],
    types: readonly BitsType[],
    attrs: Readonly<Record<string, Attr>>,
    hints: readonly (string | undefined)[],
  ): readonly Value[] {
    return this.block.append(new Op({ name, operands, resultTypes: types, attrs, hints, loc: this.loc })).results;
  }
  private appendOne(
    name: RtlName | typeof FORWARD,
    operands: readonly Value[],
    type: BitsType,
    attrs: Readonly<Record<string, Attr>>,
    hint: string | undefined,
  ): Value {
    return this.block.append(new Op({ name, operands, resultTypes: [type], attrs, hints: [hint], loc: this.loc }))
      .result;
  }

  private build(
    name: CombinationalName,
    operands: readonly Value[],
    type: BitsType,
    attrs: Readonly<Record<string, Attr>>,
    hint: string | undefined,
  ): Value {
    const result = simplify(name, operands, type, attrs);
    if (result !== undefined) {
      if (result.kind === "constant") return this.constant(result.value, type);
      if (result.kind === "value") {
        result.value.hint ??= hint;
        return result.value;
      }
      return this.build(result.name, result.operands, type, result.attrs ?? {}, hint);
    }
    return this.pure(name, operands, type, attrs, hint);
  }

  /** An operation without state; the same one as before if it is built a second time. */
  private pure(
    name: CombinationalName | "rtl.constant",
    operands: readonly Value[],
    type: BitsType,
    attrs: Readonly<Record<string, Attr>>,
    hint: string | undefined,
  ): Value {
    const parameter = attrs["amount"] ?? attrs["lo"] ?? attrs["value"] ?? "";
    const key = `${name} ${showType(type)} ${String(parameter)} ${operands.map((v) => v.id).join(" ")}`;
    const before = this.known.get(key);
    if (before !== undefined) {
      before.hint ??= hint;
      return before;
    }
    const value = this.appendOne(name, operands, type, attrs, hint);
    this.known.set(key, value);
    return value;
  }
}

function delayedName(hint: string | undefined, cycles: number): string | undefined {
  return hint === undefined ? undefined : `${hint}_d${cycles}`;
}

/** Type of input number `i` of a module. */
function portType(module: Op, i: number): BitsType {
  const arg = module.body.args[i];
  if (arg === undefined) throw new CompilerBug(`module ${strAttr(module, "sym")} has no input ${i}`);
  return bitsOf(arg.type);
}
