/**
 * Calls of functions that a model defines (ModelProto.functions), and branches of If, as nodes of the graph around
 * them. Names of the body get the name of the calling node in front, so that bodies can be used many times.
 */
import type { AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto } from "./onnx-proto.js";

/** A copy of a decoded message; what a message does not say is in its prototype. */
export function changed<T extends object>(message: T, changes: Partial<T>): T {
  return Object.assign(Object.create(Object.getPrototypeOf(message) as object) as T, message, changes);
}

/** What takes the place of a node. */
export interface Body {
  readonly nodes: readonly NodeProto[];
  readonly initializers: readonly TensorProto[];
  /** Outputs of the node that are tensors as they are, by name: the output, and what it is. */
  readonly aliases: readonly (readonly [output: string, tensor: string])[];
}

export function functionKey(domain: string, name: string, overload: string): string {
  return `${domain === "ai.onnx" ? "" : domain}::${name}::${overload}`;
}

/** The body of a function for one call. Attributes that the call does not give have the function's defaults. */
export function callBody(f: FunctionProto, call: NodeProto, name: string): Body {
  const given = new Map([...f.attributeProto, ...call.attribute].map((a) => [a.name, a]));
  const names = new Map<string, string>();
  f.input.forEach((n, i) => names.set(n, call.input[i] ?? ""));
  const bound = (node: NodeProto): NodeProto =>
    changed(node, {
      attribute: node.attribute.flatMap((a): AttributeProto[] => {
        if (a.refAttrName === "") return [a.g === null ? a : changed(a, { g: boundGraph(a.g) })];
        const value = given.get(a.refAttrName);
        return value === undefined ? [] : [changed(value, { name: a.name })];
      }),
    });
  const boundGraph = (g: GraphProto): GraphProto => changed(g, { node: g.node.map(bound) });
  const outputs = f.output.map((n, i) => [n, call.output[i] ?? ""] as const);
  return inlined(f.node.map(bound), [], outputs, names, name);
}

/** A branch of If in the place of the node. What it reads from outside keeps its name. */
export function branchBody(branch: GraphProto, node: NodeProto, name: string): Body {
  const outputs = branch.output.map((o, i) => [o.name, node.output[i] ?? ""] as const);
  return inlined(branch.node, branch.initializer, outputs, new Map(), name);
}

/**
 * One pass through the body of a loop. `inputs` are tensors outside that its inputs stand for, `outputs` what its
 * outputs are called there.
 */
export function passBody(
  graph: GraphProto,
  inputs: readonly string[],
  prefix: string,
): { readonly body: Body; readonly outputs: string[] } {
  const names = new Map(graph.input.map((v, i) => [v.name, inputs[i]!]));
  const body = inlined(graph.node, graph.initializer, [], names, prefix);
  return { body, outputs: graph.output.map((o) => names.get(o.name) ?? o.name) };
}

function inlined(
  nodes: readonly NodeProto[],
  initializers: readonly TensorProto[],
  outputs: readonly (readonly [string, string])[],
  names: Map<string, string>,
  prefix: string,
): Body {
  const local = (n: string): string => `${prefix}/${n}`;
  const made = new Set([...nodes.flatMap((n) => n.output), ...initializers.map((t) => t.name)]);
  for (const n of made) if (n !== "") names.set(n, local(n));
  const aliases: (readonly [string, string])[] = [];
  const taken = new Set<string>();
  for (const [inner, outer] of outputs) {
    if (outer === "") continue;
    if (nodes.some((n) => n.output.includes(inner)) && !taken.has(inner)) names.set(inner, outer);
    else aliases.push([outer, names.get(inner) ?? inner]);
    taken.add(inner);
  }
  return {
    nodes: nodes.map((n, i) => renamed(n, names, local(n.name === "" ? `${n.opType}_${i}` : n.name))),
    initializers: initializers.map((t) => changed(t, { name: names.get(t.name)! })),
    aliases,
  };
}

function renamed(node: NodeProto, names: ReadonlyMap<string, string>, name: string): NodeProto {
  const to = (n: string): string => names.get(n) ?? n;
  return changed(node, {
    name,
    input: node.input.map(to),
    output: node.output.map(to),
    attribute: node.attribute.map((a) => (a.g === null ? a : changed(a, { g: renamedGraph(a.g, names) }))),
  });
}

/** Names that a graph inside a node gives to tensors of its own. */
function ownNames(g: GraphProto): ReadonlySet<string> {
  return new Set([
    ...g.input.map((v) => v.name),
    ...g.initializer.map((t) => t.name),
    ...g.node.flatMap((n) => n.output),
  ]);
}

/** A graph inside a node: what it reads from outside is renamed, what it makes hides names outside. */
function renamedGraph(g: GraphProto, names: ReadonlyMap<string, string>): GraphProto {
  const own = ownNames(g);
  const outside = new Map([...names].filter(([n]) => !own.has(n)));
  return changed(g, {
    node: g.node.map((n) => renamed(n, outside, n.name)),
    output: g.output.map((o) => changed(o, { name: outside.get(o.name) ?? o.name })),
  });
}

/** Tensors around a node that the graphs in it read. */
export function capturedBy(node: NodeProto): string[] {
  return node.attribute.flatMap((a) => (a.g === null ? [] : readFromOutside(a.g)));
}

function readFromOutside(g: GraphProto): string[] {
  const own = ownNames(g);
  const read = [...g.node.flatMap((n) => [...n.input, ...capturedBy(n)]), ...g.output.map((o) => o.name)];
  return [...new Set(read)].filter((n) => n !== "" && !own.has(n));
}
