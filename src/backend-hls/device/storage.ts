/**
 * Where a memory goes, and what it costs there: block RAM, memory made of LUTs, or logic for a table. Generated hardware and
 * estimates ask here, so that a memory is where it was counted. The figures are what Yosys 0.23 maps memories of these sizes
 * to; sizes of the blocks are the vendors' (AMD UG573, UG473; Lattice FPGA-TN-02204, FPGA-TN-02002).
 */
import type { Dense } from "../../ir/attributes.js";
import type { Device } from "./devices.js";

export interface Storage {
  readonly style: "block" | "distributed";
  readonly lut: number;
  readonly ff: number;
  readonly bram: number;
}

/** Depths and widths that a block can have, and the share of a counted block that it is. */
interface BlockShape {
  readonly share: number;
  readonly shapes: readonly (readonly [depth: number, width: number])[];
}
const half: BlockShape = { share: 0.5, shapes: [[512, 36], [1024, 18], [2048, 9], [4096, 4], [8192, 2], [16384, 1]] };
const whole: BlockShape = { share: 1, shapes: [[512, 72], [1024, 36], [2048, 18], [4096, 9], [8192, 4], [16384, 2], [32768, 1]] };
const BLOCKS: Readonly<Record<Device["family"], readonly BlockShape[]>> = {
  xcup: [half, whole],
  xc7: [half, whole],
  ecp5: [{ share: 1, shapes: half.shapes }],
  ice40: [{ share: 1, shapes: [[256, 16], [512, 8], [1024, 4], [2048, 2]] }],
};

/** Memories made of LUTs: words and bits of one group, and the LUTs that it takes. */
const GROUPS: Readonly<Record<Device["family"], readonly { readonly depth: number; readonly width: number; readonly luts: number }[]>> = {
  xcup: [{ depth: 32, width: 14, luts: 8 }, { depth: 64, width: 7, luts: 8 }],
  xc7: [{ depth: 32, width: 6, luts: 4 }, { depth: 64, width: 3, luts: 4 }],
  ecp5: [{ depth: 16, width: 4, luts: 4 }],
  ice40: [],
};

/** LUTs that a block RAM is worth: what is scarcer on a device decides. */
function lutsPerBlock(d: Device): number {
  return d.bram === 0 ? 0 : d.lut / d.bram / 4;
}

function blocks(d: Device, depth: number, width: number): number {
  return Math.min(...BLOCKS[d.family].flatMap((b) => b.shapes.map(([n, w]) => b.share * Math.ceil(depth / n) * Math.ceil(width / w))));
}

/** LUTs per bit of a multiplexer with n inputs. */
export function muxLuts(d: Device, n: number): number {
  if (n <= 1) return 0;
  if (d.lutInputs === 4) return n === 2 ? 1 : n <= 4 ? 2 * (n - 2) : n < 8 ? 5 : n === 8 ? 7 : 1.75 * n;
  // Four inputs in a table; multiplexers of the slice join up to four of these.
  return Math.ceil(n / 4);
}

function distributedRam(d: Device, depth: number, width: number): number {
  const groups = GROUPS[d.family];
  if (groups.length === 0) return depth * width * 0.7;
  return Math.min(...groups.map((g) => {
    const banks = Math.ceil(depth / g.depth);
    return banks * Math.ceil(width / g.width) * g.luts + width * muxLuts(d, banks) + (banks > 1 ? banks : 0);
  }));
}

/**
 * A memory with one write and one read port. `registered`: its data come a cycle after the address, as block RAM needs it.
 * @param style where it is, if that has been decided
 */
export function ramStorage(d: Device, depth: number, width: number, registered: boolean, style?: Storage["style"]): Storage {
  const lut = distributedRam(d, depth, width);
  const bram = blocks(d, depth, width);
  if ((style ?? choose(d, registered, lut, bram)) === "block") return { style: "block", lut: 0, ff: 0, bram };
  // Without LUT memory the words are flip-flops.
  return { style: "distributed", lut, ff: (registered ? width : 0) + (GROUPS[d.family].length === 0 ? depth * width : 0), bram: 0 };
}

/** A read-only memory; `values` row by row, a row is a word. */
export function romStorage(d: Device, values: Dense, registered: boolean, style?: Storage["style"]): Storage {
  const depth = values.shape[0]!;
  const width = (values.data.length / depth) * (values.elem as { width: number }).width;
  const { luts: lut, columns } = tableCount(d, values);
  const bram = blocks(d, depth, width);
  if ((style ?? choose(d, registered, lut, bram)) === "block") return { style: "block", lut: 0, ff: 0, bram };
  return { style: "distributed", lut, ff: registered ? columns : 0, bram: 0 };
}

function choose(d: Device, registered: boolean, lut: number, bram: number): Storage["style"] {
  return registered && d.bram > 0 && lut > bram * lutsPerBlock(d) ? "block" : "distributed";
}

interface TableCount {
  readonly luts: number;
  /** Bits of a word that are neither constant nor the same as another. */
  readonly columns: number;
}
const counted = new WeakMap<Dense, Map<number, TableCount>>();

/** LUTs of a table as logic: the functions of the lowest address bits that differ, and what chooses among them beyond a slice. */
function tableCount(d: Device, values: Dense): TableCount {
  const known = counted.get(values) ?? new Map<number, TableCount>();
  counted.set(values, known);
  let count = known.get(d.lutInputs);
  if (count === undefined) known.set(d.lutInputs, (count = countTable(d, values)));
  return count;
}

/** Tables of a slice that its multiplexers join. */
const JOINED = 8;

function countTable(d: Device, values: Dense): TableCount {
  const depth = values.shape[0]!;
  const per = values.data.length / depth;
  const { width } = values.elem as { width: number };
  const size = 2 ** d.lutInputs;
  const functions = new Set<string>();
  const columns = new Set<string>();
  let chosen = 0;
  for (let k = 0; k < per; k++) {
    for (let b = 0; b < width; b++) {
      let column = "";
      // Bits of the two's complement.
      for (let i = 0; i < depth; i++) column += Math.floor(values.data[i * per + k]! / 2 ** b) & 1;
      if (!column.includes("0") || !column.includes("1") || columns.has(column)) continue;
      columns.add(column);
      let parts = 0;
      for (let at = 0; at < depth; at += size) {
        const text = column.slice(at, at + size);
        if (!text.includes("0") || !text.includes("1")) continue;
        parts++;
        functions.add(text);
      }
      if (parts > JOINED) chosen += parts / JOINED;
    }
  }
  return { luts: functions.size + Math.ceil(chosen), columns: columns.size };
}
