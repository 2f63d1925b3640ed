/**
 * One lowering per nn operation: nearly all are the structured kernel with other maps, the rest are views. One that is
 * forgotten does not compile.
 */
import type { Op } from "../../ir/core.js";
import type { CompositeOpName, NnOpName } from "../../ir/nn/index.js";
import * as nn from "../../ir/nn/ops.js";
import { label, type Lowering } from "./elementwise.js";
import { lowerPool, lowerReduce } from "./folds.js";
import { lowerConv, lowerMatmul } from "./linear.js";
import {
  lowerBroadcast,
  lowerConcat,
  lowerGather,
  lowerPad,
  lowerReshape,
  lowerSlice,
  lowerTranspose,
} from "./moves.js";
import { lowerFraction, lowerTake, lowerWhole } from "./numbers.js";
import {
  lowerAbs,
  lowerAdd,
  lowerClip,
  lowerLeakyRelu,
  lowerLookup,
  lowerMax,
  lowerMin,
  lowerMul,
  lowerNeg,
  lowerQuantize,
  lowerRelu,
  lowerRound,
  lowerSelect,
  lowerSub,
  lowerUnary,
} from "./scalars.js";
import { lowerSparsify } from "./sparsify.js";
import { lowerTrees } from "./trees.js";

export type { Lowering };

/** Of all operations that exist on fixed point. */
export const nnLowerings: Readonly<Record<Exclude<NnOpName, CompositeOpName>, Lowering>> = {
  "nn.constant": (op, ctx) => ctx.setView(op.result, ctx.constant(nn.constant.read(op).value, op.result.hint)),
  "nn.conv": lowerConv,
  "nn.matmul": lowerMatmul,
  "nn.add": lowerAdd,
  "nn.sub": lowerSub,
  "nn.mul": lowerMul,
  "nn.max": lowerMax,
  "nn.min": lowerMin,
  "nn.relu": lowerRelu,
  "nn.neg": lowerNeg,
  "nn.abs": lowerAbs,
  "nn.leaky_relu": lowerLeakyRelu,
  "nn.clip": lowerClip,
  "nn.unary": lowerUnary,
  "nn.round": lowerRound,
  "nn.whole": lowerWhole,
  "nn.fraction": lowerFraction,
  "nn.select_neg": lowerSelect,
  "nn.lookup": lowerLookup,
  "nn.take": lowerTake,
  "nn.reduce": lowerReduce,
  "nn.pool": lowerPool,
  "nn.quantize": lowerQuantize,
  "nn.reshape": lowerReshape,
  "nn.transpose": lowerTranspose,
  "nn.slice": lowerSlice,
  "nn.broadcast": lowerBroadcast,
  "nn.concat": lowerConcat,
  "nn.gather": lowerGather,
  "nn.pad": lowerPad,
  "nn.trees": (op, ctx) => lowerTrees(op, ctx, label(op)),
  "nn.sparsify": lowerSparsify,
};

const lowerings = new Map<string, Lowering>(Object.entries(nnLowerings));

/** Registers the lowering of an operation that a program has added. */
export function registerLowering(opName: string, lowering: Lowering): void {
  if (lowerings.has(opName)) throw new Error(`operation ${opName} has a lowering already`);
  lowerings.set(opName, lowering);
}

export function loweringOf(op: Op): Lowering | undefined {
  return lowerings.get(op.name);
}
