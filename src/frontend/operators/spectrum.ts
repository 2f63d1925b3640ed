/** Spectra of constant length, which are matrix products, and the windows and filter banks around them. */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type Imported, type NodeContext, type OperatorImporter } from "../context.js";
import { reshape } from "./scatter.js";
import { padded } from "./pad.js";

const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

function transpose(ctx: NodeContext, x: Value, perm: readonly number[]): Value {
  return perm.every((p, i) => p === i)
    ? x
    : ctx.emit(
        "nn.transpose",
        [x],
        perm.map((p) => shapeOf(x)[p]!),
        { perm: [...perm] },
      );
}

/**
 * Element (time, part) to (frequency, part): the real and imaginary parts of exp(sign 2 pi i t k / n) times a complex
 * number.
 */
function fourier(n: number, inverse: boolean): (t: number, p: number, k: number, q: number) => number {
  const [sign, scale] = inverse ? [1, 1 / n] : [-1, 1];
  return (t, p, k, q) => {
    const angle = (2 * Math.PI * ((t * k) % n)) / n;
    return scale * (p === q ? Math.cos(angle) : (q === 1 ? sign : -sign) * Math.sin(angle));
  };
}

const dft: OperatorImporter = {
  opType: "DFT",
  since: 17,
  limits: "length and axis constant; no inverse of one side",
  import: (ctx) => {
    const shape = ctx.shape(0);
    const rank = shape.length;
    const parts = shape[rank - 1]!;
    const axis = ctx.axis(
      ctx.opset < 20 ? ctx.int("axis", 1) : ctx.has(2) ? ctx.needConstant(2, "the axis").data[0]! : -2,
      rank,
    );
    if (axis === rank - 1 || parts > 2)
      throw ctx.error(
        `axis ${axis} of a tensor of shape [${shape.join(", ")}], whose last axis holds real and imaginary parts`,
      );
    const n = ctx.has(1) ? ctx.needConstant(1, "the length").data[0]! : shape[axis]!;
    const [inverse, half] = [ctx.int("inverse", 0) !== 0, ctx.int("onesided", 0) !== 0];
    if (inverse && half)
      throw ctx.error("the inverse of one side of a spectrum is not supported", "export with the whole spectrum");
    const frequencies = half ? Math.floor(n / 2) + 1 : n;
    const pads = new Array<number>(2 * rank).fill(0);
    pads[rank + axis] = n - shape[axis]!;
    const order = [...shape.map((_, d) => d).filter((d) => d !== axis && d !== rank - 1), axis, rank - 1];
    const x = transpose(ctx, padded(ctx, ctx.value(0), pads, 0), order);
    const at = fourier(n, inverse);
    const map = new Float64Array(n * parts * frequencies * 2);
    ctx.checkSize([map.length]);
    for (let t = 0, i = 0; t < n; t++)
      for (let p = 0; p < parts; p++)
        for (let k = 0; k < frequencies; k++) for (let q = 0; q < 2; q++) map[i++] = at(t, p, k, q);
    const outer = shapeOf(x).slice(0, -2);
    const flat = reshape(ctx, x, [count(outer), n * parts]);
    const spectrum = ctx.emit(
      "nn.matmul",
      [
        flat,
        ctx.fromConstant({ shape: [n * parts, frequencies * 2], data: map, integer: false }, `${ctx.name}_fourier`),
      ],
      [count(outer), frequencies * 2],
    );
    const full = reshape(ctx, spectrum, [...outer, frequencies, 2]);
    return transpose(
      ctx,
      full,
      shape.map((_, d) => order.indexOf(d)),
    );
  },
};

/** A convolution whose stride is that of the frames. */
const stft: OperatorImporter = {
  opType: "STFT",
  since: 17,
  limits: "step, window and frame length constant",
  import: (ctx) => {
    const x = ctx.value(0);
    const [batch, length, parts = 1] = shapeOf(x) as [number, number, number?];
    const step = ctx.needConstant(1, "the step").data[0]!;
    const window = ctx.has(2) ? ctx.needWeight(2, "the window").data : undefined;
    const n = ctx.has(3) ? ctx.needConstant(3, "the frame length").data[0]! : (window?.length ?? 0);
    if (n < 1 || n > length || step < 1 || parts > 2)
      throw ctx.error(`frames of ${n} every ${step} of a signal of shape [${shapeOf(x).join(", ")}]`);
    const frequencies = ctx.int("onesided", 1) !== 0 ? Math.floor(n / 2) + 1 : n;
    const at = fourier(n, false);
    const weight = new Float64Array(frequencies * 2 * parts * n);
    for (let k = 0, i = 0; k < frequencies; k++)
      for (let q = 0; q < 2; q++)
        for (let p = 0; p < parts; p++)
          for (let t = 0; t < n; t++) weight[i++] = at(t, p, k, q) * (window === undefined ? 1 : window[t]!);
    const frames = Math.floor((length - n) / step) + 1;
    const signal = transpose(ctx, reshape(ctx, x, [batch, length, parts]), [0, 2, 1]);
    const w = ctx.fromConstant(
      { shape: [frequencies * 2, parts, n], data: weight, integer: false },
      `${ctx.name}_fourier`,
    );
    const y = ctx.emit("nn.conv", [signal, w], [batch, frequencies * 2, frames], {
      strides: [step],
      pads: [0, 0],
      dilations: [1],
      group: 1,
    });
    return transpose(ctx, reshape(ctx, y, [batch, frequencies, 2, frames]), [0, 3, 1, 2]);
  },
};

const DOUBLE = { output_datatype: "the numbers are computed in double precision" };

function window(opType: string, at: (phase: number) => number): OperatorImporter {
  return {
    opType,
    since: 17,
    limits: "size constant",
    ignores: DOUBLE,
    resultType: (ctx) => ctx.int("output_datatype", 1),
    import: (ctx): Imported => {
      const n = ctx.needConstant(0, "the size").data[0]!;
      ctx.checkSize([n]);
      const period = ctx.int("periodic", 1) !== 0 ? n : n - 1;
      return known(
        [n],
        Array.from({ length: n }, (_, i) => at((2 * Math.PI * i) / period)),
        false,
      );
    },
  };
}

/** @source ONNX MelWeightMatrix; triangles between frequencies that are equidistant on the mel scale */
const melWeights: OperatorImporter = {
  opType: "MelWeightMatrix",
  since: 17,
  limits: "on constants",
  ignores: DOUBLE,
  resultType: (ctx) => ctx.int("output_datatype", 1),
  import: (ctx) => {
    const [bins, length, rate, low, high] = [0, 1, 2, 3, 4].map((i) => ctx.needConstant(i, "a parameter").data[0]!) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const rows = Math.floor(length / 2) + 1;
    ctx.checkSize([rows, bins]);
    const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
    const step = (mel(high) - mel(low)) / (bins + 2);
    const edge = Array.from({ length: bins + 2 }, (_, i) =>
      Math.floor(((length + 1) * 700 * (10 ** ((i * step + mel(low)) / 2595) - 1)) / rate),
    );
    const data = new Float64Array(rows * bins);
    for (let i = 0; i < bins; i++) {
      const [from, centre, to] = [edge[i]!, edge[i + 1]!, edge[i + 2]!];
      if (centre === from) data[centre * bins + i] = 1;
      else for (let j = from; j <= centre; j++) data[j * bins + i] = (j - from) / (centre - from);
      for (let j = centre; j < to; j++) data[j * bins + i] = (to - j) / (to - centre);
    }
    return known([rows, bins], data, false);
  },
};

export const spectrumOperators: readonly OperatorImporter[] = [
  dft,
  stft,
  window("HannWindow", (t) => 0.5 - 0.5 * Math.cos(t)),
  window("HammingWindow", (t) => 25 / 46 - (21 / 46) * Math.cos(t)),
  window("BlackmanWindow", (t) => 0.42 - 0.5 * Math.cos(t) + 0.08 * Math.cos(2 * t)),
  melWeights,
];
