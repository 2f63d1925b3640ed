/** nn.trees -> one kernel: features, outputs and trees are its iterators, the nodes its ensemble. */
import { allocate, Dense } from "../../ir/attributes.js";
import type { Op } from "../../ir/core.js";
import { treesOf } from "../../ir/nn/trees.js";
import { ensembleAttrs, leafOf, leavesOf, RELATIONS, type Ensemble } from "../../ir/trees.js";
import { rawRange, typeOfRange, ufixed, type FixedType, type RawRange, type TensorType } from "../../ir/types.js";
import { along, at0, type Index, type LoweringContext } from "./context.js";

/** Nodes under construction: equal ones are one, and a node that decides nothing is where it leads. */
class Nodes {
  readonly feature: number[] = [];
  readonly threshold: number[] = [];
  readonly relation: number[] = [];
  readonly onTrue: number[] = [];
  readonly onFalse: number[] = [];
  /** Values by leaf and output. */
  readonly values: number[][] = [];
  private readonly known = new Map<string, number>();

  leaf(values: readonly number[]): number {
    const key = values.join();
    let found = this.known.get(key);
    if (found === undefined) this.known.set(key, (found = -this.values.push([...values])));
    return found;
  }
  node(feature: number, threshold: number, relation: number, onTrue: number, onFalse: number): number {
    if (onTrue === onFalse) return onTrue;
    const key = `${feature}:${threshold}:${relation}:${onTrue}:${onFalse}`;
    let found = this.known.get(key);
    if (found === undefined) {
      this.known.set(key, (found = this.feature.push(feature) - 1));
      this.threshold.push(threshold);
      this.relation.push(relation);
      this.onTrue.push(onTrue);
      this.onFalse.push(onFalse);
    }
    return found;
  }
  ensemble(outputs: number, aggregate: Ensemble["aggregate"]): Ensemble {
    return {
      feature: this.feature,
      threshold: this.threshold,
      relation: this.relation,
      onTrue: this.onTrue,
      onFalse: this.onFalse,
      roots: [],
      values: this.values.flat(),
      outputs,
      aggregate,
    };
  }
}

const [LE, , EQ] = [0, 1, 2];

/**
 * Copies what `start` leads to into `nodes`, with thresholds as integers in the range of x and leaves changed by
 * `change`.
 */
function copy(
  e: Ensemble,
  nodes: Nodes,
  frac: number,
  range: RawRange,
  change: (values: number[]) => readonly number[],
): (start: number) => number {
  const done = new Map<number, number>();
  const visit = (at: number): number => {
    if (at < 0)
      return nodes.leaf(change(Array.from({ length: e.outputs }, (_, c) => e.values[leafOf(at) * e.outputs + c]!)));
    let found = done.get(at);
    if (found !== undefined) return found;
    const relation = RELATIONS[e.relation[at]!]!;
    const t = e.threshold[at]! * 2 ** frac;
    if (relation === "eq")
      found =
        Number.isInteger(t) && t >= range.lo && t <= range.hi
          ? nodes.node(e.feature[at]!, t, EQ, visit(e.onTrue[at]!), visit(e.onFalse[at]!))
          : visit(e.onFalse[at]!);
    else {
      const last = relation === "le" ? Math.floor(t) : Math.ceil(t) - 1;
      if (last < range.lo) found = visit(e.onFalse[at]!);
      else if (last >= range.hi) found = visit(e.onTrue[at]!);
      else found = nodes.node(e.feature[at]!, last, LE, visit(e.onTrue[at]!), visit(e.onFalse[at]!));
    }
    done.set(at, found);
    return found;
  };
  return visit;
}

/** Values that occur in one column of the leaves of a tree. */
function columnOf(e: Ensemble, root: number, c: number): number[] {
  return [...new Set(leavesOf(e, root).map((l) => e.values[l * e.outputs + c]!))];
}

/**
 * Trees by output. Of a sum, trees that give an output one value whatever the features are go into the leaves of
 * another tree. Returns the numbers of roots in `roots`, as many per output, and the number of a tree that changes
 * nothing.
 */
function treesByOutput(
  source: Ensemble,
  nodes: Nodes,
  starts: readonly number[],
): { lists: number[][]; roots: number[]; idle: number } {
  const numbers = new Map<number, number>();
  const roots: number[] = [];
  const number = (root: number): number => {
    let n = numbers.get(root);
    if (n === undefined) numbers.set(root, (n = roots.push(root) - 1));
    return n;
  };
  const { outputs, aggregate } = source;
  if (aggregate !== "add") {
    const list = starts.map(number);
    return { lists: Array.from({ length: outputs }, () => list), roots, idle: list[0]! };
  }
  const e = nodes.ensemble(outputs, aggregate);
  const constants = new Array<number>(outputs).fill(0);
  const perOutput = Array.from({ length: outputs }, (_, c) =>
    starts.filter((root) => {
      const values = columnOf(e, root, c);
      if (values.length > 1) return true;
      constants[c]! += values[0]!;
      return false;
    }),
  );
  // The first tree of an output takes its constant along, in a copy of its own.
  const added = new Map<number, number[]>();
  perOutput.forEach((list, c) => {
    if (constants[c] === 0) return;
    if (list.length === 0) list.push(nodes.leaf(constants.map((v, k) => (k === c ? v : 0))));
    else added.set(list[0]!, [...(added.get(list[0]!) ?? []), c]);
  });
  for (const [root, cs] of added) {
    const changed = copy(nodes.ensemble(outputs, aggregate), nodes, 0, { lo: -Infinity, hi: Infinity }, (v) =>
      v.map((x, c) => (cs.includes(c) ? x + constants[c]! : x)),
    )(root);
    for (const c of cs) perOutput[c]![0] = changed;
  }
  const idle = number(nodes.leaf(new Array<number>(outputs).fill(0)));
  const most = Math.max(1, ...perOutput.map((l) => l.length));
  return {
    lists: perOutput.map((l) => Array.from({ length: most }, (_, t) => (t < l.length ? number(l[t]!) : idle))),
    roots,
    idle,
  };
}

export function lowerTrees(op: Op, ctx: LoweringContext, name: string): void {
  const x = ctx.view(op.operand(0));
  const source = treesOf(op);
  const nodes = new Nodes();
  const visit = copy(source, nodes, x.elem.frac, rawRange(x.elem), (v) => v);
  const { lists, roots, idle } = treesByOutput(source, nodes, Array.from(source.roots, visit));
  const e = { ...nodes.ensemble(source.outputs, source.aggregate), roots };
  const terms = lists[0]!.length;
  const frac = (source.dense.elem as FixedType).frac;
  const [ranges, term] = rangesOf(e, lists);
  const values = allocate(term, e.values.length);
  for (let i = 0; i < values.length; i++) values[i] = e.values[i]!;
  const leaves = new Dense([e.values.length / e.outputs, e.outputs], { ...term, frac }, values);
  const ids = typeOfRange({ lo: 0, hi: roots.length - 1 }, 0);
  const idData = allocate(ids, e.outputs * terms);
  lists.forEach((l, c) => l.forEach((r, t) => (idData[c * terms + t] = r)));
  const rows = x.shape.slice(0, -1);
  const rowIndex = rows.map((n, d): Index => (n === 1 ? at0 : along(`d${d}`)));
  ctx.setView(
    op.result,
    ctx.kernel({
      name,
      loc: op.loc,
      iterators: [
        ...rows.map((n, d) => ({ name: `d${d}`, extent: n, kind: "parallel" as const })),
        { name: "c", extent: e.outputs, kind: "parallel" },
        { name: "t", extent: terms, kind: "reduction" },
        { name: "f", extent: x.shape.at(-1)!, kind: "reduction" },
      ],
      operands: [
        { of: x, index: [...rowIndex, along("f")] },
        {
          of: ctx.constant(new Dense([e.outputs, terms], ids, idData), `${name}_trees`),
          index: [along("c"), along("t")],
          pad: idle,
        },
      ],
      combiner: source.aggregate,
      accType: typeOfRange(ranges, frac),
      result: op.result.type as TensorType,
      out: [...rowIndex, along("c")],
      trees: ensembleAttrs(e, leaves),
      body: (b, [v, tree]) => b.tree(v!, tree!, { ...term, frac }),
    }),
  );
}

/** What sums of some of the trees, or extremes, can be; and a type for the values of all leaves. */
function rangesOf(e: Ensemble, lists: readonly (readonly number[])[]): readonly [RawRange, FixedType] {
  const all = { lo: 0, hi: 0 };
  let term: RawRange = { lo: Infinity, hi: -Infinity };
  lists.forEach((list, c) => {
    const sum = { lo: 0, hi: 0 };
    for (const id of list) {
      const values = columnOf(e, e.roots[id]!, c);
      const [lo, hi] = [Math.min(...values), Math.max(...values)];
      sum.lo += Math.min(0, lo);
      sum.hi += Math.max(0, hi);
      term = { lo: Math.min(term.lo, lo), hi: Math.max(term.hi, hi) };
    }
    all.lo = Math.min(all.lo, sum.lo);
    all.hi = Math.max(all.hi, sum.hi);
  });
  for (let i = 0; i < e.values.length; i++)
    term = { lo: Math.min(term.lo, e.values[i]!), hi: Math.max(term.hi, e.values[i]!) };
  if (e.aggregate !== "add") return [term, typeOfRange(term, 0)];
  return [
    { lo: Math.min(all.lo, term.lo), hi: Math.max(all.hi, term.hi) },
    Number.isFinite(term.lo) ? typeOfRange(term, 0) : ufixed(1, 0),
  ];
}
