/** Functions of one tensor of few integers, whatever they are made of, as tables. */
import { Dense } from "../../../ir/attributes.js";
import { Block, Builder, Module, Op, type Value } from "../../../ir/core.js";
import { prepareNn } from "../../../ir/eval/nn-fixed.js";
import { f32, tensor } from "../../../ir/types.js";
import { only, scalar, ZERO } from "./field.js";
import type { ScaledOf } from "./linear.js";
import type { IntegerBuilder, Range, Scaled } from "./scaled.js";
import { constantOf, shapeOf } from "../../../ir/nn/values.js";
import { hasTrait } from "../../../ir/define-op.js";

/** Most entries of a table of integers. */
export const MAX_TABLE = 1024;
/** Most operations that one table stands for. */
const MAX_CHAIN = 32;
/** Significant bits of a function's values that are computed on with. */
const VALUE_BITS = 24;

interface Tabulated {
  readonly root: Value;
  readonly range: Range;
  /** The real value for each integer of the range. */
  readonly values: Float64Array;
}

/** `x` for all values of the one tensor of few integers of which it is an elementwise function. */
function tabulated(x: Value, scaledOf: ScaledOf): Tabulated | undefined {
  const chain = new Set<Op>();
  let root: Value | undefined;
  let range: Range | undefined;
  const visit = (v: Value): boolean => {
    const s = scaledOf(v);
    if (s?.range !== undefined && only(s.scale) !== undefined && only(s.offset) !== undefined) {
      // Several readings of one tensor, scaled or not, are the same root.
      if (root !== undefined && root !== s.u) return false;
      root = s.u;
      range = s.range;
      return true;
    }
    const c = constantOf(v);
    if (c !== undefined) return c.data.length === 1;
    if (v.def === undefined || !hasTrait(v.def, "elementwise") || chain.size > MAX_CHAIN) return false;
    chain.add(v.def);
    return v.def.operands.every((y) => visit(y));
  };
  if (!visit(x) || root === undefined || range === undefined || range.hi - range.lo + 1 > MAX_TABLE || chain.size === 0)
    return undefined;
  const found: Value = root;
  if (shapeOf(found).join() !== shapeOf(x).join()) return undefined;
  return { root: found, range, values: evaluate(x, found, scaledOf, range) };
}

/** What rounding `x` to [lo, hi] and adding `zero` gives, as a table. */
export function roundedTable(
  b: IntegerBuilder,
  x: Value,
  scaledOf: ScaledOf,
  { lo, hi }: Range,
  zero: number,
  hint: string | undefined,
): Value | undefined {
  const t = tabulated(x, scaledOf);
  if (t === undefined || t.values.some(Number.isNaN)) return undefined;
  return lookup(
    b,
    t,
    t.values.map((v) => Math.min(hi, Math.max(lo, roundHalfEven(v))) + zero),
    x,
    hint,
  );
}

/** `x` itself as multiples of a small unit. */
export function fineTable(b: IntegerBuilder, x: Value, scaledOf: ScaledOf): Scaled | undefined {
  const t = tabulated(x, scaledOf);
  const most = t?.values.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  if (t === undefined || most === undefined || !Number.isFinite(most) || most === 0) return undefined;
  const unit = 2 ** (Math.ceil(Math.log2(most)) - VALUE_BITS);
  const integers = t.values.map((v) => Math.round(v / unit) + 0);
  const range = {
    lo: integers.reduce((m, v) => Math.min(m, v), Infinity),
    hi: integers.reduce((m, v) => Math.max(m, v), -Infinity),
  };
  return { u: lookup(b, t, integers, x, x.hint), scale: scalar(unit), offset: ZERO, range };
}

function lookup(b: IntegerBuilder, t: Tabulated, values: Float64Array, x: Value, hint: string | undefined): Value {
  return b.emit(
    "nn.lookup",
    [t.root],
    shapeOf(x),
    {
      first: t.range.lo,
      values: new Dense(
        [values.length],
        f32,
        values.map((v) => v + 0),
      ),
    },
    hint,
  );
}

function roundHalfEven(v: number): number {
  const f = Math.floor(v);
  const d = v - f;
  return d < 0.5 ? f : d > 0.5 ? f + 1 : f % 2 === 0 ? f : f + 1;
}

/**
 * Values of the elementwise expression `x` for every integer of `root`; each step in float32, as the model says, which
 * decides ties.
 */
function evaluate(x: Value, root: Value, scaledOf: ScaledOf, range: Range): Float64Array {
  const n = range.hi - range.lo + 1;
  const memo = new Map<Value, Float64Array>();
  const valuesOf = (v: Value): Float64Array => {
    const known = memo.get(v);
    if (known !== undefined) return known;
    const s = scaledOf(v);
    let values: Float64Array;
    if (s?.u === root && s.range !== undefined && only(s.scale) !== undefined && only(s.offset) !== undefined) {
      values = Float64Array.from({ length: n }, (_, i) => only(s.scale)! * (range.lo + i) + only(s.offset)!);
    } else if (constantOf(v) !== undefined) values = new Float64Array(n).fill(constantOf(v)!.data[0]!);
    else values = evaluateElementwise(v.def!, v.def!.operands.map(valuesOf), n);
    values = values.map(Math.fround);
    memo.set(v, values);
    return values;
  };
  return valuesOf(x);
}

/** One operation on vectors: a small module of its own, so that it means what the interpreter says. */
function evaluateElementwise(op: Op, operands: readonly Float64Array[], n: number): Float64Array {
  const block = new Block();
  const args = operands.map((_, i) => block.addArg(tensor([n], f32), `x${i}`));
  const b = new Builder(block);
  b.create("return", [b.value(op.name, args, tensor([n], f32), op.attrs)], []);
  const module = new Module("table");
  module.body.append(
    new Op({
      name: "func",
      attrs: { sym: "table", inputs: args.map((a) => a.hint!), outputs: ["y"] },
      regions: [block],
    }),
  );
  return Float64Array.from(prepareNn(module).run(operands)[0]!);
}
