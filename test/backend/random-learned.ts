/**
 * How random networks use the models of classical machine learning (ai.onnx.ml): trees, linear models, support vectors,
 * and what is around them.
 */
import { INT64, type Attributes, type ModelBuilder, type Tensor } from "./model-builder.js";
import { last } from "./random-fused.js";
import { ranked, real, type Use } from "./random-operands.js";

const ML = "ai.onnx.ml";
/** The operator set whose trees are lists of nodes by tree; the newest has one table for all. */
const TREES_BY_NODE = 3;
const FLOAT_TENSOR = 1;
const UINT8_TENSOR = 2;

function learned(name: string, build: (b: ModelBuilder) => void): Use {
  return { name: `${ML}::${name}`, build };
}
const samples = (b: ModelBuilder): Tensor => ranked(b, 2, (s) => s[1]! <= 16);
const numbers = (b: ModelBuilder, n: number, size = 1): { floats: number[] } => ({
  floats: Array.from({ length: n }, () => b.number(size)),
});
const list = (data: readonly number[], dataType: number): { tensor: object } => ({
  tensor:
    dataType === FLOAT_TENSOR
      ? { name: "", dims: [data.length], dataType, floatData: data }
      : { name: "", dims: [data.length], dataType, int32Data: data },
});
/** Labels are integers, scores real numbers. */
function classified(b: ModelBuilder, name: string, x: Tensor, attrs: Attributes, size: number): void {
  b.results(name, [x], 2, { domain: ML, attrs, type: INT64, size });
}

const BRANCHES = ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ"];

interface Branch {
  readonly feature: number;
  readonly threshold: number;
  readonly mode: number;
  readonly ends: readonly (Branch | number)[];
}
function grow(b: ModelBuilder, features: number, depth: number): Branch {
  const end = (): Branch | number => (depth <= 1 || b.chance(0.2) ? b.number(1) : grow(b, features, depth - 1));
  return {
    feature: b.int(0, features - 1),
    threshold: b.int(-8, 8) / 8,
    mode: b.int(0, BRANCHES.length - 1),
    ends: [end(), end()],
  };
}

/**
 * Trees as attributes of the older operators; a leaf gives to one target, or (which the least, the largest and classes
 * need) to `all`.
 */
function byNode(
  b: ModelBuilder,
  trees: readonly Branch[],
  kind: "target" | "class",
  targets: number,
  all = false,
): Attributes {
  const nodes: { tree: number; id: number; feature: number; value: number; mode: string; yes: number; no: number }[] =
    [];
  const leaves: { tree: number; id: number; weight: number; target: number }[] = [];
  trees.forEach((tree, t) => {
    let ids = 0;
    const visit = (n: Branch | number): number => {
      const id = ids++;
      if (typeof n === "number") {
        nodes.push({ tree: t, id, feature: 0, value: 0, mode: "LEAF", yes: 0, no: 0 });
        if (all)
          leaves.push(
            ...Array.from({ length: targets }, (_, target) => ({ tree: t, id, weight: n * (target + 1), target })),
          );
        else leaves.push({ tree: t, id, weight: n, target: b.int(0, targets - 1) });
        return id;
      }
      const at = nodes.length;
      nodes.push({
        tree: t,
        id,
        feature: n.feature,
        value: n.threshold,
        mode: `BRANCH_${BRANCHES[n.mode]!}`,
        yes: 0,
        no: 0,
      });
      const [yes, no] = [visit(n.ends[0]!), visit(n.ends[1]!)];
      nodes[at] = { ...nodes[at]!, yes, no };
      return id;
    };
    visit(tree);
  });
  return {
    nodes_treeids: nodes.map((n) => n.tree),
    nodes_nodeids: nodes.map((n) => n.id),
    nodes_featureids: nodes.map((n) => n.feature),
    nodes_values: { floats: nodes.map((n) => n.value) },
    nodes_modes: nodes.map((n) => n.mode),
    nodes_truenodeids: nodes.map((n) => n.yes),
    nodes_falsenodeids: nodes.map((n) => n.no),
    [`${kind}_treeids`]: leaves.map((l) => l.tree),
    [`${kind}_nodeids`]: leaves.map((l) => l.id),
    [`${kind}_ids`]: leaves.map((l) => l.target),
    [`${kind}_weights`]: { floats: leaves.map((l) => l.weight) },
  };
}

/** Trees as attributes of the newest operator. */
function inTable(b: ModelBuilder, trees: readonly Branch[], targets: number): Attributes {
  const nodes: { at: Branch; ends: [number, number]; leaf: [number, number] }[] = [];
  const leaves: number[] = [];
  const visit = (n: Branch): number => {
    const me = nodes.push({ at: n, ends: [0, 0], leaf: [0, 0] }) - 1;
    n.ends.forEach((end, i) => {
      nodes[me]!.leaf[i] = typeof end === "number" ? 1 : 0;
      nodes[me]!.ends[i] = typeof end === "number" ? leaves.push(end) - 1 : visit(end);
    });
    return me;
  };
  const roots = trees.map(visit);
  return {
    n_targets: targets,
    tree_roots: roots,
    nodes_featureids: nodes.map((n) => n.at.feature),
    nodes_splits: list(
      nodes.map((n) => n.at.threshold),
      FLOAT_TENSOR,
    ),
    nodes_modes: list(
      nodes.map((n) => n.at.mode),
      UINT8_TENSOR,
    ),
    nodes_truenodeids: nodes.map((n) => n.ends[0]),
    nodes_trueleafs: nodes.map((n) => n.leaf[0]),
    nodes_falsenodeids: nodes.map((n) => n.ends[1]),
    nodes_falseleafs: nodes.map((n) => n.leaf[1]),
    leaf_weights: list(leaves, FLOAT_TENSOR),
    leaf_targetids: leaves.map(() => b.int(0, targets - 1)),
  };
}
const forest = (b: ModelBuilder, x: Tensor): Branch[] =>
  Array.from({ length: b.int(1, 4) }, () => grow(b, last(x), b.int(1, 3)));

const trees: Use[] = [
  learned("TreeEnsemble", (b) => {
    if (!b.requires(ML, 5)) return;
    const x = samples(b);
    // A leaf gives to one target, and the least and the largest need all.
    const targets = b.int(1, 3);
    b.node("TreeEnsemble", [x], {
      domain: ML,
      attrs: { ...inTable(b, forest(b, x), targets), aggregate_function: targets === 1 ? b.int(0, 3) : b.int(0, 1) },
      size: 4,
    });
  }),
  learned("TreeEnsembleRegressor", (b) => {
    if (!b.requires(ML, TREES_BY_NODE)) return;
    const x = samples(b);
    const targets = b.int(1, 3);
    const how = b.pick(["SUM", "AVERAGE", "MIN", "MAX"]);
    b.node("TreeEnsembleRegressor", [x], {
      domain: ML,
      attrs: {
        ...byNode(b, forest(b, x), "target", targets, how.startsWith("M")),
        n_targets: targets,
        aggregate_function: how,
        ...(b.chance(0.5) && { base_values: numbers(b, targets) }),
      },
      size: 5,
    });
  }),
  learned("TreeEnsembleClassifier", (b) => {
    if (!b.requires(ML, TREES_BY_NODE)) return;
    const x = samples(b);
    const classes = b.int(2, 3);
    classified(
      b,
      "TreeEnsembleClassifier",
      x,
      {
        ...byNode(b, forest(b, x), "class", classes, true),
        classlabels_int64s: Array.from({ length: classes }, (_, i) => i),
        post_transform: b.pick(["NONE", "LOGISTIC", "SOFTMAX"]),
      },
      4,
    );
  }),
];

const linear: Use[] = [
  learned("LinearRegressor", (b) => {
    const x = samples(b);
    const targets = b.int(1, 3);
    b.node("LinearRegressor", [x], {
      domain: ML,
      attrs: { coefficients: numbers(b, targets * last(x)), intercepts: numbers(b, targets), targets },
      size: last(x) * x.size + 1,
    });
  }),
  learned("LinearClassifier", (b) => {
    const x = samples(b);
    const rows = b.int(1, 3);
    classified(
      b,
      "LinearClassifier",
      x,
      {
        coefficients: numbers(b, rows * last(x)),
        intercepts: numbers(b, rows),
        classlabels_ints: Array.from({ length: Math.max(2, rows) }, (_, i) => i + 1),
        post_transform: b.pick(["NONE", "LOGISTIC", "SOFTMAX"]),
      },
      last(x) * x.size + 1,
    );
  }),
  learned("SVMRegressor", (b) => {
    const x = samples(b);
    const n = b.int(1, 3);
    b.node("SVMRegressor", [x], {
      domain: ML,
      attrs: {
        coefficients: numbers(b, n),
        support_vectors: numbers(b, n * last(x)),
        n_supports: n,
        rho: numbers(b, 1),
        kernel_type: b.pick(["LINEAR", "RBF"]),
        kernel_params: { floats: [0.2, 0, 3] },
      },
      size: n * last(x) * x.size + 1,
    });
  }),
  learned("SVMClassifier", (b) => {
    const x = samples(b);
    const classes = b.int(2, 3);
    const perClass = Array.from({ length: classes }, () => b.int(1, 2));
    const count = perClass.reduce((a, c) => a + c, 0);
    classified(
      b,
      "SVMClassifier",
      x,
      {
        coefficients: numbers(b, (classes - 1) * count),
        support_vectors: numbers(b, count * last(x)),
        vectors_per_class: perClass,
        rho: numbers(b, (classes * (classes - 1)) / 2),
        kernel_type: b.pick(["LINEAR", "RBF"]),
        kernel_params: { floats: [0.2, 0, 3] },
        classlabels_ints: Array.from({ length: classes }, (_, i) => i),
      },
      count * last(x) * x.size + 1,
    );
  }),
];

const around: Use[] = [
  learned("Scaler", (b) => {
    const x = samples(b);
    b.node("Scaler", [x], {
      domain: ML,
      attrs: { offset: numbers(b, last(x)), scale: numbers(b, b.pick([1, last(x)])) },
      size: x.size + 1,
    });
  }),
  learned("Normalizer", (b) => {
    const x = b.node("Add", [b.node("Abs", [samples(b)]), b.floats([], [0.5])]);
    b.node("Normalizer", [x], { domain: ML, attrs: { norm: b.pick(["MAX", "L1", "L2"]) }, size: 1 });
  }),
  learned("Imputer", (b) => {
    const x = samples(b);
    b.node("Imputer", [x], {
      domain: ML,
      attrs: { imputed_value_floats: numbers(b, last(x)), replaced_value_float: { float: b.int(-4, 4) / 4 } },
      size: Math.max(1, x.size),
    });
  }),
  learned(
    "Binarizer",
    (b) => void b.node("Binarizer", [real(b)], { domain: ML, attrs: { threshold: { float: b.number(1) } }, size: 1 }),
  ),
  learned("FeatureVectorizer", (b) => {
    const x = samples(b);
    b.node("FeatureVectorizer", [x, x], { domain: ML, attrs: { inputdimensions: [last(x), last(x)] }, size: x.size });
  }),
  learned("OneHotEncoder", (b) => {
    const x = samples(b);
    const at = b.node("ArgMax", [x], { attrs: { axis: 1, keepdims: 1 }, size: last(x) - 1 });
    b.node("OneHotEncoder", [at], {
      domain: ML,
      attrs: { cats_int64s: Array.from({ length: Math.max(2, last(x) - 1) }, (_, i) => i) },
      size: 1,
    });
  }),
  learned("LabelEncoder", (b) => {
    const x = samples(b);
    const at = b.node("ArgMax", [x], { attrs: { axis: 1, keepdims: 1 }, size: last(x) - 1 });
    const n = b.int(1, 4);
    b.node("LabelEncoder", [at], {
      domain: ML,
      attrs: {
        keys_int64s: Array.from({ length: n }, (_, i) => i),
        values_floats: numbers(b, n),
        default_float: { float: 0.25 },
      },
      type: 1,
      size: 1,
    });
  }),
  learned("ArrayFeatureExtractor", (b) => {
    const x = samples(b);
    const n = b.int(1, 3);
    b.node(
      "ArrayFeatureExtractor",
      [
        x,
        b.integers(
          Array.from({ length: n }, () => b.int(0, last(x) - 1)),
          [n],
        ),
      ],
      { domain: ML },
    );
  }),
  learned("ZipMap", (b) => {
    const x = samples(b);
    b.node("ZipMap", [x], { domain: ML, attrs: { classlabels_int64s: Array.from({ length: last(x) }, (_, i) => i) } });
  }),
];

export const learnedUses: readonly Use[] = [...trees, ...linear, ...around];
