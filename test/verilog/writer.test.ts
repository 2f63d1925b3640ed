import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Module } from "../../src/ir/core.js";
import { RtlModuleBuilder, s, u } from "../../src/ir/rtl/builder.js";
import { printModule } from "../../src/ir/text/printer.js";
import { lintVerilog } from "../../src/backend-verilog/lint.js";
import { commentText, identifier, NameScope } from "../../src/backend-verilog/names.js";
import { verilogName, writeVerilog } from "../../src/backend-verilog/write-verilog.js";
import { lanes, streamFifo } from "./examples.js";
import { missing, verilogIn } from "./helpers.js";

describe("names", () => {
  it("are legal, short and not reserved, whatever the network calls its values", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 120 }), (text) => {
        const id = identifier(text, "x");
        expect(id).toMatch(/^[A-Za-z][A-Za-z0-9_]*$/);
        expect(id).not.toContain("__");
        expect(id.length).toBeLessThanOrEqual(60);
      }),
      { numRuns: 500, seed: 3 },
    );
    expect(identifier("/conv1/Conv_output_0", "x")).toBe("conv1_Conv_output_0");
    expect(identifier("reg", "x")).toBe("reg_s");
    expect(identifier("Signal", "x")).toBe("Signal_s");
    expect(identifier("7up", "x")).toBe("n7up");
    expect(identifier("é", "x")).toBe("x");
    const long = [
      "/model/encoder/block_0/attention/self/query/MatMul_output_0",
      "/model/encoder/block_1/attention/self/query/MatMul_output_0",
    ].map((n) => identifier(n, "x"));
    expect(long[0]).not.toBe(long[1]);
  });

  it("are unique without regard to case", () => {
    const scope = new NameScope(["clk"]);
    expect(["Conv", "conv", "clk", "conv_2"].map((n) => scope.unique(n, "x"))).toEqual([
      "Conv",
      "conv_2",
      "clk_2",
      "conv_2_2",
    ]);
  });

  it("cannot end a comment or start a directive", () => {
    expect(commentText('a */ b\n`include "x" \\')).toBe('a * / b\\u{a}\\u{60}include "x" \\u{5c}');
  });
});

describe("the text", () => {
  it("is the same every time, and leaves the module as it was", () => {
    const module = lanes(4, 16);
    const before = printModule(module);
    const first = [...writeVerilog(module)];
    expect(printModule(module)).toBe(before);
    expect([...writeVerilog(module)]).toEqual(first);
    expect([...writeVerilog(lanes(4, 16))]).toEqual(first);
  });

  it("holds a lane once, names the ONNX nodes, and documents the ports", () => {
    const files = writeVerilog(lanes(4, 16));
    expect([...files.keys()]).toEqual(["lane.v", "lanes.v"]);
    expect(files.get("lanes.v")!.match(/^ {4}lane lane_\d \($/gm)).toHaveLength(4);
    const top = writeVerilog(streamFifo(16, 5, 4)).get("stream_fifo.v")!;
    expect(top.split("\n").slice(0, 2)).toEqual([
      "// stream_fifo",
      '// ONNX nodes: "/relu/Relu * / \\u{60}define x", "two\\u{a}lines"',
    ]);
    expect(top).toMatch(/input {2}wire \[15:0\] s_axis_tdata, +\/\/ AXI4-Stream: elements of a beat/);
  });

  it("computes no bits that nobody reads", () => {
    const module = new Module("m");
    const b = new RtlModuleBuilder(module, "cut", [
      { name: "a", type: s(16) },
      { name: "c", type: s(16) },
    ]);
    const wide = b.add(b.mul(b.input("a"), b.input("c")), b.input("a"), s(40));
    b.finish({ y: b.extract(wide, 0, 8) });
    const text = writeVerilog(module).get("cut.v")!;
    expect(text).toContain("wire signed [7:0] product");
    expect(text).toContain("unused_bits = &{1'b0, a[15:8], c[15:8]}");
  });

  it("keeps hostile names of modules and ports apart", () => {
    const module = new Module("m");
    const inner = new RtlModuleBuilder(module, "/net/Relu", [
      { name: "clk", type: u(4) },
      { name: "rst", type: u(1) },
      { name: "always", type: u(4) },
    ]);
    const innerOp = inner.finish({
      "a b": inner.reg(inner.add(inner.input("clk"), inner.input("always")), {
        enable: inner.input("rst"),
        reset: 3,
        hint: "clk",
      }),
      "a-b": inner.input("clk"),
    });
    const b = new RtlModuleBuilder(module, "net_relu", [
      { name: "x", type: u(4) },
      { name: "y", type: u(1) },
    ]);
    const o = b.instance(innerOp, "module", { clk: b.input("x"), rst: b.input("y"), always: b.input("x") });
    b.finish({ z: o["a b"]! });
    expect(verilogName(module, "net_relu")).toBe("net_relu");
    expect(verilogName(module, "/net/Relu")).toBe("net_Relu_2");
    expect([...writeVerilog(module).keys()]).toEqual(["net_Relu_2.v", "net_relu.v"]);
  });
});

const absent = missing("verilator", "iverilog", "yosys");
describe.skipIf(absent !== "")(`lint${absent}`, () => {
  it("is clean for names and shapes that are asking for trouble", async () => {
    const module = new Module("m");
    const b = new RtlModuleBuilder(
      module,
      "top",
      [
        { name: "x", type: s(1) },
        { name: "wide", type: u(700) },
        { name: "never", type: u(3) },
      ],
      { attrs: { clock: "aclk", resetn: "aresetn" } },
    );
    const [x, wide] = [b.input("x"), b.input("wide")];
    const one = b.memory({
      depth: 1,
      word: u(9),
      waddr: b.constant(0),
      wdata: b.cast(x, u(9)),
      wen: b.constant(1, u(1)),
      raddr: [b.constant(0)],
      readLatency: 1,
      hint: "int",
    });
    const words = b.split(wide, s(7), 100);
    b.finish({
      logic: one[0]!,
      sum: b.reg(words.reduce((a, w) => b.add(a, w, s(14)))),
      back: b.concat([...words].reverse()),
      fixed: b.constant(-5, s(200)),
    });
    expect(await lintVerilog(verilogIn(module), "top")).toEqual([]);
  });

  it("finds what is wrong", async () => {
    const dir = verilogIn(streamFifo(8, 4, 2));
    const findings = await lintVerilog(dir, "no_such_top");
    expect(new Set(findings.map((f) => f.tool))).toEqual(new Set(["verilator", "iverilog", "yosys"]));
  });
});
