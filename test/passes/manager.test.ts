import { describe, expect, it } from "vitest";
import { CompilerBug, Sink, UserError } from "../../src/diagnostics/index.js";
import { Op, type Module } from "../../src/ir/core.js";
import { parseModule } from "../../src/ir/text/parser.js";
import { printModule } from "../../src/ir/text/printer.js";
import { bool, choice, definePass, int, text, words, type Pass } from "../../src/passes/define-pass.js";
import { ContextKey, PassContext } from "../../src/passes/pass-context.js";
import { PassFailure, PassManager } from "../../src/passes/pass-manager.js";
import { parsePipeline, printPipeline, resolvePipeline } from "../../src/passes/pipeline-spec.js";
import { PassRegistry } from "../../src/passes/registry.js";
import { memoryHost } from "../support/memory-host.js";
import "../text/random-module.js";

const TUNED = new ContextKey<number>("a width");
const CALIBRATION = new ContextKey<readonly number[]>("samples");

const seen: unknown[] = [];
const noop = definePass({ name: "no-op", summary: "Nothing.", level: "any", semantics: "bit-exact", run: () => {} });
const tune = definePass({
  name: "tune",
  summary: "Records its options.",
  level: "any",
  semantics: "analysis",
  options: {
    bits: int({ min: 1, max: 32, default: 8 }),
    mode: choice(["fast", "exact"], { default: "fast" }),
    deep: bool({ default: false }),
    label: text(),
    layers: words({ default: [] }),
  },
  run: (_, options, ctx) => {
    const width: number = options.bits;
    seen.push({ ...options, width });
    ctx.set(TUNED, width);
  },
});
const addOp = definePass({
  name: "add-op",
  summary: "Adds an operation.",
  level: "any",
  semantics: "changes-values",
  run: (m) => void m.body.append(new Op({ name: "t.op" })),
});
const fake = definePass({
  name: "fake-analysis",
  summary: "Claims not to change.",
  level: "any",
  semantics: "analysis",
  run: (m) => void m.body.append(new Op({ name: "t.op" })),
});
const breaker = definePass({
  name: "break-it",
  summary: "Leaves a dangling operand.",
  level: "any",
  semantics: "bit-exact",
  run: (m) =>
    void m.body.ops[0]!.addOperand(
      new Op({ name: "t.op", resultTypes: [{ kind: "bits", signed: false, width: 1 }] }).result,
    ),
});
const thrower = definePass({
  name: "throw-it",
  summary: "Throws.",
  level: "any",
  semantics: "bit-exact",
  run: () => {
    throw new Error("index 7 out of range");
  },
});
const reporter = definePass({
  name: "report-it",
  summary: "Reports a user error.",
  level: "any",
  semantics: "bit-exact",
  run: (_, __, ctx) => ctx.sink.report("IO001", { path: "w.npz", reason: "no such file" }),
});
const strict = definePass({
  name: "strict",
  summary: "Has conditions.",
  level: "any",
  semantics: "bit-exact",
  requires: [{ name: "the module has two operations", holds: (m) => m.body.ops.length === 2 }],
  run: () => {},
});
const promise = definePass({
  name: "promise",
  summary: "Breaks its promise.",
  level: "any",
  semantics: "bit-exact",
  ensures: [{ name: "the module is empty", holds: (m) => m.body.ops.length === 0 }],
  run: () => {},
});
const nnOnly = definePass({
  name: "nn-only",
  summary: "Works on nn.",
  level: "nn",
  semantics: "bit-exact",
  run: () => {},
});

function registry(): PassRegistry {
  const r = new PassRegistry();
  for (const p of [noop, tune, addOp, fake, breaker, thrower, reporter, strict, promise, nnOnly] as Pass[])
    r.register(p);
  r.registerAlias({ name: "twice", summary: "Two passes.", pipeline: "no-op,@inner" });
  r.registerAlias({ name: "inner", summary: "One pass.", pipeline: "tune{bits=3}" });
  return r;
}
const manager = new PassManager(registry());

function moduleOf(body = "t.op() : () -> ()"): Module {
  return parseModule(`module "m" {\n  ${body}\n}`, "m.hir", new Sink())!;
}
function codeOf(run: () => void): string {
  try {
    run();
  } catch (e) {
    if (e instanceof UserError) return e.diagnostics.map((d) => `${d.code} ${d.message} | ${d.hint}`).join("\n");
    throw e;
  }
  return "no error";
}

describe("pipelines as text", () => {
  it.each([
    "a",
    "a,b",
    "a{x=1},b-c{y=foo,z=[1,2.5,-3,w8a12],t=true},@default",
    'a{s="two words",n="12",b="true",e=""}',
    "a{p=dir/file.yaml}",
  ])("%s round-trips", (source) => {
    expect(printPipeline(parsePipeline(source))).toBe(source);
  });

  it("reads values by their type", () => {
    const [item] = parsePipeline('a{i=1e3, w=w8a12, s="1", t=true, l=[x, [2]], v=8-bit}');
    expect(item).toEqual({
      kind: "pass",
      name: "a",
      options: { i: 1000, w: "w8a12", s: "1", t: true, l: ["x", [2]], v: "8-bit" },
    });
  });

  it.each([
    ["a,,b", /TX001 expected a pass, found ","/],
    ["a{x=}", /TX001 expected a value, found "}"/],
    ["a{x=1", /TX001 expected "}", found the end/],
    ["a b", /TX001 expected "," or the end of the pipeline, found "b"/],
    ["a;b", /TX001 expected a pipeline such as a,b\{x=1\}, found ";"/],
  ])("%s is refused", (source, expected) => {
    expect(codeOf(() => parsePipeline(source))).toMatch(expected);
  });

  it.each([
    ["no-up", /TX020 unknown pass "no-up" \| did you mean "no-op"\?/],
    ["tune{bit=8}", /TX021 pass tune has no option "bit" \| did you mean "bits"\?/],
    ["no-op{x=1}", /TX021 .* \| it takes no options/],
    ["tune{bits=64}", /TX022 option bits of pass tune takes an integer from 1 to 32, not 64/],
    ["tune{bits=eight}", /TX022 .*not eight/],
    ["tune{mode=exakt}", /TX022 .*one of fast, exact, not exakt \| did you mean mode=exact\?/],
    ["@twise", /TX023 unknown pipeline "@twise" \| did you mean "@twice"\?/],
  ])("%s is an error", (source, expected) => {
    expect(codeOf(() => resolvePipeline(parsePipeline(source), registry()))).toMatch(expected);
  });

  it("expands named pipelines inside named pipelines", () => {
    expect(resolvePipeline(parsePipeline("@twice"), registry()).map((s) => [s.pass.name, s.options["bits"]])).toEqual([
      ["no-op", undefined],
      ["tune", 3],
    ]);
  });
});

describe("pass manager", () => {
  it("hands over typed options with defaults, and keeps analyses in the context", () => {
    seen.length = 0;
    const { context } = manager.run(moduleOf(), "tune{bits=12, layers=[conv1, conv2]}");
    expect(seen).toEqual([
      { bits: 12, mode: "fast", deep: false, label: undefined, layers: ["conv1", "conv2"], width: 12 },
    ]);
    expect(context.get(TUNED)).toBe(12);
  });

  it("writes a reproduction that repeats a failure", () => {
    const host = memoryHost();
    const module = moduleOf("t.op() {t.a = dense<[1, 2]> : tensor<2xf32>} : () -> ()");
    const text = printModule(module);
    let failure: unknown;
    try {
      manager.run(module, "add-op,break-it,no-op", { host, reproPath: "out/repro.hir" });
    } catch (e) {
      failure = e;
    }
    expect(failure).toBeInstanceOf(PassFailure);
    expect(String(failure)).toMatch(/pass break-it: after the pass: the module does not verify/);
    const repro = host.text("out/repro.hir");
    expect(repro.split("\n")[0]).toBe("// RUN: break-it");
    const again = parseModule(repro, "repro.hir", new Sink())!;
    expect(again.body.ops.length).toBe(2);
    expect(printModule(again)).toContain(text.split("\n")[1]);
    expect(() => manager.run(again, "break-it")).toThrow(PassFailure);
  });

  it("names the pass that threw", () => {
    expect(() => manager.run(moduleOf(), "throw-it")).toThrow(/pass throw-it: index 7 out of range/);
    expect(() => manager.run(moduleOf(), "throw-it")).toThrow(CompilerBug);
  });

  it("ends with the user errors that a pass reports", () => {
    expect(codeOf(() => manager.run(moduleOf(), "report-it,throw-it"))).toMatch(/IO001 cannot read w.npz/);
  });

  it("holds passes to what they declare", () => {
    expect(codeOf(() => manager.run(moduleOf(), "strict"))).toMatch(
      /TX025 pass strict requires that the module has two operations/,
    );
    expect(codeOf(() => manager.run(moduleOf(), "add-op,strict"))).toBe("no error");
    expect(() => manager.run(moduleOf(), "promise")).toThrow(/does not ensure that the module is empty/);
    expect(() => manager.run(moduleOf(), "fake-analysis")).toThrow(/is an analysis, but changed the module/);
  });

  it("refuses a pass for another level", () => {
    const flow = moduleOf("t.graph() ({ t.end() : () -> () }) : () -> ()");
    flow.body.ops[0]!.body.ops.unshift(new Op({ name: "flow.kernel" }));
    expect(codeOf(() => manager.run(flow, "nn-only"))).toMatch(
      /TX024 pass nn-only works on nn, but the module is at level flow/,
    );
  });

  it("stops a bit-exact pass that changes a value", () => {
    let runs = 0;
    const evaluate = () => new Map([["y", [1, runs++]]]);
    expect(() => manager.run(moduleOf(), "no-op", { evalEach: { seed: 1, samples: 2, evaluate } })).toThrow(
      /changed element 1 of output "y" from 0 to 1 \(seed 1\)/,
    );
  });

  it("prints and dumps IR on request", () => {
    const host = memoryHost();
    manager.run(moduleOf(), "no-op,add-op,no-op", { host, printIrAfter: ["changed"], dumpIr: "dump" });
    expect(host.lines.map((l) => l.split("\n")[0])).toEqual(["// IR after add-op"]);
    expect(host.names("dump")).toEqual([
      "dump/001.no-op.same.hir",
      "dump/002.add-op.changed.hir",
      "dump/003.no-op.same.hir",
    ]);
    expect(codeOf(() => manager.run(moduleOf(), "no-op", { printIrAfter: ["no-pp"] }))).toMatch(/TX020/);
  });

  it("cuts pipelines short", () => {
    const count = (o: object): number =>
      manager.run(moduleOf(), "add-op,no-op,add-op,add-op", o).module.body.ops.length;
    expect([count({}), count({ stopAfter: "no-op" }), count({ bisectLimit: 3 }), count({ skip: ["add-op"] })]).toEqual([
      4, 2, 3, 1,
    ]);
  });

  it("times passes and counts operations", () => {
    const { timings } = manager.run(moduleOf(), "add-op,no-op", { host: memoryHost() });
    expect(timings.map((t) => [t.pass, t.opsBefore, t.opsAfter])).toEqual([
      ["add-op", 1, 2],
      ["no-op", 2, 2],
    ]);
    expect(timings.every((t) => t.milliseconds >= 0)).toBe(true);
  });

  it("shares a context that the caller made", () => {
    const context = new PassContext();
    context.set(CALIBRATION, [1, 2]);
    expect(manager.run(moduleOf(), "tune", { context }).context.get(CALIBRATION)).toEqual([1, 2]);
  });
});
