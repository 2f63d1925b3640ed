/**
 * fx: scalar arithmetic on fixed point, the bodies and epilogues of kernels. Everything is exact except `fx.requantize`
 * and `fx.table`; an exact operation whose result type cannot hold every value is refused by the verifier.
 *
 * The names are a closed set, `FxName`. What an operation is elsewhere stands in tables over it: JavaScript in
 * `eval/fx-js.ts`, delay and area in `backend-hls/device/operators.ts`, hardware in `backend-hls/emit/emit-body.ts`.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import { Builder, type Block, type Op, type Value } from "../core.js";
import { denseAttr, intAttr, opTable, type Dialect, type OpDef, type Report } from "../define-op.js";
import { addRanges, maxRanges, minRanges, mulRanges, shiftRange, subRanges } from "../fixed-arith.js";
import { sameType, showType, wideRange, type FixedType, type Type, type WideRange } from "../types.js";

type Described = Omit<OpDef, "name">;

/** The type of a scalar of the fx level. Anything else is a broken invariant. */
export function fixedType(t: Type): FixedType {
  if (t.kind !== "fixed") throw new CompilerBug(`fixed point expected, got ${showType(t)}`);
  return t;
}

/** The types of operands and of the result, which the verifier needs all to be fixed-point scalars. */
interface Types {
  readonly from: readonly FixedType[];
  readonly to: FixedType;
}

/** A verifier that is asked only where all types are fixed-point scalars. */
function onFixed(check: (types: Types, op: Op, report: Report) => void): (op: Op, report: Report) => void {
  return (op, report) => {
    if ([...op.operands, ...op.results].some((v) => v.type.kind !== "fixed"))
      return report("operands and results must be fixed-point scalars");
    check({ from: op.operands.map((v) => fixedType(v.type)), to: fixedType(op.result.type) }, op, report);
  };
}

type Ranges = (a: WideRange, b: WideRange) => WideRange;

/**
 * `scaled`: the fractional bits of the operands add up, as in a product; otherwise both are brought to those of the
 * result. Result types are chosen by whoever builds the operation, from interval analysis of actual constants; the
 * verifier therefore checks the fraction here, and leaves the width of products by constants to the builder's ranges.
 */
function binary(summary: string, combine: Ranges, scaled = false): Described {
  return {
    summary,
    operands: ["a", "b"],
    results: ["y"],
    traits: ["pure"],
    attrs: {
      range_checked: { kind: "bool", optional: true, doc: "the width was derived from the values of constants" },
    },
    verify: onFixed(({ from, to }, op, report) => {
      const [a, b] = from as readonly [FixedType, FixedType];
      const need = scaled ? a.frac + b.frac : Math.max(a.frac, b.frac);
      if (to.frac < need) return report(`result has ${to.frac} fractional bits, ${need} are needed`);
      if (op.operands.some((v) => fxConstant(v) !== undefined) || op.attrs["range_checked"] === true) return;
      // In units of 2^-to.frac.
      const r = scaled
        ? shiftRange(combine(wideRange(a), wideRange(b)), to.frac - need)
        : combine(shiftRange(wideRange(a), to.frac - a.frac), shiftRange(wideRange(b), to.frac - b.frac));
      const have = wideRange(to);
      if (r.lo < have.lo || r.hi > have.hi)
        report(`result range [${have.lo}, ${have.hi}] cannot hold [${r.lo}, ${r.hi}]`);
    }),
  };
}

const anyFixed = onFixed(() => undefined);

export const fxOps = opTable({
  "fx.constant": {
    summary: "A raw integer of the result type.",
    operands: [],
    results: ["y"],
    traits: ["pure"],
    attrs: { raw: { kind: "int" } },
    verify: (op, report) => {
      if (op.result.type.kind !== "fixed") return report("result must be a fixed-point scalar");
      const r = wideRange(op.result.type);
      const raw = intAttr(op, "raw");
      if (raw < r.lo || raw > r.hi) report(`raw value ${raw} is outside [${r.lo}, ${r.hi}]`);
    },
  },
  "fx.add": binary("Exact sum.", addRanges),
  "fx.sub": binary("Exact difference.", subRanges),
  "fx.mul": binary("Exact product.", mulRanges, true),
  "fx.max": binary("The larger value.", maxRanges),
  "fx.min": binary("The smaller value.", minRanges),
  "fx.select_neg": {
    summary: "a where x is negative, otherwise b.",
    operands: ["x", "a", "b"],
    results: ["y"],
    traits: ["pure"],
    verify: onFixed(({ from: [, ...branches], to }, _, report) => {
      if (branches.some((t) => to.frac < t.frac)) report("result drops fractional bits of a branch");
    }),
  },
  "fx.cast": {
    summary: "The same value in a type that can hold it; the builder has proven the range.",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    verify: onFixed(({ from, to }, _, report) => {
      if (from.some((t) => to.frac < t.frac)) report("result drops fractional bits");
    }),
  },
  "fx.requantize": {
    summary: "Rounds and limits to the result type.",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    attrs: {
      rounding: {
        kind: "string",
        oneOf: ["half-up", "half-even", "floor", "biased-half-even"],
        doc: "biased: one half has been added before",
      },
      overflow: { kind: "string", oneOf: ["saturate", "wrap"] },
    },
    verify: anyFixed,
  },
  "fx.table": {
    summary: "Table lookup: entry number raw(x) - min raw(x).",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    attrs: { values: { kind: "dense" } },
    verify: onFixed(({ to }, op, report) => {
      const values = denseAttr(op, "values");
      const { width } = fixedType(op.operand(0).type);
      if (values.data.length !== 2 ** width) report(`${values.data.length} entries for a ${width}-bit index`);
      if (!sameType(values.elem, to)) report("entries and result differ in type");
    }),
  },
  "fx.tree": {
    summary:
      "Value of the leaf in which tree number `tree` of the kernel's ensemble ends, for the output at hand; x stands for all features.",
    operands: ["x", "tree"],
    results: ["y"],
    traits: ["pure"],
    verify: anyFixed,
  },
  "fx.yield": { summary: "Result of a body.", operands: ["x"], results: [], traits: ["terminator"] },
});

export type FxName = keyof typeof fxOps;
/** Operations that compute a value: all of a body but its end. */
export type FxComputation = Exclude<FxName, "fx.yield">;

export const fxDialect: Dialect = { name: "fx", ops: Object.values(fxOps) };

/** Whether `op` is the fx operation `name`; a name that does not exist does not compile. */
export function isFx<N extends FxName>(op: Op | undefined, name: N): op is Op & { readonly name: N } {
  return op?.name === name;
}

/** The entry for `op` in a table over the operations of bodies. Anything else in a body is a broken invariant. */
export function fxEntry<T>(table: Readonly<Record<FxComputation, T>>, op: Op): T {
  if (!Object.hasOwn(table, op.name)) throw new CompilerBug(`${op.name} is not an operation of a scalar body`);
  return table[op.name as FxComputation];
}

/** What a body computes, in order, and the value that it yields. */
export function bodyOf(block: Block): { readonly ops: readonly Op[]; readonly result: Value } {
  const end = block.terminator;
  if (!isFx(end, "fx.yield")) throw new CompilerBug("body without fx.yield");
  return { ops: block.ops.slice(0, -1), result: end.operand(0) };
}

/** Ends a body: it yields `result`. */
export function endBody(block: Block, result: Value): void {
  new Builder(block).create("fx.yield", [result], []);
}

/** The raw integer of a constant scalar. */
export function fxConstant(v: Value): number | undefined {
  return isFx(v.def, "fx.constant") ? intAttr(v.def, "raw") : undefined;
}
