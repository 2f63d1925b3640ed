/**
 * Ensembles of decision trees as data, the same for nn and flow: nodes that compare one feature with a constant, and
 * leaves with a value per output. Trees may share nodes, so a tree is a directed graph without cycles.
 */
import { Dense, type Attr, type AttrRecord } from "./attributes.js";
import { f32 } from "./types.js";

/** What a node asks: x <= t, x < t, x == t. The other relations of ONNX are these with the branches exchanged. */
export const RELATIONS = ["le", "lt", "eq"] as const;
export type Relation = (typeof RELATIONS)[number];

export interface Ensemble {
  /**
   * Per node: feature, constant, relation as an index of RELATIONS, where to go on. -1 - k is leaf k, other numbers are
   * nodes.
   */
  readonly feature: ArrayLike<number>;
  readonly threshold: ArrayLike<number>;
  readonly relation: ArrayLike<number>;
  readonly onTrue: ArrayLike<number>;
  readonly onFalse: ArrayLike<number>;
  /** Where each tree begins, a node or a leaf. */
  readonly roots: ArrayLike<number>;
  /** `values[leaf * outputs + output]`. */
  readonly values: ArrayLike<number>;
  readonly outputs: number;
  /** How the trees' values become one. */
  readonly aggregate: "add" | "min" | "max";
}

export function leafOf(target: number): number {
  return -1 - target;
}

/** The leaf in which `x` ends, from a node or leaf on. */
export function descend(e: Ensemble, start: number, x: ArrayLike<number>, offset = 0): number {
  let at = start;
  while (at >= 0) {
    const v = x[offset + e.feature[at]!]!;
    const t = e.threshold[at]!;
    const r = e.relation[at]!;
    at = (r === 0 ? v <= t : r === 1 ? v < t : v === t) ? e.onTrue[at]! : e.onFalse[at]!;
  }
  return leafOf(at);
}

/** Outputs of all trees for the features at `offset` of `x`, written to `out` from `to` on. */
export function evaluateEnsemble(
  e: Ensemble,
  x: ArrayLike<number>,
  offset: number,
  out: { [i: number]: number },
  to: number,
): void {
  const n = e.outputs;
  for (let c = 0; c < n; c++) out[to + c] = e.aggregate === "add" ? 0 : e.aggregate === "min" ? Infinity : -Infinity;
  for (let t = 0; t < e.roots.length; t++) {
    const leaf = descend(e, e.roots[t]!, x, offset) * n;
    for (let c = 0; c < n; c++) {
      const v = e.values[leaf + c]!;
      if (e.aggregate === "add") out[to + c]! += v;
      else if (e.aggregate === "min" ? v < out[to + c]! : v > out[to + c]!) out[to + c] = v;
    }
  }
}

/** Leaves that a tree can end in. */
export function leavesOf(e: Ensemble, root: number): number[] {
  const leaves = new Set<number>();
  const seen = new Set<number>();
  const stack = [root];
  while (stack.length > 0) {
    const at = stack.pop()!;
    if (at < 0) leaves.add(leafOf(at));
    else if (!seen.has(at)) {
      seen.add(at);
      stack.push(e.onTrue[at]!, e.onFalse[at]!);
    }
  }
  return [...leaves].sort((a, b) => a - b);
}

/** Least and largest value of output `c` over all paths, taking each tree by itself. */
export function outputRange(e: Ensemble, c: number): { lo: number; hi: number } {
  let [lo, hi] = e.aggregate === "add" ? [0, 0] : [Infinity, -Infinity];
  for (let t = 0; t < e.roots.length; t++) {
    let [least, most] = [Infinity, -Infinity];
    for (const leaf of leavesOf(e, e.roots[t]!)) {
      const v = e.values[leaf * e.outputs + c]!;
      least = Math.min(least, v);
      most = Math.max(most, v);
    }
    if (e.aggregate === "add") [lo, hi] = [lo + least, hi + most];
    else if (e.aggregate === "min") [lo, hi] = [Math.min(lo, least), hi === -Infinity ? most : Math.min(hi, most)];
    else [lo, hi] = [lo === Infinity ? least : Math.max(lo, least), Math.max(hi, most)];
  }
  return { lo, hi };
}

const LISTS = ["feature", "threshold", "relation", "onTrue", "onFalse", "roots"] as const;

/** As an attribute. `values` keeps its own element type. */
export function ensembleAttrs(e: Omit<Ensemble, "values" | "outputs">, values: Dense): AttrRecord {
  const list = (data: ArrayLike<number>): Attr => new Dense([data.length], f32, Float64Array.from(data));
  return { ...Object.fromEntries(LISTS.map((k) => [k, list(e[k])])), values, aggregate: e.aggregate };
}

/** Reads what `ensembleAttrs` made; values are as they are stored, raw integers on fixed point. */
export function readEnsemble(record: AttrRecord): Ensemble & { readonly dense: Dense } {
  const data = (key: string): ArrayLike<number> => (record[key] as Dense).data;
  const dense = record["values"] as Dense;
  return {
    feature: data("feature"),
    threshold: data("threshold"),
    relation: data("relation"),
    onTrue: data("onTrue"),
    onFalse: data("onFalse"),
    roots: data("roots"),
    values: dense.data,
    outputs: dense.shape[1]!,
    aggregate: record["aggregate"] as Ensemble["aggregate"],
    dense,
  };
}

/** What is wrong with an ensemble over `features` features, or undefined. */
export function ensembleProblem(record: AttrRecord, features: number): string | undefined {
  for (const key of [...LISTS, "values"]) if (!(record[key] instanceof Dense)) return `${key} is not a constant`;
  if (!["add", "min", "max"].includes(String(record["aggregate"]))) return "aggregate is none of add, min, max";
  const e = readEnsemble(record);
  const nodes = e.feature.length;
  if ((record["values"] as Dense).shape.length !== 2) return "values are not a table of leaves by outputs";
  const leaves = (record["values"] as Dense).shape[0]!;
  for (const key of ["threshold", "relation", "onTrue", "onFalse"] as const)
    if (e[key].length !== nodes) return `${key} has ${e[key].length} entries for ${nodes} nodes`;
  if (e.roots.length === 0) return "there is no tree";
  const target = (v: number): boolean => Number.isInteger(v) && v < nodes && v >= -leaves;
  for (let i = 0; i < nodes; i++) {
    if (!(e.feature[i]! >= 0 && e.feature[i]! < features))
      return `node ${i} reads feature ${e.feature[i]} of ${features}`;
    if (RELATIONS[e.relation[i]!] === undefined) return `node ${i} has relation ${e.relation[i]}`;
    if (!target(e.onTrue[i]!) || !target(e.onFalse[i]!)) return `node ${i} leads to what is not there`;
    if (Number.isNaN(e.threshold[i]!)) return `node ${i} compares with NaN`;
  }
  for (let t = 0; t < e.roots.length; t++) if (!target(e.roots[t]!)) return `tree ${t} begins at what is not there`;
  const height = longestPath(e);
  if (height === Infinity) return "a path through the nodes does not end";
  return height > MAX_DEPTH ? `a path has ${height} comparisons, at most ${MAX_DEPTH} are possible` : undefined;
}

/** Comparisons on a path, at most: exporters' trees have some tens. */
const MAX_DEPTH = 512;

/** Comparisons on the longest path from any node; infinite where one runs in a circle. */
function longestPath(e: Ensemble): number {
  // 0: not seen, -1: on the path at hand, otherwise the height.
  const height = new Int32Array(e.feature.length);
  let longest = 0;
  for (let root = 0; root < height.length; root++) {
    if (height[root] !== 0) continue;
    const stack = [root];
    while (stack.length > 0) {
      const at = stack[stack.length - 1]!;
      const next = [e.onTrue[at]!, e.onFalse[at]!];
      if (height[at] === -1) {
        height[at] = 1 + Math.max(...next.map((n) => (n < 0 ? 0 : height[n]!)));
        longest = Math.max(longest, height[at]!);
        stack.pop();
      } else if (height[at]! > 0) stack.pop();
      else {
        height[at] = -1;
        for (const n of next) {
          if (n < 0) continue;
          if (height[n] === -1) return Infinity;
          if (height[n] === 0) stack.push(n);
        }
      }
    }
  }
  return longest;
}
