/**
 * Place and route with nextpnr: the clock that a design reaches in a real device, and the path that limits it.
 *
 * The ports of a core are no pins. nextpnr-ecp5 places a block without pads; nextpnr-ice40 does not, so there the core
 * sits in a frame: a shift register feeds all inputs, the outputs fold into one bit, and registers stand on both sides.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../diagnostics/index.js";
import { findTool, runTool } from "./tools.js";

export interface RouteOptions {
  /** Clock to aim for, MHz. */
  readonly clockMhz: number;
  readonly seed?: number;
  readonly seconds?: number;
}

/** A piece of a path: what drives it, what it reaches, and how long it takes. */
export interface PathSegment {
  readonly kind: string;
  readonly ns: number;
  readonly from: string;
  readonly to: string;
}

export interface RouteResult {
  readonly tool: string;
  /** Highest clock of the routed design, MHz. */
  readonly fmaxMhz: number;
  /** Longest path between registers, in order. */
  readonly criticalPath: readonly PathSegment[];
  /** Cells used and available, by nextpnr's names, without those that are not used. */
  readonly utilization: Readonly<Record<string, { readonly used: number; readonly available: number }>>;
  readonly seconds: number;
}

/** How a device family is placed and routed; its record has it (`backend-hls/device/family.ts`). */
export interface Router {
  readonly tool: string;
  readonly args: readonly string[];
  /** Whether the ports of a core must be pins, so that it needs a frame around it. */
  readonly frame: boolean;
  /** The command that installs the tool. */
  readonly install: string;
}

/** A device, as far as routing needs to know it. */
export interface RoutedPart {
  readonly name: string;
  /** nextpnr's arguments that name the part, such as `--um5g-85k` or `--hx8k`. */
  readonly part?: readonly string[];
  readonly family: { readonly router?: Router };
}

/** Program that places and routes on this machine; undefined where there is none. */
export function installedRouter(router: Router): string | undefined {
  return [router.tool, `yowasp-${router.tool}`].find((t) => findTool(t) !== undefined);
}

/** @errors TO001 no router installed, TO006 no open router for the family */
export function requireRouter({ name, part, family: { router } }: RoutedPart): {
  readonly router: Router;
  readonly tool: string;
  readonly part: readonly string[];
} {
  if (router === undefined || part === undefined) throw UserError.of("TO006", { device: name });
  const tool = installedRouter(router);
  if (tool === undefined)
    throw UserError.of("TO001", { tool: router.tool, install: router.install, purpose: "place and route" });
  return { router, tool, part };
}

export interface FramePort {
  readonly name: string;
  readonly width: number;
  readonly direction: "in" | "out";
}

/** Verilog of the frame around `top`; its module is called `frame`. */
export function routingFrame(top: string, ports: readonly FramePort[]): string {
  const inputs = ports.filter((p) => p.direction === "in");
  const outputs = ports.filter((p) => p.direction === "out");
  const bits = Math.max(
    2,
    inputs.reduce((n, p) => n + p.width, 0),
  );
  let at = 0;
  const connect = inputs.map((p) => `.${p.name}(held[${(at += p.width) - 1}:${at - p.width}])`);
  return `// Frame for place and route: few pins, registers on both sides of the core.
module frame (input aclk, input aresetn, input si, output reg so);
    reg [${bits - 1}:0] shifted, held;
    always @(posedge aclk) begin
        shifted <= {shifted[${bits - 2}:0], si};
        held <= shifted;
    end
${outputs.map((p) => `    wire [${p.width - 1}:0] ${p.name};\n    reg [${p.width - 1}:0] ${p.name}_q;\n    always @(posedge aclk) ${p.name}_q <= ${p.name};`).join("\n")}
    ${top} core (.aclk(aclk), .aresetn(aresetn), ${[...connect, ...outputs.map((p) => `.${p.name}(${p.name})`)].join(", ")});
    always @(posedge aclk) so <= ^{${outputs.map((p) => `${p.name}_q`).join(", ")}};
endmodule
`;
}

/**
 * Places and routes the netlist that \`synthesize\` left in \`workDir\`.
 *
 * @errors TO001, TO002, TO003, TO006
 */
export async function placeAndRoute(workDir: string, device: RoutedPart, options: RouteOptions): Promise<RouteResult> {
  const { router, tool, part } = requireRouter(device);
  const started = performance.now();
  // Names relative to the folder: a router that is WebAssembly sees no other.
  const args = [
    ...part,
    ...router.args,
    "--json",
    "netlist.json",
    "--freq",
    String(options.clockMhz),
    "--seed",
    String(options.seed ?? 1),
    "--timing-allow-fail",
    "--report",
    "route.json",
    "-q",
  ];
  await runTool(tool, args, { cwd: workDir, seconds: options.seconds ?? 3600, step: "place and route" });
  return {
    tool,
    ...readRoute(readFileSync(join(workDir, "route.json"), "utf8")),
    seconds: (performance.now() - started) / 1000,
  };
}

interface RouteReport {
  readonly fmax: Record<string, { readonly achieved: number }>;
  readonly utilization?: Record<string, { readonly used: number; readonly available: number }>;
  readonly critical_paths?: readonly {
    readonly from: string;
    readonly to: string;
    readonly path: readonly {
      readonly type: string;
      readonly delay: number;
      readonly from: { readonly cell: string };
      readonly to: { readonly cell: string };
    }[];
  }[];
}

export function readRoute(json: string): Omit<RouteResult, "tool" | "seconds"> {
  const r = JSON.parse(json) as RouteReport;
  const clocks = Object.values(r.fmax).map((c) => c.achieved);
  // Paths inside the clock domain; those from and to pins are the surroundings' business.
  const inside = (r.critical_paths ?? []).filter((p) => p.from.startsWith("posedge") && p.to.startsWith("posedge"));
  const total = (p: (typeof inside)[number]): number => p.path.reduce((n, s) => n + s.delay, 0);
  const worst = [...inside].sort((a, b) => total(b) - total(a))[0];
  return {
    fmaxMhz: clocks.length === 0 ? 0 : Math.min(...clocks),
    criticalPath: (worst?.path ?? [])
      .filter((s) => s.delay > 0)
      .map((s) => ({ kind: s.type, ns: s.delay, from: s.from.cell, to: s.to.cell })),
    utilization: Object.fromEntries(Object.entries(r.utilization ?? {}).filter(([, u]) => u.used > 0)),
  };
}
