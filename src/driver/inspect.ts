/** `inspect`: what is in a model, node by node, whether or not it can be compiled. */
import { Sink } from "../diagnostics/index.js";
import { importOnnx } from "../frontend/import.js";
import type { GivenShapes } from "../frontend/shapes.js";
import { inspectOnnx, type InspectedNode } from "../frontend/inspect.js";
import { cloneModule } from "../ir/core.js";
import { PassContext } from "../passes/pass-context.js";
import { PassManager } from "../passes/pass-manager.js";
import { withArithmetic } from "./integers.js";
import type { Inspection } from "./report.js";
import type { ShapeOptions } from "./options.js";
import { readBytes, type Session } from "./session.js";
import { statedShapes } from "./shapes.js";

export function inspect(model: string, session: Session, options: ShapeOptions = {}): Inspection {
  const bytes = readBytes(session.host, model);
  const given = statedShapes(options, session);
  const result = inspectOnnx(bytes, model, session.sink, given);
  session.sink.throwIfErrors();
  return result!.nodes.every((n) => n.supported)
    ? { ...result!, nodes: arithmeticOf(result!.nodes, bytes, model, given) }
    : result!;
}

function arithmeticOf(
  nodes: readonly InspectedNode[],
  bytes: Uint8Array,
  model: string,
  given: GivenShapes,
): readonly InspectedNode[] {
  const sink = new Sink();
  const network = importOnnx(bytes, model, sink, given);
  if (network === undefined) return nodes;
  const context = new PassContext(sink);
  new PassManager().run(cloneModule(network), "integerize", { context, sink, verifyEach: false });
  return withArithmetic(nodes, network, context);
}
