/**
 * The folder `ip` of a compiled design: the core for the vendors' tools, a test bench with real samples, a README with a
 * worked number per port, and doors to other tools.
 */
import type { IpStream } from "../backend-verilog/ip-description.js";
import { packageIp } from "../backend-verilog/ip-package.js";
import {
  fuseSocCore,
  packageReadme,
  singleFile,
  vhdlTemplate,
  waveJson,
  type PackageDoc,
  type PortDoc,
} from "../backend-verilog/package-doors.js";
import { testBench, type PortVectors } from "../backend-verilog/testbench.js";
import { waveSvg } from "../backend-verilog/wave.js";
import type { AxisPort } from "../backend-hls/emit/flow-to-rtl.js";
import type { InputData } from "../frontend/npz.js";
import type { DenseData } from "../ir/attributes.js";
import type { FlowProgram } from "../ir/eval/flow.js";
import { mulberry32 } from "./evaluate.js";
import { layoutOf, rawSample, sizeOf, streamOf } from "./ports.js";

/** Samples in the bench at most, and beats at all ports together that they may take: the files stay small. */
const SAMPLES = 16;
const BEATS = 40_000;
const CLOCK = "aclk";
const RESET = "aresetn";

export interface CoreRequest {
  readonly top: string;
  readonly clockMhz: number;
  /** By file name. */
  readonly verilog: ReadonlyMap<string, string>;
  /** All sources in one file as well. */
  readonly singleFile: boolean;
}

export interface PackageRequest extends CoreRequest {
  readonly model: string;
  readonly device: string;
  /** Cycles; predicted. */
  readonly interval: number;
  readonly latency: number;
  readonly ports: readonly AxisPort[];
}

/** Files of the core alone, by path: what needs no more than its streams. `vectors` are files of a bench, if any. */
export function packageCore(
  r: CoreRequest,
  streams: readonly IpStream[],
  vectors?: readonly string[],
): Map<string, string> {
  const clock = { port: CLOCK, mhz: r.clockMhz };
  return new Map([
    ...packageIp({ name: r.top, clock, resetn: RESET, streams }, r.verilog),
    [`${r.top}.core`, fuseSocCore(r.top, [...r.verilog.keys()], vectors)],
    [`${r.top}.vhd`, vhdlTemplate({ top: r.top, clock, resetn: RESET, streams })],
    ...(r.singleFile ? [[`${r.top}_all.v`, singleFile(r.verilog)] as const] : []),
  ]);
}

/**
 * Files of the package by path. The bench's samples are spread over the calibration data, or seeded random ones where
 * there is none; what is expected of them is what the bit-exact model `program` gives.
 */
export function makePackage(r: PackageRequest, program: FlowProgram, data: InputData | undefined): Map<string, string> {
  const sources = [...r.verilog.keys()];
  const inputs = r.ports.filter((p) => p.direction === "input");
  const outputs = r.ports.filter((p) => p.direction === "output");
  const raw = benchSamples(inputs, r.ports, data);
  const results = raw.map((sample) => program.run(sample).map((y) => Array.from(y)));
  const vectors = new Map<AxisPort, PortVectors>([
    ...inputs.map(
      (p, i) =>
        [
          p,
          vectorsOf(
            p,
            raw.map((sample) => sample[i]!),
          ),
        ] as const,
    ),
    ...outputs.map(
      (p, i) =>
        [
          p,
          vectorsOf(
            p,
            results.map((sample) => sample[i]!),
          ),
        ] as const,
    ),
  ]);
  const clock = { port: CLOCK, mhz: r.clockMhz };
  const bench = testBench(
    {
      top: r.top,
      clock,
      resetn: RESET,
      samples: raw.length,
      latency: r.latency,
      inputs: inputs.map((p) => vectors.get(p)!),
      outputs: outputs.map((p) => vectors.get(p)!),
    },
    sources,
  );
  const streams = r.ports.map((p) => ({
    name: p.prefix,
    direction: streamOf(p).direction,
    width: p.dataBits,
    doc: `${p.direction} ${p.name}: ${p.elementsPerBeat} ${p.signed ? "signed" : "unsigned"} ${p.width}-bit numbers with ${p.frac} fractional bits${p.scale === undefined ? "" : ` times ${p.scale}`} per beat, ${p.beats} beats per sample`,
  }));
  const doc: PackageDoc = {
    ...r,
    clock,
    resetn: RESET,
    samples: raw.length,
    ports: r.ports.map((p) => ({
      port: streamOf(p),
      layout: layoutOf(p),
      tensor: p.name,
      shape: p.shape,
      frac: p.frac,
      scale: p.scale ?? 1,
      example: exampleOf(vectors.get(p)!, bench.get(`${p.prefix}.hex`)!),
    })),
  };
  const wave = waveJson(doc);
  const hex = [...bench.keys()].filter((name) => name.endsWith(".hex"));
  return new Map([
    ...packageCore(r, streams, hex),
    ...[...bench].map(([name, text]) => [`tb/${name}`, text] as const),
    ["README.md", packageReadme(doc)],
    ["timing.json", `${JSON.stringify(wave, null, 1)}\n`],
    ["timing.svg", waveSvg(wave)],
  ]);
}

/** The first beat of the first sample whose element 0 is not zero: a zero shows nothing. */
function exampleOf({ values, layout, elements }: PortVectors, hex: string): PortDoc["example"] {
  const n = layout.elementsPerBeat;
  const beats = Array.from({ length: Math.ceil(elements / n) }, (_, i) => i);
  const beat = beats.find((i) => values[i * n] !== 0) ?? 0;
  return { beat, raw: values[beat * n] ?? 0, tdata: hex.split("\n")[beat] ?? "" };
}

/** Raw integers of the bench's samples at each of the inputs. */
function benchSamples(
  inputs: readonly AxisPort[],
  ports: readonly AxisPort[],
  data: InputData | undefined,
): DenseData[][] {
  const beats = ports.reduce((n, p) => n + p.beats, 0);
  const samples = Math.max(2, Math.min(SAMPLES, Math.floor(BEATS / beats)));
  const random = mulberry32(1);
  const anything = (p: AxisPort): DenseData => {
    const least = p.signed ? -(2 ** (p.width - 1)) : 0;
    return Float64Array.from({ length: sizeOf(p) }, () => least + Math.floor(random() * 2 ** p.width));
  };
  return Array.from({ length: samples }, (_, s) =>
    data === undefined ? inputs.map(anything) : rawSample(inputs, data, Math.floor((s * data.samples) / samples)),
  );
}

function vectorsOf(p: AxisPort, samples: readonly ArrayLike<number>[]): PortVectors {
  return {
    port: streamOf(p),
    layout: layoutOf(p),
    elements: sizeOf(p),
    values: samples.flatMap((sample) => Array.from(sample)),
  };
}
