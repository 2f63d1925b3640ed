/**
 * A pass as one record: what it is called, what it works on, what it promises, its options, and the function that does
 * it. Documentation, command line, checks before and after, and option parsing all come from the record.
 */
import type { Module } from "../ir/core.js";
import type { PassContext } from "./pass-context.js";

/** A dialect; `any` for passes that look only at what all operations share. */
export type Level = "nn" | "flow" | "rtl" | "any";

/** A claim about a module that the pass manager checks. */
export interface Predicate {
  /** Completes "the pass requires that ...": `no nn.softmax remains`. */
  readonly name: string;
  readonly holds: (module: Module) => boolean;
}

/** An option value as a pipeline states it; words and quoted text are strings. */
export type OptionValue = boolean | number | string | readonly OptionValue[];

/** One option: its type, default and documentation. */
export interface OptionSpec<T> {
  /** Words that complete "takes ...": `an integer from 1 to 32`. */
  readonly expects: string;
  readonly doc: string;
  /** Value where the pipeline does not state one. */
  readonly default: T;
  readonly choices?: readonly string[];
  /** The typed value, or undefined where `value` is not acceptable. */
  readonly read: (value: OptionValue) => T | undefined;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;
export type OptionsOf<O extends OptionSpecs> = {
  readonly [K in keyof O]: O[K] extends OptionSpec<infer T> ? T : never;
};

export interface PassDef<O extends OptionSpecs = OptionSpecs> {
  /** A verb in kebab case. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** A pair for a lowering. */
  readonly level: Level | readonly [from: Level, to: Level];
  /** `bit-exact`: the interpreter gives equal results before and after. `analysis`: changes nothing. */
  readonly semantics: "bit-exact" | "changes-values" | "analysis";
  readonly options?: O;
  readonly requires?: readonly Predicate[];
  readonly ensures?: readonly Predicate[];
  /** For the reference: why it pays, cost, source; Markdown. */
  readonly doc?: string;
  /** Before and after, for the reference. */
  readonly example?: { readonly before: string; readonly after: string };
  /** Changes `module`, or returns the module that takes its place. */
  readonly run: (module: Module, options: OptionsOf<O>, ctx: PassContext) => Module | void;
}

/** A pass whose option types are forgotten: what registries hold. */
export type Pass = PassDef<OptionSpecs>;

/** Checks the record and gives its options their types. */
export function definePass<const O extends OptionSpecs = Record<never, never>>(def: PassDef<O>): Pass {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(def.name)) throw new Error(`pass name "${def.name}" is not in kebab case`);
  // Options are read against the specs before `run` sees them, so that forgetting their types is sound.
  return def as unknown as Pass;
}

export function levelsOf(pass: Pass): { from: Level; to: Level } {
  return typeof pass.level === "string"
    ? { from: pass.level, to: pass.level }
    : { from: pass.level[0], to: pass.level[1] };
}

// --- option types -------------------------------------------------------------------------------------------------

interface Numeric {
  readonly min?: number;
  readonly max?: number;
  readonly doc?: string;
}

function range(o: Numeric): string {
  if (o.min !== undefined && o.max !== undefined) return ` from ${o.min} to ${o.max}`;
  if (o.min !== undefined) return ` of at least ${o.min}`;
  return o.max !== undefined ? ` of at most ${o.max}` : "";
}
function within(o: Numeric, v: OptionValue): v is number {
  return typeof v === "number" && v >= (o.min ?? -Infinity) && v <= (o.max ?? Infinity);
}

/** An integer; without a default, `undefined` where it is not given. */
export function int(o: Numeric & { readonly default: number }): OptionSpec<number>;
export function int(o?: Numeric): OptionSpec<number | undefined>;
export function int(o: Numeric & { readonly default?: number } = {}): OptionSpec<number | undefined> {
  return {
    expects: `an integer${range(o)}`,
    doc: o.doc ?? "",
    default: o.default,
    read: (v) => (within(o, v) && Number.isSafeInteger(v) ? v : undefined),
  };
}

/** A number; without a default, `undefined` where it is not given. */
export function number(o: Numeric & { readonly default: number }): OptionSpec<number>;
export function number(o?: Numeric): OptionSpec<number | undefined>;
export function number(o: Numeric & { readonly default?: number } = {}): OptionSpec<number | undefined> {
  return {
    expects: `a number${range(o)}`,
    doc: o.doc ?? "",
    default: o.default,
    read: (v) => (within(o, v) ? v : undefined),
  };
}

export function bool(o: { readonly default: boolean; readonly doc?: string }): OptionSpec<boolean> {
  return {
    expects: "true or false",
    doc: o.doc ?? "",
    default: o.default,
    choices: ["true", "false"],
    read: (v) => (typeof v === "boolean" ? v : undefined),
  };
}

/** One of the listed words. */
export function choice<const C extends readonly string[]>(
  choices: C,
  o: { readonly default: C[number]; readonly doc?: string },
): OptionSpec<C[number]> {
  return {
    expects: `one of ${choices.join(", ")}`,
    doc: o.doc ?? "",
    default: o.default,
    choices,
    read: (v) => (typeof v === "string" && choices.includes(v) ? v : undefined),
  };
}

/** Free text; numbers are taken as they are written. */
export function text(o: { readonly default: string; readonly doc?: string }): OptionSpec<string>;
export function text(o?: { readonly doc?: string }): OptionSpec<string | undefined>;
export function text(o: { readonly default?: string; readonly doc?: string } = {}): OptionSpec<string | undefined> {
  return {
    expects: "text",
    doc: o.doc ?? "",
    default: o.default,
    read: (v) => (typeof v === "string" ? v : typeof v === "number" ? String(v) : undefined),
  };
}

/** A list of words, `[a, b]`; one word stands for a list of one. */
export function words(o: {
  readonly default: readonly string[];
  readonly doc?: string;
}): OptionSpec<readonly string[]> {
  return {
    expects: "a list of words",
    doc: o.doc ?? "",
    default: o.default,
    read: (v) => {
      const list = Array.isArray(v) ? (v as readonly OptionValue[]) : [v as OptionValue];
      return list.every((x) => typeof x === "string") ? (list as readonly string[]) : undefined;
    },
  };
}
