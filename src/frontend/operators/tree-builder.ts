/** Collects the nodes and leaves of one ensemble of trees, and makes it an operation. */
import { Dense } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { ensembleAttrs, ensembleProblem, leavesOf, readEnsemble, RELATIONS, type Ensemble } from "../../ir/trees.js";
import { f32 } from "../../ir/types.js";
import { shapeOf, type NodeContext } from "../context.js";
import { beforeScaling } from "./scaled-features.js";

/** Relation, and whether the branches change places. */
export const MODES: Readonly<Record<string, readonly [(typeof RELATIONS)[number], boolean]>> = {
  BRANCH_LEQ: ["le", false],
  BRANCH_LT: ["lt", false],
  BRANCH_GTE: ["lt", true],
  BRANCH_GT: ["le", true],
  BRANCH_EQ: ["eq", false],
  BRANCH_NEQ: ["eq", true],
};

/** Collects nodes and leaves of one ensemble. */
export class EnsembleBuilder {
  readonly feature: number[] = [];
  readonly threshold: number[] = [];
  readonly relation: number[] = [];
  readonly onTrue: number[] = [];
  readonly onFalse: number[] = [];
  readonly roots: number[] = [];
  /** Values by leaf, of the outputs that have one. */
  readonly leaves: Map<number, number>[] = [];

  node(feature: number, threshold: number, relation: (typeof RELATIONS)[number]): number {
    this.feature.push(feature);
    this.threshold.push(threshold);
    this.relation.push(RELATIONS.indexOf(relation));
    this.onTrue.push(0);
    return this.onFalse.push(0) - 1;
  }
  branch(node: number, onTrue: number, onFalse: number, exchanged = false): void {
    this.onTrue[node] = exchanged ? onFalse : onTrue;
    this.onFalse[node] = exchanged ? onTrue : onFalse;
  }
  leaf(values: Map<number, number>): number {
    return -this.leaves.push(values);
  }

  /** The operation; `scale` multiplies all values of leaves. */
  emit(
    ctx: NodeContext,
    x: Value,
    outputs: number,
    aggregate: Ensemble["aggregate"],
    scale: number,
    double: boolean,
  ): Value {
    const features = shapeOf(x).at(-1)!;
    if (!double && !this.relation.includes(RELATIONS.indexOf("eq"))) x = this.unscaled(x);
    const data = new Float64Array(this.leaves.length * outputs);
    this.leaves.forEach((leaf, i) => leaf.forEach((v, c) => (data[i * outputs + c] = v * scale)));
    const lists = {
      feature: this.feature,
      threshold: this.threshold,
      relation: this.relation,
      onTrue: this.onTrue,
      onFalse: this.onFalse,
      roots: this.roots,
      aggregate,
    };
    const trees = ensembleAttrs(lists, new Dense([this.leaves.length, outputs], f32, data));
    const problem = ensembleProblem(trees, features);
    if (problem !== undefined) throw ctx.error(problem);
    if (aggregate !== "add" && this.leaves.some((l) => l.size !== outputs))
      throw ctx.error(
        `a leaf has no value for some of ${outputs} targets, of which the ${aggregate === "min" ? "least" : "largest"} is asked for`,
      );
    const bad = data.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0) throw ctx.error(`leaf ${Math.floor(bad / outputs)} has the value ${data[bad]}`);
    return ctx.emit("nn.trees", [x], [...shapeOf(x).slice(0, -1), outputs], { trees, ...(double && { double }) });
  }

  /** Asks of the features in front of a scaling, where there is one. */
  private unscaled(x: Value): Value {
    const before = beforeScaling(x);
    if (before.x === x) return x;
    this.feature.forEach((feature, i) => {
      const q = before.ask({ feature, threshold: this.threshold[i]!, relation: this.relation[i]! });
      this.threshold[i] = q.threshold;
      this.relation[i] = q.relation;
      this.branch(i, this.onTrue[i]!, this.onFalse[i]!, q.exchanged);
    });
    return before.x;
  }

  /** A tree of one leaf: what is added to every sum. */
  constant(values: readonly number[]): void {
    if (values.some((v) => v !== 0)) this.roots.push(this.leaf(new Map(values.map((v, c) => [c, v]))));
  }

  /**
   * Whether an output gets a value from every sample (some tree has one in all its leaves), from none, or from some.
   */
  reached(outputs: number): ("always" | "never" | "sometimes")[] {
    const e = readEnsemble(
      ensembleAttrs(
        {
          feature: this.feature,
          threshold: this.threshold,
          relation: this.relation,
          onTrue: this.onTrue,
          onFalse: this.onFalse,
          roots: this.roots,
          aggregate: "add",
        },
        new Dense([this.leaves.length, 1], f32, new Float64Array(this.leaves.length)),
      ),
    );
    const perTree = this.roots.map((r) => leavesOf(e, r));
    return Array.from({ length: outputs }, (_, c) => {
      if (perTree.some((l) => l.every((k) => this.leaves[k]!.has(c)))) return "always";
      return perTree.some((l) => l.some((k) => this.leaves[k]!.has(c))) ? "sometimes" : "never";
    });
  }
}
