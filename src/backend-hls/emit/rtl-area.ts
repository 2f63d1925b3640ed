/**
 * Area of generated hardware, counted operation by operation the way synthesis maps it: carry chains for sums and
 * orders, lookup tables for logic that fits their inputs, multiplier blocks with the registers that fold into them,
 * memories where storage.ts puts them. Calibrated against Yosys 0.23; `bench` holds the two against each other.
 */
import { firstOf, lookUp, present } from "../../ir/present.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { denseAttr, intAttr, strAttr } from "../../ir/define-op.js";
import { constantOf } from "../../ir/rtl/fold.js";
import { bitsOf, CELL_FILE, isRtl, rtlEntry, rtlModules, type RtlName } from "../../ir/rtl/index.js";
import { forCombinational, isCombinational, type CombinationalName } from "../../ir/rtl/semantics.js";
import { fixed, type FixedType } from "../../ir/types.js";
import type { Device } from "../device/devices.js";
import { multiplierArea } from "../device/operators.js";
import { addResources, noResources, type Resources } from "../device/resources.js";
import { muxLuts, ramStorage, romStorage, type Storage } from "../device/storage.js";

/** Registers in a row that become a shift register, where the device's tools have them. */
const SHIFT_REGISTER = 3;

/**
 * Area of every module of a program with all that it instantiates, by name. @param module as the Verilog writer
 * prepares it
 */
export function rtlArea(module: Module, device: Device): ReadonlyMap<string, Resources> {
  const known = new Map<string, Resources>();
  const areaOf = (name: string): Resources => {
    let found = known.get(name);
    if (found === undefined) {
      const op = present(module.lookup(name), "lookup");
      found = op.attrs[CELL_FILE] === undefined ? new ModuleArea(op, device).count() : { ...noResources(), dsp: 1 };
      for (const o of op.body.ops)
        if (isRtl(o, "rtl.instance")) found = addResources(found, areaOf(strAttr(o, "module")));
      known.set(name, found);
    }
    return found;
  };
  for (const op of rtlModules(module)) areaOf(strAttr(op, "sym"));
  return new Map(
    [...known].map(([name, r]) => [name, { lut: Math.round(r.lut), ff: Math.round(r.ff), dsp: r.dsp, bram: r.bram }]),
  );
}

class ModuleArea {
  private readonly r = noResources();
  /** Inputs of the lookup table in which each bit of a gate is computed. */
  private readonly leaves = new Map<Value, Set<Value>>();

  constructor(
    private readonly module: Op,
    private readonly d: Device,
  ) {}

  count(): Resources {
    for (const op of this.module.body.ops) this.add(op);
    // Gates that no other gate has taken up.
    for (const [v, leaves] of this.leaves)
      if (!this.absorbed.has(v)) this.r.lut += leaves.size <= 1 ? 0 : bitsOf(v.type).width;
    return this.r;
  }

  private readonly absorbed = new Set<Value>();

  private add(op: Op): void {
    rtlEntry(this.costs, op)(op);
  }
  private luts(n: number): void {
    this.r.lut += n;
  }
  private store({ lut, ff, bram }: Storage): void {
    this.r.lut += lut;
    this.r.ff += ff;
    this.r.bram += bram;
  }

  /** What each operation adds; nothing where its bits are wires. */
  private readonly costs: Readonly<Record<RtlName, (op: Op) => void>> = {
    "rtl.module": () => undefined,
    "rtl.output": () => undefined,
    // Counted where the modules are added up.
    "rtl.instance": () => undefined,
    "rtl.constant": () => undefined,
    "rtl.cast": () => undefined,
    "rtl.extract": () => undefined,
    "rtl.concat": () => undefined,
    "rtl.shl": () => undefined,
    "rtl.shr": () => undefined,
    // Goes into the tables of its readers.
    "rtl.not": () => undefined,
    "rtl.add": (op) => this.luts(this.sum(op)),
    "rtl.sub": (op) => this.luts(this.sum(op)),
    "rtl.lt": (op) => this.luts(this.order(op)),
    "rtl.le": (op) => this.luts(this.order(op)),
    "rtl.eq": (op) => this.luts(this.equality(op)),
    "rtl.ne": (op) => this.luts(this.equality(op)),
    "rtl.mul": (op) => {
      const factor = (i: number): FixedType => {
        const { width, signed } = bitsOf(op.operand(i).type);
        return fixed(width, 0, signed);
      };
      const area = multiplierArea(this.d, factor(0), factor(1));
      this.luts(area.lut);
      this.r.dsp += area.dsp;
    },
    "rtl.and": (op) => this.gate(op),
    "rtl.or": (op) => this.gate(op),
    "rtl.xor": (op) => this.gate(op),
    "rtl.mux": (op) => this.gate(op),
    "rtl.select": (op) => {
      const n = op.operands.length - 1;
      if (n === 2) this.gate(op);
      else this.luts(muxLuts(this.d, n) * bitsOf(op.result.type).width);
    },
    "rtl.reg": (op) => this.register(op),
    "rtl.memory": (op) => {
      const { width } = bitsOf(op.operand(1).type);
      const registered = intAttr(op, "read_latency") === 1;
      this.store(ramStorage(this.d, intAttr(op, "depth"), width, registered, styleOf(op)));
    },
    "rtl.rom": (op) =>
      this.store(romStorage(this.d, denseAttr(op, "values"), intAttr(op, "read_latency") === 1, styleOf(op))),
  };

  /** A carry chain: a table for each bit in which two numbers meet. */
  private sum(op: Op): number {
    const width = bitsOf(op.result.type).width;
    const { carryCell, foldsProducts } = this.d.family;
    if (carryCell > 1) return roundedUp(width, carryCell);
    if (foldsProducts && op.operands.some((v) => isProduct(v))) return 0;
    const [a, b] = op.operands.map((v) => this.extent(v));
    const [short, long] =
      present(a, "a").width <= present(b, "b").width
        ? [present(a, "a"), present(b, "b")]
        : [present(b, "b"), present(a, "a")];
    if (short.width === 0) return 0;
    const met = Math.min(width, short.width);
    const beyond = Math.min(width, long.width) - met;
    // A sign runs on above its number; without one the longer number's bits go through as they are.
    return met + (short.signed && beyond > 0 ? beyond : 0);
  }

  /** Bits of a number before its sign repeats itself; 0 for a constant, which shapes the tables of the other. */
  private extent(v: Value): { width: number; signed: boolean } {
    let x = v;
    while (isRtl(x.def, "rtl.cast") && bitsOf(x.def.operand(0).type).width <= bitsOf(x.type).width)
      x = x.def.operand(0);
    const t = bitsOf(x.type);
    return { width: constantOf(x) !== undefined ? 0 : t.width, signed: t.signed };
  }

  private order(op: Op): number {
    const [a, b] = op.operands.map((v) => this.extent(v));
    const width = Math.max(present(a, "a").width, present(b, "b").width);
    const { carryCell } = this.d.family;
    const constant = present(a, "a").width === 0 || present(b, "b").width === 0;
    // Against a constant, few bits are one table.
    if (constant && width <= this.d.family.lutInputs) return 1;
    // A chain of cells, and where both vary one table that takes its carry out.
    if (carryCell > 1) return roundedUp(width, carryCell) + (constant ? 0 : 1);
    return constant ? Math.ceil(width / 4) : width;
  }

  private equality(op: Op): number {
    const [a, b] = op.operands.map((v) => this.extent(v));
    const inputs =
      present(a, "a").width === 0 || present(b, "b").width === 0
        ? Math.max(present(a, "a").width, present(b, "b").width)
        : 2 * Math.max(present(a, "a").width, present(b, "b").width);
    return treeLuts(inputs, this.d.family.lutInputs);
  }

  /** Gates of one reader go into its table as long as there are inputs. */
  private gate(op: Op): void {
    const leaves = new Set<Value>();
    const gates: Value[] = [];
    for (const operand of op.operands) {
      const v = throughWires(operand);
      if (constantOf(v) !== undefined) continue;
      if (v.def !== undefined && this.leaves.has(v) && readers(v) === 1) gates.push(v);
      leaves.add(v);
    }
    for (const v of gates) {
      const inner = lookUp(this.leaves, v, "leaves");
      const merged = new Set([...leaves].filter((x) => x !== v));
      for (const x of inner) merged.add(x);
      if (merged.size > this.d.family.lutInputs) continue;
      leaves.clear();
      for (const x of merged) leaves.add(x);
      this.absorbed.add(v);
    }
    this.leaves.set(op.result, leaves);
  }

  private register(op: Op): void {
    const { r, d } = this;
    const width = bitsOf(op.result.type).width;
    const from = throughWires(op.operand(0));
    // A product's register is part of the block; where tools leave it outside, cells bring their own.
    if (isRtl(from.def, "rtl.mul") && readers(from) === 1 && d.family.foldsProducts) return;
    if (d.family.shiftRegister > 0 && op.attrs["reset"] === undefined) {
      const place = chain(op);
      if (place.length >= SHIFT_REGISTER) {
        // The whole chain is counted where it ends.
        if (place.last) r.lut += width * Math.ceil(place.length / d.family.shiftRegister);
        return;
      }
    }
    r.ff += width;
  }
}

/** The next multiple of `step`. */
function roundedUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}

function styleOf(op: Op): Storage["style"] {
  return strAttr(op, "style") === "block" ? "block" : "distributed";
}

/** Whether the result's bits are those of one operand, moved or inverted: no table is needed for them. */
function isWire(op: Op): boolean {
  return isCombinational(op) && WIRES[op.name] && op.operands.length === 1;
}

const WIRES: Readonly<Record<CombinationalName, boolean>> = {
  ...forCombinational(false),
  "rtl.cast": true,
  "rtl.extract": true,
  "rtl.concat": true,
  "rtl.shl": true,
  "rtl.shr": true,
  "rtl.not": true,
};

/** What a value is before wires. */
function throughWires(v: Value): Value {
  let x = v;
  while (x.def !== undefined && isWire(x.def)) x = x.def.operand(0);
  return x;
}

/** A product that only this operation reads, with or without a register behind it. */
function isProduct(v: Value): boolean {
  const x = throughWires(v);
  const y =
    isRtl(x.def, "rtl.reg") && x.def.attrs["reset"] === undefined && readers(x) === 1
      ? throughWires(x.def.operand(0))
      : x;
  return isRtl(y.def, "rtl.mul") && readers(y) === 1;
}

function readers(v: Value): number {
  return v.uses.length;
}

/** Lookup tables that decide by n bits. */
function treeLuts(n: number, inputs: number): number {
  return n <= 1 ? 0 : Math.ceil((n - 1) / (inputs - 1));
}

/** Length of the row of registers that `op` is part of, and whether it is the last one. */
function chain(op: Op): { length: number; last: boolean } {
  const plain = (o: Op | undefined): o is Op => isRtl(o, "rtl.reg") && o.attrs["reset"] === undefined;
  const enable = op.operands[1];
  const onward = (o: Op): Op | undefined => {
    const next = o.result.uses.length === 1 ? firstOf(o.result.uses).op : undefined;
    return plain(next) && firstOf(o.result.uses).index === 0 && next.operands[1] === enable ? next : undefined;
  };
  let length = 1;
  for (let o = op.operand(0).def; plain(o) && onward(o) !== undefined && o.operands[1] === enable; o = o.operand(0).def)
    length++;
  let last = true;
  for (let o = onward(op); o !== undefined; o = onward(o)) {
    length++;
    last = false;
  }
  return { length, last };
}
