/** Synthesis with Yosys: cell counts of a design for a device family. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { verilogFiles } from "./lint.js";
import { runTool } from "./tools.js";

/**
 * How a device family is synthesized; its record has it (`backend-hls/device/family.ts`).
 *
 * All flows keep the hierarchy, so that identical lanes are synthesized once and registers that were duplicated to cut
 * fan-out survive. Pads and clock buffers are left out: the design is a block in a larger one.
 */
export interface SynthesisFlow {
  /** Yosys' command, to which ` -top NAME` is added. */
  readonly command: string;
  /**
   * Two-input adders are mapped before the command fuses sums into multi-operand ones; not where it packs adders into
   * DSPs.
   */
  readonly premapAdders: boolean;
  /** What each kind of cell counts as; cells of no kind, such as inverters, count as nothing. */
  readonly cells: readonly (readonly [RegExp, Readonly<Partial<Resources>>])[];
}

export interface SynthesisOptions {
  readonly seconds?: number;
  /** Overrides the choice of the flow. */
  readonly premapAdders?: boolean;
  /** Where to leave the netlist (netlist.json), statistics and log; a temporary folder without. */
  readonly workDir?: string;
  /** A Verilog file more, which holds the top module: a frame for place and route. */
  readonly frame?: string;
}

export interface Resources {
  /** Look-up tables; on ECP5 those inside carry cells and distributed memory included. */
  readonly lut: number;
  readonly ff: number;
  readonly dsp: number;
  /** Blocks of the device's size; half of one counts 0.5. */
  readonly bram: number;
  /** Look-up tables used as memory or shift registers; part of `lut`. */
  readonly lutram: number;
  /** Carry cells. */
  readonly carry: number;
}

export interface ModuleCells {
  /** How often the module occurs in the design. */
  readonly instances: number;
  /** Cells of one occurrence, without those of the modules in it. */
  readonly cells: Readonly<Record<string, number>>;
}

export interface SynthesisResult extends Resources {
  /** Sums over the hierarchy, by cell type. */
  readonly cells: Readonly<Record<string, number>>;
  readonly cellsByModule: Readonly<Record<string, ModuleCells>>;
  readonly seconds: number;
}

/**
 * Synthesizes the Verilog files of a folder.
 *
 * @errors TO001 no Yosys; TO002, TO003 it fails
 */
export async function synthesize(
  rtlDir: string,
  top: string,
  flow: SynthesisFlow,
  options: SynthesisOptions = {},
): Promise<SynthesisResult> {
  return inFolder(options.workDir, async (work) => {
    const started = performance.now();
    writeFileSync(join(work, "adders.v"), ADDER_MAP);
    if (options.frame !== undefined) writeFileSync(join(work, "frame.v"), options.frame);
    const premap = options.premapAdders ?? flow.premapAdders;
    const script = [
      ...verilogFiles(rtlDir).map((f) => `read_verilog "${resolve(rtlDir, f)}"`),
      ...(options.frame === undefined ? [] : ["read_verilog frame.v"]),
      // Cells of the device are known only to the flow, which checks.
      `hierarchy -top ${top}`,
      // Tables that are logic: as memories, the register of their address would be moved behind them.
      "proc",
      "memory_map -rom-only a:rom_style=logic",
      // Operands at their true width first: a mapped adder is not narrowed any more.
      ...(premap ? ["opt_expr", "opt_clean", "peepopt", "wreduce", "techmap -map adders.v"] : []),
      `${flow.command} -top ${top}`,
      "tee -q -o stat.json stat -json",
      "write_json netlist.json",
    ];
    writeFileSync(join(work, "synth.ys"), `${script.join("\n")}\n`);
    // tee and its like take no quoted paths: names relative to the folder.
    await runTool("yosys", ["-q", "-l", "yosys.log", "synth.ys"], {
      cwd: work,
      seconds: options.seconds ?? 1800,
      step: "synthesis",
    });
    const byModule = readStatistics(readFileSync(join(work, "stat.json"), "utf8"), top);
    const cells = total(byModule);
    return {
      ...resourcesOf(cells, flow),
      cells,
      cellsByModule: byModule,
      seconds: (performance.now() - started) / 1000,
    };
  });
}

async function inFolder<T>(dir: string | undefined, use: (dir: string) => Promise<T>): Promise<T> {
  if (dir !== undefined) {
    mkdirSync(dir, { recursive: true });
    return use(resolve(dir));
  }
  const temporary = mkdtempSync(join(tmpdir(), "onnx-hls-synth-"));
  try {
    return await use(temporary);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/**
 * `$add` and `$sub` as `$alu`, one carry chain each: otherwise sums without registers become compressor trees in LUTs.
 */
const ADDER_MAP = `(* techmap_celltype = "$add $sub" *)
module adder_as_alu (A, B, Y);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;
    parameter _TECHMAP_CELLTYPE_ = "";
    input [A_WIDTH-1:0] A;
    input [B_WIDTH-1:0] B;
    output [Y_WIDTH-1:0] Y;
    wire [Y_WIDTH-1:0] X, CO;
    wire subtract = _TECHMAP_CELLTYPE_ == "$sub";
    \\$alu #(
        .A_SIGNED(A_SIGNED && B_SIGNED), .B_SIGNED(A_SIGNED && B_SIGNED),
        .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)
    ) _TECHMAP_REPLACE_ (.A(A), .B(B), .CI(subtract), .BI(subtract), .Y(Y), .X(X), .CO(CO));
endmodule
`;

/** Cell counts per module with multiplicities, from the output of `stat -json`. */
export function readStatistics(json: string, top: string): Record<string, ModuleCells> {
  const { modules } = parseStatistics(json);
  const cellsOf = new Map<string, Record<string, number>>();
  for (const [name, m] of Object.entries(modules))
    cellsOf.set(
      plain(name),
      Object.fromEntries(Object.entries(m.num_cells_by_type ?? {}).map(([t, n]) => [plain(t), n])),
    );
  const instances = new Map<string, number>();
  const visit = (module: string, times: number): void => {
    instances.set(module, (instances.get(module) ?? 0) + times);
    for (const [type, n] of Object.entries(cellsOf.get(module) ?? {})) if (cellsOf.has(type)) visit(type, times * n);
  };
  visit(top, 1);
  const sorted = [...instances].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    sorted.map(([module, count]) => {
      const cells = Object.entries(cellsOf.get(module) ?? {}).filter(([type]) => !cellsOf.has(type));
      return [module, { instances: count, cells: Object.fromEntries(cells) }];
    }),
  );
}

interface Statistics {
  readonly modules: Record<string, { num_cells_by_type?: Record<string, number> }>;
}

/** Yosys 0.23 writes the tree of a hierarchy as plain text behind the modules, which are all that is needed here. */
function parseStatistics(json: string): Statistics {
  const end = /\n {3}\},?[ \t]*\r?\n/.exec(json);
  const modules = end === null ? json : `${json.slice(0, end.index)}\n}}`;
  return JSON.parse(modules.replace(/,(\s*[}\]])/g, "$1")) as Statistics;
}

function plain(name: string): string {
  return name.replace(/^\\/, "");
}

function total(modules: Readonly<Record<string, ModuleCells>>): Record<string, number> {
  const sums = new Map<string, number>();
  for (const m of Object.values(modules))
    for (const [type, n] of Object.entries(m.cells)) sums.set(type, (sums.get(type) ?? 0) + m.instances * n);
  return Object.fromEntries([...sums].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function resourcesOf(cells: Readonly<Record<string, number>>, flow: SynthesisFlow): Resources {
  const sum = { lut: 0, ff: 0, dsp: 0, bram: 0, lutram: 0, carry: 0 };
  for (const [type, n] of Object.entries(cells)) {
    const kind = flow.cells.find(([pattern]) => pattern.test(type))?.[1];
    for (const [key, each] of Object.entries(kind ?? {})) sum[key as keyof Resources] += n * each;
  }
  return sum;
}
