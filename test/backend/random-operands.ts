/** Operands of random nodes: tensors that are there and fit, or are made to fit, and constants. */
import { count, type Kind, type ModelBuilder, type Tensor } from "./model-builder.js";

export interface Use {
  readonly name: string;
  readonly build: (b: ModelBuilder) => void;
}

/**
 * A tensor of real numbers; late ones rather than early ones, so that networks get deep. Now and then integers or truth
 * values, converted.
 */
export function real(b: ModelBuilder): Tensor {
  const others = b.tensors.filter((t) => t.kind === "index" || t.kind === "truth");
  if (others.length > 0 && b.chance(0.1)) return b.asReal(b.pick(others));
  const list = b.tensors.filter((t) => t.kind === "real");
  return b.chance(0.6) ? list[list.length - 1 - b.int(0, Math.min(1, list.length - 1))]! : b.pick(list);
}
export function ofKind(b: ModelBuilder, kind: Kind): Tensor | undefined {
  const list = b.tensors.filter((t) => t.kind === kind);
  return list.length === 0 ? undefined : b.pick(list);
}

/** A tensor of the given rank with 1 in front; another one is reshaped. */
export function ranked(
  b: ModelBuilder,
  rank: number,
  fits: (shape: readonly number[]) => boolean = () => true,
): Tensor {
  const good = (s: readonly number[]): boolean => s.length === rank && s[0] === 1 && fits(s);
  const list = b.tensors.filter((t) => t.kind === "real" && good(t.shape));
  if (list.length > 0 && b.chance(0.8)) return b.pick(list);
  const x = real(b);
  if (good(x.shape)) return x;
  const shape = [1, ...split(b, count(x.shape), rank - 1)];
  if (fits(shape)) return reshape(b, x, shape);
  // An outer product with constants makes any shape.
  const wide = Array.from({ length: rank }, (_, d) => (d === 0 ? 1 : 4));
  return b.node("Add", [
    b.node("ReduceMean", [x, b.integers([])], { attrs: { keepdims: 0 } }),
    b.weights(fits(wide) ? wide : wide.map((_, d) => (d === 0 ? 1 : 6))),
  ]);
}
export function reshape(b: ModelBuilder, x: Tensor, shape: readonly number[]): Tensor {
  const guess = b.chance(0.3) ? b.int(0, shape.length - 1) : -1;
  return b.node("Reshape", [x, b.integers(shape.map((n, d) => (d === guess ? -1 : n)))]);
}
/** Factors of n in a random order. */
export function split(b: ModelBuilder, n: number, parts: number): number[] {
  const shape = new Array<number>(parts).fill(1);
  for (let rest = n, f = 2; rest > 1; ) {
    if (rest % f === 0) {
      shape[b.int(0, parts - 1)]! *= f;
      rest /= f;
    } else f++;
  }
  return shape;
}
/** A shape that broadcasts to `shape`. */
export function broadcastable(b: ModelBuilder, shape: readonly number[]): number[] {
  const from = b.chance(0.3) ? b.int(0, shape.length) : 0;
  return shape.slice(from).map((n) => (b.chance(0.4) ? 1 : n));
}
export function broadcasts(a: readonly number[], c: readonly number[]): boolean {
  return a.every((n, i) => {
    const m = c[c.length - a.length + i];
    return m === undefined || m === n || m === 1 || n === 1;
  });
}
/** Another tensor that broadcasts with x, x itself at times, or constants. */
export function partner(b: ModelBuilder, x: Tensor): Tensor | string {
  const list = b.tensors.filter((t) => t.kind === "real" && broadcasts(t.shape, x.shape));
  return b.chance(0.6) ? b.pick(list) : b.weights(broadcastable(b, x.shape));
}
export const sizeOf = (o: Tensor | string): number => (typeof o === "string" ? 1 : o.size);
export const axisOf = (b: ModelBuilder, shape: readonly number[]): number => b.int(-shape.length, shape.length - 1);
export const wrap = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Not below 0.25. */
export function positive(b: ModelBuilder, x: Tensor): Tensor {
  return b.node("Add", [b.node("Abs", [x]), b.floats([], [b.pick([0.25, 0.5, 1])])], { size: x.size + 1 });
}
export function bounded(b: ModelBuilder, x: Tensor, size: number): Tensor {
  return x.size <= size ? x : b.node("Clip", [x, b.floats([], [-size]), b.floats([], [size])], { size });
}
