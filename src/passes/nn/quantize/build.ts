/**
 * Builds the fixed-point module for a plan. Operations are converted one by one and stay exact; a value is rounded,
 * once, when something reads it that must be cheap per bit (products, tables, memories between layers) or that reads it
 * several times. What can go on with the exact result does: bias, residual sum, activation. So each group of operations
 * rounds once.
 */
import { CompilerBug, UserError } from "../../../diagnostics/index.js";
import { allocate, Dense, type Attr } from "../../../ir/attributes.js";
import { Module, Op, type Value } from "../../../ir/core.js";
import { lookupOp, numAttr, strAttr } from "../../../ir/define-op.js";
import { dataRange, quantizeNumber } from "../../../ir/fixed-arith.js";
import { shapeOf, valuesOfDense } from "../../../ir/eval/nn-fixed.js";
import "../../../ir/dialects.js";
import { treesOf } from "../../../ir/nn/trees.js";
import { ensembleAttrs } from "../../../ir/trees.js";
import { placeOf } from "../../../ir/verify.js";
import { isWide, rawRange, tensor, typeOfRange, type FixedType } from "../../../ir/types.js";
import { EXACT } from "../integerize.js";
import { constantOf, linearView } from "./linear.js";
import type { Plan } from "./plan.js";
import { feedsWhole } from "./tensor-roles.js";
import { VIEWS } from "./views.js";
import { SCALE_BITS } from "./width-rules.js";
import { leafFraction, thresholdOnGrid } from "./decisions.js";
import { largestTableError } from "./tables.js";

import { FixedValues, type Rounding, EXACT_LIMIT, numberFrac } from "./fixed-values.js";

export interface BuiltModule {
  readonly module: Module;
  readonly roundings: readonly Rounding[];
  /** The float operation for which each operation of `module` was made. */
  readonly origins: ReadonlyMap<Op, Op>;
}

/** Operations on integers whose results are such, and most bits of them. */
const COUNTING: ReadonlySet<string> = new Set([
  "nn.add",
  "nn.sub",
  "nn.mul",
  "nn.neg",
  "nn.abs",
  "nn.max",
  "nn.min",
  "nn.relu",
  "nn.clip",
  "nn.select_neg",
  "nn.concat",
  "nn.reshape",
  "nn.transpose",
  "nn.slice",
  "nn.gather",
  "nn.broadcast",
]);
const COUNT_LIMIT = 24;
/** Operands that become integers are rounded first beyond this width only. */
const WHOLE_LIMIT = 50;
/** Most significant bits of the slope of a leaky relu. */
const MAX_SLOPE_BITS = 10;
/**
 * Significant bits of the smallest factor between scales beyond those of the integers that come out, and most bits of
 * the largest.
 */
const SCALE_GUARD_BITS = 12;
/** Significant bits of constants that are chosen from. */
const LIGHT_CONSTANT_BITS = 12;
/** Bits of outputs where none are stated. */
const OUTPUT_BITS = 16;

export function buildFixed(float: Module, plan: Plan): BuiltModule {
  return new FixedBuilder(float, plan).build();
}

class FixedBuilder extends FixedValues {
  build(): BuiltModule {
    const func = this.source.func;
    const inputScales: number[] = [];
    const origins = new Map<Op, Op>();
    for (const arg of func.body.args) {
      const scale = this.integerPort(arg);
      inputScales.push(scale ?? 1);
      if (scale !== undefined) continue;
      const type = this.plan.format(arg);
      const v = this.block.addArg(tensor(shapeOf(arg), type), arg.hint);
      this.exact.set(arg, v);
      this.final.add(v);
      if (type.frac === 0) this.wholes.add(arg);
      this.roundings.push({ float: arg, fixed: v, type });
    }
    const outputScales = func.body.terminator.operands.map(() => 1);
    for (const op of func.body.ops) {
      if (this.exact.has(op.results[0]!)) continue;
      this.b.loc = op.loc;
      if (op.name === "return") {
        this.b.create(
          "return",
          op.operands.map((v, i) => this.output(v, outputScales, i)),
          [],
        );
        break;
      }
      if (op.name === "nn.constant") continue;
      const made = this.block.ops.length;
      this.exact.set(op.result, this.convert(op));
      for (const own of this.block.ops.slice(made)) origins.set(own, op);
    }
    const module = new Module(this.source.name);
    module.attrs = { ...this.source.attrs };
    module.body.append(
      new Op({
        name: "func",
        attrs: withScales(func.attrs, inputScales, outputScales),
        regions: [this.block],
        loc: func.loc,
      }),
    );
    return { module, roundings: this.roundings, origins };
  }

  /**
   * An input that is quantized at once, everywhere alike: its port takes the integers, and the host converts. Returns
   * the scale of the integers, or undefined for other inputs.
   */
  private integerPort(arg: Value): number | undefined {
    const readers = arg.uses.map(({ op }) => {
      const c = op.name === "nn.mul" ? constantOf(op.operand(1)) : undefined;
      const round =
        op.name === "nn.round"
          ? op
          : c?.data.length === 1 && op.result.uses.length === 1
            ? op.result.uses[0]!.op
            : undefined;
      return round?.name === "nn.round" ? { op, round, factor: c?.data[0] ?? 1 } : undefined;
    });
    const first = readers[0];
    const [lo, hi, zero] = ["lo", "hi", "zero"].map((key) =>
      numAttr(first?.round ?? new Op({ name: "none" }), key, 0),
    ) as [number, number, number];
    if (
      first === undefined ||
      !readers.every(
        (r) =>
          r !== undefined &&
          r.factor === first.factor &&
          numAttr(r.round, "lo", 0) === lo &&
          numAttr(r.round, "hi", 0) === hi &&
          numAttr(r.round, "zero", 0) === zero,
      )
    )
      return undefined;
    // The host scales and rounds; the zero point and the limits are the hardware's.
    const type = typeOfRange({ lo: lo - zero, hi: hi - zero }, 0);
    const port = this.block.addArg(tensor(shapeOf(arg), type), arg.hint);
    const whole = rawRange(type);
    const codes = typeOfRange({ lo, hi }, 0);
    const u =
      zero === 0 && whole.lo === lo && whole.hi === hi
        ? port
        : this.b.value(
            "nn.round",
            [port],
            tensor(shapeOf(arg), codes),
            { lo, hi, ...(zero !== 0 && { zero }) },
            `${arg.hint ?? "input"}_limited`,
          );
    this.exact.set(arg, port);
    this.final.add(port).add(u);
    for (const r of readers) {
      this.exact.set(r!.op.result, u);
      this.exact.set(r!.round.result, u);
    }
    this.roundings.push({ float: first.round.result, fixed: u, type: codes });
    return 1 / first.factor;
  }

  /** An output as it leaves: integers times one number leave as integers, and the number goes into `scales`. */
  private output(v: Value, scales: number[], index: number): Value {
    const op = v.def;
    if (op?.attrs[EXACT] !== true) return this.narrow(v);
    const c = op.name === "nn.mul" ? constantOf(op.operand(1)) : undefined;
    const exact = this.exactOf(c?.data.length === 1 ? op.operand(0) : v);
    if (this.elem(exact).width > 32) return this.narrow(v);
    if (c?.data.length === 1) scales[index] = c.data[0]!;
    return exact;
  }

  private convert(op: Op): Value {
    const y = op.result;
    if (op.attrs[EXACT] === true || op.name === "nn.round" || op.name === "nn.lookup") return this.exactly(op);
    const counted = this.count(op);
    if (counted !== undefined) return counted;
    switch (op.name) {
      case "nn.conv":
      case "nn.matmul":
        return this.linear(op);
      case "nn.add":
      case "nn.sub":
      case "nn.max":
      case "nn.min":
        return this.aligned(op);
      case "nn.mul":
        return feedsWhole(y)
          ? this.phase(op)
          : this.emit(op.name, [this.factor(op.operand(0), op), this.factor(op.operand(1), op)], y, op.attrs);
      case "nn.take":
        return this.take(op);
      case "nn.whole":
      case "nn.fraction":
        return this.whole(op);
      case "nn.select_neg":
        return this.select(op);
      case "nn.relu":
      case "nn.neg":
      case "nn.abs": {
        const x = this.operand(op.operand(0));
        const result = this.emit(op.name, [x], y, op.attrs);
        if (op.name === "nn.relu" && this.final.has(x)) this.final.add(result);
        return result;
      }
      case "nn.leaky_relu":
        return this.leakyRelu(op);
      case "nn.clip":
        return this.clip(op);
      case "nn.unary":
        return this.unary(op);
      case "nn.reduce":
        return this.fold(op);
      case "nn.pool":
        return this.fold(op);
      case "nn.concat":
        return this.concat(op);
      case "nn.trees":
        return this.trees(op);
      default:
        if (VIEWS.has(op.name)) return this.view(op);
        // An operation that a program has added.
        if (lookupOp(op.name)?.evaluate !== undefined)
          return this.emit(
            op.name,
            op.operands.map((v) => this.factor(v, op)),
            y,
            op.attrs,
          );
        throw UserError.of("QU007", { op: op.name }, placeOf(op.loc));
    }
  }

  /** Operations on integers and on their multiples keep every bit; only nn.round rounds. */
  private exactly(op: Op): Value {
    // Constants are as fine as what they meet asks for, whichever comes first; what decides a choice they do not meet.
    const met = op.name === "nn.select_neg" ? op.operands.slice(1) : op.operands;
    const x = this.exactOf(met.find((v) => !this.isConstant(v)) ?? op.operand(0));
    const operands = op.operands.map((v) => {
      if (!this.isConstant(v)) return this.exactOf(v);
      if (op.name === "nn.conv" || op.name === "nn.matmul") return this.constantAt(v, 0);
      return op.name === "nn.mul"
        ? this.fineConstant(v, this.elem(x).width, Math.max(SCALE_BITS, SCALE_GUARD_BITS + roundedBits(op)))
        : this.offsetConstant(v, this.elem(x).frac, this.elem(x).width);
    });
    let attrs = op.attrs;
    if (op.name === "nn.clip") {
      const at = (key: "lo" | "hi", fill: number): number =>
        Number.isFinite(numAttr(op, key, fill))
          ? Math.round(numAttr(op, key, fill) * 2 ** this.elem(x).frac) * 2 ** -this.elem(x).frac + 0
          : fill;
      attrs = { ...attrs, lo: at("lo", -Infinity), hi: at("hi", Infinity) };
    }
    if (op.name === "nn.pad") {
      const fill = numAttr(op, "value", 0);
      operands[0] = this.holding(operands[0]!, fill);
      const { frac } = this.elem(operands[0]);
      attrs = { ...attrs, value: Math.round(fill * 2 ** frac) * 2 ** -frac + 0 };
    }
    // The least of wide numbers, of which no number is the largest: see nn.reduce.
    const mirrored = op.name === "nn.reduce" && op.attrs["kind"] === "min" && isWide(this.elem(x));
    const y = mirrored
      ? this.emit(
          "nn.neg",
          [this.emit(op.name, [this.emit("nn.neg", [x], op.operand(0), {})], op.result, { ...attrs, kind: "max" })],
          op.result,
          {},
        )
      : this.emit(op.name, operands, op.result, attrs);
    if (
      op.name === "nn.round" ||
      op.name === "nn.lookup" ||
      (this.final.has(x) &&
        ["nn.relu", "nn.clip", "nn.pool", "nn.concat"].includes(op.name) &&
        op.attrs["kind"] !== "sum")
    )
      this.final.add(y);
    return y;
  }

  private linear(op: Op): Value {
    const x = this.narrow(op.operand(0));
    const rounded = this.plan.weights.get(op);
    if (rounded === undefined) {
      // Weights that are computed: a product of two activations.
      const operands = [x, this.narrow(op.operand(1))];
      if (op.operands.length > 2)
        return this.biased(op, operands, op.operand(2), this.elem(x).frac + this.elem(operands[1]!).frac);
      return this.emit(op.name, operands, op.result, op.attrs);
    }
    const view = linearView(op);
    const wShape = shapeOf(op.operand(1));
    const w = this.dense(wShape, view.restore(rounded.raw), rounded.type, op.operand(1).hint);
    const frac = this.elem(x).frac + rounded.type.frac;
    const shifts = rounded.biasShift.some((s) => s !== 0);
    const bias = op.operands[2];
    if (op.name === "nn.conv") {
      if (bias === undefined && !shifts) return this.emit(op.name, [x, w], op.result, op.attrs);
      return this.biased(op, [x, w], bias, frac, rounded.biasShift);
    }
    const product = this.emit(op.name, [x, w], op.result, op.attrs);
    if (!shifts) return product;
    const next = op.result.uses.length === 1 ? op.result.uses[0]! : undefined;
    const offset = next?.op.name === "nn.add" ? constantOf(next.op.operand(1 - next.index)) : undefined;
    if (
      next !== undefined &&
      offset !== undefined &&
      offset.data.length === rounded.biasShift.length &&
      offset.shape[offset.shape.length - 1] === offset.data.length
    ) {
      this.pendingShift.set(next.op, rounded.biasShift);
      return product;
    }
    return this.emit("nn.add", [product, this.bias(undefined, frac, rounded.biasShift)], op.result, {});
  }

  /**
   * A convolution of accumulators with `frac` fractional bits, and its bias. One of that many bits that is too long for
   * a constant is added behind.
   */
  private biased(op: Op, operands: readonly Value[], v: Value | undefined, frac: number, shift?: Float64Array): Value {
    const bias = this.bias(v, frac, shift);
    if (this.elem(bias).frac === frac) return this.emit(op.name, [...operands, bias], op.result, op.attrs);
    const sum = this.emit(op.name, operands, op.result, op.attrs);
    const shape = [
      shapeOf(bias)[0]!,
      ...shapeOf(op.result)
        .slice(2)
        .map(() => 1),
    ];
    return this.emit(
      "nn.add",
      [sum, this.b.value("nn.reshape", [bias], tensor(shape, this.elem(bias)), { shape }, bias.hint)],
      op.result,
      {},
    );
  }

  /** add, sub, max, min: constants take the other operand's fractional bits. */
  private aligned(op: Op): Value {
    const [p, q] = [op.operand(0), op.operand(1)];
    if (this.isConstant(p) || this.isConstant(q)) {
      const x = this.operand(this.isConstant(p) ? q : p);
      // A few bits more than a final format has, where x is one; and as many as the sum needs, where x is one of
      // integers.
      const extreme = op.name === "nn.max" || op.name === "nn.min";
      const constant = this.isConstant(p) ? p : q;
      const place = (c: Value): Value => this.emit(op.name, this.isConstant(p) ? [c, x] : [x, c], op.result, op.attrs);
      if (extreme && this.isNeutral(constant, op.name === "nn.max" ? -1 : 1))
        return place(this.limited(constant, this.elem(x)));
      if (op.name === "nn.sub" && comparesOnly(op.result))
        return place(this.threshold(constant, this.elem(x).frac, this.isConstant(p)));
      const frac = extreme
        ? this.elem(x).frac
        : this.final.has(x)
          ? this.elem(x).frac + 2
          : Math.max(this.elem(x).frac, this.plan.format(op.result).frac);
      return place(this.constantAt(constant, frac, this.pendingShift.get(op)));
    }
    let [a, b] = [this.operand(p), p === q ? this.operand(p) : this.operand(q)];
    // Formats far apart would make a sum of all their bits; the wider one can be rounded first.
    const spanOf = (): number => {
      const [s, t] = [this.elem(a), this.elem(b)];
      return Math.max(s.width - s.frac, t.width - t.frac) + Math.max(s.frac, t.frac) + 1;
    };
    if (spanOf() > EXACT_LIMIT) {
      a = this.narrow(p);
      b = this.narrow(q);
    }
    return this.emit(op.name, [a, b], op.result, op.attrs);
  }

  /** An operation on integers alone, whose result keeps every bit; undefined for others. */
  private count(op: Op): Value | undefined {
    const terms = op.name === "nn.select_neg" ? op.operands.slice(1) : op.operands;
    if (!COUNTING.has(op.name) || !terms.some((v) => this.wholes.has(v))) return undefined;
    const isWhole = (v: Value): boolean =>
      this.wholes.has(v) || (constantOf(v) !== undefined && valuesOfDense(constantOf(v)!).every(Number.isInteger));
    if (!terms.every(isWhole)) return undefined;
    const condition = (v: Value): Value =>
      this.elem(this.exactOf(v)).width <= EXACT_LIMIT ? this.exactOf(v) : this.narrow(v);
    const operands = op.operands.map((v, i) =>
      op.name === "nn.select_neg" && i === 0
        ? condition(v)
        : this.isConstant(v)
          ? this.constantAt(v, 0)
          : this.exactOf(v),
    );
    const y = this.emit(op.name, operands, op.result, op.attrs);
    if (this.elem(y).width > COUNT_LIMIT) return y;
    this.wholes.add(op.result);
    this.final.add(y);
    return y;
  }

  /** A product that becomes an integer or a phase: a small error moves what is close to a step to its other side. */
  private phase(op: Op): Value {
    const c = op.operands.findIndex((v) => this.isConstant(v));
    const other = op.operand(c === 0 ? 1 : 0);
    if (c < 0)
      return this.emit(
        op.name,
        op.operands.map((v) => this.factor(v, op)),
        op.result,
        op.attrs,
      );
    const exact = this.exactOf(other);
    const x = this.elem(exact).width <= SCALE_BITS ? exact : this.narrow(other);
    const factor = this.fineConstant(op.operand(c), this.elem(x).width, Math.max(SCALE_BITS, this.elem(x).width + 3));
    return this.emit(op.name, c === 0 ? [factor, x] : [x, factor], op.result, op.attrs);
  }

  /** Integers, and what they leave, of the exact operand. */
  private whole(op: Op): Value {
    const exact = this.exactOf(op.operand(0));
    const y = this.emit(
      op.name,
      [this.elem(exact).width <= WHOLE_LIMIT ? exact : this.narrow(op.operand(0))],
      op.result,
      op.attrs,
    );
    if (op.name === "nn.whole") {
      this.final.add(y);
      this.wholes.add(op.result);
    }
    return y;
  }

  /**
   * Rows of a table, which is rounded to the width of what is read: all rows count, those that calibration has not seen
   * too.
   */
  private take(op: Op): Value {
    const table = this.constant(op.operand(1), this.plan.decided(op.result).bits);
    const y = this.emit(op.name, [this.exactOf(op.operand(0)), table], op.result, op.attrs);
    this.final.add(y);
    return y;
  }

  /** The sign of x decides between a and b; constants among them take the other's grid. */
  private select(op: Op): Value {
    const [p, q] = [op.operand(1), op.operand(2)];
    // Rounding a small negative number to 0 would change its sign, which is all that counts here.
    const condition = this.exactOf(op.operand(0));
    const x = this.elem(condition).width <= EXACT_LIMIT ? condition : this.narrow(op.operand(0));
    const [a, b] = [this.isConstant(p) ? undefined : this.operand(p), this.isConstant(q) ? undefined : this.operand(q)];
    const frac = (other: Value | undefined, v: Value): Value =>
      this.reachesBeyond(v)
        ? this.limited(v, other === undefined ? this.plan.format(op.result) : this.elem(other))
        : other === undefined
          ? this.constant(v, LIGHT_CONSTANT_BITS)
          : this.constantAt(v, this.elem(other).frac);
    const y = this.emit(op.name, [x, a ?? frac(b, p), b ?? frac(a, q)], op.result, op.attrs);
    if ([a, b].every((v) => v === undefined || this.final.has(v))) this.final.add(y);
    return y;
  }

  /**
   * The slope gets as many fractional bits as keep its error below an eighth of the result's LSB: each one widens the
   * product.
   */
  private leakyRelu(op: Op): Value {
    const slope = numAttr(op, "slope", 0.01);
    const x = this.operand(op.operand(0), EXACT_LIMIT - MAX_SLOPE_BITS);
    const reach = Math.max(0, -this.plan.statsOf(op.operand(0)).min);
    const tolerance = 2 ** -this.plan.format(op.result).frac / 8;
    const first = slope === 0 ? 0 : -Math.floor(Math.log2(Math.abs(slope)));
    let frac = Math.max(0, first);
    const rounded = (): number => Math.floor(slope * 2 ** frac + 0.5);
    while (frac < first + MAX_SLOPE_BITS - 1 && Math.abs(slope - rounded() * 2 ** -frac) * reach > tolerance) frac++;
    return this.emit(op.name, [x], op.result, { ...op.attrs, slope_raw: rounded(), slope_frac: frac });
  }

  /** Limits are rounded to the operand's grid. */
  private clip(op: Op): Value {
    const x = this.operand(op.operand(0));
    const unit = 2 ** -this.elem(x).frac;
    const at = (v: number): number => (Number.isFinite(v) ? Math.floor(v / unit + 0.5) * unit + 0 : v);
    return this.emit(op.name, [x], op.result, {
      ...op.attrs,
      lo: at(numAttr(op, "lo", -Infinity)),
      hi: at(numAttr(op, "hi", Infinity)),
    });
  }

  private unary(op: Op): Value {
    const to = this.plan.format(op.result);
    const x = this.exactOf(op.operand(0));
    const segments = this.plan.argument(op);
    let y: Value | undefined;
    // Coarsest first: what is below a limit takes the finer table.
    for (const [i, { from }] of [...segments.entries()].reverse()) {
      const fits = this.elem(x).width <= from.width;
      // An argument that is exact in the table's width already needs no rounding.
      const argument = fits ? x : this.round(x, from, undefined);
      const table = this.table(op, argument, to, i === 0 ? -Infinity : segments[i - 1]!.limit, segments[i]!.limit);
      if (y === undefined) y = table;
      else {
        const frac = numberFrac([segments[i]!.limit], this.elem(x).frac);
        const raw = Math.round(segments[i]!.limit * 2 ** frac);
        const limit = this.dense(
          [1],
          [raw],
          typeOfRange({ lo: 0, hi: raw }, frac),
          `${op.result.hint ?? "table"}_limit`,
        );
        y = this.emit("nn.select_neg", [this.emit("nn.sub", [x, limit], op.operand(0), {}), table, y], op.result, {});
      }
      if (fits) break;
    }
    this.final.add(y!);
    this.roundings.push({ float: op.result, fixed: y!, type: to });
    return y!;
  }

  /** The table of `op` for an argument that has been rounded; its error is that between `lo` and `hi`. */
  private table(op: Op, argument: Value, to: FixedType, lo: number, hi: number): Value {
    const stats = this.plan.statsOf(op.operand(0));
    const range = {
      ...stats,
      min: Math.max(lo, stats.min),
      max: Math.min(hi, stats.max),
      values: stats.values.filter((v) => v >= lo && v < hi),
    };
    const error = largestTableError(strAttr(op, "fn"), range, this.elem(argument), to);
    return this.b.value(
      "nn.unary",
      [argument],
      tensor(shapeOf(op.result), to),
      { ...op.attrs, "quantize.table_error": error },
      op.result.hint,
    );
  }

  /** Thresholds on the grid of the features, values of leaves as fine as their sum is output; sums stay exact. */
  private trees(op: Op): Value {
    const source = op.operand(0);
    const x = this.operand(source);
    const e = treesOf(op);
    const [type, exact] = [this.elem(x), this.plan.onGrid(source)];
    const moved = Array.from(e.threshold, (t, i) => thresholdOnGrid(t, e.relation[i]!, type, exact));
    const stats = this.plan.statsOf(op.result);
    const stated = this.plan.statedOutput(op.result);
    const frac = leafFraction(e.values, e.roots.length, Math.max(-stats.min, stats.max), stated ?? OUTPUT_BITS);
    const raw = Float64Array.from(e.values, (v) => Math.floor(v * 2 ** frac + 0.5));
    const elem = typeOfRange(dataRange(raw), frac);
    const data = allocate(elem, raw.length);
    for (let i = 0; i < raw.length; i++) data[i] = raw[i]! + 0;
    const lists = { ...e, threshold: moved.map((m) => m.threshold), relation: moved.map((m) => m.relation) };
    const y = this.emit(op.name, [x], op.result, { trees: ensembleAttrs(lists, new Dense(e.dense.shape, elem, data)) });
    if (stated === undefined) this.final.add(y);
    return y;
  }

  /** Reductions and pooling: sums are exact and can be rounded behind; a maximum is of its operand's format. */
  private fold(op: Op): Value {
    const kind = strAttr(op, "kind");
    if (kind === "mean" || kind === "average")
      throw new CompilerBug(`${op.name} of kind ${kind} reaches quantize; lower-average splits it`);
    const x = this.narrow(op.operand(0));
    const y = this.emit(op.name, [x], op.result, op.attrs);
    if (kind !== "sum") this.final.add(y);
    return y;
  }

  /** All parts in the format of the whole, so that the whole has one. */
  private concat(op: Op): Value {
    const planned = this.plan.format(op.result);
    // What has a final format, finer than the plan's, has it for a reason: scores that are compared, integers.
    const finer = op.operands
      .flatMap((v) => (this.isConstant(v) ? [] : [this.exactOf(v)]))
      .filter((x) => this.elem(x).width > planned.width || this.elem(x).frac > planned.frac);
    const frac = Math.max(planned.frac, ...finer.map((x) => this.elem(x).frac));
    const whole =
      frac + Math.max(...finer.map((x) => this.elem(x).width - this.elem(x).frac), planned.width - planned.frac);
    const type =
      finer.length > 0 && finer.every((x) => this.final.has(x)) && whole < EXACT_LIMIT
        ? { ...planned, width: whole, frac }
        : planned;
    const parts = op.operands.map((v) => {
      if (this.isConstant(v)) return this.constantAt(v, Math.min(type.frac, neededFraction(constantOf(v)!, type.frac)));
      const x = this.operand(v);
      return this.elem(x).width <= type.width && this.elem(x).frac <= type.frac ? x : this.round(x, type, undefined);
    });
    const y = this.emit(op.name, parts, op.result, op.attrs);
    if (this.elem(y).width > type.width + 2) return this.round(y, type, op.result);
    this.final.add(y);
    return y;
  }

  private view(op: Op): Value {
    // An output's width is not imposed on a tensor that other layers read as well.
    const x = this.narrow(op.operand(0));
    const attrs: Record<string, Attr> = { ...op.attrs };
    if (op.name === "nn.pad") {
      const type = this.elem(x);
      attrs["value"] = quantizeNumber(numAttr(op, "value", 0), type, "half-up") * 2 ** -type.frac + 0;
    }
    const y = this.b.value(op.name, [x], tensor(shapeOf(op.result), this.elem(x)), attrs, op.result.hint);
    this.final.add(y);
    return y;
  }
}

/** Fewest fractional bits, up to `most`, with which a constant is exact; `most` where it is not. */
function neededFraction(c: Dense, most: number): number {
  const values = valuesOfDense(c);
  let frac = 0;
  while (frac < most && !values.every((x) => Number.isInteger(x * 2 ** frac))) frac++;
  return frac;
}

/** Whether nothing but the sign of `v` is looked at. */
function comparesOnly(v: Value): boolean {
  return v.uses.length > 0 && v.uses.every(({ op, index }) => op.name === "nn.select_neg" && index === 0);
}

/** Bits of the integers to which a result is rounded, a few operations on; 0 where it is not. */
function roundedBits(op: Op): number {
  for (let next: Op | undefined = op, steps = 0; next !== undefined && steps < 6; steps++) {
    if (next.name === "nn.round") return Math.ceil(Math.log2(numAttr(next, "hi", 0) - numAttr(next, "lo", 0) + 1));
    next = next.results[0]?.uses.length === 1 ? next.results[0].uses[0]!.op : undefined;
  }
  return 0;
}

/** Scales of the ports as attributes, where any is not 1. */
function withScales(
  attrs: Record<string, Attr>,
  inputs: readonly number[],
  outputs: readonly number[],
): Record<string, Attr> {
  return {
    ...attrs,
    ...(inputs.some((s) => s !== 1) && { input_scales: [...inputs] }),
    ...(outputs.some((s) => s !== 1) && { output_scales: [...outputs] }),
  };
}
