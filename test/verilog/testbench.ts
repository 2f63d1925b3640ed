/**
 * The same vectors through Icarus and Verilator: a plain Verilog test bench that prints every output in every cycle.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Module, Op } from "../../src/ir/core.js";
import { RtlSimulator } from "../../src/ir/eval/rtl-sim.js";
import { bitsOf } from "../../src/ir/rtl/index.js";
import { verilogFiles } from "../../src/backend-verilog/lint.js";
import { runTool } from "../../src/backend-verilog/tools.js";

interface PortText {
  readonly name: string;
  readonly width: number;
}

function portsOf(m: Op): { inputs: PortText[]; outputs: PortText[] } {
  const inputs = (m.attrs["inputs"] as string[]).map((name, i) => ({
    name,
    width: bitsOf(m.body.args[i]!.type).width,
  }));
  const outputs = (m.attrs["outputs"] as string[]).map((name, i) => ({
    name,
    width: bitsOf(m.body.terminator.operand(i).type).width,
  }));
  return { inputs, outputs };
}

const range = (w: number): string => `[${w - 1}:0]`;

/** Cycles of reset before the first vector. */
const RESET = 4;

/**
 * Applies a vector, lets it settle, prints the outputs, then clocks. All inputs of a vector are one word of
 * stimuli.hex.
 */
function testbench(m: Op, count: number, clocked: boolean): string {
  const { inputs, outputs } = portsOf(m);
  const total = inputs.reduce((n, p) => n + p.width, 0);
  const connect = [...inputs, ...outputs].map((p) => `.${p.name}(${p.name})`);
  if (clocked) connect.unshift(".aclk(clk)", ".aresetn(resetn)");
  return `\`timescale 1ns/1ps
module tb;
    reg clk, resetn;
    reg ${range(total)} stimuli [0:${count - 1}];
    reg ${range(total)} word;
${outputs.map((p) => `    wire ${range(p.width)} ${p.name};`).join("\n")}
${sliced(inputs)}
    ${String(m.attrs["sym"])} dut (${connect.join(", ")});
    integer i, f;
    initial begin
        $readmemh("stimuli.hex", stimuli);
        f = $fopen("responses.txt", "w");
        clk = 0;
        resetn = 0;
        word = stimuli[0];
        for (i = 0; i < ${RESET}; i = i + 1) begin
            #5 clk = 1;
            #5 clk = 0;
        end
        resetn = 1;
        for (i = 0; i < ${count}; i = i + 1) begin
            word = stimuli[i];
            #5;
            $fdisplay(f, "${outputs.map(() => "%h").join(" ")}", ${outputs.map((p) => p.name).join(", ")});
            clk = 1;
            #5 clk = 0;
        end
        $fclose(f);
        $finish;
    end
endmodule
`;
}

function sliced(inputs: readonly PortText[]): string {
  let lo = 0;
  return inputs
    .map((p) => {
      const text = `    wire ${range(p.width)} ${p.name} = word[${lo + p.width - 1}:${lo}];`;
      lo += p.width;
      return text;
    })
    .join("\n");
}

export type Vectors = readonly (readonly bigint[])[];

/** Outputs per vector, as bit patterns; undefined where a simulator printed unknown bits. */
export type Responses = (bigint | undefined)[][];

/** Runs the Verilog in `rtlDir` on `vectors`. The top module has no clock, or aclk and aresetn. */
export async function simulateVerilog(
  tool: "icarus" | "verilator",
  module: Module,
  top: string,
  rtlDir: string,
  vectors: Vectors,
  workDir: string,
): Promise<Responses> {
  const m = module.lookup(top)!;
  const { inputs } = portsOf(m);
  const dir = join(workDir, tool);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "tb.v"), testbench(m, vectors.length, m.attrs["clock"] !== undefined));
  const words = vectors.map((v) => {
    let word = 0n;
    for (let i = v.length - 1; i >= 0; i--)
      word = (word << BigInt(inputs[i]!.width)) | BigInt.asUintN(inputs[i]!.width, v[i]!);
    return word.toString(16);
  });
  writeFileSync(join(dir, "stimuli.hex"), `${words.join("\n")}\n`);
  const files = verilogFiles(rtlDir).map((f) => join(rtlDir, f));
  if (tool === "icarus") {
    await runTool("iverilog", ["-g2005", "-s", "tb", "-o", "tb.vvp", "tb.v", ...files], { cwd: dir, step: "compile" });
    await runTool("vvp", ["tb.vvp"], { cwd: dir, step: "simulate" });
  } else {
    await runTool(
      "verilator",
      [
        "--binary",
        "--timing",
        "-Wno-fatal",
        "--top-module",
        "tb",
        "-O3",
        "--x-assign",
        "fast",
        "--x-initial",
        "fast",
        "-j",
        "2",
        "tb.v",
        ...files,
      ],
      { cwd: dir, step: "compile" },
    );
    await runTool(join(dir, "obj_dir", "Vtb"), [], { cwd: dir, step: "simulate" });
  }
  return readFileSync(join(dir, "responses.txt"), "utf8")
    .trimEnd()
    .split("\n")
    .map((l) => l.split(" ").map((h) => (/^[0-9a-f]+$/i.test(h) ? BigInt(`0x${h}`) : undefined)));
}

/** What the reference interpreter says for the same vectors. */
export function simulateReference(module: Module, top: string, vectors: Vectors): bigint[][] {
  const m = module.lookup(top)!;
  const { inputs, outputs } = portsOf(m);
  const sim = new RtlSimulator(module, top);
  const apply = (v: readonly bigint[]): void => inputs.forEach((p, i) => sim.set(p.name, v[i]!));
  apply(vectors[0]!);
  for (let i = 0; i < RESET; i++) sim.reset();
  return vectors.map((v) => {
    apply(v);
    const row = outputs.map((p) => BigInt.asUintN(p.width, sim.get(p.name)));
    sim.step();
    return row;
  });
}
