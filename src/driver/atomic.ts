/** Output folders and files that appear whole or not at all. */
import { randomBytes } from "node:crypto";
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "../diagnostics/index.js";
import type { Host } from "../host.js";
import { reasonOf } from "./session.js";

/** Lists what the compiler has put into a folder, so that a later run knows what it may replace. */
export const MANIFEST = ".onnx-hls.json";

/**
 * Calls `build` with a temporary folder next to `dir`, and puts that in the place of `dir` if it succeeds. Files in
 * `dir` that the compiler did not write are kept if the folder is one of ours, and otherwise stop the run.
 *
 * @errors IO002, IO003
 */
export async function writeFolder<T>(dir: string, host: Host, build: (temporary: string) => Promise<T>): Promise<T> {
  const target = resolve(dir);
  const old = host.list(target);
  const owned = readManifest(host, target);
  const foreign = old.filter((name) => !owned.includes(name) && name !== MANIFEST);
  if (foreign.length > 0 && !old.includes(MANIFEST))
    throw UserError.of("IO003", { path: dir, found: foreign.slice(0, 3).join(", ") });

  const temporary = besides(target, "new");
  try {
    guard(dir, () => host.makeDir(temporary));
    const result = await build(temporary);
    guard(dir, () => {
      const names = host.list(temporary);
      host.writeFile(join(temporary, MANIFEST), `${JSON.stringify({ entries: names })}\n`);
      replace(
        host,
        temporary,
        target,
        foreign.filter((n) => !names.includes(n)),
      );
    });
    return result;
  } finally {
    host.remove(temporary);
  }
}

/** Writes one file by way of a temporary one. @errors IO002 */
export function writeWhole(path: string, data: string | Uint8Array, host: Host): void {
  const target = resolve(path);
  const temporary = besides(target, "new");
  try {
    guard(path, () => {
      host.writeFile(temporary, data);
      host.rename(temporary, target);
    });
  } finally {
    host.remove(temporary);
  }
}

function besides(target: string, what: string): string {
  return join(dirname(target), `.${basename(target)}.${what}-${randomBytes(4).toString("hex")}`);
}

function replace(host: Host, temporary: string, target: string, keep: readonly string[]): void {
  if (!host.exists(target)) {
    host.rename(temporary, target);
    return;
  }
  for (const name of keep) host.rename(join(target, name), join(temporary, name));
  const aside = besides(target, "old");
  host.rename(target, aside);
  try {
    host.rename(temporary, target);
  } catch (e) {
    host.rename(aside, target);
    throw e;
  }
  host.remove(aside);
}

function readManifest(host: Host, dir: string): readonly string[] {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(host.readFile(join(dir, MANIFEST))));
    const entries = (parsed as { entries?: unknown }).entries;
    return Array.isArray(entries) ? entries.filter((n): n is string => typeof n === "string") : [];
  } catch {
    // No manifest, or a damaged one: then nothing is known to be ours.
    return [];
  }
}

function guard(path: string, action: () => void): void {
  try {
    action();
  } catch (e) {
    if (e instanceof UserError) throw e;
    throw UserError.of("IO002", { path, reason: reasonOf(e) });
  }
}
