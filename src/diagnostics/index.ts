/**
 * Diagnostics: what the user is told. Three kinds, never mixed: user errors accumulate in a `Sink`; `UserError` ends a
 * command with the errors that the sink holds; `CompilerBug` is a broken invariant of ours.
 */
import type { Code, ParamsOf } from "./codes.js";
import { codes } from "./codes.js";

export type Severity = "error" | "warning" | "note";

/** The place in the user's input that a message is about. */
export interface Place {
  readonly file?: string;
  /** ONNX node name. */
  readonly node?: string;
  readonly opType?: string;
  readonly tensor?: string;
  readonly line?: number;
  readonly column?: number;
}

export interface Diagnostic {
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  readonly hint: string | undefined;
  readonly place: Place;
}

export class Sink {
  readonly diagnostics: Diagnostic[] = [];

  report<C extends Code>(code: C, params: ParamsOf<C>, place: Place = {}): void {
    this.diagnostics.push(makeDiagnostic(code, params, place));
  }
  get hasErrors(): boolean {
    return this.diagnostics.some((d) => d.severity === "error");
  }
  /** Ends the command if an error was reported. */
  throwIfErrors(): void {
    if (this.hasErrors) throw new UserError(this.diagnostics.filter((d) => d.severity === "error"));
  }
}

function makeDiagnostic<C extends Code>(code: C, params: ParamsOf<C>, place: Place): Diagnostic {
  const def = codes[code] as {
    severity: Severity;
    text: (p: ParamsOf<C>) => string;
    hint?: (p: ParamsOf<C>) => string;
  };
  return { code, severity: def.severity, message: def.text(params), hint: def.hint?.(params), place };
}

/** The user's input cannot be processed. Carries everything that is to be printed; never shown with a stack. */
export class UserError extends Error {
  constructor(readonly diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map(renderDiagnostic).join("\n"));
    this.name = "UserError";
  }
  static of<C extends Code>(code: C, params: ParamsOf<C>, place: Place = {}): UserError {
    return new UserError([makeDiagnostic(code, params, place)]);
  }
}

/** A broken invariant of the compiler. */
export class CompilerBug extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CompilerBug";
  }
}

/** Text form: the message, the place, the remedy. */
export function renderDiagnostic(d: Diagnostic): string {
  const lines = [`${d.severity}[${d.code}]: ${d.message}`];
  const place = renderPlace(d.place);
  if (place !== "") lines.push(`  --> ${place}`);
  if (d.hint !== undefined) lines.push(`  hint: ${d.hint}`);
  return lines.join("\n");
}

/** One line, printable: control characters in names from hostile files are escaped, long names are cut. */
export function printable(name: string, limit = 120): string {
  // eslint-disable-next-line no-control-regex
  const clean = name.replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return clean.length <= limit ? clean : `${clean.slice(0, limit - 20)}...(${clean.length} characters)`;
}

function renderPlace(p: Place): string {
  const parts: string[] = [];
  if (p.file !== undefined) parts.push(p.line === undefined ? p.file : `${p.file}:${p.line}:${p.column ?? 1}`);
  const node =
    p.node === undefined
      ? ""
      : `node "${printable(p.node)}"${p.opType === undefined ? "" : ` (${printable(p.opType)})`}`;
  const tensor = p.tensor === undefined ? "" : `tensor "${printable(p.tensor)}"`;
  const rest = [node, tensor].filter((s) => s !== "").join(", ");
  if (rest !== "") parts.push(rest);
  return parts.join(": ");
}

export type { Code } from "./codes.js";
