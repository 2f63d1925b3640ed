/**
 * The test bench of the package: SystemVerilog without classes, vectors in files that `$readmemh` reads, pauses at every
 * port from seeded shift registers, PASS or FAIL with the first difference and an exit status. It needs a simulator and
 * nothing of ours, so that somebody else can judge the core.
 *
 * @source IEEE 1364-2005 17.2.9 ($readmemh); IEEE 1800-2012 20.10 ($fatal); Arm IHI 0051A 2.2 (TVALID stays until TREADY)
 */
import { packBeats, type BeatLayout } from "./beats.js";
import { beatBytes, type StreamPort } from "./verilator.js";

/** Raw integers of a port, all samples in a row. */
export interface PortVectors {
  readonly port: StreamPort;
  readonly layout: BeatLayout;
  /** Elements per sample of the tensor. */
  readonly elements: number;
  readonly values: ArrayLike<number>;
}

export interface TestBench {
  readonly top: string;
  readonly clock: { readonly port: string; readonly mhz: number };
  readonly resetn: string;
  readonly samples: number;
  readonly inputs: readonly PortVectors[];
  readonly outputs: readonly PortVectors[];
  /** Predicted cycles from the first input beat to the last output beat of a sample, without pauses. */
  readonly latency: number;
}

/** Files of the folder `tb` by name; `sources` are the names of the Verilog files in the folder `hdl` beside it. */
export function testBench(bench: TestBench, sources: readonly string[]): Map<string, string> {
  const files = new Map<string, string>([[`${bench.top}_tb.sv`, benchText(bench)]]);
  for (const v of [...bench.inputs, ...bench.outputs]) files.set(`${v.port.name}.hex`, hexLines(v, bench.samples));
  const hdl = sources.map((name) => `../hdl/${name}`).join(" ");
  for (const [tool, script] of Object.entries(scripts(bench.top, hdl)))
    files.set(
      `run_${tool}.sh`,
      `#!/bin/sh\n# ${tool}: builds once, then runs with the arguments: +stall=0 +seed=7\n${script}`,
    );
  return files;
}

/** One line per beat, most significant digit first. */
function hexLines(v: PortVectors, samples: number): string {
  const bytes = beatBytes(v.port);
  const lines: string[] = [];
  for (let s = 0; s < samples; s++) {
    const sample = Array.from({ length: v.elements }, (_, i) => v.values[s * v.elements + i] ?? 0);
    const beats = packBeats(sample, v.layout);
    for (let at = 0; at < beats.length; at += bytes)
      lines.push(
        Buffer.from(beats.subarray(at, at + bytes))
          .reverse()
          .toString("hex"),
      );
  }
  return `${lines.join("\n")}\n`;
}

function benchText(b: TestBench): string {
  const half = (500 / b.clock.mhz).toFixed(3);
  const connections = [...b.inputs, ...b.outputs].flatMap(({ port: { name } }) =>
    ["tdata", "tvalid", "tready", "tlast"].map((s) => `    .${name}_${s}(${name}_${s})`),
  );
  const total = b.outputs.map((v) => `${v.port.name}_count == ${v.port.beatsPerSample * b.samples}`).join(" && ");
  return `// Test bench of ${b.top}: ${b.samples} samples, pauses at all ports, every beat compared with the bit-exact model.
// Plusargs: +stall=N pauses a port in N of 256 cycles (default 64), +seed=N chooses when (default 1).
// Ends with PASS and exit status 0, or with the first difference, FAIL and another status.
\`timescale 1ns / 1ps
module ${b.top}_tb;
  reg ${b.clock.port} = 1'b0;
  reg ${b.resetn} = 1'b0;
  always #${half} ${b.clock.port} = ~${b.clock.port};

  integer stall, seed;
  integer cycle = 0;       // clock edges since reset ended
  integer idle = 0;        // cycles in which no beat moved
  integer first_in = -1;   // cycle of the first input beat
  integer last_out = -1;   // cycle of the newest output beat
  integer errors = 0;
  reg moved;

  initial begin
    if (!$value$plusargs("stall=%d", stall)) stall = 64;
    if (!$value$plusargs("seed=%d", seed)) seed = 1;
    repeat (8) @(posedge ${b.clock.port});
    ${b.resetn} <= 1'b1;
  end

  // Galois shift register of 32 bits, x^32 + x^22 + x^2 + x + 1.
  function [31:0] shifted(input [31:0] s);
    shifted = {1'b0, s[31:1]} ^ (s[0] ? 32'h80200003 : 32'h0);
  endfunction
${b.inputs.map((v, i) => driverText(b, v, i + 1)).join("")}${b.outputs.map((v, i) => checkerText(b, v, b.inputs.length + i + 1)).join("")}
  ${b.top} dut (
    .${b.clock.port}(${b.clock.port}),
    .${b.resetn}(${b.resetn}),
${connections.join(",\n")}
  );

  always @(posedge ${b.clock.port}) if (${b.resetn}) begin
    cycle <= cycle + 1;
    moved = ${[...b.inputs, ...b.outputs].map(({ port: { name: n } }) => `(${n}_tvalid && ${n}_tready)`).join(" || ")};
    idle <= moved ? 0 : idle + 1;
    if (${total}) begin
      if (errors == 0) begin
        $display("PASS: ${b.samples} samples, %0d cycles, stall %0d of 256, seed %0d", last_out - first_in + 1, stall, seed);
        $finish;
      end else begin
        $display("FAIL: %0d beats differ", errors);
        $fatal(1);
      end
    end else if (idle > ${20_000 + 8 * b.latency}) begin
      $display("FAIL: no beat has moved for %0d cycles (${b.outputs.map((v) => `${v.port.name} %0d of ${v.port.beatsPerSample * b.samples} beats`).join(", ")})", idle, ${b.outputs.map((v) => `${v.port.name}_count`).join(", ")});
      $fatal(1);
    end
  end
endmodule
`;
}

function header(b: TestBench, v: PortVectors): { n: string; beats: number; total: number; range: string } {
  const { name: n, width, beatsPerSample: beats } = v.port;
  return { n, beats, total: beats * b.samples, range: `[${width - 1}:0]` };
}

/** A source that pauses between beats and holds one until it is taken. */
function driverText(b: TestBench, v: PortVectors, number: number): string {
  const { n, beats, total, range } = header(b, v);
  return `
  // ${n}: ${beats} beats a sample.
  reg ${range} ${n}_beats [0:${total - 1}];
  initial $readmemh("${n}.hex", ${n}_beats);
  reg ${range} ${n}_tdata;
  reg ${n}_tvalid = 1'b0;
  reg ${n}_tlast;
  wire ${n}_tready;
  integer ${n}_next = 0;
  reg [31:0] ${n}_random = 32'd0;
  always @(posedge ${b.clock.port}) begin
    ${n}_random <= ${n}_random == 32'd0 ? seed * 32'd2654435761 + 32'd${number} | 32'd1 : shifted(${n}_random);
    if (${b.resetn} && ${n}_tvalid && ${n}_tready && first_in < 0) first_in = cycle;
    if (${b.resetn} && (!${n}_tvalid || ${n}_tready)) begin
      if (${n}_next < ${total} && ${n}_random[15:8] >= stall) begin
        ${n}_tvalid <= 1'b1;
        ${n}_tdata <= ${n}_beats[${n}_next];
        ${n}_tlast <= ${n}_next % ${beats} == ${beats - 1};
        ${n}_next <= ${n}_next + 1;
      end else begin
        ${n}_tvalid <= 1'b0;
      end
    end
  end
`;
}

/** A sink that pauses, and compares what it takes. */
function checkerText(b: TestBench, v: PortVectors, number: number): string {
  const { n, beats, total, range } = header(b, v);
  return `
  // ${n}: ${beats} beats a sample.
  reg ${range} ${n}_beats [0:${total - 1}];
  initial $readmemh("${n}.hex", ${n}_beats);
  wire ${range} ${n}_tdata;
  wire ${n}_tvalid;
  wire ${n}_tlast;
  reg ${n}_tready = 1'b0;
  integer ${n}_count = 0;
  reg [31:0] ${n}_random = 32'd0;
  always @(posedge ${b.clock.port}) begin
    ${n}_random <= ${n}_random == 32'd0 ? seed * 32'd2654435761 + 32'd${number} | 32'd1 : shifted(${n}_random);
    ${n}_tready <= ${b.resetn} && ${n}_random[15:8] >= stall;
    if (${b.resetn} && ${n}_tvalid && ${n}_tready) begin
      last_out = cycle;
      if (${n}_count >= ${total}) begin
        $display("FAIL: ${n} sends more than ${total} beats");
        $fatal(1);
      end else if (${n}_tdata !== ${n}_beats[${n}_count] || ${n}_tlast !== (${n}_count % ${beats} == ${beats - 1})) begin
        if (errors == 0)
          $display("first difference at ${n}, sample %0d, beat %0d: tdata %h, expected %h; tlast %b, expected %b",
            ${n}_count / ${beats}, ${n}_count % ${beats}, ${n}_tdata, ${n}_beats[${n}_count],
            ${n}_tlast, ${n}_count % ${beats} == ${beats - 1});
        errors = errors + 1;
      end
      ${n}_count = ${n}_count + 1;
    end
  end
`;
}

/** How each simulator builds the bench once and runs it; the folder of the script is where the vectors are. */
function scripts(top: string, hdl: string): Readonly<Record<string, string>> {
  const begin = 'set -e\ncd "$(dirname "$0")"\n';
  const tb = `${top}_tb`;
  const built = (mark: string, build: string): string => `${begin}[ -e ${mark} ] || ${build}\n`;
  return {
    icarus: `${built(`build_icarus/${tb}.vvp`, `{ mkdir -p build_icarus && iverilog -g2012 -o build_icarus/${tb}.vvp -s ${tb} ${tb}.sv ${hdl}; }`)}exec vvp -n build_icarus/${tb}.vvp "$@"\n`,
    verilator: `${built(`build_verilator/V${tb}`, `verilator --binary --timing -O3 -Wno-fatal -Wno-lint -Wno-style --top-module ${tb} --Mdir build_verilator ${tb}.sv ${hdl} > build_verilator.log`)}exec ./build_verilator/V${tb} "$@"\n`,
    xsim: `${built(`xsim.dir/${tb}`, `{ xvlog -sv ${tb}.sv ${hdl} && xelab -timescale 1ns/1ps ${tb} -s ${tb}; }`)}args=""\nfor a in "$@"; do args="$args --testplusarg \${a#+}"; done\nxsim ${tb} -R $args | tee xsim.out\ngrep -q '^PASS' xsim.out\n`,
    questa: `${built("work_questa", `{ vlib work_questa && vlog -sv -work work_questa ${tb}.sv ${hdl}; }`)}vsim -c -work work_questa ${tb} -do "run -all; quit -f" "$@" | tee questa.out\ngrep -q '^# PASS' questa.out\n`,
    vcs: `${built(`${tb}.simv`, `vcs -full64 -sverilog -timescale=1ns/1ps -top ${tb} -o ${tb}.simv ${tb}.sv ${hdl}`)}./${tb}.simv "$@" | tee vcs.out\ngrep -q '^PASS' vcs.out\n`,
  };
}
