/**
 * Semantic half of the parser: from tokens to values, operations and constants, with the checks that need names and
 * types.
 */
import type { IToken } from "chevrotain";
import type { Code, ParamsOf } from "../../diagnostics/codes.js";
import { nearestName } from "../../diagnostics/nearest.js";
import type { Place, Sink } from "../../diagnostics/index.js";
import { affineMap, type AffineExpr, type AffineMap } from "../affine.js";
import { allocate, Dense, type Attr, type AttrRecord, type DenseData } from "../attributes.js";
import { Block, Module, Op, Value, type Location } from "../core.js";
import { lookupOp, registeredOps } from "../define-op.js";
import { MAX_WIDTH } from "../fixed-arith.js";
import { at, present } from "../present.js";
import { elementCount, isWide, NUMBER_WIDTH, rawRange, showType, type ScalarType, type Type } from "../types.js";
import { typeOfToken, unquote } from "./lexer.js";

export interface Named<T> {
  readonly token: IToken;
  readonly value: T;
}

/** A use of a name that was not yet defined when it was read. */
interface PendingUse {
  readonly op: Op;
  readonly index: number;
  readonly token: IToken;
  readonly declared: Type;
}

/** A region while it is read: its names, and the uses that wait for a definition here or further out. */
export interface RegionScope {
  readonly block: Block;
  readonly outer: RegionScope | undefined;
  readonly names: Map<string, Value>;
  readonly pending: PendingUse[];
}

export interface ParsedOperation {
  readonly name: IToken;
  readonly results: readonly IToken[];
  readonly operands: readonly IToken[];
  readonly attrs: AttrRecord;
  readonly regions: readonly RegionScope[];
  readonly operandTypes: readonly Type[];
  readonly resultTypes: readonly Type[];
  readonly loc: { readonly nodes: readonly string[]; readonly opType: string | undefined } | undefined;
}

export class ModuleBuilder {
  private scope: RegionScope | undefined;

  constructor(
    private readonly file: string,
    private readonly sink: Sink,
    private readonly resources: Map<string, DenseData>,
  ) {}

  // --- regions and operations ---------------------------------------------------------------------------------------

  openScope(): RegionScope {
    const scope: RegionScope = { block: new Block(), outer: this.scope, names: new Map(), pending: [] };
    this.scope = scope;
    return scope;
  }

  /** The region that is being read; operations stand in one. */
  private get current(): RegionScope {
    return present(this.scope, "the region of an operation");
  }

  closeScope(scope: RegionScope): void {
    this.scope = scope.outer;
    for (const use of scope.pending) {
      const value = scope.names.get(nameOf(use.token));
      if (value !== undefined) this.connect(use, value);
      else if (scope.outer !== undefined) scope.outer.pending.push(use);
      else {
        const name = nameOf(use.token);
        this.report("TX003", { name, nearest: nearestName(name, scope.names.keys()) }, use.token);
      }
    }
  }

  blockArg(name: IToken, type: Type): void {
    this.define(name, this.current.block.addArg(type, hintOf(name)));
  }

  operation(p: ParsedOperation): void {
    const name = p.name.image;
    if (lookupOp(name) === undefined)
      this.report(
        "TX002",
        {
          op: name,
          nearest: nearestName(
            name,
            registeredOps().map((d) => d.name),
          ),
        },
        p.name,
      );
    const operandsMatch = this.checkCount("operands", p.operands, p.operandTypes, p.name);
    const resultsMatch = this.checkCount("results", p.results, p.resultTypes, p.name);
    const loc: Location = {
      nodes: p.loc?.nodes ?? [],
      ...(p.loc?.opType !== undefined && { opType: p.loc.opType }),
      file: this.file,
      ...position(p.name),
    };
    const waiting: { index: number; token: IToken; declared: Type }[] = [];
    const operands = operandsMatch
      ? p.operands.map((token, index) => {
          const declared = at(p.operandTypes, index);
          return this.operandValue(token, declared, () => waiting.push({ index, token, declared }));
        })
      : [];
    const op = new Op({
      name,
      operands,
      resultTypes: resultsMatch ? p.resultTypes : [],
      attrs: p.attrs,
      regions: p.regions.map((r) => r.block),
      loc,
      hints: p.results.map(hintOf),
    });
    for (const w of waiting) this.current.pending.push({ op, ...w });
    this.current.block.append(op);
    op.results.forEach((r, i) => this.define(at(p.results, i), r));
  }

  finishModule(name: string, attrs: AttrRecord, scope: RegionScope): Module {
    this.closeScope(scope);
    const module = new Module(name);
    module.attrs = { ...attrs };
    for (const op of scope.block.ops) module.body.append(op);
    return module;
  }

  private checkCount(what: string, names: readonly IToken[], types: readonly Type[], at: IToken): boolean {
    if (names.length === types.length) return true;
    this.report("TX006", { what, names: names.length, types: types.length }, at);
    return false;
  }

  /** The value of that name; where it is not defined yet, a stand-in that `wait` must arrange to replace. */
  private operandValue(token: IToken, declared: Type, wait: () => void): Value {
    const name = nameOf(token);
    for (let s = this.scope; s !== undefined; s = s.outer) {
      const value = s.names.get(name);
      if (value !== undefined) {
        this.checkType(token, value, declared);
        return value;
      }
    }
    wait();
    return new Value(undefined, undefined, declared, name);
  }

  private connect(use: PendingUse, value: Value): void {
    this.checkType(use.token, value, use.declared);
    use.op.setOperand(use.index, value);
  }

  private checkType(token: IToken, value: Value, declared: Type): void {
    // Equal spellings share one object, so that the texts are rarely compared.
    if (value.type === declared) return;
    const [type, used] = [showType(value.type), showType(declared)];
    if (type !== used) this.report("TX005", { name: nameOf(token), type, declared: used }, token);
  }

  private define(token: IToken, value: Value): void {
    const name = nameOf(token);
    if (this.current.names.has(name)) this.report("TX004", { name }, token);
    else this.current.names.set(name, value);
  }

  // --- attributes ---------------------------------------------------------------------------------------------------

  string(token: IToken): string {
    const text = unquote(token.image);
    if (text === undefined) this.problem('unknown escape in a string: use \\n \\t \\r \\" \\\\ or \\u{HEX}', token);
    return text ?? "";
  }

  integer(token: IToken): number {
    const value = Number(token.image);
    if (!Number.isSafeInteger(value)) this.problem(`${token.image} is not an integer below 2^53`, token);
    return value;
  }

  type(token: IToken): Type {
    const type = typeOfToken(token);
    const reason = typeProblem(type);
    if (reason !== undefined) this.problem(`${token.image}: ${reason}`, token);
    return type;
  }

  record(entries: readonly Named<Attr>[]): AttrRecord {
    const seen = new Set<string>();
    const pairs = entries.map(({ token, value }): [string, Attr] => {
      const key = token.image.startsWith('"') ? this.string(token) : token.image;
      if (seen.has(key)) this.problem(`attribute "${key}" is given twice`, token);
      seen.add(key);
      return [key, value];
    });
    return Object.fromEntries(pairs);
  }

  affineMap(dims: readonly IToken[], results: readonly AffineExpr[]): AffineMap {
    const names = dims.map((d) => d.image);
    names.forEach((n, i) => {
      if (names.indexOf(n) !== i) this.problem(`two dimensions of the map are named "${n}"`, at(dims, i));
    });
    return affineMap(names, results);
  }

  affineDim(dims: readonly IToken[], token: IToken): number {
    const i = dims.findIndex((d) => d.image === token.image);
    if (i >= 0) return i;
    const names = dims.map((d) => d.image);
    const nearest = nearestName(token.image, names);
    this.problem(
      `"${token.image}" is not a dimension of this map${nearest === undefined ? ` (${names.join(", ")})` : `; did you mean "${nearest}"?`}`,
      token,
    );
    return 0;
  }

  dense(start: IToken, content: IToken | readonly number[], type: Type): Attr {
    if (type.kind !== "tensor") {
      this.problem(`a constant has a tensor type, not ${showType(type)}`, start);
      return false;
    }
    const count = elementCount(type.shape);
    let data: DenseData;
    if (isToken(content)) {
      const digest = content.image.slice(1);
      const found = this.resources.get(digest);
      if (found === undefined) {
        this.report("TX007", { digest }, content);
        return false;
      }
      data = found;
    } else {
      data =
        (type.elem.kind === "float" || content.length === count) && !(type.elem.kind === "fixed" && isWide(type.elem))
          ? denseData(type.elem, content)
          : Float64Array.from(content);
    }
    const reason =
      data.length !== count
        ? `${data.length} values in a constant of type ${showType(type)}, which has ${count}`
        : dataProblem(type.elem, isToken(content) ? data : content);
    if (reason !== undefined) {
      this.problem(reason, start);
      return false;
    }
    return new Dense(type.shape, type.elem, data);
  }

  resource(digest: IToken, storage: IToken, text: IToken): void {
    const bytes = Buffer.from(text.image.slice(1, -1), "base64");
    const array = { i32: Int32Array, f32: Float32Array, f64: Float64Array }[storage.image];
    if (array === undefined) {
      this.problem(`unknown storage class "${storage.image}": use i32, f32 or f64`, storage);
      return;
    }
    const name = digest.image.slice(1);
    const whole = bytes.length % array.BYTES_PER_ELEMENT === 0;
    const data = new array(whole ? bytes.length / array.BYTES_PER_ELEMENT : 0);
    if (whole) bytes.copy(new Uint8Array(data.buffer));
    if (!whole || new Dense([data.length], { kind: "float", exp: 11, man: 52 }, data).digest !== name) {
      this.problem(`the data of resource @${name} does not have this digest: the text is damaged`, digest);
      return;
    }
    this.resources.set(name, data);
  }

  // --- messages -----------------------------------------------------------------------------------------------------

  private problem(reason: string, token: IToken): void {
    this.report("TX008", { reason }, token);
  }

  private report<C extends Code>(code: C, params: ParamsOf<C>, token: IToken): void {
    const place: Place = { file: this.file, ...position(token) };
    this.sink.report(code, params, place);
  }
}

function nameOf(token: IToken): string {
  return token.image.slice(1);
}

/** Names that are numbers were made up by the printer. */
function hintOf(token: IToken): string | undefined {
  const name = nameOf(token);
  return /^\d+$/.test(name) ? undefined : name;
}

function isToken(x: IToken | readonly number[]): x is IToken {
  return !Array.isArray(x);
}

function denseData(elem: ScalarType, values: readonly number[]): DenseData {
  const data = allocate(elem, values.length);
  data.set(values);
  return data;
}

/** What is wrong with a type that is well-formed as text. */
export function typeProblem(type: Type): string | undefined {
  switch (type.kind) {
    case "fixed":
      return type.width < 1 || type.width > MAX_WIDTH ? `the width must be 1 to ${MAX_WIDTH} bits` : undefined;
    case "float":
      return type.exp < 1 || type.exp > 11 || type.man > 52 ? "at most 11 exponent and 52 mantissa bits" : undefined;
    case "bits":
      return type.width < 1 ? "the width must be at least 1 bit" : undefined;
    default:
      return typeProblem(type.elem);
  }
}

/** What is wrong with the raw values of a constant: fixed point must hold integers of its range. */
export function dataProblem(elem: ScalarType, data: ArrayLike<number>): string | undefined {
  if (elem.kind === "float") return undefined;
  if (isWide(elem)) return `a constant of type ${showType(elem)}: constants have at most ${NUMBER_WIDTH} bits`;
  const { lo, hi } = rawRange(elem);
  for (let i = 0; i < data.length; i++) {
    const v = data[i] ?? Number.NaN;
    if (!Number.isInteger(v) || v < lo || v > hi)
      return `element ${i} of the constant is ${v}: ${showType(elem)} holds raw integers from ${lo} to ${hi}`;
  }
  return undefined;
}

/** Where a token begins; chevrotain leaves it out only of tokens that are not in the text. */
function position(token: IToken): { line: number; column: number } {
  return { line: token.startLine ?? 1, column: token.startColumn ?? 1 };
}
