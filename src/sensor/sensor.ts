/**
 * What a sensor sends and how peaks are found in it. One object describes the instrument for the hardware, its
 * bit-exact model and the software; `read-sensor.ts` makes it of YAML, `describe.ts` lists the keys.
 */

export type PixelBits = 8 | 10 | 12 | 14 | 16 | 32;
export type PixelsPerBeat = 1 | 2 | 4 | 8 | 16 | 32;

/** Subtracted from each pixel: a number, counts per pixel, or counts that arrive beside the pixels in lockstep. */
export type Dark =
  | { readonly kind: "number"; readonly counts: number }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "stream" };

/** A pixel that no other one in its window exceeds; of equals the first in raster order. */
export interface LocalMaximum {
  readonly rule: "local-maximum";
  /** Edge of the window, in pixels. */
  readonly window: 3 | 5 | 7;
  /** Least value of a peak, in counts above the dark. */
  readonly peakMin: number;
  /** Peaks whose patch overlaps the edge of the frame are dropped, or their patches are padded with zeros. */
  readonly edges: "drop" | "pad";
}

/** An 8-connected region of pixels above zero, no larger than a patch. */
export interface Component {
  readonly rule: "component";
  /** Least number of pixels of a peak. */
  readonly minPixels: number;
  /** Regions that can be open at a time: `components.ts` says what happens beyond. */
  readonly openRegions: number;
}

/**
 * Pixels that stand out of their surroundings; all others become zero.
 *
 * @source DIALS, `dispersion` spot finding: variance over mean of the background, and the pixel against the mean
 */
export interface Dispersion {
  /** Edge of the window, in pixels. */
  readonly window: 3 | 5 | 7;
  /** Standard deviations by which the variance of the window exceeds that of counting. */
  readonly background: number;
  /** Standard deviations by which the pixel exceeds the mean of the window. */
  readonly signal: number;
  /** Least number of pixels in the window that are in the frame and not masked. */
  readonly minCount: number;
}

/** Which outputs of the network are the position within the patch. */
export interface PositionOutput {
  /** Indices among the elements of the network's first output. */
  readonly row: number;
  readonly column: number;
  /** Whether they count pixels, or edges of the patch; 0 is the middle of the patch's first pixel. */
  readonly unit: "pixel" | "patch";
}

export interface Sensor {
  readonly rows: number;
  readonly columns: number;
  /** Of raw pixels; with 32, values beyond 16 bits are clipped and flagged. */
  readonly pixelBits: PixelBits;
  /** Pixels side by side in `tdata`, the first column in the lowest bits; a row's last beat is padded. */
  readonly pixelsPerBeat: PixelsPerBeat;
  /** What TLAST marks. */
  readonly endOf: "line" | "frame";
  readonly dark: Dark;
  /** File of a number per pixel: not 0 where the pixel is not used. */
  readonly mask?: string;
  /** File of factors per pixel that even out the response, from 0 to below 4. */
  readonly flat?: string;
  /** Corrected pixels below are zero, in counts above the dark. */
  readonly threshold: number;
  readonly dispersion?: Dispersion;
  readonly find: LocalMaximum | Component;
  /** Edge of a patch, in pixels. */
  readonly patch: number;
  /** `min-max`: (pixel - least) / (largest - least) of the patch; `none`: counts. */
  readonly normalisation: "none" | "min-max";
  /** Peaks that can wait for the network. */
  readonly queue: number;
  readonly output: PositionOutput;
}

/** Largest edges of a frame and of a patch. */
export const MAX_FRAME = 8192;
export const MAX_PATCH = 32;

/** Bits of a corrected pixel. */
export function valueBits(sensor: Pick<Sensor, "pixelBits">): number {
  return Math.min(sensor.pixelBits, 16);
}

/** Beats of a row: the last one is padded. */
export function beatsPerRow(sensor: Pick<Sensor, "columns" | "pixelsPerBeat">): number {
  return Math.ceil(sensor.columns / sensor.pixelsPerBeat);
}

/** Beats of a frame, which is also the interval of frames in cycles. */
export function beatsPerFrame(sensor: Pick<Sensor, "rows" | "columns" | "pixelsPerBeat">): number {
  return sensor.rows * beatsPerRow(sensor);
}

/** Row or column of a patch's first pixel, relative to the peak's. */
export function patchOffset(sensor: Pick<Sensor, "patch">): number {
  return -(sensor.patch >> 1);
}
