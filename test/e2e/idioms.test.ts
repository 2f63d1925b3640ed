/**
 * A fixed dozen of small networks of different kinds and exporters, where they are at hand: compiled with defaults,
 * bit-exact in Verilator on the predicted cycle, and near to (quantized ones: equal to) ONNX Runtime's outputs. `npm
 * run bench:idioms` does them all.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agreementOf, measureIdiom } from "../../bench/idiom.js";

const idioms = new URL("../../../shared/onnx-suite/torch-idioms/", import.meta.url).pathname;
const missing = existsSync(idioms) ? undefined : "../shared/onnx-suite/torch-idioms is not there";

let work: string;
beforeAll(() => (work = mkdtempSync(join(tmpdir(), "onnx-hls-idioms-"))));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/**
 * Least signal-to-noise ratio in dB at the default widths, on the eight samples that calibrate as well (others are a
 * few dB worse); quantized models are equal instead.
 */
const networks = [
  { name: "digits_cnn.ts17", sqnr: 40 },
  { name: "digits_mlp.dyn18", sqnr: 44 },
  { name: "digits_mlp.qdq_u8s8_pc", sqnr: undefined },
  { name: "digits_mlp.qop_u8u8_pt", sqnr: undefined },
  { name: "digits_cnn.qdq_s8s8_pt", sqnr: undefined },
  { name: "activation_zoo.dyn21", sqnr: 33 },
  { name: "embedding_mean.ts17", sqnr: 30 },
  { name: "einsum_bilinear.dyn18", sqnr: 30 },
  { name: "unbatched_vector.dyn23", sqnr: 40 },
  { name: "multi_io.ts16", sqnr: 30 },
  { name: "where_mask_reduce.dyn21", sqnr: 20 },
  { name: "shuffle_unit.ts14", sqnr: 30 },
];

describe.skipIf(missing !== undefined)(
  `networks in many idioms${missing === undefined ? "" : ` (skipped: ${missing})`}`,
  () => {
    it.each(networks)("$name", async ({ name, sqnr }) => {
      const r = await measureIdiom(join(idioms, name), join(work, name), true);
      expect(r.refused).toBeUndefined();
      expect(r.verilator).toMatchObject({ mismatches: 0, latency: r.latency });
      expect(r.verilator!.initiation_interval).toBeLessThanOrEqual(r.initiation_interval!);
      if (sqnr === undefined) expect(r.agreement).toMatchObject({ argmax: 1, equal: 1 });
      else expect(r.agreement!.sqnr_db ?? Infinity).toBeGreaterThan(sqnr);
    });
  },
);

describe("agreement with expected outputs", () => {
  it("counts rows, equal elements and noise", () => {
    const want = [Float64Array.of(1, 2, 3, 6, 5, 4)];
    expect(agreementOf(want, want, [3])).toEqual({ argmax: 1, sqnr_db: null, max_abs_error: 0, equal: 1 });
    const a = agreementOf([Float64Array.of(1, 2, 3, 5, 6, 4)], want, [3]);
    expect(a).toMatchObject({ argmax: 0.5, max_abs_error: 1 });
    expect(a.equal).toBeCloseTo(4 / 6);
    expect(a.sqnr_db).toBeCloseTo(10 * Math.log10(91 / 2));
    expect(agreementOf(want, want, [1]).argmax).toBeNull();
  });
});
