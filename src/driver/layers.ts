/** Noise of every layer within a bounded amount of work, and in words which layers lose most. */
import type { Module } from "../ir/core.js";
import { measureLayerNoise, type LayerNoise } from "../passes/nn/layer-noise.js";
import { spread, type Sample } from "../passes/nn/quantize/calibrate.js";
import { macsOf } from "../passes/nn/quantize/linear.js";
import { percent, reportLayers, type LayerComparison } from "./comparison.js";

/** Samples on which layers are measured: ranges and ratios change no more with more. */
const LAYER_SAMPLES = 256;
/**
 * Multiply-accumulates (and elementwise steps) spent on the four runs per sample, and on injecting noise layer by
 * layer.
 */
const LAYER_WORK = 6e9;
const INJECTION_WORK = 2e9;
/** Fewer say nothing about a layer, whatever its size. */
const LEAST_SAMPLES = 8;
const INJECTED_SAMPLES = 64;

export interface MeasuredLayers {
  readonly layers: readonly LayerNoise[];
  /** Samples on which they were measured. */
  readonly samples: number;
}

/** `part`: share of the usual work. */
export function measureLayers(
  float: Module,
  fixed: Module,
  samples: readonly Sample[],
  progress: (done: number, total: number) => void,
  part = 1,
): MeasuredLayers {
  const work = float.func.body.ops.reduce((n, op) => n + macsOf(op) + 100, 0);
  const used = spread(
    samples,
    Math.max(Math.ceil(LEAST_SAMPLES * part), Math.min(LAYER_SAMPLES, Math.floor((part * LAYER_WORK) / (4 * work)))),
  );
  const injected = Math.max(
    1,
    Math.min(used.length, INJECTED_SAMPLES, Math.floor((part * INJECTION_WORK) / (work * float.func.body.ops.length))),
  );
  return { layers: measureLayerNoise(float, fixed, { samples: used, injected, progress }), samples: used.length };
}

/** Layers that are named where a design is not accurate enough. */
const NAMED = 3;

/** The layers that lose most, and what to type about the first of them. */
export function worstLayers(
  layers: readonly LayerNoise[],
  precision: string,
): { readonly names: string; readonly advice: string; readonly worst: readonly LayerComparison[] } {
  const worst = reportLayers(layers, precision)
    .filter((l) => l.output_share > 0)
    .sort((a, b) => b.output_share - a.output_share)
    .slice(0, NAMED);
  const names = worst
    .map(
      (l) =>
        `${l.name} (${percent(l.output_share)} of the noise at the outputs, ${Number.isFinite(l.own_sqnr_db) ? `${l.own_sqnr_db.toFixed(1)} dB by itself` : "exact by itself"}${l.cause === "none" ? "" : `, mostly ${l.cause}`})`,
    )
    .join(", ");
  const advice = worst.find((l) => l.advice !== undefined)?.advice;
  return { names, advice: advice === undefined ? "" : `${worst[0]!.name}: ${advice}; or `, worst };
}
