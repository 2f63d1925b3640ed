/**
 * Runs pipelines: checks levels and promises, verifies after each pass, dumps, times, and turns failures into bug
 * reports.
 */
import { CompilerBug, type Sink, UserError } from "../diagnostics/index.js";
import type { Host } from "../host.js";
import { cloneModule, walk, type Module } from "../ir/core.js";
import { isRtl } from "../ir/rtl/index.js";
import { printModule } from "../ir/text/printer.js";
import { assertValid } from "../ir/verify.js";
import { levelsOf, type Level, type Predicate } from "./define-pass.js";
import { PassContext } from "./pass-context.js";
import { parsePipeline, printItem, resolvePipeline, type PipelineItem, type Step } from "./pipeline-spec.js";
import { passRegistry, type PassRegistry } from "./registry.js";

/**
 * Outputs of the reference interpreter on seeded inputs, by name; undefined where the module cannot be run. What it
 * must know beyond the module, as the ports of hardware, passes have left in the context.
 */
export type Evaluator = (
  module: Module,
  inputs: { readonly seed: number; readonly samples: number },
  context: PassContext,
) => ReadonlyMap<string, ArrayLike<number>> | undefined;

export interface RunOptions {
  /** Full verification after each pass; on by default, off only to time the compiler. */
  readonly verifyEach?: boolean;
  /** Names of passes, `all`, or `changed`: IR is logged after them. */
  readonly printIrAfter?: readonly string[];
  /** Folder for numbered IR files, `012.unroll.changed.hir`. */
  readonly dumpIr?: string;
  /** Runs the interpreter before and after every bit-exact pass and compares. */
  readonly evalEach?: { readonly seed: number; readonly samples: number; readonly evaluate: Evaluator };
  /** Ends the pipeline after the first pass of this name. */
  readonly stopAfter?: string;
  /** Passes to leave out. */
  readonly skip?: readonly string[];
  /** Runs only the first so many passes. */
  readonly bisectLimit?: number;
  /** Where `repro.hir` is written when a pass fails; nothing is written without a host. */
  readonly reproPath?: string;
  readonly sink?: Sink;
  readonly host?: Host;
  /** Analyses to start with; made from `sink` and `host` if absent. */
  readonly context?: PassContext;
  /** Called before each pass. */
  readonly onPass?: (name: string, index: number, total: number) => void;
}

export interface PassTiming {
  readonly pass: string;
  readonly milliseconds: number;
  readonly opsBefore: number;
  readonly opsAfter: number;
}

export interface PipelineResult {
  readonly module: Module;
  readonly timings: readonly PassTiming[];
  readonly context: PassContext;
}

/** A pass broke an invariant. `repro` is the file that repeats it, if one was written. */
export class PassFailure extends CompilerBug {
  constructor(
    readonly pass: string,
    message: string,
    readonly repro: string | undefined,
    options: { cause?: unknown } = {},
  ) {
    super(`pass ${pass}: ${message}${repro === undefined ? "" : `\nto repeat: onnx-hls opt ${repro}`}`);
    this.name = "PassFailure";
    if (options.cause !== undefined) this.cause = options.cause;
  }
}

/** Dialect that the module is written in; `any` for an empty one. */
export function levelOf(module: Module): Level {
  let level: Level = "any";
  for (const op of module.body.ops) {
    if (isRtl(op, "rtl.module")) return "rtl";
    for (const region of op.regions) {
      for (const inner of region.ops) {
        if (inner.dialect === "flow") return "flow";
        if (inner.dialect === "nn") level = "nn";
      }
    }
  }
  return level;
}

export class PassManager {
  constructor(readonly registry: PassRegistry = passRegistry) {}

  /**
   * Runs `pipeline` on `module`, which is changed or replaced; the result holds the module to go on with.
   *
   * @errors TX001, TX020 to TX025, and whatever the passes report; PassFailure where a pass breaks an invariant
   */
  run(module: Module, pipeline: string | readonly PipelineItem[], options: RunOptions = {}): PipelineResult {
    const items = typeof pipeline === "string" ? (pipeline.trim() === "" ? [] : parsePipeline(pipeline)) : pipeline;
    const steps = this.select(resolvePipeline(items, this.registry), options);
    const run = new Run(module, steps, options);
    steps.forEach((_, i) => run.step(i));
    return { module: run.module, timings: run.timings, context: run.context };
  }

  private select(steps: readonly Step[], options: RunOptions): readonly Step[] {
    const named = [
      ...(options.printIrAfter ?? []).filter((n) => n !== "all" && n !== "changed"),
      ...(options.skip ?? []),
      ...(options.stopAfter === undefined ? [] : [options.stopAfter]),
    ];
    // Resolving a bare name reports unknown ones with the nearest known.
    resolvePipeline(
      named.map((name) => ({ kind: "pass", name, options: {} })),
      this.registry,
    );
    let list = steps.filter((s) => !(options.skip ?? []).includes(s.pass.name));
    const stop = list.findIndex((s) => s.pass.name === options.stopAfter);
    if (stop >= 0) list = list.slice(0, stop + 1);
    return list.slice(0, options.bisectLimit ?? list.length);
  }
}

class Run {
  readonly timings: PassTiming[] = [];
  readonly context: PassContext;

  constructor(
    public module: Module,
    private readonly steps: readonly Step[],
    private readonly options: RunOptions,
  ) {
    this.context = options.context ?? new PassContext(options.sink, (line) => options.host?.log(line));
  }

  step(index: number): void {
    const { pass, options: passOptions } = this.steps[index]!;
    const { options } = this;
    options.onPass?.(pass.name, index, this.steps.length);
    const { from, to } = levelsOf(pass);
    const level = levelOf(this.module);
    if (from !== "any" && level !== "any" && level !== from)
      throw UserError.of("TX024", { pass: pass.name, wants: from, has: level });
    const unmet = firstUnmet(pass.requires, this.module);
    if (unmet !== undefined) throw UserError.of("TX025", { pass: pass.name, condition: unmet.name });

    const before = cloneModule(this.module);
    const wantsText = options.dumpIr !== undefined || options.printIrAfter?.includes("changed") === true;
    const textBefore = wantsText ? printModule(before, { resources: "digest" }) : "";
    const opsBefore = countOps(before);
    const start = now(options.host);
    const errorsBefore = this.context.sink.diagnostics.length;
    try {
      const result = pass.run(this.module, passOptions, this.context) ?? this.module;
      this.timings.push({
        pass: pass.name,
        milliseconds: now(options.host) - start,
        opsBefore,
        opsAfter: countOps(result),
      });
      this.module = result;
      // A pass that has reported user errors may leave anything behind.
      if (this.context.sink.diagnostics.slice(errorsBefore).some((d) => d.severity === "error"))
        this.context.sink.throwIfErrors();
      if (options.verifyEach !== false) this.check(index, before, to);
    } catch (e) {
      if (e instanceof UserError) throw e;
      throw this.failure(index, before, e);
    }
    this.show(index, textBefore);
  }

  private check(index: number, before: Module, to: Level): void {
    const { pass } = this.steps[index]!;
    assertValid(this.module, "after the pass");
    const level = levelOf(this.module);
    if (to !== "any" && level !== "any" && level !== to)
      throw new CompilerBug(`leaves a module at level ${level} instead of ${to}`);
    const broken = firstUnmet(pass.ensures, this.module);
    if (broken !== undefined) throw new CompilerBug(`does not ensure that ${broken.name}`);
    if (
      pass.semantics === "analysis" &&
      printModule(before, { resources: "digest" }) !== printModule(this.module, { resources: "digest" })
    ) {
      throw new CompilerBug("is an analysis, but changed the module");
    }
    if (this.options.evalEach !== undefined && pass.semantics === "bit-exact")
      compareValues(before, this.module, this.options.evalEach, this.context);
  }

  private show(index: number, textBefore: string): void {
    const { pass } = this.steps[index]!;
    const { options } = this;
    const wanted = options.printIrAfter ?? [];
    const host = options.host;
    if (host === undefined) return;
    const named = wanted.includes(pass.name) || wanted.includes("all");
    if (!named && options.dumpIr === undefined && !wanted.includes("changed")) return;
    const text = printModule(this.module, { resources: "digest" });
    const changed = text !== textBefore;
    if (named || (changed && wanted.includes("changed")))
      host.log(`// IR after ${printItem(this.steps[index]!.item)}\n${text.trimEnd()}`);
    if (options.dumpIr !== undefined) {
      const number = String(index + 1).padStart(3, "0");
      host.writeFile(`${options.dumpIr}/${number}.${pass.name}.${changed ? "changed" : "same"}.hir`, text);
    }
  }

  private failure(index: number, before: Module, e: unknown): PassFailure {
    const { pass, item } = this.steps[index]!;
    const { host } = this.options;
    const message = e instanceof Error ? e.message : String(e);
    let repro: string | undefined;
    if (host !== undefined) {
      const path = this.options.reproPath ?? "repro.hir";
      try {
        host.writeFile(path, `// RUN: ${printItem(item)}\n${printModule(before, { resources: "inline" })}`);
        repro = path;
      } catch {
        // A folder that cannot be written to must not hide the failure itself.
      }
    }
    return new PassFailure(pass.name, message, repro, { cause: e });
  }
}

function firstUnmet(predicates: readonly Predicate[] | undefined, module: Module): Predicate | undefined {
  return predicates?.find((p) => !p.holds(module));
}

function countOps(module: Module): number {
  let n = 0;
  walk(module.body, () => n++);
  return n;
}

function now(host: Host | undefined): number {
  return host?.now() ?? performance.now();
}

function compareValues(
  before: Module,
  after: Module,
  each: NonNullable<RunOptions["evalEach"]>,
  context: PassContext,
): void {
  const a = each.evaluate(before, each, context);
  const b = each.evaluate(after, each, context);
  if (a === undefined || b === undefined) return;
  for (const [name, expected] of a) {
    const actual = b.get(name);
    if (actual === undefined) throw new CompilerBug(`output "${name}" is gone`);
    for (let i = 0; i < expected.length; i++) {
      if (!Object.is(expected[i]! + 0, actual[i]! + 0)) {
        throw new CompilerBug(
          `is bit-exact, but changed element ${i} of output "${name}" from ${expected[i]} to ${actual[i]} (seed ${each.seed})`,
        );
      }
    }
  }
}
