/**
 * Fixtures: textual IR with the pipeline to run and the output to expect, in comments.
 *
 * - `// RUN: pipeline` (may be empty: parse, verify and print only); one for the whole file.
 * - `// CHECK: text` somewhere after the previous match; `CHECK-NEXT` on the line after it; `CHECK-NOT` not before the
 *   next match; `CHECK-LABEL` as CHECK, and confines the checks behind it to the text up to the next label.
 *   In the text, `{{...}}` is a regular expression, `[[x:...]]` captures one, `[[x]]` is what was captured.
 *   Runs of blanks match each other.
 * - `// -----` on a line of its own separates cases.
 * - `// ERROR CODE: text` at the end of a line, or on the line before: this line must be reported, with that text in
 *   message or hint. A case with ERRORs has no output. Without a place in the text, the last line will do.
 */
import { Sink, UserError, type Diagnostic } from "../../src/diagnostics/index.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { printModule } from "../../src/ir/text/printer.js";
import { verifyModule } from "../../src/ir/verify.js";
import { PassManager } from "../../src/passes/pass-manager.js";

export interface FixtureCase {
  /** File name and line of the first line. */
  readonly title: string;
  /** The case's text, with blank lines in front so that line numbers are those of the file. */
  readonly text: string;
  readonly pipeline: string;
}

export function splitFixture(file: string, source: string): FixtureCase[] {
  const run = /^\s*\/\/ RUN:(.*)$/m.exec(source);
  if (run === null) throw new Error(`${file} has no RUN line`);
  const cases: FixtureCase[] = [];
  const lines = source.split("\n");
  let start = 0;
  for (let i = 0; i <= lines.length; i++) {
    if (i < lines.length && !/^\/\/ -----\s*$/.test(lines[i]!)) continue;
    const text = "\n".repeat(start) + lines.slice(start, i).join("\n");
    if (/^\s*module\b/m.test(text)) cases.push({ title: `${file}:${start + 1}`, text, pipeline: run[1]!.trim() });
    start = i + 1;
  }
  if (cases.length === 0) throw new Error(`${file} has no module`);
  return cases;
}

/** Runs one case; throws with an explanation where it does not do what its comments say. */
export function runFixture(c: FixtureCase, file: string): void {
  const { output, diagnostics } = execute(c, file);
  const expected = expectedErrors(c.text);
  if (expected.length > 0 || diagnostics.some((d) => d.severity === "error")) {
    compareErrors(
      expected,
      diagnostics.filter((d) => d.severity === "error"),
    );
    return;
  }
  const directives = readDirectives(c.text);
  if (directives.length === 0) throw new Error("a case without CHECK and without ERROR cannot fail");
  checkOutput(directives, output!);
}

function execute(c: FixtureCase, file: string): { output: string | undefined; diagnostics: readonly Diagnostic[] } {
  const sink = new Sink();
  const module = parseModule(c.text, file, sink);
  if (module === undefined || !verifyModule(module, sink)) return { output: undefined, diagnostics: sink.diagnostics };
  try {
    const result = new PassManager().run(module, c.pipeline, { sink });
    return { output: printModule(result.module, { resources: "digest" }), diagnostics: sink.diagnostics };
  } catch (e) {
    if (e instanceof UserError) return { output: undefined, diagnostics: e.diagnostics };
    throw e;
  }
}

// --- errors -------------------------------------------------------------------------------------------------------

interface ExpectedError {
  readonly line: number;
  readonly code: string;
  readonly text: string;
}

function expectedErrors(text: string): ExpectedError[] {
  return text.split("\n").flatMap((line, i) => {
    const m = /\/\/ ERROR ([A-Z]{2}\d{3})(?::\s*(.*))?$/.exec(line);
    if (m === null) return [];
    const ownLine = line.trimStart().startsWith("//");
    return [{ line: ownLine ? i + 2 : i + 1, code: m[1]!, text: (m[2] ?? "").trim() }];
  });
}

function compareErrors(expected: readonly ExpectedError[], actual: readonly Diagnostic[]): void {
  const show = (d: Diagnostic): string => `line ${d.place.line ?? "?"}: ${d.code} ${d.message} | ${d.hint ?? ""}`;
  const left = [...actual];
  for (const e of expected) {
    const i = left.findIndex(
      (d) =>
        d.code === e.code && (d.place.line ?? e.line) === e.line && `${d.message} ${d.hint ?? ""}`.includes(e.text),
    );
    if (i < 0)
      throw new Error(
        `expected at line ${e.line}: ${e.code} ${e.text}\nreported:\n${actual.map(show).join("\n") || "nothing"}`,
      );
    left.splice(i, 1);
  }
  if (left.length > 0) throw new Error(`reported, but not expected:\n${left.map(show).join("\n")}`);
}

// --- checks -------------------------------------------------------------------------------------------------------

type Kind = "CHECK" | "NEXT" | "NOT" | "LABEL";
interface Directive {
  readonly kind: Kind;
  readonly pattern: string;
}

export function readDirectives(text: string): Directive[] {
  return text.split("\n").flatMap((line) => {
    const m = /^\s*\/\/ CHECK(?:-(\w+))?:(.*)$/.exec(line);
    if (m === null) return [];
    const kind = m[1] ?? "CHECK";
    if (!["CHECK", "NEXT", "NOT", "LABEL"].includes(kind)) throw new Error(`unknown directive CHECK-${kind}`);
    return [{ kind: kind as Kind, pattern: m[2]!.trim() }];
  });
}

/** Throws where `output` does not match the directives. */
export function checkOutput(directives: readonly Directive[], output: string): void {
  const lines = output.split("\n");
  const captures = new Map<string, string>();
  let at = -1;
  let forbidden: Directive[] = [];
  let end = lines.length;
  const fail = (d: Directive, why: string): never => {
    throw new Error(`CHECK${d.kind === "CHECK" ? "" : `-${d.kind}`}: ${d.pattern}\n${why}\noutput:\n${output}`);
  };
  const rejectUpTo = (limit: number): void => {
    for (const d of forbidden) {
      const hit = lines.slice(at + 1, limit).findIndex((l) => matches(d, l, new Map(captures)));
      if (hit >= 0) fail(d, `found on line ${at + 2 + hit}`);
    }
    forbidden = [];
  };
  directives.forEach((d, k) => {
    if (d.kind === "NOT") {
      forbidden.push(d);
      return;
    }
    if (d.kind === "NEXT") {
      if (at + 1 >= end || !matches(d, lines[at + 1]!, captures))
        fail(d, `line ${at + 2} is: ${lines[at + 1] ?? "the end"}`);
      rejectUpTo(at + 1);
      at++;
      return;
    }
    // The next label bounds the search, wherever it stands; a label itself may lie anywhere ahead.
    if (d.kind === "LABEL") end = lines.length;
    let found = -1;
    for (let i = at + 1; i < end && found < 0; i++) if (matches(d, lines[i]!, captures)) found = i;
    if (found < 0) fail(d, "not found");
    rejectUpTo(found);
    at = found;
    if (d.kind === "LABEL") {
      const next = directives.slice(k + 1).find((x) => x.kind === "LABEL");
      const bound = next === undefined ? -1 : lines.findIndex((l, i) => i > at && matches(next, l, new Map(captures)));
      end = bound < 0 ? lines.length : bound;
    }
  });
  rejectUpTo(end);
}

/** Whether `line` holds the pattern; captures are recorded only then. */
function matches(d: Directive, line: string, captures: Map<string, string>): boolean {
  const names: string[] = [];
  const source = d.pattern.replace(
    /\{\{(.+?)\}\}|\[\[(\w+):(.+?)\]\]|\[\[(\w+)\]\]|(\s+)|([^\s])/g,
    (_, regex?: string, name?: string, body?: string, use?: string, space?: string, char?: string) => {
      if (regex !== undefined) return `(?:${regex})`;
      if (name !== undefined) {
        names.push(name);
        return `(?<${name}>${body})`;
      }
      if (use !== undefined) {
        if (names.includes(use)) return `\\k<${use}>`;
        const text = captures.get(use);
        if (text === undefined) throw new Error(`[[${use}]] is used before it is captured`);
        return escape(text);
      }
      return space !== undefined ? "\\s+" : escape(char!);
    },
  );
  const m = new RegExp(source).exec(line);
  if (m === null) return false;
  for (const name of names) captures.set(name, m.groups![name]!);
  return true;
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}
