/** Elements to and from the beat files of the simulation: element 0 of a beat lowest, beats padded to whole bytes. */

/** Layout of a stream's tdata. */
export interface BeatLayout {
  readonly elementBits: number;
  readonly elementsPerBeat: number;
  readonly signed: boolean;
  /** Bits of tdata; at least elementBits x elementsPerBeat, what is above is zero. */
  readonly width: number;
}

/** Raw integers to beats; a last beat that is not full is filled up with zeros. */
export function packBeats(elements: ArrayLike<number>, layout: BeatLayout): Uint8Array {
  const { elementBits, elementsPerBeat } = layout;
  const bytes = Math.ceil(layout.width / 8);
  const out = new Uint8Array(bytes * Math.ceil(elements.length / elementsPerBeat));
  for (let i = 0; i < elements.length; i++) {
    const base = 8 * bytes * Math.floor(i / elementsPerBeat) + elementBits * (i % elementsPerBeat);
    // Two's complement; below 2^53, so that division is exact.
    const raw = elements[i] ?? 0;
    let v = raw < 0 ? raw + 2 ** elementBits : raw;
    for (let bit = 0; bit < elementBits; ) {
      const at = base + bit;
      const room = Math.min(8 - (at % 8), elementBits - bit);
      out[at >> 3] = (out[at >> 3] ?? 0) | ((v % 2 ** room) << (at % 8));
      v = Math.floor(v / 2 ** room);
      bit += room;
    }
  }
  return out;
}

/** Beats to `count` raw integers. */
export function unpackBeats(data: Uint8Array, layout: BeatLayout, count: number): Float64Array {
  const { elementBits, elementsPerBeat } = layout;
  const bytes = Math.ceil(layout.width / 8);
  if (data.length < bytes * Math.ceil(count / elementsPerBeat))
    throw new RangeError(`${data.length} bytes hold fewer than ${count} elements`);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const base = 8 * bytes * Math.floor(i / elementsPerBeat) + elementBits * (i % elementsPerBeat);
    let v = 0;
    for (let bit = 0; bit < elementBits; ) {
      const at = base + bit;
      const room = Math.min(8 - (at % 8), elementBits - bit);
      v += (((data[at >> 3] ?? 0) >> (at % 8)) & (2 ** room - 1)) * 2 ** bit;
      bit += room;
    }
    out[i] = layout.signed && v >= 2 ** (elementBits - 1) ? v - 2 ** elementBits : v;
  }
  return out;
}
