/**
 * Real files of other projects: each of bench/real-files.json that a folder holds is compiled with defaults on
 * generated data, and what comes out is compared with ONNX Runtime.
 *
 *   npm run bench:real -- --dir DIR [--only TEXT] [--json FILE] [--resume] [--markdown FILE]
 *
 * DIR holds the files, in any folders; they are found by their SHA-256. A compilation has 120 s of processor time. ONNX
 * Runtime is that of the Python in $ONNX_HLS_PYTHON (python3 where absent). Exit code 1 where a result is wrong, or
 * inaccurate without a word.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Command } from "commander";
import { isSilent, isWrong, type Job, type RealFile, type RealFileRecord } from "./real-file-record.js";
import { markdown, plain } from "./real-files-tables.js";

const CPU_SECONDS = 120;
const HEAP_MB = 6144;
/** Files whose data is made, and that are measured, by one process. */
const AT_ONCE = 8;

/** Paths by SHA-256 of all ONNX files below a folder. */
function filesBelow(dir: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const e of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (!e.isFile() || !e.name.endsWith(".onnx")) continue;
    const path = join(e.parentPath, e.name);
    found.set(createHash("sha256").update(readFileSync(path)).digest("hex"), path);
  }
  return found;
}

/** Data of all jobs, and what ONNX Runtime makes of them. */
function makeData(jobs: readonly Job[], work: string): void {
  const list = join(work, "data.json");
  writeFileSync(list, JSON.stringify(jobs));
  const r = spawnSync(
    process.env["ONNX_HLS_PYTHON"] ?? "python3",
    [join(import.meta.dirname, "real-files-reference.py"), list],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  if (r.status !== 0)
    throw new Error(
      "bench/real-files-reference.py failed; it needs a Python with onnx, onnxruntime and numpy: ONNX_HLS_PYTHON names one",
    );
}

/** Measures the jobs one after the other; a process that dies is replaced, and the job that it died of is recorded. */
async function measureAll(jobs: readonly Job[], work: string, done: (r: RealFileRecord) => void): Promise<void> {
  let left = [...jobs];
  while (left.length > 0) {
    const list = join(work, "jobs.json");
    writeFileSync(list, JSON.stringify(left));
    const child = spawn(
      process.execPath,
      [
        `--max-old-space-size=${HEAP_MB}`,
        "--import",
        "tsx",
        join(import.meta.dirname, "real-file.ts"),
        list,
        String(CPU_SECONDS),
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let said = "";
    child.stderr.on("data", (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
    const closed = once(child, "close");
    let running: string | undefined;
    for await (const line of createInterface({ input: child.stdout })) {
      const r = JSON.parse(line) as RealFileRecord | { start: string };
      if ("start" in r) {
        running = r.start;
        process.stderr.write(`  ${running}\n`);
        continue;
      }
      done(r);
      left = left.filter((j) => j.name !== r.name);
      running = undefined;
    }
    const [, signal] = (await closed) as [number | null, string | null];
    if (left.length === 0) return;
    if (running === undefined) throw new Error(`bench/real-file.ts ended: ${said.trim()}`);
    done(
      signal === "SIGKILL"
        ? { name: running, outcome: "timeout" }
        : {
            name: running,
            outcome: "crash",
            errors: [
              {
                code: "",
                message:
                  said
                    .split("\n")
                    .find((l) => /heap out of memory|Error:/.test(l))
                    ?.slice(0, 300) ?? `ended by ${signal ?? "itself"}`,
              },
            ],
          },
    );
    left = left.filter((j) => j.name !== running);
  }
}

async function main(): Promise<void> {
  const program = new Command("bench:real")
    .requiredOption("--dir <dir>", "folder with the files")
    .option("--list <file>", "the list", join(import.meta.dirname, "real-files.json"))
    .option("--only <text>", "only files whose name contains this")
    .option("--json <file>", "write the records", "real-files-results.json")
    .option("--resume", "keep what the JSON file holds already")
    .option("--markdown <file>", "write the tables as a page");
  program.parse();
  const options = program.opts<{
    dir: string;
    list: string;
    only?: string;
    json: string;
    resume?: boolean;
    markdown?: string;
  }>();
  const list = JSON.parse(readFileSync(options.list, "utf8")) as RealFile[];
  const paths = filesBelow(options.dir);
  const records =
    options.resume === true && existsSync(options.json)
      ? (JSON.parse(readFileSync(options.json, "utf8")) as RealFileRecord[])
      : [];
  const known = new Set(records.map((r) => r.name));
  const work = mkdtempSync(join(tmpdir(), "onnx-hls-real-files-"));
  try {
    const jobs = list.flatMap((f, i): Job[] => {
      const model = paths.get(f.sha256);
      if (model === undefined || known.has(f.name) || (options.only !== undefined && !f.name.includes(options.only)))
        return [];
      return [
        {
          name: f.name,
          model,
          data: join(work, `data-${i}`),
          ...(f.shapes !== undefined && { shapes: f.shapes }),
          ...(f.bind !== undefined && { bind: f.bind }),
        },
      ];
    });
    for (let i = 0; i < jobs.length; i += AT_ONCE) {
      const some = jobs.slice(i, i + AT_ONCE);
      process.stderr.write(`${i + 1} to ${i + some.length} of ${jobs.length}\n`);
      makeData(some, work);
      await measureAll(some, work, (r) => {
        records.push(r);
        records.sort((a, b) => (a.name < b.name ? -1 : 1));
        // Whatever ends the run, what is measured stays.
        writeFileSync(options.json, `[\n${records.map((x) => JSON.stringify(x)).join(",\n")}\n]\n`);
      });
      for (const j of some) rmSync(j.data, { recursive: true, force: true });
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(plain(records));
  if (options.markdown !== undefined)
    writeFileSync(options.markdown, markdown(list, records, new Date().toISOString().slice(0, 10)));
  process.exitCode = records.some((r) => r.outcome === "crash" || isWrong(r) || isSilent(r)) ? 1 : 0;
}

main().catch((e: unknown) => {
  console.error(e instanceof Error ? e.message : e);
  process.exitCode = 1;
});
