/** The border between real numbers and the network's input ports. */
import type { Module } from "../../../ir/core.js";
import { allocate, type DenseData } from "../../../ir/attributes.js";
import { quantizeInto } from "../../../ir/fixed-arith.js";
import { fixedOf } from "../../../ir/nn/values.js";
import type { FixedType, TensorType, Type } from "../../../ir/types.js";
import { CompilerBug } from "../../../diagnostics/index.js";
import type { Sample } from "./calibrate.js";

/** Formats of the input ports of a quantized module, in the order of the function's arguments. */
export function inputFormats(module: Module): FixedType[] {
  return module.func.body.args.map((a) => {
    const type = fixedOf(a);
    if (type === undefined) throw new CompilerBug(`input %${a.hint ?? a.id} is not quantized`);
    return type;
  });
}
/** Raw integers for a port: round half to even, then saturate. */
export function toRaw(values: ArrayLike<number>, type: FixedType): DenseData {
  const raw = allocate(type, values.length);
  quantizeInto(values, type, raw);
  return raw;
}

/**
 * Real inputs, divided by the scales of the ports, brought to their grid, still as real numbers. Float ports take them
 * as they are.
 */
export function roundInputs(sample: Sample, ports: readonly Type[], scales: readonly number[] = []): Float64Array[] {
  return sample.map((x, i) => {
    const { elem } = ports[i] as TensorType;
    if (elem.kind !== "fixed") return Float64Array.from(x);
    const values = new Float64Array(x.length);
    const scale = scales[i] ?? 1;
    quantizeInto(scale === 1 ? x : Float64Array.from(x, (v) => v / scale), elem, values);
    const unit = 2 ** -elem.frac;
    for (let k = 0; k < values.length; k++) values[k]! *= unit;
    return values;
  });
}
