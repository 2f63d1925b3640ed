/**
 * Rounding without an adder of its own: the half that rounding to nearest adds goes into the constant that is added before.
 *
 *   requantize(acc + bias) {half-up}   ->   requantize(acc + (bias + half)) {floor}
 *
 * A relu in front of a conversion to an unsigned format goes first: negative numbers saturate to zero anyway.
 */
import { allocate, Dense } from "../../ir/attributes.js";
import { Builder, type Module, type Op, type Value } from "../../ir/core.js";
import { denseAttr, intAttr } from "../../ir/define-op.js";
import { dataRange } from "../../ir/fixed-arith.js";
import { readKernel } from "../../ir/flow/kernel.js";
import { rawRange, tensor, typeOfRange, type FixedType } from "../../ir/types.js";
import { definePass } from "../define-pass.js";

export const foldRounding = definePass({
  name: "fold-rounding",
  summary: "Add the half of a rounding to the constant that is added before it.",
  level: "flow",
  semantics: "bit-exact",
  doc: "Half-up rounding becomes truncation, half-even rounding truncation with a correction of ties. A relu before a conversion to an unsigned format is dropped, as the conversion limits to zero.",
  run: (module: Module) => {
    for (const op of module.func.body.ops) if (op.name === "flow.kernel") foldKernel(op);
  },
});

function foldKernel(kernel: Op): void {
  const epilogue = kernel.regions[1]!;
  for (const round of [...epilogue.ops]) {
    if (round.name !== "fx.requantize") continue;
    dropRelu(round);
    // A cast to the accumulator's type says that the sum fits; with the half it may need another bit.
    let sum = round.operand(0);
    if (sum.def?.name === "fx.cast" && sum.uses.length === 1) sum = sum.def.operand(0);
    const add = sum.def;
    if (add?.name !== "fx.add" || sum.uses.length !== 1) continue;
    const rounding = round.attrs["rounding"];
    const shift = (sum.type as FixedType).frac - (round.result.type as FixedType).frac;
    if (shift <= 0 || (rounding !== "half-up" && rounding !== "half-even")) continue;
    const i = add.operands.findIndex((v) => v.uses.length === 1 && constantOperand(kernel, v) !== undefined && (v.type as FixedType).frac === (sum.type as FixedType).frac);
    if (i < 0) continue;
    addToConstant(kernel, add.operand(i), 2 ** (shift - 1));
    add.result.type = sumType(add);
    round.setOperand(0, add.result);
    round.attrs = { ...round.attrs, rounding: rounding === "half-up" ? "floor" : "biased-half-even" };
  }
}

/** max(x, 0) in front of a saturating conversion to an unsigned format. */
function dropRelu(round: Op): void {
  const max = round.operand(0).def;
  if (max?.name !== "fx.max" || (round.result.type as FixedType).signed || round.attrs["overflow"] !== "saturate") return;
  const zero = max.operands.findIndex((v) => v.def?.name === "fx.constant" && intAttr(v.def, "raw") === 0);
  if (zero < 0) return;
  round.setOperand(0, max.operand(1 - zero));
  if (max.result.uses.length === 0) max.erase();
}

/** Index of the kernel's operand that an argument of the epilogue stands for, if that is a constant. */
function constantOperand(kernel: Op, arg: Value): number | undefined {
  const position = kernel.regions[1]!.args.indexOf(arg);
  if (position < 1) return undefined;
  const operands = readKernel(kernel).operands.flatMap((o, i) => (o.phase === "epilogue" ? [i] : []));
  const index = operands[position - 1]!;
  return kernel.operand(index).def?.name === "flow.constant" ? index : undefined;
}

function addToConstant(kernel: Op, arg: Value, half: number): void {
  const index = constantOperand(kernel, arg)!;
  const before = kernel.operand(index).def!;
  const dense = denseAttr(before, "value");
  const raw = Float64Array.from(dense.data as Float64Array, (v) => v + half);
  const pad = readKernel(kernel).operands[index]!.view.pad;
  const elem = typeOfRange(dataRange([...raw, pad]), (dense.elem as FixedType).frac);
  const data = allocate(elem, raw.length);
  data.set(raw);
  const builder = Builder.before(before);
  builder.loc = before.loc;
  kernel.setOperand(index, builder.value("flow.constant", [], tensor(dense.shape, elem), { value: new Dense(dense.shape, elem, data) }, before.result.hint));
  arg.type = elem;
}

/** Type of an exact sum. */
function sumType(add: Op): FixedType {
  const [a, b] = [add.operand(0).type as FixedType, add.operand(1).type as FixedType];
  const frac = Math.max(a.frac, b.frac);
  const scaled = (t: FixedType): { lo: number; hi: number } => {
    const r = rawRange(t);
    return { lo: r.lo * 2 ** (frac - t.frac), hi: r.hi * 2 ** (frac - t.frac) };
  };
  const [x, y] = [scaled(a), scaled(b)];
  return typeOfRange({ lo: x.lo + y.lo, hi: x.hi + y.hi }, frac);
}
