/**
 * The records that leave the hardware: 128 bits each, one layout for a peak and one for the end of a frame. Everything
 * that packs or reads them, and the documentation, is made from the lists here.
 */

/** Bits of a record. */
export const RECORD_BITS = 128;

export interface Field {
  readonly name: string;
  /** First bit. No field crosses bit 64. */
  readonly lo: number;
  readonly bits: number;
  readonly signed?: boolean;
  /** Value = integer x 2^-frac. */
  readonly frac?: number;
  readonly unit: string;
  readonly doc: string;
}

/** Bit 7 of a record's flags: it is the end of a frame. */
export const KIND_BIT = 7;

const COMMON: readonly Field[] = [
  { name: "flags", lo: 0, bits: 8, unit: "", doc: "bit 7: 0 in a peak, 1 at the end of a frame; others below" },
  { name: "frame", lo: 8, bits: 24, unit: "", doc: "number of the frame since reset, modulo 2^24" },
];

export const PEAK_FIELDS: readonly Field[] = [
  ...COMMON,
  { name: "row", lo: 32, bits: 24, signed: true, frac: 10, unit: "pixels", doc: "0 is the middle of the first row" },
  { name: "pixels", lo: 56, bits: 8, unit: "pixels", doc: "above zero in the patch, at most 255" },
  {
    name: "column",
    lo: 64,
    bits: 24,
    signed: true,
    frac: 10,
    unit: "pixels",
    doc: "0 is the middle of the first column",
  },
  { name: "maximum", lo: 88, bits: 16, unit: "counts", doc: "largest pixel of the patch" },
  { name: "sum", lo: 104, bits: 24, unit: "counts", doc: "of the pixels of the patch, at most 16777215" },
];

export const FRAME_FIELDS: readonly Field[] = [
  ...COMMON,
  { name: "found", lo: 32, bits: 32, unit: "peaks", doc: "in this frame" },
  { name: "sent", lo: 64, bits: 32, unit: "peaks", doc: "with a record of their own" },
  { name: "dropped", lo: 96, bits: 32, unit: "peaks", doc: "because the queue was full" },
];

/** Bits of the flags by name. */
export const PEAK_FLAGS = { clipped: 0, edge: 1 } as const;
export const FRAME_FLAGS = { clipped: 0, short: 1, long: 2, line: 3, regions_full: 4, no_dark: 5, merged: 6 } as const;

export const PEAK_FLAG_DOCS: Readonly<Record<keyof typeof PEAK_FLAGS, string>> = {
  clipped: "the largest pixel of the patch was clipped to 16 bits",
  edge: "the patch overlaps the edge of the frame",
};
export const FRAME_FLAG_DOCS: Readonly<Record<keyof typeof FRAME_FLAGS, string>> = {
  clipped: "a pixel of the frame was clipped to 16 bits",
  short: "the next frame, or the mark of the frame's end, came before its last pixel",
  long: "pixels came between the last frame and this one, or the mark of the frame's end did not come with its last pixel",
  line: "TLAST came at another pixel than the last one of a row",
  regions_full: "the table of open regions was full: pixels were left out",
  no_dark: "the dark did not arrive with the pixels: pixels without it were left out",
  merged: "records of frames before this one found no room, because nobody took records: their peaks are counted here",
};

export interface PeakRecord {
  readonly kind: "peak";
  readonly frame: number;
  readonly flags: readonly (keyof typeof PEAK_FLAGS)[];
  /** In 1/1024 pixel. */
  readonly row: number;
  readonly column: number;
  readonly maximum: number;
  readonly sum: number;
  readonly pixels: number;
}

export interface FrameRecord {
  readonly kind: "frame";
  readonly frame: number;
  readonly flags: readonly (keyof typeof FRAME_FLAGS)[];
  readonly found: number;
  readonly sent: number;
  readonly dropped: number;
}

export type SensorRecord = PeakRecord | FrameRecord;

/** The record as an integer. Every number must fit its field; frame numbers are taken modulo 2^24. */
export function packRecord(record: SensorRecord): bigint {
  const [fields, names] = record.kind === "peak" ? [PEAK_FIELDS, PEAK_FLAGS] : [FRAME_FIELDS, FRAME_FLAGS];
  const bits: Readonly<Record<string, number>> = names;
  const flags = record.flags.reduce((f, name) => f | (1 << bits[name]!), record.kind === "frame" ? 1 << KIND_BIT : 0);
  const values = { ...record, flags, frame: record.frame % 2 ** 24 } as unknown as Readonly<Record<string, number>>;
  return fields.reduce((word, f) => {
    const value = BigInt(values[f.name]!);
    const fits = f.signed === true ? BigInt.asIntN(f.bits, value) : BigInt.asUintN(f.bits, value);
    if (fits !== value) throw new RangeError(`${f.name} is ${value}, which is not of ${f.bits} bits`);
    return word | (BigInt.asUintN(f.bits, value) << BigInt(f.lo));
  }, 0n);
}

export function unpackRecord(word: bigint): SensorRecord {
  const read = (f: Field): number => {
    const part = BigInt.asUintN(f.bits, word >> BigInt(f.lo));
    return Number(f.signed === true ? BigInt.asIntN(f.bits, part) : part);
  };
  const isFrame = ((word >> BigInt(KIND_BIT)) & 1n) === 1n;
  const values = Object.fromEntries((isFrame ? FRAME_FIELDS : PEAK_FIELDS).map((f) => [f.name, read(f)]));
  const set = values["flags"]!;
  const flags = Object.entries(isFrame ? FRAME_FLAGS : PEAK_FLAGS).flatMap(([name, bit]) =>
    ((set >> bit) & 1) === 1 ? [name] : [],
  );
  return { ...values, kind: isFrame ? "frame" : "peak", flags } as unknown as SensorRecord;
}

/** Records as the bytes of a file: 16 each, least significant first. */
export function recordBytes(records: readonly SensorRecord[]): Uint8Array {
  const bytes = new Uint8Array((records.length * RECORD_BITS) / 8);
  const view = new DataView(bytes.buffer);
  records.forEach((r, i) => {
    const word = packRecord(r);
    view.setBigUint64(i * 16, BigInt.asUintN(64, word), true);
    view.setBigUint64(i * 16 + 8, word >> 64n, true);
  });
  return bytes;
}

/** @param bytes a multiple of 16 */
export function readRecords(bytes: Uint8Array): SensorRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / 16) }, (_, i) =>
    unpackRecord(view.getBigUint64(i * 16, true) | (view.getBigUint64(i * 16 + 8, true) << 64n)),
  );
}
