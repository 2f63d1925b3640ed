/**
 * The keys of a sensor description: what each means, its unit and its default. Reader and documentation go by this
 * table.
 */
import { MAX_FRAME, MAX_PATCH } from "./sensor.js";

/** What a key takes. */
export type ValueKind =
  | { readonly kind: "whole"; readonly from: number; readonly to: number }
  | { readonly kind: "one-of"; readonly values: readonly (string | number)[] }
  /** A file, alone or with the name of an array behind a colon. */
  | { readonly kind: "file" }
  /** Counts, a file, or the word `stream`. */
  | { readonly kind: "dark" }
  /** Keys of their own; a single word stands for the one named. */
  | { readonly kind: "group"; readonly keys: Readonly<Record<string, KeySpec>>; readonly word?: string };

export interface KeySpec {
  readonly value: ValueKind;
  readonly unit: string;
  /** As it is written; absent where the key must be given, `none` where its absence means that the step is left out. */
  readonly default?: string | number;
  readonly doc: string;
}

const whole = (from: number, to: number): ValueKind => ({ kind: "whole", from, to });
const oneOf = (...values: readonly (string | number)[]): ValueKind => ({ kind: "one-of", values });

/** Largest value of a corrected pixel. */
const COUNTS = 65535;

export const FIND_KEYS: Readonly<Record<string, KeySpec>> = {
  rule: {
    value: oneOf("local-maximum", "component"),
    unit: "",
    default: "local-maximum",
    doc: "a pixel that no other one in its window exceeds, or an 8-connected region of pixels above zero",
  },
  window: { value: oneOf(3, 5, 7), unit: "pixels", default: 5, doc: "local-maximum: edge of the window" },
  peak_min: {
    value: whole(1, COUNTS),
    unit: "counts above the dark",
    default: "threshold",
    doc: "local-maximum: least value of a peak",
  },
  edges: {
    value: oneOf("drop", "pad"),
    unit: "",
    default: "drop",
    doc: "local-maximum: peaks whose patch overlaps the edge of the frame are dropped, or padded with zeros",
  },
  min_pixels: { value: whole(1, 255), unit: "pixels", default: 3, doc: "component: least size of a region" },
  open_regions: {
    value: whole(2, 4096),
    unit: "regions",
    default: 256,
    doc: "component: places of the table of regions that are not finished; pixels that find none are zero, and the frame is flagged",
  },
};

export const DISPERSION_KEYS: Readonly<Record<string, KeySpec>> = {
  window: { value: oneOf(3, 5, 7), unit: "pixels", default: 7, doc: "edge of the window" },
  background: {
    value: whole(1, 15),
    unit: "standard deviations",
    default: 6,
    doc: "by which the variance of the window exceeds that of counting",
  },
  signal: {
    value: whole(1, 15),
    unit: "standard deviations",
    default: 3,
    doc: "by which the pixel exceeds the mean of the window",
  },
  min_count: { value: whole(2, 49), unit: "pixels", default: 2, doc: "least number of usable pixels in the window" },
};

export const OUTPUT_KEYS: Readonly<Record<string, KeySpec>> = {
  column: { value: whole(0, 1023), unit: "", default: 0, doc: "element of the network's first output: the column" },
  row: { value: whole(0, 1023), unit: "", default: 1, doc: "element of the network's first output: the row" },
  unit: {
    value: oneOf("patch", "pixel"),
    unit: "",
    default: "patch",
    doc: "whether the position counts edges of the patch, or pixels",
  },
};

export const SENSOR_KEYS: Readonly<Record<string, KeySpec>> = {
  rows: { value: whole(1, MAX_FRAME), unit: "pixels", doc: "of a frame" },
  columns: { value: whole(1, MAX_FRAME), unit: "pixels", doc: "of a frame" },
  pixel_bits: {
    value: oneOf(8, 10, 12, 14, 16, 32),
    unit: "bits",
    default: 16,
    doc: "of a raw pixel; of 32, corrected values beyond 16 bits are clipped and flagged",
  },
  pixels_per_beat: {
    value: oneOf(1, 2, 4, 8, 16, 32),
    unit: "pixels",
    default: 1,
    doc: "side by side in tdata, the first column in the lowest bits; the last beat of a row is padded",
  },
  end_of: { value: oneOf("line", "frame"), unit: "", default: "line", doc: "what TLAST marks" },
  dark: {
    value: { kind: "dark" },
    unit: "counts",
    default: 0,
    doc: "subtracted: a number, a file of a number per pixel, or `stream` for a second port in lockstep",
  },
  mask: { value: { kind: "file" }, unit: "", default: "none", doc: "per pixel not 0 where it is not used" },
  flat: {
    value: { kind: "file" },
    unit: "",
    default: "none",
    doc: "per pixel a factor from 0 to below 4, in steps of 1/16384, by which the difference to the dark is multiplied",
  },
  threshold: { value: whole(0, COUNTS), unit: "counts above the dark", default: 1, doc: "pixels below are zero" },
  dispersion: {
    value: { kind: "group", keys: DISPERSION_KEYS },
    unit: "",
    default: "none",
    doc: "pixels that do not stand out of their surroundings are zero (the test of DIALS); `{}` for its defaults",
  },
  find: { value: { kind: "group", keys: FIND_KEYS, word: "rule" }, unit: "", default: "local-maximum", doc: "peaks" },
  patch: { value: whole(2, MAX_PATCH), unit: "pixels", default: 11, doc: "edge of what the network sees" },
  normalisation: {
    value: oneOf("none", "min-max"),
    unit: "",
    default: "min-max",
    doc: "(pixel - least) / (largest - least) of the patch, or counts",
  },
  queue: { value: whole(1, 65536), unit: "peaks", default: 64, doc: "that can wait for the network" },
  output: {
    value: { kind: "group", keys: OUTPUT_KEYS },
    unit: "",
    default: "{column: 0, row: 1, unit: patch}",
    doc: "which outputs of the network are the position",
  },
};
