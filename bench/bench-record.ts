/** What is recorded of a design. */
import type { Resources } from "../src/driver.js";

/** One record per design. Predicted and measured are told apart by name; resources are estimates unless `yosys`. */
export interface QualityRecord {
  readonly design: string;
  readonly initiation_interval: { readonly predicted: number; readonly measured: number };
  readonly latency: { readonly predicted: number; readonly measured: number };
  readonly samples: number;
  readonly mismatches: number;
  readonly mismatches_with_stalls: number;
  readonly multipliers: number;
  readonly mac_efficiency: number;
  readonly resources_estimated: Resources;
  readonly resources_yosys?: Resources;
  /** Highest clock of the routed design; with the clock that was asked for. */
  readonly routed_mhz?: { readonly asked: number; readonly reached: number };
  /** Localisation error, where the network localises. */
  readonly error_px?: { readonly float: number; readonly fixed: number };
  /** Root mean square error of each output against the float network. */
  readonly rmse: Readonly<Record<string, number>>;
  readonly compile_seconds: number;
  readonly compile_peak_mb: number;
  readonly run_samples_per_second: number;
  readonly simulation_build_seconds: number;
  readonly simulated_cycles_per_second: number;
}
