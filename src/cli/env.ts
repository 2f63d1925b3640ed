/** The terminal, as the commands see it; tests pass their own. */
import { nodeHost, type Host } from "../host.js";

export interface CliEnv {
  readonly host: Host;
  /** Results. */
  readonly out: (text: string) => void;
  /** Messages and progress. */
  readonly err: (text: string) => void;
  /** Whether `err` is a terminal that can redraw a line. */
  readonly isTTY: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export function processEnv(): CliEnv {
  const err = (text: string): void => void process.stderr.write(text);
  return {
    host: nodeHost((line) => err(`${line}\n`)),
    out: (text) => void process.stdout.write(text),
    err,
    isTTY: process.stderr.isTTY === true && process.env["TERM"] !== "dumb",
    env: process.env,
  };
}
