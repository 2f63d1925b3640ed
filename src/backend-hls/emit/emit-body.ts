/** Scalar bodies in hardware: fx operations as rtl, with registers where the pipeline has its stage boundaries. */
import { elementAt, firstOf, lookUp, present } from "../../ir/present.js";
import { CompilerBug } from "../../diagnostics/index.js";
import type { Block, Module, Op, Value } from "../../ir/core.js";
import { denseAttr, intAttr, strAttr } from "../../ir/define-op.js";
import { bodyOf, fixedType, fxConstant, fxEntry, type FxComputation } from "../../ir/fx/index.js";
import { u, type RtlModuleBuilder } from "../../ir/rtl/builder.js";
import { isRtl } from "../../ir/rtl/index.js";
import { bitsRange } from "../../ir/rtl/semantics.js";
import { scaleRange } from "../../ir/fixed-arith.js";
import { typeOfRange, wideRange, type BitsType, type FixedType } from "../../ir/types.js";
import type { MultiplierCell } from "../device/family.js";
import { cellModule } from "../device/multiplier-cell.js";
import { type AdderGraph, bitsOfInterval, type Interval } from "../kernel/adder-graph.js";
import { type ConstantProduct, type GraphStages, isRegisteredTable, type Pipeline } from "../kernel/pipeline.js";

export function wires(t: FixedType): BitsType {
  return { kind: "bits", signed: t.signed, width: t.width };
}

/** What the emission of a body needs of its pipeline. */
export type BodyStages = Pick<Pipeline, "stageOf" | "cellOf" | "constantProducts" | "splitRequantize" | "styleOf">;

/** Registers behind values that several bodies compute: windows that overlap share what they have in common. */
export class SharedRegisters {
  private readonly behind = new Map<Value, Value>();
  constructor(private readonly m: RtlModuleBuilder) {}

  /** `value` a cycle later. */
  after(value: Value, hint?: string): Value {
    let q = this.behind.get(value);
    if (q === undefined) this.behind.set(value, (q = this.m.reg(value, { hint })));
    return q;
  }
}

/** A value and the stage in which it is available; `atStage` delays it with registers that all readers share. */
export class Staged {
  private readonly later: Value[];
  constructor(
    private readonly m: RtlModuleBuilder,
    value: Value,
    readonly stage: number,
    private readonly steady = false,
    readonly registers?: SharedRegisters,
  ) {
    this.later = [value];
  }
  /** A constant is the same in every stage. */
  static constant(m: RtlModuleBuilder, value: Value): Staged {
    return new Staged(m, value, 0, true);
  }
  get value(): Value {
    return firstOf(this.later);
  }
  atStage(stage: number): Value {
    if (this.steady) return this.value;
    if (stage < this.stage) throw new Error(`value of stage ${this.stage} used in stage ${stage}`);
    for (let s = this.later.length; s <= stage - this.stage; s++) {
      const previous = elementAt(this.later, s - 1);
      this.later.push(
        isRtl(previous.def, "rtl.constant")
          ? previous
          : this.after(
              previous,
              previous.hint === undefined ? undefined : `${previous.hint.replace(/_q\d*$/, "")}_q${s}`,
            ),
      );
    }
    return elementAt(this.later, stage - this.stage);
  }
  private after(value: Value, hint: string | undefined): Value {
    return this.registers === undefined ? this.m.reg(value, { hint }) : this.registers.after(value, hint);
  }
}

/**
 * Builds a body in a module of `program`; `args` are the values of its arguments, the first one negated where
 * `negated`, and with the addition `done` already in it. Returns the yielded value.
 */
export function emitScalarBody(
  program: Module,
  m: RtlModuleBuilder,
  block: Block,
  args: readonly Staged[],
  pipeline: BodyStages,
  hint: string,
  negated = false,
  done?: Op,
): Staged {
  const env = new Map<Value, Staged>();
  block.args.forEach((a, i) => env.set(a, elementAt(args, i)));
  let cells = 0;
  const { ops, result } = bodyOf(block);
  for (const op of ops) {
    const raw = fxConstant(op.result);
    if (raw !== undefined) {
      env.set(op.result, Staged.constant(m, m.constant(raw, wires(fixedType(op.result.type)))));
      continue;
    }
    if (op === done) {
      env.set(op.result, firstOf(args));
      continue;
    }
    const byConstant = pipeline.constantProducts.get(op);
    if (byConstant !== undefined) {
      env.set(
        op.result,
        emitConstantProduct(m, byConstant, op, lookUp(env, op.operand(byConstant.varying), "env"), `${hint}_mul`),
      );
      continue;
    }
    const stage = lookUp(pipeline.stageOf, op, "stage of");
    const operands = op.operands.map((v) => lookUp(env, v, "env").atStage(stage));
    const name = `${hint}_${op.name.slice(3)}`;
    const cell = pipeline.cellOf.get(op);
    const { value, latency } =
      cell === undefined
        ? emitOp(m, op, operands, pipeline, name, negated ? block.args[0] : undefined)
        : emitCell(program, m, cell, op, operands, cells++ === 0 ? name : `${name}_${cells}`);
    env.set(op.result, new Staged(m, value, stage + latency, false, args[0]?.registers));
  }
  return lookUp(env, result, "env");
}

/** A product by a multiplier block with registers inside. */
function emitCell(
  program: Module,
  m: RtlModuleBuilder,
  cell: MultiplierCell,
  op: Op,
  x: readonly Value[],
  hint: string,
): { value: Value; latency: number } {
  const type = { kind: "bits", signed: true, width: cell.width } as const;
  const { p } = m.instance(cellModule(program, cell), hint, {
    a: m.cast(firstOf(x), type),
    b: m.cast(elementAt(x, 1), type),
  });
  const to = op.result.type as FixedType;
  const from = op.operands.map((v) => v.type as FixedType);
  return {
    value: m.cast(m.shl(present(p, "p"), to.frac - firstOf(from).frac - elementAt(from, 1).frac), wires(to), hint),
    latency: cell.latency,
  };
}

function intervalType(r: Interval): BitsType {
  return { kind: "bits", signed: r.lo < 0, width: Math.max(1, bitsOfInterval(r)) };
}

/**
 * The outputs of an adder graph as numbers of `type`, in their stages. Low bits of the first summand that lie below the
 * second go around the adder. Negative outputs keep the sign that the graph gives them where `absorbsSign`.
 */
export function emitAdderGraph(
  m: RtlModuleBuilder,
  graph: AdderGraph,
  inputs: readonly Staged[],
  stages: GraphStages,
  type: BitsType,
  absorbsSign = false,
): Staged[] {
  const values = [
    ...inputs,
    ...graph.inputs.slice(inputs.length).map((c) => Staged.constant(m, m.constant(c.lo, intervalType(c)))),
  ];
  graph.nodes.forEach((n, i) => {
    const stage = elementAt(stages.nodes, i);
    const [a, b] = [elementAt(values, n.a).atStage(stage), elementAt(values, n.b).atStage(stage)];
    const t = intervalType(n.range);
    if (n.shift < 0) {
      const up = m.shl(a, -n.shift);
      values.push(new Staged(m, n.subtract ? m.sub(up, b, t) : m.add(up, b, t), stage));
      return;
    }
    const high = { kind: "bits", signed: t.signed, width: Math.max(1, t.width - n.shift) } as const;
    const top = n.shift === 0 ? a : m.shr(a, n.shift);
    const sum = n.subtract ? m.sub(top, b, high) : m.add(top, b, high);
    const whole =
      n.shift === 0
        ? sum
        : m.concat([sum, m.extract(m.cast(a, { ...t, width: Math.max(t.width, n.shift) }), 0, n.shift)]);
    values.push(new Staged(m, n.shift === 0 ? sum : m.extract(whole, 0, high.width + n.shift, t.signed), stage));
  });
  return graph.outputs.map((o, i) => {
    if (o.node < 0) return Staged.constant(m, m.constant(0, type));
    const stage = elementAt(stages.outputs, i);
    const shifted = m.shl(elementAt(values, o.node).atStage(stage), o.shift);
    return new Staged(m, !o.negative ? m.cast(shifted, type) : absorbsSign ? shifted : m.neg(shifted, type), stage);
  });
}

/** A product by a constant, without a multiplier. */
function emitConstantProduct(
  m: RtlModuleBuilder,
  { varying, graph, stages }: ConstantProduct,
  op: Op,
  x: Staged,
  hint: string,
): Staged {
  const to = op.result.type as FixedType;
  const from = op.operands.map((v) => v.type as FixedType);
  const range = scaleRange(
    wideRange(elementAt(from, varying)),
    BigInt(intAttr(present(op.operand(1 - varying).def, "def"), "raw")),
  );
  const product = firstOf(emitAdderGraph(m, graph, [x], stages, wires(typeOfRange(range, 0))));
  return new Staged(
    m,
    m.shl(product.value, to.frac - firstOf(from).frac - elementAt(from, 1).frac, wires(to), hint),
    product.stage,
  );
}

/** An operation to be built; operands of its record, with their types. */
class Site {
  readonly to: FixedType;
  readonly type: BitsType;
  constructor(
    readonly m: RtlModuleBuilder,
    readonly op: Op,
    private readonly x: readonly Value[],
    readonly pipeline: BodyStages,
    readonly hint: string,
    /** Operand whose negative is at hand instead. */
    readonly negated: Value | undefined,
  ) {
    this.to = fixedType(op.result.type);
    this.type = wires(this.to);
  }
  at(i: number): Value {
    const v = this.x[i];
    if (v === undefined) throw new CompilerBug(`${this.op.name} has no operand ${i}`);
    return v;
  }
  from(i: number): FixedType {
    return fixedType(this.op.operand(i).type);
  }
  /** Operand `i` with the fraction of the result. */
  aligned(i: number): Value {
    const shift = this.to.frac - this.from(i).frac;
    return shift === 0 ? this.at(i) : this.m.shl(this.at(i), shift);
  }
}

interface Built {
  readonly value: Value;
  /** Stages until it is there. */
  readonly latency: number;
}

const inStage =
  (build: (site: Site) => Value): ((site: Site) => Built) =>
  (site) => ({ value: build(site), latency: 0 });

/** What stands in a pipeline otherwise: constants are the same in every stage, trees are emitted as an ensemble. */
const elsewhere = ({ op }: Site): Built => {
  throw new CompilerBug(`${op.name} is not built in a body`);
};

const HARDWARE: Readonly<Record<FxComputation, (site: Site) => Built>> = {
  "fx.constant": elsewhere,
  "fx.add": inStage((s) => {
    const minus = s.negated === undefined ? -1 : s.op.operands.indexOf(s.negated);
    return minus < 0
      ? s.m.add(s.aligned(0), s.aligned(1), s.type, s.hint)
      : s.m.sub(s.aligned(1 - minus), s.aligned(minus), s.type, s.hint);
  }),
  "fx.sub": inStage((s) => s.m.sub(s.aligned(0), s.aligned(1), s.type, s.hint)),
  "fx.mul": inStage((s) => {
    const extra = s.to.frac - s.from(0).frac - s.from(1).frac;
    return s.m.shl(s.m.mul(s.at(0), s.at(1)), extra, s.type, s.hint);
  }),
  "fx.max": inStage((s) => s.m.max(s.aligned(0), s.aligned(1), s.type, s.hint)),
  "fx.min": inStage((s) => s.m.min(s.aligned(0), s.aligned(1), s.type, s.hint)),
  "fx.select_neg": inStage((s) => {
    const { m, type } = s;
    const b = m.cast(s.aligned(2), type);
    const { signed, width } = s.from(0);
    if (!signed) return b;
    const negative = m.bit(s.at(0), width - 1);
    return m.mux(negative, m.cast(s.aligned(1), type), b, type, s.hint);
  }),
  "fx.cast": inStage((s) => s.m.cast(s.aligned(0), s.type, s.hint)),
  "fx.requantize": (s) => {
    const { m, op, hint } = s;
    const split = s.pipeline.splitRequantize.has(op);
    const between = split ? (v: Value): Value => m.reg(v, { hint: `${hint}_rounded` }) : undefined;
    const [rounding, overflow] = [strAttr(op, "rounding"), strAttr(op, "overflow")];
    return {
      value: emitRequantize(m, s.at(0), s.from(0), s.to, rounding, overflow, hint, between),
      latency: split ? 1 : 0,
    };
  },
  "fx.table": (s) => {
    const { m, op, hint } = s;
    const values = denseAttr(op, "values");
    // Entries start at the least input: flip the sign of a signed index.
    const { signed, width } = s.from(0);
    const raw = m.extract(s.at(0), 0, width);
    const index = signed ? m.xor(raw, m.constant(2 ** (width - 1), { kind: "bits", signed: false, width })) : raw;
    const latency = isRegisteredTable(op) ? 1 : 0;
    return {
      value: m.rom(index, values, { readLatency: latency, style: lookUp(s.pipeline.styleOf, op, "style of"), hint }),
      latency,
    };
  },
  "fx.tree": elsewhere,
};

/** `negated`: a summand whose negative is at hand. */
function emitOp(
  m: RtlModuleBuilder,
  op: Op,
  x: readonly Value[],
  pipeline: BodyStages,
  hint: string,
  negated: Value | undefined,
): Built {
  return fxEntry(HARDWARE, op)(new Site(m, op, x, pipeline, hint, negated));
}

/**
 * Rounding and limiting, the same integers as `emitRequantize` of the interpreter; `between` may put a register between
 * the two.
 */
export function emitRequantize(
  m: RtlModuleBuilder,
  x: Value,
  from: FixedType,
  to: FixedType,
  rounding: string,
  overflow: string,
  hint: string,
  between?: (rounded: Value) => Value,
): Value {
  const shift = from.frac - to.frac;
  let rounded: Value;
  if (shift <= 0) rounded = shift === 0 ? x : m.shl(x, -shift);
  else {
    const biased = rounding === "floor" || rounding === "biased-half-even" ? x : m.add(x, m.constant(2 ** (shift - 1)));
    rounded = m.shr(biased, shift);
    if (rounding === "half-even" || rounding === "biased-half-even") {
      // A tie is a dropped part of exactly one half, which the bias has made zero: an odd result then steps back to
      // even.
      const t = biased.type as BitsType;
      const dropped = m.extract(m.cast(biased, { ...t, width: Math.max(t.width, shift) }), 0, shift);
      const up = rounded.type as BitsType;
      const odd = m.and(m.bit(rounded, 0), m.ne(dropped, m.constant(0, u(shift))));
      rounded =
        up.width === 1
          ? m.cast(odd, up)
          : m.extract(m.concat([m.extract(rounded, 1, up.width - 1), odd]), 0, up.width, up.signed);
    }
  }
  rounded = between?.(rounded) ?? rounded;
  return overflow === "wrap" ? m.cast(rounded, wires(to), hint) : saturate(m, rounded, to, hint);
}

/** Limits to a whole format: whether a number fits shows in the bits above the format's, without a comparison. */
function saturate(m: RtlModuleBuilder, x: Value, to: FixedType, hint: string): Value {
  const type = wires(to);
  const from = x.type as BitsType;
  const { lo, hi } = wideRange(to);
  const range = bitsRange(from);
  const [tooHigh, tooLow] = [range.hi > hi, range.lo < lo];
  if (!tooHigh && !tooLow) return m.cast(x, type, hint);
  const negative = from.signed ? m.bit(x, from.width - 1) : m.constant(0, u(1));
  // Bits from the format's sign upwards: all equal in a signed number that fits, all zero in one without sign.
  const first = to.signed ? to.width - 1 : to.width;
  const top = tooHigh ? m.extract(x, first, from.width - first - (from.signed ? 1 : 0)) : undefined;
  const above = top === undefined ? m.constant(0, u(1)) : m.ne(top, m.constant(0, top.type as BitsType));
  const largest = m.constant(hi, type);
  if (!to.signed) {
    const limited = tooHigh ? m.mux(above, largest, m.cast(x, type), type) : m.cast(x, type);
    return tooLow ? m.mux(negative, m.constant(0, type), limited, type, hint) : m.cast(limited, type, hint);
  }
  const below = top === undefined ? m.constant(0, u(1)) : m.ne(top, m.not(m.constant(0, top.type as BitsType)));
  const over = tooLow ? m.mux(negative, below, above) : above;
  const limit = tooLow ? m.mux(negative, m.constant(lo, type), largest, type) : largest;
  return m.mux(over, limit, m.cast(x, type), type, hint);
}
