/** Targets that cannot be met: what the limit is, and what would work; and that it does. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/program.js";
import type { DesignReport } from "../../src/driver.js";
import { nodeHost } from "../../src/host.js";
import { floats, node, onnx, weights } from "../frontend/support.js";

let work: string;
let model: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-limits-"));
  const wave = (n: number, f: number): number[] => Array.from({ length: n }, (_, i) => Math.sin(f * (i + 1)));
  model = join(work, "net.onnx");
  writeFileSync(
    model,
    onnx({
      node: [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Relu", ["c"], ["r"], "relu"),
        node("Flatten", ["r"], ["f"], "flatten"),
        node("Gemm", ["f", "v"], ["y"], "dense"),
      ],
      initializer: [weights("w", [8, 3, 3, 3], wave(216, 0.7)), weights("v", [288, 10], wave(2880, 0.3))],
      input: [floats("x", [1, 3, 8, 8])],
      output: [floats("y", [1, 10])],
    }),
  );
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function compile(...args: string[]): Promise<{ code: number; err: string; report: DesignReport | undefined }> {
  const out = join(work, "out");
  rmSync(out, { recursive: true, force: true });
  let err = "";
  const code = await main(["compile", model, "-o", out, ...args], {
    host: nodeHost(),
    out: () => {},
    err: (t) => void (err += t),
    isTTY: false,
    env: {},
  });
  return {
    code,
    err,
    report: existsSync(out) ? (JSON.parse(readFileSync(join(out, "report.json"), "utf8")) as DesignReport) : undefined,
  };
}

/** Refused with a message that matches; returns what the hint says, as captured. */
async function refused(args: readonly string[], message: RegExp, hint: RegExp): Promise<readonly string[]> {
  const { code, err, report } = await compile(...args);
  expect(err).toMatch(message);
  expect(err).toMatch(hint);
  expect(err).not.toMatch(/\n\s+at |internal error/);
  expect(code).toBe(1);
  expect(report).toBeUndefined();
  return hint.exec(err)!.slice(1);
}

describe("a limit and what would work", () => {
  it("a budget that nothing fits in", async () => {
    const [budget] = await refused(
      ["--budget", "lut=100,dsp=1000"],
      /FL003.*no design fits lut=100,dsp=1000; the one that comes nearest needs lut=\d+,ff=\d+,dsp=\d+,bram=/,
      /hint: use --budget (\S+),/,
    );
    const { code, report } = await compile("--budget", budget!);
    expect(code).toBe(0);
    expect(report!.resources.dsp).toBeLessThanOrEqual(1000);
  });

  it("a network that is too large for a device", async () => {
    const small = model;
    model = join(work, "large.onnx");
    writeFileSync(
      model,
      onnx({
        node: [node("Gemm", ["x", "w"], ["y"], "dense")],
        initializer: [
          weights(
            "w",
            [160, 100],
            Array.from({ length: 16000 }, (_, i) => Math.sin(i)),
          ),
        ],
        input: [floats("x", [1, 160])],
        output: [floats("y", [1, 100])],
      }),
    );
    const [devices] = await refused(
      ["--device", "ice40up5k", "--clock", "20", "--precision", "w16a16"],
      /FL003.*no design fits 60 % of ice40up5k; the one that comes nearest needs lut=/,
      /hint: choose a larger device: (.*), or lower the precision/,
    );
    expect(devices).toMatch(/xcu280/);
    expect(
      (await compile("--device", devices!.split(", ").pop()!, "--clock", "20", "--precision", "w16a16")).code,
    ).toBe(0);
    model = small;
  });

  it("a clock that the device does not reach", async () => {
    const [mhz, others] = await refused(
      ["--device", "lfe5um5g-85f", "--clock", "300"],
      /FL009.*300 MHz are beyond what lfe5um5g-85f reaches: .* end at \d+ MHz/,
      /hint: use --clock (\d+) or less, or a device that reaches it: (.*)/,
    );
    expect((await compile("--device", "lfe5um5g-85f", "--clock", mhz!)).code).toBe(0);
    for (const device of others!.split(", "))
      expect((await compile("--device", device, "--clock", "300", "--target-ii", "3000")).err).not.toMatch(/FL009/);
  });

  it("a clock that no device reaches", async () => {
    const [mhz] = await refused(
      ["--clock", "2000"],
      /FL009.*2000 MHz are beyond what xcu280 reaches/,
      /hint: use --clock (\d+) or less; no other device reaches it/,
    );
    expect((await compile("--clock", mhz!, "--target-ii", "192")).code).toBe(0);
  });

  it("a device that is not known", async () => {
    await refused(
      ["--device", "xc7z02"],
      /FL001.*device xc7z02 is not known/,
      /hint: did you mean (xc7z020)\? use one of xcu280, xcku5p, xc7k325t, xc7z020, lfe5um5g-85f, ice40hx8k, ice40up5k/,
    );
    await refused(["--device", "stratix10"], /FL001.*device stratix10 is not known/, /hint: use one of xcu280/);
  });

  it("a target that the input port cannot feed", async () => {
    const [bits, ii] = await refused(
      ["--target-ii", "50", "--axis-width", "1e"],
      /FL007.*an initiation interval of 50 cycles cannot be fed: input x takes 192 beats per sample at 1 element a beat/,
      /hint: use --axis-width (\d+) \(\d+ elements a beat\) or wider, or --target-ii (\d+) or more/,
    );
    expect(ii).toBe("192");
    const wide = await compile("--target-ii", "50", "--axis-width", bits!);
    expect(wide.code).toBe(0);
    expect(wide.report!.initiation_interval).toBeLessThanOrEqual(50);
    expect((await compile("--target-ii", ii!, "--axis-width", "1e")).code).toBe(0);
  });

  it("a target that does not fit the device", async () => {
    const args = ["--device", "xc7z020", "--clock", "100"];
    const [ii] = await refused(
      [...args, "--target-ii", "1"],
      /FL005.*an initiation interval of 1 cycle does not fit xc7z020: it takes \d+ of \d+ [A-Z]+/,
      /hint: --target-ii (\d+) fits/,
    );
    const { code, report } = await compile(...args, "--target-ii", ii!);
    expect(code).toBe(0);
    expect(report!.initiation_interval).toBeLessThanOrEqual(Number(ii));
  });
});
