/** Estimated area of a scheduled kernel, in the resources of a device. */
import { Dense } from "../../ir/attributes.js";
import type { Block, Op, Value } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { isFeatureIterator, laneCount, loopNest, unrollOf, type KernelSpec } from "../../ir/flow/kernel.js";
import { source } from "../../ir/eval/flow.js";
import { outerRange, type FixedType } from "../../ir/types.js";
import type { Device } from "../device/devices.js";
import { bodyOf, fxConstant, isFx } from "../../ir/fx/index.js";
import { opArea } from "../device/operators.js";
import { addTo, noResources, type Resources, rounded } from "../device/resources.js";
import { muxLuts, romStorage } from "../device/storage.js";
import {
  adderBits,
  type AdderGraph,
  adderTables,
  bitsOfInterval,
  buildAdderGraph,
  type GraphOutput,
} from "./adder-graph.js";
import { accumulatorLoops, isConstantOperand, isFixedOperand, sumType, weightTable, weightWords } from "./datapath.js";
import { compareLevels, ensembleOf, hasFixedTrees, mostLeaves, roughWalkBits, stepsOf, tallest } from "./decisions.js";
import { type GraphStages, isRegisteredTable, type Pipeline } from "./pipeline.js";
import { packingOf, plainProduct, type ProductPlan } from "./products.js";

/** Scalar products that the kernel forms per cycle when all lanes are busy, products by constants included. */
export function kernelMultipliers(op: Op, spec: KernelSpec): number {
  const count = (region: number): number => op.regions[region]!.ops.filter((o) => isFx(o, "fx.mul")).length;
  return count(0) * laneCount(spec) + count(1) * lanesOf(spec, "parallel");
}

function lanesOf(spec: KernelSpec, kind: "parallel" | "reduction"): number {
  return spec.iterators.reduce((n, it) => (it.kind === kind ? n * unrollOf(spec, it.name) : n), 1);
}

/**
 * Area of the datapath, its control and its weights. With the product plan and pipeline of the final design registers
 * and adders are counted as they are generated; without, quickly and from the schedule alone.
 */
export function kernelResources(
  d: Device,
  op: Op,
  spec: KernelSpec,
  built?: { readonly products: ProductPlan; readonly pipeline: Pipeline },
): Resources {
  const r = built === undefined ? roughDatapath(d, op, spec) : datapath(d, op, spec, built.products, built.pipeline);
  const nest = loopNest(spec);
  spec.operands.forEach((o, i) => {
    if (!isConstantOperand(spec, i)) return;
    const involved = (k: number): boolean => o.map.results.some((m) => m.coeffs[k] !== 0);
    const depth = nest.filter((l) => involved(l.index)).reduce((n, l) => n * l.trips, 1);
    if (depth === 1) return;
    const lanes = spec.iterators.reduce((n, it, k) => (involved(k) ? n * (spec.schedule!.unroll[it.name] ?? 1) : n), 1);
    const weights =
      built === undefined ? typicalTable(depth, lanes, elemOf(spec, i)) : weightWords(weightTable(spec, i));
    addTo(r, romStorage(d, weights, true));
  });
  op.regions.forEach((region, phase) => {
    const copies = lanesOf(spec, "parallel") * (phase === 0 ? lanesOf(spec, "reduction") : 1);
    for (const o of region.ops)
      if (isFx(o, "fx.table")) addTo(r, romStorage(d, denseAttr(o, "values"), isRegisteredTable(o)), copies);
  });
  r.lut += 20 + nest.length * 8;
  r.ff += 10 + nest.length * 6 + (built?.pipeline.depth ?? 6) * 2;
  return rounded(r);
}

const typical = new Map<string, Dense>();

/** Weights of which only the size is known: no two alike. */
function typicalTable(depth: number, lanes: number, elem: FixedType): Dense {
  const key = `${depth}:${lanes}:${elem.width}`;
  let found = typical.get(key);
  if (found === undefined) {
    const data = new Float64Array(depth * lanes);
    for (let i = 0, v = 1; i < data.length; i++)
      data[i] = (v = (v * 48271) % 2147483647) % 2 ** Math.min(30, elem.width);
    typical.set(key, (found = new Dense([depth, lanes], elem, data)));
  }
  return found;
}

function elemOf(spec: KernelSpec, i: number): FixedType {
  return (spec.operands[i]!.value.type as { elem: FixedType }).elem;
}

/**
 * An ensemble on so many lanes of trees, for one set of features: comparisons of two tables each, half a table for each
 * choice and bit, values of leaves; or for each lane the tables of its nodes, and per level the choice of a feature and
 * a comparison.
 */
function treeResources(d: Device, spec: KernelSpec, lanes: number, outputs: number): Resources {
  const e = ensembleOf(spec);
  const features = spec.operands[0]!.view.shape.at(-1)!;
  const { width } = elemOf(spec, 0);
  const leafWidth =
    (e.values.length === 0 ? 1 : spec.accType.width) - Math.floor(Math.log2(Math.max(1, e.roots.length)));
  const r = noResources();
  if (hasFixedTrees(spec)) {
    const questions = new Set(Array.from(e.feature, (f, i) => `${f}:${e.threshold[i]}:${e.relation[i]}`)).size;
    r.lut +=
      questions * compareLevels(d, width) * (d.family.lutInputs === 6 ? 0.8 : 1.5) +
      e.feature.length * 0.6 +
      lanes * leafWidth * Math.ceil(mostLeaves(e) / 2 ** d.family.lutInputs);
    r.ff += questions + lanes * leafWidth;
    return r;
  }
  const depth = tallest(e);
  const walks = Math.max(1, Math.min(lanes, Math.ceil(e.roots.length / Math.max(1, stepsOf(spec)))));
  const bits = roughWalkBits(e, features, width, walks);
  r.lut += walks * depth * (muxLuts(d, features) * width + width + 8) + (bits * outputs) / 64 + lanes * leafWidth * 2;
  r.ff += walks * depth * (width + 16) + (depth * features * width) / 8;
  return r;
}

function lanesOfFeatures(spec: KernelSpec): number {
  return spec.iterators.reduce((n, it, i) => (isFeatureIterator(spec, i) ? n * unrollOf(spec, it.name) : n), 1);
}

/** LUTs of a running sum or extreme: the addition, and the choice of its start. */
function accumulatorLuts(spec: KernelSpec): number {
  const { inner } = accumulatorLoops(spec);
  const depth = inner.reduce((n, l) => n * l.trips, 1);
  return spec.accType.width * (2 + (depth > 1 ? Math.ceil(depth / 32) : 0));
}

// --- the final design

function datapath(d: Device, op: Op, spec: KernelSpec, plan: ProductPlan, p: Pipeline): Resources {
  const r = noResources();
  const registers = (width: number, from: number, to: number): void => {
    r.ff += width * Math.max(0, to - from);
  };
  const { products, lanes, units } = plan;
  const { reductions } = accumulatorLoops(spec);
  const termType = op.regions[0]!.terminator.operand(0).type as FixedType;
  const taken = p.accStage ?? p.carryStage ?? p.folded.stage;
  for (const unit of units) {
    if (unit.graph !== undefined) {
      const stages = p.graphStages.get(unit.graph)!;
      const graph = unit.graph;
      r.lut += graph.nodes.reduce(
        (n, node) => n + (d.family.carryCell > 1 ? adderBits(node) : adderTables(graph, node)),
        0,
      );
      for (const { width, from, to } of graphValues(unit.graph, stages, p.operandStage)) registers(width, from, to);
      unit.graph.outputs.forEach((o, i) => {
        if (o.negative && !p.absorbsSign) r.lut += spec.accType.width;
        if (o.node >= 0) registers(outputBits(unit.graph!, o), stages.outputs[i]!, p.accStage ?? p.folded.stage);
      });
      continue;
    }
    const pair = products.kind === "packed" && unit.outputs.length === 2 ? products : undefined;
    const copies = pair === undefined ? unit.outputs.length : 1;
    if (products.kind === "trees") addTo(r, treeResources(d, spec, lanes.terms.length * copies, copies));
    else if (pair === undefined) {
      for (const o of bodyOf(op.regions[0]!).ops) addTo(r, opArea(d, o), copies * lanes.terms.length);
      r.ff += copies * lanes.terms.length * bodyRegisters(op.regions[0]!, p, p.operandStage);
    } else r.dsp += lanes.terms.length;
    const ends = p.treeStages[0] ?? taken;
    const productBits = pair === undefined ? copies * termType.width : pair.shift + termType.width;
    registers(lanes.terms.length * productBits, p.term.stage, ends);
    // The tree, for each output.
    let count = lanes.terms.length;
    let covered = 1;
    p.treeStages.forEach((_, level) => {
      covered *= 2;
      const width = spec.combiner === "add" ? sumType(termType, covered, spec.accType).width : spec.accType.width;
      const additions = Math.floor(count / 2);
      count = Math.ceil(count / 2);
      const each =
        spec.combiner === "add"
          ? width - (d.family.carryCell > 1 ? 0 : 1) + (pair?.borrows === true ? 0.5 : 0)
          : 1.5 * width;
      r.lut += unit.outputs.length * additions * each;
      registers(unit.outputs.length * count * width, p.treeStages[level]!, p.treeStages[level + 1] ?? taken);
    });
    if (p.carryStage !== undefined && pair !== undefined) r.lut += spec.accType.width;
  }
  const outputs = lanes.outputs.length;
  if (reductions.length > 0) {
    r.lut += outputs * accumulatorLuts(spec);
    r.ff += outputs * spec.accType.width;
  }
  for (const o of bodyOf(op.regions[1]!).ops) if (o !== plan.added) addTo(r, opArea(d, o), outputs);
  r.ff += outputs * bodyRegisters(op.regions[1]!, p, p.folded.stage);
  const result = op.regions[1]!.terminator.operand(0);
  registers(
    outputs * spec.resultElem.width,
    (result.def === undefined ? undefined : p.stageOf.get(result.def)) ?? p.folded.stage,
    p.depth,
  );
  // Operands: a register each where a buffer brings them, and as many more as the datapath asks them to wait.
  spec.operands.forEach((o, i) => {
    if (isConstantOperand(spec, i)) return;
    const width = new Set(units.flatMap((u) => u.reads[i]!)).size * elemOf(spec, i).width;
    const first = Math.min(1, p.operandStage);
    r.ff += width * first;
    registers(width, first, o.phase === "body" ? p.operandStage : p.folded.stage);
  });
  if (products.kind === "packed" && products.borrows && !isConstantOperand(spec, products.packed)) {
    const pairs = new Set(
      units
        .filter((u) => u.outputs.length === 2)
        .flatMap((u) =>
          u.index[products.packed]![0]!.map(
            (n, t) => `${u.reads[products.packed]![n]}:${u.reads[products.packed]![u.index[products.packed]![1]![t]!]}`,
          ),
        ),
    );
    r.lut += pairs.size * (elemOf(spec, products.packed).width + 1);
  }
  return r;
}

function outputBits(graph: AdderGraph, o: GraphOutput): number {
  return Math.max(
    1,
    bitsOfInterval(
      o.node < graph.inputs.length ? graph.inputs[o.node]! : graph.nodes[o.node - graph.inputs.length]!.range,
    ),
  );
}

/** How long each value of a graph is waited for by other sums. */
function graphValues(
  graph: AdderGraph,
  stages: GraphStages,
  first: number,
): { width: number; from: number; to: number }[] {
  const n = graph.inputs.length;
  const data = n - graph.constants;
  const values = [
    ...graph.inputs.map((i, k) => ({ width: k < data ? Math.max(1, bitsOfInterval(i)) : 0, from: first, to: first })),
    ...graph.nodes.map((node, i) => ({
      width: Math.max(1, bitsOfInterval(node.range)),
      from: stages.nodes[i]!,
      to: stages.nodes[i]!,
    })),
  ];
  graph.nodes.forEach((node, i) => {
    for (const v of [node.a, node.b]) values[v]!.to = Math.max(values[v]!.to, stages.nodes[i]!);
  });
  graph.outputs.forEach((o, i) => {
    if (o.node >= 0) values[o.node]!.to = Math.max(values[o.node]!.to, stages.outputs[i]!);
  });
  return values.slice(0, n).concat(values.slice(n));
}

/** Registers between the operations of a body, one lane: each value until its last reader. */
function bodyRegisters(block: Block, p: Pipeline, start: number): number {
  // What has no stage of its own is there from the start: arguments, and sums that an adder graph has done.
  const made = (v: Value): number =>
    v.def === undefined || !p.stageOf.has(v.def)
      ? start
      : (p.constantProducts.get(v.def)?.stages.outputs[0] ??
        p.stageOf.get(v.def)! + (p.cellOf.get(v.def)?.latency ?? (p.splitRequantize.has(v.def) ? 1 : 0)));
  const last = new Map<Value, number>();
  for (const o of block.ops) {
    const stage = p.stageOf.get(o);
    if (stage !== undefined)
      for (const v of o.operands) if (fxConstant(v) === undefined) last.set(v, Math.max(last.get(v) ?? 0, stage));
  }
  let ff = 0;
  for (const o of block.ops) if (p.splitRequantize.has(o)) ff += (o.operand(0).type as FixedType).width;
  for (const [v, stage] of last) ff += (v.type as FixedType).width * Math.max(0, stage - made(v));
  return ff;
}

// --- for the search

function roughDatapath(d: Device, op: Op, spec: KernelSpec): Resources {
  const outputs = lanesOf(spec, "parallel");
  const terms = lanesOf(spec, "reduction");
  const product = plainProduct(op, spec);
  const weights = product?.find((i) => isFixedOperand(spec, i));
  const width = spec.accType.width;
  const r = noResources();
  if (product !== undefined && weights !== undefined && spec.schedule?.multiply !== "dsp") {
    const each = adderLuts(spec, product, weights);
    r.lut += outputs * terms * each;
    r.ff += outputs * terms * each * 0.8;
  } else if (spec.trees !== undefined) {
    const features = lanesOfFeatures(spec);
    const rows = outputs / ensembleOf(spec).outputs;
    addTo(r, treeResources(d, spec, (terms / features) * (outputs / rows), outputs / rows), rows);
    if (terms > features) r.lut += outputs * (terms / features - 1) * Math.max(4, width - 2);
  } else {
    const blocks = product === undefined ? 1 : blockShare(d, spec, product);
    for (const o of bodyOf(op.regions[0]!).ops) {
      const a = opArea(d, o);
      r.lut += outputs * terms * a.lut;
      r.dsp += outputs * terms * a.dsp * (isFx(o, "fx.mul") ? blocks : 1);
    }
    if (terms > 1) r.lut += outputs * (terms - 1) * (spec.combiner === "add" ? Math.max(4, width - 2) : width * 1.5);
    r.ff += outputs * terms * 2 * (spec.combiner === "add" ? width * 0.6 : width);
  }
  for (const o of bodyOf(op.regions[1]!).ops) addTo(r, opArea(d, o), outputs);
  if (accumulatorLoops(spec).reductions.length > 0) {
    r.lut += outputs * accumulatorLuts(spec);
    r.ff += outputs * width;
  }
  r.ff += outputs * 3 * spec.resultElem.width;
  spec.operands.forEach((o, i) => {
    if (isConstantOperand(spec, i)) return;
    const involved = (k: number): boolean => o.map.results.some((m) => m.coeffs[k] !== 0);
    r.ff +=
      spec.iterators.reduce((n, it, k) => (involved(k) ? n * (spec.schedule!.unroll[it.name] ?? 1) : n), 1) *
      elemOf(spec, i).width;
  });
  r.dsp = Math.ceil(r.dsp);
  return r;
}

/** Adder bits per weight of a constant tensor: where weights are fixed all of them are lanes, in any schedule. */
const adderCosts = new WeakMap<Dense, number>();
/** Weights of a large tensor that are looked at: sharing saves little more in a larger matrix. */
const SAMPLED_WEIGHTS = 256;

function adderLuts(spec: KernelSpec, product: readonly [number, number], weights: number): number {
  const dense = denseAttr(source(spec.operands[weights]!.value).def!, "value");
  let luts = adderCosts.get(dense);
  if (luts === undefined) {
    const table = weightTable(spec, weights);
    const rows = new Map<string, number[]>();
    table.lanes.forEach((lane, n) => {
      const row = lane
        .filter((p) => spec.iterators[p.index]!.kind === "parallel")
        .map((p) => `${p.index}:${p.lane}`)
        .join();
      const values = rows.get(row);
      if (values === undefined) rows.set(row, [table.rows[0]![n]!]);
      else values.push(table.rows[0]![n]!);
    });
    const columns = Math.min(rows.values().next().value!.length, SAMPLED_WEIGHTS / 4);
    const sample = [...rows.values()]
      .slice(0, Math.max(1, Math.floor(SAMPLED_WEIGHTS / columns)))
      .map((r) => r.slice(0, columns));
    const range = outerRange(elemOf(spec, product[0] === weights ? product[1] : product[0]));
    const graph = buildAdderGraph(
      sample,
      sample[0]!.map(() => range),
    );
    luts = graph.nodes.reduce((n, node) => n + adderTables(graph, node), 0) / (sample.length * columns);
    adderCosts.set(dense, luts);
  }
  return luts;
}

/** Multiplier blocks per product: a half where all can be paired. */
function blockShare(d: Device, spec: KernelSpec, product: readonly [number, number]): number {
  if (spec.schedule?.multiply === "logic") return 1;
  let share = 1;
  for (const [shared, packed] of [product, [product[1], product[0]] as const]) {
    if (packingOf(spec, d, shared, packed) === undefined) continue;
    // Lanes along which the packed operand varies and the shared one does not.
    const uses = (i: number, k: number): boolean => spec.operands[i]!.map.results.some((m) => m.coeffs[k] !== 0);
    const free = spec.iterators.reduce(
      (n, it, k) =>
        it.kind === "parallel" && uses(packed, k) && !uses(shared, k) ? n * (spec.schedule!.unroll[it.name] ?? 1) : n,
      1,
    );
    share = Math.min(share, Math.ceil(free / 2) / free);
  }
  return share;
}
