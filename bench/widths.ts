/**
 * What decides widths, measured: rules against the general mechanism (budget.ts), and each rule and constant against
 * its absence. Networks are quantized and evaluated bit by bit, nothing is compiled; accuracy is measured on samples
 * that do not calibrate. Cost is that of src/passes/nn/quantize/area.ts: one-bit cells of multipliers, tables and
 * registers per sample.
 *
 *   npm run bench:widths -- [--shared DIR] [--filter TEXT] [--json FILE] [--resume] [--max-macs N]
 *   npm run bench:widths -- --fires                       which rule sets how many widths of which networks
 *   npm run bench:widths -- --without tensor/light        the networks where a rule applies, with it and without
 *   npm run bench:widths -- --vary lightShare=0.003,0.03  other values of a constant
 *   npm run bench:widths -- --each                        all of these: every rule and every value that width-rules.md names
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { UserError } from "../src/diagnostics/index.js";
import type { Module } from "../src/ir/core.js";
import { shapeOf } from "../src/ir/nn/values.js";
import { printModule } from "../src/ir/text/printer.js";
import { hardwareCost } from "../src/passes/nn/quantize/area.js";
import { WidthBudget, type Keep } from "../src/passes/nn/quantize/budget.js";
import { buildFixed } from "../src/passes/nn/quantize/build.js";
import { macsOf } from "../src/passes/nn/quantize/linear.js";
import { QUANTIZE_DEFAULTS } from "../src/passes/nn/quantize/index.js";
import { defaultPrecision, type PrecisionSpec } from "../src/passes/nn/quantize/precision.js";
import { outputsOf, Trials } from "../src/passes/nn/quantize/trial.js";
import { WIDTH_CONSTANTS, type WidthConstants } from "../src/passes/nn/quantize/width-constants.js";
import type { QuantizeOptions } from "../src/passes/nn/quantize/width-facts.js";
import { widthEntries } from "../src/passes/nn/quantize/width-report.js";
import { WIDTH_RULES } from "../src/passes/nn/quantize/width-rules.js";
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

  trials(): Trials {
    const { float, calibration } = this.network;
    return new Trials(float, calibration, QUANTIZE_DEFAULTS.options, QUANTIZE_DEFAULTS.weights);
  }

  measure(trials: Trials, precision: PrecisionSpec = defaultPrecision, options: Options = {}): Measured {
    return this.measureModule(trials.build(precision, options).module);
  }

  measureModule(module: Module): Measured {
    const { float, test } = this.network;
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
  readonly maxMacs?: string;
  readonly fires?: boolean;
  readonly without?: string;
  readonly vary?: string;
  readonly each?: boolean;
  readonly rules: string;
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
      const macs = network.float.func.body.ops.reduce((n, op) => n + macsOf(op), 0);
      if (macs > Number(flags.maxMacs ?? Infinity)) continue;
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

/** What another plan does to the networks that it changes. */
export interface Change {
  readonly what: string;
  /** Networks, and those of them that change. */
  readonly networks: number;
  readonly changed: readonly {
    readonly name: string;
    readonly before: Measured;
    /** Null where an accumulator would become too wide. */
    readonly after: Measured | null;
  }[];
}

function changes(
  list: ReturnType<typeof widthNetworks>,
  variants: readonly { readonly what: string; readonly options: Options }[],
): Change[] {
  const found = variants.map(({ what }) => ({ what, networks: 0, changed: [] as Change["changed"][number][] }));
  for (const { load } of list) {
    const network = load();
    if (network === undefined) continue;
    const bench = new Bench(network);
    const trials = bench.trials();
    const { module } = trials.build(defaultPrecision);
    const [before, text] = [bench.measureModule(module), printModule(module)];
    for (const [i, { options }] of variants.entries()) {
      const entry = found[i];
      if (entry === undefined) continue;
      entry.networks++;
      try {
        const other = trials.build(defaultPrecision, options).module;
        if (printModule(other) === text) continue;
        entry.changed.push({ name: network.name, before, after: bench.measureModule(other) });
      } catch (e) {
        if (!(e instanceof UserError)) throw e;
        entry.changed.push({ name: network.name, before, after: null });
      }
    }
    process.stderr.write(`${network.name}\n`);
  }
  return found;
}

/** One line per variant. */
export function changeTable(found: readonly Change[]): string {
  const mean = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0) / Math.max(1, of.length);
  const rows = found.map(({ what, changed }) => {
    const differences = changed.flatMap(({ before, after }) =>
      before.sqnr_db === null || after === null || after.sqnr_db === null ? [] : [after.sqnr_db - before.sqnr_db],
    );
    const cost = mean(changed.flatMap(({ before, after }) => (after === null ? [] : [after.cost / before.cost - 1])));
    const dB = (x: number): string => (differences.length === 0 ? "" : x.toFixed(1));
    return line([
      what,
      String(changed.length),
      dB(mean(differences)),
      dB(Math.min(...differences)),
      dB(Math.max(...differences)),
      changed.length === 0 ? "" : `${(100 * cost).toFixed(1)} %`,
    ]);
  });
  const head = ["change", "networks", "mean dB", "worst dB", "best dB", "mean cost"];
  return `${[line(head), line(["---", ...head.slice(1).map(() => "---:")]), ...rows].join("\n")}\n`;
}

function without(rules: string): { what: string; options: Options } {
  return { what: `without ${rules}`, options: { without: new Set(rules.split(",")) } };
}

function varied(text: string): { what: string; options: Options }[] {
  const [name = "", values = ""] = text.split("=");
  return values.split(",").map((value) => ({
    what: `${name} ${value}`,
    options: { constants: { [name]: Number(value) } as Partial<WidthConstants> },
  }));
}

/** Every rule that can be left out, and every value of a constant that its source names. */
function eachVariant(): { what: string; options: Options }[] {
  const rules = Object.entries(WIDTH_RULES).flatMap(([kind, list]) =>
    list.slice(0, -1).flatMap((r) => (r.stated === true ? [] : [without(`${kind}/${r.name}`)])),
  );
  const constants = Object.values(WIDTH_CONSTANTS).flatMap((c) => /--vary (\S+)`/.exec(c.source)?.[1] ?? []);
  return [...rules, ...constants.flatMap(varied)];
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
    .option("--max-macs <n>", "leave out networks of more multiply-accumulates: some of them take minutes")
    .option("--fires", "count which rule sets how many widths")
    .option("--without <rules>", "leave out rules, as tensor/light,weights/light")
    .option("--each", "every rule and every constant")
    .option("--rules <file>", "where --each writes", join(here, "width-rules-results.json"))
    .option("--vary <values>", "other values of a constant, as lightShare=0.003,0.03");
  program.parse();
  const flags = program.opts<Flags>();
  const list = widthNetworks(join(here, ".."), flags.shared).filter((n) => n.name.includes(flags.filter ?? ""));
  if (flags.fires === true) return fires(list);
  const variants = [
    ...(flags.each === true ? eachVariant() : []),
    ...(flags.without === undefined ? [] : [without(flags.without)]),
    ...(flags.vary === undefined ? [] : varied(flags.vary)),
  ];
  if (variants.length === 0) return compareAll(flags, list);
  const found = changes(list, variants);
  if (flags.each === true) writeFileSync(flags.rules, `${JSON.stringify(found, null, 1)}\n`);
  else
    for (const { what, changed } of found)
      for (const { name, before, after } of changed)
        process.stdout.write(
          `${name.padEnd(28)} ${db(before.sqnr_db)} dB, ${what}: ${after === null ? "too wide" : `${db(after.sqnr_db)} dB, cost ${(100 * (after.cost / before.cost - 1)).toFixed(2)} %`}\n`,
        );
  process.stdout.write(changeTable(found));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
