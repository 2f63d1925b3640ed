import type { Host } from "../../src/host.js";

/** Files in memory, and the lines that were logged. */
export interface MemoryHost extends Host {
  readonly lines: string[];
  readonly files: Map<string, Uint8Array>;
  text(path: string): string;
  /** Sorted paths of the files under `folder`. */
  names(folder: string): string[];
}

export function memoryHost(initial: Readonly<Record<string, string | Uint8Array>> = {}): MemoryHost {
  const bytes = (data: string | Uint8Array): Uint8Array =>
    typeof data === "string" ? new TextEncoder().encode(data) : data;
  const files = new Map(Object.entries(initial).map(([k, v]) => [k, bytes(v)]));
  const lines: string[] = [];
  const under = (path: string): string[] => [...files.keys()].filter((k) => k === path || k.startsWith(`${path}/`));
  let clock = 0;
  const read = (path: string): Uint8Array => {
    const data = files.get(path);
    if (data === undefined)
      throw Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: "ENOENT" });
    return data;
  };
  return {
    files,
    lines,
    text: (path) => new TextDecoder().decode(read(path)),
    names: (folder) => under(folder).sort(),
    readFile: read,
    writeFile: (path, data) => void files.set(path, bytes(data)),
    exists: (path) => under(path).length > 0,
    list: (path) => [...new Set(under(path).map((k) => k.slice(path.length + 1).split("/")[0]!))].sort(),
    isFolder: (path) => !files.has(path) && under(path).length > 0,
    makeDir: () => {},
    rename: (from, to) => {
      for (const key of under(from)) {
        files.set(to + key.slice(from.length), files.get(key)!);
        files.delete(key);
      }
    },
    remove: (path) => {
      for (const key of under(path)) files.delete(key);
    },
    log: (line) => void lines.push(line),
    now: () => clock++,
  };
}
