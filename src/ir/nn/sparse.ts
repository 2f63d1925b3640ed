/** nn.sparsify: from a dense tensor to the windows that a predicate asks for. */
import { attrReader } from "../define-op.js";
import {
  readSparsify,
  SPARSIFY_ATTRS,
  SPARSIFY_OPERANDS,
  SPARSIFY_RESULTS,
  sparsifier,
  sparsifyResults,
  verifySparsify,
} from "../sparse.js";
import { present } from "../present.js";
import { tensor } from "../types.js";
import { defineNn, everywhere } from "./record.js";
import { tensorType } from "./values.js";

const windows = attrReader(SPARSIFY_ATTRS);

export const sparsify = defineNn({
  name: "nn.sparsify",
  summary:
    "The windows of x whose predicate is not 0, in row-major order, with their origins, and how many were found and sent: peaks, triggers, vetoes, regions of interest.",
  operands: SPARSIFY_OPERANDS,
  results: SPARSIFY_RESULTS,
  role: "sparse",
  traits: ["pure"],
  attrs: windows.specs,
  inferTypes: (op) =>
    sparsifyResults(readSparsify(op), tensorType(op.operand(1)).elem).map((r) => tensor(r.shape, r.elem)),
  verify: verifySparsify,
  evaluate: everywhere((op) => {
    const run = sparsifier(readSparsify(op));
    return ([where, x], payload, origin, count) =>
      run({
        where: present(where, "the predicate"),
        x: present(x, "x"),
        payload,
        origin: present(origin, "the origins"),
        count: present(count, "the counts"),
      });
  }),
});

export const sparseOps = [sparsify] as const;
