/** What type inference of nn operations shares: shapes, and on fixed point the formats that lose nothing. */
import type { Op, Value } from "../core.js";
import type { Report } from "../define-op.js";
import { dataRange, ranged, widened, type Ranged } from "../fixed-arith.js";
import { f32, tensor, type FixedType, type TensorType } from "../types.js";
import { constantOf, fixedOf, shapeOf } from "./values.js";

/** Element type of a value that is in fixed point, because `typed` asks only then. */
export function formatOf(v: Value): FixedType {
  const elem = fixedOf(v);
  if (elem === undefined) throw new Error(`%${v.hint ?? v.id} is not in fixed point`);
  return elem;
}

/** Format of a value with the raw range that it can have: for constants, the range that occurs. */
export function rangedOf(v: Value): Ranged {
  const elem = formatOf(v);
  const data = constantOf(v)?.data;
  return data === undefined || data.length === 0 ? ranged(elem) : { frac: elem.frac, range: widened(dataRange(data)) };
}

/** `shape` with f32, or with the format that `fixed` works out where the operands are in fixed point. */
export function typed(op: Op, shape: readonly number[], fixed: () => FixedType): readonly [TensorType] {
  return [tensor(shape, op.operands.every((v) => fixedOf(v) !== undefined) ? fixed() : f32)];
}

/** Numpy broadcasting; undefined where the shapes do not fit. */
export function broadcastShapes(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let d = 0; d < rank; d++) {
    const x = a[a.length - rank + d] ?? 1;
    const y = b[b.length - rank + d] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return undefined;
    out.push(x === 1 ? y : x);
  }
  return out;
}

/** The shape to which all broadcast, which is known to be there. */
export function commonShape(...shapes: readonly (readonly number[])[]): readonly number[] {
  return shapes.reduce((all, s) => {
    const both = broadcastShapes(all, s);
    if (both === undefined) throw new Error(`shapes ${listText(all)} and ${listText(s)} do not broadcast`);
    return both;
  });
}

/** Reports unless the result has the shape that inference gives and, on fixed point, is in fixed point too. */
export function checkShape(op: Op, expected: readonly number[] | undefined, report: Report): void {
  if (expected === undefined) return;
  const have = shapeOf(op.result);
  if (have.join() !== expected.join())
    report(`result has shape [${have.join(", ")}], [${expected.join(", ")}] follows from the operands`);
  const operandsFixed = op.operands.length > 0 && op.operands.every((v) => fixedOf(v) !== undefined);
  if (operandsFixed && fixedOf(op.result) === undefined) report("operands are in fixed point, the result is not");
}

export function listText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}
