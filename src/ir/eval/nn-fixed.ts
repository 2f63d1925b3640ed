/**
 * Reference interpreter of nn, in float and on fixed point: what each operation computes stands in its record, here is
 * what runs them. On fixed point it is exact, except where the program itself rounds (`nn.quantize`, `nn.unary`).
 *
 * Values travel as doubles that are exact multiples of their type's LSB (see nn/kernels.ts), those of more than 53 bits
 * as bigints as well, which the doubles then only approximate (nn/wide.ts). Raw integers of others appear at the ports
 * and in the two rounding operations. The same engine evaluates float modules in double precision, which is what
 * calibration and the comparison layer by layer use: `prepareNn` takes and returns values, `prepareNnFixed` raw
 * integers.
 */
import { CompilerBug, UserError } from "../../diagnostics/index.js";
import { allocate, type DenseData } from "../attributes.js";
import type { Module, Op, Value } from "../core.js";
import { lookupOp, meaningOf, type Kernel, type WideKernel } from "../define-op.js";
import { checkWidth } from "../fixed-arith.js";
import { formatOf } from "../nn/typing.js";
import { at, present } from "../present.js";
import { constantOf, fixedOf, shapeOf, valuesOfDense } from "../nn/values.js";
import { elementCount, type FixedType, isWide, NUMBER_WIDTH, showType } from "../types.js";
import { placeOf } from "../verify.js";

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
    const result = present(op.results[0], `a result of ${op.name}`);
    const constant = constantOf(result);
    if (constant !== undefined) {
      buffers.set(result, valuesOfDense(constant));
      continue;
    }
    const [out, ...more] = op.results.map((v) => new Float64Array(elementCount(shapeOf(v)))) as [Float64Array];
    [out, ...more].forEach((data, i) => {
      const v = at(op.results, i);
      const elem = fixedOf(v);
      if (elem !== undefined) checkWidth(elem, op.name);
      if (elem !== undefined && isWide(elem)) wide.set(v, new Array<bigint>(data.length).fill(0n));
      buffers.set(v, data);
    });
    steps.push({
      kernel: kernelOf(op, wide),
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
  const type = formatOf(v);
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

/** What `op` computes, in float or on fixed point, as its record says. */
function kernelOf(op: Op, wide: WideValues): Kernel {
  const meaning = meaningOf(lookupOp(op.name));
  if (meaning === undefined) throw UserError.of("QU007", { op: op.name, lacks: "meaning" }, placeOf(op.loc));
  if (!isFixed(op)) return meaning.float(op);
  if (meaning.fixed === undefined) throw new CompilerBug(`nn interpreter: ${op.name} is one of float only`);
  if (![...op.operands, ...op.results].some((v) => isWide(formatOf(v)))) return meaning.fixed(op);
  if (meaning.wide === undefined) throw tooWide(op);
  return onNumbers(op, meaning.wide(op), wide);
}

function isFixed(op: Op): boolean {
  return [...op.operands, ...op.results].every((v) => fixedOf(v) !== undefined);
}

/** Raw integers of the values that are too wide for numbers. */
type WideValues = ReadonlyMap<Value, bigint[]>;

/** The nearest real number to a raw integer; exact for a type of up to 53 bits. */
function approximate(raw: bigint, type: FixedType): number {
  return Number(raw) * 2 ** -type.frac;
}

/** A computation on raw integers for values as the interpreter keeps them; wide results go to `wide` as well. */
function onNumbers(op: Op, compute: WideKernel, wide: WideValues): Kernel {
  const to = formatOf(op.result);
  const target = wide.get(op.result);
  return (inputs, out) => {
    const raws = op.operands.map((v, i) => {
      const { frac } = formatOf(v);
      return wide.get(v) ?? Array.from(inputs[i]!, (x) => BigInt(x * 2 ** frac));
    });
    const result = compute(raws);
    for (let i = 0; i < out.length; i++) {
      if (target !== undefined) target[i] = result[i]!;
      out[i] = approximate(result[i]!, to);
    }
  };
}

function tooWide(op: Op): UserError {
  const wide = [...op.operands, ...op.results].map(formatOf).filter(isWide).map(showType);
  const reason = `${op.name} has no form for ${wide.join(", ")}, more than ${NUMBER_WIDTH} bits`;
  return UserError.of("QU005", { what: op.loc.nodes[0] ?? op.name, reason }, placeOf(op.loc));
}
