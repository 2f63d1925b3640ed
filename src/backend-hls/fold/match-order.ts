/**
 * Brings a kernel's loops into the order in which its operands arrive: iterators are split where the producer's digits
 * and words end (k = 25 c + 5 y + x behind a flatten), and ordered as the producer writes.
 */
import { elementAt, lastOf, present } from "../../ir/present.js";
import {
  linearAccess,
  linearResult,
  substituteIterators,
  unrollOf,
  type Iterator,
  type KernelSpec,
} from "../../ir/flow/kernel.js";
import { rowMajorStrides, type StreamType } from "../../ir/types.js";

/** A dimension of a producer's result as a digit of the element index. */
export interface ProducerDigit {
  readonly stride: number;
  readonly extent: number;
  readonly unroll: number;
  /** Position of its loop in the producer's nest; undefined where all of it lies within a word. */
  readonly rank: number | undefined;
}

/**
 * Digits of a tensor that enters through a port, `word` elements a beat in row-major order; least significant first.
 */
export function portDigits(type: StreamType, word: number): ProducerDigit[] {
  const digits: ProducerDigit[] = [];
  let left = word;
  const strides = rowMajorStrides(type.shape);
  for (let d = type.shape.length - 1; d >= 0; d--) {
    const extent = elementAt(type.shape, d);
    const unroll = Math.min(left, extent);
    left = Math.max(1, Math.floor(left / extent));
    if (extent > 1)
      digits.push({ stride: elementAt(strides, d), extent, unroll, rank: unroll >= extent ? undefined : d });
  }
  return digits;
}

/** Digits of the result of a scheduled kernel, least significant first; ranks count its parallel loops alone. */
export function resultDigits(spec: KernelSpec): ProducerDigit[] {
  const digits: ProducerDigit[] = [];
  const expr = linearResult(spec);
  const parallel = present(spec.schedule, "schedule").order.filter((name) =>
    spec.iterators.some((i) => i.name === name && i.kind === "parallel"),
  );
  spec.iterators.forEach((it, i) => {
    if (it.kind !== "parallel") return;
    const unroll = unrollOf(spec, it.name);
    digits.push({
      stride: elementAt(expr.coeffs, i),
      extent: it.extent,
      unroll,
      rank: unroll >= it.extent ? undefined : parallel.indexOf(it.name),
    });
  });
  return digits.sort((a, b) => a.stride - b.stride);
}

/**
 * Splits the iterators of a kernel where a producer's digit or word ends inside one, and orders the loops. Only what
 * walks along the stream is split in the end: iterators within one place of it are free to take any number of lanes.
 */
export function matchProducers(
  spec: KernelSpec,
  digits: readonly (readonly ProducerDigit[] | undefined)[],
): { spec: KernelSpec; order: LoopOrder } {
  const all = splitToProducers(spec, digits, new Set());
  const { majors } = chooseOrder(all, digits);
  const whole = new Set(
    spec.iterators
      .map((i) => i.name)
      .filter((name) => ![...majors].some((m) => m === name || isPieceOf(m, name, spec))),
  );
  const split = splitToProducers(spec, digits, whole);
  return { spec: split, order: chooseOrder(split, digits) };
}

/** Pieces of iterator `k` are called k0, k1, ...; the first split of k0 would be k00, k01, ... */
function isPieceOf(piece: string, name: string, spec: KernelSpec): boolean {
  return (
    piece.startsWith(name) && /^[0-9]+$/.test(piece.slice(name.length)) && !spec.iterators.some((i) => i.name === piece)
  );
}

function splitToProducers(
  spec: KernelSpec,
  digits: readonly (readonly ProducerDigit[] | undefined)[],
  whole: ReadonlySet<string>,
): KernelSpec {
  let result = spec;
  digits.forEach((ds, k) => {
    if (ds === undefined) return;
    const cuts = new Set<number>();
    for (const d of ds) {
      cuts.add(d.stride);
      if (d.unroll < d.extent && d.extent % d.unroll === 0) cuts.add(d.stride * d.unroll);
    }
    result = splitAt(
      result,
      linearAccess(elementAt(result.operands, k)).coeffs,
      [...cuts].sort((a, b) => a - b),
      whole,
    );
  });
  return result;
}

function splitAt(
  spec: KernelSpec,
  coeffs: readonly number[],
  cuts: readonly number[],
  whole: ReadonlySet<string>,
): KernelSpec {
  const iterators: Iterator[] = [];
  const parts = new Map<string, { name: string; factor: number }[]>();
  spec.iterators.forEach((it, i) => {
    const c = Math.abs(elementAt(coeffs, i));
    const factors = [1];
    for (const cut of cuts) {
      if (c === 0 || whole.has(it.name) || cut <= c || cut >= c * it.extent || cut % c !== 0) continue;
      const f = cut / c;
      if (it.extent % f === 0 && f % lastOf(factors) === 0 && f > lastOf(factors)) factors.push(f);
    }
    if (factors.length === 1) {
      iterators.push(it);
      return;
    }
    const pieces = factors
      .map((f, k) => ({
        name: `${it.name}${factors.length - 1 - k}`,
        factor: f,
        extent: (factors[k + 1] ?? it.extent) / f,
      }))
      .reverse();
    parts.set(
      it.name,
      pieces.map(({ name, factor }) => ({ name, factor })),
    );
    for (const p of pieces) iterators.push({ name: p.name, extent: p.extent, kind: it.kind });
  });
  return parts.size === 0 ? spec : substituteIterators(spec, iterators, parts);
}

export interface LoopOrder {
  readonly order: readonly string[];
  /** Iterators that follow the arrival of the driving operand: unrolling them costs words of several positions. */
  readonly majors: ReadonlySet<string>;
  /** Iterators on which the driving operand depends at all. */
  readonly along: ReadonlySet<string>;
}

/** Reductions over more words than this in one place are accumulated as they arrive, not gathered first. */
const MAX_GATHERED_WORDS = 16;

/**
 * Loop order: first the iterators that walk along the driving operand (the first stream of the body), in its order of
 * arrival; then the other parallel ones; reductions innermost, so that one accumulator per lane does. Where nothing but
 * reductions walk (a dense layer on a stream), they stay outside and the outputs are accumulated side by side.
 */
function chooseOrder(spec: KernelSpec, digits: readonly (readonly ProducerDigit[] | undefined)[]): LoopOrder {
  const driver = spec.operands.findIndex((o, k) => o.phase === "body" && digits[k] !== undefined);
  const names = spec.iterators.map((i) => i.name);
  if (driver < 0)
    return {
      order: [...spec.iterators]
        .sort((a, b) => Number(a.kind === "reduction") - Number(b.kind === "reduction"))
        .map((i) => i.name),
      majors: new Set(),
      along: new Set(),
    };
  const coeffs = linearAccess(elementAt(spec.operands, driver)).coeffs;
  const walking: { name: string; kind: Iterator["kind"]; rank: number; words: number }[] = [];
  for (const d of present(digits[driver], "digits of what drives the loops")) {
    if (d.rank === undefined) continue;
    const on = spec.iterators.filter(
      (_, i) => Math.abs(elementAt(coeffs, i)) >= d.stride && Math.abs(elementAt(coeffs, i)) < d.stride * d.extent,
    );
    const parallel = on.filter((i) => i.kind === "parallel");
    for (const i of parallel.length > 0 ? parallel : on) {
      if (walking.some((w) => w.name === i.name)) continue;
      // Pieces of one digit keep their significance: the larger stride runs outside.
      walking.push({
        name: i.name,
        kind: i.kind,
        rank: d.rank - Math.abs(elementAt(coeffs, names.indexOf(i.name))) / (d.stride * d.extent + 1),
        words: Math.ceil(i.extent / d.unroll),
      });
    }
  }
  walking.sort((a, b) => a.rank - b.rank);
  let majors = walking.map((w) => w.name);
  let gathered = 1;
  for (let k = walking.length - 1; k > 0 && elementAt(walking, k).kind === "reduction"; k--) {
    gathered *= elementAt(walking, k).words;
    if (walking.slice(0, k).some((w) => w.kind === "parallel") && gathered <= MAX_GATHERED_WORDS)
      majors = majors.slice(0, k);
  }
  const rest = spec.iterators.filter((i) => !majors.includes(i.name));
  const order = [
    ...majors,
    ...rest.filter((i) => i.kind === "parallel").map((i) => i.name),
    ...rest.filter((i) => i.kind === "reduction").map((i) => i.name),
  ];
  return { order, majors: new Set(majors), along: new Set(names.filter((_, i) => coeffs[i] !== 0)) };
}
