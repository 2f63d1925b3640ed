/** All operators that are read, as an explicit list; programs add their own with `registerOnnxOp`. */
import type { OperatorImporter } from "../context.js";
import { attentionOperators } from "./attention.js";
import { activationOperators } from "./activations.js";
import { elementwiseOperators } from "./elementwise.js";
import { fusedAttentionOperators } from "./fused-attention.js";
import { fusedOperators } from "./fused.js";
import { fusedQuantizedOperators } from "./fused-quantized.js";
import { layoutOperators } from "./layout.js";
import { legacyOperators } from "./legacy.js";
import { linearAttentionOperators } from "./linear-attention.js";
import { linearOperators } from "./linear.js";
import { choiceOperators } from "./choice.js";
import { logicOperators } from "./logic.js";
import { contractionOperators } from "./contraction.js";
import { normalizeOperators } from "./normalize.js";
import { qonnxOperators } from "./qonnx.js";
import { quantizedOperators } from "./quantized.js";
import { recurrentOperators } from "./recurrent.js";
import { rearrangeOperators } from "./rearrange.js";
import { refusedOperators } from "./refused.js";
import { rotaryOperators } from "./rotary.js";
import { reduceOperators } from "./reduce.js";
import { resizeOperators } from "./resize.js";
import { shapeOperators } from "./shape.js";

const registry = new Map<string, OperatorImporter>();

/** Makes an operator of ONNX's domain, or (as `domain::Name`) of another one, known to the importer. */
export function registerOnnxOp(importer: OperatorImporter): void {
  if (registry.has(importer.opType)) throw new Error(`operator ${importer.opType} is registered twice`);
  registry.set(importer.opType, importer);
}
for (const o of [...linearOperators, ...elementwiseOperators, ...shapeOperators, ...reduceOperators, ...resizeOperators, ...logicOperators, ...activationOperators, ...normalizeOperators, ...quantizedOperators, ...qonnxOperators, ...choiceOperators, ...contractionOperators, ...rearrangeOperators, ...recurrentOperators]) registerOnnxOp(o);

export function lookupOnnxOp(domain: string, opType: string): OperatorImporter | undefined {
  return registry.get(domain === "" || domain === "ai.onnx" ? opType : `${domain}::${opType}`);
}
/** An operator of ONNX's domain by its name, of another one as `domain::Name`. */
export function lookupByName(name: string): OperatorImporter | undefined {
  return registry.get(name);
}
export function onnxOperators(): readonly OperatorImporter[] {
  return [...registry.values()].sort((a, b) => (a.opType < b.opType ? -1 : 1));
}
for (const o of [...attentionOperators, ...linearAttentionOperators, ...rotaryOperators, ...fusedOperators, ...fusedAttentionOperators, ...fusedQuantizedOperators, ...layoutOperators, ...legacyOperators, ...refusedOperators]) registerOnnxOp(o);
