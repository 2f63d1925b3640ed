/**
 * Pipeline of a kernel: which stage of the datapath every operation of its body, reduction tree, accumulator and
 * epilogue takes, at the clock asked for. Stage s of a step that fires in cycle t is cycle t + s. Stage 0 selects the
 * operands and ends in their registers; all lanes have the same pipeline.
 */
import { elementAt, firstOf, lastOf, lookUp, present } from "../../ir/present.js";
import type { Block, Op, Value } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import type { KernelSpec } from "../../ir/flow/kernel.js";
import { bodyOf, isFx } from "../../ir/fx/index.js";
import type { FixedType } from "../../ir/types.js";
import type { Device } from "../device/devices.js";
import type { MultiplierCell } from "../device/family.js";
import { multiplierCell } from "../device/multiplier-cell.js";
import { addDelay, chooseDelay, kindOf, opDelay } from "../device/operators.js";
import { romStorage, type Storage } from "../device/storage.js";
import { type AdderGraph, bitsOfInterval, type GraphOutput } from "./adder-graph.js";
import { productByConstant } from "./constant-product.js";
import { accumulatorLoops, isConstantOperand, opIsMultiplier, sumType } from "./datapath.js";
import { compareLevels, ensembleOf, hasFixedTrees, mostLeaves, numberBits, tableLevels, tallest } from "./decisions.js";
import type { ProductPlan } from "./products.js";
import { type Slot, StageClock } from "./stage-clock.js";

/** Tables of at least this many entries are read through a register, so that block RAM can hold them. */
const REGISTERED_TABLE = 512;

export function isRegisteredTable(op: Op): boolean {
  return denseAttr(op, "values").data.length >= REGISTERED_TABLE;
}

/** Stage of each sum of an adder graph, and of each output: a later one where it must still be negated. */
export interface GraphStages {
  readonly nodes: readonly number[];
  readonly outputs: readonly number[];
}

/** A product of operand `varying` by a constant: `graph` has one input and one output. */
export interface ConstantProduct {
  readonly varying: number;
  readonly graph: AdderGraph;
  readonly stages: GraphStages;
}

export interface Pipeline {
  /** Stage in which each operation of body and epilogue is computed. */
  readonly stageOf: ReadonlyMap<Op, number>;
  /** Multiplications by a cell with registers inside, which end as many stages later. */
  readonly cellOf: ReadonlyMap<Op, MultiplierCell>;
  /** Products by constants, which are graphs of shifted additions. */
  readonly constantProducts: ReadonlyMap<Op, ConstantProduct>;
  /** Requantizations with a register between rounding and limits: the result is there a stage later. */
  readonly splitRequantize: ReadonlySet<Op>;
  /** Where tables are. */
  readonly styleOf: ReadonlyMap<Op, Storage["style"]>;
  /** When the body's result, a tree level's sums, the folded value, and the result are there. */
  readonly term: Slot;
  readonly treeStages: readonly number[];
  readonly graphStages: ReadonlyMap<AdderGraph, GraphStages>;
  /** Of an ensemble of trees. */
  readonly decisions: DecisionStages | undefined;
  /** Whether the epilogue's first addition subtracts what an adder graph gives with the wrong sign. */
  readonly absorbsSign: boolean;
  /**
   * Stage in which the operands of the body are there: 1, behind their registers; 0 straight from another kernel; later
   * for packed products.
   */
  readonly operandStage: number;
  /** Stage in which the upper sums of packed products take up their last carry, where no accumulator does. */
  readonly carryStage: number | undefined;
  /** Stage of the accumulator; undefined without sequential reduction loops. */
  readonly accStage: number | undefined;
  /** Stage at whose start, or in which, the epilogue sees the folded value. */
  readonly folded: Slot;
  /** Cycles from a firing step to the push of its result. */
  readonly depth: number;
  /** Nanoseconds into that cycle at which the result is there, where no register stands behind it. */
  readonly resultNs: number;
}

/** What is around a kernel, as far as its pipeline needs to know. */
export interface Surroundings {
  /** Whether operand i comes out of a block RAM, whose data take a part of the cycle, rather than out of registers. */
  readonly fromBlockRam: (operand: number) => boolean;
  /**
   * Where the body's operand comes straight from another kernel or a port: nanoseconds into the firing cycle at which
   * it is there.
   */
  readonly operandNs?: number;
  /**
   * Where the result goes on as it is, without a register behind it: nanoseconds that at least are left for what takes
   * it.
   */
  readonly onwardNs?: number;
}

export function planPipeline(
  op: Op,
  spec: KernelSpec,
  plan: ProductPlan,
  device: Device,
  clockMhz: number,
  { fromBlockRam, operandNs, onwardNs }: Surroundings,
): Pipeline {
  const { products } = plan;
  const { base } = device.timing;
  const stageOf = new Map<Op, number>();
  const cellOf = new Map<Op, MultiplierCell>();
  const constantProducts = new Map<Op, ConstantProduct>();
  const splitRequantize = new Set<Op>();
  const styleOf = new Map<Op, Storage["style"]>();
  const slots = new Map<Value, Slot>();
  const start: Slot = operandNs === undefined ? { stage: 1, ns: base } : { stage: 0, ns: Math.max(base, operandNs) };
  const clock = new StageClock(device, clockMhz, start.stage);
  const { period } = clock;
  const memory: Slot = { stage: 1, ns: Math.max(base, device.timing.memory) };
  const fromMemory = new Set<Value>();
  /** Binds the block arguments of a phase to operands that are there in `stage`, and `folded` in front of them. */
  const bind = (phase: "body" | "epilogue", stage: number, folded?: Slot): void => {
    const args = elementAt(op.regions, phase === "body" ? 0 : 1).args;
    if (folded !== undefined) slots.set(firstOf(args), folded);
    const operands = spec.operands.flatMap((o, i) => (o.phase === phase ? [i] : []));
    operands.forEach((i, k) => {
      const v = elementAt(args, k + (folded === undefined ? 0 : 1));
      const constant = isConstantOperand(spec, i);
      // Tables of weights are read in the cycle before; what else waits, waits in registers.
      const inMemory = fromBlockRam(i) && (constant || stage === memory.stage);
      if (inMemory) fromMemory.add(v);
      slots.set(
        v,
        inMemory ? { stage, ns: memory.ns } : !constant && stage === start.stage ? start : { stage, ns: base },
      );
    });
  };
  const run = (block: Block): Slot => {
    const { ops, result } = bodyOf(block);
    for (const o of ops) {
      const kind = kindOf(o);
      if (o === plan.added) {
        // The graphs have done it.
        slots.set(o.result, lookUp(slots, firstOf(block.args), "slots"));
        continue;
      }
      if (kind === "constant") {
        slots.set(o.result, { stage: 0, ns: 0 });
        continue;
      }
      if (kind === "product" && !opIsMultiplier(o)) {
        const { varying, graph } = productByConstant(o);
        const input = lookUp(slots, o.operand(varying), "slots");
        const { stages, outputs } = placeGraph(clock, graph, [input], spec.accType.width);
        constantProducts.set(o, { varying, graph, stages });
        stageOf.set(o, stages.nodes[0] ?? input.stage);
        slots.set(o.result, firstOf(outputs));
        continue;
      }
      if (kind === "requantize") {
        const { slot, rounded } = clock.requantize(o, lookUp(slots, o.operand(0), "slots"));
        stageOf.set(o, rounded ?? slot.stage);
        if (rounded !== undefined) splitRequantize.add(o);
        slots.set(o.result, slot);
        continue;
      }
      const multiplies = kind === "product";
      // Multipliers sit between registers of their own, which tools fold into the block.
      const inputs = o.operands.map((v) => lookUp(slots, v, "slots"));
      let slot = clock.operation(o, inputs);
      const cell = multiplies
        ? multiplierCell(device, o.operand(0).type as FixedType, o.operand(1).type as FixedType)
        : undefined;
      if (multiplies) {
        // A block RAM's data may do without a register in front, where the block begins with one or there is time for
        // both.
        const direct = device.timing.memory + (cell === undefined ? device.timing.multiply - base : 0) <= period;
        const ready = (v: Value): boolean =>
          (lookUp(slots, v, "slots").ns <= base && lookUp(slots, v, "slots").stage > 0) ||
          (fromMemory.has(v) && direct);
        const stage = Math.max(
          start.stage,
          ...o.operands.map((v) => lookUp(slots, v, "slots").stage + (ready(v) ? 0 : 1)),
        );
        slot = { stage, ns: period };
      }
      stageOf.set(o, slot.stage);
      if (cell !== undefined) {
        cellOf.set(o, cell);
        slot = { stage: slot.stage + cell.latency, ns: Math.max(base, cell.exit) };
      }
      if (kind === "table") {
        const registered = isRegisteredTable(o);
        const { style } = romStorage(device, denseAttr(o, "values"), registered);
        styleOf.set(o, style);
        const [index] = inputs;
        if (
          style !== "block" &&
          (o.operand(0).type as FixedType).width > device.family.lutInputs &&
          slot.stage === present(index, "index").stage &&
          present(index, "index").ns > base
        ) {
          // Synthesis would map a table in logic together with what computes its index, for depth, in many times the
          // area.
          slot = clock.place([{ stage: present(index, "index").stage + 1, ns: base }], opDelay(device, o));
          stageOf.set(o, slot.stage);
        }
        if (registered) slot = { stage: slot.stage + 1, ns: base };
      }
      slots.set(o.result, slot);
    }
    return lookUp(slots, result, "slots");
  };
  const { lanes } = plan;
  const elem = (i: number): FixedType => (elementAt(spec.operands, i).value.type as { elem: FixedType }).elem;
  const termType = op.body.terminator.operand(0).type as FixedType;
  const graphStages = new Map<AdderGraph, GraphStages>();
  const treeStages: number[] = [];
  const absorbsSign =
    products.kind === "adders" &&
    accumulatorLoops(spec).reductions.length === 0 &&
    plan.added === undefined &&
    isAddedOnce(firstOf(elementAt(op.regions, 1).args));
  let term = start;
  let operandStage = start.stage;
  let decisions: DecisionStages | undefined;
  if (products.kind === "trees") {
    bind("body", operandStage);
    ({ stages: decisions, term } = planDecisions(
      spec,
      device,
      clock,
      op.body.args.map((a) => lookUp(slots, a, "slots")),
    ));
  } else if (products.kind === "adders") {
    const negates = (o: GraphOutput): boolean => o.negative && !absorbsSign;
    const varying = fromBlockRam(products.varying) ? memory : start;
    for (const { graph } of plan.units) {
      if (graph === undefined || graphStages.has(graph)) continue;
      const data = graph.inputs.map(
        (_, i): Slot => (i < graph.inputs.length - graph.constants ? varying : { stage: start.stage, ns: 0 }),
      );
      const { stages, outputs } = placeGraph(clock, graph, data, spec.accType.width, negates);
      graphStages.set(graph, stages);
      term = outputs.reduce((latest, s) => (later(s, latest) ? s : latest), term);
    }
  } else {
    if (products.kind === "packed") {
      // A borrow is taken from the upper number before the multiplier's register; weights have it from the start.
      const subtracts = products.borrows && !isConstantOperand(spec, products.packed);
      if (subtracts)
        operandStage =
          clock.place([fromBlockRam(products.packed) ? memory : start], addDelay(device, elem(products.packed).width))
            .stage + 1;
    }
    bind("body", operandStage);
    term = run(op.body);
  }
  let slot = term;
  if (products.kind !== "adders") {
    // Upper sums of packed products take up a carry with each addition, in one more bit.
    const carry = products.kind === "packed" ? 1 : 0;
    for (let n = lanes.terms.length, covered = 1; n > 1; n = Math.ceil(n / 2)) {
      covered *= 2;
      const width =
        spec.combiner === "add" ? sumType(termType, covered, spec.accType).width + carry : spec.accType.width;
      slot = spec.combiner === "add" ? clock.sum([slot], width) : clock.place([slot], chooseDelay(device, width));
      treeStages.push(slot.stage);
    }
  }
  const { reductions } = accumulatorLoops(spec);
  let accStage: number | undefined;
  if (reductions.length > 0) {
    const { width } = spec.accType;
    // The accumulator chooses between its value and a start.
    const { lut } = device.timing;
    slot =
      spec.combiner === "add" ? clock.sum([slot], width, lut) : clock.place([slot], lut + chooseDelay(device, width));
    accStage = slot.stage;
    slot = { stage: slot.stage + 1, ns: base };
  }
  let carryStage: number | undefined;
  if (reductions.length === 0 && products.kind === "packed" && products.borrows) {
    slot = clock.sum([slot], spec.accType.width);
    carryStage = slot.stage;
  }
  const folded = slot;
  // The other epilogue operands are delayed to arrive with the folded value.
  bind("epilogue", folded.stage, folded);
  const result = run(elementAt(op.regions, 1));
  const last = Math.max(start.stage, result.stage);
  const end =
    onwardNs !== undefined && (result.stage < last || result.ns + onwardNs <= period)
      ? { depth: last, resultNs: result.stage < last ? base : result.ns }
      : { depth: last + 1, resultNs: base };
  return {
    stageOf,
    cellOf,
    constantProducts,
    splitRequantize,
    styleOf,
    term,
    treeStages,
    graphStages,
    decisions,
    absorbsSign,
    operandStage,
    carryStage,
    accStage,
    folded,
    ...end,
  };
}

/** Stages of an ensemble's parts. */
export interface DecisionStages {
  /** Fixed trees: comparisons, choices by height of their node, values of leaves. */
  readonly compare: number;
  readonly choices: readonly number[];
  /** Walked trees: per level the stages in which a feature is selected, compared, and the next address known. */
  readonly levels: readonly { readonly select: number; readonly compare: number; readonly next: number }[];
  readonly leaf: number;
}

function planDecisions(
  spec: KernelSpec,
  device: Device,
  clock: StageClock,
  operands: readonly Slot[],
): { stages: DecisionStages; term: Slot } {
  const { lut, base, memory } = device.timing;
  const e = ensembleOf(spec);
  const features = (firstOf(spec.operands).value.type as { elem: FixedType }).elem;
  const depth = tallest(e);
  const x = firstOf(operands);
  if (hasFixedTrees(spec)) {
    const compare = clock.place([x], compareLevels(device, features.width) * lut);
    const choices = [compare.stage, compare.stage];
    let slot = compare;
    // The choice between two leaves is a comparison by itself.
    for (let h = 2; h <= depth; h++) choices.push((slot = clock.place([slot], lut)).stage);
    const bits = numberBits(mostLeaves(e));
    const leaf =
      depth === 0 ? { stage: x.stage, ns: base } : clock.place([slot], bits <= 1 ? 0 : tableLevels(device, bits) * lut);
    return { stages: { compare: compare.stage, choices, levels: [], leaf: leaf.stage }, term: leaf };
  }
  const count = lastOf(firstOf(spec.operands).view.shape);
  // Data of a table come a cycle after the address, out of a block RAM late in it.
  const data = (address: Slot): Slot => ({ stage: address.stage + 1, ns: Math.max(base, memory) });
  let address: Slot = clock.place(operands.length > 1 ? [elementAt(operands, 1), { ...x, ns: base }] : [x], 0);
  const levels = [];
  for (let l = 0; l < depth; l++) {
    const select = clock.place(
      [data(address)],
      Math.max(1, Math.ceil(Math.log(count) / Math.log(device.family.lutInputs === 6 ? 4 : 2))) * lut,
    );
    const compare = clock.place([select], addDelay(device, features.width) + device.timing.select);
    address = clock.place([compare], 2 * lut);
    levels.push({ select: select.stage, compare: compare.stage, next: address.stage });
  }
  const leaf = data(address);
  return { stages: { compare: 0, choices: [], levels, leaf: address.stage }, term: leaf };
}

/**
 * Places every sum of a graph as early as its summands are there; outputs that `negates` names take one more, of
 * `width` bits.
 */
function placeGraph(
  clock: StageClock,
  graph: AdderGraph,
  inputs: readonly Slot[],
  width: number,
  negates: (o: GraphOutput) => boolean = (o) => o.negative,
): { stages: GraphStages; outputs: readonly Slot[] } {
  const slots = [...inputs];
  for (const n of graph.nodes)
    slots.push(clock.sum([elementAt(slots, n.a), elementAt(slots, n.b)], bitsOfInterval(n.range)));
  const outputs = graph.outputs.map((o) =>
    o.node < 0 ? firstOf(inputs) : negates(o) ? clock.sum([elementAt(slots, o.node)], width) : elementAt(slots, o.node),
  );
  return {
    stages: { nodes: slots.slice(inputs.length).map((s) => s.stage), outputs: outputs.map((s) => s.stage) },
    outputs,
  };
}

/** Whether a sum with something else is all that reads `v`. */
function isAddedOnce(v: Value): boolean {
  return v.uses.length === 1 && isFx(firstOf(v.uses).op, "fx.add");
}

function later(a: Slot, b: Slot): boolean {
  return a.stage > b.stage || (a.stage === b.stage && a.ns > b.ns);
}
