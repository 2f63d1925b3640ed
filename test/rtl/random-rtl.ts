/**
 * Arbitrary combinational rtl modules: every operation, mixed signs and widths, constants in any place, some wires
 * above 64 bits.
 */
import fc from "fast-check";
import { Op, type Module, type Value } from "../../src/ir/core.js";
import { lookupOp, registerDialect } from "../../src/ir/define-op.js";
import { RtlModuleBuilder } from "../../src/ir/rtl/builder.js";
import { bitsOf, rtlDialect } from "../../src/ir/rtl/index.js";
import { bitsRange, COMBINATIONAL, evaluateRtl, wrap, type CombinationalName } from "../../src/ir/rtl/semantics.js";
import { bits, type BitsType } from "../../src/ir/types.js";

if (lookupOp("rtl.add") === undefined) registerDialect(rtlDialect);

/** One operation to be: picks are taken modulo what is there. */
export interface Recipe {
  readonly name: CombinationalName | "rtl.constant";
  readonly picks: readonly number[];
  readonly type: BitsType;
  readonly parameter: number;
}

export const anyBits: fc.Arbitrary<BitsType> = fc
  .tuple(
    fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 1, max: 16 }) },
      { weight: 3, arbitrary: fc.constantFrom(31, 32, 33, 52, 53, 54, 63, 64, 65) },
      { weight: 1, arbitrary: fc.integer({ min: 17, max: 140 }) },
    ),
    fc.boolean(),
  )
  .map(([w, signed]) => bits(w, signed));

export const anyRecipe: fc.Arbitrary<Recipe> = fc.record({
  name: fc.constantFrom(...COMBINATIONAL, "rtl.constant" as const),
  picks: fc.array(fc.nat(1_000_000), { minLength: 3, maxLength: 9 }),
  type: anyBits,
  parameter: fc.oneof(fc.nat(12), fc.nat(150), fc.nat(2 ** 30)),
});

/**
 * Appends the operations to a module with the given inputs. Every value without a reader becomes an output port.
 * `folding`: through the builder, which simplifies; otherwise as they stand.
 */
export function buildRandom(
  module: Module,
  name: string,
  inputs: readonly BitsType[],
  recipes: readonly Recipe[],
  folding: boolean,
): Op {
  const b = new RtlModuleBuilder(
    module,
    name,
    inputs.map((type, i) => ({ name: `i${i}`, type })),
  );
  const raw = new RawBuilder(b);
  const pool: Value[] = [...b.op.body.args];
  for (const r of recipes) {
    const pick = (i: number): Value => pool[r.picks[i % r.picks.length]! % pool.length]!;
    pool.push(folding ? viaBuilder(b, r, pick) : viaRaw(raw, r, pick));
  }
  const outputs = pool.filter((v, i) => i >= inputs.length && v.uses.length === 0);
  if (outputs.length === 0) outputs.push(pool.at(-1)!);
  return b.finish(Object.fromEntries(outputs.map((v, i) => [`o${i}`, v])));
}

function someConstant(r: Recipe): bigint {
  const { lo, hi } = bitsRange(r.type);
  return [lo, hi, 0n, 1n, wrap(BigInt(r.parameter), r.type), wrap(-1n, r.type)][r.picks[0]! % 6]! % (hi + 1n);
}

function viaBuilder(b: RtlModuleBuilder, r: Recipe, pick: (i: number) => Value): Value {
  const asU1 = (v: Value): Value => b.cast(v, bits(1));
  const [x, y] = [pick(0), pick(1)];
  const width = bitsOf(x.type).width;
  // Exact types now and then, so that results do not all wrap; but not ever wider ones.
  const type = r.parameter % 3 === 0 && width < 60 && bitsOf(y.type).width < 60 ? undefined : r.type;
  switch (r.name) {
    case "rtl.constant":
      return b.constant(someConstant(r), r.type);
    case "rtl.add":
      return b.add(x, y, type);
    case "rtl.sub":
      return b.sub(x, y, type);
    case "rtl.mul":
      return b.mul(x, y, type);
    case "rtl.and":
      return b.and(x, b.cast(y, bitsOf(x.type)));
    case "rtl.or":
      return b.or(x, b.cast(y, bitsOf(x.type)));
    case "rtl.xor":
      return b.xor(x, b.cast(y, bitsOf(x.type)));
    case "rtl.not":
      return b.not(x);
    case "rtl.shl":
      return b.shl(x, r.parameter % 40, type);
    case "rtl.shr":
      return b.shr(x, r.parameter % 150, type);
    case "rtl.eq":
      return b.eq(x, y);
    case "rtl.ne":
      return b.ne(x, y);
    case "rtl.lt":
      return b.lt(x, y);
    case "rtl.le":
      return b.le(x, y);
    case "rtl.mux":
      return b.mux(asU1(pick(2)), x, y, type);
    case "rtl.select":
      return b.select(
        b.cast(pick(2), bits(1 + (r.parameter % 4))),
        r.picks.map((_, i) => pick(i)),
        type,
      );
    case "rtl.concat":
      return b.concat(
        r.picks
          .slice(0, width > 100 ? 1 : 4)
          .map((_, i) => pick(i))
          .filter((v, i) => i === 0 || bitsOf(v.type).width < 70),
      );
    case "rtl.extract": {
      const lo = r.parameter % width;
      return b.extract(x, lo, 1 + (r.picks[1]! % (width - lo)), r.type.signed);
    }
    case "rtl.cast":
      return b.cast(x, r.type);
  }
}

/** Operations as they stand, with casts where the types must agree. */
class RawBuilder {
  constructor(private readonly b: RtlModuleBuilder) {}
  add(name: string, operands: readonly Value[], type: BitsType, attrs: Record<string, number | string> = {}): Value {
    return this.b.op.body.append(new Op({ name, operands, resultTypes: [type], attrs })).result;
  }
  cast(v: Value, type: BitsType): Value {
    return this.add("rtl.cast", [v], type);
  }
}

function viaRaw(b: RawBuilder, r: Recipe, pick: (i: number) => Value): Value {
  const [x, y] = [pick(0), pick(1)];
  const tx = bitsOf(x.type);
  switch (r.name) {
    case "rtl.constant":
      return b.add(r.name, [], r.type, { value: someConstant(r).toString() });
    case "rtl.and":
    case "rtl.or":
    case "rtl.xor":
      return b.add(r.name, [x, b.cast(y, bits(tx.width, r.type.signed))], bits(tx.width, r.parameter % 2 === 0));
    case "rtl.not":
      return b.add(r.name, [x], bits(tx.width, r.type.signed));
    case "rtl.shl":
    case "rtl.shr":
      return b.add(r.name, [x], r.type, { amount: r.parameter % 150 });
    case "rtl.eq":
    case "rtl.ne":
    case "rtl.lt":
    case "rtl.le":
      return b.add(r.name, [x, y], bits(1));
    case "rtl.mux":
      return b.add(r.name, [b.cast(pick(2), bits(1)), b.cast(x, r.type), b.cast(y, r.type)], r.type);
    case "rtl.select":
      return b.add(
        r.name,
        [b.cast(pick(2), bits(1 + (r.parameter % 4))), ...r.picks.map((_, i) => b.cast(pick(i), r.type))],
        r.type,
      );
    case "rtl.concat": {
      const parts = r.picks
        .slice(0, tx.width > 100 ? 1 : 4)
        .map((_, i) => pick(i))
        .filter((v, i) => i === 0 || bitsOf(v.type).width < 70);
      return b.add(r.name, parts, bits(parts.reduce((n, v) => n + bitsOf(v.type).width, 0)));
    }
    case "rtl.extract": {
      const lo = r.parameter % tx.width;
      return b.add(r.name, [x], bits(1 + (r.picks[1]! % (tx.width - lo)), r.type.signed), { lo });
    }
    case "rtl.cast":
      return b.add(r.name, [x], r.type);
    default:
      return b.add(r.name, [x, y], r.type);
  }
}

/** Values of the output ports, by the reference semantics; operations of the module stand in order. */
export function evaluateModule(m: Op, inputs: readonly bigint[]): bigint[] {
  const values = new Map<Value, bigint>();
  m.body.args.forEach((a, i) => values.set(a, wrap(inputs[i]!, bitsOf(a.type))));
  for (const op of m.body.ops) {
    if (op.name === "rtl.output") break;
    if (op.name === "rtl.constant") values.set(op.result, BigInt(op.attrs["value"] as string));
    else {
      values.set(
        op.result,
        evaluateRtl(op.name as CombinationalName, {
          values: op.operands.map((o) => values.get(o)!),
          types: op.operands.map((o) => bitsOf(o.type)),
          result: bitsOf(op.result.type),
          parameter: Number(op.attrs["amount"] ?? op.attrs["lo"] ?? 0),
        }),
      );
    }
  }
  return m.body.terminator.operands.map((v) => values.get(v)!);
}

/** Integers of a type, its extremes often among them. */
export function someValue(t: BitsType, random: () => number): bigint {
  const { lo, hi } = bitsRange(t);
  const kind = Math.floor(random() * 8);
  if (kind < 5) return [lo, hi, 0n, wrap(1n, t), wrap(-1n, t)][kind]!;
  let v = 0n;
  for (let i = 0; i < t.width; i += 30) v = (v << 30n) | BigInt(Math.floor(random() * 2 ** 30));
  return wrap(v, t);
}

/** A reproducible source of numbers in [0, 1). @source mulberry32 */
export function seeded(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
