import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import { Module } from "../../src/ir/core.js";
import { RtlModuleBuilder, u } from "../../src/ir/rtl/builder.js";
import { beatBytes, buildSimulation, runSimulation, type StreamPort } from "../../src/backend-verilog/verilator.js";
import { seeded } from "../rtl/random-rtl.js";
import { streamFifo } from "./examples.js";
import { missing, scratch, verilogIn } from "./helpers.js";

const absent = missing("verilator", "g++", "make");

/** `count` beats of `width` random bits. */
function randomBeats(width: number, count: number): Uint8Array {
  const random = seeded(width);
  const n = beatBytes({ width });
  const bytes = Uint8Array.from({ length: n * count }, () => Math.floor(random() * 256));
  for (let i = n - 1; i < bytes.length; i += n) bytes[i]! &= width % 8 === 0 ? 255 : 2 ** (width % 8) - 1;
  return bytes;
}

function ports(width: number, beatsPerSample: number): StreamPort[] {
  return [
    { name: "s_axis", direction: "in", width, beatsPerSample },
    { name: "m_axis", direction: "out", width, beatsPerSample },
  ];
}

describe.skipIf(absent !== "")(`the Verilator harness${absent}`, () => {
  it("passes beats of any width through, with and without stalls, and measures", async () => {
    for (const width of [12, 200]) {
      const dir = scratch();
      const rtl = verilogIn(streamFifo(width, 5, 4));
      const sim = await buildSimulation(rtl, "stream_fifo", ports(width, 4), join(dir, "build"));
      expect(sim.reused).toBe(false);
      const samples = 5000;
      const data = randomBeats(width, 4 * samples);
      writeFileSync(join(dir, "in.bin"), data);
      const files = { inputs: { s_axis: join(dir, "in.bin") }, outputs: { m_axis: join(dir, "out.bin") }, samples };
      const free = await runSimulation(sim, { ...files, timing: join(dir, "timing.csv") });
      expect(Buffer.compare(readFileSync(join(dir, "out.bin")), data)).toBe(0);
      // A beat is written, moves to the output register, and is there in the next cycle.
      expect(free).toMatchObject({
        samples,
        latency: 4 + 2,
        initiationInterval: 4,
        initiationIntervalMin: 4,
        initiationIntervalMax: 4,
        cycles: 4 * samples + 2,
      });
      expect(readFileSync(join(dir, "timing.csv"), "utf8").split("\n").slice(0, 3)).toEqual([
        "port,sample,first_beat,last_beat",
        "s_axis,0,0,3",
        "s_axis,1,4,7",
      ]);
      for (const [stallInputs, stallOutputs, seed] of [
        [0.5, 0, 1],
        [0, 0.7, 2],
        [0.3, 0.3, 3],
      ] as const) {
        writeFileSync(join(dir, "out.bin"), "");
        const stalled = await runSimulation(sim, { ...files, stallInputs, stallOutputs, seed });
        expect(Buffer.compare(readFileSync(join(dir, "out.bin")), data)).toBe(0);
        expect(stalled.cycles).toBeGreaterThan(1.3 * free.cycles);
      }
      expect((await buildSimulation(rtl, "stream_fifo", ports(width, 4), join(dir, "build"))).reused).toBe(true);
      if (width === 12) {
        await expect(
          buildSimulation(rtl, "stream_fifo", [...ports(width, 3)], join(dir, "build3")).then((s) =>
            runSimulation(s, { ...files, samples: 3 }),
          ),
        ).rejects.toThrow(/TO004.*m_axis does not raise tlast at beat 2 of sample 0/);
      }
    }
  });

  it("gives up when nothing moves, and says which port waits", async () => {
    const module = new Module("stuck");
    const b = new RtlModuleBuilder(
      module,
      "stuck",
      [
        { name: "s_axis_tdata", type: u(8) },
        { name: "s_axis_tvalid", type: u(1) },
        { name: "s_axis_tlast", type: u(1) },
        { name: "m_axis_tready", type: u(1) },
      ],
      { attrs: { clock: "aclk", resetn: "aresetn" } },
    );
    const seen = b.regDeclare(u(1), { reset: 0, hint: "seen" });
    b.connect(seen, b.or(seen, b.input("s_axis_tvalid")));
    b.finish({
      s_axis_tready: b.not(seen),
      m_axis_tdata: b.reg(b.input("s_axis_tdata")),
      m_axis_tvalid: b.constant(0, u(1)),
      m_axis_tlast: seen,
    });
    const dir = scratch();
    const sim = await buildSimulation(verilogIn(module), "stuck", ports(8, 1), join(dir, "build"));
    writeFileSync(join(dir, "in.bin"), Buffer.alloc(5));
    const run = runSimulation(sim, {
      inputs: { s_axis: join(dir, "in.bin") },
      outputs: { m_axis: join(dir, "out.bin") },
      samples: 5,
      watchdogCycles: 50,
    });
    await expect(run).rejects.toThrow(UserError);
    await expect(run).rejects.toThrow(
      "no beat at any port for 50 cycles, at cycle 51: s_axis waits for tready (beat 1 of 5); m_axis waits for tvalid (beat 0 of 5)",
    );
    const short = runSimulation(sim, {
      inputs: { s_axis: join(dir, "none.bin") },
      outputs: { m_axis: join(dir, "out.bin") },
      samples: 9,
    });
    await expect(short).rejects.toThrow("cannot open");
  });

  it("says which tool is missing, and what to install", async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = scratch();
    try {
      await expect(buildSimulation(".", "top", [], scratch())).rejects.toThrow(
        /TO001.*verilator is not installed[\s\S]*apt-get install verilator/,
      );
    } finally {
      process.env["PATH"] = path;
    }
  });

  it("shows what Verilator says about broken sources", async () => {
    const dir = scratch();
    writeFileSync(join(dir, "bad.v"), "module bad(input wire x; endmodule\n");
    await expect(buildSimulation(dir, "bad", [], join(dir, "build"))).rejects.toThrow(/TO002[\s\S]*bad\.v:1/);
  });
});
