/**
 * How a kernel forms its products, and which output lanes are built as one unit.
 *
 * - `adders`: weights that never change make a constant matrix, one graph of shifted additions for all outputs that
 *   read the
 *   same data.
 * - `packed`: two products with a common factor in one multiplier block, (b1 * 2^s + b2) * a, where the block is wide
 *   enough.
 * - `trees`: an ensemble of decision trees, one unit for all outputs of the same features, which share comparisons
 *   (decisions.ts).
 * - `each`: the body as it stands, once per output lane and term.
 *
 * The choice is the schedule's (`multiply`), or the cheaper one.
 */
import { elementAt, firstOf, lastOf, lookUp, present } from "../../ir/present.js";
import type { Op } from "../../ir/core.js";
import { source } from "../../ir/eval/flow.js";
import { isFeatureIterator, type KernelSpec } from "../../ir/flow/kernel.js";
import { isFx } from "../../ir/fx/index.js";
import { outerRange, type FixedType } from "../../ir/types.js";
import { lanePoints, readTable } from "../channel/access.js";
import type { Device } from "../device/devices.js";
import type { AdderGraph, Interval } from "./adder-graph.js";
import { buildAdderGraph } from "./build-adder-graph.js";
import {
  accumulatorLoops,
  elemOf,
  isFixedOperand,
  kernelLanes,
  laneFinder,
  type LanePoint,
  type Lanes,
  weightTable,
} from "./datapath.js";
import { type Packing, packingOf, pairLanes } from "./packing.js";

/** Output lanes that are one rtl module. Units with equal keys are instances of the same one. */
export interface Unit {
  readonly key: string;
  /** Numbers of its output lanes. */
  readonly outputs: readonly number[];
  /** Per operand: the lanes of the operand that the unit reads, in the order of its port; none of fixed weights. */
  readonly reads: readonly (readonly number[])[];
  /**
   * Where output o finds the operand of term t: `index[operand][o][t]` counts within `reads`. Epilogue operands have
   * one term.
   */
  readonly index: readonly (readonly (readonly number[])[])[];
  /** Numbers that are built into the module: `constants[operand][o][t]`, one term in the epilogue. */
  readonly constants: ReadonlyMap<number, readonly (readonly number[])[]>;
  /** For `adders`: sums over the lanes of the varying operand. */
  readonly graph?: AdderGraph;
  /** For `trees`: the column of the leaves' values that each output takes. */
  readonly columns?: readonly number[];
}

export type Products =
  | { readonly kind: "each" }
  | { readonly kind: "adders"; readonly varying: number; readonly weights: number }
  | ({ readonly kind: "packed" } & Packing)
  | { readonly kind: "trees" };

export interface ProductPlan {
  readonly products: Products;
  /** The epilogue's addition of constants, where adder graphs have done it already. */
  readonly added?: Op;
  readonly lanes: Lanes;
  readonly units: readonly Unit[];
}

/** Operands of a body that is one product of two of them, at the scale of the product; in the order of the operands. */
export function plainProduct(op: Op, spec: KernelSpec): readonly [number, number] | undefined {
  const [mul, end, ...more] = op.body.ops;
  if (
    more.length > 0 ||
    !isFx(mul, "fx.mul") ||
    end?.operand(0) !== mul.result ||
    (spec.combiner !== "add" && spec.combiner !== "none")
  )
    return undefined;
  const [a, b] = mul.operands.map((v) => op.body.args.indexOf(v));
  const [ta, tb, ty] = [
    mul.operand(0).type as FixedType,
    mul.operand(1).type as FixedType,
    mul.result.type as FixedType,
  ];
  if (present(a, "a") < 0 || present(b, "b") < 0 || a === b || ty.frac !== ta.frac + tb.frac) return undefined;
  const body = spec.operands.flatMap((o, i) => (o.phase === "body" ? [i] : []));
  return [elementAt(body, present(a, "a")), elementAt(body, present(b, "b"))];
}

/** Finds an operand's lane by the kernel's lanes. */
function operandFinder(spec: KernelSpec, i: number): (...points: readonly LanePoint[]) => number {
  const o = elementAt(spec.operands, i);
  if (source(o.value).def?.name !== "flow.constant") return laneFinder(readTable(spec, i).lanePoints);
  return laneFinder(lanePoints(spec, (k) => o.map.results.some((r) => r.coeffs[k] !== 0)));
}

export function planProducts(op: Op, spec: KernelSpec, device: Device): ProductPlan {
  if (spec.trees !== undefined) return treePlan(spec);
  const lanes = kernelLanes(spec);
  const find = spec.operands.map((_, i) => operandFinder(spec, i));
  const numbers = (i: number, out: LanePoint): number[] =>
    elementAt(spec.operands, i).phase === "body"
      ? lanes.terms.map((t) => elementAt(find, i)(out, t))
      : [elementAt(find, i)(out)];
  const product = plainProduct(op, spec);
  const choice = spec.schedule?.multiply;
  if (product !== undefined && choice !== "dsp") {
    const weights = product.find((i) => isFixedOperand(spec, i));
    if (weights !== undefined)
      return adderPlan(op, spec, lanes, numbers, product[0] === weights ? product[1] : product[0], weights);
  }
  if (product !== undefined && choice !== "logic") {
    for (const [shared, packed] of [product, [product[1], product[0]] as const]) {
      const packing = packingOf(spec, device, shared, packed);
      if (packing === undefined) continue;
      const pairs = pairLanes(
        lanes,
        (o) => numbers(shared, o),
        (o) => numbers(packed, o),
      );
      if (pairs.some((p) => p.length === 2))
        return {
          products: { kind: "packed", ...packing },
          lanes,
          units: pairs.map((p) => unitOf(spec, lanes, numbers, p)),
        };
    }
  }
  return { products: { kind: "each" }, lanes, units: lanes.outputs.map((_, n) => unitOf(spec, lanes, numbers, [n])) };
}

/**
 * Units of an ensemble: `reads[0]` are the lanes of the features in their order, `reads[1]` those of the numbers of
 * trees where they change. Lanes that bring the same numbers are one.
 */
function treePlan(spec: KernelSpec): ProductPlan {
  const outputs = lanePoints(spec, (i) => elementAt(spec.iterators, i).kind === "parallel");
  const terms = lanePoints(
    spec,
    (i) => elementAt(spec.iterators, i).kind === "reduction" && !isFeatureIterator(spec, i),
  );
  const feature = lastOf(firstOf(spec.operands).map.results);
  const points = lanePoints(spec, (i) => isFeatureIterator(spec, i))
    .map((p) => ({
      p,
      at: p.reduce((a, { index, lane }) => a + lane * elementAt(feature.coeffs, index), feature.offset),
    }))
    .sort((a, b) => a.at - b.at);
  const find = spec.operands.map((_, i) => operandFinder(spec, i));
  const groups = new Map<string, number[]>();
  outputs.forEach((out, n) => {
    const key = points.map(({ p }) => firstOf(find)(out, p)).join();
    groups.set(key, [...(groups.get(key) ?? []), n]);
  });
  const column = firstOf(elementAt(spec.operands, 1).map.results);
  const table = weightTable(spec, 1);
  const contents = table.lanes.map((_, lane) => table.rows.map((r) => r[lane]).join());
  const same = contents.map((c) => contents.indexOf(c));
  const fixed = isFixedOperand(spec, 1);
  const units = [...groups.values()].map((list): Unit => {
    const constants = new Map<number, number[][]>();
    const reads: number[][] = [];
    const index: number[][][] = [];
    spec.operands.forEach((o, i) => {
      if (i === 0) {
        reads.push(points.map(({ p }) => firstOf(find)(elementAt(outputs, firstOf(list)), p)));
        index.push([]);
        return;
      }
      const wanted = list.map((n) =>
        o.phase === "body"
          ? terms.map((t) => elementAt(same, elementAt(find, 1)(elementAt(outputs, n), t)))
          : [elementAt(find, i)(elementAt(outputs, n))],
      );
      if (i === 1 && fixed) {
        constants.set(
          1,
          wanted.map((w) => w.map((lane) => elementAt(firstOf(table.rows), lane))),
        );
        reads.push([]);
        index.push([]);
        return;
      }
      const distinct = [...new Set(wanted.flat())];
      reads.push(distinct);
      index.push(wanted.map((w) => w.map((n) => distinct.indexOf(n))));
    });
    const columns = list.map((n) =>
      elementAt(outputs, n).reduce((a, { index: k, lane }) => a + lane * elementAt(column.coeffs, k), column.offset),
    );
    return {
      key: JSON.stringify([index, [...constants], columns, fixed ? 0 : elementAt(reads, 1).map((l) => contents[l])]),
      outputs: list,
      reads,
      index,
      constants,
      columns,
    };
  });
  return { products: { kind: "trees" }, lanes: { outputs, terms }, units };
}

/** A unit that reads every lane it needs once. */
function unitOf(
  spec: KernelSpec,
  lanes: Lanes,
  numbers: (i: number, out: LanePoint) => number[],
  outputs: readonly number[],
): Unit {
  const reads: number[][] = [];
  const index: number[][][] = [];
  const constants = new Map<number, number[][]>();
  spec.operands.forEach((o, i) => {
    const wanted = outputs.map((n) => numbers(i, elementAt(lanes.outputs, n)));
    if (o.phase === "body" && isFixedOperand(spec, i)) {
      const row = firstOf(weightTable(spec, i).rows);
      constants.set(
        i,
        wanted.map((w) => w.map((n) => elementAt(row, n))),
      );
      reads.push([]);
      index.push([]);
      return;
    }
    const distinct = [...new Set(wanted.flat())];
    const position = new Map(distinct.map((n, k) => [n, k]));
    reads.push(distinct);
    index.push(wanted.map((w) => w.map((n) => lookUp(position, n, "position"))));
  });
  return { key: JSON.stringify([index, [...constants]]), outputs, reads, index, constants };
}

// --- constant matrices

/**
 * The epilogue's first operation, where it adds a constant per lane to a sum that is whole: its operand, and the places
 * it is moved up.
 */
function constantAddition(
  op: Op,
  spec: KernelSpec,
): { readonly add: Op; readonly operand: number; readonly shift: number } | undefined {
  const epilogue = elementAt(op.regions, 1);
  const sum = firstOf(epilogue.args);
  const add = sum.uses[0]?.op;
  if (sum.uses.length !== 1 || !isFx(add, "fx.add") || accumulatorLoops(spec).reductions.length > 0) return undefined;
  const other = add.operands.find((v) => v !== sum);
  const operands = spec.operands.flatMap((o, i) => (o.phase === "epilogue" ? [i] : []));
  const operand = other === undefined ? undefined : operands[epilogue.args.indexOf(other) - 1];
  if (operand === undefined || !isFixedOperand(spec, operand)) return undefined;
  const [to, from] = [add.result.type as FixedType, elemOf(spec, operand)];
  return to.frac !== (sum.type as FixedType).frac || from.frac > to.frac
    ? undefined
    : { add, operand, shift: to.frac - from.frac };
}

/** Outputs that read the same lanes of the varying operand are rows of one matrix. */
function adderPlan(
  op: Op,
  spec: KernelSpec,
  lanes: Lanes,
  numbers: (i: number, out: LanePoint) => number[],
  varying: number,
  weights: number,
): ProductPlan {
  const addition = constantAddition(op, spec);
  const groups = new Map<string, number[]>();
  lanes.outputs.forEach((out, n) => {
    const key = numbers(varying, out).join();
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [n]);
    else group.push(n);
  });
  const row = firstOf(weightTable(spec, weights).rows);
  const range: Interval = outerRange(elemOf(spec, varying));
  const units = [...groups.values()].map((outputs): Unit => {
    const all = numbers(varying, elementAt(lanes.outputs, firstOf(outputs)));
    const matrix = outputs.map((n) => numbers(weights, elementAt(lanes.outputs, n)).map((w) => elementAt(row, w)));
    // Data that meet only zeros are not read.
    const used = all.flatMap((_, t) => (matrix.some((r) => r[t] !== 0) ? [t] : []));
    const distinct = [...new Set(used.map((t) => elementAt(all, t)))];
    const columns = matrix.map((r) => {
      const sums = new Map(distinct.map((n) => [n, 0]));
      for (const t of used) sums.set(elementAt(all, t), lookUp(sums, elementAt(all, t), "sums") + elementAt(r, t));
      return [...sums.values()];
    });
    const fixed = (i: number): number[][] =>
      outputs.map((n) =>
        numbers(i, elementAt(lanes.outputs, n)).map((w) => elementAt(firstOf(weightTable(spec, i).rows), w)),
      );
    const added =
      addition === undefined ? undefined : fixed(addition.operand).map((c) => firstOf(c) * 2 ** addition.shift);
    // Outputs that share a matrix share what is added to it, as a rule.
    const constants = new Map(
      spec.operands.flatMap((o, i) =>
        o.phase === "epilogue" && isFixedOperand(spec, i) && i !== addition?.operand ? [[i, fixed(i)] as const] : [],
      ),
    );
    const rest = spec.operands.map((o, i) =>
      i === varying || i === weights
        ? []
        : outputs.map((n) =>
            o.phase === "epilogue" && !constants.has(i) && i !== addition?.operand
              ? numbers(i, elementAt(lanes.outputs, n))
              : [],
          ),
    );
    const reads = rest.map((r, i) => (i === varying ? distinct : [...new Set(r.flat())]));
    const index = rest.map((r, i) => r.map((w) => w.map((n) => elementAt(reads, i).indexOf(n))));
    return {
      key: JSON.stringify([index, columns, added, [...constants]]),
      outputs,
      reads,
      index,
      constants,
      graph: cachedGraph(columns, range, added),
    };
  });
  return {
    products: { kind: "adders", varying, weights },
    ...(addition !== undefined && { added: addition.add }),
    lanes,
    units,
  };
}

/** Graphs are worth keeping: the same matrix comes up with every schedule that is tried. */
const graphs = new Map<string, AdderGraph>();
const MAX_GRAPHS = 256;

function cachedGraph(
  matrix: readonly (readonly number[])[],
  range: Interval,
  added: readonly number[] | undefined,
): AdderGraph {
  const key = JSON.stringify([range.lo, range.hi, matrix, added]);
  let graph = graphs.get(key);
  if (graph === undefined) {
    if (graphs.size >= MAX_GRAPHS) graphs.delete(present(graphs.keys().next().value, "value"));
    graph = buildAdderGraph(
      matrix,
      firstOf(matrix).map(() => range),
      added,
    );
    graphs.set(key, graph);
  }
  return graph;
}
