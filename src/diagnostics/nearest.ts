/** Spelling suggestions: the known name that is closest to an unknown one. */

/** Levenshtein distance between `a` and `b`. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitute, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/**
 * The candidate closest to `name`, or undefined where none is similar (more than a third of its letters differ, and
 * more than 2).
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  // Names from hostile files can be megabytes long; nothing known is.
  if (name.length > 100) return undefined;
  const limit = Math.max(2, Math.floor(name.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const d = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  // For a very short name, everything is within two edits of it.
  return best !== undefined && bestDistance < Math.max(name.length, best.length) ? best : undefined;
}
