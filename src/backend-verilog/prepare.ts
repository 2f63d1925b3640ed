/**
 * Makes rtl modules fit for printing: folds what is constant, cuts off high bits that nobody reads, drops dead
 * operations. Values at the ports stay as they are. In place; the writer works on a copy.
 *
 * `%s = rtl.add(%a, %b) : s20; %y = rtl.extract(%s) {lo = 0} : u8` becomes an 8-bit addition: sums, products and
 * choices of the low bits need only the low bits of their operands. What remains unread afterwards lies below the bits
 * that are read, where carries come from.
 */
import { Op, type Value } from "../ir/core.js";
import { intAttr } from "../ir/define-op.js";
import { simplify } from "../ir/rtl/fold.js";
import { bitsOf, isRtl, rtlEntry, type RtlName } from "../ir/rtl/index.js";
import { isCombinational, wrap } from "../ir/rtl/semantics.js";
import { bits, sameType, type BitsType } from "../ir/types.js";

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
    if (!isRtl(op, "rtl.memory") || op.attrs["depth"] !== 1) continue;
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
    if (edits.isGone(op) || !isCombinational(op)) continue;
    const type = bitsOf(op.result.type);
    const s = simplify(op.name, op.operands, type, op.attrs);
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

/** Asks for the `count` low bits of a value. */
type Ask = (v: Value, count: number) => void;

/** How an operation stands to high bits that nobody reads. */
interface Narrowing {
  /** What it needs of its operands to define `n` low bits of its result. */
  readonly needs: (op: Op, n: number, ask: Ask) => void;
  /** Whether its low result bits depend on low operand bits alone, so that the high ones can go. */
  readonly cuts: boolean;
  /** Operands that then must be like the result: of its type, or, bit by bit, only as wide. */
  readonly alike?: { readonly from: number; readonly to?: number; readonly widthOnly?: boolean };
}

const ALL = Infinity;
const everything: Narrowing = { cuts: false, needs: (op, _, ask) => op.operands.forEach((v) => ask(v, ALL)) };
const lowBits: Narrowing = { cuts: true, needs: (op, n, ask) => op.operands.forEach((v) => ask(v, n)) };
const bitByBit: Narrowing = { ...lowBits, alike: { from: 0, widthOnly: true } };
const choice: Narrowing = {
  cuts: true,
  needs: (op, n, ask) => op.operands.forEach((v, i) => ask(v, i === 0 ? ALL : n)),
  alike: { from: 1 },
};

const NARROWING: Readonly<Record<RtlName, Narrowing>> = {
  "rtl.module": everything,
  "rtl.output": everything,
  "rtl.constant": everything,
  "rtl.memory": everything,
  "rtl.rom": everything,
  "rtl.instance": everything,
  "rtl.eq": everything,
  "rtl.ne": everything,
  "rtl.lt": everything,
  "rtl.le": everything,
  "rtl.add": lowBits,
  "rtl.sub": lowBits,
  "rtl.mul": lowBits,
  "rtl.cast": lowBits,
  "rtl.and": bitByBit,
  "rtl.or": bitByBit,
  "rtl.xor": bitByBit,
  "rtl.not": bitByBit,
  "rtl.mux": choice,
  "rtl.select": choice,
  "rtl.shl": { cuts: true, needs: (op, n, ask) => ask(op.operand(0), Math.max(1, n - intAttr(op, "amount"))) },
  "rtl.shr": { cuts: true, needs: (op, n, ask) => ask(op.operand(0), n + intAttr(op, "amount")) },
  "rtl.extract": { cuts: true, needs: (op, n, ask) => ask(op.operand(0), n + intAttr(op, "lo")) },
  "rtl.reg": {
    cuts: true,
    needs: (op, n, ask) => op.operands.forEach((v, i) => ask(v, i === 0 ? n : ALL)),
    alike: { from: 0, to: 1 },
  },
  "rtl.concat": {
    cuts: true,
    needs: (op, n, ask) => {
      let base = 0;
      for (const v of [...op.operands].reverse()) {
        const { width } = bitsOf(v.type);
        // A part below the top one keeps its place only at its full width.
        if (n > base) ask(v, Math.min(width, n - base));
        base += width;
      }
    },
  },
};

/** Gives every value the width that its readers look at; true if a type changed. */
function narrow(m: Op): boolean {
  const need = neededBits(m);
  const full = (v: Value): number => bitsOf(v.type).width;
  let changed = false;
  const concats: Op[] = [];
  for (const op of m.body.ops) {
    if (!rtlEntry(NARROWING, op).cuts) continue;
    const n = need.get(op.result) ?? 0;
    if (n === 0 || n >= full(op.result)) continue;
    if (isRtl(op, "rtl.concat")) concats.push(op);
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
    const { alike } = rtlEntry(NARROWING, op);
    if (alike === undefined) continue;
    const end = Math.min(alike.to ?? Infinity, op.operands.length);
    for (let i = alike.from; i < end; i++) fit(edits, op, i, bitsOf(op.result.type), alike.widthOnly === true);
  }
  edits.apply();
  return true;
}

/** Makes operand `i` of `op` of type `type`, or only as wide. */
function fit(edits: Edits, op: Op, i: number, type: BitsType, widthOnly: boolean): void {
  const v = op.operand(i);
  if (sameType(v.type, type)) return;
  if (widthOnly && bitsOf(v.type).width === type.width) return;
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
  const ask: Ask = (v, count) => {
    const n = Math.min(count, bitsOf(v.type).width);
    if (n <= (need.get(v) ?? 0)) return;
    need.set(v, n);
    if (v.def !== undefined) work.push(v.def);
  };
  for (const v of m.body.terminator.operands) ask(v, ALL);
  for (let op = work.pop(); op !== undefined; op = work.pop()) {
    const n = op.results.reduce((most, r) => Math.max(most, need.get(r) ?? 0), 0);
    rtlEntry(NARROWING, op).needs(op, n, ask);
  }
  return need;
}
