/**
 * The measurement of real files, in a process that may run out of time or memory:
 *
 *   tsx bench/real-file.ts JOBS.json SECONDS
 *
 * JOBS.json is a list of `Job`. For each a line `{"start": name}` and then a `RealFileRecord` is printed. A compilation
 * that takes more than SECONDS of processor time kills the process; the caller goes on with the next job.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import "../src/index.js";
import { compileModel, newSession, type CompileOptions } from "../src/driver.js";
import { loadModel, loadSamples } from "../src/driver/compile.js";
import { statedShapes } from "../src/driver/shapes.js";
import { samplesOf } from "../src/driver/fixed-point.js";
import { UserError, type Diagnostic } from "../src/diagnostics/index.js";
import { inspectOnnx } from "../src/frontend/inspect.js";
import { readArrays } from "../src/frontend/npz.js";
import type { Module, Value } from "../src/ir/core.js";
import { prepareNn } from "../src/ir/eval/nn-fixed.js";
import { portScale } from "../src/ir/port-scales.js";
import { parseModule } from "../src/ir/text/parser.js";
import { elementCount, type TensorType } from "../src/ir/types.js";
import { OutputMeter, stepOf } from "../src/passes/nn/output-error.js";
import type { Sample } from "../src/passes/nn/quantize/calibrate.js";
import { roundInputs } from "../src/passes/nn/quantize/inputs.js";
import type { Distance, Job, Message, RealFileRecord } from "./real-file-record.js";

/** Multiply-accumulates that the interpreters may spend on the held-out samples of a file. */
const HELD_OUT_MACS = 2e9;

type Rows = readonly ArrayLike<number>[];

/**
 * `step`: what the compared numbers cannot resolve, as a difference or, for numbers in floating point, relative to the
 * largest. Which outputs are scores and labels is decided as the compiler does (docs/accuracy.md), on these numbers.
 */
function distance(float: Value, output: string, want: Rows, got: Rows, step: { fixed: number } | "float32"): Distance {
  const meter = new OutputMeter(float);
  let [signal, noise] = [0, 0];
  want.forEach((x, s) => {
    for (let i = 0; i < x.length; i++) {
      signal += x[i]! ** 2;
      noise += (got[s]![i]! - x[i]!) ** 2;
    }
    const largest = Array.from(x).reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    meter.add(x, got[s]!, step === "float32" ? Math.max(1e-6 * largest, Number.MIN_VALUE) : step.fixed);
  });
  const e = meter.result();
  const finite = (v: number): number | null => (Number.isFinite(v) ? v : null);
  const nrmse = noise === 0 ? 0 : Math.sqrt(noise / Math.max(signal, 1e-30));
  const ties = e.ties === undefined || e.ties === 0 ? {} : { ties: e.ties };
  return {
    output,
    nrmse: finite(nrmse),
    max_error: finite(e.max_abs_error),
    // Labels are right or not; how far one is from another says nothing.
    sqnr_db: e.equal !== undefined || noise === 0 ? null : finite(-20 * Math.log10(nrmse)),
    ...(e.equal !== undefined
      ? { argmax: e.equal }
      : e.scores === true && { argmax: e.argmax_agreement ?? 1, ...ties }),
  };
}

/** Outputs of ONNX Runtime by name, a row per sample, as far as they are there, are finite, and have the size. */
function expectedOf(data: string, float: Module, samples: number): ReadonlyMap<string, Float64Array[]> {
  const found = new Map<string, Float64Array[]>();
  const path = join(data, "expected.npz");
  if (!existsSync(path)) return found;
  const arrays = readArrays(readFileSync(path), path);
  float.func.body.terminator.operands.forEach((v, i) => {
    const name = (float.func.attrs["outputs"] as readonly string[])[i]!;
    const a = arrays.get(name);
    const count = elementCount((v.type as TensorType).shape);
    if (
      a === undefined ||
      a.data.length % count !== 0 ||
      a.data.length < count * samples ||
      !a.data.every(Number.isFinite)
    )
      return;
    found.set(
      name,
      Array.from({ length: samples }, (_, s) => a.data.subarray(s * count, (s + 1) * count)),
    );
  });
  return found;
}

/** `fixed`: the design that `got` is of; without, it is of the float network. */
function distances(
  float: Module,
  expected: ReadonlyMap<string, Rows>,
  got: readonly Rows[],
  fixed?: Module,
): Distance[] {
  return (float.func.attrs["outputs"] as readonly string[]).flatMap((name, o) => {
    const want = expected.get(name);
    if (want === undefined) return [];
    const rows = got.map((g) => g[o]!);
    const step =
      fixed === undefined
        ? "float32"
        : { fixed: stepOf(fixed.func.body.terminator.operand(o), portScale(fixed.func, "output_scales", o)) };
    return [distance(float.func.body.terminator.operand(o), name, want, rows, step)];
  });
}

function runFixed(fixed: Module, held: readonly Sample[]): Rows[] {
  const program = prepareNn(fixed);
  const ports = fixed.func.body.args.map((a) => a.type);
  const scales = ports.map((_, i) => portScale(fixed.func, "input_scales", i));
  return held.map((s) =>
    program
      .run(roundInputs(s, ports, scales))
      .map((y, o) => y.map((v) => v * portScale(fixed.func, "output_scales", o))),
  );
}

const messages = (all: readonly Diagnostic[]): Message[] =>
  all
    .filter((d) => d.severity === "error")
    .map(({ code, message, hint }) => ({ code, message, ...(hint !== undefined && { hint }) }));

async function measure(job: Job, dir: string, watch: Watch): Promise<RealFileRecord> {
  const { name, model, data } = job;
  const info = JSON.parse(readFileSync(join(data, "info.json"), "utf8")) as { problem?: string; no_data?: string };
  const note = info.problem ?? info.no_data;
  const known: { -readonly [K in keyof RealFileRecord]?: RealFileRecord[K] } = { ...(note !== undefined && { note }) };
  const session = newSession();
  const given = statedShapes(
    { ...(job.shapes !== undefined && { shapes: job.shapes }), ...(job.bind !== undefined && { bind: job.bind }) },
    session,
  );
  watch.begin();
  try {
    const float = loadModel(model, session, given);
    known.macs = inspectOnnx(readFileSync(model), model, newSession().sink, given)?.macs ?? 0;
    const calibrated = existsSync(join(data, "calib.npz"));
    const inputs = calibrated ? loadSamples(join(data, "held.npz"), float, session) : undefined;
    const held =
      inputs === undefined
        ? []
        : samplesOf(inputs, inputs.samples).slice(0, Math.max(1, Math.floor(HELD_OUT_MACS / Math.max(1, known.macs))));
    const program = prepareNn(float);
    const exact = held.map((s) => program.run(s).map((y) => y.slice()));
    const expected = expectedOf(data, float, held.length);
    if (expected.size > 0) known.float = distances(float, expected, exact);
    const options: CompileOptions = { out: dir, ...given, ...(calibrated && { calib: join(data, "calib.npz") }) };
    watch.begin();
    await compileModel(model, options, session);
    known.seconds = watch.end();
    known.warnings = [...new Set(session.sink.diagnostics.filter((d) => d.severity === "warning").map((d) => d.code))];
    known.against = expected.size > 0 ? "onnxruntime" : "float interpreter";
    const want =
      expected.size > 0
        ? expected
        : new Map((float.func.attrs["outputs"] as readonly string[]).map((n, o) => [n, exact.map((y) => y[o]!)]));
    const path = join(dir, "nn.hir");
    const fixed = parseModule(readFileSync(path, "utf8"), path, session.sink)!;
    if (held.length > 0) known.fixed = distances(float, want, runFixed(fixed, held), fixed);
    return { name, outcome: "compiled", ...known };
  } catch (e) {
    if (!(e instanceof UserError))
      return {
        name,
        outcome: "crash",
        ...known,
        errors: [{ code: "", message: e instanceof Error ? e.message.slice(0, 300) : String(e) }],
      };
    return { name, outcome: "refused", ...known, errors: messages(e.diagnostics) };
  } finally {
    watch.end();
  }
}

/** Ends the process when a step takes more processor time than it may: a thread of its own looks at the clock. */
interface Watch {
  begin(): void;
  /** Seconds since `begin`. */
  end(): number;
}

function watchOf(seconds: number): Watch {
  // Microseconds of processor time at which the process ends.
  const limit = new Float64Array(new SharedArrayBuffer(8)).fill(Infinity);
  const code = `const { workerData: limit } = require("node:worker_threads");
    setInterval(() => { const u = process.cpuUsage(); if (u.user + u.system > limit[0]) process.kill(process.pid, "SIGKILL"); }, 200);`;
  new Worker(code, { eval: true, workerData: limit }).unref();
  let started = 0;
  const now = (): number => {
    const u = process.cpuUsage();
    return u.user + u.system;
  };
  return {
    begin: () => {
      started = now();
      limit[0] = started + seconds * 1e6;
    },
    end: () => {
      limit[0] = Infinity;
      return Math.round((now() - started) / 1e5) / 10;
    },
  };
}

const [jobs, seconds] = process.argv.slice(2) as [string, string];
const watch = watchOf(Number(seconds));
const work = mkdtempSync(join(tmpdir(), "onnx-hls-real-"));
try {
  for (const job of JSON.parse(readFileSync(jobs, "utf8")) as Job[]) {
    writeSync(1, `${JSON.stringify({ start: job.name })}\n`);
    writeSync(1, `${JSON.stringify(await measure(job, join(work, "design"), watch))}\n`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exit(0);
