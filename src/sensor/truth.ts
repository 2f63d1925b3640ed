/** Where peaks are known to be, as simulations say it, and how far those found are from it. */
import { UserError } from "../diagnostics/index.js";
import { readArrays } from "../frontend/npz.js";
import type { Host } from "../host.js";
import type { PeakRow } from "./peak-table.js";
import { splitName } from "./stack.js";

export interface TrueCentre {
  readonly frame: number;
  readonly row: number;
  readonly column: number;
}

/**
 * Centres from a .csv file whose first line names frame, row and column, or from an array of a .npz or .npy file whose
 * first three columns are these.
 *
 * @errors IO001, NP001, SE014, SE020
 */
export function readTruth(path: string, host: Host): TrueCentre[] {
  const { file, name } = splitName(path);
  if (!host.exists(file)) throw UserError.of("IO001", { path: file, reason: "no such file or folder" });
  if (file.endsWith(".csv")) return fromCsv(new TextDecoder().decode(host.readFile(file)), file);
  const arrays = readArrays(host.readFile(file), file);
  const array = arrays.get(name ?? "truth") ?? (arrays.size === 1 ? [...arrays.values()][0] : undefined);
  if (array === undefined)
    throw UserError.of("SE014", { want: name ?? "truth", have: [...arrays.keys()].join(", ") }, { file });
  const [rows, columns] = array.shape as [number, number | undefined];
  if (columns === undefined || columns < 3) throw UserError.of("SE020", {}, { file });
  return Array.from({ length: rows }, (_, i) => {
    const [frame, row, column] = array.data.subarray(i * columns, i * columns + 3) as unknown as number[];
    return { frame: frame!, row: row!, column: column! };
  });
}

function fromCsv(text: string, file: string): TrueCentre[] {
  const [head = "", ...lines] = text.split(/\r?\n/).filter((l) => l !== "");
  const names = head.split(",").map((n) => n.trim());
  const at = (...words: string[]): number => names.findIndex((n) => words.includes(n));
  const [frame, row, column] = [at("frame"), at("row"), at("column", "col")];
  if (frame < 0 || row < 0 || column < 0) throw UserError.of("SE020", {}, { file });
  return lines.map((line) => {
    const v = line.split(",").map(Number);
    return { frame: v[frame]!, row: v[row]!, column: v[column]! };
  });
}

/** A peak and the true centre next to it. */
export interface Residual {
  readonly row: number;
  readonly column: number;
  readonly distance: number;
}

export interface Matched {
  /** Of each peak: found less true position, undefined where no centre is within `limit`. */
  readonly residuals: readonly (Residual | undefined)[];
  /** Centres next to which no peak was found. */
  readonly missed: number;
}

/** Each peak with the nearest centre of its frame within `limit` pixels. */
export function matchTruth(peaks: readonly PeakRow[], truth: readonly TrueCentre[], limit = 2): Matched {
  // Cells of the size of the limit: only neighbours need be looked at.
  const cell = (frame: number, row: number, column: number): string =>
    `${frame},${Math.floor(row / limit)},${Math.floor(column / limit)}`;
  const cells = new Map<string, TrueCentre[]>();
  for (const t of truth) {
    const key = cell(t.frame, t.row, t.column);
    const list = cells.get(key);
    if (list === undefined) cells.set(key, [t]);
    else list.push(t);
  }
  const seen = new Set<TrueCentre>();
  const residuals = peaks.map((p) => {
    let best: Residual | undefined;
    for (const dr of [-limit, 0, limit])
      for (const dc of [-limit, 0, limit])
        for (const t of cells.get(cell(p.frame, p.row + dr, p.column + dc)) ?? []) {
          const [row, column] = [p.row - t.row, p.column - t.column];
          const distance = Math.hypot(row, column);
          if (distance > limit) continue;
          seen.add(t);
          if (best === undefined || distance < best.distance) best = { row, column, distance };
        }
    return best;
  });
  return { residuals, missed: truth.length - seen.size };
}
