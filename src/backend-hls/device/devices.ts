/**
 * Devices: the family, what fits, and how long operators take.
 *
 * Capacities are the vendors' (AMD DS962 and DS890 for the UltraScale+ parts, DS180 and DS190 for the 7 series, Lattice
 * FPGA-DS-02012 for ECP5, FPGA-DS-02008 and FPGA-DS-02029 for iCE40). Delays are linear fits, logic and average routing
 * together, meant for placing pipeline registers. Those of ECP5 and iCE40 come from routed designs: chains of 1 to 4
 * sums of 8, 16 and 32 bits with nextpnr (ECP5 speed grade 8: 1.2 to 1.3 ns a sum and 0.03 ns a bit of the last one;
 * HX8K: 1.3 and
 * 0.15; UP5K: 3.6 and 0.35), ECP5's also from block RAM (4.3 ns and the route). Those of the AMD families are scaled
 * from data sheet figures and are estimates.
 */
import { ecp5, type Family, ice40, sevenSeries, ultraScalePlus } from "./family.js";

/** Delays of a device, in nanoseconds. */
export interface Timing {
  /** Clock-to-output, set-up and the first route of a path, ns. */
  readonly base: number;
  /** One level of logic with its route, ns. */
  readonly lut: number;
  /** One sum in a chain of sums with its route, without the carry, ns. */
  readonly add: number;
  /** Carry per bit, ns; only the last sum of a chain waits for it. */
  readonly carry: number;
  /** From the end of a carry chain through what it selects, with the route to all bits of it, ns. */
  readonly select: number;
  /** Multiplier block, registers at both ends, ns. */
  readonly multiply: number;
  /** Clock to the data of a block RAM without an output register, with a route, ns. */
  readonly memory: number;
}

export interface Device {
  readonly name: string;
  readonly family: Family;
  readonly title: string;
  readonly lut: number;
  readonly ff: number;
  readonly dsp: number;
  /** Block RAMs, of the family's size. */
  readonly bram: number;
  readonly timing: Timing;
  /** Arguments of the router that name the part; absent where there is no router. */
  readonly part?: readonly string[];
}

const up: Timing = { base: 0.5, lut: 0.45, add: 0.45, carry: 0.012, select: 0.55, multiply: 2.2, memory: 1.2 };
const seven: Timing = { base: 0.9, lut: 0.7, add: 0.7, carry: 0.025, select: 1.1, multiply: 3.2, memory: 2.7 };
const ecp5Timing: Timing = { base: 1.3, lut: 0.9, add: 1.2, carry: 0.028, select: 2.3, multiply: 4.2, memory: 5.9 };
const ice40Timing: Timing = { base: 2.0, lut: 1.6, add: 1.3, carry: 0.15, select: 2.6, multiply: 9.0, memory: 4.0 };
const iceUp: Timing = { base: 3.6, lut: 2.9, add: 3.6, carry: 0.35, select: 4.7, multiply: 17, memory: 7.2 };

/** Share of the clock period that logic and average routing may take. */
const USABLE = 0.85;

/** Nanoseconds of a cycle that logic may take, clock-to-output and set-up included. */
export function usablePeriod(clockMhz: number): number {
  return (1000 / clockMhz) * USABLE;
}

/** The clock whose cycles have so many nanoseconds for logic, MHz, rounded down. */
export function clockFor(ns: number): number {
  return Math.floor(((1000 * USABLE) / ns) * 10) / 10;
}

const known: Device[] = [
  {
    name: "xcu280",
    family: ultraScalePlus,
    title: "AMD Alveo U280 (Virtex UltraScale+ HBM)",
    lut: 1303680,
    ff: 2607360,
    dsp: 9024,
    bram: 2016,
    timing: up,
  },
  {
    name: "xcku5p",
    family: ultraScalePlus,
    title: "AMD Kintex UltraScale+ KU5P",
    lut: 216960,
    ff: 433920,
    dsp: 1824,
    bram: 480,
    timing: up,
  },
  {
    name: "xc7k325t",
    family: sevenSeries,
    title: "AMD Kintex-7 325T",
    lut: 203800,
    ff: 407600,
    dsp: 840,
    bram: 445,
    timing: seven,
  },
  {
    name: "xc7z020",
    family: sevenSeries,
    title: "AMD Zynq-7020",
    lut: 53200,
    ff: 106400,
    dsp: 220,
    bram: 140,
    timing: { ...seven, base: 1.1, lut: 0.85, add: 0.85, multiply: 3.8, memory: 3.2 },
  },
  {
    name: "lfe5um5g-85f",
    family: ecp5,
    title: "Lattice ECP5UM5G-85F",
    lut: 83640,
    ff: 83640,
    dsp: 156,
    bram: 208,
    timing: ecp5Timing,
    part: ["--um5g-85k", "--package", "CABGA756"],
  },
  {
    name: "ice40hx8k",
    family: ice40,
    title: "Lattice iCE40 HX8K",
    lut: 7680,
    ff: 7680,
    dsp: 0,
    bram: 32,
    timing: ice40Timing,
    part: ["--hx8k", "--package", "ct256"],
  },
  {
    name: "ice40up5k",
    family: ice40,
    title: "Lattice iCE40 UP5K",
    lut: 5280,
    ff: 5280,
    dsp: 8,
    bram: 30,
    timing: iceUp,
    part: ["--up5k", "--package", "sg48"],
  },
];

/** The devices that are known, in the order in which they were made known. */
export function knownDevices(): readonly Device[] {
  return known;
}

/** Makes a device known by its name, in lower case. Registering a name twice is an error. */
export function registerDevice(device: Device): void {
  if (device.name !== device.name.toLowerCase())
    throw new Error(`the name of device ${device.name} is not in lower case`);
  if (findDevice(device.name) !== undefined) throw new Error(`device ${device.name} is registered twice`);
  known.push(device);
}

/** A device by its name, in upper or lower case. */
export function findDevice(name: string): Device | undefined {
  return known.find((d) => d.name === name.toLowerCase());
}
