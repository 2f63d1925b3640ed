/** Pass around `fuseElementwise`. */
import { definePass } from "../define-pass.js";
import { fuseElementwise } from "./fuse-elementwise.js";

export const fuse = definePass({
  name: "fuse",
  summary: "Merge elementwise kernels into the epilogue of the kernel that feeds them.",
  level: "flow",
  semantics: "bit-exact",
  doc: "Bias, residual sum, activation and requantization then happen where the folded value appears, and no channel stands between.",
  run: (module) => fuseElementwise(module),
});
