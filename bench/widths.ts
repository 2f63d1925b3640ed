/**
 * What decides widths, measured: rules against the general mechanism (budget.ts), and each rule and constant against
 * its absence. Networks are quantized and evaluated bit by bit, nothing is compiled; accuracy is measured on samples
 * that do not calibrate. Cost is that of src/passes/nn/quantize/area.ts: one-bit cells of multipliers, tables and
 * registers per sample.
 *
 *   npm run bench:widths -- [--shared DIR] [--filter TEXT] [--json FILE] [--resume]
 *   npm run bench:widths -- --fires                       which rule sets how many widths of which networks
 *   npm run bench:widths -- --without tensor/light        the networks where a rule applies, with it and without
 *   npm run bench:widths -- --vary lightShare=0.003,0.03  another value of a constant
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { UserError } from "../src/diagnostics/index.js";
import { shapeOf } from "../src/ir/eval/nn-fixed.js";
import { hardwareCost } from "../src/passes/nn/quantize/area.js";
import { WidthBudget, type Keep } from "../src/passes/nn/quantize/budget.js";
import { buildFixed } from "../src/passes/nn/quantize/build.js";
import { QUANTIZE_DEFAULTS } from "../src/passes/nn/quantize/index.js";
import { defaultPrecision, type PrecisionSpec } from "../src/passes/nn/quantize/precision.js";
import { outputsOf, Trials } from "../src/passes/nn/quantize/trial.js";
import type { WidthConstants } from "../src/passes/nn/quantize/width-constants.js";
import type { QuantizeOptions } from "../src/passes/nn/quantize/width-facts.js";
import { widthEntries } from "../src/passes/nn/quantize/width-report.js";
import { agreementOf } from "./idiom.js";
import { widthNetworks, type WidthNetwork } from "./width-networks.js";

/** Of a network with some widths. */
interface Measured {
  /** Of the worst output, on samples that do not calibrate; null where all are equal. */
  readonly sqnr_db: number | null;
  /** Share of rows with the largest element at the same place; null where rows have one element. */
  readonly argmax: number | null;
  readonly cost: number;
}

export interface WidthRecord {
  readonly name: string;
  readonly refused?: string;
  readonly rules?: Measured;
  /** Least cost at the noise that rules leave, and least noise at their cost. */
  readonly same_noise?: Measured;
  readonly same_cost?: Measured;
  readonly seconds?: number;
}

type Options = Partial<Pick<QuantizeOptions, "constants" | "without">>;

const here = dirname(fileURLToPath(import.meta.url));

class Bench {
  private readonly expected: Float64Array[][];

  constructor(private readonly network: WidthNetwork) {
    this.expected = outputsOf(network.float, network.test);
  }

  trials(options: Options = {}): Trials {
    const { float, calibration } = this.network;
    return new Trials(float, calibration, { ...QUANTIZE_DEFAULTS.options, ...options }, QUANTIZE_DEFAULTS.weights);
  }

  measure(trials: Trials, precision: PrecisionSpec = defaultPrecision): Measured {
    const { float, test } = this.network;
    const { module } = trials.build(precision);
    const got = outputsOf(module, test);
    const outputs = float.func.body.terminator.operands;
    const join = (all: readonly (readonly Float64Array[])[], o: number): Float64Array =>
      Float64Array.from(all.flatMap((y) => [...(y[o] ?? [])]));
    const { sqnr_db, argmax } = agreementOf(
      outputs.map((_, o) => join(got, o)),
      outputs.map((_, o) => join(this.expected, o)),
      outputs.map((v) => shapeOf(v).at(-1) ?? 1),
    );
    return { sqnr_db, argmax, cost: hardwareCost(module) };
  }

  compare(): WidthRecord {
    const start = performance.now();
    const { float, calibration, name } = this.network;
    const trials = this.trials();
    const budget = new WidthBudget(float, {
      samples: calibration,
      base: defaultPrecision,
      quantize: QUANTIZE_DEFAULTS.options,
      weights: QUANTIZE_DEFAULTS.weights,
      progress: () => {},
    });
    const allocated = (keep: Keep): Measured => this.measure(trials, budget.allocate(keep).precision);
    return {
      name,
      rules: this.measure(trials),
      same_noise: allocated("noise"),
      same_cost: allocated("cost"),
      seconds: Math.round((performance.now() - start) / 100) / 10,
    };
  }

  /** `kind/rule` of every width. */
  fired(): string[] {
    const plan = this.trials().planned(defaultPrecision);
    const { roundings } = buildFixed(this.network.float, plan);
    return widthEntries(this.network.float, plan, roundings).map((e) => `${e.kind}/${e.rule}`);
  }
}

const db = (x: number | null | undefined): string => (x === null ? "exact" : x === undefined ? "-" : x.toFixed(1));
const share = (x: number | null | undefined): string => (x === null || x === undefined ? "" : (100 * x).toFixed(1));
const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** The table of docs/quantization.md. */
export function widthTable(records: readonly WidthRecord[]): string {
  const rows = records.flatMap((r) => {
    const { rules, same_noise: noise, same_cost: cost } = r;
    if (rules === undefined || noise === undefined || cost === undefined) return [];
    return [
      line([
        r.name,
        db(rules.sqnr_db),
        share(rules.argmax),
        String(Math.round(rules.cost / 1000)),
        db(noise.sqnr_db),
        share(noise.argmax),
        `${(100 * (noise.cost / rules.cost - 1)).toFixed(0)} %`,
        db(cost.sqnr_db),
        share(cost.argmax),
        `${(100 * (cost.cost / rules.cost - 1)).toFixed(0)} %`,
      ]),
    ];
  });
  const head = ["network", "dB", "argmax %", "kcells", "dB", "argmax %", "cost", "dB", "argmax %", "cost"];
  return `${[line(head), line(["---", ...head.slice(1).map(() => "---:")]), ...rows].join("\n")}\n`;
}

/** Means over the networks, of what can be compared. */
export function widthSummary(records: readonly WidthRecord[]): string {
  const complete = records.flatMap(({ rules, same_noise, same_cost }) =>
    rules === undefined || same_noise === undefined || same_cost === undefined
      ? []
      : [{ rules, same_noise, same_cost }],
  );
  const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / Math.max(1, list.length);
  const differences = (of: "same_noise" | "same_cost"): number[] =>
    complete.flatMap((r) =>
      r.rules.sqnr_db === null || r[of].sqnr_db === null ? [] : [r[of].sqnr_db - r.rules.sqnr_db],
    );
  const ratio = (of: "same_noise" | "same_cost"): number =>
    Math.exp(mean(complete.map((r) => Math.log(r[of].cost / r.rules.cost))));
  const said = (of: "same_noise" | "same_cost"): string => {
    const d = differences(of);
    const worse = d.filter((x) => x < -0.5).length;
    return `${(100 * (ratio(of) - 1)).toFixed(1)} % cost, ${mean(d).toFixed(2)} dB (worst ${Math.min(...d).toFixed(1)}, best ${Math.max(...d).toFixed(1)}; ${worse} of ${d.length} lose more than 0.5 dB)`;
  };
  return `${complete.length} networks. Budget against rules, at the rules' noise: ${said("same_noise")}; at the rules' cost: ${said("same_cost")}.`;
}

interface Flags {
  readonly shared: string;
  readonly filter?: string;
  readonly json: string;
  readonly resume?: boolean;
  readonly fires?: boolean;
  readonly without?: string;
  readonly vary?: string;
}

function compareAll(flags: Flags, list: ReturnType<typeof widthNetworks>): void {
  const old: WidthRecord[] =
    flags.resume === true && existsSync(flags.json)
      ? (JSON.parse(readFileSync(flags.json, "utf8")) as WidthRecord[])
      : [];
  const records = [...old];
  for (const { name, load } of list) {
    if (records.some((r) => r.name === name)) continue;
    try {
      const network = load();
      if (network === undefined) continue;
      records.push(new Bench(network).compare());
    } catch (e) {
      if (!(e instanceof UserError)) throw e;
      records.push({ name, refused: e.message });
    }
    const last = records.slice(-1);
    process.stderr.write(widthTable(last).split("\n")[2] ?? "");
    process.stderr.write(` ${last[0]?.refused ?? `${last[0]?.seconds} s`}\n`);
    writeFileSync(flags.json, `${JSON.stringify(records, null, 1)}\n`);
  }
  process.stdout.write(`${widthTable(records)}\n${widthSummary(records)}\n`);
}

/** The networks that another plan changes, with both. */
function change(list: ReturnType<typeof widthNetworks>, what: string, options: Options): void {
  let networks = 0;
  for (const { name, load } of list) {
    const network = load();
    if (network === undefined) continue;
    networks++;
    const bench = new Bench(network);
    const [before, after] = [bench.measure(bench.trials()), bench.measure(bench.trials(options))];
    if (before.sqnr_db === after.sqnr_db && before.cost === after.cost) continue;
    process.stdout.write(
      `${name.padEnd(32)} ${db(before.sqnr_db).padStart(6)} dB ${share(before.argmax).padStart(6)} %   ${what}: ${db(after.sqnr_db).padStart(6)} dB ${share(after.argmax).padStart(6)} %, cost ${(100 * (after.cost / before.cost - 1)).toFixed(2)} %\n`,
    );
  }
  process.stdout.write(`${what}: of ${networks} networks, the others do not change\n`);
}

function fires(list: ReturnType<typeof widthNetworks>): void {
  const counts = new Map<string, { widths: number; networks: Set<string> }>();
  for (const { name, load } of list) {
    const network = load();
    if (network === undefined) continue;
    for (const rule of new Bench(network).fired()) {
      const c = counts.get(rule) ?? { widths: 0, networks: new Set<string>() };
      c.widths++;
      c.networks.add(name);
      counts.set(rule, c);
    }
  }
  for (const [rule, { widths, networks }] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
    process.stdout.write(
      `${rule.padEnd(26)} ${String(widths).padStart(5)} widths of ${networks.size} networks, such as ${[...networks].slice(0, 3).join(", ")}\n`,
    );
}

function main(): void {
  const program = new Command("bench:widths")
    .option("--shared <dir>", "folder with models and onnx-suite", join(here, "../../shared"))
    .option("--filter <text>", "only networks whose name contains this")
    .option("--json <file>", "write the records", join(here, "widths-results.json"))
    .option("--resume", "keep what the JSON file holds already")
    .option("--fires", "count which rule sets how many widths")
    .option("--without <rules>", "leave out rules, as tensor/light,weights/light")
    .option("--vary <values>", "other values of a constant, as lightShare=0.003,0.03");
  program.parse();
  const flags = program.opts<Flags>();
  const list = widthNetworks(join(here, ".."), flags.shared).filter((n) => n.name.includes(flags.filter ?? ""));
  if (flags.fires === true) return fires(list);
  if (flags.without !== undefined)
    return change(list, `without ${flags.without}`, { without: new Set(flags.without.split(",")) });
  if (flags.vary !== undefined) {
    const [name = "", values = ""] = flags.vary.split("=");
    for (const value of values.split(","))
      change(list, `${name} ${value}`, { constants: { [name]: Number(value) } as Partial<WidthConstants> });
    return;
  }
  compareAll(flags, list);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
