/**
 * Runs in every worker of a mutation run, before the modules of the project: which mutant is in force, which ones a
 * test reaches, and an end to what does not end.
 *
 * The limit counts processor time, so that a busy machine kills no mutant.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeEach, expect } from "vitest";
import type { Control, Reached } from "./control.js";

const folder = process.env["MUTATION_FOLDER"] ?? "";
const control = JSON.parse(readFileSync(join(folder, "control.json"), "utf8")) as Control;

/** Mutants by the test that reached them; "" while modules are loaded. */
const reached = new Map<string, Set<number>>([["", new Set()]]);
const seconds = new Map<string, number>();
let now = reached.get("") ?? new Set<number>();

const scope = globalThis as { __mutant?: (id: number) => boolean; __watched?: true };
scope.__mutant =
  control.mutant === undefined
    ? (id) => {
        now.add(id);
        return false;
      }
    : (id) => id === control.mutant;

const processorSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

const loaded = processorSeconds();
if (control.mutant === undefined) {
  let began = 0;
  beforeEach(() => {
    const name = expect.getState().currentTestName ?? "";
    now = reached.get(name) ?? new Set();
    reached.set(name, now);
    began = processorSeconds();
  });
  afterEach(() => {
    const name = expect.getState().currentTestName ?? "";
    seconds.set(name, (seconds.get(name) ?? 0) + processorSeconds() - began);
    now = reached.get("") ?? now;
  });
  afterAll(() => {
    const file = expect.getState().testPath ?? "";
    const inTests = [...seconds.values()].reduce((a, b) => a + b, 0);
    const record: Reached = {
      file,
      overhead: processorSeconds() - loaded - inTests,
      tests: [...reached].map(([name, ids]) => ({ name, ids: [...ids], seconds: seconds.get(name) ?? 0 })),
    };
    mkdirSync(join(folder, "reached"), { recursive: true });
    writeFileSync(join(folder, "reached", `${encodeURIComponent(file)}.json`), JSON.stringify(record));
  });
} else if (scope.__watched === undefined) {
  // A loop that does not end blocks this thread: another one watches the clock of the process.
  scope.__watched = true;
  const watch = `
    const { workerData } = require("node:worker_threads");
    const { writeFileSync } = require("node:fs");
    setInterval(() => {
      const { user, system } = process.cpuUsage();
      if ((user + system) / 1e6 < workerData.limit) return;
      writeFileSync(workerData.file, "limit");
      process.kill(process.pid, "SIGKILL");
    }, 200);`;
  new Worker(watch, {
    eval: true,
    workerData: { limit: processorSeconds() + control.limitSeconds, file: join(folder, "over") },
  }).unref();
}
