/**
 * The designs that are measured. Models and data are those of `examples`, layers that are made here, and, where it is
 * there, workloads that peers were measured on (../shared/peers).
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readArrays, writeNpz } from "../src/frontend/npz.js";
import { writeLayer } from "./layers.js";
import { writeTrees, type EnsembleSize } from "./trees.js";

export interface BenchDesign {
  readonly name: string;
  /**
   * Paths of model, calibration data and test data; makes what is not there. Undefined where the workload is not at
   * hand.
   */
  readonly files: (
    dir: string,
  ) => { readonly model: string; readonly calib: string; readonly test: string } | undefined;
  /** Array of the test data with the float network's outputs, where localisation errors are to be measured. */
  readonly reference?: string;
  readonly args: readonly string[];
  /** Part of the quick set. */
  readonly quick: boolean;
  /** Placed and routed in a full run. */
  readonly route?: boolean;
  /** What others have published, or were measured to need, for the same workload. */
  readonly peer?: { readonly system: string; readonly figures: string; readonly source: string };
}

const OPENHLS = "arXiv 2302.06751";
const OPENHLS_BRAGG = {
  system: "OpenHLS, U280 at 100 MHz, 8-bit float",
  figures: "interval 480, latency 1,238 cycles; 595,324 LUT, 638,573 FF, 0 DSP",
  source: OPENHLS,
};

function bragg(
  s: 1 | 4,
  suffix: string,
  args: readonly string[],
  more: Pick<BenchDesign, "quick"> & Partial<BenchDesign>,
): BenchDesign {
  return {
    name: `braggnn_s${s}_${suffix}`,
    files: () => ({
      model: `examples/braggnn/braggnn_s${s}.onnx`,
      calib: "examples/braggnn/data/calib.npz",
      test: "examples/braggnn/data/test.npz",
    }),
    reference: s === 1 ? "float_centre" : "float_centre_s4",
    args,
    ...more,
  };
}

function layer(name: string, args: readonly string[], cycles: number, lut: number, dsp: number): BenchDesign {
  return {
    name: `layer_${name}`,
    files: (dir) => {
      const { model, data } = writeLayer(name, dir);
      return { model, calib: data, test: data };
    },
    args: [...args, "--precision", "16", "--minimize", "latency"],
    quick: true,
    peer: {
      system: "OpenHLS, half precision",
      figures: `${cycles} cycles; ${lut.toLocaleString("en-US")} LUT, ${dsp} DSP`,
      source: OPENHLS,
    },
  };
}

const PEERS = "../shared/peers";

function shared(
  name: string,
  input: string,
  scale: number,
  args: readonly string[],
  peer: BenchDesign["peer"],
): BenchDesign {
  return {
    name,
    files: (dir) => {
      if (!existsSync(PEERS)) return undefined;
      mkdirSync(dir, { recursive: true });
      const x = readArrays(readFileSync(join(PEERS, "golden_rne.npz")), "golden_rne.npz").get(input)!;
      const data = join(dir, `${name}.npz`);
      writeFileSync(
        data,
        writeNpz(new Map([["x", { shape: x.shape, data: Float32Array.from(x.data, (v) => Number(v) * scale) }]])),
      );
      return { model: join(PEERS, `${name}_qdq.onnx`), calib: data, test: data };
    },
    args,
    quick: false,
    ...(peer !== undefined && { peer }),
  };
}

function trees(name: string, size: EnsembleSize, args: readonly string[], quick: boolean): BenchDesign {
  return { name, files: (dir) => writeTrees(name, size, dir), args, quick };
}

const da4ml = (figures: string): BenchDesign["peer"] => ({
  system: "da4ml 0.6 dev",
  figures,
  source: "measured with Yosys 0.23",
});

export const designs: readonly BenchDesign[] = [
  bragg(1, "ii121", ["--target-ii", "121"], { quick: true, peer: OPENHLS_BRAGG }),
  bragg(1, "ii25", ["--target-ii", "25"], { quick: false, peer: OPENHLS_BRAGG }),
  bragg(1, "ii1000", ["--target-ii", "1000"], { quick: false }),
  bragg(1, "k7_ii500", ["--target-ii", "500", "--device", "xc7k325t", "--clock", "200"], { quick: false }),
  bragg(1, "ecp5", ["--target-ii", "2000", "--device", "lfe5um5g-85f", "--clock", "150"], { quick: true, route: true }),
  bragg(4, "ii1000", ["--target-ii", "1000"], { quick: true }),
  bragg(4, "ii250", ["--target-ii", "250", "--minimize", "multipliers"], { quick: false }),
  layer("addmm", ["--axis-width", "16e", "--target-ii", "16"], 77, 95881, 256),
  layer("conv", ["--axis-width", "16e", "--target-ii", "20"], 54, 201512, 588),
  layer("max_pool", ["--axis-width", "16e", "--target-ii", "48"], 165, 21965, 0),
  layer("softmax", ["--axis-width", "16e", "--target-ii", "48"], 88, 364615, 768),
  layer("batch_norm", ["--axis-width", "18e", "--target-ii", "10"], 29, 203139, 180),
  shared(
    "jet_int6p75",
    "jet_x",
    2 ** -5,
    ["--target-ii", "1"],
    da4ml("interval 1, latency 6 cycles; 16,886 LUT, 2,751 FF, 0 DSP"),
  ),
  shared(
    "jet_int6",
    "jet_x",
    2 ** -5,
    ["--target-ii", "1"],
    da4ml("interval 1, latency 8 cycles; 40,164 LUT, 9,545 FF, 0 DSP"),
  ),
  shared(
    "jet_int8",
    "jet_x",
    2 ** -5,
    ["--target-ii", "1"],
    da4ml("interval 1, latency 8 cycles; 56,351 LUT, 14,077 FF, 0 DSP"),
  ),
  trees("trees_100x6", { trees: 100, depth: 6, features: 16 }, ["--target-ii", "1"], true),
  trees("trees_100x6_ii25", { trees: 100, depth: 6, features: 16 }, ["--target-ii", "25"], false),
  shared("conv_int8", "conv_x", 2 ** -8, [], {
    system: "NNgen 1.3.4, one multiplier",
    figures: "interval = latency 9,169 cycles",
    source: "measured",
  }),
];
