/**
 * Every kind of violation of a schema, for every operator that is read: generated from the schemas, so that new
 * operators and new schemas are covered as they come. What is changed are the cases of `fixtures/` where they have the
 * operator, and otherwise a node made up from its schema.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Sink, type Diagnostic } from "../../src/diagnostics/index.js";
import { importOnnx, OPSETS } from "../../src/frontend/import.js";
import { readArrays } from "../../src/frontend/npz.js";
import {
  decodeModel,
  messageType,
  toNumber,
  type AttributeProto,
  type ModelProto,
  type NodeProto,
} from "../../src/frontend/onnx-proto.js";
import { onnxOperators } from "../../src/frontend/operators/index.js";
import { nodeProblem, parameterAt } from "../../src/frontend/schema/check.js";
import {
  ATTRIBUTE_KINDS,
  newestOpset,
  operatorSchema,
  schemaVersions,
  tableDomain,
  type AttributeSchema,
  type OperatorSchema,
  type ParameterSchema,
} from "../../src/frontend/schema/schema.js";
import { importValid } from "./support.js";

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };
type Node = Mutable<NodeProto>;

/** A model, the number of the node that is meant, and its schema. */
interface Start {
  readonly operator: string;
  readonly bytes: Uint8Array;
  readonly node: number;
  readonly schema: OperatorSchema;
  /** Whether the model comes from a fixture, and so must be accepted as it is. */
  readonly fixture: boolean;
}

const folder = new URL("fixtures/", import.meta.url);
const models = readdirSync(folder)
  .filter((f) => /^operators.*\.npz$/.test(f))
  .flatMap((f) =>
    [...readArrays(readFileSync(new URL(f, folder)), f)]
      .filter(([k]) => k.endsWith(".model"))
      .map(([k, a]) => ({ name: k.slice(0, -".model".length), bytes: Uint8Array.from(a.data) })),
  );

const type = messageType("onnx.ModelProto");
const encode = (model: object): Uint8Array => type.encode(type.fromObject(model)).finish();

function domainOf(operator: string): { readonly domain: string; readonly name: string } {
  const [domain, name] = operator.includes("::") ? (operator.split("::") as [string, string]) : ["", operator];
  return { domain, name };
}

function fromFixtures(operator: string): Start | undefined {
  const { domain, name } = domainOf(operator);
  for (const m of models) {
    const model = decodeModel(m.bytes);
    const node = model.graph!.node.findIndex((n) => n.opType === name && n.domain === domain);
    const opset = model.opsetImport.find((o) => o.domain === domain);
    if (node < 0 || opset === undefined) continue;
    const schema = operatorSchema(domain, name, toNumber(opset.version));
    if (schema !== undefined) return { operator, bytes: m.bytes, node, schema, fixture: true };
  }
  return undefined;
}

/** Element types that tensors of these tests have. */
const TYPES = [1, 11, 10, 7, 6, 3, 2, 9, 5];
const usable = (p: ParameterSchema): number => TYPES.find((t) => p.types.includes(t)) ?? 1;

function attributeOf(a: AttributeSchema): object {
  const [kind, value] = [ATTRIBUTE_KINDS[a.kind]!.type, a.values?.[0]];
  const text = Buffer.from(value ?? "x");
  return {
    name: a.name,
    type: kind,
    ...({
      i: { i: Number(value ?? 1) },
      f: { f: 1 },
      s: { s: text },
      I: { ints: [1] },
      F: { floats: [1] },
      S: { strings: [text] },
      t: { t: { dims: [1], dataType: 1, floatData: [1] } },
    }[a.kind] ?? {}),
  };
}

/** A model of one node that its schema allows; whether its importer does is not known. */
function madeUp(operator: string): Start {
  const { domain, name } = domainOf(operator);
  const opset = schemaVersions(domain, name)
    .filter((v) => !operatorSchema(domain, name, v)!.deprecated)
    .at(-1)!;
  const schema = operatorSchema(domain, name, Math.max(opset, domain === "" ? OPSETS.oldest : 1))!;
  const last = schema.inputs.findLastIndex((p) => p.option !== "optional");
  const inputs = schema.inputs.slice(0, last + 1).flatMap((p) => Array.from({ length: Math.max(1, p.least) }, () => p));
  const outputs = schema.outputs.filter((p) => p.option === "single" || p.least > 0);
  const port = (n: string, elemType: number): object => ({
    name: n,
    type: { tensorType: { elemType, shape: { dim: [{ dimValue: 1 }, { dimValue: 4 }] } } },
  });
  const node = {
    opType: name,
    domain,
    input: inputs.map((p, i) => (p.option === "optional" ? "" : `i${i}`)),
    output: outputs.map((_, i) => `o${i}`),
    attribute: [...schema.attributes.values()].filter((a) => a.required).map(attributeOf),
  };
  const graph = {
    name: "g",
    node: [node],
    input: [port("x", 1), ...inputs.map((p, i) => port(`i${i}`, usable(p)))],
    output: outputs.map((p, i) => port(`o${i}`, usable(p))),
  };
  const own = [{ domain: "", version: domain === "" ? Math.max(opset, OPSETS.oldest) : 17 }];
  const bytes = encode({
    irVersion: 8,
    opsetImport: domain === "" ? own : [...own, { domain, version: Math.min(opset, newestOpset(domain)!) }],
    graph,
  });
  return { operator, bytes, node: 0, schema, fixture: false };
}

interface Violation {
  readonly kind: string;
  readonly change: (node: Node, model: ModelProto) => void;
  readonly says: RegExp;
}

const escaped = (s: string): string => s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const attribute = (fields: object): AttributeProto =>
  messageType("onnx.AttributeProto").fromObject(fields) as unknown as AttributeProto;

function replaceAttribute(node: Node, a: AttributeProto): void {
  node.attribute = [...node.attribute.filter((b) => b.name !== a.name), a];
}

/** Puts a new constant of an element type at input `i`. */
function putInput(node: Node, model: ModelProto, i: number, elemType: number): void {
  const name = `odd_${i}`;
  const tensor = {
    name,
    dims: [1],
    dataType: elemType,
    rawData: new Uint8Array({ 1: 4, 2: 1, 3: 1, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8 }[elemType]!),
  };
  (model.graph!.initializer as unknown[]).push(messageType("onnx.TensorProto").fromObject(tensor));
  while (node.input.length < i) node.input.push("");
  node.input[i] = name;
}

function attributeViolations(schema: OperatorSchema): Violation[] {
  const list = [...schema.attributes.values()];
  return [
    {
      kind: "unknown attribute",
      change: (n) => n.attribute.push(attribute({ name: "frobnicate", type: 2, i: 1 })),
      says: /no attribute "frobnicate"/,
    },
    ...list.flatMap((a): Violation[] => [
      {
        kind: "wrong attribute type",
        change: (n) =>
          replaceAttribute(
            n,
            attribute(
              a.kind === "s" ? { name: a.name, type: 2, i: 1 } : { name: a.name, type: 3, s: Buffer.from("x") },
            ),
          ),
        says: new RegExp(`attribute ${a.name} is not `),
      },
      {
        kind: "attribute twice",
        change: (n) => n.attribute.push(...[0, 1].map(() => attribute(attributeOf(a)))),
        says: new RegExp(`attribute ${a.name} is given twice`),
      },
      ...(a.required
        ? [
            {
              kind: "missing attribute",
              change: (n: Node) => void (n.attribute = n.attribute.filter((b) => b.name !== a.name)),
              says: new RegExp(`attribute ${a.name} is missing`),
            },
          ]
        : []),
      ...(a.values === undefined
        ? []
        : [
            {
              kind: "value that is not defined",
              change: (n: Node) =>
                replaceAttribute(
                  n,
                  attribute({
                    ...attributeOf(a),
                    ...(a.kind === "i"
                      ? { i: 97 }
                      : a.kind === "S"
                        ? { strings: [Buffer.from("FROB")] }
                        : { s: Buffer.from("FROB") }),
                  }),
                ),
              says: new RegExp(`attribute ${a.name} is ("FROB"|97), which is not defined`),
            },
          ]),
    ]),
  ];
}

function countViolations(schema: OperatorSchema): Violation[] {
  const found: Violation[] = [];
  const required = schema.inputs.findLastIndex((p) => p.option === "single" || p.least > 0);
  if (required >= 0) {
    const { least, option, name } = schema.inputs[required]!;
    found.push({
      kind: "too few inputs",
      change: (n) => void (n.input.length = required + Math.max(0, least - 1)),
      says: option === "single" ? new RegExp(`input ${required} \\(${escaped(name)}\\) is missing`) : /takes at least/,
    });
  }
  const first = schema.inputs.findIndex((p) => p.option === "single");
  if (first >= 0)
    found.push({
      kind: "required input left empty",
      change: (n) => void (n.input[first] = ""),
      says: new RegExp(`input ${first} \\(${escaped(schema.inputs[first]!.name)}\\) is missing`),
    });
  if (schema.inputs.at(-1)?.option !== "variadic") {
    const fill = (n: Node): void => {
      const extra = n.input[0] ?? "extra";
      while (n.input.length < schema.inputs.length) n.input.push("");
      n.input.push(extra);
    };
    // Inputs that are missing in between do not hide that there are too many.
    found.push({
      kind: "too many inputs",
      change: fill,
      says: new RegExp(`it has ${schema.inputs.length + 1} inputs, of which .* knows ${schema.inputs.length}`),
    });
  }
  if (schema.outputs.at(-1)?.option !== "variadic") {
    found.push({
      kind: "too many outputs",
      change: (n) => {
        while (n.output.length <= schema.outputs.length) n.output.push(`extra_${n.output.length}`);
      },
      says: new RegExp(`outputs, of which .* knows ${schema.outputs.length}`),
    });
  }
  return found;
}

function typeViolations(schema: OperatorSchema, node: NodeProto): Violation[] {
  const positions = Math.max(node.input.length, schema.inputs.length);
  const at = Array.from({ length: positions }, (_, i) => ({ i, p: parameterAt(schema.inputs, i) })).filter(
    (e): e is { i: number; p: ParameterSchema } => e.p !== undefined,
  );
  const odd = at.flatMap(({ i, p }): Violation[] => {
    const wrong = p.types.length === 0 ? undefined : TYPES.find((t) => !p.types.includes(t));
    return wrong === undefined
      ? []
      : [
          {
            kind: "wrong element type",
            change: (n, m) => putInput(n, m, i, wrong),
            says: new RegExp(`its input ${escaped(p.name)} \\("odd_${i}"\\) is `),
          },
        ];
  });
  const unlike = at.flatMap(({ i, p }): Violation[] => {
    if (p.variable === undefined || !p.homogeneous) return [];
    const partner = at.find((e) => e.i !== i && e.p.variable === p.variable && (node.input[e.i] ?? "") !== "");
    const two = TYPES.filter((t) => p.types.includes(t)).slice(0, 2);
    if (partner === undefined || two.length < 2) return [];
    return [
      {
        kind: "types bound inconsistently",
        change: (n, m) => {
          putInput(n, m, partner.i, two[0]!);
          putInput(n, m, i, two[1]!);
        },
        says: /its inputs differ in type: "odd_\d+" is \w+, "odd_\d+" is \w+|its inputs differ in type/,
      },
    ];
  });
  return [...odd, ...unlike];
}

/** Whether an operator works on text, of which inputs and weights are refused before any node is looked at. */
function isOfText(operator: string): boolean {
  const { domain, name } = domainOf(operator);
  return operatorSchema(domain, name, schemaVersions(domain, name).at(-1)!)!.inputs.some(
    (p) => p.types.length > 0 && !p.types.some((t) => TYPES.includes(t)),
  );
}
/** Operators whose schema is known; programs may register others, which no schema speaks of. */
const operators = onnxOperators()
  .map((o) => o.opType)
  .filter((o) => schemaVersions(domainOf(o).domain, domainOf(o).name).length > 0 && !isOfText(o));
const starts = operators.map((o) => fromFixtures(o) ?? madeUp(o));
const seen = new Map<string, number>();

function diagnose(bytes: Uint8Array): readonly Diagnostic[] | undefined {
  const sink = new Sink();
  return importOnnx(bytes, "model.onnx", sink) === undefined ? sink.diagnostics : undefined;
}

describe("violations of schemas are refused by name", () => {
  it.each(starts.map((s) => [s.operator, s] as const))("%s", (operator, start) => {
    const original = decodeModel(start.bytes);
    const node = original.graph!.node[start.node]!;
    const name = node.name === "" ? `${node.opType}_${start.node}` : node.name;
    const declared = new Map(original.graph!.input.map((i) => [i.name, i.type!.tensorType!.elemType]));
    if (start.fixture) importValid(start.bytes, "model.onnx");
    else expect(nodeProblem(start.schema, node, start.schema.since, (t) => declared.get(t))).toBeUndefined();
    const violations = [
      ...attributeViolations(start.schema),
      ...countViolations(start.schema),
      ...typeViolations(start.schema, node),
    ];
    for (const v of violations) {
      const model = decodeModel(start.bytes);
      v.change(model.graph!.node[start.node] as Node, model);
      const found = diagnose(type.encode(model as never).finish());
      const what = `${operator}: ${v.kind}`;
      expect(found, `${what} was accepted`).toBeDefined();
      const of = found!.find((d) => d.place.node === name && d.code === "ON021");
      expect(of, `${what}: ${found!.map((d) => d.message).join("; ")}`).toBeDefined();
      expect(of!.message, what).toMatch(v.says);
      expect(of!.hint, what).not.toBe("");
      seen.set(v.kind, (seen.get(v.kind) ?? 0) + 1);
    }
    expect(violations.length).toBeGreaterThan(2);
  });

  it("all kinds have occurred, with most operators", () => {
    expect(starts.filter((s) => s.fixture).length).toBeGreaterThan(90);
    for (const kind of [
      "unknown attribute",
      "wrong attribute type",
      "value that is not defined",
      "missing attribute",
      "too few inputs",
      "too many inputs",
      "too many outputs",
      "wrong element type",
      "types bound inconsistently",
    ])
      expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(10);
    expect(seen.get("unknown attribute")).toBe(operators.length);
  });

  it("an operator set that the tables do not know is refused, for every domain", () => {
    for (const domain of ["com.microsoft", "qonnx.custom_op.general", "onnx.brevitas"]) {
      const start = starts.find((s) => domainOf(s.operator).domain === domain)!;
      const model = decodeModel(start.bytes);
      const opsets = model.opsetImport.map((o) =>
        o.domain === domain ? { domain, version: newestOpset(domain)! + 1 } : o,
      );
      const found = diagnose(type.encode({ ...model, opsetImport: opsets } as never).finish());
      expect(found!.map((d) => [d.code, d.place.node])).toEqual([
        ["ON002", `${domainOf(start.operator).name}_${start.node}`],
      ]);
      expect(tableDomain(domain)).not.toBe("");
    }
  });
});
