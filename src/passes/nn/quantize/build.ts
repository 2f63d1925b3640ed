/**
 * Builds the fixed-point module for a plan. Operations are converted one by one and stay exact; a value is rounded,
 * once, when something reads it that must be cheap per bit (products, tables, memories between layers) or that reads it
 * several times. What can go on with the exact result does: bias, residual sum, activation. So each group of operations
 * rounds once.
 */
import type { Attr } from "../../../ir/attributes.js";
import { Module, Op, type Value } from "../../../ir/core.js";
import * as nn from "../../../ir/nn/ops.js";
import { makesCodes } from "../../../ir/nn/roles.js";
import { isConstant, shapeOf, singleOf } from "../../../ir/nn/values.js";
import { rawRange, tensor, typeOfRange } from "../../../ir/types.js";
import { EXACT } from "../integerize.js";
import { FixedValues, type Rounding } from "./fixed-values.js";
import type { Plan } from "./plan.js";
import { ruleOf } from "./rules/index.js";
import { count, exactly, readOperands } from "./rules/integers.js";

export interface BuiltModule {
  readonly module: Module;
  /** The float operation that an operation stands for, alone or with others. */
  readonly origins: ReadonlyMap<Op, Op>;
  readonly roundings: readonly Rounding[];
}

/** Widest output of integers that leaves as such; its scale is the port's. */
const PORT_BITS = 32;

export function buildFixed(float: Module, plan: Plan): BuiltModule {
  return new FixedBuilder(float, plan).build();
}

class FixedBuilder extends FixedValues {
  private readonly origins = new Map<Op, Op>();

  build(): BuiltModule {
    const func = this.source.func;
    const inputScales: number[] = [];
    for (const arg of func.body.args) {
      const scale = this.integerPort(arg);
      inputScales.push(scale ?? 1);
      if (scale !== undefined) continue;
      const type = this.plan.format(arg);
      const v = this.block.addArg(tensor(shapeOf(arg), type), arg.hint);
      this.exact.set(arg, v);
      this.final.add(v);
      if (type.frac === 0) this.wholes.add(arg);
      this.roundings.push({ float: arg, fixed: v, type });
    }
    const outputScales = func.body.terminator.operands.map(() => 1);
    for (const op of func.body.ops) {
      if (op.results.length === 1 && this.exact.has(op.result)) continue;
      this.b.loc = op.loc;
      if (op.name === "return") {
        this.b.create(
          "return",
          op.operands.map((v, i) => this.output(v, outputScales, i)),
          [],
        );
        break;
      }
      if (isConstant(op.result)) continue;
      const before = this.block.ops.length;
      this.exact.set(op.result, this.convert(op));
      for (const made of this.block.ops.slice(before)) this.origins.set(made, op);
    }
    const module = new Module(this.source.name);
    module.attrs = { ...this.source.attrs };
    module.body.append(
      new Op({
        name: "func",
        attrs: withScales(func.attrs, inputScales, outputScales),
        regions: [this.block],
        loc: func.loc,
      }),
    );
    return { module, origins: this.origins, roundings: this.roundings };
  }

  /**
   * An input that is quantized at once, everywhere alike: its port takes the integers, and the host converts. Returns
   * the scale of the integers, or undefined for other inputs.
   */
  private integerPort(arg: Value): number | undefined {
    const readers = arg.uses.map(({ op }) => inputRounding(op));
    const [first] = readers;
    if (first === undefined) return undefined;
    const { lo, hi, zero } = nn.round.read(first.round);
    const isSame = (r: InputRounding | undefined): r is InputRounding => {
      if (r?.factor !== first.factor) return false;
      const a = nn.round.read(r.round);
      return a.lo === lo && a.hi === hi && a.zero === zero;
    };
    const same = readers.filter(isSame);
    if (same.length < readers.length) return undefined;
    // The host scales and rounds; the zero point and the limits are the hardware's.
    const type = typeOfRange({ lo: lo - zero, hi: hi - zero }, 0);
    const port = this.block.addArg(tensor(shapeOf(arg), type), arg.hint);
    const whole = rawRange(type);
    const codes = typeOfRange({ lo, hi }, 0);
    const u =
      zero === 0 && whole.lo === lo && whole.hi === hi
        ? port
        : this.b.value(
            "nn.round",
            [port],
            tensor(shapeOf(arg), codes),
            { lo, hi, ...(zero !== 0 && { zero }) },
            `${arg.hint ?? "input"}_limited`,
          );
    this.exact.set(arg, port);
    this.final.add(port).add(u);
    for (const r of same) {
      this.exact.set(r.op.result, u);
      this.exact.set(r.round.result, u);
    }
    this.roundings.push({ float: first.round.result, fixed: u, type: codes });
    return 1 / first.factor;
  }

  /** An output as it leaves: integers times one number leave as integers, and the number goes into `scales`. */
  private output(v: Value, scales: number[], index: number): Value {
    const op = v.def;
    if (op?.attrs[EXACT] !== true) return this.narrow(v);
    const scale = op.name === nn.mul.name ? singleOf(op.operand(1)) : undefined;
    const exact = this.exactOf(scale === undefined ? v : op.operand(0));
    if (this.elem(exact).width > PORT_BITS) return this.narrow(v);
    if (scale !== undefined) scales[index] = scale;
    return exact;
  }

  /** The exact counterpart of an operation's result. */
  private convert(op: Op): Value {
    const rule = ruleOf(op);
    if (op.attrs[EXACT] !== true && !makesCodes(op))
      return (rule.countsWholes === true ? count(op, this) : undefined) ?? rule.convert(op, this);
    const y = (rule.exactly ?? exactly)(op, this);
    if (makesCodes(op) || (rule.keepsFormat?.(op) === true && this.readsFinal(op))) this.final.add(y);
    return y;
  }

  /** Whether what `op` reads first is in its final format. */
  private readsFinal(op: Op): boolean {
    const first = readOperands(op).find((v) => !this.isConstant(v));
    const x = first === undefined ? undefined : this.exact.get(first);
    return x !== undefined && this.final.has(x);
  }
}

/** How an input of the network is rounded: at once, or times a number. */
interface InputRounding {
  readonly op: Op;
  readonly round: Op;
  readonly factor: number;
}

/** The rounding that `op`, which reads an input, is or feeds alone. */
function inputRounding(op: Op): InputRounding | undefined {
  if (op.name === nn.round.name) return { op, round: op, factor: 1 };
  const factor = op.name === nn.mul.name ? singleOf(op.operand(1)) : undefined;
  const next = factor !== undefined && op.result.uses.length === 1 ? op.result.uses[0]?.op : undefined;
  return factor === undefined || next?.name !== nn.round.name ? undefined : { op, round: next, factor };
}

/** Scales of the ports as attributes, where any is not 1. */
function withScales(
  attrs: Record<string, Attr>,
  inputs: readonly number[],
  outputs: readonly number[],
): Record<string, Attr> {
  return {
    ...attrs,
    ...(inputs.some((s) => s !== 1) && { input_scales: [...inputs] }),
    ...(outputs.some((s) => s !== 1) && { output_scales: [...outputs] }),
  };
}
