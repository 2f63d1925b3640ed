/** ONNX -> nn: reads the graph, folds what is constant, and reports everything that is not supported at once. */
import { basename } from "node:path";
import { Dense } from "../ir/attributes.js";
import { Block, Builder, Module, Op, type Value } from "../ir/core.js";
import { f32, tensor } from "../ir/types.js";
import { Sink, UserError, printable } from "../diagnostics/index.js";
import { checkInfinities } from "./infinities.js";
import { checkNumbers, NodeContext, shapeOf, type Imported, type OperatorImporter } from "./context.js";
import { Batch } from "./batch.js";
import { boundConstant, checkBound } from "./bind.js";
import { Control, isControl } from "./control.js";
import { callBody, capturedBy, functionKey, type Body } from "./inline.js";
import { nodeOrder } from "./node-order.js";
import {
  decodeModel,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
} from "./onnx-proto.js";
import { lookupByName, lookupOnnxOp } from "./operators/index.js";
import { nodeProblem, outputTypes, versionProblem, type Problem } from "./schema/check.js";
import { operatorSchema, schemaVersions } from "./schema/schema.js";
import { isSequenceNode, readSequence, type Sequence } from "./sequences.js";
import { MAX_INPUT, resolveInputShapes, shapeOption, type GivenShapes } from "./shapes.js";
import { isAdopted, isUnchanged, NodeVersions, opsetProblem, OPSETS, opsetsOf } from "./versions.js";
import { dataTypeName, integerRange, readTensor, type ConstTensor } from "./tensor-data.js";

export { OPSETS };

/** Imports a model, its inputs in the shapes that are stated; `undefined` where errors were reported to the sink. */
export function importOnnx(bytes: Uint8Array, file: string, sink: Sink, given: GivenShapes = {}): Module | undefined {
  try {
    return new Importer(decode(bytes, file), file, sink, given).run();
  } catch (e) {
    if (!(e instanceof UserError)) throw e;
    sink.diagnostics.push(...e.diagnostics);
    return undefined;
  }
}

/** A node as `inspect` shows it. */
export interface NodeSummary {
  readonly name: string;
  readonly opType: string;
  /** nn operations that the node became; empty where it was folded, or could not be read. */
  readonly ops: readonly Op[];
  readonly outputShape: readonly number[];
  /** Why the node cannot be compiled. */
  readonly reason: string | undefined;
}

export interface GraphSummary {
  readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly outputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly nodes: readonly NodeSummary[];
}

/**
 * Reads as much of a model as can be read: nodes that fail carry the reason, and what depends on them is not reached.
 */
export function summarizeOnnx(
  bytes: Uint8Array,
  file: string,
  sink: Sink,
  given: GivenShapes = {},
): GraphSummary | undefined {
  try {
    return new Importer(decode(bytes, file), file, sink, given).summarize();
  } catch (e) {
    if (!(e instanceof UserError)) throw e;
    sink.diagnostics.push(...e.diagnostics);
    return undefined;
  }
}

function decode(bytes: Uint8Array, file: string): ModelProto {
  if (bytes.length === 0) throw UserError.of("ON001", { reason: "the file is empty" }, { file });
  let model: ModelProto;
  try {
    model = decodeModel(bytes);
  } catch (e) {
    throw UserError.of("ON001", { reason: parseProblem(e instanceof Error ? e.message : String(e)) }, { file });
  }
  if (model.graph == null || (model.graph.node.length === 0 && model.graph.output.length === 0))
    throw UserError.of("ON001", { reason: "it holds no graph" }, { file });
  return model;
}

function portRange(type: number): { lo: number; hi: number } | undefined {
  return type === 9 ? { lo: 0, hi: 1 } : [2, 3, 21, 22].includes(type) ? integerRange(type) : undefined;
}

function parseProblem(message: string): string {
  if (/utf-8/i.test(message)) return "it does not parse as a protobuf: a name in it is not valid UTF-8";
  return `it does not parse as a protobuf: ${printable(message, 200)}`;
}

/** A name that tools and Verilog can carry. */
export function moduleNameOf(file: string): string {
  const stem = basename(file)
    .replace(/\.onnx$/i, "")
    .replace(/[^A-Za-z0-9_]+/g, "_")
    .replace(/^_+|_+$/g, "");
  return /^[A-Za-z]/.test(stem) ? stem : `net_${stem}`;
}

class Importer {
  private readonly graph: GraphProto;
  private opsets: ReadonlyMap<string, number>;
  private readonly functions: ReadonlyMap<string, FunctionProto>;
  /** Functions that are being read, outermost first. */
  private readonly calls: string[] = [];
  private readonly tensors = new Map<string, Imported>();
  private readonly sequences = new Map<string, Sequence>();
  private readonly control: Control;
  /** ONNX element types, as far as they are known. */
  private readonly types = new Map<string, number>();
  /** Element types that the graph declares for what its nodes compute. */
  private readonly declared = new Map<string, number>();
  private readonly versions: NodeVersions;
  /** Operators that read each tensor; the graph itself where it is an output. */
  private readonly readers = new Map<string, string[]>();
  /** Tensors that have no value because their node was refused. */
  private readonly failed = new Set<string>();
  private readonly block = new Block();

  /** Where another batch is stated than the file has. */
  private batch: Batch | undefined;
  constructor(
    private readonly model: ModelProto,
    private readonly file: string,
    private readonly sink: Sink,
    private readonly given: GivenShapes = {},
    /** For a reading that only finds shapes: by how much tensors may be larger than what is otherwise refused. */
    private readonly trial?: { readonly slack: number },
  ) {
    this.graph = model.graph!;
    this.versions = new NodeVersions(file, sink);
    this.opsets = opsetsOf(model.opsetImport);
    this.control = new Control({
      file,
      tensor: (name) => this.tensors.get(name),
      typeOf: (name) => this.types.get(name),
      define: (name, value, type) => {
        if (type !== undefined) this.types.set(name, type);
        this.define(name, value, "a loop");
      },
      alias: (name, of) => this.alias(name, of),
      importBody: (body) => this.importBody(body),
      context: (node, name) => this.contextOf(node, name, this.opsets.get("") ?? OPSETS.newest),
    });
    this.functions = new Map(model.functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]));
    this.noteReaders(this.graph.node);
    for (const v of [...this.graph.valueInfo, ...this.graph.output])
      if (v.type?.tensorType?.elemType) this.declared.set(v.name, v.type.tensorType.elemType);
    for (const o of this.graph.output)
      this.readers.set(o.name, [...(this.readers.get(o.name) ?? []), "the graph's output"]);
    const opset = this.opsets.get("");
    if (opset === undefined && this.opsets.size === 0)
      throw UserError.of("ON002", { what: "names no operator set (opset_import is empty)", ...OPSETS }, { file });
    const outside = opset === undefined ? undefined : opsetProblem("", opset);
    const own = this.graph.node.filter((n) => n.domain === "" || n.domain === "ai.onnx").map((n) => n.opType);
    if (outside !== undefined && !isUnchanged(opset!, own))
      throw UserError.of("ON002", { what: `uses opset ${opset}`, ...outside }, { file });
  }

  private noteReaders(nodes: readonly NodeProto[]): void {
    for (const n of nodes) {
      for (const i of [...n.input, ...capturedBy(n)]) {
        const list = this.readers.get(i);
        if (list === undefined) this.readers.set(i, [n.opType]);
        else list.push(n.opType);
      }
    }
  }

  /** The function of the model that a node calls. Operators that are known need no function. */
  private functionOf(node: NodeProto): FunctionProto | undefined {
    return lookupOnnxOp(node.domain, node.opType) === undefined
      ? this.functions.get(functionKey(node.domain, node.opType, node.overload))
      : undefined;
  }
  private isKnown(node: NodeProto): boolean {
    return (
      lookupOnnxOp(node.domain, node.opType) !== undefined ||
      isAdopted(node) ||
      this.functionOf(node) !== undefined ||
      isControl(node) ||
      isSequenceNode(node, this.sequences)
    );
  }

  run(): Module | undefined {
    const names = this.graph.node.map((n, i) => (n.name === "" ? `${n.opType}_${i}` : n.name));
    this.checkOperators(this.graph.node, names);
    this.readInitializers(this.graph.initializer);
    const inputs = this.readInputs();
    // Every node is tried, so that one run shows all that is to be changed.
    for (const i of nodeOrder(this.graph.node, names, this.file)) this.tryNode(this.graph.node[i]!, names[i]!);
    if (this.sink.hasErrors) return undefined;
    const outputs = this.graph.output.map((o) => {
      const t = this.tensors.get(o.name);
      if (t === undefined)
        throw UserError.of(
          "ON003",
          {
            what: `output "${printable(o.name)}" is ${this.sequences.has(o.name) ? "a sequence of tensors, which no port can carry" : "produced by nothing"}`,
          },
          { file: this.file, tensor: o.name },
        );
      return t.kind === "const" ? this.pacedConstant(t.tensor, o.name) : t.value;
    });
    if (outputs.length === 0) throw UserError.of("ON003", { what: "the graph has no outputs" }, { file: this.file });
    if (this.sink.hasErrors) return undefined;
    this.noteBakedBatch(inputs);
    new Builder(this.block).create("return", outputs, []);
    const module = new Module(moduleNameOf(this.file));
    module.body.append(
      new Op({
        name: "func",
        attrs: { sym: module.name, inputs, outputs: this.graph.output.map((o) => o.name) },
        regions: [this.block],
      }),
    );
    checkInfinities(module, this.file);
    return module;
  }

  /** A constant that leaves once per sample: whichever sign the first element of an input has, it is chosen. */
  private pacedConstant(t: ConstTensor, name: string): Value {
    checkNumbers(t, name, this.file, true);
    const input = this.block.args[0]!;
    const b = new Builder(this.block, undefined, { nodes: [name], opType: "Constant", file: this.file });
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

  summarize(): GraphSummary {
    const names = this.graph.node.map((n, i) => (n.name === "" ? `${n.opType}_${i}` : n.name));
    this.readInitializers(this.graph.initializer);
    const inputs = this.readInputs();
    const args = this.block.args.map((a, i) => ({ name: inputs[i]!, shape: shapeOf(a) }));
    const nodes = nodeOrder(this.graph.node, names, this.file).map((i): NodeSummary => {
      const node = this.graph.node[i]!;
      const before = this.block.ops.length;
      let reason: string | undefined;
      if (!this.isKnown(node)) reason = "the operator is not supported";
      else if (node.input.some((n) => n !== "" && !this.tensors.has(n) && !this.sequences.has(n)))
        reason = "an input comes from a node that cannot be read";
      else {
        try {
          this.importNode(node, names[i]!);
        } catch (e) {
          if (!(e instanceof UserError)) throw e;
          reason = e.diagnostics[0]!.message;
        }
      }
      return {
        name: names[i]!,
        opType: node.opType,
        ops: this.block.ops.slice(before),
        outputShape: this.shapeOfTensor(node.output[0] ?? ""),
        reason,
      };
    });
    if (nodes.every((n) => n.reason === undefined)) this.noteBakedBatch(inputs);
    return {
      inputs: args,
      outputs: this.graph.output.map((o) => ({ name: o.name, shape: this.shapeOfTensor(o.name) })),
      nodes,
    };
  }

  private shapeOfTensor(name: string): readonly number[] {
    const t = this.tensors.get(name);
    return t === undefined ? [] : t.kind === "const" ? t.tensor.shape : shapeOf(t.value);
  }

  /** Lists every node that has no importer, before anything else can go wrong with them. */
  private checkOperators(nodes: readonly NodeProto[], names: readonly string[]): void {
    const missing = nodes.flatMap((n, i) => {
      if (this.isKnown(n)) return [];
      const domain = n.domain === "" || n.domain === "ai.onnx" ? "" : `${n.domain}::`;
      return [`${printable(names[i]!, 60)} (${printable(domain + n.opType, 60)})`];
    });
    if (missing.length > 0)
      throw UserError.of(
        "ON004",
        {
          count: missing.length,
          list: missing.slice(0, 50).join(", ") + (missing.length > 50 ? ` and ${missing.length - 50} more` : ""),
        },
        { file: this.file },
      );
  }

  private define(name: string, value: Imported, what: string): void {
    if (this.tensors.has(name))
      throw UserError.of(
        "ON003",
        { what: `tensor "${printable(name)}" is defined twice, the second time by ${what}` },
        { file: this.file, tensor: name },
      );
    this.tensors.set(name, value);
  }

  private readInitializers(initializers: readonly TensorProto[]): void {
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

  /** Inputs that no initializer provides become the function's arguments. */
  private readInputs(): string[] {
    const seen = new Set<string>();
    for (const input of this.graph.input) {
      if (seen.has(input.name))
        throw UserError.of(
          "ON003",
          { what: `input "${printable(input.name)}" is listed twice` },
          { file: this.file, tensor: input.name },
        );
      seen.add(input.name);
    }
    const all = this.graph.input.filter((input) => !this.tensors.has(input.name));
    const bind = this.given.bind ?? {};
    const names = all.map((input) => input.name);
    checkBound(bind, names, this.file);
    const isBound = (name: string): boolean => Object.hasOwn(bind, name);
    // An array says what is open in the shape.
    const arrays = Object.entries(bind).flatMap(([name, b]) => (b.shape === undefined ? [] : [[name, b.shape]]));
    const stated = { ...(Object.fromEntries(arrays) as GivenShapes["shapes"]), ...this.given.shapes };
    const { shapes, rebatching, rebatched } = resolveInputShapes(
      all,
      { ...this.given, shapes: stated },
      this.file,
      MAX_INPUT * (this.trial?.slack ?? 1),
    );
    if (rebatching !== undefined)
      this.batch = new Batch(
        rebatching,
        this.again(
          names,
          shapes.map((s, i) => (rebatched.includes(i) ? [rebatching.from, ...s.slice(1)] : s)),
        ).allShapes(),
      );
    for (const [i, input] of all.entries()) {
      const shape = [...shapes[i]!];
      const type = input.type!.tensorType!.elemType;
      this.types.set(input.name, type);
      if (isBound(input.name)) {
        const value = boundConstant(input.name, bind[input.name]!, shape, type, this.file);
        this.tensors.set(input.name, { kind: "const", tensor: value });
        continue;
      }
      const arg = this.block.addArg(tensor(shape, f32), input.name);
      const range = portRange(type);
      // Integers of a quantized network enter within the limits of their type.
      const value =
        range === undefined
          ? arg
          : new Builder(this.block).value(
              "nn.round",
              [arg],
              tensor(shape, f32),
              { lo: range.lo, hi: range.hi },
              input.name,
            );
      this.tensors.set(input.name, { kind: "value", value });
    }
    const inputs = names.filter((name) => !isBound(name));
    if (inputs.length === 0)
      throw UserError.of(
        "ON003",
        {
          what: `the graph has no input${names.length > 0 ? " whose value is not stated" : ""}: everything in it is constant`,
        },
        { file: this.file },
      );
    return inputs;
  }

  /** The same model, read again with its inputs in other shapes. */
  private again(inputs: readonly string[], shapes: readonly (readonly number[])[]): Importer {
    const first = this.given.shapes ?? {};
    const slack = Math.max(1, ...shapes.map((s, i) => (s[0] ?? 1) / (first[inputs[i]!]?.[0] ?? s[0] ?? 1)));
    return new Importer(
      this.model,
      this.file,
      new Sink(),
      { ...this.given, shapes: { ...first, ...Object.fromEntries(inputs.map((name, i) => [name, shapes[i]!])) } },
      { slack },
    );
  }

  /** Shapes of all tensors. @errors everything that is wrong with the model */
  private allShapes(): ReadonlyMap<string, readonly number[]> {
    this.run();
    this.sink.throwIfErrors();
    return new Map([...this.tensors.keys()].map((name) => [name, this.shapeOfTensor(name)]));
  }

  /** Says so where all inputs and outputs have one first dimension above 1, and the network can do with one sample. */
  private noteBakedBatch(inputs: readonly string[]): void {
    const shapes = this.block.args.map((a) => shapeOf(a));
    const batch = shapes[0]?.[0] ?? 1;
    const ports = [...shapes, ...this.graph.output.map((o) => this.shapeOfTensor(o.name))];
    if (batch < 2 || this.batch !== undefined || this.trial !== undefined || ports.some((s) => s[0] !== batch)) return;
    try {
      const single = this.again(
        inputs,
        shapes.map((s) => [1, ...s.slice(1)]),
      );
      if (single.run() === undefined || single.batch === undefined) return;
    } catch (e) {
      if (!(e instanceof UserError)) throw e;
      return;
    }
    this.sink.report(
      "ON025",
      { batch, options: shapes.map((s, i) => shapeOption(inputs[i]!, [1, ...s.slice(1)])).join(" ") },
      { file: this.file },
    );
  }

  private tryNode(node: NodeProto, name: string): void {
    try {
      if ([...node.input, ...capturedBy(node)].some((n) => this.failed.has(n)))
        node.output.forEach((o) => this.failed.add(o));
      else this.importNode(node, name);
    } catch (e) {
      if (!(e instanceof UserError)) throw e;
      this.sink.diagnostics.push(...e.diagnostics);
      node.output.forEach((o) => this.failed.add(o));
    }
  }

  private importNode(given: NodeProto, name: string): void {
    const called = this.functionOf(given);
    if (called !== undefined) return this.call(called, given, name);
    const { node, domain, opset } = this.versions.of(given, name, this.opsets);
    const known = lookupOnnxOp(node.domain, node.opType);
    const early = known?.early !== undefined && operatorSchema(domain, node.opType, opset) === undefined;
    const schema = operatorSchema(domain, node.opType, early ? schemaVersions(domain, node.opType)[0]! : opset);
    const typeOf = (tensor: string): number | undefined => this.types.get(tensor);
    const refuse = (problem: Problem | undefined): void => {
      if (problem !== undefined)
        throw UserError.of("ON021", problem, { file: this.file, node: name, opType: node.opType });
    };
    if (!early) refuse(versionProblem(node, domain, opset));
    if (schema !== undefined) refuse(nodeProblem(schema, node, opset, typeOf));
    if (isControl(node)) return this.control.import(node, name, opset);
    const ctx = this.contextOf(node, name, opset);
    if (isSequenceNode(node, this.sequences)) return this.importSequence(ctx, node, name);
    const operator = known!;
    if (schema === undefined) this.checkTypes(ctx, operator);
    const results = operator.import(ctx);
    const remark = operator.remark?.(ctx);
    if (remark !== undefined)
      this.sink.report("ON027", { what: remark }, { file: this.file, node: name, opType: node.opType });
    ctx.refuseUnread(schema, operator.ignores);
    const stated = (): number | undefined => operator.resultType?.(ctx);
    const outputs =
      schema === undefined
        ? { types: node.output.map(() => stated() ?? this.types.get(node.input[0] ?? "")) }
        : outputTypes(schema, node, typeOf, stated);
    if ("problem" in outputs) refuse(outputs.problem);
    const list = Array.isArray(results) ? (results as readonly (Value | Imported)[]) : [results as Value | Imported];
    node.output.forEach((o, i) => {
      if (o === "") return;
      const r = list[i];
      if (r === undefined) {
        // A further output may be declared and never read (the mask of Dropout).
        if (this.isRead(o)) throw ctx.error(`its output ${i} ("${printable(o)}") is not supported`);
        return;
      }
      const type = outputs.types[i];
      const declared = this.declared.get(o);
      if (type !== undefined && declared !== undefined && type !== declared)
        this.sink.report(
          "ON024",
          { name: printable(o, 60), is: dataTypeName(type), declared: dataTypeName(declared) },
          { file: this.file, node: name, opType: node.opType, tensor: o },
        );
      if (type !== undefined) this.types.set(o, type);
      const defined: Imported =
        "kind" in r && (r.kind === "const" || r.kind === "value")
          ? (r as Imported)
          : { kind: "value", value: r as Value };
      if (defined.kind === "value") ctx.checkBatch(o, shapeOf(defined.value));
      this.define(o, defined, `node "${printable(name)}"`);
    });
  }

  /** The node as its importer sees it; sequences among its inputs are left out. */
  private contextOf(node: NodeProto, name: string, opset: number): NodeContext {
    const inputs = node.input.map((n): Imported | undefined => {
      if (n === "" || this.sequences.has(n)) return undefined;
      const t = this.tensors.get(n);
      if (t === undefined)
        throw UserError.of(
          "ON003",
          { what: `node "${printable(name)}" reads tensor "${printable(n)}", which nothing produces` },
          { file: this.file, node: name, opType: node.opType, tensor: n },
        );
      return t;
    });
    const builder = new Builder(this.block, undefined, { nodes: [name], opType: node.opType, file: this.file });
    return new NodeContext(
      node,
      name,
      opset,
      this.file,
      builder,
      inputs,
      this.readers.get(node.output[0] ?? "") ?? [],
      this.types,
      lookupByName,
      undefined,
      this.batch,
      this.trial?.slack,
    );
  }

  private importSequence(ctx: NodeContext, node: NodeProto, name: string): void {
    const result = readSequence(ctx, this.sequences.get(node.input[0] ?? ""), (i) =>
      this.types.get(node.input[i] ?? ""),
    );
    const output = node.output[0] ?? "";
    if (output === "") return;
    if ("sequence" in result) this.sequences.set(output, result.sequence);
    else {
      if (result.type !== undefined) this.types.set(output, result.type);
      this.define(output, result.tensor, `node "${printable(name)}"`);
    }
  }

  private call(f: FunctionProto, node: NodeProto, name: string): void {
    const key = functionKey(f.domain, f.name, f.overload);
    if (this.calls.includes(key))
      throw UserError.of(
        "ON003",
        { what: `function "${printable(f.name)}" calls itself` },
        { file: this.file, node: name, opType: node.opType },
      );
    const outer = this.opsets;
    this.opsets = new Map([...outer, ...opsetsOf(f.opsetImport)]);
    this.calls.push(key);
    try {
      this.importBody(callBody(f, node, name));
    } finally {
      this.calls.pop();
      this.opsets = outer;
    }
  }

  /** Nodes in the place of one; what is wrong with any of them is said of it. */
  private importBody(body: Body): void {
    this.checkOperators(
      body.nodes,
      body.nodes.map((n) => n.name),
    );
    this.noteReaders(body.nodes);
    this.readInitializers(body.initializers);
    for (const [, from] of body.aliases) this.readers.set(from, [...(this.readers.get(from) ?? []), "an output"]);
    for (const n of body.nodes) this.importNode(n, n.name);
    for (const [output, from] of body.aliases) this.alias(output, from);
  }

  private alias(output: string, from: string): void {
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

  /** ONNX has no implicit conversions: operands of different types mean that the file is not what its author thinks. */
  private checkTypes(ctx: NodeContext, operator: OperatorImporter): void {
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

  private isRead(tensorName: string): boolean {
    return this.readers.has(tensorName);
  }
}
