/** Tensors at the ports of a compiled design: real numbers to raw integers, raw integers to beats. */
import type { BeatLayout } from "../backend-verilog/beats.js";
import type { StreamPort } from "../backend-verilog/verilator.js";
import type { AxisPort } from "../backend-hls/emit/flow-to-rtl.js";
import type { InputData } from "../frontend/npz.js";
import type { DenseData } from "../ir/attributes.js";
import { fixed, type FixedType } from "../ir/types.js";
import { toRaw } from "../passes/nn/quantize/inputs.js";

export function elemOf(p: AxisPort): FixedType {
  return fixed(p.width, p.frac, p.signed);
}

/** Elements of the port's tensor. */
export function sizeOf(p: AxisPort): number {
  return p.shape.reduce((n, d) => n * d, 1);
}

/** Raw integers of sample `s` at each of the input ports. */
export function rawSample(inputs: readonly AxisPort[], data: InputData, s: number): DenseData[] {
  return inputs.map((p, i) => {
    const all = data.data[i]!;
    const size = all.length / data.samples;
    const values = all.subarray(s * size, (s + 1) * size);
    const { scale } = p;
    return toRaw(scale === undefined ? values : Float64Array.from(values, (v) => v / scale), elemOf(p));
  });
}

export function layoutOf(p: AxisPort): BeatLayout {
  return { elementBits: p.width, elementsPerBeat: p.elementsPerBeat, signed: p.signed, width: p.dataBits };
}

/** The port as a simulation sees it. */
export function streamOf(p: AxisPort): StreamPort {
  return {
    name: p.prefix,
    direction: p.direction === "input" ? "in" : "out",
    width: p.dataBits,
    beatsPerSample: p.beats,
  };
}
