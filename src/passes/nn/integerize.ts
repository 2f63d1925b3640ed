/**
 * Quantized models compute with integers: what the model says with real numbers between DequantizeLinear and
 * QuantizeLinear is rewritten so that convolutions, matrix products and sums see the integers, and all scales meet in
 * one factor in front of the rounding.
 *
 *   round(relu(conv(u * sx + o, k * sw) + b) / sy)   ->   round(relu(conv(u, k) + (o sum(k) sw + b) / (sx sw)) * (sx sw / sy))
 *
 * u are the codes of the model, results of `nn.round` with their zero points; k the integers behind constant weights.
 * What an operation makes of u is again a scale, an offset and integers (`Scaled`), per tensor or per channel. A
 * function of a single tensor of few values, whatever it is made of, becomes a table of integers. What is left computes
 * with real numbers, and the record says why.
 *
 * @source Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference"
 * (CVPR 2018)
 */
import type { Attr } from "../../ir/attributes.js";
import { Builder, type Module, type Op, type Value } from "../../ir/core.js";
import { hasTrait, roleOf } from "../../ir/define-op.js";
import { definePass } from "../define-pass.js";
import type { Squares } from "./integerize/elementwise.js";
import { Expander } from "./integerize/expand.js";
import { isAll, ONE } from "./integerize/field.js";
import { formOf } from "./integerize/forms.js";
import type { Refuse } from "./integerize/linear.js";
import { INTEGER_RECORD, recordOf, type IntegerRecord } from "./integerize/record.js";
import {
  codes,
  EXACT,
  IntegerBuilder,
  isCount,
  sumRange,
  fieldRange,
  type Range,
  type Scaled,
} from "./integerize/scaled.js";
import { MAX_TABLE, roundedTable } from "./integerize/table.js";
import { constantOf, shapeOf, singleOf } from "../../ir/nn/values.js";
import * as nn from "../../ir/nn/ops.js";
import { isQuantizedModel } from "../../ir/nn/roles.js";

export { EXACT } from "./integerize/scaled.js";

export const integerize = definePass({
  name: "integerize",
  summary: "Compute with the integers of a quantized model; its scales meet in one factor before each rounding.",
  level: "nn",
  semantics: "changes-values",
  doc: "Only models with nn.round (QuantizeLinear, QONNX) change. Values are the same up to the rounding of floating point.",
  run: (module: Module, _options, ctx) => {
    if (!isQuantizedModel(module)) return;
    const record = new Integerizer(module).run();
    if (record !== undefined) ctx.set(INTEGER_RECORD, record);
  },
});

class Integerizer {
  private readonly scaled = new Map<Value, Scaled>();
  private readonly squares: Squares = new Map();
  private readonly original: ReadonlySet<Op>;
  private readonly reasons = new Map<Op, string>();
  private readonly b = new IntegerBuilder();
  private readonly scaledOf = (v: Value): Scaled | undefined => this.scaled.get(v);
  private readonly expander = new Expander(this.b, this.scaledOf);
  /** Whether the model computes with integers anywhere, beyond taking such at its inputs. */
  private quantized = false;

  constructor(private readonly module: Module) {
    this.original = new Set(module.func.body.ops);
  }

  /** The record of a quantized model; undefined where only the ports take integers. */
  run(): IntegerRecord | undefined {
    for (const op of [...this.module.func.body.ops]) {
      this.b.at = Builder.before(op);
      this.b.at.loc = op.loc;
      if (op.name === "return") op.operands.forEach((v, i) => op.setOperand(i, this.output(v)));
      else if (op.name === nn.round.name) this.round(op);
      else if (op.results.length === 1) {
        const s = this.derive(op);
        if (s === undefined) continue;
        this.scaled.set(op.result, s);
        this.quantized ||= roleOf(op) === "linear";
      }
    }
    this.materialize();
    return this.quantized ? recordOf(this.module, this.original, this.reasons) : undefined;
  }

  // --- integers behind values -------------------------------------------------------------------------------------

  /**
   * The integers behind the result of `op`, if it is a multiple of some; otherwise the reason is noted where an operand
   * is one.
   */
  private derive(op: Op): Scaled | undefined {
    const refuse: Refuse = (reason) => {
      if (!this.reasons.has(op)) this.reasons.set(op, reason);
      return undefined;
    };
    const s = formOf(op, { b: this.b, scaledOf: this.scaledOf, squares: this.squares, refuse });
    if (s !== undefined) this.reasons.delete(op);
    else if (op.operands.some((v) => this.scaled.has(v)))
      refuse(
        op.operands.every((v) => this.scaled.has(v) || constantOf(v) !== undefined)
          ? defaultReason(op)
          : "it joins the model's integers with real numbers",
      );
    return s;
  }

  // --- where integers end

  private round(op: Op): void {
    const { def } = op.operand(0);
    if (def !== undefined && !isInputScale(def)) this.quantized = true;
    const { lo, hi } = nn.round.read(op);
    this.scaled.set(op.result, this.rounded(op.operand(0), { lo, hi }, zeroOf(op, lo, hi), op.result.hint));
  }

  /**
   * round(x) within the limits, as codes: integers with `zero` added, so that they have no more bits than the model's.
   */
  private rounded(x: Value, range: Range, zero: number, hint: string | undefined): Scaled {
    const { lo, hi } = range;
    const s = this.scaled.get(x);
    if (s?.range !== undefined && isAll(s.scale, 1) && s.offset.data.every(Number.isInteger)) {
      const all = sumRange(s.range, fieldRange(s.offset));
      // Already such integers.
      if (all.lo >= lo && all.hi <= hi) return s;
    }
    const limits = { lo: lo + zero, hi: hi + zero };
    const table = s === undefined ? roundedTable(this.b, x, this.scaledOf, range, zero, hint) : undefined;
    if (table !== undefined) return codes(table, limits, zero);
    const attrs: Record<string, Attr> = { ...limits, ...(zero !== 0 && { zero }) };
    return codes(this.roundBefore(this.expander.rounded(x, lo, hi), attrs, hint), limits, zero);
  }

  /** nn.round of `y`, in front of the operations that only move elements: what they move is narrow then. */
  private roundBefore(y: Value, attrs: Record<string, Attr>, hint: string | undefined): Value {
    const op = y.def;
    if (op === undefined || this.original.has(op) || y.uses.length > 0 || !hasTrait(op, "moves"))
      return this.b.exact("nn.round", [y], shapeOf(y), attrs, hint);
    const parts = op.operands.map((v) => this.roundBefore(v, attrs, hint));
    return this.b.emit(op.name, parts, shapeOf(y), op.attrs, hint);
  }

  /** A network output: integers times one number where possible, which the port then carries as integers. */
  private output(v: Value): Value {
    const s = this.scaled.get(v);
    if (s === undefined) return v;
    const whole = this.b.centred(s);
    return whole === undefined ? this.expander.expand(v, ONE) : this.b.multiply(whole.u, whole.scale, v.hint);
  }

  /**
   * Operations that are left with real numbers get them from the integers; last first, so that only what is read
   * counts.
   */
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
      this.b.at = Builder.before(op);
      this.b.at.loc = op.loc;
      op.operands.forEach((v, i) => {
        const s = this.scaled.get(v);
        if (s !== undefined && s.u !== v) op.setOperand(i, this.expander.expand(v, ONE));
      });
      op.operands.forEach(mark);
    }
  }
}

/**
 * What is added to the result of a rounding: the zero point of the model, where the codes have fewer bits than what was
 * rounded.
 */
function zeroOf(op: Op, lo: number, hi: number): number {
  const bits = (l: number, h: number): number =>
    l >= 0 ? Math.ceil(Math.log2(h + 1)) : Math.ceil(Math.log2(Math.max(-l, h + 1))) + 1;
  const next = op.result.uses.length === 1 ? op.result.uses[0]?.op : undefined;
  const c = next?.name === nn.add.name ? singleOf(next.operand(1)) : undefined;
  const zero = c !== undefined && isCount(c) ? Math.round(c) : 0;
  return bits(lo + zero, hi + zero) < bits(lo, hi) ? zero : 0;
}

function isInputScale(op: Op): boolean {
  return op.name === nn.mul.name && op.operand(0).def === undefined;
}

function defaultReason(op: Op): string {
  if (op.name === nn.unary.name || op.name === nn.leakyRelu.name)
    return `it is a function of more than ${MAX_TABLE} values, or of several tensors`;
  return "it has no form on integers of these scales";
}
