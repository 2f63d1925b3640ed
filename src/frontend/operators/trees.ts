/**
 * Ensembles of trees: TreeEnsembleClassifier, TreeEnsembleRegressor, and TreeEnsemble of ai.onnx.ml 5. Scores and
 * labels are made as ONNX Runtime makes them (core/providers/cpu/ml/tree_ensemble_aggregator.h). Values that are
 * missing (NaN) have no counterpart in fixed point, so `nodes_missing_value_tracks_true` is read and has no effect.
 */
import type { Value } from "../../ir/core.js";
import type { Ensemble } from "../../ir/trees.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import {
  bestLabel,
  labelRemark,
  labelType,
  column,
  columns,
  labelAbove,
  labelsOf,
  postTransform,
  transformed,
  twoColumns,
  type PostTransform,
} from "./scores.js";
import { MODES, EnsembleBuilder } from "./tree-builder.js";

const DOUBLE = 11;

function listOf(ctx: NodeContext, name: string): readonly number[] {
  return ctx.ints(name) ?? [];
}
/** Numbers of a list attribute, or of its form as a tensor. */
function numbersOf(ctx: NodeContext, name: string): readonly number[] | undefined {
  const t = ctx.tensor(`${name}_as_tensor`);
  return t === undefined ? ctx.floats(name) : [...t.data];
}

/** Nodes and leaves as ai.onnx.ml 1 to 3 list them; `kind` is target or class. */
function readNodes(ctx: NodeContext, kind: "target" | "class", outputs: number): EnsembleBuilder {
  const b = new EnsembleBuilder();
  const [tree, id, feature, yes, no] = [
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_falsenodeids",
  ].map((n) => listOf(ctx, n));
  const modes = ctx.strings("nodes_modes") ?? [];
  const values = numbersOf(ctx, "nodes_values") ?? [];
  // How often a node was visited, and where values that are missing go, decide nothing here.
  ctx.floats("nodes_hitrates");
  ctx.tensor("nodes_hitrates_as_tensor");
  ctx.ints("nodes_missing_value_tracks_true");
  const n = modes.length;
  if (n === 0) throw ctx.error("it has no nodes");
  for (const [what, list] of Object.entries({
    nodes_treeids: tree!,
    nodes_nodeids: id!,
    nodes_featureids: feature!,
    nodes_truenodeids: yes!,
    nodes_falsenodeids: no!,
    nodes_values: values,
  })) {
    if (list.length !== n) throw ctx.error(`${what} has ${list.length} entries for ${n} nodes`);
  }
  const key = (t: number, k: number): string => `${t}:${k}`;
  const place = new Map<string, number>();
  for (let i = 0; i < n; i++) {
    if (place.has(key(tree![i]!, id![i]!))) throw ctx.error(`node ${id![i]} of tree ${tree![i]} is listed twice`);
    place.set(key(tree![i]!, id![i]!), i);
  }
  const leafValues = new Map<number, Map<number, number>>();
  const [wTree, wNode, wId] = [`${kind}_treeids`, `${kind}_nodeids`, `${kind}_ids`].map((name) => listOf(ctx, name));
  const weights = numbersOf(ctx, `${kind}_weights`) ?? [];
  for (const list of [wTree!, wNode!, wId!])
    if (list.length !== weights.length)
      throw ctx.error(`${kind}_treeids, ${kind}_nodeids, ${kind}_ids and ${kind}_weights differ in length`);
  weights.forEach((w, i) => {
    const at = place.get(key(wTree![i]!, wNode![i]!));
    if (at === undefined)
      throw ctx.error(`${kind}_weights name node ${wNode![i]} of tree ${wTree![i]}, which is not there`);
    const c = wId![i]!;
    if (c < 0 || c >= outputs) throw ctx.error(`${kind}_ids holds ${c}, there are ${outputs}`);
    const of = leafValues.get(at) ?? new Map<number, number>();
    leafValues.set(at, of.set(c, (of.get(c) ?? 0) + w));
  });
  const number = modes.map((mode, i) => {
    if (mode === "LEAF") return b.leaf(leafValues.get(i) ?? new Map());
    const m = MODES[mode];
    if (m === undefined)
      throw ctx.error(
        `node ${id![i]} of tree ${tree![i]} has mode ${mode}`,
        `it is one of ${Object.keys(MODES).join(", ")}, LEAF`,
      );
    return b.node(feature![i]!, values[i]!, m[0]);
  });
  const child = new Set<number>();
  modes.forEach((mode, i) => {
    if (mode === "LEAF") return;
    const to = [yes![i]!, no![i]!].map((k) => {
      const at = place.get(key(tree![i]!, k));
      if (at === undefined)
        throw ctx.error(`node ${id![i]} of tree ${tree![i]} leads to node ${k}, which is not there`);
      child.add(at);
      return number[at]!;
    });
    b.branch(number[i]!, to[0]!, to[1]!, MODES[mode]![1]);
  });
  const rootOf = new Map<number, number>();
  for (let i = 0; i < n; i++) {
    if (child.has(i)) continue;
    if (rootOf.has(tree![i]!))
      throw ctx.error(`tree ${tree![i]} has two roots, nodes ${id![rootOf.get(tree![i]!)!]} and ${id![i]}`);
    rootOf.set(tree![i]!, i);
  }
  const lost = tree!.find((t) => !rootOf.has(t));
  if (lost !== undefined) throw ctx.error(`a path through the nodes of tree ${lost} does not end`);
  for (const i of rootOf.values()) b.roots.push(number[i]!);
  return b;
}

function isDouble(ctx: NodeContext): boolean {
  return (
    ctx.elementType(0) === DOUBLE &&
    (ctx.tensorType("nodes_values_as_tensor") === DOUBLE || ctx.tensorType("nodes_splits") === DOUBLE)
  );
}

function featuresOf(ctx: NodeContext): Value {
  const x = ctx.value(0);
  const shape = shapeOf(x);
  if (shape.length !== 1 && shape.length !== 2) throw ctx.error(`its input has rank ${shape.length} instead of 2`);
  // One sample may come without the axis of samples.
  return shape.length === 2 ? x : ctx.emit("nn.reshape", [x], [1, shape[0]!], { shape: [1, shape[0]!] });
}

function plus(ctx: NodeContext, x: Value, values: readonly number[]): Value {
  if (values.every((v) => v === 0)) return x;
  return ctx.emit(
    "nn.add",
    [
      x,
      ctx.fromConstant({ shape: [values.length], data: Float64Array.from(values), integer: false }, `${ctx.name}_base`),
    ],
    shapeOf(x),
  );
}

function averaged(ctx: NodeContext, name: string): { aggregate: Ensemble["aggregate"]; average: boolean } {
  if (name === "SUM" || name === "AVERAGE") return { aggregate: "add", average: name === "AVERAGE" };
  if (name === "MIN" || name === "MAX") return { aggregate: name === "MIN" ? "min" : "max", average: false };
  throw ctx.error(`aggregate_function is ${name}`, "it is one of SUM, AVERAGE, MIN, MAX");
}

const regressor: OperatorImporter = {
  opType: "ai.onnx.ml::TreeEnsembleRegressor",
  limits: "post_transform other than PROBIT; missing values (NaN) do not occur",
  resultType: () => 1,
  import: (ctx) => {
    const targets = ctx.int("n_targets", 1);
    const { aggregate, average } = averaged(ctx, ctx.string("aggregate_function", "SUM"));
    const post = postTransform(ctx);
    const x = featuresOf(ctx);
    const b = readNodes(ctx, "target", targets);
    const base = numbersOf(ctx, "base_values") ?? [];
    if (base.length > 0 && base.length !== targets)
      throw ctx.error(`base_values has ${base.length} entries for ${targets} targets`);
    const scale = average ? 1 / b.roots.length : 1;
    if (aggregate === "add") b.constant(base.map((v) => v / scale));
    const values = b.emit(ctx, x, targets, aggregate, scale, isDouble(ctx));
    const sum = aggregate === "add" ? values : plus(ctx, values, base);
    // ONNX Runtime transforms nothing where there is one target.
    return targets === 1 ? sum : transformed(ctx, sum, post);
  },
};

const classifier: OperatorImporter = {
  opType: "ai.onnx.ml::TreeEnsembleClassifier",
  limits:
    "post_transform other than PROBIT; labels that are strings leave as their position; missing values (NaN) do not occur",
  resultType: labelType("classlabels_strings"),
  remark: labelRemark("classlabels_strings"),
  import: (ctx) => {
    const labels = labelsOf(ctx, "classlabels_int64s", "classlabels_strings");
    const count = labels.values.length;
    const post = postTransform(ctx);
    const x = featuresOf(ctx);
    const b = readNodes(ctx, "class", count);
    const base = numbersOf(ctx, "base_values") ?? [];
    const classes = new Set(ctx.ints("class_ids") ?? []);
    const positive = (numbersOf(ctx, "class_weights") ?? []).every((w) => w >= 0);
    if (count > 2) {
      if (base.length > 0 && base.length !== count)
        throw ctx.error(`base_values has ${base.length} entries for ${count} classes`);
      const some = b.reached(count).findIndex((r) => r !== "always");
      if (some >= 0 && base.length === 0 && !positive)
        throw ctx.error(
          `class ${labels.names?.[some] ?? labels.values[some]} has a score in some leaves only, and scores may be negative`,
          "give every leaf a weight for every class",
        );
      b.constant(base);
      const scores = b.emit(ctx, x, count, "add", 1, isDouble(ctx));
      return [bestLabel(ctx, scores, labels), transformed(ctx, scores, post)];
    }
    return binaryScores(ctx, b, x, { count, base, one: classes.size === 1, positive, post, labels: labels.values });
  },
};

interface Binary {
  readonly count: number;
  readonly base: readonly number[];
  /** Whether all weights are of one class. */
  readonly one: boolean;
  /** Whether no weight is negative. */
  readonly positive: boolean;
  readonly post: PostTransform;
  readonly labels: readonly number[];
}

/** One or two classes: what counts as the score of the second one depends on which weights there are. */
function binaryScores(ctx: NodeContext, b: EnsembleBuilder, x: Value, c: Binary): Value[] {
  const [, second] = b.reached(2);
  if (c.base.length === 1) b.constant(c.base);
  const sums = b.emit(ctx, x, c.count, "add", 1, isDouble(ctx));
  if (second === "sometimes")
    throw ctx.error(
      "the second of two classes has a score in some leaves only",
      "give every leaf a weight for both classes, or for one of them",
    );
  const [first, rest] = [column(ctx, sums, 0), c.count > 1 ? column(ctx, sums, 1) : undefined];
  let pair: readonly [Value, Value] | undefined = rest === undefined || second === "never" ? undefined : [first, rest];
  if (c.base.length === 2 && c.count === 2) {
    if (pair !== undefined) {
      const margin = plus(ctx, first, [c.base[1]!]);
      pair = [ctx.emit("nn.neg", [margin], shapeOf(margin)), margin];
    } else pair = [plus(ctx, first, [c.base[0]!]), plus(ctx, rest!, [c.base[1]!])];
  } else if (c.base.length > 1) throw ctx.error(`base_values has ${c.base.length} entries for ${c.count} classes`);
  const decisive = pair !== undefined && second === "always" ? pair[1] : (pair?.[0] ?? first);
  const binary = c.one && c.count === 2;
  const label = binary
    ? labelAbove(ctx, decisive, c.positive ? 0.5 : 0, c.labels[1]!, c.labels[0]!)
    : labelAbove(ctx, decisive, 0, 1, 0);
  if (pair !== undefined) return [label, transformed(ctx, columns(ctx, pair), c.post)];
  return [label, twoColumns(ctx, first, c.post, c.positive && binary)];
}

// --- TreeEnsemble of ai.onnx.ml 5

const MEMBER = 6;
const MODE_NAMES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"] as const;

function readTrees(ctx: NodeContext, targets: number): EnsembleBuilder {
  const b = new EnsembleBuilder();
  const tensorOf = (name: string): readonly number[] => {
    const t = ctx.tensor(name);
    if (t === undefined) throw ctx.error(`it has no ${name}`);
    return [...t.data];
  };
  const [modes, splits, leafWeights] = [tensorOf("nodes_modes"), tensorOf("nodes_splits"), tensorOf("leaf_weights")];
  const [feature, yes, no, yesLeaf, noLeaf, leafTarget, roots] = [
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_trueleafs",
    "nodes_falseleafs",
    "leaf_targetids",
    "tree_roots",
  ].map((n) => listOf(ctx, n));
  ctx.tensor("nodes_hitrates");
  ctx.ints("nodes_missing_value_tracks_true");
  const n = modes.length;
  for (const [what, list] of Object.entries({
    nodes_splits: splits,
    nodes_featureids: feature!,
    nodes_truenodeids: yes!,
    nodes_falsenodeids: no!,
    nodes_trueleafs: yesLeaf!,
    nodes_falseleafs: noLeaf!,
  })) {
    if (list.length !== n) throw ctx.error(`${what} has ${list.length} entries for ${n} nodes`);
  }
  if (leafTarget!.length !== leafWeights.length)
    throw ctx.error(`leaf_targetids has ${leafTarget!.length} entries for ${leafWeights.length} leaves`);
  const leaves = leafWeights.map((w, i) => {
    if (leafTarget![i]! < 0 || leafTarget![i]! >= targets)
      throw ctx.error(`leaf ${i} is of target ${leafTarget![i]}, there are ${targets}`);
    return b.leaf(new Map([[leafTarget![i]!, w]]));
  });
  const sets = memberSets(ctx, modes.filter((m) => m === MEMBER).length);
  let nextSet = 0;
  // A set is a row of nodes that ask for one member each and share where they lead if it is found.
  const rows = modes.map((m, i) => {
    const questions = m === MEMBER ? sets[nextSet++]! : [splits[i]!];
    const mode = m === MEMBER ? "BRANCH_EQ" : MODE_NAMES[m];
    if (mode === undefined) throw ctx.error(`node ${i} has mode ${m}`, "modes are numbers from 0 to 6");
    return { mode: MODES[mode]!, nodes: questions.map((q) => b.node(feature![i]!, q, MODES[mode]![0])) };
  });
  const target = (to: number, leaf: number): number => {
    const found = leaf === 1 ? leaves[to] : rows[to]?.nodes[0];
    if (found === undefined)
      throw ctx.error(`a node leads to ${leaf === 1 ? "leaf" : "node"} ${to}, which is not there`);
    return found;
  };
  rows.forEach(({ mode, nodes }, i) => {
    const [t, f] = [target(yes![i]!, yesLeaf![i]!), target(no![i]!, noLeaf![i]!)];
    nodes.forEach((node, k) => b.branch(node, t, nodes[k + 1] ?? f, mode[1]));
  });
  if (roots!.length === 0) throw ctx.error("it has no tree_roots");
  for (const r of roots!) {
    // A tree that is one leaf is written as a node both of whose branches are that leaf.
    const root = rows[r]?.nodes[0];
    if (root === undefined) throw ctx.error(`tree_roots names node ${r}, which is not there`);
    b.roots.push(root);
  }
  return b;
}

/** Values of `membership_values`, whose sets end with a NaN each. */
function memberSets(ctx: NodeContext, count: number): number[][] {
  const values = ctx.tensor("membership_values")?.data ?? new Float64Array(0);
  const sets: number[][] = [];
  let set: number[] = [];
  for (const v of values) {
    if (Number.isNaN(v)) {
      sets.push(set);
      set = [];
    } else set.push(v);
  }
  if (set.length > 0) sets.push(set);
  if (sets.length !== count || sets.some((s) => s.length === 0))
    throw ctx.error(`membership_values holds ${sets.length} sets for ${count} nodes that ask for one`);
  return sets;
}

const ensemble: OperatorImporter = {
  opType: "ai.onnx.ml::TreeEnsemble",
  limits: "post_transform NONE; missing values (NaN) do not occur",
  import: (ctx) => {
    const targets = ctx.int("n_targets", 1);
    const { aggregate, average } = averaged(
      ctx,
      ["AVERAGE", "SUM", "MIN", "MAX"][ctx.int("aggregate_function", 1)] ?? "unknown",
    );
    const post = ctx.int("post_transform", 0);
    // The standard numbers SOFTMAX 1 and LOGISTIC 2; ONNX Runtime (1.31) reads them the other way round.
    if (post !== 0)
      throw ctx.error(
        `post_transform ${post} of TreeEnsemble means one thing in the standard and another in ONNX Runtime`,
        "export with post_transform 0, and Softmax or Sigmoid behind it",
      );
    const x = featuresOf(ctx);
    const b = readTrees(ctx, targets);
    return b.emit(ctx, x, targets, aggregate, average ? 1 / b.roots.length : 1, isDouble(ctx));
  },
};

export const treeOperators: readonly OperatorImporter[] = [regressor, classifier, ensemble];
