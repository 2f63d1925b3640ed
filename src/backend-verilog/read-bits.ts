/** Which bits of named values a module's text reads: lint tools ask for a use of all the others. */
import type { Value } from "../ir/core.js";
import { bitsOf } from "../ir/rtl/index.js";

/** Which bits of named values the text reads. */
export class ReadBits {
  private readonly flags = new Map<Value, Uint8Array | "all">();

  mark(v: Value, lo: number, width: number): void {
    const total = bitsOf(v.type).width;
    if (width === total) this.flags.set(v, "all");
    let f = this.flags.get(v);
    if (f === "all") return;
    if (f === undefined) this.flags.set(v, (f = new Uint8Array(total)));
    f.fill(1, lo, lo + width);
  }
  /** Runs of unread bits. */
  gaps(v: Value, width: number): { lo: number; hi: number }[] {
    const f = this.flags.get(v);
    if (f === "all") return [];
    const runs: { lo: number; hi: number }[] = [];
    for (let i = 0; i < width; i++) {
      if (f?.[i] === 1) continue;
      const last = runs.at(-1);
      if (last !== undefined && last.hi === i - 1) last.hi = i;
      else runs.push({ lo: i, hi: i });
    }
    return runs;
  }
}
