/**
 * Conformance: folders laid out like ONNX's backend tests against the importer, the float interpreter and, for a
 * sample, the whole way to Verilog.
 *
 *   npm run conformance -- DIR [--filter TEXT] [--sample N] [--verilator] [--json FILE] [--no-ramps] [--verbose]
 *
 * A test is a folder with model.onnx and test_data_set_*\/{input,output}_*.pb. Where a manifest.json lists tests with a
 * `primary_model` (a variant with inputs folded into constants), that model is taken. Where a test has no input data,
 * as those of whole networks, its inputs are numbers from 0 to 1, as ONNX's own runner gives them. Tolerances are those
 * of ONNX's own runner: rtol 1e-3, atol 1e-7, or what the test states. Exit code 1 if a result is wrong.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Command } from "commander";
import { compileModel, newSession, simulateDesign } from "../src/driver.js";
import { stagePipeline } from "../src/driver/stages.js";
import { Sink, UserError } from "../src/diagnostics/index.js";
import { importOnnx } from "../src/frontend/import.js";
import { writeNpz } from "../src/frontend/npz.js";
import { decodeModel } from "../src/frontend/onnx-proto.js";
import type { ConstTensor } from "../src/frontend/tensor-data.js";
import { cloneModule, type Module } from "../src/ir/core.js";
import { prepareFlow } from "../src/ir/eval/flow.js";
import { prepareNn, prepareNnFixed } from "../src/ir/eval/nn-fixed.js";
import { fixedOf } from "../src/ir/nn/values.js";
import { portScale } from "../src/ir/port-scales.js";
import type { TensorType } from "../src/ir/types.js";
import { toRaw } from "../src/passes/nn/quantize/inputs.js";
import { CALIBRATION_SAMPLES } from "../src/passes/nn/quantize/index.js";
import { PassContext } from "../src/passes/pass-context.js";
import { PassManager } from "../src/passes/pass-manager.js";
import { dataSets } from "./data-sets.js";

interface TestCase {
  readonly name: string;
  readonly dir: string;
  readonly model: string;
  readonly tier: number | undefined;
  readonly rtol: number;
  readonly atol: number;
}

interface Outcome {
  readonly test: TestCase;
  readonly operators: readonly string[];
  readonly status: "passed" | "refused" | "wrong";
  readonly reason: string;
  readonly module?: Module;
  readonly samples?: readonly Float64Array[][];
}

/** Largest tensor of a test that is tried: beyond, the network is no candidate for hardware. */
const MAX_PARAMETERS_BYTES = 64 * 2 ** 20;

function findTests(root: string): TestCase[] {
  const listed = new Map<string, Record<string, unknown>>();
  const visitManifest = (dir: string): void => {
    const file = join(dir, "manifest.json");
    if (!existsSync(file)) return;
    const content = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    for (const list of Object.values(content)) {
      if (!Array.isArray(list)) continue;
      for (const t of list as Record<string, unknown>[])
        if (typeof t["name"] === "string")
          listed.set(join(dir, typeof t["path"] === "string" ? t["path"] : t["name"]), t);
    }
  };
  const tests: TestCase[] = [];
  const visit = (dir: string): void => {
    visitManifest(dir);
    const names = readdirSync(dir, { withFileTypes: true });
    if (names.some((n) => n.name === "model.onnx")) {
      const entry = listed.get(dir);
      const number = (key: string, fallback: number): number =>
        typeof entry?.[key] === "number" ? (entry[key] as number) : fallback;
      tests.push({
        name: basename(dir),
        dir,
        model: join(dir, typeof entry?.["primary_model"] === "string" ? entry["primary_model"] : "model.onnx"),
        tier: typeof entry?.["tier"] === "number" ? entry["tier"] : undefined,
        rtol: number("rtol", 1e-3),
        atol: number("atol", 1e-7),
      });
      return;
    }
    for (const n of names) if (n.isDirectory()) visit(join(dir, n.name));
  };
  visit(root);
  return tests.sort((a, b) => (a.dir < b.dir ? -1 : 1));
}

function check(test: TestCase, ramps: boolean): Outcome {
  let operators: string[] = [];
  const refused = (reason: string): Outcome => ({ test, operators, status: "refused", reason });
  try {
    const bytes = readFileSync(test.model);
    if (bytes.length > MAX_PARAMETERS_BYTES) return refused("the model is larger than any network for a microsecond");
    try {
      operators = [...new Set(decodeModel(bytes).graph!.node.map((n) => n.opType))];
    } catch {
      // The importer says what is wrong with the file.
    }
    const sink = new Sink();
    const module = importOnnx(bytes, test.model, sink);
    if (module === undefined || sink.hasErrors) return refused(sink.diagnostics[0]?.message ?? "refused");
    const names = module.func.attrs["inputs"] as readonly string[];
    const program = prepareNn(module);
    const samples: Float64Array[][] = [];
    for (const set of dataSets(test.dir)) {
      const inputs = names.map((n) => {
        const t = set.inputs.get(n);
        // Where a test states no input at all, ONNX's runner counts from 0 to 1.
        if (ramps && set.inputs.size === 0)
          return ramp((module.func.body.args[names.indexOf(n)]!.type as TensorType).shape);
        if (t === undefined) throw UserError.of("NP001", { reason: `no data for input "${n}"` });
        const arg = module.func.body.args[names.indexOf(n)]!;
        // What only lends its type (CastLike) may be empty.
        return t.data.length === 0 && arg.uses.length === 0
          ? new Float64Array((arg.type as TensorType).shape.reduce((k, d) => k * d, 1))
          : t.data;
      });
      module.func.body.args.forEach((a, i) => {
        if ((a.type as TensorType).shape.reduce((n, d) => n * d, 1) !== inputs[i]!.length)
          throw UserError.of("NP001", {
            reason: `input "${names[i]}" has ${inputs[i]!.length} elements; a first dimension that is not 1 must be fixed in the model`,
          });
      });
      samples.push(inputs);
      const results = program.run(inputs);
      for (const [i, want] of set.outputs.entries()) {
        const problem = results[i] === undefined ? "is missing" : difference(results[i], want, test);
        if (problem !== undefined) return { test, operators, status: "wrong", reason: `output ${i} ${problem}` };
      }
    }
    return { test, operators, status: "passed", reason: "", module, samples };
  } catch (e) {
    if (e instanceof UserError) return refused(e.diagnostics[0]!.message);
    return { test, operators, status: "wrong", reason: `exception: ${e instanceof Error ? e.message : String(e)}` };
  }
}

function ramp(shape: readonly number[]): Float64Array {
  const count = shape.reduce((n, d) => n * d, 1);
  return Float64Array.from({ length: count }, (_, i) => Math.fround(i / count));
}

/** How a result differs beyond the tolerance; undefined where it does not. */
function difference(got: ArrayLike<number>, want: ConstTensor, { rtol, atol }: TestCase): string | undefined {
  if (got.length !== want.data.length) return `has ${got.length} elements instead of ${want.data.length}`;
  for (let i = 0; i < got.length; i++) {
    const [g, w] = [got[i]!, want.data[i]!];
    if (Object.is(g, w) || g === w || (Number.isNaN(g) && Number.isNaN(w))) continue;
    if (!(Math.abs(g - w) <= atol + rtol * Math.abs(w))) return `element ${i} is ${g} instead of ${w}`;
  }
  return undefined;
}

/**
 * Through quantization and flow: the fixed-point network and its kernels must agree in every bit; on demand Verilator
 * too.
 */
async function checkHardware(o: Outcome, verilator: boolean): Promise<string | undefined> {
  const sink = new Sink();
  const context = new PassContext(sink, () => {});
  context.set(CALIBRATION_SAMPLES, o.samples!);
  const manager = new PassManager();
  const fixed = manager.run(cloneModule(o.module!), "@fixed-point", { context, sink }).module;
  const flow = manager.run(cloneModule(fixed), stagePipeline("lower"), { context, sink }).module;
  const [nn, kernels] = [prepareNnFixed(fixed), prepareFlow(flow)];
  for (const sample of o.samples!) {
    const raw = sample.map((x, i) => {
      const scale = portScale(fixed.func, "input_scales", i);
      return toRaw(scale === 1 ? x : Float64Array.from(x, (v) => v / scale), fixedOf(fixed.func.body.args[i]!)!);
    });
    const [a, b] = [nn.run(raw), kernels.run(raw)];
    for (const [i, y] of a.entries())
      for (let k = 0; k < y.length; k++)
        if (y[k] !== b[i]![k]) return `output ${i} element ${k}: fixed point ${y[k]}, flow ${b[i]![k]}`;
  }
  if (!verilator) return undefined;
  const work = mkdtempSync(join(tmpdir(), "onnx-hls-conformance-"));
  try {
    const names = o.module!.func.attrs["inputs"] as readonly string[];
    const data = join(work, "data.npz");
    const stacked = names.map((n, i): [string, { shape: number[]; data: Float32Array }] => {
      const shape = (o.module!.func.body.args[i]!.type as TensorType).shape;
      return [
        n,
        {
          shape: [o.samples!.length * (shape[0] ?? 1), ...shape.slice(1)],
          data: Float32Array.from(o.samples!.flatMap((s) => [...s[i]!])),
        },
      ];
    });
    writeFileSync(data, writeNpz(new Map(stacked)));
    const dir = join(work, "design");
    await compileModel(o.test.model, { out: dir, calib: data }, newSession());
    const r = await simulateDesign(dir, { input: data, output: join(work, "out.npz") }, newSession());
    if (r.mismatches > 0) return `${r.mismatches} values of the Verilog differ from the bit-exact model`;
    return r.initiation_interval === r.predicted.initiation_interval || r.samples < 2
      ? undefined
      : `interval ${r.initiation_interval} instead of ${r.predicted.initiation_interval}`;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function table(outcomes: readonly Outcome[]): string {
  const rows = new Map<string, { passed: number; refused: number; wrong: number; reasons: Map<string, number> }>();
  for (const o of outcomes) {
    // A test of one operator counts there; a network counts as such.
    const key = o.operators.length === 1 ? o.operators[0]! : "(networks)";
    const row = rows.get(key) ?? { passed: 0, refused: 0, wrong: 0, reasons: new Map<string, number>() };
    row[o.status]++;
    if (o.status !== "passed") row.reasons.set(o.reason, (row.reasons.get(o.reason) ?? 0) + 1);
    rows.set(key, row);
  }
  const lines = ["operator                        passed  refused  wrong  reasons"];
  for (const [op, r] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const reason = [...r.reasons].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
    lines.push(
      `${op.padEnd(30)}  ${String(r.passed).padStart(6)}  ${String(r.refused).padStart(7)}  ${String(r.wrong).padStart(5)}  ${reason.replace(/\s+/g, " ").slice(0, 100)}`,
    );
  }
  return lines.join("\n");
}

function totals(outcomes: readonly Outcome[]): string {
  const count = (list: readonly Outcome[]): string => {
    const n = (s: Outcome["status"]): number => list.filter((o) => o.status === s).length;
    return `${list.length} tests: ${n("passed")} passed (${((100 * n("passed")) / Math.max(1, list.length)).toFixed(1)} %), ${n("refused")} refused, ${n("wrong")} wrong`;
  };
  const tiers = [...new Set(outcomes.map((o) => o.test.tier))].filter((t) => t !== undefined).sort();
  return [
    count(outcomes),
    ...tiers.map((t) => `  tier ${t}: ${count(outcomes.filter((o) => o.test.tier === t))}`),
  ].join("\n");
}

async function main(): Promise<void> {
  const program = new Command("conformance")
    .argument("<dir>", "folder with tests")
    .option("--filter <text>", "only tests whose path contains this")
    .option("--sample <n>", "passed tests that also go through quantization and flow", "0")
    .option("--verilator", "simulate the sample's Verilog too")
    .option("--json <file>", "write every outcome")
    .option("--no-ramps", "leave out tests without input data, which are whole networks and take most of the time")
    .option("--verbose", "name every test that did not pass");
  program.parse();
  const options = program.opts<{
    filter?: string;
    sample: string;
    verilator?: boolean;
    json?: string;
    verbose?: boolean;
    ramps: boolean;
  }>();
  const tests = findTests(program.args[0]!).filter(
    (t) => options.filter === undefined || t.dir.includes(options.filter),
  );
  if (tests.length === 0)
    throw new Error(`no tests in ${program.args[0]}: folders with model.onnx and test_data_set_* are looked for`);
  const outcomes: Outcome[] = [];
  for (const t of tests) {
    const o = check(t, options.ramps);
    // Only what the sample may need is kept.
    outcomes.push(
      o.samples !== undefined && o.samples.reduce((n, s) => n + s.reduce((k, x) => k + x.length, 0), 0) < 20000
        ? o
        : { test: o.test, operators: o.operators, status: o.status, reason: o.reason },
    );
    process.stderr.write(`\r${outcomes.length} of ${tests.length}`);
  }
  process.stderr.write("\r");
  console.log(table(outcomes));
  if (options.verbose === true)
    for (const o of outcomes)
      if (o.status !== "passed")
        console.log(`${o.status.padEnd(8)} ${o.test.name}: ${o.reason.replace(/\s+/g, " ").slice(0, 200)}`);
  console.log(`\n${totals(outcomes)}`);
  const candidates = outcomes.filter((o) => o.module !== undefined && o.samples!.length > 0);
  const wanted = Math.min(Number(options.sample), candidates.length);
  let bad = 0;
  let refusedInHardware = 0;
  for (let i = 0; i < wanted; i++) {
    const o = candidates[Math.floor((i * candidates.length) / wanted)]!;
    try {
      const problem = await checkHardware(o, options.verilator === true);
      if (problem !== undefined) {
        bad++;
        console.log(`WRONG in hardware: ${o.test.name}: ${problem}`);
      }
    } catch (e) {
      if (!(e instanceof UserError)) {
        bad++;
        console.log(
          `WRONG in hardware: ${o.test.name}: ${e instanceof Error ? e.message.split("\n").slice(0, 3).join(" ") : String(e)}`,
        );
      } else {
        refusedInHardware++;
        if (options.verbose === true)
          console.log(`refused  ${o.test.name} (hardware): ${e.diagnostics[0]!.message.slice(0, 160)}`);
      }
    }
  }
  if (wanted > 0)
    console.log(
      `${wanted} of the passed taken through quantization and flow${options.verilator === true ? " and Verilator" : ""}: ${wanted - bad - refusedInHardware} equal in every bit, ${refusedInHardware} refused, ${bad} wrong`,
    );
  if (options.json !== undefined)
    writeFileSync(
      options.json,
      `${JSON.stringify(
        outcomes.map((o) => ({
          name: o.test.name,
          tier: o.test.tier,
          operators: o.operators,
          status: o.status,
          reason: o.reason,
        })),
        null,
        1,
      )}\n`,
    );
  process.exitCode = bad > 0 || outcomes.some((o) => o.status === "wrong") ? 1 : 0;
}

main().catch((e: unknown) => {
  console.error(e instanceof UserError ? e.message : e instanceof Error ? e.message : e);
  process.exitCode = 1;
});
