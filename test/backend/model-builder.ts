/** Builds small ONNX models node by node; shapes are those that the importer finds. */
import { importOnnx, OPSETS } from "../../src/frontend/import.js";
import type { NodeProto } from "../../src/frontend/onnx-proto.js";
import { outputTypes, parameterAt } from "../../src/frontend/schema/check.js";
import { newestOpset, operatorSchema, type OperatorSchema } from "../../src/frontend/schema/schema.js";
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
  /** ONNX element type. */
  readonly type: number;
  /** Bound of the magnitude, roughly; of integers exactly. */
  readonly size: number;
}

export type AttributeValue =
  | number
  | string
  | readonly number[]
  | readonly string[]
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly tensor: object }
  | { readonly graph: object };
export type Attributes = Readonly<Record<string, AttributeValue>>;

function attribute(name: string, v: AttributeValue): object {
  const bytes = (s: string): Uint8Array => new TextEncoder().encode(s);
  if (typeof v === "number") return { name, type: 2, i: v };
  if (typeof v === "string") return { name, type: 3, s: bytes(v) };
  if ("float" in v) return { name, type: 1, f: v.float };
  if ("floats" in v) return { name, type: 6, floats: v.floats };
  if ("tensor" in v) return { name, type: 4, t: v.tensor };
  if ("graph" in v) return { name, type: 5, g: v.graph };
  return typeof v[0] === "string"
    ? { name, type: 8, strings: (v as readonly string[]).map(bytes) }
    : { name, type: 7, ints: v };
}

export const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

export const FLOAT = 1;
export const INT32 = 6;
export const INT64 = 7;
export const BOOL = 9;
const CODE_TYPES = { uint8: 2, int8: 3, uint16: 4, int16: 5, int32: INT32, bool: BOOL } as const;
export type CodeType = keyof typeof CODE_TYPES;

function kindOf(type: number): Kind {
  return type === FLOAT ? "real" : type === BOOL ? "truth" : type === INT32 || type === INT64 ? "index" : "code";
}

export interface NodeOptions {
  readonly domain?: string;
  readonly attrs?: Attributes;
  /** What the results are; by their element type where absent. */
  readonly kind?: Kind;
  /** Element type of the results, where neither the schema nor an attribute says it. */
  readonly type?: number;
  /** That operands which are names are no constants: the results are tensors of the network. */
  readonly computed?: boolean;
  /** Further results that the schema asks for, and nothing reads. */
  readonly unread?: number;
  /** Bound of the results' magnitude; the operands' largest where absent. */
  readonly size?: number;
}

const DOMAINS = [
  "com.microsoft",
  "qonnx.custom_op.general",
  "onnx.brevitas",
  "finn.custom_op.general",
  "com.ms.internal.nhwc",
  "ai.onnx.ml",
];

/** Operator set of a domain in random networks: the newest, where no operator asked for another one. */
export function usualOpset(domain: string): number {
  return domain === "" ? OPSETS.newest : domain === "ai.onnx.ml" ? newestOpset(domain)! : 1;
}

export class ModelBuilder {
  readonly tensors: Tensor[] = [];
  readonly inputs: Tensor[] = [];
  /** Operators of the nodes, with their domains where it is not ONNX's own. */
  readonly operators: string[] = [];
  private readonly nodes: { readonly spec: object; readonly input: readonly string[] }[] = [];
  private readonly initializers: object[] = [];
  /** Element types of all tensors by name. */
  private readonly types = new Map<string, number>();
  /** Operator sets that nodes asked for. */
  private readonly opsets = new Map<string, number>();
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
    const t: Tensor = { name: `x${this.inputs.length}`, shape, kind: "real", type: FLOAT, size: 2 };
    this.types.set(t.name, FLOAT);
    this.inputs.push(t);
    this.tensors.push(t);
    return t;
  }

  private fresh(what: string): string {
    return `${what}${this.names++}`;
  }
  /** Weights: some of them zeros and powers of two. */
  weights(shape: readonly number[], size = 1): string {
    return this.floats(
      shape,
      Array.from({ length: count(shape) }, () => (this.chance(0.15) ? 0 : this.number(size))),
    );
  }
  /** Above zero. */
  positive(shape: readonly number[], size = 1): string {
    return this.floats(
      shape,
      Array.from({ length: count(shape) }, () => Math.abs(this.number(size))),
    );
  }
  floats(shape: readonly number[], data: readonly number[]): string {
    const name = this.fresh("w");
    this.constant(name, FLOAT, weights(name, shape, data));
    return name;
  }
  integers(data: readonly number[], shape: readonly number[] = [data.length]): string {
    const name = this.fresh("i");
    this.constant(name, INT64, integers(name, shape, data));
    return name;
  }
  /** Integers of a narrow type, or truth values. */
  codes(type: CodeType, shape: readonly number[], data: readonly number[]): string {
    const name = this.fresh("c");
    this.constant(name, CODE_TYPES[type], { name, dims: shape, dataType: CODE_TYPES[type], int32Data: data });
    return name;
  }
  private constant(name: string, type: number, proto: object): void {
    this.types.set(name, type);
    this.initializers.push(proto);
  }

  /** Asks for an operator set of a domain; whether no other one was asked for before. */
  requires(domain: string, opset: number): boolean {
    const before = this.opsets.get(domain);
    if (before === undefined) this.opsets.set(domain, opset);
    return before === undefined || before === opset;
  }
  private schemaOf(domain: string, opType: string): OperatorSchema | undefined {
    return operatorSchema(domain, opType, this.opsets.get(domain) ?? usualOpset(domain));
  }

  /**
   * Truth values and integers as real numbers, as exporters write it where an operator takes no others or has real
   * numbers besides.
   */
  private converted(
    schema: OperatorSchema | undefined,
    operands: readonly (Tensor | string)[],
  ): readonly (Tensor | string)[] {
    if (schema === undefined) return operands;
    const typeOf = (o: Tensor | string): number | undefined => (typeof o === "string" ? this.types.get(o) : o.type);
    return operands.map((o, i) => {
      const p = parameterAt(schema.inputs, i);
      if (typeof o === "string" || p === undefined || o.type === FLOAT || !p.types.includes(FLOAT)) return o;
      const beside =
        p.variable !== undefined &&
        p.homogeneous &&
        operands.some((other, k) => typeOf(other) === FLOAT && parameterAt(schema.inputs, k)?.variable === p.variable);
      return p.types.includes(o.type) && !beside ? o : this.asReal(o);
    });
  }
  asReal(x: Tensor): Tensor {
    return x.type === FLOAT ? x : this.node("Cast", [x], { attrs: { to: FLOAT }, size: x.size });
  }

  /** Adds a node, on tensors, names of constants, or nothing; its results, with the shapes that they get. */
  results(
    opType: string,
    operands: readonly (Tensor | string)[],
    outputs: number,
    options: NodeOptions = {},
  ): Tensor[] {
    const domain = options.domain ?? "";
    const schema = this.schemaOf(domain, opType);
    const given = this.converted(schema, operands);
    const input = given.map((o) => (typeof o === "string" ? o : o.name));
    const output = Array.from({ length: outputs }, () => this.fresh("t"));
    this.add(
      opType,
      domain,
      input,
      [...output, ...Array.from({ length: options.unread ?? 0 }, () => this.fresh("unread"))],
      options.attrs ?? {},
      schema,
      options.type,
    );
    const size = options.size ?? Math.max(1, ...given.map((o) => (typeof o === "string" ? 0 : o.size)));
    const constant = options.computed !== true && given.every((o) => typeof o === "string");
    const shapes = constant ? output.map(() => []) : this.shapesOf(output);
    const made = output.map((name, i): Tensor => {
      const type = this.types.get(name)!;
      return { name, shape: shapes[i]!, kind: options.kind ?? kindOf(type), type, size: type === BOOL ? 1 : size };
    });
    if (!constant) this.tensors.push(...made);
    return made;
  }
  /** The node, and the element types of its results. */
  private add(
    opType: string,
    domain: string,
    input: readonly string[],
    output: readonly string[],
    attrs: Attributes,
    schema: OperatorSchema | undefined,
    type?: number,
  ): void {
    const spec = {
      ...node(
        opType,
        input,
        output,
        `${opType}_${this.nodes.length}`,
        Object.entries(attrs).map(([k, v]) => attribute(k, v)),
      ),
      domain,
    };
    this.nodes.push({ spec, input });
    this.operators.push(domain === "" ? opType : `${domain}::${opType}`);
    const first = this.types.get(input[0] ?? "") ?? FLOAT;
    const stated = type ?? attrs["to"] ?? attrs["dtype"] ?? attrs["output_dtype"];
    const types =
      schema === undefined
        ? []
        : outputTypes(
            schema,
            spec as unknown as NodeProto,
            (t) => this.types.get(t),
            () => (typeof stated === "number" ? stated : undefined),
          ).types;
    output.forEach((name, i) => this.types.set(name, types[i] ?? first));
  }
  node(opType: string, operands: readonly (Tensor | string)[], options: NodeOptions = {}): Tensor {
    return this.results(opType, operands, 1, options)[0]!;
  }
  /** A node on constants, or one that only asks for a shape: the name of its result. */
  constantNode(opType: string, operands: readonly (Tensor | string)[], attrs: NodeOptions["attrs"] = {}): string {
    const output = this.fresh("k");
    this.add(
      opType,
      "",
      operands.map((o) => (typeof o === "string" ? o : o.name)),
      [output],
      attrs,
      this.schemaOf("", opType),
    );
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
    const [tensors, nodes, initializers, opsets] = [
      this.tensors.length,
      this.nodes.length,
      this.initializers.length,
      [...this.opsets],
    ];
    return () => {
      this.opsets.clear();
      for (const [domain, opset] of opsets) this.opsets.set(domain, opset);
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
      opset: this.opsets.get("") ?? usualOpset(""),
      domains: DOMAINS.map((domain) => ({ domain, version: this.opsets.get(domain) ?? usualOpset(domain) })),
      node: this.nodes.map((n) => n.spec),
      initializer: this.initializers,
      input: this.inputs.map((t) => floats(t.name, t.shape)),
      output: outputs.map((name) => floats(name, [], this.types.get(name)!)),
    });
  }

  /** Nodes as text, for messages. */
  describe(): string {
    return this.nodes
      .map(({ spec }) => {
        const n = spec as {
          opType: string;
          input: string[];
          output: string[];
          attribute: { name: string; i?: number; ints?: number[]; floats?: number[]; f?: number; s?: Uint8Array }[];
        };
        const attrs = n.attribute
          .map(
            (a) =>
              `${a.name}=${a.s !== undefined ? new TextDecoder().decode(a.s) : JSON.stringify(a.i ?? a.ints ?? a.floats ?? a.f ?? "...")}`,
          )
          .join(" ");
        return `${n.output.join(", ")} = ${n.opType}(${n.input.join(", ")}) ${attrs} : ${n.output.map((o) => `[${this.tensors.find((t) => t.name === o)?.shape.join(", ") ?? "constant"}]`).join(" ")}`;
      })
      .join("\n");
  }
}
