/**
 * `explore`: the designs of a network on a device of which none is better in everything: rate, latency and each
 * resource. Intervals are tried on a geometric grid, each with a few prices of the latency, spread over worker threads.
 * Every point is found from the network alone, so the result does not depend on how many threads there were.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { CompilerBug, Sink } from "../diagnostics/index.js";
import type { Module } from "../ir/core.js";
import { parseModule } from "../ir/text/parser.js";
import { printModule } from "../ir/text/printer.js";
import { boundText } from "../passes/nn/quantize/bounds.js";
import { PassContext } from "../passes/pass-context.js";
import { PassManager } from "../passes/pass-manager.js";
import { loadModel, loadSamples } from "./compile.js";
import { resolveSettings, type Settings } from "./config.js";
import type { AxisWidth, ExploreOptions } from "./options.js";
import { toFixedPoint, type FixedPoint } from "./fixed-point.js";
import { STAGES, stagePipeline } from "./stages.js";
import type { Exploration, ParetoPoint } from "./report.js";
import type { Session } from "./session.js";
import { designCounts } from "../backend-hls/design/schedule.js";
import { fits, requireClock } from "../backend-hls/design/limits.js";
import { type Chosen, DesignSearch } from "../backend-hls/design/search.js";
import { unrollText } from "../backend-hls/fold/request.js";
import type { Device } from "../backend-hls/device/devices.js";
import { requireDevice } from "../backend-hls/passes.js";
import { hardwareArea } from "./hardware-area.js";
import { shapeArguments } from "./shapes.js";

/** Intervals of the grid. */
const INTERVALS = 24;
/** Prices of the latency: none, the usual one, and a high one. */
const LATENCY_PRICES = [0, 1 / 8, 1];
/** A design that is better by less than this share in nothing is left out beside the other one. */
const NOTICEABLE = 0.02;

/** What a worker needs to know. */
export interface ExploreJob {
  /** Lowered module, as text. */
  readonly text: string;
  readonly device: string;
  readonly clockMhz: number;
  readonly axis: AxisWidth | undefined;
}

/** Finds points one after the other; keeps what it learns about the network meanwhile. */
export class Explorer {
  private readonly search: DesignSearch;
  private readonly clockMhz: number;
  private readonly device: Device;

  constructor(job: ExploreJob, module?: Module) {
    const parsed = module ?? parseModule(job.text, "lowered network", new Sink());
    if (parsed === undefined) throw new CompilerBug("the lowered network does not parse");
    this.device = requireDevice(job.device);
    const { clockMhz, axis } = job;
    const request = { device: this.device, clockMhz, target: undefined, minimize: undefined, axis };
    this.search = new DesignSearch(parsed, request, hardwareArea);
    this.clockMhz = job.clockMhz;
  }

  grid(intervals: number): number[] {
    const { fastest, slowest } = this.search.range();
    const ratio = (Math.max(slowest, fastest) / fastest) ** (1 / Math.max(1, intervals - 1));
    return [...new Set(Array.from({ length: intervals }, (_, i) => Math.round(fastest * ratio ** i)))];
  }

  /** Designs for an interval, their resources counted on the hardware. */
  point(ii: number): ParetoPoint[] {
    const sketches = LATENCY_PRICES.flatMap((latency) => {
      const chosen = this.search.sketch(ii, latency);
      return chosen === undefined || !fits(chosen.resources, this.device) ? [] : [this.describe(chosen)];
    });
    return noticeable(paretoFront(sketches));
  }

  private describe({ request, scheduled, resources }: Chosen): ParetoPoint {
    const { timeline, design } = scheduled;
    const { macs, multipliers } = designCounts(design);
    const interval = timeline.initiationInterval;
    return {
      unroll: unrollText(request),
      initiation_interval: interval,
      latency: timeline.latency,
      throughput_hz: (this.clockMhz * 1e6) / interval,
      multipliers,
      mac_efficiency: multipliers === 0 ? 0 : macs / (multipliers * interval),
      resources,
    };
  }
}

/** @errors those of `compile`; FL003 where no design fits the device */
export async function explore(model: string, options: ExploreOptions, session: Session): Promise<Exploration> {
  const started = session.host.now();
  const settings = resolveSettings({ ...options, out: "" }, session);
  const device = requireDevice(settings.device);
  requireClock(device, settings.clockMhz);
  session.progress("import", 0, 0);
  const { kernels, point } = lowered(model, settings, session);
  const job: ExploreJob = {
    text: printModule(kernels, { resources: "inline" }),
    device: device.name,
    clockMhz: settings.clockMhz,
    axis: settings.axis,
  };
  const explorer = new Explorer(job, kernels);
  session.progress("fastest design", 0, 0);
  const grid = explorer.grid(options.intervals ?? INTERVALS);
  const found = await spread(job, explorer, grid, options.cores ?? availableParallelism(), (done) =>
    session.progress("explore", done, grid.length),
  );
  const points = noticeable(paretoFront(found.flat()));
  return {
    model,
    device: device.name,
    clock_mhz: settings.clockMhz,
    compile: compileArguments(model, settings, point),
    intervals: grid,
    available: { lut: device.lut, ff: device.ff, dsp: device.dsp, bram: device.bram },
    ...(point.outputs !== undefined && { accuracy: point.outputs }),
    ...(point.check !== undefined && { accuracy_check: point.check }),
    points,
    seconds: (session.host.now() - started) / 1000,
  };
}

/** With the widths that were found, and what makes compile find the same formats and accept the same accuracy. */
function compileArguments(model: string, s: Settings, point: FixedPoint): string[] {
  const hold = s.holdOut === undefined ? [] : ["--hold-out", String(s.holdOut)];
  const accept = s.acceptAccuracy.flatMap((b) => ["--accept-accuracy", boundText(b)]);
  return [
    "compile",
    model,
    "--device",
    s.device,
    "--clock",
    String(s.clockMhz),
    "--precision",
    point.used,
    ...(s.calib === undefined ? [] : ["--calib", s.calib]),
    ...hold,
    ...accept,
    ...shapeArguments(s.given),
    ...STAGES.flatMap((stage) =>
      s.extraPasses[stage] === undefined ? [] : ["--passes-after", `${stage}=${s.extraPasses[stage]}`],
    ),
  ];
}

interface Lowered {
  readonly kernels: Module;
  readonly point: FixedPoint;
}

function lowered(model: string, settings: Settings, session: Session): Lowered {
  const network = loadModel(model, session, settings.given);
  const data = settings.calib === undefined ? undefined : loadSamples(settings.calib, network, session);
  const run = (module: Module, pipeline: string, context: PassContext): Module =>
    new PassManager().run(module, pipeline, { context, sink: session.sink, host: session.host, verifyEach: false })
      .module;
  const point = toFixedPoint(network, data, settings, session, run);
  return {
    kernels: run(
      point.fixed,
      stagePipeline("lower", settings.extraPasses),
      new PassContext(session.sink, (line) => session.host.log(line)),
    ),
    point,
  };
}

/** Results per interval of the grid, in its order. Large designs take longest and come first. */
async function spread(
  job: ExploreJob,
  explorer: Explorer,
  grid: readonly number[],
  cores: number,
  progress: (done: number) => void,
): Promise<ParetoPoint[][]> {
  const results: ParetoPoint[][] = grid.map(() => []);
  const threads = Math.min(cores, grid.length);
  let done = 0;
  progress(done);
  if (threads <= 1) {
    for (const [i, ii] of grid.entries()) {
      results[i] = explorer.point(ii);
      progress(++done);
      await new Promise((resume) => setImmediate(resume));
    }
    return results;
  }
  let next = 0;
  await Promise.all(
    Array.from(
      { length: threads },
      () =>
        new Promise<void>((resolve, reject) => {
          const worker = startWorker(job);
          const ask = (): void => {
            if (next === grid.length) void worker.terminate().then(() => resolve());
            else worker.postMessage({ index: next, ii: grid[next++]! });
          };
          worker.on("message", (m: { index: number; points: ParetoPoint[] }) => {
            results[m.index] = m.points;
            progress(++done);
            ask();
          });
          worker.on("error", reject);
          ask();
        }),
    ),
  );
  return results;
}

/** Where this runs from its sources, through tsx, a thread has to be told to. */
function startWorker(job: ExploreJob): Worker {
  if (!import.meta.url.endsWith(".ts"))
    return new Worker(new URL("./explore-worker.js", import.meta.url), { workerData: job });
  const worker = new URL("./explore-worker.ts", import.meta.url).href;
  return new Worker(
    `import("tsx/esm/api").then(({ register }) => { register(); return import(${JSON.stringify(worker)}); })`,
    { eval: true, workerData: job },
  );
}

const MEASURES: readonly ((p: ParetoPoint) => number)[] = [
  (p) => p.initiation_interval,
  (p) => p.latency,
  (p) => p.resources.lut,
  (p) => p.resources.ff,
  (p) => p.resources.dsp,
  (p) => p.resources.bram,
];

/** Points of which no other one is at least as good in everything, fastest first. */
export function paretoFront(points: readonly ParetoPoint[]): ParetoPoint[] {
  const values = points.map((p) => MEASURES.map((m) => m(p)));
  const dominates = (a: number, b: number): boolean => {
    const [x, y] = [values[a]!, values[b]!];
    if (!x.every((v, k) => v <= y[k]!)) return false;
    // Of equal ones the first stays.
    return x.some((v, k) => v < y[k]!) || a < b;
  };
  const kept = points.filter((_, i) => !points.some((_, j) => j !== i && dominates(j, i)));
  return kept.sort(
    (a, b) =>
      a.initiation_interval - b.initiation_interval || a.latency - b.latency || a.resources.lut - b.resources.lut,
  );
}

/** Without those designs beside which another one is at most 2 % worse in anything. */
function noticeable(front: readonly ParetoPoint[]): ParetoPoint[] {
  const kept: ParetoPoint[] = [];
  for (const p of front) if (!kept.some((k) => MEASURES.every((m) => m(k) <= m(p) * (1 + NOTICEABLE)))) kept.push(p);
  return kept;
}
