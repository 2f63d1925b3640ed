/**
 * Trees behind a scaling of their features: thresholds are moved to the features as they come, so that nothing is
 * scaled. The scaling is what single precision makes of it, step by step, and rises or falls; the threshold is the last
 * number on its side.
 */
import type { Op, Value } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { RELATIONS } from "../../ir/trees.js";
import { shapeOf } from "../context.js";

/** One step: the function of a feature, and whether it rises. */
interface Step {
  readonly of: (x: number, feature: number) => number;
  readonly rises: (feature: number) => boolean;
}

/** A step of scaling with a constant per feature, or one for all; undefined for anything else. */
function stepOf(op: Op): { step: Step; x: Value } | undefined {
  if (op.operands.length !== 2) return undefined;
  const constant = op.operands.findIndex((v) => v.def?.name === "nn.constant");
  if (constant < 0) return undefined;
  const x = op.operand(1 - constant);
  const dense = denseAttr(op.operand(constant).def!, "value");
  const features = shapeOf(x).at(-1);
  if (
    features === undefined ||
    shapeOf(x).join() !== shapeOf(op.result).join() ||
    (dense.data.length !== 1 && (dense.data.length !== features || dense.shape.at(-1) !== features))
  )
    return undefined;
  const c = (f: number): number => Math.fround(dense.data[dense.data.length === 1 ? 0 : f]!);
  const one: Record<string, Step> = {
    "nn.add": { of: (v, f) => Math.fround(v + c(f)), rises: () => true },
    "nn.sub":
      constant === 1
        ? { of: (v, f) => Math.fround(v - c(f)), rises: () => true }
        : { of: (v, f) => Math.fround(c(f) - v), rises: () => false },
    "nn.mul": { of: (v, f) => Math.fround(v * c(f)), rises: (f) => c(f) > 0 },
    ...(constant === 1 && {
      "nn.div": { of: (v: number, f: number) => Math.fround(v / c(f)), rises: (f: number) => c(f) > 0 },
    }),
  };
  const step = one[op.name];
  // A feature times nothing is no feature.
  if (step === undefined || (op.name !== "nn.add" && op.name !== "nn.sub" && dense.data.some((v) => v === 0)))
    return undefined;
  return { step, x };
}

const bits = new DataView(new ArrayBuffer(4));
/** Single precision numbers in their order, as integers. */
function rank(x: number): number {
  bits.setFloat32(0, x);
  const i = bits.getInt32(0);
  return i < 0 ? -2147483648 - i : i;
}
function fromRank(r: number): number {
  bits.setInt32(0, r < 0 ? -2147483648 - r : r);
  return bits.getFloat32(0);
}
const LARGEST = 3.4028234663852886e38;

export interface Question {
  readonly feature: number;
  readonly threshold: number;
  /** Index of RELATIONS. */
  readonly relation: number;
}

/**
 * The features in front of all scaling, and how a question about scaled ones is asked of them; `exchanged` where the
 * answers change places.
 */
export function beforeScaling(x: Value): {
  x: Value;
  ask: (q: Question) => Question & { readonly exchanged: boolean };
} {
  const steps: Step[] = [];
  for (let op = x.def; op !== undefined; op = x.def) {
    const found = stepOf(op);
    if (found === undefined) break;
    steps.unshift(found.step);
    x = found.x;
  }
  const scaled = (v: number, f: number): number => steps.reduce((s, { of }) => of(s, f), v);
  return {
    x,
    ask: ({ feature, threshold, relation }) => {
      if (steps.length === 0) return { feature, threshold, relation, exchanged: false };
      const rises = steps.filter((s) => !s.rises(feature)).length % 2 === 0;
      const holds = (v: number): boolean => {
        const s = scaled(v, feature);
        return RELATIONS[relation] === "le" ? s <= threshold : s < threshold;
      };
      // On the numbers in the order in which the scaled ones rise, the answer changes once, from yes to no.
      let [yes, no] = rises ? [rank(-LARGEST) - 1, rank(LARGEST) + 1] : [rank(LARGEST) + 1, rank(-LARGEST) - 1];
      while (Math.abs(no - yes) > 1) {
        const mid = Math.floor((yes + no) / 2);
        if (holds(fromRank(mid))) yes = mid;
        else no = mid;
      }
      // The highest number of the lower side, or none of them, or all.
      const last = rises ? yes : no;
      const moved = last < rank(-LARGEST) ? -Infinity : last >= rank(LARGEST) ? Infinity : fromRank(last);
      return { feature, threshold: moved, relation: 0, exchanged: !rises };
    },
  };
}
