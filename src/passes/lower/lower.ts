/** Pass around `lowerToFlow`. */
import { elemType } from "../../ir/types.js";
import { definePass, type Predicate } from "../define-pass.js";
import { lowerToFlow } from "./nn-to-flow.js";

export const quantized: Predicate = {
  name: "every tensor is in fixed point, inputs at the latest by an nn.quantize",
  holds: (module) => {
    const fixedElem = (t: Parameters<typeof elemType>[0]): boolean => elemType(t).kind === "fixed";
    const { args, ops } = module.func.body;
    return (
      args.every((a) => fixedElem(a.type) || (a.uses.length > 0 && a.uses.every((u) => u.op.name === "nn.quantize"))) &&
      ops.every((op) => op.results.every((r) => fixedElem(r.type)))
    );
  },
};

export const lower = definePass({
  name: "lower",
  summary: "Turn every operation of the quantized network into a flow kernel.",
  level: ["nn", "flow"],
  semantics: "bit-exact",
  doc: "Reshape, transpose and slice become views and cost nothing; quantization of the inputs moves out of the design, whose ports carry raw integers.",
  requires: [quantized],
  run: (module) => lowerToFlow(module),
});
