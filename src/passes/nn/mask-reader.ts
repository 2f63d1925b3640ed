/** Which part of a softmax's operand masks, and what is left of it: reads sums, products and choices of numbers. */
import { Dense } from "../../ir/attributes.js";
import type { Builder, Op, Value } from "../../ir/core.js";
import { broadcastStrides, offsets } from "../../ir/nn/kernels.js";
import * as nn from "../../ir/nn/ops.js";
import { isMove } from "../../ir/nn/roles.js";
import { commonShape } from "../../ir/nn/typing.js";
import { constantOf, shapeOf, singleOf } from "../../ir/nn/values.js";
import { f32, tensor } from "../../ir/types.js";
import { evaluateConstant } from "./fold-constants.js";

/** From here on, exp of a difference is nothing to a result of any width. */
export const MASKED = -1000;
/** From here on, a float32 number takes nothing of the scores that are added to it. */
export const SWALLOWS = -1e7;

/** What becomes of rows in which no position counts. */
export type ClosedRow = "zeros" | "equal" | "scores";

/** What an operand of a softmax is made of. */
export interface Terms {
  readonly scores: Value | undefined;
  /** Added numbers, some of which mask. */
  readonly constants: readonly Dense[];
  readonly computed: readonly Computed[];
}
export interface Computed {
  readonly open: Value;
  readonly closedRow: ClosedRow;
  /** A number that is chosen in the place of what is masked already lifts it to its own. */
  readonly fallback?: Value;
}

export class MaskReader {
  constructor(private readonly b: Builder) {}

  /** The parts of `sign` * v, where some of it masks. */
  split(v: Value, sign: 1 | -1): Terms | undefined {
    const op = v.def;
    if (op === undefined) return undefined;
    if (isMove(op)) return this.moved(op, sign);
    switch (op.name) {
      case "nn.constant": {
        const d = nn.constant.read(op).value;
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
        const { lo, hi } = nn.clip.read(op);
        return sign === 1 && lo <= MASKED && hi >= -SWALLOWS ? this.bounded(op.operand(0), lo) : undefined;
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
            tensor(commonShape(shapeOf(p.scores), shapeOf(q.scores)), f32),
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
    const closedWhere = depth(p) !== undefined ? "negative" : "positive";
    const other = closedWhere === "negative" ? q : p;
    const M = depth(closedWhere === "negative" ? p : q);
    if (M === undefined || depth(other) !== undefined) return undefined;
    const rest = this.parts(other, sign);
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
      return nn.constant.read(def).value.data.every((c) => c === 0 || Math.abs(c) === 1);
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

export function broadcastTo(d: Dense, shape: readonly number[]): Float64Array {
  return Float64Array.from(offsets(shape, broadcastStrides(d.shape, shape)), (i) => d.data[i]!);
}
