/**
 * The one structured kernel: a typed view on `flow.kernel`, in the spirit of structured linear algebra.
 *
 * A kernel runs over an iteration space of parallel and reduction iterators. At each point it reads one scalar per body
 * operand, through an affine map into a view of that operand (outside the view: the pad value), and applies the body.
 * The combiner folds the body's results over the reduction iterators; the epilogue turns the folded value and the
 * epilogue operands (which depend on parallel iterators alone) into the result element. Unrolled iterators are lanes of
 * hardware, the others a loop nest of steps.
 */
import { affineExpr, affineMap, type AffineExpr, type AffineMap } from "../affine.js";
import type { Attr, AttrRecord } from "../attributes.js";
import { typeAttr, isTypeAttr } from "../attributes.js";
import type { Block, Builder, Location, Op, Value } from "../core.js";
import { isFx } from "../fx/index.js";
import { at } from "../present.js";
import { rowMajorStrides, stream, type FixedType, type StreamType } from "../types.js";

export interface Iterator {
  readonly name: string;
  readonly extent: number;
  readonly kind: "parallel" | "reduction";
}

/**
 * How a kernel sees an operand: element = offset + sum of strides[d] x index[d]; an index outside `shape` reads `pad`.
 */
export interface View {
  readonly offset: number;
  readonly strides: readonly number[];
  readonly shape: readonly number[];
  /** Raw integer of the operand's element type. */
  readonly pad: number;
}

export interface KernelOperand {
  readonly value: Value;
  readonly map: AffineMap;
  readonly view: View;
  readonly phase: "body" | "epilogue";
}

export type Combiner = "add" | "max" | "min" | "none";

/** Which iterators are lanes, and in which order the rest runs. */
export interface Schedule {
  /** Sequential loop nest, outermost first; holds every iterator. */
  readonly order: readonly string[];
  /** Lanes per iterator; 1 where absent. Iterator value = step x unroll + lane. */
  readonly unroll: Readonly<Record<string, number>>;
  /**
   * What forms the products: shifted additions where weights are fixed, multiplier blocks; the cheaper one where
   * absent.
   */
  readonly multiply?: "logic" | "dsp";
}

export interface KernelSpec {
  readonly name: string;
  readonly iterators: readonly Iterator[];
  readonly operands: readonly KernelOperand[];
  readonly combiner: Combiner;
  /** Type of the folded value. */
  readonly accType: FixedType;
  /** Index of the result element, over the parallel iterators; covers every element exactly once. */
  readonly out: AffineMap;
  readonly resultShape: readonly number[];
  readonly resultElem: FixedType;
  readonly schedule: Schedule | undefined;
  /**
   * An ensemble of trees, where the body asks for one (`fx.tree`): operand 0 holds the features along the last
   * dimension of its view, operand 1 numbers of trees by output and term. Thresholds are raw integers of operand 0, all
   * relations `le` or `eq`.
   */
  readonly trees?: AttrRecord;
}

/** Iterators over the features of an ensemble: they are lanes altogether, and no terms of a sum. */
export function isFeatureIterator(spec: KernelSpec, index: number): boolean {
  return (
    spec.trees !== undefined &&
    at(spec.iterators, index).kind === "reduction" &&
    at(spec.operands, 0).map.results.some((r) => r.coeffs[index] !== 0)
  );
}

/** Iterators that must be lanes altogether: features, and outputs of an ensemble, whose trees differ. */
export function isWholeIterator(spec: KernelSpec, index: number): boolean {
  if (spec.trees === undefined) return false;
  return (
    isFeatureIterator(spec, index) ||
    (at(spec.iterators, index).kind === "parallel" &&
      at(spec.operands, 0).map.results.every((r) => r.coeffs[index] === 0))
  );
}

export function rowMajorView(shape: readonly number[], pad = 0): View {
  return { offset: 0, strides: rowMajorStrides(shape), shape, pad };
}

/** Names of the iterators in order: the inputs of all maps of a kernel. */
export function iteratorNames(iterators: readonly Iterator[]): string[] {
  return iterators.map((i) => i.name);
}

/** Linear element address of an operand, ignoring bounds, as an affine expression over the iterators. */
export function linearAccess(operand: { map: AffineMap; view: View }): AffineExpr {
  return combine(operand.map, operand.view.strides, operand.view.offset);
}

/** Linear element index of the result. */
export function linearResult(spec: Pick<KernelSpec, "out" | "resultShape">): AffineExpr {
  return combine(spec.out, rowMajorStrides(spec.resultShape), 0);
}

function combine(map: AffineMap, strides: readonly number[], offset: number): AffineExpr {
  const coeffs = map.dims.map(() => 0);
  let o = offset;
  map.results.forEach((r, d) => {
    const stride = at(strides, d);
    r.coeffs.forEach((c, i) => (coeffs[i] = (coeffs[i] ?? 0) + c * stride));
    o += r.offset * stride;
  });
  return { coeffs, offset: o };
}

/** Multiply-accumulates of a kernel per sample: points of the iteration space if its body multiplies, otherwise 0. */
export function kernelMacs(op: Op, spec: KernelSpec): number {
  if (spec.combiner !== "add" || !op.body.ops.some((o) => isFx(o, "fx.mul"))) return 0;
  return spec.iterators.reduce((n, i) => n * i.extent, 1);
}

// --- reading and writing the operation

export function buildKernel(b: Builder, spec: KernelSpec, body: Block, epilogue: Block, loc: Location): Op {
  return b.create(
    "flow.kernel",
    spec.operands.map((o) => o.value),
    [stream(spec.resultShape, spec.resultElem)],
    kernelAttrs(spec),
    {
      regions: [body, epilogue],
      hints: [spec.name],
      loc,
    },
  );
}

export function kernelAttrs(spec: KernelSpec): Record<string, Attr> {
  return {
    sym: spec.name,
    iterators: spec.iterators.map((i): AttrRecord => ({ name: i.name, extent: i.extent, kind: i.kind })),
    access: spec.operands.map(
      (o): AttrRecord => ({
        map: o.map,
        offset: o.view.offset,
        strides: [...o.view.strides],
        shape: [...o.view.shape],
        pad: o.view.pad,
        phase: o.phase,
      }),
    ),
    combiner: spec.combiner,
    acc: typeAttr(spec.accType),
    out: spec.out,
    ...(spec.trees && { trees: spec.trees }),
    ...(spec.schedule && {
      schedule: {
        order: [...spec.schedule.order],
        unroll: { ...spec.schedule.unroll },
        ...(spec.schedule.multiply && { multiply: spec.schedule.multiply }),
      },
    }),
  };
}

export function readKernel(op: Op): KernelSpec {
  const acc = op.attrs["acc"];
  if (!isTypeAttr(acc) || acc.type.kind !== "fixed")
    throw new Error(`kernel ${String(op.attrs["sym"])}: no accumulator type`);
  const result = op.result.type as StreamType;
  const access = op.attrs["access"] as readonly AttrRecord[];
  const schedule = op.attrs["schedule"] as AttrRecord | undefined;
  return {
    name: op.attrs["sym"] as string,
    iterators: op.attrs["iterators"] as readonly AttrRecord[] as unknown as readonly Iterator[],
    operands: access.map((a, i) => ({
      value: op.operand(i),
      map: a["map"] as AffineMap,
      view: {
        offset: a["offset"] as number,
        strides: a["strides"] as number[],
        shape: a["shape"] as number[],
        pad: a["pad"] as number,
      },
      phase: a["phase"] as "body" | "epilogue",
    })),
    combiner: op.attrs["combiner"] as Combiner,
    accType: acc.type,
    out: op.attrs["out"] as AffineMap,
    resultShape: result.shape,
    resultElem: result.elem as FixedType,
    ...(op.attrs["trees"] !== undefined && { trees: op.attrs["trees"] as AttrRecord }),
    schedule: schedule && {
      order: schedule["order"] as string[],
      unroll: schedule["unroll"] as unknown as Record<string, number>,
      ...(schedule["multiply"] !== undefined && { multiply: schedule["multiply"] as "logic" | "dsp" }),
    },
  };
}

/** Replaces the attributes of `op` by those of `spec`; operands and regions stay. */
export function writeKernel(op: Op, spec: KernelSpec): void {
  op.attrs = { ...op.attrs, ...kernelAttrs(spec) };
}

// --- iterator surgery

/**
 * Rewrites every map in terms of new iterators: old iterator i = sum of `parts[i]` (name, factor).
 * Splitting (k = 25 c + p), renaming and dropping iterators of extent 1 are all of this form.
 */
export function substituteIterators(
  spec: KernelSpec,
  iterators: readonly Iterator[],
  parts: ReadonlyMap<string, readonly { name: string; factor: number }[]>,
): KernelSpec {
  const dims = iteratorNames(iterators);
  return {
    ...spec,
    iterators,
    operands: spec.operands.map((o) => ({ ...o, map: substituteMap(o.map, dims, parts) })),
    out: substituteMap(spec.out, dims, parts),
    schedule: undefined,
  };
}

export function substituteMap(
  map: AffineMap,
  dims: readonly string[],
  parts: ReadonlyMap<string, readonly { name: string; factor: number }[]>,
): AffineMap {
  return affineMap(
    dims,
    map.results.map((r) => {
      const terms: Record<string, number> = {};
      r.coeffs.forEach((c, i) => {
        if (c === 0) return;
        const old = at(map.dims, i);
        for (const p of parts.get(old) ?? [{ name: old, factor: 1 }])
          terms[p.name] = (terms[p.name] ?? 0) + c * p.factor;
      });
      return affineExpr(dims, terms, r.offset);
    }),
  );
}

// --- schedules ------------------------------------------------------------------------------------------------------

export function unrollOf(spec: Pick<KernelSpec, "schedule">, name: string): number {
  return spec.schedule?.unroll[name] ?? 1;
}

/** The part of a kernel that says which steps it takes. */
export type ScheduledLoops = Pick<KernelSpec, "name" | "iterators" | "schedule">;

/** A loop of the sequential nest. */
export interface Loop {
  readonly name: string;
  readonly trips: number;
  readonly kind: Iterator["kind"];
  readonly unroll: number;
  readonly extent: number;
  /** Index among the kernel's iterators. */
  readonly index: number;
}

/** The sequential nest, outermost first, without loops of one trip. */
export function loopNest(spec: ScheduledLoops): Loop[] {
  if (spec.schedule === undefined) throw new Error(`kernel ${spec.name} has no schedule`);
  return spec.schedule.order
    .map((name) => {
      const index = spec.iterators.findIndex((i) => i.name === name);
      const it = at(spec.iterators, index);
      const unroll = unrollOf(spec, name);
      return { name, kind: it.kind, unroll, extent: it.extent, index, trips: Math.ceil(it.extent / unroll) };
    })
    .filter((l) => l.trips > 1);
}

export function stepCount(spec: KernelSpec): number {
  return loopNest(spec).reduce((n, l) => n * l.trips, 1);
}

/** Scalar bodies evaluated per step: the product of all unroll factors. */
export function laneCount(spec: KernelSpec): number {
  return spec.iterators.reduce((n, i) => n * unrollOf(spec, i.name), 1);
}
