/** The graph of a model, read node by node; everything that is not supported is reported at once. */
import { basename } from "node:path";
import { Block, Builder, Module, Op, type Value } from "../ir/core.js";
import { Sink, UserError, printable } from "../diagnostics/index.js";
import { checkInfinities } from "./infinities.js";
import { NodeContext, shapeOf, type Imported } from "./context.js";
import type { Batch } from "./batch.js";
import { Control, isControl } from "./control.js";
import { callBody, capturedBy, functionKey, type Body } from "./inline.js";
import { nodeOrder } from "./node-order.js";
import type { FunctionProto, GraphProto, ModelProto, NodeProto } from "./onnx-proto.js";
import { NameTable } from "./name-table.js";
import { pacedConstant, readInputs } from "./ports.js";
import { lookupByName, lookupOnnxOp } from "./operators/index.js";
import { nodeProblem, outputTypes, versionProblem, type Problem } from "./schema/check.js";
import { operatorSchema, schemaVersions } from "./schema/schema.js";
import { isSequenceNode, readSequence } from "./sequences.js";
import { shapeOption, type GivenShapes } from "./shapes.js";
import { isAdopted, isUnchanged, NodeVersions, opsetProblem, OPSETS, opsetsOf } from "./versions.js";
import { dataTypeName } from "./tensor-data.js";
import type { GraphSummary, NodeSummary } from "./graph-summary.js";

/** A name that tools and Verilog can carry. */
export function moduleNameOf(file: string): string {
  const stem = basename(file)
    .replace(/\.onnx$/i, "")
    .replace(/[^A-Za-z0-9_]+/g, "_")
    .replace(/^_+|_+$/g, "");
  return /^[A-Za-z]/.test(stem) ? stem : `net_${stem}`;
}

export class Importer {
  private readonly graph: GraphProto;
  private opsets: ReadonlyMap<string, number>;
  private readonly functions: ReadonlyMap<string, FunctionProto>;
  /** Functions that are being read, outermost first. */
  private readonly calls: string[] = [];
  private readonly names: NameTable;
  private readonly control: Control;
  private readonly versions: NodeVersions;
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
    this.names = new NameTable(this.graph, file);
    this.control = new Control({
      file,
      tensor: (name) => this.names.tensors.get(name),
      typeOf: (name) => this.names.types.get(name),
      define: (name, value, type) => {
        if (type !== undefined) this.names.types.set(name, type);
        this.names.define(name, value, "a loop");
      },
      alias: (name, of) => this.names.alias(name, of),
      importBody: (body) => this.importBody(body),
      context: (node, name) => this.contextOf(node, name, this.opsets.get("") ?? OPSETS.newest),
    });
    this.functions = new Map(model.functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]));
    const opset = this.opsets.get("");
    if (opset === undefined && this.opsets.size === 0)
      throw UserError.of("ON002", { what: "names no operator set (opset_import is empty)", ...OPSETS }, { file });
    const outside = opset === undefined ? undefined : opsetProblem("", opset);
    const own = this.graph.node.filter((n) => n.domain === "" || n.domain === "ai.onnx").map((n) => n.opType);
    if (outside !== undefined && !isUnchanged(opset!, own))
      throw UserError.of("ON002", { what: `uses opset ${opset}`, ...outside }, { file });
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
      isSequenceNode(node, this.names.sequences)
    );
  }

  run(): Module | undefined {
    const names = this.graph.node.map((n, i) => (n.name === "" ? `${n.opType}_${i}` : n.name));
    this.checkOperators(this.graph.node, names);
    this.names.readInitializers(this.graph.initializer);
    const inputs = this.readInputs();
    // Every node is tried, so that one run shows all that is to be changed.
    for (const i of nodeOrder(this.graph.node, names, this.file)) this.tryNode(this.graph.node[i]!, names[i]!);
    if (this.sink.hasErrors) return undefined;
    const outputs = this.graph.output.map((o) => {
      const t = this.names.tensors.get(o.name);
      if (t === undefined)
        throw UserError.of(
          "ON003",
          {
            what: `output "${printable(o.name)}" is ${this.names.sequences.has(o.name) ? "a sequence of tensors, which no port can carry" : "produced by nothing"}`,
          },
          { file: this.file, tensor: o.name },
        );
      return t.kind === "const" ? pacedConstant(this.block, t.tensor, o.name, this.file) : t.value;
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

  summarize(): GraphSummary {
    const names = this.graph.node.map((n, i) => (n.name === "" ? `${n.opType}_${i}` : n.name));
    this.names.readInitializers(this.graph.initializer);
    const inputs = this.readInputs();
    const args = this.block.args.map((a, i) => ({ name: inputs[i]!, shape: shapeOf(a) }));
    const nodes = nodeOrder(this.graph.node, names, this.file).map((i): NodeSummary => {
      const node = this.graph.node[i]!;
      const before = this.block.ops.length;
      let reason: string | undefined;
      if (!this.isKnown(node)) reason = "the operator is not supported";
      else if (node.input.some((n) => n !== "" && !this.names.tensors.has(n) && !this.names.sequences.has(n)))
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
        outputShape: this.names.shapeOf(node.output[0] ?? ""),
        reason,
      };
    });
    if (nodes.every((n) => n.reason === undefined)) this.noteBakedBatch(inputs);
    return {
      inputs: args,
      outputs: this.graph.output.map((o) => ({ name: o.name, shape: this.names.shapeOf(o.name) })),
      nodes,
    };
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

  private readInputs(): readonly string[] {
    const { inputs, batch } = readInputs(
      this.graph,
      this.names,
      this.block,
      this.given,
      this.file,
      this.trial?.slack ?? 1,
      (names, shapes) => this.again(names, shapes).allShapes(),
    );
    this.batch = batch;
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
    return new Map([...this.names.tensors.keys()].map((name) => [name, this.names.shapeOf(name)]));
  }

  /** Says so where all inputs and outputs have one first dimension above 1, and the network can do with one sample. */
  private noteBakedBatch(inputs: readonly string[]): void {
    const shapes = this.block.args.map((a) => shapeOf(a));
    const batch = shapes[0]?.[0] ?? 1;
    const ports = [...shapes, ...this.graph.output.map((o) => this.names.shapeOf(o.name))];
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
    const typeOf = (tensor: string): number | undefined => this.names.types.get(tensor);
    const refuse = (problem: Problem | undefined): void => {
      if (problem !== undefined)
        throw UserError.of("ON021", problem, { file: this.file, node: name, opType: node.opType });
    };
    if (!early) refuse(versionProblem(node, domain, opset));
    if (schema !== undefined) refuse(nodeProblem(schema, node, opset, typeOf));
    if (isControl(node)) return this.control.import(node, name, opset);
    const ctx = this.contextOf(node, name, opset);
    if (isSequenceNode(node, this.names.sequences)) return this.importSequence(ctx, node, name);
    const operator = known!;
    if (schema === undefined) this.names.checkTypes(ctx, operator);
    const results = operator.import(ctx);
    const remark = operator.remark?.(ctx);
    if (remark !== undefined)
      this.sink.report("ON027", { what: remark }, { file: this.file, node: name, opType: node.opType });
    ctx.refuseUnread(schema, operator.ignores);
    const stated = (): number | undefined => operator.resultType?.(ctx);
    const outputs =
      schema === undefined
        ? { types: node.output.map(() => stated() ?? this.names.types.get(node.input[0] ?? "")) }
        : outputTypes(schema, node, typeOf, stated);
    if ("problem" in outputs) refuse(outputs.problem);
    const list = Array.isArray(results) ? (results as readonly (Value | Imported)[]) : [results as Value | Imported];
    node.output.forEach((o, i) => {
      if (o === "") return;
      const r = list[i];
      if (r === undefined) {
        // A further output may be declared and never read (the mask of Dropout).
        if (this.names.isRead(o)) throw ctx.error(`its output ${i} ("${printable(o)}") is not supported`);
        return;
      }
      const type = outputs.types[i];
      const declared = this.names.declared.get(o);
      if (type !== undefined && declared !== undefined && type !== declared)
        this.sink.report(
          "ON024",
          { name: printable(o, 60), is: dataTypeName(type), declared: dataTypeName(declared) },
          { file: this.file, node: name, opType: node.opType, tensor: o },
        );
      if (type !== undefined) this.names.types.set(o, type);
      const defined: Imported =
        "kind" in r && (r.kind === "const" || r.kind === "value")
          ? (r as Imported)
          : { kind: "value", value: r as Value };
      if (defined.kind === "value") ctx.checkBatch(o, shapeOf(defined.value));
      this.names.define(o, defined, `node "${printable(name)}"`);
    });
  }

  /** The node as its importer sees it; sequences among its inputs are left out. */
  private contextOf(node: NodeProto, name: string, opset: number): NodeContext {
    const inputs = node.input.map((n): Imported | undefined => {
      if (n === "" || this.names.sequences.has(n)) return undefined;
      const t = this.names.tensors.get(n);
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
      this.names.readersOf(node.output[0] ?? ""),
      this.names.types,
      lookupByName,
      undefined,
      this.batch,
      this.trial?.slack,
    );
  }

  private importSequence(ctx: NodeContext, node: NodeProto, name: string): void {
    const result = readSequence(ctx, this.names.sequences.get(node.input[0] ?? ""), (i) =>
      this.names.types.get(node.input[i] ?? ""),
    );
    const output = node.output[0] ?? "";
    if (output === "") return;
    if ("sequence" in result) this.names.sequences.set(output, result.sequence);
    else {
      if (result.type !== undefined) this.names.types.set(output, result.type);
      this.names.define(output, result.tensor, `node "${printable(name)}"`);
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
    this.names.noteReaders(body.nodes);
    this.names.readInitializers(body.initializers);
    for (const [, from] of body.aliases) this.names.noteOutput(from, "an output");
    for (const n of body.nodes) this.importNode(n, n.name);
    for (const [output, from] of body.aliases) this.names.alias(output, from);
  }
}
