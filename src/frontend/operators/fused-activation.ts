/** Products with an activation behind them that ONNX Runtime's optimizer makes: FusedConv, FusedGemm, FusedMatMul. */
import type { Value } from "../../ir/core.js";
import { known, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { apply, imported, maybe, transpose, valueOf } from "./build.js";
import { result, sum } from "./fused.js";

/** Names of the parameters that come as a list, in its order. */
const ACTIVATIONS: Readonly<Record<string, readonly string[]>> = {
  Relu: [],
  Sigmoid: [],
  Tanh: [],
  Softplus: [],
  Softsign: [],
  HardSwish: [],
  Gelu: [],
  LeakyRelu: ["alpha"],
  Elu: ["alpha"],
  Celu: ["alpha"],
  ThresholdedRelu: ["alpha"],
  HardSigmoid: ["alpha", "beta"],
  ParametricSoftplus: ["alpha", "beta"],
  ScaledTanh: ["alpha", "beta"],
  Affine: ["alpha", "beta"],
  Selu: ["alpha", "gamma"],
};

/**
 * `x` behind the activation that attribute `activation` names; `parameter` gives the k-th one, or the one of a name.
 */
function activated(ctx: NodeContext, x: Value, parameter: (k: number, name: string) => number | undefined): Value {
  const name = ctx.string("activation", "");
  if (name === "") return x;
  if (name === "Clip")
    return valueOf(
      ctx,
      apply(ctx, "Clip", [
        x,
        known([], [parameter(0, "min") ?? -Infinity], false),
        known([], [parameter(1, "max") ?? Infinity], false),
      ]),
    );
  const names = ACTIVATIONS[name];
  if (names === undefined)
    throw ctx.error(
      `activation "${name}" is not supported`,
      "save the model without this fusion (a lower optimization level)",
    );
  const given = names.flatMap((n, k) => {
    const v = parameter(k, n);
    return v === undefined ? [] : [[n, v] as const];
  });
  return valueOf(ctx, apply(ctx, name, [x], Object.fromEntries(given)));
}
function inList(ctx: NodeContext): (k: number, name: string) => number | undefined {
  const list = ctx.floats("activation_params");
  return (k) => list?.[k];
}
function byName(ctx: NodeContext): (k: number, name: string) => number | undefined {
  const has = (name: string): boolean => ctx.node.attribute.some((a) => a.name === name);
  return (_, name) => (has(`activation_${name}`) ? ctx.float(`activation_${name}`, 0) : undefined);
}

/** A convolution, a tensor added to it, and an activation; `last` where channels are the last dimension. */
export function fusedConv(opType: string, last: boolean): OperatorImporter {
  return result(opType, (ctx) => {
    const [n, ...rest] = ctx.shape(0).map((_, d) => d);
    const first = (i: number): Imported | undefined =>
      ctx.has(i) && last
        ? apply(ctx, "Transpose", [ctx.input(i)], { perm: [n!, rest[rest.length - 1]!, ...rest.slice(0, -1)] })
        : maybe(ctx, i);
    const conv = imported(
      ctx.delegate("Conv", [first(0), maybe(ctx, 1), maybe(ctx, 2)], { opset: 22, readers: [] }) as Value,
    );
    const y = activated(ctx, valueOf(ctx, sum(ctx, conv, first(3))), inList(ctx));
    return last ? transpose(ctx, y, [0, ...rest.map((d) => d + 1).slice(0, -1), 1]) : y;
  });
}

/**
 * A product of matrices whose operands are transposed, in their last two dimensions, or in the first and the batch
 * ones.
 */
function fusedMatMul(opType: string): OperatorImporter {
  return result(opType, (ctx) => {
    const side = (i: number, name: string): Imported => {
      const rank = ctx.shape(i).length;
      let perm = ctx.shape(i).map((_, d) => d);
      if (rank < 2) return ctx.input(i);
      if (ctx.int(`transBatch${name}`, 0) !== 0) perm = [...perm.slice(1, -1), perm[0]!, perm[rank - 1]!];
      if (ctx.int(`trans${name}`, 0) !== 0) perm = [...perm.slice(0, -2), perm[rank - 1]!, perm[rank - 2]!];
      return perm.every((p, d) => p === d) ? ctx.input(i) : apply(ctx, "Transpose", [ctx.input(i)], { perm });
    };
    const alpha = known([], [ctx.float("alpha", 1)], false);
    let [a, b] = [side(0, "A"), side(1, "B")];
    if (alpha.kind === "const" && alpha.tensor.data[0] !== 1) {
      if (b.kind === "const") b = apply(ctx, "Mul", [b, alpha]);
      else a = apply(ctx, "Mul", [a, alpha]);
    }
    return activated(ctx, valueOf(ctx, apply(ctx, "MatMul", [a, b])), byName(ctx));
  });
}

export const fusedActivationOperators: readonly OperatorImporter[] = [
  fusedConv("FusedConv", false),
  result("FusedGemm", (ctx) =>
    activated(
      ctx,
      valueOf(
        ctx,
        imported(
          ctx.delegate("Gemm", [ctx.input(0), ctx.input(1), maybe(ctx, 2)], { opset: 13, readers: [] }) as Value,
        ),
      ),
      byName(ctx),
    ),
  ),
  fusedMatMul("FusedMatMul"),
  fusedMatMul("TransposeMatMul"),
  fusedMatMul("FusedMatMulActivation"),
];
