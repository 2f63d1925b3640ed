/** The fields of DIR/report.json and of the `--json` outputs that scripts rely on. */
import type { Bindings } from "../frontend/bind.js";

export interface Resources {
  readonly lut: number;
  readonly ff: number;
  readonly dsp: number;
  readonly bram: number;
}

export interface PortReport {
  readonly name: string;
  readonly direction: "input" | "output";
  /** Element type, `fixed<8,4>`. */
  readonly format: string;
  readonly shape: readonly number[];
  readonly elements_per_beat: number;
  /** Width of TDATA. */
  readonly bits: number;
}

export interface KernelReport {
  readonly name: string;
  readonly onnx_nodes: readonly string[];
  /** Steps per sample. */
  readonly cycles: number;
  readonly unroll: Readonly<Record<string, number>>;
  readonly multipliers: number;
  readonly resources: Resources;
}

export interface OutputAccuracy {
  readonly max_abs_error: number;
  readonly mae: number;
  readonly rmse: number;
  readonly sqnr_db: number;
  /** Share of rows whose largest element is the same; only for one vector or a list of vectors. */
  readonly argmax_agreement?: number;
  /** Share of rows that count as the same because the two elements differ by less than the output's last bit. */
  readonly ties?: number;
  /** Whether the rows look like scores, so that their argmax is judged. */
  readonly scores?: boolean;
  /** Share of elements that are the same number; only for outputs that are labels. */
  readonly equal?: number;
}

/** How accuracy was measured, and what was made of it. */
export interface AccuracyCheck {
  /**
   * `held-out`: samples that took no part in the design; `refits`: the network quantized again without them;
   * `calibration`: there are none.
   */
  readonly measured_on: "held-out" | "refits" | "calibration";
  readonly samples: number;
  readonly calibration_samples: number;
  /** Of the design on the samples that have made it, where these are too few to decide by others. */
  readonly on_calibration?: Readonly<Record<string, OutputAccuracy>>;
  /** `low`: between what is good and what is refused; `accepted`: by a bound that was stated. */
  readonly verdict: "good" | "low" | "accepted";
  /** Widths that were raised because the usual ones did not do, and the accuracy before. */
  readonly cure?: {
    readonly precision: string;
    readonly raised: readonly RaisedWidthReport[];
    readonly before: Readonly<Record<string, OutputAccuracy>>;
  };
}

export interface RaisedWidthReport {
  readonly name: string;
  readonly kind: "weights" | "activations" | "input";
  readonly from: number;
  readonly to: number;
}

export interface LayerAccuracy {
  readonly name: string;
  readonly sqnr_db: number;
}

export interface TableReport {
  readonly node: string;
  readonly fn: string;
  /** Formats of argument and result. */
  readonly argument: string;
  readonly result: string;
  readonly max_error: number;
}

/** A width that quantization has decided, and by which rule (docs/width-rules.md). */
export interface WidthReport {
  /** ONNX tensor, or ONNX node of a layer with weights, a product by a constant, or a function. */
  readonly name: string;
  /** A tensor where it is rounded, the weights of a layer, a constant factor, or the argument of a table. */
  readonly kind: "tensor" | "weights" | "factor" | "argument";
  readonly bits: number;
  /**
   * Name of the rule; `model` where a quantized model gives the width, `search`, `budget` or `cure` where `--max-error`,
   * `--widths` or what follows a low accuracy has chosen it.
   */
  readonly rule: string;
  readonly format?: string;
}

/** A bound of `--max-error`, and what is reached, in the unit of its metric (dB for sqnr, a share for argmax). */
export interface BoundReport {
  readonly output: string;
  readonly metric: string;
  readonly bound: number;
  /** On the samples of the search. */
  readonly search: number;
  /** On samples that neither formats nor widths were chosen from. */
  readonly held_out?: number;
  readonly kept: boolean;
}

export interface ChosenWidthReport {
  readonly name: string;
  /** Of the layer's weights, of its result, or of the argument of its table. */
  readonly kind: "weights" | "activations" | "input";
  readonly bits: number;
  /** Share of the network's cost in which this width is a factor. */
  readonly cost_share: number;
  /** Share of the noise at the outputs. */
  readonly noise_share: number;
  /** What one bit less would add to the noise, relative to what the bounds allow. */
  readonly next_bit: number;
}

export interface UniformReport {
  readonly precision: string;
  readonly cost: number;
  readonly kept: boolean;
  /** By bound, on the samples of the search. */
  readonly errors: readonly number[];
}

export interface PrecisionReport {
  /** As `--precision` takes it. */
  readonly spec: string;
  /** As `--hold-out` takes it. */
  readonly hold_out: number;
  /** Only with `--widths`: what chose them, and their noise in power over that by rules, of the worst output. */
  readonly widths?: "least-cost" | "least-noise";
  readonly rules_cost?: number;
  readonly rules_noise?: number;
  /** Only with `--max-error`, `cost` with `--widths` as well; costs are one-bit cells per sample (src/passes/nn/quantize/area.ts). */
  readonly search_samples?: number;
  readonly held_out_samples?: number;
  readonly bounds?: readonly BoundReport[];
  readonly cost?: number;
  /** The precision without a search, and the narrowest of its kind that keeps the bounds. */
  readonly base?: UniformReport;
  readonly uniform?: UniformReport;
  readonly chosen?: readonly ChosenWidthReport[];
  /** Networks that were evaluated. */
  readonly evaluations?: number;
}

/** What holds a design back. */
export interface BindingReport {
  /** Kernel, or port, that is busy for most of the interval, and for how many cycles. */
  readonly kernel: string;
  readonly cycles: number;
  /** The resource of which the largest share of what the design may use is taken. */
  readonly resource: "lut" | "ff" | "dsp" | "bram";
  readonly used: number;
  readonly available: number;
}

/** Of a quantized model: what does not compute with the model's own integers. */
export interface IntegersReport {
  readonly real_nodes: readonly {
    readonly node: string;
    readonly op_type: string;
    readonly reason: string;
    readonly cause: boolean;
  }[];
  /** Inputs that are read as real numbers. */
  readonly real_inputs: readonly string[];
}

export interface DesignReport {
  /** Of a design with the front end of a sensor. */
  readonly detector?: DetectorReport;
  readonly model: string;
  /** Shapes that were stated for the model's inputs, and sizes of its symbolic dimensions; absent where none were. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly dims?: Readonly<Record<string, number>>;
  /** Inputs that were stated to be constants, as `--bind` takes them. */
  readonly bind?: Bindings;
  readonly device: string;
  readonly clock_mhz: number;
  /** Cycles between samples, predicted. */
  readonly initiation_interval: number;
  /** Cycles from the first input beat to the last output beat, both included, predicted. */
  readonly latency: number;
  readonly throughput_hz: number;
  readonly macs: number;
  readonly multipliers: number;
  readonly mac_efficiency: number;
  readonly resources: Resources;
  readonly binding: BindingReport;
  readonly ports: readonly PortReport[];
  readonly kernels: readonly KernelReport[];
  readonly precision: PrecisionReport;
  /**
   * Against the float model, by output name; only with calibration data. On samples that did not calibrate, if there
   * are more than one.
   */
  readonly accuracy?: Readonly<Record<string, OutputAccuracy>>;
  readonly accuracy_check?: AccuracyCheck;
  readonly layers?: readonly LayerAccuracy[];
  /** Functions that became tables, with their largest error over the calibrated range. */
  readonly tables: readonly TableReport[];
  readonly widths: readonly WidthReport[];
  /** Only of quantized models. */
  readonly integers?: IntegersReport;
  readonly compile_seconds: number;
}

/** A design that no other one betters in everything. Resources are estimates; cycles are exact. */
export interface ParetoPoint {
  /** What `compile --unroll` makes this very design of, with the options that the exploration had. */
  readonly unroll: string;
  readonly initiation_interval: number;
  readonly latency: number;
  readonly throughput_hz: number;
  readonly multipliers: number;
  readonly mac_efficiency: number;
  readonly resources: Resources;
}

export interface Exploration {
  readonly model: string;
  readonly device: string;
  readonly clock_mhz: number;
  /** Arguments of `onnx-hls` that, with a folder (`-o`) and a point's `--unroll`, compile that design. */
  readonly compile: readonly string[];
  /** Intervals that were asked for. */
  readonly intervals: readonly number[];
  /** What the device has. */
  readonly available: Resources;
  /** Of all designs alike, as `compile` reports it; only with calibration data. */
  readonly accuracy?: Readonly<Record<string, OutputAccuracy>>;
  readonly accuracy_check?: AccuracyCheck;
  /** Fastest first. */
  readonly points: readonly ParetoPoint[];
  readonly seconds: number;
}

/** Of the front end of a sensor, in cycles and peaks. */
export interface DetectorReport {
  /** Cycles of a frame at the pixel port, which takes a beat in each. */
  readonly frame_interval: number;
  readonly frames_per_second: number;
  /** From the last pixel of a patch to its record, with nothing in the queue: the longest. */
  readonly peak_latency: number;
  /** Cycles of a peak where many wait. */
  readonly peak_interval: number;
  readonly peaks_per_second: number;
  /** Peaks that may come at once, even in one row, of which none is lost when the queue is empty. */
  readonly lossless_burst: number;
  /** Peaks of a frame, spread evenly, of which none is lost. */
  readonly lossless_peaks_per_frame: number;
}

/** What a simulation of frames showed. */
export interface FramesSimulation {
  readonly frames: number;
  readonly found: number;
  readonly sent: number;
  readonly dropped: number;
  readonly records: number;
  /** Records that differ from those of the bit-exact model. */
  readonly mismatches: number;
  /** Records that came in another cycle than predicted. */
  readonly late: number;
  readonly cycles: number;
  readonly frame_interval: number;
  readonly build_seconds: number;
  readonly simulation_seconds: number;
}

export interface RunSummary {
  readonly samples: number;
  readonly samples_per_second: number;
}

export interface FramesSummary {
  readonly frames: number;
  /** Peaks of all frames. */
  readonly found: number;
  readonly sent: number;
  readonly dropped: number;
  /** Frames with a flag. */
  readonly flagged: number;
  readonly frames_per_second: number;
  /** Against the true centres, where they are given. */
  readonly truth?: {
    /** Peaks with a centre within 2 pixels. */
    readonly within_2_px: number;
    /** Of these, in pixels. */
    readonly mean_distance: number | null;
    /** Centres without a peak. */
    readonly missed: number;
  };
}

export interface SimulationSummary {
  readonly samples: number;
  /** Measured. */
  readonly initiation_interval: number;
  readonly latency: number;
  readonly cycles: number;
  /** Values that differ from the bit-exact model. */
  readonly mismatches: number;
  /** Translation and compilation of the simulation; 0 where one from before was used. */
  readonly build_seconds: number;
  readonly simulation_seconds: number;
  readonly cycles_per_second: number;
  readonly predicted: { readonly initiation_interval: number; readonly latency: number };
}

export interface SynthSummary {
  readonly tool: string;
  readonly device: string;
  readonly resources: Resources;
  /** Cells by type, as the tool counts them. */
  readonly cells: Readonly<Record<string, number>>;
  /** With place and route: the program, the clock asked for and the clock reached, MHz. */
  readonly router?: string;
  readonly clock_mhz?: number;
  readonly fmax_mhz?: number;
  readonly utilization?: Readonly<Record<string, { readonly used: number; readonly available: number }>>;
  /** The longest path between registers: delays in ns, cells by their place in the hierarchy. */
  readonly critical_path?: readonly {
    readonly kind: string;
    readonly ns: number;
    readonly from: string;
    readonly to: string;
  }[];
}

export type { InspectedModel as Inspection, InspectedNode } from "../frontend/inspect.js";
