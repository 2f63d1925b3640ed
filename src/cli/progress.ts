/** Progress on stderr: one line that is redrawn on a terminal, one line per phase elsewhere. */
import type { CliEnv } from "./env.js";

const BAR_WIDTH = 24;
/** Redrawing more often than this costs more than it shows. */
const MIN_INTERVAL_MS = 60;

export class Progress {
  private phase: string | undefined;
  private drawn = -Infinity;
  private dirty = false;

  constructor(
    private readonly env: CliEnv,
    private readonly quiet: boolean,
  ) {}

  readonly update = (phase: string, done: number, total: number): void => {
    if (this.quiet) return;
    const changed = phase !== this.phase;
    this.phase = phase;
    if (!this.env.isTTY) {
      if (changed) this.env.err(`${phase}\n`);
      return;
    }
    const now = this.env.host.now();
    if (!changed && done < total && now - this.drawn < MIN_INTERVAL_MS) return;
    this.drawn = now;
    this.dirty = true;
    this.env.err(`\r\u001b[K${total > 0 ? `${bar(done / total)} ` : ""}${phase}`);
  };

  /** Clears the line before anything else is printed. */
  end(): void {
    if (this.dirty) this.env.err("\r\u001b[K");
    this.dirty = false;
    this.phase = undefined;
  }
}

function bar(fraction: number): string {
  const f = Math.min(1, Math.max(0, fraction));
  const full = Math.round(f * BAR_WIDTH);
  return `[${"#".repeat(full)}${".".repeat(BAR_WIDTH - full)}] ${String(Math.round(f * 100)).padStart(3)}%`;
}
