/** Provenance: manifest.json, `verify`, and that the same input gives the same bytes. */
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Manifest, Verification } from "../../src/driver.js";
import { VERSION } from "../../src/version.js";
import { cancelling } from "../quantize/support.js";
import { cli as quietly } from "../support/cli.js";

let work: string;
const at = (name: string): string => join(work, name);

const cli = (...args: string[]) => quietly(...args, "-q");
const manifest = (dir: string): Manifest => JSON.parse(readFileSync(at(`${dir}/manifest.json`), "utf8")) as Manifest;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-verify-"));
  writeFileSync(at("one.onnx"), cancelling());
  // The same file in another folder is the same input.
  mkdirSync(at("elsewhere"));
  cpSync(at("one.onnx"), at("elsewhere/one.onnx"));
  expect((await cli("compile", at("one.onnx"), "-o", at("a"))).code).toBe(0);
  expect((await cli("compile", at("elsewhere/one.onnx"), "-o", at("b"))).code).toBe(0);
  expect((await cli("compile", at("one.onnx"), "-o", at("c"), "--precision", "w8a12")).code).toBe(0);
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("the manifest of a build", () => {
  it("is the same for the same input, wherever it lies, and says what differs otherwise", () => {
    expect(readFileSync(at("a/manifest.json"), "utf8")).toBe(readFileSync(at("b/manifest.json"), "utf8"));
    const [a, c] = [manifest("a"), manifest("c")];
    expect(a.compiler).toBe(`onnx-hls ${VERSION}`);
    expect([a.network, a.model.sha256]).toEqual([c.network, c.model.sha256]);
    expect(a.build).not.toBe(c.build);
    expect(a.options["precision"]).not.toEqual(c.options["precision"]);
    expect(Object.keys(a.files)).toEqual([...Object.keys(a.files)].sort());
    expect(Object.keys(a.files)).toEqual(expect.arrayContaining(["report.json", "design.json", "model.hir", "nn.hir"]));
  });
  it("has the version of package.json", () => {
    const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
    expect((JSON.parse(text) as { version: string }).version).toBe(VERSION);
  });
});

describe("verify", () => {
  it("accepts a build, and other people's files beside it", async () => {
    writeFileSync(at("b/notes.txt"), "mine");
    const r = await cli("verify", at("b"));
    expect([r.code, r.err]).toEqual([0, ""]);
    expect(r.out).toContain("1 more are not of the build");
    expect(r.out).toContain(manifest("b").build);
  });
  it("does not mind how long the compiler took", async () => {
    cpSync(at("a"), at("slow"), { recursive: true });
    const path = at("slow/report.json");
    writeFileSync(path, readFileSync(path, "utf8").replace(/"compile_seconds": .*/, '"compile_seconds": 12.5'));
    expect((await cli("verify", at("slow"))).code).toBe(0);
    writeFileSync(path, readFileSync(path, "utf8").replace(/"latency": \d+/, '"latency": 1'));
    expect((await cli("verify", at("slow"))).err).toMatch(/IO008.*changed report\.json/);
  });
  it("names what was edited and what is gone", async () => {
    cpSync(at("a"), at("d"), { recursive: true });
    const verilog = Object.keys(manifest("d").files).find((name) => name.startsWith("rtl/")) ?? "";
    appendFileSync(at(`d/${verilog}`), "\n");
    unlinkSync(at("d/nn.hir"));
    const r = await cli("verify", at("d"), "--json");
    expect(r.code).toBe(1);
    expect(r.err).toMatch(/IO008/);
    const found = JSON.parse(r.out) as Verification;
    expect([found.changed, found.missing]).toEqual([[verilog], ["nn.hir"]]);
  });
  it.each([
    ["not JSON", "{", /IO007.*it is not JSON/],
    ["of another format", '{"format": 2}', /IO007.*its format is not 1/],
    ["cut short", '{"format": 1, "files": {}}', /IO007.*build, compiler or files are missing/],
  ])("refuses a manifest that is %s", async (_, text, message) => {
    cpSync(at("a"), at("bad"), { recursive: true });
    writeFileSync(at("bad/manifest.json"), text);
    const r = await cli("verify", at("bad"));
    expect([r.code, r.err]).toEqual([1, expect.stringMatching(message)]);
  });
  it("refuses a folder without a manifest", async () => {
    expect((await cli("verify", work)).err).toMatch(/IO004.*manifest\.json is missing/);
  });
});
