/**
 * Provenance of a build: manifest.json names what went in (model, calibration data, options, compiler) and the digest of
 * every file that came out. It holds no time, no path of the machine and nothing random, so the same input gives the
 * same bytes everywhere.
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { UserError } from "../diagnostics/index.js";
import type { Host } from "../host.js";
import { VERSION } from "../version.js";
import { MANIFEST } from "./atomic.js";
import type { Settings } from "./config.js";
import { readBytes, readText, type Session } from "./session.js";

export const PROVENANCE = "manifest.json";

/** A file that went in: its name without folders, SHA-256 of its bytes in hexadecimal. */
export interface InputFile {
  readonly file: string;
  readonly sha256: string;
}

export interface Manifest {
  readonly format: 1;
  readonly compiler: string;
  /** SHA-256 over all that determines the result: compiler, network, calibration data, options. */
  readonly build: string;
  /** Of the imported network, weights included. */
  readonly network: string;
  readonly model: InputFile;
  readonly calibration?: InputFile;
  /** SHA-256 of the sensor that the network has a front end for, with its numbers per pixel. */
  readonly sensor?: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** SHA-256 of each file of the folder by its path; of report.json without the time that the compiler took. */
  readonly files: Readonly<Record<string, string>>;
}

/** What `verify` finds. Paths are relative to the folder. */
export interface Verification {
  readonly build: string;
  readonly compiler: string;
  /** Files that are as they were written. */
  readonly intact: number;
  readonly changed: readonly string[];
  readonly missing: readonly string[];
  /** Files beside them that are of no build: results, notes. */
  readonly others: readonly string[];
}

export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** Name and digest of an input file. @errors IO001 */
export function inputFile(path: string, host: Host): InputFile {
  return { file: basename(path), sha256: sha256(readBytes(host, path)) };
}

export function makeManifest(
  network: string,
  inputs: Pick<Manifest, "model" | "calibration" | "sensor">,
  settings: Settings,
  files: ReadonlyMap<string, string | Uint8Array>,
): Manifest {
  const options = statedOptions(settings);
  const compiler = `onnx-hls ${VERSION}`;
  // Names of files do not matter to the result, their contents do.
  const { calibration, sensor } = inputs;
  const parts = [compiler, network, calibration?.sha256 ?? null, options, ...(sensor === undefined ? [] : [sensor])];
  const build = sha256(JSON.stringify(parts));
  return {
    format: 1,
    compiler,
    build,
    network,
    ...inputs,
    options,
    files: Object.fromEntries([...files].sort(byName).map(([name, text]) => [name, digestOf(name, text)])),
  };
}

/**
 * Holds a folder that `compile` wrote against its manifest.
 *
 * @errors IO001, IO004, IO007
 */
export function verifyBuild(dir: string, session: Session): Verification {
  const { host } = session;
  const path = join(dir, PROVENANCE);
  if (!host.exists(path)) throw UserError.of("IO004", { path: dir, missing: PROVENANCE });
  const manifest = parseManifest(readText(host, path), path);
  const names = Object.keys(manifest.files);
  const missing = names.filter((name) => !host.exists(join(dir, name)));
  const changed = names.filter(
    (name) => !missing.includes(name) && digestOf(name, readBytes(host, join(dir, name))) !== manifest.files[name],
  );
  const known = new Set([...names, PROVENANCE, MANIFEST]);
  return {
    build: manifest.build,
    compiler: manifest.compiler,
    intact: names.length - missing.length - changed.length,
    changed,
    missing,
    others: filesBelow(dir, host).filter((name) => !known.has(name)),
  };
}

/** @errors IO007 */
function parseManifest(text: string, path: string): Manifest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw UserError.of("IO007", { path, reason: "it is not JSON" });
  }
  const m = parsed as Partial<Manifest> | null;
  const strings = (record: unknown): boolean =>
    typeof record === "object" && record !== null && Object.values(record).every((v) => typeof v === "string");
  if (m === null || typeof m !== "object" || m.format !== 1)
    throw UserError.of("IO007", { path, reason: "its format is not 1" });
  if (typeof m.build !== "string" || typeof m.compiler !== "string" || !strings(m.files))
    throw UserError.of("IO007", { path, reason: "build, compiler or files are missing" });
  return m as Manifest;
}

/** What was asked for, whatever way it was asked: all settings but the file of the calibration data, sorted by name. */
function statedOptions({ calib: _, ...settings }: Settings): Readonly<Record<string, unknown>> {
  return canonical(settings) as Record<string, unknown>;
}

/** JSON in which equal things look the same: keys sorted, maps as objects, nothing for what is undefined. */
export function canonical(value: unknown): unknown {
  if (value instanceof Map) return canonical(Object.fromEntries(value));
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return Object.fromEntries(entries.sort(byName).map(([k, v]) => [k, canonical(v)]));
}

/** Time is the one thing in the report that another run does not repeat. */
function digestOf(name: string, data: string | Uint8Array): string {
  if (name !== "report.json") return sha256(data);
  const text = typeof data === "string" ? data : new TextDecoder().decode(data);
  return sha256(text.replace(/^ "compile_seconds": [-+.\de]+,?$/m, ""));
}

function filesBelow(dir: string, host: Host, prefix = ""): string[] {
  return host.list(join(dir, prefix)).flatMap((name) => {
    const path = prefix === "" ? name : `${prefix}/${name}`;
    const inside = host.isFolder(join(dir, path)) ? filesBelow(dir, host, path) : undefined;
    return inside ?? [path];
  });
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
