/** nn: tensors and neural-network operations. What the network means. */
import type { Dialect } from "../define-op.js";
import { arithmeticOps } from "./arithmetic.js";
import { constantOps } from "./constant.js";
import { linearOps } from "./linear.js";
import { moveOps } from "./moves.js";
import { pointwiseOps } from "./pointwise.js";
import { reduceOps } from "./reduce.js";
import { roundingOps } from "./rounding.js";
import { sparseOps } from "./sparse.js";
import { tableOps } from "./tables.js";
import { treeOps } from "./trees.js";

export const nnOps = [
  ...constantOps,
  ...linearOps,
  ...arithmeticOps,
  ...pointwiseOps,
  ...roundingOps,
  ...tableOps,
  ...reduceOps,
  ...moveOps,
  ...treeOps,
  ...sparseOps,
] as const;

type NnOpRecord = (typeof nnOps)[number];

/** The operations of the dialect: what a table by operation must have an entry for. */
export type NnOpName = NnOpRecord["name"];

/** Those that exist in float only: passes split them before quantization. */
export type CompositeOpName = Extract<NnOpRecord, { readonly role: "composite" }>["name"];

const names: ReadonlySet<string> = new Set(nnOps.map((def) => def.name));

/** Whether `name` is one of the dialect's own, and not added by a program. */
export function isNnOpName(name: string): name is NnOpName {
  return names.has(name);
}

export const nnDialect: Dialect = { name: "nn", ops: nnOps };
