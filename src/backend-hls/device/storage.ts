/**
 * Where a memory goes, and what it costs there: block RAM, memory made of LUTs, or logic for a table. Generated
 * hardware and estimates ask here, so that a memory is where it was counted. The figures are what Yosys 0.23 maps
 * memories of these sizes to (`family.ts`).
 */
import { elementAt, firstOf } from "../../ir/present.js";
import type { Dense } from "../../ir/attributes.js";
import type { Device } from "./devices.js";

export interface Storage {
  readonly style: "block" | "distributed";
  readonly lut: number;
  readonly ff: number;
  readonly bram: number;
}

/** LUTs that a block RAM is worth: what is scarcer on a device decides. */
function lutsPerBlock(d: Device): number {
  return d.bram === 0 ? 0 : d.lut / d.bram / 4;
}

function blocks(d: Device, depth: number, width: number): number {
  return Math.min(
    ...d.family.blocks.flatMap((b) => b.shapes.map(([n, w]) => b.share * Math.ceil(depth / n) * Math.ceil(width / w))),
  );
}

/** LUTs per bit of a multiplexer with n inputs. */
export function muxLuts(d: Device, n: number): number {
  if (n <= 1) return 0;
  if (d.family.lutInputs === 4) return n === 2 ? 1 : n <= 4 ? 2 * (n - 2) : n < 8 ? 5 : n === 8 ? 7 : 1.75 * n;
  // Four inputs in a table; multiplexers of the slice join up to four of these.
  return Math.ceil(n / 4);
}

function distributedRam(d: Device, depth: number, width: number): number {
  const groups = d.family.lutMemories;
  if (groups.length === 0) return depth * width * 0.7;
  return Math.min(
    ...groups.map((g) => {
      const banks = Math.ceil(depth / g.depth);
      return banks * Math.ceil(width / g.width) * g.luts + width * muxLuts(d, banks) + (banks > 1 ? banks : 0);
    }),
  );
}

/**
 * A memory with one write and one read port. `registered`: its data come a cycle after the address, as block RAM needs
 * it.
 * @param style where it is, if that has been decided
 */
export function ramStorage(
  d: Device,
  depth: number,
  width: number,
  registered: boolean,
  style?: Storage["style"],
): Storage {
  const lut = distributedRam(d, depth, width);
  const bram = blocks(d, depth, width);
  if ((style ?? choose(d, registered, lut, bram)) === "block") return { style: "block", lut: 0, ff: 0, bram };
  // Without LUT memory the words are flip-flops.
  return {
    style: "distributed",
    lut,
    ff: (registered ? width : 0) + (d.family.lutMemories.length === 0 ? depth * width : 0),
    bram: 0,
  };
}

/** A read-only memory; `values` row by row, a row is a word. */
export function romStorage(d: Device, values: Dense, registered: boolean, style?: Storage["style"]): Storage {
  const depth = firstOf(values.shape);
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

/**
 * LUTs of a table as logic: the functions of the lowest address bits that differ, and what chooses among them beyond a
 * slice.
 */
function tableCount(d: Device, values: Dense): TableCount {
  const known = counted.get(values) ?? new Map<number, TableCount>();
  counted.set(values, known);
  let count = known.get(d.family.lutInputs);
  if (count === undefined) known.set(d.family.lutInputs, (count = countTable(d, values)));
  return count;
}

/** Tables of a slice that its multiplexers join. */
const JOINED = 8;

/** Entries of tables that are looked at one by one. */
const MAX_COUNTED = 2 ** 16;

function countTable(d: Device, values: Dense): TableCount {
  const depth = firstOf(values.shape);
  const per = values.data.length / depth;
  const { width } = values.elem as { width: number };
  const size = 2 ** d.family.lutInputs;
  // Of so many entries hardly any two parts are alike.
  if (depth > MAX_COUNTED) return { luts: Math.ceil(depth / size) * width * per, columns: width * per };
  const functions = new Set<string>();
  const columns = new Set<string>();
  let chosen = 0;
  for (let k = 0; k < per; k++) {
    for (let b = 0; b < width; b++) {
      let column = "";
      // Bits of the two's complement.
      for (let i = 0; i < depth; i++) column += Math.floor(elementAt(values.data, i * per + k) / 2 ** b) & 1;
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
