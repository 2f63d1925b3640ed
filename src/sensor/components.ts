/**
 * 8-connected regions of pixels above zero, in one pass over the rows with a bounded table.
 *
 * A pixel with no neighbour to the left or above opens a region, which takes a place of the table. Where a pixel touches
 * several, they become one; the places of the others are given back at the end of the next row, because until then the
 * row above still names them. A region without a pixel in a row is finished at the end of that row, and its place is
 * given back. A pixel that would open a region while no place is left becomes zero, and the frame is flagged: a pixel
 * that is the only bridge between others is lost with it, nothing else.
 */
import type { Found, Peak } from "./find.js";
import type { Component, Sensor } from "./sensor.js";

interface Region {
  top: number;
  left: number;
  bottom: number;
  right: number;
  count: number;
  /** Indices of its pixels; undefined once it is larger than a patch. */
  pixels: number[] | undefined;
}

export function findComponents(sensor: Sensor, rule: Component, values: Uint16Array): Found {
  const { rows, columns, patch } = sensor;
  const places = rule.openRegions;
  const free = Array.from({ length: places }, (_, i) => places - i);
  // Of each place: the region, and the place that it was joined to.
  const regions = new Array<Region | undefined>(places + 1);
  const joined = new Int32Array(places + 1);
  const root = (place: number): number => {
    let p = place;
    while (joined[p] !== 0) p = joined[p]!;
    return p;
  };
  /** Places that were joined to others in this row and in the row before. */
  let [given, givenBefore]: [number[], number[]] = [[], []];
  let [above, current] = [new Int32Array(columns + 2), new Int32Array(columns + 2)];
  const open = new Set<number>();
  const peaks: Peak[] = [];
  let regionsFull = false;
  let most = 0;

  const join = (a: number, b: number): number => {
    if (a === b) return a;
    const [keep, other] = [regions[a]!, regions[b]!];
    keep.top = Math.min(keep.top, other.top);
    keep.left = Math.min(keep.left, other.left);
    keep.bottom = Math.max(keep.bottom, other.bottom);
    keep.right = Math.max(keep.right, other.right);
    keep.count += other.count;
    keep.pixels =
      keep.pixels === undefined || other.pixels === undefined ? undefined : keep.pixels.concat(other.pixels);
    forgetLarge(keep, patch);
    joined[b] = a;
    regions[b] = undefined;
    open.delete(b);
    given.push(b);
    return a;
  };

  for (let row = 0; row <= rows; row++) {
    current.fill(0);
    for (let column = 0; row < rows && column < columns; column++) {
      const at = row * columns + column;
      if (values[at] === 0) continue;
      let place = 0;
      // `current` and `above` have a column of zeros on either side.
      for (const neighbour of [current[column]!, above[column]!, above[column + 1]!, above[column + 2]!])
        if (neighbour !== 0) place = place === 0 ? root(neighbour) : join(place, root(neighbour));
      if (place === 0) {
        const taken = free.pop();
        if (taken === undefined) {
          regionsFull = true;
          continue;
        }
        place = taken;
        most = Math.max(most, places - free.length);
        regions[place] = { top: row, left: column, bottom: row, right: column, count: 0, pixels: [] };
        open.add(place);
      }
      current[column + 1] = place;
      const region = regions[place]!;
      region.left = Math.min(region.left, column);
      region.right = Math.max(region.right, column);
      region.bottom = row;
      region.count++;
      region.pixels?.push(at);
      forgetLarge(region, patch);
    }
    for (const place of givenBefore) {
      joined[place] = 0;
      free.push(place);
    }
    [givenBefore, given] = [given, []];
    for (const place of open) {
      const region = regions[place]!;
      if (region.bottom === row) continue;
      open.delete(place);
      regions[place] = undefined;
      free.push(place);
      if (region.count >= rule.minPixels && region.pixels !== undefined)
        peaks.push(peakOf(sensor, region, region.pixels, values));
    }
    [above, current] = [current, above];
  }
  return { peaks: sortByOrigin(peaks, columns), regionsFull, openRegions: most };
}

/** Pixels of a region that no patch can hold are not needed. */
function forgetLarge(region: Region, patch: number): void {
  if (region.bottom - region.top >= patch || region.right - region.left >= patch) region.pixels = undefined;
}

/** The region alone, its bounding box in the middle of the patch: half a pixel before it where it cannot be. */
function peakOf(sensor: Sensor, region: Region, at: readonly number[], values: Uint16Array): Peak {
  const { columns, patch } = sensor;
  const row = region.top - ((patch - (region.bottom - region.top + 1)) >> 1);
  const column = region.left - ((patch - (region.right - region.left + 1)) >> 1);
  const pixels = new Uint16Array(patch * patch);
  for (const i of at) pixels[(Math.floor(i / columns) - row) * patch + (i % columns) - column] = values[i]!;
  return { row, column, pixels };
}

/** By origin; of equal ones the region that has the first pixel of both in raster order. */
function sortByOrigin(peaks: Peak[], columns: number): Peak[] {
  const first = (p: Peak): number => {
    const size = Math.sqrt(p.pixels.length);
    const k = p.pixels.findIndex((v) => v !== 0);
    return (p.row + Math.floor(k / size)) * columns + p.column + (k % size);
  };
  return peaks.sort((a, b) => a.row - b.row || a.column - b.column || first(a) - first(b));
}
