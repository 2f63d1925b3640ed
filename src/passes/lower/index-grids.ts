/** Lists of indices as grids: a window partition, a roll or an interleaving is a few equidistant indices, repeated at equal distances. */
import type { Viewed } from "./views.js";

/** Indices start + sum of i_k x step_k, the last dimension fastest. */
export interface IndexGrid {
  readonly start: number;
  readonly dims: readonly { readonly n: number; readonly step: number }[];
}

export function gridSize(g: IndexGrid): number {
  return g.dims.reduce((n, d) => n * d.n, 1);
}

/** Joins neighbours of one form whose starts are equidistant; each joined list is one dimension more. */
function join(parts: readonly IndexGrid[]): IndexGrid[] {
  const same = (a: IndexGrid, b: IndexGrid): boolean => a.dims.length === b.dims.length && a.dims.every((d, k) => d.n === b.dims[k]!.n && d.step === b.dims[k]!.step);
  const out: IndexGrid[] = [];
  for (let i = 0; i < parts.length; ) {
    const first = parts[i]!;
    const step = i + 1 < parts.length ? parts[i + 1]!.start - first.start : 0;
    let n = 1;
    while (i + n < parts.length && same(first, parts[i + n]!) && parts[i + n]!.start - parts[i + n - 1]!.start === step) n++;
    out.push(n === 1 ? first : { start: first.start, dims: [{ n, step }, ...first.dims] });
    i += n;
  }
  return out;
}

/** Maximal lists of equidistant indices, in order. */
export function indexRuns(indices: readonly number[]): IndexGrid[] {
  return join(indices.map((start) => ({ start, dims: [] })));
}

/** As few grids as joining level by level leaves. */
export function indexGrids(indices: readonly number[]): IndexGrid[] {
  let parts = indexRuns(indices);
  for (let before = Infinity; parts.length < before; ) {
    before = parts.length;
    parts = join(parts);
  }
  return parts;
}

/** The elements of `v` that a grid picks along `axis`, its dimensions in the place of that axis. */
export function gridView(v: Viewed, axis: number, g: IndexGrid): Viewed {
  const stride = v.strides[axis]!;
  const put = (list: readonly number[], own: readonly number[]): number[] => [...list.slice(0, axis), ...own, ...list.slice(axis + 1)];
  return { ...v, offset: v.offset + g.start * stride, shape: put(v.shape, g.dims.map((d) => d.n)), strides: put(v.strides, g.dims.map((d) => d.step * stride)) };
}
