/** What every driver function gets: the outside world, the messages, and a way to show progress. */
import { Sink, UserError } from "../diagnostics/index.js";
import { nodeHost, type Host } from "../host.js";

export interface Session {
  readonly host: Host;
  readonly sink: Sink;
  /** `done` of `total` steps of `phase`; `total` 0 where it is not known. */
  readonly progress: (phase: string, done: number, total: number) => void;
}

export function newSession(host: Host = nodeHost(), progress: Session["progress"] = () => {}): Session {
  return { host, sink: new Sink(), progress };
}

/** Text of an input file. @errors IO001 */
export function readText(host: Host, path: string): string {
  return new TextDecoder().decode(readBytes(host, path));
}

/** Bytes of an input file. @errors IO001 */
export function readBytes(host: Host, path: string): Uint8Array {
  try {
    return host.readFile(path);
  } catch (e) {
    throw UserError.of("IO001", { path, reason: reasonOf(e) });
  }
}

/** Why the file system refused, without the name of the system call. */
export function reasonOf(e: unknown): string {
  const code = (e as { code?: unknown }).code;
  const words: Record<string, string> = {
    ENOENT: "no such file or folder",
    EACCES: "permission denied",
    EPERM: "permission denied",
    EISDIR: "it is a folder",
    ENOTDIR: "a part of the path is a file, not a folder",
    EROFS: "the file system is read-only",
    ENOSPC: "the disk is full",
    EXDEV: "it lies on another file system",
  };
  return (typeof code === "string" ? words[code] : undefined) ?? (e instanceof Error ? e.message : String(e));
}
