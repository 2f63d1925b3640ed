/** `onnx-hls run --sensor` as it is typed. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/program.js";
import { nodeHost } from "../../src/host.js";

const at = (name: string): string => new URL(`../../examples/${name}`, import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "onnx-hls-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function cli(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const terminal = {
    host: nodeHost(),
    out: (t: string) => void (out += t),
    err: (t: string) => void (err += t),
    isTTY: true,
    env: {},
  };
  return { code: await main(args, terminal), out, err };
}

describe("run --sensor", () => {
  const model = at("braggnn/braggnn_s1.onnx");
  const sensor = ["--sensor", at("hedm/sensor.yaml")];
  const input = ["--input", at("hedm/scan.h5")];
  const peaks = join(folder, "peaks.csv");

  it("says what was found, and shows progress in frames", async () => {
    const page = join(folder, "peaks.html");
    const truth = ["--truth", at("hedm/truth.csv")];
    const r = await cli("run", model, ...sensor, ...input, "--output", peaks, ...truth, "--html", page);
    expect(r.code).toBe(0);
    const [frames, found, near] = r.out.split("\n");
    expect(frames).toMatch(/^frames {4}4, [\d.e+]+ per second$/);
    expect(found).toBe(`peaks     78, 19.5 per frame, written to ${peaks}`);
    expect(near).toMatch(/^truth {5}0\.07\d\d px on average for 74 peaks within 2 px, 1 centres without a peak$/);
    expect(r.err).toContain("] 100% frames");
    expect(readFileSync(peaks, "utf8").split("\n").length).toBe(1 + 78 + 1);
    expect(existsSync(page)).toBe(true);
  });
  it("gives the same as JSON", async () => {
    const r = await cli("run", model, ...sensor, ...input, "--output", peaks, "--json");
    expect(JSON.parse(r.out)).toMatchObject({ frames: 4, found: 78, sent: 78, dropped: 0, flagged: 0 });
  });
  it("ends with 1 and a message where something is wrong", async () => {
    const r = await cli("run", model, "--sensor", at("hedm/scan.h5"), ...input, "--output", peaks);
    expect(r.code).toBe(1);
    expect(r.err).toContain("error[SE001]: the sensor description cannot be read");
    const none = await cli("run", model, ...input, "--output", peaks);
    expect([none.code, /error\[SE019\]/.test(none.err)]).toEqual([1, true]);
  });
});
