/**
 * The multiplier cell of the ECP5: its behavioural twin is the primitive, and designs for the device are built of it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { findTool, runTool } from "../../src/backend-verilog/tools.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "onnx-hls-cell-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const cell = resolve(root, "runtime/cells/ecp5_mult18x18.v");
const primitive = resolve(root, "test/verilog/fixtures/mult18x18d.v");

/**
 * Whether Yosys proves that the cell, with `model` for the primitive, gives what its twin gives, from four edges on.
 */
async function equal(model: string): Promise<{ code: number; stdout: string }> {
  writeFileSync(
    join(work, "both.v"),
    `module both (input clk, input signed [17:0] a, input signed [17:0] b, output differ);
    wire signed [35:0] p, q;
    twin first (.clk(clk), .a(a), .b(b), .p(p));
    ecp5_mult18x18 second (.clk(clk), .a(a), .b(b), .p(q));
    assign differ = p != q;
endmodule
`,
  );
  const script = [
    `read_verilog -nosynthesis "${cell}"`,
    "rename ecp5_mult18x18 twin",
    `read_verilog "${cell}" "${model}" both.v`,
    "hierarchy -check -top both",
    "proc",
    "flatten",
    "opt -full",
    "wreduce",
    "opt -full",
    "opt -share_all",
    "sat -verify -seq 4 -tempinduct -set-init-undef -prove differ 0 both",
  ];
  writeFileSync(join(work, "prove.ys"), `${script.join("\n")}\n`);
  return runTool("yosys", ["-s", "prove.ys"], { cwd: work, seconds: 120, step: "proof", allowFailure: true });
}

describe.skipIf(findTool("yosys") === undefined)("ecp5_mult18x18", () => {
  it("is equal to its behavioural twin (proof by induction)", async () => {
    const r = await equal(primitive);
    expect(r.stdout).toContain("Induction step proven: SUCCESS!");
    expect(r.code).toBe(0);
  });
  it("would not be without one of the registers", async () => {
    const broken = join(work, "broken.v");
    writeFileSync(broken, readFileSync(primitive, "utf8").replace('REG_PIPELINE_CLK == "CLK0" ? p_r : m', "m"));
    expect((await equal(broken)).code).not.toBe(0);
  });
});
