/** The order of the folders: imports run one way, explicit lists name every file, only the command line prints. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { builtinPasses } from "../src/passes/registry.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const src = join(root, "src");
const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((f) => f.endsWith(".ts"))
  .sort();

/** Folder (or root file) of `src` that a file belongs to. */
function area(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : file;
}

/** What each area may import, besides itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  diagnostics: [],
  "host.ts": [],
  "version.ts": [],
  ir: ["diagnostics"],
  frontend: ["ir", "diagnostics", "host.ts"],
  sensor: ["ir", "diagnostics", "host.ts", "frontend"],
  passes: ["ir", "diagnostics", "host.ts"],
  "backend-hls": ["ir", "diagnostics", "passes", "sensor"],
  "backend-verilog": ["ir", "diagnostics", "host.ts"],
  driver: [
    "ir",
    "diagnostics",
    "host.ts",
    "version.ts",
    "frontend",
    "sensor",
    "passes",
    "backend-hls",
    "backend-verilog",
  ],
  "driver.ts": [
    "driver",
    "ir",
    "diagnostics",
    "host.ts",
    "frontend",
    "sensor",
    "passes",
    "backend-hls",
    "backend-verilog",
  ],
  "index.ts": [
    "driver",
    "driver.ts",
    "ir",
    "diagnostics",
    "host.ts",
    "frontend",
    "sensor",
    "passes",
    "backend-hls",
    "backend-verilog",
  ],
  cli: ["driver", "driver.ts", "ir", "diagnostics", "host.ts", "version.ts", "passes", "index.ts"],
};

interface Import {
  readonly from: string;
  readonly to: string;
}
const sources = new Map(files.map((f) => [f, readFileSync(join(src, f), "utf8")]));
const imports: Import[] = files.flatMap((from) =>
  [
    ...sources
      .get(from)!
      .matchAll(/(?:^|\n)\s*(?:import|export)\b[^;"']*?["'](\.[^"']+\.js)["']|\bimport\(\s*["'](\.[^"']+\.js)["']/g),
  ].map((m) => ({
    from,
    to: relative(src, resolve(src, dirname(from), (m[1] ?? m[2])!)).replace(/\.js$/, ".ts"),
  })),
);

describe("structure of src", () => {
  it("is read by this test", () => {
    expect(imports.length).toBeGreaterThan(50);
    expect(files.map(area).filter((a) => allowed[a] === undefined)).toEqual([]);
  });
  it("imports only what exists", () => {
    expect(imports.filter((i) => !sources.has(i.to)).map((i) => `${i.from} -> ${i.to}`)).toEqual([]);
  });
  it("imports run downwards", () => {
    const wrong = imports.filter((i) => area(i.from) !== area(i.to) && !allowed[area(i.from)]!.includes(area(i.to)));
    expect(wrong.map((i) => `${i.from} -> ${i.to}`)).toEqual([]);
  });
  it("imports of the rooms of backend-hls run one way", () => {
    const rooms = ["device", "channel", "kernel", "fold", "design", "check", "emit", "raster"];
    const roomOf = (file: string): number =>
      /^backend-hls\/(\w+)\//.test(file) ? rooms.indexOf(file.split("/")[1]!) : rooms.length;
    expect(files.filter((f) => f.startsWith("backend-hls/") && roomOf(f) < 0)).toEqual([]);
    const wrong = imports.filter(
      (i) => i.from.startsWith("backend-hls/") && i.to.startsWith("backend-hls/") && roomOf(i.to) > roomOf(i.from),
    );
    expect(wrong.map((i) => `${i.from} -> ${i.to}`)).toEqual([]);
  });
  it("every file of backend-hls is tested at the interface of its room", () => {
    const read = (...path: string[]): string => readFileSync(join(root, "test", "backend", ...path), "utf8");
    // Beside test/backend/rooms/ROOM.test.ts.
    const more: Readonly<Record<string, readonly string[]>> = {
      kernel: ["adder-graph.test.ts"],
      check: ["check.test.ts"],
      // The front end of a sensor is driven as a whole, in the interpreter (shell) and in Verilog (detector.test.ts).
      raster: ["../sensor/shell.ts", "../sensor/refused.test.ts"],
    };
    const doors: Readonly<Record<string, readonly string[]>> = { raster: ["detector.ts", "plan.ts"] };
    const missing = files.filter((f) => {
      const [folder, room = "", file = ""] = f.split("/");
      if (folder !== "backend-hls" || file === "") return false;
      if (doors[room]?.includes(file) === false) return false;
      const own = room === "check" || room in doors ? [] : [read("rooms", `${room}.test.ts`)];
      const tests = [...own, ...(more[room] ?? []).map((t) => read(t))];
      return !tests.some((t) => t.includes(`backend-hls/${room}/${file.replace(/\.ts$/, ".js")}"`));
    });
    expect(missing).toEqual([]);
  });
  it("has no cycles between files", () => {
    const next = new Map<string, string[]>();
    // Types vanish at run time: a cycle through them is harmless.
    for (const i of imports) {
      const text = sources.get(i.from)!;
      const specifier = i.to.slice(i.to.lastIndexOf("/") + 1).replace(/\.ts$/, ".js");
      if (new RegExp(`import type [^;]*${specifier.replace(/[.]/g, "\\.")}"`).test(text)) continue;
      next.set(i.from, [...(next.get(i.from) ?? []), i.to]);
    }
    const state = new Map<string, "open" | "done">();
    const cycles: string[] = [];
    const visit = (f: string, path: readonly string[]): void => {
      if (state.get(f) === "done") return;
      if (state.get(f) === "open") return void cycles.push([...path.slice(path.indexOf(f)), f].join(" -> "));
      state.set(f, "open");
      for (const n of next.get(f) ?? []) visit(n, [...path, f]);
      state.set(f, "done");
    };
    files.forEach((f) => visit(f, []));
    expect(cycles).toEqual([]);
  });
  it("prints only from the command line", () => {
    const prints = files.filter(
      (f) => area(f) !== "cli" && /\bconsole\.|process\.(stdout|stderr|exit)\b/.test(sources.get(f)!),
    );
    expect(prints).toEqual([]);
  });
  it("knows no example", () => {
    expect(files.filter((f) => /bragg/i.test(sources.get(f)!))).toEqual([]);
  });
  it("lists every pass", () => {
    const defined = files
      .filter((f) => f.startsWith("passes/"))
      .flatMap((f) => [...sources.get(f)!.matchAll(/definePass\(\{\s*name: "([^"]+)"/g)].map((m) => m[1]!));
    expect(builtinPasses.map((p) => p.name).sort()).toEqual(defined.sort());
  });
});

describe("structure of test", () => {
  it("states no time limits: a busy machine would break them", () => {
    const tests = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" }).filter((f) =>
      f.endsWith(".test.ts"),
    );
    expect(
      tests.filter((f) =>
        /\{[^}\n]*\btimeout: *[\d_]+[^}\n]*\}, *(async )?\(/.test(readFileSync(join(root, "test", f), "utf8")),
      ),
    ).toEqual([]);
  });
});
