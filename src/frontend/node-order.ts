/** The order in which the nodes of a graph can be read. */
import { UserError, printable } from "../diagnostics/index.js";
import { capturedBy } from "./inline.js";
import type { NodeProto } from "./onnx-proto.js";

/**
 * Node numbers in an order in which every tensor is produced before it is read. @errors ON003 for cycles and tensors
 * with two producers
 */
export function nodeOrder(nodes: readonly NodeProto[], names: readonly string[], file: string): number[] {
  const producer = new Map<string, number>();
  nodes.forEach((n, i) => {
    for (const o of n.output) {
      if (o === "") continue;
      const before = producer.get(o);
      if (before !== undefined)
        throw UserError.of(
          "ON003",
          {
            what: `tensor "${printable(o)}" is produced by two nodes, "${printable(names[before]!)}" and "${printable(names[i]!)}"`,
          },
          { file, tensor: o },
        );
      producer.set(o, i);
    }
  });
  const order: number[] = [];
  const state = new Uint8Array(nodes.length);
  const reads = nodes.map((n) => [...n.input, ...capturedBy(n)]);
  // Iterative depth-first search: chains may be tens of thousands of nodes long.
  for (let root = 0; root < state.length; root++) {
    const stack: { node: number; next: number }[] = [{ node: root, next: 0 }];
    if (state[root] !== 0) continue;
    state[root] = 1;
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const input = reads[top.node]![top.next++];
      if (input === undefined) {
        state[top.node] = 2;
        order.push(top.node);
        stack.pop();
        continue;
      }
      const p = producer.get(input);
      if (p === undefined || state[p] === 2) continue;
      if (state[p] === 1) {
        const cycle = stack
          .slice(stack.findIndex((s) => s.node === p))
          .map((s) => `"${printable(names[s.node]!, 40)}"`);
        throw UserError.of(
          "ON003",
          { what: `the graph has a cycle through ${cycle.join(", ")}` },
          { file, tensor: input },
        );
      }
      state[p] = 1;
      stack.push({ node: p, next: 0 });
    }
  }
  return order;
}
