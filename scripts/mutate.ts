/**
 * How much the tests notice: small changes to the compiler, each of which some test should fail on.
 *
 *   npm run mutate -- [--rooms ir,nn] [--per-room 25] [--seed 1] [--budget 60] [--json FILE] [--survivors FILE] [TESTS...]
 *
 * A seeded sample of the places found by `mutation/sites.ts` is put into the sources as switches, which the modules get
 * as vitest loads them. One run of the tests records which test reaches which switch; then each mutant is run against
 * the tests that reach it, the cheapest first, up to a budget of processor time. A mutant that no test within the
 * budget fails on has survived, and is shown; so has one that no test reaches. The score of a room is the share of its
 * mutants that were killed; those that `test/mutants-equivalent.txt` shows to mean the same are left out.
 *
 * `--survivors` takes the file of an earlier run with the same seed and sources, and runs only what survived then.
 * TESTS are files or folders of tests (default: those that need no other program).
 */
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { createVitest, type TestRunResult, type TestSpecification, type Vitest } from "vitest/node";
import { mulberry32 } from "../src/driver/evaluate.js";
import type { Control, Reached } from "./mutation/control.js";
import { type Site, sitesOf, withSwitches } from "./mutation/sites.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Parts of the sources that get a score of their own. */
const ROOMS: Readonly<Record<string, string>> = {
  ir: "src/ir",
  common: "src/passes/common",
  nn: "src/passes/nn",
  lower: "src/passes/lower",
  flow: "src/passes/flow",
  device: "src/backend-hls/device",
  channel: "src/backend-hls/channel",
  kernel: "src/backend-hls/kernel",
  fold: "src/backend-hls/fold",
  design: "src/backend-hls/design",
  check: "src/backend-hls/check",
  emit: "src/backend-hls/emit",
};
const TESTS = ["test/rtl", "test/text", "test/passes", "test/fixtures", "test/quantize", "test/backend"];

interface Mutant extends Site {
  readonly id: number;
  readonly room: string;
  readonly line: number;
  /** The same in every run with the same sources. */
  readonly key: string;
  /** Before and after, on the line where it begins. */
  readonly diff: string;
}

interface Outcome {
  readonly key: string;
  readonly room: string;
  readonly diff: string;
  readonly result: "killed" | "survived" | "not reached" | "equivalent";
  /** The test that failed, or why it counts as killed. */
  readonly by?: string;
}

function sample(rooms: readonly string[], perRoom: number, seed: number): Mutant[] {
  const mutants: Mutant[] = [];
  for (const room of rooms) {
    const folder = ROOMS[room];
    if (folder === undefined) throw new Error(`no room ${room}; there are ${Object.keys(ROOMS).join(", ")}`);
    const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).filter((f) =>
      f.endsWith(".ts"),
    );
    const texts = new Map(files.sort().map((f) => [join(folder, f), readFileSync(join(root, folder, f), "utf8")]));
    const sites = [...texts].flatMap(([file, text]) => sitesOf(file, text));
    const next = mulberry32(seed);
    const chosen: Site[] = [];
    while (chosen.length < perRoom && sites.length > 0) {
      const [site] = sites.splice(Math.floor(next() * sites.length), 1);
      if (site === undefined) break;
      if (chosen.every((c) => c.file !== site.file || c.end <= site.start || site.end <= c.start)) chosen.push(site);
    }
    chosen.forEach((site, i) => mutants.push(describe(site, room, i, texts.get(site.file) ?? "")));
  }
  // In turn, so that a run that is ended early says as much of each room.
  return mutants.sort((x, y) => x.id - y.id).map((m, id) => ({ ...m, id }));
}

function describe(site: Site, room: string, id: number, text: string): Mutant {
  const line = text.slice(0, site.start).split("\n").length;
  const begin = text.lastIndexOf("\n", site.start - 1) + 1;
  const end = text.indexOf("\n", site.end);
  const [before, after] = [
    text.slice(begin, end),
    text.slice(begin, site.start) + site.mutated + text.slice(site.end, end),
  ];
  const oneLine = (t: string): string => t.replace(/\s+/g, " ").trim();
  const key = `${site.file} | ${oneLine(before)} | ${oneLine(after)}`;
  return {
    ...site,
    id,
    room,
    line,
    key,
    diff: `${site.file}:${line} (${site.change})\n  - ${oneLine(before)}\n  + ${oneLine(after)}`,
  };
}

/** One vitest for all runs: what it has transformed stays. */
async function startVitest(mutants: readonly Mutant[], folder: string): Promise<Vitest> {
  process.env["MUTATION_FOLDER"] = folder;
  return createVitest(
    "test",
    {
      root,
      watch: false,
      bail: 1,
      pool: "forks",
      maxWorkers: 1,
      isolate: false,
      setupFiles: [join(root, "scripts/mutation/setup.ts")],
      reporters: [{}],
      testTimeout: 3_600_000,
      hookTimeout: 3_600_000,
    },
    {
      plugins: [
        {
          name: "mutants",
          enforce: "pre",
          transform(code, id) {
            const own = mutants.filter((m) => join(root, m.file) === id.split("?")[0]);
            return own.length === 0 ? undefined : { code: withSwitches(code, own), map: null };
          },
        },
      ],
    },
  );
}

interface Test {
  readonly file: string;
  readonly name: string;
  readonly seconds: number;
}

/** No mutant has this number: with it a run shows what fails by itself. */
const NONE = -1;

class Runs {
  /** Tests that fail on their own without any mutant: they need others to have run before, and say nothing. */
  private readonly unsound = new Map<string, boolean>();

  constructor(
    private readonly vitest: Vitest,
    private readonly folder: string,
    private readonly specs: readonly TestSpecification[],
  ) {}

  private control(c: Control): void {
    writeFileSync(join(this.folder, "control.json"), JSON.stringify(c));
  }

  /** Which test reaches which mutant. */
  async record(): Promise<Reached[]> {
    this.control({ limitSeconds: Infinity });
    this.vitest.config.bail = 0;
    await this.vitest.runTestSpecifications([...this.specs]);
    this.vitest.config.bail = 1;
    const reached = join(this.folder, "reached");
    return readdirSync(reached).map((f) => JSON.parse(readFileSync(join(reached, f), "utf8")) as Reached);
  }

  /** The test that fails with a mutant in force and not without, or why a run does not end. */
  async kill(mutant: number, tests: readonly Test[]): Promise<string | undefined> {
    for (;;) {
      const asked = tests.filter((t) => this.unsound.get(keyOf(t)) !== true);
      if (asked.length === 0) return undefined;
      const failure = await this.run(mutant, asked);
      if (failure === undefined || typeof failure === "string") return failure;
      const suspects = asked.filter((t) => failure.file === t.file && (failure.name === "" || failure.name === t.name));
      // What a mutant breaks in the loading of a file breaks all of its tests.
      const key = suspects.length === 1 ? keyOf(suspects[0] ?? failure) : undefined;
      if (key === undefined) {
        if ((await this.run(NONE, suspects)) === undefined) return relative(root, failure.file);
        for (const t of suspects) this.unsound.set(keyOf(t), true);
      } else {
        if (!this.unsound.has(key)) this.unsound.set(key, (await this.run(NONE, suspects)) !== undefined);
        if (this.unsound.get(key) === false) return `${relative(root, failure.file)}: ${failure.name}`;
      }
    }
  }

  private async run(
    mutant: number,
    tests: readonly Test[],
  ): Promise<{ file: string; name: string } | string | undefined> {
    const over = join(this.folder, "over");
    rmSync(over, { force: true });
    this.control({ mutant, limitSeconds: 30 + 4 * tests.reduce((s, t) => s + t.seconds, 0) });
    const files = new Set(tests.map((t) => t.file));
    const names = tests.map((t) => t.name.replaceAll(" > ", " ").replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.vitest.setGlobalTestNamePattern(new RegExp(`^(?:${names.join("|")})$`));
    this.vitest.state.clearErrors();
    const result = await this.vitest.runTestSpecifications(this.specs.filter((s) => files.has(s.moduleId)));
    if (existsSync(over)) return "a run that does not end";
    return failureOf(result) ?? (result.unhandledErrors.length > 0 ? String(result.unhandledErrors[0]) : undefined);
  }
}

function keyOf(t: { readonly file: string; readonly name: string }): string {
  return `${t.file}: ${t.name}`;
}

/** The first test that failed; without a name, a file that could not be loaded. */
function failureOf(result: TestRunResult): { file: string; name: string } | undefined {
  for (const module of result.testModules) {
    for (const test of module.children.allTests("failed")) return { file: module.moduleId, name: test.fullName };
    if (module.state() === "failed") return { file: module.moduleId, name: "" };
  }
  return undefined;
}

/** The tests that reach mutant `id`, cheapest first, up to `budget` seconds; the first batch is a tenth of that. */
function testsFor(id: number, reached: readonly Reached[], budget: number): Test[][] {
  const all = reached.flatMap(({ file, overhead, tests }) => {
    const atLoad = tests.some((t) => t.name === "" && t.ids.includes(id));
    return tests
      .filter((t) => t.name !== "" && (atLoad || t.ids.includes(id)))
      .map(({ name, seconds }) => ({ file, name, seconds, overhead }));
  });
  all.sort((x, y) => x.overhead + x.seconds - y.overhead - y.seconds);
  const [quick, slow]: [Test[], Test[]] = [[], []];
  const files = new Set<string>();
  let spent = 0;
  for (const t of all) {
    spent += t.seconds + (files.has(t.file) ? 0 : t.overhead);
    files.add(t.file);
    if (spent <= budget / 10 || all[0] === t) quick.push(t);
    else if (spent <= budget) slow.push(t);
  }
  return [quick, slow].filter((b) => b.length > 0);
}

/** Mutants that mean the same as the original, with the reason: `file | before | after | reason`. */
function equivalents(): ReadonlyMap<string, string> {
  const lines = readFileSync(join(root, "test/mutants-equivalent.txt"), "utf8").split("\n");
  return new Map(
    lines
      .filter((l) => l.includes(" | "))
      .map((l) => [l.slice(0, l.lastIndexOf(" | ")), l.slice(l.lastIndexOf(" | ") + 3)]),
  );
}

interface Options {
  readonly rooms?: string;
  readonly perRoom: string;
  readonly seed: string;
  readonly budget: string;
  readonly json?: string;
  readonly survivors?: string;
}

async function main(tests: readonly string[], o: Options): Promise<void> {
  const rooms = o.rooms?.split(",") ?? Object.keys(ROOMS);
  const earlier = o.survivors === undefined ? undefined : outcomesIn(o.survivors);
  const survived = new Set(
    earlier?.filter((e) => e.result === "survived" || e.result === "not reached").map((e) => e.key),
  );
  const mutants = sample(rooms, Number(o.perRoom), Number(o.seed)).filter(
    (m) => earlier === undefined || survived.has(m.key),
  );
  const same = equivalents();
  const folder = mkdtempSync(join(tmpdir(), "mutants-"));
  const vitest = await startVitest(mutants, folder);
  try {
    const specs = await vitest.globTestSpecifications(tests.length > 0 ? [...tests] : TESTS);
    const runs = new Runs(vitest, folder, specs);
    const reached = await runs.record();
    const outcomes: Outcome[] = [];
    for (const m of mutants) {
      let by = same.get(m.key);
      let result: Outcome["result"] = by === undefined ? "not reached" : "equivalent";
      if (by === undefined)
        for (const batch of testsFor(m.id, reached, Number(o.budget))) {
          by = await runs.kill(m.id, batch);
          result = by === undefined ? "survived" : "killed";
          if (by !== undefined) break;
        }
      const outcome: Outcome = { key: m.key, room: m.room, diff: m.diff, result, ...(by !== undefined && { by }) };
      outcomes.push(outcome);
      if (o.json !== undefined) appendFileSync(o.json, `${JSON.stringify(outcome)}\n`);
      process.stdout.write(`${result.padEnd(11)} ${m.diff}\n${by === undefined ? "" : `  by ${by}\n`}`);
    }
    for (const room of rooms) process.stdout.write(`${scoreOf(room, outcomes)}\n`);
    process.stdout.write(
      `${scoreOf(
        "all",
        outcomes.map((x) => ({ ...x, room: "all" })),
      )}\n`,
    );
  } finally {
    await vitest.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function outcomesIn(file: string): Outcome[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((l) => l !== "")
    .map((l) => JSON.parse(l) as Outcome);
}

function scoreOf(room: string, outcomes: readonly Outcome[]): string {
  const own = outcomes.filter((x) => x.room === room && x.result !== "equivalent");
  const killed = own.filter((x) => x.result === "killed").length;
  return `${room.padEnd(8)} ${killed} of ${own.length} killed${own.length === 0 ? "" : `, ${Math.round((100 * killed) / own.length)} %`}`;
}

await new Command()
  .argument("[tests...]")
  .option("--rooms <list>")
  .option("--per-room <n>", "", "25")
  .option("--seed <n>", "", "1")
  .option("--budget <seconds>", "", "60")
  .option("--json <file>")
  .option("--survivors <file>")
  .action(main)
  .parseAsync();
