/** Loop nests in hardware: counters that advance together, and static functions of where they stand. */
import { elementAt, firstOf, lastOf, present } from "../../ir/present.js";
import { allocate, Dense } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { u, type RtlModuleBuilder } from "../../ir/rtl/builder.js";
import { isRtl } from "../../ir/rtl/index.js";
import { addressWidth } from "../../ir/rtl/semantics.js";
import { fixed, typeOfRange, type BitsType } from "../../ir/types.js";

export interface CounterLoop {
  readonly name: string;
  readonly trips: number;
}

export interface ModuloCounter {
  readonly value: Value;
  readonly last: Value;
  /** Where it stands in the next cycle. */
  readonly next: () => Value;
}

/**
 * Counter modulo `trips` that advances by one when `enable`; constant 0 for one trip. Whether it stands at its last
 * value is a register of its own: a comparison would stand in front of everything that waits for it.
 */
export function moduloCounter(m: RtlModuleBuilder, trips: number, enable: Value, hint: string): ModuloCounter {
  if (trips <= 1) {
    const zero = m.constant(0, u(1));
    return { value: zero, last: m.constant(1, u(1)), next: () => zero };
  }
  const type = u(addressWidth(trips));
  const value = m.regDeclare(type, { reset: 0, hint });
  const last = m.regDeclare(u(1), { reset: 0, hint: `${hint}_last` });
  m.connect(last, m.eq(value, m.constant(trips - 2)), enable);
  const moved = m.mux(last, m.constant(0, type), m.add(value, m.constant(1), type), type);
  m.connect(value, moved, enable);
  return {
    value,
    last,
    // `enable` as it stands then: a forward value may have been resolved.
    next: () => m.mux(present(value.def, "def").operand(1), moved, value, type),
  };
}

/**
 * A nest of counters, innermost last, that moves to its next point when `enable`. Counters are built as they are asked
 * for.
 */
export class LoopCounters {
  private readonly counters: ModuloCounter[];
  private readonly indices = new Map<string, Value>();

  constructor(
    private readonly m: RtlModuleBuilder,
    readonly loops: readonly CounterLoop[],
    enable: Value,
    private readonly prefix: string,
  ) {
    const built: ModuloCounter[] = [];
    let carry = enable;
    for (let d = loops.length - 1; d >= 0; d--) {
      const c = moduloCounter(m, elementAt(loops, d).trips, carry, `${prefix}${elementAt(loops, d).name}`);
      built[d] = c;
      carry = m.and(carry, c.last);
    }
    this.counters = built;
  }

  /** All loops from `d` inwards stand at their last trip. */
  lastFrom(d: number): Value {
    return this.m.all(this.counters.slice(d).map((c) => c.last));
  }
  last(d: number): Value {
    return elementAt(this.counters, d).last;
  }
  counter(d: number): ModuloCounter {
    return elementAt(this.counters, d);
  }

  /**
   * Row-major index over the loops in `chosen` (ascending positions), and the number of points. Over several loops it
   * is a register that moves on with them: a product of counters would be the slowest path of a small design.
   */
  index(chosen: readonly number[]): { value: Value; size: number } {
    const size = chosen.reduce((n, d) => n * elementAt(this.loops, d).trips, 1);
    if (chosen.length === 0) return { value: this.m.constant(0, u(1)), size };
    if (chosen.length === 1) return { value: elementAt(this.counters, firstOf(chosen)).value, size };
    let value = this.indices.get(chosen.join());
    if (value === undefined) {
      const type = u(addressWidth(size));
      value = this.m.regDeclare(type, { reset: 0, hint: `${this.prefix}index` });
      this.indices.set(chosen.join(), value);
      // Level k of a carry: the k innermost loops start again, the one outside of them moves on.
      const strides = new Map<number, number>();
      let stride = 1;
      for (const d of [...chosen].reverse()) {
        strides.set(d, stride);
        stride *= elementAt(this.loops, d).trips;
      }
      const deltas: number[] = [];
      let back = 0;
      for (let level = 0; level <= this.loops.length; level++) {
        const d = this.loops.length - 1 - level;
        deltas.push((strides.get(d) ?? 0) - back);
        if (d >= 0) back += (strides.get(d) ?? 0) * (elementAt(this.loops, d).trips - 1);
      }
      this.m.connect(value, this.m.add(value, this.muxByCarry(deltas, `${this.prefix}move`), type), this.enable());
    }
    return { value, size };
  }

  /**
   * What the innermost counter moves on: `enable` as it stands now, as a forward value may have been resolved since.
   */
  private enable(): Value {
    return present(elementAt(this.counters, this.innermost()).value.def, "def").operand(1);
  }
  /** The innermost loop that moves. */
  private innermost(): number {
    return this.loops.findLastIndex((l) => l.trips > 1);
  }

  /** Loops on which `f` (one number per point of the nest) depends. */
  dependencies(f: ArrayLike<number>): number[] {
    const deps: number[] = [];
    let inner = 1;
    for (let d = this.loops.length - 1; d >= 0; d--) {
      const { trips } = elementAt(this.loops, d);
      let depends = false;
      for (let i = 0; i < f.length && !depends; i++) {
        const at = Math.floor(i / inner) % trips;
        if (at > 0 && f[i] !== f[i - at * inner]) depends = true;
      }
      if (depends) deps.unshift(d);
      inner *= trips;
    }
    return deps;
  }

  /** The entries of `f` at the points where the loops outside `deps` stand at 0. */
  restrict(f: ArrayLike<number>, deps: readonly number[]): number[] {
    const strides: number[] = [];
    let s = 1;
    for (let d = this.loops.length - 1; d >= 0; d--) {
      strides[d] = s;
      s *= elementAt(this.loops, d).trips;
    }
    let out = [0];
    for (const d of deps)
      out = out.flatMap((base) =>
        Array.from({ length: elementAt(this.loops, d).trips }, (_, k) => base + k * elementAt(strides, d)),
      );
    return out.map((i) => elementAt(f, i));
  }

  /** Value of `f` at the present point: a constant, or a small table over the loops on which it depends. */
  lookup(f: ArrayLike<number>, hint: string): Value {
    const deps = this.dependencies(f);
    return tableLookup(this.m, this.index(deps).value, this.restrict(f, deps), hint);
  }

  /**
   * The boolean `f` (0 or 1) at the present point. A conjunction of conditions on single loops, as padding is, is built
   * as one; anything else as a table.
   */
  condition(f: ArrayLike<number>, hint: string): Value {
    const deps = this.dependencies(f);
    if (deps.length <= 1) return this.lookup(f, hint);
    const perLoop = deps.map((d) => elementAt(this.loops, d).trips).map((n) => new Uint8Array(n));
    const restricted = this.restrict(f, deps);
    const trips = deps.map((d) => elementAt(this.loops, d).trips);
    const at = (i: number): number[] => {
      const point: number[] = [];
      for (let d = trips.length - 1; d >= 0; d--) {
        point[d] = i % elementAt(trips, d);
        i = Math.floor(i / elementAt(trips, d));
      }
      return point;
    };
    restricted.forEach((v, i) => v !== 0 && at(i).forEach((p, d) => (elementAt(perLoop, d)[p] = 1)));
    const separable = restricted.every((v, i) => (v !== 0) === at(i).every((p, d) => elementAt(perLoop, d)[p] === 1));
    if (!separable) return this.lookup(f, hint);
    return this.m.all(
      deps.map((d, k) =>
        tableLookup(
          this.m,
          elementAt(this.counters, d).value,
          [...elementAt(perLoop, k)],
          `${hint}_${elementAt(this.loops, d).name}`,
        ),
      ),
    );
  }

  /**
   * `f` at the present point, in a register that moves on with the nest: by a number that depends on the carry where
   * `f` is affine, otherwise to what a table holds for the next point. Nothing stands between the register and what
   * reads it. NaN where the number does not matter.
   */
  running(f: ArrayLike<number>, hint: string): Value {
    const known = Array.from(f, (v) => (Number.isNaN(v) ? 0 : v));
    const deps = this.dependencies(known);
    const restricted = this.restrict(known, deps);
    if (restricted.every((v, i) => v === i)) return this.index(deps).value;
    if (restricted.length <= SMALL_TABLE) return this.ahead(known, hint);
    const steps = Float64Array.from(f, (v, i) => elementAt(f, (i + 1) % f.length) - v);
    const deltas = this.deltasByCarry(steps);
    const type = numberType(known);
    const moves = deltas?.map((d) => d ?? 0);
    if (moves === undefined || !this.follows(f, moves, 2 ** type.width)) return this.ahead(known, hint);
    const value = this.m.regDeclare(type, { reset: firstOf(known), hint });
    this.m.connect(value, this.m.add(value, this.muxByCarry(moves, `${hint}_move`), type), this.enable());
    return value;
  }

  /** Whether `f` results, modulo `modulus`, from its first number and a move for each level of the carry. */
  private follows(f: ArrayLike<number>, moves: readonly number[], modulus: number): boolean {
    let at = Number.isNaN(f[0]) ? 0 : firstOf(f);
    for (let i = 0; i < f.length; i++) {
      if (!Number.isNaN(f[i]) && (elementAt(f, i) - at) % modulus !== 0) return false;
      at += elementAt(moves, this.carryLevel(i));
    }
    return (at - (Number.isNaN(f[0]) ? 0 : firstOf(f))) % modulus === 0;
  }

  /**
   * `f` at the present point, out of a register that a table loads with the number of the next point when the nest
   * moves there.
   */
  private ahead(f: readonly number[], hint: string): Value {
    const deps = this.dependencies(f);
    if (deps.length === 0) return this.m.constant(firstOf(f), numberType(f));
    // What comes next follows from an index over neighbouring loops only.
    const [first, last] = [firstOf(deps), lastOf(deps)];
    const range = Array.from({ length: last - first + 1 }, (_, k) => first + k);
    const values = this.restrict(f, range);
    const next = tableLookup(
      this.m,
      this.index(range).value,
      values.map((_, i) => elementAt(values, (i + 1) % values.length)),
      `${hint}_next`,
    );
    const value = this.m.regDeclare(numberType(values), { reset: firstOf(values), hint });
    this.m.connect(value, next, present(elementAt(this.counters, last).value.def, "def").operand(1));
    return value;
  }

  /**
   * What to add when the nest moves on from the present point, out of a register: `steps[i]` belongs to the move away
   * from point i. Affine sequences depend only on which loops carry, which takes a multiplexer; others take a table,
   * the last trip of the innermost loop apart where that is all that it decides. NaN where no move matters.
   */
  byCarry(steps: ArrayLike<number>, hint: string): Value {
    const deltas = this.deltasByCarry(steps);
    if (deltas !== undefined) return this.deltaAhead(deltas, hint);
    const known = Array.from(steps, (v) => (Number.isNaN(v) ? 0 : v));
    const inner = this.loops.length - 1;
    const { trips } = elementAt(this.loops, inner);
    const at = (trip: number): number[] => known.map((_, i) => elementAt(known, i - (i % trips) + trip));
    const [body, end] = [at(0), at(trips - 1)];
    const onlyEnd = trips > 2 && known.every((v, i) => v === (i % trips === trips - 1 ? end : body)[i]);
    if (!onlyEnd) return this.ahead(known, hint);
    return this.m.mux(this.last(inner), this.ahead(end, `${hint}_end`), this.ahead(body, hint), undefined, hint);
  }

  /** Number of innermost loops that stand at their last trip at point i. */
  private carryLevel(i: number): number {
    let level = 0;
    let inner = 1;
    for (let d = this.loops.length - 1; d >= 0; d--) {
      const { trips } = elementAt(this.loops, d);
      if (Math.floor(i / inner) % trips !== trips - 1) break;
      level++;
      inner *= trips;
    }
    return level;
  }

  /**
   * The steps by level of the carry, where they depend on nothing else; undefined for a level at which none is known.
   */
  private deltasByCarry(steps: ArrayLike<number>): (number | undefined)[] | undefined {
    const deltas = new Array<number | undefined>(this.loops.length + 1).fill(undefined);
    for (let i = 0; i < steps.length; i++) {
      if (Number.isNaN(steps[i])) continue;
      const level = this.carryLevel(i);
      deltas[level] ??= elementAt(steps, i);
      if (deltas[level] !== elementAt(steps, i)) return undefined;
    }
    return deltas;
  }

  /** `deltas[k]` where the k innermost loops stand at their last trip and the next one does not, out of a register. */
  private deltaAhead(deltas: readonly (number | undefined)[], hint: string): Value {
    const next = this.muxByCarry(deltas, hint, (d) => this.lastNext(d));
    if (isRtl(next.def, "rtl.constant")) return next;
    const value = this.m.regDeclare(next.type as BitsType, { reset: deltas[this.carryLevel(0)] ?? 0, hint });
    this.m.connect(value, next, this.enable());
    return value;
  }

  /** All loops from `d` inwards will stand at their last trip when the nest has moved on. */
  private lastNext(d: number): Value {
    // One step before, the innermost of them is one trip away, and the others are there.
    const inner = this.innermost();
    const { trips } = elementAt(this.loops, inner);
    const others = this.counters.slice(d, inner).map((c) => c.last);
    return this.m.all([...others, this.m.eq(elementAt(this.counters, inner).value, this.m.constant(trips - 2))]);
  }

  /** `deltas[k]` where the k innermost loops are at their last trip and the next one is not; `last` tells. */
  private muxByCarry(
    deltas: readonly (number | undefined)[],
    hint: string,
    last: (from: number) => Value = (d) => this.lastFrom(d),
  ): Value {
    const levels = this.loops.length;
    const type = numberType(deltas.map((d) => d ?? 0));
    let value = this.m.constant(deltas[levels] ?? 0, type);
    // What `value` is where its innermost choice is not taken: a level with the same number needs no choice of its own.
    let otherwise = deltas[levels];
    for (let level = levels - 1; level >= 0; level--) {
      const d = deltas[level];
      if (d === undefined || d === otherwise) continue;
      const move = this.m.constant(d, type);
      // Carry level above `level` needs the loop just outside to be at its last trip too.
      value = otherwise === undefined ? move : this.m.mux(last(levels - level - 1), value, move, type, hint);
      otherwise = d;
    }
    return value;
  }
}

/** Entries of a table that takes one lookup table of the device, or a few, for each bit. */
const SMALL_TABLE = 64;

function numberType(values: readonly number[]): BitsType {
  const { signed, width } = typeOfRange({ lo: least(values), hi: largest(values) }, 0);
  return { kind: "bits", signed, width };
}

/** `values[index]` by logic; a constant where all are equal. */
export function tableLookup(m: RtlModuleBuilder, index: Value, values: readonly number[], hint: string): Value {
  const type = numberType(values);
  if (values.every((v) => v === values[0])) return m.constant(firstOf(values), type);
  const elem = fixed(type.width, 0, type.signed);
  const data = allocate(elem, values.length);
  data.set(values);
  return m.rom(index, new Dense([values.length], elem, data), { readLatency: 0, style: "distributed", hint });
}

/** The least number of a list; lists of all steps are too long to be arguments of Math.min. */
export function least(values: ArrayLike<number>): number {
  let m = Infinity;
  for (let i = 0; i < values.length; i++) m = Math.min(m, elementAt(values, i));
  return m;
}

/** The largest number of a list, likewise. */
export function largest(values: ArrayLike<number>): number {
  let m = -Infinity;
  for (let i = 0; i < values.length; i++) m = Math.max(m, elementAt(values, i));
  return m;
}
