/** What the importer of an operator sees: its inputs, its attributes, and a way to build nn operations. */
import { Dense } from "../ir/attributes.js";
import type { Attr } from "../ir/attributes.js";
import type { Builder, Value } from "../ir/core.js";
import { f32, tensor, type TensorType } from "../ir/types.js";
import { broadcastShapes } from "../ir/nn/typing.js";
import { printable, UserError } from "../diagnostics/index.js";
import type { Batch } from "./batch.js";
import { bindHint } from "./bind.js";
import { toNumber, type AttributeProto, type NodeProto } from "./onnx-proto.js";
import { isDefault, parameterAt } from "./schema/check.js";
import { newestOpset, type OperatorSchema } from "./schema/schema.js";
import { readTensor, type ConstTensor } from "./tensor-data.js";

/** A tensor during import: known now, or computed by the network. */
export type Imported =
  | { readonly kind: "const"; readonly tensor: ConstTensor }
  | { readonly kind: "value"; readonly value: Value };

/** What an importer has looked at: what is there and was not looked at cannot have been taken into account. */
class Usage {
  readonly attributes = new Set<string>();
  readonly inputs = new Set<number>();
}

/**
 * How a node is read as another operator: at another operator set, with other attributes or `without` some of its own,
 * as if others read its result, with known element types by input.
 */
export interface ReadAs {
  readonly opset?: number;
  readonly attributes?: Readonly<Record<string, number | string | readonly number[]>>;
  readonly without?: readonly string[];
  readonly readers?: readonly string[];
  readonly types?: Readonly<Record<number, number | undefined>>;
}

function attributeOf(name: string, value: number | string | readonly number[]): AttributeProto {
  const none = {
    name,
    type: 0,
    f: 0,
    i: 0,
    s: new Uint8Array(),
    t: null,
    g: null,
    refAttrName: "",
    floats: [],
    ints: [],
    strings: [],
  };
  if (typeof value === "number") return { ...none, f: value, i: value };
  return typeof value === "string"
    ? { ...none, s: new TextEncoder().encode(value) }
    : { ...none, floats: value, ints: value };
}

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
    private readonly used: Usage = new Usage(),
    private readonly batch: Batch | undefined = undefined,
    /** By how much results may be larger than what is otherwise refused, for a pass that only finds shapes. */
    private readonly slack = 1,
  ) {}

  /**
   * The node read as another operator, on other inputs, as its operator set `as.opset` defines it: for operators of
   * other domains the newest. An operator of a domain other than ONNX's is named `domain::Name`.
   */
  delegate(
    opType: string,
    inputs: readonly (Imported | undefined)[],
    as: ReadAs = {},
  ): ReturnType<OperatorImporter["import"]> {
    const operator = this.lookup?.(opType);
    if (operator === undefined) throw this.error(`it is read as ${opType}, which is not supported`);
    const input = inputs.map((_, i) => `${this.name}_input${i}`);
    const attribute =
      as.attributes === undefined
        ? this.node.attribute.filter((a) => as.without?.includes(a.name) !== true)
        : Object.entries(as.attributes).map(([name, value]) => attributeOf(name, value));
    const types = new Map(
      Object.entries(as.types ?? {}).flatMap(([i, type]) =>
        type === undefined ? [] : [[input[Number(i)]!, type] as const],
      ),
    );
    const opset =
      as.opset ?? (this.node.domain === "" || this.node.domain === "ai.onnx" ? this.opset : newestOpset("")!);
    const used = new Usage();
    const result = operator.import(
      new NodeContext(
        { ...this.node, domain: "", input, attribute },
        this.name,
        opset,
        this.file,
        this.builder,
        inputs,
        as.readers ?? this.readers,
        types,
        this.lookup,
        used,
        this.batch,
        this.slack,
      ),
    );
    if (as.attributes === undefined) for (const a of used.attributes) this.used.attributes.add(a);
    return result;
  }

  /**
   * Refuses what the node says and the importer did not look at: attributes that are not at their default, and inputs.
   * What an importer leaves out on purpose it lists under `ignores`. Without a schema no attribute has a default.
   */
  refuseUnread(schema: OperatorSchema | undefined, ignores: OperatorImporter["ignores"] = {}): void {
    const hint = "export the model without it";
    for (const a of this.node.attribute) {
      if (
        this.used.attributes.has(a.name) ||
        ignores[a.name] !== undefined ||
        (a.name.startsWith("__") && a.name.endsWith("__"))
      )
        continue;
      const known = schema?.attributes.get(a.name);
      if (known === undefined || !isDefault(known, a))
        throw this.error(
          `attribute ${printable(a.name, 60)} is not supported`,
          known?.fallback === undefined ? hint : `export it with its default, ${JSON.stringify(known.fallback)}`,
        );
    }
    this.inputs.forEach((v, i) => {
      const name = schema === undefined ? undefined : parameterAt(schema.inputs, i)?.name;
      if (v === undefined || this.used.inputs.has(i) || (name !== undefined && ignores[name] !== undefined)) return;
      throw this.error(`input ${i} ${name === undefined ? "" : `(${name}) `}is not supported`, hint);
    });
  }

  /**
   * For a reshape over whose constants another batch is stated: the shape of its result. Undefined where no batch is
   * stated, or the input does not carry it.
   */
  rebatchedShape(): readonly number[] | undefined {
    const [before, result] = [
      this.batch?.shapeOf(this.node.input[0] ?? ""),
      this.batch?.shapeOf(this.node.output[0] ?? ""),
    ];
    if (
      this.batch === undefined ||
      before === undefined ||
      result === undefined ||
      !this.batch.touches(this.node.input[0]!, this.shape(0))
    )
      return undefined;
    const shape = this.batch.reshaped(before, this.shape(0), result);
    if (shape === undefined)
      throw this.error(
        `the batch of ${this.batch.change.from} is part of its target shape: [${before.join(", ")}] becomes [${result.join(", ")}], in which it cannot be told from the rest`,
        `export the model with a batch of ${this.batch.change.to}`,
      );
    return shape;
  }

  /**
   * Refuses a result in which the stated batch has not taken the place of the file's own, and nothing else has changed.
   */
  checkBatch(output: string, shape: readonly number[]): void {
    const before = this.batch?.shapeOf(output);
    const carried =
      this.batch !== undefined &&
      this.inputs.some((v, i) => v?.kind === "value" && this.batch!.touches(this.node.input[i]!, shapeOf(v.value)));
    if (
      this.batch === undefined ||
      before === undefined ||
      (!carried && before.join() === shape.join()) ||
      this.batch.axis(before, shape) !== undefined
    )
      return;
    const { from, to } = this.batch.change;
    throw this.error(
      `the batch of ${from} is part of it, in a constant or because it takes samples together: its result [${before.join(", ")}] becomes [${shape.join(", ")}] with a batch of ${to}`,
      `export the model with a batch of ${to}`,
    );
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
    return this.inputAt(i) !== undefined;
  }
  private inputAt(i: number): Imported | undefined {
    this.used.inputs.add(i);
    return this.inputs[i];
  }
  input(i: number): Imported {
    const v = this.inputAt(i);
    if (v === undefined) throw this.error(`input ${i} is missing`);
    return v;
  }
  /** The constant at input i, or undefined where the network computes it. */
  constant(i: number): ConstTensor | undefined {
    const v = this.inputAt(i);
    return v?.kind === "const" ? v.tensor : undefined;
  }
  needConstant(i: number, what: string): ConstTensor {
    const v = this.input(i);
    if (v.kind === "const") return v.tensor;
    throw this.error(
      `${what} (input ${i}) is computed by the network; it must be a constant`,
      bindHint(v.value) ?? "export with fixed shapes and constant parameters",
    );
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
    return this.builder.value(
      "nn.constant",
      [],
      tensor(c.shape, f32),
      { value: new Dense(c.shape, f32, c.data) },
      this.node.input[i],
    );
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
  emit(
    name: string,
    operands: readonly Value[],
    shape: readonly number[],
    attrs: Readonly<Record<string, Attr>> = {},
  ): Value {
    if (shape.some((d) => d < 1)) throw this.error(`its result would have the shape [${shape.join(", ")}]`);
    this.checkSize(shape, 2 ** 28);
    return this.builder.value(name, operands, tensor(shape, f32), attrs, this.node.output[0]);
  }

  /** Refuses what is too large to be meant, before anything is allocated for it. */
  checkSize(shape: readonly number[], limit = 2 ** 24): void {
    const count = shape.reduce((n, d) => n * d, 1);
    if (!(count <= limit * this.slack))
      throw this.error(`its result would have ${shape.join(" x ")} elements, more than the ${limit} that are allowed`);
  }

  // --- attributes ---------------------------------------------------------------------------------------------------

  private attribute(name: string, type: number, what: string): NodeProto["attribute"][number] | undefined {
    this.used.attributes.add(name);
    const a = this.node.attribute.find((a) => a.name === name);
    if (a !== undefined && a.type !== type && a.type !== 0) throw this.error(`attribute ${name} is not ${what}`);
    return a;
  }
  /** Whether an attribute is given. */
  given(name: string): boolean {
    this.used.attributes.add(name);
    return this.node.attribute.some((a) => a.name === name);
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
    if (!Number.isInteger(value) || value < -rank || value >= rank)
      throw this.error(`axis ${value} is outside a tensor of rank ${rank}`);
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
  /** Why files have the operator before ONNX does. It is read then as in its first version. */
  readonly early?: string;
  /** One line on limits, for the reference. */
  readonly limits?: string;
  /** Without a schema: how many of the first inputs must have one element type; 0 where absent. */
  readonly sameType?: number;
  /**
   * Attributes and inputs (by their names in the schema) that change nothing in what is computed, each with the reason.
   */
  readonly ignores?: Readonly<Record<string, string>>;
  /** What a user should know about how the node is read. */
  readonly remark?: (ctx: NodeContext) => string | undefined;
  /** ONNX element type of the outputs whose type the schema leaves to attributes; not needed for others. */
  readonly resultType?: (ctx: NodeContext) => number | undefined;
  /** Results, one per output of the node that is used; a constant where it is known. */
  readonly import: (ctx: NodeContext) => Value | Imported | readonly (Value | Imported)[];
}

export function known(shape: readonly number[], data: ArrayLike<number>, integer: boolean): Imported {
  return {
    kind: "const",
    tensor: { shape, data: data instanceof Float64Array ? data : Float64Array.from(data), integer },
  };
}

export { broadcastShapes };
