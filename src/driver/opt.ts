/** `opt`: textual IR in, passes, textual IR out. */
import "../ir/dialects.js";
import { UserError } from "../diagnostics/index.js";
import type { Module } from "../ir/core.js";
import { parseModule } from "../ir/text/parser.js";
import { verifyModule } from "../ir/verify.js";
import { PassManager, type PassTiming, type RunOptions } from "../passes/pass-manager.js";
import { readText, type Session } from "./session.js";

export interface OptOptions extends Omit<RunOptions, "sink" | "host" | "context"> {
  /** Pipeline text; without it, the RUN line of the file is taken. */
  readonly passes?: string;
}

/** Runs `options.passes` on the module in `file`. @errors IO001, CF002, TX001 to TX025 */
export function optFile(
  file: string,
  options: OptOptions,
  session: Session,
): { module: Module; timings: readonly PassTiming[] } {
  const text = readText(session.host, file);
  const pipeline = options.passes ?? /^\s*\/\/ RUN:(.*)$/m.exec(text)?.[1]?.trim();
  if (pipeline === undefined) throw UserError.of("CF002", { file });
  const module = parseModule(text, file, session.sink);
  if (module === undefined || !verifyModule(module, session.sink)) {
    session.sink.throwIfErrors();
    throw new Error("the parser failed without a message");
  }
  const { passes: _, ...rest } = options;
  const onPass = options.onPass ?? ((name: string, i: number, n: number) => session.progress(name, i, n));
  return new PassManager().run(module, pipeline, { ...rest, sink: session.sink, host: session.host, onPass });
}
