/** ONNX -> nn: reads the graph, folds what is constant, and reports everything that is not supported at once. */
import { basename } from "node:path";
import { Block, Builder, Module, Op, type Value } from "../ir/core.js";
import { f32, tensor } from "../ir/types.js";
import { Sink, UserError, printable } from "../diagnostics/index.js";
import { checkInfinities } from "./infinities.js";
import { checkNumbers, NodeContext, shapeOf, type Imported, type OperatorImporter } from "./context.js";
import { branchBody, callBody, capturedBy, functionKey, type Body } from "./inline.js";
import { decodeModel, toNumber, type FunctionProto, type GraphProto, type ModelProto, type NodeProto, type TensorProto, type ValueInfoProto } from "./onnx-proto.js";
import { lookupOnnxOp } from "./operators/index.js";
import { dataTypeName, integerRange, isNumberType, readTensor } from "./tensor-data.js";

/** Oldest and newest operator sets whose meaning this importer knows. */
export const OPSETS = { oldest: 6, newest: 28 };

/** Imports a model; `undefined` where errors were reported to the sink. */
export function importOnnx(bytes: Uint8Array, file: string, sink: Sink): Module | undefined {
  try {
    return new Importer(decode(bytes, file), file, sink).run();
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

/** Reads as much of a model as can be read: nodes that fail carry the reason, and what depends on them is not reached. */
export function summarizeOnnx(bytes: Uint8Array, file: string, sink: Sink): GraphSummary | undefined {
  try {
    return new Importer(decode(bytes, file), file, sink).summarize();
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
  if (model.graph == null || (model.graph.node.length === 0 && model.graph.output.length === 0)) throw UserError.of("ON001", { reason: "it holds no graph" }, { file });
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
  const stem = basename(file).replace(/\.onnx$/i, "").replace(/[^A-Za-z0-9_]+/g, "_").replace(/^_+|_+$/g, "");
  return /^[A-Za-z]/.test(stem) ? stem : `net_${stem}`;
}

class Importer {
  private readonly graph: GraphProto;
  private opsets: ReadonlyMap<string, number>;
  private readonly functions: ReadonlyMap<string, FunctionProto>;
  /** Functions that are being read, outermost first. */
  private readonly calls: string[] = [];
  private readonly tensors = new Map<string, Imported>();
  /** ONNX element types, as far as they are known. */
  private readonly types = new Map<string, number>();
  /** Operators that read each tensor; the graph itself where it is an output. */
  private readonly readers = new Map<string, string[]>();
  /** Tensors that have no value because their node was refused. */
  private readonly failed = new Set<string>();
  private readonly block = new Block();

  constructor(model: ModelProto, private readonly file: string, private readonly sink: Sink) {
    this.graph = model.graph!;
    this.opsets = opsetsOf(model.opsetImport);
    this.functions = new Map(model.functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]));
    this.noteReaders(this.graph.node);
    for (const o of this.graph.output) this.readers.set(o.name, [...(this.readers.get(o.name) ?? []), "the graph's output"]);
    const opset = this.opsets.get("");
    if (opset === undefined && this.opsets.size === 0) throw UserError.of("ON002", { what: "names no operator set (opset_import is empty)", ...OPSETS }, { file });
    if (opset !== undefined && (opset < OPSETS.oldest || opset > OPSETS.newest)) throw UserError.of("ON002", { what: `uses opset ${opset}`, ...OPSETS }, { file });
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
    return lookupOnnxOp(node.domain, node.opType) === undefined ? this.functions.get(functionKey(node.domain, node.opType, node.overload)) : undefined;
  }
  private isKnown(node: NodeProto): boolean {
    return lookupOnnxOp(node.domain, node.opType) !== undefined || this.functionOf(node) !== undefined || isIf(node);
  }

  run(): Module | undefined {
    const names = this.graph.node.map((n, i) => (n.name === "" ? `${n.opType}_${i}` : n.name));
    this.checkOperators(this.graph.node, names);
    this.readInitializers(this.graph.initializer);
    const inputs = this.readInputs();
    // Every node is tried, so that one run shows all that is to be changed.
    for (const i of this.sorted(names)) this.tryNode(this.graph.node[i]!, names[i]!);
    if (this.sink.hasErrors) return undefined;
    const outputs = this.graph.output.map((o) => {
      const t = this.tensors.get(o.name);
      if (t === undefined) throw UserError.of("ON003", { what: `output "${printable(o.name)}" is produced by nothing` }, { file: this.file, tensor: o.name });
      if (t.kind === "const") throw UserError.of("ON003", { what: `output "${printable(o.name)}" does not depend on any input` }, { file: this.file, tensor: o.name });
      return t.value;
    });
    if (outputs.length === 0) throw UserError.of("ON003", { what: "the graph has no outputs" }, { file: this.file });
    if (this.sink.hasErrors) return undefined;
    new Builder(this.block).create("return", outputs, []);
    const module = new Module(moduleNameOf(this.file));
    module.body.append(new Op({ name: "func", attrs: { sym: module.name, inputs, outputs: this.graph.output.map((o) => o.name) }, regions: [this.block] }));
    checkInfinities(module, this.file);
    return module;
  }

  summarize(): GraphSummary {
    const names = this.graph.node.map((n, i) => (n.name === "" ? `${n.opType}_${i}` : n.name));
    this.readInitializers(this.graph.initializer);
    const inputs = this.readInputs();
    const args = this.block.args.map((a, i) => ({ name: inputs[i]!, shape: shapeOf(a) }));
    const nodes = this.sorted(names).map((i): NodeSummary => {
      const node = this.graph.node[i]!;
      const before = this.block.ops.length;
      let reason: string | undefined;
      if (!this.isKnown(node)) reason = "the operator is not supported";
      else if (node.input.some((n) => n !== "" && !this.tensors.has(n))) reason = "an input comes from a node that cannot be read";
      else {
        try {
          this.importNode(node, names[i]!);
        } catch (e) {
          if (!(e instanceof UserError)) throw e;
          reason = e.diagnostics[0]!.message;
        }
      }
      return { name: names[i]!, opType: node.opType, ops: this.block.ops.slice(before), outputShape: this.shapeOfTensor(node.output[0] ?? ""), reason };
    });
    return { inputs: args, outputs: this.graph.output.map((o) => ({ name: o.name, shape: this.shapeOfTensor(o.name) })), nodes };
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
    if (missing.length > 0) throw UserError.of("ON004", { count: missing.length, list: missing.slice(0, 50).join(", ") + (missing.length > 50 ? ` and ${missing.length - 50} more` : "") }, { file: this.file });
  }

  private define(name: string, value: Imported, what: string): void {
    if (this.tensors.has(name)) throw UserError.of("ON003", { what: `tensor "${printable(name)}" is defined twice, the second time by ${what}` }, { file: this.file, tensor: name });
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
    if (this.graph.sparseInitializer.length > 0) throw UserError.of("ON003", { what: "weights in sparse form (sparse_initializer) are not supported" }, { file: this.file });
  }

  /** Inputs that no initializer provides become the function's arguments. */
  private readInputs(): string[] {
    const names: string[] = [];
    const seen = new Set<string>();
    for (const input of this.graph.input) {
      if (seen.has(input.name)) throw UserError.of("ON003", { what: `input "${printable(input.name)}" is listed twice` }, { file: this.file, tensor: input.name });
      seen.add(input.name);
      if (this.tensors.has(input.name)) continue;
      const shape = this.inputShape(input);
      names.push(input.name);
      this.types.set(input.name, input.type!.tensorType!.elemType);
      const arg = this.block.addArg(tensor(shape, f32), input.name);
      const range = portRange(input.type!.tensorType!.elemType);
      // Integers of a quantized network enter within the limits of their type.
      const value = range === undefined ? arg : new Builder(this.block).value("nn.round", [arg], tensor(shape, f32), { lo: range.lo, hi: range.hi }, input.name);
      this.tensors.set(input.name, { kind: "value", value });
    }
    if (names.length === 0) throw UserError.of("ON003", { what: "the graph has no input: everything in it is constant" }, { file: this.file });
    return names;
  }

  private inputShape(input: ValueInfoProto): number[] {
    const fail = (what: string): UserError => UserError.of("ON005", { what }, { file: this.file, tensor: input.name });
    const type = input.type?.tensorType;
    if (type == null) throw fail(`input "${printable(input.name)}" is not a tensor, or has no type (sequences and nested types are not supported)`);
    if (!isNumberType(type.elemType)) throw fail(`input "${printable(input.name)}" holds ${dataTypeName(type.elemType)} values; inputs must be numbers or truth values`);
    if (type.shape == null) throw fail(`input "${printable(input.name)}" has no shape`);
    const shape = type.shape.dim.map((d, i) => {
      const n = d.value === "dimValue" ? toNumber(d.dimValue) : 0;
      if (n > 0) return n;
      // A symbolic first dimension counts samples: the design processes a stream of them.
      if (i === 0) return 1;
      throw fail(`dimension ${i} of input "${printable(input.name)}" is ${d.value === "dimParam" ? `the symbol "${printable(d.dimParam)}"` : `${n}`}; only the first may be open`);
    });
    const total = shape.reduce((n, d) => n * d, 1);
    if (total > 2 ** 24) throw fail(`input "${printable(input.name)}" has ${shape.join(" x ")} elements a sample`);
    return shape;
  }

  /** Node numbers in an order in which every tensor is produced before it is read. */
  private sorted(names: readonly string[]): number[] {
    const producer = new Map<string, number>();
    this.graph.node.forEach((n, i) => {
      for (const o of n.output) {
        if (o === "") continue;
        const before = producer.get(o);
        if (before !== undefined) throw UserError.of("ON003", { what: `tensor "${printable(o)}" is produced by two nodes, "${printable(names[before]!)}" and "${printable(names[i]!)}"` }, { file: this.file, tensor: o });
        producer.set(o, i);
      }
    });
    const order: number[] = [];
    const state = new Uint8Array(this.graph.node.length);
    const reads = this.graph.node.map((n) => [...n.input, ...capturedBy(n)]);
    // Iterative depth-first search: chains may be tens of thousands of nodes long.
    for (let root = 0; root < state.length; root++) {
      const stack: { node: number; next: number }[] = [{ node: root, next: 0 }];
      if (state[root] !== 0) continue;
      state[root] = 1;
      while (stack.length > 0) {
        const top = stack[stack.length - 1]!;
        const input = reads[top.node]![top.next++];
        if (input === undefined) {
          state[top.node] = 2;
          order.push(top.node);
          stack.pop();
          continue;
        }
        const p = producer.get(input);
        if (p === undefined || state[p] === 2) continue;
        if (state[p] === 1) {
          const cycle = stack.slice(stack.findIndex((s) => s.node === p)).map((s) => `"${printable(names[s.node]!, 40)}"`);
          throw UserError.of("ON003", { what: `the graph has a cycle through ${cycle.join(", ")}` }, { file: this.file, tensor: input });
        }
        state[p] = 1;
        stack.push({ node: p, next: 0 });
      }
    }
    return order;
  }

  private tryNode(node: NodeProto, name: string): void {
    try {
      if ([...node.input, ...capturedBy(node)].some((n) => this.failed.has(n))) node.output.forEach((o) => this.failed.add(o));
      else this.importNode(node, name);
    } catch (e) {
      if (!(e instanceof UserError)) throw e;
      this.sink.diagnostics.push(...e.diagnostics);
      node.output.forEach((o) => this.failed.add(o));
    }
  }

  private importNode(node: NodeProto, name: string): void {
    const called = this.functionOf(node);
    if (called !== undefined) return this.call(called, node, name);
    if (isIf(node)) return this.choose(node, name);
    const domain = node.domain === "ai.onnx" ? "" : node.domain;
    const operator = lookupOnnxOp(node.domain, node.opType)!;
    const inputs = node.input.map((n): Imported | undefined => {
      if (n === "") return undefined;
      const t = this.tensors.get(n);
      if (t === undefined) throw UserError.of("ON003", { what: `node "${printable(name)}" reads tensor "${printable(n)}", which nothing produces` }, { file: this.file, node: name, opType: node.opType, tensor: n });
      return t;
    });
    const builder = new Builder(this.block, undefined, { nodes: [name], opType: node.opType, file: this.file });
    const opset = this.opsets.get(domain);
    const ctx = new NodeContext(node, name, opset ?? OPSETS.newest, this.file, builder, inputs, this.readers.get(node.output[0] ?? "") ?? [], this.types, (opType) => lookupOnnxOp("", opType));
    if (opset === undefined) throw ctx.error(`its domain "${printable(domain)}" is not imported by the model`);
    this.checkTypes(ctx, operator);
    const results = operator.import(ctx);
    const list = Array.isArray(results) ? (results as readonly (Value | Imported)[]) : [results as Value | Imported];
    node.output.forEach((o, i) => {
      if (o === "") return;
      const r = list[i];
      if (r === undefined) {
        // A further output may be declared and never read (the mask of Dropout).
        if (this.isRead(o)) throw ctx.error(`its output ${i} ("${printable(o)}") is not supported`);
        return;
      }
      const type = operator.resultType?.(ctx) ?? this.types.get(node.input[0] ?? "");
      if (type !== undefined) this.types.set(o, type);
      this.define(o, "kind" in r && (r.kind === "const" || r.kind === "value") ? (r as Imported) : { kind: "value", value: r as Value }, `node "${printable(name)}"`);
    });
  }

  private call(f: FunctionProto, node: NodeProto, name: string): void {
    const key = functionKey(f.domain, f.name, f.overload);
    if (this.calls.includes(key)) throw UserError.of("ON003", { what: `function "${printable(f.name)}" calls itself` }, { file: this.file, node: name, opType: node.opType });
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

  /** The branch that a constant condition takes. */
  private choose(node: NodeProto, name: string): void {
    const fail = (what: string, hint: string): UserError => UserError.of("ON020", { what, hint }, { file: this.file, node: name, opType: node.opType });
    const condition = this.tensors.get(node.input[0] ?? "");
    if (condition?.kind !== "const" || condition.tensor.data.length !== 1) throw fail("its condition is computed from the inputs", "hardware has no branches: export with torch.where, or with the condition fixed");
    const which = condition.tensor.data[0] !== 0 ? "then_branch" : "else_branch";
    const branch = node.attribute.find((a) => a.name === which)?.g;
    if (branch == null) throw fail(`it has no ${which}`, "check the export of the model");
    this.importBody(branchBody(branch, node, name));
  }

  /** Nodes in the place of one; what is wrong with any of them is said of it. */
  private importBody(body: Body): void {
    this.checkOperators(body.nodes, body.nodes.map((n) => n.name));
    this.noteReaders(body.nodes);
    this.readInitializers(body.initializers);
    for (const [, from] of body.aliases) this.readers.set(from, [...(this.readers.get(from) ?? []), "an output"]);
    for (const n of body.nodes) this.importNode(n, n.name);
    for (const [output, from] of body.aliases) {
      const value = this.tensors.get(from);
      if (value === undefined) throw UserError.of("ON003", { what: `tensor "${printable(from)}" is produced by nothing` }, { file: this.file, tensor: from });
      const type = this.types.get(from);
      if (type !== undefined) this.types.set(output, type);
      this.define(output, value, "a function or branch");
    }
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
    throw ctx.error(`its inputs differ in type: ${show(typed[0]!)}, ${show(odd)}`, "convert the weights to the type of the activations and export again");
  }

  private isRead(tensorName: string): boolean {
    return this.readers.has(tensorName);
  }
}

function opsetsOf(imports: readonly { readonly domain: string; readonly version: Parameters<typeof toNumber>[0] }[]): ReadonlyMap<string, number> {
  return new Map(imports.map((o) => [o.domain === "ai.onnx" ? "" : o.domain, toNumber(o.version)]));
}

function isIf(node: NodeProto): boolean {
  return node.opType === "If" && (node.domain === "" || node.domain === "ai.onnx");
}
