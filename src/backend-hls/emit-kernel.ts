/**
 * RTL of a kernel: the step control, the operand registers, the weights in order of use, and one lane per output that
 * is computed side by side. Lanes that do the same are one module.
 *
 * Ports: per input channel `<c>_valid` and `<c>_data` in; per output channel `<c>_space` in; out `fire` (body operands are
 * taken), `emit` (epilogue operands are taken, results are reserved), `push` and `result`.
 */
import { Dense, allocate } from "../ir/attributes.js";
import type { Module, Op, Value } from "../ir/core.js";
import { source } from "../ir/eval/flow.js";
import { loopNest, type KernelSpec } from "../ir/flow/kernel.js";
import { RtlModuleBuilder, u, type Port } from "../ir/rtl/builder.js";
import type { FixedType } from "../ir/types.js";
import { accumulatorLoops, isFixedOperand, kernelLanes, laneFinder, sumType, weightTable, type LanePoint, type Pipeline, type WeightTable } from "./datapath.js";
import type { KernelNode } from "./design.js";
import { emitScalarBody, Staged, wires } from "./emit-body.js";
import { LoopCounters } from "./emit-counters.js";
import { readTable } from "./access.js";

/** Where the elements of one operand come from, lane by lane. */
interface OperandLanes {
  readonly elem: FixedType;
  readonly find: (...points: readonly LanePoint[]) => number;
  /** Elements of all lanes, lane 0 lowest, at stage 1 (body) or at the stage of the folded value (epilogue). */
  readonly packed: Value | undefined;
  /** For weights that never change: one raw integer per lane. */
  readonly constants: Float64Array | undefined;
}

export function emitKernel(module: Module, name: string, node: KernelNode): Op {
  const { spec, pipeline } = node;
  const ports: Port[] = [
    ...node.inputs.flatMap((c, i) => [
      { name: `in${i}_valid`, type: u(1) },
      { name: `in${i}_data`, type: u(c.plan.table.lanes * c.elem.width) },
    ]),
    ...node.outputs.map((_, i) => ({ name: `out${i}_space`, type: u(1) })),
  ];
  // Lane modules come before the kernel that instantiates them, so they are built on the side.
  const m = new RtlModuleBuilder(module, name, ports, { loc: node.op.loc });
  const nest = loopNest(spec);
  const fire = m.forward(u(1), "fire");
  const counters = new LoopCounters(m, nest.map((l) => ({ name: l.name, trips: l.trips })), fire, "step_");
  const emits = m.all(nest.flatMap((l, d) => (l.kind === "reduction" ? [counters.last(d)] : [])), "emits");
  const ready = (phase: "body" | "epilogue"): Value => m.all(node.inputs.flatMap((c, i) => (c.phase === phase ? [m.input(`in${i}_valid`)] : [])));
  const room = m.all(node.outputs.map((_, i) => m.input(`out${i}_space`)));
  const canEmit = m.and(ready("epilogue"), room);
  const fired = m.and(ready("body"), m.or(m.not(emits), canEmit), "fire");
  m.resolve(fire, fired);
  const emit = m.and(fired, emits, "emit");
  const push = m.delay(emit, pipeline.depth, { reset: 0, hint: "push" });

  const operands = spec.operands.map((_, i) => operandLanes(m, node, i, counters));
  const { reductions, inner } = accumulatorLoops(spec);
  const control = new Map<string, Staged>();
  if (reductions.length > 0) {
    const accStage = pipeline.accStage!;
    const firstOf = nest.flatMap((l, d) => (l.kind === "reduction" ? [m.eq(counters.index([d]).value, m.constant(0))] : []));
    control.set("first", new Staged(m, m.delay(m.all(firstOf, "first"), accStage, { hint: "first" }), accStage));
    control.set("accumulate", new Staged(m, m.delay(fired, accStage, { reset: 0, hint: "accumulate" }), accStage));
    if (inner.length > 0) {
      const index = counters.index(inner.map((l) => nest.indexOf(nest.find((n) => n.index === l.index)!)));
      control.set("slot", new Staged(m, m.delay(index.value, accStage, { hint: "slot" }), accStage));
    }
  }
  const lanes = kernelLanes(spec);
  const shared = new Map<string, Op>();
  const results = lanes.outputs.map((out, n) => {
    const lane = laneInputs(m, node, operands, out, lanes.terms);
    let laneModule = shared.get(lane.key);
    if (laneModule === undefined) {
      const laneName = shared.size === 0 && lane.constants.size === 0 ? `${name}_lane` : `${name}_lane_${n}`;
      laneModule = emitLane(module, laneName, node, pipeline, lane, lanes.terms.length, inner.reduce((k, l) => k * l.trips, 1));
      shared.set(lane.key, laneModule);
    }
    const inputs: Record<string, Value> = { ...lane.values };
    for (const [k, v] of control) inputs[k] = v.value;
    return m.instance(laneModule, `lane_${n}`, inputs)["result"]!;
  });
  return m.finish({ fire: fired, emit, push, result: m.concat(results.map((r) => m.cast(r, u(spec.resultElem.width))).reverse()) });
}

/** Brings an operand to its stage: channels through a register, changing weights from a memory, fixed ones as numbers. */
function operandLanes(m: RtlModuleBuilder, node: KernelNode, i: number, counters: LoopCounters): OperandLanes {
  const { spec, pipeline } = node;
  const operand = spec.operands[i]!;
  const target = operand.phase === "body" ? 1 : pipeline.folded.stage;
  if (source(operand.value).def?.name === "flow.constant") {
    const table = weightTable(spec, i);
    const find = laneFinder(table.lanes);
    if (isFixedOperand(spec, i)) return { elem: table.elem, find, packed: undefined, constants: table.rows[0]! };
    const positions = table.loops.map((l) => counters.loops.findIndex((c) => c.name === l.name));
    const address = m.delay(counters.index(positions).value, target - 1, { hint: `weights${i}_address` });
    return { elem: table.elem, find, packed: m.rom(address, weightWords(table), { readLatency: 1, hint: `weights${i}` }), constants: undefined };
  }
  const k = node.inputs.findIndex((c) => c.operand === i);
  const channel = node.inputs[k]!;
  const data = m.input(`in${k}_data`);
  // A memory's data come a cycle after the step; a stream's come with it and are registered here.
  const atOne = channel.plan.kind === "memory" ? data : m.reg(data, { hint: `in${k}_q` });
  return { elem: channel.elem, find: laneFinder(readTable(spec, i).lanePoints), packed: m.delay(atOne, target - 1), constants: undefined };
}

/** Weights as memory words, one per row of the table, lane 0 lowest. */
function weightWords(table: WeightTable): Dense {
  const lanes = table.lanes.length;
  const data = allocate(table.elem, table.rows.length * lanes);
  table.rows.forEach((row, r) => data.set(row, r * lanes));
  return new Dense([table.rows.length, lanes], table.elem, data);
}

interface LaneInputs {
  /** Lanes with equal keys are instances of one module. */
  readonly key: string;
  readonly values: Record<string, Value>;
  /** Per operand with fixed weights: the numbers of the terms of this lane, which become part of the module. */
  readonly constants: Map<number, readonly number[]>;
}

function laneInputs(m: RtlModuleBuilder, node: KernelNode, operands: readonly OperandLanes[], out: LanePoint, terms: readonly LanePoint[]): LaneInputs {
  const values: Record<string, Value> = {};
  const constants = new Map<number, readonly number[]>();
  node.spec.operands.forEach((o, i) => {
    const src = operands[i]!;
    const points = o.phase === "body" ? terms : [[]];
    const numbers = points.map((t) => src.find(out, t));
    const { width } = src.elem;
    if (src.constants !== undefined && o.phase === "body") {
      constants.set(i, numbers.map((n) => src.constants![n]!));
    } else if (src.constants !== undefined) {
      values[`x${i}`] = m.constant(BigInt.asUintN(width, BigInt(src.constants[numbers[0]!]!)), u(width));
    } else {
      values[`x${i}`] = gather(m, src.packed!, numbers, width);
    }
  });
  return { key: JSON.stringify([...constants]), values, constants };
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

/** One lane: terms, reduction tree, accumulator, epilogue. */
function emitLane(module: Module, name: string, node: KernelNode, pipeline: Pipeline, lane: LaneInputs, terms: number, accumulators: number): Op {
  const { spec, op } = node;
  const elemOf = (i: number): FixedType => (spec.operands[i]!.value.type as { elem: FixedType }).elem;
  const ports: Port[] = Object.keys(lane.values).map((n) => ({ name: n, type: u((spec.operands[Number(n.slice(1))]!.phase === "body" ? terms : 1) * elemOf(Number(n.slice(1))).width) }));
  if (pipeline.accStage !== undefined) {
    ports.push({ name: "first", type: u(1) }, { name: "accumulate", type: u(1) });
    if (accumulators > 1) ports.push({ name: "slot", type: u(Math.max(1, Math.ceil(Math.log2(accumulators)))) });
  }
  const m = new RtlModuleBuilder(module, name, ports, { loc: op.loc });
  const element = (i: number, n: number): Value => {
    const t = elemOf(i);
    return m.extract(m.input(`x${i}`), n * t.width, t.width, t.signed);
  };
  const bodyOperands = spec.operands.flatMap((o, i) => (o.phase === "body" ? [i] : []));
  const products = Array.from({ length: terms }, (_, n): Staged => {
    const args = bodyOperands.map((i) => {
      const numbers = lane.constants.get(i);
      return numbers === undefined ? new Staged(m, element(i, n), 1) : Staged.constant(m, m.constant(numbers[n]!, wires(elemOf(i))));
    });
    return emitScalarBody(m, op.regions[0]!, args, pipeline, terms === 1 ? "term" : `term${n}`);
  });
  let folded = reduceTree(m, spec, pipeline, products, op.regions[0]!.terminator.operand(0).type as FixedType);
  if (pipeline.accStage !== undefined) folded = accumulate(m, spec, pipeline, folded, accumulators);
  const epilogueArgs = spec.operands.flatMap((o, i) => (o.phase === "epilogue" ? [new Staged(m, element(i, 0), pipeline.folded.stage)] : []));
  const result = emitScalarBody(m, op.regions[1]!, [folded, ...epilogueArgs], pipeline, "out");
  return m.finish({ result: new Staged(m, m.cast(result.atStage(Math.max(result.stage, pipeline.depth - 1)), wires(spec.resultElem)), pipeline.depth - 1).atStage(pipeline.depth) });
}

/** Balanced tree over the terms: sums of exact widths, or extremes. */
function reduceTree(m: RtlModuleBuilder, spec: KernelSpec, pipeline: Pipeline, terms: readonly Staged[], termType: FixedType): Staged {
  let level = [...terms];
  let covered = 1;
  for (const stage of pipeline.treeStages) {
    covered *= 2;
    const type = wires(spec.combiner === "add" ? sumType(termType, covered, spec.accType) : spec.accType);
    const next: Staged[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const b = level[i + 1];
      if (b === undefined) {
        next.push(level[i]!);
        continue;
      }
      const [x, y] = [level[i]!.atStage(stage), b.atStage(stage)];
      const value = spec.combiner === "add" ? m.add(x, y, type) : spec.combiner === "max" ? m.max(x, y, type) : m.min(x, y, type);
      next.push(new Staged(m, value, stage));
    }
    level = next;
  }
  return level[0]!;
}

/** Running fold over sequential reduction loops: a register, or one word per parallel loop point that runs inside. */
function accumulate(m: RtlModuleBuilder, spec: KernelSpec, pipeline: Pipeline, term: Staged, accumulators: number): Staged {
  const stage = pipeline.accStage!;
  const type = wires(spec.accType);
  const x = m.cast(term.atStage(stage), type);
  const [first, enable] = [m.input("first"), m.input("accumulate")];
  const fold = (held: Value): Value => {
    const joined = spec.combiner === "add" ? m.add(held, x, type) : spec.combiner === "max" ? m.max(held, x, type) : m.min(held, x, type);
    return m.mux(first, x, joined, type, "folded");
  };
  if (accumulators === 1) {
    const acc = m.regDeclare(type, { hint: "accumulator" });
    m.connect(acc, fold(acc), enable);
    return new Staged(m, acc, stage + 1);
  }
  const slot = m.input("slot");
  const next = m.forward(type, "folded");
  const held = m.memory({ depth: accumulators, word: type, waddr: slot, wdata: next, wen: enable, raddr: [slot], readLatency: 0, style: "distributed", hint: "accumulators" })[0]!;
  const value = fold(held);
  m.resolve(next, value);
  return new Staged(m, m.reg(value, { hint: "accumulated" }), stage + 1);
}

