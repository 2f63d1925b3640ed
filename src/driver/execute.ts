/** `run`, `simulate` and `synth`: what can be done with a compiled design. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packBeats, unpackBeats } from "../backend-verilog/beats.js";
import { buildSimulation, runSimulation } from "../backend-verilog/verilator.js";
import { placeAndRoute, requireRouter, routingFrame, type FramePort } from "../backend-verilog/route.js";
import { synthesize } from "../backend-verilog/yosys.js";
import { UserError } from "../diagnostics/index.js";
import { writeNpy, writeNpz, type OutputArray, type InputData } from "../frontend/npz.js";
import type { Module } from "../ir/core.js";
import { prepareFlow } from "../ir/eval/flow.js";
import { parseModule } from "../ir/text/parser.js";
import type { RunOptions, SimulateOptions, SynthOptions } from "./options.js";
import type { RunSummary, SimulationSummary, SynthSummary } from "./report.js";
import { writeWhole } from "./atomic.js";
import { loadSamples, type DesignFile } from "./compile.js";
import { layoutOf, rawSample, sizeOf, streamOf } from "./ports.js";
import { readText, type Session } from "./session.js";
import type { AxisPort } from "../backend-hls/emit/flow-to-rtl.js";
import { requireDevice } from "../backend-hls/passes.js";

export interface Compiled {
  readonly design: DesignFile;
  readonly module: Module;
  readonly inputs: readonly AxisPort[];
  readonly outputs: readonly AxisPort[];
}

/** @errors IO001, IO005 */
export function loadDesign(dir: string, session: Session): Compiled {
  if (!session.host.exists(join(dir, "design.json"))) throw UserError.of("IO005", { path: dir });
  const design = JSON.parse(readText(session.host, join(dir, "design.json"))) as DesignFile;
  const path = join(dir, "model.hir");
  const module = parseModule(readText(session.host, path), path, session.sink);
  session.sink.throwIfErrors();
  return {
    design,
    module: module!,
    inputs: design.ports.filter((p) => p.direction === "input"),
    outputs: design.ports.filter((p) => p.direction === "output"),
  };
}

/** The bit-exact model on every sample: raw integers per output, all samples in a row. */
function runModel(c: Compiled, data: InputData, session: Session): Float64Array[] {
  const program = prepareFlow(c.module);
  const results = c.outputs.map((p) => new Float64Array(data.samples * sizeOf(p)));
  for (let s = 0; s < data.samples; s++) {
    program.run(rawSample(c.inputs, data, s)).forEach((y, i) => results[i]!.set(y, s * y.length));
    if (s % 256 === 0) session.progress("run", s, data.samples);
  }
  session.progress("run", data.samples, data.samples);
  return results;
}

/** Writes outputs under their ONNX names, as float32 or, `raw`, as integers. */
function writeOutputs(
  c: Compiled,
  results: readonly Float64Array[],
  samples: number,
  options: RunOptions,
  session: Session,
): void {
  const arrays = new Map<string, OutputArray>();
  c.outputs.forEach((p, i) => {
    const [first, ...rest] = p.shape;
    const shape = [samples * (first ?? 1), ...rest];
    const scale = 2 ** -p.frac * (p.scale ?? 1);
    const data =
      options.raw === true
        ? p.width <= 32
          ? Int32Array.from(results[i]!)
          : results[i]!
        : Float32Array.from(results[i]!, (v) => v * scale);
    arrays.set(p.name, { shape, data });
  });
  const single = options.output.endsWith(".npy") ? [...arrays.values()][0] : undefined;
  writeWhole(options.output, single === undefined ? writeNpz(arrays) : writeNpy(single), session.host);
}

export function run(dir: string, options: RunOptions, session: Session): RunSummary {
  const c = loadDesign(dir, session);
  const data = loadSamples(options.input, c.module, session);
  const started = session.host.now();
  const results = runModel(c, data, session);
  const seconds = (session.host.now() - started) / 1000;
  writeOutputs(c, results, data.samples, options, session);
  return { samples: data.samples, samples_per_second: data.samples / Math.max(seconds, 1e-6) };
}

export async function simulate(dir: string, options: SimulateOptions, session: Session): Promise<SimulationSummary> {
  const c = loadDesign(dir, session);
  const data = loadSamples(options.input, c.module, session);
  const expected = runModel(c, data, session);
  const ports = c.design.ports.map(streamOf);
  session.progress("build", 0, 0);
  const simulation = await buildSimulation(join(dir, "rtl"), c.design.top, ports, join(dir, "sim"), {
    quick: options.quickBuild === true,
    threads: options.threads ?? 1,
  });
  const work = mkdtempSync(join(tmpdir(), "onnx-hls-"));
  try {
    const file = (p: AxisPort): string => join(work, `${p.prefix}.bin`);
    c.inputs.forEach((p, i) => {
      const bytes = p.beats * Math.ceil(p.dataBits / 8);
      const all = new Uint8Array(bytes * data.samples);
      for (let s = 0; s < data.samples; s++)
        all.set(packBeats(rawSample(c.inputs, data, s)[i]!, layoutOf(p)), s * bytes);
      session.host.writeFile(file(p), all);
    });
    const stall = options.stall ?? 0;
    const result = await runSimulation(simulation, {
      inputs: Object.fromEntries(c.inputs.map((p) => [p.prefix, file(p)])),
      outputs: Object.fromEntries(c.outputs.map((p) => [p.prefix, file(p)])),
      samples: data.samples,
      stallInputs: stall,
      stallOutputs: stall,
      seed: options.seed ?? 1,
      watchdogCycles: 100_000 + 4 * c.design.latency,
      onProgress: (p) => session.progress("simulate", p.samples, p.total),
    });
    const results = c.outputs.map((p) => {
      const bytes = session.host.readFile(file(p));
      const [size, stride] = [sizeOf(p), p.beats * Math.ceil(p.dataBits / 8)];
      const values = new Float64Array(size * data.samples);
      for (let s = 0; s < data.samples; s++)
        values.set(unpackBeats(bytes.subarray(s * stride, (s + 1) * stride), layoutOf(p), size), s * size);
      return values;
    });
    writeOutputs(c, results, data.samples, options, session);
    const mismatches = results.reduce(
      (n, y, i) => n + y.reduce((m, v, k) => m + (v === expected[i]![k] ? 0 : 1), 0),
      0,
    );
    return {
      samples: result.samples,
      initiation_interval: result.initiationInterval ?? 0,
      latency: result.latency,
      cycles: result.cycles,
      mismatches,
      build_seconds: simulation.buildSeconds,
      simulation_seconds: result.seconds,
      cycles_per_second: result.cycles / Math.max(result.seconds, 1e-6),
      predicted: { initiation_interval: c.design.initiation_interval, latency: c.design.latency },
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Synthesizes a compiled design; with `pnr` also places and routes it.
 *
 * @errors IO005, TO001, TO002, TO003, TO006
 */
export async function synth(dir: string, options: SynthOptions, session: Session): Promise<SynthSummary> {
  if (!session.host.exists(join(dir, "design.json"))) throw UserError.of("IO005", { path: dir });
  const design = JSON.parse(readText(session.host, join(dir, "design.json"))) as DesignFile;
  const device = requireDevice(design.device);
  const router = options.pnr === true ? requireRouter(device).router : undefined;
  const limit = options.timeout === undefined ? {} : { seconds: options.timeout };
  const work = mkdtempSync(join(tmpdir(), "onnx-hls-synth-"));
  try {
    session.progress("synthesize", 0, 0);
    const frame = router?.frame === true ? routingFrame(design.top, design.ports.flatMap(framePorts)) : undefined;
    const r = await synthesize(join(dir, "rtl"), frame === undefined ? design.top : "frame", device.family.synthesis, {
      workDir: work,
      ...limit,
      ...(frame !== undefined && { frame }),
    });
    const counts = {
      tool: "yosys",
      device: design.device,
      resources: { lut: r.lut, ff: r.ff, dsp: r.dsp, bram: r.bram },
      cells: r.cells,
    };
    if (router === undefined) return counts;
    session.progress("place and route", 0, 0);
    const routed = await placeAndRoute(work, device, {
      clockMhz: design.clock_mhz,
      ...limit,
      ...(options.seed !== undefined && { seed: options.seed }),
    });
    return {
      ...counts,
      router: routed.tool,
      clock_mhz: design.clock_mhz,
      fmax_mhz: Math.round(routed.fmaxMhz * 10) / 10,
      utilization: routed.utilization,
      critical_path: routed.criticalPath,
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function framePorts(p: AxisPort): FramePort[] {
  const toCore = p.direction === "input";
  const port = (name: string, width: number, into: boolean): FramePort => ({
    name: `${p.prefix}_${name}`,
    width,
    direction: into ? "in" : "out",
  });
  return [
    port("tdata", p.dataBits, toCore),
    port("tvalid", 1, toCore),
    port("tlast", 1, toCore),
    port("tready", 1, !toCore),
  ];
}
