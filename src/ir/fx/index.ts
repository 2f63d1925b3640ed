/**
 * fx: scalar arithmetic on fixed point, the bodies and epilogues of kernels. Everything is exact except `fx.requantize`
 * and `fx.table`; an exact operation whose result type cannot hold every value is refused by the verifier.
 */
import { addRanges, maxRanges, minRanges, mulRanges, shiftRange, subRanges } from "../fixed-arith.js";
import { sameType, wideRange, type FixedType, type Type, type WideRange } from "../types.js";
import type { Dialect, OpDef, Report } from "../define-op.js";
import { denseAttr, intAttr } from "../define-op.js";
import type { Op } from "../core.js";

function fixedOf(t: Type): FixedType | undefined {
  return t.kind === "fixed" ? t : undefined;
}

function fixedOperands(op: Op, report: Report): FixedType[] | undefined {
  const types = [...op.operands, ...op.results].map((v) => fixedOf(v.type));
  if (types.some((t) => t === undefined)) {
    report("operands and results must be fixed-point scalars");
    return undefined;
  }
  return types as FixedType[];
}

/** Exact range of `a op b` in units of 2^-result.frac. */
function exactRange(op: Op, types: readonly FixedType[]): WideRange {
  const [a, b, to] = [types[0]!, types[1]!, types[types.length - 1]!];
  if (op.name === "fx.mul") return shiftRange(mulRanges(wideRange(a), wideRange(b)), to.frac - a.frac - b.frac);
  const combine = { "fx.add": addRanges, "fx.sub": subRanges, "fx.max": maxRanges }[op.name] ?? minRanges;
  return combine(shiftRange(wideRange(a), to.frac - a.frac), shiftRange(wideRange(b), to.frac - b.frac));
}

/**
 * Result types are chosen by whoever builds the operation, from interval analysis of actual constants; the verifier
 * therefore checks the fraction here, and leaves the width of products by constants to the builder's ranges.
 */
function verifyExact(op: Op, report: Report): void {
  const types = fixedOperands(op, report);
  if (types === undefined) return;
  const to = types[types.length - 1]!;
  const need = op.name === "fx.mul" ? types[0]!.frac + types[1]!.frac : Math.max(types[0]!.frac, types[1]!.frac);
  if (to.frac < need) return report(`result has ${to.frac} fractional bits, ${need} are needed`);
  const constant = op.operands.some((v) => v.def?.name === "fx.constant");
  if (constant || op.attrs["range_checked"] === true) return;
  const [r, have] = [exactRange(op, types), wideRange(to)];
  if (r.lo < have.lo || r.hi > have.hi) report(`result range [${have.lo}, ${have.hi}] cannot hold [${r.lo}, ${r.hi}]`);
}

function binary(name: string, summary: string): OpDef {
  return {
    name,
    summary,
    operands: ["a", "b"],
    results: ["y"],
    traits: ["pure"],
    attrs: {
      range_checked: { kind: "bool", optional: true, doc: "the width was derived from the values of constants" },
    },
    verify: verifyExact,
  };
}

const ops: readonly OpDef[] = [
  {
    name: "fx.constant",
    summary: "A raw integer of the result type.",
    operands: [],
    results: ["y"],
    traits: ["pure"],
    attrs: { raw: { kind: "int" } },
    verify: (op, report) => {
      const t = fixedOf(op.result.type);
      if (t === undefined) return report("result must be a fixed-point scalar");
      const r = wideRange(t);
      const raw = intAttr(op, "raw");
      if (raw < r.lo || raw > r.hi) report(`raw value ${raw} is outside [${r.lo}, ${r.hi}]`);
    },
  },
  binary("fx.add", "Exact sum."),
  binary("fx.sub", "Exact difference."),
  binary("fx.mul", "Exact product."),
  binary("fx.max", "The larger value."),
  binary("fx.min", "The smaller value."),
  {
    name: "fx.select_neg",
    summary: "a where x is negative, otherwise b.",
    operands: ["x", "a", "b"],
    results: ["y"],
    traits: ["pure"],
    verify: (op, report) => {
      const types = fixedOperands(op, report);
      if (types === undefined) return;
      const to = types[3]!;
      if (to.frac < Math.max(types[1]!.frac, types[2]!.frac)) report("result drops fractional bits of a branch");
    },
  },
  {
    name: "fx.cast",
    summary: "The same value in a type that can hold it; the builder has proven the range.",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    verify: (op, report) => {
      const types = fixedOperands(op, report);
      if (types !== undefined && types[1]!.frac < types[0]!.frac) report("result drops fractional bits");
    },
  },
  {
    name: "fx.requantize",
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
    verify: (op, report) => void fixedOperands(op, report),
  },
  {
    name: "fx.table",
    summary: "Table lookup: entry number raw(x) - min raw(x).",
    operands: ["x"],
    results: ["y"],
    traits: ["pure"],
    attrs: { values: { kind: "dense" } },
    verify: (op, report) => {
      const types = fixedOperands(op, report);
      if (types === undefined) return;
      const values = denseAttr(op, "values");
      if (values.data.length !== 2 ** types[0]!.width)
        report(`${values.data.length} entries for a ${types[0]!.width}-bit index`);
      if (!sameType(values.elem, types[1]!)) report("entries and result differ in type");
    },
  },
  {
    name: "fx.tree",
    summary:
      "Value of the leaf in which tree number `tree` of the kernel's ensemble ends, for the output at hand; x stands for all features.",
    operands: ["x", "tree"],
    results: ["y"],
    traits: ["pure"],
    verify: (op, report) => void fixedOperands(op, report),
  },
  { name: "fx.yield", summary: "Result of a body.", operands: ["x"], results: [], traits: ["terminator"] },
];

export const fxDialect: Dialect = { name: "fx", ops };
