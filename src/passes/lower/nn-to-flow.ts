/** nn -> flow: one kernel per operation; the fusion that follows merges elementwise kernels into their producers. */
import { Block, Builder, Module, Op, type Value } from "../../ir/core.js";
import { stream, type TensorType } from "../../ir/types.js";
import { CompilerBug, UserError } from "../../diagnostics/index.js";
import { fixedElem, LoweringContext } from "./context.js";
import { copyOf, wholeValue } from "./copy.js";
import { loweringOf } from "./operators.js";
import { wholeView, type Viewed } from "./views.js";
import { placeOf } from "../../ir/verify.js";
import { tensorType } from "../../ir/nn/values.js";

/** Builds the flow module of a quantized nn module. The nn module is left as it is. */
export function lowerToFlow(nn: Module): Module {
  const source = nn.func;
  const flow = new Module(nn.name);
  flow.attrs = { ...nn.attrs };
  refuseConstantOutputs(source);
  const block = new Block();
  const ctx = new LoweringContext(new Builder(block));
  const skipped = new Set<Op>();
  for (const arg of source.body.args) {
    const { type, quantizers } = portType(arg);
    const value = block.addArg(stream(type.shape, fixedElem(type.elem)), arg.hint);
    const view = wholeView(value, type.shape, fixedElem(type.elem));
    ctx.setView(arg, view);
    // Quantizing the input is the host's business: the port carries raw integers.
    for (const q of quantizers) {
      ctx.setView(q.result, view);
      skipped.add(q);
    }
  }
  for (const op of source.body.ops) {
    if (skipped.has(op)) continue;
    ctx.builder.loc = op.loc;
    if (op.name === "return") {
      const outputs = op.operands.map((v) => contiguous(ctx.view(v), v, ctx));
      ctx.builder.create("return", outputs, []);
      break;
    }
    const lower = loweringOf(op);
    if (lower === undefined) throw UserError.of("QU007", { op: op.name, lacks: "lowering" }, placeOf(op.loc));
    lower(op, ctx);
  }
  flow.body.append(new Op({ name: "func", attrs: source.attrs, regions: [block], loc: source.loc }));
  return flow;
}

/** A stream that waits for nothing would run on for ever. @errors FL010 */
function refuseConstantOutputs(source: Op): void {
  const names = source.attrs["outputs"] as readonly string[];
  const depends = new Set<Value>(source.body.args);
  for (const op of source.body.ops)
    if (op.operands.some((v) => depends.has(v))) for (const r of op.results) depends.add(r);
  source.body.terminator.operands.forEach((v, i) => {
    if (!depends.has(v)) throw UserError.of("FL010", { name: names[i]! }, { tensor: names[i]! });
  });
}

/** Fixed-point type in which an input enters: its own, or the one to which its only kind of use quantizes it. */
function portType(arg: Value): { type: TensorType; quantizers: Op[] } {
  const type = tensorType(arg);
  if (type.elem.kind === "fixed") return { type, quantizers: [] };
  const users = arg.uses.map((u) => u.op);
  const first = users[0];
  if (first?.name !== "nn.quantize" || users.some((u) => u.name !== "nn.quantize")) {
    throw new CompilerBug(`input %${arg.hint ?? arg.id} is not quantized`);
  }
  return { type: tensorType(first.result), quantizers: users };
}

/** Outputs leave in row-major order; a view that is not whole is copied, and so is what no kernel has made. */
function contiguous(v: Viewed, value: Value, ctx: LoweringContext): Value {
  const made = v.value.def?.name === "flow.kernel" || v.value.def?.name === "flow.sparsify";
  const name = value.hint ?? "output";
  const loc = value.def?.loc ?? { nodes: [] };
  return made ? wholeValue(v, name, loc, ctx) : copyOf(v, name, loc, ctx).value;
}
