/** What the names of a graph stand for: constants, values, sequences, element types, and who reads them. */
import { UserError, printable } from "../diagnostics/index.js";
import { checkNumbers, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "./context.js";
import { capturedBy } from "./inline.js";
import type { GraphProto, NodeProto, TensorProto } from "./onnx-proto.js";
import type { Sequence } from "./sequences.js";
import { dataTypeName, readTensor } from "./tensor-data.js";

export class NameTable {
  readonly tensors = new Map<string, Imported>();
  readonly sequences = new Map<string, Sequence>();
  /** ONNX element types, as far as they are known. */
  readonly types = new Map<string, number>();
  /** Element types that the graph declares for what its nodes compute. */
  readonly declared = new Map<string, number>();
  /** Operators that read each tensor; the graph itself where it is an output. */
  private readonly readers = new Map<string, string[]>();

  constructor(
    private readonly graph: GraphProto,
    private readonly file: string,
  ) {
    this.noteReaders(graph.node);
    for (const v of [...graph.valueInfo, ...graph.output])
      if (v.type?.tensorType?.elemType) this.declared.set(v.name, v.type.tensorType.elemType);
    for (const o of graph.output) this.noteOutput(o.name, "the graph's output");
  }

  noteReaders(nodes: readonly NodeProto[]): void {
    for (const n of nodes) {
      for (const i of [...n.input, ...capturedBy(n)]) {
        const list = this.readers.get(i);
        if (list === undefined) this.readers.set(i, [n.opType]);
        else list.push(n.opType);
      }
    }
  }
  noteOutput(name: string, reader: string): void {
    this.readers.set(name, [...(this.readers.get(name) ?? []), reader]);
  }
  isRead(name: string): boolean {
    return this.readers.has(name);
  }
  readersOf(name: string): readonly string[] {
    return this.readers.get(name) ?? [];
  }

  shapeOf(name: string): readonly number[] {
    const t = this.tensors.get(name);
    return t === undefined ? [] : t.kind === "const" ? t.tensor.shape : shapeOf(t.value);
  }

  define(name: string, value: Imported, what: string): void {
    if (this.tensors.has(name))
      throw UserError.of(
        "ON003",
        { what: `tensor "${printable(name)}" is defined twice, the second time by ${what}` },
        { file: this.file, tensor: name },
      );
    this.tensors.set(name, value);
  }

  alias(output: string, from: string): void {
    const sequence = this.sequences.get(from);
    if (sequence !== undefined) {
      this.sequences.set(output, sequence);
      return;
    }
    const value = this.tensors.get(from);
    if (value === undefined)
      throw UserError.of(
        "ON003",
        { what: `tensor "${printable(from)}" is produced by nothing` },
        { file: this.file, tensor: from },
      );
    const type = this.types.get(from);
    if (type !== undefined) this.types.set(output, type);
    this.define(output, value, "a function, branch or loop");
  }

  readInitializers(initializers: readonly TensorProto[]): void {
    for (const t of initializers) {
      if (t.name === "") throw UserError.of("ON003", { what: "an initializer has no name" }, { file: this.file });
      const value = readTensor(t, t.name, this.file);
      checkNumbers(value, t.name, this.file);
      this.types.set(t.name, t.dataType);
      this.define(t.name, { kind: "const", tensor: value }, "an initializer");
    }
    if (this.graph.sparseInitializer.length > 0)
      throw UserError.of(
        "ON003",
        { what: "weights in sparse form (sparse_initializer) are not supported" },
        { file: this.file },
      );
  }

  /** ONNX has no implicit conversions: operands of different types mean that the file is not what its author thinks. */
  checkTypes(ctx: NodeContext, operator: OperatorImporter): void {
    const typed = ctx.node.input.slice(0, operator.sameType ?? 0).flatMap((n) => {
      const type = this.types.get(n);
      return type === undefined ? [] : [{ n, type }];
    });
    const odd = typed.find((t) => t.type !== typed[0]!.type);
    if (odd === undefined) return;
    const show = (t: { n: string; type: number }): string => `"${printable(t.n, 60)}" is ${dataTypeName(t.type)}`;
    throw ctx.error(
      `its inputs differ in type: ${show(typed[0]!)}, ${show(odd)}`,
      "convert the weights to the type of the activations and export again",
    );
  }
}
