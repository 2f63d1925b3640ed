/** Peaks of many frames as a table, and the files that it is written to. */
import type { OutputArray } from "../frontend/npz.js";
import { inPixels, type LocatedFrame } from "./locate.js";
import { FRAME_FLAGS, PEAK_FLAGS, type FrameRecord, type SensorRecord } from "./records.js";

export interface PeakRow {
  readonly frame: number;
  /** In pixels; 0 is the middle of the first one. */
  readonly row: number;
  readonly column: number;
  readonly maximum: number;
  readonly sum: number;
  readonly pixels: number;
  readonly flags: readonly (keyof typeof PEAK_FLAGS)[];
}

export interface PeakTable {
  readonly peaks: readonly PeakRow[];
  readonly frames: readonly FrameRecord[];
}

/** The rows of a frame that has been located. */
export function rowsOf(frame: LocatedFrame): PeakRow[] {
  return tableOf(frame.peaks.map((p) => p.record)).peaks.slice();
}

/** Records in any order, as a table. */
export function tableOf(records: readonly SensorRecord[]): PeakTable {
  return {
    peaks: records.flatMap((r) => {
      if (r.kind !== "peak") return [];
      const { kind: _, row, column, ...rest } = r;
      return [{ ...rest, row: inPixels(row), column: inPixels(column) }];
    }),
    frames: records.filter((r) => r.kind === "frame"),
  };
}

/** The table of peaks, a line each. */
export function peaksCsv(table: PeakTable): string {
  const lines = table.peaks.map((p) =>
    [p.frame, p.row.toFixed(4), p.column.toFixed(4), p.maximum, p.sum, p.pixels, p.flags.join(" ")].join(),
  );
  return `${["frame,row,column,maximum,sum,pixels,flags", ...lines].join("\n")}\n`;
}

/** The table of frames, a line each. */
export function framesCsv(table: PeakTable): string {
  const lines = table.frames.map((f) => [f.frame, f.found, f.sent, f.dropped, f.flags.join(" ")].join());
  return `${["frame,found,sent,dropped,flags", ...lines].join("\n")}\n`;
}

/** Columns of both tables by name, such as `peaks/row`. Flags are bits, as in the records. */
export function columnsOf(table: PeakTable): Map<string, OutputArray> {
  const columns = new Map<string, OutputArray>();
  const bits = (flags: readonly string[], numbers: Readonly<Record<string, number>>): number =>
    flags.reduce((sum, name) => sum | (1 << numbers[name]!), 0);
  const add = <T>(name: string, rows: readonly T[], of: (row: T) => number, real = false): void => {
    const data = real ? Float64Array.from(rows, of) : Int32Array.from(rows, of);
    columns.set(name, { shape: [rows.length], data });
  };
  add("peaks/frame", table.peaks, (p) => p.frame);
  add("peaks/row", table.peaks, (p) => p.row, true);
  add("peaks/column", table.peaks, (p) => p.column, true);
  for (const key of ["maximum", "sum", "pixels"] as const) add(`peaks/${key}`, table.peaks, (p) => p[key]);
  add("peaks/flags", table.peaks, (p) => bits(p.flags, PEAK_FLAGS));
  for (const key of ["frame", "found", "sent", "dropped"] as const) add(`frames/${key}`, table.frames, (f) => f[key]);
  add("frames/flags", table.frames, (f) => bits(f.flags, FRAME_FLAGS));
  return columns;
}
