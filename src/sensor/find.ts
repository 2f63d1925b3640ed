/**
 * Peaks in corrected pixels, and their patches. A peak is what the general operation `sparsify` sends on: a predicate
 * over the dense stream, a window around it, and where it was.
 */
import { findComponents } from "./components.js";
import { type LocalMaximum, patchOffset, type Sensor } from "./sensor.js";

export interface Peak {
  /** Of the patch's first pixel, in pixels of the frame; may be negative. */
  readonly row: number;
  readonly column: number;
  /** Row by row, `patch` x `patch`. */
  readonly pixels: Uint16Array;
}

export interface Found {
  /** In the order of origin row, origin column. */
  readonly peaks: readonly Peak[];
  /** Of the rule `component`: the table of open regions was full, pixels were left out. */
  readonly regionsFull: boolean;
  /** Of the rule `component`: places of the table that were taken at the same time, at most. */
  readonly openRegions: number;
}

export function findPeaks(sensor: Sensor, values: Uint16Array): Found {
  if (sensor.find.rule === "component") return findComponents(sensor, sensor.find, values);
  const anchors = localMaxima(sensor, sensor.find, values);
  return { peaks: anchors.map((at) => patchAt(sensor, values, at)), regionsFull: false, openRegions: 0 };
}

/**
 * Indices of the pixels that are peaks: at least `peakMin`, larger than those of the window before them in raster order,
 * at least as large as those behind. Beyond the frame pixels are 0.
 */
export function localMaxima(
  sensor: Pick<Sensor, "rows" | "columns" | "patch">,
  rule: LocalMaximum,
  values: Uint16Array,
): number[] {
  const { rows, columns, patch } = sensor;
  const half = rule.window >> 1;
  const before = -patchOffset(sensor);
  const behind = patch - 1 - before;
  const found: number[] = [];
  const isPeak = (row: number, column: number, v: number): boolean => {
    for (let dr = -half; dr <= half; dr++) {
      const r = row + dr;
      if (r < 0 || r >= rows) continue;
      const first = Math.max(0, column - half);
      const last = Math.min(columns - 1, column + half);
      for (let c = first, i = r * columns + first; c <= last; c++, i++) {
        const earlier = dr < 0 || (dr === 0 && c < column);
        if (earlier ? values[i]! >= v : values[i]! > v) return false;
      }
    }
    return true;
  };
  const drop = rule.edges === "drop";
  const [top, bottom] = drop ? [before, rows - behind] : [0, rows];
  const [left, right] = drop ? [before, columns - behind] : [0, columns];
  for (let row = top; row < bottom; row++)
    for (let column = left; column < right; column++) {
      const v = values[row * columns + column]!;
      if (v >= rule.peakMin && isPeak(row, column, v)) found.push(row * columns + column);
    }
  return found;
}

/** The patch around pixel `at`; zeros beyond the frame. */
function patchAt(sensor: Sensor, values: Uint16Array, at: number): Peak {
  const { rows, columns, patch } = sensor;
  const row = Math.floor(at / columns) + patchOffset(sensor);
  const column = (at % columns) + patchOffset(sensor);
  const pixels = new Uint16Array(patch * patch);
  for (let r = Math.max(0, -row); r < patch && row + r < rows; r++)
    for (let c = Math.max(0, -column); c < patch && column + c < columns; c++)
      pixels[r * patch + c] = values[(row + r) * columns + column + c]!;
  return { row, column, pixels };
}
