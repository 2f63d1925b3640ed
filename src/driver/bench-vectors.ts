/** Samples and expected results for the test bench of the package. */
import { testBench } from "../backend-verilog/testbench.js";
import type { RtlDesign } from "../backend-hls/emit/flow-to-rtl.js";
import type { InputData } from "../frontend/npz.js";
import type { DenseData } from "../ir/attributes.js";
import type { FlowProgram } from "../ir/eval/flow.js";
import { elemOf, layoutOf, rawSample, sizeOf, streamOf } from "./ports.js";

/** Samples in the bench at most, and beats at all ports together that they may take: the files stay small. */
const SAMPLES = 16;
const BEATS = 40_000;

/**
 * Files of the test bench: samples spread over the calibration data, or seeded random ones where there is none, through
 * the bit-exact model `program`.
 */
export function packageBench(
  program: FlowProgram,
  rtl: RtlDesign,
  design: { readonly top: string; readonly clockMhz: number; readonly latency: number },
  data: InputData | undefined,
  sources: readonly string[],
): Map<string, string> {
  const inputs = rtl.ports.filter((p) => p.direction === "input");
  const outputs = rtl.ports.filter((p) => p.direction === "output");
  const beats = rtl.ports.reduce((n, p) => n + p.beats, 0);
  const samples = Math.max(2, Math.min(SAMPLES, Math.floor(BEATS / beats)));
  const random = uniform(1);
  const raw = Array.from({ length: samples }, (_, s): DenseData[] =>
    data === undefined
      ? inputs.map((p) => {
          const { width, signed } = elemOf(p);
          const least = signed ? -(2 ** (width - 1)) : 0;
          return Float64Array.from({ length: sizeOf(p) }, () => least + Math.floor(random() * 2 ** width));
        })
      : rawSample(inputs, data, Math.floor((s * data.samples) / samples)),
  );
  const results = raw.map((sample) => program.run(sample).map((y) => Array.from(y)));
  const joined = (parts: readonly ArrayLike<number>[]): number[] => parts.flatMap((p) => Array.from(p));
  const vectors = (ports: typeof inputs, of: (s: number, i: number) => ArrayLike<number>) =>
    ports.map((p, i) => ({
      port: streamOf(p),
      layout: layoutOf(p),
      elements: sizeOf(p),
      values: joined(raw.map((_, s) => of(s, i))),
    }));
  return testBench(
    {
      top: design.top,
      clock: { port: "aclk", mhz: design.clockMhz },
      resetn: "aresetn",
      samples,
      latency: design.latency,
      inputs: vectors(inputs, (s, i) => raw[s]![i]!),
      outputs: vectors(outputs, (s, i) => results[s]![i]!),
    },
    sources,
  );
}

/** Numbers from 0 to below 1, the same on every machine. @source xorshift32, Marsaglia 2003 */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
