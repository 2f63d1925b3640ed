/**
 * Reference interpreter of nn on fixed point: exact, except where the program itself rounds (`nn.quantize`,
 * `nn.unary`).
 *
 * Values travel as doubles that are exact multiples of their type's LSB (see nn-kernels.ts), those of more than 53 bits
 * as bigints as well, which the doubles then only approximate (nn-wide.ts). Raw integers of others appear at the ports
 * and in the two rounding operations. The same engine evaluates float modules in double precision, which is what
 * calibration and the comparison layer by layer use: `prepareNn` takes and returns values, `prepareNnFixed` raw
 * integers.
 */
import { CompilerBug } from "../../diagnostics/index.js";
import { allocate, type Dense, type DenseData } from "../attributes.js";
import type { Module, Op, Value } from "../core.js";
import { boolAttr, denseAttr, intAttr, intsAttr, lookupOp, numAttr, strAttr } from "../define-op.js";
import { checkWidth, type Overflow, overflowTo, type Rounding, roundTo, roundWhole } from "../fixed-arith.js";
import { unaryFunction, unaryRaw, unaryTable } from "../nn/unary-table.js";
import {
  elementCount,
  type FixedType,
  isWide,
  NUMBER_WIDTH,
  outerRange,
  rawRange,
  rowMajorStrides,
  showType,
  type TensorType,
} from "../types.js";
import {
  binary,
  broadcastStrides,
  concat,
  conv,
  elementwise,
  matmul,
  offsets,
  permuted,
  pool,
  reduce,
  softmax,
  type Kernel,
} from "./nn-kernels.js";
import { approximate, hasWide, wideKernel } from "./nn-wide.js";

/** Evaluates one sample; arrays hold real values in row-major order and are overwritten by the next run. */
export interface NnProgram {
  run(inputs: readonly ArrayLike<number>[]): Float64Array[];
  /**
   * Called with each operation's result as it is computed, constants excepted. What the observer writes to `data` is
   * what the operations behind it read.
   */
  observe: ((value: Value, data: Float64Array) => void) | undefined;
}

/** As NnProgram, with raw integers at the ports; results are fresh arrays. */
export interface FixedProgram {
  run(inputs: readonly DenseData[]): DenseData[];
  /** Real values, not raw integers. */
  observe: NnProgram["observe"];
}

export function shapeOf(v: Value): readonly number[] {
  return (v.type as TensorType).shape;
}
/** Element type of a fixed-point tensor; undefined in float. */
export function fixedOf(v: Value): FixedType | undefined {
  const t = v.type as TensorType;
  return t.elem.kind === "fixed" ? t.elem : undefined;
}

/** Real values of a constant. */
export function valuesOfDense(d: Dense): Float64Array {
  const scale = d.elem.kind === "fixed" ? 2 ** -d.elem.frac : 1;
  return Float64Array.from(d.data, (v) => v * scale);
}

export function prepareNn(module: Module): NnProgram {
  const func = module.func;
  const buffers = new Map<Value, Float64Array>();
  const wide = new Map<Value, bigint[]>();
  const steps: {
    kernel: Kernel;
    inputs: Float64Array[];
    result: Value;
    out: Float64Array;
    more: readonly Float64Array[];
    accept: (() => void) | undefined;
  }[] = [];
  const buffer = (v: Value): Float64Array => {
    const found = buffers.get(v);
    if (found === undefined) throw new CompilerBug(`nn interpreter: %${v.hint ?? v.id} is used before it is defined`);
    return found;
  };
  for (const arg of func.body.args) buffers.set(arg, new Float64Array(elementCount(shapeOf(arg))));
  let results: Float64Array[] = [];
  for (const op of func.body.ops) {
    if (op.name === "return") {
      results = op.operands.map(buffer);
      break;
    }
    const [result, ...others] = op.results as [Value, ...Value[]];
    const elem = fixedOf(result);
    if (elem !== undefined) checkWidth(elem, op.name);
    if (op.name === "nn.constant") {
      buffers.set(result, valuesOfDense(denseAttr(op, "value")));
      continue;
    }
    const [out, ...more] = op.results.map((v) => new Float64Array(elementCount(shapeOf(v)))) as [Float64Array];
    [out, ...more].forEach((data, i) => buffers.set(op.results[i]!, data));
    if (elem !== undefined && isWide(elem)) wide.set(result, new Array<bigint>(out.length).fill(0n));
    for (const v of others) checkWidth(fixedOf(v)!, op.name);
    const kernel = hasWide(op) ? wideKernel(op, kernelOf(op), wide) : kernelOf(op);
    steps.push({
      kernel,
      inputs: op.operands.map(buffer),
      result,
      out,
      more,
      accept: acceptance(result, out, wide.get(result)),
    });
  }
  const args = func.body.args.map(buffer);
  const program: NnProgram = {
    observe: undefined,
    run(inputs) {
      args.forEach((a, i) => a.set(inputs[i]!));
      for (const s of steps) {
        s.kernel(s.inputs, s.out, ...s.more);
        if (program.observe === undefined) continue;
        program.observe(s.result, s.out);
        s.accept?.();
      }
      return results;
    },
  };
  return program;
}

/** Takes over what an observer has written to the real numbers that stand for a wide value. */
function acceptance(v: Value, out: Float64Array, raws: bigint[] | undefined): (() => void) | undefined {
  if (raws === undefined) return undefined;
  const type = fixedOf(v)!;
  return () => {
    for (let i = 0; i < out.length; i++)
      if (out[i] !== approximate(raws[i]!, type)) raws[i] = BigInt(Math.floor(out[i]! * 2 ** type.frac));
  };
}

export function prepareNnFixed(module: Module): FixedProgram {
  const inner = prepareNn(module);
  const port = (v: Value): FixedType => {
    const t = fixedOf(v);
    if (t === undefined)
      throw new CompilerBug(`port %${v.hint ?? v.id} has type ${showType(v.type)}: the module is not quantized`);
    if (isWide(t))
      throw new CompilerBug(
        `port %${v.hint ?? v.id} has type ${showType(t)}, and a port has at most ${NUMBER_WIDTH} bits`,
      );
    return t;
  };
  const ins = module.func.body.args.map(port);
  const outs = module.func.body.terminator.operands.map(port);
  const program: FixedProgram = {
    observe: undefined,
    run(inputs) {
      inner.observe = program.observe;
      const values = inner.run(inputs.map((raw, i) => Float64Array.from(raw, (r) => r * 2 ** -ins[i]!.frac)));
      return values.map((v, i) => {
        const scale = 2 ** outs[i]!.frac;
        const raw = allocate(outs[i]!, v.length);
        for (let k = 0; k < v.length; k++) raw[k] = v[k]! * scale + 0; // + 0 turns -0 into 0
        return raw;
      });
    },
  };
  return program;
}

const unaryByName: Readonly<Record<string, (x: number) => number>> = {
  "nn.relu": (x) => (x > 0 ? x : 0),
  "nn.neg": (x) => -x,
  "nn.abs": (x) => Math.abs(x),
};
const binaryByName: Readonly<Record<string, (a: number, b: number) => number>> = {
  "nn.add": (a, b) => a + b,
  "nn.sub": (a, b) => a - b,
  "nn.mul": (a, b) => a * b,
  "nn.div": (a, b) => a / b,
  "nn.max": (a, b) => (a > b ? a : b),
  "nn.min": (a, b) => (a < b ? a : b),
};

/** The index of a negative axis counted from the front. */
function axisAt(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

function kernelOf(op: Op): Kernel {
  const own = lookupOp(op.name)?.evaluate;
  if (own !== undefined) return own(op);
  const [x, y] = [op.operands[0] === undefined ? [] : shapeOf(op.operand(0)), shapeOf(op.result)];
  const simple = unaryByName[op.name];
  if (simple !== undefined) return elementwise(simple);
  const two = binaryByName[op.name];
  if (two !== undefined) return binary(two, x, shapeOf(op.operand(1)), y);
  const spatialRank = x.length - 2;
  const spatial = (key: string, fill: number): number[] =>
    op.attrs[key] === undefined ? new Array<number>(spatialRank).fill(fill) : intsAttr(op, key);
  switch (op.name) {
    case "nn.conv":
      return conv({
        x,
        w: shapeOf(op.operand(1)),
        y,
        strides: spatial("strides", 1),
        pads: op.attrs["pads"] === undefined ? spatial("pads", 0) : spatial("pads", 0).slice(0, spatialRank),
        dilations: spatial("dilations", 1),
        group: numAttr(op, "group", 1),
        padValue: hasWide(op) ? 0 : numAttr(op, "pad_value", 0),
      });
    case "nn.matmul":
      return matmul(x, shapeOf(op.operand(1)), y);
    case "nn.leaky_relu": {
      const slope =
        fixedOf(op.operand(0)) === undefined
          ? numAttr(op, "slope", 0.01)
          : intAttr(op, "slope_raw") * 2 ** -intAttr(op, "slope_frac");
      return elementwise((v) => (v < 0 ? v * slope : v));
    }
    case "nn.clip": {
      const [lo, hi] = [numAttr(op, "lo", -Infinity), numAttr(op, "hi", Infinity)];
      return elementwise((v) => Math.min(hi, Math.max(lo, v)));
    }
    case "nn.select_neg": {
      const at = op.operands.map((v) => offsets(y, broadcastStrides(shapeOf(v), y)));
      return ([c, a, b], out) => {
        for (let i = 0; i < out.length; i++) out[i] = c![at[0]![i]!]! < 0 ? a![at[1]![i]!]! : b![at[2]![i]!]!;
      };
    }
    case "nn.round": {
      const [lo, hi, zero] = [intAttr(op, "lo"), intAttr(op, "hi"), numAttr(op, "zero", 0)];
      return elementwise((v) => Math.min(hi, Math.max(lo, roundTo(v, "half-even") + zero)) + 0);
    }
    case "nn.whole": {
      const [mode, lo, hi] = [strAttr(op, "mode"), numAttr(op, "lo", -Infinity), numAttr(op, "hi", Infinity)];
      return elementwise((v) => Math.min(hi, Math.max(lo, roundWhole(v, mode))) + 0);
    }
    case "nn.fraction":
      return elementwise((v) => v - Math.floor(v));
    case "nn.lookup": {
      const [first, values] = [intAttr(op, "first"), Float64Array.from(denseAttr(op, "values").data)];
      return elementwise((v) => values[Math.min(values.length - 1, Math.max(0, v - first))]!);
    }
    case "nn.take": {
      const [rows, columns] = shapeOf(op.operand(1)) as [number, number];
      return ([at, table], out) => {
        for (let i = 0; i < at!.length; i++) {
          const row = Math.min(rows - 1, Math.max(0, at![i]!)) * columns;
          for (let j = 0; j < columns; j++) out[i * columns + j] = table![row + j]!;
        }
      };
    }
    case "nn.unary":
      return unary(op);
    case "nn.quantize":
      return quantize(
        fixedOf(op.operand(0)),
        fixedOf(op.result)!,
        strAttr(op, "rounding") as Rounding,
        strAttr(op, "overflow") as Overflow,
      );
    case "nn.softmax":
      return softmax(x, axisAt(intAttr(op, "axis"), x.length));
    case "nn.reduce":
      return reduce(
        strAttr(op, "kind") as "sum" | "mean" | "max" | "min",
        x,
        intsAttr(op, "axes").map((a) => axisAt(a, x.length)),
      );
    case "nn.pool":
      return pool(
        strAttr(op, "kind") as "max" | "average" | "sum",
        {
          x,
          y,
          kernel: intsAttr(op, "kernel"),
          strides: spatial("strides", 1),
          pads: spatial("pads", 0).slice(0, spatialRank),
          dilations: spatial("dilations", 1),
        },
        boolAttr(op, "count_include_pad"),
      );
    case "nn.concat":
      return concat(op.operands.map(shapeOf), axisAt(intAttr(op, "axis"), y.length));
    default:
      return view(op, x, y);
  }
}

/** Data movement: where each element of the result comes from. */
function view(op: Op, x: readonly number[], y: readonly number[]): Kernel {
  const strides = rowMajorStrides(x);
  switch (op.name) {
    case "nn.reshape":
      return ([v], out) => out.set(v!);
    case "nn.transpose":
      return permuted(
        offsets(
          y,
          intsAttr(op, "perm").map((p) => strides[p]!),
        ),
      );
    case "nn.broadcast":
      return permuted(offsets(y, broadcastStrides(x, y)));
    case "nn.slice": {
      const [starts, steps] = [intsAttr(op, "starts"), intsAttr(op, "steps")];
      const first = starts.reduce((n, s, d) => n + s * strides[d]!, 0);
      return permuted(
        offsets(
          y,
          strides.map((s, d) => s * steps[d]!),
          first,
        ),
      );
    }
    case "nn.pad": {
      const pads = intsAttr(op, "pads");
      const from = offsets(y, strides, -x.reduce((n, _, d) => n + pads[d]! * strides[d]!, 0));
      const positions = y.map((_, d) =>
        offsets(
          y,
          y.map((__, e) => (d === e ? 1 : 0)),
        ),
      );
      const inside = from.map((at, i) =>
        positions.every((p, d) => p[i]! >= pads[d]! && p[i]! < pads[d]! + x[d]!) ? at : -1,
      );
      return permuted(inside, numAttr(op, "value", 0));
    }
    case "nn.gather": {
      const axis = axisAt(intAttr(op, "axis"), x.length);
      const outer = offsets(x.slice(0, axis), strides.slice(0, axis));
      const inner = offsets(x.slice(axis + 1), strides.slice(axis + 1));
      const indices = intsAttr(op, "indices");
      const from = new Int32Array(elementCount(y));
      let n = 0;
      for (const o of outer)
        for (const i of indices) for (const r of inner) from[n++] = o + axisAt(i, x[axis]!) * strides[axis]! + r;
      return permuted(from);
    }
    default:
      throw new CompilerBug(`nn interpreter: no meaning for ${op.name}`);
  }
}

function quantize(from: FixedType | undefined, to: FixedType, rounding: Rounding, overflow: Overflow): Kernel {
  const [scale, unit] = [2 ** to.frac, 2 ** -to.frac];
  // Wide ones are computed elsewhere, and of this kernel only the type is needed.
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

/** Tables of up to this many bits of input are computed once. */
const TABLE_BITS = 16;

function unary(op: Op): Kernel {
  const fn = strAttr(op, "fn");
  const f = unaryFunction(fn);
  if (f === undefined) throw new CompilerBug(`nn interpreter: unknown function ${fn}`);
  const [from, to] = [fixedOf(op.operand(0)), fixedOf(op.result)];
  if (from === undefined || to === undefined) return elementwise(f);
  const scale = 2 ** from.frac;
  const unit = 2 ** -to.frac;
  if (from.width > TABLE_BITS) return elementwise((v) => unaryRaw(fn, v * scale, from, to) * unit);
  const table = Float64Array.from(unaryTable(fn, from, to).data, (r) => r * unit);
  const { lo } = rawRange(from);
  return elementwise((v) => table[v * scale - lo]!);
}
