/**
 * What `compile` runs, stage by stage. Every stage is a named pipeline, so `opt --passes @prepare,@to-fixed` does what
 * compile does, and explore, compare, conformance and the tests take theirs from here. Importing this file also makes
 * the backend's passes known.
 */
import { backendPasses } from "../backend-hls/passes.js";
import { UserError } from "../diagnostics/index.js";
import { nearestName } from "../diagnostics/nearest.js";
import { parsePipeline, resolvePipeline } from "../passes/pipeline-spec.js";
import { passRegistry } from "../passes/registry.js";

/** The stages in their order. */
export const STAGES = ["prepare", "to-fixed", "lower", "schedule", "hardware"] as const;
export type Stage = (typeof STAGES)[number];

const stages: Readonly<Record<Stage, { readonly summary: string; readonly pipeline: string }>> = {
  prepare: {
    summary: "Float network to operations that all have a fixed-point form.",
    // Masks and averages are decomposed before constants are folded again: what they are made of often is constant.
    pipeline:
      "integerize,fold-constants,canonicalize,cse,dce,fold-scales,lower-average,decompose-softmax,fold-constants,canonicalize,cse,dce",
  },
  "to-fixed": { summary: "Such a network to fixed point.", pipeline: "quantize,canonicalize,dce" },
  lower: { summary: "Fixed-point network to fused kernels.", pipeline: "lower,fuse,fold-rounding,dce" },
  schedule: {
    summary: "Kernels to a checked design, for a device and a clock.",
    pipeline: "target,unroll,insert-channels",
  },
  hardware: { summary: "Design to rtl.", pipeline: "lower-to-rtl" },
};

for (const pass of backendPasses) passRegistry.register(pass);
for (const name of STAGES) passRegistry.registerAlias({ name, ...stages[name] });
passRegistry.registerAlias({
  name: "fixed-point",
  summary: "Float network to fixed point.",
  pipeline: "@prepare,@to-fixed",
});

/** Pipelines that a user adds behind stages. */
export type ExtraPasses = Readonly<Partial<Record<Stage, string>>>;

/** The pipeline of a stage, with what is added behind it. */
export function stagePipeline(stage: Stage, extra: ExtraPasses = {}): string {
  return withExtra(stages[stage].pipeline, extra[stage]);
}

/** The stage `schedule` for a device, a clock and options of the pass `unroll`. */
export function schedulePipeline(device: string, clockMhz: number, unroll: string, extra: ExtraPasses = {}): string {
  return withExtra(`target{device=${device},clock=${clockMhz}},unroll{${unroll}},insert-channels`, extra.schedule);
}

function withExtra(pipeline: string, extra: string | undefined): string {
  return extra === undefined ? pipeline : `${pipeline},${extra}`;
}

/** `STAGE=PIPELINE` as an addition. @errors CF004, and those of the pipeline's text */
export function parseExtraPass(text: string): ExtraPasses {
  const at = text.indexOf("=");
  return extraPass(at < 0 ? text : text.slice(0, at), at < 0 ? "" : text.slice(at + 1));
}

/** @errors CF004 for a stage that is none, and those of the pipeline's text */
export function extraPass(stage: string, pipeline: string): ExtraPasses {
  const known = STAGES.find((s) => s === stage.trim());
  if (known === undefined)
    throw UserError.of("CF004", { stage, known: STAGES.join(", "), nearest: nearestName(stage, STAGES) });
  resolvePipeline(parsePipeline(pipeline, `passes after ${known}`), passRegistry);
  return { [known]: pipeline };
}

/** Additions in the order in which they are given. */
export function joinExtraPasses(list: readonly ExtraPasses[]): ExtraPasses {
  const all: Partial<Record<Stage, string>> = {};
  for (const extra of list)
    for (const stage of STAGES)
      if (extra[stage] !== undefined) all[stage] = withExtra(all[stage] ?? "", extra[stage]).replace(/^,/, "");
  return all;
}
