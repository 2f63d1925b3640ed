/**
 * Element type of an nn operation's result on fixed-point operands: the narrowest type that holds every result the
 * operand types allow. Where an operand is a constant its actual values count, which makes sums of products by weights
 * far narrower than their formats alone.
 */
import type { Op, Value } from "../core.js";
import { denseAttr, intAttr, intsAttr, numAttr, strAttr } from "../define-op.js";
import {
  absType,
  addRanges,
  addType,
  checkWidth,
  clipType,
  dataRange,
  dotType,
  leakyReluType,
  maxType,
  minType,
  mulType,
  negType,
  ranged,
  reluType,
  subType,
  sumType,
  unionType,
  weightedSumRange,
  type Ranged,
} from "../fixed-arith.js";
import { typeOfRange, type FixedType, type TensorType } from "../types.js";

/** Whether `v` is a fixed-point tensor. */
export function isFixed(v: Value): boolean {
  return v.type.kind === "tensor" && v.type.elem.kind === "fixed";
}
function elem(v: Value): FixedType {
  const t = v.type as TensorType;
  if (t.elem.kind !== "fixed") throw new Error("operands mix fixed point and float");
  return t.elem;
}
function shapeOf(v: Value): readonly number[] {
  return (v.type as TensorType).shape;
}
function rangedOf(v: Value): Ranged {
  const type = elem(v);
  return v.def?.name === "nn.constant" ? { frac: type.frac, range: dataRange(denseAttr(v.def, "value").data) } : ranged(type);
}

/**
 * The element type; undefined for operations whose result type is free (nn.quantize, nn.unary, nn.constant) or that have
 * no fixed-point form.
 */
export function fixedResultElem(op: Op): FixedType | undefined {
  const [a, b] = [op.operands[0], op.operands[1]];
  if (a === undefined) return undefined;
  switch (op.name) {
    case "nn.add":
      return addType(rangedOf(a), rangedOf(b!));
    case "nn.sub":
      return subType(rangedOf(a), rangedOf(b!));
    case "nn.mul":
      return mulType(rangedOf(a), rangedOf(b!));
    case "nn.max":
      return maxType(rangedOf(a), rangedOf(b!));
    case "nn.min":
      return minType(rangedOf(a), rangedOf(b!));
    case "nn.relu":
      return reluType(rangedOf(a));
    case "nn.neg":
      return negType(rangedOf(a));
    case "nn.abs":
      return absType(rangedOf(a));
    case "nn.leaky_relu":
      return leakyReluType(rangedOf(a), intAttr(op, "slope_raw"), intAttr(op, "slope_frac"));
    case "nn.clip":
      return clipType(rangedOf(a), numAttr(op, "lo", -Infinity), numAttr(op, "hi", Infinity));
    case "nn.conv":
      return convType(op);
    case "nn.matmul":
      return matmulType(op);
    case "nn.reduce": {
      if (strAttr(op, "kind") !== "sum") return strAttr(op, "kind") === "mean" ? undefined : elem(a);
      const shape = shapeOf(a);
      return sumType(rangedOf(a), intsAttr(op, "axes").reduce((n, d) => n * shape[d < 0 ? d + shape.length : d]!, 1));
    }
    case "nn.pool":
      if (strAttr(op, "kind") === "sum") return sumType(rangedOf(a), intsAttr(op, "kernel").reduce((n, k) => n * k, 1), false);
      return strAttr(op, "kind") === "max" ? elem(a) : undefined;
    case "nn.concat":
      return op.operands.map(rangedOf).reduce<FixedType | undefined>((t, r) => (t === undefined ? typeOfRange(r.range, r.frac) : unionType(ranged(t), r)), undefined);
    case "nn.reshape":
    case "nn.transpose":
    case "nn.slice":
    case "nn.gather":
    case "nn.broadcast":
    case "nn.pad":
      return elem(a);
    default:
      return undefined;
  }
}

function convType(op: Op): FixedType {
  const [x, w, bias] = [op.operand(0), op.operand(1), op.operands[2]];
  const wShape = shapeOf(w);
  const outputs = wShape[0]!;
  const perOutput = wShape.slice(1).reduce((n, d) => n * d, 1);
  const frac = elem(x).frac + elem(w).frac;
  if (bias !== undefined && elem(bias).frac !== frac) throw new Error(`bias has ${elem(bias).frac} fractional bits where the accumulator has ${frac}`);
  if (w.def?.name !== "nn.constant") {
    const sum = dotType(rangedOf(x), rangedOf(w), perOutput);
    return bias === undefined ? sum : addType(ranged(sum), rangedOf(bias));
  }
  const { lo, hi } = weightedSumRange(ranged(elem(x)).range, denseAttr(w.def, "value").data, outputs, (i) => Math.floor(i / perOutput));
  const offsets = bias?.def?.name === "nn.constant" ? denseAttr(bias.def, "value").data : undefined;
  const wide = bias !== undefined && offsets === undefined ? ranged(elem(bias)).range : { lo: 0, hi: 0 };
  let range = { lo: 0, hi: 0 };
  for (let c = 0; c < outputs; c++) {
    const o = offsets?.[c] ?? 0;
    // The sum without bias counts as well: it is what the accumulator holds last.
    range = { lo: Math.min(range.lo, lo[c]!, lo[c]! + o), hi: Math.max(range.hi, hi[c]!, hi[c]! + o) };
  }
  return checkWidth(typeOfRange(addRanges(range, wide), frac), "a convolution");
}

function matmulType(op: Op): FixedType {
  const [a, b] = [op.operand(0), op.operand(1)];
  const shape = shapeOf(a);
  const terms = shape[shape.length - 1]!;
  if (b.def?.name !== "nn.constant" || shapeOf(b).length !== 2) return dotType(rangedOf(a), rangedOf(b), terms);
  const outputs = shapeOf(b)[1]!;
  const { lo, hi } = weightedSumRange(rangedOf(a).range, denseAttr(b.def, "value").data, outputs, (i) => i % outputs);
  return checkWidth(typeOfRange({ lo: Math.min(0, ...lo), hi: Math.max(0, ...hi) }, elem(a).frac + elem(b).frac), "a matrix product");
}
