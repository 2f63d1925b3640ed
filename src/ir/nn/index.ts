/** nn: tensors and neural-network operations. What the network means. */
import type { Dialect } from "../define-op.js";
import { elementwiseOps } from "./elementwise.js";
import { linearOps } from "./linear.js";
import { reduceOps } from "./reduce.js";
import { shapeOps } from "./shape.js";
import { sparseOps } from "./sparse.js";
import { treeOps } from "./trees.js";

export const nnDialect: Dialect = {
  name: "nn",
  ops: [...linearOps, ...elementwiseOps, ...reduceOps, ...shapeOps, ...treeOps, ...sparseOps],
};
