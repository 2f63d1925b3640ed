/**
 * Operations as declarative records. A dialect is an explicit list of them; everything that knows an operation's
 * constraints, syntax or meaning reads its record, so that adding an operation is adding one record.
 */
import { isAffineMap, isAttrRecord, isTypeAttr, Dense, type Attr } from "./attributes.js";
import type { Op } from "./core.js";
import type { Type } from "./types.js";

export type AttrKind = "bool" | "int" | "number" | "string" | "dense" | "map" | "type" | "list" | "record" | "any";

export interface AttrSpec {
  readonly kind: AttrKind;
  readonly optional?: boolean;
  /** For `string`: the values allowed. */
  readonly oneOf?: readonly string[];
  /** One line for the generated reference. */
  readonly doc?: string;
}

/** `pure`: no state, may be deleted, duplicated, reordered. `elementwise`: output i depends on input element i alone.
 *  `terminator`: ends a block. `graph`: the regions need no order of definition before use (rtl modules). */
export type Trait = "pure" | "elementwise" | "terminator" | "graph" | "same-shape";

/** Says what is wrong with an operation, without a full stop. */
export type Report = (message: string) => void;

export interface OpDef {
  readonly name: string;
  /** One sentence; shown in the generated reference and by `opt --help-ops`. */
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
   * Meaning of an nn operation that a program adds, for the reference interpreter: real values in row-major order,
   * which on fixed point are exact multiples of the LSB. Quantization rounds its operands and takes the result type
   * from `inferTypes`. Results behind the first follow it.
   */
  readonly evaluate?: (op: Op) => (inputs: readonly Float64Array[], out: Float64Array, ...more: Float64Array[]) => void;
}

export interface Dialect {
  readonly name: string;
  readonly ops: readonly OpDef[];
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
  if (!Array.isArray(v) || v.some((x) => typeof x !== "number")) fail(op, key, "a list of numbers");
  return v as number[];
}
export function denseAttr(op: Op, key: string): Dense {
  const v = op.attrs[key];
  return v instanceof Dense ? v : fail(op, key, "a constant");
}
