/**
 * RTL of a kernel: the step control, the operand registers, the weights in order of use, and one lane per output that
 * is computed side by side. Lanes that do the same are one module.
 *
 * Ports: per input channel `<c>_valid` and `<c>_data` in; per channel that must have room `<c>_space` in; out `fire`
 * (body operands are taken), `emit` (epilogue operands are taken, results are reserved), `push` and `result`.
 */
import { Dense, allocate } from "../../ir/attributes.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { loopNest, type KernelSpec } from "../../ir/flow/kernel.js";
import { RtlModuleBuilder, s, u, type Port } from "../../ir/rtl/builder.js";
import type { BitsType, FixedType } from "../../ir/types.js";
import type { PlannedKernel } from "../design/design.js";
import { type Channel, endBuffersOf, inLockstep } from "../design/network.js";
import type { Device } from "../device/devices.js";
import { romStorage } from "../device/storage.js";
import {
  accumulatorLoops,
  isConstantOperand,
  isFixedOperand,
  sumType,
  weightTable,
  type WeightTable,
  weightWords,
} from "../kernel/datapath.js";
import type { Pipeline } from "../kernel/pipeline.js";
import type { Packing, Unit } from "../kernel/products.js";
import { emitAdderGraph, emitScalarBody, Staged, wires } from "./emit-body.js";
import { LoopCounters } from "./emit-counters.js";
import { emitTrees } from "./emit-trees.js";

/** Where the elements of one operand come from, lane by lane. */
interface OperandLanes {
  /** The given lanes, first lowest, at the stage of the operands (body) or of the folded value (epilogue). */
  readonly lanes: (numbers: readonly number[]) => Value;
  /** The given pairs of lanes for packed products. */
  readonly pair: ((pairs: readonly (readonly [number, number])[]) => Value) | undefined;
}

/**
 * Channels that must have room before a kernel fires; where it is in lockstep, the first kernel of the chain has seen
 * to that.
 */
export function waitsFor(node: PlannedKernel): readonly Channel[] {
  return inLockstep(node) ? [] : endBuffersOf(node).map((s) => s.channel);
}

export function emitKernel(module: Module, name: string, node: PlannedKernel, device: Device): Op {
  const { spec, pipeline } = node;
  const ports: Port[] = [
    ...node.inputs.flatMap((c, i) => [
      { name: `in${i}_valid`, type: u(1) },
      { name: `in${i}_data`, type: u(c.plan.table.lanes * c.elem.width) },
    ]),
    ...waitsFor(node).map((_, i) => ({ name: `out${i}_space`, type: u(1) })),
  ];
  // Lane modules come before the kernel that instantiates them, so they are built on the side.
  const m = new RtlModuleBuilder(module, name, ports, { loc: node.op.loc });
  const nest = loopNest(spec);
  const fire = m.forward(u(1), "fire");
  const counters = new LoopCounters(
    m,
    nest.map((l) => ({ name: l.name, trips: l.trips })),
    fire,
    "step_",
  );
  const emits = m.all(
    nest.flatMap((l, d) => (l.kind === "reduction" ? [counters.last(d)] : [])),
    "emits",
  );
  const ready = (phase: "body" | "epilogue"): Value =>
    m.all(node.inputs.flatMap((c, i) => (c.phase === phase ? [m.input(`in${i}_valid`)] : [])));
  const room = m.all(waitsFor(node).map((_, i) => m.input(`out${i}_space`)));
  const canEmit = m.and(ready("epilogue"), room);
  const fired = m.and(ready("body"), m.or(m.not(emits), canEmit), "fire");
  m.resolve(fire, fired);
  const emit = m.and(fired, emits, "emit");
  const push = m.delay(emit, pipeline.depth, { reset: 0, hint: "push" });

  const operands = spec.operands.map((_, i) => operandLanes(m, device, node, i, counters));
  const { reductions, inner } = accumulatorLoops(spec);
  const control = new Map<string, Staged>();
  if (reductions.length > 0) {
    const accStage = pipeline.accStage!;
    const firstOf = nest.flatMap((l, d) =>
      l.kind === "reduction" ? [m.eq(counters.index([d]).value, m.constant(0))] : [],
    );
    control.set("first", new Staged(m, m.delay(m.all(firstOf, "first"), accStage, { hint: "first" }), accStage));
    control.set("accumulate", new Staged(m, m.delay(fired, accStage, { reset: 0, hint: "accumulate" }), accStage));
    if (inner.length > 0) {
      const index = counters.index(inner.map((l) => nest.indexOf(nest.find((n) => n.index === l.index)!)));
      control.set("slot", new Staged(m, m.delay(index.value, accStage, { hint: "slot" }), accStage));
    }
  }
  const shared = new Map<string, Op>();
  const results: Value[] = [];
  node.products.units.forEach((unit, n) => {
    const inputs = unitInputs(node, operands, unit);
    let unitModule = shared.get(unit.key);
    if (unitModule === undefined) {
      const accumulators = inner.reduce((k, l) => k * l.trips, 1);
      unitModule = emitUnit(
        module,
        device,
        shared.size === 0 ? `${name}_lane` : `${name}_lane_${n}`,
        node,
        unit,
        inputs,
        accumulators,
      );
      shared.set(unit.key, unitModule);
    }
    const values: Record<string, Value> = { ...inputs };
    for (const [k, v] of control) values[k] = v.value;
    const out = m.instance(unitModule, `lane_${n}`, values);
    unit.outputs.forEach((o, k) => (results[o] = out[resultName(unit, k)]!));
  });
  return m.finish({
    fire: fired,
    emit,
    push,
    result: m.concat(results.map((r) => m.cast(r, u(spec.resultElem.width))).reverse()),
  });
}

/**
 * Brings an operand to its stage: channels through a register, changing weights from a memory, fixed ones as numbers.
 */
function operandLanes(
  m: RtlModuleBuilder,
  device: Device,
  node: PlannedKernel,
  i: number,
  counters: LoopCounters,
): OperandLanes {
  const { spec, pipeline, products } = node;
  const operand = spec.operands[i]!;
  const pairs =
    products.products.kind === "packed" && products.products.packed === i ? new PairedLanes(node) : undefined;
  const target = operand.phase === "body" ? pipeline.operandStage : pipeline.folded.stage;
  if (isConstantOperand(spec, i)) {
    const table = weightTable(spec, i);
    if (isFixedOperand(spec, i)) return { ...numbersOf(m, table), pair: undefined };
    const positions = table.loops.map((l) => counters.loops.findIndex((c) => c.name === l.name));
    const address = m.delay(counters.index(positions).value, target - 1, { hint: `weights${i}_address` });
    const rom = (values: Dense, hint: string): Value =>
      m.rom(address, values, { readLatency: 1, style: romStorage(device, values, true).style, hint });
    const width = table.elem.width;
    let single: Value | undefined;
    let paired: Value | undefined;
    return {
      lanes: (numbers) => gather(m, (single ??= rom(weightWords(table), `weights${i}`)), numbers, width),
      pair:
        pairs &&
        ((list) =>
          gather(
            m,
            (paired ??= rom(pairs.words(table), `weight_pairs${i}`)),
            list.map((p) => pairs.position(p)),
            pairs.width,
          )),
    };
  }
  const k = node.inputs.findIndex((c) => c.operand === i);
  const channel = node.inputs[k]!;
  const data = m.input(`in${k}_data`);
  // A memory's data come a cycle after the step; a stream's come with it and are registered here, unless they come
  // straight from another kernel or from a port.
  const first = channel.direct ? 0 : 1;
  const atFirst = channel.direct || channel.plan.kind === "memory" ? data : m.reg(data, { hint: `in${k}_q` });
  const { width } = channel.elem;
  let packed: Value | undefined;
  let whole: Value | undefined;
  return {
    lanes: (numbers) => gather(m, (whole ??= m.delay(atFirst, target - first)), numbers, width),
    pair:
      pairs &&
      ((list) =>
        gather(
          m,
          (packed ??= pairs.join(m, atFirst, channel.elem, target)),
          list.map((p) => pairs.position(p)),
          pairs.width,
        )),
  };
}

/** Weights that never change, outside of adder graphs: numbers at the ports of the units. */
function numbersOf(m: RtlModuleBuilder, table: WeightTable): Pick<OperandLanes, "lanes"> {
  const { width } = table.elem;
  return {
    lanes: (numbers) =>
      m.concat(numbers.map((n) => m.constant(BigInt.asUintN(width, BigInt(table.rows[0]![n]!)), u(width))).reverse()),
  };
}

/**
 * The pairs of lanes that are multiplied in one block. A pair is stored as the upper number, less one where the lower
 * is negative, above the lower number: what `b1 * 2^s + b2` needs apart from the sign extension of b2.
 */
class PairedLanes {
  private readonly pairs: (readonly [number, number])[] = [];
  private readonly positions = new Map<string, number>();
  private readonly elem: FixedType;
  /** Bits of a pair, and of its upper number. */
  readonly width: number;
  private readonly upper: number;

  constructor(node: PlannedKernel) {
    const { products, units } = node.products;
    if (products.kind !== "packed") throw new Error("not packed");
    for (const unit of units) {
      if (unit.outputs.length < 2) continue;
      for (const pair of unitPairs(unit, products)) {
        if (this.positions.has(pair.join())) continue;
        this.positions.set(pair.join(), this.pairs.length);
        this.pairs.push(pair);
      }
    }
    this.elem = (node.spec.operands[products.packed]!.value.type as { elem: FixedType }).elem;
    this.upper = upperBits(this.elem);
    this.width = this.upper + this.elem.width;
  }
  position(pair: readonly [number, number]): number {
    return this.positions.get(pair.join())!;
  }
  words(table: WeightTable): Dense {
    const elem: FixedType = { kind: "fixed", signed: this.elem.signed, width: this.width, frac: 0 };
    const data = allocate(elem, table.rows.length * this.pairs.length);
    const below = 2 ** this.elem.width;
    table.rows.forEach((row, r) =>
      this.pairs.forEach(([low, high], p) => {
        const b = row[low]!;
        data[r * this.pairs.length + p] = (row[high]! - (b < 0 ? 1 : 0)) * below + (b < 0 ? b + below : b);
      }),
    );
    return new Dense([table.rows.length, this.pairs.length], elem, data);
  }
  /** Pairs of channel data of stage 1, at stage `target`. */
  join(m: RtlModuleBuilder, data: Value, elem: FixedType, target: number): Value {
    const lane = (n: number): Value => m.extract(data, n * elem.width, elem.width, elem.signed);
    const words = this.pairs.map(([low, high]) => {
      const b = lane(low);
      const top = elem.signed ? m.sub(lane(high), m.bit(b, elem.width - 1), s(this.upper)) : lane(high);
      return m.concat([top, b]);
    });
    return m.delay(m.concat(words.reverse()), target - 1, { hint: "pairs" });
  }
}

function upperBits(elem: FixedType): number {
  return elem.width + (elem.signed ? 1 : 0);
}

/** Lanes of the packed operand that the two outputs of a unit multiply, lower first, term by term. */
function unitPairs(unit: Unit, packing: Packing): (readonly [number, number])[] {
  const reads = unit.reads[packing.packed]!;
  const [low, high] = unit.index[packing.packed]!;
  return low!.map((n, t) => [reads[n]!, reads[high![t]!]!] as const);
}

/** Lanes `numbers` of a bundle, first lowest; runs of neighbours are taken in one piece. */
function gather(m: RtlModuleBuilder, packed: Value, numbers: readonly number[], width: number): Value {
  const pieces: Value[] = [];
  for (let i = 0; i < numbers.length; ) {
    let n = 1;
    while (i + n < numbers.length && numbers[i + n] === numbers[i]! + n) n++;
    pieces.push(m.extract(packed, numbers[i]! * width, n * width));
    i += n;
  }
  return m.concat(pieces.reverse());
}

/** Values at the ports of a unit: `x<i>` the lanes of operand i, `pairs` those of packed products. */
function unitInputs(node: PlannedKernel, operands: readonly OperandLanes[], unit: Unit): Record<string, Value> {
  const { products } = node.products;
  const inputs: Record<string, Value> = {};
  node.spec.operands.forEach((_, i) => {
    if (products.kind === "packed" && products.packed === i && unit.outputs.length === 2)
      inputs["pairs"] = operands[i]!.pair!(unitPairs(unit, products));
    else if (unit.reads[i]!.length > 0) inputs[`x${i}`] = operands[i]!.lanes(unit.reads[i]!);
  });
  return inputs;
}

function resultName(unit: Unit, k: number): string {
  return unit.outputs.length === 1 ? "result" : `result${k}`;
}

/** A sum under way: its value, and a carry of weight one that the next addition takes up. */
interface Partial {
  readonly value: Staged;
  readonly carry: Staged | undefined;
}

/** One unit: products and their sums, then per output the accumulator and the epilogue. */
function emitUnit(
  module: Module,
  device: Device,
  name: string,
  node: PlannedKernel,
  unit: Unit,
  inputs: Readonly<Record<string, Value>>,
  accumulators: number,
): Op {
  const { spec, op, pipeline } = node;
  const elemOf = (i: number): FixedType => (spec.operands[i]!.value.type as { elem: FixedType }).elem;
  const ports: Port[] = Object.entries(inputs).map(([n, v]) => ({ name: n, type: u((v.type as BitsType).width) }));
  if (pipeline.accStage !== undefined) {
    ports.push({ name: "first", type: u(1) }, { name: "accumulate", type: u(1) });
    if (accumulators > 1) ports.push({ name: "slot", type: u(Math.max(1, Math.ceil(Math.log2(accumulators)))) });
  }
  const m = new RtlModuleBuilder(module, name, ports, { loc: op.loc });
  const element = (i: number, n: number): Value => {
    const t = elemOf(i);
    return m.extract(m.input(`x${i}`), n * t.width, t.width, t.signed);
  };
  const sums = unitSums(module, device, m, node, unit, element);
  const results = sums.map((sum, k): [string, Value] => {
    const hint = sums.length === 1 ? "out" : `out${k}`;
    const folded =
      pipeline.accStage === undefined
        ? settle(m, spec, pipeline, sum)
        : accumulate(m, spec, pipeline, sum, accumulators);
    const epilogueArgs = spec.operands.flatMap((o, i) => {
      if (o.phase !== "epilogue") return [];
      // An operand that the graphs have added is not read: any number does.
      if (unit.reads[i]!.length === 0 && !unit.constants.has(i))
        return [Staged.constant(m, m.constant(0, wires(elemOf(i))))];
      const built = unit.constants.get(i);
      if (built !== undefined) return [Staged.constant(m, m.constant(built[k]![0]!, wires(elemOf(i))))];
      // Numbers at a port wait for nothing.
      return [new Staged(m, element(i, unit.index[i]![k]![0]!), pipeline.folded.stage, isFixedOperand(spec, i))];
    });
    const negated = pipeline.absorbsSign && unit.graph?.outputs[k]?.negative === true;
    const result = emitScalarBody(
      module,
      m,
      op.regions[1]!,
      [folded, ...epilogueArgs],
      pipeline,
      hint,
      negated,
      node.products.added,
    );
    const end = Math.max(result.stage, pipeline.depth - 1);
    const last = new Staged(m, m.cast(result.atStage(end), wires(spec.resultElem)), end);
    return [resultName(unit, k), last.atStage(pipeline.depth)];
  });
  return m.finish(Object.fromEntries(results));
}

/** The sums over the reduction lanes, one per output of the unit. */
function unitSums(
  module: Module,
  device: Device,
  m: RtlModuleBuilder,
  node: PlannedKernel,
  unit: Unit,
  element: (operand: number, lane: number) => Value,
): Partial[] {
  const { spec, op, pipeline } = node;
  const { products, added, lanes } = node.products;
  const termType = op.regions[0]!.terminator.operand(0).type as FixedType;
  if (products.kind === "adders") {
    const data = unit.reads[products.varying]!.map(
      (_, n) => new Staged(m, element(products.varying, n), pipeline.operandStage),
    );
    return emitAdderGraph(
      m,
      unit.graph!,
      data,
      pipeline.graphStages.get(unit.graph!)!,
      wires((added?.result.type as FixedType | undefined) ?? spec.accType),
      pipeline.absorbsSign,
    ).map((value) => ({ value, carry: undefined }));
  }
  if (products.kind === "trees") {
    const features = unit.reads[0]!.map((_, n) => new Staged(m, element(0, n), pipeline.operandStage));
    const numbers = unit.index[1]?.map((o) =>
      o.map((n) => ({ lane: unit.reads[1]![n]!, value: new Staged(m, element(1, n), pipeline.operandStage) })),
    );
    return emitTrees(m, device, node, unit, features, numbers ?? []).map((terms) =>
      reduceTree(
        m,
        spec,
        pipeline,
        terms.map((value) => ({ value, carry: undefined })),
        termType,
      ),
    );
  }
  if (products.kind === "packed" && unit.outputs.length === 2) {
    const terms = lanes.terms.map((_, t) =>
      packedProduct(m, node, products, element(products.shared, unit.index[products.shared]![0]![t]!), t),
    );
    return [0, 1].map((k) =>
      reduceTree(
        m,
        spec,
        pipeline,
        terms.map((pair) => pair[k]!),
        termType,
      ),
    );
  }
  const body = spec.operands.flatMap((o, i) => (o.phase === "body" ? [i] : []));
  return unit.outputs.map((_, k) => {
    const terms = lanes.terms.map((_, t): Partial => {
      const args = body.map((i) => {
        const fixed = unit.constants.get(i);
        return fixed === undefined
          ? new Staged(m, element(i, unit.index[i]![k]![t]!), pipeline.operandStage)
          : Staged.constant(
              m,
              m.constant(fixed[k]![t]!, wires((spec.operands[i]!.value.type as { elem: FixedType }).elem)),
            );
      });
      return {
        value: emitScalarBody(
          module,
          m,
          op.regions[0]!,
          args,
          pipeline,
          lanes.terms.length === 1 ? "term" : `term${t}`,
        ),
        carry: undefined,
      };
    });
    return reduceTree(m, spec, pipeline, terms, termType);
  });
}

/**
 * Two products with a common factor: `(b1 * 2^s + b2) * a`, taken apart. A negative lower product has borrowed one from
 * the upper.
 */
function packedProduct(
  m: RtlModuleBuilder,
  node: PlannedKernel,
  packing: Packing,
  a: Value,
  t: number,
): readonly [Partial, Partial] {
  const { pipeline, op, spec } = node;
  const b = (spec.operands[packing.packed]!.value.type as { elem: FixedType }).elem;
  const upper = upperBits(b);
  const at = t * (upper + b.width);
  const low = m.cast(m.extract(m.input("pairs"), at, b.width, b.signed), {
    kind: "bits",
    signed: b.signed,
    width: packing.shift,
  });
  const packed = m.extract(
    m.concat([m.extract(m.input("pairs"), at + b.width, upper), low]),
    0,
    packing.shift + upper,
    b.signed,
  );
  const stage = pipeline.stageOf.get(op.regions[0]!.ops[0]!)!;
  const args = [
    new Staged(m, packed, pipeline.operandStage).atStage(stage),
    new Staged(m, a, pipeline.operandStage).atStage(stage),
  ] as const;
  const product = new Staged(m, m.mul(args[0], args[1], undefined, `product${t}`), stage);
  // The product goes through its register as a whole, so that tools keep it in the block.
  const done = product.atStage(stage + 1);
  const { width, signed } = done.type as BitsType;
  const staged = (v: Value): Staged => new Staged(m, v, stage + 1);
  return [
    { value: staged(m.extract(done, 0, packing.shift, packing.borrows)), carry: undefined },
    {
      value: staged(m.extract(done, packing.shift, width - packing.shift, signed)),
      carry: packing.borrows ? staged(m.bit(done, packing.shift - 1)) : undefined,
    },
  ];
}

/** a + b + carry in one carry chain: the carry enters below the lowest bit. */
function addWithCarry(m: RtlModuleBuilder, a: Value, b: Value, carry: Value | undefined, type: BitsType): Value {
  if (carry === undefined) return m.add(a, b, type);
  const extended = (v: Value, low: Value): Value => {
    const t = v.type as BitsType;
    return m.extract(m.concat([v, low]), 0, t.width + 1, t.signed);
  };
  return m.shr(m.add(extended(a, m.constant(1, u(1))), extended(b, carry)), 1, type);
}

/** Balanced tree over the terms: sums of exact widths, or extremes. Every addition takes up one carry. */
function reduceTree(
  m: RtlModuleBuilder,
  spec: KernelSpec,
  pipeline: Pipeline,
  terms: readonly Partial[],
  termType: FixedType,
): Partial {
  let level = [...terms];
  let covered = 1;
  for (const stage of pipeline.treeStages) {
    covered *= 2;
    const type = wires(spec.combiner === "add" ? sumType(termType, covered, spec.accType) : spec.accType);
    const next: Partial[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [p, q] = [level[i]!, level[i + 1]];
      if (q === undefined) {
        next.push(p);
        continue;
      }
      const [x, y] = [p.value.atStage(stage), q.value.atStage(stage)];
      if (spec.combiner === "add")
        next.push({
          value: new Staged(m, addWithCarry(m, x, y, p.carry?.atStage(stage), type), stage),
          carry: q.carry,
        });
      else
        next.push({
          value: new Staged(m, spec.combiner === "max" ? m.max(x, y, type) : m.min(x, y, type), stage),
          carry: undefined,
        });
    }
    level = next;
  }
  return level[0]!;
}

/** The folded value of a kernel without accumulator: takes up the last carry. */
function settle(m: RtlModuleBuilder, spec: KernelSpec, pipeline: Pipeline, sum: Partial): Staged {
  if (sum.carry === undefined) return sum.value;
  const stage = pipeline.carryStage!;
  return new Staged(m, m.add(sum.value.atStage(stage), sum.carry.atStage(stage), wires(spec.accType)), stage);
}

/** Running fold over sequential reduction loops: a register, or one word per parallel loop point that runs inside. */
function accumulate(
  m: RtlModuleBuilder,
  spec: KernelSpec,
  pipeline: Pipeline,
  term: Partial,
  accumulators: number,
): Staged {
  const stage = pipeline.accStage!;
  const type = wires(spec.accType);
  const x = m.cast(term.value.atStage(stage), type);
  const [first, enable] = [m.input("first"), m.input("accumulate")];
  const fold = (held: Value): Value => {
    if (spec.combiner === "add")
      return addWithCarry(m, m.mux(first, m.constant(0, type), held, type), x, term.carry?.atStage(stage), type);
    return m.mux(first, x, spec.combiner === "max" ? m.max(held, x, type) : m.min(held, x, type), type, "folded");
  };
  if (accumulators === 1) {
    const acc = m.regDeclare(type, { hint: "accumulator" });
    m.connect(acc, fold(acc), enable);
    return new Staged(m, acc, stage + 1);
  }
  const slot = m.input("slot");
  const next = m.forward(type, "folded");
  const held = m.memory({
    depth: accumulators,
    word: type,
    waddr: slot,
    wdata: next,
    wen: enable,
    raddr: [slot],
    readLatency: 0,
    style: "distributed",
    hint: "accumulators",
  })[0]!;
  const value = fold(held);
  m.resolve(next, value);
  return new Staged(m, m.reg(value, { hint: "accumulated" }), stage + 1);
}
