/**
 * Scales of ports that carry integers: real number = raw x 2^-frac x scale. Attributes of the function, absent where
 * all are 1.
 */
import type { Op } from "./core.js";

export type PortScales = "input_scales" | "output_scales";

export function portScale(func: Op, which: PortScales, index: number): number {
  const scales = func.attrs[which];
  const scale = Array.isArray(scales) ? (scales as readonly unknown[])[index] : undefined;
  return typeof scale === "number" ? scale : 1;
}
