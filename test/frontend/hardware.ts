/**
 * A model taken the whole way in memory: quantized, lowered, scheduled, and its rtl simulated behind AXI4-Stream ports.
 */
import { PassContext } from "../../src/passes/pass-context.js";
import { levelOf, PassManager } from "../../src/passes/pass-manager.js";
import { newSession } from "../../src/driver.js";
import { resolveSettings } from "../../src/driver/config.js";
import { evaluateSeeded } from "../../src/driver/evaluate.js";
import { simulateAxis } from "../../src/driver/simulate-axis.js";
import { stagePipeline } from "../../src/driver/stages.js";
import type { Module } from "../../src/ir/core.js";
import type { DenseData } from "../../src/ir/attributes.js";
import { prepareNnFixed } from "../../src/ir/eval/nn-fixed.js";
import type { TensorType } from "../../src/ir/types.js";
import { measureAccuracy, type Accuracy } from "../../src/passes/nn/accuracy.js";
import { CALIBRATION_SAMPLES, FLOAT_MODULE, PRECISION } from "../../src/passes/nn/quantize/index.js";
import { showScheduled } from "../../src/backend-hls/design/schedule.js";
import type { Design } from "../../src/backend-hls/design/design.js";
import { RTL_DESIGN, SCHEDULED } from "../../src/backend-hls/passes.js";

type Sample = readonly Float64Array[];

export interface HardwareRun {
  readonly accuracy: Accuracy;
  /** Raw integers per sample and output. */
  readonly expected: readonly (readonly DenseData[])[];
  readonly simulated: readonly (readonly number[])[][];
  readonly predicted: { readonly latency: number; readonly interval: number };
  /** Names of the channels without a buffer. */
  readonly direct: readonly string[];
  /** Kernels and channels as they were scheduled. */
  readonly design: Design;
  /** Their scheduling problem, as text. */
  readonly schedule: () => string;
  /** The same samples again, with ports that pause in the cycles in which `stall` says so. */
  readonly stalled: (stall: () => boolean) => (readonly number[])[][];
  /**
   * Cycle of each sample's last beat, of so many samples (the given ones again and again) that the pipeline was full
   * for a while.
   */
  readonly ends: readonly number[];
  /** Of the first sample; and cycles between the last beats of the last two. */
  readonly measured: { readonly latency: number; readonly interval: number };
}

export interface HardwareOptions {
  /** Samples that the formats are chosen from; those that run where absent. */
  readonly calibration?: readonly Sample[];
  /** Widths, as `--precision` takes them. */
  readonly precision?: string;
  /** Options of the backend's passes: `device=NAME,clock=MHZ`. */
  readonly target?: string;
}

/**
 * Compiles `network` for one sample every `ii` cycles and runs `samples` through the rtl. Bit-exact passes are held to
 * the interpreters.
 */
export function throughHardware(
  network: Module,
  samples: readonly Sample[],
  ii: number,
  options: HardwareOptions = {},
): HardwareRun {
  const session = newSession();
  const context = new PassContext(session.sink, () => {});
  context.set(
    PRECISION,
    resolveSettings(
      { out: "unused", ...(options.precision !== undefined && { precision: options.precision }) },
      session,
    ).precision,
  );
  context.set(
    CALIBRATION_SAMPLES,
    (options.calibration ?? samples).map((s) => [...s]),
  );
  const manager = new PassManager();
  const run = (module: Module, pipeline: string): Module =>
    manager.run(module, pipeline, {
      context,
      sink: session.sink,
      // The hardware is simulated below.
      evalEach: {
        seed: 1,
        samples: 2,
        evaluate: (m, inputs, c) => (levelOf(m) === "rtl" ? undefined : evaluateSeeded(m, inputs, c)),
      },
    }).module;

  const fixed = run(network, "@fixed-point");
  const accuracy = measureAccuracy(
    context.need(FLOAT_MODULE),
    fixed,
    samples.map((s) => [...s]),
  );
  const program = prepareNnFixed(fixed);
  const raw = samples.map((s) => s.map((values, i) => rawOf(fixed, i, values)));
  const expected = raw.map((inputs) => program.run(inputs).map((d) => d.slice()));
  const on = options.target ?? "device=xcu280,clock=250";
  run(run(fixed, stagePipeline("lower")), `target{${on}},unroll{ii=${ii}},insert-channels,lower-to-rtl`);
  const found = context.need(SCHEDULED);
  const { timeline, design: scheduled } = found;
  const design = context.need(RTL_DESIGN);
  const full = Math.max(raw.length, Math.ceil(timeline.latency / timeline.initiationInterval) + 8);
  const { simulated, measured, ends } = simulateAxis(
    design,
    Array.from({ length: full }, (_, s) => raw[s % raw.length]!),
    () => false,
  );
  const different = simulated.findIndex(
    (outputs, s) => JSON.stringify(outputs) !== JSON.stringify(simulated[s % raw.length]),
  );
  if (different >= 0) throw new Error(`sample ${different} gives other values than the same sample before`);
  return {
    stalled: (stall) => simulateAxis(design, raw, stall).simulated,
    accuracy,
    expected,
    simulated: simulated.slice(0, raw.length),
    predicted: { latency: timeline.latency, interval: timeline.initiationInterval },
    design: scheduled,
    schedule: () => showScheduled(found),
    direct: scheduled.channels.filter((c) => c.direct).map((c) => c.name),
    measured,
    ends,
  };
}

function rawOf(fixed: Module, i: number, values: Float64Array): DenseData {
  const { elem } = fixed.func.body.args[i]!.type as TensorType;
  if (elem.kind !== "fixed") throw new Error("the port is not in fixed point");
  const [lo, hi] = elem.signed ? [-(2 ** (elem.width - 1)), 2 ** (elem.width - 1) - 1] : [0, 2 ** elem.width - 1];
  return values.map((v) => Math.min(hi, Math.max(lo, Math.round(v * 2 ** elem.frac))));
}
