/** Sums of a constant matrix and a vector as a graph of shifted additions and subtractions; what it takes and computes. */

/** Closed interval of integers; ends beyond 2^53 may lie further out than the numbers do, never further in. */
export interface Interval {
  readonly lo: number;
  readonly hi: number;
}

/**
 * `a + (b << shift)`, or `a - (b << shift)`: the low bits of `a` pass by the adder. A negative shift moves `a` up
 * instead. Values are numbered, inputs first.
 */
export interface AdderNode {
  readonly a: number;
  readonly b: number;
  readonly shift: number;
  readonly subtract: boolean;
  readonly range: Interval;
  /** Additions between the inputs and this value. */
  readonly depth: number;
}

/** `±(node << shift)`; node -1 is zero. */
export interface GraphOutput {
  readonly node: number;
  readonly shift: number;
  readonly negative: boolean;
}

export interface AdderGraph {
  /** The vector, and behind it numbers that are added: ranges of a single value. */
  readonly inputs: readonly Interval[];
  readonly constants: number;
  /** Value number `inputs.length + i`. */
  readonly nodes: readonly AdderNode[];
  readonly outputs: readonly GraphOutput[];
}

/** Bits of an integer interval as a two's complement or, if nothing is negative, unsigned number. */
export function bitsOfInterval(r: Interval): number {
  const magnitude = Math.max(r.hi, -r.lo - 1, 0);
  const bits = magnitude === 0 ? 0 : Math.floor(Math.log2(magnitude)) + 1;
  return bits + (r.lo < 0 ? 1 : 0);
}

/** Bits in which the adder of a node works. */
export function adderBits(n: AdderNode): number {
  return Math.max(1, bitsOfInterval(n.range) - Math.max(0, n.shift));
}

/**
 * Lookup tables of a node's carry chain: one for each bit in which two numbers meet. Above the shorter one a sign runs
 * on; without a sign the longer number's bits go through as they are.
 */
export function adderTables(graph: AdderGraph, n: AdderNode): number {
  const rangeOf = (v: number): Interval =>
    v < graph.inputs.length ? graph.inputs[v]! : graph.nodes[v - graph.inputs.length]!.range;
  const [a, b] = [rangeOf(n.a), rangeOf(n.b)];
  const [wide, narrow] = [
    { bits: Math.max(0, bitsOfInterval(a) - n.shift), signed: a.lo < 0 },
    { bits: bitsOfInterval(b), signed: b.lo < 0 },
  ].sort((x, y) => y.bits - x.bits) as [{ bits: number; signed: boolean }, { bits: number; signed: boolean }];
  return narrow.bits + (narrow.signed ? Math.min(adderBits(n), wide.bits) - Math.min(adderBits(n), narrow.bits) : 0);
}

/** Drops what no output needs. */
export function prune(g: AdderGraph): AdderGraph {
  const n = g.inputs.length;
  const live = new Uint8Array(n + g.nodes.length);
  for (const o of g.outputs) if (o.node >= 0) live[o.node] = 1;
  for (let i = g.nodes.length - 1; i >= 0; i--) if (live[n + i] === 1) live[g.nodes[i]!.a] = live[g.nodes[i]!.b] = 1;
  const renamed = new Int32Array(n + g.nodes.length);
  for (let i = 0; i < n; i++) renamed[i] = i;
  const nodes: AdderNode[] = [];
  g.nodes.forEach((node, i) => {
    if (live[n + i] === 0) return;
    renamed[n + i] = n + nodes.length;
    nodes.push({ ...node, a: renamed[node.a]!, b: renamed[node.b]! });
  });
  const outputs = g.outputs.map((o) => (o.node < 0 ? o : { ...o, node: renamed[o.node]! }));
  return { ...g, nodes, outputs };
}

/** The outputs for given inputs: the definition of the graph, for tests and models. */
export function evaluateAdderGraph(g: AdderGraph, x: readonly bigint[]): bigint[] {
  const values = [...x, ...g.inputs.slice(x.length).map((c) => BigInt(c.lo))];
  for (const n of g.nodes) {
    const [a, b] = [values[n.a]! << BigInt(Math.max(0, -n.shift)), values[n.b]! << BigInt(Math.max(0, n.shift))];
    values.push(n.subtract ? a - b : a + b);
  }
  return g.outputs.map((o) => (o.node < 0 ? 0n : (o.negative ? -values[o.node]! : values[o.node]!) << BigInt(o.shift)));
}
