/** Operators whose result is known once shapes are: Constant, ConstantOfShape, EyeLike, Range, Shape. */
import { known, type OperatorImporter } from "../context.js";
import { elementCount } from "../../ir/types.js";

const eyeLike: OperatorImporter = {
  opType: "EyeLike",
  ignores: { dtype: "0 and 1 are the same numbers in all types" },
  since: 9,
  resultType: (ctx) => (ctx.node.attribute.some((a) => a.name === "dtype") ? ctx.int("dtype", 1) : ctx.elementType(0)),
  import: (ctx) => {
    const [rows, columns] = ctx.shape(0);
    if (ctx.shape(0).length !== 2) throw ctx.error(`its input has rank ${ctx.shape(0).length} instead of 2`);
    ctx.checkSize(ctx.shape(0));
    const k = ctx.int("k", 0);
    return known(
      ctx.shape(0),
      Float64Array.from({ length: rows! * columns! }, (_, i) =>
        Number((i % columns!) - Math.floor(i / columns!) === k),
      ),
      false,
    );
  },
};

const shape: OperatorImporter = {
  opType: "Shape",
  resultType: () => 7,
  import: (ctx) => {
    const s = ctx.shape(0);
    const start = ctx.int("start", 0);
    const end = ctx.int("end", s.length);
    const part = s.slice(start, end);
    return known([part.length], part, true);
  },
};

const constant: OperatorImporter = {
  opType: "Constant",
  resultType: (ctx) =>
    ctx.tensorType("value") ?? (ctx.node.attribute.some((a) => a.name.startsWith("value_int")) ? 7 : 1),
  import: (ctx) => {
    const t = ctx.tensor("value");
    if (t !== undefined) return { kind: "const", tensor: t };
    const has = (name: string): boolean => ctx.node.attribute.some((a) => a.name === name);
    if (has("value_float")) return known([], [ctx.float("value_float", 0)], false);
    if (has("value_int")) return known([], [ctx.int("value_int", 0)], true);
    const floats = ctx.floats("value_floats");
    if (floats !== undefined) return known([floats.length], floats, false);
    const ints = ctx.ints("value_ints");
    if (ints !== undefined) return known([ints.length], ints, true);
    throw ctx.error("it holds neither a tensor nor numbers");
  },
};

/** Elements that a range may have. */
const MAX_RANGE = 2 ** 24;
/**
 * Elements that a few bytes of a file may ask for: the largest layers that there are, such as the 2^26.6 weights of
 * VGG's first full one.
 */
const MAX_FILLED = 2 ** 27;

const constantOfShape: OperatorImporter = {
  opType: "ConstantOfShape",
  resultType: (ctx) => ctx.tensorType("value") ?? 1,
  import: (ctx) => {
    const s = [...ctx.needConstant(0, "the shape").data];
    if (!(elementCount(s) <= MAX_FILLED))
      throw ctx.error(`a constant of ${s.join(" x ")} elements is too large`, `at most ${MAX_FILLED}`);
    const value = ctx.tensor("value");
    return known(s, new Float64Array(elementCount(s)).fill(value?.data[0] ?? 0), value?.integer ?? false);
  },
};

const range: OperatorImporter = {
  opType: "Range",
  ignores: { stash_type: "the numbers are computed in double precision" },
  import: (ctx) => {
    const [start, limit, delta] = [0, 1, 2].map((i) => ctx.needConstant(i, "a bound").data[0] ?? 0) as [
      number,
      number,
      number,
    ];
    if (delta === 0) throw ctx.error("its step is 0");
    const n = Math.max(0, Math.ceil((limit - start) / delta));
    if (n > MAX_RANGE) throw ctx.error(`a range of ${n} elements is too large`);
    return known(
      [n],
      Array.from({ length: n }, (_, i) => start + i * delta),
      ctx.constant(0)!.integer,
    );
  },
};

export const constantOperators: readonly OperatorImporter[] = [eyeLike, shape, constant, constantOfShape, range];
