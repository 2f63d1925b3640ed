/**
 * Evaluates operations whose operands are all constants, with the reference interpreter, so that the result is by
 * construction the one that the network would compute.
 */
import { allocate, Dense } from "../../ir/attributes.js";
import { Block, Builder, cloneOp, Module, Op, type Value } from "../../ir/core.js";
import { prepareNn } from "../../ir/eval/nn-fixed.js";
import { elementCount } from "../../ir/types.js";
import { definePass, int } from "../define-pass.js";
import { replaceResult } from "../rewrite.js";
import { isConstant, shapeOf, tensorType } from "../../ir/nn/values.js";

export const foldConstants = definePass({
  name: "fold-constants",
  summary: "Replace operations on constants by their result.",
  level: "nn",
  semantics: "bit-exact",
  doc: "What is left over is unused afterwards; run `dce` behind it. An operation that would blow a small constant up, such as a broadcast, is left alone beyond `limit` elements.",
  options: {
    limit: int({
      min: 0,
      default: 4096,
      doc: "largest result, in elements, that may be larger than the operands together",
    }),
  },
  example: {
    before:
      "%0 = nn.constant() {value = dense<[1, 2]> : tensor<2xf32>} : () -> tensor<2xf32>\n%1 = nn.neg(%0) : (tensor<2xf32>) -> tensor<2xf32>\n%2 = nn.add(%x, %1) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>",
    after:
      "%1 = nn.constant() {value = dense<[-1, -2]> : tensor<2xf32>} : () -> tensor<2xf32>\n%2 = nn.add(%x, %1) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>",
  },
  run: (module, { limit }) => {
    // In order of definition, so that one walk folds whole chains.
    for (const op of [...module.func.body.ops]) {
      if (!isFoldable(op, limit)) continue;
      const b = Builder.before(op);
      replaceResult(op, b.value("nn.constant", [], op.result.type, { value: evaluateConstant(op) }, op.result.hint));
    }
  },
});

function isFoldable(op: Op, limit: number): boolean {
  if (op.dialect !== "nn" || op.results.length !== 1 || op.operands.length === 0 || op.result.uses.length === 0)
    return false;
  if (!op.operands.every(isConstant)) return false;
  const size = (v: Value): number => elementCount(shapeOf(v));
  const result = size(op.result);
  return result <= limit || result <= op.operands.reduce((n, v) => n + size(v), 0);
}

/** The result of an operation on constants: a network of that operation alone is run. */
export function evaluateConstant(op: Op): Dense {
  const module = new Module("fold");
  const body = new Block();
  const copies = new Map<Value, Value>();
  for (const v of new Set(op.operands)) body.append(cloneOp(v.def!, copies));
  const result = body.append(cloneOp(op, copies)).result;
  body.append(new Op({ name: "return", operands: [result] }));
  module.body.append(new Op({ name: "func", regions: [body] }));
  const [values] = prepareNn(module).run([]);

  const { shape, elem } = tensorType(result);
  const data = allocate(elem, elementCount(shape));
  // The interpreter computes with numbers, constants hold raw integers; + 0 turns -0 into 0.
  const scale = elem.kind === "fixed" ? 2 ** elem.frac : 1;
  for (let i = 0; i < data.length; i++) data[i] = elem.kind === "fixed" ? values![i]! * scale + 0 : values![i]!;
  return new Dense(shape, elem, data);
}
