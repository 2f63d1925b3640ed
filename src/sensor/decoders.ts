/**
 * Decoders of the records for who reads them: Python with NumPy, C, and tables for people. All are made from the lists
 * of records.ts.
 */
import {
  FRAME_FIELDS,
  FRAME_FLAG_DOCS,
  FRAME_FLAGS,
  KIND_BIT,
  PEAK_FIELDS,
  PEAK_FLAG_DOCS,
  PEAK_FLAGS,
  RECORD_BITS,
  type Field,
} from "./records.js";

const KINDS = [
  { name: "peak", fields: PEAK_FIELDS, flags: PEAK_FLAGS, docs: PEAK_FLAG_DOCS },
  { name: "frame", fields: FRAME_FIELDS, flags: FRAME_FLAGS, docs: FRAME_FLAG_DOCS },
] as const;

/** What a field is, in words. */
function describe(f: Field): string {
  const scaled = f.frac === undefined ? "" : `, in 1/${2 ** f.frac}`;
  const unit = f.unit === "" ? "" : ` ${f.unit}`;
  return `${f.signed === true ? "signed" : "unsigned"}${scaled}${f.frac === undefined && unit !== "" ? "," : ""}${unit}: ${f.doc}`;
}

/** Markdown: the layout of both kinds of records, and their flags. */
export function layoutTables(): string {
  return KINDS.map(({ name, fields, flags, docs }) => {
    const rows = fields.map((f) => `| ${f.lo + f.bits - 1}:${f.lo} | ${f.name} | ${describe(f)} |`);
    const bits = Object.entries(flags).map(
      ([flag, bit]) => `| ${bit} | ${flag} | ${(docs as Record<string, string>)[flag]} |`,
    );
    return [
      name === "peak" ? "**A peak** (bit 7 is 0)" : "**The end of a frame** (bit 7 is 1)",
      "",
      "| bits | field | meaning |",
      "|---|---|---|",
      ...rows,
      "",
      "| flag bit | name | set where |",
      "|---|---|---|",
      ...bits,
    ].join("\n");
  }).join("\n\n");
}

const MADE = "Made by onnx-hls from the layout of its records; docs/sensors.md shows it.";

/** A Python module with `decode(data)`, which gives two structured arrays. */
export function pythonDecoder(): string {
  const read = (f: Field): string => {
    const word = `${f.lo < 64 ? "lo" : "hi"}`;
    const at = f.lo % 64;
    const mask = `0x${((1n << BigInt(f.bits)) - 1n).toString(16)}`;
    const part = `(${word} >> np.uint64(${at})) & np.uint64(${mask})`;
    if (f.signed !== true) return part;
    return `((${word} << np.uint64(${64 - at - f.bits})).view(np.int64) >> np.int64(${64 - f.bits}))`;
  };
  const kinds = KINDS.map(({ name, fields, flags }) => {
    const upper = name.toUpperCase();
    const types = fields.map(
      (f) => `("${f.name}", "${f.frac === undefined ? (f.signed === true ? "<i4" : "<u4") : "<f8"}")`,
    );
    return [
      `#: Fields of a ${name === "peak" ? "peak" : "frame's end"}; ${fields
        .filter((f) => f.unit !== "")
        .map((f) => `${f.name} in ${f.unit}`)
        .join(", ")}.`,
      `${upper} = np.dtype([${types.join(", ")}])`,
      `${upper}_FLAGS = {${Object.entries(flags)
        .map(([flag, bit]) => `"${flag}": ${1 << bit}`)
        .join(", ")}}`,
      "",
      "",
      `def _${name}s(lo, hi):`,
      `    out = np.empty(lo.shape, ${upper})`,
      ...fields.map((f) => `    out["${f.name}"] = ${read(f)}${f.frac === undefined ? "" : ` * 2.0 ** -${f.frac}`}`),
      "    return out",
    ].join("\n");
  });
  return `"""Peaks and ends of frames from the 128-bit records of a design for a detector.

${MADE}

    peaks, frames = decode(open("records.bin", "rb").read())
    lost = frames["dropped"].sum()
    good = peaks[(peaks["flags"] & PEAK_FLAGS["edge"]) == 0]
"""
import numpy as np

#: A record as it leaves the stream, least significant byte first.
RECORD = np.dtype([("lo", "<u8"), ("hi", "<u8")])

${kinds.join("\n\n\n")}


def decode(data):
    """Arrays of type PEAK and FRAME, in the order of the records.

    data: bytes of whole records, or an array of type RECORD.
    """
    records = np.frombuffer(data, RECORD) if isinstance(data, (bytes, bytearray, memoryview)) else np.asarray(data, RECORD)
    lo, hi = np.ascontiguousarray(records["lo"]), np.ascontiguousarray(records["hi"])
    end = (lo >> np.uint64(${KIND_BIT})) & np.uint64(1) == 1
    return _peaks(lo[~end], hi[~end]), _frames(lo[end], hi[end])
`;
}

/** A C header (C99) that reads records of ${RECORD_BITS / 8} bytes. */
export function cDecoder(): string {
  const cType = (f: Field): string => (f.frac !== undefined ? "double" : f.signed === true ? "int32_t" : "uint32_t");
  const read = (f: Field): string => {
    const word = `onnx_hls_word(record + ${f.lo < 64 ? 0 : 8})`;
    const at = f.lo % 64;
    const mask = `0x${((1n << BigInt(f.bits)) - 1n).toString(16)}u`;
    const unsigned = `(uint32_t)((${word} >> ${at}) & ${mask})`;
    // Toggling the sign bit and taking it off again extends it, without shifts of negative numbers.
    const sign = `INT32_C(${2 ** (f.bits - 1)})`;
    const value = f.signed === true ? `((int32_t)(${unsigned} ^ (uint32_t)${sign}) - ${sign})` : unsigned;
    return f.frac === undefined ? value : `${value} / ${2 ** f.frac}.0`;
  };
  const kinds = KINDS.map(({ name, fields, flags, docs }) => {
    const prefix = `ONNX_HLS_${name.toUpperCase()}`;
    return [
      ...Object.entries(flags).map(
        ([flag, bit]) =>
          `#define ${prefix}_${flag.toUpperCase()} 0x${(1 << bit).toString(16)}u /* ${(docs as Record<string, string>)[flag]} */`,
      ),
      "",
      "typedef struct {",
      ...fields.map(
        (f) => `  ${cType(f)} ${f.name}; /* ${f.unit === "" ? "" : `${f.unit}; `}${f.doc.replace(/`/g, "")} */`,
      ),
      `} onnx_hls_${name};`,
      "",
      `static inline onnx_hls_${name} onnx_hls_read_${name}(const uint8_t *record) {`,
      `  onnx_hls_${name} r;`,
      ...fields.map((f) => `  r.${f.name} = ${read(f)};`),
      "  return r;",
      "}",
    ].join("\n");
  });
  return `/* Peaks and ends of frames from the 128-bit records of a design for a detector, C99.
 * ${MADE}
 *
 *   for (const uint8_t *r = data; r < data + size; r += ONNX_HLS_RECORD_BYTES)
 *     if (onnx_hls_is_frame(r)) { onnx_hls_frame f = onnx_hls_read_frame(r); ... }
 *     else { onnx_hls_peak p = onnx_hls_read_peak(r); ... }
 */
#ifndef ONNX_HLS_RECORDS_H
#define ONNX_HLS_RECORDS_H

#include <stdint.h>

#define ONNX_HLS_RECORD_BYTES ${RECORD_BITS / 8}

/* Eight bytes, least significant first, whatever the machine's order is. */
static inline uint64_t onnx_hls_word(const uint8_t *p) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
  return v;
}

/* Whether a record is the end of a frame; otherwise it is a peak. */
static inline int onnx_hls_is_frame(const uint8_t *record) { return record[0] >> ${KIND_BIT} & 1; }

${kinds.join("\n\n")}

#endif
`;
}
