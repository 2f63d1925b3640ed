/** Options of the driver's functions. */
import type { AxisWidth } from "../backend-hls/design/port-limits.js";
import type { Minimize, Target } from "../backend-hls/design/request.js";
import type { BoundTensor } from "../frontend/bind.js";
import type { SensorInput } from "../sensor/read-sensor.js";
import type { ExtraPasses } from "./stages.js";

export type { AxisWidth, Minimize, SensorInput, Target };

/**
 * Shapes of inputs by their names (over open dimensions and over a baked batch), and sizes of symbolic dimensions by
 * theirs.
 */
export interface ShapeOptions {
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly dims?: Readonly<Record<string, number>>;
  /** Inputs that are constants of the hardware, by their names. */
  readonly bind?: Readonly<Record<string, BoundValue>>;
}

/**
 * `rules`: docs/width-rules.md. By measuring what each width does to the outputs: `least-cost` keeps the noise that the
 * rules leave at least hardware, `least-noise` the hardware at least noise.
 */
export const WIDTHS_CHOICES = ["rules", "least-cost", "least-noise"] as const;
export type WidthsChoice = (typeof WIDTHS_CHOICES)[number];

/** A number for all elements, elements in row-major order, a NumPy file (`.npy`), or an array. */
export type BoundValue = number | boolean | readonly number[] | string | BoundTensor;

export interface CompileOptions extends ShapeOptions {
  /** Folder of the artefacts. */
  readonly out: string;
  /** Data file with representative inputs. */
  readonly calib?: string;
  /** `8`, `w8a12`: widths of weights and activations. */
  readonly precision?: string;
  /** What decides widths that are not stated; rules where absent. */
  readonly widths?: WidthsChoice;
  /** Bounds such as `mae=0.001`, `centre:max=0.01`: the narrowest widths per layer that keep them are searched. */
  readonly maxError?: readonly string[];
  /** Bounds as for `maxError`: what is accepted in place of the least accuracy, 20 dB and 90% of the same argmax. */
  readonly acceptAccuracy?: readonly string[];
  /**
   * Share of the calibration samples on which accuracy is measured and nothing else; 0.5 with `maxError`, else those
   * that calibration can do without.
   */
  readonly holdOut?: number;
  readonly target?: Target;
  /** What is to be least under the target; a compromise where absent. */
  readonly minimize?: Minimize;
  readonly axisWidth?: AxisWidth;
  /** Put all Verilog of the package into one file as well, ip/TOP_all.v. */
  readonly singleFile?: boolean;
  readonly device?: string;
  readonly clockMhz?: number;
  /** YAML file; what the other options state has precedence. */
  readonly config?: string;
  /** YAML file that describes a sensor, or its keys and values: its front end is put around the network. */
  readonly sensor?: string | SensorInput;
  readonly printIrAfter?: readonly string[];
  readonly dumpIr?: string;
  readonly verifyEach?: boolean;
  /** Pipelines that run behind stages, by stage: a pass of one's own that is to reach hardware. */
  readonly extraPasses?: ExtraPasses;
}

export interface ExploreOptions
  extends Pick<
    CompileOptions,
    | "calib"
    | "precision"
    | "widths"
    | "acceptAccuracy"
    | "holdOut"
    | "axisWidth"
    | "device"
    | "clockMhz"
    | "config"
    | "shapes"
    | "dims"
    | "extraPasses"
  > {
  /** Intervals that are tried, on a geometric grid. */
  readonly intervals?: number;
  /** Threads; as many as there are cores where absent. */
  readonly cores?: number;
}

export interface RunOptions {
  readonly input: string;
  readonly output: string;
  /** Raw integers in place of float32 values. */
  readonly raw?: boolean;
}

export interface RunFramesOptions {
  /** File of the sensor description; that of the compiled design where absent. */
  readonly sensor?: string;
  /** File of frames: .npy, .npz, .tif or HDF5, with the name of an array behind a colon where it is needed. */
  readonly input: string;
  /** .csv, .npz, .h5, or .bin for the records as the hardware sends them. */
  readonly output: string;
  /** Frames of dark counts, one or as many as there are frames, where the description says `dark: stream`. */
  readonly dark?: string;
  /** True centres: .csv, .npz or .npy. */
  readonly truth?: string;
  /** Page to draw the result to. */
  readonly html?: string;
}

export interface SimulateOptions extends RunOptions {
  /** Of a design with the front end of a sensor that streams its dark counts: a file of them. */
  readonly dark?: string;
  /** Probability that a port pauses in a cycle. */
  readonly stall?: number;
  readonly seed?: number;
  /** Build in half the time a simulation that is slower: for a few samples. */
  readonly quickBuild?: boolean;
  /** Threads of the simulation, for designs of thousands of multipliers; 1 where absent. */
  readonly threads?: number;
}

/** Shapes are those that the design was compiled with, unless others are stated. */
export interface CompareOptions extends ShapeOptions {
  /** Data file with inputs. */
  readonly input: string;
  /** At most so many samples, spread over the data. */
  readonly samples?: number;
}

export interface SynthOptions {
  /** Place and route as well, for the routed clock. */
  readonly pnr?: boolean;
  /** Of the placer. */
  readonly seed?: number;
  /** Seconds that each tool may take; 1,800 for Yosys and 3,600 for nextpnr where absent. */
  readonly timeout?: number;
}
