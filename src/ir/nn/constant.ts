/** nn.constant. */
import type { Op } from "../core.js";
import { attrReader, type Kernel } from "../define-op.js";
import { isWide, NUMBER_WIDTH, rawRange, tensor } from "../types.js";
import { defineNn, everywhere } from "./record.js";
import { valuesOfDense } from "./values.js";

const attrs = attrReader({ value: { kind: "dense" } });

function kernel(op: Op): Kernel {
  const values = valuesOfDense(attrs(op).value);
  return (_, out) => out.set(values);
}

export const constant = defineNn({
  name: "nn.constant",
  summary: "Weights and other constants: values in float, raw integers on fixed point.",
  source: "ONNX Constant, initializers",
  operands: [],
  results: ["y"],
  role: "constant",
  traits: ["pure"],
  attrs: attrs.specs,
  inferTypes: (op) => {
    const { shape, elem } = attrs(op).value;
    return [tensor(shape, elem)];
  },
  verify: (op, report) => {
    const d = attrs(op).value;
    if (d.elem.kind !== "fixed") return;
    if (isWide(d.elem)) return report(`constants have at most ${NUMBER_WIDTH} bits`);
    const { lo, hi } = rawRange(d.elem);
    const bad = d.data.findIndex((v) => v < lo || v > hi || !Number.isInteger(v));
    if (bad >= 0) report(`element ${bad} is ${d.data[bad]}, outside [${lo}, ${hi}]`);
  },
  evaluate: everywhere(kernel),
});

export const constantOps = [constant] as const;
