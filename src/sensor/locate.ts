/** From a frame to its records, through a network: what the hardware gives where no peak is dropped. */
import { UserError } from "../diagnostics/index.js";
import type { DenseData } from "../ir/attributes.js";
import type { FixedType } from "../ir/types.js";
import { correct, type Corrected, type Planes } from "./correct.js";
import { findPeaks, type Peak } from "./find.js";
import { floatInput, networkInput, patchFacts, position, POSITION_FRAC } from "./patch.js";
import type { FrameRecord, PeakRecord } from "./records.js";
import type { Sensor } from "./sensor.js";

/** A network in fixed point, as raw integers, or in float. */
export type Network =
  | {
      readonly kind: "fixed";
      readonly input: FixedType;
      /** Fractional bits of the first output. */
      readonly outputFrac: number;
      run(patch: DenseData): ArrayLike<number>;
    }
  | { readonly kind: "float"; run(patch: Float64Array): ArrayLike<number> };

export interface LocatedPeak {
  readonly record: PeakRecord;
  readonly peak: Peak;
}

export interface LocatedFrame {
  readonly end: FrameRecord;
  /** In the order of origin row, origin column. */
  readonly peaks: readonly LocatedPeak[];
  readonly corrected: Corrected;
}

/** Positions of a float network are rounded to the grid of the records. */
const FLOAT_FRAC = 20;

/**
 * @param frame number of the frame
 * @param dark counts beside the pixels, where the description says that they are streamed
 */
export function locateFrame(
  sensor: Sensor,
  planes: Planes,
  network: Network,
  frame: number,
  raw: ArrayLike<number>,
  dark?: ArrayLike<number>,
): LocatedFrame {
  const corrected = correct(sensor, planes, raw, dark);
  const found = findPeaks(sensor, corrected.values);
  const { row, column } = sensor.output;
  const peaks = found.peaks.map((peak): LocatedPeak => {
    const [y, frac] =
      network.kind === "fixed"
        ? [network.run(networkInput(sensor, peak.pixels, network.input)), network.outputFrac]
        : [
            Array.from(network.run(floatInput(sensor, peak.pixels)), (v) => Math.round(v * 2 ** FLOAT_FRAC)),
            FLOAT_FRAC,
          ];
    const { edge, clipped, ...facts } = patchFacts(sensor, peak);
    return {
      peak,
      record: {
        kind: "peak",
        frame,
        flags: [...(clipped ? (["clipped"] as const) : []), ...(edge ? (["edge"] as const) : [])],
        row: position(sensor, peak.row, y[row]!, frac),
        column: position(sensor, peak.column, y[column]!, frac),
        ...facts,
      },
    };
  });
  return {
    peaks,
    corrected,
    end: {
      kind: "frame",
      frame,
      flags: [
        ...(corrected.clipped ? (["clipped"] as const) : []),
        ...(found.regionsFull ? (["regions_full"] as const) : []),
      ],
      found: peaks.length,
      sent: peaks.length,
      dropped: 0,
    },
  };
}

/** A row or column of a record in pixels. */
export function inPixels(position: number): number {
  return position / 2 ** POSITION_FRAC;
}

/**
 * Whether a network of these ports takes the sensor's patches.
 *
 * @errors SE012 no patch, SE013 no position
 */
export function checkNetwork(
  sensor: Sensor,
  inputs: readonly { readonly name: string; readonly shape: readonly number[] }[],
  output: readonly number[],
): void {
  const [input] = inputs;
  const [rows, columns] = (input?.shape ?? []).slice(-2);
  const one = (input?.shape ?? []).slice(0, -2).every((n) => n === 1);
  if (inputs.length !== 1 || !one || rows !== sensor.patch || columns !== sensor.patch)
    throw UserError.of("SE012", {
      input: inputs.map((i) => i.name).join(" and "),
      have: inputs.map((i) => i.shape.join(", ")).join("] and ["),
      size: sensor.patch,
    });
  const have = output.reduce((n, d) => n * d, 1);
  for (const key of ["row", "column"] as const)
    if (sensor.output[key] >= have) throw UserError.of("SE013", { key, index: sensor.output[key], have });
}
