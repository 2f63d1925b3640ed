/** nn.sparsify: from a dense tensor to the windows that a predicate asks for. */
import type { OpDef } from "../define-op.js";
import {
  readSparsify,
  SPARSIFY_ATTRS,
  SPARSIFY_OPERANDS,
  SPARSIFY_RESULTS,
  sparsifier,
  sparsifyResults,
  verifySparsify,
} from "../sparse.js";
import { tensor } from "../types.js";
import { tensorType } from "./typing.js";

export const sparseOps: readonly OpDef[] = [
  {
    name: "nn.sparsify",
    summary:
      "The windows of x whose predicate is not 0, in row-major order, with their origins, and how many were found and sent: peaks, triggers, vetoes, regions of interest.",
    operands: SPARSIFY_OPERANDS,
    results: SPARSIFY_RESULTS,
    traits: ["pure"],
    attrs: SPARSIFY_ATTRS,
    inferTypes: (op) =>
      sparsifyResults(readSparsify(op), tensorType(op.operand(1)).elem).map((r) => tensor(r.shape, r.elem)),
    verify: verifySparsify,
    evaluate: (op) => {
      const run = sparsifier(readSparsify(op));
      return ([where, x], payload, origin, count) =>
        run({ where: where!, x: x!, payload, origin: origin!, count: count! });
    },
  },
];
