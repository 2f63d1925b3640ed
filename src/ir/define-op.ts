/**
 * Operations as declarative records. A dialect is an explicit list of them; everything that knows an operation's
 * constraints, syntax or meaning reads its record, so that adding an operation is adding one record.
 */
import type { AffineMap } from "./affine.js";
import { isAffineMap, isAttrRecord, isTypeAttr, Dense, type Attr, type AttrRecord } from "./attributes.js";
import type { Op, Value } from "./core.js";
import type { Type } from "./types.js";

export type AttrKind = "bool" | "int" | "number" | "string" | "dense" | "map" | "type" | "list" | "record" | "any";

export interface AttrSpec {
  readonly kind: AttrKind;
  readonly optional?: boolean;
  /** For `string`: the values allowed. */
  readonly oneOf?: readonly string[];
  /** What an optional attribute is where it is absent. */
  readonly default?: boolean | number | string;
  /** One line for the generated reference. */
  readonly doc?: string;
}

/**
 * `pure`: no state, may be deleted, duplicated, reordered. `elementwise`: an element of the result depends on the
 * elements at its place alone, with broadcasting. `moves`: every element of the result is an element of an operand.
 * `terminator`: ends a block. `graph`: the regions need no order of definition before use (rtl modules).
 */
export type Trait = "pure" | "elementwise" | "moves" | "terminator" | "graph";

/**
 * What an operation on tensors is to those who do not know it: quantization, reports of accuracy, models of integers.
 *
 * - `constant`: weights and other numbers
 * - `view`: moves the elements of its one operand, or adds a border; format and meaning pass through
 * - `join`: puts operands side by side, in one format
 * - `aligned`: operands meet on one grid, as in sums and comparisons
 * - `product`: products of elements; each bit of an operand is a row of a multiplier
 * - `linear`: sums of products over an axis
 * - `fold`: sums or extremes over axes of one operand
 * - `exact`: element by element, a result that holds all that its operand can make
 * - `table`: results that are looked up, in a format of their own
 * - `rounding`: rounds and limits, as its attributes and its result type say
 * - `composite`: only in float; a pass splits it before quantization
 * - `sparse`: sends on a part of the elements, which data decide; its predicate is a bit, so it is in fixed point from
 *   the start
 */
export type Role =
  | "constant"
  | "view"
  | "join"
  | "aligned"
  | "product"
  | "linear"
  | "fold"
  | "exact"
  | "table"
  | "rounding"
  | "composite"
  | "sparse";

/** Computes the elements of the results, in row-major order, from those of the operands; `more` are behind the first. */
export type Kernel = (inputs: readonly Float64Array[], out: Float64Array, ...more: Float64Array[]) => void;

/** Computes raw integers from raw integers. */
export type WideKernel = (operands: readonly (readonly bigint[])[]) => readonly bigint[];

/** What an operation on tensors computes: the reference for every other form of it. */
export interface Meaning {
  /** On real numbers. */
  readonly float: (op: Op) => Kernel;
  /**
   * On fixed point: real values that are exact multiples of the LSB; undefined where the operation is one of float only.
   * Types of up to 53 bits are sized so that sums and products are exact in double arithmetic.
   */
  readonly fixed: ((op: Op) => Kernel) | undefined;
  /** On values of more than 53 bits; without it such values are refused (QU005). */
  readonly wide?: (op: Op) => WideKernel;
}

/** Says what is wrong with an operation, without a full stop. */
export type Report = (message: string) => void;

export interface OpDef {
  readonly name: string;
  /** One sentence; shown in the generated reference (docs/ops). */
  readonly summary: string;
  /** Names of the operands; one that ends in `?` may be absent, one that ends in `*` takes the rest. */
  readonly operands: readonly string[];
  readonly results: readonly string[];
  readonly attrs?: Readonly<Record<string, AttrSpec>>;
  readonly traits?: readonly Trait[];
  readonly regions?: number;
  /** Where the meaning is defined (ONNX operator and opset, paper). */
  readonly source?: string;
  /** Result types from operands and attributes. Absent where the type is free (quantize, constants). */
  readonly inferTypes?: (op: Op) => readonly Type[];
  readonly verify?: (op: Op, report: Report) => void;
  /**
   * Of an nn operation: what it computes. A function stands for float and fixed point alike. One that a program adds
   * needs it: calibration, the interpreters and `run` compute with it.
   */
  readonly evaluate?: Meaning | ((op: Op) => Kernel);
  /** Of an nn operation. Quantization treats one that a program adds as its role says; `product` where none is given. */
  readonly role?: Role;
  /** Operands of which nothing but the sign is looked at. */
  readonly decides?: readonly string[];
}

export interface Dialect {
  readonly name: string;
  readonly ops: readonly OpDef[];
}

/**
 * The operations of a closed dialect by name. The names are a type: a table of what each operation means somewhere (in
 * JavaScript, in Verilog, in nanoseconds) is a `Record` over it, and does not compile while an operation lacks.
 */
export function opTable<N extends string>(
  records: Readonly<Record<N, Omit<OpDef, "name">>>,
): Readonly<Record<N, OpDef>> {
  const named = Object.entries<Omit<OpDef, "name">>(records).map(([name, record]) => [name, { name, ...record }]);
  return Object.fromEntries(named) as Record<N, OpDef>;
}

const registry = new Map<string, OpDef>();

/** Makes the operations of a dialect known to verifier, parser and reference. Registering a name twice is an error. */
export function registerDialect(dialect: Dialect): void {
  for (const def of dialect.ops) registerOp(def);
}

export function registerOp(def: OpDef): void {
  if (registry.has(def.name)) throw new Error(`operation ${def.name} is registered twice`);
  registry.set(def.name, def);
}

export function lookupOp(name: string): OpDef | undefined {
  return registry.get(name);
}

export function registeredOps(): readonly OpDef[] {
  return [...registry.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What `def` computes, in float and on fixed point. */
export function meaningOf(def: OpDef | undefined): Meaning | undefined {
  const e = def?.evaluate;
  return typeof e === "function" ? { float: e, fixed: e } : e;
}

export function roleOf(op: Op): Role | undefined {
  return registry.get(op.name)?.role;
}

/** Whether operand `index` of `op` only decides by its sign. */
export function decidesBySign(op: Op, index: number): boolean {
  const def = registry.get(op.name);
  return def?.decides?.includes(def.operands[index] ?? "") ?? false;
}

export function hasTrait(op: Op, trait: Trait): boolean {
  return registry.get(op.name)?.traits?.includes(trait) ?? false;
}

/** Whether `attr` is of `kind`. */
export function matchesKind(attr: Attr, spec: AttrSpec): boolean {
  switch (spec.kind) {
    case "bool":
      return typeof attr === "boolean";
    case "int":
      return typeof attr === "number" && Number.isSafeInteger(attr);
    case "number":
      return typeof attr === "number";
    case "string":
      return typeof attr === "string" && (spec.oneOf === undefined || spec.oneOf.includes(attr));
    case "dense":
      return attr instanceof Dense;
    case "map":
      return isAffineMap(attr);
    case "type":
      return isTypeAttr(attr);
    case "list":
      return Array.isArray(attr);
    case "record":
      return isAttrRecord(attr);
    case "any":
      return true;
  }
}

// Typed access to attributes. A missing or mistyped one is a broken invariant: the verifier has checked them.

function fail(op: Op, key: string, kind: string): never {
  throw new Error(`${op.name}: attribute "${key}" is not ${kind}`);
}
export function intAttr(op: Op, key: string): number {
  const v = op.attrs[key];
  return typeof v === "number" ? v : fail(op, key, "a number");
}
export function numAttr(op: Op, key: string, fallback: number): number {
  const v = op.attrs[key] ?? fallback;
  return typeof v === "number" ? v : fail(op, key, "a number");
}
export function strAttr(op: Op, key: string): string {
  const v = op.attrs[key];
  return typeof v === "string" ? v : fail(op, key, "a string");
}
export function boolAttr(op: Op, key: string): boolean {
  return op.attrs[key] === true;
}
export function intsAttr(op: Op, key: string): number[] {
  const v = op.attrs[key];
  return isNumbers(v) ? v : fail(op, key, "a list of numbers");
}
function isNumbers(v: Attr | undefined): v is number[] {
  return Array.isArray(v) && v.every((x) => typeof x === "number");
}
export function listAttr(op: Op, key: string): readonly Attr[] {
  const v = op.attrs[key];
  return Array.isArray(v) ? v : fail(op, key, "a list");
}
export function stringsAttr(op: Op, key: string): readonly string[] {
  const v = op.attrs[key];
  return isStrings(v) ? v : fail(op, key, "a list of strings");
}
function isStrings(v: Attr | undefined): v is readonly string[] {
  return Array.isArray(v) && v.every((x) => typeof x === "string");
}
export function denseAttr(op: Op, key: string): Dense {
  const v = op.attrs[key];
  return v instanceof Dense ? v : fail(op, key, "a constant");
}

// --- attributes and operands by their record ------------------------------------------------------------------------

export type AttrSpecs = Readonly<Record<string, AttrSpec>>;

type ValueOf<S extends AttrSpec> = S extends { kind: "string"; oneOf: readonly (infer T)[] }
  ? T
  : {
      bool: boolean;
      int: number;
      number: number;
      string: string;
      dense: Dense;
      map: AffineMap;
      type: Type;
      list: readonly number[];
      record: AttrRecord;
      any: Attr;
    }[S["kind"]];

/** The attributes of an operation as `specs` state them; optional ones with their default, or undefined. */
export type AttrsOf<S extends AttrSpecs> = {
  readonly [K in keyof S]: S[K] extends { optional: true; default?: undefined }
    ? ValueOf<S[K]> | undefined
    : ValueOf<S[K]>;
};

/** Typed access to the attributes of operations with these specifications. */
export interface AttrReader<S extends AttrSpecs> {
  (op: Op): AttrsOf<S>;
  readonly specs: S;
}

export function attrReader<const S extends AttrSpecs>(specs: S): AttrReader<S> {
  const entries = Object.entries(specs);
  const read = (op: Op): AttrsOf<S> =>
    Object.fromEntries(entries.map(([key, spec]) => [key, readAttr(op, key, spec)])) as AttrsOf<S>;
  return Object.assign(read, { specs });
}

function readAttr(op: Op, key: string, spec: AttrSpec): unknown {
  const attr = op.attrs[key] ?? spec.default;
  if (attr === undefined) return spec.optional === true ? undefined : fail(op, key, `stated (${spec.kind})`);
  if (spec.kind === "list") return intsAttr(op, key);
  if (!matchesKind(attr, { ...spec, kind: spec.kind === "int" ? "number" : spec.kind }))
    fail(op, key, `of kind ${spec.kind}`);
  return isTypeAttr(attr) ? attr.type : attr;
}

type Bare<N extends string> = N extends `${infer B}?` ? B : N extends `${infer B}*` ? B : N;

/** The operands of an operation by the names in its record; those that end in `?` may be undefined. */
export type OperandsOf<P extends readonly string[]> = {
  readonly [N in P[number] as Bare<N>]: N extends `${string}?`
    ? Value | undefined
    : N extends `${string}*`
      ? readonly Value[]
      : Value;
};

/** Typed access to the operands of operations with these names. */
export function operandReader<const P extends readonly string[]>(names: P): (op: Op) => OperandsOf<P> {
  return (op) =>
    Object.fromEntries(
      names.map((name, i) => {
        const bare = name.replace(/[?*]$/, "");
        if (name.endsWith("*")) return [bare, op.operands.slice(i)];
        return [bare, name.endsWith("?") ? op.operands[i] : op.operand(i)];
      }),
    ) as OperandsOf<P>;
}
