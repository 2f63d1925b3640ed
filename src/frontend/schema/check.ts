/**
 * A node against the schema of its operator: attributes, how many inputs and outputs there are, and their element
 * types.
 */
import { printable } from "../../diagnostics/index.js";
import { nearestName } from "../../diagnostics/nearest.js";
import { toNumber, type AttributeProto, type NodeProto } from "../onnx-proto.js";
import { dataTypeName } from "../tensor-data.js";
import {
  ATTRIBUTE_KINDS,
  operatorSchema,
  schemaVersions,
  type AttributeSchema,
  type AttributeValue,
  type OperatorSchema,
  type ParameterSchema,
} from "./schema.js";

/** What is wrong with a node, and what to do. */
export interface Problem {
  readonly what: string;
  readonly hint: string;
}

/** ONNX element type of a tensor, where it is known. */
export type TypeOf = (tensor: string) => number | undefined;

const EXPORT = "the node is not valid ONNX as it stands; check the model with onnx.checker and export it again";

/** Why an operator is not there at an operator set; undefined where it is, or where nothing is known of it. */
export function versionProblem(node: NodeProto, domain: string, opset: number): Problem | undefined {
  const all = schemaVersions(domain, node.opType);
  if (all.length === 0) return undefined;
  const of = domain === "" ? "" : ` of ${domain}`;
  const schema = operatorSchema(domain, node.opType, opset);
  if (schema === undefined)
    return {
      what: `${node.opType} came with opset ${all[0]}${of}; the model imports opset ${opset}`,
      hint: `export with opset ${all[0]} or newer`,
    };
  if (schema.deprecated)
    return {
      what: `${node.opType} was taken out of ONNX with opset ${schema.since}${of}; the model imports opset ${opset}`,
      hint: `export with an opset before ${schema.since}, or with the operator that replaced it`,
    };
  return undefined;
}

/** The first thing in a node that its schema does not allow. */
export function nodeProblem(
  schema: OperatorSchema,
  node: NodeProto,
  opset: number,
  typeOf: TypeOf,
): Problem | undefined {
  return (
    attributesProblem(schema, node, opset) ?? countProblem(schema, node) ?? bindTypes(schema, node, typeOf).problem
  );
}

// --- attributes

function attributesProblem(schema: OperatorSchema, node: NodeProto, opset: number): Problem | undefined {
  const seen = new Set<string>();
  for (const a of node.attribute) {
    // Names of this form are notes that tools leave; onnx.checker skips them as well.
    if (a.name.startsWith("__") && a.name.endsWith("__")) continue;
    if (seen.has(a.name)) return { what: `attribute ${printable(a.name, 60)} is given twice`, hint: EXPORT };
    seen.add(a.name);
    const known = schema.attributes.get(a.name);
    const problem =
      known === undefined ? unknownAttribute(schema, a, opset) : (kindProblem(known, a) ?? valueProblem(known, a));
    if (problem !== undefined) return problem;
  }
  const missing = [...schema.attributes.values()].find((a) => a.required && !seen.has(a.name));
  return missing === undefined ? undefined : { what: `attribute ${missing.name} is missing`, hint: EXPORT };
}

function unknownAttribute(schema: OperatorSchema, a: AttributeProto, opset: number): Problem {
  const later = schemaVersions(schema.domain, schema.name).find(
    (v) => v > opset && operatorSchema(schema.domain, schema.name, v)!.attributes.has(a.name),
  );
  const near = nearestName(a.name, schema.attributes.keys());
  const known = [...schema.attributes.keys()];
  return {
    what: `${schema.name} has no attribute "${printable(a.name, 60)}" in opset ${opset}`,
    hint:
      later !== undefined
        ? `it came with opset ${later}: export with that or a newer one`
        : near !== undefined
          ? `did you mean ${near}?`
          : known.length === 0
            ? `${schema.name} has no attributes; remove it`
            : `its attributes are ${known.join(", ")}; remove this one, or put the operator into a domain of your own`,
  };
}

/** The fields of an attribute that hold something, by type. */
function filled(a: AttributeProto): number[] {
  const single = (
    [
      ["f", 1],
      ["i", 2],
      ["s", 3],
      ["t", 4],
      ["g", 5],
    ] as const
  ).flatMap(([field, type]) => (Object.hasOwn(a, field) && a[field] !== null ? [type] : []));
  const lists = (
    [
      ["floats", 6],
      ["ints", 7],
      ["strings", 8],
    ] as const
  ).flatMap(([field, type]) => (a[field].length > 0 ? [type] : []));
  return [...single, ...lists];
}

function kindProblem(schema: AttributeSchema, a: AttributeProto): Problem | undefined {
  const { type, what } = ATTRIBUTE_KINDS[schema.kind]!;
  const fields = filled(a);
  // Files of before IR version 2 do not say the type; the field that is filled does.
  const stated = a.type !== 0 ? a.type : (fields[0] ?? type);
  // Writers leave zeros out; a value of another kind is not what the type says.
  const odd = stated !== type ? stated : fields.length > 0 && !fields.includes(type) ? fields[0] : undefined;
  if (odd === undefined) return undefined;
  const found = Object.values(ATTRIBUTE_KINDS).find((k) => k.type === odd)?.what ?? `of type ${odd}`;
  return { what: `attribute ${schema.name} is not ${what} but ${found}`, hint: EXPORT };
}

/** What an attribute holds, as far as schemas speak of it; undefined for tensors, graphs and types. */
function valueOf(kind: string, a: AttributeProto): AttributeValue | undefined {
  const text = (s: Uint8Array): string => new TextDecoder().decode(s);
  switch (kind) {
    case "f":
      return a.f;
    case "i":
      return toNumber(a.i);
    case "s":
      return text(a.s);
    case "F":
      return a.floats;
    case "I":
      return a.ints.map(toNumber);
    case "S":
      return a.strings.map(text);
    default:
      return undefined;
  }
}

function valueProblem(schema: AttributeSchema, a: AttributeProto): Problem | undefined {
  if (schema.values === undefined) return undefined;
  const value = valueOf(schema.kind, a);
  const odd = (Array.isArray(value) ? (value as readonly (string | number)[]) : [value as string | number]).find(
    (v) => !schema.values!.includes(String(v)),
  );
  if (odd === undefined) return undefined;
  return {
    what: `attribute ${schema.name} is ${typeof odd === "string" ? `"${printable(odd, 60)}"` : odd}, which is not defined`,
    hint: `its values are ${schema.values.join(", ")}`,
  };
}

/** Whether an attribute says what holds without it. */
export function isDefault(schema: AttributeSchema, a: AttributeProto): boolean {
  const value = valueOf(schema.kind, a);
  if (Array.isArray(value) && value.length === 0) return true;
  if (schema.fallback === undefined || value === undefined) return false;
  const same = (x: number | string, y: number | string): boolean =>
    x === y || (typeof x === "number" && typeof y === "number" && Math.fround(x) === Math.fround(y));
  const [x, y] = [value, schema.fallback].map((v) =>
    Array.isArray(v) ? (v as readonly (number | string)[]) : [v as number | string],
  ) as [readonly (number | string)[], readonly (number | string)[]];
  return x.length === y.length && x.every((v, i) => same(v, y[i]!));
}

// --- inputs and outputs

/** The parameter that position `i` belongs to. */
export function parameterAt(parameters: readonly ParameterSchema[], i: number): ParameterSchema | undefined {
  const last = parameters.at(-1);
  return parameters[i] ?? (last?.option === "variadic" ? last : undefined);
}

function countProblem(schema: OperatorSchema, node: NodeProto): Problem | undefined {
  for (const [what, names, parameters] of [
    ["input", node.input, schema.inputs],
    ["output", node.output, schema.outputs],
  ] as const) {
    const extra = names.findIndex((_, i) => parameterAt(parameters, i) === undefined);
    if (extra >= 0)
      return {
        what: `it has ${names.length} ${what}s, of which ${schema.name} knows ${parameters.length}: ${what} ${extra} ("${printable(names[extra]!, 60)}") is too many`,
        hint: EXPORT,
      };
    for (const [i, p] of parameters.entries()) {
      const given = names[i] !== undefined && names[i] !== "";
      if (p.option === "single" && !given) return { what: `${what} ${i} (${p.name}) is missing`, hint: EXPORT };
      if (p.option === "variadic" && names.length - i < p.least)
        return { what: `it has ${names.length} ${what}s; ${schema.name} takes at least ${p.least + i}`, hint: EXPORT };
    }
  }
  return undefined;
}

interface Bound {
  readonly type: number;
  readonly tensor: string;
}

function typeNames(types: readonly number[]): string {
  return types.map(dataTypeName).join(", ");
}

/** The opset from which an operator takes a type, as the beginning of a hint; empty where none does. */
function laterHint(schema: OperatorSchema, input: number, type: number): string {
  const later = schemaVersions(schema.domain, schema.name).find(
    (v) =>
      v > schema.since &&
      parameterAt(operatorSchema(schema.domain, schema.name, v)!.inputs, input)?.types.includes(type) === true,
  );
  return later === undefined ? "" : `export with opset ${later} or newer; in opset ${schema.since} `;
}

/** Types of the type variables, from the inputs; and what contradicts the schema in them. */
function bindTypes(
  schema: OperatorSchema,
  node: NodeProto,
  typeOf: TypeOf,
): { readonly bound: ReadonlyMap<string, Bound>; readonly problem?: Problem } {
  const bound = new Map<string, Bound>();
  for (const [i, tensor] of node.input.entries()) {
    const p = parameterAt(schema.inputs, i)!;
    const type = tensor === "" ? undefined : typeOf(tensor);
    if (type === undefined) continue;
    if (p.types.length > 0 && !p.types.includes(type)) {
      return {
        bound,
        problem: {
          what: `its input ${p.name} ("${printable(tensor, 60)}") is ${dataTypeName(type)}, which ${schema.name} does not take`,
          hint: `${laterHint(schema, i, type)}it takes ${typeNames(p.types)}`,
        },
      };
    }
    if (p.variable === undefined || !p.homogeneous) continue;
    const before = bound.get(p.variable);
    if (before === undefined) bound.set(p.variable, { type, tensor });
    else if (before.type !== type) {
      const show = (b: Bound): string => `"${printable(b.tensor, 60)}" is ${dataTypeName(b.type)}`;
      return {
        bound,
        problem: {
          what: `its inputs differ in type: ${show(before)}, ${show({ type, tensor })}`,
          hint: `${schema.name} takes them in one type; convert one of them and export again`,
        },
      };
    }
  }
  return { bound };
}

/** Element types of the outputs as far as the schema determines them; `otherwise` says those that attributes decide. */
export function outputTypes(
  schema: OperatorSchema,
  node: NodeProto,
  typeOf: TypeOf,
  otherwise: () => number | undefined,
): { readonly types: readonly (number | undefined)[]; readonly problem?: Problem } {
  const { bound } = bindTypes(schema, node, typeOf);
  let problem: Problem | undefined;
  const types = node.output.map((tensor, i) => {
    const p = parameterAt(schema.outputs, i)!;
    const type =
      (p.variable === undefined ? undefined : bound.get(p.variable)?.type) ??
      (p.types.length === 1 ? p.types[0] : otherwise());
    if (type !== undefined && p.types.length > 0 && !p.types.includes(type))
      problem ??= {
        what: `its output ${p.name} ("${printable(tensor, 60)}") would be ${dataTypeName(type)}, which ${schema.name} does not give`,
        hint: `it gives ${typeNames(p.types)}`,
      };
    return type;
  });
  return { types, ...(problem !== undefined && { problem }) };
}
