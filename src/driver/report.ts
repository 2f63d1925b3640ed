/** The fields of DIR/report.json and of the `--json` outputs that scripts rely on. */

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
  readonly rmse: number;
  readonly sqnr_db: number;
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

export interface DesignReport {
  readonly model: string;
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
  readonly ports: readonly PortReport[];
  readonly kernels: readonly KernelReport[];
  /** Against the float model, by output name; only with calibration data. */
  readonly accuracy?: Readonly<Record<string, OutputAccuracy>>;
  readonly layers?: readonly LayerAccuracy[];
  /** Functions that became tables, with their largest error over the calibrated range. */
  readonly tables: readonly TableReport[];
  readonly compile_seconds: number;
}

export interface RunSummary {
  readonly samples: number;
  readonly samples_per_second: number;
}

export interface SimulationSummary {
  readonly samples: number;
  /** Measured. */
  readonly initiation_interval: number;
  readonly latency: number;
  readonly cycles: number;
  /** Values that differ from the bit-exact model. */
  readonly mismatches: number;
  readonly predicted: { readonly initiation_interval: number; readonly latency: number };
}

export interface SynthSummary {
  readonly tool: string;
  readonly device: string;
  readonly resources: Resources;
  /** Cells by type, as the tool counts them. */
  readonly cells: Readonly<Record<string, number>>;
  /** Routed clock; only where place and route supports the device. */
  readonly fmax_mhz?: number;
}

export type { InspectedModel as Inspection, InspectedNode } from "../frontend/inspect.js";
