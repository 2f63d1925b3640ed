/**
 * Textual IR out: the same generic form for every operation of every dialect, so that a new operation needs no syntax.
 *
 * ```
 * module "net" {
 *   func() {sym = "net", inputs = ["x"], outputs = ["y"]} ({
 *   ^(%x: tensor<4xf32>):
 *     %y = nn.relu(%x) : (tensor<4xf32>) -> tensor<4xf32> loc("/relu/Relu" : "Relu")
 *     return(%y) : (tensor<4xf32>) -> ()
 *   }) : () -> ()
 * }
 * ```
 *
 * Locations show the ONNX nodes. File and line are left out: in parsed text they are those of the text itself.
 */
import { showAffineMap } from "../affine.js";
import { Dense, isAffineMap, isTypeAttr, type Attr, type AttrRecord, type DenseData } from "../attributes.js";
import type { Block, Location, Module, Op, Value } from "../core.js";
import { showType, tensor } from "../types.js";
import { quote } from "./lexer.js";

export interface PrintOptions {
  /** `inline` appends the data of large constants, so that the text is complete; `digest` shows only their hashes. */
  readonly resources?: "inline" | "digest";
  /** Largest number of elements of a constant that is written in place. */
  readonly denseLimit?: number;
  /** Whether operations carry `loc(...)`. */
  readonly locations?: boolean;
}

/** Constants up to this size are written in place: a line of text, and what a person reads. */
const DENSE_LIMIT = 16;

/** The whole module as text. */
export function printModule(module: Module, options: PrintOptions = {}): string {
  const p = new Printer(options);
  p.module(module);
  return p.text();
}

/** One operation with its regions, for messages and debugging. Values from outside get their hints as names. */
export function printOp(op: Op, options: PrintOptions = {}): string {
  const p = new Printer({ resources: "digest", locations: false, ...options });
  p.names.define(op.operands);
  p.names.define(op.results);
  p.op(op, "");
  return p.text().trimEnd();
}

/** An attribute as text. */
export function printAttr(attr: Attr): string {
  return new Printer({ resources: "digest" }).attr(attr);
}

/** `x` so that the parser reads the same double; `-0` and the non-finite ones included. */
export function printNumber(x: number): string {
  if (Number.isNaN(x)) return "nan";
  if (x === Infinity) return "inf";
  if (x === -Infinity) return "-inf";
  return Object.is(x, -0) ? "-0" : String(x);
}

/** The name in text of `hint`: letters, digits and underscores; undefined where nothing is left. Never all digits. */
export function sanitizeHint(hint: string | undefined): string | undefined {
  if (hint === undefined) return undefined;
  const clean = hint.replace(/[^A-Za-z0-9_]+/g, "_").slice(0, 64);
  if (/^_*$/.test(clean)) return undefined;
  return /^\d/.test(clean) ? `_${clean}` : clean;
}

/** Names of values: the hint, made unique within the regions around it; numbers where there is no hint. */
export class NameScopes {
  private readonly names = new Map<Value, string>();
  private readonly taken = new Set<string>();
  private readonly suffix = new Map<string, number>();
  private counter = 0;

  define(values: Iterable<Value>): void {
    for (const v of values) if (!this.names.has(v)) this.names.set(v, this.fresh(v.hint));
  }
  /** Runs `body` with the names of `values` in addition, and forgets them afterwards. */
  within(values: readonly Value[], body: () => void): void {
    const counter = this.counter;
    this.define(values);
    body();
    for (const v of values) {
      this.taken.delete(this.names.get(v) ?? "");
      this.names.delete(v);
    }
    this.counter = counter;
  }
  get(v: Value): string {
    // A value that no visible operation defines: the verifier reports it, the printer must still show it.
    return this.names.get(v) ?? `undefined_${sanitizeHint(v.hint) ?? v.id}`;
  }

  private fresh(hint: string | undefined): string {
    const base = sanitizeHint(hint);
    if (base === undefined) return `${this.counter++}`;
    let name = base;
    if (this.taken.has(name)) {
      // Continue where the last search for this base ended: many values may share a hint.
      let k = this.suffix.get(base) ?? 1;
      while (this.taken.has(`${base}_${k}`)) k++;
      name = `${base}_${k}`;
      this.suffix.set(base, k + 1);
    }
    this.taken.add(name);
    return name;
  }
}

class Printer {
  readonly names = new NameScopes();
  private readonly out: string[] = [];
  private readonly resources = new Map<string, DenseData>();
  private readonly typeText = new Map<unknown, string>();
  private readonly denseLimit: number;

  constructor(private readonly options: PrintOptions) {
    this.denseLimit = options.denseLimit ?? DENSE_LIMIT;
  }

  text(): string {
    return this.out.join("");
  }

  module(module: Module): void {
    const attrs = Object.keys(module.attrs).length === 0 ? "" : ` attributes ${this.record(module.attrs)}`;
    this.out.push(`module ${quote(module.name)}${attrs} {\n`);
    this.block(module.body, "  ");
    this.out.push("}\n");
    if (this.options.resources !== "digest" && this.resources.size > 0) {
      this.out.push("resources {\n");
      for (const [digest, data] of this.resources) {
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
        this.out.push(`  @${digest} = ${storageName(data)} "${bytes.toString("base64")}"\n`);
      }
      this.out.push("}\n");
    }
  }

  private block(block: Block, indent: string): void {
    // All names of the block first: in graph regions a use may come before its definition.
    const defined = [...block.args, ...block.ops.flatMap((op) => op.results)];
    this.names.within(defined, () => {
      if (block.args.length > 0) {
        this.out.push(
          `${indent.slice(2)}^(${block.args.map((a) => `%${this.names.get(a)}: ${this.type(a)}`).join(", ")}):\n`,
        );
      }
      for (const op of block.ops) this.op(op, indent);
    });
  }

  op(op: Op, indent: string): void {
    const results = op.results.map((r) => `%${this.names.get(r)}`).join(", ");
    const operands = op.operands.map((v) => `%${this.names.get(v)}`).join(", ");
    this.out.push(indent, results === "" ? "" : `${results} = `, `${op.name}(${operands})`);
    if (Object.keys(op.attrs).length > 0) this.out.push(" ", this.record(op.attrs));
    if (op.regions.length > 0) {
      this.out.push(" (");
      op.regions.forEach((r, i) => this.region(r, indent, i > 0));
      this.out.push(")");
    }
    const resultTypes =
      op.results.length === 1 ? this.type(op.result) : `(${op.results.map((r) => this.type(r)).join(", ")})`;
    this.out.push(` : (${op.operands.map((v) => this.type(v)).join(", ")}) -> ${resultTypes}`);
    if (this.options.locations !== false) this.out.push(showLoc(op.loc));
    this.out.push("\n");
  }

  private region(block: Block, indent: string, further: boolean): void {
    this.out.push(further ? ", {\n" : "{\n");
    this.block(block, `${indent}  `);
    this.out.push(`${indent}}`);
  }

  private type(v: Value): string {
    let text = this.typeText.get(v.type);
    if (text === undefined) {
      text = showType(v.type);
      this.typeText.set(v.type, text);
    }
    return text;
  }

  private record(record: AttrRecord): string {
    const entries = Object.entries(record).filter(([, v]) => v !== undefined);
    return `{${entries.map(([k, v]) => `${/^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$/.test(k) ? k : quote(k)} = ${this.attr(v)}`).join(", ")}}`;
  }

  attr(attr: Attr): string {
    if (typeof attr === "boolean") return String(attr);
    if (typeof attr === "number") return printNumber(attr);
    if (typeof attr === "string") return quote(attr);
    if (attr instanceof Dense) return this.dense(attr);
    if (isAffineMap(attr)) return showAffineMap(attr);
    if (isTypeAttr(attr)) return showType(attr.type);
    if (Array.isArray(attr)) return `[${(attr as readonly Attr[]).map((a) => this.attr(a)).join(", ")}]`;
    return this.record(attr as AttrRecord);
  }

  private dense(dense: Dense): string {
    const type = showType(tensor(dense.shape, dense.elem));
    if (dense.data.length <= this.denseLimit)
      return `dense<[${Array.from(dense.data, printNumber).join(", ")}]> : ${type}`;
    this.resources.set(dense.digest, dense.data);
    return `dense<@${dense.digest}> : ${type}`;
  }
}

/** Name in the resource section of the storage class of `data`. */
export function storageName(data: DenseData): "i32" | "f32" | "f64" {
  return data instanceof Int32Array ? "i32" : data instanceof Float32Array ? "f32" : "f64";
}

function showLoc(loc: Location): string {
  if (loc.nodes.length === 0 && loc.opType === undefined) return "";
  const type = loc.opType === undefined ? "" : `${loc.nodes.length > 0 ? " " : ""}: ${quote(loc.opType)}`;
  return ` loc(${loc.nodes.map(quote).join(", ")}${type})`;
}
