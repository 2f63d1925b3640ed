/** The passes that exist, as an explicit list, and the named pipelines. Programs add their own with `registerPass`. */
import type { Pass } from "./define-pass.js";
import { canonicalize } from "./nn/canonicalize.js";
import { cse } from "./common/cse.js";
import { dce } from "./common/dce.js";
import { foldRounding } from "./flow/fold-rounding.js";
import { fuse } from "./flow/fuse.js";
import { decomposeSoftmax } from "./nn/decompose-softmax.js";
import { foldScales } from "./nn/fold-scales.js";
import { integerize } from "./nn/integerize.js";
import { lowerAverage } from "./nn/lower-average.js";
import { quantize } from "./nn/quantize/index.js";
import { foldConstants } from "./nn/fold-constants.js";
import { lower } from "./lower/lower.js";

export interface PipelineAlias {
  readonly name: string;
  readonly summary: string;
  /** Pipeline text; may name other aliases. */
  readonly pipeline: string;
}

export class PassRegistry {
  private readonly byName = new Map<string, Pass>();
  private readonly aliasByName = new Map<string, PipelineAlias>();

  register(pass: Pass): void {
    if (this.byName.has(pass.name)) throw new Error(`pass ${pass.name} is registered twice`);
    this.byName.set(pass.name, pass);
  }
  registerAlias(alias: PipelineAlias): void {
    if (this.aliasByName.has(alias.name)) throw new Error(`pipeline @${alias.name} is registered twice`);
    this.aliasByName.set(alias.name, alias);
  }
  lookup(name: string): Pass | undefined {
    return this.byName.get(name);
  }
  lookupAlias(name: string): PipelineAlias | undefined {
    return this.aliasByName.get(name);
  }
  /** Sorted by name. */
  passes(): readonly Pass[] {
    return [...this.byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  aliases(): readonly PipelineAlias[] {
    return [...this.aliasByName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/** Passes that come with the compiler. */
export const builtinPasses: readonly Pass[] = [
  canonicalize,
  cse,
  dce,
  foldConstants,
  foldRounding,
  fuse,
  integerize,
  lower,
  lowerAverage,
  foldScales,
  decomposeSoftmax,
  quantize,
];

export const builtinAliases: readonly PipelineAlias[] = [
  {
    name: "clean",
    summary: "Simplify and remove what is not needed; at any time before lowering.",
    pipeline: "fold-constants,canonicalize,cse,dce",
  },
];

/** The registry that the command line and the driver use. */
export const passRegistry = new PassRegistry();
for (const pass of builtinPasses) passRegistry.register(pass);
for (const alias of builtinAliases) passRegistry.registerAlias(alias);

/** Makes a pass known to pipelines, by its name. */
export function registerPass(pass: Pass): void {
  passRegistry.register(pass);
}
