/**
 * A batch that the file fixes and that is to be another. The model is read twice: as it is, for the shape that every
 * tensor has, and with the stated batch. Shapes must then differ in the batch and in nothing else; where constants
 * carry it, that shows here.
 */
import type { Rebatching } from "./shapes.js";

export class Batch {
  constructor(
    readonly change: Rebatching,
    /** Shapes of all tensors with the file's own batch. */
    private readonly original: ReadonlyMap<string, readonly number[]>,
  ) {}

  /** Shape of a tensor with the file's own batch. */
  shapeOf(tensor: string): readonly number[] | undefined {
    return this.original.get(tensor);
  }

  /** Whether a tensor has another shape than with the file's own batch. */
  touches(tensor: string, shape: readonly number[]): boolean {
    const before = this.original.get(tensor);
    return before !== undefined && before.join() !== shape.join();
  }

  /**
   * The axis along which a shape has the stated batch in place of the file's; undefined where it differs in another
   * way, or not at all.
   */
  axis(before: readonly number[], now: readonly number[]): number | undefined {
    const { from, to } = this.change;
    const odd = before.flatMap((n, d) => (n === now[d] ? [] : [d]));
    return before.length === now.length && odd.length === 1 && before[odd[0]!]! * to === now[odd[0]!]! * from
      ? odd[0]
      : undefined;
  }

  /**
   * The shape that a reshape gives with the stated batch, from the one that it gave. Undefined unless the batch is
   * outermost on both sides: only then are the samples behind one another, before and after.
   */
  reshaped(
    before: readonly number[],
    now: readonly number[],
    result: readonly number[],
  ): readonly number[] | undefined {
    const { from, to } = this.change;
    const outermost = (s: readonly number[]): number => s.findIndex((n) => n !== 1);
    const [at, out] = [this.axis(before, now), outermost(result)];
    if (at === undefined || at !== outermost(before) || out < 0 || result[out]! % from !== 0) return undefined;
    return result.map((n, d) => (d === out ? (n / from) * to : n));
  }
}
