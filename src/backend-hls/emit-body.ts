/** Scalar bodies in hardware: fx operations as rtl, with registers where the pipeline has its stage boundaries. */
import type { Block, Op, Value } from "../ir/core.js";
import { denseAttr, intAttr, strAttr } from "../ir/define-op.js";
import type { RtlModuleBuilder } from "../ir/rtl/builder.js";
import { rawRange, type BitsType, type FixedType } from "../ir/types.js";
import { bitsOfInterval, buildAdderGraph, type AdderGraph, type Interval } from "./adder-graph.js";
import { REGISTERED_TABLE, type GraphStages, type Pipeline } from "./pipeline.js";

export function wires(t: FixedType): BitsType {
  return { kind: "bits", signed: t.signed, width: t.width };
}

/** A value and the stage in which it is available; `atStage` delays it with registers that all readers share. */
export class Staged {
  private readonly later: Value[];
  constructor(
    private readonly m: RtlModuleBuilder,
    value: Value,
    readonly stage: number,
    private readonly steady = false,
  ) {
    this.later = [value];
  }
  /** A constant is the same in every stage. */
  static constant(m: RtlModuleBuilder, value: Value): Staged {
    return new Staged(m, value, 0, true);
  }
  get value(): Value {
    return this.later[0]!;
  }
  atStage(stage: number): Value {
    if (this.steady) return this.value;
    if (stage < this.stage) throw new Error(`value of stage ${this.stage} used in stage ${stage}`);
    for (let s = this.later.length; s <= stage - this.stage; s++) {
      const previous = this.later[s - 1]!;
      this.later.push(previous.def?.name === "rtl.constant" ? previous : this.m.reg(previous, { hint: previous.hint === undefined ? undefined : `${previous.hint.replace(/_q\d*$/, "")}_q${s}` }));
    }
    return this.later[stage - this.stage]!;
  }
}

/** Builds a body; `args` are the values of its arguments. Returns the yielded value. */
export function emitScalarBody(m: RtlModuleBuilder, block: Block, args: readonly Staged[], pipeline: Pipeline, hint: string): Staged {
  const env = new Map<Value, Staged>();
  block.args.forEach((a, i) => env.set(a, args[i]!));
  for (const op of block.ops) {
    if (op.name === "fx.yield") return env.get(op.operand(0))!;
    if (op.name === "fx.constant") {
      env.set(op.result, Staged.constant(m, m.constant(intAttr(op, "raw"), wires(op.result.type as FixedType))));
      continue;
    }
    const stage = pipeline.stageOf.get(op)!;
    const operands = op.operands.map((v) => env.get(v)!.atStage(stage));
    const { value, latency } = emitOp(m, op, operands, `${hint}_${op.name.slice(3)}`);
    env.set(op.result, new Staged(m, value, stage + latency));
  }
  throw new Error("body without fx.yield");
}

function intervalType(r: Interval): BitsType {
  return { kind: "bits", signed: r.lo < 0, width: Math.max(1, bitsOfInterval(r)) };
}

/**
 * The outputs of an adder graph as numbers of `type`, in their stages. Low bits of the first summand that lie below the
 * second go around the adder.
 */
export function emitAdderGraph(m: RtlModuleBuilder, graph: AdderGraph, inputs: readonly Staged[], stages: GraphStages, type: BitsType): Staged[] {
  const values = [...inputs];
  graph.nodes.forEach((n, i) => {
    const stage = stages.nodes[i]!;
    const [a, b] = [values[n.a]!.atStage(stage), values[n.b]!.atStage(stage)];
    const t = intervalType(n.range);
    const high = { kind: "bits", signed: t.signed, width: Math.max(1, t.width - n.shift) } as const;
    const top = n.shift === 0 ? a : m.shr(a, n.shift);
    const sum = n.subtract ? m.sub(top, b, high) : m.add(top, b, high);
    const whole = n.shift === 0 ? sum : m.concat([sum, m.extract(m.cast(a, { ...t, width: Math.max(t.width, n.shift) }), 0, n.shift)]);
    values.push(new Staged(m, n.shift === 0 ? sum : m.extract(whole, 0, high.width + n.shift, t.signed), stage));
  });
  return graph.outputs.map((o, i) => {
    if (o.node < 0) return Staged.constant(m, m.constant(0, type));
    const stage = stages.outputs[i]!;
    const shifted = m.shl(values[o.node]!.atStage(stage), o.shift);
    return new Staged(m, o.negative ? m.neg(shifted, type) : m.cast(shifted, type), stage);
  });
}

/** c x in one stage, without a multiplier. */
function timesConstant(m: RtlModuleBuilder, x: Value, range: Interval, c: number): Value {
  const graph = buildAdderGraph([[c]], [range]);
  const bound = [range.lo * c, range.hi * c];
  const type = intervalType({ lo: Math.min(...bound), hi: Math.max(...bound) });
  return emitAdderGraph(m, graph, [new Staged(m, x, 0)], { nodes: graph.nodes.map(() => 0), outputs: [0] }, type)[0]!.value;
}

function emitOp(m: RtlModuleBuilder, op: Op, x: readonly Value[], hint: string): { value: Value; latency: number } {
  const to = op.result.type as FixedType;
  const type = wires(to);
  const from = op.operands.map((v) => v.type as FixedType);
  const aligned = (i: number): Value => {
    const shift = to.frac - from[i]!.frac;
    return shift === 0 ? x[i]! : m.shl(x[i]!, shift);
  };
  const done = (value: Value): { value: Value; latency: number } => ({ value, latency: 0 });
  switch (op.name) {
    case "fx.add":
      return done(m.add(aligned(0), aligned(1), type, hint));
    case "fx.sub":
      return done(m.sub(aligned(0), aligned(1), type, hint));
    case "fx.mul": {
      const extra = to.frac - from[0]!.frac - from[1]!.frac;
      const constant = [0, 1].find((i) => op.operand(i).def?.name === "fx.constant");
      const product = constant === undefined ? m.mul(x[0]!, x[1]!) : timesConstant(m, x[1 - constant]!, rawRange(from[1 - constant]!), intAttr(op.operand(constant).def!, "raw"));
      return done(m.shl(product, extra, type, hint));
    }
    case "fx.max":
      return done(m.max(aligned(0), aligned(1), type, hint));
    case "fx.min":
      return done(m.min(aligned(0), aligned(1), type, hint));
    case "fx.select_neg": {
      const b = m.cast(aligned(2), type);
      if (!from[0]!.signed) return done(b);
      const negative = m.bit(x[0]!, from[0]!.width - 1);
      return done(m.mux(negative, m.cast(aligned(1), type), b, type, hint));
    }
    case "fx.cast":
      return done(m.cast(aligned(0), type, hint));
    case "fx.requantize":
      return done(emitRequantize(m, x[0]!, from[0]!, to, strAttr(op, "rounding"), strAttr(op, "overflow"), hint));
    case "fx.table": {
      const values = denseAttr(op, "values");
      // Entries start at the least input: flip the sign of a signed index.
      const width = from[0]!.width;
      const raw = m.extract(x[0]!, 0, width);
      const index = from[0]!.signed ? m.xor(raw, m.constant(2 ** (width - 1), { kind: "bits", signed: false, width })) : raw;
      const latency = values.data.length >= REGISTERED_TABLE ? 1 : 0;
      return { value: m.rom(index, values, { readLatency: latency, hint }), latency };
    }
    default:
      throw new Error(`no hardware for ${op.name}`);
  }
}

/** Rounding and limiting, the same integers as `emitRequantize` of the interpreter. */
export function emitRequantize(m: RtlModuleBuilder, x: Value, from: FixedType, to: FixedType, rounding: string, overflow: string, hint: string): Value {
  const shift = from.frac - to.frac;
  const type = wires(to);
  let rounded: Value;
  if (shift <= 0) rounded = shift === 0 ? x : m.shl(x, -shift);
  else if (rounding === "floor") rounded = m.shr(x, shift);
  else {
    rounded = m.shr(m.add(x, m.constant(2 ** (shift - 1))), shift);
    if (rounding === "half-even") {
      // A tie is a dropped part of exactly one half; the sum above rounded it up, an odd result steps back.
      const dropped = shift >= from.width ? m.extract(m.cast(x, { kind: "bits", signed: from.signed, width: shift }), 0, shift) : m.extract(x, 0, shift);
      const tie = m.eq(dropped, m.constant(2 ** (shift - 1)));
      const odd = m.bit(rounded, 0);
      rounded = m.sub(rounded, m.and(tie, odd), rounded.type as BitsType);
    }
  }
  if (overflow === "wrap") return m.cast(rounded, type, hint);
  const { lo, hi } = rawRange(to);
  const have = rawRange({ kind: "fixed", frac: 0, width: (rounded.type as BitsType).width, signed: (rounded.type as BitsType).signed });
  let y = rounded;
  if (have.hi > hi) y = m.mux(m.gt(rounded, m.constant(hi)), m.constant(hi), y, rounded.type as BitsType);
  if (have.lo < lo) y = m.mux(m.lt(rounded, m.constant(lo)), m.cast(m.constant(lo), type), m.cast(y, type), type, hint);
  return m.cast(y, type, hint);
}
