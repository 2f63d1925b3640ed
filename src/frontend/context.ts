/** What the importer of an operator sees: its inputs, its attributes, and a way to build nn operations. */
import { Dense } from "../ir/attributes.js";
import type { Attr } from "../ir/attributes.js";
import type { Builder, Value } from "../ir/core.js";
import { f32, tensor, type TensorType } from "../ir/types.js";
import { broadcastShapes } from "../ir/nn/typing.js";
import { UserError } from "../diagnostics/index.js";
import { toNumber, type NodeProto } from "./onnx-proto.js";
import { readTensor, type ConstTensor } from "./tensor-data.js";

/** A tensor during import: known now, or computed by the network. */
export type Imported = { readonly kind: "const"; readonly tensor: ConstTensor } | { readonly kind: "value"; readonly value: Value };

export class NodeContext {
  constructor(
    readonly node: NodeProto,
    /** Name in messages; unnamed nodes are called after operator and position. */
    readonly name: string,
    /** Version of the operator's domain. */
    readonly opset: number,
    readonly file: string,
    readonly builder: Builder,
    private readonly inputs: readonly (Imported | undefined)[],
    /** Operators that read the first output. */
    readonly readers: readonly string[] = [],
    private readonly types: ReadonlyMap<string, number> = new Map(),
    /** Importers of ONNX's own operators, for nodes that are read as others. */
    private readonly lookup: ((opType: string) => OperatorImporter | undefined) | undefined = undefined,
  ) {}

  /** The node read as another operator of ONNX's domain, on other inputs. */
  delegate(opType: string, inputs: readonly (Imported | undefined)[]): ReturnType<OperatorImporter["import"]> {
    const operator = this.lookup?.(opType);
    if (operator === undefined) throw this.error(`it is read as ${opType}, which is not supported`);
    const node = { ...this.node, input: inputs.map((_, i) => `${this.name}_input${i}`) };
    return operator.import(new NodeContext(node, this.name, this.opset, this.file, this.builder, inputs, this.readers, new Map(), this.lookup));
  }

  /** An error about this node. */
  error(what: string, hint = "check the export of the model"): UserError {
    return UserError.of("ON020", { what, hint }, { file: this.file, node: this.name, opType: this.node.opType });
  }

  /** ONNX element type of input i, where it is known. */
  elementType(i: number): number | undefined {
    return this.types.get(this.node.input[i] ?? "");
  }
  get inputCount(): number {
    return this.inputs.length;
  }
  has(i: number): boolean {
    return this.inputs[i] !== undefined;
  }
  input(i: number): Imported {
    const v = this.inputs[i];
    if (v === undefined) throw this.error(`input ${i} is missing`);
    return v;
  }
  /** The constant at input i, or undefined where the network computes it. */
  constant(i: number): ConstTensor | undefined {
    const v = this.inputs[i];
    return v?.kind === "const" ? v.tensor : undefined;
  }
  needConstant(i: number, what: string): ConstTensor {
    const c = this.constant(i);
    if (c === undefined) throw this.error(`${what} (input ${i}) is computed by the network; it must be a constant`, "export with fixed shapes and constant parameters");
    return c;
  }
  /** Input i as an nn value; constants become nn.constant. */
  value(i: number): Value {
    const v = this.input(i);
    return v.kind === "value" ? v.value : this.fromConstant(v.tensor, this.node.input[i]);
  }
  /** As `value`; a constant may hold infinities, which a softmax has to take away: `checkInfinities`. */
  masking(i: number): Value {
    const c = this.constant(i);
    if (c === undefined) return this.value(i);
    checkNumbers(c, this.node.input[i] ?? this.name, this.file);
    return this.builder.value("nn.constant", [], tensor(c.shape, f32), { value: new Dense(c.shape, f32, c.data) }, this.node.input[i]);
  }
  shape(i: number): readonly number[] {
    const v = this.input(i);
    return v.kind === "value" ? shapeOf(v.value) : v.tensor.shape;
  }
  /** The constant at input i, which must be a finite weight. */
  needWeight(i: number, what: string): ConstTensor {
    const c = this.needConstant(i, what);
    checkNumbers(c, this.node.input[i] ?? what, this.file, true);
    return c;
  }
  get allConstant(): boolean {
    return this.inputs.every((v) => v === undefined || v.kind === "const");
  }

  /** An nn.constant; its numbers must be finite. */
  fromConstant(t: ConstTensor, hint?: string): Value {
    checkNumbers(t, hint ?? this.name, this.file, true);
    const dense = new Dense(t.shape, f32, t.data);
    return this.builder.value("nn.constant", [], tensor(t.shape, f32), { value: dense }, hint);
  }
  /** An nn operation on floats with the given result shape. */
  emit(name: string, operands: readonly Value[], shape: readonly number[], attrs: Readonly<Record<string, Attr>> = {}): Value {
    if (shape.some((d) => d < 1)) throw this.error(`its result would have the shape [${shape.join(", ")}]`);
    this.checkSize(shape, 2 ** 28);
    return this.builder.value(name, operands, tensor(shape, f32), attrs, this.node.output[0]);
  }

  /** Refuses what is too large to be meant, before anything is allocated for it. */
  checkSize(shape: readonly number[], limit = 2 ** 24): void {
    const count = shape.reduce((n, d) => n * d, 1);
    if (!(count <= limit)) throw this.error(`its result would have ${shape.join(" x ")} elements, more than the ${limit} that are allowed`);
  }

  // --- attributes ---------------------------------------------------------------------------------------------------

  private attribute(name: string, type: number, what: string): NodeProto["attribute"][number] | undefined {
    const found = this.node.attribute.filter((a) => a.name === name);
    if (found.length > 1) throw this.error(`attribute ${name} is given twice`);
    const a = found[0];
    if (a !== undefined && a.type !== type && a.type !== 0) throw this.error(`attribute ${name} is not ${what}`);
    return a;
  }
  int(name: string, fallback: number): number {
    const a = this.attribute(name, 2, "an integer");
    return a === undefined ? fallback : toNumber(a.i);
  }
  float(name: string, fallback: number): number {
    return this.attribute(name, 1, "a number")?.f ?? fallback;
  }
  ints(name: string): number[] | undefined {
    return this.attribute(name, 7, "a list of integers")?.ints.map(toNumber);
  }
  floats(name: string): readonly number[] | undefined {
    return this.attribute(name, 6, "a list of numbers")?.floats;
  }
  string(name: string, fallback: string): string {
    const a = this.attribute(name, 3, "a string");
    // An empty text is left out in the file, and not an array of bytes then.
    return a === undefined ? fallback : a.s.length === 0 ? "" : new TextDecoder().decode(a.s);
  }
  strings(name: string): string[] | undefined {
    return this.attribute(name, 8, "a list of strings")?.strings.map((v) => new TextDecoder().decode(v));
  }
  tensor(name: string): ConstTensor | undefined {
    const a = this.attribute(name, 4, "a tensor");
    return a?.t == null ? undefined : readTensor(a.t, `${this.name}.${name}`, this.file);
  }
  /** ONNX element type of a tensor attribute. */
  tensorType(name: string): number | undefined {
    return this.attribute(name, 4, "a tensor")?.t?.dataType;
  }
  /** Integers that older opsets keep in an attribute and newer ones in input `i`. */
  intsOrInput(name: string, i: number, what: string): number[] | undefined {
    if (this.has(i)) return [...this.needConstant(i, what).data];
    return this.ints(name);
  }
  /** A non-negative axis. */
  axis(value: number, rank: number): number {
    if (!Number.isInteger(value) || value < -rank || value >= rank) throw this.error(`axis ${value} is outside a tensor of rank ${rank}`);
    return value < 0 ? value + rank : value;
  }
}

export function shapeOf(v: Value): readonly number[] {
  return (v.type as TensorType).shape;
}

/** Refuses NaN, and on demand infinities, which masks and bounds may hold but weights not. @errors ON011 */
export function checkNumbers(t: ConstTensor, name: string, file: string, finite = false): void {
  if (t.integer) return;
  const i = t.data.findIndex((v) => Number.isNaN(v) || (finite && !Number.isFinite(v)));
  if (i < 0) return;
  const index: number[] = [];
  for (let d = t.shape.length - 1, r = i; d >= 0; d--) {
    index.unshift(r % t.shape[d]!);
    r = Math.floor(r / t.shape[d]!);
  }
  const value = Number.isNaN(t.data[i]) ? "NaN" : t.data[i]! > 0 ? "Inf" : "-Inf";
  throw UserError.of("ON011", { value, index: index.join(", ") }, { file, tensor: name });
}

export interface OperatorImporter {
  readonly opType: string;
  /** First version of the ONNX operator set that is read. */
  readonly since?: number;
  /** One line on limits, for the reference. */
  readonly limits?: string;
  /** How many of the first inputs must have one element type; 0 where absent. */
  readonly sameType?: number;
  /** ONNX element type of the outputs; that of the first input where absent. */
  readonly resultType?: (ctx: NodeContext) => number | undefined;
  /** Results, one per output of the node that is used; a constant where it is known. */
  readonly import: (ctx: NodeContext) => Value | Imported | readonly (Value | Imported)[];
}

export function known(shape: readonly number[], data: ArrayLike<number>, integer: boolean): Imported {
  return { kind: "const", tensor: { shape, data: Float64Array.from(data), integer } };
}

export { broadcastShapes };
