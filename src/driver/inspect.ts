/** `inspect`: what is in a model, node by node, whether or not it can be compiled. */
import { inspectOnnx } from "../frontend/inspect.js";
import type { Inspection } from "./report.js";
import type { ShapeOptions } from "./options.js";
import { readBytes, type Session } from "./session.js";

export function inspect(model: string, session: Session, options: ShapeOptions = {}): Inspection {
  const result = inspectOnnx(readBytes(session.host, model), model, session.sink, options);
  session.sink.throwIfErrors();
  return result!;
}
