/** The frame around every command: a session, its messages on stderr, and the exit code. */
import { CompilerBug, renderDiagnostic, UserError, type Diagnostic } from "../diagnostics/index.js";
import { newSession, type Session } from "../driver.js";
import { reasonOf } from "../driver/session.js";
import { PassFailure } from "../passes/pass-manager.js";
import type { CliEnv } from "./env.js";
import { Progress } from "./progress.js";

export interface GlobalOptions {
  readonly diagnostics?: "text" | "json";
  readonly quiet?: boolean;
}

/** Ends the process with this code, without a message of its own. */
export class Exit extends Error {
  constructor(readonly code: number) {
    super(`exit ${code}`);
  }
}

/** Runs `body`; warnings and errors go to stderr, errors end with exit code 1. */
export async function runAction(
  env: CliEnv,
  globals: GlobalOptions,
  body: (session: Session) => Promise<void>,
): Promise<void> {
  const progress = new Progress(env, globals.quiet === true);
  const host = { ...env.host, log: (line: string) => (progress.end(), env.host.log(line)) };
  const session = newSession(host, progress.update);
  const print = (diagnostics: readonly Diagnostic[]): void => {
    progress.end();
    for (const d of diagnostics)
      env.err(`${globals.diagnostics === "json" ? JSON.stringify(d) : renderDiagnostic(d)}\n`);
  };
  try {
    await body(session);
    print(session.sink.diagnostics);
    if (session.sink.hasErrors) throw new Exit(1);
  } catch (e) {
    progress.end();
    if (e instanceof Exit) throw e;
    if (e instanceof UserError) {
      print([...session.sink.diagnostics.filter((d) => !e.diagnostics.includes(d)), ...e.diagnostics]);
    } else if (isFileError(e)) {
      const writing = ["mkdir", "write", "rename", "unlink", "rmdir"].includes(e.syscall);
      print(UserError.of(writing ? "IO002" : "IO001", { path: e.path ?? "a file", reason: reasonOf(e) }).diagnostics);
    } else {
      print(session.sink.diagnostics);
      env.err(`${bugReport(e, env)}\n`);
    }
    throw new Exit(1);
  }
}

/** Errors of the file system that nobody has put into words; never a reason for a bug report. */
function isFileError(e: unknown): e is Error & { readonly path?: string; readonly syscall: string } {
  return e instanceof Error && /^E[A-Z]+$/.test((e as { code?: unknown }).code as string) && "syscall" in e;
}

/** What a user sees of a bug of ours. */
export function bugReport(e: unknown, env: CliEnv): string {
  const message = e instanceof Error ? e.message : String(e);
  const lines = [
    `internal error: ${message}`,
    "This is a bug in onnx-hls, not in your input. Please report it with the command that you ran.",
  ];
  if (e instanceof PassFailure && e.repro !== undefined) lines.push(`Attach ${e.repro}: it repeats the failure.`);
  if (env.env["ONNX_HLS_DEBUG"] === "1" && e instanceof Error) {
    lines.push(e.stack ?? "");
    if (e instanceof CompilerBug && e.cause instanceof Error) lines.push(e.cause.stack ?? "");
  } else lines.push("ONNX_HLS_DEBUG=1 adds the place in the source.");
  return lines.join("\n");
}
