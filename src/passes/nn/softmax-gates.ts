/** What a mask does to a softmax: where scores take part in the maximum, and where their exp counts. */
import { Dense } from "../../ir/attributes.js";
import type { Builder, Value } from "../../ir/core.js";
import { commonShape } from "../../ir/nn/typing.js";
import { constantOf, shapeOf } from "../../ir/nn/values.js";
import { f32, tensor, type TensorType } from "../../ir/types.js";
import type { MaskedScores } from "./softmax-mask.js";

/** 1 where both are. */
export function both(p: Value, q: Value, b: Builder): Value {
  return b.value("nn.min", [p, q], tensor(commonShape(shapeOf(p), shapeOf(q)), f32), {}, p.hint);
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
  const wide = broadcast(open, tensor(commonShape(shapeOf(open), along), f32), b);
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
    tensor(commonShape(shapeOf(wide), shapeOf(filling)), f32),
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
