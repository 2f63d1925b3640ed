/** nn operations that round: to a format, to the grid of a quantized model, to integers of the network's own. */
import { attrReader, type Kernel } from "../define-op.js";
import {
  overflowTo,
  requantizeWide,
  roundTo,
  roundWhole,
  roundWide,
  type Overflow,
  type Ranged,
  type Rounding,
} from "../fixed-arith.js";
import type { Op } from "../core.js";
import { outerRange, typeOfRange, type FixedType } from "../types.js";
import { elementwise } from "./kernels.js";
import { pointwise } from "./pointwise.js";
import { defineNn, everywhere } from "./record.js";
import { checkShape, formatOf, typed } from "./typing.js";
import { fixedOf, shapeOf } from "./values.js";
import { wideEach } from "./wide.js";

const how = attrReader({
  rounding: { kind: "string", oneOf: ["half-up", "half-even", "floor"] },
  overflow: { kind: "string", oneOf: ["saturate", "wrap"] },
});

function quantized(op: Op): Kernel {
  const { rounding, overflow } = how(op);
  return quantizeKernel(fixedOf(op.operand(0)), formatOf(op.result), rounding, overflow);
}

function quantizeKernel(from: FixedType | undefined, to: FixedType, rounding: Rounding, overflow: Overflow): Kernel {
  const [scale, unit] = [2 ** to.frac, 2 ** -to.frac];
  const { lo, hi } = outerRange(to);
  if (
    rounding === "half-up" &&
    overflow === "saturate" &&
    from !== undefined &&
    from.width <= 50 &&
    from.frac - to.frac <= 50
  ) {
    // The common case, without calls: the sum with 1/2 is exact at these widths.
    return ([x], out) => {
      for (let i = 0; i < out.length; i++) {
        const r = Math.floor(x![i]! * scale + 0.5);
        out[i] = (r > hi ? hi : r < lo ? lo : r) * unit;
      }
    };
  }
  return ([x], out) => {
    for (let i = 0; i < out.length; i++) out[i] = overflowTo(roundTo(x![i]! * scale, rounding), to, overflow) * unit;
  };
}

export const quantize = defineNn({
  name: "nn.quantize",
  summary: "Rounds and limits to the fixed-point result type, from float or fixed point.",
  source: "ONNX QuantizeLinear with power-of-two scales",
  operands: ["x"],
  results: ["y"],
  role: "rounding",
  traits: ["pure", "elementwise"],
  attrs: how.specs,
  verify: (op, report) => {
    checkShape(op, shapeOf(op.operand(0)), report);
    if (fixedOf(op.result) === undefined) report("the result is not in fixed point");
  },
  evaluate: everywhere(
    quantized,
    wideEach((op, x) => {
      const { rounding, overflow } = how(op);
      return (v) => requantizeWide(v, x, formatOf(op.result), rounding, overflow);
    }),
  ),
});

const grid = attrReader({
  lo: { kind: "int" },
  hi: { kind: "int" },
  zero: { kind: "int", optional: true, default: 0, doc: "0 where absent" },
});

export const round = defineNn({
  name: "nn.round",
  summary: "The nearest integer, ties to even, plus zero, limited to [lo, hi].",
  source: "ONNX QuantizeLinear",
  operands: ["x"],
  results: ["y"],
  role: "rounding",
  traits: ["pure", "elementwise"],
  attrs: grid.specs,
  inferTypes: (op) => typed(op, shapeOf(op.operand(0)), () => typeOfRange({ lo: grid(op).lo, hi: grid(op).hi }, 0)),
  verify: (op, report) => {
    checkShape(op, shapeOf(op.operand(0)), report);
    if (grid(op).lo > grid(op).hi) report("lo is above hi");
  },
  evaluate: everywhere(
    (op) => {
      const { lo, hi, zero } = grid(op);
      return elementwise((v) => Math.min(hi, Math.max(lo, roundTo(v, "half-even") + zero)) + 0);
    },
    wideEach((op, x) => {
      const g = grid(op);
      const [lo, hi, zero] = [BigInt(g.lo), BigInt(g.hi), BigInt(g.zero)];
      return (v) => {
        const r = roundWide(v, x.frac, "half-even") + zero;
        return r < lo ? lo : r > hi ? hi : r;
      };
    }),
  ),
});

export const WHOLE_MODES = ["floor", "ceil", "trunc", "half-even"] as const;

const wholes = attrReader({
  mode: { kind: "string", oneOf: WHOLE_MODES },
  lo: { kind: "number", optional: true, default: -Infinity },
  hi: { kind: "number", optional: true, default: Infinity },
});

/** Integers that occur: those of the operand's range, within the limits. */
function wholeType(x: Ranged, op: Op): FixedType {
  const { mode, lo, hi } = wholes(op);
  const within = (raw: bigint): number => Math.min(hi, Math.max(lo, roundWhole(Number(raw) * 2 ** -x.frac, mode)));
  return typeOfRange({ lo: within(x.range.lo), hi: within(x.range.hi) }, 0);
}

export const whole = pointwise("nn.whole", {
  summary: "The integer that `mode` gives, limited to [lo, hi]; trunc goes towards zero.",
  source: "ONNX Floor, Ceil, Round, Cast",
  attrs: wholes,
  format: wholeType,
  verify: (op, report) => {
    if (wholes(op).lo > wholes(op).hi) report("lo is above hi");
  },
  evaluate: everywhere((op) => {
    const { mode, lo, hi } = wholes(op);
    return elementwise((v) => Math.min(hi, Math.max(lo, roundWhole(v, mode))) + 0);
  }),
});

export const fraction = pointwise("nn.fraction", {
  summary: "x - floor(x): what is left of a phase when whole turns are dropped.",
  source: "ONNX Sin, Cos",
  attrs: attrReader({}),
  format: (x) => typeOfRange({ lo: 0, hi: x.frac > 0 ? 2 ** x.frac - 1 : 0 }, Math.max(0, x.frac)),
  evaluate: everywhere(() => elementwise((v) => v - Math.floor(v))),
});

export const roundingOps = [quantize, round, whole, fraction] as const;
