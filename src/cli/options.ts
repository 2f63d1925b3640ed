/** Values of command line options. What is not acceptable is wrong usage: exit code 2. */
import { InvalidArgumentError } from "commander";
import {
  parseAxisWidth,
  parseBoundValue as parseBound,
  parseShape,
  splitNamed,
  type AxisWidth,
  type ShapeOptions,
} from "../driver.js";

export function positiveInteger(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError("a whole number of at least 1 is needed.");
  return n;
}

export function nonNegativeInteger(text: string): number {
  const n = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(n) || n < 0)
    throw new InvalidArgumentError("a whole number of at least 0 is needed.");
  return n;
}

/** A positive number; `1e6`, `250`, and with a suffix `1M`, `100k`. */
export function positiveNumber(text: string): number {
  const m = /^([0-9.]+(?:e[+-]?\d+)?)([kMG]?)$/.exec(text.trim());
  const n = m === null ? NaN : Number(m[1]) * { "": 1, k: 1e3, M: 1e6, G: 1e9 }[m[2] as "" | "k" | "M" | "G"];
  if (!(n > 0) || !Number.isFinite(n)) throw new InvalidArgumentError("a positive number is needed.");
  return n;
}

export function probability(text: string): number {
  const n = Number(text);
  // At 1 nothing would ever move.
  if (text.trim() === "" || !(n >= 0 && n < 1))
    throw new InvalidArgumentError("a probability from 0 to below 1 is needed.");
  return n;
}

/** `128` bits, `16e` elements. */
export function axisWidth(text: string): AxisWidth {
  const axis = parseAxisWidth(text);
  if (axis === undefined) throw new InvalidArgumentError("bits (128) or elements (16e) are needed.");
  return axis;
}

const BUDGET_KEYS = ["lut", "ff", "dsp", "bram"];

/** `dsp=100,lut=20000`. */
export function budget(text: string): Readonly<Record<string, number>> {
  const limits: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [key, value, ...more] = part.split("=").map((s) => s.trim());
    if (key === undefined || value === undefined || more.length > 0 || !BUDGET_KEYS.includes(key)) {
      throw new InvalidArgumentError(
        `limits such as dsp=100,lut=20000 are needed; known are ${BUDGET_KEYS.join(", ")}.`,
      );
    }
    limits[key] = nonNegativeInteger(value);
  }
  return limits;
}

/** Repeated or comma-separated names. */
export function names(text: string, previous: readonly string[] | undefined): readonly string[] {
  return [
    ...(previous ?? []),
    ...text
      .split(",")
      .map((s) => s.trim())
      .filter((s) => s !== ""),
  ];
}

/** `SEED:SAMPLES`. */
export function seedAndCount(text: string): { readonly seed: number; readonly samples: number } {
  const m = /^(\d+):(\d+)$/.exec(text);
  if (m === null) throw new InvalidArgumentError("SEED:SAMPLES is needed, for example 1:16.");
  return { seed: Number(m[1]), samples: positiveInteger(m[2]!) };
}

/** What --shape, --dim and --bind hold, as the commands' options have them. */
export interface ShapeFlags {
  readonly shape?: Readonly<Record<string, readonly number[]>>;
  readonly dim?: Readonly<Record<string, number>>;
  readonly bind?: ShapeOptions["bind"];
}
export const SHAPE_OPTION = [
  "--shape <name=sizes>",
  "shape of an input, over open dimensions and over a batch in the model: input=1x576; may be repeated",
] as const;
export const BIND_OPTION = [
  "--bind <name=value>",
  "an input that is a constant of the hardware: a number, numbers (1,2,3) or FILE.npy; may be repeated",
] as const;
export const DIM_OPTION = ["--dim <name=size>", "size of a symbolic dimension: seq=16; may be repeated"] as const;

export function shapeOptions(f: ShapeFlags): ShapeOptions {
  return {
    ...(f.shape !== undefined && { shapes: f.shape }),
    ...(f.dim !== undefined && { dims: f.dim }),
    ...(f.bind !== undefined && { bind: f.bind }),
  };
}

/** `input=1x576`, repeated. */
export function namedShape(text: string, previous: ShapeFlags["shape"]): Readonly<Record<string, readonly number[]>> {
  const [name, value] = splitNamed(text) ?? ["", ""];
  const shape = parseShape(value);
  if (name === "" || shape === undefined)
    throw new InvalidArgumentError("an input and its sizes are needed, such as input=1x576.");
  if (previous?.[name] !== undefined) throw new InvalidArgumentError(`the shape of ${name} is given twice.`);
  return { ...previous, [name]: shape };
}

/** `seq=16`, repeated. */
export function namedSize(text: string, previous: ShapeFlags["dim"]): Readonly<Record<string, number>> {
  const [name, value] = splitNamed(text) ?? ["", ""];
  if (name === "" || !/^\d+$/.test(value))
    throw new InvalidArgumentError("a dimension and its size are needed, such as seq=16.");
  if (previous?.[name] !== undefined) throw new InvalidArgumentError(`the size of ${name} is given twice.`);
  return { ...previous, [name]: Number(value) };
}

/** `rate=16000`, repeated. */
export function namedBound(text: string, previous: ShapeFlags["bind"]): NonNullable<ShapeFlags["bind"]> {
  const [name, value] = splitNamed(text) ?? ["", ""];
  const bound = parseBound(value);
  if (name === "" || bound === undefined)
    throw new InvalidArgumentError("an input and its value are needed, such as rate=16000, or mask=FILE.npy.");
  if (previous?.[name] !== undefined) throw new InvalidArgumentError(`the value of ${name} is given twice.`);
  return { ...previous, [name]: bound };
}

/** Repeated texts, each as it is. */
export function repeated(text: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), text];
}

/** A share that can be taken from a whole. */
export function share(text: string): number {
  const n = text.trim().endsWith("%") ? Number(text.trim().slice(0, -1)) / 100 : Number(text);
  if (text.trim() === "" || !(n >= 0 && n <= 0.9))
    throw new InvalidArgumentError("a share from 0 to 0.9 is needed, such as 0.5.");
  return n;
}
