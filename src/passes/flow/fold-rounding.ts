/**
 * Rounding without an adder of its own: the half that rounding to nearest adds goes into the constant that is added
 * before.
 *
 *   requantize(acc + bias) {half-up}   ->   requantize(acc + (bias + half)) {floor}
 *
 * A relu in front of a conversion to an unsigned format goes first: negative numbers saturate to zero anyway.
 */
import { allocate, Dense } from "../../ir/attributes.js";
import { Builder, type Module, type Op, type Value } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { addType, dataRange, ranged } from "../../ir/fixed-arith.js";
import { fxConstant, isFx } from "../../ir/fx/index.js";
import { readKernel } from "../../ir/flow/kernel.js";
import { fixed, NUMBER_WIDTH, tensor, typeOfRange, type FixedType } from "../../ir/types.js";
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
    if (!isFx(round, "fx.requantize")) continue;
    const { sum, scale } = behind(round);
    const add = sum.def;
    if (!isFx(add, "fx.add") || sum.uses.length !== 1) continue;
    const rounding = round.attrs["rounding"];
    const shift = (sum.type as FixedType).frac + scale - (round.result.type as FixedType).frac;
    if (shift <= 0 || (rounding !== "half-up" && rounding !== "half-even")) continue;
    const i = add.operands.findIndex(
      (v) =>
        v.uses.length === 1 &&
        constantOperand(kernel, v) !== undefined &&
        (v.type as FixedType).frac === (sum.type as FixedType).frac,
    );
    if (i < 0 || !fitsConstant(kernel, add.operand(i), 2 ** (shift - 1))) continue;
    addToConstant(kernel, add.operand(i), 2 ** (shift - 1));
    add.result.type = addType(ranged(add.operand(0).type as FixedType), ranged(add.operand(1).type as FixedType));
    round.setOperand(0, rescaled(round, add.result, scale));
    round.attrs = { ...round.attrs, rounding: rounding === "half-up" ? "floor" : "biased-half-even" };
  }
  for (const op of [...epilogue.ops].reverse()) if (op.results.length === 1 && op.result.uses.length === 0) op.erase();
}

/**
 * The number that `round` rounds, behind operations that leave its integer as it is: casts to the accumulator's type,
 * products with a power of two (counted in `scale`), and the relu that a conversion to an unsigned format makes
 * superfluous.
 */
function behind(round: Op): { sum: Value; scale: number } {
  const limits = !(round.result.type as FixedType).signed && round.attrs["overflow"] === "saturate";
  let sum = round.operand(0);
  let scale = 0;
  for (;;) {
    const op = sum.def;
    if (op === undefined || sum.uses.length !== 1) return { sum, scale };
    const constant = (raw: number): number => op.operands.findIndex((v) => fxConstant(v) === raw);
    if (isFx(op, "fx.cast") && (op.operand(0).type as FixedType).frac === (sum.type as FixedType).frac)
      sum = op.operand(0);
    else if (isFx(op, "fx.max") && limits && constant(0) >= 0) sum = op.operand(1 - constant(0));
    else if (isFx(op, "fx.mul") && constant(1) >= 0) {
      const k = constant(1);
      scale += (op.operand(k).type as FixedType).frac;
      sum = op.operand(1 - k);
    } else return { sum, scale };
  }
}

/** `v * 2^-scale`, the same integer with more fractional bits. */
function rescaled(round: Op, v: Value, scale: number): Value {
  if (scale === 0) return v;
  const b = Builder.before(round);
  const one = b.value("fx.constant", [], fixed(1, scale, false), { raw: 1 });
  const type = v.type as FixedType;
  return b.value("fx.mul", [v, one], { ...type, frac: type.frac + scale });
}

/** Index of the kernel's operand that an argument of the epilogue stands for, if that is a constant. */
function constantOperand(kernel: Op, arg: Value): number | undefined {
  const position = kernel.regions[1]!.args.indexOf(arg);
  if (position < 1) return undefined;
  const operands = readKernel(kernel).operands.flatMap((o, i) => (o.phase === "epilogue" ? [i] : []));
  const index = operands[position - 1]!;
  return kernel.operand(index).def?.name === "flow.constant" ? index : undefined;
}

/** Whether a constant with `half` added is still of a type that constants may have, whatever its sign. */
function fitsConstant(kernel: Op, arg: Value, half: number): boolean {
  const { data } = denseAttr(kernel.operand(constantOperand(kernel, arg)!).def!, "value");
  return data.every((v) => Math.abs(v + half) < 2 ** (NUMBER_WIDTH - 1));
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
  kernel.setOperand(
    index,
    builder.value(
      "flow.constant",
      [],
      tensor(dense.shape, elem),
      { value: new Dense(dense.shape, elem, data) },
      before.result.hint,
    ),
  );
  arg.type = elem;
}
