/** Builds small ONNX models node by node; shapes are those that the importer finds. */
import { importOnnx } from "../../src/frontend/import.js";
import { renderDiagnostic, Sink } from "../../src/diagnostics/index.js";
import type { TensorType } from "../../src/ir/types.js";
import { floats, integers, node, onnx, weights } from "../frontend/support.js";
import type { Random } from "./random-nets.js";

/** What the elements of a tensor are; only alike tensors are calculated with one another. */
export type Kind = "real" | "truth" | "code" | "index";

export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: Kind;
  /** Bound of the magnitude, roughly. */
  readonly size: number;
}

type AttributeValue = number | string | readonly number[] | readonly string[] | { readonly float: number } | { readonly floats: readonly number[] };

function attribute(name: string, v: AttributeValue): object {
  const bytes = (s: string): Uint8Array => new TextEncoder().encode(s);
  if (typeof v === "number") return { name, type: 2, i: v };
  if (typeof v === "string") return { name, type: 3, s: bytes(v) };
  if ("float" in v) return { name, type: 1, f: v.float };
  if ("floats" in v) return { name, type: 6, floats: v.floats };
  return typeof v[0] === "string" ? { name, type: 8, strings: (v as readonly string[]).map(bytes) } : { name, type: 7, ints: v };
}

export const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

const CODE_TYPES: Readonly<Record<string, number>> = { uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6, bool: 9 };

export interface NodeOptions {
  readonly domain?: string;
  readonly attrs?: Readonly<Record<string, AttributeValue>>;
  readonly kind?: Kind;
  /** Bound of the results' magnitude; the operands' largest where absent. */
  readonly size?: number;
}

const OPSET = 24;
const DOMAINS = ["com.microsoft", "qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"];

export class ModelBuilder {
  readonly tensors: Tensor[] = [];
  readonly inputs: Tensor[] = [];
  /** Operators of the nodes, with their domains where it is not ONNX's own. */
  readonly operators: string[] = [];
  private readonly nodes: { readonly spec: object; readonly input: readonly string[] }[] = [];
  private readonly initializers: object[] = [];
  private names = 0;

  constructor(readonly rnd: Random) {}

  int(lo: number, hi: number): number {
    return lo + Math.floor(this.rnd() * (hi - lo + 1));
  }
  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)]!;
  }
  chance(p: number): boolean {
    return this.rnd() < p;
  }
  /** A number of the given magnitude with few digits, not 0. */
  number(size: number): number {
    return (this.chance(0.5) ? -1 : 1) * (this.int(1, 16) / 16) * size;
  }

  input(shape: readonly number[]): Tensor {
    const t: Tensor = { name: `x${this.inputs.length}`, shape, kind: "real", size: 2 };
    this.inputs.push(t);
    this.tensors.push(t);
    return t;
  }

  private fresh(what: string): string {
    return `${what}${this.names++}`;
  }
  /** Weights: some of them zeros and powers of two. */
  weights(shape: readonly number[], size = 1): string {
    return this.floats(shape, Array.from({ length: count(shape) }, () => (this.chance(0.15) ? 0 : this.number(size))));
  }
  /** Above zero. */
  positive(shape: readonly number[], size = 1): string {
    return this.floats(shape, Array.from({ length: count(shape) }, () => Math.abs(this.number(size))));
  }
  floats(shape: readonly number[], data: readonly number[]): string {
    const name = this.fresh("w");
    this.initializers.push(weights(name, shape, data));
    return name;
  }
  integers(data: readonly number[], shape: readonly number[] = [data.length]): string {
    const name = this.fresh("i");
    this.initializers.push(integers(name, shape, data));
    return name;
  }
  /** Integers of a narrow type, or truth values. */
  codes(type: "uint8" | "int8" | "uint16" | "int16" | "int32" | "bool", shape: readonly number[], data: readonly number[]): string {
    const name = this.fresh("c");
    this.initializers.push({ name, dims: shape, dataType: CODE_TYPES[type], int32Data: data });
    return name;
  }

  /** Adds a node, on tensors, names of constants, or nothing; its results, with the shapes that they get. */
  results(opType: string, operands: readonly (Tensor | string)[], outputs: number, options: NodeOptions = {}): Tensor[] {
    const input = operands.map((o) => (typeof o === "string" ? o : o.name));
    const output = Array.from({ length: outputs }, () => this.fresh("t"));
    const spec = { ...node(opType, input, output, `${opType}_${this.nodes.length}`, Object.entries(options.attrs ?? {}).map(([k, v]) => attribute(k, v))), domain: options.domain ?? "" };
    this.nodes.push({ spec, input });
    this.operators.push(options.domain === undefined ? opType : `${options.domain}::${opType}`);
    const size = options.size ?? Math.max(1, ...operands.map((o) => (typeof o === "string" ? 0 : o.size)));
    if (operands.every((o) => typeof o === "string")) return output.map((name) => ({ name, shape: [], kind: "real", size }));
    const shapes = this.shapesOf(output);
    const made = output.map((name, i): Tensor => ({ name, shape: shapes[i]!, kind: options.kind ?? "real", size }));
    this.tensors.push(...made);
    return made;
  }
  node(opType: string, operands: readonly (Tensor | string)[], options: NodeOptions = {}): Tensor {
    return this.results(opType, operands, 1, options)[0]!;
  }
  /** A node on constants, or one that only asks for a shape: the name of its result. */
  constantNode(opType: string, operands: readonly (Tensor | string)[], attrs: NodeOptions["attrs"] = {}): string {
    const output = this.fresh("k");
    const input = operands.map((o) => (typeof o === "string" ? o : o.name));
    this.nodes.push({ spec: node(opType, input, [output], `${opType}_${this.nodes.length}`, Object.entries(attrs).map(([k, v]) => attribute(k, v))), input });
    this.operators.push(opType);
    return output;
  }

  private shapesOf(outputs: readonly string[]): (readonly number[])[] {
    const sink = new Sink();
    const module = importOnnx(this.bytes(outputs), "partial.onnx", sink);
    if (module === undefined) throw new Error(`refused: ${sink.diagnostics.map(renderDiagnostic).join("\n")}`);
    return module.func.body.terminator.operands.map((v) => (v.type as TensorType).shape);
  }

  /** Back to a state in which `tensors` were there, without the nodes since. */
  mark(): () => void {
    const [tensors, nodes, initializers] = [this.tensors.length, this.nodes.length, this.initializers.length];
    return () => {
      this.tensors.length = tensors;
      this.nodes.length = nodes;
      this.operators.length = nodes;
      this.initializers.length = initializers;
    };
  }

  /** Tensors that no node reads. */
  leaves(): Tensor[] {
    const read = new Set(this.nodes.flatMap((n) => n.input));
    return this.tensors.filter((t) => !read.has(t.name) && !this.inputs.includes(t));
  }

  bytes(outputs: readonly string[]): Uint8Array {
    return onnx({
      opset: OPSET,
      domains: DOMAINS,
      node: this.nodes.map((n) => n.spec),
      initializer: this.initializers,
      input: this.inputs.map((t) => floats(t.name, t.shape)),
      output: outputs.map((name) => floats(name, [])),
    });
  }

  /** Nodes as text, for messages. */
  describe(): string {
    return this.nodes.map(({ spec }) => {
      const n = spec as { opType: string; input: string[]; output: string[]; attribute: { name: string; i?: number; ints?: number[]; f?: number; s?: Uint8Array }[] };
      const attrs = n.attribute.map((a) => `${a.name}=${a.s !== undefined ? new TextDecoder().decode(a.s) : JSON.stringify(a.i ?? a.ints ?? a.f)}`).join(" ");
      return `${n.output.join(", ")} = ${n.opType}(${n.input.join(", ")}) ${attrs} : ${n.output.map((o) => `[${this.tensors.find((t) => t.name === o)?.shape.join(", ") ?? "constant"}]`).join(" ")}`;
    }).join("\n");
  }
}
