/**
 * What the search prices the candidates of a kernel by, before there is a pipeline: many thousand of them. Designs that
 * are tried out are counted on their hardware (`emit/rtl-area.ts`).
 */
import { elementAt, firstOf, lastOf, present } from "../../ir/present.js";
import { Dense } from "../../ir/attributes.js";
import type { Op } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { isFeatureIterator, laneCount, loopNest, unrollOf, type KernelSpec } from "../../ir/flow/kernel.js";
import { source } from "../../ir/eval/flow.js";
import { outerRange, type FixedType } from "../../ir/types.js";
import type { Device } from "../device/devices.js";
import { bodyOf, isFx } from "../../ir/fx/index.js";
import { opArea } from "../device/operators.js";
import { addTo, noResources, type Resources, rounded } from "../device/resources.js";
import { muxLuts, romStorage } from "../device/storage.js";
import { adderTables } from "./adder-graph.js";
import { buildAdderGraph } from "./build-adder-graph.js";
import { accumulatorLoops, isConstantOperand, isFixedOperand, weightTable } from "./datapath.js";
import { compareLevels, ensembleOf, hasFixedTrees, mostLeaves, roughWalkBits, stepsOf, tallest } from "./decisions.js";
import { isRegisteredTable } from "./pipeline.js";
import { packingOf } from "./packing.js";
import { plainProduct } from "./products.js";

/** Scalar products that the kernel forms per cycle when all lanes are busy, products by constants included. */
export function kernelMultipliers(op: Op, spec: KernelSpec): number {
  const count = (region: number): number => elementAt(op.regions, region).ops.filter((o) => isFx(o, "fx.mul")).length;
  return count(0) * laneCount(spec) + count(1) * lanesOf(spec, "parallel");
}

function lanesOf(spec: KernelSpec, kind: "parallel" | "reduction"): number {
  return spec.iterators.reduce((n, it) => (it.kind === kind ? n * unrollOf(spec, it.name) : n), 1);
}

/** Area of the datapath, its control and its weights, from loop order and unroll factors alone. */
export function kernelResources(d: Device, op: Op, spec: KernelSpec): Resources {
  const r = datapath(d, op, spec);
  const nest = loopNest(spec);
  spec.operands.forEach((o, i) => {
    if (!isConstantOperand(spec, i)) return;
    const involved = (k: number): boolean => o.map.results.some((m) => m.coeffs[k] !== 0);
    const depth = nest.filter((l) => involved(l.index)).reduce((n, l) => n * l.trips, 1);
    if (depth === 1) return;
    const lanes = spec.iterators.reduce(
      (n, it, k) => (involved(k) ? n * (present(spec.schedule, "schedule").unroll[it.name] ?? 1) : n),
      1,
    );
    addTo(r, romStorage(d, typicalTable(depth, lanes, elemOf(spec, i)), true));
  });
  op.regions.forEach((region, phase) => {
    const copies = lanesOf(spec, "parallel") * (phase === 0 ? lanesOf(spec, "reduction") : 1);
    for (const o of region.ops)
      if (isFx(o, "fx.table")) addTo(r, romStorage(d, denseAttr(o, "values"), isRegisteredTable(o)), copies);
  });
  r.lut += 20 + nest.length * 8;
  r.ff += 10 + nest.length * 6 + TYPICAL_DEPTH * 2;
  return rounded(r);
}

/** Stages of a pipeline, as far as its control is concerned. */
const TYPICAL_DEPTH = 6;

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
  return (elementAt(spec.operands, i).value.type as { elem: FixedType }).elem;
}

/**
 * An ensemble on so many lanes of trees, for one set of features: comparisons of two tables each, half a table for each
 * choice and bit, values of leaves; or for each lane the tables of its nodes, and per level the choice of a feature and
 * a comparison.
 */
function treeResources(d: Device, spec: KernelSpec, lanes: number, outputs: number): Resources {
  const e = ensembleOf(spec);
  const features = lastOf(firstOf(spec.operands).view.shape);
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

function datapath(d: Device, op: Op, spec: KernelSpec): Resources {
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
    for (const o of bodyOf(op.body).ops) {
      const a = opArea(d, o);
      r.lut += outputs * terms * a.lut;
      r.dsp += outputs * terms * a.dsp * (isFx(o, "fx.mul") ? blocks : 1);
    }
    if (terms > 1) r.lut += outputs * (terms - 1) * (spec.combiner === "add" ? Math.max(4, width - 2) : width * 1.5);
    r.ff += outputs * terms * 2 * (spec.combiner === "add" ? width * 0.6 : width);
  }
  for (const o of bodyOf(elementAt(op.regions, 1)).ops) addTo(r, opArea(d, o), outputs);
  if (accumulatorLoops(spec).reductions.length > 0) {
    r.lut += outputs * accumulatorLuts(spec);
    r.ff += outputs * width;
  }
  r.ff += outputs * 3 * spec.resultElem.width;
  spec.operands.forEach((o, i) => {
    if (isConstantOperand(spec, i)) return;
    const involved = (k: number): boolean => o.map.results.some((m) => m.coeffs[k] !== 0);
    r.ff +=
      spec.iterators.reduce(
        (n, it, k) => (involved(k) ? n * (present(spec.schedule, "schedule").unroll[it.name] ?? 1) : n),
        1,
      ) * elemOf(spec, i).width;
  });
  r.dsp = Math.ceil(r.dsp);
  return r;
}

/** Adder bits per weight of a constant tensor: where weights are fixed all of them are lanes, in any schedule. */
const adderCosts = new WeakMap<Dense, number>();
/** Weights of a large tensor that are looked at: sharing saves little more in a larger matrix. */
const SAMPLED_WEIGHTS = 256;

function adderLuts(spec: KernelSpec, product: readonly [number, number], weights: number): number {
  const dense = denseAttr(present(source(elementAt(spec.operands, weights).value).def, "def"), "value");
  let luts = adderCosts.get(dense);
  if (luts === undefined) {
    const table = weightTable(spec, weights);
    const rows = new Map<string, number[]>();
    table.lanes.forEach((lane, n) => {
      const row = lane
        .filter((p) => elementAt(spec.iterators, p.index).kind === "parallel")
        .map((p) => `${p.index}:${p.lane}`)
        .join();
      const values = rows.get(row);
      if (values === undefined) rows.set(row, [elementAt(firstOf(table.rows), n)]);
      else values.push(elementAt(firstOf(table.rows), n));
    });
    const columns = Math.min(present(rows.values().next().value, "value").length, SAMPLED_WEIGHTS / 4);
    const sample = [...rows.values()]
      .slice(0, Math.max(1, Math.floor(SAMPLED_WEIGHTS / columns)))
      .map((r) => r.slice(0, columns));
    const range = outerRange(elemOf(spec, product[0] === weights ? product[1] : product[0]));
    const graph = buildAdderGraph(
      sample,
      firstOf(sample).map(() => range),
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
    const uses = (i: number, k: number): boolean =>
      elementAt(spec.operands, i).map.results.some((m) => m.coeffs[k] !== 0);
    const free = spec.iterators.reduce(
      (n, it, k) =>
        it.kind === "parallel" && uses(packed, k) && !uses(shared, k)
          ? n * (present(spec.schedule, "schedule").unroll[it.name] ?? 1)
          : n,
      1,
    );
    share = Math.min(share, Math.ceil(free / 2) / free);
  }
  return share;
}
