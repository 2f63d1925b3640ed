/** Every message of the importer is provoked somewhere: a code that no test names may have lost its condition. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { codes as all } from "../../src/diagnostics/codes.js";

describe("codes of the importer", () => {
  it("are each expected by a test", () => {
    const root = join(import.meta.dirname, "..");
    const texts = readdirSync(root, { recursive: true, encoding: "utf8" })
      .filter((f) => f.endsWith(".ts") && f !== join("frontend", "codes.test.ts"))
      .map((f) => readFileSync(join(root, f), "utf8"));
    const codes = Object.keys(all).filter((c) => /^(ON|NP)\d/.test(c));
    expect(codes.length).toBeGreaterThanOrEqual(20);
    expect(codes.filter((c) => !texts.some((t) => t.includes(c)))).toEqual([]);
  });
});
