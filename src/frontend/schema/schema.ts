/** Schemas of operators by domain, name and operator set, from the tables that scripts/onnx-schema.py writes. */
import { NEWEST, TABLES, type SchemaRow } from "./onnx-table.js";

/** Kinds of attributes by the letters of the table. @source onnx.proto, AttributeProto.AttributeType */
export const ATTRIBUTE_KINDS: Readonly<Record<string, { readonly type: number; readonly what: string }>> = {
  f: { type: 1, what: "a number" },
  i: { type: 2, what: "an integer" },
  s: { type: 3, what: "a string" },
  t: { type: 4, what: "a tensor" },
  g: { type: 5, what: "a graph" },
  F: { type: 6, what: "a list of numbers" },
  I: { type: 7, what: "a list of integers" },
  S: { type: 8, what: "a list of strings" },
  T: { type: 9, what: "a list of tensors" },
  G: { type: 10, what: "a list of graphs" },
  p: { type: 11, what: "a sparse tensor" },
  P: { type: 12, what: "a list of sparse tensors" },
  y: { type: 13, what: "a type" },
  Y: { type: 14, what: "a list of types" },
};

export type AttributeValue = number | string | readonly (number | string)[];

export interface AttributeSchema {
  readonly name: string;
  /** A letter of ATTRIBUTE_KINDS. */
  readonly kind: string;
  readonly required: boolean;
  readonly fallback: AttributeValue | undefined;
  /** The only values that the schema allows, numbers as text. */
  readonly values: readonly string[] | undefined;
}

export interface ParameterSchema {
  readonly name: string;
  readonly option: "single" | "optional" | "variadic";
  /** Of a variadic parameter: whether all have one type, and how many there must be. */
  readonly homogeneous: boolean;
  readonly least: number;
  /** Type variable; undefined where the types are fixed. */
  readonly variable: string | undefined;
  /** ONNX element types that are allowed; empty where it is no tensor. */
  readonly types: readonly number[];
}

export interface OperatorSchema {
  readonly domain: string;
  readonly name: string;
  /** Operator set in which this version came. */
  readonly since: number;
  readonly attributes: ReadonlyMap<string, AttributeSchema>;
  readonly inputs: readonly ParameterSchema[];
  readonly outputs: readonly ParameterSchema[];
  readonly deprecated: boolean;
}

/** Domains under other names, and those whose operators QONNX took over. */
const ALIASES: Readonly<Record<string, string>> = {
  "ai.onnx": "",
  "onnx.brevitas": "qonnx.custom_op.general",
  "finn.custom_op.general": "qonnx.custom_op.general",
};

/** The domain under whose name the tables have it. */
export function tableDomain(domain: string): string {
  return ALIASES[domain] ?? domain;
}

/** Newest operator set of a domain that the tables know; undefined for domains without schemas. */
export function newestOpset(domain: string): number | undefined {
  return NEWEST[tableDomain(domain)];
}

const rows = new Map<string, readonly SchemaRow[]>();
function versions(domain: string, name: string): readonly SchemaRow[] {
  const key = tableDomain(domain);
  if (rows.size === 0) {
    for (const [d, table] of Object.entries(TABLES)) {
      for (const row of table) rows.set(`${d}::${row[0]}`, [...(rows.get(`${d}::${row[0]}`) ?? []), row]);
    }
  }
  return rows.get(`${key}::${name}`) ?? [];
}

/**
 * Operator sets in which an operator got a new version, ascending; those long replaced are not known. Empty for unknown
 * operators.
 */
export function schemaVersions(domain: string, name: string): readonly number[] {
  return versions(domain, name).map((r) => r[1]);
}

const parsed = new Map<SchemaRow, OperatorSchema>();

/** The version of a schema that holds at an operator set; undefined where the operator is unknown or came later. */
export function operatorSchema(domain: string, name: string, opset: number): OperatorSchema | undefined {
  const row = versions(domain, name)
    .filter((r) => r[1] <= opset)
    .at(-1);
  if (row === undefined) return undefined;
  let schema = parsed.get(row);
  if (schema === undefined) parsed.set(row, (schema = parseRow(tableDomain(domain), row)));
  return schema;
}

/** All schemas of the tables. */
export function allSchemas(): OperatorSchema[] {
  return Object.entries(TABLES).flatMap(([domain, table]) => table.map((row) => parseRow(domain, row)));
}

function parseRow(
  domain: string,
  [name, since, attributes, inputs, outputs, types, deprecated]: SchemaRow,
): OperatorSchema {
  const variables = new Map(
    words(types).map((t): [string, number[]] => [
      t.slice(0, t.indexOf("=")),
      elementTypes(t.slice(t.indexOf("=") + 1)),
    ]),
  );
  const parameters = (text: string): ParameterSchema[] => words(text).map((p) => parseParameter(p, variables));
  return {
    domain,
    name,
    since,
    attributes: new Map(
      words(attributes)
        .map(parseAttribute)
        .map((a) => [a.name, a]),
    ),
    inputs: parameters(inputs),
    outputs: parameters(outputs),
    deprecated: deprecated === 1,
  };
}

function words(text: string): string[] {
  return text === "" ? [] : text.split(" ");
}

/** Letters to ONNX element types; what is no tensor has none. */
function elementTypes(letters: string): number[] {
  return [...letters].filter((c) => c !== "-").map((c) => c.charCodeAt(0) - 96);
}

function parseAttribute(text: string): AttributeSchema {
  const m = /^(\w+):([a-zA-Z])(!)?(?:=(.*?))?(?:\{(.*)\})?$/.exec(text)!;
  return {
    name: m[1]!,
    kind: m[2]!,
    required: m[3] !== undefined,
    fallback: m[4] === undefined ? undefined : (JSON.parse(m[4]) as AttributeValue),
    values: m[5]?.split(","),
  };
}

function parseParameter(text: string, variables: ReadonlyMap<string, readonly number[]>): ParameterSchema {
  const m = /^(\w*)(\?|([*&])(\d+))?:(.*)$/.exec(text)!;
  const type = m[5]!;
  const fixed = type.startsWith("=");
  return {
    name: m[1]!,
    option: m[2] === "?" ? "optional" : m[3] !== undefined ? "variadic" : "single",
    homogeneous: m[3] !== "&",
    least: Number(m[4] ?? 0),
    variable: fixed ? undefined : type,
    types: fixed ? elementTypes(type.slice(1)) : (variables.get(type) ?? []),
  };
}
