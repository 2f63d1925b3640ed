/**
 * Quantized models compute with integers: what the model says with real numbers between DequantizeLinear and QuantizeLinear
 * is rewritten so that convolutions, matrix products and sums see the integers, and all scales meet in one factor in front
 * of the rounding.
 *
 *   round(relu(conv(u * sx, k * sw) + b) / sy)   ->   round(relu(conv(u, k) + b / (sx sw)) * (sx sw / sy))
 *
 * u are results of `nn.round` (zero points taken off), k the integers behind constant weights, found as their largest common
 * factor. A function of a single tensor of few values, whatever it is made of, becomes a table of integers.
 *
 * @source Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference" (CVPR 2018)
 */
import { Dense, type Attr } from "../../ir/attributes.js";
import { Block, Builder, Module, Op, type Value } from "../../ir/core.js";
import { denseAttr, intAttr, intsAttr, numAttr, strAttr } from "../../ir/define-op.js";
import { prepareNn } from "../../ir/eval/nn-fixed.js";
import { elementCount, f32, tensor, type TensorType } from "../../ir/types.js";
import { definePass } from "../define-pass.js";
import { commonFactor } from "./grid.js";
import { dividedByRoot } from "./integer-normalize.js";
import { gatesOf, readMask } from "./softmax-mask.js";
import { SOFTMAX_BITS, softmaxOfIntegers, type ExactBuilder } from "./integer-softmax.js";

/** Marks operations on integers: `quantize` keeps every bit of them. */
export const EXACT = "integer.exact";

export const integerize = definePass({
  name: "integerize",
  summary: "Compute with the integers of a quantized model; its scales meet in one factor before each rounding.",
  level: "nn",
  semantics: "changes-values",
  doc: "Only models with nn.round (QuantizeLinear, QONNX) change. Values are the same up to the rounding of floating point.",
  run: (module: Module) => {
    if (module.func.body.ops.some((op) => op.name === "nn.round")) new Integerizer(module).run();
  },
});

/** Most entries of a table of integers. */
const MAX_TABLE = 1024;

/** Most bits of an exact product. */
const PRODUCT_BITS = 50;
/** Bits behind the point of terms that are summed before they are rounded to an integer, and of their limits. */
const TERM_BITS = 16;
const TERM_RANGE = 28;
/** v = scale * u + offset, with u integers. */
interface Scaled {
  readonly u: Value;
  /** One number, or one per index of `axis`. */
  readonly scale: Float64Array;
  readonly axis: number | undefined;
  readonly offset: number;
  /** Limits of u where they are known. */
  readonly range: { readonly lo: number; readonly hi: number } | undefined;
}

/** Factor that is pushed towards the integers. */
interface Factor {
  readonly values: Float64Array;
  readonly axis: number | undefined;
}

function shapeOf(v: Value): readonly number[] {
  return (v.type as TensorType).shape;
}
function constantOf(v: Value | undefined): Dense | undefined {
  return v?.def?.name === "nn.constant" ? denseAttr(v.def, "value") : undefined;
}

class Integerizer {
  private readonly scaled = new Map<Value, Scaled>();
  /** Sums of squares, and squares, with the integers that were squared. */
  private readonly squares = new Map<Value, Value>();
  private readonly original: ReadonlySet<Op>;
  private b!: Builder;

  constructor(private readonly module: Module) {
    this.original = new Set(module.func.body.ops);
  }

  run(): void {
    for (const op of [...this.module.func.body.ops]) {
      this.b = Builder.before(op);
      this.b.loc = op.loc;
      if (op.name === "return") op.operands.forEach((v, i) => op.setOperand(i, this.output(v)));
      else if (op.name === "nn.round") this.round(op);
      else if (op.results.length === 1) {
        const s = this.derive(op);
        if (s !== undefined) this.scaled.set(op.result, s);
      }
    }
    this.materialize();
  }

  // --- building -----------------------------------------------------------------------------------------------------

  private emit(name: string, operands: readonly Value[], shape: readonly number[], attrs: Readonly<Record<string, Attr>>, hint: string | undefined): Value {
    return this.b.value(name, operands, tensor(shape, f32), attrs, hint);
  }
  private constant(shape: readonly number[], data: Float64Array, hint: string): Value {
    return this.emit("nn.constant", [], shape, { value: new Dense(shape, f32, data) }, hint);
  }

  /** v * factor + offset, exact; v itself for factor 1. */
  private affine(v: Value, factor: Factor, offset: number, hint: string | undefined): Value {
    const rank = shapeOf(v).length;
    let y = v;
    if (factor.values.some((f) => f !== 1)) {
      const shape = factor.axis === undefined ? [] : [factor.values.length, ...new Array<number>(rank - factor.axis - 1).fill(1)];
      y = this.emit("nn.mul", [y, this.constant(shape, factor.values, `${hint ?? "integer"}_factor`)], shapeOf(v), { [EXACT]: true }, hint);
    }
    return offset === 0 ? y : this.emit("nn.add", [y, this.constant([], Float64Array.of(offset), `${hint ?? "integer"}_offset`)], shapeOf(v), { [EXACT]: true }, hint);
  }

  // --- integers behind values -----------------------------------------------------------------------------------------

  /** The integers behind the result of `op`, if it is a multiple of some. */
  private derive(op: Op): Scaled | undefined {
    switch (op.name) {
      case "nn.mul":
        return this.byConstant(op) ?? this.product(op);
      case "nn.add":
      case "nn.sub":
        return this.byConstant(op) ?? this.sum(op);
      case "nn.div":
        return this.byConstant(op) ?? this.quotient(op);
      case "nn.conv":
      case "nn.matmul":
        return this.linear(op);
      case "nn.relu":
      case "nn.leaky_relu": {
        const s = this.scaled.get(op.operand(0));
        if (s === undefined || s.offset !== 0 || op.name !== "nn.relu") return undefined;
        const u = this.emit("nn.relu", [s.u], shapeOf(s.u), { [EXACT]: true }, op.result.hint);
        return { ...s, u, range: s.range && { lo: Math.max(0, s.range.lo), hi: Math.max(0, s.range.hi) } };
      }
      case "nn.softmax":
        return this.softmax(op);
      case "nn.pool":
      case "nn.reduce":
        return this.fold(op);
      case "nn.concat": {
        const parts = op.operands.map((v) => this.scaled.get(v));
        const first = parts[0];
        if (first === undefined || parts.some((p) => p === undefined || p.axis !== undefined || p.scale[0] !== first.scale[0] || p.offset !== first.offset)) return undefined;
        const ranges = parts.map((p) => p!.range);
        const range = ranges.every((r) => r !== undefined) ? { lo: Math.min(...ranges.map((r) => r!.lo)), hi: Math.max(...ranges.map((r) => r!.hi)) } : undefined;
        return { ...first, range, u: this.emit(op.name, parts.map((p) => p!.u), shapeOf(op.result), { ...op.attrs, [EXACT]: true }, op.result.hint) };
      }
      case "nn.reshape":
      case "nn.transpose":
      case "nn.slice":
      case "nn.gather":
      case "nn.broadcast":
      case "nn.pad": {
        const s = this.scaled.get(op.operand(0));
        if (s === undefined || s.axis !== undefined) return undefined;
        const attrs: Record<string, Attr> = { ...op.attrs };
        let range = s.range;
        if (op.name === "nn.pad") {
          const fill = (numAttr(op, "value", 0) - s.offset) / s.scale[0]!;
          if (Math.abs(fill - Math.round(fill)) > 1e-4) return undefined;
          attrs["value"] = Math.round(fill) + 0;
          range = range && { lo: Math.min(range.lo, Math.round(fill)), hi: Math.max(range.hi, Math.round(fill)) };
        }
        return { ...s, range, u: this.emit(op.name, [s.u], shapeOf(op.result), attrs, op.result.hint) };
      }
      default:
        return undefined;
    }
  }

  private byConstant(op: Op): Scaled | undefined {
    const [p, q] = [op.operand(0), op.operand(1)];
    const c = constantOf(q) ?? (op.name === "nn.mul" || op.name === "nn.add" ? constantOf(p) : undefined);
    const s = this.scaled.get(constantOf(q) !== undefined ? p : q);
    if (c === undefined || s === undefined || shapeOf(op.result).join() !== shapeOf(s.u).join()) return undefined;
    const along = this.factorOf(c, shapeOf(s.u));
    if (along === undefined) return undefined;
    if (op.name === "nn.mul" || op.name === "nn.div") {
      const values = op.name === "nn.mul" ? along.values : along.values.map((v) => 1 / v);
      if (values.some((v) => !(v > 0)) || (s.offset !== 0 && values.length > 1)) return undefined;
      const product = times(s, { values, axis: along.axis });
      return product && { ...s, scale: product.values, axis: product.axis, offset: s.offset * values[0]! };
    }
    const sign = op.name === "nn.add" ? 1 : -1;
    const counts = s.offset === 0 ? this.counts(along, s) : undefined;
    // Biases; zero points stay apart, because the limits of the integers tell their width.
    if (counts !== undefined && (s.range === undefined || along.values.length > 1)) {
      const rank = shapeOf(s.u).length;
      const shape = counts.axis === undefined ? [] : [counts.values.length, ...new Array<number>(rank - counts.axis - 1).fill(1)];
      const bias = this.constant(shape, counts.values.map((v) => sign * v + 0), `${op.result.hint ?? "sum"}_bias`);
      return { ...s, range: undefined, u: this.emit("nn.add", [s.u, bias], shapeOf(s.u), { [EXACT]: true }, op.result.hint) };
    }
    if (along.values.length > 1) return undefined;
    return { ...s, offset: s.offset + (op.name === "nn.add" ? 1 : -1) * along.values[0]! };
  }

  /** Sum or difference of two tensors, where the unit of one is a multiple of the other's. */
  private sum(op: Op): Scaled | undefined {
    const parts = op.operands.map((v) => this.scaled.get(v));
    const [p, q] = parts;
    if (p?.range === undefined || q?.range === undefined || p.axis !== undefined || q.axis !== undefined || p.offset !== 0 || q.offset !== 0) return undefined;
    const scale = Math.min(p.scale[0]!, q.scale[0]!);
    const counts = [p, q].map((s) => s.scale[0]! / scale);
    if (counts.some((c) => Math.abs(c - Math.round(c)) > c * 2 ** -22 || c > MAX_TABLE)) return undefined;
    const [m, n] = counts.map(Math.round) as [number, number];
    const u = this.emit(op.name, [this.affine(p.u, single(m), 0, p.u.hint), this.affine(q.u, single(n), 0, q.u.hint)], shapeOf(op.result), { [EXACT]: true }, op.result.hint);
    const range = op.name === "nn.add" ? { lo: m * p.range.lo + n * q.range.lo, hi: m * p.range.hi + n * q.range.hi } : { lo: m * p.range.lo - n * q.range.hi, hi: m * p.range.hi - n * q.range.lo };
    return { u, scale: Float64Array.of(scale), axis: undefined, offset: 0, range };
  }

  /** The product of two tensors of integers, which may be broadcast. */
  private product(op: Op): Scaled | undefined {
    const [p, q] = op.operands.map((v) => this.scaled.get(v));
    if (p === undefined || q === undefined || p.axis !== undefined || q.axis !== undefined || p.offset !== 0 || q.offset !== 0) return undefined;
    const range = p.range === undefined || q.range === undefined ? undefined : p.u === q.u ? squareRange(p.range) : productRange(p.range, q.range);
    if (range !== undefined && Math.max(-range.lo, range.hi) >= 2 ** PRODUCT_BITS) return undefined;
    const u = this.emit(op.name, [p.u, q.u], shapeOf(op.result), { [EXACT]: true }, op.result.hint);
    if (p.u === q.u) this.squares.set(u, p.u);
    return { u, scale: Float64Array.of(p.scale[0]! * q.scale[0]!), axis: undefined, offset: 0, range };
  }

  /**
   * d / sqrt(sum of d^2 + epsilon), as normalizations divide: with all the bits that float32 has. |d| is at most the root, so
   * the quotient lies in [-1, 1] times a scale.
   */
  private quotient(op: Op): Scaled | undefined {
    const d = this.scaled.get(op.operand(0));
    const divisor = op.operand(1).def;
    const s = divisor?.name === "nn.unary" && strAttr(divisor, "fn") === "sqrt" ? this.scaled.get(divisor.operand(0)) : undefined;
    if (d?.range === undefined || s?.range === undefined || d.axis !== undefined || s.axis !== undefined || d.offset !== 0 || s.offset < 0 || this.squares.get(s.u) !== d.u) return undefined;
    const found = dividedByRoot(this.exactBuilder(), { u: d.u, range: d.range }, { u: s.u, range: s.range, epsilon: s.offset / s.scale[0]! }, op.result.hint ?? "normalized");
    return found && { u: found.u, scale: Float64Array.of((d.scale[0]! / Math.sqrt(s.scale[0]!)) * found.unit), axis: undefined, offset: 0, range: found.range };
  }

  private exactBuilder(): ExactBuilder {
    return {
      emit: (name, operands, shape, attrs, hint) => this.emit(name, operands, shape, { ...attrs, [EXACT]: true }, hint),
      number: (value, hint) => this.constant([], Float64Array.of(value), hint),
    };
  }

  /** Softmax of few values is exp by table and a quotient of integers; a zero point cancels. A mask in front is read as what it says. */
  private softmax(op: Op): Scaled | undefined {
    const shape = shapeOf(op.result);
    const axis = (intAttr(op, "axis") + shape.length) % shape.length;
    const direct = this.scaled.get(op.operand(0));
    const mask = direct === undefined ? readMask(op.operand(0), axis, this.b) : undefined;
    const s = mask?.scores === undefined ? direct : this.scaled.get(mask.scores);
    if (s?.range === undefined || s.axis !== undefined || s.range.hi - s.range.lo + 1 > MAX_TABLE || (mask?.deadRows ?? 0) > 0 || shapeOf(s.u).join() !== shape.join()) return undefined;
    const hint = op.result.hint ?? "softmax";
    const gates = mask && gatesOf(mask, axis, shape, this.b, (suffix) => `${hint}_${suffix}`);
    const closed = (open: Value): Value => this.emit("nn.neg", [open], shapeOf(open), {}, `${hint}_closed`);
    const u = softmaxOfIntegers(this.exactBuilder(), s.u, s.scale[0]!, s.range, axis, hint, gates && { competes: closed(gates.competes), counts: closed(gates.counts) });
    return u && { u, scale: Float64Array.of(2 ** -SOFTMAX_BITS), axis: undefined, offset: 0, range: { lo: 0, hi: 2 ** SOFTMAX_BITS } };
  }

  /** A constant as integer multiples of the scale; undefined where it is none. */
  private counts(c: Factor, s: Scaled): Factor | undefined {
    const quotient = times({ scale: s.scale.map((v) => 1 / v), axis: s.axis }, c);
    if (quotient === undefined || !quotient.values.every(isCount)) return undefined;
    return { ...quotient, values: quotient.values.map((v) => Math.round(v) + 0) };
  }

  /** A constant that is one number, or varies along one axis of `shape`. */
  private factorOf(c: Dense, shape: readonly number[]): Factor | undefined {
    const values = Float64Array.from(c.data);
    if (values.every((v) => v === values[0])) return { values: values.slice(0, 1), axis: undefined };
    const lead = shape.length - c.shape.length;
    const wide = c.shape.flatMap((d, i) => (d > 1 ? [i] : []));
    return lead >= 0 && wide.length === 1 ? { values, axis: wide[0]! + lead } : undefined;
  }

  private linear(op: Op): Scaled | undefined {
    const x = this.scaled.get(op.operand(0));
    if (x === undefined || x.axis !== undefined || x.offset !== 0) return undefined;
    const w = constantOf(op.operand(1));
    const rank = shapeOf(op.result).length;
    if (w === undefined) {
      const y = this.scaled.get(op.operand(1));
      if (op.name !== "nn.matmul" || y === undefined || y.axis !== undefined || y.offset !== 0) return undefined;
      const u = this.emit(op.name, [x.u, y.u], shapeOf(op.result), { ...op.attrs, [EXACT]: true }, op.result.hint);
      return { u, scale: Float64Array.of(x.scale[0]! * y.scale[0]!), axis: undefined, offset: 0, range: undefined };
    }
    if (op.name === "nn.matmul" && w.shape.length !== 2) return undefined;
    const channels = op.name === "nn.conv" ? w.shape[0]! : w.shape[1]!;
    const channelOf = op.name === "nn.conv" ? (i: number): number => Math.floor(i / (w.data.length / channels)) : (i: number): number => i % channels;
    const grid = commonFactor(w.data, channels, channelOf);
    if (grid === undefined) return undefined;
    const integers = Float64Array.from(w.data, (v, i) => Math.round(v / grid[grid.length === 1 ? 0 : channelOf(i)]!) + 0);
    const scale = grid.map((g) => g * x.scale[0]!);
    const operands = [x.u, this.constant(w.shape, integers, op.operand(1).hint ?? "weight")];
    const bias = constantOf(op.operands[2]);
    let apart: Value | undefined;
    if (op.operands.length > 2) {
      if (bias === undefined) return undefined;
      const counts = Float64Array.from(bias.data, (v, c) => v / scale[scale.length === 1 ? 0 : c]!);
      if (counts.every(isCount)) operands.push(this.constant(bias.shape, counts.map((v) => Math.round(v) + 0), op.operands[2]!.hint ?? "bias"));
      // A bias that is no multiple of the products' unit has fractional bits.
      else apart = this.constant([channels, ...new Array<number>(rank - 2).fill(1)], counts, op.operands[2]!.hint ?? "bias");
    }
    const product = this.emit(op.name, operands, shapeOf(op.result), { ...op.attrs, [EXACT]: true }, op.result.hint);
    const u = apart === undefined ? product : this.emit("nn.add", [product, apart], shapeOf(op.result), { [EXACT]: true }, op.result.hint);
    return { u, scale, axis: scale.length === 1 ? undefined : op.name === "nn.conv" ? 1 : rank - 1, offset: 0, range: undefined };
  }

  /** Maxima and sums of integers; averages as sums where all windows hold equally many. */
  private fold(op: Op): Scaled | undefined {
    const s = this.scaled.get(op.operand(0));
    const kind = strAttr(op, "kind");
    if (s === undefined) return undefined;
    const channelsStay = s.axis === undefined || (op.name === "nn.pool" ? s.axis === 1 : !intsAttr(op, "axes").includes(s.axis) && shapeOf(op.result).length === shapeOf(s.u).length);
    if (!channelsStay) return undefined;
    if (kind === "max" || kind === "min") return { ...s, u: this.emit(op.name, [s.u], shapeOf(op.result), { ...op.attrs, [EXACT]: true }, op.result.hint) };
    if (s.offset !== 0) return undefined;
    let count = 1;
    if (kind === "mean") count = intsAttr(op, "axes").reduce((n, a) => n * shapeOf(s.u)[(a + shapeOf(s.u).length) % shapeOf(s.u).length]!, 1);
    else if (kind === "average") {
      const padded = op.attrs["pads"] !== undefined && intsAttr(op, "pads").some((p) => p !== 0);
      if ((padded && op.attrs["count_include_pad"] !== true) || op.attrs["ceil_mode"] === true) return undefined;
      count = elementCount(intsAttr(op, "kernel"));
    } else if (kind !== "sum") return undefined;
    const { count_include_pad: _, ...rest } = op.attrs;
    const u = this.emit(op.name, [s.u], shapeOf(op.result), { ...rest, kind: "sum", [EXACT]: true }, op.result.hint);
    const squared = this.squares.get(s.u);
    if (squared !== undefined) this.squares.set(u, squared);
    const terms = elementCount(shapeOf(s.u)) / elementCount(shapeOf(u));
    const range = op.name === "nn.reduce" && s.range !== undefined ? { lo: terms * s.range.lo, hi: terms * s.range.hi } : undefined;
    return { u, scale: s.scale.map((v) => v / count), axis: s.axis, offset: 0, range };
  }

  // --- where integers end ---------------------------------------------------------------------------------------------

  private round(op: Op): void {
    const x = op.operand(0);
    const [lo, hi] = [intAttr(op, "lo"), intAttr(op, "hi")];
    const s = this.scaled.get(x);
    const done = (u: Value, range: { lo: number; hi: number }): void => {
      u.hint ??= op.result.hint;
      this.scaled.set(op.result, { u, scale: Float64Array.of(1), axis: undefined, offset: 0, range });
    };
    if (s?.range !== undefined && s.axis === undefined && s.scale[0] === 1 && Number.isInteger(s.offset) && s.range.lo + s.offset >= lo && s.range.hi + s.offset <= hi) {
      // Already such integers.
      return s.offset === 0 ? done(s.u, s.range) : done(this.affine(s.u, { values: Float64Array.of(1), axis: undefined }, s.offset, op.result.hint), { lo: s.range.lo + s.offset, hi: s.range.hi + s.offset });
    }
    const table = s === undefined ? this.table(op, lo, hi) : undefined;
    if (table !== undefined) return done(table, { lo, hi });
    op.setOperand(0, this.expand(x, { values: Float64Array.of(1), axis: undefined }));
    op.attrs = { ...op.attrs, [EXACT]: true };
    done(op.result, { lo, hi });
  }

  /** `v * f` with f taken down to the integers that v is made of. */
  private expand(v: Value, f: Factor, rank = shapeOf(v).length): Value {
    const s = this.scaled.get(v);
    if (s !== undefined) {
      const factor = times(s, f);
      if (factor !== undefined && (s.offset === 0 || f.values.length === 1)) return this.affine(s.u, factor, s.offset * f.values[0]!, v.hint);
    }
    const op = v.def;
    const c = constantOf(v);
    if (c !== undefined && f.axis !== undefined) {
      const own = this.factorOf(c, shapeOf(v).length < rank ? [...new Array<number>(rank - shapeOf(v).length).fill(1), ...shapeOf(v)] : shapeOf(v));
      const all = own && times({ scale: own.values, axis: own.axis }, f);
      if (all !== undefined) return this.constant([all.values.length, ...new Array<number>(Math.max(0, rank - all.axis! - 1)).fill(1)], all.values, v.hint ?? "constant");
    }
    if (c !== undefined && f.axis === undefined) return this.constant(c.shape, Float64Array.from(c.data, (x) => x * f.values[0]!), v.hint ?? "constant");
    if (op?.name === "nn.mul" || op?.name === "nn.div") {
      const factor = constantOf(op.operand(1));
      const own = factor && shapeOf(v).join() === shapeOf(op.operand(0)).join() ? this.factorOf(factor, shapeOf(v)) : undefined;
      const all = own && times({ scale: own.values.map((x) => (op.name === "nn.mul" ? x : 1 / x)), axis: own.axis }, f);
      if (all !== undefined && all.values.every((x) => x > 0)) return this.expand(op.operand(0), all);
    }
    const same = (x: Value): boolean => shapeOf(x).join() === shapeOf(v).join();
    if ((op?.name === "nn.add" || op?.name === "nn.sub") && op.operands.every((x) => same(x) || constantOf(x) !== undefined)) {
      return this.emit(op.name, op.operands.map((x) => this.expand(x, f, rank)), shapeOf(v), { [EXACT]: true }, v.hint);
    }
    if (op?.name === "nn.relu") return this.emit("nn.relu", [this.expand(op.operand(0), f)], shapeOf(v), { [EXACT]: true }, v.hint);
    if (op?.name === "nn.clip" && f.axis === undefined) {
      return this.emit("nn.clip", [this.expand(op.operand(0), f)], shapeOf(v), { lo: numAttr(op, "lo", -Infinity) * f.values[0]!, hi: numAttr(op, "hi", Infinity) * f.values[0]!, [EXACT]: true }, v.hint);
    }
    if (op?.name === "nn.reduce" && f.axis === undefined && op.result.uses.length === 1 && (strAttr(op, "kind") === "sum" || strAttr(op, "kind") === "mean")) {
      // Sums of what is no integer: each term is rounded to a small part of the last bit of the result.
      const x = op.operand(0);
      const terms = elementCount(shapeOf(x)) / elementCount(shapeOf(v));
      const fine = this.expand(x, single((f.values[0]! * 2 ** TERM_BITS) / (strAttr(op, "kind") === "mean" ? terms : 1)));
      const rounded = this.emit("nn.round", [fine], shapeOf(x), { lo: -(2 ** TERM_RANGE), hi: 2 ** TERM_RANGE, [EXACT]: true }, `${v.hint ?? "sum"}_terms`);
      const sum = this.emit("nn.reduce", [rounded], shapeOf(v), { ...op.attrs, kind: "sum", [EXACT]: true }, v.hint);
      return this.affine(sum, single(2 ** -TERM_BITS), 0, v.hint);
    }
    if ((op?.name === "nn.reshape" || op?.name === "nn.transpose") && f.axis === undefined && op.result.uses.length === 1) {
      return this.emit(op.name, [this.expand(op.operand(0), f)], shapeOf(v), op.attrs, v.hint);
    }
    return this.affine(v, f, 0, v.hint);
  }

  /** A network output: integers times one number where possible, which the port then carries as integers. */
  private output(v: Value): Value {
    return this.scaled.has(v) ? this.expand(v, { values: Float64Array.of(1), axis: undefined }) : v;
  }

  /** Operations that are left with real numbers get them from the integers; last first, so that only what is read counts. */
  private materialize(): void {
    const ops = this.module.func.body.ops;
    const live = new Set<Op>([ops[ops.length - 1]!]);
    const mark = (v: Value): void => {
      if (v.def === undefined || live.has(v.def)) return;
      live.add(v.def);
      if (v.def.attrs[EXACT] === true || !this.original.has(v.def)) v.def.operands.forEach(mark);
    };
    live.forEach((op) => op.operands.forEach(mark));
    for (const op of [...ops].reverse()) {
      if (!live.has(op) || op.attrs[EXACT] === true || !this.original.has(op)) continue;
      this.b = Builder.before(op);
      this.b.loc = op.loc;
      op.operands.forEach((v, i) => {
        const s = this.scaled.get(v);
        if (s !== undefined && s.u !== v) op.setOperand(i, this.expand(v, { values: Float64Array.of(1), axis: undefined }));
      });
      op.operands.forEach(mark);
    }
  }

  // --- tables ---------------------------------------------------------------------------------------------------------

  /** What `round` computes, as a table, where everything between it and one tensor of few integers works element by element. */
  private table(round: Op, lo: number, hi: number): Value | undefined {
    const chain = new Set<Op>();
    let root: Value | undefined;
    const visit = (v: Value): boolean => {
      const s = this.scaled.get(v);
      if (s?.range !== undefined && s.axis === undefined) {
        // Several readings of one tensor, scaled or not, are the same root.
        const from = s.u;
        if (root !== undefined && root !== from) return false;
        root = from;
        range = s.range;
        return true;
      }
      const c = constantOf(v);
      if (c !== undefined) return c.data.length === 1;
      if (v.def === undefined || !ELEMENTWISE.has(v.def.name) || chain.size > 32) return false;
      chain.add(v.def);
      return v.def.operands.every((x) => visit(x));
    };
    let range: { lo: number; hi: number } | undefined;
    const x = round.operand(0);
    if (!visit(x) || root === undefined || range === undefined || range.hi - range.lo + 1 > MAX_TABLE || chain.size === 0) return undefined;
    const found = root as Value;
    if (shapeOf(found).join() !== shapeOf(x).join()) return undefined;
    const values = tabulate(x, found, this.scaled, range);
    const data = Float64Array.from(values, (v) => Math.min(hi, Math.max(lo, roundHalfEven(v))) + 0);
    return this.emit("nn.lookup", [found], shapeOf(x), { first: range.lo, values: new Dense([data.length], f32, data) }, round.result.hint);
  }
}

const ELEMENTWISE: ReadonlySet<string> = new Set(["nn.add", "nn.sub", "nn.mul", "nn.div", "nn.relu", "nn.clip", "nn.unary", "nn.leaky_relu", "nn.neg", "nn.abs", "nn.max", "nn.min"]);

function single(value: number): Factor {
  return { values: Float64Array.of(value), axis: undefined };
}

function productRange(p: { lo: number; hi: number }, q: { lo: number; hi: number }): { lo: number; hi: number } {
  const corners = [p.lo * q.lo, p.lo * q.hi, p.hi * q.lo, p.hi * q.hi];
  return { lo: Math.min(...corners), hi: Math.max(...corners) };
}

function squareRange(p: { lo: number; hi: number }): { lo: number; hi: number } {
  return { lo: 0, hi: Math.max(p.lo * p.lo, p.hi * p.hi) };
}

function times(s: { readonly scale: Float64Array; readonly axis: number | undefined }, f: Factor): Factor | undefined {
  if (s.axis !== undefined && f.axis !== undefined && s.axis !== f.axis) return undefined;
  const n = Math.max(s.scale.length, f.values.length);
  const values = Float64Array.from({ length: n }, (_, i) => s.scale[s.scale.length === 1 ? 0 : i]! * f.values[f.values.length === 1 ? 0 : i]!);
  return { values, axis: s.axis ?? f.axis };
}

/** An integer up to the rounding of float32. */
function isCount(v: number): boolean {
  return Math.abs(v - Math.round(v)) <= 0.02 + Math.abs(v) * 2 ** -22;
}

function roundHalfEven(v: number): number {
  const f = Math.floor(v);
  const d = v - f;
  return d < 0.5 ? f : d > 0.5 ? f + 1 : f % 2 === 0 ? f : f + 1;
}

/** Values of the elementwise expression `x` for every integer of `root`. */
function tabulate(x: Value, root: Value, scaled: ReadonlyMap<Value, Scaled>, range: { lo: number; hi: number }): Float64Array {
  const n = range.hi - range.lo + 1;
  const memo = new Map<Value, Float64Array>();
  const valuesOf = (v: Value): Float64Array => {
    const known = memo.get(v);
    if (known !== undefined) return known;
    const s = scaled.get(v);
    let values: Float64Array;
    if (s?.u === root && s.axis === undefined && s.range !== undefined) values = Float64Array.from({ length: n }, (_, i) => s.scale[0]! * (range.lo + i) + s.offset);
    else if (constantOf(v) !== undefined) values = new Float64Array(n).fill(constantOf(v)!.data[0]!);
    else values = evaluateElementwise(v.def!, v.def!.operands.map(valuesOf), n);
    memo.set(v, values);
    return values;
  };
  return valuesOf(x);
}

/** One operation on vectors: a small module of its own, so that it means what the interpreter says. */
function evaluateElementwise(op: Op, operands: readonly Float64Array[], n: number): Float64Array {
  const block = new Block();
  const args = operands.map((_, i) => block.addArg(tensor([n], f32), `x${i}`));
  const b = new Builder(block);
  b.create("return", [b.value(op.name, args, tensor([n], f32), op.attrs)], []);
  const module = new Module("table");
  module.body.append(new Op({ name: "func", attrs: { sym: "table", inputs: args.map((a) => a.hint!), outputs: ["y"] }, regions: [block] }));
  return Float64Array.from(prepareNn(module).run(operands)[0]!);
}
