/** Amounts of a device's resources, and what they are worth against one another. */
export interface Resources {
  lut: number;
  ff: number;
  dsp: number;
  bram: number;
}

/** The kinds of resources, in the order in which they are listed everywhere. */
export const RESOURCE_KINDS = ["lut", "ff", "dsp", "bram"] as const;

export function noResources(): Resources {
  return { lut: 0, ff: 0, dsp: 0, bram: 0 };
}
export function addResources(a: Resources, b: Resources): Resources {
  return { lut: a.lut + b.lut, ff: a.ff + b.ff, dsp: a.dsp + b.dsp, bram: a.bram + b.bram };
}
/** Adds `more` to `r`, `copies` times. */
export function addTo(r: Resources, more: Readonly<Partial<Resources>>, copies = 1): void {
  for (const k of RESOURCE_KINDS) r[k] += (more[k] ?? 0) * copies;
}
export function rounded(r: Resources): Resources {
  return { lut: Math.round(r.lut), ff: Math.round(r.ff), dsp: Math.round(r.dsp), bram: Math.round(r.bram) };
}

/** LUTs that one multiplier block is worth in comparisons. */
export const LUTS_PER_DSP = 60;

/**
 * What a scalar product per cycle is worth on top of its area: as much as a multiplier block, however it is built. By
 * area alone, products by constants are so small that many idle ones would often be cheaper than the control to keep a
 * few busy; but they toggle, and their operands must be brought to them.
 */
export const LUTS_PER_PRODUCT = 60;

/** One number to compare designs by: LUTs, with a DSP counted as 60, a block RAM as 200 and a flip-flop as a fifth. */
export function equivalentLuts(r: Resources): number {
  return r.lut + LUTS_PER_DSP * r.dsp + 200 * r.bram + 0.2 * r.ff;
}
