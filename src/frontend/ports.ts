/** The ports of a network: inputs become its arguments, and outputs that are constant leave once per sample. */
import { Dense } from "../ir/attributes.js";
import { Builder, type Block, type Value } from "../ir/core.js";
import { f32, tensor } from "../ir/types.js";
import { UserError, printable } from "../diagnostics/index.js";
import { Batch } from "./batch.js";
import { boundConstant, checkBound } from "./bind.js";
import { checkNumbers, shapeOf } from "./context.js";
import type { NameTable } from "./name-table.js";
import type { GraphProto } from "./onnx-proto.js";
import { MAX_INPUT, resolveInputShapes, type GivenShapes } from "./shapes.js";
import { integerRange, type ConstTensor } from "./tensor-data.js";

function portRange(type: number): { lo: number; hi: number } | undefined {
  return type === 9 ? { lo: 0, hi: 1 } : [2, 3, 21, 22].includes(type) ? integerRange(type) : undefined;
}

/**
 * Inputs that no initializer provides become the function's arguments. `shapesWith` finds the shapes of all tensors with
 * its inputs in other shapes.
 */
export function readInputs(
  graph: GraphProto,
  names: NameTable,
  block: Block,
  given: GivenShapes,
  file: string,
  slack: number,
  shapesWith: (
    inputs: readonly string[],
    shapes: readonly (readonly number[])[],
  ) => ReadonlyMap<string, readonly number[]>,
): { readonly inputs: readonly string[]; readonly batch: Batch | undefined } {
  const seen = new Set<string>();
  for (const input of graph.input) {
    if (seen.has(input.name))
      throw UserError.of(
        "ON003",
        { what: `input "${printable(input.name)}" is listed twice` },
        { file, tensor: input.name },
      );
    seen.add(input.name);
  }
  const all = graph.input.filter((input) => !names.tensors.has(input.name));
  const bind = given.bind ?? {};
  const listed = all.map((input) => input.name);
  checkBound(bind, listed, file);
  const isBound = (name: string): boolean => Object.hasOwn(bind, name);
  // An array says what is open in the shape.
  const arrays = Object.entries(bind).flatMap(([name, b]) => (b.shape === undefined ? [] : [[name, b.shape]]));
  const stated = { ...(Object.fromEntries(arrays) as GivenShapes["shapes"]), ...given.shapes };
  const { shapes, rebatching, rebatched } = resolveInputShapes(
    all,
    { ...given, shapes: stated },
    file,
    MAX_INPUT * slack,
  );
  const batch =
    rebatching === undefined
      ? undefined
      : new Batch(
          rebatching,
          shapesWith(
            listed,
            shapes.map((s, i) => (rebatched.includes(i) ? [rebatching.from, ...s.slice(1)] : s)),
          ),
        );
  for (const [i, input] of all.entries()) {
    const shape = [...shapes[i]!];
    const type = input.type!.tensorType!.elemType;
    names.types.set(input.name, type);
    if (isBound(input.name)) {
      const value = boundConstant(input.name, bind[input.name]!, shape, type, file);
      names.tensors.set(input.name, { kind: "const", tensor: value });
      continue;
    }
    const arg = block.addArg(tensor(shape, f32), input.name);
    const range = portRange(type);
    // Integers of a quantized network enter within the limits of their type.
    const value =
      range === undefined
        ? arg
        : new Builder(block).value("nn.round", [arg], tensor(shape, f32), { lo: range.lo, hi: range.hi }, input.name);
    names.tensors.set(input.name, { kind: "value", value });
  }
  const inputs = listed.filter((name) => !isBound(name));
  if (inputs.length === 0)
    throw UserError.of(
      "ON003",
      {
        what: `the graph has no input${listed.length > 0 ? " whose value is not stated" : ""}: everything in it is constant`,
      },
      { file: file },
    );
  return { inputs, batch };
}

/** A constant that leaves once per sample: whichever sign the first element of an input has, it is chosen. */
export function pacedConstant(block: Block, t: ConstTensor, name: string, file: string): Value {
  checkNumbers(t, name, file, true);
  const input = block.args[0]!;
  const b = new Builder(block, undefined, { nodes: [name], opType: "Constant", file });
  const ones = shapeOf(input).map(() => 1);
  const first = b.value(
    "nn.slice",
    [input],
    tensor(ones, f32),
    { starts: ones.map(() => 0), steps: ones, shape: ones },
    `${name}_pace`,
  );
  const pace = b.value("nn.reshape", [first], tensor([], f32), { shape: [] }, `${name}_pace`);
  const value = b.value(
    "nn.constant",
    [],
    tensor(t.shape, f32),
    { value: new Dense(t.shape, f32, t.data) },
    `${name}_value`,
  );
  return b.value("nn.select_neg", [pace, value, value], tensor(t.shape, f32), {}, name);
}
