/**
 * Control flow that is decided at import: the branch that If takes, and the passes of Loop and Scan, one behind the
 * other. Hardware has no branches, and every pass is hardware of its own until the folding shares it.
 */
import { UserError } from "../diagnostics/index.js";
import { bindHint } from "./bind.js";
import { known, type Imported, type NodeContext } from "./context.js";
import { branchBody, passBody, type Body } from "./inline.js";
import type { GraphProto, NodeProto } from "./onnx-proto.js";
import { apply, integers, shapeOfImported } from "./operators/build.js";

const INT64 = 7;
const BOOL = 9;

/** The graph around a node of control flow, as the importer has read it so far. */
export interface Surroundings {
  readonly file: string;
  tensor(name: string): Imported | undefined;
  typeOf(name: string): number | undefined;
  define(name: string, value: Imported, type: number | undefined): void;
  /** Another name of a tensor or a sequence. */
  alias(name: string, of: string): void;
  importBody(body: Body): void;
  /** The node as importers of operators see it. */
  context(node: NodeProto, name: string): NodeContext;
}

/** Nodes that all loops of a model may become together. */
const MAX_UNROLLED = 20_000;

export function isControl(node: NodeProto): boolean {
  return (node.domain === "" || node.domain === "ai.onnx") && ["If", "Loop", "Scan"].includes(node.opType);
}

export class Control {
  private unrolled = 0;
  constructor(private readonly around: Surroundings) {}

  /** @errors ON020 where what decides is computed by the network, or a loop is too long */
  import(node: NodeProto, name: string, opset: number): void {
    if (node.opType === "If") this.choose(node, name);
    else if (node.opType === "Loop") this.loop(node, name);
    else if (opset < 9) this.batchedScan(node, name);
    else
      this.scan(
        node,
        name,
        (i) => this.around.context(node, name).input(i),
        (_, v) => v,
      );
  }

  private fail(node: NodeProto, name: string, what: string, hint = "check the export of the model"): UserError {
    return UserError.of("ON020", { what, hint }, { file: this.around.file, node: name, opType: node.opType });
  }
  private graphOf(node: NodeProto, name: string, attribute: string): GraphProto {
    const g = node.attribute.find((a) => a.name === attribute)?.g;
    if (g == null) throw this.fail(node, name, `it has no ${attribute}`);
    return g;
  }
  /** A number that is known now, or undefined. */
  private numberAt(tensor: string): number | undefined {
    const t = this.around.tensor(tensor);
    return t?.kind === "const" && t.tensor.data.length === 1 ? t.tensor.data[0] : undefined;
  }

  private bindHint(tensor: string): string | undefined {
    const t = this.around.tensor(tensor);
    return t?.kind === "value" ? bindHint(t.value) : undefined;
  }

  /** The branch that a constant condition takes. */
  private choose(node: NodeProto, name: string): void {
    const condition = this.numberAt(node.input[0] ?? "");
    if (condition === undefined)
      throw this.fail(
        node,
        name,
        "its condition is computed from the inputs",
        this.bindHint(node.input[0]!) ??
          "hardware has no branches: export with torch.where, or with the condition fixed",
      );
    this.around.importBody(
      branchBody(this.graphOf(node, name, condition !== 0 ? "then_branch" : "else_branch"), node, name),
    );
  }

  /** Another pass through the body: the tensors that its inputs stand for, to what its outputs are. */
  private pass(node: NodeProto, name: string, graph: GraphProto, k: number, inputs: readonly string[]): string[] {
    this.unrolled += graph.node.length;
    if (this.unrolled > MAX_UNROLLED)
      throw this.fail(
        node,
        name,
        `unrolled, the loops of this model have more than ${MAX_UNROLLED} nodes: pass ${k + 1} of this one, of ${graph.node.length} nodes each, is beyond`,
        "export with fewer passes, or give the body of the loop to onnx-hls",
      );
    const { body, outputs } = passBody(graph, inputs, `${name}/${k}`);
    this.around.importBody(body);
    return outputs;
  }

  private loop(node: NodeProto, name: string): void {
    const graph = this.graphOf(node, name, "body");
    const [count, start] = [node.input[0] ?? "", node.input[1] ?? ""];
    const most = count === "" ? Infinity : this.numberAt(count);
    if (most === undefined)
      throw this.fail(
        node,
        name,
        "its number of passes is computed from the inputs",
        this.bindHint(count) ?? "hardware has a fixed length: export with a constant number of passes",
      );
    let states = node.input.slice(2);
    const carried = states.length;
    if (graph.input.length !== carried + 2 || graph.output.length < carried + 1)
      throw this.fail(
        node,
        name,
        `its body takes ${graph.input.length} tensors and gives ${graph.output.length} for ${carried} that are carried`,
      );
    const rows: string[][] = graph.output.slice(1 + carried).map(() => []);
    let goes = start === "" ? 1 : this.numberAt(start);
    for (let k = 0; k < most && goes !== 0; k++) {
      if (goes === undefined)
        throw this.fail(
          node,
          name,
          `the condition ${k === 0 ? "to begin" : `after pass ${k}`} is computed from the inputs`,
          "hardware has a fixed length: export with a constant number of passes and a constant condition",
        );
      const [pass, condition] = [`${name}/${k}/pass`, `${name}/${k}/condition`];
      this.around.define(pass, known([], [k], true), INT64);
      this.around.define(condition, known([], [goes], true), BOOL);
      const outputs = this.pass(node, name, graph, k, [pass, condition, ...states]);
      goes = this.numberAt(outputs[0]!);
      states = outputs.slice(1, 1 + carried);
      outputs.slice(1 + carried).forEach((o, i) => rows[i]!.push(o));
    }
    states.forEach((s, i) => this.aliasOutput(node, i, s));
    rows.forEach((list, i) => this.defineRows(node, name, carried + i, list, 0, (_, v) => v));
  }

  private aliasOutput(node: NodeProto, i: number, tensor: string): void {
    const output = node.output[i] ?? "";
    if (output !== "") this.around.alias(output, tensor);
  }

  /** The passes' results along a new axis. */
  private defineRows(
    node: NodeProto,
    name: string,
    i: number,
    rows: readonly string[],
    axis: number,
    finish: (ctx: NodeContext, v: Imported) => Imported,
  ): void {
    const output = node.output[i] ?? "";
    if (output === "") return;
    const ctx = this.around.context(node, name);
    if (rows.length === 0) throw ctx.error(`it makes no pass, so that its output ${i} is empty`, "leave the loop out");
    const parts = rows.map((r) => {
      const t = this.around.tensor(r);
      if (t === undefined) throw ctx.error(`its output ${i} is no tensor`);
      const rank = shapeOfImported(t).length + 1;
      return apply(ctx, "Unsqueeze", [t, integers(axis < 0 ? axis + rank : axis)]);
    });
    const rank = shapeOfImported(parts[0]!).length;
    this.around.define(
      output,
      finish(ctx, apply(ctx, "Concat", parts, { axis: axis < 0 ? axis + rank : axis })),
      this.around.typeOf(rows[0]!),
    );
  }

  /**
   * Before opset 9, samples of a batch are scanned one by one: of one sample the batch is taken away, and given back.
   */
  private batchedScan(node: NodeProto, name: string): void {
    const ctx = this.around.context(node, name);
    if (ctx.has(0))
      throw ctx.error("lengths of sequences are not supported", "export with full sequences, or with opset 9 or newer");
    const sample = (i: number): Imported => {
      if (ctx.shape(i + 1)[0] !== 1)
        throw ctx.error(
          `a batch of ${ctx.shape(i + 1)[0]} is scanned sample by sample`,
          "export one sample, or with opset 9 or newer",
        );
      return apply(ctx, "Squeeze", [ctx.input(i + 1), integers(0)]);
    };
    this.scan(
      { ...node, input: node.input.slice(1), output: node.output },
      name,
      sample,
      (c, v) => apply(c, "Unsqueeze", [v, integers(0)]),
      "directions",
    );
  }

  /** `take` gives the inputs, and `give` makes outputs of what results. */
  private scan(
    node: NodeProto,
    name: string,
    take: (i: number) => Imported,
    give: (ctx: NodeContext, v: Imported) => Imported,
    directionsName = "scan_input_directions",
  ): void {
    const graph = this.graphOf(node, name, "body");
    const ctx = this.around.context(node, name);
    const scanned = ctx.int("num_scan_inputs", 0);
    const carried = node.input.length - scanned;
    if (scanned < 1 || carried < 0 || graph.input.length !== node.input.length || graph.output.length < carried)
      throw ctx.error(
        `its body takes ${graph.input.length} tensors and gives ${graph.output.length} for ${carried} that are carried and ${scanned} that are scanned`,
      );
    const listed = (attribute: string, n: number): readonly number[] =>
      ctx.ints(attribute) ?? new Array<number>(n).fill(0);
    const results = graph.output.length - carried;
    const [directions, backwards] = [listed(directionsName, scanned), listed("scan_output_directions", results)];
    const outputAxes = listed("scan_output_axes", results);
    const inputs = Array.from({ length: scanned }, (_, i) => take(carried + i));
    const axes = listed("scan_input_axes", scanned).map((a, i) => ctx.axis(a, shapeOfImported(inputs[i]!).length));
    const lengths = inputs.map((x, i) => shapeOfImported(x)[axes[i]!]!);
    if (lengths.some((l) => l !== lengths[0]))
      throw ctx.error(`its inputs have ${lengths.join(", ")} elements to scan`);
    let states = Array.from({ length: carried }, (_, i) => {
      this.around.define(`${name}/state_${i}`, take(i), this.around.typeOf(node.input[i]!));
      return `${name}/state_${i}`;
    });
    const rows: string[][] = backwards.map(() => []);
    for (let k = 0; k < lengths[0]!; k++) {
      const slices = inputs.map((x, i) => {
        const at = directions[i] === 1 ? lengths[0]! - 1 - k : k;
        const slice = `${name}/${k}/scanned_${i}`;
        this.around.define(
          slice,
          apply(ctx, "Gather", [x, known([], [at], true)], { axis: axes[i]! }),
          this.around.typeOf(node.input[carried + i]!),
        );
        return slice;
      });
      const outputs = this.pass(node, name, graph, k, [...states, ...slices]);
      states = outputs.slice(0, carried);
      outputs.slice(carried).forEach((o, i) => rows[i]!.push(o));
    }
    states.forEach((s, i) => {
      const output = node.output[i] ?? "";
      const t = this.around.tensor(s);
      if (output !== "" && t !== undefined) this.around.define(output, give(ctx, t), this.around.typeOf(s));
    });
    rows.forEach((list, i) =>
      this.defineRows(node, name, carried + i, backwards[i] === 1 ? [...list].reverse() : list, outputAxes[i]!, give),
    );
  }
}
