/** What is asked of a design. */
import type { Device } from "../device/devices.js";
import type { AxisWidth } from "./port-limits.js";

/** What the design is to reach, or what it may use. */
export type Target =
  /** Cycles between samples, at most. */
  | { readonly kind: "ii"; readonly cycles: number }
  | { readonly kind: "rate"; readonly hz: number }
  /** Largest use of `lut`, `ff`, `dsp`, `bram`; absent ones are not limited. */
  | { readonly kind: "budget"; readonly limits: Readonly<Record<string, number>> }
  /** A folding that was found before: options of the pass `unroll`, as `explore` gives them for each design. */
  | { readonly kind: "unroll"; readonly options: string };

/** What is to be the least under a target. */
export type Minimize = "latency" | "area" | "multipliers";

export interface DesignRequest {
  readonly device: Device;
  readonly clockMhz: number;
  /** One beat of the input per cycle, if that fits, where undefined. */
  readonly target: Target | undefined;
  /** A compromise of area and latency where undefined. */
  readonly minimize: Minimize | undefined;
  readonly axis: AxisWidth | undefined;
}
