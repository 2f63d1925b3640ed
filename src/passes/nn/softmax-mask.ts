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
import type { Builder, Op, Value } from "../../ir/core.js";
import { denseAttr, numAttr } from "../../ir/define-op.js";
import { broadcastStrides, offsets } from "../../ir/nn/kernels.js";
import { broadcastShapes } from "../../ir/nn/typing.js";
import { shapeOf, constantOf, singleOf } from "../../ir/nn/values.js";
import { f32, tensor, type TensorType } from "../../ir/types.js";
import { evaluateConstant } from "./fold-constants.js";
import { isMove } from "../../ir/nn/roles.js";

/** From here on, exp of a difference is nothing to a result of any width. */
export const MASKED = -1000;
/** From here on, a float32 number takes nothing of the scores that are added to it. */
const SWALLOWS = -1e7;

/** What becomes of rows in which no position counts. */
export type ClosedRow = "zeros" | "equal" | "scores";

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

/** What an operand of a softmax is made of. */
interface Terms {
  readonly scores: Value | undefined;
  /** Added numbers, some of which mask. */
  readonly constants: readonly Dense[];
  readonly computed: readonly Computed[];
}
interface Computed {
  readonly open: Value;
  readonly closedRow: ClosedRow;
  /** A number that is chosen in the place of what is masked already lifts it to its own. */
  readonly fallback?: Value;
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
          tensor(broadcastShapes(shapeOf(v), d.shape)!, f32),
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

/** 1 where both are. */
function both(p: Value, q: Value, b: Builder): Value {
  return b.value("nn.min", [p, q], tensor(broadcastShapes(shapeOf(p), shapeOf(q))!, f32), {}, p.hint);
}

/** 1 where a score takes part in the maximum, and where its exp counts. */
export interface Gates {
  readonly competes: Value;
  readonly counts: Value;
}

/**
 * The mask of a softmax along `axis` of a tensor of `shape`.
 *
 * @param name of an operation, from what it is
 */
export function gatesOf(
  mask: MaskedScores,
  axis: number,
  shape: readonly number[],
  b: Builder,
  name: (suffix: string) => string,
): Gates {
  const constant = mask.open ?? new Dense([], f32, Float64Array.of(1));
  const fixedPart = b.value("nn.constant", [], tensor(constant.shape, f32), { value: constant }, name("mask"));
  if (mask.computed === undefined) return { competes: fixedPart, counts: fixedPart };
  const open = mask.open === undefined ? mask.computed : both(mask.computed, fixedPart, b);
  if (mask.closedRow === "zeros") return { competes: open, counts: open };
  // Where all are closed, all count: what closes them cancels.
  const along = shape.slice(axis).map((n, d) => (d === 0 ? n : 1));
  const wide = broadcast(open, tensor(broadcastShapes(shapeOf(open), along)!, f32), b);
  const at = shapeOf(wide).length - (shape.length - axis);
  const row = tensor(
    shapeOf(wide).map((n, d) => (d === at ? 1 : n)),
    f32,
  );
  const any = b.value("nn.reduce", [wide], row, { axes: [at], keepdims: true, kind: "max" }, name("any"));
  const one = b.value("nn.constant", [], tensor([], f32), { value: new Dense([], f32, Float64Array.of(1)) });
  const none = b.value("nn.sub", [one, any], row, {}, name("none"));
  const others = mask.fallback ?? (mask.open === undefined ? undefined : fixedPart);
  const filling = others === undefined ? none : both(none, others, b);
  const counts = b.value(
    "nn.max",
    [open, filling],
    tensor(broadcastShapes(shapeOf(wide), shapeOf(filling))!, f32),
    {},
    name("mask"),
  );
  return { competes: mask.closedRow === "equal" ? open : counts, counts };
}

/** `v` in the given shape. */
export function broadcast(v: Value, type: TensorType, b: Builder): Value {
  return shapeOf(v).join() === type.shape.join()
    ? v
    : b.value("nn.broadcast", [v], type, { shape: [...type.shape] }, v.hint);
}

/** `x` where `open` is 1, `other` where it is 0. */
export function choose(open: Value, x: Value, other: Value, type: TensorType, b: Builder, hint: string): Value {
  const c = constantOf(open);
  if (c?.data.every((v) => v === 1) === true) return broadcast(x, type, b);
  const sign =
    c === undefined
      ? b.value("nn.neg", [open], open.type, {}, hint)
      : b.value(
          "nn.constant",
          [],
          open.type,
          {
            value: new Dense(
              c.shape,
              f32,
              Float64Array.from(c.data, (v) => -v + 0),
            ),
          },
          open.hint,
        );
  return b.value("nn.select_neg", [sign, x, other], type, {}, hint);
}

class MaskReader {
  constructor(private readonly b: Builder) {}

  /** The parts of `sign` * v, where some of it masks. */
  split(v: Value, sign: 1 | -1): Terms | undefined {
    const op = v.def;
    if (op === undefined) return undefined;
    if (isMove(op)) return this.moved(op, sign);
    switch (op.name) {
      case "nn.constant": {
        const d = denseAttr(op, "value");
        const data = Float64Array.from(d.data, (c) => sign * c);
        return data.some((c) => c <= MASKED) && !data.includes(Infinity)
          ? { scores: undefined, constants: [new Dense(d.shape, f32, data)], computed: [] }
          : undefined;
      }
      case "nn.add":
        return this.sum(op, sign, sign);
      case "nn.sub":
        return this.sum(op, sign, sign === 1 ? -1 : 1);
      case "nn.neg":
        return this.split(op.operand(0), sign === 1 ? -1 : 1);
      case "nn.mul":
        return this.product(op, sign) ?? this.product(op, sign, 0);
      case "nn.select_neg":
        return this.choice(op, sign);
      case "nn.max": {
        const bound = [0, 1].find((k) => (singleOf(op.operand(k)) ?? 0) <= MASKED);
        return sign === 1 && bound !== undefined
          ? this.bounded(op.operand(1 - bound), singleOf(op.operand(bound))!)
          : undefined;
      }
      case "nn.clip": {
        const lo = numAttr(op, "lo", -Infinity);
        return sign === 1 && lo <= MASKED && numAttr(op, "hi", Infinity) >= -SWALLOWS
          ? this.bounded(op.operand(0), lo)
          : undefined;
      }
      default:
        return undefined;
    }
  }

  /** As `split`, and everything else as scores. */
  private parts(v: Value, sign: 1 | -1): Terms {
    const found = this.split(v, sign);
    if (found !== undefined) return found;
    const zero = constantOf(v)?.data.every((c) => c === 0) === true;
    return {
      scores: zero ? undefined : sign === 1 ? v : this.b.value("nn.neg", [v], v.type, {}, v.hint),
      constants: [],
      computed: [],
    };
  }

  private sum(op: Op, left: 1 | -1, right: 1 | -1): Terms | undefined {
    if (this.split(op.operand(0), left) === undefined && this.split(op.operand(1), right) === undefined)
      return undefined;
    const [p, q] = [this.parts(op.operand(0), left), this.parts(op.operand(1), right)];
    const scores =
      p.scores === undefined || q.scores === undefined
        ? (p.scores ?? q.scores)
        : this.b.value(
            "nn.add",
            [p.scores, q.scores],
            tensor(broadcastShapes(shapeOf(p.scores), shapeOf(q.scores))!, f32),
            {},
            op.result.hint,
          );
    return { scores, constants: [...p.constants, ...q.constants], computed: [...p.computed, ...q.computed] };
  }

  /** A scale behind a mask, or an indicator times a large number. `side` is the constant's. */
  private product(op: Op, sign: 1 | -1, side = 1): Terms | undefined {
    const c = singleOf(op.operand(side));
    if (c === undefined || c === 0) return undefined;
    const x = op.operand(1 - side);
    const inner = c > 0 ? this.split(x, sign) : undefined;
    if (inner !== undefined) {
      const scores =
        inner.scores && this.b.value("nn.mul", [inner.scores, op.operand(side)], inner.scores.type, {}, op.result.hint);
      return {
        scores,
        constants: inner.constants.map(
          (d) =>
            new Dense(
              d.shape,
              f32,
              Float64Array.from(d.data, (v) => v * c),
            ),
        ),
        computed: inner.computed,
      };
    }
    if (Math.abs(c) < -MASKED || !isIndicator(x)) return undefined;
    // Of the indicator's two values one is 0, and the other makes the product negative.
    const [one, zero] = [this.number(1), this.number(0)];
    const half = this.number(c * sign < 0 ? 0.5 : -0.5);
    const beyond = this.b.value("nn.sub", c * sign < 0 ? [half, x] : [x, half], x.type, {}, op.result.hint);
    return {
      scores: undefined,
      constants: [],
      computed: [
        {
          open: this.b.value("nn.select_neg", [beyond, zero, one], x.type, {}, op.result.hint),
          closedRow: rowOf(-Math.abs(c)),
        },
      ],
    };
  }

  /** A choice between scores and a number that masks. */
  private choice(op: Op, sign: 1 | -1): Terms | undefined {
    const [condition, p, q] = [op.operand(0), op.operand(1), op.operand(2)];
    const depth = (v: Value): number | undefined => {
      const data = constantOf(v)?.data;
      const top =
        data === undefined ? Infinity : Array.from(data, (x) => sign * x).reduce((a, x) => Math.max(a, x), -Infinity);
      return top <= MASKED ? top : undefined;
    };
    const [closedWhere, other] = depth(p) !== undefined ? ["negative", q] : ["positive", p];
    const M = depth(closedWhere === "negative" ? p : q);
    if (M === undefined || depth(other as Value) !== undefined) return undefined;
    const rest = this.parts(other as Value, sign);
    // What takes the place of the scores is the same for all, however small it is.
    const swallowed = rest.scores === undefined && rest.constants.length === 0 ? M : Math.min(M, SWALLOWS);
    const c = constantOf(condition);
    if (c !== undefined) {
      const data = Float64Array.from(c.data, (v) => (v < 0 === (closedWhere === "negative") ? swallowed : 0));
      return { ...rest, constants: [...rest.constants, new Dense(c.shape, f32, data)] };
    }
    const [one, zero] = [this.number(1), this.number(0)];
    const open = this.b.value(
      "nn.select_neg",
      closedWhere === "negative" ? [condition, zero, one] : [condition, one, zero],
      condition.type,
      {},
      op.result.hint,
    );
    const lifts = rest.constants.length > 0 || rest.computed.length > 0;
    const closed = lifts ? this.b.value("nn.sub", [one, open], open.type, {}, op.result.hint) : undefined;
    return {
      ...rest,
      computed: [
        ...rest.computed,
        { open, closedRow: rowOf(swallowed), ...(closed !== undefined && { fallback: closed }) },
      ],
    };
  }

  /** A lower bound that turns -Inf into a number. */
  private bounded(x: Value, lo: number): Terms | undefined {
    const inner = this.split(x, 1);
    if (inner === undefined || lo === -Infinity) return inner;
    return {
      ...inner,
      constants: inner.constants.map(
        (d) =>
          new Dense(
            d.shape,
            f32,
            Float64Array.from(d.data, (v) => Math.max(v, lo)),
          ),
      ),
      computed: inner.computed.map((c) => (c.closedRow === "zeros" ? { ...c, closedRow: rowOf(lo) } : c)),
    };
  }

  /** A mask that is moved, and what it masks with it. */
  private moved(op: Op, sign: 1 | -1): Terms | undefined {
    const inner = this.split(op.operand(0), sign);
    if (inner === undefined) return undefined;
    const from = tensor(shapeOf(op.operand(0)), f32);
    const move = (v: Value): Value => {
      const full =
        shapeOf(v).join() === from.shape.join()
          ? v
          : this.b.value("nn.broadcast", [v], from, { shape: [...from.shape] }, v.hint);
      return this.b.value(op.name, [full], op.result.type, op.attrs, v.hint);
    };
    const moveConstant = (d: Dense): Dense => {
      const data = broadcastTo(d, from.shape);
      const held = this.b.value("nn.constant", [], from, { value: new Dense(from.shape, f32, data) });
      return evaluateConstant(this.b.value(op.name, [held], op.result.type, op.attrs).def!);
    };
    return {
      scores: inner.scores && move(inner.scores),
      constants: inner.constants.map(moveConstant),
      computed: inner.computed.map((c) => ({
        ...c,
        open: move(c.open),
        ...(c.fallback !== undefined && { fallback: move(c.fallback) }),
      })),
    };
  }

  private number(value: number): Value {
    return this.b.value("nn.constant", [], tensor([], f32), { value: new Dense([], f32, Float64Array.of(value)) });
  }
}

function rowOf(depth: number): ClosedRow {
  return depth === -Infinity ? "zeros" : depth <= SWALLOWS ? "equal" : "scores";
}

/** Whether `v` has the values 0 and 1, or 0 and -1: truth values, or an input that is a mask. */
function isIndicator(v: Value): boolean {
  const { def } = v;
  if (def === undefined) return true;
  if (isMove(def)) return isIndicator(def.operand(0));
  switch (def.name) {
    case "nn.constant":
      return denseAttr(def, "value").data.every((c) => c === 0 || Math.abs(c) === 1);
    case "nn.select_neg":
      return isIndicator(def.operand(1)) && isIndicator(def.operand(2));
    case "nn.add":
    case "nn.sub":
    case "nn.mul":
    case "nn.min":
    case "nn.max":
      return isIndicator(def.operand(0)) && isIndicator(def.operand(1));
    case "nn.neg":
    case "nn.abs":
    case "nn.clip":
    case "nn.round":
      return isIndicator(def.operand(0));
    default:
      return false;
  }
}

function broadcastTo(d: Dense, shape: readonly number[]): Float64Array {
  return Float64Array.from(offsets(shape, broadcastStrides(d.shape, shape)), (i) => d.data[i]!);
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
  const shape = constants.reduce<number[]>((s, d) => broadcastShapes(s, d.shape)!, along);
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
