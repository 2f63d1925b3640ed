import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { CliEnv } from "../../src/cli/env.js";
import { Progress } from "../../src/cli/progress.js";
import { main } from "../../src/cli/program.js";
import { definePass } from "../../src/passes/define-pass.js";
import { registerPass } from "../../src/passes/registry.js";
import { walk } from "../../src/ir/core.js";
import { splitFixture } from "../support/fixture.js";
import { memoryHost, type MemoryHost } from "../support/memory-host.js";

const FX = `module "m" {
  func() {sym = "f", inputs = ["x"], outputs = ["x"]} ({
  ^(%x: fixed<8,4>):
    %y = fx.cast(%x) : (fixed<8,4>) -> fixed<9,4>
    return(%x) : (fixed<8,4>) -> ()
  }) : () -> ()
}
`;

registerPass(
  definePass({
    name: "crash-for-test",
    summary: "Fails.",
    level: "any",
    semantics: "bit-exact",
    run: () => {
      throw new Error("slot 3 is empty");
    },
  }),
);

registerPass(
  definePass({
    name: "spoil-for-test",
    summary: "Rounds another way.",
    level: "flow",
    semantics: "bit-exact",
    run: (module) =>
      walk(module.body, (op) => {
        if (op.name === "fx.requantize") op.attrs = { ...op.attrs, rounding: "floor" };
      }),
  }),
);

registerPass(
  definePass({
    name: "spoil-rtl-for-test",
    summary: "Chooses the other one.",
    level: "rtl",
    semantics: "bit-exact",
    run: (module) =>
      walk(module.body, (op) => {
        if (op.name === "rtl.mux") {
          const [a, b] = [op.operand(1), op.operand(2)];
          op.setOperand(1, b);
          op.setOperand(2, a);
        }
      }),
  }),
);

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly host: MemoryHost;
}
async function cli(
  args: readonly string[],
  files: Readonly<Record<string, string>> = {},
  env: CliEnv["env"] = {},
): Promise<Result> {
  const host = memoryHost(files);
  let [out, err] = ["", ""];
  const terminal: CliEnv = {
    host: { ...host, log: (l) => void (err += `${l}\n`) },
    out: (t) => void (out += t),
    err: (t) => void (err += t),
    isTTY: false,
    env,
  };
  const code = await main(args, terminal);
  return { code, out, err, host };
}

describe("usage", () => {
  it.each([
    [[], /Usage: onnx-hls/],
    [["compil"], /unknown command 'compil'\n\(Did you mean compile\?\)/],
    [["compile"], /missing required argument 'model'|required option '-o, --output <dir>'/],
    [["compile", "m.onnx", "-o", "d", "--target-ii", "0"], /at least 1/],
    [["compile", "m.onnx", "-o", "d", "--target-ii", "4", "--target-rate", "1M"], /cannot be used with/],
    [["compile", "m.onnx", "-o", "d", "--budget", "dps=4"], /known are lut, ff, dsp, bram/],
    [["compile", "m.onnx", "-o", "d", "--clock", "fast"], /positive number/],
    [["compile", "m.onnx", "-o", "d", "--colour"], /unknown option '--colour'/],
    [["simulate", "d", "--input", "a", "--output", "b", "--stall", "1.5"], /probability from 0 to below 1/],
    [["opt"], /missing required argument 'file'/],
    [["opt", "a.hir", "--resources", "some"], /Allowed choices are inline, digest/],
  ])("%j ends with code 2", async (args, expected) => {
    const r = await cli(args);
    expect(r.err).toMatch(expected);
    expect([r.code, r.out]).toEqual([2, ""]);
  });

  it.each(["compile", "run", "simulate", "compare", "synth", "inspect", "opt", "doctor"])(
    "%s --help explains itself",
    async (command) => {
      const r = await cli([command, "--help"]);
      expect(r.code).toBe(0);
      expect(r.out).toMatch(/Usage: onnx-hls/);
      expect(r.out).toMatch(/\$ onnx-hls|Exit code/);
    },
  );

  it("prints its version", async () => {
    expect((await cli(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("opt", () => {
  it("prints what the passes leave", async () => {
    const r = await cli(["opt", "a.hir", "--passes", "dce"], { "a.hir": FX });
    expect(r.code).toBe(0);
    expect(r.out).not.toContain("fx.cast");
    expect(r.out).toContain('module "m"');
  });
  it("takes the pipeline from the RUN line, and asks for one where there is none", async () => {
    expect((await cli(["opt", "a.hir"], { "a.hir": `// RUN: dce\n${FX}` })).out).not.toContain("fx.cast");
    const r = await cli(["opt", "a.hir"], { "a.hir": FX });
    expect([r.code, r.err]).toEqual([1, expect.stringContaining("error[CF002]")]);
  });
  it("writes a file, and times, on request", async () => {
    const { host, out } = await cli(
      ["opt", "a.hir", "--passes", "dce", "-o", "/out/b.hir", "--time-passes", "/out/t.json"],
      { "a.hir": FX },
    );
    expect(out).toBe("");
    expect(host.names("/out")).toEqual(["/out/b.hir", "/out/t.json"]);
    expect(JSON.parse(host.text("/out/t.json"))).toMatchObject([{ pass: "dce", opsBefore: 3, opsAfter: 2 }]);
  });
  it("shows IR on stderr, and progress by name", async () => {
    const r = await cli(["opt", "a.hir", "--passes", "dce", "--print-ir-after", "dce"], { "a.hir": FX });
    expect(r.err).toMatch(/^dce\n\/\/ IR after dce\nmodule "m" \{/);
    expect((await cli(["opt", "a.hir", "--passes", "dce", "-q"], { "a.hir": FX })).err).toBe("");
  });
  it.each([
    ["nowhere.hir", "dce", /error\[IO001\]: cannot read nowhere.hir: no such file/],
    ["a.hir", "dcee", /error\[TX020\]: unknown pass "dcee"\n {2}hint: did you mean "dce"\?/],
    ["bad.hir", "dce", /error\[TX001\].*\n {2}--> bad.hir:1:12/],
  ])("%s with %s ends with code 1 and one message", async (file, passes, expected) => {
    const r = await cli(["opt", file, "--passes", passes], { "a.hir": FX, "bad.hir": 'module "m" }' });
    expect(r.err).toMatch(expected);
    expect([r.code, r.out]).toEqual([1, ""]);
    expect(r.err).not.toMatch(/\n\s+at /);
  });
  it("writes messages as JSON on request", async () => {
    const r = await cli(["--diagnostics=json", "opt", "nowhere.hir", "--passes", "dce"]);
    expect(JSON.parse(r.err)).toMatchObject({ code: "IO001", severity: "error" });
  });
  it("asks for a report when a pass fails, without a stack trace", async () => {
    const r = await cli(["opt", "a.hir", "--passes", "crash-for-test", "-q"], { "a.hir": FX });
    expect(r.code).toBe(1);
    expect(r.err).toMatch(/internal error: pass crash-for-test: slot 3 is empty/);
    expect(r.err).toMatch(/Attach repro.hir/);
    expect(r.err).not.toMatch(/\n\s+at /);
    expect(r.host.text("repro.hir")).toMatch(/^\/\/ RUN: crash-for-test\nmodule "m"/);
    const debug = await cli(
      ["opt", "a.hir", "--passes", "crash-for-test", "-q"],
      { "a.hir": FX },
      { ONNX_HLS_DEBUG: "1" },
    );
    expect(debug.err).toMatch(/\n\s+at /);
  });
  it("interprets before and after each pass on request", async () => {
    const [chain] = splitFixture("fuse.hir", readFileSync(new URL("../fixtures/fuse.hir", import.meta.url), "utf8"));
    const files = { "a.hir": chain!.text };
    expect((await cli(["opt", "a.hir", "--passes", "fuse", "--eval-each", "1:20"], files)).code).toBe(0);
    const r = await cli(["opt", "a.hir", "--passes", "spoil-for-test", "--eval-each", "1:20"], files);
    expect(r.err).toMatch(
      /pass spoil-for-test: is bit-exact, but changed element \d+ of output "y" from \S+ to \S+ \(seed 1\)/,
    );
    expect((await cli(["opt", "a.hir", "--passes", "fuse", "--eval-each", "20"], files)).code).toBe(2);
    const hardware = "fuse,target{device=xcku5p,clock=200},unroll{ii=4},insert-channels,lower-to-rtl";
    expect((await cli(["opt", "a.hir", "--passes", hardware, "--eval-each", "1:20"], files)).code).toBe(0);
    const wrong = await cli(
      ["opt", "a.hir", "--passes", `${hardware},spoil-rtl-for-test`, "--eval-each", "1:20"],
      files,
    );
    expect(wrong.err).toMatch(
      /pass spoil-rtl-for-test: (is bit-exact, but changed element \d+ of output "y"|no result)/,
    );
  });
  it("lists passes and pipelines", async () => {
    const r = await cli(["opt", "--list-passes"]);
    expect(r.out).toMatch(/dce +any +bit-exact/);
    expect(r.out).toMatch(/@clean/);
  });
});

describe("doctor", () => {
  it("finds node, and says how to get the rest", async () => {
    const r = await cli(["doctor", "--json"]);
    const list = JSON.parse(r.out) as { tool: string; found: boolean; install: string }[];
    expect(list.find((t) => t.tool === "node")).toMatchObject({ found: true });
    expect(list.every((t) => t.install.length > 0)).toBe(true);
    expect(r.code).toBe(0);
  });
});

describe("progress", () => {
  const draw = (isTTY: boolean): string => {
    let err = "";
    const env: CliEnv = { host: memoryHost(), out: () => {}, err: (t) => void (err += t), isTTY, env: {} };
    const p = new Progress(env, false);
    for (let i = 0; i <= 1000; i++) p.update("simulating", i, 1000);
    p.update("comparing", 0, 0);
    p.end();
    return err;
  };
  it("is one line per phase where nothing can be redrawn", () => {
    expect(draw(false)).toBe("simulating\ncomparing\n");
  });
  it("redraws one line on a terminal, not too often, and clears it", () => {
    const err = draw(true);
    expect(err).not.toContain("\n");
    expect(err).toContain("[########################] 100% simulating");
    expect(err.split("\r").length).toBeLessThan(30);
    expect(err.endsWith("\r\u001b[K")).toBe(true);
  });
});
