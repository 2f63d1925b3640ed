/** The decoders in Python and in C read what packRecord writes. */
import { mulberry32 } from "../../src/driver/evaluate.js";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { cDecoder, layoutTables, pythonDecoder } from "../../src/sensor/decoders.js";
import {
  FRAME_FIELDS,
  FRAME_FLAGS,
  packRecord,
  PEAK_FIELDS,
  PEAK_FLAGS,
  recordBytes,
  type SensorRecord,
} from "../../src/sensor/records.js";

const folder = mkdtempSync(join(tmpdir(), "onnx-hls-decoders-"));
afterAll(() => rmSync(folder, { recursive: true }));

const random = mulberry32(5);
const below = (n: number): number => Math.floor(random() * n);
const chosen = <T extends object>(flags: T): (keyof T)[] =>
  (Object.keys(flags) as (keyof T)[]).filter(() => random() < 0.5);
const signed = (): number => below(2 ** 24) - 2 ** 23;

const records: SensorRecord[] = [
  {
    kind: "peak",
    frame: 2 ** 24 - 1,
    flags: [],
    row: -1,
    column: -(2 ** 23),
    maximum: 65535,
    sum: 2 ** 24 - 1,
    pixels: 255,
  },
  { kind: "peak", frame: 0, flags: ["clipped"], row: 2 ** 23 - 1, column: 0, maximum: 0, sum: 0, pixels: 0 },
  { kind: "frame", frame: 7, flags: ["long"], found: 2 ** 32 - 1, sent: 2 ** 31, dropped: 2 ** 32 - 1 },
  ...Array.from({ length: 200 }, (): SensorRecord => {
    const frame = below(2 ** 24);
    if (random() < 0.3)
      return {
        kind: "frame",
        frame,
        flags: chosen(FRAME_FLAGS),
        found: below(2 ** 32),
        sent: below(2 ** 32),
        dropped: below(2 ** 32),
      };
    const [maximum, sum, pixels] = [below(2 ** 16), below(2 ** 24), below(256)];
    return { kind: "peak", frame, flags: chosen(PEAK_FLAGS), row: signed(), column: signed(), maximum, sum, pixels };
  }),
];

/** What both programs print: a line per record, fields in order, positions in pixels. */
const expected = records.map((r) => {
  const fields = r.kind === "peak" ? PEAK_FIELDS : FRAME_FIELDS;
  const flags = Number(packRecord(r) & 255n);
  const values = { ...r, flags } as unknown as Readonly<Record<string, number>>;
  return [r.kind, ...fields.map((f) => values[f.name]! * 2 ** -(f.frac ?? 0))].join(" ");
});
const kind = (k: string): string[] => expected.filter((l) => l.startsWith(k));
const data = join(folder, "records.bin");
writeFileSync(data, recordBytes(records));

const venv = new URL("../../.venv/bin/python", import.meta.url).pathname;
const python = [process.env["ONNX_HLS_PYTHON"], venv, "python3"].find(
  (p) => p !== undefined && spawnSync(p, ["-c", "import numpy"]).status === 0,
);
const noGcc = spawnSync("gcc", ["--version"]).status === 0 ? undefined : "gcc is not installed";

describe("the decoders", () => {
  it.skipIf(python === undefined)("in Python read all fields (skipped without NumPy)", () => {
    writeFileSync(join(folder, "records.py"), pythonDecoder());
    writeFileSync(
      join(folder, "show.py"),
      [
        "import sys",
        "from records import decode, RECORD, np",
        "data = open(sys.argv[1], 'rb').read()",
        "peaks, frames = decode(data)",
        "again = decode(np.frombuffer(data, RECORD))",
        "assert (again[0] == peaks).all() and (again[1] == frames).all()",
        "for name, table in ('peak', peaks), ('frame', frames):",
        "    for r in table: print(name, *(repr(v.item()).removesuffix('.0') for v in r))",
      ].join("\n"),
    );
    const lines = execFileSync(python!, [join(folder, "show.py"), data], { encoding: "utf8" })
      .trim()
      .split("\n");
    expect(lines).toEqual([...kind("peak"), ...kind("frame")]);
  });
  it.skipIf(noGcc !== undefined)("in C read all fields (skipped without gcc)", () => {
    const print = (name: string, fields: typeof PEAK_FIELDS): string =>
      `onnx_hls_${name} x = onnx_hls_read_${name}(r); printf("${name}${fields.map((f) => (f.frac === undefined ? " %u" : " %.17g")).join("")}\\n"${fields.map((f) => `, x.${f.name}`).join("")});`;
    writeFileSync(join(folder, "records.h"), cDecoder());
    writeFileSync(
      join(folder, "show.c"),
      `#include <stdio.h>
#include "records.h"
int main(int n, char **a) {
  FILE *f = fopen(a[n - 1], "rb");
  uint8_t r[ONNX_HLS_RECORD_BYTES];
  while (fread(r, sizeof r, 1, f) == 1)
    if (onnx_hls_is_frame(r)) { ${print("frame", FRAME_FIELDS)} } else { ${print("peak", PEAK_FIELDS)} }
  return 0;
}
`,
    );
    const program = join(folder, "show");
    execFileSync("gcc", [
      "-std=c99",
      "-Wall",
      "-Wextra",
      "-Wconversion",
      "-Werror",
      "-pedantic",
      "-o",
      program,
      join(folder, "show.c"),
    ]);
    expect(execFileSync(program, [data], { encoding: "utf8" }).trim().split("\n")).toEqual(expected);
  });
});

describe("the table of the layout", () => {
  it("names every field and flag with its bits", () => {
    const text = layoutTables();
    expect(text).toContain("| 55:32 | row | signed, in 1/1024 pixels: 0 is the middle of the first row |");
    expect(text).toContain("| 127:96 | dropped | unsigned, peaks: because the queue was full |");
    for (const name of [...Object.keys(PEAK_FLAGS), ...Object.keys(FRAME_FLAGS)]) expect(text).toContain(`| ${name} |`);
  });
});
