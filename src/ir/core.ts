/**
 * The typed SSA core that all dialects share: values, operations, blocks. All mutation of the IR goes through here,
 * so that use lists and parents stay right.
 */
import type { Attr } from "./attributes.js";
import { at, present } from "./present.js";
import type { Type } from "./types.js";

/** Where an operation comes from: an ONNX node, or a place in textual IR; plus the passes that derived it. */
export interface Location {
  /** ONNX nodes by name; several where a pass fused them. */
  readonly nodes: readonly string[];
  /** ONNX operator type of the first node. */
  readonly opType?: string;
  /** File, and line/column for textual IR. */
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
}

export const unknownLoc: Location = { nodes: [] };

/** Location of an operation that stands for several. */
export function fuseLocs(...locs: readonly Location[]): Location {
  const first = locs.find((l) => l.nodes.length > 0) ?? locs[0] ?? unknownLoc;
  return { ...first, nodes: [...new Set(locs.flatMap((l) => l.nodes))] };
}

let nextValueId = 0;

export class Value {
  readonly id = nextValueId++;
  /** One entry per operand slot that reads this value. */
  readonly uses: { op: Op; index: number }[] = [];

  constructor(
    /** The operation that defines the value; undefined for a block argument. */
    readonly def: Op | undefined,
    /** Block whose argument this is; undefined for a result. */
    readonly owner: Block | undefined,
    public type: Type,
    /** Preferred name in text and in Verilog; never identity. */
    public hint: string | undefined,
  ) {}

  /** Index among the results of `def`, or among the arguments of `owner`. */
  get index(): number {
    return (this.def?.results ?? present(this.owner, "the block of an argument").args).indexOf(this);
  }

  replaceAllUsesWith(other: Value): void {
    if (other === this) return;
    for (const { op, index } of [...this.uses]) op.setOperand(index, other);
  }
}

export interface OpInit {
  readonly name: string;
  readonly operands?: readonly Value[];
  readonly resultTypes?: readonly Type[];
  readonly attrs?: Readonly<Record<string, Attr>>;
  readonly regions?: readonly Block[];
  readonly loc?: Location;
  /** Name hints of the results. */
  readonly hints?: readonly (string | undefined)[];
}

export class Op {
  readonly name: string;
  readonly results: readonly Value[];
  /** Single-block regions: a function's body, a kernel's scalar body. */
  readonly regions: Block[];
  attrs: Record<string, Attr>;
  loc: Location;
  parent: Block | undefined;
  private readonly operandList: Value[] = [];

  constructor(init: OpInit) {
    this.name = init.name;
    this.attrs = { ...init.attrs };
    this.loc = init.loc ?? unknownLoc;
    this.results = (init.resultTypes ?? []).map((t, i) => new Value(this, undefined, t, init.hints?.[i]));
    this.regions = [...(init.regions ?? [])];
    for (const r of this.regions) r.parentOp = this;
    (init.operands ?? []).forEach((v) => this.addOperand(v));
  }

  get dialect(): string {
    return this.name.slice(0, this.name.indexOf("."));
  }
  get operands(): readonly Value[] {
    return this.operandList;
  }
  /** The only result; throws where there is not exactly one. */
  get result(): Value {
    if (this.results.length !== 1) throw new Error(`${this.name} has ${this.results.length} results`);
    return at(this.results, 0);
  }
  get body(): Block {
    const b = this.regions[0];
    if (b === undefined) throw new Error(`${this.name} has no body`);
    return b;
  }

  /** Region `i`; throws where there is none. */
  region(i: number): Block {
    const b = this.regions[i];
    if (b === undefined) throw new Error(`${this.name} has no region ${i}`);
    return b;
  }

  operand(i: number): Value {
    const v = this.operandList[i];
    if (v === undefined) throw new Error(`${this.name} has no operand ${i}`);
    return v;
  }
  addOperand(v: Value): void {
    v.uses.push({ op: this, index: this.operandList.length });
    this.operandList.push(v);
  }
  setOperand(i: number, v: Value): void {
    const old = this.operand(i);
    const k = old.uses.findIndex((u) => u.op === this && u.index === i);
    old.uses.splice(k, 1);
    this.operandList[i] = v;
    v.uses.push({ op: this, index: i });
  }
  /** Replaces the whole operand list. */
  setOperands(vs: readonly Value[]): void {
    this.dropOperands();
    vs.forEach((v) => this.addOperand(v));
  }
  private dropOperands(): void {
    this.operandList.forEach((v) => {
      for (let k = v.uses.length - 1; k >= 0; k--) if (v.uses[k]?.op === this) v.uses.splice(k, 1);
    });
    this.operandList.length = 0;
  }

  /** Takes the operation out of its block and drops its operands. Its results must be unused. */
  erase(): void {
    for (const r of this.results) {
      if (r.uses.length > 0) throw new Error(`erase of ${this.name}, whose result %${r.hint ?? r.id} is in use`);
    }
    this.parent?.remove(this);
    this.dropOperands();
  }
}

export class Block {
  readonly args: Value[] = [];
  readonly ops: Op[] = [];
  parentOp: Op | undefined;

  addArg(type: Type, hint?: string): Value {
    const v = new Value(undefined, this, type, hint);
    this.args.push(v);
    return v;
  }
  /** Removes argument `i`, which must be unused. */
  removeArg(i: number): void {
    if (at(this.args, i).uses.length > 0) throw new Error("removal of a block argument in use");
    this.args.splice(i, 1);
  }
  append(op: Op): Op {
    op.parent = this;
    this.ops.push(op);
    return op;
  }
  insertBefore(anchor: Op, op: Op): Op {
    op.parent = this;
    this.ops.splice(this.ops.indexOf(anchor), 0, op);
    return op;
  }
  remove(op: Op): void {
    const i = this.ops.indexOf(op);
    if (i < 0) throw new Error("operation is not in this block");
    this.ops.splice(i, 1);
    op.parent = undefined;
  }
  /**
   * Puts `ops` in place of the present list; must be the same operations in another order, or a subset already erased.
   */
  reorder(ops: readonly Op[]): void {
    this.ops.length = 0;
    for (const op of ops) {
      op.parent = this;
      this.ops.push(op);
    }
  }
  get terminator(): Op {
    const t = this.ops[this.ops.length - 1];
    if (t === undefined) throw new Error("empty block");
    return t;
  }
}

/**
 * A whole program: named top-level operations (`func` for nn and flow, `rtl.module` for rtl).
 * The attributes carry what belongs to the program as a whole (model name, device, clock).
 */
export class Module {
  readonly body = new Block();
  attrs: Record<string, Attr> = {};

  constructor(public name: string) {}

  /** Top-level operation with attribute `sym` equal to `name`. */
  lookup(name: string): Op | undefined {
    return this.body.ops.find((op) => op.attrs["sym"] === name);
  }
  /** The only `func`; nn and flow modules have exactly one. */
  get func(): Op {
    const f = this.body.ops.find((op) => op.name === "func");
    if (f === undefined) throw new Error("module has no func");
    return f;
  }
}

/** Appends operations to a block, or inserts them before an anchor. */
export class Builder {
  constructor(
    readonly block: Block,
    public anchor: Op | undefined = undefined,
    public loc: Location = unknownLoc,
  ) {}

  static before(op: Op): Builder {
    return new Builder(present(op.parent, `the block of ${op.name}`), op, op.loc);
  }

  create(
    name: string,
    operands: readonly Value[],
    resultTypes: readonly Type[],
    attrs: Readonly<Record<string, Attr>> = {},
    more: { regions?: readonly Block[]; hints?: readonly (string | undefined)[]; loc?: Location } = {},
  ): Op {
    const op = new Op({
      name,
      operands,
      resultTypes,
      attrs,
      loc: more.loc ?? this.loc,
      ...(more.regions && { regions: more.regions }),
      ...(more.hints && { hints: more.hints }),
    });
    return this.anchor === undefined ? this.block.append(op) : this.block.insertBefore(this.anchor, op);
  }
  /** `create` for an operation with one result; returns that. */
  value(
    name: string,
    operands: readonly Value[],
    type: Type,
    attrs: Readonly<Record<string, Attr>> = {},
    hint?: string,
  ): Value {
    return this.create(name, operands, [type], attrs, { hints: [hint] }).result;
  }
}

/** Calls `visit` for every operation, outer before inner, in order. The list may be changed during the walk. */
export function walk(block: Block, visit: (op: Op) => void): void {
  for (const op of [...block.ops]) {
    visit(op);
    for (const r of op.regions) walk(r, visit);
  }
}

/** Copies the operations of `from` to the end of `to`; `map` takes values to their copies and is extended. */
export function cloneInto(from: Block, to: Block, map: Map<Value, Value>): void {
  const originals = [...from.ops];
  const copies = originals.map((op) => to.append(cloneOp(op, map)));
  // In a graph region, operands may be defined further down: their copies exist only now.
  copies.forEach((copy, k) =>
    at(originals, k).operands.forEach((v, i) => {
      const late = map.get(v);
      if (late !== undefined && copy.operand(i) === v) copy.setOperand(i, late);
    }),
  );
}

export function cloneOp(op: Op, map: Map<Value, Value>): Op {
  const regions = op.regions.map((r) => {
    const b = new Block();
    for (const a of r.args) map.set(a, b.addArg(a.type, a.hint));
    cloneInto(r, b, map);
    return b;
  });
  const copy = new Op({
    name: op.name,
    operands: op.operands.map((v) => map.get(v) ?? v),
    resultTypes: op.results.map((r) => r.type),
    attrs: op.attrs,
    regions,
    loc: op.loc,
    hints: op.results.map((r) => r.hint),
  });
  op.results.forEach((r, i) => map.set(r, at(copy.results, i)));
  return copy;
}

/** A copy that shares nothing mutable with `module`. */
export function cloneModule(module: Module): Module {
  const copy = new Module(module.name);
  copy.attrs = { ...module.attrs };
  cloneInto(module.body, copy.body, new Map());
  return copy;
}
