import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { generatedFolders, generatedPages, generatedReadme } from "../scripts/docs.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

describe("generated reference", () => {
  it("is up to date (npm run docs)", () => {
    const stale = [...generatedPages()].filter(([path, text]) => {
      const file = join(root, "docs", path);
      return !existsSync(file) || readFileSync(file, "utf8") !== text;
    });
    expect(stale.map(([path]) => path)).toEqual([]);
    const readme = readFileSync(join(root, "README.md"), "utf8");
    expect(generatedReadme(readme) === readme, "README.md is up to date").toBe(true);
    const onDisk = generatedFolders.flatMap((f) => readdirSync(join(root, "docs", f)).map((name) => `${f}/${name}`));
    expect(onDisk.filter((f) => !generatedPages().has(f))).toEqual([]);
  });
});

describe("hand-written pages", () => {
  const pages = [
    "README.md",
    ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
      .filter((f) => f.endsWith(".md"))
      .map((f) => `docs/${f}`),
  ];
  it.each(pages)("%s links to files that exist", (page) => {
    const text = readFileSync(join(root, page), "utf8");
    const targets = [...text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)].map((m) => m[1]!);
    expect(targets.filter((t) => !existsSync(join(root, dirname(page), t)))).toEqual([]);
  });
});
