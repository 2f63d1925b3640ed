/**
 * The quick part of the bench, against the committed baseline: cycles as predicted, every bit, no more cycles or area
 * than before.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { designs } from "../../bench/designs.js";
import { findTool } from "../../src/backend-verilog/tools.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe.skipIf(["verilator", "g++", "make"].some((t) => findTool(t) === undefined))("bench", () => {
  it("of the layers of the literature", () => {
    const layers = designs.filter((d) => d.name.startsWith("layer_")).map((d) => d.name);
    const r = spawnSync("npm", ["run", "--silent", "bench", "--", `--only=${layers.join(",")}`], {
      cwd: root,
      encoding: "utf8",
    });
    expect(r.status, r.stderr).toBe(0);
    expect(
      r.stdout
        .trim()
        .split("\n")
        .map((l) => (JSON.parse(l) as { design: string }).design),
    ).toEqual(layers);
  }, 600_000);
});
