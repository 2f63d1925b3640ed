import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import { MANIFEST, writeFolder, writeWhole } from "../../src/driver/atomic.js";
import { nodeHost } from "../../src/host.js";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "onnx-hls-test-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const host = nodeHost();
const write = (dir: string, files: Record<string, string>) =>
  writeFolder(dir, host, async (tmp) => {
    for (const [name, text] of Object.entries(files)) host.writeFile(join(tmp, name), text);
    return "done";
  });
async function codeOf(p: Promise<unknown>): Promise<string> {
  return p.then(
    () => "no error",
    (e: unknown) => (e instanceof UserError ? `${e.diagnostics[0]!.code} ${e.diagnostics[0]!.message}` : String(e)),
  );
}

describe("output folders", () => {
  it("appear whole, with folders inside and on the way", async () => {
    const dir = join(root, "deep/er/out");
    expect(await write(dir, { "report.json": "{}", "rtl/top.v": "module" })).toBe("done");
    expect(readdirSync(dir).sort()).toEqual([MANIFEST, "report.json", "rtl"]);
    expect(readdirSync(join(root, "deep/er"))).toEqual(["out"]);
  });
  it("do not appear at all when the build fails", async () => {
    await expect(
      writeFolder(join(root, "out"), host, async (tmp) => {
        host.writeFile(join(tmp, "half.v"), "mod");
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    expect(readdirSync(root)).toEqual([]);
  });
  it("keep the old result when the build fails", async () => {
    const dir = join(root, "out");
    await write(dir, { "a.v": "old" });
    await expect(writeFolder(dir, host, async () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(readFileSync(join(dir, "a.v"), "utf8")).toBe("old");
    expect(readdirSync(root)).toEqual(["out"]);
  });
  it("replace what the compiler wrote, and keep what somebody else put beside it", async () => {
    const dir = join(root, "out");
    await write(dir, { "a.v": "old", "b.v": "old" });
    writeFileSync(join(dir, "result.npz"), "mine");
    await write(dir, { "a.v": "new" });
    expect(readdirSync(dir).sort()).toEqual([MANIFEST, "a.v", "result.npz"]);
    expect(readFileSync(join(dir, "a.v"), "utf8")).toBe("new");
    expect(readdirSync(root)).toEqual(["out"]);
  });
  it("are not made of a folder with other people's files", async () => {
    const dir = join(root, "home");
    mkdirSync(dir);
    writeFileSync(join(dir, "thesis.tex"), "text");
    expect(await codeOf(write(dir, { "a.v": "x" }))).toMatch(
      /IO003 .*home holds files that onnx-hls did not write \(thesis.tex\)/,
    );
    expect(readdirSync(dir)).toEqual(["thesis.tex"]);
  });
  it("are refused where a file is in the way", async () => {
    writeFileSync(join(root, "file"), "");
    expect(await codeOf(write(join(root, "file/out"), { "a.v": "x" }))).toMatch(/IO002/);
    expect(readFileSync(join(root, "file"), "utf8")).toBe("");
  });
});

describe("output files", () => {
  it("are written whole, with nothing left beside them", () => {
    writeWhole(join(root, "a.hir"), "one", host);
    writeWhole(join(root, "a.hir"), "two", host);
    expect(readdirSync(root)).toEqual(["a.hir"]);
    expect(readFileSync(join(root, "a.hir"), "utf8")).toBe("two");
  });
  it("leave nothing where they cannot be written", () => {
    mkdirSync(join(root, "dir"));
    expect(() => writeWhole(join(root, "dir"), "x", host)).toThrow(UserError);
    expect(readdirSync(root)).toEqual(["dir"]);
  });
});
