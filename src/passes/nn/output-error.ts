/**
 * How far an output of a fixed-point network is from the float network's: errors, and agreement where an output is a
 * choice.
 */
import type { Value } from "../../ir/core.js";
import { fixedOf, shapeOf } from "../../ir/nn/values.js";
import { argmax } from "./quantize/bounds.js";
import { hasTrait } from "../../ir/define-op.js";

export interface OutputError {
  readonly max_abs_error: number;
  /** Mean absolute error. */
  readonly mae: number;
  /** Root of the mean squared error. */
  readonly rmse: number;
  /** Signal to quantization noise, 10 log10(sum x^2 / sum error^2); Infinity without error. */
  readonly sqnr_db: number;
  /**
   * Share of rows whose largest element is at the same place; of elements that differ by less than the output's last
   * bit any is right. Only for outputs that are one vector or a list of vectors.
   */
  readonly argmax_agreement?: number;
  /** Share of rows that agree only because of that. */
  readonly ties?: number;
  /** Whether the rows look like scores: the float network's largest element stands out. */
  readonly scores?: boolean;
  /**
   * Of outputs that only take a few whole numbers (labels, indices, decisions): share of elements that are the same
   * number.
   */
  readonly equal?: number;
}

/**
 * Elements of one row of scores in `output`: of a single vector all, of a list of vectors those of one, where it is a
 * dense layer that makes them. 0 for everything else: the last axis of an image says nothing about a choice.
 */
export function scoresOf(output: Value): number {
  const shape = shapeOf(output);
  const axes = shape.filter((d) => d > 1);
  if (axes.length === 1) return axes[0]!;
  const last = shape[shape.length - 1];
  if (axes.length !== 2 || last === undefined || last < 2) return 0;
  for (let op = output.def; op !== undefined; op = op.operand(0).def) {
    if (op.name === "nn.matmul") return last;
    // Elements changed one by one leave the last axis what it was.
    if (!hasTrait(op, "elementwise")) return 0;
  }
  return 0;
}

/** More different numbers are no labels. */
const LABELS = 256;
/**
 * Lead of the largest element, in standard deviations of its row, that half of all rows must have for a choice to mean
 * something.
 */
const LEAD = 0.05;

export class OutputMeter {
  private signal = 0;
  private noise = 0;
  private worst = 0;
  private absolute = 0;
  private count = 0;
  private rows = 0;
  private agreeing = 0;
  private ties = 0;
  private clear = 0;
  private same = 0;
  private step = 0;
  private labels: Set<number> | undefined = new Set();
  private readonly width: number;

  /** `float`: the float network's output. `limit`: elements of this magnitude stand for what a mask has taken out. */
  constructor(
    float: Value,
    private readonly limit = Infinity,
  ) {
    this.width = scoresOf(float);
  }

  /** One sample. `step`: the distance of neighbouring numbers that the fixed-point output can be. */
  add(expected: ArrayLike<number>, actual: ArrayLike<number>, step: number): void {
    for (let i = 0; i < expected.length; i++) {
      const x = expected[i]!;
      if (Math.abs(x) >= this.limit) continue;
      this.count++;
      const e = actual[i]! - x;
      this.signal += x * x;
      this.noise += e * e;
      this.absolute += Math.abs(e);
      if (e > this.worst || -e > this.worst) this.worst = Math.abs(e);
      if (Math.abs(e) < 0.5) this.same++;
      if (this.labels !== undefined && (!Number.isInteger(x) || this.labels.add(x).size > LABELS))
        this.labels = undefined;
    }
    this.step = Math.max(this.step, step);
    if (this.width < 2) return;
    const [x, y] = [Float64Array.from(expected), Float64Array.from(actual)];
    for (let r = 0; r < x.length; r += this.width)
      this.row(x.subarray(r, r + this.width), y.subarray(r, r + this.width), step);
  }

  private row(x: Float64Array, y: Float64Array, step: number): void {
    const first = argmax(x);
    let [second, sum, squares] = [-Infinity, 0, 0];
    x.forEach((v, i) => {
      if (i !== first && v > second) second = v;
      sum += v;
      squares += v * v;
    });
    this.rows++;
    // An integer network's next number is a different one; a float network's, rounded, may be the same.
    const chosen = argmax(y);
    if (chosen === first) this.agreeing++;
    else if (x[first]! - x[chosen]! < 0.999 * step) {
      this.agreeing++;
      this.ties++;
    }
    const deviation = Math.sqrt(Math.max(0, squares / x.length - (sum / x.length) ** 2));
    if (x[first]! - second > LEAD * deviation) this.clear++;
  }

  result(): OutputError {
    const { signal, noise, count, rows } = this;
    const isLabel = this.labels !== undefined && this.labels.size > 1;
    return {
      max_abs_error: this.worst,
      mae: this.absolute / Math.max(1, count),
      rmse: Math.sqrt(noise / Math.max(1, count)),
      // Of an output that is always zero there is no ratio: it is right to the last bit, or wrong.
      sqnr_db:
        noise === 0 || (signal === 0 && this.worst <= this.step)
          ? Infinity
          : signal === 0
            ? -Infinity
            : 10 * Math.log10(signal / noise),
      ...(rows > 0 && {
        argmax_agreement: this.agreeing / rows,
        ties: this.ties / rows,
        scores: this.clear >= rows / 2,
      }),
      ...(isLabel && { equal: this.same / count }),
    };
  }
}

/** Distance of neighbouring numbers of a fixed-point output whose port has this scale. */
export function stepOf(output: Value, scale: number): number {
  const type = fixedOf(output);
  return type === undefined ? 0 : 2 ** -type.frac * scale;
}
