/**
 * Lists of indices as grids: a window partition, a roll or an interleaving is a few equidistant indices, repeated at
 * equal distances.
 */
import type { Viewed } from "./views.js";

/** Indices start + sum of i_k x step_k, the last dimension fastest. */
export interface IndexGrid {
  readonly start: number;
  readonly dims: readonly { readonly n: number; readonly step: number }[];
}

export function gridSize(g: IndexGrid): number {
  return g.dims.reduce((n, d) => n * d.n, 1);
}

/** Lengths of the maximal lists of neighbours of one form whose starts are equidistant. */
function equidistant(parts: readonly IndexGrid[]): number[] {
  const same = (a: IndexGrid, b: IndexGrid): boolean =>
    a.dims.length === b.dims.length && a.dims.every((d, k) => d.n === b.dims[k]!.n && d.step === b.dims[k]!.step);
  const lengths: number[] = [];
  for (let i = 0; i < parts.length; ) {
    const step = i + 1 < parts.length ? parts[i + 1]!.start - parts[i]!.start : 0;
    let n = 1;
    while (
      i + n < parts.length &&
      same(parts[i]!, parts[i + n]!) &&
      parts[i + n]!.start - parts[i + n - 1]!.start === step
    )
      n++;
    lengths.push(n);
    i += n;
  }
  return lengths;
}

/**
 * Joins such neighbours, each list one dimension more; `even`: to equal lengths, where chance has made some longer than
 * the others.
 */
function join(parts: readonly IndexGrid[], even: boolean): IndexGrid[] {
  const found = equidistant(parts);
  const common = even ? found.reduce(gcd, 0) : 1;
  const lengths = common > 1 ? found.flatMap((n) => new Array<number>(n / common).fill(common)) : found;
  let at = 0;
  return lengths.map((n) => {
    const [first, second] = [parts[at]!, parts[at + 1]];
    at += n;
    return n === 1 ? first : { start: first.start, dims: [{ n, step: second!.start - first.start }, ...first.dims] };
  });
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** Maximal lists of equidistant indices, in order. */
export function indexRuns(indices: readonly number[]): IndexGrid[] {
  return join(
    indices.map((start) => ({ start, dims: [] })),
    false,
  );
}

/** As few grids as joining level by level leaves, with lists of any or of equal lengths. */
export function indexGrids(indices: readonly number[]): IndexGrid[] {
  const [free, even] = [false, true].map((equal) => {
    let parts: IndexGrid[] = indices.map((start) => ({ start, dims: [] }));
    for (let before = Infinity; parts.length < before; ) {
      before = parts.length;
      parts = join(parts, equal);
    }
    return parts;
  }) as [IndexGrid[], IndexGrid[]];
  return even.length < free.length ? even : free;
}

/** The elements of `v` that a grid picks along `axis`, its dimensions in the place of that axis. */
export function gridView(v: Viewed, axis: number, g: IndexGrid): Viewed {
  const stride = v.strides[axis]!;
  const put = (list: readonly number[], own: readonly number[]): number[] => [
    ...list.slice(0, axis),
    ...own,
    ...list.slice(axis + 1),
  ];
  return {
    ...v,
    offset: v.offset + g.start * stride,
    shape: put(
      v.shape,
      g.dims.map((d) => d.n),
    ),
    strides: put(
      v.strides,
      g.dims.map((d) => d.step * stride),
    ),
  };
}
