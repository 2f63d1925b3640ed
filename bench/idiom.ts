/**
 * One network with data beside it: compiled with defaults, run in the bit-exact model, and simulated, against the
 * outputs that are expected.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { compileModel, newSession, runDesign, simulateDesign, type Resources } from "../src/driver.js";
import { Sink, UserError } from "../src/diagnostics/index.js";
import { importOnnx } from "../src/frontend/import.js";
import { readArrays, writeNpz } from "../src/frontend/npz.js";
import type { ConstTensor } from "../src/frontend/tensor-data.js";
import { elementCount, type TensorType } from "../src/ir/types.js";
import { dataSets } from "../scripts/data-sets.js";

/** Networks beyond take Verilator minutes. */
export const MAX_SIMULATED_MACS = 20e6;

export interface IdiomRecord {
  readonly name: string;
  /** Why there is no design; absent where there is. */
  readonly refused?: string;
  readonly samples?: number;
  readonly macs?: number;
  readonly initiation_interval?: number;
  readonly latency?: number;
  readonly multipliers?: number;
  readonly resources?: Resources;
  /** Of the bit-exact model against the expected outputs. */
  readonly agreement?: Agreement;
  /** Of the cycle-accurate simulation. */
  readonly verilator?: { readonly mismatches: number; readonly initiation_interval: number; readonly latency: number };
}

export interface Agreement {
  /**
   * Share of rows (along the last axis) with their largest element at the same place; null where all rows have one
   * element.
   */
  readonly argmax: number | null;
  /** Of the worst output; null where all outputs are equal. */
  readonly sqnr_db: number | null;
  readonly max_abs_error: number;
  /** Share of equal elements. */
  readonly equal: number;
}

interface Samples {
  readonly count: number;
  readonly inputs: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** By position, all samples in a row. */
  readonly outputs: readonly Float64Array[];
  readonly lastAxes: readonly number[];
}

/** Data sets as one data file; a data set may hold several samples where the first dimension is symbolic. */
function samplesOf(dir: string): Samples {
  const sink = new Sink();
  const path = join(dir, "model.onnx");
  const module = importOnnx(readFileSync(path), path, sink);
  sink.throwIfErrors();
  const names = module!.func.attrs["inputs"] as readonly string[];
  const types = module!.func.body.args.map((a) => a.type as TensorType);
  const results = module!.func.body.terminator.operands.map((v) => v.type as TensorType);
  const sets = dataSets(dir);
  const of = (name: string): ConstTensor[] =>
    sets.map((s) => {
      const t = s.inputs.get(name);
      if (t === undefined) throw UserError.of("NP001", { reason: `no data for input "${name}"` });
      return t;
    });
  const inputs = names.map((name, i) => ({
    name,
    shape: types[i]!.shape,
    data: Float32Array.from(of(name).flatMap((t) => [...t.data])),
  }));
  const count = inputs[0]!.data.length / elementCount(inputs[0]!.shape);
  return {
    count,
    inputs: new Map(
      inputs.map((x) => [x.name, { shape: [count * (x.shape[0] ?? 1), ...x.shape.slice(1)], data: x.data }]),
    ),
    outputs: results.map((_, o) => Float64Array.from(sets.flatMap((s) => [...s.outputs[o]!.data]))),
    lastAxes: results.map((t) => t.shape[t.shape.length - 1] ?? 1),
  };
}

function largestAt(data: ArrayLike<number>, start: number, n: number): number {
  let at = 0;
  for (let i = 1; i < n; i++) if (data[start + i]! > data[start + at]!) at = i;
  return at;
}

export function agreementOf(
  got: readonly ArrayLike<number>[],
  want: readonly ArrayLike<number>[],
  lastAxes: readonly number[],
): Agreement {
  let [rows, same, elements, equal, worst] = [0, 0, 0, 0, 0];
  let sqnr = Infinity;
  for (const [o, y] of want.entries()) {
    let [signal, noise] = [0, 0];
    for (let i = 0; i < y.length; i++) {
      const d = got[o]![i]! - y[i]!;
      signal += y[i]! ** 2;
      noise += d ** 2;
      worst = Math.max(worst, Math.abs(d));
      // Outputs are written as float32.
      if (Math.abs(d) <= 2 ** -22 * Math.abs(y[i]!)) equal++;
    }
    elements += y.length;
    if (noise > 0) sqnr = Math.min(sqnr, 10 * Math.log10(signal / noise));
    const n = lastAxes[o]!;
    if (n < 2) continue;
    for (let r = 0; r < y.length; r += n) {
      rows++;
      if (largestAt(y, r, n) === largestAt(got[o]!, r, n)) same++;
    }
  }
  return {
    argmax: rows === 0 ? null : same / rows,
    sqnr_db: Number.isFinite(sqnr) ? sqnr : null,
    max_abs_error: worst,
    equal: elements === 0 ? 1 : equal / elements,
  };
}

/** A data file with the samples as often as it takes to fill the pipeline and then to see it full for a while. */
function fillingData(
  samples: Samples,
  design: { readonly latency: number; readonly initiation_interval: number },
  work: string,
): string {
  const times = Math.ceil((2 * Math.ceil(design.latency / design.initiation_interval) + 8) / samples.count);
  const path = join(work, "filling.npz");
  writeFileSync(
    path,
    writeNpz(
      new Map(
        [...samples.inputs].map(([name, { shape, data }]) => {
          const all = new Float32Array(times * data.length);
          for (let t = 0; t < times; t++) all.set(data, t * data.length);
          return [name, { shape: [times * shape[0]!, ...shape.slice(1)], data: all }];
        }),
      ),
    ),
  );
  return path;
}

/** @param work a folder for the design, which is removed afterwards */
export async function measureIdiom(dir: string, work: string, verilator: boolean): Promise<IdiomRecord> {
  const name = basename(dir);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    const samples = samplesOf(dir);
    const data = join(work, "data.npz");
    writeFileSync(data, writeNpz(new Map(samples.inputs)));
    const design = join(work, "design");
    const report = await compileModel(join(dir, "model.onnx"), { out: design, calib: data }, newSession());
    const out = join(work, "out.npz");
    await runDesign(design, { input: data, output: out }, newSession());
    const arrays = readArrays(readFileSync(out), out);
    const got = report.ports.filter((p) => p.direction === "output").map((p) => arrays.get(p.name)!.data);
    const simulated =
      verilator && report.macs < MAX_SIMULATED_MACS
        ? await simulateDesign(
            design,
            { input: fillingData(samples, report, work), output: join(work, "sim.npz"), quickBuild: true },
            newSession(),
          )
        : undefined;
    return {
      name,
      samples: samples.count,
      macs: report.macs,
      initiation_interval: report.initiation_interval,
      latency: report.latency,
      multipliers: report.multipliers,
      resources: report.resources,
      agreement: agreementOf(got, samples.outputs, samples.lastAxes),
      ...(simulated !== undefined && {
        verilator: {
          mismatches: simulated.mismatches,
          initiation_interval: simulated.initiation_interval,
          latency: simulated.latency,
        },
      }),
    };
  } catch (e) {
    if (!(e instanceof UserError)) throw e;
    const d = e.diagnostics[0]!;
    return { name, refused: `${d.code}${d.place.node === undefined ? "" : ` (${d.place.node})`}: ${d.message}` };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
