import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  isInaccurate,
  isSilent,
  isWrong,
  type Distance,
  type RealFile,
  type RealFileRecord,
} from "../bench/real-file-record.js";
import { markdown, plain } from "../bench/real-files-tables.js";

const list = JSON.parse(readFileSync(new URL("../bench/real-files.json", import.meta.url), "utf8")) as RealFile[];

describe("the list of real files", () => {
  it("says what each is and where it comes from, each once", () => {
    expect(list.length).toBeGreaterThanOrEqual(150);
    expect(new Set(list.map((f) => f.origin)).size).toBeGreaterThanOrEqual(30);
    for (const key of ["name", "sha256"] as const) expect(new Set(list.map((f) => f[key])).size).toBe(list.length);
    for (const f of list) {
      expect(f.sha256, f.name).toMatch(/^[0-9a-f]{64}$/);
      expect(
        [f.origin, f.path, f.licence, f.exporter].every((t) => t !== "" && !/^\/|:\/\//.test(t)),
        f.name,
      ).toBe(true);
      for (const shape of Object.values(f.shapes ?? {}))
        expect(
          shape.every((n) => Number.isInteger(n) && n > 0),
          f.name,
        ).toBe(true);
    }
  });
});

describe("a record", () => {
  const at = (nrmse: number | null, more: Partial<Distance> = {}): Distance => ({
    output: "y",
    nrmse,
    max_error: nrmse,
    sqnr_db: nrmse === null || nrmse === 0 ? null : -20 * Math.log10(nrmse),
    ...more,
  });
  const record = (r: Partial<RealFileRecord>): RealFileRecord => ({ name: "a/b", outcome: "compiled", ...r });

  it("is wrong where the float network differs by more than float32 rounds, or is no number", () => {
    expect(isWrong(record({ float: [at(1e-5)] }))).toBe(false);
    expect(isWrong(record({ float: [at(0), at(0.01)] }))).toBe(true);
    expect(isWrong(record({ float: [at(null)] }))).toBe(true);
    // Values of 1e-6: ONNX Runtime's own approximations are as large.
    expect(isWrong(record({ float: [at(0.01, { max_error: 1e-8 })] }))).toBe(false);
  });
  it("is inaccurate below 20 dB or 90 % of argmax, and silent where no warning speaks of accuracy", () => {
    expect(isInaccurate(record({ fixed: [at(0), at(0.05)] }))).toBe(false);
    for (const fixed of [[at(0.2)], [at(0.01, { argmax: 0.8 })], [at(null)]]) {
      expect(isInaccurate(record({ fixed }))).toBe(true);
      expect(isSilent(record({ fixed, warnings: [] }))).toBe(true);
      expect(isSilent(record({ fixed, warnings: ["QU021"] }))).toBe(false);
      expect(isSilent(record({ fixed, warnings: ["QU014"] }))).toBe(true);
      expect(isSilent(record({ outcome: "refused", fixed }))).toBe(false);
    }
  });
  it("is a line of both tables, the reason of a refusal with it", () => {
    const records = [
      record({ name: list[0]!.name, macs: 12, seconds: 1.5, float: [at(1e-7)], fixed: [at(0.01)], warnings: [] }),
      record({
        name: list[1]!.name,
        outcome: "refused",
        errors: [{ code: "ON004", message: "an operator | is not supported" }],
      }),
      record({ name: list[2]!.name, outcome: "timeout" }),
    ];
    const text = plain(records);
    expect(text).toMatch(/1 of 3 compile \(33\.3 %\), 1 are refused, 1 take longer, 0 crash; 0 wrong, 0 inaccurate/);
    expect(text).toMatch(/ON004 an operator/);
    const page = markdown(list, records, "2026-01-02");
    expect(page).toContain("an operator \\| is not supported");
    for (const r of records) expect(page).toContain(r.name);
    expect(page).toMatch(/40\.0/);
    expect(page).toContain("Recorded on 2026-01-02");
  });
});
