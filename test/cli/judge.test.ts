/** The judgement of accuracy at the command line: cure, refusal, acceptance, and which samples it rests on. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Comparison, DesignReport, Exploration } from "../../src/driver.js";
import { writeNpz } from "../../src/frontend/npz.js";
import { cancelling, uniform } from "../quantize/support.js";
import { cli } from "../support/cli.js";

let work: string;
const at = (name: string): string => join(work, name);

const compile = (calib: string, dir: string, ...more: string[]): ReturnType<typeof cli> =>
  cli("compile", at("net.onnx"), "-o", at(dir), "--calib", at(calib), "-q", ...more);
const report = (dir: string): DesignReport =>
  JSON.parse(readFileSync(at(`${dir}/report.json`), "utf8")) as DesignReport;

/** `scale` of each sample. */
function data(name: string, count: number, scale: (i: number) => number = () => 1): void {
  const random = uniform(3);
  writeFileSync(
    at(name),
    writeNpz(
      new Map([
        [
          "x",
          {
            shape: [count, 8],
            data: Float32Array.from({ length: count * 8 }, (_, i) => random() * scale(Math.floor(i / 8))),
          },
        ],
      ]),
    ),
  );
}

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "onnx-hls-judge-"));
  writeFileSync(at("net.onnx"), cancelling());
  data("many.npz", 512);
  data("some.npz", 96);
  data("few.npz", 8);
  data("one.npz", 1);
  data("loud.npz", 512, (i) => (i % 4 === 3 ? 60 : 1));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("compile", () => {
  it("raises widths where the defaults do not do, and says so", async () => {
    const { code, out, err } = await compile("many.npz", "cured");
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(
        /note\[QU022\].*1\d\.\d dB, .* became (2[5-9]|3\d)\.\d dB, .*, measured on 128 samples that did not calibrate; \/large\/MatMul a10 to a1\d/,
      ),
    ]);
    expect(out).toMatch(
      /accuracy of y: .* dB, the same argmax in .*\n +measured on 128 samples that did not calibrate\n +\d+ widths raised where the noise comes from \(before: 1\d\.\d dB/,
    );
    const r = report("cured");
    expect(r.accuracy_check).toMatchObject({
      measured_on: "held-out",
      samples: 128,
      calibration_samples: 256,
      verdict: "good",
      cure: { precision: r.precision.spec },
    });
    expect(r.accuracy!["y"]!.sqnr_db).toBeGreaterThan(25);
    expect(r.accuracy_check!.cure!.before["y"]!.sqnr_db).toBeLessThan(20);
    // Stated, the widths give the same network without a search.
    expect(await compile("many.npz", "again", "--precision", r.precision.spec)).toMatchObject({ code: 0, err: "" });
    expect(readFileSync(at("again/nn.hir"), "utf8")).toBe(readFileSync(at("cured/nn.hir"), "utf8"));
  });

  it("leaves a precision that is stated, refuses what it gives, and takes it where that is accepted", async () => {
    const { code, err } = await compile("many.npz", "narrow", "--precision", "w9a10");
    expect([code, existsSync(at("narrow"))]).toEqual([1, false]);
    expect(err).toMatch(
      /error\[QU020\]: the accuracy is too low: "y" has 1\d\.\d dB and the same argmax in 8\d\.\d%, measured on 256 samples that did not calibrate; 20\.0 dB and the same argmax in 90% is needed; most is lost at \/large\/MatMul \(\d+% of the noise at the outputs, .*mostly rounding\)/,
    );
    expect(err).toMatch(
      /hint: \/large\/MatMul: .*--precision 'w9a10,\S+=a12'; or accept what is reached with --accept-accuracy sqnr=1\d --accept-accuracy argmax=0\.8\d/,
    );
    const accept = /--accept-accuracy .*$/m.exec(err)![0].split(" ");
    expect(await compile("many.npz", "narrow", "--precision", "w9a10", ...accept)).toMatchObject({ code: 0, err: "" });
    expect(report("narrow").accuracy_check).toMatchObject({ verdict: "accepted", samples: 256 });
    // What the hint says to do about the layer helps as well.
    const advice = /--precision '([^']+)'/.exec(err)![1]!;
    expect((await compile("many.npz", "advised", "--precision", advice)).code).toBe(0);
    // A bound takes the place of the limit where defaults are meant, too: nothing is raised.
    expect((await compile("many.npz", "loose", ...accept)).code).toBe(0);
    expect(report("loose").precision.spec).toBe("w8a10");
    writeFileSync(at("accept.yaml"), `precision: w9a10\naccept_accuracy: [${accept[1]!}, ${accept[3]!}]\n`);
    expect((await compile("many.npz", "configured", "--config", at("accept.yaml"))).code).toBe(0);
  });

  it("sees values that calibration has not seen, and names calibration as the remedy", async () => {
    const { code, err } = await compile("loud.npz", "unseen", "--hold-out", "0.25", "--precision", "w12a16");
    expect([code, existsSync(at("unseen"))]).toEqual([1, false]);
    expect(err).toMatch(/QU020.*128 samples that did not calibrate.*mostly saturation/);
    expect(err).toMatch(/hint: .*compile with --calib DATA that does/);
  });

  it.each([
    [
      "some.npz",
      /QU022.*72 samples that did not calibrate \(the network quantized 3 times more from the others\)/,
      { measured_on: "refits", samples: 72, calibration_samples: 96 },
    ],
    [
      "few.npz",
      /QU022.*the 8 samples that chose the number formats/,
      { measured_on: "refits", samples: 8, calibration_samples: 8 },
    ],
    [
      "one.npz",
      /warning\[QU023\].*there is only one/,
      { measured_on: "calibration", samples: 1, calibration_samples: 1 },
    ],
  ])("says what accuracy rests on with %s", async (calib, says, check) => {
    const { code, err } = await compile(calib, "rests");
    expect([code, err]).toEqual([0, expect.stringMatching(says)]);
    expect(report("rests").accuracy_check).toMatchObject(check);
    if (calib === "few.npz") expect(report("rests").accuracy_check!.on_calibration!["y"]!.sqnr_db).toBeGreaterThan(25);
  });

  it("warns where there is no data at all", async () => {
    const { code, err } = await cli("compile", at("net.onnx"), "-o", at("blind"), "-q");
    expect([code, err]).toEqual([0, expect.stringMatching(/warning\[CF001\].*accuracy is not known/)]);
    expect(report("blind").accuracy_check).toBeUndefined();
  });

  it.each([
    ["a bound that is none", ["--accept-accuracy", "sqr=3"], /QU008.*--accept-accuracy "sqr=3".*\n.*did you mean sqnr/],
    ["an output that is not there", ["--accept-accuracy", "z:sqnr=3"], /QU009.*--accept-accuracy names the output "z"/],
  ])("refuses %s", async (_, more, says) => {
    const { code, err } = await compile("few.npz", "refused", ...more);
    expect([code, err, existsSync(at("refused"))]).toEqual([1, expect.stringMatching(says), false]);
  });
});

describe("the other commands", () => {
  it("compare says what compile would", async () => {
    expect(
      (
        await compile(
          "many.npz",
          "compared",
          "--precision",
          "w9a10",
          "--accept-accuracy",
          "sqnr=5",
          "--accept-accuracy",
          "argmax=0",
        )
      ).code,
    ).toBe(0);
    const { out } = await cli("compare", at("net.onnx"), at("compared"), "--input", at("many.npz"), "-q");
    expect(out).toMatch(
      /The accuracy is too low on this data \(y: 1\d\.\d dB, 20\.0 dB is needed; y: the same argmax in 8.*% is needed\)\.$/m,
    );
    const json = JSON.parse(
      (await cli("compare", at("net.onnx"), at("compared"), "--input", at("many.npz"), "-q", "--json")).out,
    ) as Comparison;
    expect([json.verdict, json.shortfalls.length]).toEqual(["too low", 2]);
  });

  it("explore judges, and its designs compile to what it says", async () => {
    const explored = await cli(
      "explore",
      at("net.onnx"),
      "--calib",
      at("many.npz"),
      "--intervals",
      "1",
      "--device",
      "ice40hx8k",
      "--clock",
      "20",
      "--cores",
      "1",
      "--json",
      "-q",
    );
    expect([explored.code, explored.err]).toEqual([0, expect.stringMatching(/QU022/)]);
    const e = JSON.parse(explored.out) as Exploration;
    expect(e.accuracy!["y"]!.sqnr_db).toBeGreaterThan(25);
    const [, ...args] = e.compile;
    const { code, err } = await cli("compile", ...args, "-o", at("explored"), "--unroll", e.points[0]!.unroll, "-q");
    expect([code, err]).toEqual([0, ""]);
    expect(report("explored")).toMatchObject({
      initiation_interval: e.points[0]!.initiation_interval,
      resources: e.points[0]!.resources,
    });
    const refused = await cli("explore", at("net.onnx"), "--calib", at("many.npz"), "--precision", "w9a10", "-q");
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/QU020/)]);
  });
});
