/** Files are called anything: what is compiled from them has names that every tool takes, and the folder says which. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compileModel, newSession, simulateDesign } from "../../src/driver.js";
import { writeNpz } from "../../src/frontend/npz.js";
import { floats, node, onnx, weights } from "../frontend/support.js";

const work = mkdtempSync(join(tmpdir(), "onnx-hls-names-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Nodes and tensors have names as bad as the file's. */
const model = onnx({
  node: [node("Gemm", ["class", "module__w"], ["a__b"], "input"), node("Relu", ["a__b"], ["1"], "__")],
  initializer: [weights("module__w", [4, 3], [0.5, -0.25, 1, -1, 0.75, 0.125, 0.25, 0.5, -0.5, 1, 1, -0.75])],
  input: [floats("class", [1, 4])],
  output: [floats("1", [1, 3])],
});

async function compiled(name: string): Promise<{ dir: string; top: string }> {
  const file = join(work, `${name}.onnx`);
  writeFileSync(file, model);
  const dir = join(work, `out-${Buffer.from(name).toString("hex").slice(0, 100)}`);
  await compileModel(file, { out: dir, target: { kind: "ii", cycles: 4 } }, newSession());
  return { dir, top: (JSON.parse(readFileSync(join(dir, "design.json"), "utf8")) as { top: string }).top };
}

describe("names of files", () => {
  it.each([
    "a__b",
    "_x",
    "1net",
    "module",
    "class",
    "input",
    "Vtop",
    "top",
    "__",
    "naïve_网络",
    "網路",
    "a b;(c)$",
    `${"long__".repeat(33)}x`,
    "n".repeat(200),
  ])("%s", async (name) => {
    const { dir, top } = await compiled(name);
    expect(top).toMatch(/^[A-Za-z](_?[A-Za-z0-9]+)*$/);
    expect(readFileSync(join(dir, "rtl", `${top}.v`), "utf8")).toMatch(new RegExp(`^module ${top} \\(`, "m"));
    expect(readFileSync(join(dir, "ip", "component.xml"), "utf8")).toContain(`<spirit:name>${top}</spirit:name>`);
  });

  it("the worst of them is simulated", async () => {
    const { dir } = await compiled(`1__module__网${"long__".repeat(30)}`);
    const input = join(work, "x.npz");
    writeFileSync(
      input,
      writeNpz(new Map([["class", { shape: [5, 4], data: Float32Array.from({ length: 20 }, (_, i) => Math.sin(i)) }]])),
    );
    const s = await simulateDesign(dir, { input, output: join(work, "y.npz"), quickBuild: true }, newSession());
    expect(s).toMatchObject({ samples: 5, mismatches: 0 });
    expect(s.latency).toBe(s.predicted.latency);
  });
});
