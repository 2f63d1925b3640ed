/** Helpers of the front-end tests: models as objects, and runs of the float interpreter. */
import { importOnnx } from "../../src/frontend/import.js";
import { messageType } from "../../src/frontend/onnx-proto.js";
import { renderDiagnostic, Sink, type Diagnostic } from "../../src/diagnostics/index.js";
import type { Module } from "../../src/ir/core.js";
import "../../src/ir/dialects.js";
import { prepareNn } from "../../src/ir/eval/nn-fixed.js";
import type { TensorType } from "../../src/ir/types.js";
import { assertValid } from "../../src/ir/verify.js";

export interface Result {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** Imports a model that must be accepted. */
export function importValid(bytes: Uint8Array, file: string): Module {
  const sink = new Sink();
  const module = importOnnx(bytes, file, sink);
  if (module === undefined) throw new Error(sink.diagnostics.map(renderDiagnostic).join("\n"));
  assertValid(module, `import of ${file}`);
  return module;
}

/** Errors of a model that must be refused. */
export function refusal(bytes: Uint8Array, file = "model.onnx"): readonly Diagnostic[] {
  const sink = new Sink();
  if (importOnnx(bytes, file, sink) !== undefined) throw new Error(`${file} was accepted`);
  return sink.diagnostics;
}

/** Outputs for one sample; inputs by ONNX name. */
export function run(module: Module, inputs: ReadonlyMap<string, ArrayLike<number>>): Result[] {
  const names = module.func.attrs["inputs"] as readonly string[];
  const values = prepareNn(module).run(names.map((n) => inputs.get(n)!));
  return values.map((data, i) => ({
    shape: (module.func.body.terminator.operand(i).type as TensorType).shape,
    data: data.slice(),
  }));
}

/** Largest difference; NaN counts as infinite. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    if (!(d <= worst)) worst = Number.isNaN(d) ? Infinity : d;
  }
  return worst;
}

export interface GraphSpec {
  readonly node: readonly object[];
  readonly initializer?: readonly object[];
  readonly input?: readonly object[];
  readonly output?: readonly object[];
  readonly opset?: number;
  /** Domains that are imported besides ONNX's own, in their first version where it is not said. */
  readonly domains?: readonly (string | { readonly domain: string; readonly version: number })[];
  readonly functions?: readonly object[];
}

/** Bytes of a model whose graph is written as protobuf objects (names in camel case). */
export function onnx(g: GraphSpec): Uint8Array {
  const type = messageType("onnx.ModelProto");
  const graph = {
    name: "g",
    node: g.node,
    initializer: g.initializer ?? [],
    input: g.input ?? [floats("x", [1, 4])],
    output: g.output ?? [floats("y", [1, 4])],
  };
  return type
    .encode(
      type.fromObject({
        irVersion: 8,
        opsetImport: [
          { domain: "", version: g.opset ?? 17 },
          ...(g.domains ?? []).map((d) => (typeof d === "string" ? { domain: d, version: 1 } : d)),
        ],
        graph,
        functions: g.functions ?? [],
      }),
    )
    .finish();
}

/** A float input or output; texts are symbolic dimensions. */
export function floats(name: string, shape: readonly (number | string)[], elemType = 1): object {
  return {
    name,
    type: {
      tensorType: {
        elemType,
        shape: { dim: shape.map((d) => (typeof d === "string" ? { dimParam: d } : { dimValue: d })) },
      },
    },
  };
}
export function weights(name: string, dims: readonly number[], floatData: readonly number[]): object {
  return { name, dims, dataType: 1, floatData };
}
export function integers(name: string, dims: readonly number[], int64Data: readonly number[]): object {
  return { name, dims, dataType: 7, int64Data };
}
export function node(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  name = "",
  attribute: readonly object[] = [],
): object {
  return { opType, input, output, name, attribute };
}
