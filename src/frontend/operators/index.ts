/** All operators that are read, as an explicit list; programs add their own with `registerOnnxOp`. */
import type { OperatorImporter } from "../context.js";
import { attentionOperators } from "./attention.js";
import { activationOperators } from "./activations.js";
import { elementwiseOperators } from "./elementwise.js";
import { fusedActivationOperators } from "./fused-activation.js";
import { fusedAttentionOperators } from "./fused-attention.js";
import { fusedOperators } from "./fused.js";
import { fusedQuantizedOperators } from "./fused-quantized.js";
import { layoutOperators } from "./layout.js";
import { legacyOperators } from "./legacy.js";
import { linearAttentionOperators } from "./linear-attention.js";
import { linearOperators } from "./linear.js";
import { bitwiseOperators } from "./bitwise.js";
import { choiceOperators } from "./choice.js";
import { logicOperators } from "./logic.js";
import { blockOperators } from "./blocks.js";
import { contractionOperators } from "./contraction.js";
import { convTransposeOperators } from "./conv-transpose.js";
import { sumOperators } from "./sums.js";
import { normalizeOperators } from "./normalize.js";
import { qonnxOperators } from "./qonnx.js";
import { quantizedOperators } from "./quantized.js";
import { recurrentOperators } from "./recurrent.js";
import { rearrangeOperators } from "./rearrange.js";
import { rotaryOperators } from "./rotary.js";
import { reduceOperators } from "./reduce.js";
import { refusedOperators } from "./refused.js";
import { resizeOperators } from "./resize.js";
import { roundingOperators } from "./rounding.js";
import { samplingOperators } from "./sampling.js";
import { scatterOperators } from "./scatter.js";
import { constantOperators } from "./constants.js";
import { padOperators } from "./pad.js";
import { shapeOperators } from "./shape.js";
import { classicOperators } from "./ml.js";
import { treeOperators } from "./trees.js";
import { spectrumOperators } from "./spectrum.js";
import { trigonometryOperators } from "./trigonometry.js";

const registry = new Map<string, OperatorImporter>();

/** Makes an operator of ONNX's domain, or (as `domain::Name`) of another one, known to the importer. */
export function registerOnnxOp(importer: OperatorImporter): void {
  if (registry.has(importer.opType)) throw new Error(`operator ${importer.opType} is registered twice`);
  registry.set(importer.opType, importer);
}
const builtin: readonly (readonly OperatorImporter[])[] = [
  linearOperators,
  elementwiseOperators,
  shapeOperators,
  padOperators,
  constantOperators,
  reduceOperators,
  resizeOperators,
  logicOperators,
  activationOperators,
  normalizeOperators,
  quantizedOperators,
  qonnxOperators,
  choiceOperators,
  contractionOperators,
  sumOperators,
  blockOperators,
  convTransposeOperators,
  rearrangeOperators,
  recurrentOperators,
  bitwiseOperators,
  roundingOperators,
  scatterOperators,
  samplingOperators,
  spectrumOperators,
  trigonometryOperators,
  treeOperators,
  classicOperators,
  attentionOperators,
  linearAttentionOperators,
  rotaryOperators,
  fusedOperators,
  fusedActivationOperators,
  fusedAttentionOperators,
  fusedQuantizedOperators,
  layoutOperators,
  legacyOperators,
  refusedOperators,
];
for (const o of builtin.flat()) registerOnnxOp(o);

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
