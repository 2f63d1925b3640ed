/** `compile`: from an ONNX file to a folder with Verilog, the packaged core, the bit-exact model and the report. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { CompilerBug } from "../diagnostics/index.js";
import { type IpStream, packageIp } from "../backend-verilog/ip-package.js";
import { prepareVerilog, verilogName, writePrepared } from "../backend-verilog/write-verilog.js";
import { importOnnx } from "../frontend/import.js";
import type { GivenShapes } from "../frontend/shapes.js";
import { matchInputs, readArrays, type InputData } from "../frontend/npz.js";
import { cloneModule, type Module } from "../ir/core.js";
import { unrollOf } from "../ir/flow/kernel.js";
import { printModule } from "../ir/text/printer.js";
import type { TensorType } from "../ir/types.js";
import { PassContext } from "../passes/pass-context.js";
import { PassManager, type RunOptions } from "../passes/pass-manager.js";
import type { CompileOptions } from "./options.js";
import type { DesignReport } from "./report.js";
import { writeFolder } from "./atomic.js";
import { cDecoder, pythonDecoder } from "../sensor/decoders.js";
import { resolveSettings, type Settings } from "./config.js";
import {
  attachDetector,
  type Detector,
  type DetectorFile,
  detectorReport,
  detectorStreams,
  loadSensorAndPlanes,
  patchWidth,
  planesFile,
} from "./detector.js";
import { schedulePipeline, stagePipeline } from "./stages.js";
import { toFixedPoint, type FixedPoint } from "./fixed-point.js";
import { readBytes, type Session } from "./session.js";
import { bindingOf, designCounts, type Scheduled } from "../backend-hls/design/schedule.js";
import {
  chooseDesign,
  deviceLimits,
  type Limits,
  requireClock,
  requireFit,
  unrollOptions,
} from "../backend-hls/design/target.js";
import type { Device } from "../backend-hls/device/devices.js";
import { addResources, type Resources } from "../backend-hls/device/resources.js";
import type { AxisPort, RtlDesign } from "../backend-hls/emit/flow-to-rtl.js";
import { rtlArea } from "../backend-hls/emit/rtl-area.js";
import type { FoldingSolver } from "../backend-hls/fold/solve-folding.js";
import { kernelMultipliers } from "../backend-hls/kernel/kernel-area.js";
import { requireDevice, RTL_DESIGN, SCHEDULED, SOLVER } from "../backend-hls/passes.js";

/** What the other commands need of a compiled design: DIR/design.json. */
export interface DesignFile {
  /** Name of the top module in the Verilog files. */
  readonly top: string;
  /** Of the imported network, weights included: `fingerprint`. */
  readonly network: string;
  /** Widths that quantization was given, as `--precision` takes them. */
  readonly precision: string;
  readonly model: string;
  /** Shapes that were stated for the model's inputs, as `--shape` and `--dim` take them. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly dims?: Readonly<Record<string, number>>;
  readonly device: string;
  readonly clock_mhz: number;
  readonly initiation_interval: number;
  readonly latency: number;
  readonly ports: readonly AxisPort[];
  /** The front end of a sensor, where there is one: the ports above are then inside. */
  readonly detector?: DetectorFile;
}

/** Imports a model, its inputs in the stated shapes, or ends with what is wrong with it. */
export function loadModel(path: string, session: Session, given: GivenShapes = {}): Module {
  const module = importOnnx(readBytes(session.host, path), path, session.sink, given);
  session.sink.throwIfErrors();
  if (module === undefined) throw new CompilerBug("the import failed without a message");
  return module;
}

/** Identity of an imported network: what it computes and how its nodes are called, not the file that it came in. */
export function fingerprint(network: Module): string {
  return createHash("sha256")
    .update(printModule(network, { resources: "digest" }))
    .digest("hex");
}

/** Samples of a data file, in the order of the module's inputs. */
export function loadSamples(path: string, module: Module, session: Session): InputData {
  const names = module.func.attrs["inputs"] as readonly string[];
  const inputs = module.func.body.args.map((a, i) => ({ name: names[i]!, shape: (a.type as TensorType).shape }));
  return matchInputs(readArrays(readBytes(session.host, path), path), inputs, path);
}

export async function compile(model: string, options: CompileOptions, session: Session): Promise<DesignReport> {
  const started = session.host.now();
  const { progress } = session;
  const stated = resolveSettings(options, session);
  const loaded = options.sensor === undefined ? undefined : await loadSensorAndPlanes(options.sensor, session);
  const settings: Settings =
    loaded === undefined || stated.axis !== undefined || stated.target?.kind === "unroll"
      ? stated
      : { ...stated, axis: patchWidth(loaded.sensor, stated) };
  const device = requireDevice(settings.device);
  requireClock(device, settings.clockMhz);
  progress("import", 0, 5);
  const network = loadModel(model, session, settings.given);
  const identity = fingerprint(network);
  const calibration = settings.calib === undefined ? undefined : loadSamples(settings.calib, network, session);

  const manager = new PassManager();
  const runIn = (module: Module, pipeline: string, context: PassContext): Module =>
    manager.run(module, pipeline, {
      context,
      sink: session.sink,
      host: session.host,
      verifyEach: options.verifyEach ?? true,
      ...(options.printIrAfter !== undefined && { printIrAfter: options.printIrAfter }),
      ...(options.dumpIr !== undefined && { dumpIr: options.dumpIr }),
    } satisfies RunOptions).module;

  progress("quantize", 1, 5);
  const point = toFixedPoint(network, calibration, settings, session, runIn);
  const { fixed } = point;
  const context = new PassContext(session.sink, (line) => session.host.log(line));
  const run = (module: Module, pipeline: string): Module => runIn(module, pipeline, context);
  const fixedText = printModule(fixed, { resources: "inline" });
  progress("schedule", 2, 5);
  const kernels = run(fixed, stagePipeline("lower", settings.extraPasses));
  const folding = foldingOf(kernels, device, settings);
  if (folding.solver !== undefined) context.set(SOLVER, folding.solver);
  const flow = run(
    cloneModule(kernels),
    schedulePipeline(device.name, settings.clockMhz, folding.options, settings.extraPasses),
  );
  const scheduled = context.need(SCHEDULED);
  progress("hardware", 3, 5);
  const flowText = printModule(flow, { resources: "inline" });
  const written = run(flow, stagePipeline("hardware", settings.extraPasses));
  const rtl = context.need(RTL_DESIGN);
  const clocked = { device, clockMhz: settings.clockMhz };
  const detector =
    loaded === undefined ? undefined : attachDetector(loaded, { ...rtl, module: written }, scheduled, clocked);
  const outermost = detector?.top ?? rtl.top;
  const hardware = prepareVerilog(written);
  const area = rtlArea(hardware, device);
  if (settings.target?.kind === "unroll") requireFit(area.get(outermost)!, device);
  const verilog = writePrepared(hardware);
  // Verilog takes fewer names than the network may have.
  const top = verilogName(hardware, outermost);
  progress("write", 4, 5);
  const made = makeReport(
    model,
    settings.given,
    device,
    settings.clockMhz,
    scheduled,
    folding.limits,
    rtl,
    area,
    area.get(outermost)!,
    point,
    (session.host.now() - started) / 1000,
  );
  const report: DesignReport =
    detector === undefined
      ? made
      : { ...made, detector: detectorReport(detector, scheduled.design, made.initiation_interval, clocked) };
  await writeFolder(options.out, session.host, async (dir) => {
    for (const [name, text] of verilog) session.host.writeFile(join(dir, "rtl", name), text);
    for (const [name, text] of ipFiles(top, streamsOf(rtl, detector), settings.clockMhz, verilog))
      session.host.writeFile(join(dir, "ip", name), text);
    session.host.writeFile(join(dir, "nn.hir"), fixedText);
    session.host.writeFile(join(dir, "model.hir"), flowText);
    const design: DesignFile = {
      top,
      network: identity,
      precision: point.used,
      model,
      ...settings.given,
      device: device.name,
      clock_mhz: settings.clockMhz,
      initiation_interval: report.initiation_interval,
      latency: report.latency,
      ports: rtl.ports,
      ...(detector !== undefined && {
        detector: { sensor: detector.sensor, ports: detector.ports, in_flight: detector.inFlight },
      }),
    };
    if (detector !== undefined) {
      session.host.writeFile(join(dir, "decoders", "records.py"), pythonDecoder());
      session.host.writeFile(join(dir, "decoders", "records.h"), cDecoder());
    }
    const planes = detector === undefined ? undefined : planesFile(detector.planes);
    if (planes !== undefined) session.host.writeFile(join(dir, "planes.npz"), planes);
    session.host.writeFile(join(dir, "design.json"), `${JSON.stringify(design, null, 1)}\n`);
    session.host.writeFile(join(dir, "report.json"), `${JSON.stringify(report, null, 1)}\n`);
  });
  progress("done", 5, 5);
  return report;
}

/** Options of the pass `unroll`: those that are given, or those that meet the target best. */
function foldingOf(
  kernels: Module,
  device: Device,
  settings: Settings,
): { readonly options: string; readonly limits: Limits; readonly solver?: FoldingSolver } {
  if (settings.target?.kind === "unroll") return { options: settings.target.options, limits: deviceLimits(device) };
  const chosen = chooseDesign(kernels, device, settings.clockMhz, settings);
  return { options: unrollOptions(chosen), limits: chosen.limits, solver: chosen.solver };
}

function streamsOf(rtl: RtlDesign, detector: Detector | undefined): IpStream[] {
  if (detector !== undefined) return detectorStreams(detector.sensor, detector.ports);
  return rtl.ports.map((p) => ({
    name: p.prefix,
    direction: p.direction === "input" ? ("in" as const) : ("out" as const),
    width: p.dataBits,
    doc: `${p.direction} ${p.name}: ${p.elementsPerBeat} ${p.signed ? "signed" : "unsigned"} ${p.width}-bit numbers with ${p.frac} fractional bits${p.scale === undefined ? "" : ` times ${p.scale}`} per beat, ${p.beats} beats per sample`,
  }));
}

function ipFiles(
  top: string,
  streams: readonly IpStream[],
  clockMhz: number,
  verilog: ReadonlyMap<string, string>,
): Map<string, string> {
  return packageIp({ name: top, clock: { port: "aclk", mhz: clockMhz }, resetn: "aresetn", streams }, verilog);
}

function makeReport(
  model: string,
  given: GivenShapes,
  device: Device,
  clockMhz: number,
  s: Scheduled,
  limits: Limits,
  rtl: RtlDesign,
  area: ReadonlyMap<string, Resources>,
  resources: Resources,
  point: FixedPoint,
  seconds: number,
): DesignReport {
  const { macs, multipliers } = designCounts(s.design);
  const ii = s.timeline.initiationInterval;
  return {
    model,
    ...given,
    device: device.name,
    clock_mhz: clockMhz,
    initiation_interval: ii,
    latency: s.timeline.latency,
    throughput_hz: (clockMhz * 1e6) / ii,
    macs,
    multipliers,
    mac_efficiency: multipliers === 0 ? 0 : macs / (multipliers * ii),
    resources,
    binding: bindingOf(s.design, resources, limits),
    ports: rtl.ports.map((p) => ({
      name: p.name,
      direction: p.direction,
      format: `${p.signed ? "fixed" : "ufixed"}<${p.width},${p.frac}>${p.scale === undefined ? "" : ` x ${p.scale}`}`,
      shape: p.shape,
      elements_per_beat: p.elementsPerBeat,
      bits: p.dataBits,
    })),
    kernels: s.design.kernels.map((k, i) => ({
      name: k.name,
      onnx_nodes: k.op.loc.nodes,
      cycles: k.steps,
      unroll: Object.fromEntries(k.spec.iterators.map((i) => [i.name, unrollOf(k.spec, i.name)])),
      multipliers: kernelMultipliers(k.op, k.spec),
      // The channels that feed a kernel count with it.
      resources: rtl.kernels[i]!.map((m) => area.get(m)!).reduce(addResources),
    })),
    precision: point.precision,
    ...(point.outputs !== undefined && { accuracy: point.outputs }),
    ...(point.check !== undefined && { accuracy_check: point.check }),
    ...(point.layers !== undefined && { layers: point.layers }),
    ...(point.integers !== undefined && { integers: point.integers }),
    tables: point.quantization.tables,
    compile_seconds: seconds,
  };
}
