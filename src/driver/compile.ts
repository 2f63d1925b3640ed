/** `compile`: from an ONNX file to a folder with Verilog, the packaged core, the bit-exact model and the report. */
import { basename, join } from "node:path";
import { CompilerBug } from "../diagnostics/index.js";
import { prepareVerilog, verilogName, writePrepared } from "../backend-verilog/write-verilog.js";
import { importOnnx } from "../frontend/import.js";
import type { Bindings } from "../frontend/bind.js";
import type { GivenShapes } from "../frontend/shapes.js";
import { matchInputs, readArrays, type InputData } from "../frontend/npz.js";
import { cloneModule, type Module } from "../ir/core.js";
import { prepareFlow } from "../ir/eval/flow.js";
import { unrollOf } from "../ir/flow/kernel.js";
import { printModule } from "../ir/text/printer.js";
import type { TensorType } from "../ir/types.js";
import { PassContext } from "../passes/pass-context.js";
import { PassManager, type RunOptions } from "../passes/pass-manager.js";
import type { CompileOptions } from "./options.js";
import type { DesignReport } from "./report.js";
import { writeFolder } from "./atomic.js";
import { hardwareArea } from "./hardware-area.js";
import { resolveSettings, type Settings } from "./config.js";
import {
  attachDetector,
  detectorFile,
  type DetectorFile,
  detectorFiles,
  detectorReport,
  detectorStreams,
  loadSensorAndPlanes,
  patchWidth,
  sensorDigest,
} from "./detector.js";
import { schedulePipeline, stagePipeline } from "./stages.js";
import { toFixedPoint, type FixedPoint } from "./fixed-point.js";
import { inputFile, makeManifest, PROVENANCE, sha256 } from "./manifest.js";
import { makePackage, packageCore } from "./package.js";
import { readBytes, type Session } from "./session.js";
import { bindingOf, designCounts, type Scheduled } from "../backend-hls/design/schedule.js";
import { deviceLimits, type Limits, requireClock, requireFit } from "../backend-hls/design/limits.js";
import { type Chosen, chooseDesign } from "../backend-hls/design/search.js";
import type { Device } from "../backend-hls/device/devices.js";
import { addResources, type Resources } from "../backend-hls/device/resources.js";
import type { AxisPort, RtlDesign } from "../backend-hls/emit/flow-to-rtl.js";
import { rtlArea } from "../backend-hls/emit/rtl-area.js";
import { kernelMultipliers } from "../backend-hls/kernel/kernel-area.js";
import { FOLDING, requireDevice, RTL_DESIGN, SCHEDULED } from "../backend-hls/passes.js";

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
  /** Inputs that were stated to be constants, as `--bind` takes them. */
  readonly bind?: Bindings;
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
  return sha256(printModule(network, { resources: "digest" }));
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
  const chosen = chosenFolding(kernels, device, settings);
  if (chosen !== undefined) context.set(FOLDING, chosen);
  const given = settings.target?.kind === "unroll" ? settings.target.options : "";
  const flow = run(cloneModule(kernels), schedulePipeline(device.name, settings.clockMhz, given, settings.extraPasses));
  const scheduled = context.need(SCHEDULED);
  progress("hardware", 3, 5);
  const flowText = printModule(flow, { resources: "inline" });
  const program = prepareFlow(flow);
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
    chosen?.limits ?? deviceLimits(device),
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
  const design: DesignFile = {
    top,
    network: identity,
    precision: point.used,
    model: basename(model),
    ...settings.given,
    device: device.name,
    clock_mhz: settings.clockMhz,
    initiation_interval: report.initiation_interval,
    latency: report.latency,
    ports: rtl.ports,
    ...(detector !== undefined && { detector: detectorFile(detector) }),
  };
  const core = { top, clockMhz: settings.clockMhz, verilog, singleFile: settings.singleFile };
  const ip =
    detector === undefined
      ? makePackage(
          {
            ...core,
            model: basename(model),
            device: device.name,
            interval: report.initiation_interval,
            latency: report.latency,
            ports: rtl.ports,
          },
          program,
          calibration,
        )
      : packageCore(core, detectorStreams(detector.sensor, detector.ports));
  const files = new Map<string, string | Uint8Array>([
    ...[...verilog].map(([name, text]) => [`rtl/${name}`, text] as const),
    ...[...ip].map(([name, text]) => [`ip/${name}`, text] as const),
    ["nn.hir", fixedText],
    ["model.hir", flowText],
    ["design.json", json(design)],
    ["report.json", json(report)],
    ...(detector === undefined ? [] : detectorFiles(detector)),
  ]);
  const inputs = {
    model: inputFile(model, session.host),
    ...(settings.calib !== undefined && { calibration: inputFile(settings.calib, session.host) }),
    ...(detector !== undefined && { sensor: sensorDigest(detector) }),
  };
  const manifest = makeManifest(identity, inputs, settings, files);
  await writeFolder(options.out, session.host, async (dir) => {
    for (const [name, text] of [...files, [PROVENANCE, json(manifest)] as const])
      session.host.writeFile(join(dir, name), text);
  });
  progress("done", 5, 5);
  return report;
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 1)}
`;
}

/** The folding that meets the target best; undefined where one is given. */
function chosenFolding(kernels: Module, device: Device, settings: Settings): Chosen | undefined {
  if (settings.target?.kind === "unroll") return undefined;
  return chooseDesign(kernels, { ...settings, device }, hardwareArea);
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
    model: basename(model),
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
    widths: point.quantization.widths,
    compile_seconds: seconds,
  };
}
