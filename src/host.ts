/** The outside world, as the compiler sees it: injected, so that tests and programs can replace it. A leaf. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export interface Host {
  readFile(path: string): Uint8Array;
  /** Writes a file; makes its folder if it is missing. */
  writeFile(path: string, data: string | Uint8Array): void;
  exists(path: string): boolean;
  /** Names in a folder, sorted; empty where there is none. */
  list(path: string): string[];
  isFolder(path: string): boolean;
  makeDir(path: string): void;
  rename(from: string, to: string): void;
  /** Removes a file or a whole folder; nothing happens if it is not there. */
  remove(path: string): void;
  /** A line for the person who watches; never part of a result. */
  log(line: string): void;
  /** Milliseconds on a clock that does not jump. */
  now(): number;
}

/** Files of this machine; `log` says where the lines go (nowhere by default: only the command line prints). */
export function nodeHost(log: (line: string) => void = () => {}): Host {
  return {
    readFile: (path) => readFileSync(path),
    writeFile: (path, data) => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, data);
    },
    exists: existsSync,
    list: (path) => (existsSync(path) ? readdirSync(path).sort() : []),
    isFolder: (path) => existsSync(path) && statSync(path).isDirectory(),
    makeDir: (path) => void mkdirSync(path, { recursive: true }),
    rename: renameSync,
    remove: (path) => {
      if (existsSync(path)) rmSync(path, { recursive: true, force: true });
    },
    log,
    now: () => performance.now(),
  };
}
