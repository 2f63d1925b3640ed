/**
 * The arithmetic of nn operations on doubles: straightforward loops over row-major arrays.
 *
 * Fixed-point values are doubles as well: raw x 2^-frac with a raw integer of at most 53 bits. Sums, products and
 * maxima whose result type is at most 53 bits wide are then exact in double arithmetic, partial sums included, because
 * those types are sized for partial sums too. So one set of kernels serves float and fixed point.
 */
import type { Kernel } from "../define-op.js";
import { rowMajorStrides } from "../types.js";

/** Strides of `shape` read at the points of `target` under numpy broadcasting: 0 along repeated axes. */
export function broadcastStrides(shape: readonly number[], target: readonly number[]): number[] {
  const own = rowMajorStrides(shape);
  const lead = target.length - shape.length;
  return target.map((_, d) => (d < lead || shape[d - lead] === 1 ? 0 : own[d - lead]!));
}

/** For each point of `shape`, in row-major order, `offset` + sum of index x stride. */
export function offsets(shape: readonly number[], strides: readonly number[], offset = 0): Int32Array {
  let list = Int32Array.of(offset);
  for (let d = 0; d < shape.length; d++) {
    const n = shape[d]!;
    const next = new Int32Array(list.length * n);
    for (let i = 0; i < list.length; i++) for (let k = 0; k < n; k++) next[i * n + k] = list[i]! + k * strides[d]!;
    list = next;
  }
  return list;
}

export function elementwise(f: (x: number) => number): Kernel {
  return ([x], out) => {
    for (let i = 0; i < out.length; i++) out[i] = f(x![i]!);
  };
}

export function binary(
  f: (a: number, b: number) => number,
  a: readonly number[],
  b: readonly number[],
  shape: readonly number[],
): Kernel {
  const [ia, ib] = [offsets(shape, broadcastStrides(a, shape)), offsets(shape, broadcastStrides(b, shape))];
  return ([x, y], out) => {
    for (let i = 0; i < out.length; i++) out[i] = f(x![ia[i]!]!, y![ib[i]!]!);
  };
}

/** out[i] = x[from[i]]; a negative index gives `fill`. */
export function permuted(from: Int32Array, fill = 0): Kernel {
  return ([x], out) => {
    for (let i = 0; i < out.length; i++) {
      const k = from[i]!;
      out[i] = k < 0 ? fill : x![k]!;
    }
  };
}

export interface ConvShape {
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly y: readonly number[];
  readonly strides: readonly number[];
  /** At the beginning of each spatial axis. */
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
  readonly group: number;
  /** What x is outside. */
  readonly padValue: number;
}

/** 1-D to 3-D; a third operand is the bias. One pass over the output rows per weight. */
export function conv(c: ConvShape): Kernel {
  const lift = (v: readonly number[], fill: number): [number, number, number] =>
    [...new Array<number>(3 - v.length).fill(fill), ...v] as [number, number, number];
  const [d, h, w] = lift(c.x.slice(2), 1);
  const [od, oh, ow] = lift(c.y.slice(2), 1);
  const [kd, kh, kw] = lift(c.w.slice(2), 1);
  const [sz, sy, sx] = lift(c.strides, 1);
  const [pz, py, px] = lift(c.pads, 0);
  const [dz, dy, dx] = lift(c.dilations, 1);
  const [batch, cin, cout, inGroup] = [c.x[0]!, c.x[1]!, c.w[0]!, c.w[1]!];
  const [outGroup, outs, terms] = [cout / c.group, od * oh * ow, inGroup * kd * kh * kw];
  /** Adds the products of one weight, at (kz, ky, kx), from the volume at i0 to the one at o0. */
  const accumulate = (
    x: Float64Array,
    out: Float64Array,
    i0: number,
    o0: number,
    kz: number,
    ky: number,
    kx: number,
    weight: number,
  ): void => {
    const shift = kx * dx - px;
    const from = shift < 0 ? Math.ceil(-shift / sx) : 0;
    const to = Math.min(ow, Math.floor((w - 1 - shift) / sx) + 1);
    for (let z = 0; z < od; z++) {
      const plane = z * sz + kz * dz - pz;
      if (plane < 0 || plane >= d) continue;
      for (let y = 0; y < oh; y++) {
        const row = y * sy + ky * dy - py;
        if (row < 0 || row >= h) continue;
        const i1 = i0 + (plane * h + row) * w + shift;
        const o1 = o0 + (z * oh + y) * ow;
        for (let q = from; q < to; q++) out[o1 + q]! += (x[i1 + q * sx]! - c.padValue) * weight;
      }
    }
  };
  return ([x, k, b], out) => {
    for (let n = 0; n < batch; n++) {
      for (let co = 0; co < cout; co++) {
        const o0 = (n * cout + co) * outs;
        // x is its padding everywhere, and x - padding inside.
        const every =
          c.padValue === 0 ? 0 : c.padValue * k!.subarray(co * terms, (co + 1) * terms).reduce((sum, v) => sum + v, 0);
        out.fill((b === undefined ? 0 : b[co]!) + every, o0, o0 + outs);
        const first = Math.floor(co / outGroup) * inGroup;
        for (let ci = 0; ci < inGroup; ci++) {
          const i0 = (n * cin + first + ci) * d * h * w;
          let at = co * terms + ci * kd * kh * kw;
          for (let kz = 0; kz < kd; kz++) {
            for (let ky = 0; ky < kh; ky++) {
              for (let kx = 0; kx < kw; kx++) {
                const weight = k![at++]!;
                if (weight !== 0) accumulate(x!, out, i0, o0, kz, ky, kx, weight);
              }
            }
          }
        }
      }
    }
  };
}

/** numpy matmul: rank 1 operands are a row and a column, leading axes broadcast. */
export function matmul(a: readonly number[], b: readonly number[], y: readonly number[]): Kernel {
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  const [m, k] = left.slice(-2) as [number, number];
  const n = right[right.length - 1]!;
  const batch = y.slice(0, Math.max(left.length, right.length) - 2);
  const starts = (shape: readonly number[]): Int32Array => {
    const step = shape[shape.length - 2]! * shape[shape.length - 1]!;
    return offsets(
      batch,
      broadcastStrides(shape.slice(0, -2), batch).map((s) => s * step),
    );
  };
  const [sa, sb] = [starts(left), starts(right)];
  return ([p, q], out) => {
    out.fill(0);
    for (let g = 0; g < sa.length; g++) {
      for (let i = 0; i < m; i++) {
        const o = (g * m + i) * n;
        for (let j = 0; j < k; j++) {
          const v = p![sa[g]! + i * k + j]!;
          if (v === 0) continue;
          const r = sb[g]! + j * n;
          for (let z = 0; z < n; z++) out[o + z]! += v * q![r + z]!;
        }
      }
    }
  };
}

/** How a fold goes over its elements: start value and step. */
export const folds: Readonly<
  Record<"sum" | "max" | "min", { readonly start: number; readonly step: (acc: number, v: number) => number }>
> = {
  sum: { start: 0, step: (acc, v) => acc + v },
  max: { start: -Infinity, step: (acc, v) => (v > acc ? v : acc) },
  min: { start: Infinity, step: (acc, v) => (v < acc ? v : acc) },
};
export type Fold = keyof typeof folds;

/** Folds each row of `from` (equal lengths, negative = absent) into one output. */
function folded(fold: Fold, from: Int32Array, length: number, scale: (o: number) => number): Kernel {
  const { start, step } = folds[fold];
  return ([x], out) => {
    for (let o = 0; o < out.length; o++) {
      let acc = start;
      for (let i = o * length; i < (o + 1) * length; i++) if (from[i]! >= 0) acc = step(acc, x![from[i]!]!);
      out[o] = acc * scale(o);
    }
  };
}

/** Reduction over `axes` (not negative); `mean` divides by the number of elements. */
export function reduce(kind: Fold | "mean", shape: readonly number[], axes: readonly number[]): Kernel {
  const strides = rowMajorStrides(shape);
  const keep = shape.map((_, d) => d).filter((d) => !axes.includes(d));
  const order = [...keep, ...axes];
  const from = offsets(
    order.map((d) => shape[d]!),
    order.map((d) => strides[d]!),
  );
  const length = axes.reduce((n, d) => n * shape[d]!, 1);
  return folded(kind === "mean" ? "sum" : kind, from, length, () => (kind === "mean" ? 1 / length : 1));
}

export interface PoolShape {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
}

/**
 * Pooling over the spatial axes. `average` divides by the window, or by its part inside x where `countPad` is false.
 */
export function pool(kind: Fold | "average", p: PoolShape, countPad: boolean): Kernel {
  const rank = p.kernel.length;
  const [xs, ys] = [p.x.slice(2), p.y.slice(2)];
  const planes = p.x[0]! * p.x[1]!;
  const planeSize = xs.reduce((n, d) => n * d, 1);
  const steps = rowMajorStrides(xs);
  const points = (shape: readonly number[]): number[][] =>
    shape.reduce<number[][]>((list, n) => list.flatMap((q) => Array.from({ length: n }, (_, i) => [...q, i])), [[]]);
  const window = points(p.kernel);
  const plane = points(ys).flatMap((o) =>
    window.map((k) => {
      let at = 0;
      for (let d = 0; d < rank; d++) {
        const i = o[d]! * p.strides[d]! + k[d]! * p.dilations[d]! - p.pads[d]!;
        if (i < 0 || i >= xs[d]!) return -1;
        at += i * steps[d]!;
      }
      return at;
    }),
  );
  const from = new Int32Array(planes * plane.length);
  for (let c = 0; c < planes; c++)
    plane.forEach((at, i) => (from[c * plane.length + i] = at < 0 ? -1 : c * planeSize + at));
  const size = window.length;
  const outs = plane.length / size;
  const inside = Array.from(
    { length: outs },
    (_, o) => plane.slice(o * size, (o + 1) * size).filter((at) => at >= 0).length,
  );
  const average = kind === "average";
  return folded(average ? "sum" : kind, from, size, (o) => (average ? 1 / (countPad ? size : inside[o % outs]!) : 1));
}

/**
 * Softmax along one axis (not negative), after subtraction of the maximum. Rows of -Inf alone, which ONNX leaves
 * undefined, are 0.
 */
export function softmax(shape: readonly number[], axis: number): Kernel {
  const step = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const n = shape[axis]!;
  return ([x], out) => {
    for (let start = 0; start < out.length; start += n * step) {
      for (let s = start; s < start + step; s++) {
        let top = -Infinity;
        for (let i = 0; i < n; i++) top = Math.max(top, x![s + i * step]!);
        if (top === -Infinity) {
          for (let i = 0; i < n; i++) out[s + i * step] = 0;
          continue;
        }
        let sum = 0;
        for (let i = 0; i < n; i++) sum += out[s + i * step] = Math.exp(x![s + i * step]! - top);
        for (let i = 0; i < n; i++) out[s + i * step]! /= sum;
      }
    }
  };
}

export function concat(shapes: readonly (readonly number[])[], axis: number): Kernel {
  const inner = shapes[0]!.slice(axis + 1).reduce((n, d) => n * d, 1);
  const runs = shapes.map((s) => s[axis]! * inner);
  const total = runs.reduce((a, b) => a + b, 0);
  return (inputs, out) => {
    let start = 0;
    inputs.forEach((x, i) => {
      const run = runs[i]!;
      for (let o = 0; o * run < x.length; o++) out.set(x.subarray(o * run, (o + 1) * run), o * total + start);
      start += run;
    });
  };
}
