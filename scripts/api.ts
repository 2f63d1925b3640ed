/**
 * The public API as text: every name that `src/index.ts` exports, with its signature, from the declarations that `tsc`
 * writes. `npm run api` accepts what it is now; `test/api.test.ts` says when it has changed.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAst } from "vitest/node";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
export const GOLDEN = join(root, "test/golden/public-api.txt");

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly id?: { readonly name: string } | null;
  readonly declaration?: Node | null;
  readonly declarations?: readonly Node[];
  readonly source?: { readonly value: string } | null;
  readonly specifiers?: readonly {
    readonly local: { readonly name: string };
    readonly exported?: { readonly name: string };
    readonly imported?: { readonly name: string };
  }[];
}

/** Declarations by name: overloads are several. */
type Exports = Map<string, string[]>;

/** All that the declaration file exports, what it passes on from others included. */
function exportsOf(file: string, known: Map<string, Exports>): Exports {
  const before = known.get(file);
  if (before !== undefined) return before;
  const found: Exports = new Map();
  known.set(file, found);
  const text = readFileSync(file, "utf8");
  const from = (source: string): Exports => exportsOf(resolve(dirname(file), source.replace(/\.js$/, ".d.ts")), known);
  const local: Exports = new Map();
  const imported = new Map<string, { readonly source: string; readonly name: string }>();
  const declare = (to: Exports, d: Node): void => {
    const names = d.id != null ? [d.id.name] : (d.declarations ?? []).map((v) => v.id?.name ?? "");
    for (const name of names) to.set(name, [...(to.get(name) ?? []), plain(text.slice(d.start, d.end))]);
  };
  const program = parseAst(text, { lang: "dts" }) as unknown as { readonly body: readonly Node[] };
  for (const n of program.body) {
    if (n.type === "ExportAllDeclaration" && n.source?.value.startsWith(".") === true)
      for (const [name, d] of from(n.source.value)) found.set(name, d);
    if (n.type === "ImportDeclaration") {
      for (const i of n.specifiers ?? [])
        imported.set(i.local.name, { source: n.source?.value ?? "", name: i.imported?.name ?? "default" });
      continue;
    }
    if (n.type !== "ExportNamedDeclaration") {
      declare(local, n);
      continue;
    }
    if (n.declaration != null) declare(found, n.declaration);
    for (const s of n.specifiers ?? []) {
      const name = s.exported?.name ?? s.local.name;
      // What is imported and exported again is followed; files may import one another.
      const via = n.source == null ? imported.get(s.local.name) : { source: n.source.value, name: s.local.name };
      const declared = via === undefined ? local.get(s.local.name) : from(via.source).get(via.name);
      if (declared === undefined) throw new Error(`${file} exports ${name}, which has no declaration`);
      found.set(name, declared);
    }
  }
  return found;
}

/** A declaration without comments and private members, on as few lines as it has. */
function plain(declaration: string): string {
  return declaration
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*private .*$/gm, "")
    .replace(/^(export )?declare /, "")
    .split("\n")
    .map((l) => l.trimEnd())
    .filter((l) => l !== "")
    .join("\n");
}

/** The whole text: declarations by name, in alphabetical order. */
export function publicApi(): string {
  const out = mkdtempSync(join(tmpdir(), "api-"));
  try {
    const tsc = join(root, "node_modules/typescript/lib/tsc.js");
    const args = [
      "-p",
      join(root, "tsconfig.build.json"),
      "--emitDeclarationOnly",
      "--outDir",
      out,
      "--sourceMap",
      "false",
    ];
    execFileSync(process.execPath, [tsc, ...args]);
    const all = exportsOf(join(out, "index.d.ts"), new Map());
    const names = [...all.keys()].sort();
    return `${names.map((n) => (all.get(n) ?? []).join("\n")).join("\n\n")}\n`;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(dirname(GOLDEN), { recursive: true });
  writeFileSync(GOLDEN, publicApi());
}
