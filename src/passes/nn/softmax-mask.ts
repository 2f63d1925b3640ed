/**
 * Which positions of a softmax count. Exporters say it with numbers: -Inf, -1e4 or the lowest float are added to the
 * scores or chosen in their place, by constants or by what the network computes (padding). Here the numbers become a
 * predicate, so that no format has to hold them, and what is left are scores of an ordinary size.
 *
 * Rows in which nothing counts get what floating point gives: numbers up to 10^7 cancel and leave the scores, larger
 * ones swallow the scores and leave equal shares, and -Inf leaves nothing (zeros, as in PyTorch's attention; ONNX has
 * NaN there).
 */
import { Dense } from "../../ir/attributes.js";
import type { Builder, Value } from "../../ir/core.js";
import { commonShape } from "../../ir/nn/typing.js";
import { shapeOf } from "../../ir/nn/values.js";
import { f32, tensor } from "../../ir/types.js";
import { broadcastTo, MASKED, MaskReader, SWALLOWS, type ClosedRow } from "./mask-reader.js";
import { both } from "./softmax-gates.js";

export interface MaskedScores {
  /** Absent where the softmax is one of the mask alone: all positions that count have equal shares. */
  readonly scores: Value | undefined;
  /**
   * 1 where a position counts, 0 where it does not; broadcasts to the softmax's operand, with its full extent along the
   * axis.
   */
  readonly open: Dense | undefined;
  /** The same, computed by the network. */
  readonly computed: Value | undefined;
  /** For rows that the computed part closes. */
  readonly closedRow: ClosedRow;
  /** 1 where a position has a share in such a row; absent where all have that the constant part leaves open. */
  readonly fallback: Value | undefined;
  /** Rows that the constant part closes for good. */
  readonly deadRows: number;
}

/**
 * The mask in front of the softmax of `x` along `axis`; undefined where there is none. New operations go where `b` is.
 */
export function readMask(x: Value, axis: number, b: Builder): MaskedScores | undefined {
  const terms = new MaskReader(b).split(x, 1);
  if (terms === undefined) return undefined;
  const shape = shapeOf(x);
  const rows = constantPart(terms.constants, shape, axis);
  let scores = terms.scores;
  const constant = (d: Dense, what: string): Value =>
    b.value("nn.constant", [], tensor(d.shape, f32), { value: d }, `${x.hint ?? "scores"}_${what}`);
  const joined = (name: string, v: Value | undefined, d: Dense, what: string): Value =>
    v === undefined
      ? constant(d, what)
      : b.value(
          name,
          [v, constant(d, what)],
          tensor(commonShape(shapeOf(v), d.shape), f32),
          {},
          `${x.hint ?? "scores"}_${what}`,
        );
  if (rows?.bias !== undefined) scores = joined("nn.add", scores, rows.bias, "bias");
  if (rows?.live !== undefined && scores !== undefined) scores = joined("nn.mul", scores, rows.live, "live");
  const kinds = terms.computed.map((c) => c.closedRow);
  return {
    scores,
    open: rows?.open,
    computed: terms.computed
      .map((c) => c.open)
      .reduce<Value | undefined>((p, q) => (p === undefined ? q : both(p, q, b)), undefined),
    closedRow: kinds.includes("zeros") ? "zeros" : kinds.includes("equal") ? "equal" : "scores",
    fallback: terms.computed.find((c) => c.fallback !== undefined)?.fallback,
    deadRows: rows?.dead ?? 0,
  };
}

interface ConstantPart {
  readonly open: Dense | undefined;
  /** What is added to the scores of positions that count. */
  readonly bias: Dense | undefined;
  /** 0 in rows whose scores are swallowed. */
  readonly live: Dense | undefined;
  readonly dead: number;
}

/** The sum of constant masks, row by row as float32 would have it. */
function constantPart(constants: readonly Dense[], x: readonly number[], axis: number): ConstantPart | undefined {
  if (constants.length === 0) return undefined;
  const along = x.slice(axis).map((n, d) => (d === 0 ? n : 1));
  const shape = commonShape(along, ...constants.map((d) => d.shape));
  const sum = new Float64Array(shape.reduce((n, d) => n * d, 1));
  for (const d of constants) broadcastTo(d, shape).forEach((v, i) => (sum[i] = Math.fround(sum[i]! + v)));
  const at = shape.length - (x.length - axis);
  const step = shape.slice(at + 1).reduce((n, d) => n * d, 1);
  const n = shape[at]!;
  const [open, bias] = [new Float64Array(sum.length), new Float64Array(sum.length)];
  const live = new Float64Array(sum.length / n).fill(1);
  let dead = 0;
  for (let row = 0; row < live.length; row++) {
    const first = Math.floor(row / step) * step * n + (row % step);
    let top = -Infinity;
    for (let i = 0; i < n; i++) top = Math.max(top, sum[first + i * step]!);
    if (top === -Infinity) dead++;
    if (top <= SWALLOWS) live[row] = 0;
    for (let i = 0; i < n; i++) {
      const k = first + i * step;
      open[k] = top > -Infinity && sum[k]! - top > MASKED ? 1 : 0;
      bias[k] = open[k] === 0 || top <= SWALLOWS ? 0 : sum[k]! - (top <= MASKED ? top : 0);
    }
  }
  const dense = (data: Float64Array, of: readonly number[] = shape): Dense => new Dense(of, f32, data);
  return {
    open: open.every((v) => v === 1) ? undefined : dense(open),
    bias: bias.every((v) => v === 0) ? undefined : dense(bias),
    live: live.every((v) => v === 1)
      ? undefined
      : dense(
          live,
          shape.map((d, i) => (i === at ? 1 : d)),
        ),
    dead,
  };
}
