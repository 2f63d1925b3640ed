/**
 * Makes rtl modules fit for printing: folds what is constant, cuts off high bits that nobody reads, drops dead
 * operations. Values at the ports stay as they are. In place; the writer works on a copy.
 *
 * `%s = rtl.add(%a, %b) : s20; %y = rtl.extract(%s) {lo = 0} : u8` becomes an 8-bit addition: sums, products and
 * choices of the low bits need only the low bits of their operands. What remains unread afterwards lies below the bits
 * that are read, where carries come from.
 */
import { Op, type Value } from "../ir/core.js";
import { simplify, type Known } from "../ir/rtl/fold.js";
import { bitsOf } from "../ir/rtl/index.js";
import { COMBINATIONAL, wrap } from "../ir/rtl/semantics.js";
import { bits, sameType, type BitsType } from "../ir/types.js";

const combinational: ReadonlySet<string> = new Set(COMBINATIONAL);

export function prepareModule(m: Op): void {
  singleWords(m);
  foldAll(m);
  removeDead(m);
  if (narrow(m)) {
    foldAll(m);
    removeDead(m);
  }
}

/** Insertions and removals that are done at the end, at once: a block is a list, and modules are large. */
class Edits {
  private readonly before = new Map<Op, Op[]>();
  private readonly first: Op[] = [];
  private readonly gone = new Set<Op>();

  constructor(private readonly m: Op) {}

  /** Puts `op` before `anchor`, or at the start of the module. */
  insert(op: Op, anchor?: Op): Op {
    op.parent = this.m.body;
    if (anchor === undefined) this.first.push(op);
    else {
      const list = this.before.get(anchor);
      if (list === undefined) this.before.set(anchor, [op]);
      else list.push(op);
    }
    return op;
  }
  remove(op: Op): void {
    op.setOperands([]);
    this.gone.add(op);
  }
  isGone(op: Op): boolean {
    return this.gone.has(op);
  }
  apply(): void {
    const order: Op[] = [];
    const place = (op: Op): void => {
      for (const b of this.before.get(op) ?? []) place(b);
      if (!this.gone.has(op)) order.push(op);
    };
    for (const op of [...this.first, ...this.m.body.ops]) place(op);
    this.m.body.reorder(order);
    for (const op of this.gone) op.parent = undefined;
  }
}

/** A memory of one word is a register: tools warn about arrays that they have to take apart. */
function singleWords(m: Op): void {
  const edits = new Edits(m);
  for (const op of m.body.ops) {
    if (op.name !== "rtl.memory" || op.attrs["depth"] !== 1) continue;
    const type = bitsOf(op.operand(1).type);
    const register = (operands: readonly Value[], hint: string | undefined): Value =>
      edits.insert(new Op({ name: "rtl.reg", operands, resultTypes: [type], hints: [hint], loc: op.loc }), op).result;
    const word = register([op.operand(1), op.operand(2)], op.results[0]?.hint);
    for (const r of op.results) r.replaceAllUsesWith(op.attrs["read_latency"] === 1 ? register([word], r.hint) : word);
    edits.remove(op);
  }
  edits.apply();
}

// --- folding

function foldAll(m: Op): void {
  const edits = new Edits(m);
  const constants = new ConstantPool(edits);
  const work = [...m.body.ops];
  const readers = (op: Op): void => {
    for (const r of op.results) for (const use of r.uses) work.push(use.op);
  };
  for (let op = work.pop(); op !== undefined; op = work.pop()) {
    if (edits.isGone(op) || !combinational.has(op.name)) continue;
    const type = bitsOf(op.result.type);
    const s = simplify(op.name as Known, op.operands, type, op.attrs);
    if (s === undefined) continue;
    readers(op);
    let value: Value;
    if (s.kind === "value") value = s.value;
    else if (s.kind === "constant") value = constants.get(s.value, type);
    else {
      const next = new Op({
        name: s.name,
        operands: s.operands,
        resultTypes: [type],
        attrs: s.attrs ?? {},
        hints: [op.result.hint],
        loc: op.loc,
      });
      edits.insert(next, op);
      work.push(next);
      value = next.result;
    }
    if (value === op.result) continue;
    op.result.replaceAllUsesWith(value);
    value.hint ??= op.result.hint;
    edits.remove(op);
  }
  edits.apply();
}

class ConstantPool {
  private readonly known = new Map<string, Value>();
  constructor(private readonly edits: Edits) {}
  get(value: bigint, type: BitsType): Value {
    const v = wrap(value, type);
    const key = `${type.signed ? "s" : "u"}${type.width} ${v}`;
    let c = this.known.get(key);
    if (c === undefined) {
      const op = new Op({ name: "rtl.constant", resultTypes: [type], attrs: { value: v.toString() } });
      c = this.edits.insert(op).result;
      this.known.set(key, c);
    }
    return c;
  }
}

// --- dead code

/** Keeps what the outputs depend on, through registers and instances. */
function removeDead(m: Op): void {
  const live = new Set<Op>([m.body.terminator]);
  for (const op of live) for (const v of op.operands) if (v.def !== undefined) live.add(v.def);
  const dead = m.body.ops.filter((op) => !live.has(op));
  if (dead.length === 0) return;
  const edits = new Edits(m);
  for (const op of dead) edits.remove(op);
  edits.apply();
}

// --- unread high bits

/** Operations whose low result bits depend on low operand bits alone. */
const narrowable: ReadonlySet<string> = new Set([
  "rtl.add",
  "rtl.sub",
  "rtl.mul",
  "rtl.and",
  "rtl.or",
  "rtl.xor",
  "rtl.not",
  "rtl.shl",
  "rtl.shr",
  "rtl.mux",
  "rtl.select",
  "rtl.concat",
  "rtl.extract",
  "rtl.cast",
  "rtl.reg",
]);

/** Gives every value the width that its readers look at; true if a type changed. */
function narrow(m: Op): boolean {
  const need = neededBits(m);
  const full = (v: Value): number => bitsOf(v.type).width;
  let changed = false;
  const concats: Op[] = [];
  for (const op of m.body.ops) {
    if (!narrowable.has(op.name)) continue;
    const n = need.get(op.result) ?? 0;
    if (n === 0 || n >= full(op.result)) continue;
    if (op.name === "rtl.concat") concats.push(op);
    const reset = op.attrs["reset"];
    const type = bits(n, bitsOf(op.result.type).signed);
    if (typeof reset === "number") op.attrs = { ...op.attrs, reset: Number(wrap(BigInt(reset), type)) };
    op.result.type = type;
    changed = true;
  }
  if (!changed) return false;
  const edits = new Edits(m);
  for (const op of concats) cutConcat(edits, op);
  for (const op of m.body.ops) {
    const first = { "rtl.mux": 1, "rtl.select": 1, "rtl.and": 0, "rtl.or": 0, "rtl.xor": 0, "rtl.not": 0 }[op.name];
    if (first !== undefined) for (let i = first; i < op.operands.length; i++) fit(edits, op, i, bitsOf(op.result.type));
    if (op.name === "rtl.reg") fit(edits, op, 0, bitsOf(op.result.type));
  }
  edits.apply();
  return true;
}

/** Makes operand `i` of `op` of type `type`. */
function fit(edits: Edits, op: Op, i: number, type: BitsType): void {
  const v = op.operand(i);
  if (sameType(v.type, type)) return;
  const bitwise = op.name !== "rtl.mux" && op.name !== "rtl.select" && op.name !== "rtl.reg";
  if (bitwise && bitsOf(v.type).width === type.width) return;
  const cast = new Op({ name: "rtl.cast", operands: [v], resultTypes: [type], loc: op.loc });
  op.setOperand(i, edits.insert(cast, op).result);
}

/** Drops the parts of a concatenation above its new width; the part that is cut through becomes a slice. */
function cutConcat(edits: Edits, op: Op): void {
  let left = bitsOf(op.result.type).width;
  const parts: Value[] = [];
  for (let i = op.operands.length - 1; i >= 0 && left > 0; i--) {
    let part = op.operand(i);
    const width = bitsOf(part.type).width;
    if (width > left) {
      const slice = new Op({
        name: "rtl.extract",
        operands: [part],
        resultTypes: [bits(left)],
        attrs: { lo: 0 },
        loc: op.loc,
      });
      part = edits.insert(slice, op).result;
    }
    parts.unshift(part);
    left -= Math.min(left, width);
  }
  op.setOperands(parts);
}

/** For each value, how many of its low bits some reader looks at. */
function neededBits(m: Op): Map<Value, number> {
  const need = new Map<Value, number>();
  const work: Op[] = [];
  const ask = (v: Value, count: number): void => {
    const n = Math.min(count, bitsOf(v.type).width);
    if (n <= (need.get(v) ?? 0)) return;
    need.set(v, n);
    if (v.def !== undefined) work.push(v.def);
  };
  const all = Infinity;
  for (const v of m.body.terminator.operands) ask(v, all);
  for (let op = work.pop(); op !== undefined; op = work.pop()) {
    const n = op.results.reduce((most, r) => Math.max(most, need.get(r) ?? 0), 0);
    demand(op, n, ask, all);
  }
  return need;
}

/** What `op` needs of its operands to define `n` low bits of its result. */
function demand(op: Op, n: number, ask: (v: Value, count: number) => void, all: number): void {
  const amount = Number(op.attrs["amount"] ?? op.attrs["lo"] ?? 0);
  switch (op.name) {
    case "rtl.add":
    case "rtl.sub":
    case "rtl.mul":
    case "rtl.and":
    case "rtl.or":
    case "rtl.xor":
    case "rtl.not":
      return op.operands.forEach((v) => ask(v, n));
    case "rtl.cast":
      return ask(op.operand(0), n);
    case "rtl.shl":
      return ask(op.operand(0), Math.max(1, n - amount));
    case "rtl.shr":
    case "rtl.extract":
      return ask(op.operand(0), n + amount);
    case "rtl.mux":
    case "rtl.select":
      return op.operands.forEach((v, i) => ask(v, i === 0 ? all : n));
    case "rtl.reg":
      return op.operands.forEach((v, i) => ask(v, i === 0 ? n : all));
    case "rtl.concat": {
      let base = 0;
      for (let i = op.operands.length - 1; i >= 0; i--) {
        const v = op.operand(i);
        const width = bitsOf(v.type).width;
        // A part below the top one keeps its place only at its full width.
        if (n > base) ask(v, Math.min(width, n - base));
        base += width;
      }
      return;
    }
    default:
      return op.operands.forEach((v) => ask(v, all));
  }
}
